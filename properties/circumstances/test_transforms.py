"""Law: a function is the same function under every transform of torch.

Forward-mode tangents, vector-Jacobian products, Jacobians by columns and by rows, Hessians and a
map over matrices all follow a call through state of the thread that made it. Work handed to other
threads, numbers read too early and derivatives of one's own lose it, most of them without a word:
zeros where a slope should be.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from ris_pipeline.verification import slopes
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.families import MEANS
from ris_pipeline.verification.problems import Problem, Size, comparable, fresh, problem
from ris_pipeline.verification.target import TARGET, Claim, taken, under_test

SIZES = (Size(4, k=2), Size(5, (2,), k=1))
SHARED = (Size(16, (33,), k=2), Size(12, (65,), k=3))
"""More than one thread's worth."""
ONE = (Size(4, k=2), Size(5, k=1))
MAPPED = tuple(name for name in slopes.SLOPES if name not in MEANS)
seeds = st.integers(0, 3)


def _asked(names: Sequence[str]) -> tuple[str, ...]:
    """The functions under test, where they claim to be transformed at all."""
    taken((Claim.TRANSFORM,))
    return under_test(names)


def _under(transform: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        # torch scripts some of its own formulas when the first tangent asks for them.
        warnings.simplefilter("ignore", DeprecationWarning)
        return transform()


def _function(name: str, given: Problem) -> Callable[[Tensor], Tensor]:
    """The comparable answer to the first argument alone."""
    return lambda x: slopes.live(name, getattr(TARGET, name)(x, *given.more(name)))


def _numbers(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().resolve_conj().to(torch.complex128).numpy())


def _by_jvp(function: Callable[[Tensor], Tensor], x: Tensor, along: Tensor) -> Tensor:
    return jvp(function, (x,), (along,))[1]


def _by_dual_numbers(function: Callable[[Tensor], Tensor], x: Tensor, along: Tensor) -> Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(function(forward_ad.make_dual(x, along))).tangent
    if tangent is None:
        raise RuntimeError("the answer has no tangent")
    return tangent


def _moves(name: str, size: Size, seed: int, way: Callable[..., Tensor]) -> None:
    given = fresh(problem(size))
    along = slopes.direction(name, given, seed)
    function, x = _function(name, given), given.argument(name)
    got = _under(lambda: way(function, x, torch.from_numpy(along)))
    expected = slopes.moved(name, given, along)
    bound = slopes.slope_bound(name, given, np.ones(1))
    assert_within(f"tangent of {name}", _numbers(got), expected, bound, recorded=False)


@given(st.sampled_from(SIZES), st.sampled_from((_by_jvp, _by_dual_numbers)), st.integers(0, 1))
def test_a_tangent_goes_through(size: Size, way: Callable[..., Tensor], seed: int) -> None:
    for name in _asked(slopes.SLOPES):
        _moves(name, size, seed, way)


@given(st.sampled_from(SHARED), st.sampled_from((_by_jvp, _by_dual_numbers)))
def test_a_tangent_goes_through_a_large_batch(size: Size, way: Callable[..., Tensor]) -> None:
    threads = torch.get_num_threads()
    for name in _asked(slopes.SLOPES):
        try:
            torch.set_num_threads(2)
            _moves(name, size, 0, way)
        finally:
            torch.set_num_threads(threads)


@given(st.sampled_from(SIZES), seeds)
def test_a_cotangent_comes_back(size: Size, seed: int) -> None:
    for name in _asked(slopes.SLOPES):
        given = fresh(problem(size))
        function, x = _function(name, given), given.argument(name)
        along = slopes.direction(name, given, seed)
        expected = slopes.moved(name, given, along)
        weight = slopes.gaussian(expected.shape, seed + 100)

        def back(function=function, x=x, weight=weight) -> Tensor:
            answer, pull = vjp(function, x)
            w = torch.from_numpy(weight)
            return pull(w.to(answer.dtype) if answer.is_complex() else w.real.to(answer.dtype))[0]

        got = np.vdot(_numbers(_under(back)), along).real
        whole = np.vdot(weight if np.iscomplexobj(expected) else weight.real, expected).real
        bound = slopes.slope_bound(name, given, weight)
        assert_within(f"cotangent of {name}", got, whole, bound, recorded=False)


def _real(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of real and imaginary parts, of which torch forms Jacobians."""

    def of_parts(parts: Tensor) -> Tensor:
        answer = function(torch.complex(parts[..., 0], parts[..., 1]))
        return torch.view_as_real(answer.resolve_conj()) if answer.is_complex() else answer

    return of_parts


@given(st.sampled_from(SIZES), st.sampled_from((jacfwd, jacrev)))
def test_jacobians_have_every_slope(size: Size, jacobian: Callable[..., Any]) -> None:
    for name in _asked(slopes.SLOPES):
        given = fresh(problem(size))
        along = slopes.direction(name, given, 0)
        function, x = _real(_function(name, given)), torch.view_as_real(given.argument(name))
        got = _under(lambda f=function, x=x: jacobian(f)(x))
        step = torch.view_as_real(torch.from_numpy(along))
        moved = torch.from_numpy(np.array(slopes.moved(name, given, along)))
        expected = torch.view_as_real(moved) if moved.is_complex() else moved
        axes = list(range(-step.ndim, 0))
        bound = slopes.slope_bound(name, given, np.ones(1))
        product = (got * step).sum(axes)
        assert_within(f"Jacobian of {name}", product, expected, bound, recorded=False)


@given(st.sampled_from(SIZES), seeds, st.booleans())
def test_a_hessian_has_every_curvature(size: Size, seed: int, twice: bool) -> None:
    for name in _asked(slopes.CURVED):
        given = fresh(problem(size))
        along = slopes.direction(name, given, seed)
        function, x = _function(name, given), given.argument(name)
        shape = () if name == "eigengap_loss" else given.truth(name)[0].shape
        weight = slopes.gaussian(shape, seed + 100).real
        step = torch.from_numpy(along)

        def objective(x, function=function, weight=weight) -> Tensor:
            return (function(x) * torch.as_tensor(weight)).sum()

        def curvature(x=x, step=step, objective=objective) -> Tensor:
            if not twice:
                parts = torch.view_as_real(step)
                whole = hessian(_real(objective))(torch.view_as_real(x))
                axes = list(range(-parts.ndim, 0))
                return ((whole * parts).sum(axes) * parts).sum()
            inner = grad(lambda x: (grad(objective)(x).conj() * step).sum().real)(x)
            return (inner.conj() * step).sum().real

        got = _numbers(_under(curvature))
        expected = float((weight * slopes.curved(name, given, along)).sum())
        bound = slopes.slope_bound(name, given, weight) * given.drawn.n
        assert_within(f"curvature of {name}", got, expected, bound, recorded=False)


@given(st.sampled_from((Size(4, (3,), k=2), Size(5, (2,), k=1))), st.sampled_from((0, -1, 1)))
def test_a_map_over_matrices_is_the_batch(size: Size, axis: int) -> None:
    for name in _asked(MAPPED):
        given = fresh(problem(size))
        more, x = given.more(name), given.argument(name).movedim(0, axis)

        def mapped(name=name, x=x, more=more) -> Tensor:
            return vmap(lambda one: getattr(TARGET, name)(one, *more), in_dims=axis)(x)

        given.check(name, comparable(name, _under(mapped)))


@given(st.sampled_from((Size(4, (3,), k=2), Size(5, (2,), k=1))), seeds)
def test_each_matrix_has_a_gradient_of_its_own(size: Size, seed: int) -> None:
    # The loss of one matrix, mapped: the mean over the batch plays no part.
    for name in _asked(("eigengap", "eigengap_loss")):
        given = fresh(problem(size))
        more, along, x = given.more(name), slopes.direction(name, given, seed), given.argument(name)

        def each(name=name, x=x, more=more) -> Tensor:
            return vmap(grad(lambda one: getattr(TARGET, name)(one, *more)))(x)

        got = _numbers(_under(each))
        slope = (got.conj() * along).sum(axis=(-2, -1)).real
        sign = -1 if name == "eigengap_loss" else 1
        expected = sign * slopes.moved("eigengap", given, along)
        bound = slopes.slope_bound(name, given, np.ones(1))
        assert_within(f"gradient of each {name}", slope, expected, bound, recorded=False)
