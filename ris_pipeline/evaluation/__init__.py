"""Monte-Carlo runs: which scenes, what is recorded of each, and what the records say."""

from ris_pipeline.evaluation.comparison import COMPARED, REFERENCE, Verdict, compare, judged
from ris_pipeline.evaluation.execution import Missing, check_workers, run_tasks
from ris_pipeline.evaluation.items import BATTERIES, SWEEPS, Item, Point, battery, sweep
from ris_pipeline.evaluation.parts import Part, parts
from ris_pipeline.evaluation.records import UNIT, Records, Task, evaluate_unit, units
from ris_pipeline.evaluation.statistics import COLUMNS, NOTHING, Row, statistics
from ris_pipeline.evaluation.store import UnitStore, software

__all__ = [
    "BATTERIES",
    "COLUMNS",
    "COMPARED",
    "NOTHING",
    "REFERENCE",
    "SWEEPS",
    "UNIT",
    "Item",
    "Missing",
    "Part",
    "Point",
    "Records",
    "Row",
    "Task",
    "UnitStore",
    "Verdict",
    "battery",
    "check_workers",
    "compare",
    "evaluate_unit",
    "judged",
    "parts",
    "run_tasks",
    "software",
    "statistics",
    "sweep",
    "units",
]
