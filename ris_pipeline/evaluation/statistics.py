"""What the records say, with 95 % confidence intervals.

proportions      Wilson (J. Am. Stat. Assoc. 22, 1927)
RMSE / bound     percentile bootstrap over scenes (B. Efron, Ann. Stat. 7, 1979): errors of one
                 scene belong together
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from ris_pipeline._errors import check_choice
from ris_pipeline.config import K_MAX
from ris_pipeline.evaluation.records import Records

Row = Mapping[str, float]

_RESAMPLES = 999
_DEGREES = 180 / math.pi
_AXES = (("azimuth", "deg", _DEGREES), ("elevation", "deg", _DEGREES), ("distance", "m", 1.0))

OWN_SNR_DB = -10.0
"""From this own SNR on a source counts for `detected_audible`."""


def _columns() -> dict[str, str]:
    columns = {
        "scenes": "number of scenes",
        "sources": "number of true sources",
        "detected": "part of the sources with an estimate within 2 deg",
        "detected_audible": f"the same, of sources whose own SNR is {OWN_SNR_DB:g} dB or more",
        "resolved": "part of the sources detected and not reported as unresolved",
        "right_number": "part of the scenes with the right number of sources",
    }
    for name in ("detected", "detected_audible", "right_number"):
        for side in ("low", "high"):
            columns[f"{name}_{side}"] = f"{side} end of its 95 % interval"
    columns["false_alarms"] = "estimates a scene that no source is within 2 deg of"
    columns["gospa_deg"] = "mean GOSPA, cutoff 2 deg"
    for axis, unit, _ in _AXES:
        columns[f"{axis}_rmse_{unit}"] = "root mean square error of the resolved sources"
        columns[f"{axis}_bound_{unit}"] = "root of their mean Cramer-Rao bound"
        columns[f"{axis}_ratio"] = "RMSE / root of the mean bound"
        columns[f"{axis}_ratio_low"] = "low end of its 95 % interval"
        columns[f"{axis}_ratio_high"] = "high end of its 95 % interval"
        columns[f"{axis}_normalised"] = "root mean square of each error over its own bound"
    return columns


COLUMNS: Mapping[str, str] = MappingProxyType(_columns())
"""What stands in each column; NaN where there is nothing to say."""


def _share(name: str, hits: int, total: int) -> dict[str, float]:
    if total == 0:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), math.nan)
    interval = binomtest(hits, total).proportion_ci(method="wilson")
    low, high = float(interval.low), float(interval.high)
    return {name: hits / total, f"{name}_low": low, f"{name}_high": high}


def statistics(
    records: Records,
    sources: NDArray[np.bool_] | None = None,
    scenes: NDArray[np.bool_] | None = None,
) -> Row:
    """One row of a table.

    Args:
        sources: (B, K), which sources count (default: all).
        scenes: (B,), which scenes count; with `sources` alone what belongs to a whole scene is NaN.
    """
    whole = sources is None or scenes is not None
    scenes = np.ones_like(records.count, dtype=bool) if scenes is None else scenes
    chosen = records.active & scenes[:, None]
    if sources is not None:
        chosen &= sources
    audible = chosen & (records.own_snr_db >= OWN_SNR_DB)
    resolved = records.resolved & chosen & np.isfinite(records.bound).all(-1)
    total = int(chosen.sum())
    row: dict[str, float] = {
        "scenes": int(chosen.any(-1).sum()),
        "sources": total,
        "resolved": float(resolved.sum() / total) if total else math.nan,
        **_share("detected", int((records.detected & chosen).sum()), total),
        **_share("detected_audible", int((records.detected & audible).sum()), int(audible.sum())),
    }
    right = (records.estimated == records.count)[scenes]
    row |= _share("right_number", int(right.sum()), right.size if whole else 0)
    counts = whole and bool(scenes.any())
    row["false_alarms"] = float(records.false_alarms[scenes].mean()) if counts else math.nan
    row["gospa_deg"] = float(records.gospa[scenes].mean()) * _DEGREES if counts else math.nan
    for axis, (name, unit, scale) in enumerate(_AXES):
        error = np.where(resolved, records.error[..., axis], 0.0)
        bound = np.where(resolved, records.bound[..., axis], 0.0)
        row |= _ratio(name, unit, scale, error**2, bound, resolved)
    return {column: row[column] for column in COLUMNS}


def _ratio(
    name: str,
    unit: str,
    scale: float,
    square: NDArray[np.float64],
    bound: NDArray[np.float64],
    resolved: NDArray[np.bool_],
) -> dict[str, float]:
    keys = (f"rmse_{unit}", f"bound_{unit}", "ratio", "ratio_low", "ratio_high", "normalised")
    count = int(resolved.sum())
    if count == 0:
        return {f"{name}_{key}": math.nan for key in keys}
    mse, crb = square.sum() / count, bound.sum() / count
    errors, bounds = (x[resolved.any(-1)].sum(-1) for x in (square, bound))
    weights = np.random.default_rng(0).multinomial(
        len(errors), np.full(len(errors), 1 / len(errors)), size=_RESAMPLES
    )
    resampled = np.sqrt((weights @ errors) / (weights @ bounds))
    low, high = np.quantile(resampled, (0.025, 0.975))
    normalised = np.sqrt((square[resolved] / bound[resolved]).mean())
    values = (mse**0.5 * scale, crb**0.5 * scale, (mse / crb) ** 0.5, low, high, normalised)
    return {f"{name}_{key}": float(value) for key, value in zip(keys, values, strict=True)}


def _between(
    value: NDArray[np.float64], edges: tuple[float, ...]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for low, high in itertools.pairwise(edges):
        yield f"{low:g}..{high:g}", (value >= low) & (value < high)


def _by_sources(records: Records) -> Iterator[tuple[str, Row]]:
    for count in range(1, K_MAX + 1):
        yield str(count), statistics(records, scenes=records.count == count)


def _by_snr(records: Records) -> Iterator[tuple[str, Row]]:
    for label, scenes in _between(records.snr_db, (-5, 0, 5, 10, 15, 20)):
        yield label, statistics(records, scenes=scenes)


def _by_distance(records: Records) -> Iterator[tuple[str, Row]]:
    for label, sources in _between(records.distance, (0.5, 1, 2, 4, 6, 8, 10)):
        yield label, statistics(records, sources)


def _by_azimuth(records: Records) -> Iterator[tuple[str, Row]]:
    degrees = records.azimuth * _DEGREES
    for label, sources in _between(degrees, (-60, -40, -20, 0, 20, 40, 60)):
        yield label, statistics(records, sources)


_GROUPS: Mapping[str, Callable[[Records], Iterator[tuple[str, Row]]]] = MappingProxyType(
    {
        "sources": _by_sources,
        "snr": _by_snr,
        "distance": _by_distance,
        "azimuth": _by_azimuth,
    }
)


def groups(name: str, records: Records) -> Iterator[tuple[str, Row]]:
    """The records parted by number of sources, SNR (dB), distance (m) or azimuth (deg).

    Raises:
        InputError: another name.
    """
    check_choice("group", name, _GROUPS)
    return _GROUPS[name](records)
