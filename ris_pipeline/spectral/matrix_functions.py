"""Functions of a matrix through its eigenvalues or singular values.

square root      V diag(sqrt(lambda_i)) V^H
projection       V diag(max(lambda_i, 0)) V^H       the nearest positive semidefinite matrix
whitening        L^-1,   R = L L^H                  W R W^H = I
pseudo-inverse   V diag(1 / sigma_i) U^H            over the sigma_i that are no rounding

Derivatives of the first two divide by eigenvalue differences, as `eigh` says.

Sources: N. J. Higham, "Computing a nearest symmetric positive semidefinite matrix", Linear Algebra
Appl. 103, 1988, theorem 2.1; R. Penrose, "A generalized inverse for matrices", Proc. Cambridge
Philos. Soc. 51(3), 1955; A. Kessy, A. Lewin, K. Strimmer, "Optimal whitening and decorrelation",
Amer. Statist. 72(4), 2018.
"""

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_complex, check_finite, numbers
from ris_pipeline.spectral.hermitian import eigh, hermitize


def matrix_sqrt(matrix: Complex[Tensor, "*batch n n"]) -> Complex[Tensor, "*batch n n"]:
    """The Hermitian positive semidefinite S with `S S = R`.

    Eigenvalues that rounding has made negative, above `-n eps lambda_1`, count as zero.

    Raises:
        InputError: not square, not complex, not finite, or not positive semidefinite.
    """
    values, vectors = eigh(matrix)
    rounding = values.shape[-1] * torch.finfo(values.dtype).eps * values[..., :1].abs()
    negative = numbers((values < -rounding).any())
    if negative is not None and bool(negative.any()):
        raise InputError("matrix has a negative eigenvalue: allowed is a positive semidefinite one")
    return hermitize((vectors * values.clamp_min(0.0).sqrt()[..., None, :]) @ vectors.mH)


def psd_projection(matrix: Complex[Tensor, "*batch n n"]) -> Complex[Tensor, "*batch n n"]:
    """The positive semidefinite matrix nearest to R in the Frobenius norm.

    It is that of the Hermitian part with its negative eigenvalues set to zero.

    Raises:
        InputError: not square, not complex, or not finite.
    """
    values, vectors = eigh(matrix)
    return hermitize((vectors * values.clamp_min(0.0)[..., None, :]) @ vectors.mH)


def whitening(matrix: Complex[Tensor, "*batch n n"]) -> Complex[Tensor, "*batch n n"]:
    """W with `W R W^H = I`, the inverse of the Cholesky factor of the Hermitian part.

    Any unitary matrix times W is another one; `W^H W = R^-1` for all of them.

    Raises:
        InputError: not square, not complex, or not finite.
        torch.linalg.LinAlgError: not positive definite.
    """
    check_finite("matrix", matrix)
    hermitian = hermitize(matrix)
    cholesky = torch.linalg.cholesky(hermitian)
    eye = torch.eye(hermitian.shape[-1], dtype=hermitian.dtype, device=hermitian.device)
    return torch.linalg.solve_triangular(cholesky, eye.expand_as(cholesky), upper=False)


def pseudo_inverse(matrix: Complex[Tensor, "*batch m n"]) -> Complex[Tensor, "*batch n m"]:
    """The Moore-Penrose inverse of any matrix; singular values up to `max(m, n) eps sigma_1` count
    as zero.

    Raises:
        InputError: not complex, or not finite.
    """
    check_complex("matrix", matrix)
    check_finite("matrix", matrix)
    return torch.linalg.pinv(matrix)
