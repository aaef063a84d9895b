"""What an entry of the catalogue holds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KnownBug:
    """A wrong implementation.

    number: of the post-mortem, 1 to 5, or 0 for a bug met or to be expected elsewhere; replaces: a
    name in `target.PLACES`; story: what happened and why it was written that way.
    """

    name: str
    number: int
    replaces: str
    function: Callable[..., Any]
    story: str


def known_bug(
    number: int, replaces: str, function: Callable[..., Any], story: str, name: str | None = None
) -> KnownBug:
    """An entry, named after its function."""
    return KnownBug(name or function.__name__, number, replaces, function, story)
