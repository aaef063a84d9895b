"""Hermitian matrices and their ordered spectra.

Every spectrum of this package is in DESCENDING order. `torch.linalg.eigh` ascends and
`torch.linalg.svdvals` descends; this file is the only one that knows.
"""

import torch
from jaxtyping import Complex, Float, Inexact
from torch import Tensor

from ris_pipeline._validation import check_complex, check_finite, check_square, transformed
from ris_pipeline.spectral._lapack import by_lapack


def hermitize(matrix: Complex[Tensor, "*batch n n"]) -> Complex[Tensor, "*batch n n"]:
    """`(R + R^H) / 2`, the nearest Hermitian matrix in the Frobenius norm.

    Source: K. Fan, A. J. Hoffman, "Some metric inequalities in the space of matrices", Proc. AMS 6,
    1955, theorem 2.

    Raises:
        InputError: not square, or not complex.
    """
    check_square("matrix", matrix)
    check_complex("matrix", matrix)
    # Halving first: the sum of two entries near the largest float would overflow.
    return 0.5 * matrix + 0.5 * matrix.mH


def eigenvalues(matrix: Complex[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
    """Eigenvalues `lambda_1 >= ... >= lambda_n` of `hermitize(R)`: signed, DESCENDING.

    The gradient is `sum_i g_i v_i v_i^H`, which is finite at ties.

    Raises:
        InputError: not square, not complex, or not finite.
    """
    check_finite("matrix", matrix)
    hermitian = hermitize(matrix)
    return torch.cat(by_lapack(torch.linalg.eigvalsh, hermitian)).flip(-1)


def eigh(
    matrix: Complex[Tensor, "*batch n n"],
) -> tuple[Float[Tensor, "*batch n"], Complex[Tensor, "*batch n n"]]:
    """Eigenvalues DESCENDING and eigenvectors as columns in the same order, `R v_i = l_i v_i`.

    The gradient through the eigenvectors divides by eigenvalue differences; losses use the
    eigenvalues, or a projector that is held constant.

    Raises:
        InputError: not square, not complex, or not finite.
    """
    check_finite("matrix", matrix)
    return eigh_of_gram(hermitize(matrix))


def eigh_of_gram(
    matrix: Inexact[Tensor, "*batch n n"],
) -> tuple[Float[Tensor, "*batch n"], Inexact[Tensor, "*batch n n"]]:
    """`eigh` of a matrix that is Hermitian by construction, as `F^H F` is: its upper triangle is
    not read, nothing is checked."""
    if transformed(matrix):
        # torch.func fails in the second derivative of values and vectors of one call.
        values = torch.linalg.eigvalsh(matrix)
        return values.flip(-1), torch.linalg.eigh(matrix).eigenvectors.flip(-1)
    values, vectors = zip(*by_lapack(torch.linalg.eigh, matrix), strict=True)
    return torch.cat(values).flip(-1), torch.cat(vectors).flip(-1)


def unordered_eigenvalues(
    matrix: Complex[Tensor, "*batch n n"],
) -> Complex[Tensor, "*batch n"]:
    """Eigenvalues of any square matrix: complex numbers have no order, and these come in none.

    Raises:
        InputError: not square, not complex, or not finite.
    """
    check_square("matrix", matrix)
    check_complex("matrix", matrix)
    check_finite("matrix", matrix)
    return torch.linalg.eigvals(matrix)


def singular_values(matrix: Complex[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
    """Singular values `sigma_1 >= ... >= sigma_n >= 0` of `hermitize(R)`, DESCENDING.

    They are the sorted `|lambda_i|`: the eigenvalues for a positive semidefinite matrix only.

    Raises:
        InputError: not square, not complex, or not finite.
    """
    check_finite("matrix", matrix)
    hermitian = hermitize(matrix)
    return torch.cat(by_lapack(torch.linalg.svdvals, hermitian))
