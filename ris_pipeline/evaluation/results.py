"""Lines of the tables of an evaluation, from the stored units."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ris_pipeline.evaluation.comparison import REFERENCE, Standing, compare, judged
from ris_pipeline.evaluation.execution import Missing
from ris_pipeline.evaluation.plan import Evaluation, Series
from ris_pipeline.evaluation.records import Records, Task
from ris_pipeline.evaluation.statistics import EMPTY_ROW, Row, statistics
from ris_pipeline.evaluation.store import UnitStore
from ris_pipeline.evaluation.strata import strata
from ris_pipeline.evaluation.tables import Cell, Table


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
    """One line of the comparison: `REFERENCE` against `series` in a cell of a table."""

    table: str
    value: str
    second: str
    series: Series
    row: Row
    verdict: Standing
    worse_in: tuple[str, ...]

    @property
    def label(self) -> str:
        """Its cell."""
        return " x ".join(filter(None, (self.value, self.second)))


@dataclass(frozen=True)
class Results:
    """A finished evaluation."""

    evaluation: Evaluation
    store: UnitStore
    missing: Mapping[Task, Missing]

    def records(self, cell: Cell, series: Series) -> Records | Missing:
        """Of one cell and series; why there are none, where one of its units has none."""
        tasks = self.evaluation.tasks_of(cell, series)
        without = [self.missing[task] for task in tasks if task in self.missing]
        # A failure is worth more attention than a refusal.
        return min(without, key=lambda m: m.refused) if without else self.store.load(tasks)

    def lines(self, table: Table) -> Iterator[Line]:
        """Its table: a line for every value and series."""
        for cell in table.cells:
            records_of = {series: self.records(cell, series) for series in self.evaluation.series}
            for stratum in strata(table.group, cell.scenario):
                for series, records in records_of.items():
                    label = stratum.label or cell.label
                    if isinstance(records, Missing):
                        yield Line(label, cell.second, series, EMPTY_ROW, records.reason)
                    else:
                        row = statistics(records, stratum.chosen(records), stratum.covers_scenes)
                        yield Line(label, cell.second, series, row)

    def comparison(self, table: Table) -> Iterator[Compared]:
        """The lines of a table in which both estimators have records."""
        names = [s for s in self.evaluation.series if s.estimator == REFERENCE]
        for cell in table.cells:
            for lead in names:
                ours = self.records(cell, lead)
                for series in self.evaluation.series:
                    if series.known != lead.known or series == lead:
                        continue
                    theirs = self.records(cell, series)
                    if isinstance(ours, Missing) or isinstance(theirs, Missing):
                        continue
                    for stratum in strata(table.group, cell.scenario):
                        row = compare(ours, theirs, stratum.chosen(ours), stratum.covers_scenes)
                        label = stratum.label or cell.label
                        yield Compared(table.name, label, cell.second, series, row, *judged(row))

    def timings(self, table: Table) -> Iterator[list[str]]:
        """Time that the estimators took: table, value, second, estimator, number, scenes, ..."""
        for cell in table.cells:
            for series in self.evaluation.series:
                records = self.records(cell, series)
                if isinstance(records, Missing):
                    continue
                spent, count = float(records.seconds.sum()), len(records.count)
                labels = [table.name, cell.label, cell.second, series.estimator, series.number]
                yield [*labels, str(count), f"{spent:.3f}", f"{count / spent:.1f}"]
