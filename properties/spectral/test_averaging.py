"""Law: averages over an aperture's symmetries, and the soft projector, are what their formulas say,
dense and factored."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import (
    eigenvalue_bound,
    largest,
    noise_floor_bound,
    product_bound,
)
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import FactoredMatrix, low_rank_factors, unit_vectors
from ris_pipeline.verification.target import TARGET


def _forms(drawn: FactoredMatrix) -> dict:
    """The same matrix in factors and dense, in the precision drawn."""
    covariance = TARGET.LowRankCovariance(drawn.factor, drawn.loading)
    return {
        "factored": covariance,
        "dense": torch.from_numpy(drawn.dense).to(drawn.factor.dtype),
    }


def _matrix(covariance) -> np.ndarray:
    plain = covariance if isinstance(covariance, torch.Tensor) else covariance.dense()
    return plain.to(torch.complex128).numpy()


def _bound(drawn: FactoredMatrix) -> float:
    return float(product_bound(largest(drawn.values), drawn.n + drawn.q, drawn.factor.dtype))


@given(low_rank_factors())
def test_forward_backward_is_the_mean_with_the_mirror_image(drawn: FactoredMatrix) -> None:
    expected = (drawn.dense + drawn.dense.conj()[..., ::-1, ::-1]) / 2
    for name, form in _forms(drawn).items():
        got = _matrix(TARGET.forward_backward(form))
        assert_within(f"(R + J R* J) / 2, {name}", got, expected, _bound(drawn))


@given(low_rank_factors())
def test_forward_backward_twice_is_once(drawn: FactoredMatrix) -> None:
    for name, form in _forms(drawn).items():
        once = TARGET.forward_backward(form)
        twice = _matrix(TARGET.forward_backward(once))
        # The mean of two equal numbers is exact; the second factor has twice the columns, rounded.
        bound = 0.0 if name == "dense" else 4 * _bound(drawn)
        assert_within(f"twice, {name}", twice, _matrix(once), bound)


@given(low_rank_factors(), st.data())
def test_smoothing_is_the_mean_of_the_windows(drawn: FactoredMatrix, data) -> None:
    size = data.draw(st.integers(1, drawn.n), label="size")
    order = data.draw(st.permutations(range(drawn.n)), label="order")
    windows = np.array([order[i : i + size] for i in range(drawn.n - size + 1)])
    blocks = [drawn.dense[..., w[:, None], w[None, :]] for w in windows]
    expected = np.mean(blocks, axis=0)
    for name, form in _forms(drawn).items():
        got = _matrix(TARGET.spatial_smoothing(form, torch.from_numpy(windows)))
        assert_within(f"mean of R[w, w], {name}", got, expected, _bound(drawn))


@given(low_rank_factors(), st.integers(0, 2**16), st.sampled_from((0.25, 1.0, 4.0)))
def test_soft_music_weighs_every_eigenvector_by_its_eigenvalue(
    drawn: FactoredMatrix, seed: int, ratio: float
) -> None:
    a, dtype = unit_vectors(drawn.n, seed), drawn.factor.dtype
    noise = ratio * largest(drawn.values)
    values, vectors = np.linalg.eigh(drawn.dense)
    weights = noise / np.maximum(values, noise)
    parts = np.abs(vectors.conj().swapaxes(-1, -2) @ a) ** 2
    expected = (weights[..., None] * parts).sum(axis=-2)
    # h is Lipschitz in R as a matrix function: |h'| <= 1 / s, and sqrt(n) for the Frobenius norm.
    error = (1 + drawn.q / drawn.n) * eigenvalue_bound(drawn.values, dtype).max() / noise
    rounding = noise_floor_bound(drawn.n, product_bound(1.0, drawn.n, dtype), dtype)
    bound = drawn.n**0.5 * error + rounding + product_bound(1.0, drawn.n, dtype)
    for name, form in _forms(drawn).items():
        spectrum = TARGET.soft_music_spectrum(form, torch.from_numpy(a).to(dtype), noise, 1.0)
        assert_within(f"a^H h(R) a, {name}", 1 / spectrum.double().numpy(), expected, bound)
