"""Running the units: here, on a local cluster, or on somebody else's."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch

from ris_pipeline._errors import InputError
from ris_pipeline._version import __version__
from ris_pipeline.evaluation.records import Records, Task, evaluate_unit


class UnitStore:
    """Records on disk, one file a unit, named by a digest of the task and of the versions: a unit
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
        described = asdict(task) | {"scenario": task.scenario.model_dump(mode="json")}
        key = json.dumps([described, __version__, torch.__version__], sort_keys=True)
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"

    def __contains__(self, task: Task) -> bool:
        return self._path(task).exists()

    def save(self, task: Task, records: Records) -> None:
        """Write a unit whole or not at all.

        Raises:
            InputError: the folder cannot be written.
        """
        path = self._path(task)
        temporary = path.with_suffix(".partial")
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(
                    file, **{f.name: getattr(records, f.name) for f in fields(records)}
                )
            os.replace(temporary, path)
        except OSError as error:
            raise InputError(f"{str(path)!r} cannot be written: {error.strerror}") from None

    def load(self, tasks: Iterable[Task]) -> Records:
        """The records of tasks that have been run, joined."""
        parts = []
        for task in tasks:
            with np.load(self._path(task)) as file:
                parts.append(Records(**dict(file)))
        return Records.joined(parts)


def run_tasks(
    tasks: Iterable[Task],
    store: UnitStore,
    workers: int = 2,
    scheduler: str | None = None,
    advance: Callable[[Task], None] = lambda task: None,
) -> None:
    """Run every task that is not in the store; `advance` is called after each.

    Args:
        workers: processes on this machine; 1 runs in this one.
        scheduler: address of a running dask scheduler, which replaces the local ones.

    Raises:
        InputError: workers below 1, no dask, or nobody at the address.
    """
    if workers < 1:
        raise InputError(f"workers = {workers}: allowed is 1 or more")
    pending = [task for task in dict.fromkeys(tasks) if task not in store]
    here = scheduler is None and workers == 1
    finished = _run_here(pending) if here else _run_on_cluster(pending, workers, scheduler)
    for task, records in finished:
        store.save(task, records)
        advance(task)


def _run_here(tasks: Iterable[Task]) -> Iterator[tuple[Task, Records]]:
    for task in tasks:
        yield task, evaluate_unit(task)


def _run_on_cluster(
    tasks: list[Task], workers: int, scheduler: str | None
) -> Iterator[tuple[Task, Records]]:
    try:
        from dask.distributed import Client, LocalCluster, as_completed
    except ImportError:
        raise InputError(
            f"workers = {workers}: dask is not installed, the extra `cluster` brings it; "
            "allowed without it is 1"
        ) from None
    if not tasks:
        return
    if scheduler is None:
        cluster = LocalCluster(
            n_workers=min(workers, len(tasks)),
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=None,
        )
    try:
        client = Client(scheduler or cluster, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(f"scheduler = {scheduler!r}: {error}") from None
    try:
        futures = {client.submit(evaluate_unit, task, pure=False): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
            future.release()
    finally:
        client.close()
        if scheduler is None:
            cluster.close()
