"""Shared validators: a rejected argument is one line naming the value and what is allowed."""

import cmath

import torch
from torch import Tensor

from ris_pipeline._errors import InputError


def check_range(name: str, value: float | Tensor, low: float, high: float) -> None:
    """Raise `InputError` unless `low <= value <= high`, for every entry of a tensor."""
    if isinstance(value, Tensor):
        outside = ~((value >= low) & (value <= high))
        if bool(outside.any()):
            first = value[outside].flatten()[0].item()
            raise InputError(f"{name} holds {first}: allowed is {low}..{high}")
    elif not low <= value <= high:
        raise InputError(f"{name} = {value}: allowed is {low}..{high}")


def check_shape(name: str, value: Tensor, expected: tuple[int | None, ...]) -> None:
    """Raise `InputError` unless the trailing axes match `expected` (None: any length)."""
    tail = value.shape[value.ndim - len(expected) :] if value.ndim >= len(expected) else None
    if tail is None or any(e is not None and e != t for e, t in zip(expected, tail, strict=True)):
        wanted = ", ".join("any" if e is None else str(e) for e in expected)
        raise InputError(f"{name} has shape {tuple(value.shape)}: allowed is (..., {wanted})")


def check_square(name: str, value: Tensor) -> None:
    """Raise `InputError` unless the last two axes are of one length, at least 1."""
    if value.ndim < 2 or value.shape[-1] != value.shape[-2] or value.shape[-1] == 0:
        raise InputError(f"{name} has shape {tuple(value.shape)}: allowed is (..., n, n), n >= 1")


def check_complex(name: str, value: Tensor) -> None:
    """Raise `InputError` unless the dtype is complex64 or complex128."""
    if value.dtype not in (torch.complex64, torch.complex128):
        raise InputError(f"{name} has dtype {value.dtype}: allowed are complex64 and complex128")


def check_finite(name: str, value: Tensor) -> None:
    """Raise `InputError` if any entry is NaN or infinite; the message says how many and where."""
    # A sum with a NaN or an infinity in it is never finite, and fifty times as fast to form as
    # `isfinite`. The reverse may fail, by overflow: then every entry is looked at.
    if cmath.isfinite(value.sum().item()):
        return
    bad = ~torch.isfinite(value)
    if bool(bad.any()):
        where = tuple(int(i) for i in bad.nonzero()[0])
        raise InputError(
            f"{name} has {int(bad.sum())} non-finite entries, the first at {where}: "
            "allowed are finite numbers"
        )


def check_order(name: str, value: int | Tensor, size: int) -> None:
    """Raise `InputError` unless `1 <= value < size` (the order of an eigengap)."""
    check_range(name, value, 1, size - 1)
