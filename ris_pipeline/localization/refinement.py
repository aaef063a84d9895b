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

    def select(self, rows: Tensor) -> "Fit":
        """The scenes `rows` of the batch."""
        return Fit(
            self.parameters[rows],
            self.energy[rows],
            self.converged[rows],
            self.at_edge[rows],
            self.projection.select(rows),
        )

    def replace(self, rows: Tensor, other: "Fit") -> None:
        """Put the fits of `other` in the place of the scenes `rows`."""
        for name in ("parameters", "energy", "converged", "at_edge"):
            getattr(self, name)[rows] = getattr(other, name)
        self.projection.replace(rows, other.projection)


FIRST_DAMPING = 1e-2
STEP_TOLERANCE = 1e-3
"""Steps end below this part of a standard deviation, that is when the predicted fall of the
residual energy is below its square in units of the noise variance."""


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
        moved, small = _step(part, state.select(rows), parameters[rows], damping[rows], low, high)
        energy = residual_energy(part, moved)
        better = energy <= state.energy[rows]
        parameters[rows[better]] = moved[better]
        damping[rows] = torch.where(better, damping[rows] / 10, damping[rows] * 10)
        # A rejected step at full damping has nowhere to go: rounding decides, not the data.
        converged[rows] = small | (damping[rows] > _LARGEST_DAMPING)
        if better.any():
            state.replace(rows[better], linearise(part.select(better), moved[better]))
    free_of_edge = (parameters > low) & (parameters < high)
    return Fit(parameters, state.energy, converged, ~free_of_edge.all(-1), state)


_LARGEST_DAMPING = 1e8
_NO_DAMPING = 1e-10
"""Far below any damping in use, far above rounding: keeps a singular normal matrix solvable."""


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
    pivots = [torch.where(scale > 0, mu * scale, 1.0) for mu in (damping[:, None], _NO_DAMPING)]
    damped, full = (
        torch.linalg.solve(normal + torch.diag_embed(pivot), -gradient[..., None])[..., 0]
        for pivot in pivots
    )
    variance = state.energy / data.samples
    moved = (flat + damped).clamp(floor, ceiling).reshape(parameters.shape)
    return moved, -(gradient * full).sum(-1) <= STEP_TOLERANCE**2 * variance
