"""The one boundary that somebody's code is called across, whatever it raises."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from ris_pipeline._errors import CALL_ERRORS


class Stopped(BaseException):
    """Somebody's code asked for the end of the process, which is no verdict and no error of a law.

    Not an `Exception`, so that no law and no search for counterexamples takes it for a failure.
    """


class TheirError(RuntimeError):
    """An exception of their own kind, in words."""


def describe(error: BaseException) -> str:
    """Type and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, raising `CALL_ERRORS` and `Stopped` only; its signature stays readable."""

    @functools.wraps(function, updated=())
    def call(*arguments: Any, **named: Any) -> Any:
        return across(function, *arguments, **named)

    call.__wrapped__ = function
    return call


def across(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The answer of somebody's function.

    Raises:
        Stopped: it exits, or interrupts.
        TheirError: an exception that no function of numbers raises.
    """
    try:
        return function(*arguments, **named)
    except CALL_ERRORS:
        raise
    except Exception as error:
        raise TheirError(describe(error)) from error
    except BaseException as error:
        raise Stopped(describe(error)) from error


def parameters_of(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...] | None:
    """Its parameters, or None where Python cannot say; of a module, those of its forward."""
    inner = inspect.unwrap(function)
    inner = inner.forward if isinstance(inner, nn.Module) else inner
    try:
        return tuple(inspect.signature(inner).parameters.values())
    except (TypeError, ValueError):
        return None
