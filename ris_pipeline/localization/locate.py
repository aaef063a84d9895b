"""From snapshots to sources: grid search, joint refinement, number of sources.

Uses what a receiver has (snapshots, channel, codes, the ideal panel and the scenario) and never
the truth that a simulated batch carries.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range
from ris_pipeline.config import K_MAX
from ris_pipeline.localization.backprojection import check_snapshots
from ris_pipeline.localization.detection import first_scores, grid_energy, next_scores
from ris_pipeline.localization.grid import SteeringGrid, domain, main_lobe, steering_grid
from ris_pipeline.localization.projection import (
    Measurement,
    Projection,
    fisher_matrix,
    linearise,
    measurement,
)
from ris_pipeline.localization.refinement import Fit, Status, refine
from ris_pipeline.localization.source_number import bayesian_information, estimate_number
from ris_pipeline.scene import SceneBatch


@dataclass(frozen=True)
class Estimates:
    """Located sources, in slots; empty slots hold NaN and the status ABSENT.

    azimuth, elevation (B, K) rad; distance (B, K) m; power (B, K): |g s|^2 averaged over blocks;
    std (B, K, 3): standard deviations of azimuth, elevation (rad) and distance (m), from the
    Jacobian and the residual; infinite where the sources cannot be told apart; status (B, K);
    count (B,).
    """

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    power: Tensor
    std: Tensor
    status: Tensor
    count: Tensor


def locate(
    scenes: SceneBatch,
    number: int | Tensor | None = None,
    grid: SteeringGrid | None = None,
    largest: int = K_MAX,
) -> Estimates:
    """Locate the sources of every scene of a batch.

    Args:
        scenes: only what the receiver has is read.
        number: sources a scene, one integer or (B,); None lets BIC choose from 1..largest.
        grid: from `steering_grid`, to be made once for many batches.

    Raises:
        InputError: number or largest outside 1..K_MAX; snapshots that are not finite, not complex
            or of another shape.
    """
    check_snapshots(scenes)
    check_range("largest", largest, 1, K_MAX)
    if number is not None:
        check_range("number", number, 1, K_MAX)
    if isinstance(number, Tensor) and number.shape != (scenes.size,):
        raise InputError(
            f"number has shape {tuple(number.shape)}: allowed is one integer or ({scenes.size},)"
        )
    if grid is None:
        grid = steering_grid(scenes.scenario, scenes.snr_db.dtype)
    search = _Search(scenes, measurement(scenes), grid)
    if number is not None:
        wanted = torch.as_tensor(number).expand(scenes.size)
        fits = search.nested_fits(lambda count, energy: wanted > count, int(wanted.max()))
    else:
        fits = search.nested_fits(search.worth_another, largest)
        wanted = estimate_number(search.energies(fits), search.data.samples, search.blocks)
    return _collect(search.data, fits, wanted)


@dataclass(frozen=True)
class _Stage:
    """The fit with one number of sources, for the scenes `rows` of the batch."""

    rows: Tensor
    fit: Fit


class _Search:
    """Joint fits with 1, 2, ... sources, each started from the one before and the next peak."""

    def __init__(self, scenes: SceneBatch, data: Measurement, grid: SteeringGrid) -> None:
        self.scenes, self.data, self.grid = scenes, data, grid
        self.low, self.high = domain(scenes.scenario, data.panel.positions)
        self.energy = grid_energy(scenes, grid)
        self.blocks = data.snapshots.shape[1]
        self.points = grid.parameters.double()
        self.reach = main_lobe(scenes.scenario)

    def nested_fits(
        self, go_on: Callable[[int, Float[Tensor, "k b"]], Tensor], largest: int
    ) -> list[_Stage]:
        """Add sources while `go_on(count, energies so far)` says so, scene by scene."""
        rows = torch.arange(self.scenes.size)
        start = self.points[first_scores(self.scenes, self.grid, self.energy).argmax(-1)][:, None]
        stages: list[_Stage] = []
        for count in range(1, largest + 1):
            fit = self.relaxed(rows, refine(self.data.select(rows), start, self.low, self.high))
            stages.append(_Stage(rows, fit))
            if count == largest:
                break
            kept = go_on(count, self.energies(stages))[rows]
            if not kept.any():
                break
            rows, fit = rows[kept], fit.select(kept)
            peak = self.peaks(rows, fit.projection)[1]
            start = torch.cat((fit.parameters, peak[:, None]), dim=1)
        return stages

    def peaks(self, rows: Tensor, others: Projection) -> tuple[Tensor, Tensor]:
        """The best score beside the sources of `others`, and where it is."""
        data, energy = self.data.select(rows), self.energy[rows]
        score, index = next_scores(data, others, self.grid, energy).max(-1)
        return score, self.points[index]

    def relaxed(self, rows: Tensor, fit: Fit) -> Fit:
        """Look for each source again with the others in place; keep what lowers the residual.

        Only a peak outside the main lobe of the present estimate is tried: inside it the
        refinement has been. Scenes in which a source has moved are looked through again.
        """
        pending = torch.arange(len(rows))
        for _ in range(_RELAXATIONS if fit.parameters.shape[1] > 1 else 0):
            before, part = fit.energy[pending].clone(), fit.select(pending)
            self._relax_once(rows[pending], part)
            fit.replace(pending, part)
            pending = pending[part.energy < before]
            if not len(pending):
                break
        return fit

    def _relax_once(self, rows: Tensor, fit: Fit) -> None:
        for k in range(fit.parameters.shape[1]):
            others = torch.cat((fit.parameters[:, :k], fit.parameters[:, k + 1 :]), dim=1)
            peak = self.peaks(rows, linearise(self.data.select(rows), others))[1]
            far = (peak[:, :2] - fit.parameters[:, k, :2]).abs() > self.reach
            chosen = far.any(-1).nonzero()[:, 0]
            if not len(chosen):
                continue
            start = torch.cat((others, peak[:, None]), dim=1)[chosen]
            again = refine(self.data.select(rows[chosen]), start, self.low, self.high)
            better = again.energy < fit.energy[chosen]
            fit.replace(chosen[better], again.select(better))

    def energies(self, stages: list[_Stage]) -> Float[Tensor, "k b"]:
        """Residual energies, infinite where a fit was not made."""
        energy = torch.full((len(stages), self.scenes.size), torch.inf, dtype=torch.float64)
        for number, stage in enumerate(stages):
            energy[number, stage.rows] = stage.fit.energy
        return energy

    def worth_another(self, count: int, energy: Float[Tensor, "k b"]) -> Tensor:
        """Whether the last two sources added did not both raise the BIC."""
        if count < _BIC_PATIENCE + 1:
            return torch.ones(self.scenes.size, dtype=torch.bool)
        best = bayesian_information(energy, self.data.samples, self.blocks).argmin(0) + 1
        return count - best < _BIC_PATIENCE


_BIC_PATIENCE = 2
_RELAXATIONS = 3


def _deviations(data: Measurement, state: Projection, parameters: Tensor) -> Tensor:
    """(B, K, 3), the last axis azimuth, elevation, distance."""
    size, count = parameters.shape[:2]
    blocks = data.snapshots.shape[1]
    freedom = data.samples - count * blocks - 1.5 * count
    variance = state.energy / max(freedom, 1.0)
    covariance = invert_information(fisher_matrix(state.jacobian, variance))
    std = covariance.diagonal(dim1=1, dim2=2).sqrt().reshape(size, count, 3)
    return std * distance_scale(parameters)


def invert_information(information: Float[Tensor, "b p p"]) -> Float[Tensor, "b p p"]:
    """Inverse of a Fisher matrix; infinite throughout where it is singular.

    Scaled to a unit diagonal first, since angles and inverse distances have unlike units.
    """
    diagonal = information.diagonal(dim1=1, dim2=2)
    root = diagonal.clamp_min(torch.finfo(diagonal.dtype).tiny).rsqrt()
    scaled = information * root[:, :, None] * root[:, None, :]
    cholesky, failed = torch.linalg.cholesky_ex(scaled)
    eye = torch.eye(scaled.shape[-1], dtype=scaled.dtype, device=scaled.device)
    good = (failed == 0)[:, None, None]
    inverse = torch.cholesky_inverse(torch.where(good, cholesky, eye))
    inverse = inverse * root[:, :, None] * root[:, None, :]
    return torch.where(good, inverse, torch.inf)


def distance_scale(parameters: Float[Tensor, "b k 3"]) -> Float[Tensor, "b k 3"]:
    """Turns deviations of (azimuth, elevation, 1/r) into those of (azimuth, elevation, r)."""
    scale = torch.ones_like(parameters)
    scale[..., 2] = parameters[..., 2].square().reciprocal()
    return scale


def _collect(data: Measurement, stages: list[_Stage], wanted: Tensor) -> Estimates:
    """For each scene, the fit with the wanted number of sources."""
    size, slots = len(wanted), len(stages)
    values = torch.full((size, slots, 7), torch.nan, dtype=torch.float64)
    status = torch.full((size, slots), int(Status.ABSENT), dtype=torch.int64)
    for count, stage in enumerate(stages, start=1):
        chosen = wanted[stage.rows] == count
        rows, fit = stage.rows[chosen], stage.fit.select(chosen)
        std = _deviations(data, fit.projection, fit.parameters)
        power = fit.projection.amplitudes.abs().square().mean(1)
        values[rows, :count] = torch.cat((fit.parameters, power[..., None], std), dim=-1)
        lost = ~fit.converged[:, None] | ~std.isfinite().all(-1)
        verdict = torch.where(fit.at_edge, int(Status.EDGE), int(Status.CONVERGED))
        status[rows, :count] = torch.where(lost, int(Status.UNRESOLVED), verdict)
    azimuth, elevation, inverse, power = values[..., :4].unbind(-1)
    return Estimates(azimuth, elevation, 1 / inverse, power, values[..., 4:], status, wanted)
