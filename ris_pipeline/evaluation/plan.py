"""What an evaluation is to run, and whether a folder holds it, or part of it, already."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._files import is_file, parse_json, read_text
from ris_pipeline.evaluation.estimators import ESTIMATORS, Estimator
from ris_pipeline.evaluation.records import Task, units
from ris_pipeline.evaluation.store import SUFFIX, software
from ris_pipeline.evaluation.tables import Cell, Table


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
    """What is to be run; `scenes` of every cell."""

    tables: tuple[Table, ...]
    series: tuple[Series, ...]
    seed: int
    scenes: int
    estimators: Mapping[str, Estimator] = field(default_factory=lambda: ESTIMATORS)

    def tasks_of(self, cell: Cell, series: Series) -> tuple[Task, ...]:
        """The units of one cell and one series."""
        of_series = series.estimator, series.known
        return tuple(
            units(cell.scenario, *of_series, self.seed, self.scenes, cell.receiver_scenario)
        )

    def tasks(self) -> tuple[Task, ...]:
        """Every unit once, the series of a cell together; tables share the cells they share."""
        found: Iterator[Task] = (
            task
            for table in self.tables
            for cell in table.cells
            for series in self.series
            for task in self.tasks_of(cell, series)
        )
        return tuple(dict.fromkeys(found))

    def described(self) -> dict[str, Any]:
        """For `plan.json`."""
        return {
            "software": dict(software()),
            "seed": self.seed,
            "scenes": self.scenes,
            "series": [f"{s.estimator}, {s.number}" for s in self.series],
            "items": {
                table.name: [
                    {
                        "value": cell.label,
                        "second": cell.second,
                        "scenario": cell.scenario.model_dump(mode="json"),
                    }
                    for cell in table.cells
                ]
                for table in self.tables
            },
        }


def make_series(
    estimators: Sequence[str],
    numbers: Sequence[str],
    known_estimators: Mapping[str, Estimator] = ESTIMATORS,
) -> tuple[Series, ...]:
    """Every estimator with every way to come by the number of sources.

    Raises:
        InputError: a name that does not exist, or is given twice.
    """
    for name in estimators:
        check_choice("estimators", name, known_estimators)
    for number in numbers:
        check_choice("number", number, ("known", "estimated"))
    check_once("estimators", estimators)
    check_once("number", numbers)
    return tuple(Series(e, n == "known") for e in estimators for n in numbers)


def check_once(name: str, values: Sequence[str]) -> None:
    """Raise `InputError` if a value is there twice."""
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise InputError(f"{name} holds {twice[0]} twice: allowed is once")


def check_folder(folder: Path, evaluation: Evaluation, resume: bool) -> None:
    """Raise `InputError` unless the folder is free, or is to be resumed with what it holds or more;
    to resume nothing is to start.

    More are scenes, estimators and tables: every row that is there stays true.
    """
    path, shown = folder / "plan.json", repr(str(folder))
    # A plan without a unit is one that never began.
    begun = is_file(path) and any((folder / "units").glob(f"*{SUFFIX}"))
    if begun and not resume:
        raise InputError(f"--out {shown} holds an evaluation: add --resume, or name another")
    if not begun:
        return
    try:
        changed = _changed(parse_json(read_text(path, "plan")), evaluation.described())
    except (AttributeError, LookupError, TypeError, ValueError):
        raise InputError(f"{str(path)!r} cannot be read: name another folder") from None
    if changed:
        said = "; ".join(changed)[:400]
        raise InputError(
            f"--resume: {shown} holds another evaluation ({said}): allowed is the "
            "same, or the same with more scenes, estimators or tables"
        )


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    changed = [
        f"{name} {old['software'].get(name)}, now {value}"
        for name, value in new["software"].items()
        if old["software"].get(name) != value
    ]
    if old["seed"] != new["seed"]:
        changed.append(f"seed {old['seed']}, now {new['seed']}")
    if old["scenes"] > new["scenes"]:
        changed.append(f"{old['scenes']} scenes, now {new['scenes']}")
    changed += [f"with {series}" for series in old["series"] if series not in new["series"]]
    for name, cells in old["items"].items():
        if name not in new["items"]:
            changed.append(f"with table {name}")
        elif cells != new["items"][name]:
            changed.append(f"other scenarios in {name}")
    return changed
