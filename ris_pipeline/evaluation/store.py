"""Finished units on disk, and what their last bit depends on."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import torch

from ris_pipeline._errors import InputError
from ris_pipeline._files import is_file, remove_partial
from ris_pipeline._sealed import read_sealed, write_sealed
from ris_pipeline._version import __version__
from ris_pipeline.evaluation.records import Records, Task, checked_records

SUFFIX = ".safetensors"
"""Of the files of units."""

_ROOMS = (
    "config",
    "scene",
    "spectral",
    "localization",
    "evaluation/estimators.py",
    "evaluation/records.py",
)
"""What a record is computed by."""


@cache
def software() -> Mapping[str, str]:
    """Versions and kind of processor on which the records of a task depend to the last bit.

    ris_pipeline: with a digest of the source that computes records; processor: the instruction set
    torch picks its loops for.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((package / room).rglob("*.py")) or [package / room]:
            digest.update(path.read_bytes())
    return MappingProxyType(
        {
            "ris_pipeline": f"{__version__} ({digest.hexdigest()[:8]})",
            "torch": torch.__version__,
            "processor": torch.backends.cpu.get_cpu_capability(),
        }
    )


class UnitStore:
    """Records on disk, one sealed file a unit, named by a digest of the task and of `software` and
    holding it too: a unit that is there need not be run again, one of another scenario is never
    mistaken for it, and one that is damaged counts as absent.

    Raises:
        InputError: a folder that cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._faults: dict[Path, str | None] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{str(folder)!r} cannot be made: {error.strerror}") from None
        remove_partial(folder)

    def _key(self, task: Task) -> str:
        told = task.receiver_scenario
        described = vars(task) | {
            "scenario": task.scenario.model_dump(mode="json"),
            "receiver_scenario": told and told.model_dump(mode="json"),
        }
        key = json.dumps([described, dict(software())], sort_keys=True, allow_nan=False)
        return hashlib.sha256(key.encode()).hexdigest()

    def _path(self, task: Task) -> Path:
        return self.folder / f"{self._key(task)[:24]}{SUFFIX}"

    def __contains__(self, task: Task) -> bool:
        path = self._path(task)
        return is_file(path) and self._fault(path, task) is None

    def damaged(self, tasks: Iterable[Task]) -> list[str]:
        """Why a unit that is there cannot be used, a line for each."""
        found = ((path, task) for task in tasks if os.path.lexists(path := self._path(task)))
        return [why for path, task in found if (why := self._fault(path, task)) is not None]

    def _fault(self, path: Path, task: Task) -> str | None:
        if path not in self._faults:
            try:
                self._read(path, task)
            except InputError as error:
                self._faults[path] = str(error)
            else:
                self._faults[path] = None
        return self._faults[path]

    def save(self, task: Task, records: Records) -> None:
        """Write a unit whole or not at all.

        Raises:
            InputError: the folder cannot be written.
        """
        path = self._path(task)
        write_sealed(path, vars(records), {"task": self._key(task)})
        self._faults.pop(path, None)

    def load(self, tasks: Iterable[Task]) -> Records:
        """The records of tasks that have been run, joined.

        Raises:
            InputError: a file that is not what `save` wrote.
        """
        return Records.joined([self._read(self._path(task), task) for task in tasks])

    def _read(self, path: Path, task: Task) -> Records:
        sealed = read_sealed(path, "unit")
        try:
            if sealed.json() != {"task": self._key(task)}:
                raise ValueError("it is of another task")
            return checked_records(sealed.arrays, task.stop - task.start)
        except ValueError as error:
            raise InputError(f"unit {str(path)!r} cannot be used: {error}") from None
