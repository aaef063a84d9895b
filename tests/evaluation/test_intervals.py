"""Confidence intervals: published values, coverage, and what few scenes allow."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from ris_pipeline.evaluation.intervals import (
    FEWEST,
    bootstrap_interval,
    mean_interval,
    resampled_sums,
    share_interval,
)

REPEATS = 400
MISSES = int(binom.isf(1e-6, REPEATS, 0.07))
"""Misses that an interval which misses 7 times in 100 passes once in a million runs."""
ROUNDING = 1e-12
"""Two formulas of a dozen operations each: a thousand units in the last place."""


@pytest.mark.parametrize(("hits", "total"), [(1, 20), (7, 10), (150, 300)])
def test_one_source_a_scene_is_wilson(hits, total):
    seen = (np.arange(total) < hits).astype(float)
    share, low, high = share_interval(seen, np.ones(total))
    # With m - 1 for m in the variance between scenes, the design effect is m / (m - 1).
    effective = total - 1
    wilson = binomtest(hits, total).proportion_ci(method="wilson")
    assert share == hits / total
    assert low < share < high
    z = 1.959963984540054
    half = z * math.sqrt(share * (1 - share) / effective + z**2 / (4 * effective**2))
    half /= 1 + z**2 / effective
    assert (high - low) / 2 == pytest.approx(half, rel=ROUNDING)
    assert wilson.high - wilson.low == pytest.approx(high - low, rel=2 / total)


@pytest.mark.parametrize("hits", [0, 12])
def test_all_or_none_is_wilson_with_scenes_for_trials(hits):
    share, low, high = share_interval(np.full(12, hits / 12), np.ones(12))
    wilson = binomtest(hits, 12).proportion_ci(method="wilson")
    assert share == hits / 12
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=ROUNDING)


def test_sources_that_stand_and_fall_together_count_once_a_scene():
    hits = np.repeat([4.0, 0.0], 25)
    together = share_interval(hits, np.full(50, 4.0))
    single = share_interval(hits / 4, np.ones(50))
    assert together == pytest.approx(single, abs=ROUNDING)


def test_no_source_no_share():
    assert np.isnan(share_interval(np.zeros(3), np.zeros(3))).all()
    assert np.isnan(share_interval(np.zeros(0), np.zeros(0))).all()


def test_a_scene_without_such_a_source_changes_nothing():
    hits, total = np.array([1.0, 0, 2, 1]), np.array([2.0, 1, 2, 1])
    padded = share_interval(np.append(hits, 0), np.append(total, 0))
    assert share_interval(hits, total) == padded


def test_one_scene_still_has_an_honest_interval():
    share, low, high = share_interval(np.array([1.0]), np.array([1.0]))
    assert (share, high) == (1, 1)
    assert low < 0.25


def test_the_interval_of_a_share_covers_it_with_correlated_sources():
    random, missed = np.random.default_rng(3), 0
    for _ in range(REPEATS):
        # Beta-binomial: sources of one scene share its difficulty; the mean is 0.8.
        hits = random.binomial(4, random.beta(1.6, 0.4, 150)).astype(float)
        _, low, high = share_interval(hits, np.full(150, 4.0))
        missed += not low <= 0.8 <= high
    assert missed <= MISSES


def test_the_interval_of_a_ratio_covers_it():
    random, missed = np.random.default_rng(4), 0
    for _ in range(REPEATS):
        pairs = np.stack((random.exponential(2.0, 200), random.exponential(1.0, 200)), axis=-1)
        low, high = bootstrap_interval(pairs, lambda sums: sums[:, 0] / sums[:, 1])
        missed += not low <= 2.0 <= high
    assert missed <= MISSES


def test_resamples_draw_whole_scenes_and_are_the_same_every_time(monkeypatch):
    values = np.ones((30, 1))
    assert (resampled_sums(values) == 30).all()
    pairs = np.random.default_rng(0).random((30, 2))
    np.testing.assert_array_equal(resampled_sums(pairs), resampled_sums(pairs))
    assert resampled_sums(pairs).shape == (999, 2)
    # As many of them where they have to be drawn in pieces.
    monkeypatch.setattr("ris_pipeline.evaluation.intervals._ENTRIES", 3000)
    assert resampled_sums(pairs).shape == (999, 2)
    assert len(np.unique(resampled_sums(pairs)[:, 0])) > 900


def test_too_few_scenes_have_no_bootstrap_interval():
    def ratio(sums):
        return sums[:, 0] / sums[:, 1]

    few = np.ones((FEWEST - 1, 2))
    assert np.isnan(bootstrap_interval(few, ratio)).all()
    # Scenes without a resolved source are no help.
    assert np.isnan(bootstrap_interval(np.vstack((few, np.zeros((50, 2)))), ratio)).all()
    assert bootstrap_interval(np.ones((FEWEST, 2)), ratio) == (1.0, 1.0)
    mean, low, high = mean_interval(np.ones(FEWEST - 1))
    assert mean == 1
    assert math.isnan(low)
    assert math.isnan(high)


def test_of_none_seen_the_high_end_is_that_of_a_poisson_count():
    # P(0 | rate) = 2.5 % at rate = ln 40.
    assert mean_interval(np.zeros(100)) == (0.0, 0.0, pytest.approx(math.log(40) / 100))
    assert np.isnan(mean_interval(np.zeros(0))).all()
