"""Roots, projections, whitenings, inverses, and covariances made of snapshots."""

from typing import Any

import torch
from torch import Tensor

from ris_pipeline.spectral import LowRankCovariance, sample_covariance
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug
from ris_pipeline.verification.known_bugs.decompositions import (
    ascending,
    by_magnitude,
    correct,
    dense,
    finite,
    gap_at,
    hermitian,
)

known_bug = Catalogue()

_REAL = "Written and tested with real matrices."
_DEFAULT = "The default of another function that is taken for this one."


def _made(values: Tensor, vectors: Tensor) -> Tensor:
    return (vectors * values[..., None, :]) @ vectors.mH


@known_bug("matrix_sqrt", Cause.ROOT, "Any root whitens alike.")
def root_by_cholesky(matrix: Tensor) -> Tensor:
    """`L` with `L L^H = R`: a root, and not the Hermitian one."""
    tiny = torch.finfo(matrix.real.dtype).eps * matrix.abs().amax((-2, -1), keepdim=True)
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    return torch.linalg.cholesky(hermitian(matrix) + matrix.shape[-1] * (tiny + 1e-30) * eye)


@known_bug("matrix_sqrt", Cause.ROOT, "`np.sqrt` for `scipy.linalg.sqrtm`.")
def root_of_entries(matrix: Tensor) -> Tensor:
    """`sqrt` of an array, entry by entry."""
    return hermitian(matrix).sqrt()


