"""How good a set of estimates is, beside the bound."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ris_pipeline.localization.bound import cramer_rao_bound
from ris_pipeline.localization.locate import Estimates
from ris_pipeline.localization.matching import angular_distance, match_sources
from ris_pipeline.scene import SceneBatch

GATE_DEG = 2.0
"""An estimate within this angle of a true source has detected it."""


@dataclass(frozen=True)
class SourceErrors:
    """One row a true source.

    error (S, 3): azimuth, elevation (rad), distance (m) of the paired estimate, NaN if none;
    angle (S,): great-circle distance, infinite if none; variance (S, 3): the bound; number_right
    (B,) bool; found (B,): estimates a scene.
    """

    error: Tensor
    angle: Tensor
    variance: Tensor
    number_right: Tensor
    found: Tensor


@dataclass(frozen=True)
class Accuracy:
    """Figures over many scenes; triples are azimuth (deg), elevation (deg), distance (m).

    Over resolved sources: detected within `GATE_DEG`, and the bound itself promises the azimuth and
    the elevation within it (a source that no estimator can place is not a measure of this one).
    `ratio` is rmse / bound, `bound` the root of the mean variance.
    """

    scenes: int
    sources: int
    detected: float
    resolved: float
    number_right: float
    false_alarms: float
    rmse: tuple[float, float, float]
    bound: tuple[float, float, float]
    ratio: tuple[float, float, float]


def source_errors(scenes: SceneBatch, estimates: Estimates) -> SourceErrors:
    """Pair the estimates of a batch with its true sources."""
    sources = scenes.sources
    truth = [x.double() for x in (sources.azimuth, sources.elevation, sources.distance)]
    distance = angular_distance(truth[0], truth[1], estimates.azimuth, estimates.elevation)
    pairs = match_sources(distance, sources.count, estimates.count)
    chosen = pairs.clamp_min(0)
    error = torch.stack(
        [
            estimate.gather(1, chosen) - true
            for estimate, true in zip(
                (estimates.azimuth, estimates.elevation, estimates.distance), truth, strict=True
            )
        ],
        dim=-1,
    )
    angle = distance.gather(2, chosen[..., None])[..., 0]
    paired, active = pairs >= 0, sources.active
    error = torch.where(paired[..., None], error, torch.nan)
    angle = torch.where(paired, angle, torch.inf)
    return SourceErrors(
        error[active],
        angle[active],
        cramer_rao_bound(scenes)[active],
        estimates.count == sources.count,
        estimates.count,
    )


def accuracy(errors: Sequence[SourceErrors]) -> Accuracy:
    """Summarise the errors of several batches."""
    error, angle, variance, right, found = (
        torch.cat([getattr(part, name) for part in errors])
        for name in ("error", "angle", "variance", "number_right", "found")
    )
    gate = math.radians(GATE_DEG)
    detected = angle <= gate
    resolved = detected & (variance[:, :2].sqrt() <= gate).all(-1)
    units = torch.tensor([math.degrees(1), math.degrees(1), 1.0], dtype=error.dtype)
    rmse = error[resolved].square().mean(0).sqrt() * units
    bound = variance[resolved].mean(0).sqrt() * units
    return Accuracy(
        len(right),
        len(angle),
        detected.double().mean().item(),
        resolved.double().mean().item(),
        right.double().mean().item(),
        (found.sum() - detected.sum()).item() / len(right),
        _triple(rmse),
        _triple(bound),
        _triple(rmse / bound),
    )


def _triple(values: Tensor) -> tuple[float, float, float]:
    first, second, third = values.tolist()
    return first, second, third
