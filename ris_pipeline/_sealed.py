"""Sealed files: arrays and a JSON page in one safetensors file, with a digest over both.

    digest = SHA-256 of the page, then of name, dtype, shape and bytes of every array, by name

Whatever is not what was written is noticed before anything is taken from it. Free of torch.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from ris_pipeline._errors import InputError
from ris_pipeline._files import json_text, parse_json, read_bytes, write_bytes

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""What a sealed file may hold, by safetensors' names."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Sealed:
    """What a file held; `page` is the text of its JSON."""

    arrays: dict[str, NDArray[Any]]
    page: str

    def json(self) -> Any:
        """The page.

        Raises:
            ValueError: it is not strict JSON.
        """
        return parse_json(self.page)


def _digest(page: str, arrays: Arrays) -> str:
    sum_ = hashlib.sha256(page.encode())
    for name in sorted(arrays):
        value = arrays[name]
        sum_.update(f"\n{name}\n{value.dtype.str}\n{value.shape}\n".encode())
        sum_.update(value.tobytes())
    return sum_.hexdigest()


def write_sealed(path: Path, arrays: Arrays, page: Any) -> None:
    """Write a file, whole or not at all; `page` is what JSON can hold.

    Raises:
        InputError: it cannot be written.
    """
    text = json_text(page, indent=None)
    held = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    header = {"page": text, "sha256": _digest(text, held)}
    write_bytes(path, _in_order(save(held, metadata=header)))


def _in_order(raw: bytes) -> bytes:
    """The same file with its header in one order: safetensors writes the metadata in any."""
    size = int.from_bytes(raw[:8], "little")
    text = json.dumps(json.loads(raw[8 : 8 + size]), sort_keys=True, separators=(",", ":"))
    header = text.encode()
    # The numbers begin at a multiple of eight bytes.
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + raw[8 + size :]


def read_sealed(path: Path, kind: str) -> Sealed:
    """Read what `write_sealed` wrote; `kind` is what errors call the file.

    Raises:
        InputError: no such file, not such a file, one without a digest, or a damaged one.
    """
    raw = read_bytes(path, kind)
    named = f"{kind} {str(path)!r}"
    try:
        entries = deserialize(raw)
        header = parse_json(raw[8 : 8 + int.from_bytes(raw[:8], "little")].decode())
        held = header.get("__metadata__", {})
        page, digest = held.get("page"), held.get("sha256")
        if page is not None:
            page.encode()
    except (SafetensorError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{named} is not a {kind}: {said:.200}") from None
    if page is None or digest is None:
        raise InputError(
            f"{named} is not a {kind}: it carries no checksum; files of version 0.2 and before "
            "do not, and are not read"
        )
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            raise InputError(
                f"{named}: {name!r} has dtype {entry['dtype']}: allowed are {', '.join(_DTYPES)}"
            )
    arrays = {name: _array(entry) for name, entry in entries}
    if _digest(page, arrays) != digest:
        raise InputError(f"{named} is damaged: its checksum is not that of its content")
    return Sealed(arrays, page)


def _array(entry: dict[str, Any]) -> NDArray[Any]:
    # A copy, because bytes cannot be written to.
    data: bytes = entry["data"]
    return np.frombuffer(data, dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
