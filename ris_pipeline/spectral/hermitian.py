"""Hermitian matrices and their ordered spectra.

Every spectrum of this package is in DESCENDING order. `torch.linalg.eigh` ascends and
`torch.linalg.svdvals` descends; this file is the only one that knows.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline._validation import check_complex, check_finite, check_square

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for LAPACK, torch's number restored afterwards.

    A batch is a loop over matrices of a few dozen rows, and splitting each over threads costs more
    than it saves: 64 of 26 x 26 take 2.8 ms on one thread, 25 ms on two that sleep while they
    wait. The number is one for the whole process, hence the lock.
    """
    with _ONE_AT_A_TIME:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


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
    with _one_thread():
        return torch.linalg.eigvalsh(hermitian).flip(-1)


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
    hermitian = hermitize(matrix)
    with _one_thread():
        values, vectors = torch.linalg.eigh(hermitian)
    return values.flip(-1), vectors.flip(-1)


def singular_values(matrix: Complex[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
    """Singular values `sigma_1 >= ... >= sigma_n >= 0` of `hermitize(R)`, DESCENDING.

    They are the sorted `|lambda_i|`: the eigenvalues for a positive semidefinite matrix only.

    Raises:
        InputError: not square, not complex, or not finite.
    """
    check_finite("matrix", matrix)
    hermitian = hermitize(matrix)
    with _one_thread():
        return torch.linalg.svdvals(hermitian)
