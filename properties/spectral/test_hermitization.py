"""Law: hermitize(A) = (A + A^H) / 2, the nearest Hermitian matrix."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import entry_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import (
    NearHermitian,
    SpectralMatrix,
    hermitian_matrices,
    near_hermitian_matrices,
    skew_part,
)
from ris_pipeline.verification.target import TARGET


def _hermitized(matrix: torch.Tensor) -> np.ndarray:
    return TARGET.hermitize(matrix).to(torch.complex128).numpy()


def _rounding(matrix: torch.Tensor) -> float:
    """Four roundings of an entry: `A - (A - A^H) / 2` is as good as `(A + A^H) / 2`."""
    return float(entry_bound(float(matrix.abs().max()), 4, matrix.dtype))


def _norm(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.norm(matrix, axis=(-2, -1))


@given(near_hermitian_matrices())
def test_the_result_is_hermitian(drawn: NearHermitian) -> None:
    result, bound = _hermitized(drawn.matrix), _rounding(drawn.matrix)
    assert_within("A - A^H", result, result.conj().swapaxes(-1, -2), 2 * bound, recorded=False)
    diagonal = np.diagonal(result, axis1=-2, axis2=-1)
    assert_within(
        "imaginary diagonal", diagonal.imag, np.zeros(diagonal.shape), bound, recorded=False
    )


@given(near_hermitian_matrices())
def test_the_result_is_half_of_matrix_plus_adjoint(drawn: NearHermitian) -> None:
    wide = drawn.matrix.to(torch.complex128).numpy()
    expected = oracles.hermitian_part(wide)
    assert_within("hermitize(A)", _hermitized(drawn.matrix), expected, _rounding(drawn.matrix))


@given(near_hermitian_matrices())
def test_twice_is_once(drawn: NearHermitian) -> None:
    once = TARGET.hermitize(drawn.matrix)
    expected = once.to(torch.complex128).numpy()
    assert_within(
        "hermitize twice", _hermitized(once), expected, _rounding(drawn.matrix), recorded=False
    )


@given(hermitian_matrices())
def test_a_hermitian_matrix_is_left_alone(drawn: SpectralMatrix) -> None:
    expected = drawn.matrix.to(torch.complex128).numpy()
    assert_within(
        "hermitize(H)", _hermitized(drawn.matrix), expected, _rounding(drawn.matrix), recorded=False
    )


@given(near_hermitian_matrices(), st.sampled_from((2.0, -1.0, 0.25)))
def test_real_factors_pass_through(drawn: NearHermitian, factor: float) -> None:
    matrix, bound = drawn.matrix, 2 * abs(factor) * _rounding(drawn.matrix)
    scaled = _hermitized(factor * matrix)
    assert_within("hermitize(c A)", scaled, factor * _hermitized(matrix), bound, recorded=False)


@given(near_hermitian_matrices(), st.integers(0, 2**16))
def test_no_hermitian_matrix_is_nearer(drawn: NearHermitian, seed: int) -> None:
    matrix = drawn.matrix.to(torch.complex128)
    nearest = TARGET.hermitize(matrix).numpy()
    skew = skew_part(matrix, seed, 1.0)
    other = nearest + (1j * skew).numpy()
    wide = matrix.numpy()
    n = matrix.shape[-1]
    # Pythagoras: hermitize(A) is the orthogonal projection, |A - X|^2 = |A - H|^2 + |H - X|^2.
    whole = _norm(wide - other) ** 2
    parts = _norm(wide - nearest) ** 2 + _norm(nearest - other) ** 2
    assert_within("Pythagoras", whole, parts, entry_bound(4 * parts, n * n, torch.complex128))
    assert_true("nearest", _norm(wide - nearest) <= _norm(wide - other), _norm(wide - other))


@given(near_hermitian_matrices())
def test_the_spectrum_is_real(drawn: NearHermitian) -> None:
    result = TARGET.hermitize(drawn.matrix.to(torch.complex128)).numpy()
    # Eigenvalues of a general solver, which does not assume symmetry. They move by at most
    # p(n) eps ||A|| since a Hermitian matrix is normal (Bauer and Fike, Numer. Math. 2, 1960).
    values = np.linalg.eigvals(result)
    bound = entry_bound(_norm(result)[..., None], 8 * result.shape[-1], torch.complex128)
    assert_within("imaginary part", values.imag, np.zeros(values.shape), bound)
