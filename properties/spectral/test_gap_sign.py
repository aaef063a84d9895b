"""Law: the eigengap is lambda_k - lambda_{k+1}, never negative, and the hinge is made of it."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import eigenvalue_bound, gap_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.problems import Size, problem
from ris_pipeline.verification.strategies import (
    Domain,
    NearHermitian,
    SpectralMatrix,
    hermitian_matrices,
    near_hermitian_matrices,
    orders,
)
from ris_pipeline.verification.target import TARGET


@given(hermitian_matrices(), st.data())
def test_the_gap_is_never_negative(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    gap = TARGET.eigengap(drawn.matrix, k).double().numpy()
    assert_true(f"gap_{k} >= 0", gap >= 0, gap)


@given(hermitian_matrices(), st.data())
def test_the_gap_has_the_right_size(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    gap = TARGET.eigengap(drawn.matrix, k).double().numpy()
    bound = gap_bound(drawn.values, drawn.matrix.dtype)
    assert_within("gap_k", gap, oracles.eigengap(drawn.exact, k), bound)


@given(near_hermitian_matrices(), st.data())
def test_the_gap_is_that_of_the_hermitian_part(drawn: NearHermitian, data) -> None:
    hermitian, perturbed, _ = drawn
    k = data.draw(orders(hermitian), label="k")
    size = np.linalg.norm(perturbed.numpy(), ord=2, axis=(-2, -1))
    bound = gap_bound(size[..., None] * np.ones(hermitian.n), perturbed.dtype)
    gap = TARGET.eigengap(perturbed, k).double().numpy()
    assert_within("gap_k of A + skew", gap, oracles.eigengap(hermitian.exact, k), bound)


@given(hermitian_matrices(), st.data())
def test_a_tensor_of_orders_takes_one_each(drawn: SpectralMatrix, data) -> None:
    batch = drawn.matrix.shape[:-2]
    chosen = [data.draw(orders(drawn), label="k") for _ in range(max(1, int(np.prod(batch))))]
    k = torch.tensor(chosen).reshape(batch)
    gap = TARGET.eigengap(drawn.matrix, k).double().numpy()
    upper = np.take_along_axis(drawn.values, k.numpy()[..., None] - 1, axis=-1)[..., 0]
    lower = np.take_along_axis(drawn.values, k.numpy()[..., None], axis=-1)[..., 0]
    assert_within("gap_k", gap, upper - lower, gap_bound(drawn.values, drawn.matrix.dtype))


@given(hermitian_matrices(), st.data(), st.sampled_from((0.5, 1.5, 0.875, 8.0, 0.0)))
def test_the_hinge_has_the_right_value(drawn: SpectralMatrix, data, part: float) -> None:
    k = data.draw(orders(drawn), label="k")
    # Parts of the widest gap: some matrices of a batch pay and others do not.
    widest = float(oracles.eigengap(drawn.exact, k).max())
    margin = part * (widest or float(np.abs(drawn.values).max() or 1.0))
    got = TARGET.eigengap_loss(drawn.matrix, k, margin).item()
    bound = gap_bound(drawn.values, drawn.matrix.dtype).mean()
    # The margin itself is rounded to the dtype.
    bound += torch.finfo(drawn.matrix.dtype).eps * margin
    assert_within("hinge", got, oracles.hinge(drawn.exact, k, margin), bound)


MIXED = (Size(4, (3,), k=2), Size(3, (17,)), Size(2, (2, 2)))


@given(st.sampled_from(MIXED), st.sampled_from((0.5, 0.05)))
def test_open_gaps_do_not_pay_for_closed_ones(size: Size, part: float) -> None:
    # Gaps a decade apart, and a margin between them: some matrices pay, and each for itself.
    given, count = problem(size), int(np.prod(size.batch))
    weights = (10.0 ** -(np.arange(count) % 3)).reshape(size.batch)
    matrix = given.drawn.matrix * torch.from_numpy(weights)[..., None, None]
    gap = weights * (given.drawn.values[..., size.k - 1] - given.drawn.values[..., size.k])
    margin = part * float(gap.max())
    bound = gap_bound(weights[..., None] * given.drawn.values, size.dtype).mean()
    bound += torch.finfo(size.dtype).eps * margin
    got = TARGET.eigengap_loss(matrix, size.k, margin).item()
    assert_within("hinge", got, np.maximum(0.0, margin - gap).mean(), bound, recorded=False)


@given(near_hermitian_matrices(), st.data())
def test_the_hinge_is_that_of_the_hermitian_part(drawn: NearHermitian, data) -> None:
    hermitian, perturbed, _ = drawn
    k = data.draw(orders(hermitian), label="k")
    # Wider than any gap, so that the hinge is the margin less the mean gap.
    margin = 4 * float(np.abs(hermitian.values).max() or 1.0)
    size = np.linalg.norm(perturbed.numpy(), ord=2, axis=(-2, -1))
    bound = gap_bound(size[..., None] * np.ones(hermitian.n), perturbed.dtype).mean()
    bound += torch.finfo(perturbed.dtype).eps * margin
    got = TARGET.eigengap_loss(perturbed, k, margin).item()
    assert_within("hinge of A + skew", got, oracles.hinge(hermitian.exact, k, margin), bound)


@given(hermitian_matrices(), st.data())
def test_the_hinge_is_zero_when_the_gap_is_open(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    gap = oracles.eigengap(drawn.exact, k)
    margin = float(max(0.0, (gap - gap_bound(drawn.values, drawn.matrix.dtype)).min()))
    # A margin below every gap costs nothing; one of zero may cost the rounding of a gap.
    if margin > 0:
        got = TARGET.eigengap_loss(drawn.matrix, k, margin).item()
        assert_within("hinge beyond the margin", got, 0.0, 0.0)


@given(hermitian_matrices(), st.data())
def test_a_margin_of_zero_costs_nothing(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    # But for the rounding of a gap that is closed.
    bound = gap_bound(drawn.values, drawn.matrix.dtype).max(initial=0.0)
    got = TARGET.eigengap_loss(drawn.matrix, k, 0.0).item()
    assert_within("hinge without a margin", got, 0.0, bound)


@given(hermitian_matrices(), st.data())
def test_the_hinge_rises_with_the_margin(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    size = float(np.abs(drawn.values).max() or 1.0)
    margins = (0.0, 0.5 * size, 3.0 * size)
    hinges = [TARGET.eigengap_loss(drawn.matrix, k, margin).item() for margin in margins]
    assert_true("hinge(m) rises with m", np.diff(hinges) >= 0, np.array(hinges))
    # Beyond every possible gap, 2 ||A||, the hinge is positive.
    assert_true("hinge > 0 at a wide margin", hinges[-1] > 0, hinges[-1])


@given(hermitian_matrices(domains=(Domain.LOW_RANK, Domain.POSITIVE)), st.data())
def test_a_factored_covariance_has_the_same_gap(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    vectors = np.linalg.eigh(drawn.exact)[1][..., ::-1]
    kept = max(1, int((drawn.values > 0).sum(axis=-1).max()))
    factor = (vectors * np.sqrt(drawn.values)[..., None, :])[..., :kept]
    gap = TARGET.eigengap(TARGET.LowRankCovariance(drawn.matrix.new_tensor(factor)), k)
    bound = gap_bound(drawn.values, drawn.matrix.dtype)
    expected = drawn.values[..., k - 1] - drawn.values[..., k]
    assert_within("gap of F F^H", gap.double().numpy(), expected, bound)


@given(hermitian_matrices())
def test_the_gaps_add_up_and_their_sum_rises_with_k(drawn: SpectralMatrix) -> None:
    gaps = [TARGET.eigengap(drawn.matrix, k).double().numpy() for k in range(1, drawn.n)]
    sums = np.cumsum(np.stack(gaps, axis=-1), axis=-1)
    assert_true("rises with k", np.diff(sums, axis=-1) >= 0, np.diff(sums, axis=-1))
    expected = drawn.values[..., :1] - drawn.values[..., 1:]
    bound = drawn.n * gap_bound(drawn.values, drawn.matrix.dtype)[..., None]
    assert_within("lambda_1 - lambda_{k+1}", sums, expected, bound)


@given(hermitian_matrices(domains=(Domain.POSITIVE, Domain.LOW_RANK)))
def test_the_subspace_margin_falls_with_k(drawn: SpectralMatrix) -> None:
    orders_k = range(1, drawn.n)
    hinges = [TARGET.signal_power_hinge(drawn.matrix, k, 1.0).item() for k in orders_k]
    share = np.cumsum(drawn.values, axis=-1) / drawn.values.sum(axis=-1, keepdims=True)
    expected = (1 - share)[..., :-1].reshape(-1, drawn.n - 1).mean(axis=0)
    bound = eigenvalue_bound(np.ones(drawn.n), drawn.matrix.dtype) * drawn.n
    assert_within("1 - share of the k largest", hinges, expected, bound)
    assert_true("falls with k", np.diff(hinges) <= bound, np.diff(hinges))
