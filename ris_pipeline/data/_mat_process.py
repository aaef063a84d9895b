"""A process that reads a MATLAB file: `python _mat_process.py scipy|h5py FILE`, arrays as .npz on
its output.

scipy and HDF5 end their process at some damaged files, whatever is caught around them, so that they
get one of their own. It imports nothing of this package: torch would take longer than the file.
"""

import io
import sys
import warnings
from typing import Any

import numpy as np

_NUMBERS = (
    "double",
    "single",
    "logical",
    *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)),
)


def main() -> None:
    """Write the arrays as `array 0`, `array 1`, ... and their `names`, or exit with a reason."""
    _, library, path = sys.argv
    found = _of_hdf5(path) if library == "h5py" else _of_scipy(path)
    arrays: dict[str, Any] = {f"array {place}": x for place, x in enumerate(found.values())}
    content = io.BytesIO()
    np.savez(content, names=np.array(list(found), dtype=str), **arrays)
    sys.stdout.buffer.write(content.getbuffer())


def _of_scipy(path: str) -> dict[str, Any]:
    """Of versions 4 and 5; what scipy warns of, as a name that is there twice, is refused."""
    import scipy.io

    warnings.simplefilter("error", scipy.io.matlab.MatReadWarning)
    found = scipy.io.loadmat(path, chars_as_strings=True)
    logical = {name for name, _, kind in scipy.io.whosmat(path) if kind == "logical"}
    arrays: dict[str, Any] = {}
    for name, value in found.items():
        if name.startswith("__") or not isinstance(value, np.ndarray):
            continue
        if value.dtype.kind == "U":
            arrays[name] = np.array("".join(value.ravel().tolist()))
        elif value.dtype.kind in "biufc":
            arrays[name] = value.astype(bool) if name in logical else value
    return arrays


def _of_hdf5(path: str) -> dict[str, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        return {
            name: _array(name, item)
            for name, item in file.items()
            if isinstance(item, h5py.Dataset) and _kind(name, item) in (*_NUMBERS, "char")
        }


def _kind(name: str, item: Any) -> str:
    kind = item.attrs.get("MATLAB_class")
    if kind is None:
        sys.exit(
            f"{name} has no attribute MATLAB_class, so that the order of its axes is not known: "
            "save with MATLAB's -v7.3, or as .npz"
        )
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _array(name: str, item: Any) -> Any:
    if item.attrs.get("MATLAB_empty"):
        return np.empty(0)
    value, kind = item[()], _kind(name, item)
    if value.dtype.names == ("real", "imag"):
        value = value["real"] + 1j * value["imag"]
    if value.dtype.kind not in "biufc":
        sys.exit(f"{name} holds {value.dtype}: allowed are numbers")
    if kind == "char":
        return np.array("".join(map(chr, value.T.ravel().tolist())))
    # What h5py notes beside a dtype is not for others.
    return value.T.astype(bool if kind == "logical" else value.dtype.str)


if __name__ == "__main__":
    main()
