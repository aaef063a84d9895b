"""Law: an answer is right at any size: of the matrix, of the batch, of the grid.

Small matrices reach none of what code does otherwise for large ones: blocks, chunks, narrow
integers, another algorithm.
"""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.families import HERMITIZED, MEANS, NAMES, OF_EACH, ULA, askable
from ris_pipeline.verification.problems import Size, comparable, nearly, problem
from ris_pipeline.verification.target import TARGET, Claim, taken, under_test

# Beyond the sizes at which blocks, 8-bit integers and thread pools begin.
ORDERS = (
    Size(1),
    Size(2),
    Size(17, k=3),
    Size(33, (3,), k=20),
    Size(65, k=2),
    Size(130, k=64),
    Size(200, k=150),
    Size(40, k=3, dtype=torch.complex64),
)
BATCHES = (
    Size(4, (9,)),
    Size(3, (17,), k=2),
    Size(3, (33,)),
    Size(2, (130,)),
    Size(4, (2, 3, 2), k=2),
    Size(3, (3,), k=2, vectors=2),
    Size(2, (2, 2), vectors=3),
    Size(5, (4, 1), k=3, dtype=torch.complex64),
)
GRIDS = (
    Size(4, vectors=1),
    Size(4, vectors=2, k=2),
    Size(4, vectors=4),
    Size(6, vectors=1025, k=2),
    Size(5, vectors=4100),
    Size(4, (3,), vectors=301),
)
EACH = (
    Size(4, (3,), of_each=True),
    Size(4, (3,), vectors=5, k=2, of_each=True),
    Size(3, (2, 2), vectors=3, of_each=True),
)
NORMS = (Size(4, norm=3.0), Size(5, k=2, norm=0.25), Size(4, (2,), k=2, norm=1e3))


@given(st.sampled_from(ORDERS))
def test_matrices_of_any_order(size: Size) -> None:
    for name in under_test(askable(NAMES, size.n)):
        given = problem(size)
        given.check(name, given.answer(name))


@given(st.sampled_from(BATCHES))
def test_batches_of_any_size(size: Size) -> None:
    for name in under_test(NAMES):
        given = problem(size)
        given.check(name, given.answer(name))


# What takes a number in units of the matrix beside it says nothing of a batch of several units.
OF_ANY_UNIT = tuple(n for n in NAMES if n not in (*MEANS, "add_loading", "soft_music_spectrum"))


@given(st.permutations((1.0, 1e-9, 1e6)))
def test_a_batch_may_mix_powers(scales: list[float]) -> None:
    taken((Claim.SCALE,))
    for name in under_test(OF_ANY_UNIT):
        each = [problem(Size(4, k=2, scale=scale)) for scale in scales]
        batch = torch.stack([one.argument(name) for one in each])
        got = comparable(name, getattr(TARGET, name)(batch, *each[0].more(name)))
        for one, answer in zip(each, got, strict=True):
            one.check(name, answer)


@given(st.sampled_from((*ORDERS[2:], *BATCHES)))
def test_the_skew_part_does_not_count_at_any_size(size: Size) -> None:
    for name in under_test(HERMITIZED):
        given = problem(size)
        expected, bound = given.truth(name)
        # The sum with the skew part is rounded too.
        got = nearly(given, 0.1).answer(name)
        assert_within(name, got, expected, 4 * bound, recorded=False)


@given(st.sampled_from(GRIDS))
def test_any_number_of_steering_vectors(size: Size) -> None:
    for name in under_test(("music_spectrum", "mvdr_spectrum", "bartlett_spectrum", *ULA)):
        given = problem(size)
        given.check(name, given.answer(name))


@given(st.sampled_from(EACH))
def test_steering_vectors_of_each_matrix(size: Size) -> None:
    for name in under_test(OF_EACH):
        taken((Claim.STEERING,))
        given = problem(size)
        given.check(name, given.answer(name))


@given(st.sampled_from(NORMS))
def test_steering_vectors_of_any_norm(size: Size) -> None:
    # 1 / |(I - P) a|^2 and 1 / (a^H R^-1 a) fall with |a|^2; the norm stands nowhere else.
    for name in under_test(OF_EACH):
        given = problem(size)
        given.check(name, given.answer(name))


@given(
    st.sampled_from(((4, (), 2), (6, (3,), 3), (5, (), 1))),
    st.sampled_from(((True, True), (True, False), (False, True))),
)
def test_equal_eigenvalues_on_either_side_of_an_open_gap(
    shape: tuple[int, tuple[int, ...], int], tied: tuple[bool, bool]
) -> None:
    n, batch, k = shape
    size = Size(n, batch, k=k, tied=tied)
    for name in under_test(("music_spectrum", "signal_subspace", "noise_subspace", "eigengap")):
        given = problem(size)
        given.check(name, given.answer(name))
