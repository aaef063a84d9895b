"""Finished units on disk, and what their last bit depends on."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from zipfile import BadZipFile

import numpy as np
import torch

from ris_pipeline._errors import InputError
from ris_pipeline._files import whole_file
from ris_pipeline._version import __version__
from ris_pipeline.evaluation.records import Records, Task

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
    """Records on disk, one file a unit, named by a digest of the task and of `software`: a unit
    that is there need not be run again, and one of another scenario is never mistaken for it.

    Raises:
        InputError: a folder that cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{str(folder)!r} cannot be made: {error.strerror}") from None

    def _path(self, task: Task) -> Path:
        told = task.receiver_scenario
        described = vars(task) | {
            "scenario": task.scenario.model_dump(mode="json"),
            "receiver_scenario": told and told.model_dump(mode="json"),
        }
        key = json.dumps([described, dict(software())], sort_keys=True)
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"

    def __contains__(self, task: Task) -> bool:
        return self._path(task).exists()

    def save(self, task: Task, records: Records) -> None:
        """Write a unit whole or not at all.

        Raises:
            InputError: the folder cannot be written.
        """
        with whole_file(self._path(task)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **vars(records))

    def load(self, tasks: Iterable[Task]) -> Records:
        """The records of tasks that have been run, joined.

        Raises:
            InputError: a file that is not what `save` wrote.
        """
        loaded = []
        for path in map(self._path, tasks):
            try:
                with path.open("rb") as file, np.load(file) as unit:
                    loaded.append(Records(**{f.name: unit[f.name] for f in fields(Records)}))
            except (BadZipFile, EOFError, KeyError, OSError, ValueError) as error:
                raise InputError(
                    f"{str(path)!r} cannot be read ({error}): delete it, and --resume"
                ) from None
        return Records.joined(loaded)
