"""From snapshots to sources: grid search, joint refinement, number of sources.

Uses what a receiver has (snapshots, channel, codes, the ideal panel and the scenario) and never
the truth that a simulated batch carries.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline._validation import InputError, check_range
from ris_pipeline.config import K_MAX
from ris_pipeline.localization.backprojection import check_snapshots
from ris_pipeline.localization.detection import first_scores, grid_energy, next_scores
from ris_pipeline.localization.grid import SteeringGrid, domain, steering_grid
from ris_pipeline.localization.projection import (
    Measurement,
    Projection,
    fisher_matrix,
    measurement,
)
from ris_pipeline.localization.refinement import Fit, Status, refine
from ris_pipeline.localization.source_number import estimate_number
from ris_pipeline.scene import SceneBatch

_GREEDY_ITERATIONS = 12


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
    data = measurement(scenes)
    wanted = None if number is None else torch.as_tensor(number).expand(scenes.size)
    top = largest if wanted is None else int(wanted.max())
    fits = _nested_fits(scenes, data, grid, top, wanted)
    if wanted is None:
        energy = torch.stack([fit.energy for fit in fits])
        wanted = estimate_number(energy, data.samples, data.snapshots.shape[1])
    return _collect(data, fits, wanted)


def _nested_fits(
    scenes: SceneBatch,
    data: Measurement,
    grid: SteeringGrid,
    top: int,
    wanted: Tensor | None,
) -> list[Fit]:
    """Joint fits with 1..top sources, each started from the one before and the next peak."""
    low, high = domain(scenes.scenario, data.panel.positions)
    energy = grid_energy(scenes, grid)
    peaks = first_scores(scenes, grid, energy).argmax(-1)
    parameters = grid.parameters.double()[peaks][:, None]
    fits: list[Fit] = []
    for count in range(1, top + 1):
        # With the number known, a fit short of it only has to guide the next peak.
        last = wanted is None or bool((wanted == count).any())
        fit = refine(data, parameters, low, high, 40 if last else _GREEDY_ITERATIONS)
        fits.append(fit)
        if count < top:
            peaks = next_scores(data, fit.projection, grid, energy).argmax(-1)
            added = grid.parameters.double()[peaks][:, None]
            parameters = torch.cat((fit.parameters, added), dim=1)
    return fits


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


def _collect(data: Measurement, fits: list[Fit], wanted: Tensor) -> Estimates:
    """For each scene, the fit with the wanted number of sources."""
    size, slots = len(wanted), len(fits)
    values = torch.full((size, slots, 7), torch.nan, dtype=torch.float64)
    status = torch.full((size, slots), int(Status.ABSENT), dtype=torch.int64)
    for count, fit in enumerate(fits, start=1):
        rows = (wanted == count).nonzero()[:, 0]
        std = _deviations(data, fit.projection, fit.parameters)
        power = fit.projection.amplitudes.abs().square().mean(1)
        page = torch.cat((fit.parameters, power[..., None], std), dim=-1)
        values[rows, :count] = page[rows]
        lost = ~fit.converged[:, None] | ~std.isfinite().all(-1)
        verdict = torch.where(fit.at_edge, int(Status.EDGE), int(Status.CONVERGED))
        status[rows, :count] = torch.where(lost, int(Status.UNRESOLVED), verdict)[rows]
    azimuth, elevation, inverse, power = values[..., :4].unbind(-1)
    return Estimates(azimuth, elevation, 1 / inverse, power, values[..., 4:], status, wanted)
