"""How estimates are read off the last fit."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.localization.coordinates import Domain, distance_by_inverse, free_coordinates
from ris_pipeline.localization.estimates import Estimates, status_of, strongest_first
from ris_pipeline.localization.least_squares.refinement import (
    Refined,
    standard_deviations,
)
from ris_pipeline.localization.maximum_likelihood.relax import loss_without
from ris_pipeline.localization.measurement.noise import noise_estimate, rounding_floor
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.source_number import Threshold, false_alarm_probability


def _status(refined: Refined, std: Tensor, real: Tensor, free: Tensor, width: float) -> Tensor:
    sharp = (std[..., :2] < width).all(-1) & (std.isfinite() | ~free).all(-1)
    edge = (refined.held & free).any(-1)
    return status_of(edge, resolved=sharp & real & refined.converged[:, None])


def _false_alarm(
    measurement: Measurement, refined: Refined, active: Tensor, coordinates: int, places: int
) -> Float[Tensor, "b k"]:
    """Probability that noise in the place of each source would have explained as much."""
    loss = loss_without(measurement, refined.parameters, active)
    rss = torch.maximum(refined.fit.rss, rounding_floor(measurement))[:, None]
    taken = (active.sum(1) - 1) * (measurement.blocks + coordinates / 2)
    free = (measurement.samples - taken)[:, None]
    return false_alarm_probability(loss / (loss + rss), measurement.blocks, free, places)


def report(
    measurement: Measurement,
    refined: Refined,
    active: Bool[Tensor, "b k"],
    domain: Domain,
    width: float,
    places: int,
    dtype: torch.dtype,
) -> Estimates:
    """Read estimates off a fit, sorted by power, in real `dtype`.

    Args:
        width: standard deviation of an angle (rad) from which a source counts as unresolved.
        places: where a source could have been found, points of the search grid.
    """
    free = free_coordinates(domain, measurement.wavefront)
    coordinates = int(free.sum())
    noise = noise_estimate(measurement, refined.fit.rss, active.sum(1), coordinates)
    power = refined.fit.amplitudes.abs().square().mean(1)
    std = standard_deviations(refined, noise, free)
    std = std * distance_by_inverse(refined.parameters).abs()
    if measurement.wavefront == "plane":
        std[..., 2] = torch.inf
    alarm = _false_alarm(measurement, refined, active, coordinates, places)
    real = active & (alarm <= Threshold().false_alarm)
    status = _status(refined, std, real, free, width)
    return strongest_first(
        refined.parameters,
        active,
        power,
        status,
        noise,
        measurement.wavefront,
        dtype,
        std=std,
        false_alarm=alarm,
    )
