"""Monte-Carlo runs: which scenes, what is recorded of each, and what the records say."""

from ris_pipeline.evaluation.execution import UnitStore, run_tasks
from ris_pipeline.evaluation.items import (
    BATTERIES,
    SWEEPS,
    Item,
    Point,
    battery,
    sweep,
)
from ris_pipeline.evaluation.records import UNIT, Records, Task, evaluate_unit, units
from ris_pipeline.evaluation.statistics import COLUMNS, Row, groups, statistics

__all__ = [
    "BATTERIES",
    "COLUMNS",
    "SWEEPS",
    "UNIT",
    "Item",
    "Point",
    "Records",
    "Row",
    "Task",
    "UnitStore",
    "battery",
    "evaluate_unit",
    "groups",
    "run_tasks",
    "statistics",
    "sweep",
    "units",
]
