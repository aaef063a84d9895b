"""The doors of a package: what its public functions are called with is what they say they take.

A function is annotated once. Where somebody calls it from outside and it fails, `checked` reads the
annotation, and an argument that does not fit it is one line. Inside the package functions call each
other without.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from jaxtyping import jaxtyped
from torch import Tensor

from ris_pipeline._errors import CALL_ERRORS, InputError

P = ParamSpec("P")
R = TypeVar("R")


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the annotated kind; whole numbers of numpy are integers, and every
    number but a bool is a float. Kinds that this does not know fit."""
    if isinstance(kind, TypeVar):
        bounds = kind.__constraints__ or ((kind.__bound__,) if kind.__bound__ else ())
        return not bounds or any(fits(value, bound) for bound in bounds)
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        return _tuple_fits(value, parts)
    if kind in (None, NoneType):
        return value is None
    if kind in (int, float):
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)


def _tuple_fits(value: Any, parts: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple | list):
        return False
    kinds = parts[:1] * len(value) if parts[-1:] == (Ellipsis,) else parts
    return len(value) == len(kinds) and all(map(fits, value, kinds))


def _told(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"is {value.dtype} of shape {tuple(value.shape)}"
    return f"= {value!r:.60}".replace("\n", " ")


def _allowed(kind: Any) -> str:
    if isinstance(kind, TypeVar):
        kinds = (part for bound in kind.__constraints__ for part in get_args(bound) or (bound,))
        return " | ".join(dict.fromkeys(map(_allowed, kinds)))
    return inspect.formatannotation(kind).replace("jaxtyping.", "").replace("torch.", "")


def _check_device(name: str) -> None:
    try:
        torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device = {name!r}: {str(error).splitlines()[0]}") from None


def _python(value: Any) -> Any:
    """Whole numbers of numpy as Python's."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return int(value) if whole else value


def _misfit(arguments: dict[str, Any], hints: dict[str, Any]) -> str | None:
    """What is wrong with the first argument that is of another kind than annotated; axes of one
    name have one length."""
    with jaxtyped("context"):
        for name, value in arguments.items():
            if name in hints and not fits(value, hints[name]):
                return f"{name} {_told(value)}: allowed is {_allowed(hints[name])}"
    return None


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function; where it fails on an argument of another kind than annotated, that is said.

    What a function checks itself it says better, so it goes first.

    Raises:
        InputError: an argument of another kind, or one that is missing or too many.
    """
    signature = inspect.signature(function)
    hints = get_type_hints(function)

    @wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(
                *map(_python, args), **{k: _python(v) for k, v in kwargs.items()}
            )
        except TypeError as error:
            raise InputError(f"{function.__name__}: {error}") from None
        if isinstance(bound.arguments.get("device"), str):
            _check_device(bound.arguments["device"])
        try:
            return function(*bound.args, **bound.kwargs)
        except InputError:
            raise
        except CALL_ERRORS as error:
            misfit = _misfit(bound.arguments, hints)
            if misfit is None:
                raise
            raise InputError(misfit) from error

    return asked
