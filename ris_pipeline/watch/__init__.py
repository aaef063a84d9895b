"""What a training loop says about itself: log lines, alarms, a journal."""

from ris_pipeline.watch.alarms import Alarm, Kind, kinds
from ris_pipeline.watch.core import Watch
from ris_pipeline.watch.diagnostics import GroupNorm, gradient_norm, without_gradient
from ris_pipeline.watch.journal import read_journal
from ris_pipeline.watch.sampling import Sampling

__all__ = [
    "Alarm",
    "GroupNorm",
    "Kind",
    "Sampling",
    "Watch",
    "gradient_norm",
    "kinds",
    "read_journal",
    "without_gradient",
]
