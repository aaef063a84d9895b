"""Expected curves: what a stored curve carries, how two curves are compared, what moved.

A curve is a mapping from column name to a vector, the column that matters most first. Its stored
form is a CSV, one line a row so that a change reads well in a diff, and a JSON page beside it with
what a CSV cannot say: dtypes, versions and the settings it was made with. Free of torch.
"""

import csv
import json
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ris_pipeline._errors import InputError
from ris_pipeline._files import cannot_write, read_bytes, write_text
from ris_pipeline._version import __version__
from ris_pipeline.config import flattened

Curve = Mapping[str, NDArray[Any]]

CURVE_RTOL = 1e-6
"""Relative agreement asked of a loss curve on another CPU.

Double precision runs of these sizes were seen to agree to 2e-8 between AVX-512 kernels and plain
SSE ones; float32 runs do not (7e-2 at epoch 200), which is why the goldens are in double.
"""

CURVE_ATOL = 1e-9
"""Absolute agreement: a term that has reached zero is rounding, and has no digits to agree in."""

DIGITS = 10
"""Significant digits stored: four more than are compared, so that storing one costs nothing."""

ROW = "row"
"""The first column of a CSV; rows count from 1."""


class Page(BaseModel):
    """The JSON page of a curve."""

    model_config = ConfigDict(extra="forbid", strict=True)

    columns: dict[str, str]
    length: dict[str, int]
    settings: dict[str, Any]
    versions: dict[str, str]

    def text(self) -> str:
        """As it is stored."""
        return json.dumps(self.model_dump(), indent=1, sort_keys=True, allow_nan=False) + "\n"


@dataclass(frozen=True)
class ColumnMove:
    """How far a column of a curve is from the stored one; rows count from 1.

    first_row: the first beyond tolerance, None where there is none; old, new: the last values.
    """

    column: str
    largest_relative: float
    first_row: int | None
    old: float
    new: float

    def __str__(self) -> str:
        """`train: 1.2 -> 1.5 at the end (rises), from row 2, by up to 2.5e-01 (relative)`"""
        ways = {-1.0: " (falls)", 1.0: " (rises)"}
        way = ways.get(float(np.sign(self.new - self.old)), "")
        return (
            f"{self.column}: {self.old:.6g} -> {self.new:.6g} at the end{way}, "
            f"from row {self.first_row}, by up to {self.largest_relative:.1e} (relative)"
        )


