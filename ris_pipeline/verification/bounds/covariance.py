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
from ris_pipeline.verification.oracles import ula


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


def root_bound(values: Real, dtype: torch.dtype) -> float:
    """Error of the square root of a positive semidefinite matrix: `sqrt(n |dR|)`.

    `|sqrt(A) - sqrt(B)| <= sqrt(|A - B|)` in the spectral norm (R. Bhatia, Matrix Analysis, theorem
    X.1.1): of a singular matrix half of the digits are lost.
    """
    n = values.shape[-1]
    return float(np.sqrt(product_bound(largest(values), n, dtype)))


def inverse_bound(squares: Real, order: int, dtype: torch.dtype) -> float:
    """`3 |A^+|^2 |dA|` of a pseudo-inverse, from squared singular values, all positive.

    Source: P.-A. Wedin, "Perturbation theory for pseudo-inverses", BIT 13, 1973, theorem 4.1.
    """
    size, least = float(np.sqrt(squares.max())), float(np.sqrt(squares.min()))
    return 3 * float(product_bound(size, order, dtype)) / least**2


def shrunk_bound(snapshots: ArrayLike, dtype: torch.dtype) -> float:
    """Error of Ledoit and Wolf's covariance.

    Its weight is a ratio b / d of differences of fourth powers of amplitudes, each rounded to
    `c n T eps` of `p^2`, p the largest power of a snapshot; the weight multiplies what S is off the
    identity, the root of d. A weight that is cut at 1 or of no d at all leaves S or its mean alone.
    """
    x = np.asarray(snapshots)
    n, count = x.shape[-2:]
    power = float((np.abs(x) ** 2).sum(axis=-2).max())
    sample = x @ x.conj().swapaxes(-1, -2) / count
    level = np.trace(sample, axis1=-2, axis2=-1).real / n
    off = np.linalg.norm(sample - level[..., None, None] * np.eye(n), axis=(-2, -1))
    rounding = float(product_bound(power, n * count, dtype))
    moved = rounding * power / np.maximum(off, rounding)
    return rounding + float(moved.max())


def shift_bound(values: Real, antennas: int, angles: Real, dtype: torch.dtype) -> Real:
    """Error of ESPRIT's angles from an exact covariance of a linear array at half a wavelength.

    The signal basis is off by the subspace bound; the shift of it is a least squares solution, and
    its eigenvalues are those of a matrix that A diagonalises: cond(A)^2 for either (F. L. Bauer,
    C. T. Fike, Numer. Math. 2, 1960, theorem IIIa). A phase is pi sin(theta).
    """
    k = angles.shape[-1]
    condition = np.array([np.linalg.cond(ula(antennas - 1, row)) ** 2 for row in angles])
    turned = subspace_bound(values, k, dtype) * condition
    return turned[..., None] * k / (np.pi * np.cos(angles))
