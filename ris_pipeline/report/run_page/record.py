"""What the folder of a run holds, of whatever command; what it does not hold is named."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ris_pipeline._errors import InputError, shown
from ris_pipeline._files import is_file, is_folder, parse_json, read_text, shown_path
from ris_pipeline.config import flattened
from ris_pipeline.watch.doctor import METRICS, Check, checklist, read_run
from ris_pipeline.watch.journal import NAME, Record, number, read_journal

Column = NDArray[np.float64]

PLAN = "plan.json"

AXES = (("azimuth", "deg"), ("elevation", "deg"), ("distance", "m"))
"""Coordinates of a source, in the order of every triple, and their units."""


@dataclass(frozen=True)
class Accuracy:
    """Errors of one estimator along one property, beside their bound.

    value: the labels of the property; rmse, bound, normalized: a column for each of `AXES`, NaN
    where no source was resolved; detected: part of the sources found.
    """

    name: str
    value: Sequence[str]
    rmse: Mapping[str, Column]
    bound: Mapping[str, Column]
    normalized: Mapping[str, Column]
    detected: Column


@dataclass(frozen=True)
class RunRecord:
    """A run as far as it is written down.

    curve: a column an epoch of losses, terms, gradient norms and rates; accuracy: by the name of
    the table; scenario: of the middle
    cell of an evaluation, as settings; missing: what is not there, and what of the
    page would have come from it.
    """

    name: str
    folder: Path
    curve: Mapping[str, Column] = field(default_factory=dict)
    alarms: Sequence[Record] = ()
    checks: Sequence[Check] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    accuracy: Mapping[str, Sequence[Accuracy]] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    model: Path | None = None
    scenario: Mapping[str, Any] | None = None
    missing: Sequence[str] = ()

    @property
    def epochs(self) -> int:
        """Number of epochs written down."""
        return len(self.curve.get("train", ()))


def read_records(folders: Sequence[Path]) -> list[RunRecord]:
    """A record a folder, named by as much of its path as tells it from the others.

    Raises:
        InputError: none, one given twice, or one that holds no run.
    """
    if not folders:
        raise InputError("RUN is missing: allowed are folders of train, demo or evaluate")
    # As `Path.resolve`, which raises what it likes where links go round in a circle.
    resolved = [Path(os.path.realpath(folder)) for folder in folders]
    for folder, place in zip(folders, resolved, strict=True):
        if resolved.count(place) > 1:
            raise InputError(f"RUN {str(folder)!r} is given twice: allowed is once")
    names = [place.name for place in resolved]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    return [read_record(f, _printable(name)) for f, name in zip(folders, names, strict=True)]


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def read_record(folder: Path, name: str) -> RunRecord:
    """Of one folder.

    Raises:
        InputError: no folder, or nothing of a run in it, or a file of it that cannot be read.
    """
    if not is_folder(folder):
        raise InputError(f"RUN {str(folder)!r}: no such folder")
    if is_file(folder / PLAN):
        return _evaluated(folder, name)
    journals = sorted(folder.glob("watch*.jsonl"))
    if not journals and not is_file(folder / METRICS):
        raise InputError(f"RUN {str(folder)!r} holds none of {METRICS}, {NAME}, {PLAN}")
    return _trained(folder, name, journals)


def _trained(folder: Path, name: str, journals: Sequence[Path]) -> RunRecord:
    journal = [record for path in journals for record in read_journal(path)]
    metrics = folder / METRICS
    curve = _metrics_curve(metrics) if is_file(metrics) else _journal_curve(journal)
    page = _optional_json(folder / "checkpoint.json")
    summary = _optional_json(folder / "summary.json")
    models = (folder / f"{kind}.safetensors" for kind in ("model", "checkpoint"))
    model = next((path for path in models if is_file(path)), None)
    accuracy = {"SNR (dB)": [_of_summary(summary)]} if summary.get("accuracy") else {}
    absent = {
        f"{METRICS}: loss terms and gradient norms": not is_file(metrics),
        f"{NAME}: alarms": not journals,
        "checkpoint.json: settings and versions": not page,
        "model.safetensors: spectra, error ellipses, eigenvalues": model is None,
    }
    return RunRecord(
        name=name,
        folder=folder,
        curve=curve,
        alarms=[record for record in journal if record["kind"] == "alarm"],
        checks=checklist(read_run(folder)),
        settings=_settings(folder / "checkpoint.json", page),
        versions={key: str(page[key]) for key in ("ris_pipeline", "torch") if key in page},
        accuracy=accuracy,
        summary=summary,
        model=model,
        missing=[what for what, is_absent in absent.items() if is_absent],
    )


def _settings(path: Path, page: Mapping[str, Any]) -> dict[str, Any]:
    settings = page.get("settings", {})
    if not isinstance(settings, Mapping):
        raise InputError(
            f"{shown_path(path)} holds settings = {shown(settings)}: allowed is a table"
        )
    return dict(flattened(settings))


def _evaluated(folder: Path, name: str) -> RunRecord:
    plan = read_json(folder / PLAN)
    try:
        cells = {table: list(rows) for table, rows in plan["items"].items()}
        scenario = next(rows[len(rows) // 2]["scenario"] for rows in cells.values() if rows)
        software = {str(key): str(value) for key, value in plan["software"].items()}
        asked = {key: plan[key] for key in ("seed", "scenes", "series")}
        crossed = {table for table, rows in cells.items() if any(row["second"] for row in rows)}
        if type(asked["seed"]) is not int or not isinstance(scenario, Mapping):
            raise TypeError
    except (AttributeError, KeyError, IndexError, StopIteration, TypeError):
        raise InputError(f"{shown_path(folder / PLAN)} is not the plan of an evaluation") from None
    tables, missing = {}, ["no training: losses, gradient norms, rates, alarms"]
    for table in cells:
        if not is_file(folder / f"{table}.csv"):
            missing.append(f"{table}.csv: its errors over their bound")
        elif table in crossed:
            missing.append(f"a curve of {table}, which has two axes: see {table}.png")
        else:
            tables[_axis(table)] = _read_table(folder / f"{table}.csv")
    settings = {**asked, "scenario": scenario}
    return RunRecord(
        name=name,
        folder=folder,
        settings=dict(flattened(settings)),
        versions=software,
        accuracy=tables,
        scenario=scenario,
        missing=missing,
    )


def _axis(table: str) -> str:
    return "SNR (dB)" if table in ("snr", "by_snr") else table.replace("_", " ")


def _metrics_curve(path: Path) -> dict[str, Column]:
    rows: list[dict[str, float]] = []
    try:
        for line in read_text(path, "metrics").splitlines():
            record = parse_json(line)
            row = {key: record[key] for key in ("train", "validation")}
            row |= {f"train_{key}": value for key, value in record["terms"].items()}
            row |= {f"validation_{key}": value for key, value in record["validation_terms"].items()}
            row |= {key: record[key] for key in ("gradient_backbone", "gradient_heads")}
            groups = zip(("backbone", "heads"), record["rates"], strict=True)
            row |= {f"rate_{key}": value for key, value in groups}
            rows.append({key: _float(value) for key, value in row.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{str(path)!r} holds no metrics of a run") from None
    return _columns(rows)


def _journal_curve(journal: Sequence[Record]) -> dict[str, Column]:
    """Of anybody's loop: losses and what the watch saw of groups, numbered."""
    rows = []
    for record in journal:
        if record["kind"] == "epoch":
            row = {key: _float(record.get(key)) for key in ("train", "validation")}
            for kind, key in (("gradient", "norms"), ("rate", "rates")):
                values = enumerate(record.get(key) or (), start=1)
                row |= {f"{kind}_group {place}": _float(value) for place, value in values}
            rows.append(row)
    return _columns(rows)


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, Column]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, math.nan) for row in rows]) for name in names}


