"""The loss: pure terms, one function each, each reported on its own, in units of knowing nothing.

    total = sum_i weight_i value_i / scale_i / sum_i weight_i     over the weights that are not zero

Every term is zero when the prediction is the truth; `scale` is its value for the best answer that
does not look at the data (`ignorance.py`). A total of 1 says "knows nothing", 0 "knows all". Every
term has a live gradient on generic input.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.config import LossConfig, LossWeights
from ris_pipeline.spectral import (
    LowRankCovariance,
    bartlett_spectrum,
    eigengap,
    eigengap_loss,
    nmse,
    signal_power_hinge,
    soft_alignment,
)


@dataclass(frozen=True)
class Truth:
    """What the network should have said.

    covariance: F (B, N, K), trace N; steering: (B, N, K); azimuth, elevation (rad), distance (m):
    (B, K); active: (B, K) bool, real sources first; count: (B,) int64; cells: (B, cells) share of
    the power in each cell; grid: (N, G), steering vectors over the sector.
    """

    covariance: LowRankCovariance
    steering: Tensor
    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    active: Tensor
    count: Tensor
    cells: Tensor
    grid: Tensor


@dataclass(frozen=True)
class Prediction:
    """What the network said.

    stages: the covariance that each stage believes in, trace N, the last being the answer; cells:
    (B, cells) log-probability of each; share, atom_azimuth, atom_elevation (rad): (B, q), the atoms
    of the answer and what each holds of the power; azimuth, elevation (rad) and log_distance
    (ln m): (B, S), its sources.
    """

    stages: tuple[LowRankCovariance, ...]
    cells: Tensor
    share: Tensor
    atom_azimuth: Tensor
    atom_elevation: Tensor
    azimuth: Tensor
    elevation: Tensor
    log_distance: Tensor

    @property
    def covariance(self) -> LowRankCovariance:
        """The answer: what the last stage believes in."""
        return self.stages[-1]


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


def _injections(sources: int, slots: int, device: torch.device) -> Int[Tensor, "i k"]:
    """`itertools.permutations(range(slots), sources)`, in that order, made where it is wanted: a
    copy from the host would wait for the device."""
    count = math.perm(slots, sources)
    number, left = torch.arange(count, device=device), torch.arange(slots, device=device)
    left, chosen = left.expand(count, slots), []
    for place in range(sources):
        rest = slots - place - 1
        digit = (number // math.perm(rest, sources - place - 1) % (rest + 1))[:, None]
        chosen.append(left.gather(1, digit))
        others = torch.arange(rest, device=device)
        left = left.gather(1, others + (others >= digit))
    return torch.cat(chosen, 1)


def match_slots(cost: Float[Tensor, "b k s"], active: Bool[Tensor, "b k"]) -> Int[Tensor, "b k"]:
    """The slot of each source in the assignment of least total cost, all injections compared.

    With at most K_MAX = 5 sources there are at most 120 of them, and one gather over the batch is
    faster than a Hungarian solver called scene by scene. Inactive sources cost nothing.
    """
    sources, slots = cost.shape[1:]
    choices = _injections(sources, slots, cost.device)
    masked = cost.detach() * active[..., None]
    totals = masked[:, torch.arange(sources, device=cost.device), choices].sum(-1)
    return choices[totals.argmin(-1)]


def _angle_errors(azimuth: Tensor, elevation: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """Wrapped azimuth and elevation error of every source (k) at every slot (s), (B, K, S)."""
    return (
        wrap_angle(azimuth[:, None, :] - truth.azimuth[:, :, None]),
        wrap_angle(elevation[:, None, :] - truth.elevation[:, :, None]),
    )


def angle_cost(
    azimuth: Float[Tensor, "b s"], elevation: Float[Tensor, "b s"], truth: Truth, delta: float
) -> Float[Tensor, "b k s"]:
    """Wrapped Huber distance of every source (k) to every place (s), azimuth plus elevation."""
    errors = _angle_errors(azimuth, elevation, truth)
    return huber(errors[0], delta) + huber(errors[1], delta)


def angle_slots(prediction: Prediction, truth: Truth) -> Int[Tensor, "b k"]:
    """The slot of each source in the assignment of least squared angle error.

    Squared, where the loss is Huber's: in its linear part two slots between two sources cost the
    same either way round, and rounding would choose.
    """
    azimuth, elevation = _angle_errors(prediction.azimuth, prediction.elevation, truth)
    return match_slots(azimuth.square() + elevation.square(), truth.active)


def covariance_nmse(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """NMSE of R_pred, diagonal and off-diagonal entries weighted."""
    weights = config.diagonal_weight, config.off_diagonal_weight
    return nmse(prediction.covariance, truth.covariance, *weights).mean()


def stages_nmse(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """NMSE of what each stage believes, a mean over the stages: a later one starts where the
    earlier one ended."""
    errors = [nmse(stage, truth.covariance).mean() for stage in prediction.stages]
    return torch.stack(errors).mean()


def cells_divergence(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """`sum_c t_c ln(t_c / p_c)`, t the shares of power in the cells.

    Source: S. Kullback, R. A. Leibler, Ann. Math. Stat. 22, 1951.
    """
    own = torch.special.xlogy(truth.cells, truth.cells)
    return (own - truth.cells * prediction.cells).sum(1).mean()


def eigengap_term(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Eigengap hinge of order K in units of the mean eigenvalue times N, i.e. of the trace.

    The margin is a fraction of the true covariance's own gap: a fixed one would be out of reach for
    a scene whose weakest source is far away.
    """
    n = truth.covariance.size
    margin = config.gap_fraction * eigengap(truth.covariance, truth.count)
    return eigengap_loss(prediction.covariance, truth.count, margin) / n


