"""MATLAB's version 5 files, read without trust.

A file is a header of 128 bytes and elements, each a type, a size and so many bytes; a variable is
an element of elements: flags, axes, name, numbers, imaginary parts. scipy's reader looks a type up
without a look at its range, and a damaged one ends the process; here nothing is read past its end.
Cells, structures and sparse matrices are passed over.

MathWorks, MAT-File Format, section "Level 5 MAT-File Format".
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER = 128
_ORDERS = {b"IM": "<", b"MI": ">"}

_MATRIX, _COMPRESSED = 14, 15
_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
    16: "u1", 17: "u2", 18: "u4",
}  # fmt: skip
"""What numbers are stored as, by the type of an element: often smaller than the array's own."""

_BYTES = 16
_UNICODE = {_BYTES: "utf-8", 17: "utf-16", 18: "utf-32"}

_CHAR = 4
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
"""Kinds of an array of numbers."""

_COMPLEX, _LOGICAL = 0x800, 0x200


def read(data: bytes) -> dict[str, NDArray[Any]]:
    """Arrays of numbers and words, which have no axes.

    Raises:
        ValueError, struct.error, zlib.error, MemoryError: a file that is not what it says.
    """
    order = _ORDERS.get(data[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("it has no header of MATLAB 5")
    found: dict[str, NDArray[Any]] = {}
    for kind, content in _elements(memoryview(data)[_HEADER:], order):
        if kind == _COMPRESSED:
            packed = memoryview(zlib.decompress(content))
            kind, content = next(_elements(packed, order), (0, packed))
        if kind != _MATRIX:
            raise ValueError(f"an element has type {kind}: allowed are variables")
        name, value = _variable(list(_elements(content, order)), order)
        if name in found:
            raise ValueError(f"{name} is there twice")
        if value is not None:
            found[name] = value
    return found


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        # Up to four bytes may stand in the place of the size, which is then beside the type.
        small = kind >> 16
        start = at + (4 if small else 8)
        kind, size = (kind & 0xFFFF, small) if small else (kind, size)
        if size > (4 if small else len(data) - start):
            raise ValueError("it ends in the middle of an element")
        yield kind, data[start : start + size]
        at = at + 8 if small else start + size + (-size % 8 if kind != _COMPRESSED else 0)


def _variable(parts: list[tuple[int, memoryview]], order: str) -> tuple[str, NDArray[Any] | None]:
    """Name and array of a variable; None for what is neither numbers nor words."""
    if not parts or len(parts[0][1]) != 8:
        raise ValueError("a variable has no flags")
    (flags,) = struct.unpack(f"{order}I4x", parts[0][1])
    kind = flags & 0xFF
    # A variable without a name is MATLAB's own: the workspace of functions.
    name = bytes(parts[2][1]).decode() if len(parts) > 2 else ""
    if kind not in (_CHAR, *_CLASSES) or not name:
        return name, None
    shape = tuple(_numbers(parts[1], order).tolist())
    if any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"{name} has axes of length {shape}")
    if kind == _CHAR:
        return name, _word(parts[3:4], order)
    wanted = 2 if flags & _COMPLEX else 1
    values = [_numbers(part, order) for part in parts[3 : 3 + wanted]]
    # Of nothing, nothing may be stored.
    values += [np.empty(0)] * (wanted - len(values))
    if any(value.size != math.prod(shape) for value in values):
        raise ValueError(f"{name} holds other than {shape} numbers")
    own = np.dtype("?" if flags & _LOGICAL else _CLASSES[kind])
    if own.kind != "f" and any(value.size and value.dtype.kind == "f" for value in values):
        raise ValueError(f"{name} holds other numbers than {own}")
    real, *imaginary = (value.astype(own).reshape(shape, order="F") for value in values)
    return name, joined(real, imaginary[0]) if imaginary else real


def joined(real: NDArray[Any], imaginary: NDArray[Any]) -> NDArray[Any]:
    """One complex array of two real ones; as a sum, an infinity would make its other part NaN."""
    value = np.empty(real.shape, np.result_type(real, imaginary, np.complex64))
    value.real, value.imag = real, imaginary
    return value


def _numbers(part: tuple[int, memoryview], order: str) -> NDArray[Any]:
    kind, content = part
    if kind not in _STORED:
        raise ValueError(f"an element has type {kind}: allowed are numbers")
    return np.frombuffer(content, f"{order}{_STORED[kind]}")


def _word(parts: list[tuple[int, memoryview]], order: str) -> NDArray[Any]:
    if not parts:
        return np.array("")
    kind, content = parts[0]
    if kind not in _UNICODE:
        return np.array("".join(map(chr, _numbers(parts[0], order).tolist())))
    end = {"<": "-le", ">": "-be"}[order] if kind != _BYTES else ""
    return np.array(bytes(content).decode(_UNICODE[kind] + end))
