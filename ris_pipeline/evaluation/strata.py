"""The scenes of one cell parted by number of sources, SNR, distance or azimuth.

The ends are those of the scenario and every source falls into one stratum, rounding or not.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ris_pipeline._errors import check_choice
from ris_pipeline.config import Scenario
from ris_pipeline.evaluation.records import Records
from ris_pipeline.evaluation.statistics import DEGREES


@dataclass(frozen=True)
class Stratum:
    """label: what stands in the table; chosen: records to sources (B, K); covers_scenes: whether it
    holds all sources of a scene or none."""

    label: str
    chosen: Callable[[Records], NDArray[np.bool_]]
    covers_scenes: bool


EVERYTHING = Stratum("", lambda records: records.active, covers_scenes=True)


def _between(
    value: Callable[[Records], NDArray[np.float64]],
    ends: tuple[float, float],
    cuts: Sequence[float],
    covers_scenes: bool,
) -> tuple[Stratum, ...]:
    """Parts of half-open intervals; what the data type has rounded over an end stays inside."""
    inner = [cut for cut in cuts if ends[0] < cut < ends[1]]

    def stratum(place: int) -> Callable[[Records], NDArray[np.bool_]]:
        return lambda records: (
            records.active & (np.searchsorted(inner, value(records), side="right") == place)
        )

    edges = itertools.pairwise((ends[0], *inner, ends[1]))
    return tuple(
        Stratum(f"{a:g}..{b:g}", stratum(i), covers_scenes) for i, (a, b) in enumerate(edges)
    )


def _by_sources(scenario: Scenario) -> tuple[Stratum, ...]:
    def stratum(count: int) -> Callable[[Records], NDArray[np.bool_]]:
        return lambda records: records.active & (records.count == count)[:, None]

    first, last = scenario.sources
    return tuple(Stratum(str(count), stratum(count), True) for count in range(first, last + 1))


def _by_snr(scenario: Scenario) -> tuple[Stratum, ...]:
    cuts = np.arange(-100, 200, 5).tolist()
    return _between(lambda r: r.snr_db[:, None], scenario.snr_db, cuts, covers_scenes=True)


def _by_distance(scenario: Scenario) -> tuple[Stratum, ...]:
    cuts = (1, 2, 4, 6, 8, 10, 20, 50, 100, 1000)
    return _between(lambda r: r.distance, scenario.distance, cuts, covers_scenes=False)


def _by_azimuth(scenario: Scenario) -> tuple[Stratum, ...]:
    cuts = np.arange(-80, 81, 20).tolist()
    ends = scenario.azimuth_deg
    return _between(lambda r: r.azimuth * DEGREES, ends, cuts, covers_scenes=False)


_STRATA: Mapping[str, Callable[[Scenario], tuple[Stratum, ...]]] = MappingProxyType(
    {
        "sources": _by_sources,
        "snr": _by_snr,
        "distance": _by_distance,
        "azimuth": _by_azimuth,
    }
)


def strata(name: str | None, scenario: Scenario) -> tuple[Stratum, ...]:
    """The parts of a scenario's scenes by `sources`, `snr` (dB), `distance` (m) or `azimuth` (deg);
    without a name all of them together.

    Raises:
        InputError: another name.
    """
    if name is None:
        return (EVERYTHING,)
    check_choice("group", name, _STRATA)
    return _STRATA[name](scenario)
