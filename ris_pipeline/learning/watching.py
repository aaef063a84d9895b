"""Our own trainer under the watch that anybody's loop may have."""

from pathlib import Path
from typing import Any

from ris_pipeline.learning.trainer import Trainer
from ris_pipeline.watch import Watch


def watch_trainer(trainer: Trainer, run: Path | None = None, **options: Any) -> Watch:
    """Have a watch look on from now on; a restored trainer is restored first.

    The trainer logs its own lines, so the watch says its alarms only.

    Args:
        run: folder for the journal.
        options: of `Watch`.
    """
    training = trainer.settings.training
    given = {
        "averages": {"ema": trainer.ema},
        "epochs": training.epochs,
        "clip": training.clip_norm,
        # One fixed set of scenes is the same batches in the same order, on purpose.
        "ignore": ("same-batch", "order-identical") if training.fixed_scenes else (),
        "lines": False,
    }
    trainer.watch = Watch(trainer.network, trainer.optimiser, run, **{**given, **options})
    return trainer.watch
