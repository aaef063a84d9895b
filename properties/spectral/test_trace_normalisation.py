"""Law: trace normalisation gives trace n and leaves the shape of the spectrum alone."""

import numpy as np
import torch
from hypothesis import given

from ris_pipeline.verification.bounds import eigenvalue_bound, product_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.oracles import eigenvalues
from ris_pipeline.verification.strategies import Domain, SpectralMatrix, hermitian_matrices
from ris_pipeline.verification.target import TARGET

NOT_ZERO = (Domain.POSITIVE, Domain.LOW_RANK, Domain.REPEATED, Domain.GRADED)


@given(hermitian_matrices(domains=NOT_ZERO))
def test_the_trace_becomes_n(drawn: SpectralMatrix) -> None:
    normal = TARGET.normalize_trace(drawn.matrix).to(torch.complex128).numpy()
    total = np.trace(normal, axis1=-2, axis2=-1)
    bound = product_bound(drawn.n, drawn.n, drawn.matrix.dtype)
    assert_within("trace", total, np.full(total.shape, drawn.n), bound)


@given(hermitian_matrices(domains=NOT_ZERO))
def test_the_eigenvalues_are_scaled_to_the_mean_one(drawn: SpectralMatrix) -> None:
    normal = TARGET.normalize_trace(drawn.matrix).to(torch.complex128).numpy()
    expected = drawn.values / drawn.values.mean(axis=-1, keepdims=True)
    bound = eigenvalue_bound(expected, drawn.matrix.dtype)[..., None]
    assert_within("lambda n / tr R", eigenvalues(normal), expected, bound)


@given(hermitian_matrices(domains=(Domain.ZERO,)))
def test_a_matrix_of_zeros_stays_zero(drawn: SpectralMatrix) -> None:
    normal = TARGET.normalize_trace(drawn.matrix).numpy()
    assert_within("0", normal, np.zeros_like(normal), 0.0)
