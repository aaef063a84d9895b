"""Lines of the tables of an evaluation, from the stored units; CSV and what the terminal shows."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from ris_pipeline.evaluation import (
    COLUMNS,
    COMPARED,
    NOTHING,
    REFERENCE,
    Item,
    Missing,
    Point,
    Records,
    Row,
    Task,
    UnitStore,
    Verdict,
    compare,
    judged,
    parts,
    statistics,
)
from ris_pipeline.report.evaluation_plan import Evaluation, Series
from ris_pipeline.report.tables import plain_table


@dataclass(frozen=True)
class Line:
    """One line of a table; note: why it is blank, or empty."""

    value: str
    second: str
    series: Series
    row: Row
    note: str = ""


@dataclass(frozen=True)
class Compared:
    """One line of the comparison: `REFERENCE` against `series` in a cell of an item."""

    item: str
    value: str
    second: str
    series: Series
    row: Row
    verdict: Verdict
    worse_in: tuple[str, ...]

    @property
    def cell(self) -> str:
        """Its labels together."""
        return " x ".join(filter(None, (self.value, self.second)))


@dataclass(frozen=True)
class Results:
    """A finished evaluation."""

    evaluation: Evaluation
    store: UnitStore
    missing: Mapping[Task, Missing]

    def records(self, point: Point, series: Series) -> Records | Missing:
        """Of one cell and series; why there are none, where one of its units has none."""
        tasks = self.evaluation.tasks_of(point, series)
        without = [self.missing[task] for task in tasks if task in self.missing]
        # A failure is worth more attention than a refusal.
        return min(without, key=lambda m: m.refused) if without else self.store.load(tasks)

    def lines(self, item: Item) -> Iterator[Line]:
        """Its table: a line for every value and series."""
        for point in item.points:
            cells = {series: self.records(point, series) for series in self.evaluation.series}
            for part in parts(item.group, point.scenario):
                for series, records in cells.items():
                    label = part.label or point.label
                    if isinstance(records, Missing):
                        yield Line(label, point.second, series, NOTHING, records.reason)
                    else:
                        row = statistics(records, part.chosen(records), part.whole)
                        yield Line(label, point.second, series, row)

    def comparison(self, item: Item) -> Iterator[Compared]:
        """The lines of an item in which both estimators have records."""
        names = [s for s in self.evaluation.series if s.estimator == REFERENCE]
        for point in item.points:
            for lead in names:
                ours = self.records(point, lead)
                for series in self.evaluation.series:
                    if series.known != lead.known or series == lead:
                        continue
                    theirs = self.records(point, series)
                    if isinstance(ours, Missing) or isinstance(theirs, Missing):
                        continue
                    for part in parts(item.group, point.scenario):
                        row = compare(ours, theirs, part.chosen(ours), part.whole)
                        label = part.label or point.label
                        yield Compared(item.name, label, point.second, series, row, *judged(row))

    def timings(self, item: Item) -> Iterator[list[str]]:
        """Time that the estimators took: item, value, second, estimator, number, scenes, ..."""
        for point in item.points:
            for series in self.evaluation.series:
                records = self.records(point, series)
                if isinstance(records, Missing):
                    continue
                spent, count = float(records.seconds.sum()), len(records.count)
                labels = [item.name, point.label, point.second, series.estimator, series.number]
                yield [*labels, str(count), f"{spent:.3f}", f"{count / spent:.1f}"]


TIMINGS = ("item", "value", "second", "estimator", "number", "scenes", "seconds", "scenes_per_s")
"""Header of `timings.csv`."""


def csv_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """CSV with one header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def item_csv(lines: Sequence[Line]) -> str:
    """The table of an item; blank where there is nothing to say."""
    header = ("value", "second", "estimator", "number", *COLUMNS, "note")
    rows = [
        [
            line.value,
            line.second,
            line.series.estimator,
            line.series.number,
            *(_number(line.row[column]) for column in COLUMNS),
            line.note,
        ]
        for line in lines
    ]
    return csv_text(header, rows)


def comparison_csv(lines: Sequence[Compared]) -> str:
    """`comparison.csv`: the reference less, or over, every other estimator."""
    header = ("item", "value", "second", "estimator", "number")
    rows = [
        [
            *(line.item, line.value, line.second, line.series.estimator, line.series.number),
            *(_number(line.row[column]) for column in COMPARED),
            line.verdict.value,
            " ".join(line.worse_in),
        ]
        for line in lines
    ]
    return csv_text((*header, *COMPARED, "verdict", "worse_in"), rows)


def item_table(item: Item, lines: Sequence[Line]) -> Table:
    """What the terminal shows of an item."""
    header = (item.axis, "estimator", "found", "az", "el", "r", "K", "false", "GOSPA")
    rows = []
    for line in lines:
        row = line.row
        ratios = (row[f"{axis}_ratio"] for axis in ("azimuth", "elevation", "distance"))
        rows.append(
            (
                " x ".join(filter(None, (line.value, line.second))),
                line.series.estimator,
                shown(row["detected"], 3) if not line.note else "none",
                *(shown(ratio, 2) for ratio in ratios),
                "known" if line.series.known else shown(row["right_number"], 3),
                shown(row["false_alarms"], 2),
                shown(row["gospa_deg"], 2),
            )
        )
    title = f"{item.name.replace('_', ' ')}; az, el, r: RMSE / root bound; K: scenes with it right"
    table = plain_table(title, header, rows)
    for column in table.columns[1:]:
        column.no_wrap = True
    return table


def comparison_table(lines: Sequence[Compared]) -> Table:
    """How many cells of each item are beaten, met or worse, and the closest of them."""
    header = ("item", "against", "K", "cells", "beaten", "met", "worse", "least lead", "in cell")
    groups: dict[tuple[str, Series], list[Compared]] = {}
    for line in lines:
        groups.setdefault((line.item, line.series), []).append(line)
    rows = []
    for (item, series), cells in groups.items():
        least = min(cells, key=lambda line: line.row["detected_difference"])
        counts = [sum(line.verdict is v for line in cells) for v in Verdict][:3]
        rows.append(
            (
                item.replace("_", " "),
                series.estimator,
                "known" if series.known else "est.",
                str(len(cells)),
                *map(str, counts),
                f"{least.row['detected_difference']:+.3f}",
                least.cell,
            )
        )
    return plain_table(f"{REFERENCE} against the others, paired; lead: part found", header, rows)


def shown(value: float, digits: int) -> str:
    """A number for the terminal, blank for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"
