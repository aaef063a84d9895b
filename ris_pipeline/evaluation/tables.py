"""What can be asked for: sweeps over one property of the scenario, and batteries of tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline.config import K_MAX, Scenario

Value = float | int | str
_Change = Callable[[Scenario, Value], Scenario]


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its labels and its scenes.

    receiver_scenario: the scenario as the receiver knows it, where that is not the whole truth.
    """

    label: str
    scenario: Scenario
    second: str = ""
    receiver_scenario: Scenario | None = None


@dataclass(frozen=True)
class Table:
    """One row a cell, or a stratum of one cell's scenes; `axis` says along what."""

    name: str
    axis: str
    cells: tuple[Cell, ...]
    group: str | None = None


@dataclass(frozen=True)
class Sweep:
    """Values of one property; `change` puts a value into a scenario."""

    axis: str
    values: tuple[Value, ...]
    change: _Change


def _both(field: str) -> _Change:
    return lambda scenario, value: scenario.replace(**{field: (value, value)})


def _one(field: str) -> _Change:
    return lambda scenario, value: scenario.replace(**{field: value})


def _separation(scenario: Scenario, value: Value) -> Scenario:
    return scenario.replace(sources=(2, 2), separation_deg=value)


def _bits(scenario: Scenario, value: Value) -> Scenario:
    return scenario.replace(phase_bits=None if value == "none" else value)


SWEEPS: Mapping[str, Sweep] = MappingProxyType(
    {
        "snr": Sweep("SNR (dB)", (-10, -5, 0, 5, 10, 15, 20), _both("snr_db")),
        "sources": Sweep("sources", tuple(range(1, K_MAX + 1)), _both("sources")),
        "distance": Sweep("distance (m)", (0.5, 1, 2, 4, 7, 10), _both("distance")),
        "separation": Sweep(
            "separation of two sources (deg)", (2, 4, 6, 8, 10, 15, 20), _separation
        ),
        "codes": Sweep("codes L", (1, 2, 3, 4, 8, 16, 32, 64), _one("codes")),
        "blocks": Sweep("blocks T", (1, 2, 4, 8, 16), _one("blocks")),
        "codebook": Sweep("codebook", ("dft", "random", "hadamard", "mixed"), _one("codebook")),
        "bits": Sweep("phase bits", (1, 2, 3, 4, "none"), _bits),
        "power_law": Sweep("powers", ("power_control", "path_loss"), _one("power")),
    }
)
"""Every sweep by name, with the values it takes unless others are asked for."""


def sweep(name: str, scenario: Scenario, values: Sequence[Value] = ()) -> Table:
    """A sweep from a scenario.

    Args:
        values: in the order of the rows; by default those of `SWEEPS`.

    Raises:
        InputError: another name, a value that the scenario does not allow, or one given twice.
    """
    check_choice("sweep", name, SWEEPS)
    chosen = SWEEPS[name]
    values = values or chosen.values
    for place, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise InputError(f"values holds {value!r}: allowed are numbers and words")
        if value in values[:place]:
            raise InputError(f"values holds {value} twice: allowed is once")
    scenarios = [chosen.change(scenario, value) for value in values]
    cells = (
        Cell(_label(v), s, receiver_scenario=_receiver_scenario(s, [scenario, *scenarios]))
        for v, s in zip(values, scenarios, strict=True)
    )
    return Table(name, chosen.axis, tuple(cells))


def _receiver_scenario(cell: Scenario, all_of_them: Sequence[Scenario]) -> Scenario | None:
    """A cell at one distance whose receiver has to search all distances of the sweep."""
    near = min(s.distance[0] for s in all_of_them)
    far = max(s.distance[1] for s in all_of_them)
    return None if cell.distance == (near, far) else cell.replace(distance=(near, far))


def _label(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _original(scenario: Scenario) -> tuple[Table, ...]:
    everything = (Cell("all", scenario),)
    pairs = scenario.replace(sources=(2, 2))
    snrs = SWEEPS["snr"].values
    cells = (
        Cell(
            str(count), scenario.replace(sources=(count, count), snr_db=(snr, snr)), second=str(snr)
        )
        for count in range(1, K_MAX + 1)
        for snr in snrs
    )
    over_snr = sweep("snr", pairs)
    at_one = sweep("sources", scenario.replace(snr_db=(10, 10)))
    return (
        Table("all", "scenes", everything),
        Table("by_sources", "sources", everything, "sources"),
        Table("by_snr", "SNR (dB)", everything, "snr"),
        Table("by_distance", "distance (m)", everything, "distance"),
        Table("by_azimuth", "azimuth (deg)", everything, "azimuth"),
        Table("two_sources_over_snr", over_snr.axis, over_snr.cells),
        Table("error_over_sources_at_10_db", at_one.axis, at_one.cells),
        Table("heat_map", "sources x SNR (dB)", tuple(cells)),
    )


BATTERIES: Mapping[str, Callable[[Scenario], tuple[Table, ...]]] = MappingProxyType(
    {"original": _original}
)
"""Named sets of tables. `original` is what the original system was judged by."""


def battery(name: str, scenario: Scenario) -> tuple[Table, ...]:
    """The tables of a battery.

    Raises:
        InputError: another name.
    """
    check_choice("battery", name, BATTERIES)
    return BATTERIES[name](scenario)
