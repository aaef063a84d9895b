"""Law: an answer depends on the numbers, not on their place in memory or in a batch."""

from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.families import MEANS, NAMES
from ris_pipeline.verification.problems import Size, comparable, problem, problem_of
from ris_pipeline.verification.strategies import (
    Domain,
    Layout,
    SpectralMatrix,
    hermitian_matrices,
    lay_out,
)
from ris_pipeline.verification.target import TARGET, Claim, takes, under_test


def matrices(**limits: Any) -> st.SearchStrategy[SpectralMatrix]:
    """Matrices whose answer of order 1 is well determined."""
    return hermitian_matrices(domains=(Domain.POSITIVE,), **limits)


layouts = st.sampled_from(tuple(Layout))
TURNS = 4
turns = st.integers(0, TURNS - 1)


def _in_turn(names: Sequence[str], turn: int) -> tuple[str, ...]:
    """The function under test; of all of them a part in each example, so that all come up."""
    asked = under_test(names)
    return asked if len(asked) == 1 else asked[turn::TURNS]


@given(matrices(), layouts, layouts, turns)
def test_the_layout_does_not_matter(
    drawn: SpectralMatrix, layout: Layout, other: Layout, turn: int
) -> None:
    for name in _in_turn(NAMES, turn):
        given = problem_of(drawn)
        more = given.more(name, lay_out(given.steering_tensor(), other))
        answer = getattr(TARGET, name)(lay_out(given.argument(name), layout), *more)
        given.check(name, comparable(name, answer))


@given(matrices(batches=((1,),)), turns)
def test_an_empty_batch_gives_an_empty_answer(drawn: SpectralMatrix, turn: int) -> None:
    # The mean over no matrix is nothing in particular.
    for name in _in_turn(tuple(name for name in NAMES if name not in MEANS), turn):
        given = problem_of(drawn)
        answer = getattr(TARGET, name)(given.argument(name)[:0], *given.more(name))
        expected = given.truth(name)[0][:0].shape
        assert_within(f"shape of {name}", comparable(name, answer).shape, expected, 0)


@given(matrices(batches=((),)), turns)
def test_a_batch_of_one_is_the_matrix_alone(drawn: SpectralMatrix, turn: int) -> None:
    for name in _in_turn(NAMES, turn):
        given = problem_of(drawn)
        got = comparable(name, getattr(TARGET, name)(given.argument(name)[None], *given.more(name)))
        given.check(name, got if name in MEANS else got[0])


@given(matrices(), layouts, turns)
def test_the_arguments_are_left_as_they_were(
    drawn: SpectralMatrix, layout: Layout, turn: int
) -> None:
    for name in _in_turn(NAMES, turn):
        given = problem_of(drawn)
        argument, steering = given.argument(name), given.steering_tensor()
        if name != "projector" and takes(Claim.NOT_HERMITIAN):
            # A hermitization in place would leave a Hermitian matrix alone.
            argument = argument + 1e-3j * argument.abs().amax()
        argument = lay_out(argument, layout)
        before = argument.clone(), steering.clone()
        getattr(TARGET, name)(argument, *given.more(name, steering))
        same = torch.equal(argument, before[0]) and torch.equal(steering, before[1])
        assert_true(f"{name} leaves its arguments alone", same, same)


@given(st.sampled_from((Size(3), Size(1), Size(3, (2,)), Size(3, (1,)))), layouts)
def test_an_answer_is_no_window_on_the_argument(size: Size, layout: Layout) -> None:
    for name in under_test(
        tuple(n for n in NAMES if size.n > 1 or n in ("hermitize", "projector"))
    ):
        given = problem(size)
        argument = lay_out(given.argument(name), layout).clone()
        answer = getattr(TARGET, name)(argument, *given.more(name))
        before = answer.clone()
        argument.zero_()
        same = torch.equal(answer, before)
        assert_true(f"{name} stays when its argument is overwritten", same, same)
