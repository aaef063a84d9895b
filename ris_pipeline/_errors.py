"""The error of bad input. Free of torch, so that the command line starts fast and can still set the
environment that torch reads when it is loaded."""

import re
from collections.abc import Iterable
from typing import Any

_LONGEST = 1000
"""Characters of an error."""

_LONG_WORD = re.compile(r"(\S{90})\S{40,}(\S{90})")


def printable(value: object) -> str:
    """Text for one line: what is no letter, as the end of a line or a terminal's code, is shown as
    Python writes it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(value))


def shown(value: object, most: int = 60) -> str:
    """A value in an error, as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Integers of thousands of digits have no text, and nests of thousands of levels none.
        return f"a {type(value).__name__} beyond any size"
    return text if len(text) <= most else f"{text[:most]}..."


def one_line(message: object) -> str:
    """An error as one line that can be printed and read, whatever it quotes: control characters
    escaped, what is longer than any name cut in its middle."""
    text = _LONG_WORD.sub(r"\1...\2", printable(message))
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


class InputError(ValueError):
    """An argument, setting or file that cannot be used; the command line exits with code 2.

    Its text is `one_line`.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(message))


class RunFailed(RuntimeError):
    """A run that was stopped, with a diagnosis; the command line exits with code 1."""


CALL_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a function of tensors or arrays raises when it is called as it was not meant to be."""


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raise `InputError` unless `value` is one of `allowed`."""
    options = list(allowed)
    if value not in options:
        raise InputError(f"{name} = {shown(value)}: allowed are {', '.join(map(str, options))}")
