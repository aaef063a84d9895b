"""From a grid point to the top of its peak: every spectrum here is a quadratic form of one matrix.

    Bartlett   Q = mu I - R,   mu = a^H R a at the point     MUSIC       h(l) = 0 for k, else 1
    others     Q = h(R)                                       MVDR        h(l) = 1 / l
                                                              soft MUSIC  (s / max(l, s))^m

    f(theta) = a^H Q a,   df/2 = Re(da^H Q a),   d2f/2 ~ Re(da^H Q da)

A peak is a minimum of f, found by Levenberg-Marquardt steps in a box. The second derivative leaves
out `Re(d2a^H Q a)`, which vanishes with Q a: at a noiseless source, and for Bartlett at a single
one, owing to the shift. No polynomial is rooted, and every source is climbed by itself.

Source: P. Stoica and A. Nehorai, "MUSIC, maximum likelihood, and Cramer-Rao bound", IEEE Trans.
ASSP 37(5), 1989, eq. (3.6) for the derivatives of MUSIC's null spectrum.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.localization.coordinates import Domain, free_coordinates
from ris_pipeline.localization.levenberg_marquardt import solve_damped
from ris_pipeline.scene import Panel, direction_cosines, steering_derivatives

MAX_STEPS = 60
"""Steps before a peak is given up."""

TOLERANCE = 1e-5
"""Converged when the full Newton step is this part of a lobe. It is taken as well, and at a
hundredth of a beamwidth's resolution an estimate's noise is a thousand times larger."""

_FIRST_DAMPING = 1e-2
_LEAST_DAMPING = 1e-9
_DAMPING_LIMIT = 1e12


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


@dataclass(frozen=True)
class Climbed:
    """Tops (B, K, 3) as (azimuth, elevation, 1/distance), f there (B, K); held (B, K, 3),
    converged (B, K)."""

    parameters: Tensor
    value: Tensor
    held: Tensor
    converged: Tensor


def _evaluate(form: Form, panel: Panel, wavefront: Wavefront, parameters: Tensor) -> list[Tensor]:
    azimuth, elevation, inverse = parameters.unbind(-1)
    a, da = steering_derivatives(panel, azimuth, elevation, 1 / inverse, wavefront)
    # d/d(1/r) = -r^2 d/dr
    scale = torch.ones_like(parameters)
    scale[..., 2] = -inverse.square().reciprocal()
    return list(form.evaluate(a, da * scale[..., None]))


def _outward(parameters: Tensor, score: Tensor, domain: Domain, fixed: Tensor) -> Tensor:
    held = (parameters <= domain.lower) & (score < 0)
    return held | ((parameters >= domain.upper) & (score > 0)) | fixed


def _step(score: Tensor, curvature: Tensor, held: Tensor, damping: Tensor) -> Tensor:
    """The damped step of every point, zero in held coordinates."""
    diagonal = curvature.diagonal(dim1=-2, dim2=-1)
    free = ~held & (diagonal > 0)
    scale = torch.where(free, diagonal, 1.0).rsqrt() * free
    unit = curvature * scale[..., :, None] * scale[..., None, :]
    unit = unit + torch.diag_embed((~free).to(unit.dtype))
    flat = unit.flatten(0, 1), (score * scale).flatten(0, 1), damping.flatten()
    return solve_damped(*flat).reshape_as(score) * scale


@dataclass
class _State:
    """Scenes still climbing: form, place, f and its derivatives, damping and which are done."""

    form: Form
    here: Tensor
    value: Tensor
    score: Tensor
    curvature: Tensor
    damping: Tensor
    done: Tensor

    def take(self, keep: Tensor | slice) -> "_State":
        return _State(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})


def climb(
    form: Form,
    panel: Panel,
    wavefront: Wavefront,
    start: Float[Tensor, "b k 3"],
    domain: Domain,
    lobe: Float[Tensor, "3"],
    wanted: Bool[Tensor, "b k"],
    max_steps: int = MAX_STEPS,
) -> Climbed:
    """The minimum of f next to each start, inside `domain`.

    Args:
        start: (azimuth rad, elevation rad, 1/distance 1/m), float64.
        lobe: extent of a lobe in (u, v, 1/r): the unit of the tolerance.
        wanted: False where a slot holds no peak and is not to be waited for.
    """
    fixed = ~free_coordinates(domain, wavefront)
    here = torch.clamp(start, domain.lower, domain.upper)
    first = _evaluate(form, panel, wavefront, here)
    damping = torch.full_like(first[0], _FIRST_DAMPING)
    state = _State(form, here, first[0], first[1], first[2], damping, ~wanted)
    final, alive = state.take(slice(None)), torch.arange(here.shape[0], device=here.device)
    for _ in range(max_steps):
        if alive.numel() == 0:
            break
        _advance(state, panel, wavefront, domain, fixed, lobe)
        moving = ~(state.done | (state.damping > _DAMPING_LIMIT)).all(-1)
        if 2 * int(moving.sum()) <= alive.numel():
            _store(final, alive, state)
            alive, state = alive[moving], state.take(moving)
    _store(final, alive, state)
    held = _outward(final.here, final.score, domain, fixed)
    return Climbed(final.here, final.value, held, final.done & wanted)


def _store(final: _State, alive: Tensor, state: _State) -> None:
    for name in ("here", "value", "score", "done"):
        target = getattr(final, name).clone()
        target[alive] = getattr(state, name)
        setattr(final, name, target)


def _advance(
    state: _State,
    panel: Panel,
    wavefront: Wavefront,
    domain: Domain,
    fixed: Tensor,
    lobe: Tensor,
) -> None:
    """One step of every point, in place."""
    held = _outward(state.here, state.score, domain, fixed)
    rounding = torch.full_like(state.damping, 3 * torch.finfo(state.damping.dtype).eps)
    newton = _step(state.score, state.curvature, held, rounding)
    # A step of zero where the score is not: the curvature is not that of a peak.
    flat = (torch.where(held, 0.0, state.score) == 0).all(-1)
    sound = (newton != 0).any(-1) | flat
    small = sound & (newton.abs() < TOLERANCE * lobe).all(-1)
    damped = _step(state.score, state.curvature, held, state.damping)
    step = torch.where(small[..., None], newton, damped)
    trial = torch.clamp(state.here + step, domain.lower, domain.upper)
    value, score, curvature = _evaluate(state.form, panel, wavefront, trial)
    better = ~state.done & ((value < state.value) | small)
    lighter = (state.damping / 10).clamp_min(_LEAST_DAMPING)
    state.damping = torch.where(better, lighter, state.damping * 4)
    state.here = torch.where(better[..., None], trial, state.here)
    state.value = torch.where(better, value, state.value)
    state.score = torch.where(better[..., None], score, state.score)
    state.curvature = torch.where(better[..., None, None], curvature, state.curvature)
    state.done = state.done | small


def in_one_lobe(
    first: Float[Tensor, "*#batch 3"], second: Float[Tensor, "*#batch 3"], lobe: Float[Tensor, " d"]
) -> Bool[Tensor, "*#batch"]:
    """Whether two places have directions less than a lobe apart, in u and in v.

    Args:
        lobe: its extent in u, in v, and whatever follows.
    """
    one, other = (direction_cosines(x[..., 0], x[..., 1])[..., :2] for x in (first, second))
    return ((one - other).abs() < lobe[:2]).all(-1)
