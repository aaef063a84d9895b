"""The noise level that a fit leaves, never below what rounding leaves."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.measurement.statistics import Measurement


def rounding_floor(measurement: Measurement) -> Float[Tensor, " b"]:
    """`eps |y|^2`: the residual that rounding leaves of noiseless data, and never zero."""
    finfo = torch.finfo(measurement.energy.dtype)
    return (measurement.energy * finfo.eps).clamp_min(finfo.tiny)


@dataclass(frozen=True)
class NoiseScale:
    """What turns a residual into a noise variance: freedom (B,), the real degrees of it by two, and
    floor (B,), the least that the data's rounding leaves."""

    freedom: Tensor
    floor: Tensor

    @classmethod
    def of(cls, measurement: Measurement, count: Tensor, coordinates: int) -> "NoiseScale":
        """Of fits of `count` sources with d fitted coordinates each."""
        freedom = measurement.samples - count * (measurement.blocks + coordinates / 2)
        floor = rounding_floor(measurement) / measurement.samples
        tiny = torch.finfo(floor.dtype).tiny
        return cls(freedom.clamp_min(0.5), floor.clamp_min(tiny))

    def take(self, index: Tensor) -> "NoiseScale":
        """The scenes `index`."""
        return NoiseScale(self.freedom[index], self.floor[index])

    def variance(self, rss: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """`rss / freedom`, never below the floor."""
        return torch.maximum(rss / self.freedom, self.floor)


def noise_estimate(
    measurement: Measurement, rss: Float[Tensor, " b"], count: Tensor, coordinates: int
) -> Float[Tensor, " b"]:
    """`sigma^2 = rss / (T L M - K T - K d / 2)`, d fitted coordinates a source; 0 / 0 excluded.

    Never below the rounding of the data's energy, which is what a noiseless scene leaves.
    """
    return NoiseScale.of(measurement, count, coordinates).variance(rss)
