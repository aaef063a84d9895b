"""What a run leaves behind: its settings variants, its curve, and whether it looks healthy."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ris_pipeline.config import Settings
from ris_pipeline.learning.records import EpochRecord

OVERFIT_SCENES = 64
"""Scenes of the overfit test."""

OVERFIT_LOSS = 0.05
"""Total loss below which the overfit test has passed."""


def overfit_settings(settings: Settings, epochs: int) -> Settings:
    """One fixed set of 64 scenes, one batch an epoch, every epoch one optimiser step."""
    training = settings.training.replace(
        fixed_scenes=True,
        batches=1,
        batch_size=OVERFIT_SCENES,
        validation_scenes=OVERFIT_SCENES,
        accumulation=1,
        epochs=epochs,
        swa_fraction=0.0,
        curriculum=(),
    )
    return settings.replace(training=training)


def history_curve(history: Sequence[EpochRecord]) -> dict[str, NDArray[np.float64]]:
    """One column a quantity, one row an epoch: losses, terms, gradient norms, rates."""
    rows = [
        {
            "train": record.train,
            "validation": record.validation,
            **{f"train_{name}": value for name, value in record.terms.items()},
            **{f"validation_{name}": value for name, value in record.validation_terms.items()},
            "gradient_backbone": record.gradient_backbone,
            "gradient_heads": record.gradient_heads,
            "rate_backbone": record.rates[0],
            "rate_heads": record.rates[1],
        }
        for record in history
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def failures(history: Sequence[EpochRecord]) -> list[str]:
    """Why a run has failed, one line a reason; empty if it has not.

    A loss that is not finite, parameters without a gradient, no step taken, a validation loss that
    never moves.
    """
    found = []
    if any(not math.isfinite(r.train) or not math.isfinite(r.validation) for r in history):
        found.append("a loss is not finite")
    for group in ("backbone", "heads"):
        if any(getattr(r, f"gradient_{group}") == 0 for r in history):
            found.append(f"the {group} had no gradient in some epoch")
    skipped = sum(record.skipped_steps for record in history)
    if history and skipped == history[-1].step:
        found.append(f"{skipped} of {skipped} steps skipped: gradient not finite")
    if len(history) > 1 and len({record.validation for record in history}) == 1:
        found.append("the validation loss never moved")
    return found


def health_alarms(history: Sequence[EpochRecord]) -> list[str]:
    """What is wrong with a run, one line an alarm; empty for a healthy one.

    Its failures, and what it may have come through: some steps skipped, a training loss that did
    not fall.
    """
    alarms = failures(history)
    skipped = sum(record.skipped_steps for record in history)
    if 0 < skipped < history[-1].step:
        alarms.append(f"{skipped} steps skipped: gradient not finite")
    if len(history) > 1 and history[-1].train >= history[0].train:
        alarms.append("the training loss did not fall")
    return alarms
