"""What a loop says of itself when it is watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ris_pipeline.watch.bookkeeping import Average


@dataclass(frozen=True)
class Options:
    """What a loop says of itself beyond its model and optimisers, as in `Watch`."""

    schedulers: Sequence[Any]
    scaler: Any
    averages: Mapping[str, Average]
    epochs: int | None
    clip: float | None
    hinge: str | None
    higher_is_better: bool
    lines: bool
