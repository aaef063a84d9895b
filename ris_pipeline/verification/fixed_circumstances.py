"""Fixed arguments beyond toys: sizes, scales, ties, modes, gradients, the state of the process."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline.verification.problems import (
    BASES,
    SPECTRA,
    Problem,
    Size,
    comparable,
    fresh,
    problem,
)

Numbers = NDArray[np.complex128]
Case = Callable[[Callable[..., Any]], Numbers]
"""Calls a function of one name and answers its numbers in a row."""
SAME = float(np.sqrt(np.finfo(np.float64).eps))
"""Relative distance below which numbers are the same: half of the digits."""


def row(answer: Any) -> Numbers:
    """An answer's numbers in a row, double precision."""
    tensor = answer if isinstance(answer, Tensor) else torch.as_tensor(answer)
    return np.asarray(tensor.detach().resolve_conj().to(torch.complex128).numpy()).ravel()


def _shown(answer: Any) -> Numbers:
    """Whether numbers are finite, for cases in which nothing more can be said."""
    return np.isfinite(row(answer)).astype(complex)


SIZES = (
    Size(40, k=3),
    Size(140, k=130),
    Size(3, (17,), k=2, vectors=2),
    Size(4, (2, 3, 2), k=2),
    Size(6, k=3, tied=True),
    Size(4, k=2, scale=1e-12),
    Size(4, k=2, scale=1e12),
    Size(4, (3,), k=2, of_each=True),
    Size(4, k=2, norm=3.0),
    Size(4, vectors=1201),
)
USUAL = Size(4, k=2)


def _of_problem(name: str, size: Size) -> Case:
    def case(function: Callable[..., Any]) -> Numbers:
        given = fresh(problem(size))
        got = comparable(name, function(given.argument(name), *given.more(name)))
        unit = 1.0 if name in (*BASES, "music_spectrum") else size.scale
        return np.asarray(got / unit, dtype=np.complex128).ravel()

    return case


def circumstances(name: str) -> Iterator[Case]:
    """Sizes, scales, ties; modes, gradients, what becomes of the argument and of the process."""
    for size in SIZES:
        own_to_spectra = size.of_each or size.norm != 1.0 or size.vectors > 1000
        if name in SPECTRA or not own_to_spectra:
            yield _of_problem(name, size)
    yield from (_acted(name, act) for act in (_without_gradient, _live, _slope_of, _curvature))
    yield from (_acted(name, act) for act in (_with_nan, _left_alone, _no_window))
    yield from (_acted(name, act) for act in (_process, _again))


Act = Callable[[str, Callable[..., Any], Problem], Numbers]


def _acted(name: str, act: Act) -> Case:
    return lambda function: act(name, function, fresh(problem(USUAL)))


def _without_gradient(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    with torch.no_grad():
        return comparable(name, function(given.argument(name), *given.more(name))).ravel()


def _live(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.argument(name).clone().requires_grad_()
    return comparable(name, function(leaf, *given.more(name))).ravel()


def weighted(answer: Tensor) -> Tensor:
    """A real number that every entry of an answer counts in, each otherwise."""
    weights = torch.linspace(0.5, 1.5, max(1, answer.numel()), dtype=torch.float64)
    flat = answer.reshape(-1)
    return (flat.real.double() * weights).sum() + (flat.abs().double() * weights.flip(0)).sum()


def _gauge_free(name: str, answer: Tensor) -> Tensor:
    return answer @ answer.mH if name.endswith("_subspace") else answer


def _slope_of(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.argument(name).clone().requires_grad_()
    value = weighted(_gauge_free(name, function(leaf, *given.more(name))))
    if value.requires_grad:
        value.backward()
    return row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def _curvature(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
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


def _with_nan(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    matrix = given.argument(name).clone()
    matrix[..., 1, 1] = float("nan")
    return _shown(function(matrix, *given.more(name)))


def _left_alone(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    argument = given.argument(name).clone()
    function(argument, *given.more(name))
    return row(argument)


def _no_window(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    argument = given.argument(name).clone()
    answer = function(argument, *given.more(name))
    argument.zero_()
    return comparable(name, answer).ravel()


def _again(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether the answer is the same twice."""
    first, second = (
        comparable(name, function(given.argument(name).clone(), *given.more(name)))
        for _ in range(2)
    )
    return row(torch.tensor(bool(np.allclose(first, second, rtol=SAME, atol=0.0))))


def _process(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
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
