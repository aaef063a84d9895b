"""The norm of a group's gradients and the mean loss of an epoch, from plain functions."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters._calling import (
    Backend,
    Function,
    call,
    describe,
    likely_backend,
    to_tensor,
)
from ris_pipeline.verification.target import DoesNotApply


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


@dataclass(frozen=True)
class PlainGradientNorm:
    """Somebody's group norm: of torch parameters, or of a list of numpy gradients."""

    function: Function
    backend: Backend

    @property
    def how(self) -> str:
        """In words."""
        taken = "parameters" if self.backend == "torch" else "a list of gradients"
        return f"{self.backend}, {taken}"

    def __call__(self, parameters: Iterable[Tensor]) -> PlainNorm:
        """The norm, and the count where the answer has one."""
        given: list[Any] = list(parameters)
        dtypes = [p.grad.real.dtype for p in given if p.grad is not None]
        coarsest = max(dtypes, key=lambda d: torch.finfo(d).eps, default=torch.float64)
        if self.backend == "numpy":
            given = [p.grad.numpy() for p in given if p.grad is not None]
        answer = self.function(given)
        pair = answer if isinstance(answer, tuple) else (answer,)
        return PlainNorm(to_tensor(pair).to(coarsest), int(pair[1]) if len(pair) > 1 else None)


def adapt_gradient_norm(
    function: Function, signature: str, backend: Backend | None = None
) -> PlainGradientNorm:
    """Parameters with gradients if it takes them, the gradients themselves if not.

    Raises:
        InputError: it takes neither.
    """
    parameter = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    parameter.grad = torch.tensor([3.0, 4.0], dtype=torch.float64)
    every: tuple[Backend, ...] = (backend,) if backend else ("torch", "numpy")
    order = sorted(every, key=lambda one: one != likely_backend(function))
    errors = []
    for chosen in order:
        plain = PlainGradientNorm(function, chosen)
        _, error = call(plain, ([parameter],))
        if error is None:
            return plain
        errors.append(error)
    raise InputError(f"it cannot be called as {signature}: {describe(errors[0])}")


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


@dataclass(frozen=True)
class PlainEpochMean:
    """Somebody's mean over the losses of an epoch; alone: it takes no accumulation factor."""

    function: Function
    alone: bool

    @property
    def how(self) -> str:
        """In words."""
        return "losses" if self.alone else "losses, accumulation"

    def __call__(
        self,
        batches: Iterable[Any],
        backward: Callable[[Any, float], float],
        step: Callable[[], None],
        accumulation: int = 1,
    ) -> PlainEpoch:
        """`run_epoch` with one loss after another, and the function's mean of them."""
        losses = [backward(batch, 1.0) for batch in batches]
        return PlainEpoch(self.mean(losses, accumulation))

    def mean(self, losses: Sequence[float], accumulation: int) -> float:
        """The function's answer to losses in double precision."""
        # numpy's floats: torch.tensor makes a double of them, and a single of python's.
        rest = () if self.alone else (accumulation,)
        return float(to_tensor(self.function([np.float64(x) for x in losses], *rest)))


def adapt_epoch_mean(function: Function, signature: str) -> PlainEpochMean:
    """With the accumulation factor if it takes two arguments.

    Raises:
        InputError: it takes neither one list nor a list and a number.
    """
    try:
        count = len(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        raise InputError(f"its parameters cannot be read: {describe(error)}") from error
    plain = PlainEpochMean(function, alone=count == 1)
    _, error = call(plain.mean, ([1.0, 2.0, 3.0], 2))
    if error is not None:
        raise InputError(f"it cannot be called as {signature}: {describe(error)}")
    return plain
