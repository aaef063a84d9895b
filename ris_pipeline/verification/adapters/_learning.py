"""The norm of a group's gradients and the mean loss of an epoch, from plain functions."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters._binding import Binding, bindings
from ris_pipeline.verification.adapters._calling import (
    Backend,
    Function,
    call,
    likely_backend,
    parts_of,
    to_tensor,
)
from ris_pipeline.verification.adapters._strangers import describe, parameters_of
from ris_pipeline.verification.conventions._entry import OURS, Conventions
from ris_pipeline.verification.target import DoesNotApply

Taken = Literal["parameters", "module", "gradients", "arrays"]


@dataclass(frozen=True)
class PlainNorm:
    """A group norm that may not say how much it left out, to the digits that the gradients have."""

    norm: Tensor
    counted: int | None = None

    @property
    def left_out(self) -> int:
        """How many gradients were left out, where the function says it."""
        if self.counted is None:
            raise DoesNotApply("needs the number of gradients left out")
        return self.counted


class _Holder(nn.Module):
    """A module of given parameters, complex ones and those without a gradient among them."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__()
        for index, tensor in enumerate(parameters):
            parameter = nn.Parameter(tensor.detach())
            parameter.grad = tensor.grad
            self.register_parameter(f"p{index}", parameter)


@dataclass(frozen=True)
class PlainGradientNorm:
    """Somebody's group norm: of parameters, of a module, or of the gradients themselves.

    counts: a whole number beside the norm is that of the gradients left out.
    """

    function: Function
    taken: Taken
    counts: bool = True

    @property
    def how(self) -> str:
        """In words."""
        return {
            "parameters": "torch, parameters",
            "module": "torch, a module",
            "gradients": "torch, a list of gradients",
            "arrays": "numpy, a list of gradients",
        }[self.taken]

    def __call__(self, parameters: Iterable[Tensor]) -> PlainNorm:
        """The norm, and the count where the answer has one.

        Raises:
            AssertionError: it changes the list that it is given.
        """
        given = list(parameters)
        dtypes = [p.grad.dtype for p in given if p.grad is not None]
        if self.taken == "arrays" and torch.bfloat16 in dtypes:
            raise DoesNotApply("needs bfloat16, which numpy has not")
        real = [torch.zeros((), dtype=d).real.dtype for d in dtypes]
        coarsest = max(real, key=lambda d: torch.finfo(d).eps, default=torch.float64)
        one_by_one = not isinstance(parameters, Sequence)
        answer = self._answer(given, one_by_one)
        pair = parts_of(answer)
        # A second number that is no whole one is something else, such as a factor to clip by.
        counts = self.counts and len(pair) > 1 and isinstance(pair[1], int | np.integer)
        return PlainNorm(to_tensor(pair).to(coarsest), int(pair[1]) if counts else None)

    def _answer(self, given: list[Tensor], one_by_one: bool) -> Any:
        if self.taken == "module":
            return self.function(_Holder(given))
        values: list[Any] = list(given)
        if self.taken != "parameters":
            values = [p.grad for p in given if p.grad is not None]
        if self.taken == "arrays":
            values = [g.resolve_conj().numpy() for g in values]
        if not one_by_one:
            count = len(values)
            answer = self.function(values)
            if len(values) != count:
                raise AssertionError(f"the list is changed: {len(values)} are left of {count}")
            return answer
        try:
            return self.function(iter(values))
        except TypeError as error:
            raise DoesNotApply("needs parameters that come one by one") from error


_SAID_OF_PARAMETERS = ("parameters", "params", "model", "module", "net", "network")
"""Names of an argument that is no list of gradients."""


def adapt_gradient_norm(
    function: Function, signature: str, backend: Backend | None = None
) -> PlainGradientNorm:
    """Whatever of parameters, a module, gradients and arrays it answers best: 5 for (3, 4).

    Raises:
        InputError: it takes none of them.
    """
    own = parameters_of(function) or ()
    of_parameters = any(one.name.lower() in _SAID_OF_PARAMETERS for one in own[:1])
    torch_ways: tuple[Taken, ...] = ("parameters", "module")
    torch_ways += () if of_parameters else ("gradients",)
    ways: dict[Backend, tuple[Taken, ...]] = {"torch": torch_ways, "numpy": ("arrays",)}
    chosen = list(ways) if backend is None else [backend]
    order = sorted(chosen, key=lambda one: one != likely_backend(function))
    answered: list[tuple[bool, int, PlainGradientNorm]] = []
    first: Exception | None = None
    for taken in (taken for one in order for taken in ways[one]):
        plain = PlainGradientNorm(function, taken)
        norm, error = call(plain, ([_parameter(3.0, 4.0)],))
        first = first or error
        if isinstance(error, AssertionError):
            return plain
        if error is not None or norm.norm.ndim:
            continue
        # Of one finite gradient none is left out: another number is a count of something else.
        plain = replace(plain, counts=norm.counted in (None, 0))
        if abs(float(norm.norm) - 5.0) < 1e-5:
            return plain
        other, error = call(plain, ([_parameter(30.0, 40.0)],))
        # A wrong norm of gradients, not one of the parameters themselves.
        looks = error is None and float(other.norm) != float(norm.norm)
        answered.append((not looks, len(answered), plain))
    if answered:
        return min(answered)[-1]
    said = "another shape" if first is None else describe(first)
    raise InputError(f"it cannot be called as {signature}: {said}")


