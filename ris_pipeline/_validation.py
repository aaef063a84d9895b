"""Shared validators: a rejected argument is one line naming the value and what is allowed."""

import cmath
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from ris_pipeline._errors import InputError
from ris_pipeline._recorder import recording

_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def transformed(value: Tensor) -> bool:
    """Whether a transform of torch.func, a forward-mode tangent or a compiler follows a tensor.

    All of these belong to one thread. Compiled code has no numbers yet, and mapped code has more of
    them than it shows.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or unpack_dual(value).tangent is not None
    )


def numbers(value: Tensor) -> Tensor | None:
    """The numbers behind every transform of torch.func, all that a `vmap` maps over; None while a
    compiler traces or a graph is recorded, where there are none."""
    if torch.compiler.is_compiling() or recording():
        return None
    while torch._C._functorch.is_functorch_wrapped_tensor(value):
        value = torch._C._functorch.get_unwrapped(value)
    return value


def check_tensor(name: str, value: Any) -> None:
    """Raise `InputError` unless the value is a tensor."""
    if not isinstance(value, Tensor):
        raise InputError(f"{name} = {value!r:.60}: allowed is a tensor")


def check_integer(name: str, value: Any, low: float, high: float) -> int:
    """The value as an int; raise `InputError` unless it is a whole number, numpy's too, in
    low..high."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name} = {value!r:.60}: allowed are integers {low}..{high}")
    check_range(name, int(value), low, high)
    return int(value)


def check_range(name: str, value: float | Tensor, low: float, high: float) -> None:
    """Raise `InputError` unless `low <= value <= high`, for every entry of a tensor.

    Compiled code is not asked: a graph holds no numbers.
    """
    if isinstance(value, Tensor):
        known = numbers(value)
        if known is None:
            return
        if known.is_complex() or known.dtype == torch.bool:
            raise InputError(f"{name} has dtype {value.dtype}: allowed are real numbers")
        outside = ~((known >= low) & (known <= high))
        if bool(outside.any()):
            first = known[outside].flatten()[0].item()
            raise InputError(f"{name} holds {first}: allowed is {low}..{high}")
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} = {value!r:.60}: allowed is {low}..{high}")
    if not low <= value <= high:
        raise InputError(f"{name} = {value}: allowed is {low}..{high}")


def check_shape(name: str, value: Tensor, expected: tuple[int | None, ...]) -> None:
    """Raise `InputError` unless the trailing axes match `expected` (None: any length)."""
    check_tensor(name, value)
    tail = value.shape[value.ndim - len(expected) :] if value.ndim >= len(expected) else None
    if tail is None or any(e is not None and e != t for e, t in zip(expected, tail, strict=True)):
        wanted = ", ".join("any" if e is None else str(e) for e in expected)
        raise InputError(f"{name} has shape {tuple(value.shape)}: allowed is (..., {wanted})")


def check_batch(name: str, value: Any, batch: tuple[int, ...]) -> None:
    """Raise `InputError` unless the value is one number, or numbers that expand to a batch."""
    shape = tuple(value.shape) if isinstance(value, Tensor) else ()
    pairs = zip(reversed(shape), reversed(batch), strict=False)
    if len(shape) > len(batch) or any(one not in (1, other) for one, other in pairs):
        raise InputError(f"{name} has shape {shape}: allowed are one number and {tuple(batch)}")


def check_square(name: str, value: Tensor) -> None:
    """Raise `InputError` unless the last two axes are of one length, at least 1."""
    check_tensor(name, value)
    if value.ndim < 2 or value.shape[-1] != value.shape[-2] or value.shape[-1] == 0:
        raise InputError(f"{name} has shape {tuple(value.shape)}: allowed is (..., n, n), n >= 1")


def check_complex(name: str, value: Tensor) -> None:
    """Raise `InputError` unless the dtype is complex64 or complex128."""
    check_tensor(name, value)
    if value.dtype not in (torch.complex64, torch.complex128):
        raise InputError(f"{name} has dtype {value.dtype}: allowed are complex64 and complex128")


def check_real(name: str, value: Tensor) -> None:
    """Raise `InputError` unless the dtype is float32 or float64."""
    check_tensor(name, value)
    if value.dtype not in (torch.float32, torch.float64):
        raise InputError(f"{name} has dtype {value.dtype}: allowed are float32 and float64")


def check_finite(name: str, value: Tensor) -> None:
    """Raise `InputError` if any entry is NaN or infinite; the message says how many and where.

    Compiled code is not asked: LAPACK refuses such a matrix itself.
    """
    check_tensor(name, value)
    known = numbers(value)
    if known is None:
        return
    # A sum with a NaN or an infinity in it is never finite, and fifty times as fast to form as
    # `isfinite`. The reverse may fail, by overflow: then every entry is looked at.
    if cmath.isfinite(known.sum().item()):
        return
    bad = ~torch.isfinite(known)
    if bool(bad.any()):
        where = tuple(int(i) for i in bad.nonzero()[0])
        raise InputError(
            f"{name} has {int(bad.sum())} non-finite entries, the first at {where}: "
            "allowed are finite numbers"
        )


def check_positive(name: str, value: Tensor) -> None:
    """Raise `InputError` unless every entry is finite and above zero."""
    check_finite(name, value)
    known = numbers(value)
    if known is not None and bool((known <= 0).any()):
        raise InputError(f"{name} holds {float(known.min())}: allowed are positive numbers")


def check_indices(name: str, value: Any) -> Tensor:
    """The value as int64; raise `InputError` unless it is a tensor of integers with one axis."""
    check_tensor(name, value)
    if value.dtype not in _WHOLE or value.ndim != 1:
        raise InputError(
            f"{name} is {value.dtype} of shape {tuple(value.shape)}: allowed are integers with one "
            "axis"
        )
    return value.to(torch.int64)


def check_order(name: str, value: int | Tensor, size: int) -> None:
    """Raise `InputError` unless `1 <= value < size` (the order of an eigengap), whole numbers."""
    if not isinstance(value, Tensor):
        check_integer(name, value, 1, size - 1)
        return
    if value.dtype in _WHOLE:
        check_range(name, value, 1, size - 1)
        return
    raise InputError(f"{name} has dtype {value.dtype}: allowed are integers 1..{size - 1}")
