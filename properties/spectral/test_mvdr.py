"""Law: MVDR's spectrum is `1 / (a^H R^-1 a)`, positive, and no higher than Bartlett's."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import condition_number, conditioned_bound, largest
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import FactoredMatrix, low_rank_factors, unit_vectors
from ris_pipeline.verification.target import TARGET

seeds = st.integers(0, 2**16)


def _spectrum(drawn: FactoredMatrix, a: np.ndarray) -> np.ndarray:
    dtype = drawn.factor.dtype
    matrix, steering = (torch.from_numpy(x).to(dtype) for x in (drawn.dense, a))
    return TARGET.mvdr_spectrum(matrix, steering).double().numpy()


def _bound(drawn: FactoredMatrix) -> float:
    condition = condition_number(drawn.values)
    size = largest(drawn.values)
    return float(conditioned_bound(size, 2 * drawn.n, condition, drawn.factor.dtype))


@given(low_rank_factors(), seeds)
def test_mvdr_inverts_the_covariance(drawn: FactoredMatrix, seed: int) -> None:
    a = unit_vectors(drawn.n, seed)
    form = (a.conj() * np.linalg.solve(drawn.dense, a)).sum(axis=-2).real
    assert_within("1 / (a^H R^-1 a)", _spectrum(drawn, a), 1 / form, _bound(drawn))


@given(low_rank_factors(loadings=(1e-6,), columns=(1, 3), dtypes=(torch.complex128,)), seeds)
def test_mvdr_sees_the_weakest_loading(drawn: FactoredMatrix, seed: int) -> None:
    # One snapshot and a little loading: beside the sources MVDR is down at the loading.
    a = unit_vectors(drawn.n, seed)
    form = (a.conj() * np.linalg.solve(drawn.dense, a)).sum(axis=-2).real
    got = _spectrum(drawn, a) * form
    # Relative: both solves are off by `c n eps` times the condition number.
    bound = conditioned_bound(1.0, 2 * drawn.n, condition_number(drawn.values), torch.complex128)
    assert_within("a^H R^-1 a / (a^H R^-1 a)", got, np.ones_like(got), bound)


@given(low_rank_factors(), seeds)
def test_mvdr_is_positive_and_no_higher_than_bartlett(drawn: FactoredMatrix, seed: int) -> None:
    # |a|^4 <= (a^H R a)(a^H R^-1 a) by Cauchy, for unit norm.
    a = unit_vectors(drawn.n, seed)
    got, form = _spectrum(drawn, a), (a.conj() * (drawn.dense @ a)).sum(axis=-2).real
    assert_true("positive", got > 0, got)
    assert_true("MVDR <= Bartlett", got <= form + _bound(drawn), got - form)


@given(low_rank_factors(), seeds)
def test_mvdr_does_not_fall_when_noise_is_added(drawn: FactoredMatrix, seed: int) -> None:
    a = unit_vectors(drawn.n, seed)
    before, dtype = _spectrum(drawn, a), drawn.factor.dtype
    louder = torch.from_numpy(drawn.dense + np.eye(drawn.n)).to(dtype)
    after = TARGET.mvdr_spectrum(louder, torch.from_numpy(a).to(dtype)).double().numpy()
    assert_true("rises with the noise", after >= before + 1 - 2 * _bound(drawn), after - before)
