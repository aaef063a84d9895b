"""The noise level that a fit leaves, never below what rounding leaves."""

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.measurement.statistics import Measurement


def noise_estimate(
    measurement: Measurement, rss: Float[Tensor, " b"], count: Tensor, coordinates: int
) -> Float[Tensor, " b"]:
    """`sigma^2 = rss / (T L M - K T - K d / 2)`, d fitted coordinates a source; 0 / 0 excluded.

    Never below the rounding of the data's energy, which is what a noiseless scene leaves.
    """
    numbers = measurement.blocks * measurement.rows
    freedom = numbers - count * (measurement.blocks + coordinates / 2)
    floor = measurement.energy * torch.finfo(rss.dtype).eps / numbers
    return torch.maximum(rss / freedom.clamp_min(0.5), floor).clamp_min(torch.finfo(rss.dtype).tiny)


def noise_floor(measurement: Measurement) -> Float[Tensor, " b"]:
    """The residual that rounding leaves of noiseless data."""
    zero = torch.zeros_like(measurement.energy)
    samples = measurement.blocks * measurement.rows
    return noise_estimate(measurement, zero, zero, 0) * samples
