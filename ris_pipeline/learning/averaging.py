"""Running averages of the weights.

    EMA   e <- d e + (1 - d) w,   d = min(decay, (1 + step) / (10 + step))
    SWA   mean of the weights at the ends of the last epochs

The ramp of d lets a short run forget its random start.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

Weights = dict[str, Tensor]
"""Parameters by name."""


def copy_weights(weights: Mapping[str, Tensor]) -> Weights:
    """A detached copy."""
    return {name: value.detach().clone() for name, value in weights.items()}


@torch.no_grad()
def update_ema(average: Weights, weights: Mapping[str, Tensor], decay: float, step: int) -> None:
    """Move `average` towards `weights`, in place, after optimiser step `step` >= 1."""
    ramped = min(decay, (1 + step) / (10 + step))
    values = list(average.values())
    if values:
        get_ema_multi_avg_fn(ramped)(values, [weights[name] for name in average], step)


@torch.no_grad()
def update_swa(average: Weights, weights: Mapping[str, Tensor], count: int) -> None:
    """Turn the mean of `count` sets of weights into the mean of `count + 1`, in place."""
    for name, value in average.items():
        value.lerp_(weights[name], 1 / (count + 1))
