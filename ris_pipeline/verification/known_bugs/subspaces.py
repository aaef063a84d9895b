"""Subspaces, projectors and spatial spectra."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.spectral import LowRankCovariance, projector
from ris_pipeline.spectral.spectra import bartlett_spectrum, mvdr_spectrum
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug
from ris_pipeline.verification.known_bugs.decompositions import (
    correct,
    dense,
    finite,
    hermitian,
    music_of,
)

known_bug = Catalogue()

_FORM = "Two forms of one formula, of which only one was changed."
_COUNT = "k counted from 0 in one place and from 1 in the other."
_WHICH = "Which of the two projectors the name means is nowhere written."
_REAL = "Real test matrices do not show it."
_HERMITIAN = "Rounding or a network had made the covariance not quite Hermitian."
_EINSUM = "`einsum` with the conjugate on the other operand."


def _tiny(values: Tensor) -> float:
    return torch.finfo(values.dtype).tiny


@known_bug("signal_subspace", Cause.OFF_BY_ONE, _COUNT)
def signal_of_one_more(matrix: Any, k: int) -> Tensor:
    """k counted from zero: k + 1 columns."""
    return correct(dense(matrix))[1][..., : k + 1]


@known_bug("signal_subspace", Cause.NOT_ORTHONORMAL, "Principal components, not a basis.")
def signal_not_normalized(matrix: Any, k: int) -> Tensor:
    """Columns scaled by their eigenvalues, `U sqrt(L)`."""
    values, vectors = correct(dense(matrix))
    return vectors[..., :k] * values[..., None, :k].abs().sqrt().to(vectors.dtype)


@known_bug(
    "signal_subspace",
    Cause.NOT_ORTHONORMAL,
    "`eig` and a sort: orthogonal on every matrix with distinct eigenvalues.",
)
def signal_of_a_general_solver(matrix: Any, k: int) -> Tensor:
    """`eig`, sorted: the vectors of a repeated eigenvalue are not orthogonal."""
    values, vectors = torch.linalg.eig(finite(dense(matrix)))
    order = values.real.argsort(dim=-1, descending=True)
    sorted_vectors = vectors.gather(-1, order[..., None, :].expand(vectors.shape))
    return sorted_vectors[..., :k]


@known_bug(
    "signal_subspace",
    Cause.MEMORY,
    "scipy's eigensolver for its options, in the middle of torch code.",
)
def signal_through_numpy(matrix: Any, k: int) -> Tensor:
    """`numpy()` of a tensor that is the conjugate of another one raises."""
    vectors = np.linalg.eigh(dense(matrix).numpy())[1]
    return torch.from_numpy(np.ascontiguousarray(vectors[..., ::-1][..., :k]))


@known_bug("noise_subspace", Cause.BATCH, "A loop around the function for one matrix.")
def noise_by_stack(matrix: Tensor, k: int) -> Tensor:
    """`torch.stack` of a loop over the matrices: there has to be one."""
    if matrix.ndim == 2:
        return correct(matrix)[1][..., k:]
    return torch.stack([noise_by_stack(one, k) for one in matrix])


@known_bug("noise_subspace", Cause.OTHER_SUBSPACE, "A colon on the wrong side of k.")
def noise_of_the_signal(matrix: Tensor, k: int) -> Tensor:
    """`[:k]` in place of `[k:]`: the signal subspace under the other name."""
    return correct(matrix)[1][..., :k]


@known_bug("noise_subspace", Cause.OFF_BY_ONE, _COUNT)
def noise_of_one_fewer(matrix: Tensor, k: int) -> Tensor:
    """`[k + 1:]`: one column of the noise subspace missing."""
    return correct(matrix)[1][..., k + 1 :]


@known_bug("projector", Cause.CONJUGATED, _REAL)
def projector_by_transpose(basis: Tensor) -> Tensor:
    """`U U^T`: the conjugate forgotten."""
    return basis @ basis.mT


@known_bug("projector", Cause.OTHER_SUBSPACE, _WHICH)
def projector_on_noise(basis: Tensor) -> Tensor:
    """`I - U U^H` in place of `U U^H`."""
    eye = torch.eye(basis.shape[-2], dtype=basis.dtype)
    return eye - basis @ basis.mH


@known_bug(
    "projector",
    Cause.LOADING_ADDED,
    "A ridge against collinear steering vectors, kept when the basis became orthonormal.",
)
def projector_by_ridge(basis: Tensor) -> Tensor:
    """`U (U^H U + 1e-6 I)^-1 U^H`: the ridge of a least-squares routine left in."""
    gram = basis.mH @ basis
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
    return basis @ torch.linalg.solve(gram + 1e-6 * eye, basis.mH.resolve_conj())


@known_bug("projector", Cause.SCALE, "`X X^H / T` from the sample covariance.")
def projector_averaged(basis: Tensor) -> Tensor:
    """`U U^H / k`: formed by the function that averages snapshots."""
    return basis @ basis.mH / basis.shape[-1]


@known_bug("projector", Cause.AXES, "Bases as rows in the paper.")
def projector_of_the_coefficients(basis: Tensor) -> Tensor:
    """`U^H U`: k x k, and an identity."""
    return basis.mH @ basis


@known_bug("noise_projection", Cause.OTHER_SUBSPACE, _WHICH)
def projection_on_signal(basis: Tensor, x: Tensor) -> Tensor:
    """`|U^H x|^2`: the part that lies in the subspace."""
    return (basis.mH @ x).abs().square().sum(-2)


@known_bug("soft_alignment", Cause.SCALE, "Tuned on covariances of trace one.")
def alignment_of_unit_power(matrix: Any, steering: Tensor, ridge: float = 1e-3) -> Tensor:
    """`F^H F + ridge I` in place of `ridge tr(F^H F) I`: right where the power is one."""
    gram, projected = matrix.gram(), matrix.factor.mH @ steering
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
    solved = torch.linalg.solve(gram + ridge * eye, projected)
    return (projected.conj() * solved).real.sum(-2)


@known_bug("bartlett_spectrum", Cause.CONJUGATED, _EINSUM)
def bartlett_by_transpose(matrix: Any, steering: Tensor) -> Tensor:
    """`a^T R a^*`: the conjugate on the wrong side."""
    return bartlett_spectrum(dense(matrix), steering.conj().resolve_conj())


@known_bug("bartlett_spectrum", Cause.LOADING_LOST, _FORM)
def bartlett_of_the_factor(matrix: Any, steering: Tensor) -> Tensor:
    """The loading left out of the factored form."""
    if isinstance(matrix, LowRankCovariance):
        return bartlett_spectrum(LowRankCovariance(matrix.factor), steering)
    return bartlett_spectrum(matrix, steering)


@known_bug("bartlett_spectrum", Cause.NOT_HERMITIAN, _HERMITIAN)
def bartlett_without_hermitization(matrix: Any, steering: Tensor) -> Tensor:
    """`|a^H R a|` in place of its real part: the skew part counts as power."""
    return (steering.conj() * (dense(matrix) @ steering)).sum(-2).abs()


def _capon(matrix: Tensor, steering: Tensor) -> Tensor:
    """`R^-1 a`, by a solver that takes any matrix."""
    steering = steering.expand(*matrix.shape[:-2], *steering.shape[-2:])
    return torch.linalg.solve(matrix, steering)


@known_bug("mvdr_spectrum", Cause.RECIPROCAL, "The reciprocal left to the plot.")
def mvdr_upside_down(matrix: Any, steering: Tensor) -> Tensor:
    """`a^H R^-1 a`: the reciprocal forgotten."""
    return mvdr_spectrum(matrix, steering).reciprocal()


@known_bug("mvdr_spectrum", Cause.RECIPROCAL, "The solve dropped as too slow.")
def mvdr_without_inverse(matrix: Any, steering: Tensor) -> Tensor:
    """`1 / (a^H R a)`."""
    return bartlett_spectrum(matrix, steering).reciprocal()


@known_bug("mvdr_spectrum", Cause.CONJUGATED, _EINSUM)
def mvdr_by_transpose(matrix: Any, steering: Tensor) -> Tensor:
    """`a^T R^-1 a^*`."""
    return mvdr_spectrum(dense(matrix), steering.conj().resolve_conj())


@known_bug("mvdr_spectrum", Cause.NOT_HERMITIAN, _HERMITIAN)
def mvdr_without_hermitization(matrix: Any, steering: Tensor) -> Tensor:
    """A general solve of the matrix as it is, and the real part of the form."""
    form = (steering.conj() * _capon(dense(matrix), steering)).real.sum(-2)
    return form.reciprocal()


@known_bug(
    "mvdr_spectrum",
    Cause.GUARD,
    "One snapshot gives a covariance of rank one, `inv` failed, and `pinv` did not.",
)
def mvdr_without_loading(matrix: Any, steering: Tensor) -> Tensor:
    """`pinv(R, rcond=1e-4)`: the singular covariance's way out, no floor beside the sources."""
    inverse = torch.linalg.pinv(hermitian(dense(matrix)), rtol=1e-4, hermitian=True)
    form = (steering.conj() * (inverse @ steering)).real.sum(-2)
    return form.clamp_min(_tiny(form)).reciprocal()


