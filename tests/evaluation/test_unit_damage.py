"""A unit is the one that was computed, or is computed again; nothing else comes into a table."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_helpers import FAKES, TINY
from rich.console import Console

from ris_pipeline._errors import InputError
from ris_pipeline._sealed import read_sealed, write_sealed
from ris_pipeline.commands.evaluate import run_evaluation
from ris_pipeline.evaluation import Task, UnitStore, run_tasks
from ris_pipeline.evaluation.plan import Evaluation, Series
from ris_pipeline.evaluation.tables import sweep

TASK, OTHER = (Task(TINY, "near", True, seed, 0, 5) for seed in (0, 1))

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_tasks([TASK, OTHER], UnitStore(tmp_path), workers=1, estimators=FAKES)
    return tmp_path


def unit(folder: Path, task: Task = TASK) -> Path:
    return UnitStore(folder)._path(task)


def refused(folder: Path) -> str:
    """Counts as absent, and is not loaded."""
    store = UnitStore(folder)
    assert TASK not in store
    assert OTHER in store
    (why,) = store.damaged([TASK, OTHER])
    with pytest.raises(InputError) as caught:
        store.load([TASK])
    assert str(caught.value) == why
    assert "\n" not in why
    return why


def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda arrays: arrays.update({name: change(arrays[name])})


def first(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(old: np.ndarray) -> np.ndarray:
        new = old.copy()
        new[0] = value
        return new

    return change


DAMAGE: dict[str, Change] = {
    "missing": lambda arrays: arrays.pop("gospa"),
    "one more": lambda arrays: arrays.update(other=np.zeros(5)),
    "short": put("snr_db", lambda x: x[1:]),
    "long": put("snr_db", lambda x: np.append(x, 1.0)),
    "turned": put("error", lambda x: x.transpose(1, 0, 2)),
    "flat": put("error", np.ravel),
    "single": put("gospa", lambda x: x.astype(np.float32)),
    "whole": put("gospa", lambda x: x.astype(np.int64)),
    "real": put("count", lambda x: x.astype(np.float64)),
    "nan": put("snr_db", first(np.nan)),
    "truth nan": put("azimuth", first(np.nan)),
    "truth of nobody": put("distance", lambda x: np.nan_to_num(x, nan=1.0)),
    "error nan": put("error", first(np.nan)),
    "count negative": put("estimated", first(-1)),
    "count huge": put("estimated", first(2**40)),
    "count another": put("count", lambda x: 3 - x),
    "detected nobody": put("detected", lambda x: x | True),
    "resolved nobody": put("resolved", lambda x: x | True),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_records_that_no_unit_has(damage: str, folder: Path) -> None:
    path = unit(folder)
    sealed = read_sealed(path, "unit")
    DAMAGE[damage](sealed.arrays)
    write_sealed(path, sealed.arrays, sealed.json())
    assert "cannot be used" in refused(folder)


def test_another_units_content_under_its_name(folder: Path) -> None:
    unit(folder).write_bytes(unit(folder, OTHER).read_bytes())
    assert "it is of another task" in refused(folder)


def test_every_flipped_bit_and_every_cut_is_noticed(folder: Path) -> None:
    path, draw = unit(folder), random.Random(0)
    raw = path.read_bytes()
    for place in range(0, len(raw), max(1, len(raw) // 150)):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        assert TASK not in UnitStore(folder)
    for length in range(0, len(raw), len(raw) // 20):
        path.write_bytes(raw[:length])
        assert TASK not in UnitStore(folder)
    path.write_bytes(raw)
    assert TASK in UnitStore(folder)


def test_a_folder_where_a_unit_belongs(folder: Path) -> None:
    path = unit(folder)
    path.unlink()
    path.mkdir()
    assert "cannot be read" in refused(folder)
    with pytest.raises(InputError, match="cannot be written"):
        run_tasks([TASK], UnitStore(folder), workers=1, estimators=FAKES)


def evaluate(out: Path, resume: bool = False) -> str:
    text, table = io.StringIO(), sweep("snr", TINY, [0, 10])
    plan = Evaluation((table,), (Series("near", True),), 0, 10, FAKES)
    assert run_evaluation(Console(file=text, width=100), out, plan, 1, resume=resume)
    return text.getvalue()


@pytest.mark.slow
def test_a_damaged_unit_is_named_and_computed_again(tmp_path: Path) -> None:
    evaluate(tmp_path)
    table = (tmp_path / "snr.csv").read_bytes()
    one, two = sorted((tmp_path / "units").iterdir())
    one.write_bytes(two.read_bytes())
    two.write_bytes(b"")
    text = evaluate(tmp_path, resume=True)
    assert text.count("computed again: unit") == 2
    assert one.name in text
    assert "0 of them done" in text
    assert (tmp_path / "snr.csv").read_bytes() == table
    assert "computed again" not in evaluate(tmp_path, resume=True)
