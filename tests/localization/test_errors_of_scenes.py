"""Matching and scoring."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from localization_helpers import draw

from ris_pipeline._errors import InputError
from ris_pipeline.localization import (
    cramer_rao_bound,
    estimation_errors,
    great_circle,
    locate,
    match_sources,
    summarise,
)
from ris_pipeline.localization.scoring.matching import exchange_neighbours

ANGLE = st.floats(-1.4, 1.4)
PLACES = st.lists(st.tuples(ANGLE, ANGLE), min_size=1, max_size=4)


def both(places):
    azimuth, elevation = torch.tensor([places], dtype=torch.float64).unbind(-1)
    return azimuth, elevation, torch.ones_like(azimuth, dtype=torch.bool)


@given(PLACES, PLACES)
def test_no_other_pairing_has_a_smaller_sum(found, true):
    match = match_sources(*both(found), *both(true))[0].tolist()
    pairs = [(k, e) for k, e in enumerate(match) if e >= 0]
    assert len(pairs) == min(len(found), len(true)) == len({e for _, e in pairs})
    angle = great_circle(*(x[0][None, :] for x in both(found)[:2]), *(x.mT for x in both(true)[:2]))
    cost = sum(float(angle[k, e]) for k, e in pairs)
    rows, columns = range(len(true)), range(len(found))
    if len(true) <= len(found):
        others = (zip(rows, p, strict=True) for p in itertools.permutations(columns, len(true)))
    else:
        others = (zip(p, columns, strict=True) for p in itertools.permutations(rows, len(found)))
    best = min(sum(float(angle[k, e]) for k, e in pairing) for pairing in others)
    assert cost <= best + 1e-12


@given(ANGLE, ANGLE, ANGLE, ANGLE)
def test_the_great_circle_is_the_angle_between_unit_vectors(a, b, c, d):
    angle = great_circle(*(torch.tensor(x, dtype=torch.float64) for x in (a, b, c, d)))
    cosine = math.cos(b) * math.cos(d) * math.cos(a - c) + math.sin(b) * math.sin(d)
    # The arc cosine loses half the digits near zero; the chord does not.
    assert float(angle) == pytest.approx(math.acos(max(-1.0, min(1.0, cosine))), abs=1e-7)


def test_a_small_angle_keeps_its_digits():
    zero = torch.zeros((), dtype=torch.float64)
    small = torch.tensor(1e-9, dtype=torch.float64)
    torch.testing.assert_close(great_circle(small, zero, zero, zero), small)


def test_inactive_slots_match_nothing():
    azimuth = torch.tensor([[0.1, 0.2]])
    active = torch.tensor([[True, False]])
    match = match_sources(azimuth, azimuth, active, azimuth.flip(1), azimuth.flip(1), active)
    assert match.tolist() == [[0, -1]]
    nothing = torch.tensor([[False, False]])
    assert match_sources(azimuth, azimuth, nothing, azimuth, azimuth, active).tolist() == [[-1, -1]]


def test_of_two_sources_one_behind_the_other_each_gets_its_distance():
    scenes = draw(1, sources=(2, 2))
    near, far = 0.6, 5.0
    sources = replace(
        scenes.sources,
        azimuth=torch.tensor([[0.100, 0.107]]),
        elevation=torch.tensor([[0.0, 0.0]]),
        distance=torch.tensor([[near, far]]),
    )
    scenes = replace(scenes, sources=sources)
    # By angle alone the near one would be matched to the far estimate, and the other way round.
    found = replace(
        locate(scenes, 2),
        azimuth=torch.tensor([[0.106, 0.103]]),
        elevation=sources.elevation,
        distance=sources.distance,
    )
    errors = estimation_errors(found, scenes)
    assert errors.match.tolist() == [[0, 1]]
    assert errors.detected.all()
    assert errors.error[..., 2].abs().max() == 0
    # Without distances only the angles count.
    flat = replace(found, distance=torch.full_like(found.distance, torch.nan))
    assert estimation_errors(flat, scenes).match.tolist() == [[1, 0]]
    # An estimate beyond the gate of a source is not given to it, however well its distance fits.
    beyond = estimation_errors(found, scenes, angle=0.005)
    assert beyond.match.tolist() == [[1, 0]]
    assert beyond.detected.all()


@given(st.data())
def test_exchanges_keep_who_is_matched_and_never_fit_worse(data):
    k = data.draw(st.integers(1, 4))
    match = torch.tensor([data.draw(st.permutations([-1, *range(k)]))[:k]])
    flags = st.lists(st.booleans(), min_size=k, max_size=k)
    costs = st.lists(st.integers(0, 9), min_size=k, max_size=k)
    allowed = torch.tensor([data.draw(st.lists(flags, min_size=k, max_size=k))])
    mismatch = torch.tensor([data.draw(st.lists(costs, min_size=k, max_size=k))]).double()
    new = exchange_neighbours(match, allowed, mismatch)[0].tolist()
    old = match[0].tolist()
    fixed = [i for i in range(k) if old[i] < 0 or not allowed[0, i, old[i]]]
    moving = [i for i in range(k) if i not in fixed]
    assert [new[i] for i in fixed] == [old[i] for i in fixed]
    assert sorted(new[i] for i in moving) == sorted(old[i] for i in moving)
    assert all(allowed[0, i, new[i]] for i in moving)
    orders = itertools.permutations([old[i] for i in moving])
    possible = [o for o in orders if all(allowed[0, i, e] for i, e in zip(moving, o, strict=True))]
    sums = [sum(mismatch[0, i, e] for i, e in zip(moving, o, strict=True)) for o in possible]
    assert sum(mismatch[0, i, new[i]] for i in moving) == min(sums)


@pytest.fixture(scope="module")
def located():
    scenes = draw(24, sources=(1, 3), snr_db=(25, 25))
    return scenes, locate(scenes, scenes.sources.count)


def test_errors_are_estimate_less_truth(located):
    scenes, found = located
    errors = estimation_errors(found, scenes)
    truth = scenes.sources
    for b, k in itertools.product(range(scenes.size), range(truth.azimuth.shape[1])):
        e = int(errors.match[b, k])
        assert (e >= 0) == bool(truth.active[b, k])
        if e >= 0:
            assert errors.error[b, k, 2] == found.distance[b, e] - truth.distance[b, k]
        else:
            assert torch.isnan(errors.error[b, k]).all()
    assert not errors.detected[~truth.active].any()
    assert errors.correct_number.all()


def test_a_perfect_estimate_has_no_error_and_a_missing_one_is_not_detected(located):
    scenes, found = located
    truth = scenes.sources
    slots = found.azimuth.shape[1]
    perfect = replace(
        found,
        azimuth=truth.azimuth[:, :slots],
        elevation=truth.elevation[:, :slots],
        distance=truth.distance[:, :slots],
        count=truth.count,
    )
    result = summarise(perfect, scenes, 25.0)
    assert result.detected == result.correct_number == 1.0
    assert result.rmse == result.ratio == result.normalized == (0.0, 0.0, 0.0)
    none = summarise(replace(perfect, count=torch.zeros_like(truth.count)), scenes, 25.0)
    assert none.detected == none.correct_number == 0.0
    assert all(math.isnan(x) for x in none.rmse)


def test_the_row_is_rmse_over_the_root_of_the_mean_bound(located):
    scenes, found = located
    bound, errors = cramer_rao_bound(scenes), estimation_errors(found, scenes)
    result = summarise(found, scenes, 25.0)
    chosen = errors.detected
    limit = bound[chosen].mean(0).sqrt()
    rmse = errors.error[chosen].square().mean(0).sqrt()
    assert result.sources == int(scenes.sources.count.sum())
    assert result.scenes == 24
    assert result.rmse[0] == pytest.approx(math.degrees(rmse[0]))
    assert result.bound[2] == pytest.approx(float(limit[2]))
    assert result.ratio == pytest.approx((rmse / limit).tolist())
    assert result == summarise(found, scenes, 25.0, bound)


def test_unusable_batches_are_rejected(located):
    _, found = located
    with pytest.raises(InputError, match=r"estimates\.count has shape"):
        estimation_errors(found, draw(3))
