"""The scenes of one cell parted by number of sources, SNR, distance or azimuth.

The ends are those of the scenario and every source falls into one part, rounding or not.
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
class Part:
    """label: what stands in the table; chosen: records to sources (B, K); whole: whether it holds
    all sources of a scene or none."""

    label: str
    chosen: Callable[[Records], NDArray[np.bool_]]
    whole: bool


EVERYTHING = Part("", lambda records: records.active, whole=True)


def _between(
    value: Callable[[Records], NDArray[np.float64]],
    ends: tuple[float, float],
    cuts: Sequence[float],
    whole: bool,
) -> tuple[Part, ...]:
    """Parts of half-open intervals; what the data type has rounded over an end stays inside."""
    inner = [cut for cut in cuts if ends[0] < cut < ends[1]]

    def part(place: int) -> Callable[[Records], NDArray[np.bool_]]:
        return lambda records: (
            records.active & (np.searchsorted(inner, value(records), side="right") == place)
        )

    edges = itertools.pairwise((ends[0], *inner, ends[1]))
    return tuple(Part(f"{a:g}..{b:g}", part(i), whole) for i, (a, b) in enumerate(edges))


def _by_sources(scenario: Scenario) -> tuple[Part, ...]:
    def part(count: int) -> Callable[[Records], NDArray[np.bool_]]:
        return lambda records: records.active & (records.count == count)[:, None]

    first, last = scenario.sources
    return tuple(Part(str(count), part(count), True) for count in range(first, last + 1))


def _by_snr(scenario: Scenario) -> tuple[Part, ...]:
    cuts = np.arange(-100, 200, 5).tolist()
    return _between(lambda r: r.snr_db[:, None], scenario.snr_db, cuts, whole=True)


def _by_distance(scenario: Scenario) -> tuple[Part, ...]:
    cuts = (1, 2, 4, 6, 8, 10, 20, 50, 100, 1000)
    return _between(lambda r: r.distance, scenario.distance, cuts, whole=False)


def _by_azimuth(scenario: Scenario) -> tuple[Part, ...]:
    cuts = np.arange(-80, 81, 20).tolist()
    ends = scenario.azimuth_deg
    return _between(lambda r: r.azimuth * DEGREES, ends, cuts, whole=False)


_PARTS: Mapping[str, Callable[[Scenario], tuple[Part, ...]]] = MappingProxyType(
    {
        "sources": _by_sources,
        "snr": _by_snr,
        "distance": _by_distance,
        "azimuth": _by_azimuth,
    }
)


def parts(name: str | None, scenario: Scenario) -> tuple[Part, ...]:
    """The parts of a scenario's scenes by `sources`, `snr` (dB), `distance` (m) or `azimuth` (deg);
    without a name all of them together.

    Raises:
        InputError: another name.
    """
    if name is None:
        return (EVERYTHING,)
    check_choice("group", name, _PARTS)
    return _PARTS[name](scenario)
