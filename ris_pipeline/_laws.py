"""What the spectrum of a Hermitian matrix is, by scipy, and how far rounding may take it.

In float64 and never torch: the laws that `verification` holds a function to and `watch` a running
loop. Eigenvalues descend, k counts from 1, `eps` is the machine epsilon of the dtype under test.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

BACKWARD_CONSTANT = 8.0
"""c in `c n eps ||A||`. LAPACK Users' Guide (3rd ed., section 4.7) has a modestly growing p(n) in
place of `c n` and advises p(n) = 1 for estimates; 8 leaves room for forming the test matrix from
its eigenbasis in a lower precision, about (n + 2) eps ||A|| by Higham, Accuracy and Stability of
Numerical Algorithms (2nd ed.), eq. (3.13)."""


def epsilon(dtype: torch.dtype) -> float:
    """Machine epsilon of a real or complex dtype."""
    return torch.finfo(dtype).eps


def smallest(dtype: torch.dtype) -> float:
    """Smallest normal number: an absolute floor, so that the bound of a zero matrix is no zero."""
    return torch.finfo(dtype).tiny


def spectral_norm(values: Real) -> Real:
    """`||A|| = max |lambda_i|` over the last axis."""
    return np.abs(values).max(axis=-1)


def rounding(n: int, dtype: torch.dtype) -> float:
    """`c n eps`: what forming an n x n matrix, or decomposing it, may lose of its norm."""
    return BACKWARD_CONSTANT * n * epsilon(dtype)


def eigenvalue_bound(values: Real, dtype: torch.dtype) -> Real:
    """`|computed - exact| <= c n eps ||A||` for eigenvalues and singular values.

    A backward stable solver returns the spectrum of A + E with `||E|| <= p(n) eps ||A||`, and by
    Weyl's inequality (Horn and Johnson, Matrix Analysis, theorem 4.3.1) no eigenvalue moves by more
    than `||E||`.
    """
    return rounding(values.shape[-1], dtype) * spectral_norm(values) + smallest(dtype)


def gap_bound(values: Real, dtype: torch.dtype) -> Real:
    """Twice the eigenvalue bound: a gap is the difference of two."""
    return 2 * eigenvalue_bound(values, dtype)


def adjoint(matrix: Complex) -> Complex:
    """`A^H`, of each matrix of a batch."""
    return matrix.conj().swapaxes(-1, -2)


def hermitian_part(matrix: Complex) -> Complex:
    """`(A + A^H) / 2`."""
    return 0.5 * (matrix + adjoint(matrix))


def skewness(matrix: Complex) -> float:
    """`|A - A^H| / |A|` in the Frobenius norm, 0 of a zero matrix."""
    return float(np.linalg.norm(matrix - adjoint(matrix))) / (float(np.linalg.norm(matrix)) or 1.0)


def eigenvalues(matrix: Complex) -> Real:
    """Eigenvalues of each matrix of a batch."""
    return of_each(lambda a: scipy.linalg.eigvalsh(a)[::-1], matrix)


def decomposition(matrix: Complex) -> tuple[Real, Complex]:
    """Eigenvalues (n,) of one matrix, and its eigenvectors as columns (n, n)."""
    values, vectors = scipy.linalg.eigh(matrix)
    return values[::-1], vectors[:, ::-1]


def gap_of(values: Real, k: ArrayLike) -> Real:
    """`lambda_k - lambda_{k+1}` of eigenvalues (*batch, n); k: one order, or one for each."""
    place = np.broadcast_to(np.asarray(k), values.shape[:-1])[..., None]
    upper = np.take_along_axis(values, place - 1, axis=-1)
    return (upper - np.take_along_axis(values, place, axis=-1))[..., 0]


def eigengap(matrix: Complex, k: ArrayLike) -> Real:
    """`gap_of` the eigenvalues of each matrix of a batch."""
    return gap_of(eigenvalues(matrix), k)


def hinge(matrix: Complex, k: ArrayLike, margin: ArrayLike) -> float:
    """`mean max(0, margin - gap_k)` over every matrix; k and margin: one, or one each."""
    return float(np.maximum(0.0, np.asarray(margin) - eigengap(matrix, k)).mean())


def gap_gradient(vectors: Complex, k: int) -> Complex:
    """`v_k v_k^H - v_{k+1} v_{k+1}^H`: the gradient of gap_k by the matrix, where it has one."""
    upper, lower = vectors[:, k - 1], vectors[:, k]
    return np.outer(upper, upper.conj()) - np.outer(lower, lower.conj())


def hinge_gradient(matrix: Complex, k: ArrayLike, margin: ArrayLike) -> Complex:
    """`-gap_gradient / batch` where the hinge is active, else zero."""
    batch = matrix.shape[:-2]
    gradient = np.zeros_like(matrix)
    orders, margins = np.broadcast_to(k, batch), np.broadcast_to(margin, batch)
    for index in np.ndindex(batch):
        values, vectors = decomposition(matrix[index])
        order = int(orders[index])
        if margins[index] > gap_of(values, order):
            gradient[index] = -gap_gradient(vectors, order)
    return gradient / max(1, math.prod(batch))


def of_each(function: Callable[[Complex], Any], matrix: Complex) -> Any:
    """The answers of a function to each matrix of a batch, as one array."""
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    answers = np.array([function(a) for a in flat])
    return answers.reshape(*matrix.shape[:-2], *answers.shape[1:])
