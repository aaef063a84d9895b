"""Scene sets larger than memory: shards on disk and a manifest, read by memory map in any order.

    FOLDER/manifest.json          what it is: scenario, seed, versions, shards and their checksums
    FOLDER/00000.safetensors      the first `shard` scenes, and so on; float32 throughout

A shard is written whole, then the manifest that names it: a run that was cut off goes on with the
first shard that the manifest does not name. Complex tensors are stored as pairs of real numbers,
(..., 2), so that a map of the file is the tensor.
"""

import hashlib
import json
import mmap
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._files import (
    LOCK,
    cannot_write,
    is_file,
    json_text,
    only_run_in,
    shown_path,
    write_bytes,
    write_text,
)
from ris_pipeline._validation import check_range
from ris_pipeline._version import __version__
from ris_pipeline.data._manifest import FORMAT, NAME, Manifest, read_manifest, shard_name
from ris_pipeline.scene import (
    SceneBatch,
    SceneSet,
    Sources,
    Split,
    believed_panel,
    ris_codes,
    true_panel,
)

SHARD = 4096
"""Scenes of a shard: 84 MB of reference scenes."""

_SOURCES = "azimuth", "elevation", "distance", "gains", "symbols", "count"
_SCENE = "snapshots", "channel", "noise_variance", "snr_db"
_COMPLEX = {"snapshots", "channel", "gains", "symbols"}

_OPEN = 64
"""Maps held at a time."""

_FORGET: int | None = getattr(mmap, "MADV_DONTNEED", None)
"""Advice to give a map's memory back, where the system takes it; the pages stay cached."""


def write_store(
    folder: Path,
    scenes: SceneSet,
    shard: int = SHARD,
    progress: Callable[[int], None] | None = None,
) -> "SceneStore":
    """Simulate a scene set into a folder, or go on where a run was cut off.

    Args:
        shard: scenes of a file.
        progress: called with the number of scenes of each shard that is there.

    Raises:
        InputError: a folder that holds another set, is in use by another run, or cannot be
            written.
    """
    check_range("shard", shard, 1, 10**6)
    check_range("scenes", scenes.size, 1, 10**9)
    if scenes.dtype != torch.float32:
        raise InputError(f"dtype = {scenes.dtype}: allowed is torch.float32")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None
    with only_run_in(folder):
        _write_shards(folder, scenes, shard, progress or (lambda done: None))
    return SceneStore(folder)


def _write_shards(
    folder: Path, scenes: SceneSet, shard: int, progress: Callable[[int], None]
) -> None:
    manifest = _manifest(scenes, shard)
    there = _written(folder, manifest)
    for number, start in enumerate(range(0, scenes.size, shard)):
        stop = min(start + shard, scenes.size)
        if number >= len(there) or not _is_whole(folder, there[number]):
            there[number : number + 1] = [_write_shard(folder, number, scenes.scenes(start, stop))]
            page = json_text({**manifest, "shards": there})
            write_text(folder / NAME, page + "\n")
        progress(stop - start)


def _manifest(scenes: SceneSet, shard: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "versions": {"ris_pipeline": __version__, "torch": torch.__version__},
        "scenario": scenes.scenario.model_dump(mode="json", exclude_defaults=True),
        "seed": scenes.seed,
        "split": scenes.split.name.lower(),
        "size": scenes.size,
        "shard": shard,
    }


def _is_whole(folder: Path, entry: dict[str, Any]) -> bool:
    path = folder / entry["file"]
    return is_file(path) and _checksum(path) == entry["sha256"]