@known_bug("mvdr_spectrum", Cause.MEMORY, "Written on `R`, called with `R.conj()`.")
def mvdr_through_numpy(matrix: Any, steering: Tensor) -> Tensor:
    """`numpy()` of a tensor that is the conjugate of another one raises."""
    inverse = torch.from_numpy(np.linalg.inv(dense(matrix).numpy()))
    return (steering.conj() * (inverse @ steering)).real.sum(-2).reciprocal()


@known_bug("mvdr_spectrum", Cause.OVERWRITTEN, "The one-line way of loading a diagonal.")
def mvdr_loading_in_place(matrix: Any, steering: Tensor) -> Tensor:
    """`R.diagonal().add_(...)`: the caller's covariance grows at every call."""
    plain = dense(matrix)
    diagonal = plain.diagonal(dim1=-2, dim2=-1)
    diagonal.add_(1e-6 * diagonal.real.mean(-1, keepdim=True))
    return mvdr_spectrum(plain, steering)


@known_bug("mvdr_spectrum", Cause.LOADING_ADDED, "Loaded in the function and by its caller.")
def mvdr_loaded(matrix: Any, steering: Tensor) -> Tensor:
    """`R + 1e-2 (tr R / n) I` inside: loaded once by the caller and once here."""
    plain = hermitian(dense(matrix))
    mean = plain.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    eye = torch.eye(plain.shape[-1], dtype=plain.dtype)
    return mvdr_spectrum(plain + 1e-2 * mean[..., None, None] * eye, steering)


