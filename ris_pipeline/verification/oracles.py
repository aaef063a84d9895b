"""Slow references in numpy and scipy, float64, never torch: what the answer is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


def hermitian_part(matrix: Complex) -> Complex:
    """`(A + A^H) / 2`."""
    return 0.5 * (matrix + matrix.conj().swapaxes(-1, -2))


def eigenvalues(matrix: Complex) -> Real:
    """Eigenvalues of each matrix of a batch, descending."""
    return _each(lambda a: scipy.linalg.eigvalsh(a)[::-1], matrix)


def singular_values(matrix: Complex) -> Real:
    """Singular values of each matrix of a batch, descending."""
    return _each(scipy.linalg.svdvals, matrix)


def eigengap(matrix: Complex, k: int) -> Real:
    """`lambda_k - lambda_{k+1}`, k from 1."""
    values = eigenvalues(matrix)
    return values[..., k - 1] - values[..., k]


def hinge(matrix: Complex, k: int, margin: float) -> float:
    """`mean max(0, margin - gap_k)`."""
    return float(np.maximum(0.0, margin - eigengap(matrix, k)).mean())


def hinge_gradient(matrix: Complex, k: int, margin: float) -> Complex:
    """`-(v_k v_k^H - v_{k+1} v_{k+1}^H) / batch` where the hinge is active, else zero."""
    batch = max(1, int(np.prod(matrix.shape[:-2])))

    def one(a: Complex) -> Complex:
        values, vectors = scipy.linalg.eigh(a)
        values, vectors = values[::-1], vectors[:, ::-1]
        if margin - (values[k - 1] - values[k]) <= 0:
            return np.zeros_like(a)
        upper, lower = vectors[:, k - 1], vectors[:, k]
        difference: Complex = np.outer(upper, upper.conj()) - np.outer(lower, lower.conj())
        return -difference / batch

    return _each(one, matrix)


def _each(function: Callable[[Complex], Any], matrix: Complex) -> Any:
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    answers = np.array([function(a) for a in flat])
    return answers.reshape(*matrix.shape[:-2], *answers.shape[1:])
