"""How estimates are read off the last fit."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.localization.cholesky import blind_coordinates, unit_diagonal
from ris_pipeline.localization.coordinates import Domain, distance_by_inverse, free_coordinates
from ris_pipeline.localization.estimates import Estimates, status_of, strongest_first
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.least_squares.refinement import (
    Refined,
    standard_deviations,
)
from ris_pipeline.localization.levenberg_marquardt import slope_of
from ris_pipeline.localization.measurement.noise import noise_estimate, rounding_floor
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.source_number import Searched, Threshold, false_alarm_anywhere


def _status(refined: Refined, std: Tensor, real: Tensor, free: Tensor, width: float) -> Tensor:
    sharp = (std[..., :2] < width).all(-1) & (std.isfinite() | ~free).all(-1)
    edge = (refined.held & free).any(-1)
    return status_of(edge, resolved=sharp & real & refined.converged[:, None])


def _told_anywhere(
    measurement: Measurement, refined: Refined, active: Tensor, std: Tensor, domain: Domain
) -> Float[Tensor, "b k 3"]:
    """The deviations, infinite also for what is told here alone: a coordinate that the data say
    nothing about may be anywhere, and at elevation zero a row of elements seems to tell the
    azimuth."""
    blind = std.isinf()
    if not bool(blind.any()):
        return std
    here = refined.parameters
    far = torch.where(2 * here < domain.lower + domain.upper, domain.upper, domain.lower)
    moved = torch.where(blind, here + (far - here) / 3, here)
    there = linearise(measurement, moved, active)
    unknown = free_coordinates(domain, measurement.wavefront).repeat(here.shape[1])
    lost = blind_coordinates(*unit_diagonal(there.information, unknown, there.whole)) & unknown
    return torch.where(lost.reshape_as(std), torch.inf, std)


def _residual_without(
    measurement: Measurement, refined: Refined, active: Tensor, source: int, domain: Domain
) -> Float[Tensor, " b"]:
    """What is left without one source after the others have moved by a Gauss-Newton step each."""
    others = active.clone()
    others[:, source] = False
    here = linearise(measurement, refined.parameters, others)
    slope = slope_of(here, refined.held.flatten(1))
    step = (slope.newton * slope.scale).reshape_as(refined.parameters)
    place = torch.clamp(refined.parameters + step, domain.lower, domain.upper)
    return torch.minimum(here.rss, linearise(measurement, place, others).rss)


def _false_alarm(
    measurement: Measurement,
    refined: Refined,
    active: Tensor,
    domain: Domain,
    searched: Searched,
) -> Float[Tensor, "b k"]:
    """Probability that noise in the place of each source would have explained as much."""
    slots = range(active.shape[1])
    without = [_residual_without(measurement, refined, active, k, domain) for k in slots]
    more = torch.stack(without, dim=1) if without else refined.parameters[..., 0]
    rss = refined.fit.rss.clamp_max(torch.finfo(refined.fit.rss.dtype).max)
    rss = torch.maximum(rss, rounding_floor(measurement))[:, None]
    coordinates = int(free_coordinates(domain, measurement.wavefront).sum())
    taken = (active.sum(1) - 1) * (measurement.blocks + coordinates / 2)
    free = (measurement.samples - taken)[:, None]
    explained = 1 - rss / torch.maximum(more, rss)
    return false_alarm_anywhere(explained, measurement.blocks, free, searched)


def report(
    measurement: Measurement,
    refined: Refined,
    active: Bool[Tensor, "b k"],
    domain: Domain,
    width: float,
    searched: Searched,
    dtype: torch.dtype,
) -> Estimates:
    """Read estimates off a fit, sorted by power, in real `dtype`.

    Args:
        width: standard deviation of an angle (rad) from which a source counts as unresolved.
        searched: where a source could have been found.
    """
    free = free_coordinates(domain, measurement.wavefront)
    # Sources that coincide have no residual of their own; it is no more than all there is.
    rss = torch.minimum(refined.fit.rss, measurement.energy)
    noise = noise_estimate(measurement, rss, active.sum(1), int(free.sum()))
    power = refined.fit.amplitudes.abs().square().mean(1)
    std = standard_deviations(refined, noise, free)
    std = _told_anywhere(measurement, refined, active, std, domain)
    std = std * distance_by_inverse(refined.parameters).abs()
    if measurement.wavefront == "plane":
        std[..., 2] = torch.inf
    alarm = _false_alarm(measurement, refined, active, domain, searched)
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
