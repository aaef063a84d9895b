"""How good the estimates are, and how good they could be.

detected     = matched within 2 degrees of great-circle distance, by angle; among sources of one
               direction by u, v and 1/r in parts of a resolution cell
ratio        = RMSE / sqrt(mean CRB)              over detected sources, per coordinate
normalized   = sqrt(mean(error^2 / CRB))          the same, every source weighing alike

A ratio of 1 is an efficient estimator. Detected sources are a selection and the domain cuts errors
off, so at low SNR a ratio below 1 is the selection's doing and not the estimator's.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_shape
from ris_pipeline.localization.bounds.deterministic import cramer_rao_bound
from ris_pipeline.localization.coordinates import resolution_cell
from ris_pipeline.localization.estimates import Estimates
from ris_pipeline.localization.scoring.matching import (
    exchange_neighbours,
    great_circle,
    match_sources,
)
from ris_pipeline.scene import SceneBatch, direction_cosines

DETECTION_ANGLE = math.radians(2.0)
"""Largest angle (rad) between a source and its estimate for the source to count as detected."""


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors per true source slot, float64; NaN where the slot is empty or has no estimate.

    angle (B, K) rad, great circle; error (B, K, 3): estimate less truth in azimuth (rad), elevation
    (rad), distance (m); detected and active (B, K) bool; correct_number (B,) bool; match (B, K)
    int64, the index of the estimate or -1.
    """

    angle: Tensor
    error: Tensor
    detected: Tensor
    active: Tensor
    correct_number: Tensor
    match: Tensor


@dataclass(frozen=True, kw_only=True)
class SnrResult:
    """One row of a table. Tuples are (azimuth deg, elevation deg, distance m); NaN without a
    source."""

    snr_db: float
    scenes: int
    sources: int
    detected: float
    """Part of the sources detected."""
    correct_number: float
    """Part of the scenes with the right number of sources."""
    rmse: tuple[float, float, float]
    bound: tuple[float, float, float]
    """`sqrt(mean CRB)` of the detected sources."""
    ratio: tuple[float, float, float]
    normalized: tuple[float, float, float]

    @property
    def normalised(self) -> tuple[float, float, float]:
        """`normalized`, as it was spelt."""
        return self.normalized


def estimation_errors(
    estimates: Estimates, scenes: SceneBatch, angle: float = DETECTION_ANGLE
) -> Errors:
    """Match estimates to the truth and take the differences.

    Args:
        angle: largest angle (rad) at which a source counts as detected.

    Raises:
        InputError: estimates of another number of scenes, or a NaN among their angles.
    """
    truth = scenes.sources
    check_shape("estimates.count", estimates.count, (scenes.size,))
    match = match_sources(
        estimates.azimuth,
        estimates.elevation,
        estimates.active,
        truth.azimuth,
        truth.elevation,
        truth.active,
    )
    match = _by_place(estimates, scenes, match, angle)
    found = match >= 0
    pairs = (
        (estimates.azimuth, truth.azimuth),
        (estimates.elevation, truth.elevation),
        (estimates.distance, truth.distance),
    )
    taken = [
        torch.where(found, e.double().gather(1, match.clamp_min(0)), torch.nan) for e, _ in pairs
    ]
    error = torch.stack([e - t.double() for e, (_, t) in zip(taken, pairs, strict=True)], dim=-1)
    distance = great_circle(taken[0], taken[1], truth.azimuth.double(), truth.elevation.double())
    detected = found & (distance < angle)
    correct = estimates.count == truth.count
    return Errors(
        angle=distance,
        error=error,
        detected=detected,
        active=truth.active,
        correct_number=correct,
        match=match,
    )


def _by_place(estimates: Estimates, scenes: SceneBatch, match: Tensor, angle: float) -> Tensor:
    """`match` with the estimates of detected sources exchanged where that brings them nearer.

    Places are compared by squared differences in (u, v, 1/r), each in beamwidths or depths of
    focus: what the aperture tells apart alike, and so what errors scatter alike in.
    """
    truth, scenario = scenes.sources, scenes.scenario
    there = [x.double()[:, None] for x in (estimates.azimuth, estimates.elevation)]
    true = [x.double()[:, :, None] for x in (truth.azimuth, truth.elevation)]
    both = estimates.active[:, None] & truth.active[:, :, None]
    allowed = both & (great_circle(*there, *true) < angle)
    cosines = direction_cosines(*there) - direction_cosines(*true)
    depth = 1 / estimates.distance.double()[:, None] - 1 / truth.distance.double()[:, :, None]
    apart = torch.stack((cosines[..., 0], cosines[..., 1], depth), dim=-1)
    # A plane-wave estimator gives no distance.
    mismatch = (apart / resolution_cell(scenario, apart.device)).nan_to_num(0.0).square().sum(-1)
    return exchange_neighbours(match, allowed, mismatch)


def summarise(
    estimates: Estimates,
    scenes: SceneBatch,
    snr_db: float,
    bound: Float[Tensor, "b k 3"] | None = None,
) -> SnrResult:
    """Detection rate, RMSE and its ratio to the Cramer-Rao bound over a batch of scenes.

    Args:
        snr_db: the label of the row.
        bound: `cramer_rao_bound(scenes)`, where it is known already.

    Raises:
        InputError: an empty batch, or estimates of another number of scenes.
    """
    if scenes.size == 0:
        raise InputError("scenes holds 0 scenes: allowed is 1 or more")
    errors = estimation_errors(estimates, scenes)
    variance = (cramer_rao_bound(scenes) if bound is None else bound)[errors.detected]
    square = errors.error[errors.detected].square()
    degrees = variance.new_tensor([180 / math.pi, 180 / math.pi, 1.0])
    rmse, limit = (x.mean(0).sqrt() for x in (square, variance))
    return SnrResult(
        snr_db=snr_db,
        scenes=scenes.size,
        sources=int(errors.active.sum()),
        detected=float(errors.detected.sum() / errors.active.sum()),
        correct_number=float(errors.correct_number.double().mean()),
        rmse=_triple(rmse * degrees),
        bound=_triple(limit * degrees),
        ratio=_triple(rmse / limit),
        normalized=_triple((square / variance).mean(0).sqrt()),
    )


def _triple(values: Tensor) -> tuple[float, float, float]:
    azimuth, elevation, distance = values.tolist()
    return azimuth, elevation, distance