def subspace_margin(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Hinge on the share of the trace held by the K leading eigenvalues."""
    covariance = prediction.covariance
    most = min(truth.active.shape[1], covariance.size - 1)
    return signal_power_hinge(covariance, truth.count, config.power_margin, most)


def angle_loss(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Wrapped Huber loss of azimuth and elevation, matched over permutations."""
    delta = math.radians(config.huber_angle_deg)
    cost = angle_cost(prediction.azimuth, prediction.elevation, truth, delta)
    slot = angle_slots(prediction, truth)
    return active_mean(cost.gather(-1, slot[..., None])[..., 0], truth.active)


def distance_loss(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Huber loss of the log distance, in the slots that the angles are matched to."""
    slot = angle_slots(prediction, truth)
    error = prediction.log_distance.gather(-1, slot) - truth.distance.log()
    return active_mean(huber(error, config.huber_log_distance), truth.active)


def chamfer(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """Every source near some slot, every atom near some source: mean of the nearest costs, an atom
    counting for its share of the power."""
    delta = math.radians(config.huber_angle_deg)
    to_slots = angle_cost(prediction.azimuth, prediction.elevation, truth, delta).amin(-1)
    cost = angle_cost(prediction.atom_azimuth, prediction.atom_elevation, truth, delta)
    real = torch.where(truth.active[..., None], cost, torch.full_like(cost, math.inf))
    from_atoms = (prediction.share * real.amin(1)).sum(1).mean()
    return 0.5 * (active_mean(to_slots, truth.active) + from_atoms)


def alignment(prediction: Prediction, truth: Truth, config: LossConfig) -> Tensor:
    """How much less the true steering vectors lie in the predicted span than in the true one."""
    reached = soft_alignment(prediction.covariance, truth.steering)
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
    excess = _contrast(prediction.covariance, truth) - _contrast(truth.covariance, truth)
    return torch.relu(excess).mean()


Term = Callable[[Prediction, Truth, LossConfig], Tensor]

TERMS: dict[str, Term] = {
    "nmse": covariance_nmse,
    "stages": stages_nmse,
    "cells": cells_divergence,
    "eigengap": eigengap_term,
    "subspace_margin": subspace_margin,
    "angle": angle_loss,
    "distance": distance_loss,
    "chamfer": chamfer,
    "alignment": alignment,
    "peak_contrast": peak_contrast,
}
"""Every term by the name that its weight has in `LossWeights`."""


def active_terms(weights: LossWeights) -> list[str]:
    """Names of the terms whose weight is not zero, in the order of `TERMS`."""
    return [name for name in TERMS if getattr(weights, name) > 0]


def loss_terms(
    prediction: Prediction, truth: Truth, config: LossConfig, weights: LossWeights | None = None
) -> dict[str, Tensor]:
    """The terms whose weight is not zero, by name, each a real scalar in units of its scale.

    Raises:
        InputError: `config.scales` is absent, or a term is cut off from the prediction.
    """
    if config.scales is None:
        raise InputError("loss.scales is absent: allowed is what measure_scales returns")
    live = active_terms(weights or config.weights)
    terms = {name: TERMS[name](prediction, truth, config) / config.scales[name] for name in live}
    for name, term in terms.items():
        if prediction.cells.requires_grad and not term.requires_grad:
            raise InputError(f"term {name} has no gradient: allowed is a term of the prediction")
    return terms


def total_loss(terms: dict[str, Tensor], weights: LossWeights) -> Float[Tensor, ""]:
    """`sum weight * term / sum weight`."""
    chosen = weights.model_dump()
    values = torch.stack([chosen[name] * term for name, term in terms.items()])
    return values.sum() / sum(chosen[name] for name in terms)
