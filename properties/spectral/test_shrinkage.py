"""Law: shrinkage keeps the trace and pulls every eigenvalue towards the mean, in proportion."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import eigenvalue_bound, entry_bound, product_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.oracles import eigenvalues
from ris_pipeline.verification.strategies import SEMIDEFINITE, SpectralMatrix, hermitian_matrices
from ris_pipeline.verification.target import TARGET

weights = st.sampled_from((0.0, 0.5, 1.0, 0.125, 0.05))
positive = hermitian_matrices(domains=SEMIDEFINITE)


def _shrunk(drawn: SpectralMatrix, weight: float) -> np.ndarray:
    return TARGET.shrink(drawn.matrix, weight).to(torch.complex128).numpy()


@given(positive, weights)
def test_shrinkage_keeps_the_trace(drawn: SpectralMatrix, weight: float) -> None:
    total = np.trace(_shrunk(drawn, weight), axis1=-2, axis2=-1)
    expected = drawn.values.sum(axis=-1)
    bound = product_bound(expected, drawn.n, drawn.matrix.dtype)
    assert_within("trace", total, expected, bound)


@given(positive, weights)
def test_shrinkage_moves_eigenvalues_to_their_mean(drawn: SpectralMatrix, weight: float) -> None:
    mean = drawn.values.mean(axis=-1, keepdims=True)
    expected = (1 - weight) * drawn.values + weight * mean
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype)[..., None]
    assert_within("lambda", eigenvalues(_shrunk(drawn, weight)), expected, bound)


@given(positive, st.sampled_from((0.5, 1.0, 0.125, 0.05)))
def test_the_smallest_eigenvalue_is_at_least_its_part_of_the_mean(
    drawn: SpectralMatrix, weight: float
) -> None:
    floor = weight * drawn.values.mean(axis=-1)
    got = eigenvalues(_shrunk(drawn, weight))[..., -1]
    slack = eigenvalue_bound(drawn.values, drawn.matrix.dtype)
    assert_true("lambda_n >= a tr R / n", got >= floor - slack, got)


@given(st.lists(st.integers(-400, 400), min_size=2, max_size=6))
def test_the_weight_falls_with_the_amplitude_of_the_signal(tenths: list[int]) -> None:
    snr_db = torch.tensor(sorted(tenths), dtype=torch.float64) / 10
    weight = TARGET.shrinkage_weight(snr_db).numpy()
    expected = np.clip(1e-2 * 10 ** (-snr_db.numpy() / 20), 1e-4, 5e-2)
    assert_true("falls with SNR", np.diff(weight) <= 0, weight)
    bound = entry_bound(expected, 16, torch.float64)
    assert_within("clip(1e-2 10^(-snr / 20))", weight, expected, bound)
