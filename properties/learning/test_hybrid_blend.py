"""Law: the blend is `(1 - beta) R_1 + beta R_2` of two matrices of trace n."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import eigenvalue_bound, product_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.oracles import eigenvalues
from ris_pipeline.verification.strategies import FactoredMatrix, low_rank_factors
from ris_pipeline.verification.target import TARGET

weights = st.sampled_from((0.0, 1.0, 0.5, 0.25))


def _pair(drawn: FactoredMatrix) -> tuple[np.ndarray, np.ndarray]:
    """R, and the same turned end for end: another matrix of the same spectrum."""
    return drawn.dense, drawn.dense[..., ::-1, ::-1]


def _blend(drawn: FactoredMatrix, beta: float) -> np.ndarray:
    first, second = (drawn.factor.new_tensor(matrix.copy()) for matrix in _pair(drawn))
    # Scales apart, so that a blend without normalisation is another one.
    return TARGET.blend(first, 4 * second, beta).to(torch.complex128).numpy()


@given(low_rank_factors(), weights)
def test_the_blend_is_the_weighted_mean_of_normalised_matrices(
    drawn: FactoredMatrix, beta: float
) -> None:
    total = drawn.values.sum(axis=-1)[..., None, None]
    first, second = (drawn.n * matrix / total for matrix in _pair(drawn))
    expected = (1 - beta) * first + beta * second
    bound = product_bound(float(drawn.n), drawn.n, drawn.factor.dtype)
    assert_within("blend", _blend(drawn, beta), expected, bound)


@given(low_rank_factors(), weights)
def test_the_blend_has_trace_n_and_a_spectrum_between(drawn: FactoredMatrix, beta: float) -> None:
    blended = _blend(drawn, beta)
    total = np.trace(blended, axis1=-2, axis2=-1)
    bound = product_bound(float(drawn.n), drawn.n, drawn.factor.dtype)
    assert_within("trace", total, np.full(total.shape, drawn.n), bound)
    # Weyl: the extreme eigenvalues of a mean lie between the means of the extremes.
    normal = drawn.values / drawn.values.mean(axis=-1, keepdims=True)
    values, slack = eigenvalues(blended), eigenvalue_bound(normal, drawn.factor.dtype)
    assert_true("lambda_1 of a mean", values[..., 0] <= normal[..., 0] + slack, values[..., 0])
    assert_true("lambda_n of a mean", values[..., -1] >= normal[..., -1] - slack, values[..., -1])
