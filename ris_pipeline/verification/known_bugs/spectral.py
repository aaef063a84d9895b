"""Hermitization, spectra, the eigengap and its hinge."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.spectral import LowRankCovariance
from ris_pipeline.verification.known_bugs._entry import KnownBug, known_bug


def _dense(covariance: Tensor | LowRankCovariance) -> Tensor:
    if isinstance(covariance, LowRankCovariance):
        return covariance.dense()
    return covariance


def _half(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.mH)


def _pick(values: Tensor, index: int | Tensor) -> Tensor:
    place = torch.as_tensor(index, dtype=torch.int64).expand(values.shape[:-1])
    return values.gather(-1, place[..., None])[..., 0]


def _hinge_of(gap: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def hinge(covariance: Tensor, k: int | Tensor, margin: float | Tensor) -> Tensor:
        return torch.relu(margin - gap(covariance, k)).mean()

    return hinge


def gap_of_flipped_singular_values(covariance: Tensor, k: int | Tensor) -> Tensor:
    """Descending singular values flipped, then indexed as if still descending."""
    values = torch.linalg.svdvals(_half(_dense(covariance))).flip(-1)
    return _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)


def gap_of_ascending_eigenvalues(covariance: Tensor, k: int | Tensor) -> Tensor:
    """`eigvalsh` ascends; the code reads it as descending."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance)))
    return _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)


def gap_off_by_one(covariance: Tensor, k: int | Tensor) -> Tensor:
    """k read as an index from 0: `lambda_{k+1} - lambda_{k+2}`, the last one wrapped."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance))).flip(-1)
    n = values.shape[-1]
    index = torch.as_tensor(k)
    return _pick(values, index) - _pick(values, (index + 1).clamp_max(n - 1))


def gap_of_singular_values(covariance: Tensor, k: int | Tensor) -> Tensor:
    """Singular values taken for eigenvalues; right on semidefinite matrices only."""
    values = torch.linalg.svdvals(_half(_dense(covariance)))
    return _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)


def gap_without_hermitization(covariance: Tensor, k: int | Tensor) -> Tensor:
    """`eigvalsh` of the matrix as it is: the lower triangle decides, in silence."""
    values = torch.linalg.eigvalsh(_dense(covariance)).flip(-1)
    return _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)


def hinge_with_the_sign_swapped(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """`relu(gap - margin)`: descends by closing the gap."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance))).flip(-1)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return torch.relu(gap - margin).mean() + 0 * values.sum()


