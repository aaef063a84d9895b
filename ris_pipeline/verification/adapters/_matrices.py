"""Functions of a Hermitian matrix: batched or not, in one precision or both."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.verification.adapters._binding import Binding
from ris_pipeline.verification.adapters._calling import (
    Backend,
    Function,
    arguments_for,
    call,
    real_part,
    to_tensor,
)
from ris_pipeline.verification.adapters._matrix_function import (
    MatrixFunction,
)
from ris_pipeline.verification.conventions._entry import OURS, Conventions
from ris_pipeline.verification.target import Claim, DoesNotApply

CORE_AXES = {"k": 0, "loading": 0, "angles": 1}
"""Axes of one matrix's own of each parameter; of those not named here, two."""


@dataclass(frozen=True)
class PlainMatrixFunction:
    """Somebody's function, to be called as ours: the convention was found by `adapt_matrix`.

    axes: numbers of leading axes that it takes; dtype: the only complex dtype it takes, None for
    both; claims: what it takes beyond plain matrices; listed: k is a list, one for each matrix;
    conventions: in what it differs from ours.
    """

    function: Function
    kind: MatrixFunction
    backend: Backend
    binding: Binding
    axes: frozenset[int] = frozenset({0, 1, 2})
    dtype: torch.dtype | None = None
    claims: frozenset[Claim] = field(default_factory=lambda: frozenset(Claim))
    listed: bool = False
    conventions: Conventions = OURS

    @property
    def how(self) -> str:
        """In words, e.g. `numpy, one matrix at a time`."""
        batches = {0: "one matrix at a time", 1: "one batch axis", 2: "batched"}[max(self.axes)]
        words = [self.backend, batches]
        words += [f"{str(self.dtype).removeprefix('torch.')} only"] if self.dtype else []
        words += [] if Claim.NOT_HERMITIAN in self.claims else ["Hermitian matrices only"]
        plain = self.binding.natural and self.binding.order == self.kind.parameters
        words += [] if plain else [f"called with {', '.join(self.binding.order)}"]
        return ", ".join(words)

    def __call__(self, matrix: Any, *rest: Any) -> Tensor:
        """The answer of the function, as the laws want it."""
        if not isinstance(matrix, Tensor):
            raise DoesNotApply("needs a LowRankCovariance argument")
        given = dict(zip(self.kind.parameters, (matrix, *rest), strict=True))
        if isinstance(given.get("margin"), Tensor):
            raise DoesNotApply("needs one margin for each matrix")
        live = any(isinstance(x, Tensor) and x.requires_grad for x in given.values())
        if live and Claim.GRADIENT not in self.claims:
            raise DoesNotApply("needs a gradient, and it has none")
        if self.dtype is not None:
            given = {
                name: x.to(self.dtype) if isinstance(x, Tensor) and x.is_complex() else x
                for name, x in given.items()
            }
        answer = self._spread(given)
        return real_part(answer) if self.kind.real else answer

    def _spread(self, given: dict[str, Any]) -> Tensor:
        first = self.kind.parameters[0]
        matrix = given[first]
        batch = matrix.shape[:-2]
        empty = 0 in batch
        if empty and Claim.EMPTY not in self.claims:
            raise DoesNotApply("needs a batch, also an empty one")
        if min(len(batch), 2) in self.axes and not (batch and self.conventions.each):
            self._check_claims(given)
            return self.once(given)
        count = math.prod(batch)
        flat = {
            name: self._flat(name, x, batch, count, always=name == first)
            for name, x in given.items()
        }
        if 1 in self.axes and not self.conventions.each:
            self._check_claims(given)
            answer = self.once(flat)
        elif not count:
            raise DoesNotApply("needs a batch, also an empty one")
        else:
            alone = [self._one(flat, given, i) for i in range(count)]
            if self.conventions.each and 1 in self.axes:
                self._check_batch(flat, alone)
            answer = torch.stack([self.once(one) for one in alone])
            answer = answer.mean(0) if self.kind.mean else answer
        return answer if self.kind.mean else answer.reshape((*batch, *answer.shape[1:]))

    def _check_batch(self, batch: Mapping[str, Any], alone: Sequence[Mapping[str, Any]]) -> None:
        """What is undone for each matrix has to be what a batch has for it, or the mean over it."""
        raw = replace(self, conventions=self.conventions.in_the_mean)
        expected = torch.stack([raw.once(one) for one in alone])
        expected = expected.mean(0) if self.kind.mean else expected
        together = raw.once(batch)
        if together.shape != expected.shape or not torch.allclose(
            together, expected, equal_nan=True
        ):
            raise AssertionError(f"a batch has {together.tolist()}, expected {expected.tolist()}")

    def _check_claims(self, given: Mapping[str, Any]) -> None:
        if isinstance(given.get("k"), Tensor) and Claim.ORDERS not in self.claims:
            raise DoesNotApply("needs one k for each matrix")
        steering = given.get("steering")
        if steering is not None and steering.ndim > 2 and Claim.STEERING not in self.claims:
            raise DoesNotApply("needs steering vectors for each matrix")

    @staticmethod
    def _flat(name: str, value: Any, batch: tuple[int, ...], count: int, always: bool) -> Any:
        """With one batch axis; what is common to the batch as it is."""
        if not isinstance(value, Tensor):
            return value
        core = CORE_AXES.get(name, 2)
        if value.ndim == core and not always:
            return value
        tail = value.shape[value.ndim - core :]
        return value.expand(*batch, *tail).reshape(count, *tail)

    @staticmethod
    def _one(flat: Mapping[str, Any], given: Mapping[str, Any], index: int) -> dict[str, Any]:
        one = {}
        for name, value in flat.items():
            own = isinstance(value, Tensor) and value.ndim > CORE_AXES.get(name, 2)
            one[name] = value[index] if own else value
            if name == "k" and isinstance(one[name], Tensor):
                one[name] = int(one[name])
        return one

    def once(self, given: Mapping[str, Any]) -> Tensor:
        """One call of the function.

        Raises:
            AssertionError: it changes what a convention has made for it, which is seen here alone.
        """
        values = self.conventions.arguments(given)
        if self.listed and not isinstance(values["k"], Tensor):
            values["k"] = torch.full(values[self.kind.parameters[0]].shape[:-2], values["k"])
        handed = arguments_for(self.backend, list(values.values()))
        made = [x for x in handed if self.conventions.parts and isinstance(x, Tensor | np.ndarray)]
        before = [torch.as_tensor(x).detach().clone() for x in made]
        answer = to_tensor(self.binding(self.function, dict(zip(values, handed, strict=True))))
        if not all(_same_entries(x, y) for x, y in zip(made, before, strict=True)):
            raise AssertionError("the arguments are changed")
        return self.conventions.result(answer, given)

    def answers(self, given: Mapping[str, Any]) -> Tensor | None:
        """The answer if it comes and has the right shape."""
        answer, error = call(self.once, (given,))
        if error is not None or tuple(answer.shape) != self.kind.shape(given):
            return None
        return answer


def _same_entries(left: Any, before: Tensor) -> bool:
    """Whether an argument is as it was, NaN where NaN was."""
    now = torch.as_tensor(left).detach()
    return bool(torch.equal(now, before) or torch.allclose(now, before, 0.0, 0.0, equal_nan=True))
