"""Law: an eigenvalue's gradient is `v v^H`, a singular value's `sign(lambda) v v^H`.

For the inner product <X, Y> = Re tr(X^H Y), as in `test_gradient_direction`. Source: R. A. Horn and
C. R. Johnson, Matrix Analysis, theorem 6.3.12.
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import gradient_bound, projector_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import (
    Domain,
    SpectralMatrix,
    hermitian_matrices,
    orders,
)
from ris_pipeline.verification.target import TARGET

SIMPLE = (Domain.POSITIVE, Domain.INDEFINITE)
"""Families whose eigenvalues, and their magnitudes, are all distinct."""


def _gradient(name: str, drawn: SpectralMatrix, *place: int) -> np.ndarray:
    """Gradient of the sum over the batch of the value at a place of the spectrum, or of the gap."""
    leaf = drawn.matrix.clone().requires_grad_()
    answer = getattr(TARGET, name)(leaf, *(() if name != "eigengap" else place))
    chosen = answer if name == "eigengap" else answer[..., place[0]]
    assert chosen.requires_grad, f"{name} is detached"
    chosen.sum().backward()
    assert leaf.grad is not None, f"no gradient: {name} is detached"
    return leaf.grad.resolve_conj().to(torch.complex128).numpy()


def _projectors(drawn: SpectralMatrix, place: np.ndarray | int) -> np.ndarray:
    """`v v^H` of the eigenvectors at a place (from 0, descending), one for each matrix."""
    vectors = np.linalg.eigh(drawn.exact)[1][..., ::-1]
    at = np.broadcast_to(place, drawn.values.shape[:-1])[..., None, None]
    chosen = np.take_along_axis(vectors, at, axis=-1)
    return chosen @ chosen.conj().swapaxes(-1, -2)


def _assert_equal(got: np.ndarray, expected: np.ndarray, bound: np.ndarray) -> None:
    error = np.linalg.norm(got - expected, axis=(-2, -1))
    assert_within("|grad - analytic|_F", error, np.zeros_like(error), bound)


@given(hermitian_matrices(domains=SIMPLE), st.data())
def test_the_gradient_of_an_eigenvalue_is_its_projector(drawn: SpectralMatrix, data) -> None:
    place = data.draw(st.integers(0, drawn.n - 1), label="place")
    bound = projector_bound(drawn.values, place, drawn.matrix.dtype)
    _assert_equal(_gradient("eigenvalues", drawn, place), _projectors(drawn, place), bound)


@given(hermitian_matrices(domains=SIMPLE), st.data())
def test_the_gradient_of_a_singular_value_has_the_eigenvalues_sign(
    drawn: SpectralMatrix, data
) -> None:
    place = data.draw(st.integers(0, drawn.n - 1), label="place")
    origin = np.argsort(-np.abs(drawn.values), axis=-1)[..., place]
    sign = np.sign(np.take_along_axis(drawn.values, origin[..., None], axis=-1))[..., None]
    # Its vectors are as far apart as the magnitudes and, at opposite signs, their sums.
    magnitudes = np.sort(np.abs(drawn.values), axis=-1)[..., ::-1]
    bound = 2 * projector_bound(magnitudes, place, drawn.matrix.dtype)
    expected = sign * _projectors(drawn, origin)
    _assert_equal(_gradient("singular_values", drawn, place), expected, bound)


@given(hermitian_matrices(domains=SIMPLE), st.data())
def test_the_gradient_of_the_gap_is_a_difference_of_projectors(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    expected = _projectors(drawn, k - 1) - _projectors(drawn, k)
    bound = gradient_bound(drawn.values, k, drawn.matrix.dtype)
    _assert_equal(_gradient("eigengap", drawn, k), expected, bound)
