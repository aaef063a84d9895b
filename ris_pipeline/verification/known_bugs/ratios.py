"""Ratios of powers that hold near 1 W only: guards that are added, squares that underflow."""

from typing import Any

import torch
from torch import Tensor

from ris_pipeline.spectral import (
    LowRankCovariance,
    shrink,
    shrinkage_weight,
    squared_norm,
    trace,
)
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug
from ris_pipeline.verification.known_bugs.decompositions import correct, dense, hermitian

known_bug = Catalogue()

_GUARDED = "The guard of a division, chosen where the trace was one."
_SQUARED = "Measured powers in place of normalised ones, and single precision."


GUARD = 1e-12


@known_bug("nmse", Cause.GUARD, _SQUARED)
def nmse_in_watts(estimate: Any, truth: Any, *weights: float) -> Tensor:
    """Squares of 1e-22 W are zero in single precision, and so is the error."""
    first, second = hermitian(dense(estimate)), hermitian(dense(truth))
    scale = squared_norm(second)
    return squared_norm(first - second) / scale.clamp_min(torch.finfo(scale.dtype).tiny)


def _times(covariance: Any, scale: Tensor) -> Any:
    if isinstance(covariance, LowRankCovariance):
        return covariance.scaled(scale)
    return hermitian(covariance) * scale[..., None, None]


def _guarded(covariance: Any) -> Any:
    n = dense(covariance).shape[-1]
    return _times(covariance, n / (trace(covariance) + GUARD))


@known_bug("normalize_trace", Cause.GUARD, _GUARDED)
def normalized_with_a_guard(covariance: Any) -> Any:
    """`n / (tr R + 1e-12)`: of a weak scene the guard is the trace."""
    return _guarded(covariance)


@known_bug("normalize_trace", Cause.GUARD, _SQUARED)
def normalized_by_squares(covariance: Any) -> Any:
    """`n tr R / (tr R)^2`: right, and its square underflows."""
    total, n = trace(covariance), dense(covariance).shape[-1]
    return _times(covariance, n * total / total.square())


@known_bug("blend", Cause.GUARD, _GUARDED)
def blended_with_a_guard(prediction: Any, sample: Any, beta: float) -> Any:
    """Each scaled by `n / (tr R + 1e-12)`, and blended."""
    first, second = _guarded(prediction), _guarded(sample)
    if isinstance(first, Tensor):
        return (1 - beta) * first + beta * second
    parts = ((1 - beta) ** 0.5 * first.factor, beta**0.5 * second.factor)
    loading = (1 - beta) * first.loading_column() + beta * second.loading_column()
    return LowRankCovariance(torch.cat(parts, dim=-1), loading[..., 0])


@known_bug("prepare_covariance", Cause.GUARD, _GUARDED)
def prepared_with_a_guard(prediction: Any, sample: Any, beta: float, snr_db: Tensor) -> Any:
    """The same, shrunk."""
    return shrink(blended_with_a_guard(prediction, sample, beta), shrinkage_weight(snr_db))


@known_bug("signal_power_hinge", Cause.GUARD, _GUARDED)
def power_share_with_a_guard(covariance: Any, k: Any, margin: float) -> Tensor:
    """`sum lambda / (tr R + 1e-12)`."""
    values = correct(dense(covariance))[0]
    leading = values * (torch.arange(values.shape[-1]) < torch.as_tensor(k)[..., None])
    return torch.relu(margin - leading.sum(-1) / (values.sum(-1) + GUARD)).mean()


@known_bug("soft_alignment", Cause.GUARD, _GUARDED)
def alignment_with_an_absolute_ridge(
    covariance: LowRankCovariance, steering: Tensor, ridge: float = 1e-3
) -> Tensor:
    """A ridge of 1e-3 W beside the relative one."""
    gram = covariance.gram()
    level = ridge * (gram.diagonal(dim1=-2, dim2=-1).real.sum(-1) + GUARD)
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
    projected = covariance.factor.mH @ steering
    solved = torch.linalg.solve(gram + level[..., None, None] * eye, projected)
    return (projected.conj() * solved).real.sum(-2)


RATIO_BUGS: tuple[KnownBug, ...] = (*known_bug,)
