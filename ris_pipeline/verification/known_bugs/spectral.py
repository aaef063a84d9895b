"""Hermitization, spectra, the eigengap and its hinge: mistakes beyond the decomposition itself."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug, entry
from ris_pipeline.verification.known_bugs.decompositions import (
    correct,
    dense,
    finite,
    flipped_svd,
    gap_at,
    hermitian,
    hinge_of,
    place,
)

known_bug = Catalogue()

_FLIPPED = (
    "`svd` descends; the code flipped it and went on indexing it as descending (the run that never "
    "learned, October 2025)."
)
_HERMITIAN = "The loss decomposed the network's matrix as it was (same run)."
_NUMPY = "The loop over matrices came later than the function."
_COUNT = "k counted from 0 in one place and from 1 in the other."
_DETACH = "A detach for speed, or against NaN gradients, and a silent constant."
_SIGNS = "Right for a covariance, so no test on covariances shows it."


@known_bug("hermitize", Cause.NOT_HERMITIAN, _HERMITIAN, number=2)
def hermitize_nothing(matrix: Tensor) -> Tensor:
    """No hermitization at all."""
    return matrix


@known_bug("hermitize", Cause.CONJUGATED, "`A.T` from a real test matrix.", number=2)
def hermitize_by_transpose(matrix: Tensor) -> Tensor:
    """`(A + A^T) / 2`: the conjugate forgotten."""
    return 0.5 * (matrix + matrix.mT)


@known_bug("hermitize", Cause.HALF, "Twice the trace, hidden by the normalisation that follows.")
def hermitize_without_half(matrix: Tensor) -> Tensor:
    """`A + A^H`: the half forgotten; doubles the spectrum."""
    return matrix + matrix.mH


@known_bug(
    "hermitize", Cause.NOT_HERMITIAN, "What `zheevd` reads, taken for the Hermitian part.", number=2
)
def hermitize_by_triangle(matrix: Tensor) -> Tensor:
    """The lower triangle mirrored: Hermitian, but not the nearest."""
    lower = matrix.tril(-1)
    return lower + lower.mH + torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1).real)


@known_bug(
    "hermitize",
    Cause.LOADING_ADDED,
    "Hermitization and a loading of 1e-4 came in by one line of the same run's repair.",
    number=2,
)
def hermitize_and_load(matrix: Tensor) -> Tensor:
    """`(A + A^H) / 2 + 1e-4 I`: a loading slipped in, large beside a small matrix."""
    return hermitian(matrix) + 1e-4 * torch.eye(matrix.shape[-1], dtype=matrix.dtype)


@known_bug("hermitize", Cause.OVERWRITTEN, "In-place operations against an out-of-memory error.")
def hermitize_in_place(matrix: Tensor) -> Tensor:
    """`A += A^H; A *= 0.5`: saves a copy, and the caller's covariance is another one."""
    return matrix.add_(matrix.mH.clone()).mul_(0.5)


@known_bug("hermitize", Cause.BATCH, _NUMPY)
def hermitize_over_the_batch(matrix: Tensor) -> Tensor:
    """`numpy`'s `A.T.conj()`, which turns every axis; right for a single matrix."""
    turned = matrix.permute(*reversed(range(matrix.ndim))).conj()
    return 0.5 * (matrix + (turned if turned.shape == matrix.shape else matrix.mH))


@known_bug("singular_values", Cause.ASCENDING, _FLIPPED, number=1)
def singular_values_ascending(matrix: Tensor) -> Tensor:
    """`svdvals` flipped."""
    return flipped_svd(matrix)[0]


@known_bug("singular_values", Cause.EIGEN_FOR_SINGULAR, _SIGNS)
def singular_values_signed(matrix: Tensor) -> Tensor:
    """Eigenvalues returned as singular values: negative ones on indefinite matrices."""
    return correct(matrix)[0]


@known_bug("singular_values", Cause.UNSORTED, _SIGNS)
def singular_values_of_sorted_eigenvalues(matrix: Tensor) -> Tensor:
    """`|lambda|` of sorted eigenvalues, which sorts the magnitudes of nothing."""
    return correct(matrix)[0].abs()


@known_bug("singular_values", Cause.NOT_HERMITIAN, _HERMITIAN, number=2)
def singular_values_unhermitized(matrix: Tensor) -> Tensor:
    """`svdvals` of the matrix as it is."""
    return torch.linalg.svdvals(matrix)


@known_bug(
    "singular_values",
    Cause.CANCELLATION,
    "A q x q Gram matrix is the faster way, and right for the large ones.",
)
def singular_values_of_the_gram(matrix: Tensor) -> Tensor:
    """`sqrt(eig(A^H A))`: half of the digits are gone below `sqrt(eps) ||A||`."""
    gram = hermitian(matrix).mH @ hermitian(matrix)
    return torch.linalg.eigvalsh(gram).flip(-1).clamp_min(0).sqrt()


@known_bug(
    "singular_values",
    Cause.ROOT,
    "Powers are squares of singular values of the data, not of the covariance.",
)
def singular_values_squared(matrix: Tensor) -> Tensor:
    """The eigenvalues of `A^H A`, the root forgotten."""
    return torch.linalg.svdvals(hermitian(matrix)).square()


