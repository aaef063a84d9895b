"""Squared norms of complex matrices, of their rows and of their columns.

Sums of squared parts: several times as fast as squaring absolute values, and with a gradient that
needs no care at zero.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def _squares(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()).square()


def largest_part(x: Complex[Tensor, "*batch n m"]) -> Float[Tensor, "*batch"]:
    """The largest `|Re x_ij|` or `|Im x_ij|` of each matrix, a constant."""
    return torch.view_as_real(x.detach().resolve_conj()).abs().amax((-3, -2, -1))


def near_one(size: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The power of two p with `1 <= p size < 2`, and 1 for zero.

    A ratio of squares underflows at the powers that a two-hop link has, 1e-22 W, unless both are
    scaled first; by a power of two nothing is rounded. Kept within the square roots of the smallest
    and the largest number, so that its square is a number too.
    """
    limits = torch.finfo(size.dtype)
    exponent = size.clamp(limits.tiny**0.5, limits.max**0.5).log2().floor()
    return torch.where(size > 0, torch.exp2(-exponent), 1.0)


def at_unit_scale(x: Complex[Tensor, "*batch n m"]) -> Complex[Tensor, "*batch n m"]:
    """A matrix times a power of two, a constant: entries near 1, for ratios of powers of it."""
    return x * near_one(largest_part(x))[..., None, None]


def squared_norm(x: Complex[Tensor, "*batch n m"]) -> Float[Tensor, "*batch"]:
    """`||X||_F^2`."""
    return _squares(x).sum((-3, -2, -1))


def row_power(x: Complex[Tensor, "*batch n m"]) -> Float[Tensor, "*batch n"]:
    """`|x_i|^2` of every row."""
    return _squares(x).sum((-2, -1))


def column_power(x: Complex[Tensor, "*batch n m"]) -> Float[Tensor, "*batch m"]:
    """`|x_j|^2` of every column."""
    # Along memory, whichever way it lies.
    if x.stride(-2) == 1:
        parts = torch.view_as_real(x.resolve_conj())
        return torch.linalg.vector_norm(parts, dim=(-3, -1)).square()
    return _squares(x).sum(-3).sum(-1)


def projected_power(
    rows: Complex[Tensor, "*#batch r n"], x: Complex[Tensor, "*#batch n m"]
) -> Float[Tensor, "*#batch m"]:
    """`|W x_j|^2` of every column, W given by its rows."""
    if x.stride(-2) != 1:
        return column_power(rows @ x)
    # Along memory the product takes two thirds of the time; of three columns, padded to an even
    # number, half, where three as they are would take half as long again.
    columns = rows.mT.resolve_conj()
    return row_power(x.mT @ torch.nn.functional.pad(columns, (0, columns.shape[-1] % 2)))
