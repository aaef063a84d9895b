"""Law: descending the hinge opens the gap.

    grad = -(v_k v_k^H - v_{k+1} v_{k+1}^H) / batch   in the active zone, zero outside

for the inner product <X, Y> = Re tr(X^H Y), which is the convention of torch: for a real loss the
`.grad` of a complex tensor is dL/dRe + j dL/dIm.
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import (
    difference_bound,
    difference_step,
    eigenvalue_bound,
    entry_bound,
    gap_bound,
    gradient_bound,
)
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import (
    Domain,
    NearHermitian,
    SpectralMatrix,
    hermitian_matrices,
    near_hermitian_matrices,
    orders,
)
from ris_pipeline.verification.target import TARGET

SIMPLE = (Domain.POSITIVE, Domain.INDEFINITE)
"""Families whose eigenvalues are all distinct."""


def _wide_margin(matrix: torch.Tensor) -> float:
    """Above any gap of the matrix: gap <= 2 ||A|| <= 2 ||A||_F."""
    return 1.0 + 4.0 * float(torch.linalg.matrix_norm(matrix).max())


def _gradient(matrix: torch.Tensor, k: int, margin: float) -> np.ndarray:
    leaf = matrix.clone().requires_grad_()
    TARGET.eigengap_loss(leaf, k, margin).backward()
    assert leaf.grad is not None, "no gradient: the hinge is detached"
    return leaf.grad.to(torch.complex128).numpy()


def _batch(matrix: torch.Tensor) -> int:
    return max(1, int(np.prod(matrix.shape[:-2])))


def _norms(matrices: np.ndarray) -> np.ndarray:
    return np.linalg.norm(matrices, axis=(-2, -1))


@given(hermitian_matrices(domains=SIMPLE), st.data())
def test_the_gradient_is_the_difference_of_projectors(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    margin = _wide_margin(drawn.matrix)
    got = _gradient(drawn.matrix, k, margin)
    expected = oracles.hinge_gradient(drawn.exact, k, margin)
    bound = gradient_bound(drawn.values, k, drawn.matrix.dtype) / _batch(drawn.matrix)
    error = _norms(got - expected)
    assert_within("|grad - analytic|_F", error, np.zeros_like(error), bound)


# Where an eigenvalue is zero, a singular value has other vectors left and right.
REGULAR = (*SIMPLE, Domain.REPEATED, Domain.CLUSTERED, Domain.WILKINSON)


@given(hermitian_matrices(domains=REGULAR), st.data())
def test_the_gradient_is_hermitian_of_norm_root_two(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    _check_size(_gradient(drawn.matrix, k, _wide_margin(drawn.matrix)), drawn, k)


def _check_size(got: np.ndarray, drawn: SpectralMatrix, k: int) -> None:
    """Hermitian, and of norm sqrt(2) over the batch.

    Of eigenvalues that are one to rounding each, and every mean of them, is the k-th: of m equal
    ones P / m is a right gradient too, of norm 1 / sqrt(m).
    """
    batch = _batch(drawn.matrix)
    # Orthonormality of computed eigenvectors: c n eps (LAPACK Users' Guide, section 4.7).
    bound = entry_bound(np.sqrt(2) / batch, 8 * drawn.n, drawn.matrix.dtype)
    skew, norm = _norms(got - got.conj().swapaxes(-1, -2)), _norms(got)
    near = 4 * eigenvalue_bound(drawn.values, drawn.matrix.dtype)[..., None]
    first, second = drawn.values[..., :k], drawn.values[..., k:]
    equal = [np.abs(first - first[..., -1:]) <= near, np.abs(second - second[..., :1]) <= near]
    least = np.sqrt(sum(1 / ties.sum(axis=-1) for ties in equal)) / batch
    off = norm - np.clip(norm, least, np.sqrt(2) / batch)
    assert_within("|grad - grad^H|_F, |grad|_F", [skew, off], np.zeros((2, *off.shape)), bound)


@given(near_hermitian_matrices(), st.data())
def test_the_gradient_is_hermitian_for_any_matrix(drawn: NearHermitian, data) -> None:
    hermitian, perturbed, _ = drawn
    k = data.draw(orders(hermitian), label="k")
    _check_size(_gradient(perturbed, k, _wide_margin(perturbed)), hermitian, k)


@given(hermitian_matrices(), st.data())
def test_the_gradient_is_zero_when_the_gap_is_open(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    gap = oracles.eigengap(drawn.exact, k) - gap_bound(drawn.values, drawn.matrix.dtype)
    margin = float(gap.min())
    if margin > 0:
        got = _gradient(drawn.matrix, k, margin)
        assert_within("grad beyond the margin", np.abs(got).max(), 0.0, 0.0)


@given(hermitian_matrices(domains=(Domain.REPEATED, Domain.LOW_RANK, Domain.ZERO)), st.data())
def test_the_gradient_is_finite_and_bounded_at_ties(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    got = _gradient(drawn.matrix, k, _wide_margin(drawn.matrix))
    assert_true("grad is finite", np.isfinite(got), got)
    limit = np.sqrt(2) / _batch(drawn.matrix)
    allowed = limit + entry_bound(limit, 8 * drawn.n, drawn.matrix.dtype)
    assert_true("|grad|_F <= sqrt(2) / batch", _norms(got) <= allowed, _norms(got))


@given(
    hermitian_matrices(domains=SIMPLE, dtypes=(torch.complex128,), batches=((),)),
    st.data(),
    st.integers(0, 2**16),
)
def test_the_gradient_agrees_with_differences_of_scipy(
    drawn: SpectralMatrix, data, seed: int
) -> None:
    k = data.draw(orders(drawn), label="k")
    generator = np.random.default_rng(seed)
    shape = drawn.exact.shape
    direction = oracles.hermitian_part(
        generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    )
    direction /= np.linalg.norm(direction)
    step, margin = difference_step(drawn.values), _wide_margin(drawn.matrix)
    ahead, behind = (
        oracles.hinge(drawn.exact + sign * step * direction, k, margin) for sign in (1, -1)
    )
    slope = np.vdot(_gradient(drawn.matrix, k, margin), direction).real
    bound = difference_bound(drawn.values, k, step) + gradient_bound(
        drawn.values, k, torch.complex128
    )
    # The margin adds its own rounding to both hinges.
    bound += 2 * np.finfo(np.float64).eps * margin / step
    assert_within("slope", slope, (ahead - behind) / (2 * step), bound)


@given(hermitian_matrices(domains=SIMPLE), st.data())
def test_a_descent_step_opens_the_gap(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    got = _gradient(drawn.matrix, k, _wide_margin(drawn.matrix)) * _batch(drawn.matrix)
    before = oracles.eigengap(drawn.exact, k)
    # A tenth of the smallest gap keeps lambda_k and lambda_{k+1} in their places, so the gap opens
    # by twice the step.
    spacing = np.abs(np.diff(drawn.values, axis=-1)).min(axis=-1)
    step = 0.1 * spacing
    after = oracles.eigengap(drawn.exact - step[..., None, None] * got, k)
    widened = after - before
    # The step moves along projectors that are off by the gradient bound.
    slack = step * 2 * gradient_bound(drawn.values, k, drawn.matrix.dtype)
    slack += gap_bound(drawn.values, torch.complex128)
    # At the end of the spectrum's interior a neighbour may be overtaken only beyond the spacing.
    assert_true("a descent step opens the gap", widened > 0, widened)
    assert_within("gap widened by twice the step", widened, 2 * step, slack)