@known_bug("singular_values", Cause.DETACHED, _DETACH)
def singular_values_detached(matrix: Tensor) -> Tensor:
    """Through `.detach()`: the value is right, the gradient is zero."""
    return torch.linalg.svdvals(hermitian(matrix).detach()) + 0 * matrix.real.sum()


@known_bug("eigenvalues", Cause.MEMORY, "A raw pointer handed to LAPACK or to a C extension.")
def eigenvalues_of_the_buffer(matrix: Tensor) -> Tensor:
    """The memory read from its start, row by row: strides, offset and conjugate bit unseen."""
    strides = torch.empty(matrix.shape, device="meta").stride()
    plain = torch.conj(matrix) if matrix.is_conj() else matrix
    buffer = plain.as_strided(matrix.shape, strides, 0).nan_to_num()
    return torch.linalg.eigvalsh(hermitian(buffer)).flip(-1)


@known_bug("eigenvalues", Cause.BATCH, "The last batch of an epoch held one.")
def eigenvalues_squeezed(matrix: Tensor) -> Tensor:
    """`squeeze()`: a batch of one loses its axis."""
    return correct(matrix)[0].squeeze()


@known_bug("eigenvalues", Cause.BATCH, "A guard against scenes without a source.")
def eigenvalues_of_an_empty_batch(matrix: Tensor) -> Tensor:
    """No matrix answered as if one of zeros had come."""
    values = correct(matrix)[0]
    return values if values.numel() else values.new_zeros(1, matrix.shape[-1])


@known_bug("eigenvalues", Cause.BATCH, "`eig` and an index, written for one matrix.")
def eigenvalues_sorted_like_the_first(matrix: Tensor) -> Tensor:
    """`w[:, w[0].argsort()]`: the order of the first matrix for every one of them."""
    values = torch.linalg.eigvals(hermitian(finite(matrix))).real
    flat = values.reshape(-1, values.shape[-1])
    if not len(flat):
        return values
    return values[..., flat[0].argsort(descending=True)]


@known_bug("eigenvalues", Cause.CLIPPED, "Against the -1e-17 that made a logarithm NaN.")
def eigenvalues_clipped(matrix: Tensor) -> Tensor:
    """`clamp(min=0)`: a covariance has no negative ones."""
    return correct(matrix)[0].clamp_min(0)


@known_bug("eigenvalues", Cause.DETACHED, _DETACH)
def eigenvalues_detached(matrix: Tensor) -> Tensor:
    """Through `.detach()`: the value is right, the gradient is zero."""
    return correct(matrix.detach())[0] + 0 * matrix.real.sum()


@known_bug("eigengap", Cause.OFF_BY_ONE, _COUNT)
def gap_off_by_one(covariance: Any, k: int | Tensor) -> Tensor:
    """k read as an index from 0: `lambda_{k+1} - lambda_{k+2}`, the last one wrapped."""
    values, index = correct(dense(covariance))[0], torch.as_tensor(k)
    return place(values, index) - place(values, (index + 1).clamp_max(values.shape[-1] - 1))


@known_bug("eigengap", Cause.ASCENDING, _FLIPPED, number=1)
def gap_of_flipped_singular_values(covariance: Any, k: int | Tensor) -> Tensor:
    """Descending singular values flipped, then indexed as if still descending."""
    return gap_at(flipped_svd(dense(covariance))[0], k)


@known_bug(
    "eigengap",
    Cause.ASCENDING,
    "The gap came out negative, and an `abs` made the assertion pass.",
    number=1,
)
def gap_made_positive(covariance: Any, k: int | Tensor) -> Tensor:
    """`abs` of the gap in the wrong order: never negative, and still another gap."""
    return gap_of_flipped_singular_values(covariance, k).abs()


@known_bug(
    "eigengap",
    Cause.SCALE,
    "A relative gap reads better in a plot, and met a margin in absolute units.",
)
def gap_relative(covariance: Any, k: int | Tensor) -> Tensor:
    """In units of the largest eigenvalue."""
    values = correct(dense(covariance))[0]
    largest = values.abs().amax(-1).clamp_min(torch.finfo(values.dtype).tiny)
    return gap_at(values, k) / largest


@known_bug("eigengap", Cause.DETACHED, _DETACH)
def gap_detached(covariance: Any, k: int | Tensor) -> Tensor:
    """Through `.detach()`: the value is right, the gradient is zero."""
    matrix = dense(covariance)
    return gap_at(correct(matrix.detach())[0], k) + 0 * matrix.real.sum()


@known_bug(
    "eigengap_loss",
    Cause.SIGN,
    "Margin and gap the wrong way round: the loss falls while the gap closes.",
)
def hinge_with_the_sign_swapped(covariance: Any, k: int | Tensor, margin: Any) -> Tensor:
    """`relu(gap - margin)`: descends by closing the gap."""
    values = correct(dense(covariance))[0]
    return torch.relu(gap_at(values, k) - margin).mean() + 0 * values.sum()


