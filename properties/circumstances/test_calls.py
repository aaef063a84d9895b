"""Law: an answer depends on the arguments of its own call, and stays what it is after the next one.

What is kept from call to call, a buffer or a memory, has to be kept for equal arguments only.
"""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.checks import assert_true
from ris_pipeline.verification.families import NAMES, ULA
from ris_pipeline.verification.problems import Problem, Size, comparable, problem
from ris_pipeline.verification.target import TARGET, under_test

SIZES = st.sampled_from((Size(4, k=2), Size(4, (2,), k=2)))


def _pair(size: Size) -> tuple[Problem, Problem]:
    """Two problems of one size, of other eigenvalues and other eigenvectors."""
    return problem(size), problem(replace(size, scale=2.0, imaginary=0.5))


@given(SIZES)
def test_an_answer_stays_when_the_function_is_called_again(size: Size) -> None:
    for name in under_test(NAMES):
        first, second = _pair(size)
        early = getattr(TARGET, name)(first.argument(name), *first.more(name))
        kept = early.clone()
        getattr(TARGET, name)(second.argument(name), *second.more(name))
        same = torch.equal(early, kept)
        assert_true(f"{name} stays when another is asked for", same, same)


@given(SIZES)
def test_a_matrix_that_is_filled_anew_has_a_new_answer(size: Size) -> None:
    for name in under_test(NAMES):
        first, second = _pair(size)
        argument, more = first.argument(name).clone(), second.more(name)
        getattr(TARGET, name)(argument, *more)
        argument.copy_(second.argument(name))
        second.check(name, comparable(name, getattr(TARGET, name)(argument, *more)))


@given(SIZES)
def test_another_grid_of_the_same_size_has_another_answer(size: Size) -> None:
    grids = ("music_spectrum", "mvdr_spectrum", "bartlett_spectrum", *ULA)
    for name in under_test(grids):
        first = problem(size)
        second = replace(first, steering=first.steering[..., ::-1].copy(), turn=0.25)
        argument = first.argument(name)
        for one in (first, second):
            one.check(name, comparable(name, getattr(TARGET, name)(argument, *one.more(name))))
