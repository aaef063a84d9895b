"""Low-rank factors whose singular values are known: `F = U diag(s) W^H`."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from torch import Tensor

from ris_pipeline.verification.strategies.hermitian import (
    BATCHES,
    DTYPES,
    Basis,
    Complex,
    Real,
    eigenbasis,
)

LOADINGS = (1.0, 0.25, 4.0)


class Rank(StrEnum):
    """Families of singular values of a factor."""

    DISTINCT = "distinct"
    TIED = "tied"
    DEFICIENT = "rank deficient"


@dataclass(frozen=True)
class FactoredMatrix:
    """`R = F F^H + loading I` with the truth about it.

    factor: (*batch, n, q) in the drawn dtype; exact: F in complex128 numpy; squares: (*batch, p)
    float64, descending, the squared singular values of F, p = min(n, q).
    """

    factor: Tensor
    loading: float
    exact: Complex
    squares: Real
    rank: Rank
    basis: Basis

    @property
    def n(self) -> int:
        """Order of R."""
        return self.factor.shape[-2]

    @property
    def q(self) -> int:
        """Columns of F."""
        return self.factor.shape[-1]

    @property
    def dense(self) -> Complex:
        """R in double precision."""
        identity = self.loading * np.eye(self.n)
        return np.asarray(self.exact @ self.exact.conj().swapaxes(-1, -2) + identity)

    @property
    def values(self) -> Real:
        """Eigenvalues of R, (*batch, n), descending."""
        width = [(0, 0)] * (self.squares.ndim - 1) + [(0, self.n - self.squares.shape[-1])]
        return np.pad(self.squares, width) + self.loading

    def __repr__(self) -> str:
        return (
            f"FactoredMatrix({self.rank.value}, {self.basis.value} basis, {self.factor.dtype}, "
            f"F of shape {tuple(self.factor.shape)}, loading {self.loading:g}, first s^2 "
            f"{self.squares.reshape(-1, self.squares.shape[-1])[0]})"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


def _squares(count: int, rank: Rank) -> st.SearchStrategy[list[float]]:
    quarters = st.integers(1, 16).map(lambda quarter: (quarter / 4) ** 2)
    distinct = st.lists(quarters, min_size=count, max_size=count, unique=True)
    match rank:
        case Rank.DISTINCT:
            return distinct
        case Rank.TIED:
            return quarters.map(lambda value: [value] * count)
        case Rank.DEFICIENT:
            return distinct.map(lambda values: [*values[:-1], 0.0])


@st.composite
def low_rank_factors(
    draw: st.DrawFn,
    ranks: tuple[Rank, ...] = tuple(Rank),
    loadings: tuple[float, ...] = LOADINGS,
    dtypes: tuple[torch.dtype, ...] = DTYPES,
    batches: tuple[tuple[int, ...], ...] = BATCHES,
    columns: tuple[int, int] = (1, 8),
) -> FactoredMatrix:
    """Factors of one shape, wide ones (q > n) among them."""
    rank, basis = draw(st.sampled_from(ranks)), draw(st.sampled_from(tuple(Basis)))
    dtype, batch = draw(st.sampled_from(dtypes)), draw(st.sampled_from(batches))
    loading, seed = draw(st.sampled_from(loadings)), draw(st.integers(0, 2**16))
    n, q = draw(st.integers(2, 8)), draw(st.integers(*columns))
    count = min(n, q)
    factors, squares = [], []
    for index in range(math.prod(batch)):
        drawn = np.sort(draw(_squares(count, rank)))[::-1]
        left = eigenbasis(n, basis, seed + 2 * index)[:, :count]
        right = eigenbasis(q, basis, seed + 2 * index + 1)[:, :count]
        factors.append((left * np.sqrt(drawn)) @ right.conj().T)
        squares.append(drawn)
    exact = np.array(factors).reshape(*batch, n, q)
    return FactoredMatrix(
        torch.from_numpy(exact).to(dtype),
        loading,
        exact,
        np.array(squares).reshape(*batch, count),
        rank,
        basis,
    )


def unit_vectors(n: int, seed: int, count: int = 5) -> Complex:
    """Columns of unit norm, (n, count) complex128: the first axis, then random ones.

    Not as many as a batch has matrices: `torch.linalg.solve` would take them for a batch.
    """
    generator = np.random.default_rng(seed)
    shape = (n, count)
    columns = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    columns[:, 0] = np.eye(n)[:, 0]
    return columns / np.linalg.norm(columns, axis=0)
