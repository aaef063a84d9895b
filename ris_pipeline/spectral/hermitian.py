"""Hermitian matrices and their ordered spectra.

Every spectrum of this package is in DESCENDING order. `torch.linalg.eigh` ascends and
`torch.linalg.svdvals` descends; this file is the only one that knows.
"""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline._validation import check_complex, check_finite, check_square, transformed

_ONE_AT_A_TIME = threading.Lock()
if hasattr(os, "register_at_fork"):
    # A fork waits for the batch in hand, so that the child finds the lock open and the number of
    # threads as its owner set it.
    os.register_at_fork(
        before=_ONE_AT_A_TIME.acquire,
        after_in_parent=_ONE_AT_A_TIME.release,
        after_in_child=_ONE_AT_A_TIME.release,
    )
_WORTH_SHARING = 2**13
"""Entries of a batch from which sharing it saves more than it costs."""

Parts = TypeVar("Parts")


def _by_lapack(routine: Callable[[Tensor], Parts], matrices: Tensor) -> list[Parts]:
    """`routine` of a batch, or of consecutive parts of it at the same time.

    LAPACK takes a batch as a loop over matrices of a few dozen rows. Splitting each over threads
    costs more than it saves: 64 of 26 x 26 take 2.8 ms on one thread, 25 ms on two that sleep
    while they wait. Sharing the batch among two takes 1.5 ms. A recorded gradient and a transform
    belong to one thread, so such a batch is not shared. torch's number of threads is one for the
    whole process, hence the lock.
    """
    if torch.compiler.is_compiling():
        return [routine(matrices)]
    with _ONE_AT_A_TIME:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            recorded = matrices.requires_grad and torch.is_grad_enabled()
            followed = recorded or transformed(matrices)
            small = matrices.ndim != 3 or matrices.numel() < _WORTH_SHARING
            if threads == 1 or followed or small or matrices.device.type != "cpu":
                return [routine(matrices)]
            own, *others = matrices.chunk(threads)
            workers = _workers(os.getpid(), threads - 1)
            shared = workers.map(torch.no_grad()(routine), others)
            return [routine(own), *shared]
        finally:
            torch.set_num_threads(threads)


@functools.cache
def _workers(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of one process (a fork inherits none) that compute on themselves alone."""
    return ThreadPoolExecutor(threads, initializer=functools.partial(torch.set_num_threads, 1))


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
    return torch.cat(_by_lapack(torch.linalg.eigvalsh, hermitian)).flip(-1)


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
    matrix: Complex[Tensor, "*batch n n"],
) -> tuple[Float[Tensor, "*batch n"], Complex[Tensor, "*batch n n"]]:
    """`eigh` of a matrix that is Hermitian by construction, as `F^H F` is: its upper triangle is
    not read, nothing is checked."""
    if transformed(matrix):
        # torch.func fails in the second derivative of values and vectors of one call.
        values = torch.linalg.eigvalsh(matrix)
        return values.flip(-1), torch.linalg.eigh(matrix).eigenvectors.flip(-1)
    values, vectors = zip(*_by_lapack(torch.linalg.eigh, matrix), strict=True)
    return torch.cat(values).flip(-1), torch.cat(vectors).flip(-1)


def unordered_eigenvalues(
    matrix: Complex[Tensor, "*batch n n"],
) -> Complex[Tensor, "*batch n"]:
    """Eigenvalues of any square matrix: complex numbers have no order, and these come in none."""
    return torch.linalg.eigvals(matrix)


def singular_values(matrix: Complex[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
    """Singular values `sigma_1 >= ... >= sigma_n >= 0` of `hermitize(R)`, DESCENDING.

    They are the sorted `|lambda_i|`: the eigenvalues for a positive semidefinite matrix only.

    Raises:
        InputError: not square, not complex, or not finite.
    """
    check_finite("matrix", matrix)
    hermitian = hermitize(matrix)
    return torch.cat(_by_lapack(torch.linalg.svdvals, hermitian))
