"""What a call may do to its answer, its argument and the process, each as numbers to compare."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._errors import CALL_ERRORS
from ris_pipeline.verification.case import SAME, Numbers, row, same
from ris_pipeline.verification.problems import Problem, Size, comparable, fresh, nearly, problem
from ris_pipeline.verification.target import TARGET

USUAL = Size(4, k=2)

_TIMES = 32
"""Calls with one argument: what leaves something out one time in ten gives the same answer in all
of them with a probability of 0.03."""

_ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Of a running mean of one number."""

Act = Callable[[str, Callable[..., Any], Problem], Numbers]


def without_gradient(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The answer under `no_grad`."""
    with torch.no_grad():
        return comparable(name, function(given.argument(name), *given.more(name))).ravel()


def live(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The answer to an argument that asks for its gradient."""
    leaf = given.argument(name).clone().requires_grad_()
    return comparable(name, function(leaf, *given.more(name))).ravel()


def weighted(answer: Tensor) -> Tensor:
    """A real number that every entry of an answer counts in, each otherwise."""
    weights = torch.linspace(0.5, 1.5, max(1, answer.numel()), dtype=torch.float64)
    flat = answer.reshape(-1)
    return (flat.real.double() * weights).sum() + (flat.abs().double() * weights.flip(0)).sum()


def _gauge_free(name: str, answer: Tensor) -> Tensor:
    return answer @ answer.mH if name.endswith("_subspace") else answer


def slope_of(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The gradient of a number that every entry counts in."""
    leaf = given.argument(name).clone().requires_grad_()
    value = weighted(_gauge_free(name, function(leaf, *given.more(name))))
    if value.requires_grad:
        value.backward()
    return row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def slope_of_thrice(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The gradient of three times the answer."""
    leaf = given.argument(name).clone().requires_grad_()
    value = 3.0 * function(leaf, *given.more(name)).sum()
    if value.requires_grad:
        value.backward()
    return row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def writes_its_backward(name: str, function: Callable[..., Any], given: Problem) -> bool:
    """Whether a `torch.autograd.Function` is between the answer and its argument."""
    leaf = given.argument(name).clone().requires_grad_()
    ahead, seen = [function(leaf, *given.more(name)).grad_fn], set()
    while ahead:
        node = ahead.pop()
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        if node is not None and node not in seen:
            seen.add(node)
            ahead += [before for before, _ in node.next_functions]
    return False


def slope_by_steering(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The same by the steering vectors."""
    leaf = given.steering_tensor().requires_grad_()
    value = weighted(function(given.argument(name), *given.more(name, leaf)))
    if value.requires_grad:
        value.backward()
    return row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def curvature(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """A slope of the gradient; zero where there is none."""
    leaf = given.argument(name).clone().requires_grad_()
    value = weighted(_gauge_free(name, function(leaf, *given.more(name))))
    if not value.requires_grad:
        return np.zeros(leaf.numel(), complex)
    (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
    if not slope.requires_grad:
        return np.zeros(leaf.numel(), complex)
    ramp = torch.linspace(0.1, 1.0, leaf.numel(), dtype=torch.float64).reshape(leaf.shape)
    (second,) = torch.autograd.grad(((ramp + ramp.mT) * slope.real).sum(), leaf)
    return row(second)


def with_nan(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether NaN in the argument shows in the answer."""
    matrix = given.argument(name).clone()
    matrix[..., 1, 1] = float("nan")
    try:
        answered = row(function(matrix, *given.more(name)))
    except CALL_ERRORS:
        # To refuse it is to show it.
        return np.zeros(1, complex)
    return np.isfinite(answered).all(keepdims=True).astype(complex)


def of_a_narrow_order(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The answer for an order of eight bits."""
    order, *others = given.more(name) if name != "music_spectrum" else given.more(name)[::-1]
    rest = (np.uint8(order), *others)
    return comparable(
        name, function(given.argument(name), *(rest[::-1] if name == "music_spectrum" else rest))
    ).ravel()


def left_alone(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The argument after the call."""
    argument = given.argument(name).clone()
    function(argument, *given.more(name))
    return row(argument)


def left_skew(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """A matrix that is not Hermitian after the call: one that is may be made so in place."""
    return left_alone(name, function, nearly(given, 0.1))


def steering_left_alone(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The steering vectors after the call."""
    steering = 2.0 * given.steering_tensor()
    function(given.argument(name), *given.more(name, steering))
    return row(steering)


def no_window(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The answer once the argument is zero."""
    argument = given.argument(name).clone()
    answer = function(argument, *given.more(name))
    argument.zero_()
    return comparable(name, answer).ravel()


def again(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether the answer is the same each time, to rounding, or on its way to where it stays."""
    answers = _repeated(name, function, given)
    near = [np.allclose(answers[0], x, rtol=_ROUNDING, atol=0, equal_nan=True) for x in answers]
    return row(torch.tensor(all(near) or _settles(answers)))


def on_its_way(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether the answers move on in one way, as a running mean or a sum does."""
    return row(torch.tensor(_settles(_repeated(name, function, given))))


def _repeated(name: str, function: Callable[..., Any], given: Problem) -> list[Numbers]:
    """Answers to one argument, after a call with another."""
    function(_another(name, given), *given.more(name))
    return [
        _copied(name, function(given.argument(name).clone(), *given.more(name)))
        for _ in range(_TIMES)
    ]


def _settles(answers: list[Numbers]) -> bool:
    """Whether each step is no longer than the one before: steps by chance are not."""
    if any(one.shape != answers[0].shape for one in answers):
        return False
    steps = np.array([np.abs(one - other).max(initial=0.0) for one, other in pairwise(answers)])
    rounding = SAME * np.abs(answers[-1]).max(initial=0.0)
    return bool(steps[0] > rounding and (np.diff(steps) <= rounding).all())


def after_another(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether one of several matrices, of other vectors and powers, has the right answer to one
    before it.

    Of an order that no law draws: a function may remember others from before.
    """
    given = fresh(problem(replace(USUAL, n=31)))
    first = _copied(name, function(given.argument(name), *given.more(name)))
    answers = [first]
    for number in range(4):
        matrix = _another(name, given, 1 + number)
        answers.append(_copied(name, function(matrix, *given.more(name))))
    stale = any(same(one, other) for one, other in combinations(answers, 2))
    return row(torch.tensor(stale and _is_right(name, first, given)))


def filled_anew(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether the same tensor has the right answer to what was in it when other numbers are."""
    given = fresh(problem(replace(USUAL, n=37)))
    argument = given.argument(name).clone()
    first = _copied(name, function(argument, *given.more(name)))
    argument.copy_(_another(name, given))
    second = comparable(name, function(argument, *given.more(name)))
    return row(torch.tensor(same(first, second) and _is_right(name, first, given)))


def _another(name: str, given: Problem, number: int = 1) -> Tensor:
    other = replace(USUAL, n=given.drawn.n, batch=(1 + number,), scale=3.0 * number)
    return fresh(problem(other)).argument(name)[number]


def _copied(name: str, answer: Any) -> Numbers:
    """An answer that may lie in memory which is written to again."""
    return np.array(comparable(name, answer))


def _is_right(name: str, answer: Numbers, given: Problem) -> bool:
    """Whether it is ours: what is cut to a limit, or wrong for all, is the same for all too."""
    ours = getattr(TARGET, name)(given.argument(name), *given.more(name))
    return same(answer, comparable(name, ours)) and bool(np.any(answer))


def kept(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """The answer after another call."""
    answer = function(given.argument(name).clone(), *given.more(name))
    function(3.0 * given.argument(name), *given.more(name))
    return comparable(name, answer).ravel()


def second_grid(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether another grid has the same answer."""
    argument = given.argument(name)
    other = replace(given, steering=given.steering[..., ::-1].copy(), turn=0.25)
    first, second = (_copied(name, function(argument, *x.more(name))) for x in (given, other))
    return row(torch.tensor(same(first, second) and _is_right(name, first, given)))


def process(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether the generators go on from where they were, and the default dtype is as it was."""
    dtype, state = torch.get_default_dtype(), torch.get_rng_state()
    try:
        torch.set_default_dtype(torch.float32)
        ends = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            function(given.argument(name).clone(), *given.more(name))
            ends.append(torch.rand(3, dtype=torch.float64))
        kept = torch.get_default_dtype() is torch.float32
        return row(torch.tensor([kept, not torch.equal(*ends)]))
    finally:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(state)