def _parameter(*gradient: float) -> Tensor:
    parameter = torch.full((len(gradient),), 7.0, dtype=torch.float64, requires_grad=True)
    parameter.grad = torch.tensor(gradient, dtype=torch.float64)
    return parameter


@dataclass(frozen=True)
class PlainEpoch:
    """The mean of an epoch, by a function that takes no steps."""

    mean: float

    @property
    def batches(self) -> int:
        """Not known."""
        raise DoesNotApply("needs the number of batches")

    @property
    def steps(self) -> int:
        """Not known."""
        raise DoesNotApply("needs the number of optimiser steps")


# numpy's floats: torch.tensor makes a double of them, and a single of python's.
_FORMS: dict[str, Callable[[Sequence[float]], Any]] = {
    "a list": lambda losses: [np.float64(x) for x in losses],
    "an array": lambda losses: np.asarray(losses, dtype=np.float64),
    "a list of tensors": lambda losses: [torch.tensor(x, dtype=torch.float64) for x in losses],
    "a tensor": lambda losses: torch.tensor(losses, dtype=torch.float64),
}


@dataclass(frozen=True)
class PlainEpochMean:
    """Somebody's mean over the losses of an epoch; binding None: it takes the losses alone;
    streams: it answers losses that can be read once, rightly or not; tensors: and a list of
    them."""

    function: Function
    binding: Binding | None
    form: str = "a list"
    conventions: Conventions = OURS
    streams: bool = False
    tensors: bool = False

    @property
    def how(self) -> str:
        """In words."""
        taken = ("losses",) if self.binding is None else self.binding.order
        return ", ".join(taken) + ("" if self.form == "a list" else f" as {self.form}")

    def __call__(
        self,
        batches: Iterable[Any],
        backward: Callable[[Any, float], float],
        step: Callable[[], None],
        accumulation: int = 1,
    ) -> PlainEpoch:
        """`run_epoch` with one loss after another, and the function's mean of them."""
        once = self.streams and isinstance(batches, Iterator)
        losses = [backward(batch, 1.0) for batch in batches]
        return PlainEpoch(self.mean(losses, accumulation, once))

    def mean(self, losses: Sequence[float], accumulation: int, once: bool = False) -> float:
        """The function's answer to losses in double precision.

        Raises:
            AssertionError: it changes the losses that it is given.
        """
        if any(isinstance(loss, Tensor) for loss in losses):
            if not self.tensors:
                raise DoesNotApply("needs losses that are tensors")
            given = _FORMS["a list of tensors"]([float(loss) for loss in losses])
        else:
            given = _FORMS[self.form](losses)
        handed = iter(given) if once else given
        if self.binding is None:
            answer = self.function(handed)
        else:
            answer = self.binding(self.function, {"losses": handed, "accumulation": accumulation})
        left = [float(x) for x in given]
        if not np.array_equal(left, np.asarray(losses, dtype=float), equal_nan=True):
            raise AssertionError(f"the losses are changed: {len(left)} are left of {len(losses)}")
        ours = self.conventions.result(to_tensor(answer), {"accumulation": accumulation})
        return float(ours)


def adapt_epoch_mean(
    function: Function, signature: str, conventions: Conventions = OURS
) -> PlainEpochMean:
    """With the accumulation factor if it takes two arguments.

    Raises:
        InputError: it takes neither losses nor losses and a number.
    """
    two = [*bindings(function, ("losses", "accumulation"))]
    ways = [*two, None] if two else [None]
    first: Exception | None = None
    for form in _FORMS:
        for binding in ways:
            plain = PlainEpochMean(function, binding, form, conventions)
            _, error = call(plain.mean, ([1.0, 2.0, 3.0], 2))
            if error is None or isinstance(error, AssertionError):
                _, refused = call(plain.mean, ([1.0, 2.0, 3.0], 2, True))
                _, of_tensors = call(replace(plain, form="a list of tensors").mean, ([1.0, 2.0], 1))
                takes = of_tensors is None or isinstance(of_tensors, AssertionError)
                return replace(plain, streams=refused is None, tensors=takes)
            first = first or error
    said = "" if first is None else describe(first)
    raise InputError(f"it cannot be called as {signature}: {said}")
