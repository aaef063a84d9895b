"""Sweeps and batteries."""

import pytest
from evaluation_helpers import TINY

from ris_pipeline._errors import InputError
from ris_pipeline.config import load_settings
from ris_pipeline.evaluation import BATTERIES, SWEEPS, battery, sweep

REFERENCE = load_settings("reference").scenario


def test_everything_the_issue_asks_for_can_be_swept():
    assert list(SWEEPS) == [
        *("snr", "sources", "distance", "separation", "codes", "blocks", "codebook", "bits"),
        "power_law",
    ]


FIELDS = {
    "snr": ("snr_db", lambda v: (v, v)),
    "sources": ("sources", lambda v: (v, v)),
    "distance": ("distance", lambda v: (v, v)),
    "separation": ("separation_deg", lambda v: v),
    "codes": ("codes", lambda v: v),
    "blocks": ("blocks", lambda v: v),
    "codebook": ("codebook", lambda v: v),
    "bits": ("phase_bits", lambda v: None if v == "none" else v),
    "power_law": ("power", lambda v: v),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_changes_its_property_and_no_other(name):
    field, expected = FIELDS[name]
    table = sweep(name, REFERENCE)
    assert len(table.cells) == len(SWEEPS[name].values) >= 2
    for cell, value in zip(table.cells, SWEEPS[name].values, strict=True):
        changed = {key for key, now in dict(cell.scenario).items() if now != dict(REFERENCE)[key]}
        assert getattr(cell.scenario, field) == expected(value)
        assert changed <= {field} | ({"sources"} if name == "separation" else set())
        if name == "distance":
            # The receiver is not told what the sweep is about.
            assert cell.receiver_scenario.distance == REFERENCE.distance
        else:
            assert cell.receiver_scenario is None


def test_a_receiver_searches_all_distances_of_the_sweep():
    cells = sweep("distance", REFERENCE, (1, 30)).cells
    assert [cell.receiver_scenario.distance for cell in cells] == [(0.5, 30), (0.5, 30)]


def test_labels_are_what_was_typed():
    def labels(name, *values):
        return [cell.label for cell in sweep(name, REFERENCE, values).cells]

    assert labels("snr", -5, 0.5, 10.0, 1e-3) == ["-5", "0.5", "10", "0.001"]
    assert labels("bits", 1, "none") == ["1", "none"]
    assert labels("codebook", "mixed") == ["mixed"]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("colour", (), "allowed are snr, sources"),
        ("snr", (5, 5.0), "values holds 5.0 twice"),
        ("snr", (True,), "values holds True: allowed are numbers and words"),
        ("snr", ([1, 2],), "allowed are numbers and words"),
        ("snr", ("loud",), "snr_db.0 = 'loud'"),
        ("codes", (0.5,), "codes = 0.5"),
        ("sources", (6,), r"allowed is 1 <= first <= second <= 5"),
        ("separation", (200,), "separation_deg = 200"),
        ("bits", (17,), "phase_bits = 17"),
        ("codebook", ("haar",), "codebook = 'haar'"),
    ],
)
def test_a_value_that_cannot_be(name, values, message):
    with pytest.raises(InputError, match=message):
        sweep(name, REFERENCE, values)


def test_the_battery_of_the_original_system():
    assert list(BATTERIES) == ["original"]
    tables = {table.name: table for table in battery("original", REFERENCE)}
    assert list(tables) == [
        *("all", "by_sources", "by_snr", "by_distance", "by_azimuth"),
        *("two_sources_over_snr", "error_over_sources_at_10_db", "heat_map"),
    ]
    for name, group in (
        ("all", None),
        ("by_sources", "sources"),
        ("by_snr", "snr"),
        ("by_distance", "distance"),
        ("by_azimuth", "azimuth"),
    ):
        (cell,) = tables[name].cells
        assert cell.scenario == REFERENCE
        assert tables[name].group == group
    pairs, at_ten = tables["two_sources_over_snr"], tables["error_over_sources_at_10_db"]
    assert {cell.scenario.sources for cell in pairs.cells} == {(2, 2)}
    assert {cell.scenario.snr_db for cell in at_ten.cells} == {(10, 10)}
    assert [cell.scenario.sources for cell in at_ten.cells] == [(k, k) for k in range(1, 6)]
    cells = {cell.scenario for cell in tables["heat_map"].cells}
    assert len(cells) == 5 * 7
    # Tables share their cells: 36 are run, not 52.
    everything = {cell.scenario for table in tables.values() for cell in table.cells}
    assert everything == cells | {REFERENCE}
    with pytest.raises(InputError, match="battery = 'new': allowed are original"):
        battery("new", TINY)
