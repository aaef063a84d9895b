"""Bounds for eigenvalues, gaps, eigenvectors and the gradients made of them."""

import numpy as np
import torch
from numpy.typing import ArrayLike

from ris_pipeline._laws import (
    BACKWARD_CONSTANT,
    Real,
    eigenvalue_bound,
    epsilon,
    gap_bound,
    smallest,
    spectral_norm,
)

__all__ = [
    "BACKWARD_CONSTANT",
    "Real",
    "difference_bound",
    "difference_step",
    "eigenvalue_bound",
    "entry_bound",
    "epsilon",
    "factor_gradient_bound",
    "gap_bound",
    "gradient_bound",
    "order_bound",
    "projector_bound",
    "separation",
    "smallest",
    "smallest_double",
    "spectral_norm",
]


def order_bound(values: Real, samples: int, dtype: torch.dtype) -> Real:
    """Error of MDL or AIC for each k, from m positive eigenvalues.

    Twice n times a sum of m logarithms and m times another: eigenvalues known to eps move each
    logarithm by m eps, and a sum of 2 m terms no larger than max |ln l| rounds to `2 m eps` of
    their sum (Higham, Accuracy and Stability of Numerical Algorithms, eq. (4.4)). The parameters,
    at most `m^2 max(2, ln n)`, round once.
    """
    m = values.shape[-1]
    logarithms = 1 + np.abs(np.log(values)).max(axis=-1, keepdims=True)
    parameters = m**2 * max(2.0, np.log(samples))
    return epsilon(dtype) * (4 * samples * m**2 * logarithms + parameters)


def separation(values: Real, place: ArrayLike) -> Real:
    """Distance of `lambda_place` (from 0; one, or one for each matrix) to its nearest neighbour."""
    chosen = np.broadcast_to(np.asarray(place), values.shape[:-1])[..., None]
    distance = np.abs(values - np.take_along_axis(values, chosen, axis=-1))
    np.put_along_axis(distance, chosen, np.inf, axis=-1)
    return distance.min(axis=-1)


def projector_bound(values: Real, place: ArrayLike, dtype: torch.dtype) -> Real:
    """Error of the projector `v v^H` on one eigenvector in the Frobenius norm.

    It turns by at most `sqrt(2) ||E|| / (separation - ||E||)` (Davis and Kahan, SIAM J. Numer.
    Anal. 7, 1970, sin theta theorem). Infinite when the perturbation closes the separation.
    """
    error = eigenvalue_bound(values, dtype)
    room = separation(values, place) - error
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(room > 0, np.sqrt(2) * error / room, np.inf)


def gradient_bound(values: Real, k: ArrayLike, dtype: torch.dtype) -> Real:
    """Error of `v_k v_k^H - v_{k+1} v_{k+1}^H` in the Frobenius norm: that of two projectors."""
    order = np.asarray(k)
    return projector_bound(values, order - 1, dtype) + projector_bound(values, order, dtype)


def factor_gradient_bound(gram_values: Real, k: int, dtype: torch.dtype) -> Real:
    """Error of `2 (v_k v_k^H - v_{k+1} v_{k+1}^H) F` in the Frobenius norm.

    With `F = U S W^H` it is `2 F` times the difference of projectors on right singular vectors, so
    `2 ||F||` times their errors, plus `c n eps` of its own size from the product. An order k equal
    to the number of Gram eigenvalues leaves only the first projector: `v_{k+1}^H F = 0`.
    """
    count = gram_values.shape[-1]
    projectors = projector_bound(gram_values, k - 1, dtype)
    if k < count:
        projectors = projectors + projector_bound(gram_values, k, dtype)
    rounding = 2 * BACKWARD_CONSTANT * count * epsilon(dtype)
    return 2 * np.sqrt(spectral_norm(gram_values)) * (projectors + rounding) + smallest(dtype)


def entry_bound(norm: float | Real, operations: int, dtype: torch.dtype) -> float | Real:
    """`operations eps norm`: so many roundings of numbers no larger than `norm` (Higham, (3.4))."""
    return operations * epsilon(dtype) * norm + smallest(dtype)


def difference_step(values: Real) -> Real:
    """Step of a central difference, `eps^(1/3) max(||A||, tiny)`, in double precision.

    It balances the truncation error `step^2` against the rounding error `eps / step` (Nocedal and
    Wright, Numerical Optimization, 2nd ed., section 8.1).
    """
    return np.cbrt(np.finfo(np.float64).eps) * np.maximum(spectral_norm(values), smallest_double())


def difference_bound(values: Real, k: int, step: Real) -> Real:
    """Error of a central difference of gap_k along a unit direction.

    Truncation: an eigenvalue's third derivative is at most `6 / separation^2` in magnitude at unit
    norm (Kato, Perturbation Theory for Linear Operators, II-3), so the term is
    `2 * step^2 / separation^2`; rounding: two gaps, each within the gap bound, over `2 step`.
    """
    nearest = np.minimum(separation(values, k - 1), separation(values, k))
    with np.errstate(divide="ignore"):
        truncation = 2 * (step / nearest) ** 2
    return truncation + gap_bound(values, torch.complex128) / step


def smallest_double() -> float:
    """Smallest normal double."""
    return float(np.finfo(np.float64).tiny)
