"""Lines of the tables of an evaluation, from the stored units."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ris_pipeline.evaluation.comparison import REFERENCE, Verdict, compare, judged
from ris_pipeline.evaluation.execution import Missing
from ris_pipeline.evaluation.items import Item, Point
from ris_pipeline.evaluation.parts import parts
from ris_pipeline.evaluation.plan import Evaluation, Series
from ris_pipeline.evaluation.records import Records, Task
from ris_pipeline.evaluation.statistics import NOTHING, Row, statistics
from ris_pipeline.evaluation.store import UnitStore


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
