"""Learning rates, a linear warm-up and then one half period of a cosine; and the curriculum."""

import math

from ris_pipeline.config import LossWeights, Settings


def rate_scale(step: int, total: int, warmup: float) -> float:
    """Share of the peak rate at optimiser step `step` (from 0) of `total`.

        (step + 1) / w                     while step < w,   w = round(warmup total)
        (1 + cos(pi (step - w) / (total - w))) / 2           after

    Source: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, eq. (5), with one period.
    """
    ramp = round(warmup * total)
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, total - ramp)))


def phase_weights(settings: Settings, epoch: int) -> tuple[LossWeights, str]:
    """Loss weights of an epoch (from 0) under the curriculum, and the name of its phase."""
    weights = settings.loss.weights
    for phase in settings.training.curriculum:
        if epoch / settings.training.epochs < phase.until:
            scaled = {
                name: value * phase.scale.get(name, 1.0)
                for name, value in weights.model_dump().items()
            }
            return LossWeights(**scaled), phase.name
    return weights, "joint"
