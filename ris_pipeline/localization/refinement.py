"""Joint refinement of all sources: variable projection with Levenberg-Marquardt steps.

    (Re J^H J + mu diag(Re J^H J)) step = -Re J^H r

Batched over scenes with a damping each. The parameters stay in the scenario's domain: a component
at its border whose step points outward is held there (an active set), and the status says so.

Source: D. W. Marquardt, J. SIAM 11(2), 1963.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.projection import (
    Measurement,
    Projection,
    linearise,
    residual_energy,
)


class Status(IntEnum):
    """What became of a source."""

    CONVERGED = 0
    EDGE = 1
    """A parameter rests at the border of the scenario's domain."""
    UNRESOLVED = 2
    """The iterations ran out, or the sources cannot be told apart."""
    ABSENT = 3
    """An empty slot."""


@dataclass(frozen=True)
class Fit:
    """A joint fit of K sources.

    parameters (B, K, 3): azimuth, elevation (rad), inverse distance (1/m); energy (B,): residual;
    converged (B,) bool; at_edge (B, K) bool; projection: the linearisation at the end.
    """

    parameters: Tensor
    energy: Tensor
    converged: Tensor
    at_edge: Tensor
    projection: Projection


FIRST_DAMPING = 1e-2
STEP_TOLERANCE = 1e-5
"""A step below this part of a standard deviation (2.25 times its square in the predicted fall of
chi^2) changes nothing that noise leaves visible."""


def refine(
    data: Measurement,
    parameters: Float[Tensor, "b k 3"],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    iterations: int = 40,
) -> Fit:
    """Minimise the residual energy from a start inside the domain `low..high`."""
    parameters = parameters.clamp(low, high)
    state = linearise(data, parameters)
    damping = torch.full_like(state.energy, FIRST_DAMPING)
    converged = torch.zeros_like(state.energy, dtype=torch.bool)
    for _ in range(iterations):
        rows = (~converged).nonzero()[:, 0]
        if not len(rows):
            break
        part = data.select(rows)
        moved, small = _step(part, _take(state, rows), parameters[rows], damping[rows], low, high)
        energy = residual_energy(part, moved)
        better = energy <= state.energy[rows]
        parameters[rows[better]] = moved[better]
        damping[rows] = torch.where(better, damping[rows] / 10, damping[rows] * 10)
        # A rejected step at full damping has nowhere to go: rounding decides, not the data.
        converged[rows] = small | (damping[rows] > _LARGEST_DAMPING)
        if better.any():
            _update(state, rows[better], linearise(part.select(better), moved[better]))
    free_of_edge = (parameters > low) & (parameters < high)
    return Fit(parameters, state.energy, converged, ~free_of_edge.all(-1), state)


_LARGEST_DAMPING = 1e8


def _take(state: Projection, rows: Tensor) -> Projection:
    fields = (state.residual, state.amplitudes, state.jacobian, state.basis, state.energy)
    return Projection(*(value[rows] for value in fields))


def _update(state: Projection, rows: Tensor, new: Projection) -> None:
    for name in ("residual", "amplitudes", "jacobian", "basis", "energy"):
        getattr(state, name)[rows] = getattr(new, name)


def _step(
    data: Measurement,
    state: Projection,
    parameters: Tensor,
    damping: Tensor,
    low: Tensor,
    high: Tensor,
) -> tuple[Tensor, Tensor]:
    """The damped step, clipped to the domain, and whether the undamped one is negligible."""
    normal = (state.jacobian.mH @ state.jacobian).real.sum(1)
    gradient = (state.jacobian.mH @ state.residual[..., None]).real.sum(1)[..., 0]
    flat = parameters.flatten(1)
    count = parameters.shape[1]
    floor, ceiling = low.repeat(count), high.repeat(count)
    held = ((flat <= floor) & (gradient > 0)) | ((flat >= ceiling) & (gradient < 0))
    gradient = torch.where(held, 0.0, gradient)
    normal = torch.where(held[:, :, None] | held[:, None, :], 0.0, normal)
    scale = normal.diagonal(dim1=1, dim2=2)
    # A held or blind parameter has an empty row; a unit pivot keeps its step at zero.
    pivot = torch.where(scale > 0, damping[:, None] * scale, 1.0)
    step = torch.linalg.solve(normal + torch.diag_embed(pivot), -gradient[..., None])[..., 0]
    variance = state.energy / data.samples
    expected = -(gradient * step).sum(-1)
    moved = (flat + step).clamp(floor, ceiling).reshape(parameters.shape)
    return moved, expected <= (STEP_TOLERANCE**2) * variance
