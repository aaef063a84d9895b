"""Where the units run, and what becomes of them."""

import os
import pickle
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from evaluation_helpers import FAKES, TINY

from ris_pipeline._errors import InputError
from ris_pipeline.evaluation import (
    Records,
    Task,
    UnitStore,
    evaluate_unit,
    execution,
    run_tasks,
    software,
    units,
)
from ris_pipeline.evaluation.estimators import ESTIMATORS

TASKS = tuple(
    Task(TINY, "maximum_likelihood", known, 3, start, stop)
    for known in (True, False)
    for start, stop in ((0, 12), (12, 16))
)
"""Two units each, the second one shorter, as `units` cuts them."""


def bits(records: Records) -> dict[str, bytes]:
    """Everything but the time it took."""
    names = [f.name for f in fields(Records) if f.name != "seconds"]
    return {name: getattr(records, name).tobytes() for name in names}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> UnitStore:
    store = UnitStore(tmp_path_factory.mktemp("alone"))
    assert not run_tasks(TASKS, store, workers=1)
    return store


def test_units_cover_the_scenes_once():
    tasks = list(units(TINY, "near", True, 0, 250))
    assert [(t.start, t.stop) for t in tasks] == [(0, 100), (100, 200), (200, 250)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.nightly)])
def test_the_same_bits_on_any_number_of_workers(alone, workers, tmp_path):
    pytest.importorskip("distributed")
    store, seen = UnitStore(tmp_path), []
    assert not run_tasks(TASKS, store, workers, advance=seen.append)
    assert set(seen) == set(TASKS)
    assert bits(store.load(TASKS)) == bits(alone.load(TASKS))


@pytest.mark.slow
def test_the_same_bits_on_a_worker_that_runs_several_units_at_a_time(alone, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0"
    ) as cluster:
        store = UnitStore(tmp_path)
        run_tasks(TASKS, store, scheduler=cluster.scheduler_address)
    assert bits(store.load(TASKS)) == bits(alone.load(TASKS))


@pytest.mark.slow
def test_the_same_bits_whatever_the_number_of_threads(alone, tmp_path):
    code = (
        "import pickle, sys, torch; from pathlib import Path\n"
        "from ris_pipeline.evaluation import UnitStore, run_tasks\n"
        "torch.set_num_threads(3)\n"
        "run_tasks(pickle.load(sys.stdin.buffer), UnitStore(Path(sys.argv[1])), workers=1)\n"
        "assert torch.get_num_threads() == 3\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "4"},
        input=pickle.dumps(TASKS),
        check=True,
    )
    assert bits(UnitStore(tmp_path).load(TASKS)) == bits(alone.load(TASKS))


@pytest.mark.slow
def test_scenes_are_paired(alone):
    """Every estimator, told the number or not, sees the same scenes."""
    known, estimated = (alone.load([t for t in TASKS if t.known == k]) for k in (True, False))
    for name in ("azimuth", "distance", "snr_db", "own_snr_db", "count", "bound"):
        np.testing.assert_array_equal(getattr(known, name), getattr(estimated, name))


@pytest.mark.slow
def test_what_is_stored_is_not_run_again(alone, tmp_path):
    ran = []
    run_tasks(TASKS, alone, workers=1, advance=ran.append)
    assert not ran
    other = replace(TASKS[0], seed=4)
    assert other not in alone
    assert replace(TASKS[0], scenario=TINY.replace(codes=9)) not in alone
    assert replace(TASKS[0], receiver_scenario=TINY.replace(distance=(0.3, 9))) not in alone


def test_the_receiver_is_told_what_the_task_says():
    seen = []

    def listening(scenes, number):
        seen.append(scenes.scenario)
        return FAKES["near"](scenes, number)

    receiver_scenario = TINY.replace(distance=(0.1, 9))
    found = evaluate_unit(Task(TINY, "near", True, 0, 0, 5, receiver_scenario), listening)
    assert seen == [receiver_scenario]
    assert np.nanmax(found.distance) <= 2.0


