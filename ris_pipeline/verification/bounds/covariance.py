"""Bounds for factors, subspaces and spatial spectra."""

import numpy as np
import torch
from numpy.typing import ArrayLike

from ris_pipeline.verification.bounds.spectrum import (
    BACKWARD_CONSTANT,
    Real,
    eigenvalue_bound,
    epsilon,
    smallest,
    spectral_norm,
)


def product_bound(norm: float | Real, order: int, dtype: torch.dtype) -> float | Real:
    """`c order eps norm`: a chain of inner products of length `order` (Higham, eq. (3.13))."""
    return BACKWARD_CONSTANT * order * epsilon(dtype) * norm + smallest(dtype)


def conditioned_bound(
    size: float | Real, order: int, condition: float | Real, dtype: torch.dtype
) -> float | Real:
    """`c order eps condition size`: a solve with a backward stable factor (Higham, theorem 10.4).

    The Cholesky solution of `R x = a` is that of a matrix moved by `c order eps ||R||`, which moves
    x by `condition` times as much, relatively (theorem 7.2).
    """
    return product_bound(size, order, dtype) * (1 + condition)


def condition_number(values: Real) -> float:
    """Largest `lambda_1 / lambda_n` of a batch of positive spectra."""
    return float((values[..., 0] / values[..., -1]).max())


def subspace_bound(values: Real, k: int, dtype: torch.dtype) -> Real:
    """Error of the projector on the k leading eigenvectors in the Frobenius norm.

    `sqrt(2 k) ||E|| / (gap_k - ||E||)` (Davis and Kahan, sin theta theorem), and `c n eps` by which
    the computed basis misses orthonormality (LAPACK Users' Guide, section 4.7). Infinite when the
    perturbation closes the gap.
    """
    return perturbed_subspace_bound(values, k, spectral_norm(values), dtype)


def perturbed_subspace_bound(values: Real, k: int, norm: Real, dtype: torch.dtype) -> Real:
    """`subspace_bound` where what is handed over has a larger norm than its Hermitian part.

    norm: its spectral norm, at which it is rounded.
    """
    n = values.shape[-1]
    error = BACKWARD_CONSTANT * n * epsilon(dtype) * norm + smallest(dtype)
    room = values[..., k - 1] - values[..., k] - error
    with np.errstate(divide="ignore", invalid="ignore"):
        turned = np.where(room > 0, np.sqrt(2 * k) * error / room, np.inf)
    return turned + orthonormality_bound(n, k, dtype)


def orthonormality_bound(n: int, k: int, dtype: torch.dtype) -> float:
    """`c n eps sqrt(k)`: `|U^H U - I|_F` of a computed basis (LAPACK Users' Guide, section 4.7)."""
    return BACKWARD_CONSTANT * n * epsilon(dtype) * float(np.sqrt(k))


def factored_subspace_bound(squares: Real, n: int, k: int, dtype: torch.dtype) -> Real:
    """Error of the projector on the k leading left singular vectors `F v_i / sqrt(g_i)`.

    The right singular vectors are off by the subspace bound of the Gram matrix, whose missing
    eigenvalues are zeros; dividing by `sqrt(g_k)` magnifies that by `sqrt(g_1 / g_k)` at most, and
    the k columns lose their orthonormality by the error of the Gram matrix over `g_k`.
    """
    padded = np.concatenate((squares, np.zeros_like(squares[..., :1])), axis=-1)
    root = np.sqrt(padded[..., 0] / padded[..., k - 1])
    lost = np.sqrt(k) * eigenvalue_bound(padded, dtype) / padded[..., k - 1]
    return root * subspace_bound(padded, k, dtype) + lost * n


def nmse_bound(first: ArrayLike, second: ArrayLike, order: int, dtype: torch.dtype) -> Real:
    """`c order eps (||R||_F + ||T||_F)^2 / ||T||_F^2`: Gram matrices subtract squares of norms."""
    a, b = np.asarray(first), np.asarray(second)
    return np.asarray(product_bound((a + b) ** 2 / b**2, order, dtype))


def noise_floor_bound(n: int, turned: float | Real, dtype: torch.dtype) -> float | Real:
    """Largest `|(I - U U^H) a|^2` of a unit vector that lies in the signal subspace.

    A basis turned by `turned`, and `c n eps` from forming the residual, squared.
    """
    return (turned + BACKWARD_CONSTANT * n * epsilon(dtype)) ** 2


def largest(values: Real) -> float:
    """Largest spectral norm of a batch."""
    return float(np.max(spectral_norm(values), initial=0.0))
