"""Operations on covariances, dense or factored: both forms of each, one behaviour.

trace normalization   (n / tr R) R
shrinkage             (1 - a) R + a (tr R / n) I
blend                 (1 - beta) R_1 + beta R_2
NMSE                  ||R - T||_F^2 / ||T||_F^2
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_batch, check_range, check_real
from ris_pipeline.spectral.hermitian import eigenvalues as dense_eigenvalues
from ris_pipeline.spectral.hermitian import hermitize
from ris_pipeline.spectral.low_rank import AnyForm, Covariance, LowRankCovariance
from ris_pipeline.spectral.norms import largest_part, near_one, row_power, squared_norm


def batch_of(covariance: Covariance) -> tuple[int, ...]:
    """Axes before those of the matrix."""
    like = covariance.factor if isinstance(covariance, LowRankCovariance) else covariance
    return tuple(like.shape[:-2])


def order_of(covariance: Covariance) -> int:
    """n, the order of the matrix."""
    return covariance.size if isinstance(covariance, LowRankCovariance) else covariance.shape[-1]


def trace(covariance: Covariance) -> Float[Tensor, "*batch"]:
    """`tr R`, real."""
    if isinstance(covariance, LowRankCovariance):
        return covariance.trace()
    return hermitize(covariance).diagonal(dim1=-2, dim2=-1).real.sum(-1)


def eigenvalues(covariance: Covariance) -> Float[Tensor, "*batch n"]:
    """Eigenvalues of the Hermitian part, DESCENDING."""
    if isinstance(covariance, LowRankCovariance):
        return covariance.eigenvalues()
    return dense_eigenvalues(covariance)


def eigenvalues_at(
    covariance: Covariance, places: Int[Tensor, "*batch m"]
) -> Float[Tensor, "*batch m"]:
    """The eigenvalues at some places of the DESCENDING order, from 0."""
    if isinstance(covariance, LowRankCovariance):
        return covariance.eigenvalues_at(places)
    return dense_eigenvalues(covariance).gather(-1, places)


def _scale(covariance: AnyForm, scale: Tensor) -> AnyForm:
    if isinstance(covariance, LowRankCovariance):
        return covariance.scaled(scale)
    return hermitize(covariance) * scale[..., None, None]


def _unit(covariance: Covariance) -> Float[Tensor, "*batch"]:
    """The power of two, a constant, that brings the entries of a covariance near 1."""
    if isinstance(covariance, LowRankCovariance):
        amplitude = covariance.loading_column()[..., 0].detach().sqrt()
        return near_one(torch.maximum(largest_part(covariance.factor), amplitude)).square()
    return near_one(largest_part(covariance))


def scaled_to_one(covariance: AnyForm) -> AnyForm:
    """A covariance times a power of two, a constant: entries near 1, for ratios of them."""
    return _scale(covariance, _unit(covariance))


def add_loading(covariance: AnyForm, loading: float | Tensor) -> AnyForm:
    """`R + loading I`, loading (...) >= 0; every eigenvalue rises by it.

    Raises:
        InputError: a negative loading.
    """
    check_range("loading", loading, 0.0, math.inf)
    check_batch("loading", loading, batch_of(covariance))
    if isinstance(covariance, LowRankCovariance):
        return LowRankCovariance(covariance.factor, covariance.loading_column()[..., 0] + loading)
    matrix = hermitize(covariance)
    delta = torch.as_tensor(loading, dtype=matrix.real.dtype, device=matrix.device)
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return matrix + delta[..., None, None] * eye


def normalize_trace(covariance: AnyForm) -> AnyForm:
    """`(n / tr R) R`; a matrix of zero trace stays zero.

    The trace is floored at n times the smallest normal number: the factor stays a finite number,
    and so does the gradient of a matrix of zeros.
    """
    unit, n = scaled_to_one(covariance), order_of(covariance)
    total = trace(unit)
    return _scale(unit, n / total.clamp_min(n * torch.finfo(total.dtype).tiny))


def shrinkage_weight(
    snr_db: Float[Tensor, "*batch"], base: float = 1e-2
) -> Float[Tensor, "*batch"]:
    """`a = clip(base 10^(-snr_db / 20), 1e-4, 5e-2)`: more loading where there is more noise."""
    check_real("snr_db", snr_db)
    return (base * 10 ** (-snr_db / 20)).clamp(1e-4, 5e-2)


def shrink(covariance: AnyForm, weight: float | Tensor) -> AnyForm:
    """`(1 - a) R + a (tr R / n) I`; the trace is kept.

    Source: O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices", J. Multivariate Anal. 88, 2004, eq. (3).

    Raises:
        InputError: a weight outside 0..1.
    """
    check_range("weight", weight, 0.0, 1.0)
    check_batch("weight", weight, batch_of(covariance))
    total = trace(covariance)
    a = torch.as_tensor(weight, dtype=total.dtype, device=total.device).expand_as(total)
    return add_loading(_scale(covariance, 1 - a), a * total / order_of(covariance))


def blend(prediction: AnyForm, sample: AnyForm, beta: float) -> AnyForm:
    """`(1 - beta) R_pred + beta R_sample`, both scaled to trace n first; factors are concatenated.

    Raises:
        InputError: beta outside 0..1, or one dense and one factored covariance.
    """
    check_range("beta", beta, 0.0, 1.0)
    first, second = normalize_trace(prediction), normalize_trace(sample)
    if isinstance(first, LowRankCovariance) and isinstance(second, LowRankCovariance):
        factor = torch.cat(((1 - beta) ** 0.5 * first.factor, beta**0.5 * second.factor), dim=-1)
        loading = (1 - beta) * first.loading_column() + beta * second.loading_column()
        return LowRankCovariance(factor, loading[..., 0])
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return (1 - beta) * first + beta * second
    raise InputError("blend of a dense and a factored covariance: allowed are two of one form")


def prepare_covariance(
    prediction: LowRankCovariance, sample: LowRankCovariance, beta: float, snr_db: Tensor
) -> LowRankCovariance:
    """A predicted and a sample covariance as the spectra see them.

    Trace normalization of both, blend, SNR-aware shrinkage; trace n.
    """
    check_batch("snr_db", snr_db, batch_of(prediction))
    blended = blend(prediction, sample, beta)
    shrunk = shrink(blended, shrinkage_weight(snr_db))
    assert isinstance(shrunk, LowRankCovariance)
    return shrunk


def _diagonal(covariance: LowRankCovariance) -> Tensor:
    return row_power(covariance.factor) + covariance.loading_column()


def _squared_norm(covariance: LowRankCovariance) -> Tensor:
    """`||R||_F^2 = ||F^H F||_F^2 + 2 delta ||F||_F^2 + n delta^2`."""
    delta = covariance.loading_column()[..., 0]
    shift = delta * (2 * squared_norm(covariance.factor) + covariance.size * delta)
    return squared_norm(covariance.gram()) + shift


def _squared_distance(first: LowRankCovariance, second: LowRankCovariance) -> Tensor:
    """`||R - T||_F^2` from three Gram matrices."""
    cross = first.factor.mH @ second.factor
    squares = squared_norm(first.gram()) + squared_norm(second.gram()) - 2 * squared_norm(cross)
    shift = (first.loading_column() - second.loading_column())[..., 0]
    powers = squared_norm(first.factor) - squared_norm(second.factor)
    return squares + 2 * shift * powers + first.size * shift.square()


def nmse(
    estimate: Covariance,
    truth: Covariance,
    diagonal_weight: float = 1.0,
    off_diagonal_weight: float = 1.0,
) -> Float[Tensor, "*batch"]:
    """`(w_d ||diag(R - T)||^2 + w_o ||offdiag(R - T)||^2) / ||T||_F^2`.

    The factored form subtracts Gram matrices: its absolute error is a few eps of
    `(||R||_F^2 + ||T||_F^2) / ||T||_F^2`, so values below that are rounding, possibly negative.

    Both are scaled to the truth's size first: the ratio holds at any power.

    Raises:
        InputError: one dense and one factored covariance.
    """
    unit = _unit(truth)
    estimate, truth = _scale(estimate, unit), _scale(truth, unit)
    if isinstance(estimate, LowRankCovariance) and isinstance(truth, LowRankCovariance):
        diagonal = (_diagonal(estimate) - _diagonal(truth)).square().sum(-1)
        whole = _squared_distance(estimate, truth)
        scale = _squared_norm(truth)
    elif isinstance(estimate, Tensor) and isinstance(truth, Tensor):
        difference = estimate - truth
        diagonal = difference.diagonal(dim1=-2, dim2=-1).abs().square().sum(-1)
        whole = squared_norm(difference)
        scale = squared_norm(truth)
    else:
        raise InputError("nmse of a dense and a factored covariance: allowed are two of one form")
    weighted = diagonal_weight * diagonal + off_diagonal_weight * (whole - diagonal)
    return weighted / scale.clamp_min(torch.finfo(scale.dtype).tiny)
