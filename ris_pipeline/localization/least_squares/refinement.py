"""Joint refinement of all sources: variable projection with Levenberg-Marquardt steps in a box.

(F + mu diag F) step = s,     s, F: score and information of `linearisation`

Coordinates at the border of the domain whose score points outwards are held there; a step that
crosses the border stops at it. All scenes of a batch step together, each with its own damping.

Source: G. H. Golub and V. Pereyra, "Separable nonlinear least squares: the variable projection
method and its applications", Inverse Problems 19, 2003; K. Madsen, H. B. Nielsen, O. Tingleff,
"Methods for Non-Linear Least Squares Problems", 2004, section 3.2 (the damping).
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.localization.cholesky import invert_information
from ris_pipeline.localization.coordinates import Domain, free_coordinates
from ris_pipeline.localization.least_squares.linearisation import Fit, linearise
from ris_pipeline.localization.levenberg_marquardt import solve_damped
from ris_pipeline.localization.measurement.noise import noise_estimate
from ris_pipeline.localization.measurement.statistics import Measurement

MAX_STEPS = 60
"""Steps before a scene is given up. Well separated sources take 5 to 10; a pair inside a beamwidth
at low SNR crawls along a valley and takes tens."""

FINAL_TOLERANCE = 1e-3
"""Converged when the full Gauss-Newton step is this part of a standard deviation: it adds 1e-6 to
the variance."""

STAGE_TOLERANCE = 0.1
"""The same between greedy stages, where the fit only has to clear the view for the next source."""

_FIRST_DAMPING = 1e-2
_DAMPING_LIMIT = 1e12


@dataclass(frozen=True)
class Refined:
    """Where the steps ended: parameters (B, K, 3), fit, held (B, K, 3) and converged (B,) masks."""

    parameters: Tensor
    fit: Fit
    held: Tensor
    converged: Tensor


def _held(parameters: Tensor, score: Tensor, domain: Domain, fixed: Tensor) -> Tensor:
    slope = score.reshape_as(parameters)
    outward = (parameters <= domain.lower) & (slope < 0)
    outward |= (parameters >= domain.upper) & (slope > 0)
    return outward | fixed


@dataclass(frozen=True)
class _Slope:
    """Score (B, D), information `unit` (B, D, D) and scale (B, D) on the coordinates that may move,
    scaled to a unit diagonal."""

    score: Tensor
    unit: Tensor
    scale: Tensor

    def take(self, keep: Tensor) -> "_Slope":
        return _Slope(self.score[keep], self.unit[keep], self.scale[keep])


def _restricted(fit: Fit, held: Tensor) -> _Slope:
    free = ~held.flatten(1)
    score = fit.score * free
    diagonal = fit.information.diagonal(dim1=1, dim2=2)
    free = free & (diagonal > 0)
    scale = torch.where(free, diagonal, torch.ones_like(diagonal)).rsqrt() * free
    unit = fit.information * scale[:, :, None] * scale[:, None, :]
    return _Slope(score * scale, unit + torch.diag_embed((~free).to(unit.dtype)), scale)


def _merge(accepted: Tensor, new: Fit, old: Fit) -> Fit:
    chosen = {}
    for field in fields(Fit):
        a, b = getattr(new, field.name), getattr(old, field.name)
        chosen[field.name] = torch.where(accepted.reshape(-1, *[1] * (a.ndim - 1)), a, b)
    return Fit(**chosen)


@dataclass
class _State:
    """The scenes still moving: their data, position, fit, damping, and its growth on rejection."""

    measurement: Measurement
    parameters: Tensor
    active: Tensor
    fit: Fit
    damping: Tensor
    growth: Tensor

    def take(self, keep: Tensor) -> "_State":
        fit = Fit(*(getattr(self.fit, field.name)[keep] for field in fields(Fit)))
        return _State(
            self.measurement.take(keep),
            self.parameters[keep],
            self.active[keep],
            fit,
            self.damping[keep],
            self.growth[keep],
        )


def _start(measurement: Measurement, parameters: Tensor, active: Tensor) -> _State:
    damping = torch.full_like(measurement.energy, _FIRST_DAMPING)
    fit = linearise(measurement, parameters, active)
    return _State(measurement, parameters, active, fit, damping, torch.full_like(damping, 2.0))


def _advance(state: _State, slope: _Slope, domain: Domain, waiting: Tensor) -> None:
    """One Levenberg-Marquardt step of the scenes that are not `waiting`, in place."""
    step = solve_damped(slope.unit, slope.score, state.damping) * slope.scale
    trial = state.parameters + step.reshape_as(state.parameters)
    trial = torch.clamp(trial, domain.lower, domain.upper)
    moved = (trial - state.parameters).flatten(1)
    raw = state.fit.information @ moved[..., None]
    predicted = (2 * state.fit.score * moved).sum(1) - (moved * raw[..., 0]).sum(1)
    new = linearise(state.measurement, trial, state.active)
    decrease = state.fit.objective - new.objective
    accepted = (decrease > 0) & ~waiting
    # A step cut at the border may predict no decrease; the ratio then says nothing: damp as at 0.
    ratio = torch.where(predicted > 0, decrease / predicted, torch.zeros_like(predicted))
    shrink = (1 - (2 * ratio.clamp(0, 1) - 1) ** 3).clamp_min(0.1)
    state.damping *= torch.where(accepted, shrink, state.growth)
    state.growth = torch.where(accepted, 2.0, 2 * state.growth)
    state.parameters = torch.where(accepted[:, None, None], trial, state.parameters)
    state.fit = _merge(accepted, new, state.fit)


def _small_newton_step(
    state: _State, slope: _Slope, coordinates: int, tolerance: float
) -> Bool[Tensor, " b"]:
    """`step^T (2 F / sigma^2) step < tolerance^2` for the undamped step: a length in deviations."""
    score, unit = slope.score, slope.unit
    rounding = torch.full_like(state.damping, unit.shape[-1] * torch.finfo(unit.dtype).eps)
    newton = solve_damped(unit, score, rounding)
    solved = newton.abs().sum(1) + (score == 0).all(1) > 0
    noise = noise_estimate(state.measurement, state.fit.rss, state.active.sum(1), coordinates)
    return solved & (2 * (score * newton).sum(1) < tolerance**2 * noise)


def refine(
    measurement: Measurement,
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    domain: Domain,
    tolerance: float = FINAL_TOLERANCE,
    max_steps: int = MAX_STEPS,
) -> Refined:
    """Least squares over all active sources at once, from `parameters`, inside `domain`.

    Args:
        parameters: azimuth (rad), elevation (rad), inverse distance (1/m); float64.
        tolerance: length of the remaining Gauss-Newton step in standard deviations.
    """
    start = torch.clamp(parameters, domain.lower, domain.upper)
    state = _start(measurement, start, active)
    fixed = ~free_coordinates(domain, measurement.wavefront)
    final, fit = state.parameters.clone(), _copy(state.fit)
    converged = torch.zeros_like(active[:, 0])
    alive = torch.arange(final.shape[0], device=final.device)
    for _ in range(max_steps):
        slope = _restricted(state.fit, _held(state.parameters, state.fit.score, domain, fixed))
        done = _small_newton_step(state, slope, int((~fixed).sum()), tolerance)
        converged[alive[done]] = True
        moving = ~done & (state.damping < _DAMPING_LIMIT)
        # Copying the data costs as much as a step: finished scenes go when they are a third.
        if 3 * int(moving.sum()) <= 2 * alive.numel():
            _store(final, fit, alive, state)
            alive, done = alive[moving], done[moving]
            state, slope = state.take(moving), slope.take(moving)
        if alive.numel() == 0:
            break
        _advance(state, slope, domain, done)
    _store(final, fit, alive, state)
    return Refined(final, fit, _held(final, fit.score, domain, fixed), converged)


def _copy(fit: Fit) -> Fit:
    return Fit(*(getattr(fit, field.name).clone() for field in fields(Fit)))


def _store(final: Tensor, fit: Fit, alive: Tensor, state: _State) -> None:
    final[alive] = state.parameters
    for field in fields(Fit):
        getattr(fit, field.name)[alive] = getattr(state.fit, field.name)


def standard_deviations(refined: Refined, noise: Float[Tensor, " b"]) -> Float[Tensor, "b k 3"]:
    """Square roots of the diagonal of `(sigma^2 / 2) F^-1`, for (azimuth, elevation, 1/distance).

    A held coordinate has no deviation of its own (0: the border is where it is); an unidentifiable
    one has an infinite one.
    """
    slope = _restricted(refined.fit, refined.held)
    return invert_information(slope.unit, slope.scale, noise).reshape_as(refined.parameters)
