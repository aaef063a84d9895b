"""Named arrays in files: .safetensors, .npz and MATLAB's .mat.

Axes are those of numpy, whatever the file; a complex array may also stand there as two real ones,
NAME_real and NAME_imag, which is how safetensors gets complex128. Words are arrays of no axes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ris_pipeline._errors import InputError
from ris_pipeline._files import is_file, whole_file
from ris_pipeline.data import _matlab

Arrays = dict[str, NDArray[Any]]

_PARTS = "_real", "_imag"


def read_arrays(path: Path) -> Arrays:
    """Every array of a file.

    Raises:
        InputError: no such file, another suffix, or a file that is not what its name says.
    """
    reader = _by_suffix(path, _READERS)
    if not is_file(path):
        raise InputError(f"{str(path)!r}: no such file")
    try:
        return _joined(reader(path))
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from None
    except (OSError, BadZipFile, SafetensorError, ValueError, KeyError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{str(path)!r} is no {path.suffix} file: {reason}") from None


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


def _by_suffix(path: Path, table: Mapping[str, Any]) -> Callable[..., Any]:
    if path.suffix not in table:
        raise InputError(f"{str(path)!r}: allowed are files named {', '.join(table)}")
    return table[path.suffix]


def _joined(arrays: Arrays) -> Arrays:
    """The same with each NAME_real and NAME_imag as one complex NAME.

    Raises:
        InputError: one without the other, or of another shape.
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
        found[stem] = real + 1j * imaginary
    return {name: value for name, value in found.items() if not _is_part(name, found)}


def _is_part(name: str, arrays: Arrays) -> bool:
    return name.endswith(_PARTS) and name[: -len("_real")] in arrays


def _read_safetensors(path: Path) -> Arrays:
    with safe_open(path, framework="np") as file:
        words = {name: np.array(text) for name, text in (file.metadata() or {}).items()}
        return {**words, **{name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118


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
            return {name: file[name] for name in file.files}


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".mat": _matlab.read,
}
_WRITERS: dict[str, Callable[[Path, Mapping[str, NDArray[Any]]], None]] = {
    ".safetensors": _write_safetensors,
    ".npz": _write_npz,
    ".mat": _matlab.write_5,
}
SUFFIXES = tuple(_READERS)
