"""The loss: pure terms, one function each, each reported on its own.

    total = sum of weight * term over the terms whose weight is not zero

Every term is zero (nmse, nmse_prediction: at its floor, see `prepare_covariance`) when the
prediction is the truth, and has a live gradient on generic input.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from ris_pipeline.config import LossConfig, LossWeights
from ris_pipeline.spectral import (
    LowRankCovariance,
    at_unit_scale,
    bartlett_spectrum,
    eigengap,
    eigengap_loss,
    nmse,
    normalize_trace,
    signal_power_hinge,
    soft_alignment,
    squared_norm,
)


@dataclass(frozen=True)
class Truth:
    """What the network should have said.

    covariance: F (B, N, K), trace N; steering: (B, N, K); azimuth, elevation (rad), distance (m):
    (B, K); active: (B, K) bool, real sources first; count: (B,) int64; grid: (N, G), steering
    vectors over the sector.
    """

    covariance: LowRankCovariance
    steering: Tensor
    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    active: Tensor
    count: Tensor
    grid: Tensor


@dataclass(frozen=True)
class Prediction:
    """What the network said, and the covariance that the spectra will see.

    angle_factor (B, N, q_a), range_factor (B, N, q_r); azimuth, elevation (rad) and log_distance
    (ln m): (B, S); covariance: R_pred; prepared: after `prepare_covariance`.
    """

    angle_factor: Tensor
    range_factor: Tensor
    azimuth: Tensor
    elevation: Tensor
    log_distance: Tensor
    covariance: LowRankCovariance
    prepared: LowRankCovariance


def wrap_angle(angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The angle in [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def huber(error: Float[Tensor, "*shape"], delta: float) -> Float[Tensor, "*shape"]:
    """`x^2 / 2` for `|x| < 1`, else `|x| - 1/2`, with `x = error / delta`.

    Source: P. J. Huber, Ann. Math. Stat. 35, 1964, section 4.
    """
    scaled = error / delta
    return torch.nn.functional.huber_loss(scaled, torch.zeros_like(scaled), reduction="none")


def active_mean(value: Float[Tensor, "b k"], active: Bool[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Mean over the real sources of each scene, then over the scenes."""
    chosen = torch.where(active, value, torch.zeros_like(value))
    return (chosen.sum(-1) / active.sum(-1)).mean()


def match_slots(cost: Float[Tensor, "b k s"], active: Bool[Tensor, "b k"]) -> Int[Tensor, "b k"]:
    """The slot of each source in the assignment of least total cost, all injections compared.

    With at most K_MAX = 5 sources there are at most 120 of them, and one gather over the batch is
    faster than a Hungarian solver called scene by scene. Inactive sources cost nothing.
    """
    sources, slots = cost.shape[1:]
    injections = list(itertools.permutations(range(slots), sources))
    choices = torch.tensor(injections, device=cost.device)
    masked = cost.detach() * active[..., None]
    totals = masked[:, torch.arange(sources, device=cost.device), choices].sum(-1)
    return choices[totals.argmin(-1)]


def _angle_errors(prediction: Prediction, truth: Truth) -> tuple[Tensor, Tensor]:
    """Wrapped azimuth and elevation error of every source (k) at every slot (s), (B, K, S)."""
    azimuth = wrap_angle(prediction.azimuth[:, None, :] - truth.azimuth[:, :, None])
    elevation = wrap_angle(prediction.elevation[:, None, :] - truth.elevation[:, :, None])
    return azimuth, elevation


def angle_cost(prediction: Prediction, truth: Truth, delta: float) -> Float[Tensor, "b k s"]:
    """Wrapped Huber distance of every source (k) to every slot (s), azimuth plus elevation."""
    azimuth, elevation = _angle_errors(prediction, truth)
    return huber(azimuth, delta) + huber(elevation, delta)


def angle_slots(prediction: Prediction, truth: Truth) -> Int[Tensor, "b k"]:
    """The slot of each source in the assignment of least squared angle error.

    Squared, where the loss is Huber's: in its linear part two slots between two sources cost the
    same either way round, and rounding would choose.
    """
    azimuth, elevation = _angle_errors(prediction, truth)
    return match_slots(azimuth.square() + elevation.square(), truth.active)


