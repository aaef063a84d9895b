"""The optimiser; its rates, a linear warm-up and then half a period of a cosine; the curriculum."""

import math

import torch

from ris_pipeline.config import LossWeights, Settings, Training
from ris_pipeline.learning.model import CovarianceNetwork


def peak_rates(training: Training) -> list[float]:
    """The rate of each parameter group at its highest: backbone, heads."""
    return [training.lr_backbone, training.lr_heads]


def make_optimiser(
    network: CovarianceNetwork, training: Training, fused: bool = False
) -> torch.optim.AdamW:
    """AdamW over the two groups of the network.

    Args:
        fused: in a few calls, as a GPU wants it; it rounds differently.
    """
    parameters = network.backbone_parameters(), network.head_parameters()
    groups = [
        {"params": list(group), "lr": rate}
        for group, rate in zip(parameters, peak_rates(training), strict=True)
    ]
    return torch.optim.AdamW(groups, weight_decay=training.weight_decay, fused=fused or None)


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