def hinge_summed(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """Sum over the batch in place of the mean."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance))).flip(-1)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return torch.relu(margin - gap).sum()


def hinge_without_relu(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """`mean(margin - gap)`: pulls on gaps that are open already."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance))).flip(-1)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return (margin - gap).mean()


def hinge_detached(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """Eigenvalues taken from `.detach()`: the value is right, the gradient is zero."""
    matrix = _dense(covariance)
    values = torch.linalg.eigvalsh(_half(matrix.detach())).flip(-1)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return torch.relu(margin - gap).mean() + 0 * matrix.abs().sum()


def hinge_through_eigenvectors(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """`lambda_i = v_i^H A v_i` with differentiated eigenvectors: NaN gradients at ties."""
    matrix = _half(_dense(covariance))
    vectors = torch.linalg.eigh(matrix)[1].flip(-1)
    values = (vectors.conj() * (matrix @ vectors)).real.sum(-2)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return torch.relu(margin - gap).mean()


def hermitize_nothing(matrix: Tensor) -> Tensor:
    """No hermitization at all."""
    return matrix


def hermitize_by_transpose(matrix: Tensor) -> Tensor:
    """`(A + A^T) / 2`: the conjugate forgotten."""
    return 0.5 * (matrix + matrix.mT)


def hermitize_without_half(matrix: Tensor) -> Tensor:
    """`A + A^H`: the half forgotten; doubles the spectrum."""
    return matrix + matrix.mH


def hermitize_by_triangle(matrix: Tensor) -> Tensor:
    """The lower triangle mirrored: Hermitian, but not the nearest."""
    lower = matrix.tril(-1)
    return lower + lower.mH + torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1).real)


def hermitize_and_load(matrix: Tensor) -> Tensor:
    """`(A + A^H) / 2 + 1e-4 I`: a loading slipped in, large beside a small matrix."""
    return _half(matrix) + 1e-4 * torch.eye(matrix.shape[-1], dtype=matrix.dtype)


def singular_values_ascending(matrix: Tensor) -> Tensor:
    """`svdvals` flipped."""
    return torch.linalg.svdvals(_half(matrix)).flip(-1)


def singular_values_signed(matrix: Tensor) -> Tensor:
    """Eigenvalues returned as singular values: negative ones on indefinite matrices."""
    return torch.linalg.eigvalsh(_half(matrix)).flip(-1)


def singular_values_unhermitized(matrix: Tensor) -> Tensor:
    """`svdvals` of the matrix as it is."""
    return torch.linalg.svdvals(matrix)


def eigenvalues_ascending(matrix: Tensor) -> Tensor:
    """`eigvalsh` as it comes."""
    return torch.linalg.eigvalsh(_half(matrix))


def eigenvalues_as_magnitudes(matrix: Tensor) -> Tensor:
    """Singular values returned as eigenvalues."""
    return torch.linalg.svdvals(_half(matrix))


def eigenvalues_of_the_buffer(matrix: Tensor) -> Tensor:
    """The memory read from its start, row by row: strides, offset and conjugate bit unseen."""
    strides = torch.empty(matrix.shape, device="meta").stride()
    plain = torch.conj(matrix) if matrix.is_conj() else matrix
    return torch.linalg.eigvalsh(
        _half(plain.as_strided(matrix.shape, strides, 0).nan_to_num())
    ).flip(-1)


def eigenvalues_squeezed(matrix: Tensor) -> Tensor:
    """`squeeze()`: a batch of one loses its axis."""
    return torch.linalg.eigvalsh(_half(matrix)).flip(-1).squeeze()


def eigenvalues_of_an_empty_batch(matrix: Tensor) -> Tensor:
    """No matrix answered as if one of zeros had come."""
    values = torch.linalg.eigvalsh(_half(matrix)).flip(-1)
    return values if values.numel() else values.new_zeros(1, matrix.shape[-1])


_SORTED = "A descending spectrum flipped, or an ascending one left alone, and indexed as the other."
_HERMITIAN = (
    "A covariance that rounding or a network had made not quite Hermitian went in as it was."
)


def _hinge_bug(number: int, gap: Callable[..., Tensor], story: str) -> KnownBug:
    name = gap.__name__.replace("gap", "hinge", 1)
    return known_bug(number, "eigengap_loss", _hinge_of(gap), story, name)


SPECTRAL_BUGS: tuple[KnownBug, ...] = (
    _hinge_bug(1, gap_of_flipped_singular_values, _SORTED),
    known_bug(1, "eigengap", gap_of_flipped_singular_values, _SORTED),
    _hinge_bug(1, gap_of_ascending_eigenvalues, _SORTED),
    known_bug(1, "eigengap", gap_of_ascending_eigenvalues, _SORTED),
    known_bug(
        1, "eigengap", gap_off_by_one, "k counted from 0 in one place and from 1 in the other."
    ),
    _hinge_bug(1, gap_off_by_one, "k counted from 0 in one place and from 1 in the other."),
    known_bug(
        1, "eigengap", gap_of_singular_values, "Right for a covariance, wrong for an estimate."
    ),
    known_bug(
        1, "eigengap_loss", hinge_with_the_sign_swapped, "Margin and gap the wrong way round."
    ),
    known_bug(1, "eigengap_loss", hinge_summed, "The gradient grows with the batch."),
    known_bug(1, "eigengap_loss", hinge_without_relu, "The hinge never rests."),
    known_bug(1, "eigengap_loss", hinge_detached, "A detach for speed, and a silent constant."),
    known_bug(1, "eigengap_loss", hinge_through_eigenvectors, "Gradients that divide by gaps."),
    known_bug(1, "singular_values", singular_values_ascending, _SORTED),
    known_bug(
        1, "singular_values", singular_values_signed, "Right for a semidefinite matrix only."
    ),
    known_bug(1, "eigenvalues", eigenvalues_ascending, _SORTED),
    known_bug(1, "eigenvalues", eigenvalues_as_magnitudes, "Right for a semidefinite matrix only."),
    known_bug(0, "eigenvalues", eigenvalues_of_the_buffer, "A raw pointer handed to LAPACK."),
    known_bug(0, "eigenvalues", eigenvalues_squeezed, "The last batch of an epoch held one."),
    known_bug(0, "eigenvalues", eigenvalues_of_an_empty_batch, "A guard against no sources."),
    _hinge_bug(2, gap_without_hermitization, _HERMITIAN),
    known_bug(2, "eigengap", gap_without_hermitization, _HERMITIAN),
    known_bug(2, "singular_values", singular_values_unhermitized, _HERMITIAN),
    known_bug(2, "hermitize", hermitize_nothing, _HERMITIAN),
    known_bug(2, "hermitize", hermitize_by_transpose, "Real test matrices do not show it."),
    known_bug(2, "hermitize", hermitize_without_half, "Twice the trace, hidden by normalisation."),
    known_bug(2, "hermitize", hermitize_by_triangle, "What a LAPACK routine reads, not the mean."),
    known_bug(2, "hermitize", hermitize_and_load, "The loading came in with the hermitization."),
)
