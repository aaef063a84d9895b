"""The search grid: direction cosines and inverse distance, exact wavefront.

Spacing, for an aperture of D_x by D_y metres:

    u, v        wavelength / D times `step`: fractions of the beamwidth
    1 / r       8 wavelength / (D_x^2 + D_y^2) times `step`: the inverse distance over which the
                quadratic phase at the corner, k (D_x^2 + D_y^2) / (8 r), turns by 2 pi

Inverse distance, because the wavefront's curvature is linear in it (B. Friedlander, "Localization
of signals in the near-field of an antenna array", IEEE Trans. Signal Process. 67(15), 2019).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.scene import Panel, angles_from_cosines, ideal_panel, steering_vector

GRID_STEP = 0.4
"""Half a step off a node along one axis costs at most 0.6 dB: sinc(0.2)^2."""


@dataclass(frozen=True)
class SteeringGrid:
    """Grid points and their steering vectors.

    azimuth, elevation (G,) rad; inverse_distance (G,) 1/m; steering (G, N) complex.
    """

    azimuth: Tensor
    elevation: Tensor
    inverse_distance: Tensor
    steering: Tensor

    @property
    def parameters(self) -> Tensor:
        """(G, 3): azimuth, elevation, inverse distance."""
        return torch.stack((self.azimuth, self.elevation, self.inverse_distance), dim=-1)


def _axis(low: float, high: float, step: float) -> Tensor:
    count = max(2, math.ceil((high - low) / step) + 1) if high > low else 1
    return torch.linspace(low, high, count, dtype=torch.float64)


def steering_grid(
    scenario: Scenario, dtype: torch.dtype = torch.float32, step: float = GRID_STEP
) -> SteeringGrid:
    """Cover the scenario's sector and distances; `step` in beamwidths and depths of focus."""
    extent = [n * d * scenario.wavelength for n, d in zip(*_layout(scenario), strict=True)]
    (az_low, az_high), (el_low, el_high) = (
        tuple(map(math.radians, limits))
        for limits in (scenario.azimuth_deg, scenario.elevation_deg)
    )
    u_limit = max(abs(math.sin(az_low)), abs(math.sin(az_high)))
    u = _axis(-u_limit, u_limit, step * scenario.wavelength / extent[0])
    v = _axis(math.sin(el_low), math.sin(el_high), step * scenario.wavelength / extent[1])
    focus = 8 * scenario.wavelength / (extent[0] ** 2 + extent[1] ** 2)
    near, far = scenario.distance
    inverse = _axis(1 / far, 1 / near, step * focus)
    u, v, inverse = (x.flatten() for x in torch.meshgrid(u, v, inverse, indexing="ij"))
    azimuth, elevation = angles_from_cosines(u, v)
    inside = (azimuth >= az_low - _SLACK) & (azimuth <= az_high + _SLACK)
    inside &= u.square() + v.square() < 1
    azimuth, elevation, inverse = (x[inside].to(dtype) for x in (azimuth, elevation, inverse))
    panel = ideal_panel(scenario, dtype)
    a = steering_vector(panel, azimuth, elevation, 1 / inverse, scenario.wavefront)
    return SteeringGrid(azimuth, elevation, inverse, a)


_SLACK = 1e-9
"""rad; rounding of asin(sin(x)) at the sector's border."""


def _layout(scenario: Scenario) -> tuple[tuple[int, int], tuple[float, float]]:
    return scenario.panel, scenario.spacing


def domain(scenario: Scenario, like: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest (azimuth, elevation, inverse distance), each (3,)."""
    azimuth, elevation = (
        tuple(map(math.radians, x)) for x in (scenario.azimuth_deg, scenario.elevation_deg)
    )
    near, far = scenario.distance
    low = torch.tensor((azimuth[0], elevation[0], 1 / far), dtype=like.dtype, device=like.device)
    high = torch.tensor((azimuth[1], elevation[1], 1 / near), dtype=like.dtype, device=like.device)
    return low, high


def at_parameters(panel: Panel, parameters: Tensor, scenario: Scenario) -> Tensor:
    """Steering vectors (..., N) at (..., 3) = azimuth, elevation, inverse distance."""
    azimuth, elevation, inverse = parameters.unbind(-1)
    return steering_vector(panel, azimuth, elevation, 1 / inverse, scenario.wavefront)
