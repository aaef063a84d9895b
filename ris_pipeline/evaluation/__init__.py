"""Monte-Carlo runs: which scenes, what is recorded of each, and what the records say."""

from ris_pipeline.evaluation.comparison import COMPARED, REFERENCE, Standing, compare, judged
from ris_pipeline.evaluation.estimators import ESTIMATORS, Estimator
from ris_pipeline.evaluation.execution import Missing, check_workers, run_tasks
from ris_pipeline.evaluation.learned import Learned
from ris_pipeline.evaluation.records import UNIT, Records, Task, evaluate_unit, units
from ris_pipeline.evaluation.statistics import COLUMNS, EMPTY_ROW, Row, statistics
from ris_pipeline.evaluation.store import UnitStore, software
from ris_pipeline.evaluation.strata import Stratum, strata
from ris_pipeline.evaluation.tables import BATTERIES, SWEEPS, Cell, Table, battery, sweep

__all__ = [
    "BATTERIES",
    "COLUMNS",
    "COMPARED",
    "EMPTY_ROW",
    "ESTIMATORS",
    "REFERENCE",
    "SWEEPS",
    "UNIT",
    "Cell",
    "Estimator",
    "Learned",
    "Missing",
    "Records",
    "Row",
    "Standing",
    "Stratum",
    "Table",
    "Task",
    "UnitStore",
    "battery",
    "check_workers",
    "compare",
    "evaluate_unit",
    "judged",
    "run_tasks",
    "software",
    "statistics",
    "strata",
    "sweep",
    "units",
]
