"""Named arrays in files: .safetensors, .npz and MATLAB's .mat.

Axes are those of numpy, whatever the file; a complex array may also stand there as two real ones,
NAME_real and NAME_imag, which is how safetensors gets complex128. Words are arrays of no axes.
"""

import lzma
import struct
import tokenize
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from ris_pipeline._errors import InputError
from ris_pipeline._files import is_file, parse_json, shown_path, whole_file
from ris_pipeline.data import _matlab

Arrays = dict[str, NDArray[Any]]

_PARTS = "_real", "_imag"


def read_arrays(path: Path) -> Arrays:
    """Every array of a file.

    Raises:
        InputError: no such file, another suffix, or a file that is not what its name says.
    """
    read, unreadable = _by_suffix(path, _READERS)
    if not is_file(path):
        raise InputError(f"{shown_path(path)}: no such file")
    try:
        return _joined(read(path))
    except InputError as error:
        raise InputError(f"{shown_path(path)}: {error}") from None
    except unreadable as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{shown_path(path)} is no {path.suffix} file: {reason:.200}") from None


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], matlab: str = "5") -> None:
    """Write a file of the suffix's form, whole or not at all.

    Args:
        matlab: version of a .mat file, "5" (up to 2 GB an array) or "7.3" (extra `matlab`).

    Raises:
        InputError: another suffix or version, or a file that cannot be written.
    """
    writer = _by_suffix(path, _WRITERS)
    if path.suffix == ".mat":
        writer = _matlab.writer(matlab)
    try:
        with whole_file(path) as temporary:
            writer(temporary, arrays)
    except SafetensorError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error}") from None


def _by_suffix(path: Path, table: Mapping[str, Any]) -> Any:
    if path.suffix not in table:
        raise InputError(f"{shown_path(path)}: allowed are files named {', '.join(table)}")
    return table[path.suffix]


def _joined(arrays: Arrays) -> Arrays:
    """The same with each NAME_real and NAME_imag as one complex NAME.

    Raises:
        InputError: one without the other, of another shape, or no real numbers.
    """
    found = dict(arrays)
    for name in [name for name in arrays if name.endswith(_PARTS)]:
        stem = name.removesuffix("_real").removesuffix("_imag")
        if stem in found:
            continue
        parts = [arrays.get(stem + part) for part in _PARTS]
        real, imaginary = parts
        if real is None or imaginary is None or real.shape != imaginary.shape:
            raise InputError(f"{name}: allowed are {stem}_real and {stem}_imag, of one shape")
        for part in (real, imaginary):
            if part.dtype.kind not in "iuf":
                raise InputError(f"{name} has dtype {part.dtype}: allowed are real numbers")
        found[stem] = _complex(real, imaginary)
    return {name: value for name, value in found.items() if not _is_part(name, found)}


def _complex(real: NDArray[Any], imaginary: NDArray[Any]) -> NDArray[Any]:
    """One complex array of two real ones; as a sum, an infinity would make its other part NaN."""
    value = np.empty(real.shape, np.result_type(real, imaginary, np.complex64))
    value.real, value.imag = real, imaginary
    return value


def _is_part(name: str, arrays: Arrays) -> bool:
    return name.endswith(_PARTS) and name[: -len("_real")] in arrays


_DTYPES = {
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    "C64": "<c8",
    "BOOL": "?",
}
"""Of numpy, by safetensors' names; it knows more."""


def _read_safetensors(path: Path) -> Arrays:
    data = path.read_bytes()
    entries = deserialize(data)
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")].decode())
    words = {name: np.array(text) for name, text in header.get("__metadata__", {}).items()}
    return {**words, **{name: _array(entry) for name, entry in entries}}


def _array(entry: dict[str, Any]) -> NDArray[Any]:
    """An array; of a type that numpy lacks its shape, and the name of the type as the dtype."""
    kind = _DTYPES.get(entry["dtype"])
    if kind is None:
        return np.zeros(entry["shape"], [(entry["dtype"], "V1")])
    return np.frombuffer(entry["data"], kind).reshape(entry["shape"])


def _write_safetensors(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    tensors: Arrays = {}
    words: dict[str, str] = {}
    for name, value in arrays.items():
        array = np.ascontiguousarray(value) if value.ndim else value
        if array.dtype.kind == "U":
            words[name] = str(array)
        elif array.dtype.kind == "c":
            tensors[f"{name}_real"] = np.ascontiguousarray(array.real)
            tensors[f"{name}_imag"] = np.ascontiguousarray(array.imag)
        else:
            tensors[name] = array
    # `save_file` would make a file that only its owner can read.
    path.write_bytes(save(tensors, metadata=words))


def _read_npz(path: Path) -> Arrays:
    # Opened here: numpy leaves a file open that it cannot read.
    with path.open("rb") as stream:
        content = np.load(stream, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise InputError("holds one array without a name: allowed is numpy.savez")
        with content as file:
            assert file.zip is not None
            members = [name for name in file.zip.namelist() if name.endswith(".npy")]
            found = {name.removesuffix(".npy"): file[name] for name in members}
    for name, value in found.items():
        # What does not begin as an array does comes back as bytes.
        if not isinstance(value, np.ndarray):
            raise ValueError(f"{name} is no array")
    if len(found) < len(members):
        twice = next(name for name in members if members.count(name) > 1)
        raise ValueError(f"{twice} is there twice")
    return found


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


_UNREADABLE_NPZ = (
    BadZipFile,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
)
"""What numpy and zipfile raise at files that are not what they say: their parts, compressed in any
way, encrypted (RuntimeError), or with headers that are no Python or larger than memory."""

_UNREADABLE_SAFETENSORS = AttributeError, MemoryError, OSError, SafetensorError, ValueError
"""The same of safetensors; AttributeError where the metadata are no table."""

_READERS: dict[str, tuple[Callable[[Path], Arrays], tuple[type[Exception], ...]]] = {
    ".safetensors": (_read_safetensors, _UNREADABLE_SAFETENSORS),
    ".npz": (_read_npz, _UNREADABLE_NPZ),
    ".mat": (_matlab.read, (OSError, ValueError)),
}
_WRITERS: dict[str, Callable[[Path, Mapping[str, NDArray[Any]]], None]] = {
    ".safetensors": _write_safetensors,
    ".npz": _write_npz,
    ".mat": _matlab.write_5,
}
SUFFIXES = tuple(_READERS)
