"""Our own trainer under the watch that anybody's loop may have, and what it stops for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ris_pipeline.config import Training
from ris_pipeline.learning.averaging import Weights
from ris_pipeline.learning.records import EpochRecord
from ris_pipeline.watch import Watch

STOPS = (
    "term-constant",
    "term-dead",
    "term-detached",
    "term-left-out",
    "no-gradient",
    "weights-still",
    "rate-zero",
    "step-never",
    "steps-skipped",
    "scaler-skips",
)
"""Alarms after which more epochs are wasted."""

CONSTANT_EPOCHS = 5
"""Epochs with one validation loss, to the last bit, after which more are wasted."""


def make_watch(
    network: nn.Module,
    optimiser: Optimizer,
    ema: Weights,
    training: Training,
    run: Path | None,
    **options: Any,
) -> Watch:
    """A watch of a run. The trainer logs its own lines, so the watch says its alarms only.

    Args:
        run: folder for the journal; none is kept without it.
        options: of `Watch`.
    """
    given = {
        "averages": {"ema": ema},
        "epochs": training.epochs,
        "clip": training.clip_norm,
        # One fixed set of scenes is the same batches in the same order, on purpose.
        "ignore": ("same-batch", "order-identical") if training.fixed_scenes else (),
        "lines": False,
    }
    return Watch(network, optimiser, run, **{**given, **options})


def diagnosis(watch: Watch, history: Sequence[EpochRecord]) -> str:
    """Why a run is not worth going on with, one alarm a line; empty if it is."""
    lines = [alarm.line() for alarm in watch.alarms if alarm.name in STOPS]
    last = [record.validation for record in history[-CONSTANT_EPOCHS:]]
    if len(last) == CONSTANT_EPOCHS and len(set(last)) == 1:
        said = f"[ALARM] validation-constant: {last[0]!r} in {CONSTANT_EPOCHS} epochs"
        known = [alarm.line() for alarm in watch.alarms if alarm.name == "validation-constant"]
        lines += known or [said]
    return "\n".join(lines)
