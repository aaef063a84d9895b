"""From a grid point to the top of its peak: every spectrum here is a quadratic form of one matrix.

    Bartlett   Q = mu I - R,   mu = a^H R a at the point     MUSIC       h(l) = 0 for k, else 1
    others     Q = h(R)                                       MVDR        h(l) = 1 / l
                                                              soft MUSIC  (s / max(l, s))^m

    f(theta) = a^H Q a,   df/2 = Re(da^H Q a),   d2f/2 ~ Re(da^H Q da)

A peak is a minimum of f, found by Levenberg-Marquardt steps in a box. The second derivative leaves
out `Re(d2a^H Q a)`, which vanishes with Q a: at a noiseless source, and for Bartlett at a single
one, owing to the shift. No polynomial is rooted, and every source is refined by itself.

Source: P. Stoica and A. Nehorai, "MUSIC, maximum likelihood, and Cramer-Rao bound", IEEE Trans.
ASSP 37(5), 1989, eq. (3.6) for the derivatives of MUSIC's null spectrum.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.localization.coordinates import Domain, free_coordinates
from ris_pipeline.localization.levenberg_marquardt import (
    Expansion,
    Objective,
    Rules,
    Slope,
    minimise,
)
from ris_pipeline.localization.spectra.surfaces import Surface
from ris_pipeline.scene import direction_cosines

MAX_STEPS = 60
"""Steps before a peak is given up."""

TOLERANCE = 1e-5
"""Converged when the full Newton step is this part of a resolution cell. It is taken as well, and
at a hundredth of a beamwidth's resolution an estimate's noise is a thousand times larger."""

_AT_ONCE = 1024
"""Places whose surface is evaluated together: what is made of them stays in a cache."""

_LEAST_DAMPING = 1e-9


def _by_tens(damping: Tensor, ratio: Tensor) -> Tensor:
    return (damping / 10).clamp_min(_LEAST_DAMPING)


def _rules(most_steps: int) -> Rules:
    return Rules(lighter=_by_tens, heavier=(4.0, 1.0), finish=True, most_steps=most_steps)


@dataclass(frozen=True)
class _Peaks(Objective[Expansion]):
    """f of every place, each of a `scene` (ascending); cell: unit of the tolerance."""

    surface: Surface
    scene: Tensor
    cell: Tensor

    def take(self, keep: Tensor) -> "_Peaks":
        return replace(self, scene=self.scene[keep])

    def expand(self, place: Float[Tensor, "p 3"]) -> Expansion:
        pairs = zip(place.split(_AT_ONCE), self.scene.split(_AT_ONCE), strict=True)
        parts = zip(*(self.surface.expand(some, scene) for some, scene in pairs), strict=True)
        value, score, curvature = (torch.cat(part) for part in parts)
        return Expansion(objective=value, score=score, information=curvature)

    def reached(self, expansion: Expansion, slope: Slope) -> Bool[Tensor, " p"]:
        newton = slope.newton * slope.scale
        # A step of zero where the score is not: the curvature is not that of a peak.
        sound = (newton != 0).any(-1) | slope.flat
        return sound & (newton.abs() < TOLERANCE * self.cell).all(-1)


@dataclass(frozen=True)
class Tops:
    """Tops (B, K, 3) as (azimuth, elevation, 1/distance), f there (B, K); held (B, K, 3),
    converged (B, K)."""

    parameters: Tensor
    value: Tensor
    held: Tensor
    converged: Tensor


def refine_peaks(
    surface: Surface,
    start: Float[Tensor, "b k 3"],
    domain: Domain,
    resolution_cell: Float[Tensor, "3"],
    wanted: Bool[Tensor, "b k"],
    most_steps: int = MAX_STEPS,
) -> Tops:
    """The minimum of f next to each start, inside `domain`.

    Args:
        start: (azimuth rad, elevation rad, 1/distance 1/m), float64.
        resolution_cell: extent in (u, v, 1/r), the unit of the tolerance.
        wanted: False where a slot holds no peak: it stays where it is, its f infinite.
    """
    fixed = ~free_coordinates(domain, surface.wavefront)
    scene = torch.nonzero(wanted)[:, 0]
    peaks = _Peaks(surface, scene, resolution_cell)
    found = minimise(peaks, start[wanted], domain, fixed, _rules(most_steps))
    tops = Tops(
        torch.clamp(start, domain.lower, domain.upper),
        torch.full_like(start[..., 0], torch.inf),
        torch.zeros_like(start, dtype=torch.bool),
        torch.zeros_like(wanted),
    )
    tops.parameters[wanted], tops.value[wanted] = found.place, found.expansion.objective
    tops.held[wanted], tops.converged[wanted] = found.held, found.reached
    return tops


def in_one_cell(
    first: Float[Tensor, "*#batch 3"],
    second: Float[Tensor, "*#batch 3"],
    extent: Float[Tensor, " d"],
) -> Bool[Tensor, "*#batch"]:
    """Whether two places have directions closer than `extent`, in u and in v.

    Args:
        extent: in u, in v, and whatever follows.
    """
    one, other = (direction_cosines(x[..., 0], x[..., 1])[..., :2] for x in (first, second))
    return ((one - other).abs() < extent[:2]).all(-1)
