"""MATLAB's .mat files: version 5 by scipy, version 7.3 (HDF5) by h5py.

Version 7.3 stores arrays with their axes in reverse, complex numbers as pairs (real, imag), and
says in the attribute MATLAB_class what it is: only with it is the order of axes known. Both drop
trailing axes of length one and have no fewer than two axes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.io.matlab import MatReadError

from ris_pipeline._errors import InputError, check_choice

Arrays = dict[str, NDArray[Any]]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512
"""Bytes before the HDF5 part, where MATLAB has its header."""

_NUMBERS = (
    "double",
    "single",
    "logical",
    *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)),
)


def read(path: Path) -> Arrays:
    """Arrays of numbers and words; cells, structures and what else there is are left out."""
    with path.open("rb") as file:
        head = file.read(_USER_BLOCK + len(_HDF5))
    if head.startswith(_HDF5) or head[_USER_BLOCK:] == _HDF5:
        return _read_hdf5(path)
    try:
        found = scipy.io.loadmat(path, chars_as_strings=True)
    except (MatReadError, NotImplementedError, TypeError, IndexError) as error:
        raise InputError(f"cannot be read: {' '.join(str(error).split())}") from None
    return {
        name: _word(value) if value.dtype.kind == "U" else value
        for name, value in found.items()
        if not name.startswith("__") and isinstance(value, np.ndarray) and value.dtype.kind != "O"
    }


def _word(value: NDArray[Any]) -> NDArray[Any]:
    return np.array("".join(value.ravel().tolist()))


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise InputError(
            "MATLAB 7.3 needs h5py: the extra `matlab` brings it, or save with -v7"
        ) from None
    return h5py


def _read_hdf5(path: Path) -> Arrays:
    h5py = _h5py()
    with h5py.File(path, "r") as file:
        return {
            name: _hdf5_array(name, item)
            for name, item in file.items()
            if isinstance(item, h5py.Dataset) and _kind(name, item) in (*_NUMBERS, "char")
        }


def _kind(name: str, item: Any) -> str:
    kind = item.attrs.get("MATLAB_class")
    if kind is None:
        raise InputError(
            f"{name} has no attribute MATLAB_class, so that the order of its axes is not known: "
            "save with MATLAB's -v7.3, or as .npz"
        )
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _hdf5_array(name: str, item: Any) -> NDArray[Any]:
    if item.attrs.get("MATLAB_empty"):
        return np.empty(0)
    value: NDArray[Any] = item[()]
    if _kind(name, item) == "char":
        return np.array("".join(map(chr, value.T.ravel().tolist())))
    if value.dtype.names == ("real", "imag"):
        value = value["real"] + 1j * value["imag"]
    return value.T


def writer(version: str) -> Callable[[Path, Mapping[str, NDArray[Any]]], None]:
    """The function that writes a version."""
    check_choice("matlab", version, ("5", "7.3"))
    return write_5 if version == "5" else write_73


def write_5(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    try:
        with path.open("wb") as file:
            words = {name: str(x) if x.dtype.kind == "U" else x for name, x in arrays.items()}
            scipy.io.savemat(file, words)
    except scipy.io.matlab.MatWriteError as error:
        raise InputError(f"{error}: MATLAB 7.3 or .safetensors have no such limit") from None


def write_73(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    h5py = _h5py()
    with h5py.File(path, "w", userblock_size=_USER_BLOCK) as file:
        for name, value in arrays.items():
            _put(file, name, value)
    text = b"MATLAB 7.3 MAT-file, written by ris-pipeline".ljust(116) + bytes(8) + b"\x00\x02IM"
    with path.open("r+b") as head:
        head.write(text)


def _put(file: Any, name: str, value: NDArray[Any]) -> None:
    if value.dtype.kind == "U":
        kind, stored = "char", np.array([[ord(letter)] for letter in str(value)], np.uint16)
    else:
        stored = np.atleast_2d(value).T
        single = value.dtype in (np.float32, np.complex64)
        kind = ("single" if single else "double") if value.dtype.kind in "fc" else value.dtype.name
        if value.dtype.kind == "c":
            part = stored.real.dtype
            pairs = np.empty(stored.shape, [("real", part), ("imag", part)])
            pairs["real"], pairs["imag"] = stored.real, stored.imag
            stored = pairs
    dataset = file.create_dataset(name, data=stored)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    if kind == "char":
        dataset.attrs["MATLAB_int_decode"] = np.int32(2)
