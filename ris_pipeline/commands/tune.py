"""`ris-pipeline tune`: a search that may be stopped and gone on with."""

import logging
from pathlib import Path

from rich.console import Console

from ris_pipeline._errors import InputError, printable
from ris_pipeline.config import Settings
from ris_pipeline.learning import tuning


def run_tune(console: Console, study: Path, out: Path, settings: Settings, trials: int) -> None:
    """Add trials to a study and write the preset of its best one.

    Raises:
        InputError: as `tuning.tune`, or a preset that cannot be written.
    """
    # A trial that is stopped, or cannot be written down, needs no traceback.
    logging.getLogger("optuna.study._optimize").addFilter(_is_no_stop)
    # Its lines on each trial hold every parameter, far beyond the width of a terminal.
    logging.getLogger("optuna").setLevel(logging.WARNING)
    try:
        best, value = tuning.tune(
            settings, study, trials, lambda line: console.print(line, highlight=False)
        )
    except KeyboardInterrupt:
        console.print(
            f"stopped: the trials that have ended are kept in {printable(study)}: the same command "
            "goes on",
            highlight=False,
            soft_wrap=True,
        )
        raise
    tuning.write_preset(out, best)
    console.print(
        f"{printable(out)}: validation NMSE {value:.4f} of the best answer that ignores the data",
        highlight=False,
        soft_wrap=True,
    )


def _is_no_stop(record: logging.LogRecord) -> bool:
    return not (record.exc_info and record.exc_info[0] in (KeyboardInterrupt, InputError))
