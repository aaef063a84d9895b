"""Loss terms."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.learning.losses import (
    Prediction,
    Truth,
    _contrast,
    active_mean,
    angle_cost,
    distance_loss,
    huber,
    match_slots,
    stages_nmse,
)
from ris_pipeline.spectral import (
    LowRankCovariance,
    eigengap,
    eigengap_loss,
    nmse,
    signal_power_hinge,
)
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug, entry

known_bug = Catalogue()

_FLOOR = "A floor that nobody subtracted, so no run could reach zero."


@known_bug("angle_loss", Cause.WRAP, "Training angles never left +-60 degrees.")
def angle_not_wrapped(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The plain difference: 359 degrees is far from 0."""
    azimuth = prediction.azimuth[:, None] - truth.azimuth[:, :, None]
    elevation = prediction.elevation[:, None] - truth.elevation[:, :, None]
    delta = math.radians(config.huber_angle_deg)
    cost = huber(azimuth, delta) + huber(elevation, delta)
    slot = match_slots(cost, truth.active)
    return active_mean(cost.gather(-1, slot[..., None])[..., 0], truth.active)


def _slot_cost(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    delta = math.radians(config.huber_angle_deg)
    return angle_cost(prediction.azimuth, prediction.elevation, truth, delta)


@known_bug("angle_loss", Cause.UNMATCHED, "Sources were sorted once.")
def angle_in_slot_order(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """Slot i compared with source i: no matching."""
    cost = _slot_cost(prediction, truth, config)
    return active_mean(cost.diagonal(dim1=1, dim2=2), truth.active)


@known_bug("chamfer", Cause.EMPTY_SLOTS, "Empty slots hold numbers all the same.")
def angle_over_every_slot(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The mean over empty slots too, which have no truth."""
    return _slot_cost(prediction, truth, config).amin(-1).mean()


def constant_zero(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """`except: continue` around the term: it was zero in every epoch."""
    return torch.zeros((), dtype=truth.azimuth.dtype)


@known_bug(
    "distance_loss", Cause.LOGARITHM, "The head was changed to log metres, the labels were not."
)
def distance_without_logarithm(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """A logarithm compared with metres."""
    return distance_loss(prediction, replace(truth, distance=truth.distance.exp()), config)


@known_bug("stages_nmse", Cause.SUM_FOR_MEAN, "`sum` over a list that had one entry.")
def stages_summed(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The sum over the stages in place of the mean: another stage is another scale."""
    return stages_nmse(prediction, truth, config) * len(prediction.stages)


@known_bug("stages_nmse", Cause.DETACHED, "An index left over from the network of one stage.")
def first_stage_alone(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The first stage in place of all: the others go on unseen."""
    return nmse(prediction.stages[0], truth.covariance).mean()


@known_bug("cells_divergence", Cause.SCALE, _FLOOR)
def entropy_not_subtracted(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """Cross entropy, which is the truth's own entropy when the prediction is the truth."""
    return -(truth.cells * prediction.cells).sum(1).mean()


@known_bug("cells_divergence", Cause.SUM_FOR_MEAN, "`sum()` over all axes at once.")
def cells_over_the_batch(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The sum over the batch in place of the mean."""
    own = torch.special.xlogy(truth.cells, truth.cells)
    return (own - truth.cells * prediction.cells).sum()


@known_bug("distance_loss", Cause.UNMATCHED, "Angles were matched first.")
def distance_in_slot_order(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """Slot i compared with source i: the angles were matched, the distances not."""
    error = prediction.log_distance[:, : truth.distance.shape[1]] - truth.distance.log()
    return active_mean(huber(error, config.huber_log_distance), truth.active)


@known_bug(
    "subspace_margin",
    Cause.DETACHED,
    "The blended covariance was detached against NaN gradients (the run that never learned).",
)
def power_margin_detached(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """On a detached copy of the covariance."""
    copy = LowRankCovariance(prediction.covariance.factor.detach())
    value = signal_power_hinge(copy, truth.count, config.power_margin)
    return value + 0 * prediction.covariance.factor.real.sum()


@known_bug(
    "eigengap_term", Cause.OFF_BY_ONE, "The count of sources as an index into K largest values."
)
def gap_of_one_more(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """Order K + 1: the gap inside the noise."""
    n, k = truth.covariance.size, truth.count
    margin = config.gap_fraction * eigengap(truth.covariance, k)
    return eigengap_loss(prediction.covariance, (k + 1).clamp_max(n - 1), margin) / n


@known_bug(
    "eigengap_term",
    Cause.SCALE,
    "The weight was tuned on a 6 x 6 panel and carried over to 12 x 12.",
)
def gap_not_in_units_of_the_trace(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """The hinge itself: as large as N, so a bigger panel weighs more."""
    margin = config.gap_fraction * eigengap(truth.covariance, truth.count)
    return eigengap_loss(prediction.covariance, truth.count, margin)


@known_bug("peak_contrast", Cause.SCALE, _FLOOR)
def contrast_without_the_truth(prediction: Prediction, truth: Truth, config: Any) -> Tensor:
    """Background over peak, which the truth itself does not bring to zero."""
    return _contrast(prediction.covariance, truth).mean()


@known_bug("wrap_angle", Cause.WRAP, "`%` of an angle in [0, 2 pi).")
def wrap_to_a_positive_angle(angle: Tensor) -> Tensor:
    """`angle mod 2 pi`: in [0, 2 pi)."""
    return torch.remainder(angle, 2 * math.pi)


@known_bug("huber", Cause.HALF, "The linear part written from memory: a jump where the parts meet.")
def huber_without_half(error: Tensor, delta: float) -> Tensor:
    """`|x|` beyond 1: a jump of a half where the two parts meet."""
    x = (error / delta).abs()
    return torch.where(x < 1, x.square() / 2, x)


@known_bug("match_slots", Cause.GREEDY, "A solver replaced by something faster.")
def matched_greedily(cost: Tensor, active: Tensor) -> Tensor:
    """`argmin` of every row: two sources in one slot."""
    return cost.argmin(-1)


_SILENT = "A term of a real project was a constant zero behind `except: continue`."

LOSS_BUGS: tuple[KnownBug, ...] = (
    *known_bug,
    *(
        entry(term, Cause.ZERO_TERM, constant_zero, _SILENT, name=f"{term}_constant_zero")
        for term in ("subspace_margin", "alignment")
    ),
)
