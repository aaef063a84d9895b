"""`pytest golden` compares, `pytest golden --update` rewrites what moved and says how far."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ris_pipeline._curves import read_curve
from ris_pipeline._errors import InputError
from ris_pipeline._files import write_text
from ris_pipeline.config import Settings
from ris_pipeline.report.figures import save_figure
from ris_pipeline.verification.figures import mismatch_figure
from ris_pipeline.verification.golden import (
    CURVE_ATOL,
    CURVE_RTOL,
    ColumnMove,
    Curve,
    column_moves,
    describe_curve,
    describe_mismatch,
    orphans,
    page_text,
    read_stored,
    structure_faults,
    version_notes,
)

FOLDER = Path(__file__).parent / "curves"
MISMATCHES = Path(__file__).parent / "mismatches"

_STRUCTURE = ("columns", "length")

_MOVES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update", action="store_true", help="rewrite the golden curves that moved, and say how"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_MOVES] = []
    if config.getoption("--update"):
        if os.environ.get("CI"):
            raise pytest.UsageError("--update where CI is set: a curve is moved by a person")
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
def stored_curve() -> Callable[[str], Curve]:
    """A stored curve by its name."""

    def read(name: str) -> Curve:
        try:
            return read_curve(FOLDER / f"{name}.csv")
        except InputError as error:
            pytest.fail(str(error), pytrace=False)

    return read


@pytest.fixture
def check_curve(num_regression, request, stored_curve) -> Callable[[str, Curve, Settings], None]:
    """Compare a curve with the stored one of that name, or rewrite it under `--update`."""
    update, said = request.config.getoption("--update"), request.config.stash[_MOVES]

    def check(name: str, curve: Curve, settings: Settings) -> None:
        page, page_path = describe_curve(curve, settings), FOLDER / f"{name}.json"
        data = {column: np.asarray(values) for column, values in curve.items()}
        old_page: dict[str, Any] = {}
        old: Curve = {}
        moves: list[ColumnMove] = []
        text = ""
        picture = MISMATCHES / f"{name}.png"
        picture.unlink(missing_ok=True)
        if not (page_path.exists() and (FOLDER / f"{name}.csv").exists()):
            if not update:
                pytest.fail(f"{name}: no such curve is stored; `pytest golden --update` stores it")
            faults, torn = ["new"], True
        else:
            try:
                old_page, old = read_stored(FOLDER, name)
            except InputError as error:
                if not update:
                    pytest.fail(f"{error}; `pytest golden --update` stores it anew", pytrace=False)
                faults, torn = [str(error)], True
            else:
                faults = structure_faults(page, old_page)
                if differ := sorted(old.keys() ^ old_page["columns"].keys()):
                    faults.append(f"the CSV and its page differ in the columns {differ}")
                torn = bool(differ)
                moves = [move for move in column_moves(curve, old) if move.first_epoch]
                text = describe_mismatch(moves, version_notes(page, old_page)) if moves else ""
        if not (faults or moves):
            if not update:
                num_regression.check(
                    data, basename=name, default_tolerance={"rtol": CURVE_RTOL, "atol": CURVE_ATOL}
                )
            return
        message = "\n".join(f"{name}: {line}" for line in (*faults, *text.splitlines()))
        if update:
            if torn or moves or any(page[key] != old_page.get(key) for key in _STRUCTURE):
                num_regression.check(data, basename=name)
            write_text(page_path, page_text(page))
            said.append(message)
            return
        if moves:
            MISMATCHES.mkdir(exist_ok=True)
            save_figure(mismatch_figure(name, curve, old, moves), picture)
            message += f"\n{name}: both curves are drawn in {picture}"
        pytest.fail(message, pytrace=False)

    return check


@pytest.fixture
def check_no_orphans(request) -> Callable[[Iterable[str]], None]:
    """Fail on stored files that no run of these names makes; `--update` removes them."""

    def check(names: Iterable[str]) -> None:
        left = orphans(FOLDER, names)
        if not request.config.getoption("--update"):
            assert not left, f"no run makes {[path.name for path in left]}"
        for path in left:
            path.unlink()
            request.config.stash[_MOVES].append(f"{path.name}: removed, no run makes it")

    return check