def test_a_refusal_and_a_failure_keep_the_other_units(tmp_path):
    store = UnitStore(tmp_path)
    tasks = [Task(TINY, name, True, 0, 0, 5) for name in ("refusing", "failing", "near")]
    missing = run_tasks(tasks, store, workers=1, estimators=FAKES)
    assert missing[tasks[0]].refused
    assert missing[tasks[0]].reason == "number = 5: allowed is 1..3"
    assert not missing[tasks[1]].refused
    assert missing[tasks[1]].reason.startswith("RuntimeError at evaluation_helpers.py:")
    assert missing[tasks[1]].reason.endswith(": did not converge")
    assert tasks[2] in store
    assert run_tasks(tasks, store, workers=1, estimators=FAKES).keys() == set(tasks[:2])


@pytest.mark.slow
def test_a_worker_that_dies_takes_its_unit_with_it_and_no_other(tmp_path):
    dask = pytest.importorskip("dask")
    store = UnitStore(tmp_path)
    tasks = [Task(TINY, name, True, 0, 0, 5) for name in ("dying", "near")]
    # The other unit may be on the worker that dies, and is run again.
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        missing = run_tasks(tasks, store, workers=2, estimators=FAKES)
    assert tasks[0] in missing
    assert "died" in missing[tasks[0]].reason
    assert not missing[tasks[0]].refused


def test_a_worker_of_other_software_is_refused_by_name(monkeypatch):
    expected = {**software(), "torch": "1.0"}
    with pytest.raises(InputError, match=f"a worker has torch .*{torch.__version__[:3]}.*1.0"):
        execution._attempt_on_worker(TASKS[0], ESTIMATORS["maximum_likelihood"], expected)
    assert set(software()) == {"ris_pipeline", "torch", "processor"}


@pytest.mark.slow
def test_a_worker_of_other_software_ends_the_run(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    other = {**software(), "torch": "1.0"}
    monkeypatch.setattr(execution, "software", lambda: other)
    with pytest.raises(InputError, match="a worker has torch"):
        run_tasks(TASKS[:1], UnitStore(tmp_path), workers=2)


@pytest.mark.parametrize("address", ["foo", "tcp://127.0.0.1:1", "nonsense://x"])
def test_nobody_at_the_address(address, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(execution, "CONNECT_S", 0.5)
    with pytest.raises(InputError, match=f"scheduler = '{address}'"):
        run_tasks(TASKS[:1], UnitStore(tmp_path), scheduler=address)


def test_a_scheduler_without_workers_is_given_up(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(execution, "FIRST_WORKER_S", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        pytest.raises(InputError, match=r"no worker came within 0.5 s"),
    ):
        run_tasks(TASKS[:1], UnitStore(tmp_path), scheduler=cluster.scheduler_address)


def test_without_dask_one_process_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    task = Task(TINY, "near", True, 0, 0, 5)
    with pytest.raises(InputError, match="the extra `cluster` brings it"):
        run_tasks([task], UnitStore(tmp_path), workers=2, estimators=FAKES)
    assert not run_tasks([task], UnitStore(tmp_path), workers=1, estimators=FAKES)
    # Nothing is left to run: nothing is needed.
    assert not run_tasks([task], UnitStore(tmp_path), workers=2, estimators=FAKES)


def test_no_workers(tmp_path):
    with pytest.raises(InputError, match="workers = 0: allowed is 1 or more"):
        run_tasks(TASKS, UnitStore(tmp_path), workers=0)


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        UnitStore(tmp_path / "file" / "units")
    store = UnitStore(tmp_path / "units")
    (tmp_path / "units").rmdir()
    with pytest.raises(InputError, match="cannot be written"):
        run_tasks([Task(TINY, "near", True, 0, 0, 5)], store, workers=1, estimators=FAKES)
