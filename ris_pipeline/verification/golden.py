"""Expected curves: what a stored curve carries, how two curves are compared, what moved.

A curve is a mapping from column name to a float64 vector. Its stored form is a CSV, written by
pytest-regressions so that a change reads well in a diff, and a JSON page beside it with what a CSV
cannot say: dtypes, versions and the settings it was made with.
"""

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ris_pipeline._curves import read_curve
from ris_pipeline._errors import InputError
from ris_pipeline._files import parse_json, read_text
from ris_pipeline._version import __version__
from ris_pipeline.config import Settings

Curve = Mapping[str, NDArray[Any]]

CURVE_RTOL = 1e-6
"""Relative agreement asked of a loss curve on another CPU.

Double precision runs of these sizes were seen to agree to 2e-8 between AVX-512 kernels and plain
SSE ones; float32 runs do not (7e-2 at epoch 200), which is why the goldens are in double.
"""

CURVE_ATOL = 1e-9
"""Absolute agreement: a term that has reached zero is rounding, and has no digits to agree in."""


@dataclass(frozen=True)
class ColumnMove:
    """How far a column of a curve is from the stored one; epochs count from 1."""

    column: str
    largest_relative: float
    first_epoch: int | None
    """First epoch beyond tolerance; None when there is none."""


def describe_curve(curve: Curve, settings: Settings) -> dict[str, Any]:
    """The JSON page of a curve."""
    # A setting that is added later changes no curve while it keeps its default; a default that
    # changes moves the curve itself.
    text = settings.model_dump_json(exclude_defaults=True)
    return {
        "columns": {name: str(np.asarray(values).dtype) for name, values in curve.items()},
        "length": {name: len(values) for name, values in curve.items()},
        "settings_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "versions": {
            "ris_pipeline": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__.partition("+")[0],
        },
    }


class _Versions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ris_pipeline: str
    numpy: str
    python: str
    torch: str


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    columns: dict[str, str]
    length: dict[str, int]
    settings_sha256: str
    versions: _Versions


def read_page(path: Path) -> dict[str, Any]:
    """The stored page of a curve, strict JSON with the keys of `describe_curve`.

    Raises:
        InputError: it cannot be read, or is another; the first entry that is wrong is named.
    """
    named = f"page {str(path)!r}"
    try:
        return _Page.model_validate(parse_json(read_text(path, "page"))).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{named}, {key[:80] or 'all of it'}: {first['msg']}") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{named} is not strict JSON: {str(error)[:200]}") from None


def read_stored(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Page and curve of a name.

    Raises:
        InputError: one line that names the file and the cell that is wrong.
    """
    page, path = read_page(folder / f"{name}.json"), folder / f"{name}.csv"
    curve = read_curve(path)
    for column, values in curve.items():
        length = page["length"].get(column, len(values))
        if length != len(values):
            raise InputError(
                f"curve {str(path)!r} has {len(values)} rows of {column[:40]!r}: its page says "
                f"{length}"
            )
    return page, curve


def structure_faults(page: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """Differences that no tolerance forgives: columns, dtypes, lengths, settings. Empty if none."""
    changed: dict[str, list[str]] = {}
    for key in ("columns", "length"):
        new, old = page[key], stored[key]
        for name in sorted(new.keys() | old.keys()):
            if new.get(name) != old.get(name):
                change = f"{key} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}"
                changed.setdefault(change, []).append(name)
    faults = [f"{_listed(names)}: {change}" for change, names in changed.items()]
    if page["settings_sha256"] != stored["settings_sha256"]:
        faults.append("the settings are not those the curve was made with")
    return faults


def _listed(names: Sequence[str], shown: int = 3) -> str:
    listed = ", ".join(f"column {name!r}" for name in names[:shown])
    return f"{listed} and {len(names) - shown} more" if len(names) > shown else listed


def column_moves(curve: Curve, stored: Curve) -> list[ColumnMove]:
    """Compare the columns that both have, over the epochs that both have."""
    moves = []
    for name in curve.keys() & stored.keys():
        length = min(len(curve[name]), len(stored[name]))
        new, old = (np.asarray(c[name][:length], dtype=np.float64) for c in (curve, stored))
        difference = np.abs(new - old)
        # A number lost or found has moved, infinitely far; one that was never there has not.
        lost = np.isnan(new) != np.isnan(old)
        beyond = lost | (difference > CURVE_ATOL + CURVE_RTOL * np.abs(old))
        relative = difference / np.maximum(np.abs(old), CURVE_ATOL)
        relative = np.where(lost, np.inf, np.nan_to_num(relative))
        first = int(np.argmax(beyond)) + 1 if beyond.any() else None
        moves.append(ColumnMove(name, float(np.max(relative, initial=0.0)), first))
    return sorted(moves, key=lambda move: move.column)


def describe_move(move: ColumnMove) -> str:
    """`train: moved by up to 1.2e-03 (relative), beyond tolerance from epoch 3`"""
    if move.first_epoch is None:
        return f"{move.column}: within tolerance ({move.largest_relative:.1e})"
    return (
        f"{move.column}: moved by up to {move.largest_relative:.1e} (relative), "
        f"beyond tolerance from epoch {move.first_epoch}"
    )


def version_notes(page: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    """`made with torch 2.12.1, this is torch 2.13.0` for every version that differs."""
    new, old = page["versions"], stored["versions"]
    return [
        f"made with {name} {old[name]}, this is {name} {new[name]}"
        for name in sorted(new.keys() & old.keys())
        if new[name] != old[name]
    ]


def describe_mismatch(moves: Sequence[ColumnMove], notes: Sequence[str]) -> str:
    """What moved, the earliest and the largest first, and which versions differ."""
    moved = [move for move in moves if move.first_epoch is not None]
    first = min(moved, key=lambda move: move.first_epoch or 0)
    largest = max(moved, key=lambda move: move.largest_relative)
    lines = [
        f"first epoch that differs: {first.first_epoch} ({first.column})",
        f"largest relative difference: {largest.largest_relative:.1e} ({largest.column})",
        *map(describe_move, moved),
        *(notes or ["made with the same versions"]),
    ]
    return "\n".join(lines)


def orphans(folder: Path, names: Iterable[str]) -> list[Path]:
    """Files of the folder that belong to no curve of that name."""
    wanted = {f"{name}{suffix}" for name in names for suffix in (".csv", ".json")}
    return sorted(path for path in folder.iterdir() if path.name not in wanted)


def page_text(page: Mapping[str, Any]) -> str:
    """The JSON page as it is stored."""
    return json.dumps(page, indent=1, sort_keys=True, allow_nan=False) + "\n"