@known_bug(
    "eigengap_loss",
    Cause.SUM_FOR_MEAN,
    "The gradient grows with the batch, and the learning rate was tuned at another one.",
)
def hinge_summed(covariance: Any, k: int | Tensor, margin: Any) -> Tensor:
    """Sum over the batch in place of the mean."""
    return torch.relu(margin - gap_at(correct(dense(covariance))[0], k)).sum()


@known_bug("eigengap_loss", Cause.MEAN_TOO_EARLY, "`.mean()` moved by one bracket.")
def hinge_of_the_mean_gap(covariance: Any, k: int | Tensor, margin: Any) -> Tensor:
    """`relu(margin - mean gap)`: open gaps pay for closed ones."""
    return torch.relu((margin - gap_at(correct(dense(covariance))[0], k)).mean())


@known_bug("eigengap_loss", Cause.NEVER_RESTS, "The relu lost in a clean-up.")
def hinge_without_relu(covariance: Any, k: int | Tensor, margin: Any) -> Tensor:
    """`mean(margin - gap)`: pulls on gaps that are open already."""
    return (margin - gap_at(correct(dense(covariance))[0], k)).mean()


@known_bug("eigengap_loss", Cause.EMPTY_SLOTS, "`margin = margin or self.margin`.")
def hinge_of_a_margin_at_least(covariance: Any, k: int | Tensor, margin: Any) -> Tensor:
    """A margin of zero is taken for none, and the default for it."""
    return torch.relu((margin or 1.0) - gap_at(correct(dense(covariance))[0], k)).mean()


@known_bug("eigengap_loss", Cause.ROOT, "The squared hinge of another paper under the same name.")
def hinge_squared(covariance: Any, k: int | Tensor, margin: Any) -> Tensor:
    """`relu(margin - gap)^2`: smooth, and blind to the last bit of a gap."""
    return torch.relu(margin - gap_at(correct(dense(covariance))[0], k)).square().mean()


@known_bug("eigengap_loss", Cause.DETACHED, _DETACH)
def hinge_detached(covariance: Any, k: int | Tensor, margin: Any) -> Tensor:
    """Eigenvalues taken from `.detach()`: the value is right, the gradient is zero."""
    matrix = dense(covariance)
    gap = gap_at(correct(matrix.detach())[0], k)
    return torch.relu(margin - gap).mean() + 0 * matrix.abs().sum()


def _quotients(covariance: Any) -> Tensor:
    """`v_i^H A v_i` with differentiated eigenvectors, descending."""
    matrix = hermitian(dense(covariance))
    vectors = torch.linalg.eigh(matrix)[1]
    return (vectors.conj() * (matrix @ vectors)).real.sum(-2).flip(-1)


@known_bug("eigenvalues", Cause.DIVIDES_BY_GAPS, "Both are at hand after `eigh`.")
def eigenvalues_through_eigenvectors(covariance: Any) -> Tensor:
    """Rayleigh quotients: no slope, not even of simple values, where two others are equal."""
    return _quotients(covariance)


@known_bug("eigengap", Cause.DIVIDES_BY_GAPS, "Both are at hand after `eigh`.")
def eigengap_through_eigenvectors(covariance: Any, k: int | Tensor) -> Tensor:
    """A difference of Rayleigh quotients."""
    return gap_at(_quotients(covariance), k)


@known_bug(
    "eigengap_loss",
    Cause.DIVIDES_BY_GAPS,
    "Rayleigh quotients of `eigh`'s vectors; the same run later switched its gap term off "
    "because of NaN gradients.",
)
def hinge_through_eigenvectors(covariance: Any, k: int | Tensor, margin: Any) -> Tensor:
    """`lambda_i = v_i^H A v_i` with differentiated eigenvectors: NaN gradients at ties."""
    matrix = hermitian(dense(covariance))
    vectors = correct(matrix)[1]
    values = (vectors.conj() * (matrix @ vectors)).real.sum(-2)
    return torch.relu(margin - gap_at(values, k)).mean()


@known_bug("eigengap_loss", Cause.SCALE, "In units of the largest eigenvalue, and scaled back.")
def hinge_in_units_of_the_largest(covariance: Any, k: Any, margin: Any) -> Tensor:
    """`s relu(m / s - gap / s)` with s = l_1, which is negative where every eigenvalue is."""
    matrix = hermitian(dense(covariance))
    values = torch.linalg.eigvalsh(matrix).flip(-1)
    scale = values.detach()[..., 0]
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    hinge = torch.relu(margin / scale - gap_at(values, k) / scale)
    return (scale * hinge).mean()


def _hinge_bug(cause: Cause, gap: Callable[..., Tensor], story: str, number: int = 1) -> KnownBug:
    name = gap.__name__.replace("gap", "hinge", 1)
    return entry("eigengap_loss", cause, hinge_of(gap), story, number=number, name=name)


_GAPS = (
    _hinge_bug(Cause.ASCENDING, gap_of_flipped_singular_values, _FLIPPED),
    _hinge_bug(Cause.OFF_BY_ONE, gap_off_by_one, _COUNT, 0),
)

SPECTRAL_BUGS: tuple[KnownBug, ...] = (
    *known_bug,
    *_GAPS,
)
