"""A process that reads a MATLAB 7.3 file: `python _hdf5.py FILE`, arrays as .npz on its output.

HDF5 ends its process at some damaged files, whatever is caught around it, so that it gets one of
its own. It imports nothing of this package: torch would take longer than the file.
"""

import io
import sys
from typing import Any

import h5py
import numpy as np

_NUMBERS = (
    "double",
    "single",
    "logical",
    *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)),
)


def main() -> None:
    """Write the arrays as `array 0`, `array 1`, ... and their `names`, or exit with a reason."""
    with h5py.File(sys.argv[1], "r") as file:
        found = {
            name: _array(name, item)
            for name, item in file.items()
            if isinstance(item, h5py.Dataset) and _kind(name, item) in (*_NUMBERS, "char")
        }
    arrays: dict[str, Any] = {f"array {place}": x for place, x in enumerate(found.values())}
    content = io.BytesIO()
    np.savez(content, names=np.array(list(found), dtype=str), **arrays)
    sys.stdout.buffer.write(content.getbuffer())


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