def covariance_nmse(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """NMSE of the prepared covariance, diagonal and off-diagonal entries weighted."""
    weights = config.diagonal_weight, config.off_diagonal_weight
    return nmse(prediction.prepared, truth.covariance, *weights).mean()


def prediction_nmse(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """NMSE of the prediction before blending and shrinkage."""
    return nmse(normalize_trace(prediction.covariance), truth.covariance).mean()


def _off_diagonal_share(factor: Complex[Tensor, "b n q"]) -> Tensor:
    factor = at_unit_scale(factor)
    gram = factor.mH @ factor
    whole = squared_norm(gram)
    share = squared_norm(gram - gram.diagonal(dim1=-2, dim2=-1).diag_embed())
    return (share / whole.clamp_min(torch.finfo(whole.dtype).tiny)).mean()


def orthogonality(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Share of each factor's Gram energy off the diagonal, in 0..1."""
    return 0.5 * (
        _off_diagonal_share(prediction.angle_factor) + _off_diagonal_share(prediction.range_factor)
    )


def cross_term(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """`||A_a^H A_r||_F^2 / (||A_a||_F^2 ||A_r||_F^2)` in 0..1: no power told twice."""
    a, r = at_unit_scale(prediction.angle_factor), at_unit_scale(prediction.range_factor)
    power = squared_norm(a) * squared_norm(r)
    cross = squared_norm(a.mH @ r)
    return (cross / power.clamp_min(torch.finfo(power.dtype).tiny)).mean()


def eigengap_term(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Eigengap hinge of order K in units of the mean eigenvalue times N, i.e. of the trace.

    The margin is a fraction of the true covariance's own gap: a fixed one would be out of reach for
    a scene whose weakest source is far away.
    """
    n = truth.covariance.size
    margin = config.gap_fraction * eigengap(truth.covariance, truth.count)
    return eigengap_loss(prediction.prepared, truth.count, margin) / n


def subspace_margin(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Hinge on the share of the trace held by the K leading eigenvalues."""
    return signal_power_hinge(prediction.prepared, truth.count, config.power_margin)


def angle(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Wrapped Huber loss of azimuth and elevation, matched over permutations."""
    cost = angle_cost(prediction, truth, math.radians(config.huber_angle_deg))
    slot = angle_slots(prediction, truth)
    return active_mean(cost.gather(-1, slot[..., None])[..., 0], truth.active)


def distance(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Huber loss of the log distance, in the slots that the angles are matched to."""
    slot = angle_slots(prediction, truth)
    error = prediction.log_distance.gather(-1, slot) - truth.distance.log()
    return active_mean(huber(error, config.huber_log_distance), truth.active)


def chamfer(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Every source near some slot, every slot near some source: mean of the nearest costs."""
    cost = angle_cost(prediction, truth, math.radians(config.huber_angle_deg))
    to_slots = active_mean(cost.amin(-1), truth.active)
    real = torch.where(truth.active[..., None], cost, torch.full_like(cost, math.inf))
    return 0.5 * (to_slots + real.amin(1).mean())


def alignment(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """How much less the true steering vectors lie in the predicted span than in the true one."""
    reached = soft_alignment(prediction.prepared, truth.steering)
    possible = soft_alignment(truth.covariance, truth.steering)
    return active_mean(torch.relu(possible - reached), truth.active)


def _contrast(covariance: LowRankCovariance, truth: Truth) -> Tensor:
    peaks = bartlett_spectrum(covariance, truth.steering)
    level = torch.where(truth.active, peaks, torch.zeros_like(peaks)).sum(-1)
    level = level / truth.active.sum(-1)
    background = bartlett_spectrum(covariance, truth.grid).mean(-1)
    mean_power = covariance.trace()[..., None] / covariance.size
    return background / level.clamp_min(torch.finfo(level.dtype).eps * mean_power)


def peak_contrast(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Background over peak level of the Bartlett spectrum, above what the truth itself has."""
    excess = _contrast(prediction.prepared, truth) - _contrast(truth.covariance, truth)
    return torch.relu(excess).mean()


Term = Callable[[Prediction, Truth, LossConfig], Tensor]

TERMS: dict[str, Term] = {
    "nmse": covariance_nmse,
    "nmse_prediction": prediction_nmse,
    "orthogonality": orthogonality,
    "cross_term": cross_term,
    "eigengap": eigengap_term,
    "subspace_margin": subspace_margin,
    "angle": angle,
    "distance": distance,
    "chamfer": chamfer,
    "alignment": alignment,
    "peak_contrast": peak_contrast,
}
"""Every term by the name that its weight has in `LossWeights`."""


def loss_terms(
    prediction: Prediction, truth: Truth, config: LossConfig, weights: LossWeights | None = None
) -> dict[str, Tensor]:
    """The unweighted terms whose weight is not zero, by name, each a real scalar."""
    chosen = (weights or config.weights).model_dump()
    return {name: TERMS[name](prediction, truth, config) for name in TERMS if chosen[name] > 0}


def total_loss(terms: dict[str, Tensor], weights: LossWeights) -> Float[Tensor, ""]:
    """`sum weight * term`."""
    chosen = weights.model_dump()
    return torch.stack([chosen[name] * term for name, term in terms.items()]).sum()
