"""What the records say, with 95 % confidence intervals (see `intervals`)."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ris_pipeline.evaluation.intervals import bootstrap_interval, mean_interval, share_interval
from ris_pipeline.evaluation.records import Records

Row = Mapping[str, float]

DEGREES = 180 / math.pi
AXES = (("azimuth", "deg", DEGREES), ("elevation", "deg", DEGREES), ("distance", "m", 1.0))
"""Coordinates of a source, the unit they are shown in, and its size."""

OWN_SNR_DB = -10.0
"""From this own SNR on a source counts for `detected_audible`."""


def _columns() -> dict[str, str]:
    columns = {"scenes": "number of scenes", "sources": "number of true sources"}
    with_intervals = {
        "detected": "part of the sources with an estimate within 2 deg",
        "detected_audible": f"the same, of sources whose own SNR is {OWN_SNR_DB:g} dB or more",
        "right_number": "part of the scenes with the right number of sources",
        "false_alarms": "estimates a scene that no source is matched to within 2 deg",
        "gospa_deg": "mean GOSPA, cutoff 2 deg",
    }
    for name, text in with_intervals.items():
        columns |= {name: text} | _ends(name)
    columns["resolved"] = "part of the sources detected and not reported as unresolved"
    for axis, unit, _ in AXES:
        columns[f"{axis}_rmse_{unit}"] = "root mean square error of the resolved sources"
        columns[f"{axis}_bound_{unit}"] = (
            "root of their mean bound, misspecified on an impaired panel"
        )
        columns |= {f"{axis}_ratio": "RMSE / root of the mean bound"} | _ends(f"{axis}_ratio")
        columns[f"{axis}_normalized"] = "root mean square of each error over its own bound"
    return columns


def _ends(name: str) -> dict[str, str]:
    return {f"{name}_{side}": f"{side} end of its 95 % interval" for side in ("low", "high")}


COLUMNS: Mapping[str, str] = MappingProxyType(_columns())
"""What stands in each column; NaN where there is nothing to say."""

EMPTY_ROW: Row = MappingProxyType(dict.fromkeys(COLUMNS, math.nan))
"""The row of a cell without records."""


def _with_ends(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def statistics(
    records: Records, chosen: NDArray[np.bool_] | None = None, covers_scenes: bool = True
) -> Row:
    """One row of a table.

    Args:
        chosen: (B, K), which sources count (default: all).
        covers_scenes: whether all sources of a scene count or none; otherwise what belongs to a
            scene as such (number of sources, false alarms, GOSPA) is NaN.
    """
    chosen = records.active if chosen is None else chosen & records.active
    scenes = chosen.any(-1)
    if not scenes.any():
        return MappingProxyType({**EMPTY_ROW, "scenes": 0.0, "sources": 0.0})
    total = chosen.sum(-1).astype(float)
    audible = chosen & (records.own_snr_db >= OWN_SNR_DB)
    row: dict[str, float] = {"scenes": float(scenes.sum()), "sources": float(total.sum())}
    row |= _with_ends("detected", _share(records.detected & chosen, chosen))
    row |= _with_ends("detected_audible", _share(records.detected & audible, audible))
    of_scenes = scenes & covers_scenes
    right = (records.estimated == records.count)[of_scenes].astype(float)
    row |= _with_ends("right_number", share_interval(right, np.ones_like(right)))
    false_alarms = records.false_alarms[of_scenes].astype(float)
    row |= _with_ends("false_alarms", mean_interval(false_alarms))
    row |= _with_ends("gospa_deg", mean_interval(records.gospa[of_scenes] * DEGREES))
    row["resolved"] = float((records.resolved & chosen).sum() / total.sum())
    for axis, (name, unit, scale) in enumerate(AXES):
        row |= _ratio(records, chosen, axis, name, unit, scale)
    return MappingProxyType({column: row[column] for column in COLUMNS})


def _share(hits: NDArray[np.bool_], of: NDArray[np.bool_]) -> tuple[float, float, float]:
    return share_interval(hits.sum(-1).astype(float), of.sum(-1).astype(float))


def scored(records: Records, axis: int) -> NDArray[np.bool_]:
    """(B, K): resolved sources with an error and a finite bound in a coordinate.

    A plane wavefront has no bound on distance and its estimators give none; their angles count.
    """
    known = np.isfinite(records.error[..., axis]) & np.isfinite(records.bound[..., axis])
    return records.resolved & known


def _ratio(
    records: Records, chosen: NDArray[np.bool_], axis: int, name: str, unit: str, scale: float
) -> dict[str, float]:
    keys = (f"rmse_{unit}", f"bound_{unit}", "ratio", "ratio_low", "ratio_high", "normalized")
    kept = scored(records, axis) & chosen
    count = int(kept.sum())
    if count == 0:
        return {f"{name}_{key}": math.nan for key in keys}
    square = np.where(kept, records.error[..., axis], 0.0) ** 2
    bound = np.where(kept, records.bound[..., axis], 0.0)
    mse, crb = square.sum() / count, bound.sum() / count
    sums = np.stack((square.sum(-1), bound.sum(-1)), axis=-1)[chosen.any(-1)]
    low, high = bootstrap_interval(sums, lambda drawn: np.sqrt(drawn[:, 0] / drawn[:, 1]))
    normalized = np.sqrt((square[kept] / bound[kept]).mean())
    values = (mse**0.5 * scale, crb**0.5 * scale, (mse / crb) ** 0.5, low, high, normalized)
    return {f"{name}_{key}": float(value) for key, value in zip(keys, values, strict=True)}
