"""MATLAB's .mat files: versions 4 and 5 by scipy, version 7.3 (HDF5) by h5py, both in a process of
their own where they read (`_mat_process`); versions 5 and 7.3 are written.

Version 7.3 stores arrays with their axes in reverse, complex numbers as pairs (real, imag), and
says in the attribute MATLAB_class what it is: only with it is the order of axes known. Both drop
trailing axes of length one and have no fewer than two axes.
"""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from ris_pipeline._errors import InputError, check_choice

Arrays = dict[str, NDArray[Any]]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512
"""Bytes before the HDF5 part, where MATLAB has its header."""


def read(path: Path) -> Arrays:
    """Arrays of numbers and words; cells, structures and what else there is are left out.

    Raises:
        InputError: version 7.3 without h5py, or the process that reads cannot be started.
        ValueError: a file that is not what it says.
    """
    with path.open("rb") as file:
        head = file.read(_USER_BLOCK + len(_HDF5))
    hdf5 = head.startswith(_HDF5) or head[_USER_BLOCK:] == _HDF5
    library = _h5py().__name__ if hdf5 else "scipy"
    reader = Path(__file__).with_name("_mat_process.py")
    # What this process can import, that one can.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # An interpreter inside of another program has no name of its own.
    command = [sys.executable or "python3", "-P", str(reader), library, str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
    except OSError as error:
        raise InputError(
            f"MATLAB's files are read by a process of {command[0]!r}, which cannot be started "
            f"({error.strerror}): save as .npz"
        ) from None
    if done.returncode:
        # The last line is the reason, of ours or of a traceback; a process that was ended has none.
        said = done.stderr.decode(errors="replace").strip().splitlines()
        ended = done.returncode < 0 or not said
        raise ValueError("nobody can follow it" if ended else said[-1])
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as file:
        return {name: file[f"array {place}"] for place, name in enumerate(file["names"].tolist())}


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise InputError(
            "MATLAB 7.3 needs h5py: the extra `matlab` brings it, or save with -v7"
        ) from None
    return h5py


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
    # In memory: where a disk fills up, HDF5 ends the process.
    content = io.BytesIO()
    with h5py.File(content, "w", userblock_size=_USER_BLOCK) as file:
        for name, value in arrays.items():
            _put(file, name, value)
    text = b"MATLAB 7.3 MAT-file, written by ris-pipeline".ljust(116) + bytes(8) + b"\x00\x02IM"
    content.seek(0)
    content.write(text)
    path.write_bytes(content.getbuffer())


def _put(file: Any, name: str, value: NDArray[Any]) -> None:
    if value.dtype.kind == "U":
        kind, stored = "char", np.array([[ord(letter)] for letter in str(value)], np.uint16)
    else:
        stored = np.atleast_2d(value.astype(np.uint8) if value.dtype == bool else value).T
        single = value.dtype in (np.float32, np.complex64)
        kind = ("single" if single else "double") if value.dtype.kind in "fc" else value.dtype.name
        kind = "logical" if value.dtype == bool else kind
        if value.dtype.kind == "c":
            part = stored.real.dtype
            pairs = np.empty(stored.shape, [("real", part), ("imag", part)])
            pairs["real"], pairs["imag"] = stored.real, stored.imag
            stored = pairs
    dataset = file.create_dataset(name, data=stored)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    if kind in ("char", "logical"):
        dataset.attrs["MATLAB_int_decode"] = np.int32(stored.itemsize)
