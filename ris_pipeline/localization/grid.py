"""The search grid: direction cosines and inverse distance, exact wavefront.

Spacing, for an aperture of D_x by D_y metres:

    u, v        wavelength / D times `step`: fractions of the beamwidth (u at elevation 0, and
                finer by cos(elevation) above)
    1 / r       8 wavelength / (D_x^2 + D_y^2) times `step`: the inverse distance over which the
                quadratic phase at the corner, k (D_x^2 + D_y^2) / (8 r), turns by 2 pi

Inverse distance, because the wavefront's curvature is linear in it (B. Friedlander, "Localization
of signals in the near-field of an antenna array", IEEE Trans. Signal Process. 67(15), 2019).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.scene import ideal_panel, steering_vector

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
    extent = _extent(scenario)
    (az_low, az_high), (el_low, el_high) = (
        tuple(map(math.radians, limits))
        for limits in (scenario.azimuth_deg, scenario.elevation_deg)
    )
    # sin(azimuth) rather than u: each row of elevation then reaches the sector's border.
    across = _axis(math.sin(az_low), math.sin(az_high), step * scenario.wavelength / extent[0])
    v = _axis(math.sin(el_low), math.sin(el_high), step * scenario.wavelength / extent[1])
    focus = 8 * scenario.wavelength / (extent[0] ** 2 + extent[1] ** 2)
    near, far = scenario.distance
    inverse = _axis(1 / far, 1 / near, step * focus)
    axes = torch.asin(across), torch.asin(v), inverse
    points = (x.flatten().to(dtype) for x in torch.meshgrid(*axes, indexing="ij"))
    return grid_at(scenario, *points)


def grid_at(
    scenario: Scenario,
    azimuth: Float[Tensor, " g"],
    elevation: Float[Tensor, " g"],
    inverse_distance: Float[Tensor, " g"],
) -> SteeringGrid:
    """A grid of given points: radians and 1/m."""
    panel = ideal_panel(scenario, azimuth.dtype, azimuth.device)
    a = steering_vector(panel, azimuth, elevation, 1 / inverse_distance, scenario.wavefront)
    return SteeringGrid(azimuth, elevation, inverse_distance, a)


def _extent(scenario: Scenario) -> tuple[float, float]:
    (n_h, n_v), (d_h, d_v) = scenario.panel, scenario.spacing
    return n_h * d_h * scenario.wavelength, n_v * d_v * scenario.wavelength


def main_lobe(scenario: Scenario) -> Tensor:
    """Half the width (rad) of the broadside main lobe in azimuth and elevation, null to null."""
    return scenario.wavelength / torch.tensor(_extent(scenario), dtype=torch.float64)


def domain(scenario: Scenario, like: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest (azimuth, elevation, inverse distance), each (3,)."""
    azimuth, elevation = (
        tuple(map(math.radians, x)) for x in (scenario.azimuth_deg, scenario.elevation_deg)
    )
    near, far = scenario.distance
    low = torch.tensor((azimuth[0], elevation[0], 1 / far), dtype=like.dtype, device=like.device)
    high = torch.tensor((azimuth[1], elevation[1], 1 / near), dtype=like.dtype, device=like.device)
    return low, high
