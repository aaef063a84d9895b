"""Squared norms of complex matrices, of their rows and of their columns.

Sums of squared parts: several times as fast as squaring absolute values, and with a gradient that
needs no care at zero.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def _squares(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()).square()


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
