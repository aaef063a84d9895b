"""Number of signals from the eigenvalues of a sample covariance.

L(k)   = -n ln of (geometric mean / arithmetic mean)^(m - k) of l_{k+1} >= ... >= l_m
MDL(k) = L(k) + 1/2 k (2 m - k) ln n
AIC(k) = 2 L(k) + 2 k (2 m - k)

m: dimension, n: number of independent samples. L is -ln of the likelihood of k signals in white
noise over that of any covariance, zero where the m - k smallest eigenvalues are equal; the other
term counts the free parameters. The estimate is the k of the smallest value. For n to infinity MDL
finds the number and AIC tends to exceed it.

Source: M. Wax and T. Kailath, "Detection of signals by information theoretic criteria", IEEE Trans.
ASSP 33(2), 1985, eqs. (16), (17).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_finite, check_integer, numbers


def eigenvalue_mdl(
    eigenvalues: Float[Tensor, "*batch m"], samples: int
) -> Float[Tensor, "*batch m"]:
    """`MDL(k)` for k = 0..m-1 along the last axis.

    Args:
        eigenvalues: DESCENDING and not negative, as `eigenvalues` of a covariance returns them. One
            below `m eps` of the largest counts as that: rounding, by Weyl's inequality.
        samples: n, 2 or more.

    Raises:
        InputError: no eigenvalues, ascending ones, a non-finite one, one negative beyond rounding,
            or fewer than 2 samples.
    """
    likelihood = _likelihood(eigenvalues, samples)
    return likelihood + _parameters(eigenvalues) * (math.log(samples) / 2)


def eigenvalue_aic(
    eigenvalues: Float[Tensor, "*batch m"], samples: int
) -> Float[Tensor, "*batch m"]:
    """`AIC(k)` for k = 0..m-1 along the last axis; arguments and errors as `eigenvalue_mdl`."""
    return 2 * _likelihood(eigenvalues, samples) + 2 * _parameters(eigenvalues)


def mdl(eigenvalues: Float[Tensor, "*batch m"], samples: int) -> Int[Tensor, "*batch"]:
    """The number of signals: the k of the smallest `eigenvalue_mdl`; arguments as there."""
    return eigenvalue_mdl(eigenvalues, samples).argmin(-1)


def aic(eigenvalues: Float[Tensor, "*batch m"], samples: int) -> Int[Tensor, "*batch"]:
    """The number of signals: the k of the smallest `eigenvalue_aic`; arguments as there."""
    return eigenvalue_aic(eigenvalues, samples).argmin(-1)


def _parameters(eigenvalues: Tensor) -> Float[Tensor, " m"]:
    m = eigenvalues.shape[-1]
    k = torch.arange(m, dtype=eigenvalues.dtype, device=eigenvalues.device)
    return k * (2 * m - k)


def _any(condition: Tensor) -> bool:
    known = numbers(condition)
    return known is not None and bool(known.any())


def _likelihood(eigenvalues: Tensor, samples: int) -> Float[Tensor, "*batch m"]:
    if eigenvalues.ndim == 0 or eigenvalues.shape[-1] == 0:
        raise InputError(f"eigenvalues has shape {tuple(eigenvalues.shape)}: allowed is (..., m)")
    check_finite("eigenvalues", eigenvalues)
    check_integer("samples", samples, 2, math.inf)
    m = eigenvalues.shape[-1]
    rounding = m * torch.finfo(eigenvalues.dtype).eps * eigenvalues.abs().amax(-1, keepdim=True)
    known = numbers(eigenvalues)
    if known is not None and _any(eigenvalues < -rounding):
        raise InputError(f"eigenvalues holds {known.min().item()}: allowed is 0 or more")
    if _any(eigenvalues.diff(dim=-1) > rounding):
        raise InputError("eigenvalues ascend: allowed is descending order")
    tiny = torch.finfo(eigenvalues.dtype).tiny
    level = torch.maximum(eigenvalues, rounding).clamp_min(tiny)
    left = torch.arange(m, 0, -1, dtype=level.dtype, device=level.device)
    # Sums over the tail l_{k+1}..l_m, for every k at once.
    total = level.flip(-1).cumsum(-1).flip(-1)
    logarithms = level.log().flip(-1).cumsum(-1).flip(-1)
    return samples * (left * (total / left).log() - logarithms)
