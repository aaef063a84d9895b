"""The folder of a run: every file is written whole or not at all."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ris_pipeline._errors import InputError
from ris_pipeline._files import append_text, is_file, json_text, only_run_in, write_text
from ris_pipeline.config import Settings
from ris_pipeline.learning import (
    EpochRecord,
    Trainer,
    export_model,
    load_checkpoint,
    save_checkpoint,
)
from ris_pipeline.learning.averaging import Weights
from ris_pipeline.report.figures import loss_curve, save_figure
from ris_pipeline.watch.journal import strict

CHECKPOINT = "checkpoint.safetensors"
"""The file that a run goes on from."""


class RunFolder:
    """A writable folder, made if absent.

    Raises:
        InputError: it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / CHECKPOINT
        # Epochs in `metrics.jsonl`, and its bytes; none that this object has written.
        self._metrics = -1, 0
        probe = path / ".writable"
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"output folder {str(path)!r} cannot be written ({error.strerror}): "
                "allowed is a folder that this user can create or write"
            ) from None

    def held(self) -> AbstractContextManager[None]:
        """The folder for this run alone; the processes of one training count as one run.

        Raises:
            InputError: another run holds it.
        """
        return only_run_in(self.path) if _first_process() else nullcontext()

    def write_epoch(self, trainer: Trainer) -> None:
        """Write `metrics.jsonl` and the checkpoint after an epoch."""
        self._write_metrics(trainer.history)
        save_checkpoint(self.checkpoint, trainer.checkpoint())

    def _write_metrics(self, history: Sequence[EpochRecord]) -> None:
        # Only the last epoch, where the file is what the epochs before it left there.
        path = self.path / "metrics.jsonl"
        told, size = self._metrics
        if told == len(history) - 1 and is_file(path) and path.stat().st_size == size:
            append_text(path, _line(history[-1]))
        else:
            write_text(path, "".join(map(_line, history)))
        self._metrics = len(history), path.stat().st_size

    def write_loss_curve(self, history: Sequence[EpochRecord], title: str) -> None:
        """`loss_curve.png`."""
        figure = loss_curve(
            [record.train for record in history],
            [record.validation for record in history],
            [record.validation_terms["nmse"] for record in history]
            if all("nmse" in r.validation_terms for r in history)
            else None,
            title,
        )
        save_figure(figure, self.path / "loss_curve.png")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """`summary.json`."""
        write_text(self.path / "summary.json", json_text(strict(summary)) + "\n")

    def write_model(self, settings: Settings, weights: Weights) -> None:
        """`model.safetensors`: weights and settings, ready to travel."""
        path = self.path / "model.safetensors"
        save_checkpoint(path, export_model(settings, weights), page=False)

    def restore(self, trainer: Trainer) -> None:
        """Continue from the folder's checkpoint; metrics and page are written anew from it.

        Raises:
            InputError: no checkpoint, or one of other settings.
        """
        trainer.restore(load_checkpoint(self.checkpoint))
        if trainer.fabric.is_global_zero:
            self.write_epoch(trainer)


def _line(record: EpochRecord) -> str:
    """One strict JSON object; NaN and infinities are the strings `nan`, `inf`, `-inf`."""
    return json_text(strict(asdict(record)), indent=None) + "\n"


def _first_process() -> bool:
    # As fabric numbers them, which it does no sooner than it starts the others.
    names = "RANK", "LOCAL_RANK", "SLURM_PROCID"
    return next((os.environ[name] for name in names if name in os.environ), "0") == "0"
