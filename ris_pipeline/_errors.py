"""The error of bad input. Free of torch, so that the command line starts fast and can still set the
environment that torch reads when it is loaded."""

from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """An argument, setting or file that cannot be used; the command line exits with code 2."""


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
        raise InputError(f"{name} = {value!r}: allowed are {', '.join(map(str, options))}")
