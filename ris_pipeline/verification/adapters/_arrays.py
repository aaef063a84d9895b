"""Spatial smoothing by the size of a subarray, and the number of sources."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters._binding import Binding, bindings
from ris_pipeline.verification.adapters._calling import (
    Backend,
    Function,
    arguments_for,
    call,
    find_backend,
    to_tensor,
)
from ris_pipeline.verification.adapters._matrices import PlainMatrixFunction
from ris_pipeline.verification.adapters._strangers import describe
from ris_pipeline.verification.conventions._entry import OURS, Conventions
from ris_pipeline.verification.target import Claim, DoesNotApply

PARAMETERS = ("eigenvalues", "samples")


@dataclass(frozen=True)
class PlainSmoothing:
    """Somebody's spatial smoothing of consecutive subarrays, called with windows as ours is."""

    plain: PlainMatrixFunction

    @property
    def how(self) -> str:
        """In words."""
        return self.plain.how

    @property
    def claims(self) -> frozenset[Claim]:
        """What it takes beyond plain matrices."""
        return self.plain.claims

    def __call__(self, matrix: Any, windows: Tensor) -> Tensor:
        """The answer for the subarrays that the windows are.

        Raises:
            DoesNotApply: they are not all the runs of one length.
        """
        count, size = windows.shape
        runs = torch.arange(count)[:, None] + torch.arange(size)
        if not isinstance(matrix, Tensor) or count != matrix.shape[-1] - size + 1:
            raise DoesNotApply("needs windows of any kind")
        if not torch.equal(windows, runs):
            raise DoesNotApply("needs windows of any kind")
        return self.plain(matrix, size)


@dataclass(frozen=True)
class PlainSourceNumber:
    """Somebody's number of sources from descending eigenvalues; batched: it takes leading axes;
    conventions: in what it differs from ours."""

    function: Function
    backend: Backend
    binding: Binding
    batched: bool = False
    conventions: Conventions = OURS

    @property
    def how(self) -> str:
        """In words."""
        words = f"{self.backend}, {'batched' if self.batched else 'one spectrum at a time'}"
        return words if self.binding.natural else f"{words}, called with {self.binding.order}"

    def __call__(self, eigenvalues: Tensor, samples: int) -> Tensor:
        """The numbers, (...) int64."""
        if self.batched or eigenvalues.ndim == 1:
            return self.once(eigenvalues, samples)
        flat = eigenvalues.reshape(-1, eigenvalues.shape[-1])
        numbers = [self.once(one, samples) for one in flat]
        return torch.stack(numbers).reshape(eigenvalues.shape[:-1])

    def once(self, eigenvalues: Tensor, samples: int) -> Tensor:
        """One call of the function."""
        given = dict(zip(PARAMETERS, (eigenvalues, samples), strict=True))
        values = self.conventions.arguments(given)
        handed = arguments_for(self.backend, list(values.values()))
        answer = self.binding(self.function, dict(zip(PARAMETERS, handed, strict=True)))
        number = to_tensor(answer)
        if number.numel() and not bool((number == number.round()).all()):
            raise AssertionError(f"answers {number}: expected is a whole number")
        return number.to(torch.int64)


def adapt_source_number(
    function: Function,
    signature: str,
    backend: Backend | None = None,
    conventions: Conventions = OURS,
) -> PlainSourceNumber:
    """Find out by calling how a function of eigenvalues and a number of samples wants to be called.

    Raises:
        InputError: it cannot be called so, or answers something of another shape.
    """
    one = torch.tensor([9.0, 5.0, 1.0, 0.5, 0.25], dtype=torch.float64)
    many = torch.stack((one, one + 1, one + 2))
    first: Exception | None = None
    for binding in bindings(function, PARAMETERS):
        chosen, error = _backend(function, binding, [(one, 50), (many, 50)], signature, backend)
        first = first or error
        if chosen is None:
            continue
        plain = PlainSourceNumber(function, chosen, binding, conventions=conventions)
        answer, error = call(plain.once, (one, 50))
        first = first or error
        if error is None and answer.ndim == 0:
            batch, failed = call(plain.once, (many, 50))
            several = failed is None and tuple(batch.shape) == (3,)
            return replace(plain, batched=several)
    said = "another shape" if first is None else describe(first)
    raise InputError(f"it cannot be called as {signature}: {said}")


def _backend(
    function: Function,
    binding: Binding,
    probes: Sequence[tuple[Tensor, int]],
    signature: str,
    backend: Backend | None,
) -> tuple[Backend | None, Exception | None]:
    def placed(*values: Any) -> Any:
        return binding(function, dict(zip(PARAMETERS, values, strict=True)))

    try:
        return backend or find_backend(placed, probes, signature, function), None
    except InputError as error:
        return None, error
