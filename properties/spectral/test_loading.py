"""Law: `R + delta I` moves every eigenvalue by delta and turns no eigenvector."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import eigenvalue_bound, product_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.oracles import eigenvalues
from ris_pipeline.verification.strategies import SpectralMatrix, hermitian_matrices
from ris_pipeline.verification.target import TARGET

levels = st.sampled_from((0.25, 1.0, 4.0, 0.0))


def _loaded(drawn: SpectralMatrix, level: float) -> tuple[np.ndarray, float]:
    loading = level * float(np.abs(drawn.values).max() or 1.0)
    return TARGET.add_loading(drawn.matrix, loading).to(torch.complex128).numpy(), loading


@given(hermitian_matrices(), levels)
def test_every_eigenvalue_rises_by_the_loading(drawn: SpectralMatrix, level: float) -> None:
    loaded, loading = _loaded(drawn, level)
    expected = drawn.values + loading
    bound = eigenvalue_bound(np.abs(drawn.values) + loading, drawn.matrix.dtype)[..., None]
    assert_within("lambda + delta", eigenvalues(loaded), expected, bound)


@given(hermitian_matrices(), levels)
def test_only_the_diagonal_changes(drawn: SpectralMatrix, level: float) -> None:
    loaded, loading = _loaded(drawn, level)
    expected = drawn.exact + loading * np.eye(drawn.n)
    size = float(np.abs(drawn.values).max(initial=0.0)) + loading
    assert_within("R + delta I", loaded, expected, product_bound(size, 2, drawn.matrix.dtype))
