"""Running the units: here, on a local cluster, or on somebody else's."""

import logging
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ris_pipeline._errors import CALL_ERRORS, InputError
from ris_pipeline.evaluation.estimators import ESTIMATORS, Estimator
from ris_pipeline.evaluation.records import Records, Task, evaluate_unit
from ris_pipeline.evaluation.store import UnitStore, software

CONNECT_S = 10
"""Seconds in which a scheduler has to answer."""

LOOPBACK = "127.0.0.1:0"
"""Any free port, of this machine alone."""

FIRST_WORKER_S = 60
"""Seconds after which a scheduler that still has no worker is given up."""


@dataclass(frozen=True)
class Missing:
    """Why a unit has no records.

    refused: the estimator said so itself (`InputError`): what is asked for it cannot do. Otherwise
    it failed, or the worker died.
    """

    reason: str
    refused: bool


Attempt = Records | Missing


def attempt(task: Task, estimator: Estimator) -> Attempt:
    """The records of a unit, or why there are none."""
    try:
        return evaluate_unit(task, estimator)
    except InputError as error:
        return Missing(str(error), refused=True)
    except CALL_ERRORS as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        said = " ".join(str(error).split())
        return Missing(f"{type(error).__name__} at {where}: {said}", refused=False)


def check_workers(workers: int) -> None:
    """Raise `InputError` unless there is at least one."""
    if workers < 1:
        raise InputError(f"workers = {workers}: allowed is 1 or more")


def run_tasks(
    tasks: Iterable[Task],
    store: UnitStore,
    workers: int = 2,
    scheduler: str | None = None,
    advance: Callable[[Task], None] = lambda task: None,
    estimators: Mapping[str, Estimator] = ESTIMATORS,
) -> dict[Task, Missing]:
    """Run every task that is not in the store; `advance` is called after each.

    Args:
        workers: processes on this machine; 1 runs in this one.
        scheduler: address of a running dask scheduler, which replaces the local ones.

    Returns:
        The tasks without records; nothing is stored of them, and another call tries them again.

    Raises:
        InputError: workers below 1, no dask, nobody at the address, workers of other software.
    """
    check_workers(workers)
    pending = {t: estimators[t.estimator] for t in dict.fromkeys(tasks) if t not in store}
    if not pending:
        return {}
    here = scheduler is None and workers == 1
    finished = _run_here(pending) if here else _run_on_cluster(pending, workers, scheduler)
    missing = {}
    for task, attempted in finished:
        if isinstance(attempted, Missing):
            missing[task] = attempted
        else:
            store.save(task, attempted)
        advance(task)
    return missing


def _run_here(pending: Mapping[Task, Estimator]) -> Iterator[tuple[Task, Attempt]]:
    for task, estimator in pending.items():
        yield task, attempt(task, estimator)


def _attempt_on_worker(task: Task, estimator: Estimator, expected: dict[str, str]) -> Attempt:
    """`attempt`, where the worker's software is that of the caller.

    Raises:
        InputError: it is not.
    """
    for name, wanted in expected.items():
        if software()[name] != wanted:
            raise InputError(
                f"a worker has {name} {software()[name]}: allowed is {wanted}, as here"
            )
    # The number of threads belongs to the process: a worker that runs several units at a time must
    # not have it restored under the feet of one by the end of another.
    torch.set_num_threads(1)
    return attempt(task, estimator)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started here leave Ctrl-C, which a terminal sends to all, to this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


def _run_on_cluster(
    pending: Mapping[Task, Estimator], workers: int, scheduler: str | None
) -> Iterator[tuple[Task, Attempt]]:
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise InputError(
            f"workers = {workers}: dask is not installed, the extra `cluster` brings it; "
            "allowed without it is 1"
        ) from None
    cluster = None
    if scheduler is None:
        with _deaf_to_ctrl_c():
            cluster = LocalCluster(
                n_workers=min(workers, len(pending)),
                threads_per_worker=1,
                # Its page has no password. Left out, it would still be served.
                dashboard_address=LOOPBACK,
                worker_dashboard_address=LOOPBACK,
                memory_limit=None,
                # What becomes of a unit is said here; dask's warnings of workers that are told to
                # stop in the middle of one would bury it.
                silence_logs=logging.CRITICAL,
            )
    try:
        client = Client(scheduler or cluster, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"scheduler = {scheduler!r}: {said}") from None
    try:
        yield from _results(client, pending)
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _results(client: Any, pending: Mapping[Task, Estimator]) -> Iterator[tuple[Task, Attempt]]:
    """Outcomes as they come.

    Raises:
        InputError: no worker, one that cannot load what it is sent, a scheduler that is lost.
    """
    from dask.distributed import KilledWorker, as_completed

    expected = dict(software())
    futures = {
        client.submit(_attempt_on_worker, task, estimator, expected, pure=False): task
        for task, estimator in pending.items()
    }
    try:
        # Not before: some clusters start workers when there is work.
        client.wait_for_workers(1, timeout=FIRST_WORKER_S)
        for future in as_completed(futures):
            try:
                attempted = future.result()
            except KilledWorker as error:
                attempted = Missing(f"its worker died: {error}", refused=False)
            yield futures[future], attempted
            future.release()
    except TimeoutError:
        raise InputError(f"scheduler: no worker came within {FIRST_WORKER_S} s") from None
    except ImportError as error:
        raise InputError(f"a worker cannot load ris_pipeline as it is here: {error}") from None
    except (CancelledError, OSError):
        raise InputError(
            "scheduler: the connection is lost; finished units are kept, --resume goes on"
        ) from None
