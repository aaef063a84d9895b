"""Functions of a Hermitian matrix: batched or not, in one precision or both."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
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
    real_part,
    to_tensor,
)
from ris_pipeline.verification.adapters._matrix_function import (
    NARROW,
    PROBE_K,
    WIDE,
    MatrixFunction,
)
from ris_pipeline.verification.adapters._strangers import describe
from ris_pipeline.verification.conventions._entry import OURS, Conventions
from ris_pipeline.verification.target import Claim, DoesNotApply

PROBE_BATCHES: tuple[tuple[int, ...], ...] = ((), (2,), (2, 3))
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
            raise DoesNotApply("needs a gradient, and it answers plain numbers")
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
        """One call of the function."""
        values = self.conventions.arguments(given)
        if self.listed and not isinstance(values["k"], Tensor):
            values["k"] = torch.full(values[self.kind.parameters[0]].shape[:-2], values["k"])
        handed = arguments_for(self.backend, list(values.values()))
        answer = to_tensor(self.binding(self.function, dict(zip(values, handed, strict=True))))
        return self.conventions.result(answer, given)

    def answers(self, given: Mapping[str, Any]) -> Tensor | None:
        """The answer if it comes and has the right shape."""
        answer, error = call(self.once, (given,))
        if error is not None or tuple(answer.shape) != self.kind.shape(given):
            return None
        return answer


def adapt_matrix(
    function: Function,
    kind: MatrixFunction,
    signature: str,
    backend: Backend | None = None,
    batched: bool | None = None,
    conventions: Conventions = OURS,
) -> PlainMatrixFunction:
    """Find out by calling how a function wants to be called.

    A batch that is answered in the shape of one, or of a single matrix, counts as claimed, right or
    wrong.

    Raises:
        InputError: it cannot be called so, or answers something of another shape.
    """
    plain = _bound(function, kind, signature, backend, conventions)
    dtype = plain.dtype or WIDE
    axes = {
        count
        for count, batch in enumerate(PROBE_BATCHES)
        if plain.answers(kind.probe(batch, dtype)) is not None
    }
    if _answers_each(plain, dtype) or (1 not in axes and _answers_once(plain, dtype)):
        axes |= {1, 2}
    if 1 in axes and _leaves_an_axis(plain, dtype):
        axes |= {2}
    if batched is not None:
        axes = {0, 1, 2} if batched else {0}
    if batched is None and axes >= {0, 1} and _batch_only(plain, dtype):
        axes.remove(0)
    plain = replace(plain, axes=frozenset(axes or {0}))
    if plain.dtype is None:
        _, error = call(plain, tuple(kind.probe((), NARROW).values()))
        plain = replace(plain, dtype=None if error is None else WIDE)
    return replace(plain, claims=frozenset(_claims(plain, dtype)))


def _bound(
    function: Function,
    kind: MatrixFunction,
    signature: str,
    backend: Backend | None,
    conventions: Conventions,
) -> PlainMatrixFunction:
    """The first way to call it that is answered in the right shape, by any number of axes.

    Else the first one whose answer to a matrix differs in the length of an axis alone: that is
    wrong, and the laws say so.
    """
    first: Exception | None = None
    other: PlainMatrixFunction | None = None
    ways = list(bindings(function, kind.parameters))
    if not ways:
        raise InputError(f"it takes other parameters: expected is {signature}")
    for dtype in (None, NARROW):
        for binding in ways:
            for listed in (False, True) if "k" in kind.parameters else (False,):
                given = PlainMatrixFunction(
                    function,
                    kind,
                    backend or "torch",
                    binding,
                    dtype=dtype,
                    listed=listed,
                    conventions=conventions,
                )
                plain, error = _tried(given, signature, backend)
                if plain is not None and error is None:
                    return plain
                if other is None and plain is not None and _of_as_many_axes(plain):
                    other = plain
                first = first or error
    if other is not None and not conventions.parts:
        return other
    assert first is not None
    raise InputError(f"it cannot be called as {signature}: {describe(first)}")


def _tried(
    given: PlainMatrixFunction, signature: str, backend: Backend | None
) -> tuple[PlainMatrixFunction | None, Exception | None]:
    """One way to call it, and what is against it: the right shape of no answer is an error."""
    kind, binding = given.kind, given.binding
    batches = PROBE_BATCHES[1:] if given.listed else PROBE_BATCHES
    probes = [kind.probe(batch, given.dtype or WIDE) for batch in batches]
    if given.listed:
        for batch, probe in zip(batches, probes, strict=True):
            probe["k"] = torch.full(batch, PROBE_K)

    def placed(*values: Any) -> Any:
        arrays = any(isinstance(x, np.ndarray) for x in values)
        # Conventions are changes of tensors.
        tensors = (torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in values)
        named = given.conventions.arguments(dict(zip(kind.parameters, tensors, strict=True)))
        handed = arguments_for("numpy" if arrays else "torch", list(named.values()))
        return binding(given.function, dict(zip(named, handed, strict=True)))

    try:
        chosen = backend or find_backend(
            placed, [list(p.values()) for p in probes[:2]], signature, given.function
        )
    except InputError as error:
        return None, error.__cause__ if isinstance(error.__cause__, Exception) else error
    plain = replace(given, backend=chosen)
    if any(plain.answers(probe) is not None for probe in probes):
        return plain, None
    answer, error = call(plain.once, (probes[0],))
    if error is None:
        error = ValueError(f"answers shape {tuple(answer.shape)}, expected {kind.shape(probes[0])}")
    return plain, error


def _of_as_many_axes(plain: PlainMatrixFunction) -> bool:
    """Whether it answers a matrix, by as many axes as it should."""
    given = plain.kind.probe((), plain.dtype or WIDE)
    answer, error = call(plain.once, (given,))
    return error is None and answer.ndim == len(plain.kind.shape(given)) > 0


def _answers_each(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether a batch is answered by one value a matrix where its mean is asked for."""
    if not plain.kind.mean:
        return False
    answer, error = call(plain.once, (plain.kind.probe((2,), dtype),))
    return error is None and tuple(answer.shape) == (2,)


