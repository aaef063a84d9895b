"""Functions of a Hermitian matrix: batched or not, complex64 or not."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters._calling import (
    Backend,
    Function,
    arguments_for,
    call,
    describe,
    find_backend,
    real_part,
    to_tensor,
)
from ris_pipeline.verification.target import DoesNotApply

PROBE_ORDER, PROBE_K = 5, 2
# Axes of different lengths, the first shorter than k + 1: one taken for another does not fit.
PROBE_BATCHES: tuple[tuple[int, ...], ...] = ((), (2,), (2, 3))
SAME = math.sqrt(torch.finfo(torch.float64).eps)
"""Relative distance of answers below which they are one answer: half of the digits."""


@dataclass(frozen=True)
class MatrixFunction:
    """A function whose first argument is a matrix (..., n, m).

    parameters: of the plain signature, `matrix` or `basis` first; core: the shape of the answer to
    one matrix, in terms of n, m, k and the number of steering vectors g; real: the answer is; mean:
    a batch is answered by the mean.
    """

    parameters: tuple[str, ...]
    core: Callable[[int, int, int, int], tuple[int, ...]]
    real: bool = True
    mean: bool = False

    def probe(self, batch: tuple[int, ...]) -> list[Any]:
        """Arguments of that batch: positive definite matrices, k = 2, a margin beyond any gap."""
        generator = np.random.default_rng(0)
        shape = (*batch, PROBE_ORDER, PROBE_ORDER)
        factor = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
        matrix = factor @ factor.conj().swapaxes(-1, -2) + np.eye(PROBE_ORDER)
        basis, steering = np.linalg.qr(factor)[0][..., :PROBE_K], np.linalg.qr(factor)[0]
        every = {
            "matrix": torch.from_numpy(matrix),
            "basis": torch.from_numpy(np.ascontiguousarray(basis)),
            "steering": torch.from_numpy(steering.reshape(-1, *shape[-2:])[0]),
            "k": PROBE_K,
            "margin": 1e3,
        }
        return [every[name] for name in self.parameters]

    def shape(self, arguments: Sequence[Any]) -> tuple[int, ...]:
        """The shape of a right answer."""
        given = dict(zip(self.parameters, arguments, strict=True))
        *batch, n, m = arguments[0].shape
        steering = given.get("steering")
        g = 0 if steering is None else steering.shape[-1]
        core = self.core(n, m, given.get("k", 0), g)
        return core if self.mean else (*batch, *core)


@dataclass(frozen=True)
class PlainMatrixFunction:
    """Somebody's function, to be called as ours: the convention was found by `adapt_matrix`.

    axes: numbers of leading axes that it takes; wide: complex128 only.
    """

    function: Function
    kind: MatrixFunction
    backend: Backend
    axes: frozenset[int]
    wide: bool = False
    note: str = ""

    @property
    def how(self) -> str:
        """In words, e.g. `numpy, one matrix at a time`."""
        batches = {0: "one matrix at a time", 1: "one batch axis", 2: "batched"}[max(self.axes)]
        precision = ", complex128 only" if self.wide else ""
        return f"{self.backend}, {batches}{precision}{self.note and f' ({self.note})'}"

    def __call__(self, matrix: Any, *rest: Any) -> Tensor:
        """The answer of the function, as the laws want it."""
        if not isinstance(matrix, Tensor):
            raise DoesNotApply("needs a LowRankCovariance argument")
        if any(isinstance(x, Tensor) and not x.is_complex() for x in rest):
            raise DoesNotApply("needs one k or margin for each matrix")
        if self.wide:
            matrix = matrix.to(torch.complex128)
            rest = tuple(x.to(torch.complex128) if isinstance(x, Tensor) else x for x in rest)
        answer = self._spread(matrix, rest)
        return real_part(answer) if self.kind.real else answer

    def _spread(self, matrix: Tensor, rest: Sequence[Any]) -> Tensor:
        batch = matrix.shape[:-2]
        if min(len(batch), 2) in self.axes:
            return self._once(matrix, rest)
        if any(isinstance(x, Tensor) and x.ndim > 2 for x in rest):
            raise DoesNotApply("needs steering vectors for each matrix")
        flat = matrix.reshape(-1, *matrix.shape[-2:])
        if 1 in self.axes:
            answer = self._once(flat, rest)
        elif not flat.shape[0]:
            raise DoesNotApply("needs a batch, also an empty one")
        else:
            answer = torch.stack([self._once(one, rest) for one in flat])
            answer = answer.mean(0) if self.kind.mean else answer
        return answer if self.kind.mean else answer.reshape(*batch, *answer.shape[1:])

    def _once(self, matrix: Tensor, rest: Sequence[Any]) -> Tensor:
        return to_tensor(self.function(*arguments_for(self.backend, (matrix, *rest))))

    def answers(self, arguments: Sequence[Any]) -> Tensor | None:
        """The answer if it comes and has the right shape."""
        answer, error = call(self._once, (arguments[0], arguments[1:]))
        if error is not None or tuple(answer.shape) != self.kind.shape(arguments):
            return None
        return answer


def adapt_matrix(
    function: Function,
    kind: MatrixFunction,
    signature: str,
    backend: Backend | None = None,
    batched: bool | None = None,
) -> PlainMatrixFunction:
    """Find out by calling how a function wants to be called.

    Raises:
        InputError: it cannot be called so, or answers something of another shape.
    """
    single, one, two = (kind.probe(batch) for batch in PROBE_BATCHES)
    backend = backend or find_backend(function, (single, one), signature)
    plain = PlainMatrixFunction(function, kind, backend, frozenset({0, 1, 2}))
    if batched:
        return plain
    axes = {0} if batched is False else _axes(plain, (single, one, two))
    if not axes:
        _, error = call(function, arguments_for(backend, single))
        said = "another shape" if error is None else describe(error)
        raise InputError(f"it cannot be called as {signature}: {said}")
    plain = replace(plain, axes=frozenset(axes))
    if batched is None and max(axes) == 0 and plain.answers(one) is not None:
        plain = replace(plain, note="a batch it answers otherwise than its matrices")
    narrow = [x.to(torch.complex64) if isinstance(x, Tensor) else x for x in single]
    _, error = call(plain, narrow)
    return replace(plain, wide=error is not None)


def _axes(plain: PlainMatrixFunction, probes: Sequence[list[Any]]) -> set[int]:
    """Numbers of leading axes at which the answer is that to the matrices one by one."""
    answers = [plain.answers(arguments) for arguments in probes]
    if answers[0] is None:
        # Nothing to compare with: taken by its shapes.
        return {axes for axes, answer in enumerate(answers) if answer is not None}
    axes = {0}
    for count in (1, 2):
        answer, (matrix, *rest) = answers[count], probes[count]
        flat = matrix.reshape(-1, *matrix.shape[-2:])
        alone = [plain.answers((one, *rest)) for one in flat]
        if answer is None or any(x is None for x in alone):
            continue
        stacked = torch.stack([x for x in alone if x is not None])
        if plain.kind.mean:
            # A sum in the place of the mean is a batch all the same, and for the laws to find.
            fits = _same(answer, stacked.mean(0)) or _same(answer, stacked.sum(0))
        else:
            fits = _same(answer, stacked.reshape(answer.shape))
        if fits:
            axes.add(count)
    return axes


def _same(first: Tensor, second: Tensor) -> bool:
    distance = float((first - second).detach().abs().max())
    return distance <= SAME * float(second.detach().abs().max())
