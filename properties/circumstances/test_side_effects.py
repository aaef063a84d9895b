"""Law: a function answers and leaves the world as it found it, in every mode of the world.

Random generators, default dtype, threads, error states and warning filters belong to the caller.
The answer depends on the arguments alone: not on gradients being recorded, nor on autocast.
"""

import random
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.families import HERMITIZED, NAMES
from ris_pipeline.verification.problems import Problem, Size, comparable, fresh, nearly, problem
from ris_pipeline.verification.strategies import some_panel
from ris_pipeline.verification.target import TARGET, under_test

OTHERS = ("steering_vector", "gradient_norm", "run_epoch")
SIZES = (Size(4, k=2), Size(4, (2,), k=2))


def _call(name: str, given: Problem) -> None:
    """The function once, on arguments that it takes."""
    match name:
        case "steering_vector":
            where = (torch.tensor(x, dtype=torch.float32) for x in (0.25, -0.5, 3.0))
            TARGET.steering_vector(some_panel(torch.float32), *where)
        case "gradient_norm":
            parameter = torch.zeros(2, requires_grad=True)
            parameter.grad = torch.tensor([3.0, 4.0])
            TARGET.gradient_norm([parameter])
        case "run_epoch":
            TARGET.run_epoch([1.0, 2.0, 4.0], lambda loss, scale: loss, lambda: None, 2)
        case _:
            mine = fresh(given)
            getattr(TARGET, name)(mine.argument(name), *mine.more(name))


def _generators() -> tuple[Any, ...]:
    legacy: Any = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), legacy[1].tolist()


def _seed(value: int) -> None:
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002


def _after(seed: int, act: Callable[[], None]) -> tuple[Any, ...]:
    """The state of every global generator after an act that began at a seed."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        _seed(seed)
        act()
        return _generators()
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])  # noqa: NPY002


@given(st.sampled_from(SIZES))
def test_no_global_generator_is_seeded(size: Size) -> None:
    for name in under_test((*NAMES, *OTHERS)):
        given = problem(size) if name in NAMES else problem(SIZES[0])
        # Numbers may be drawn, but two beginnings must not come to one end.
        ends = [_after(seed, lambda n=name, g=given: _call(n, g)) for seed in (1, 2)]
        kept = [first != second for first, second in zip(*ends, strict=True)]
        assert_true(f"{name} leaves the generators of torch, random, numpy alone", kept, kept)


def _world() -> dict[str, Any]:
    return {
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "recording of gradients": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "numpy's error state": np.geterr(),
        "warning filters": list(warnings.filters),
    }


@given(st.sampled_from(SIZES))
def test_settings_of_the_process_are_left_alone(size: Size) -> None:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    for name in under_test((*NAMES, *OTHERS)):
        given = problem(size) if name in NAMES else problem(SIZES[0])
        with warnings.catch_warnings(), np.errstate(all="ignore", divide="warn"):
            try:
                torch.set_default_dtype(torch.float32)
                torch.set_num_threads(2)
                before = _world()
                _call(name, given)
                after = _world()
            finally:
                torch.set_default_dtype(dtype)
                torch.set_num_threads(threads)
                torch.set_grad_enabled(True)
                if torch.are_deterministic_algorithms_enabled():
                    # Not without need: this imports the compiler.
                    torch.use_deterministic_algorithms(False)
        changed = [key for key in before if before[key] != after[key]]
        assert_true(f"{name} leaves settings alone", not changed, ", ".join(changed))


@given(st.sampled_from(SIZES))
def test_the_same_arguments_have_the_same_answer(size: Size) -> None:
    for name in under_test(NAMES):
        given = problem(size)
        first, second = (fresh(given).answer(name) for _ in range(2))
        assert_within(f"{name} once more", second, first, given.truth(name)[1], recorded=False)


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "enable_grad": nullcontext,
}


@given(st.sampled_from(tuple(MODES)), st.sampled_from(SIZES))
def test_the_mode_of_torch_does_not_matter(mode: str, size: Size) -> None:
    for name in under_test(NAMES):
        given = fresh(problem(size))
        argument = given.argument(name)
        with MODES[mode]():
            answer = getattr(TARGET, name)(argument, *given.more(name))
        given.check(name, comparable(name, answer))


@given(st.sampled_from(tuple(MODES)), st.sampled_from(SIZES))
def test_the_hermitian_part_is_taken_in_every_mode(mode: str, size: Size) -> None:
    for name in under_test(HERMITIZED):
        given = problem(size)
        expected, bound = given.truth(name)
        argument = nearly(given, 0.1).argument(name)
        with MODES[mode]():
            got = comparable(name, getattr(TARGET, name)(argument, *given.more(name)))
        # The sum with the skew part is rounded too.
        assert_within(name, got, expected, 4 * bound, recorded=False)


@given(st.sampled_from(SIZES))
def test_a_gradient_that_is_asked_for_does_not_change_the_answer(size: Size) -> None:
    for name in under_test(NAMES):
        given = fresh(problem(size))
        argument = given.argument(name).requires_grad_()
        given.check(name, comparable(name, getattr(TARGET, name)(argument, *given.more(name))))
