"""What a named convention is: a change of the arguments, of the result, or of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

Values = Mapping[str, Any]
"""Arguments by their plain names, tensors and numbers."""


def same_arguments(given: Values) -> dict[str, Any]:
    """As they are."""
    return dict(given)


def same_result(answer: Tensor, given: Values) -> Tensor:
    """As it is."""
    return answer


@dataclass(frozen=True)
class Convention:
    """A way in which a right function differs from ours, and how it is undone.

    name: as the field calls it; of: public names it goes with; rank: what is nearer to the function
    has the lower one; arguments: ours -> theirs; result: theirs, and our arguments -> ours; before,
    after: the same in lines of Python for an adapter; group: at most one of a group at a time;
    parameters: the plain parameters that take the place of ours, where they differ; each: the
    function is called with one matrix at a time; never: what can then not be told any more.
    """

    name: str
    of: frozenset[str]
    rank: int = 5
    arguments: Callable[[Values], dict[str, Any]] = same_arguments
    result: Callable[[Tensor, Values], Tensor] = same_result
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    group: str = ""
    parameters: Callable[[tuple[str, ...]], tuple[str, ...]] = field(default=lambda plain: plain)
    each: bool = False
    never: frozenset[Any] = frozenset()

    @property
    def changes_arguments(self) -> bool:
        """Whether it has to do with the call, not with the answer alone."""
        return self.arguments is not same_arguments


@dataclass(frozen=True)
class Conventions:
    """Several conventions as one."""

    parts: tuple[Convention, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, sorted."""
        return tuple(sorted(part.name for part in self.parts))

    @property
    def each(self) -> bool:
        """Whether the function is called with one matrix at a time."""
        return any(part.each for part in self.parts)

    @property
    def never(self) -> frozenset[Any]:
        """What cannot be told any more."""
        none: frozenset[Any] = frozenset()
        return none.union(*(part.never for part in self.parts))

    @property
    def in_the_mean(self) -> "Conventions":
        """Those that are left of a mean over matrices."""
        return Conventions(tuple(part for part in self.parts if not part.each))

    def parameters(self, plain: Sequence[str]) -> tuple[str, ...]:
        """The plain parameters that the function takes."""
        names = tuple(plain)
        for part in self._outwards():
            names = part.parameters(names)
        return names

    def arguments(self, given: Values) -> dict[str, Any]:
        """Our arguments as the function wants them."""
        values = dict(given)
        for part in self._outwards():
            values = part.arguments(values)
        return values

    def result(self, answer: Tensor, given: Values) -> Tensor:
        """The function's answer as ours would be to the same arguments."""
        for part in self._inwards():
            answer = part.result(answer, given)
        return answer.resolve_conj()

    def adapter(self, label: str, plain: Sequence[str]) -> str:
        """Lines of Python that a user can paste: the function with our conventions."""
        names, taken = tuple(plain), self.parameters(plain)
        before = [line for part in self._outwards() for line in part.before]
        after = [line for part in self._inwards() for line in part.after]
        module, _, path = label.rpartition(":")
        module = Path(module).stem if module.endswith(".py") else module
        called = path.rpartition(".")[2] or label
        lines = ["import numpy as np"]
        lines += [f"from {module} import {path.partition('.')[0]}", "", ""] if module else ["", ""]
        lines += [f"def adapted({', '.join(names)}):", *(f"    {line}" for line in before)]
        lines += [f"    answer = {called}({', '.join(taken)})"]
        return "\n".join([*lines, *(f"    {line}" for line in after), "    return answer"])

    def _inwards(self) -> list[Convention]:
        return sorted(self.parts, key=lambda part: part.rank)

    def _outwards(self) -> list[Convention]:
        return self._inwards()[::-1]


OURS = Conventions()
"""No difference."""