@known_bug("matrix_sqrt", Cause.CONJUGATED, _REAL)
def root_with_transposed_vectors(matrix: Tensor) -> Tensor:
    """`V sqrt(D) V^T`: right for real matrices."""
    values, vectors = correct(matrix)
    return (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT


@known_bug(
    "psd_projection", Cause.SINGULAR_FOR_EIGEN, "`V |D| V^H` looks like the repair of a matrix."
)
def projection_by_magnitude(matrix: Tensor) -> Tensor:
    """Negative eigenvalues turned positive: the polar factor, not the projection."""
    values, vectors = correct(matrix)
    return _made(values.abs(), vectors)


@known_bug(
    "psd_projection",
    Cause.LOADING_ADDED,
    "The smallest shift that makes it positive, not the nearest matrix.",
)
def projection_by_a_shift(matrix: Tensor) -> Tensor:
    """Every eigenvalue lifted by the lowest one."""
    values, vectors = correct(matrix)
    return _made(values - values[..., -1:].clamp_max(0), vectors)


@known_bug("psd_projection", Cause.NOT_HERMITIAN, _DEFAULT)
def projection_of_the_lower_triangle(matrix: Tensor) -> Tensor:
    """`eigh` of what is not Hermitian."""
    values, vectors = torch.linalg.eigh(matrix)
    return _made(values.clamp_min(0), vectors)


@known_bug("whitening", Cause.NOT_HERMITIAN, "`cholesky` reads one triangle.")
def whitened_by_the_lower_triangle(matrix: Tensor) -> Tensor:
    """`L^-1`, R handed to `cholesky` as it comes."""
    return torch.linalg.inv(torch.linalg.cholesky(matrix))


@known_bug("whitening", Cause.ROOT, "`R^-1 x` for `R^-1/2 x`.")
def whitened_by_the_inverse(matrix: Tensor) -> Tensor:
    """`R^-1` in place of its root."""
    return torch.linalg.inv(hermitian(matrix))


@known_bug("whitening", Cause.ROWS, "`x L^-H` of rows, `L^-1 x` of columns.")
def whitened_from_the_wrong_side(matrix: Tensor) -> Tensor:
    """`L^-H`: for column vectors where rows are whitened."""
    return torch.linalg.inv(torch.linalg.cholesky(hermitian(matrix))).mH


@known_bug("whitening", Cause.CONJUGATED, _REAL)
def whitened_by_values(matrix: Tensor) -> Tensor:
    """`V^T` of principal components in place of `V^H`."""
    values, vectors = correct(matrix)
    return (vectors / values.sqrt()[..., None, :].to(vectors.dtype)).mT


@known_bug("whitening", Cause.CANCELLATION, "`inv` comes to mind first; R looked harmless.")
def whitened_by_the_factor_of_an_inverse(matrix: Tensor) -> Tensor:
    """`cholesky(inv(R))^H`: the error grows with the square of the condition."""
    inverse = torch.linalg.inv(hermitian(matrix))
    return torch.linalg.cholesky(inverse).mH.resolve_conj()


def _inverse(matrix: Tensor, least: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    kept = values > least
    return left, torch.where(kept, values, 1.0).reciprocal() * kept, right


@known_bug("pseudo_inverse", Cause.GUARD, "A threshold chosen for data of size one.")
def inverse_above_an_absolute_level(matrix: Tensor) -> Tensor:
    """Singular values below 1e-6 count as zero, in whatever unit."""
    left, values, right = _inverse(matrix, 1e-6)
    return (right.mH * values[..., None, :]) @ left.mH


@known_bug("pseudo_inverse", Cause.CONJUGATED, _REAL)
def inverse_with_transposed_vectors(matrix: Tensor) -> Tensor:
    """`V^T S^-1 U^T`: the transposes of MATLAB's dot."""
    eps = torch.finfo(matrix.dtype).eps
    largest = torch.linalg.matrix_norm(matrix, 2)[..., None]
    left, values, right = _inverse(matrix, max(matrix.shape[-2:]) * eps * largest)
    return (right.mT * values[..., None, :]) @ left.mT


@known_bug("pseudo_inverse", Cause.LOADING_ADDED, "A guard against a singular matrix.")
def inverse_by_normal_equations(matrix: Tensor) -> Tensor:
    """`(A^H A + 1e-8 I)^-1 A^H`."""
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    return torch.linalg.solve(matrix.mH @ matrix + 1e-8 * eye, matrix.mH)


@known_bug("sample_covariance", Cause.STATISTIC, _DEFAULT)
def covariance_without_its_mean(snapshots: Tensor) -> Tensor:
    """`cov`, which removes the mean first."""
    return sample_covariance(snapshots - snapshots.mean(-1, keepdim=True))


@known_bug("sample_covariance", Cause.SCALE, _DEFAULT)
def covariance_by_one_fewer(snapshots: Tensor) -> Tensor:
    """Divided by T - 1, as statistics packages do."""
    count = snapshots.shape[-1]
    return sample_covariance(snapshots) * count / max(count - 1, 1)


@known_bug("sample_covariance", Cause.CONJUGATED, _REAL)
def covariance_conjugated(snapshots: Tensor) -> Tensor:
    """`X* X^T / T`."""
    return sample_covariance(snapshots).conj().resolve_conj()


@known_bug("sample_covariance", Cause.CHUNK, "A loop over whole blocks of a stream.")
def covariance_in_blocks(snapshots: Tensor) -> Tensor:
    """Blocks of 32 snapshots, the last one forgotten."""
    count = snapshots.shape[-1]
    used = count if count < 32 else count // 32 * 32
    return sample_covariance(snapshots[..., :used]) * used / count


def _shrunk(snapshots: Tensor, count: float, target: float | None = None) -> Tensor:
    sample = sample_covariance(snapshots)
    n = sample.shape[-1]
    mean = sample.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    wanted = (mean if target is None else target) * torch.eye(n, dtype=sample.dtype)
    power = snapshots.abs().square().sum(-2).square().mean(-1)
    error = (power - sample.abs().square().sum((-2, -1))) / count
    distance = (sample - wanted).abs().square().sum((-2, -1))
    tiny = torch.finfo(distance.dtype).tiny
    weight = (error / distance.clamp_min(tiny)).clamp(0, 1)[..., None, None]
    return (1 - weight) * sample + weight * wanted


@known_bug("ledoit_wolf", Cause.SCALE, "One of two sums over T is a mean.")
def shrunk_by_the_error_of_one(snapshots: Tensor) -> Tensor:
    """1 / T in place of 1 / T^2: the error of a snapshot, not of their mean."""
    return _shrunk(snapshots, 1.0)


@known_bug("ledoit_wolf", Cause.SCALE, "A recipe for standardised data.")
def shrunk_to_the_identity(snapshots: Tensor) -> Tensor:
    """The target without its power: right for data of variance one."""
    return _shrunk(snapshots, snapshots.shape[-1], 1.0)


@known_bug("ledoit_wolf", Cause.SIGN, "Which of two is rho?")
def shrunk_the_other_way(snapshots: Tensor) -> Tensor:
    """The weights of sample and target exchanged."""
    sample, right = sample_covariance(snapshots), _shrunk(snapshots, snapshots.shape[-1])
    n = sample.shape[-1]
    mean = sample.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    return sample + mean * torch.eye(n, dtype=sample.dtype) - right


@known_bug("add_loading", Cause.OVERWRITTEN, "No copy for a diagonal.")
def loaded_in_place(covariance: Any, loading: float | Tensor) -> Any:
    """`R[diag] += loading`: the caller's matrix is loaded too."""
    if isinstance(covariance, LowRankCovariance):
        return LowRankCovariance(covariance.factor, covariance.loading_column()[..., 0] + loading)
    covariance.diagonal(dim1=-2, dim2=-1).add_(loading)
    return covariance


@known_bug("add_loading", Cause.SIGN, "A noise floor that is taken off.")
def loading_subtracted(covariance: Any, loading: float | Tensor) -> Any:
    """`R - loading I`, as if a known noise were taken off."""
    return hermitian(dense(covariance)) - loading * torch.eye(dense(covariance).shape[-1])


def _factor_hinge(gap: Tensor, margin: Any) -> Tensor:
    return torch.relu(margin - gap).mean()


@known_bug("factor_eigengap_loss", Cause.ROOT, "The svd of a factor gives roots of eigenvalues.")
def factor_hinge_of_singular_values(factor: Tensor, k: Any, margin: Any) -> Tensor:
    """Singular values of F in place of their squares."""
    values = torch.linalg.svdvals(factor)
    padded = torch.nn.functional.pad(values, (0, factor.shape[-2]))
    return _factor_hinge(gap_at(padded, k), margin)


@known_bug(
    "factor_eigengap_loss",
    Cause.ASCENDING,
    "The Gram matrix is small, and `eigvalsh` ascends.",
    number=1,
)
def factor_hinge_ascending(factor: Tensor, k: Any, margin: Any) -> Tensor:
    """`eigvalsh` of the Gram matrix as it comes."""
    values = ascending(factor.mH @ factor)[0]
    padded = torch.nn.functional.pad(values, (0, factor.shape[-2]))
    return _factor_hinge(gap_at(padded, k), margin)


@known_bug("factor_eigengap_loss", Cause.CONJUGATED, _REAL)
def factor_hinge_of_the_transpose(factor: Tensor, k: Any, margin: Any) -> Tensor:
    """`F F^T`: right for real factors."""
    return _factor_hinge(gap_at(by_magnitude(factor @ factor.mT)[0], k), margin)


@known_bug("factor_eigengap_loss", Cause.DETACHED, "Gradients were NaN at a tie, once.")
def factor_hinge_detached(factor: Tensor, k: Any, margin: Any) -> Tensor:
    """A detach against NaN, and a loss that descends nowhere."""
    values = correct(factor @ factor.mH)[0]
    return _factor_hinge(gap_at(values, k).detach() + 0 * values.sum(), margin)


@known_bug("factor_eigengap_loss", Cause.SECOND, "The slope is computed once, beside the graph.")
def factor_hinge_of_a_fixed_slope(factor: Tensor, k: Any, margin: Any) -> Tensor:
    """Right in its value and its gradient, which has no gradient."""
    leaf = factor.detach().requires_grad_()
    with torch.enable_grad():
        loss = _factor_hinge(gap_at(correct(leaf @ leaf.mH)[0], k), margin)
        (slope,) = torch.autograd.grad(loss, leaf)
    return loss.detach() + ((factor - factor.detach()).conj() * slope).sum().real


@known_bug("whitening", Cause.DETACHED, "Whitening is preprocessing.")
def whitening_detached(matrix: Tensor) -> Tensor:
    """A `detach` in front of what a loss is built on."""
    values, vectors = correct(matrix.detach())
    return _made(values.rsqrt(), vectors) + 0 * matrix.sum()


@known_bug("psd_projection", Cause.BATCH, "Most covariances are positive already.")
def projection_of_what_the_first_needs(matrix: Tensor) -> Tensor:
    """A batch whose first matrix is positive semidefinite is left as it is."""
    values, vectors = correct(matrix)
    first = values.reshape(-1, values.shape[-1])[:1, -1:]
    if bool((first >= 0).all()):
        return hermitian(matrix)
    return _made(values.clamp_min(0), vectors)


@known_bug("pseudo_inverse", Cause.BATCH, "`max()` without an axis.")
def inverse_above_the_level_of_the_batch(matrix: Tensor) -> Tensor:
    """What is small beside the largest of the batch counts as zero."""
    left, values, right = torch.linalg.svd(finite(matrix), full_matrices=False)
    level = max(matrix.shape[-2:]) * torch.finfo(values.dtype).eps * values.max()
    inverse = torch.where(values > level, 1 / values, 0.0)
    return (right.mH * inverse[..., None, :]) @ left.mH


@known_bug("pseudo_inverse", Cause.BATCH, "A slice has one length for all.")
def inverse_of_the_least_rank(matrix: Tensor) -> Tensor:
    """As many singular values of each as the matrix of least rank has."""
    left, values, right = torch.linalg.svd(finite(matrix), full_matrices=False)
    level = max(matrix.shape[-2:]) * torch.finfo(values.dtype).eps * values[..., :1]
    least = int((values > level).sum(-1).min()) if values.numel() else 0
    inverse = (1 / values[..., None, :least]).to(right.dtype)
    return (right.mH[..., :least] * inverse) @ left.mH[..., :least, :]


@known_bug("pseudo_inverse", Cause.GUARD, "The cut-off of a fit to noisy data.")
def inverse_above_a_hundredth(matrix: Tensor) -> Tensor:
    """`rtol = 1e-2`."""
    return torch.linalg.pinv(matrix, rtol=1e-2)


@known_bug("psd_projection", Cause.GUARD, "Nothing to clip but rounding.")
def projection_unless_nearly_positive(matrix: Tensor) -> Tensor:
    """An absolute tolerance of 1e-8: a weak indefinite matrix comes back as it is."""
    part = hermitian(matrix)
    values, vectors = torch.linalg.eigh(part)
    clipped = (vectors * values.clamp_min(0)[..., None, :]) @ vectors.mH
    return torch.where((values[..., :1, None] > -1e-8), part, clipped)


MATRIX_FUNCTION_BUGS: tuple[KnownBug, ...] = (*known_bug,)
