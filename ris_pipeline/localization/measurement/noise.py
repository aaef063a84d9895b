"""The noise level that a fit leaves, never below what rounding leaves."""

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.measurement.statistics import Measurement


def rounding_floor(measurement: Measurement) -> Float[Tensor, " b"]:
    """`eps |y|^2`: the residual that rounding leaves of noiseless data, and never zero."""
    finfo = torch.finfo(measurement.energy.dtype)
    return (measurement.energy * finfo.eps).clamp_min(finfo.tiny)


def noise_estimate(
    measurement: Measurement, rss: Float[Tensor, " b"], count: Tensor, coordinates: int
) -> Float[Tensor, " b"]:
    """`sigma^2 = rss / (T L M - K T - K d / 2)`, d fitted coordinates a source; 0 / 0 excluded.

    Never below the rounding of the data's energy, which is what a noiseless scene leaves.
    """
    freedom = measurement.samples - count * (measurement.blocks + coordinates / 2)
    floor = rounding_floor(measurement) / measurement.samples
    tiny = torch.finfo(rss.dtype).tiny
    return torch.maximum(rss / freedom.clamp_min(0.5), floor).clamp_min(tiny)