def as_curve(name: str, curve: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """A curve's vectors.

    Raises:
        InputError: no column, or one that is no vector of real numbers.
    """
    if not curve:
        raise InputError(f"{name}: a curve has one column at least")
    vectors = {str(column): np.asarray(values) for column, values in curve.items()}
    for column, values in vectors.items():
        if values.ndim != 1 or values.dtype.kind not in "fiub":
            raise InputError(
                f"{name}, column {column!r} is {values.dtype} of shape {values.shape}: "
                "allowed are vectors of real numbers"
            )
    return vectors


def plain_settings(settings: Any) -> dict[str, Any]:
    """Settings in plain values.

    A setting that is added later changes no curve while it keeps its default, and a default that
    changes moves the curve itself: of a pydantic model only what differs from the defaults counts.

    Raises:
        InputError: neither a mapping, a dataclass nor a pydantic model of what JSON can say.
    """
    if isinstance(settings, BaseModel):
        return settings.model_dump(mode="json", exclude_defaults=True)
    if is_dataclass(settings) and not isinstance(settings, type):
        settings = asdict(settings)
    if not isinstance(settings, Mapping | None):
        raise InputError(f"settings is a {type(settings).__name__}: allowed is a mapping")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(settings or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"settings: {error}") from None
    return plain


def describe_curve(curve: Curve, settings: Any = None) -> Page:
    """The page of a curve.

    Raises:
        InputError: settings that have no plain form.
    """
    found = {"ris_pipeline": __version__, "numpy": np.__version__}
    if "torch" in sys.modules:
        found["torch"] = version("torch").partition("+")[0]
    return Page(
        columns={name: str(values.dtype) for name, values in curve.items()},
        length={name: len(values) for name, values in curve.items()},
        settings=plain_settings(settings),
        versions=found | {"python": platform.python_version()},
    )


def write_curve(folder: Path, name: str, curve: Curve, page: Page) -> list[Path]:
    """Store a curve and its page; the files.

    Raises:
        InputError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None
    most = max(map(len, curve.values()))
    lines = [",".join((ROW, *curve))]
    for row in range(most):
        cells = (_cell(values[row]) if row < len(values) else "" for values in curve.values())
        lines.append(",".join((str(row + 1), *cells)))
    paths = [folder / f"{name}.csv", folder / f"{name}.json"]
    for path, text in zip(paths, ("\n".join(lines) + "\n", page.text()), strict=True):
        write_text(path, text)
    return paths


def _cell(value: Any) -> str:
    return f"{float(value):.{DIGITS}g}"


def read_curve(path: Path) -> dict[str, NDArray[np.float64]]:
    """A stored curve.

    Raises:
        InputError: it cannot be read, or a cell is no number; the line names file and cell.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None
    if not rows or rows[0][:1] != [ROW] or len(set(rows[0])) != len(rows[0]) or len(rows[0]) < 2:
        raise InputError(f"{str(path)!r}: allowed is a first line of {ROW!r} and distinct columns")
    for number, cells in enumerate(rows[1:], start=1):
        if len(cells) != len(rows[0]) or cells[0] != str(number):
            raise InputError(f"{str(path)!r}, row {number}: {cells!r:.60} does not fit the columns")
    return {
        name: _column(path, name, [cells[place] for cells in rows[1:]])
        for place, name in enumerate(rows[0][1:], start=1)
    }


def _column(path: Path, name: str, cells: list[str]) -> NDArray[np.float64]:
    """A column's numbers; it may end before others do."""
    while cells and not cells[-1]:
        cells.pop()
    return np.array([_number(path, row, name, cell) for row, cell in enumerate(cells, start=1)])


def _number(path: Path, row: int, column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        where = f"{str(path)!r}, row {row}, column {column!r}"
        raise InputError(f"{where}: {cell!r:.40} is no number") from None


def read_page(path: Path) -> Page:
    """A stored page.

    Raises:
        InputError: it cannot be read; the line names file and entry.
    """
    try:
        return Page.model_validate_json(read_bytes(path, "page"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{str(path)!r}: {where or 'the page'}: {first['msg']}") from None


def structure_faults(page: Page, stored: Page) -> list[str]:
    """Differences that no tolerance forgives: columns, dtypes, lengths, settings. Empty if none."""
    changed: dict[str, list[str]] = {}
    for key in ("columns", "length"):
        new, old = getattr(page, key), getattr(stored, key)
        for name in (*new, *(name for name in old if name not in new)):
            if new.get(name) != old.get(name):
                change = f"{key} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}"
                changed.setdefault(change, []).append(name)
    faults = [f"{_listed(names)}: {change}" for change, names in changed.items()]
    return faults + setting_changes(page.settings, stored.settings)


def setting_changes(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """`setting training.seed: 0 -> 1` for every one that differs."""
    first, second = (
        {name: json.dumps(value) for name, value in flattened(settings)} for settings in (old, new)
    )
    return [
        f"setting {name}: {first.get(name, 'the default')} -> {second.get(name, 'the default')}"
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]


def _listed(names: Sequence[str], shown: int = 3) -> str:
    listed = ", ".join(f"column {name!r}" for name in names[:shown])
    return f"{listed} and {len(names) - shown} more" if len(names) > shown else listed


def column_moves(
    curve: Curve, stored: Curve, rtol: float = CURVE_RTOL, atol: float = CURVE_ATOL
) -> list[ColumnMove]:
    """The columns that both have, over the rows that both have, in the order of the curve."""
    moves = []
    for name in (name for name in curve if name in stored):
        length = min(len(curve[name]), len(stored[name]))
        new, old = (np.asarray(c[name][:length], dtype=np.float64) for c in (curve, stored))
        # What is not finite agrees with itself alone: from anything else it is infinitely far.
        same = (new == old) | (np.isnan(new) & np.isnan(old))
        finite = np.isfinite(new) & np.isfinite(old)
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.where(finite, np.abs(new - old), np.inf))
            size = np.where(np.isfinite(old), np.abs(old), 0.0)
        beyond = difference > atol + rtol * size
        relative = difference / np.maximum(size, atol)
        first = int(np.argmax(beyond)) + 1 if beyond.any() else None
        ends = (float(x[-1]) if length else float("nan") for x in (old, new))
        moves.append(ColumnMove(name, float(np.max(relative, initial=0.0)), first, *ends))
    return moves


def version_notes(page: Page, stored: Page) -> list[str]:
    """`made with torch 2.12.1, this is torch 2.13.0` for every version that differs."""
    new, old = page.versions, stored.versions
    return [
        f"made with {name} {old[name]}, this is {name} {new[name]}"
        for name in sorted(new.keys() & old.keys())
        if new[name] != old[name]
    ]


def describe_mismatch(moves: Sequence[ColumnMove], notes: Sequence[str]) -> list[str]:
    """The first row that differs, what moved in the order of the curve, which versions differ."""
    moved = [move for move in moves if move.first_row is not None]
    first = min(moved, key=lambda move: move.first_row or 0)
    return [
        f"{len(moved)} of {len(moves)} columns moved, first in row {first.first_row}",
        *map(str, moved),
        *(notes or ["made with the same versions"]),
    ]


def orphans(folder: Path, names: Iterable[str]) -> list[Path]:
    """Files of the folder that belong to no curve of that name."""
    wanted = {f"{name}{suffix}" for name in names for suffix in (".csv", ".json")}
    return sorted(path for path in folder.iterdir() if path.name not in wanted)
