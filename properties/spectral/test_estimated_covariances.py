"""Law: a covariance made of snapshots, of subarrays or of both directions is the mean it says.

X X^H / T,    Ledoit and Wolf's shrinkage of it,    windows on the diagonal,    (R + J R* J) / 2
"""

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import largest, product_bound, shrunk_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.oracles import shrunk_covariance
from ris_pipeline.verification.slopes import gaussian
from ris_pipeline.verification.strategies import DTYPES, SpectralMatrix, hermitian_matrices
from ris_pipeline.verification.target import TARGET

# Fewer snapshots than rows, one alone, and more than any block.
SHAPES = ((3, 5), (2, 1), (5, 2), (1, 4), (4, 33), (6, 130), (3, 1030), (2, 3, 7), (2, 2, 3, 40))
shapes = st.sampled_from(SHAPES)
seeds = st.integers(0, 7)


def _snapshots(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Rows of unequal power, correlated, with a mean of their own that nobody removes."""
    mixing = np.tri(shape[-2]) * np.arange(1, shape[-2] + 1)
    return np.asarray(mixing @ gaussian(shape, seed) + (1 + 0.5j))


def _wide(answer: torch.Tensor) -> np.ndarray:
    return np.asarray(answer.detach().resolve_conj().to(torch.complex128).numpy())


@given(shapes, seeds, st.sampled_from(DTYPES))
def test_the_sample_covariance_is_the_mean_of_outer_products(
    shape: tuple[int, ...], seed: int, dtype: torch.dtype
) -> None:
    x = _snapshots(shape, seed)
    got = _wide(TARGET.sample_covariance(torch.from_numpy(x).to(dtype)))
    expected = np.einsum("...nt,...mt->...nm", x, x.conj()) / shape[-1]
    power = float((np.abs(x) ** 2).sum(axis=-2).max())
    assert_within("X X^H / T", got, expected, product_bound(power, shape[-1], dtype))


@given(shapes, seeds, st.sampled_from(DTYPES))
def test_the_shrinkage_is_that_of_the_outer_products(
    shape: tuple[int, ...], seed: int, dtype: torch.dtype
) -> None:
    assume(shape[-2] > 1)
    x = _snapshots(shape, seed)
    got = _wide(TARGET.ledoit_wolf(torch.from_numpy(x).to(dtype)))
    assert_within("(1 - rho) S + rho I", got, shrunk_covariance(x), shrunk_bound(x, dtype))


@given(st.sampled_from((2, 3, 5)), st.sampled_from(DTYPES), st.sampled_from((3.0, 1e-6, 1e5)))
def test_what_is_off_by_less_than_its_error_is_shrunk_all_the_way(
    n: int, dtype: torch.dtype, size: float
) -> None:
    # One snapshot along every axis and one more along the first: b / d is n + 1 and more.
    x = size * np.concatenate((np.eye(n), -np.eye(n)[:, :1]), axis=-1).astype(complex)
    got = _wide(TARGET.ledoit_wolf(torch.from_numpy(x).to(dtype)))
    expected = size**2 / n * np.eye(n)
    assert_within("mean power times I", got, expected, product_bound(size**2, n, dtype))


@given(hermitian_matrices(), st.data())
def test_smoothing_over_the_subarrays_of_any_size(drawn: SpectralMatrix, data) -> None:
    size = data.draw(st.integers(1, drawn.n), label="size")
    starts = range(drawn.n - size + 1)
    windows = torch.tensor([list(range(first, first + size)) for first in starts])
    got = _wide(TARGET.spatial_smoothing(drawn.matrix, windows))
    blocks = [drawn.exact[..., i : i + size, i : i + size] for i in starts]
    bound = product_bound(largest(drawn.values), drawn.n, drawn.matrix.dtype)
    assert_within("mean of the blocks", got, np.mean(blocks, axis=0), bound)


@given(hermitian_matrices())
def test_both_directions_count_alike(drawn: SpectralMatrix) -> None:
    got = _wide(TARGET.forward_backward(drawn.matrix))
    expected = 0.5 * (drawn.exact + drawn.exact.conj()[..., ::-1, ::-1])
    bound = product_bound(largest(drawn.values), 2, drawn.matrix.dtype)
    assert_within("(R + J R* J) / 2", got, expected, bound)
