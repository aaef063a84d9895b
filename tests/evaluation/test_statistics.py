"""Rows of a table, and the parts of the scenes they are about."""

import math

import numpy as np
import pytest
from evaluation_helpers import FAKES, OFF, TINY, records, same

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.evaluation import COLUMNS, EMPTY_ROW, Task, evaluate_unit, statistics, strata
from ris_pipeline.evaluation.estimators import ESTIMATORS
from ris_pipeline.localization import cramer_rao_bound, misspecified_cramer_rao_bound
from ris_pipeline.scene import SceneSet, Split

HALF_PERCENT = 5e-3
"""Relative rounding of single precision angles and distances, whose errors are a hundredth of
them, with room."""


def unit(name: str, scenes: int = 30, scenario: Scenario = TINY):
    return evaluate_unit(Task(scenario, name, True, 0, 0, scenes), FAKES[name])


def test_an_estimator_that_is_off_by_a_known_angle():
    found = unit("near")
    row = statistics(found)
    assert list(row) == list(COLUMNS)
    assert row["scenes"] == 30
    assert row["sources"] == found.active.sum() == found.count.sum()
    assert row["detected"] == row["right_number"] == row["resolved"] == 1
    assert row["false_alarms"] == 0
    assert row["azimuth_rmse_deg"] == pytest.approx(math.degrees(OFF), rel=HALF_PERCENT)
    distances = found.distance[found.active]
    expected = np.sqrt(np.mean((0.1 * distances) ** 2))
    assert row["distance_rmse_m"] == pytest.approx(expected, rel=HALF_PERCENT)
    bound = np.sqrt(found.bound[found.active][:, 2].mean())
    assert row["distance_ratio"] == pytest.approx(expected / bound, rel=HALF_PERCENT)
    assert row["distance_ratio_low"] <= row["distance_ratio"] <= row["distance_ratio_high"]


def test_own_snr_adds_up_to_that_of_the_scene():
    one = unit("near", scenario=TINY.replace(sources=(1, 1)))
    # A single source's own SNR is the scene's; both are means over the same snapshots.
    np.testing.assert_allclose(one.own_snr_db[:, 0], one.snr_db, atol=1e-3)
    moving = unit("near", scenario=TINY.replace(sources=(1, 1), blocks=3))
    np.testing.assert_allclose(moving.own_snr_db[:, 0], moving.snr_db, atol=1e-3)


def test_on_an_impaired_panel_the_bound_is_the_misspecified_one():
    impaired = TINY.replace(
        sources=(1, 1), snr_db=(40, 40), impairments={"phase_error_deg": 8.0, "panel_seed": 1}
    )
    task = Task(impaired, "maximum_likelihood", True, 0, 0, 60)
    found = evaluate_unit(task, ESTIMATORS["maximum_likelihood"])
    scenes = SceneSet(impaired, 0, 60, Split.TEST).scenes(0, 60)
    bound = misspecified_cramer_rao_bound(scenes).mean_squared_error.numpy()
    np.testing.assert_array_equal(found.bound[:, :1], bound)
    row = statistics(found)
    # At 40 dB nearly all is bias, the same for everyone; the noise in 60 errors is 1 / sqrt(120).
    assert row["azimuth_normalized"] == pytest.approx(1, abs=1 / math.sqrt(120))
    assert cramer_rao_bound(scenes)[..., 0].mean() < 0.01 * bound[..., 0].mean()


def test_nothing_found():
    for name in ("wide", "silent"):
        row = statistics(unit(name))
        assert row["detected"] == row["resolved"] == 0
        assert row["detected_low"] == 0 < row["detected_high"] < 0.3
        assert math.isnan(row["azimuth_rmse_deg"])
        assert math.isnan(row["azimuth_ratio"])
    assert row["false_alarms"] == 0
    assert row["right_number"] == 0
    # One or two sources missed: sqrt(K) cutoff / sqrt(2).
    assert 2 / math.sqrt(2) < row["gospa_deg"] < 2