def _float(value: Any) -> float:
    found = number(value)
    return math.nan if found is None else found


def _of_summary(summary: Mapping[str, Any]) -> Accuracy:
    def column(quantity: str, *older: str) -> dict[str, Column]:
        triples = np.array(
            [[_float(x) for x in row[_spelt(row, quantity, *older)]] for row in rows]
        )
        return {axis: triples[:, place] for place, (axis, _) in enumerate(AXES)}

    try:
        rows = list(summary["accuracy"].values())
        return Accuracy(
            "maximum likelihood, number estimated",
            [f"{row['snr_db']:g}" for row in rows],
            column("rmse"),
            column("bound"),
            column("normalized", "normalised"),
            np.array([_float(row["detected"]) for row in rows]),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise InputError("summary.json holds an accuracy that is none of a demo") from None


def _read_table(path: Path) -> list[Accuracy]:
    """The curves of a table that `evaluate` wrote."""
    groups: dict[str, list[dict[str, str]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                if None in row.values():
                    raise ValueError("a row is cut")
                name = f"{row['estimator'].replace('_', ' ')}, number {row['number']}"
                groups.setdefault(name, []).append(row)
        return [_curve_of(name, rows) for name, rows in groups.items()]
    except (OSError, KeyError, ValueError, csv.Error):
        raise InputError(f"{shown_path(path)} is not a table of an evaluation") from None


def _spelt(row: Mapping[str, Any], *spellings: str) -> str:
    """The spelling that a row holds: earlier versions wrote some names otherwise."""
    return next((key for key in spellings if key in row), spellings[0])


def _curve_of(name: str, rows: Sequence[Mapping[str, str]]) -> Accuracy:
    def column(*spellings: str) -> Column:
        return np.array([float(row[_spelt(row, *spellings)] or "nan") for row in rows])

    return Accuracy(
        name,
        [row["value"] for row in rows],
        {axis: column(f"{axis}_rmse_{unit}") for axis, unit in AXES},
        {axis: column(f"{axis}_bound_{unit}") for axis, unit in AXES},
        {axis: column(f"{axis}_normalized", f"{axis}_normalised") for axis, _ in AXES},
        column("detected"),
    )


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if is_file(path) else {}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        page = parse_json(read_text(path, "page"))
    except ValueError as error:
        raise InputError(f"{shown_path(path)} cannot be read: {error}") from None
    if not isinstance(page, dict):
        raise InputError(f"{str(path)!r} holds no JSON object")
    return page


def read_curve(path: Path) -> dict[str, Column]:
    """A golden curve: one column a quantity, one row an epoch.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                {name: float(value or "nan") for name, value in row.items() if name != "row"}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{str(path)!r} is not a stored curve: {error}") from None
    return _columns(rows)