def _leaves_an_axis(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether a mean over two axes is taken over one of them."""
    if not plain.kind.mean:
        return False
    answer, error = call(plain.once, (plain.kind.probe(PROBE_BATCHES[2], dtype),))
    return error is None and answer.ndim == 1


def _answers_once(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether a batch is answered by what is asked for of one matrix: by its mean, or its first."""
    answer, error = call(plain.once, (plain.kind.probe((3,), dtype),))
    return error is None and tuple(answer.shape) == plain.kind.shape(plain.kind.probe((), dtype))


def _batch_only(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether a batch is answered rightly and a matrix alone is not, as by `vmap` over its rows."""

    def right(batch: tuple[int, ...]) -> bool:
        given = plain.kind.probe(batch, dtype)
        answer = plain.answers(given)
        if answer is None or plain.kind.truth is None:
            return False
        theirs, ours = (_gauge_free(x) for x in (answer, plain.kind.truth(*given.values())))
        size = float(ours.abs().max())
        return bool(torch.allclose(theirs, ours, rtol=0.0, atol=1e-3 * size))

    return right((2,)) and not right(())


def _gauge_free(answer: Tensor) -> Tensor:
    """A tall basis as its projector, anything else as it is."""
    wide = answer.detach().to(WIDE)
    return wide @ wide.mH if wide.ndim > 1 and wide.shape[-1] < wide.shape[-2] else wide


def _claims(plain: PlainMatrixFunction, dtype: torch.dtype) -> set[Claim]:
    """What it takes beyond plain matrices: what it answers in the right shape, without an error."""
    kind, first = plain.kind, plain.kind.parameters[0]
    single = 0 in plain.axes
    base, batch = kind.probe(() if single else (2,), dtype), kind.probe((2,), dtype)
    claims = set()
    skew = {**base, first: base[first] + 0.1j * torch.ones_like(base[first])}
    if plain.answers(skew) is not None:
        claims.add(Claim.NOT_HERMITIAN)
    empty = {**batch, first: batch[first][:0]}
    if max(plain.axes) and (kind.mean or plain.answers(empty) is not None):
        claims.add(Claim.EMPTY)
    if max(plain.axes) == 0 or _takes_orders(plain, batch):
        claims.add(Claim.ORDERS)
    if "steering" in kind.parameters:
        each = {**batch, "steering": torch.stack((batch["steering"], batch["steering"].flip(-1)))}
        if max(plain.axes) == 0 or plain.answers(each) is not None:
            claims.add(Claim.STEERING)
    if plain.backend == "torch" and _answers_live(plain, base):
        claims.add(Claim.GRADIENT)
    # The dtype of a tensor is chosen; that of an array is what was typed.
    if plain.backend == "numpy":
        claims.add(Claim.WHOLE)
    return claims


def _answers_live(plain: PlainMatrixFunction, given: Mapping[str, Any]) -> bool:
    """Whether it answers a tensor to a tensor that asks for a gradient, attached or not."""
    first = plain.kind.parameters[0]
    live = {**given, first: given[first].clone().requires_grad_()}
    if plain.listed:
        live["k"] = torch.full(live[first].shape[:-2], PROBE_K)
    values = plain.conventions.arguments(live)
    answer, error = call(plain.binding, (plain.function, values))
    if error is not None:
        return False
    return isinstance(answer[0] if isinstance(answer, tuple) else answer, Tensor)


def _takes_orders(plain: PlainMatrixFunction, batch: Mapping[str, Any]) -> bool:
    """Whether a tensor of orders is taken as one for each matrix, right or wrong."""
    if "k" not in plain.kind.parameters:
        return False
    given = {**batch, "k": torch.tensor([1, 3])}
    answer, error = call(plain.once, (given,))
    if error is not None or tuple(answer.shape) != plain.kind.shape(given):
        return False
    if not plain.kind.mean:
        return plain.kind.core(2, 2, 1, 1) == ()
    # `S[..., k - 1]` with a tensor of orders pairs every matrix with every order, and its mean is a
    # number all the same: such a function is one of a whole number k.
    pairs = [plain.once({**batch, "k": k}) for k in (1, 3)]
    crossed = torch.stack([x.double().mean() for x in pairs]).mean()
    return not bool(torch.isclose(answer.double().mean(), crossed, rtol=1e-6))
