"""Estimators compared on the same scenes."""

import math

import numpy as np
import pytest
from evaluation_helpers import FAKES, TINY, records

from ris_pipeline.evaluation import COMPARED, Standing, Task, compare, evaluate_unit, judged

HALF_PERCENT = 5e-3
"""Single precision of the angles, as in `test_statistics`."""


def unit(name: str, scenes: int = 40):
    return evaluate_unit(Task(TINY, name, True, 0, 0, scenes), FAKES[name])


def against(name: str, scenes: int = 40):
    ours = unit("maximum_likelihood", scenes)
    return compare(ours, unit(name, scenes), ours.active)


def test_the_smaller_error_beats_the_larger():
    row = against("near")
    assert list(row) == list(COMPARED)
    assert row["resolved_by_both"] == row["sources"]
    assert row["detected_difference"] == 0
    assert row["azimuth_ratio"] == pytest.approx(0.5, rel=HALF_PERCENT)
    assert row["distance_ratio"] == pytest.approx(1.0, rel=HALF_PERCENT)
    assert judged(row) == (Standing.BEATEN, ())


def test_more_sources_found_beat_fewer():
    row = against("wide")
    assert row["detected_difference"] == 1
    assert row["resolved_by_both"] == 0
    assert math.isnan(row["azimuth_ratio"])
    assert judged(row) == (Standing.BEATEN, ())


def test_the_other_way_round_it_is_worse_and_says_in_what():
    near, nearer = unit("near"), unit("maximum_likelihood")
    assert judged(compare(near, nearer, near.active)) == (Standing.WORSE, ("gospa", "azimuth"))
    assert judged(compare(unit("wide"), near, near.active)) == (
        Standing.WORSE,
        ("detected", "gospa"),
    )


def test_an_estimator_meets_itself():
    row = against("maximum_likelihood")
    assert judged(row) == (Standing.MET, ())
    assert row["gospa_ratio"] == row["gospa_ratio_low"] == row["gospa_ratio_high"] == 1


def test_errors_are_compared_over_the_sources_that_both_resolve():
    ours = records([2] * 20, error=np.full((20, 5, 3), 1.0))
    theirs = records([2] * 20, error=np.full((20, 5, 3), 1.0))
    # The one source that only we resolve is a hard one: it must not tell against us.
    ours.error[:, 1] = 100.0
    theirs.resolved[:, 1] = theirs.detected[:, 1] = False
    row = compare(ours, theirs, ours.active)
    assert row["resolved_by_both"] == 20
    assert row["azimuth_ratio"] == 1
    assert row["detected_difference"] == 0.5


def test_the_interval_is_that_of_the_pairs():
    random = np.random.default_rng(0)
    hard = random.random((200, 5)) < 0.5
    ours, theirs = records([1] * 200), records([1] * 200)
    # Scenes differ much, the estimators in one scene of twenty.
    ours.detected[:] &= ~hard
    theirs.detected[:] = ours.detected & ~(np.arange(200) % 20 == 0)[:, None]
    row = compare(ours, theirs, ours.active)
    assert 0 < row["detected_difference_low"] < row["detected_difference"] < 0.05
    # Unpaired, the interval would be +-0.1.
    assert row["detected_difference_high"] - row["detected_difference_low"] < 0.06
    assert judged(row)[0] is Standing.BEATEN


def test_without_a_distance_angles_are_compared_and_parts_have_no_gospa():
    ours, theirs = unit("maximum_likelihood"), unit("flat")
    row = compare(ours, theirs, ours.active)
    assert row["azimuth_ratio"] == pytest.approx(0.5, rel=HALF_PERCENT)
    assert math.isnan(row["distance_ratio"])
    part = compare(ours, theirs, ours.active, covers_scenes=False)
    assert math.isnan(part["gospa_ratio"])
    assert part["azimuth_ratio"] == row["azimuth_ratio"]


def test_few_scenes_decide_nothing():
    assert judged(against("wide", scenes=5)) == (Standing.TOO_FEW, ())
    ours = unit("near")
    empty = compare(ours, ours, np.zeros_like(ours.active))
    assert judged(empty) == (Standing.TOO_FEW, ())
