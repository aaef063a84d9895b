"""What an entry of the catalogue holds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ris_pipeline.verification.cause import Cause


@dataclass(frozen=True)
class KnownBug:
    """A wrong implementation.

    number: of the post-mortem, 1 to 5, or 0 for a bug met or to be expected elsewhere; replaces: a
    name in `target.PLACES`; story: where it happened, or why it is likely.
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


def known_bug(
    replaces: str,
    cause: Cause,
    function: Callable[..., Any],
    story: str,
    *,
    number: int = 0,
    name: str | None = None,
) -> KnownBug:
    """An entry, named after its function."""
    return KnownBug(name or function.__name__, number, replaces, function, cause, story)
