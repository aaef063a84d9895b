"""Law: Bartlett's spectrum is the quadratic form `a^H R a`."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import largest, product_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import FactoredMatrix, low_rank_factors, unit_vectors
from ris_pipeline.verification.target import TARGET


@given(low_rank_factors(), st.integers(0, 2**16))
def test_bartlett_is_the_quadratic_form(drawn: FactoredMatrix, seed: int) -> None:
    a, dtype = unit_vectors(drawn.n, seed), drawn.factor.dtype
    matrix, steering = (torch.from_numpy(x).to(dtype) for x in (drawn.dense, a))
    got = TARGET.bartlett_spectrum(matrix, steering).double().numpy()
    expected = (a.conj() * (drawn.dense @ a)).sum(axis=-2).real
    bound = product_bound(largest(drawn.values), 2 * drawn.n, dtype)
    assert_within("a^H R a", got, expected, bound)
    assert_true("positive", got > 0, got)