@known_bug(
    "mvdr_spectrum",
    Cause.SCALE,
    "The normalised variant of a survey, under the name of the plain one.",
)
def mvdr_with_its_numerator(matrix: Any, steering: Tensor) -> Tensor:
    """`a^H R^-1 a / a^H R^-2 a`: the adapted angular response, another spectrum of the shelf."""
    weights = _capon(hermitian(dense(matrix)), steering)
    form = (steering.conj() * weights).real.sum(-2)
    return form / weights.abs().square().sum(-2)


@known_bug("music_spectrum", Cause.OTHER_SUBSPACE, _WHICH)
def music_on_signal(matrix: Any, steering: Tensor, k: int) -> Tensor:
    """`1 / |U_s^H a|^2`: the other subspace, valleys for peaks."""
    inside = (correct(dense(matrix))[1][..., :k].mH @ steering).abs().square().sum(-2)
    return inside.clamp_min(_tiny(inside)).reciprocal()


@known_bug("music_spectrum", Cause.OFF_BY_ONE, _COUNT)
def music_of_one_fewer(matrix: Any, steering: Tensor, k: int) -> Tensor:
    """`U[:, k - 1:]` for the noise: the weakest source counts as noise."""
    return music_of(lambda r, order: correct(dense(r))[1][..., order - 1 :])(matrix, steering, k)


@known_bug(
    "music_spectrum",
    Cause.ROOT,
    "`norm(E_n^H a)` without its square: the same peaks, half the decibels.",
)
def music_of_amplitudes(matrix: Any, steering: Tensor, k: int) -> Tensor:
    """`1 / |E_n^H a|`: the square forgotten."""
    return music_of(lambda r, order: correct(dense(r))[1][..., order:])(matrix, steering, k).sqrt()


@known_bug(
    "music_spectrum",
    Cause.CANCELLATION,
    "k products are cheaper than n - k; the peak's height is rounding.",
)
def music_by_difference(matrix: Any, steering: Tensor, k: int) -> Tensor:
    """`1 / (|a|^2 - |U_s^H a|^2)`: no digit left at the peak."""
    inside = (correct(dense(matrix))[1][..., :k].mH @ steering).abs().square().sum(-2)
    left = steering.abs().square().sum(-2) - inside
    return left.clamp_min(_tiny(left)).reciprocal()


@known_bug("projector", Cause.REAL_PART, "An imaginary part of a per cent is taken for rounding.")
def projector_without_a_small_imaginary_part(basis: Tensor) -> Tensor:
    """The real part alone, where the imaginary one is below a hundredth."""
    answer = projector(basis)
    size = answer.detach().abs().amax() if answer.numel() else answer.real.sum()
    small = bool(answer.detach().imag.abs().amax() < 1e-2 * size) if answer.numel() else False
    return answer.real.to(answer.dtype) if small else answer


SUBSPACE_BUGS: tuple[KnownBug, ...] = (*known_bug,)
