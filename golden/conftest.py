"""`pytest golden` compares, `pytest golden --update` rewrites and says what moved."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ris_pipeline.config import Settings
from ris_pipeline.verification.golden import (
    CURVE_ATOL,
    CURVE_RTOL,
    Curve,
    column_moves,
    describe_curve,
    describe_move,
    page_text,
    structure_faults,
)

FOLDER = Path(__file__).parent / "curves"

_MOVES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update", action="store_true", help="rewrite the golden curves and say what moved"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_MOVES] = []
    if config.getoption("--update"):
        config.option.regen_all = True


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.stash[_MOVES]:
        terminalreporter.section("golden curves")
        terminalreporter.write_line("\n".join(config.stash[_MOVES]))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # The order of a sum depends on the number of threads that share it.
    torch.set_num_threads(1)


@pytest.fixture
def original_datadir() -> Path:
    """Where pytest-regressions keeps the curves."""
    return FOLDER


@pytest.fixture
def check_curve(num_regression, request) -> Callable[[str, Curve, Settings], None]:
    """Compare a curve with the stored one of that name, or rewrite it under `--update`."""

    def check(name: str, curve: Curve, settings: Settings) -> None:
        page, page_path = describe_curve(curve, settings), FOLDER / f"{name}.json"
        data = {column: np.asarray(values) for column, values in curve.items()}
        if request.config.getoption("--update"):
            request.config.stash[_MOVES] += _what_moves(name, curve)
            num_regression.check(data, basename=name)
            page_path.write_text(page_text(page), encoding="utf-8")
            return
        stored = json.loads(page_path.read_text(encoding="utf-8"))
        faults = structure_faults(page, stored)
        columns = list(pd.read_csv(FOLDER / f"{name}.csv", index_col=0).columns)
        if columns != list(curve):
            faults.append(f"the CSV has columns {columns}, the run {list(curve)}")
        if faults:
            pytest.fail(f"{name}: " + "; ".join(faults))
        made_with = f"{name} was made with torch {stored['torch']}, this is {page['torch']}"
        moved = [move for move in column_moves(curve, _stored(name)) if move.first_epoch]
        if moved:
            pytest.fail(f"{made_with}\n" + "\n".join(map(describe_move, moved)))
        num_regression.check(
            data, basename=name, default_tolerance={"rtol": CURVE_RTOL, "atol": CURVE_ATOL}
        )

    return check


def _stored(name: str) -> Curve:
    frame = pd.read_csv(FOLDER / f"{name}.csv", index_col=0)
    return {column: frame[column].to_numpy() for column in frame.columns}


def _what_moves(name: str, curve: Curve) -> list[str]:
    if not (FOLDER / f"{name}.csv").exists():
        return [f"{name}: new"]
    stored = _stored(name)
    lines = [f"{name}: {describe_move(move)}" for move in column_moves(curve, stored)]
    lines += [f"{name}: column {c!r} is new" for c in curve.keys() - stored.keys()]
    lines += [f"{name}: column {c!r} is gone" for c in stored.keys() - curve.keys()]
    return lines