def _written(folder: Path, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Shards that an earlier run of the same set has written."""
    if not is_file(folder / NAME):
        if any(path.name != LOCK for path in folder.iterdir()):
            raise InputError(f"{shown_path(folder)} holds other files: allowed is an empty folder")
        return []
    earlier = _page(read_manifest(folder))
    for name, value in manifest.items():
        if earlier[name] != value:
            raise InputError(
                f"{shown_path(folder)} holds another set: its {name} is {earlier[name]!r}, not "
                f"{value!r}; name another folder"
            )
    shards: list[dict[str, Any]] = earlier["shards"]
    return shards


def _page(manifest: Manifest) -> dict[str, Any]:
    """As it is written: of the scenario, what is not the default."""
    scenario = manifest.scenario.model_dump(mode="json", exclude_defaults=True)
    return {**manifest.model_dump(mode="json"), "scenario": scenario}


def _write_shard(folder: Path, number: int, scenes: SceneBatch) -> dict[str, Any]:
    values = {name: getattr(scenes, name) for name in _SCENE}
    values |= {name: getattr(scenes.sources, name) for name in _SOURCES}
    content = save({name: _stored(value) for name, value in values.items()})
    path = folder / shard_name(number)
    write_bytes(path, content)
    return {
        "file": path.name,
        "scenes": scenes.size,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _stored(value: Tensor) -> Tensor:
    value = value.cpu().resolve_conj()
    return (torch.view_as_real(value) if value.is_complex() else value).contiguous()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Shard:
    """One shard as arrays over a map of its file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        # The layout of safetensors: length of the header, header, tensors.
        start = 8 + int.from_bytes(self.map[:8], "little")
        header = json.loads(self.map[8:start])
        kinds = {"F32": np.float32, "I64": np.int64}
        self.arrays: dict[str, NDArray[Any]] = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            first, end = entry["data_offsets"]
            kind = np.dtype(kinds[entry["dtype"]])
            flat = np.frombuffer(self.map, kind, (end - first) // kind.itemsize, start + first)
            self.arrays[name] = flat.reshape(entry["shape"])


class SceneStore:
    """Scenes of a folder that `write_store` has written, as `SceneSet` gives them.

    scenario, seed, split, size: of the set; manifest: as in the file.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Open a folder; files are looked at when their scenes are wanted, sums by `verify`.

        Args:
            device: where the scenes go.

        Raises:
            InputError: no such set, one that is not complete, or a shard of another size.
        """
        self.folder, self.device = folder, device
        found = read_manifest(folder)
        self.manifest = _page(found)
        self.scenario, self.seed, self.split = (
            found.scenario,
            found.seed,
            Split[found.split.upper()],
        )
        self.size, self.shard = found.size, found.shard
        if found.missing:
            raise InputError(
                f"{shown_path(folder)} lacks {found.missing} of "
                f"{found.missing + len(found.shards)} shards: the same `simulate` goes on with it"
            )
        for entry in found.shards:
            path = folder / entry.file
            if not is_file(path) or path.stat().st_size != entry.bytes:
                raise InputError(f"{shown_path(path)}: allowed is a file of {entry.bytes} bytes")
        self._paths = [folder / entry.file for entry in found.shards]
        self._open: OrderedDict[int, _Shard] = OrderedDict()

    def __len__(self) -> int:
        return self.size

    def verify(self) -> None:
        """Raise `InputError` unless every shard has the checksum of the manifest."""
        for path, entry in zip(self._paths, self.manifest["shards"], strict=True):
            if _checksum(path) != entry["sha256"]:
                raise InputError(f"{str(path)!r} has another checksum than the manifest")

    def take(self, index: Tensor) -> SceneBatch:
        """The scenes `index` (B,) int64, in that order.

        Raises:
            InputError: outside 0..size-1.
        """
        check_range("index", index, 0, self.size - 1)
        values = self._gather(index.numpy(force=True))
        tensors = {name: _loaded(name, value).to(self.device) for name, value in values.items()}
        real, index = torch.float32, index.to(self.device)
        believed = believed_panel(self.scenario, real, tensors["channel"].device)
        return SceneBatch(
            **{name: tensors[name] for name in _SCENE},
            codes=believed.apply(ris_codes(self.scenario).to(self.device)),
            panel=believed.panel,
            scenario=self.scenario,
            sources=Sources(**{name: tensors[name] for name in _SOURCES}),
            truth=true_panel(self.scenario, (self.seed << 8) | self.split, index, real),
        )

    def scenes(self, start: int, stop: int) -> SceneBatch:
        """Scenes start..stop-1.

        Raises:
            InputError: outside 0..size.
        """
        check_range("start", start, 0, stop)
        check_range("stop", stop, start, self.size)
        return self.take(torch.arange(start, stop))

    def batches(self, batch_size: int) -> Iterator[SceneBatch]:
        """All scenes in order; the last batch may be smaller."""
        for start in range(0, self.size, batch_size):
            yield self.scenes(start, min(start + batch_size, self.size))

    def shuffled(self, batch_size: int, seed: int) -> Iterator[SceneBatch]:
        """All scenes once, in random order; the last batch may be smaller."""
        random = torch.Generator().manual_seed(seed)
        for index in torch.randperm(self.size, generator=random).split(batch_size):
            yield self.take(index)

    def _gather(self, index: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Copies of the rows, shard by shard, so that no more than one is ever resident."""
        shards, rows = np.divmod(index, self.shard)
        values: dict[str, NDArray[Any]] = {}
        for number in np.unique(shards).tolist() or [0]:
            here = np.flatnonzero(shards == number)
            for name, array in self._shard(number).arrays.items():
                if name not in values:
                    values[name] = np.empty((len(index), *array.shape[1:]), array.dtype)
                values[name][here] = array[rows[here]]
            self._forget(number)
        return values

    def _forget(self, number: int) -> None:
        """What a map has shown would stay resident, in pages of up to 2 MiB a row."""
        if _FORGET is None:
            self._open.pop(number)
        else:
            self._open[number].map.madvise(_FORGET)

    def _shard(self, number: int) -> _Shard:
        if number not in self._open:
            path = self._paths[number]
            try:
                self._open[number] = _Shard(path)
            except (OSError, ValueError, KeyError, TypeError) as error:
                line = " ".join(str(error).split())
                raise InputError(f"{str(path)!r} is no shard of this set: {line}") from None
        self._open.move_to_end(number)
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return self._open[number]


def _loaded(name: str, value: NDArray[Any]) -> Tensor:
    return torch.from_numpy(value.view(np.complex64)[..., 0] if name in _COMPLEX else value)
