"""One estimator against another on the same scenes.

detected   difference of the parts of the sources found
gospa      ratio of the sums over all scenes
RMSE       ratio over the sources that both resolve, per coordinate: over the sources each of them
           resolves, the one that finds fewer would look sharper

Scenes are paired, so each interval is that of the difference or ratio itself: a bootstrap over
scenes that draws both together.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ris_pipeline.evaluation.intervals import bootstrap_interval
from ris_pipeline.evaluation.records import Records
from ris_pipeline.evaluation.statistics import AXES, Row, scored

REFERENCE = "maximum_likelihood"
"""The estimator that the others are compared with."""

CRITERIA: Mapping[str, float] = MappingProxyType(
    {"detected": 0.0, "gospa": 1.0} | {axis: 1.0 for axis, _, _ in AXES}
)
"""What is compared, and the value at which both are equal."""

_FIGURES = ("detected_difference", "gospa_ratio", *(f"{axis}_ratio" for axis, _, _ in AXES))

COMPARED: tuple[str, ...] = (
    "scenes",
    "sources",
    "resolved_by_both",
    *(f"{name}{end}" for name in _FIGURES for end in ("", "_low", "_high")),
)
"""Columns of a comparison: the reference less, or over, the other."""


class Standing(StrEnum):
    """The other estimator in one cell. Each interval is at 95 %, so that of two equal estimators
    one in forty looks worse in each criterion."""

    BEATEN = "beaten"
    """Some interval says that the reference is better, none that it is worse."""
    MET = "met"
    """No interval tells them apart."""
    WORSE = "worse"
    """Some interval says that the reference is worse."""
    TOO_FEW = "too few scenes"


def compare(
    reference: Records, other: Records, chosen: NDArray[np.bool_], covers_scenes: bool = True
) -> Row:
    """The columns of `COMPARED` for records of the same scenes.

    Args:
        chosen: (B, K), which sources count; covers_scenes: as for `statistics`.
    """
    kept = chosen.any(-1)
    total = chosen.sum(-1).astype(float)
    lead = reference.detected.astype(float) - other.detected
    both = reference.resolved & other.resolved & chosen
    row = {
        "scenes": float(kept.sum()),
        "sources": float(total.sum()),
        "resolved_by_both": float(both.sum()),
    }
    found = np.stack(((lead * chosen).sum(-1), total), axis=-1)[kept]
    row |= _with_interval("detected_difference", found, root=False)
    metric = np.stack((reference.gospa, other.gospa), axis=-1)[kept & covers_scenes]
    row |= _with_interval("gospa_ratio", metric, root=False)
    for axis, (name, _, _) in enumerate(AXES):
        shared = both & scored(reference, axis) & scored(other, axis)
        square = [np.where(shared, r.error[..., axis], 0.0)[kept] ** 2 for r in (reference, other)]
        sums = np.stack([s.sum(-1) for s in square], axis=-1)
        row |= _with_interval(f"{name}_ratio", sums, root=True)
    return MappingProxyType(row)


def _with_interval(name: str, pairs: NDArray[np.float64], root: bool) -> dict[str, float]:
    """`sum first / sum second`, (B, 2), or its root, with the ends of its interval."""

    def quotient(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = sums[:, 0] / np.where(sums[:, 1] == 0, np.nan, sums[:, 1])
        return np.sqrt(ratio) if root else ratio

    value = float(quotient(pairs.sum(0, keepdims=True))[0])
    low, high = (math.nan, math.nan) if math.isnan(value) else bootstrap_interval(pairs, quotient)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def judged(row: Row) -> tuple[Standing, tuple[str, ...]]:
    """The verdict on a comparison, and the criteria in which the reference is worse."""
    better, worse, known = [], [], False
    for (criterion, equal), figure in zip(CRITERIA.items(), _FIGURES, strict=True):
        low, high = row[f"{figure}_low"], row[f"{figure}_high"]
        known = known or not math.isnan(low)
        # More sources found is better, a smaller error is better.
        above, below = low > equal, high < equal
        if above if criterion == "detected" else below:
            better.append(criterion)
        if below if criterion == "detected" else above:
            worse.append(criterion)
    if not known:
        return Standing.TOO_FEW, ()
    if worse:
        return Standing.WORSE, tuple(worse)
    return (Standing.BEATEN if better else Standing.MET), ()