def test_unresolved_sources_are_found_but_not_judged():
    row = statistics(unit("unsure"))
    assert row["detected"] == 1
    assert row["resolved"] == 0
    assert math.isnan(row["elevation_rmse_deg"])


def test_an_estimator_without_distance_keeps_its_angles():
    row = statistics(unit("flat"))
    assert row["azimuth_rmse_deg"] == pytest.approx(math.degrees(OFF), rel=HALF_PERCENT)
    assert math.isnan(row["distance_rmse_m"])
    assert math.isnan(row["distance_ratio_low"])
    plane = statistics(unit("flat", scenario=TINY.replace(wavefront="plane")))
    assert plane["azimuth_ratio"] > 0
    assert math.isnan(plane["distance_ratio"])


def test_a_source_of_infinite_bound_is_left_out_of_the_errors():
    found = records([1] * 12, error=np.full((12, 5, 3), 2.0))
    found.bound[0] = np.inf
    found.error[0] = 1e9
    row = statistics(found)
    assert row["azimuth_ratio"] == row["distance_ratio"] == 2
    assert row["detected"] == 1


def test_one_scene_and_no_scene():
    one = statistics(unit("near", scenes=1))
    assert one["scenes"] == 1
    assert one["azimuth_ratio"] > 0
    assert math.isnan(one["azimuth_ratio_low"])
    none = statistics(unit("near"), np.zeros((30, 5), dtype=bool))
    assert none["scenes"] == none["sources"] == 0
    assert all(math.isnan(none[c]) for c in COLUMNS if c not in ("scenes", "sources"))
    assert all(map(math.isnan, EMPTY_ROW.values()))


def test_audible_sources_alone():
    found = records(
        [2, 2], own_snr_db=np.array([[-11.0, -9, *[np.nan] * 3], [5, 5, *[np.nan] * 3]])
    )
    found.detected[0, 0] = False
    row = statistics(found)
    assert row["detected"] == 0.75
    assert row["detected_audible"] == 1


@pytest.mark.parametrize("name", ["sources", "snr", "distance", "azimuth"])
def test_parts_hold_every_source_once(name):
    found = unit("near", scenes=60)
    masks = [stratum.chosen(found) for stratum in strata(name, TINY)]
    np.testing.assert_array_equal(sum(m.astype(int) for m in masks), found.active)
    covers_scenes = strata(name, TINY)[0].covers_scenes
    assert covers_scenes == (name in ("sources", "snr"))
    for stratum, mask in zip(strata(name, TINY), masks, strict=True):
        row = statistics(found, mask, stratum.covers_scenes)
        assert row["sources"] == mask.sum()
        assert math.isnan(row["gospa_deg"]) != (covers_scenes and mask.any())


def test_parts_end_where_the_scenario_does():
    def labels(name, scenario=TINY):
        return [stratum.label for stratum in strata(name, scenario)]

    assert labels("sources") == ["1", "2"]
    assert labels("snr") == ["0..5", "5..10", "10..15", "15..20"]
    assert labels("distance") == ["0.3..1", "1..2"]
    assert labels("azimuth", Scenario(azimuth_deg=(-30, 5))) == ["-30..-20", "-20..0", "0..5"]
    assert labels("snr", TINY.replace(snr_db=(20, 20))) == ["20..20"]
    assert labels("distance", Scenario()) == [
        *("0.5..1", "1..2", "2..4", "4..6", "6..8", "8..10"),
    ]
    assert labels(None) == [""]
    with pytest.raises(InputError, match="allowed are sources, snr, distance, azimuth"):
        strata("colour", TINY)


def test_one_snr_is_one_part_with_every_scene():
    fixed = TINY.replace(snr_db=(20, 20))
    found = unit("near", scenario=fixed)
    (stratum,) = strata("snr", fixed)
    assert same(statistics(found, stratum.chosen(found)), statistics(found))
