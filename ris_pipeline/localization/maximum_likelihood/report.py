"""How estimates are read off the last fit."""

import torch
from jaxtyping import Bool
from torch import Tensor

from ris_pipeline.localization.coordinates import Domain, distance_by_inverse, free_coordinates
from ris_pipeline.localization.estimates import Estimates, status_of, strongest_first
from ris_pipeline.localization.least_squares.refinement import Refined, standard_deviations
from ris_pipeline.localization.measurement.noise import noise_estimate
from ris_pipeline.localization.measurement.statistics import Measurement


def _status(refined: Refined, std: Tensor, active: Tensor, free: Tensor, width: float) -> Tensor:
    sharp = (std[..., :2] < width).all(-1) & refined.converged[:, None]
    edge = (refined.held & free).any(-1)
    return status_of(edge, resolved=sharp & active)


def report(
    measurement: Measurement,
    refined: Refined,
    active: Bool[Tensor, "b k"],
    domain: Domain,
    width: float,
    dtype: torch.dtype,
) -> Estimates:
    """Read estimates off a fit, sorted by power, in real `dtype`.

    Args:
        width: standard deviation of an angle (rad) from which a source counts as unresolved.
    """
    free = free_coordinates(domain, measurement.wavefront)
    noise = noise_estimate(measurement, refined.fit.rss, active.sum(1), int(free.sum()))
    power = refined.fit.amplitudes.abs().square().mean(1)
    std = standard_deviations(refined, noise)
    std = std * distance_by_inverse(refined.parameters).abs()
    if measurement.wavefront == "plane":
        std[..., 2] = torch.inf
    status = _status(refined, std, active, free, width)
    return strongest_first(
        refined.parameters, active, power, status, noise, measurement.wavefront, dtype, std
    )
