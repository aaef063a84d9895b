"""Squared norms of columns."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def column_power(x: Complex[Tensor, "*batch n m"]) -> Float[Tensor, "*batch m"]:
    """`|x_j|^2` of every column."""
    parts = torch.view_as_real(x.resolve_conj())
    # Along memory, whichever way it lies; several times as fast as summing absolute values.
    if x.stride(-2) == 1:
        return torch.linalg.vector_norm(parts, dim=(-3, -1)).square()
    return parts.square().sum(-3).sum(-1)
