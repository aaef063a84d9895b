"""What an entry of the catalogue holds."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ris_pipeline.verification.cause import Cause

F = TypeVar("F", bound=Callable[..., Any])
Function = Callable[..., Any]


@dataclass(frozen=True)
class KnownBug:
    """A wrong implementation.

    number: of the post-mortem, 1 to 5, or 0 for a bug met or to be expected elsewhere; replaces: a
    name in `target.places()`; story: where it happened, or why it is likely.
    """

    name: str
    number: int
    replaces: str
    function: Callable[..., Any]
    cause: Cause
    story: str

    @property
    def key(self) -> str:
        """`function@what it replaces`, unique in the catalogue."""
        return f"{self.name}@{self.replaces}"


def entry(
    replaces: str,
    cause: Cause,
    function: Callable[..., Any],
    story: str,
    *,
    number: int = 0,
    name: str | None = None,
) -> KnownBug:
    """A wrong implementation that is made rather than written, named after its function."""
    return KnownBug(name or function.__name__, number, replaces, function, cause, story)


@dataclass(frozen=True)
class Catalogue:
    """The wrong implementations of a module, in its order.

    known_bug = Catalogue()

    @known_bug("eigengap", Cause.OFF_BY_ONE, "Where it happened.")
    def gap_off_by_one(matrix, k): ...
    """

    entries: list[KnownBug] = field(default_factory=list)

    def __call__(
        self, replaces: str, cause: Cause, story: str, *, number: int = 0, name: str | None = None
    ) -> Callable[[F], F]:
        """A decorator that enters a function and leaves it as it is."""

        def enter(function: F) -> F:
            self.entries.append(entry(replaces, cause, function, story, number=number, name=name))
            return function

        return enter

    def __iter__(self) -> Iterator[KnownBug]:
        return iter(self.entries)


@dataclass(frozen=True)
class Changes:
    """Right functions, each but for a change: an entry for every name that a change is made to.

    change_of = Changes({"eigenvalues": eigenvalues, "eigengap": eigengap})

    @change_of(Cause.SIZE, "Where it happened.", "eigenvalues", "eigengap")
    def beyond_sixteen(ours, matrix, *rest): ...
    """

    ours: Mapping[str, Function]
    entries: list[KnownBug] = field(default_factory=list)

    def __call__(self, cause: Cause, story: str, *names: str) -> Callable[[Function], Function]:
        """A decorator that enters a change of the functions of these names, of all if none."""

        def enter(change: Function) -> Function:
            for name in names or self.ours:
                wrong = functools.partial(change, self.ours[name])
                key = f"{name}_{change.__name__}"
                self.entries.append(entry(name, cause, wrong, story, name=key))
            return change

        return enter

    def __iter__(self) -> Iterator[KnownBug]:
        return iter(self.entries)
