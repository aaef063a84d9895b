"""The folder of a run: every file is written whole or not at all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ris_pipeline._errors import InputError
from ris_pipeline._files import write_text
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


class RunFolder:
    """A writable folder, made if absent.

    Raises:
        InputError: it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.safetensors"
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

    def write_epoch(self, trainer: Trainer) -> None:
        """Write `metrics.jsonl` and the checkpoint after an epoch."""
        self.write_metrics(trainer.history)
        save_checkpoint(self.checkpoint, trainer.checkpoint())

    def write_metrics(self, history: Sequence[EpochRecord]) -> None:
        """`metrics.jsonl`: one JSON object an epoch."""
        lines = [json.dumps(asdict(record)) for record in history]
        write_text(self.path / "metrics.jsonl", "\n".join(lines) + "\n")

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
        write_text(self.path / "summary.json", json.dumps(summary, indent=1) + "\n")

    def write_model(self, settings: Settings, weights: Weights) -> None:
        """`model.safetensors`: weights and settings, ready to travel."""
        path = self.path / "model.safetensors"
        save_checkpoint(path, export_model(settings, weights), page=False)

    def restore(self, trainer: Trainer) -> None:
        """Continue from the folder's checkpoint.

        Raises:
            InputError: no checkpoint, or one of other settings.
        """
        trainer.restore(load_checkpoint(self.checkpoint))
