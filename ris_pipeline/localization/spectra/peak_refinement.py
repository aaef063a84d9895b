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

from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.localization.coordinates import Domain, distance_by_inverse, free_coordinates
from ris_pipeline.localization.levenberg_marquardt import (
    Expansion,
    Objective,
    Rules,
    Slope,
    minimise,
)
from ris_pipeline.scene import Panel, direction_cosines, steering_derivatives

MAX_STEPS = 60
"""Steps before a peak is given up."""

TOLERANCE = 1e-5
"""Converged when the full Newton step is this part of a resolution cell. It is taken as well, and
at a hundredth of a beamwidth's resolution an estimate's noise is a thousand times larger."""

_LEAST_DAMPING = 1e-9


@dataclass(frozen=True)
class Form:
    """`Q = shift I + V diag(weights) V^H`; basis V (B, N, q), weights (B, q), shift (B,) or None.

    None: the shift is minus `a^H V diag(weights) V^H a` at each point, so that f vanishes there and
    only its derivatives count; f is then the form without the shift.
    """

    basis: Tensor
    weights: Tensor
    shift: Tensor | None

    def __getitem__(self, index: Tensor | slice) -> "Form":
        """The scenes `index`."""
        shift = None if self.shift is None else self.shift[index]
        return Form(self.basis[index], self.weights[index], shift)

    def evaluate(
        self, a: Tensor, da: Tensor
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k 3"], Float[Tensor, "b k 3 3"]]:
        """f, -df/2 and d2f/2 for a (B, K, N) and da (B, K, 3, N)."""
        conjugate = self.basis.conj()
        inside = a @ conjugate
        weights = self.weights[:, None]
        form = (weights * inside.abs().square()).sum(-1)
        shift = -form if self.shift is None else self.shift[:, None].expand_as(form)
        image = shift[..., None] * a + (weights * inside) @ self.basis.mT
        score = -(da.conj() @ image[..., None])[..., 0].real
        slopes = (da.flatten(1, 2) @ conjugate).unflatten(1, da.shape[1:3])
        curvature = shift[..., None, None] * (da.conj() @ da.mT).real
        curvature = curvature + (slopes.conj() @ (weights[..., None, :] * slopes).mT).real
        value = form if self.shift is None else (a.conj() * image).real.sum(-1)
        return value, score, curvature


def _by_tens(damping: Tensor, ratio: Tensor) -> Tensor:
    return (damping / 10).clamp_min(_LEAST_DAMPING)


def _rules(most_steps: int) -> Rules:
    return Rules(lighter=_by_tens, heavier=(4.0, 1.0), finish=True, most_steps=most_steps)


@dataclass(frozen=True)
class _Peaks(Objective[Expansion]):
    """f of every place; cell: unit of the tolerance."""

    form: Form
    panel: Panel
    wavefront: Wavefront
    cell: Tensor

    def take(self, keep: Tensor) -> "_Peaks":
        return replace(self, form=self.form[keep])

    def expand(self, place: Float[Tensor, "b k 3"]) -> Expansion:
        azimuth, elevation, inverse = place.unbind(-1)
        a, da = steering_derivatives(self.panel, azimuth, elevation, 1 / inverse, self.wavefront)
        da = da * distance_by_inverse(place)[..., None]
        value, score, curvature = self.form.evaluate(a, da)
        return Expansion(objective=value, score=score, information=curvature)

    def reached(self, expansion: Expansion, slope: Slope) -> Bool[Tensor, "b k"]:
        newton = slope.newton() * slope.scale
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
    form: Form,
    panel: Panel,
    wavefront: Wavefront,
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
        wanted: False where a slot holds no peak and is not to be waited for.
    """
    fixed = ~free_coordinates(domain, wavefront)
    peaks = _Peaks(form, panel, wavefront, resolution_cell)
    found = minimise(peaks, start, domain, fixed, _rules(most_steps), wanted)
    return Tops(found.place, found.expansion.objective, found.held, found.reached)


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
