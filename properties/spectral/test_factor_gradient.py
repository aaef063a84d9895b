"""Law: the gradient of the hinge by a factor F of `R = F F^H` is `-2 (P_k - P_{k+1}) F / batch`.

dR = dF F^H + F dF^H, so for a Hermitian gradient G by R the one by F is 2 G F.
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import entry_bound, factor_gradient_bound, gap_bound, largest
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.oracles import hinge_gradient
from ris_pipeline.verification.strategies import FactoredMatrix, Rank, low_rank_factors
from ris_pipeline.verification.target import TARGET, Claim, taken


def _gradient(drawn: FactoredMatrix, k: int) -> np.ndarray:
    leaf = drawn.factor.clone().requires_grad_()
    margin = 1 + 4 * largest(drawn.values)
    TARGET.eigengap_loss(TARGET.LowRankCovariance(leaf, drawn.loading), k, margin).backward()
    assert leaf.grad is not None, "no gradient: the factor is detached"
    return leaf.grad.to(torch.complex128).numpy()


@given(low_rank_factors(ranks=(Rank.DISTINCT,), columns=(1, 4)), st.data())
def test_the_gradient_by_a_factor_is_twice_that_by_the_matrix_times_it(
    drawn: FactoredMatrix, data
) -> None:
    k = data.draw(st.integers(1, min(drawn.n - 1, drawn.q)), label="k")
    margin = 1 + 4 * largest(drawn.values)
    expected = 2 * hinge_gradient(drawn.dense, k, margin) @ drawn.exact
    error = np.linalg.norm(_gradient(drawn, k) - expected, axis=(-2, -1))
    batch = max(1, int(np.prod(drawn.factor.shape[:-2])))
    # Padded with the zeros that a wide factor's Gram matrix has.
    gram = np.pad(drawn.squares, [(0, 0)] * (drawn.squares.ndim - 1) + [(0, 1)])
    bound = factor_gradient_bound(gram, k, drawn.factor.dtype) * drawn.n / batch
    assert_within("|grad_F - 2 G F|_F", error, np.zeros_like(error), bound)


@given(low_rank_factors(ranks=(Rank.TIED, Rank.DEFICIENT)), st.data())
def test_the_gradient_by_a_factor_is_finite_and_bounded_at_ties(
    drawn: FactoredMatrix, data
) -> None:
    k = data.draw(st.integers(1, drawn.n - 1), label="k")
    got = _gradient(drawn, k)
    assert_true("grad_F is finite", np.isfinite(got), got)
    norms = np.linalg.norm(got, axis=(-2, -1))
    batch = max(1, int(np.prod(drawn.factor.shape[:-2])))
    limit = 2 * np.sqrt(2 * drawn.squares[..., 0]) / batch
    allowed = limit + entry_bound(limit, 8 * (drawn.n + drawn.q), drawn.factor.dtype)
    assert_true("|grad_F|_F <= 2 sqrt(2) ||F|| / batch", norms <= allowed, norms)


@given(low_rank_factors(ranks=(Rank.DISTINCT,), columns=(1, 12)), st.data())
def test_the_loss_of_a_factor_is_that_of_the_matrix(drawn: FactoredMatrix, data) -> None:
    k = data.draw(st.integers(1, drawn.n - 1), label="k")
    part = data.draw(st.sampled_from((0.5, 2.0, 4.0)), label="part")
    margin = part * largest(drawn.squares)
    squares = drawn.values - drawn.loading
    expected = np.maximum(margin - (squares[..., k - 1] - squares[..., k]), 0).mean()
    got = TARGET.factor_eigengap_loss(drawn.factor, k, margin).detach().double().numpy()
    bound = gap_bound(squares, drawn.factor.dtype).mean() * max(1, drawn.q / drawn.n)
    assert_within("hinge", got, expected, bound + entry_bound(margin, 2, drawn.factor.dtype))


@given(low_rank_factors(ranks=(Rank.DISTINCT,), columns=(1, 4)), st.data())
def test_the_loss_of_a_factor_has_its_gradient(drawn: FactoredMatrix, data) -> None:
    taken((Claim.GRADIENT,))
    k = data.draw(st.integers(1, min(drawn.n - 1, drawn.q)), label="k")
    margin = 1 + 4 * largest(drawn.values)
    leaf = drawn.factor.clone().requires_grad_()
    TARGET.factor_eigengap_loss(leaf, k, margin).backward()
    assert leaf.grad is not None, "no gradient: the factor is detached"
    plain = drawn.exact @ drawn.exact.conj().swapaxes(-1, -2)
    expected = 2 * hinge_gradient(plain, k, margin) @ drawn.exact
    got = leaf.grad.resolve_conj().to(torch.complex128).numpy()
    error = np.linalg.norm(got - expected, axis=(-2, -1))
    gram = np.pad(drawn.squares, [(0, 0)] * (drawn.squares.ndim - 1) + [(0, 1)])
    batch = max(1, int(np.prod(drawn.factor.shape[:-2])))
    bound = factor_gradient_bound(gram, k, drawn.factor.dtype) * drawn.n / batch
    assert_within("|grad_F - 2 G F|_F", error, np.zeros_like(error), bound)
