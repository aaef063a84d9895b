"""An evaluation seen from a terminal: progress, tables, CSV files and figures."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._validation import check_range
from ris_pipeline._version import __version__
from ris_pipeline.evaluation import (
    COLUMNS,
    Item,
    Point,
    Row,
    Task,
    UnitStore,
    groups,
    run_tasks,
    statistics,
    units,
)
from ris_pipeline.learning import write_text
from ris_pipeline.localization.estimators import ESTIMATORS
from ris_pipeline.report.evaluation_figures import Curve, curves_figure, heat_map_figure
from ris_pipeline.report.figures import save_figure
from ris_pipeline.report.run_folder import RunFolder
from ris_pipeline.report.tables import plain_table


@dataclass(frozen=True)
class Series:
    """One estimator, told the number of sources or not: a curve of a figure."""

    estimator: str
    known: bool

    @property
    def number(self) -> str:
        """How it comes by the number of sources."""
        return "known" if self.known else "estimated"


@dataclass(frozen=True)
class Evaluation:
    """What is to be run."""

    items: tuple[Item, ...]
    series: tuple[Series, ...]
    seed: int
    scenes: int

    def tasks_of(self, point: Point, series: Series) -> tuple[Task, ...]:
        """The units of one cell and one series."""
        found = units(point.scenario, series.estimator, series.known, self.seed, self.scenes)
        return tuple(found)

    def tasks(self) -> Iterator[Task]:
        """Every unit, the series of a cell together."""
        for item in self.items:
            for point in item.points:
                for series in self.series:
                    yield from self.tasks_of(point, series)


def make_series(estimators: Sequence[str], numbers: Sequence[str]) -> tuple[Series, ...]:
    """Every estimator with every way to come by the number of sources.

    Raises:
        InputError: a name that does not exist.
    """
    for name in estimators:
        check_choice("estimators", name, ESTIMATORS)
    for number in numbers:
        check_choice("number", number, ("known", "estimated"))
    return tuple(Series(e, n == "known") for e in estimators for n in numbers)


def run_evaluation(
    console: Console,
    out: Path,
    evaluation: Evaluation,
    workers: int = 2,
    scheduler: str | None = None,
    resume: bool = False,
) -> None:
    """Run what is missing, then write one CSV and one PNG an item, and `timings.csv`.

    The CSV files of the items are the same to the last byte whatever the number of workers.

    Raises:
        InputError: fewer than one scene, a folder that holds another evaluation or cannot be
            written, workers or a scheduler that cannot be had.
    """
    check_range("scenes", evaluation.scenes, 1, 10**7)
    folder = RunFolder(out)
    plan = folder.path / "plan.json"
    if plan.exists() and not resume:
        raise InputError(f"--out {str(out)!r} holds an evaluation: add --resume, or name another")
    write_text(plan, json.dumps(_described(evaluation), indent=1) + "\n")
    store = UnitStore(folder.path / "units")
    tasks = list(dict.fromkeys(evaluation.tasks()))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        done = sum(task in store for task in tasks)
        bar = progress.add_task("units of scenes", total=len(tasks), completed=done)
        run_tasks(tasks, store, workers, scheduler, lambda task: progress.advance(bar))
    timings: list[list[str]] = []
    for item in evaluation.items:
        _write_item(console, folder.path, evaluation, store, item, timings)
    header = ("item", "value", "second", "estimator", "number", "scenes", "seconds", "scenes_per_s")
    write_text(folder.path / "timings.csv", _csv(header, timings))


def _described(evaluation: Evaluation) -> dict[str, object]:
    return {
        "ris_pipeline": __version__,
        "seed": evaluation.seed,
        "scenes": evaluation.scenes,
        "series": [f"{s.estimator}, {s.number}" for s in evaluation.series],
        "items": {
            item.name: [
                {"label": p.label, "second": p.second, "scenario": p.scenario.model_dump()}
                for p in item.points
            ]
            for item in evaluation.items
        },
    }


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _rows(
    evaluation: Evaluation, store: UnitStore, item: Item, timings: list[list[str]]
) -> Iterator[tuple[str, str, Series, Row]]:
    """(value, second value, series, statistics), as they stand in the table."""
    for point in item.points:
        for series in evaluation.series:
            records = store.load(evaluation.tasks_of(point, series))
            spent, count = float(records.seconds.sum()), len(records.count)
            timing = [item.name, point.label, point.second, series.estimator, series.number]
            timings.append([*timing, str(count), f"{spent:.3f}", f"{count / spent:.1f}"])
            if item.group is None:
                yield point.label, point.second, series, statistics(records)
            else:
                for label, row in groups(item.group, records):
                    yield label, "", series, row


def _write_item(
    console: Console,
    folder: Path,
    evaluation: Evaluation,
    store: UnitStore,
    item: Item,
    timings: list[list[str]],
) -> None:
    rows = list(_rows(evaluation, store, item, timings))
    header = (item.axis, "second", "estimator", "number", *COLUMNS)
    lines = [
        [value, second, series.estimator, series.number, *(_number(row[c]) for c in COLUMNS)]
        for value, second, series, row in rows
    ]
    write_text(folder / f"{item.name}.csv", _csv(header, lines))
    names = {s: f"{s.estimator}, K {s.number}" for s in evaluation.series}
    curves = [
        Curve(names[s], [(value, second, row) for value, second, t, row in rows if t == s])
        for s in evaluation.series
    ]
    two = any(second for _, second, _, _ in rows)
    draw = heat_map_figure if two else curves_figure
    save_figure(draw(item.name, item.axis, curves), folder / f"{item.name}.png")
    _print_item(console, item, rows)


def _print_item(console: Console, item: Item, rows: Sequence[tuple[str, str, Series, Row]]) -> None:
    header = (item.axis, "estimator", "K", "found", "az", "el", "r", "K right", "false")
    lines = []
    for value, second, series, row in rows:
        ratios = (row[f"{axis}_ratio"] for axis in ("azimuth", "elevation", "distance"))
        lines.append(
            (
                " x ".join(filter(None, (value, second))),
                series.estimator,
                "known" if series.known else "est.",
                _shown(row["detected"], 3),
                *(_shown(ratio, 2) for ratio in ratios),
                _shown(row["right_number"], 3),
                _shown(row["false_alarms"], 2),
            )
        )
    title = f"{item.name.replace('_', ' ')}; az, el, r: RMSE / root bound of the resolved sources"
    console.print(plain_table(title, header, lines))


def _shown(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"
