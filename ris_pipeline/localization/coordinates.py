"""Where a source may be, and in what it is resolved: direction cosines and inverse distance.

beamwidth        du = wavelength / D_h,  dv = wavelength / D_v       (D: elements times spacing)
depth of focus   d(1/r) = 2 wavelength / R^2           (R: distance of the farthest element)

Either changes the path by one wavelength, from edge to edge or from the centre to the farthest
element, where it is `R^2 / (2 r)` to second order. In (u, v, 1/r) the phase of a near-field source
is closest to linear.

Source: K. T. Selvan and R. Janaswamy, "Fraunhofer and Fresnel Distances", IEEE Antennas Propag.
Mag. 59(4), 2017, for the quadratic path.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.scene import direction_cosines, ideal_panel


@dataclass(frozen=True)
class Domain:
    """Box of (azimuth rad, elevation rad, inverse distance 1/m); lower and upper (3,) float64."""

    lower: Tensor
    upper: Tensor


def search_domain(scenario: Scenario, device: torch.device | str | None = None) -> Domain:
    """Where a scenario has its sources."""
    near, far = scenario.distance
    limits = [tuple(map(math.radians, x)) for x in (scenario.azimuth_deg, scenario.elevation_deg)]
    box = torch.tensor([*limits, (1 / far, 1 / near)], dtype=torch.float64, device=device)
    return Domain(box[:, 0], box[:, 1])


def beamwidths(scenario: Scenario) -> tuple[float, float]:
    """`wavelength / D` along u and v; 2 at most, which is all directions.

    D of a scenario's own positions is that of the even aperture with their standard deviations,
    `D_h^2 = 12 (var x + |cov x y|)`: the main lobe falls as fast, also to where both are at the end
    of a cell. Depth counts for what it moves at 60 degrees from broadside, `x + sqrt(3) |z|`.
    """
    if scenario.positions is not None:
        return _own_beamwidths(ideal_panel(scenario, torch.float64).positions, scenario.wavelength)
    (n_h, n_v), (d_h, d_v) = scenario.panel, scenario.spacing
    return min(2.0, 1 / (n_h * d_h)), min(2.0, 1 / (n_v * d_v))


def _own_beamwidths(positions: Float[Tensor, "n 3"], wavelength: float) -> tuple[float, float]:
    away = positions - positions.mean(0)
    covariance = away.mT @ away / positions.shape[0]
    spread = covariance.diagonal().sqrt()
    along = (spread[:2] + math.sqrt(3) * spread[2]).square() + covariance[0, 1].abs()
    width_u, width_v = (wavelength / (12 * along).sqrt()).clamp_max(2.0).tolist()
    return width_u, width_v


def depth_of_focus(scenario: Scenario) -> float:
    """`2 wavelength / R^2` (1/m), R the distance of the farthest element from the centre."""
    positions = ideal_panel(scenario, torch.float64).positions
    square = float(positions.square().sum(-1).max())
    return 2 * scenario.wavelength / square if square > 0 else math.inf


def resolution_cell(
    scenario: Scenario, device: torch.device | str | None = None
) -> Float[Tensor, "3"]:
    """Beamwidths of u and of v, and depth of focus (1/m), float64: what an aperture tells apart."""
    extent = [*beamwidths(scenario), depth_of_focus(scenario)]
    return torch.tensor(extent, dtype=torch.float64, device=device)


def free_coordinates(domain: Domain, wavefront: str) -> Bool[Tensor, "3"]:
    """Which of the three coordinates are unknown: not those that the domain or the model fixes."""
    free = domain.upper > domain.lower
    if wavefront == "plane":
        free = free & torch.tensor([True, True, False], device=free.device)
    return free


def line_of_sight(place: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3"]:
    """(u, v, 1/r) of (azimuth, elevation, 1/r): where a resolution cell has one size."""
    return torch.cat((direction_cosines(place[:, 0], place[:, 1])[:, :2], place[:, 2:]), dim=1)


def distance_by_inverse(parameters: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """`dr / d(1/r) = -r^2`, as factors of (azimuth, elevation, distance): (1, 1, -r^2).

    Args:
        parameters: (azimuth, elevation, 1/r).
    """
    by_distance = -parameters[..., 2].square().reciprocal()
    one = torch.ones_like(by_distance)
    return torch.stack((one, one, by_distance), dim=-1)


def inverse_by_distance(parameters: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """`d(1/r) / dr = -1 / r^2`, as factors: (1, 1, -1 / r^2); parameters: (azimuth, elevation,
    1/r)."""
    factors = torch.ones_like(parameters)
    factors[..., 2] = -parameters[..., 2].square()
    return factors


def on_border(
    parameters: Float[Tensor, "*batch 3"], domain: Domain, wavefront: str
) -> Bool[Tensor, "*batch"]:
    """Where an unknown coordinate lies at the end of its range."""
    ends = (parameters <= domain.lower) | (parameters >= domain.upper)
    return (ends & free_coordinates(domain, wavefront)).any(-1)
