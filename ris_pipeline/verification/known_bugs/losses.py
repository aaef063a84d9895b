"""Loss terms, matching and the Cramer-Rao bound."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.learning.epoch import EpochResult, run_epoch
from ris_pipeline.learning.losses import (
    Prediction,
    Truth,
    _contrast,
    active_mean,
    angle_cost,
    cross_term,
    distance,
    huber,
    match_slots,
)
from ris_pipeline.localization.bound import cramer_rao_bound
from ris_pipeline.localization.matching import match_sources
from ris_pipeline.scene import SceneBatch
from ris_pipeline.spectral import nmse
from ris_pipeline.verification.known_bugs._entry import KnownBug, known_bug


def angle_not_wrapped(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The plain difference: 359 degrees is far from 0."""
    azimuth = prediction.azimuth[:, None] - truth.azimuth[:, :, None]
    elevation = prediction.elevation[:, None] - truth.elevation[:, :, None]
    delta = math.radians(config.huber_angle_deg)
    cost = huber(azimuth, delta) + huber(elevation, delta)
    slot = match_slots(cost, truth.active)
    return active_mean(cost.gather(-1, slot[..., None])[..., 0], truth.active)


def angle_in_slot_order(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """Slot i compared with source i: no matching."""
    cost = angle_cost(prediction, truth, math.radians(config.huber_angle_deg))
    return active_mean(cost.diagonal(dim1=1, dim2=2), truth.active)


def angle_over_every_slot(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The mean over empty slots too, which have no truth."""
    cost = angle_cost(prediction, truth, math.radians(config.huber_angle_deg))
    return cost.amin(-1).mean()


def constant_zero(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """`except: continue` around the term: it was zero in every epoch."""
    return torch.zeros((), dtype=truth.azimuth.dtype)


def distance_without_logarithm(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """A logarithm compared with metres."""
    return distance(prediction, replace(truth, distance=truth.distance.exp()), config)


def orthogonality_not_normalised(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """Gram energy off the diagonal, not its share."""
    gram = (prediction.angle_factor.mH @ prediction.angle_factor).abs().square()
    return (gram.sum((-2, -1)) - gram.diagonal(dim1=-2, dim2=-1).sum(-1)).mean()


def cross_term_summed(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The sum over the batch in place of the mean."""
    return cross_term(prediction, truth, config) * truth.count.shape[0]


def nmse_of_the_raw_prediction(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The trace not normalised first: the scale is learned, not the shape."""
    return nmse(prediction.covariance, truth.covariance).mean()


def contrast_without_the_truth(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """Background over peak, which the truth itself does not bring to zero."""
    return _contrast(prediction.prepared, truth).mean()


def wrap_to_a_positive_angle(angle: Tensor) -> Tensor:
    """`angle mod 2 pi`: in [0, 2 pi)."""
    return torch.remainder(angle, 2 * math.pi)


def huber_without_half(error: Tensor, delta: float) -> Tensor:
    """`|x|` beyond 1: a jump of a half where the two parts meet."""
    x = (error / delta).abs()
    return torch.where(x < 1, x.square() / 2, x)


def matched_greedily(cost: Tensor, active: Tensor) -> Tensor:
    """`argmin` of every row: two sources in one slot."""
    return cost.argmin(-1)


def sources_matched_in_order(*arguments: Tensor) -> Tensor:
    """Estimates taken in the order they come."""
    found, true = arguments[2], arguments[5]
    match = torch.arange(true.shape[1]).expand(true.shape)
    return torch.where(match < found.sum(-1, keepdim=True), match, -1)


def sources_matched_by_nearest(*arguments: Tensor) -> Tensor:
    """Every source takes its nearest estimate, taken or not."""
    rows = [
        match_sources(*arguments[:3], *(x[:, i : i + 1] for x in arguments[3:]))
        for i in range(arguments[5].shape[1])
    ]
    return torch.cat(rows, dim=1)


def bound_of_deviations(scenes: SceneBatch) -> Tensor:
    """Standard deviations returned as variances."""
    return cramer_rao_bound(scenes).sqrt()


def bound_at_unit_noise(scenes: SceneBatch) -> Tensor:
    """The noise variance left out."""
    return cramer_rao_bound(scenes) / scenes.noise_variance[:, None, None]


def bound_from_the_snapshots(scenes: SceneBatch) -> Tensor:
    """Scaled by a reference antenna: it sees how the antennas are turned, and which is first."""
    return cramer_rao_bound(scenes) * scenes.channel[:, :1, :1].abs()


def bound_of_the_first_source(scenes: SceneBatch) -> Tensor:
    """The first source's bound for every slot."""
    return cramer_rao_bound(scenes)[:, :1].expand(-1, scenes.sources.active.shape[1], -1)


def epoch_mean_of_group_means(
    batches: Any, backward: Callable[[Any, float], float], step: Any, accumulation: int = 1
) -> EpochResult:
    """The mean of the groups' means: a small last group weighs as much as a full one."""
    values: list[float] = []

    def keep(batch: Any, scale: float) -> float:
        values.append(backward(batch, scale))
        return values[-1]

    result = run_epoch(batches, keep, step, accumulation)
    groups = [values[i : i + accumulation] for i in range(0, len(values), accumulation)]
    mean = sum(sum(group) / len(group) for group in groups) / len(groups)
    return EpochResult(mean, result.batches, result.steps)


_SILENT = "A term of a real project was a constant zero behind `except: continue`."
_MATCH = "A solver replaced by something faster."
_BOUND = "A variance, a deviation, a noise power: which of them is meant."

LOSS_BUGS: tuple[KnownBug, ...] = (
    known_bug(0, "angle", angle_not_wrapped, "Training angles never left +-60 degrees."),
    known_bug(0, "angle", angle_in_slot_order, "Sources sorted in one place only."),
    known_bug(0, "chamfer", angle_over_every_slot, "Empty slots hold numbers, not sources."),
    known_bug(0, "subspace_margin", constant_zero, _SILENT, "subspace_margin_constant_zero"),
    known_bug(0, "alignment", constant_zero, _SILENT, "alignment_constant_zero"),
    known_bug(0, "distance", distance_without_logarithm, "Metres and their logarithm."),
    known_bug(0, "orthogonality", orthogonality_not_normalised, "Grows with the factors."),
    known_bug(0, "cross_term", cross_term_summed, "Sum or mean over the batch."),
    known_bug(0, "prediction_nmse", nmse_of_the_raw_prediction, "Two scales compared."),
    known_bug(0, "peak_contrast", contrast_without_the_truth, "A floor that cannot be reached."),
    known_bug(0, "wrap_angle", wrap_to_a_positive_angle, "`%` of another convention."),
    known_bug(0, "huber", huber_without_half, "Two parts that do not meet."),
    known_bug(0, "match_slots", matched_greedily, _MATCH),
    known_bug(0, "match_sources", sources_matched_in_order, _MATCH),
    known_bug(0, "match_sources", sources_matched_by_nearest, _MATCH),
    known_bug(0, "cramer_rao_bound", bound_of_deviations, _BOUND),
    known_bug(0, "cramer_rao_bound", bound_at_unit_noise, _BOUND),
    known_bug(0, "cramer_rao_bound", bound_from_the_snapshots, _BOUND),
    known_bug(0, "cramer_rao_bound", bound_of_the_first_source, _BOUND),
    known_bug(0, "run_epoch", epoch_mean_of_group_means, "A mean of means."),
)
