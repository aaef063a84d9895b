"""Tables of an evaluation: CSV and what the terminal shows."""

import csv
import io
import math
from collections.abc import Sequence

from rich.text import Text

from ris_pipeline.evaluation import COLUMNS, COMPARED, REFERENCE, Standing, Table
from ris_pipeline.evaluation.plan import Series
from ris_pipeline.evaluation.results import Compared, Line
from ris_pipeline.report.tables import plain_table

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


def table_csv(lines: Sequence[Line]) -> str:
    """A table; blank where there is nothing to say."""
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
            *(line.table, line.value, line.second, line.series.estimator, line.series.number),
            *(_number(line.row[column]) for column in COMPARED),
            line.verdict.value,
            " ".join(line.worse_in),
        ]
        for line in lines
    ]
    return csv_text((*header, *COMPARED, "verdict", "worse_in"), rows)


def shown_table(table: Table, lines: Sequence[Line]) -> Text:
    """What the terminal shows of a table."""
    header = (table.axis, "estimator", "found", "az", "el", "r", "K", "false", "GOSPA")
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
    title = f"{table.name.replace('_', ' ')}; az, el, r: RMSE / root bound; K: scenes with it right"
    return plain_table(title, header, rows)


def shown_comparison(lines: Sequence[Compared]) -> Text:
    """How many cells of each table are beaten, met or worse, and the closest of them."""
    header = ("item", "against", "K", "cells", "beaten", "met", "worse", "least lead", "in cell")
    groups: dict[tuple[str, Series], list[Compared]] = {}
    for line in lines:
        groups.setdefault((line.table, line.series), []).append(line)
    rows = []
    for (table, series), cells in groups.items():
        least = min(cells, key=lambda line: line.row["detected_difference"])
        counts = [sum(line.verdict is v for line in cells) for v in Standing][:3]
        rows.append(
            (
                table.replace("_", " "),
                series.estimator,
                "known" if series.known else "est.",
                str(len(cells)),
                *map(str, counts),
                f"{least.row['detected_difference']:+.3f}",
                least.label,
            )
        )
    return plain_table(f"{REFERENCE} against the others, paired; lead: part found", header, rows)


def shown(value: float, digits: int) -> str:
    """A number for the terminal, blank for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"
