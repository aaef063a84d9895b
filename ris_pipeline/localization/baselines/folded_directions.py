"""Directions of a panel whose elements stand so wide apart that several look alike.

    a_n(u, v) = a_n(u + i P_u, v + j P_v),   P = 1 / spacing (in wavelengths),   i, j whole numbers

        -1         -P/2    0    P/2          1     u
         |     x    [      x     ]     x     |           x: one direction and its aliases
                     searched once

A search looks at one period alone (`doubled_search`); `aliases` then lists the directions in the
domain that what it finds may stand for. Along an axis on which the whole domain lies within one
period nothing folds: its period counts as infinite, and the domain is searched as it is.
"""

import itertools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.localization.coordinates import Domain, beamwidths, search_domain
from ris_pipeline.localization.grid_search.grid import grid_at
from ris_pipeline.localization.grid_search.peaks import direction_grid
from ris_pipeline.localization.spectra.search import SpectrumSearch
from ris_pipeline.localization.spectra.sub_panels import (
    sub_panel_scenario,
    sub_panel_size,
    sub_panel_windows,
)
from ris_pipeline.scene import angles_from_cosines, direction_cosines
from ris_pipeline.scene.believed import kept

SUB_PANEL = 0.7
"""Side of the sub-panels in sides of the panel. Detection of two sources at T = 1 and 10 dB was
0.60, 0.68, 0.68 and 0.70 at 0.4, 0.5, 0.6 and 0.7."""

DENSITY = 4.0
"""Directions a beamwidth of the sub-panel."""

_TOLERATED = 0.05
"""How far beyond the domain a direction may be found, in u and v, and be pulled to its border."""


@dataclass(frozen=True)
class DoubledSearch:
    """Directions of the doubled panel's sub-panels within one period; period (2,), of u and v,
    infinite where nothing folds; windows: elements of each sub-panel."""

    search: SpectrumSearch
    period: Tensor
    windows: Tensor


@kept
def doubled_search(scenario: Scenario, dtype: torch.dtype, device: torch.device) -> DoubledSearch:
    """The search over one period of (u, v) of plane waves at twice the spacing."""
    size = sub_panel_size(scenario.panel, SUB_PANEL)
    double = sub_panel_scenario(scenario, size).replace(
        spacing=tuple(2 * d for d in scenario.spacing),
        sources=(1, 1),
        wavefront="plane",
    )
    widths, limits = beamwidths(double), cosine_limits(search_domain(scenario, device))
    (us, period_u), (vs, period_v) = map(_one_period, limits, double.spacing, widths)
    v, u = torch.meshgrid(vs, us, indexing="ij")
    inside = u.square() + v.square() < 1
    cosines = torch.stack((u[inside], v[inside]), dim=-1)
    angles = angles_from_cosines(cosines[:, 0], cosines[:, 1])
    far = torch.full_like(angles[0], 1 / scenario.distance[1])
    separation = widths[0] / 2, widths[1] / 2
    search = SpectrumSearch(
        scenario=double,
        grid=grid_at(double, *(x.to(device, dtype) for x in (*angles, far))),
        directions=direction_grid(cosines.to(device, dtype), separation, (period_u, period_v)),
        depths=1,
        domain=_everywhere(float(far[0]), device),
        resolution_cell=torch.tensor([*widths, math.inf], dtype=torch.float64, device=device),
    )
    period = torch.tensor([period_u, period_v], dtype=torch.float64, device=device)
    return DoubledSearch(search, period, sub_panel_windows(scenario.panel, size, device))


def _one_period(limit: float, spacing: float, width: float) -> tuple[Tensor, float]:
    """Cosines along one axis, `DENSITY` a beamwidth: the period, or up to +-limit where it fits
    well within one; and the period."""
    period = 1 / spacing
    folds = 2 * (limit + _TOLERATED) > period
    half = period / 2 if folds else limit
    count = max(2, math.ceil(2 * half / width * DENSITY) + 1)
    axis = torch.linspace(-half, half, count, dtype=torch.float64)
    # Both ends of a period are one direction.
    return (axis[:-1], period) if folds else (axis, math.inf)


def _everywhere(inverse_distance: float, device: torch.device) -> Domain:
    """All directions, at one distance."""
    limits = [math.pi / 2, math.pi / 2, inverse_distance]
    upper = torch.tensor(limits, dtype=torch.float64, device=device)
    return Domain(torch.cat((-upper[:2], upper[2:])), upper)


def cosine_limits(domain: Domain) -> tuple[float, float]:
    """Largest |u| and |v| of a domain."""
    azimuth, elevation = (
        max(abs(float(domain.lower[i])), abs(float(domain.upper[i]))) for i in (0, 1)
    )
    return math.sin(azimuth), math.sin(elevation)


def aliases(
    angles: Float[Tensor, "b c 2"], period: Float[Tensor, "2"], domain: Domain
) -> tuple[Float[Tensor, "b c m 2"], Bool[Tensor, "b c m"]]:
    """All directions of the domain that look like each (azimuth, elevation), and which are inside.

    The same number m of candidates for each; those outside the domain are at its border.
    """
    cosines = direction_cosines(angles[..., 0], angles[..., 1])[..., :2]
    return _in_domain(cosines[:, :, None] + _shifts(period, domain), domain)


def _shifts(period: Float[Tensor, "2"], domain: Domain) -> Float[Tensor, "m 2"]:
    """`(i P_u, j P_v)` for the whole numbers that may lead from one period into the domain."""
    steps = []
    for turn, limit in zip(period.tolist(), cosine_limits(domain), strict=True):
        most = 0 if math.isinf(turn) else math.ceil((limit + _TOLERATED) / turn)
        steps.append([i * turn for i in range(-most, most + 1)] if most else [0.0])
    return period.new_tensor(list(itertools.product(*steps)))


def _in_domain(
    cosines: Float[Tensor, "*batch 2"], domain: Domain
) -> tuple[Float[Tensor, "*batch 2"], Bool[Tensor, "*batch"]]:
    """(azimuth, elevation) of the nearest directions of the domain, and whether they are near."""
    real = cosines.square().sum(-1) < 1
    safe = torch.where(real[..., None], cosines, 0.0)
    found = torch.stack(angles_from_cosines(safe[..., 0], safe[..., 1]), dim=-1)
    # At the border of the domain a direction found a little outside belongs to it.
    nearest = torch.clamp(found, domain.lower[:2], domain.upper[:2])
    moved = direction_cosines(nearest[..., 0], nearest[..., 1])[..., :2] - cosines
    return nearest, real & (moved.abs().amax(-1) < _TOLERATED)
