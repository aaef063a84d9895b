"""Training seen from a terminal: a progress bar with the log lines above it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline.config import Settings
from ris_pipeline.learning import Trainer, health_alarms, make_fabric, watch_trainer
from ris_pipeline.report.run_folder import RunFolder


class _ConsoleHandler(logging.Handler):
    """Log lines go out as they are: no markup (`[OPT]` is not a style), no wrapping."""

    def __init__(self, console: Console, every: int) -> None:
        super().__init__()
        self.console, self.every = console, every
        self.epochs = 0

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line.startswith("Epoch"):
            self.epochs += 1
        quiet = self.epochs > 1 and record.levelno <= logging.INFO
        if quiet and (self.epochs % self.every or not line.startswith(("Epoch", "[OPT] step"))):
            return
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _log_to(console: Console, every: int) -> Iterator[None]:
    logger = logging.getLogger("ris_pipeline")
    handler, level = _ConsoleHandler(console, every), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _fabric(settings: Settings, accelerator: str) -> Fabric:
    check_choice("accelerator", accelerator, ("cpu", "cuda", "auto"))
    try:
        return make_fabric(settings.training.precision, accelerator)
    except RuntimeError as error:
        raise InputError(f"accelerator = {accelerator!r}: {error}") from None


def train_with_progress(
    console: Console,
    settings: Settings,
    folder: RunFolder | None = None,
    every: int = 1,
    resume: bool = False,
    accelerator: str = "cpu",
) -> Trainer:
    """Train under a progress bar; with a folder, write metrics, checkpoint and loss curve.

    Args:
        every: print the line of every so many epochs.

    Raises:
        InputError: a folder or checkpoint that cannot be used.
    """
    fabric = _fabric(settings, accelerator)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress, _log_to(console, every):
        task = progress.add_task("training", total=None)
        trainer = Trainer(
            settings,
            fabric,
            lambda batch, loss: progress.advance(task),
        )
        if folder is not None and resume:
            folder.restore(trainer)
        training = settings.training
        progress.update(
            task,
            total=training.epochs * training.batches,
            completed=len(trainer.history) * training.batches,
        )
        if folder is not None:
            watch_trainer(trainer, folder.path)
        trainer.fit(folder.write_epoch if folder is not None else None)
        if trainer.watch is not None:
            trainer.watch.close()
    for alarm in health_alarms(trainer.history):
        console.print(f"[ALARM] {alarm}", markup=False)
    if folder is not None:
        title = f"Covariance network, {settings.scenario.panel[0]} x {settings.scenario.panel[1]}"
        folder.write_loss_curve(trainer.history, title)
    return trainer
