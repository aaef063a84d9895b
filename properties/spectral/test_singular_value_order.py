"""Law: spectra descend, and are what scipy says they are."""

import numpy as np
from hypothesis import given

from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import eigenvalue_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import (
    SEMIDEFINITE,
    Basis,
    Domain,
    NearHermitian,
    SpectralMatrix,
    hermitian_matrices,
    near_hermitian_matrices,
)
from ris_pipeline.verification.target import TARGET


@given(hermitian_matrices())
def test_singular_values_descend(drawn: SpectralMatrix) -> None:
    values = TARGET.singular_values(drawn.matrix).double().numpy()
    assert_true("sigma_i >= sigma_{i+1}", values[..., :-1] >= values[..., 1:], values)
    assert_true("sigma_n >= 0", values[..., -1] >= 0, values[..., -1])


@given(hermitian_matrices())
def test_eigenvalues_descend(drawn: SpectralMatrix) -> None:
    values = TARGET.eigenvalues(drawn.matrix).double().numpy()
    assert_true("lambda_i >= lambda_{i+1}", values[..., :-1] >= values[..., 1:], values)


@given(hermitian_matrices())
def test_singular_values_are_those_of_scipy(drawn: SpectralMatrix) -> None:
    values = TARGET.singular_values(drawn.matrix).double().numpy()
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype)[..., None]
    assert_within("sigma", values, oracles.singular_values(drawn.exact), bound)


@given(hermitian_matrices())
def test_eigenvalues_are_those_of_scipy(drawn: SpectralMatrix) -> None:
    values = TARGET.eigenvalues(drawn.matrix).double().numpy()
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype)[..., None]
    assert_within("lambda", values, oracles.eigenvalues(drawn.exact), bound)
    assert_within("lambda drawn", values, drawn.values, bound)


@given(hermitian_matrices(domains=SEMIDEFINITE))
def test_singular_values_are_eigenvalues_when_semidefinite(drawn: SpectralMatrix) -> None:
    singular = TARGET.singular_values(drawn.matrix).double().numpy()
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype)[..., None]
    assert_within("sigma = lambda", singular, drawn.values, bound)


@given(hermitian_matrices(domains=(Domain.GRADED,), bases=(Basis.DFT, Basis.HAAR)))
def test_small_singular_values_keep_their_digits(drawn: SpectralMatrix) -> None:
    singular = TARGET.singular_values(drawn.matrix).double().numpy()
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype)[..., None]
    assert_within("sigma over 12 decades", singular, drawn.values, bound)


@given(hermitian_matrices(domains=(Domain.INDEFINITE,)))
def test_singular_values_are_sorted_magnitudes_when_indefinite(drawn: SpectralMatrix) -> None:
    singular = TARGET.singular_values(drawn.matrix).double().numpy()
    magnitudes = np.sort(np.abs(drawn.values), axis=-1)[..., ::-1]
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype)[..., None]
    assert_within("sigma = |lambda|", singular, magnitudes, bound)
    eigenvalues = TARGET.eigenvalues(drawn.matrix).double().numpy()
    assert_true("some lambda < 0", eigenvalues[..., -1] < 0, eigenvalues[..., -1])


@given(near_hermitian_matrices())
def test_spectra_are_those_of_the_hermitian_part(drawn: NearHermitian) -> None:
    hermitian, perturbed, _ = drawn
    size = np.linalg.norm(perturbed.numpy(), ord=2, axis=(-2, -1))
    bound = eigenvalue_bound(size[..., None] * np.ones(hermitian.n), perturbed.dtype)[..., None]
    for name in ("eigenvalues", "singular_values"):
        values = getattr(TARGET, name)(perturbed).double().numpy()
        expected = getattr(oracles, name)(hermitian.exact)
        assert_within(f"{name} of A + skew", values, expected, bound)


@given(hermitian_matrices(domains=(Domain.LOW_RANK, Domain.POSITIVE, Domain.REPEATED)))
def test_a_factored_covariance_has_the_same_spectrum(drawn: SpectralMatrix) -> None:
    vectors = np.linalg.eigh(drawn.exact)[1][..., ::-1]
    kept = max(1, int((drawn.values > 0).sum(axis=-1).max()))
    factor = (vectors * np.sqrt(drawn.values)[..., None, :])[..., :kept]
    covariance = TARGET.LowRankCovariance(drawn.matrix.new_tensor(factor))
    values = covariance.eigenvalues().double().numpy()
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype)[..., None]
    assert_within("lambda of F F^H", values, drawn.values, bound)
