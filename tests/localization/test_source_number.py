"""How many sources: the criteria, what each costs, and how sure the answer is."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from localization_helpers import MOVING, SMALL, draw, noiseless
from scipy.stats import binom

from ris_pipeline._errors import InputError
from ris_pipeline.localization import CRITERIA, Threshold, locate, measure
from ris_pipeline.localization.random_field import exceedance
from ris_pipeline.localization.source_number import (
    Searched,
    aic_penalty,
    bic_penalty,
    eigenvalue_number,
    number_confidence,
    source_costs,
    threshold_penalty,
    whitened_eigenvalues,
)

pytestmark = pytest.mark.no_shapes

BLOCKS = {**SMALL, "codebook": "random", "blocks": 12}
RARE = 1e-6  # probability of a test that fails though the code is right


def on_grid(places: int) -> Searched:
    """Points with nothing between them."""
    return Searched(places, torch.ones(1, 1, dtype=torch.float64))


def test_penalties_are_those_of_the_papers():
    # T = 1, L M = 256: 3 coordinates and 2 real amplitudes of 512 real numbers.
    assert bic_penalty(1, 256) == pytest.approx(5 * math.log(512))
    assert aic_penalty(1) == 10
    assert aic_penalty(4, coordinates=2) == 20
    assert source_costs("aic", 1, 256, 3, on_grid(1000), 3) == (0, 10, 20, 30)
    bic = bic_penalty(1, 256, 2)
    assert source_costs("bic", 1, 256, 2, on_grid(1000), 2) == (0, bic, 2 * bic)


@pytest.mark.parametrize("found", [0, 2])
@pytest.mark.parametrize(("blocks", "rows"), [(1, 48), (1, 8), (6, 8)])
def test_one_place_of_white_noise_passes_as_often_as_stated(blocks: int, rows: int, found: int):
    draws, stated = 20_000, 0.05
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(draws, blocks, rows, 2, generator=generator, dtype=torch.float64)
    power = noise.square().sum(-1)
    # One number a block is explained, `found` others in all were taken by sources before.
    power[:, 0, rows - found :] = 0
    left, whole = power[..., 1:].sum((1, 2)), power.sum((1, 2))
    ratio = 2 * blocks * rows * (whole / left).log()
    passed = int((ratio > threshold_penalty(blocks, rows, 1, stated, float(found))).sum())
    low, high = binom.ppf([RARE, 1 - RARE], draws, stated)
    assert low <= passed <= high


def test_more_places_and_fewer_false_alarms_cost_more():
    costs = [threshold_penalty(1, 256, places, p) for places, p in ((1, 0.1), (9, 0.1), (9, 0.01))]
    assert costs == sorted(costs)
    assert source_costs("threshold", 1, 256, 3, on_grid(9), 1) == (0, costs[-1])


def test_the_threshold_of_one_block_is_a_power():
    # T = 1: the probability of Beta(1, n) above b is (1 - b)^n.
    for alarm in (0.3, 1e-12, 1e-200):
        cost = threshold_penalty(1, 16, 10, alarm, 12.5)
        assert cost == pytest.approx(-2 * 16 * math.log(alarm / 10) / 2.5)


def test_a_source_beside_others_costs_more():
    steps = np.diff(source_costs(Threshold(0.1), 2, 8, 3, on_grid(9), 4))
    # Each has taken two amplitudes and half of three coordinates.
    alone = [threshold_penalty(2, 8, 9, 0.1, 3.5 * k) for k in range(4)]
    assert steps == pytest.approx(alone)
    assert (np.diff(steps) > 0).all()


def test_bic_of_few_numbers_costs_what_the_search_does():
    few, many = (source_costs("bic", 1, rows, 3, on_grid(5000), 2) for rows in (16, 256))
    assert few == source_costs(Threshold(0.01), 1, 16, 3, on_grid(5000), 2)
    assert many == (0, bic_penalty(1, 256), 2 * bic_penalty(1, 256))


@pytest.mark.slow
def test_noise_alone_gives_bic_no_source_where_few_numbers_are_measured():
    scenes = 100
    noise = draw(scenes, snr_db=(10, 10), codes=2)
    noise = replace(noise, snapshots=noise.snapshots - noiseless(noise).snapshots)
    assert int((locate(noise).count > 0).sum()) <= binom.ppf(1 - RARE, scenes, 0.01)


@pytest.mark.slow
def test_noise_gives_a_source_no_more_often_than_stated():
    stated, scenes = 0.1, 100
    noise = draw(scenes, snr_db=(10, 10))
    noise = replace(noise, snapshots=noise.snapshots - noiseless(noise).snapshots)
    alarms = int((locate(noise, criterion=Threshold(stated)).count > 0).sum())
    assert alarms <= binom.ppf(1 - RARE, scenes, stated)


@pytest.mark.slow
@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_counts_two_strong_sources(criterion: str):
    scenes = draw(6, sources=(2, 2), snr_db=(30, 30), distance=(0.5, 3.0), **_blocks())
    found = locate(scenes, criterion=criterion)
    right = found.count == 2
    if criterion == "aic":
        # AIC is known to ask for too many.
        assert (found.count >= 2).all()
    else:
        assert right.sum() >= 5
    assert ((found.confidence > 0) & (found.confidence <= 1)).all()


def _blocks():
    return {key: value for key, value in BLOCKS.items() if key != "distance"}


def test_a_given_number_has_no_confidence():
    found = locate(draw(3, sources=(1, 1)), 1)
    assert found.confidence is not None
    assert torch.isnan(found.confidence).all()


def test_confidence_is_the_weight_of_the_chosen_among_the_tried():
    values = torch.tensor([[10.0, 4.0, 8.0], [0.0, torch.inf, torch.inf]], dtype=torch.float64)
    confidence = number_confidence(values, torch.tensor([1, 0]))
    torch.testing.assert_close(
        confidence,
        torch.tensor([1 / (1 + math.exp(-3) + math.exp(-2)), 1.0], dtype=torch.float64),
    )


def test_the_eigenvalues_of_noise_are_its_variance():
    scenes = draw(32, snr_db=(10, 10), **{**BLOCKS, "blocks": 4})
    noise = replace(scenes, snapshots=scenes.snapshots - noiseless(scenes).snapshots)
    values, samples = whitened_eigenvalues(measure(noise))
    assert (values.shape, samples) == ((32, 4), 36)
    mean = values.mean(1) / scenes.noise_variance
    # Mean of 36 x 4 exponential variables in 32 scenes, five deviations.
    assert abs(mean.mean() - 1) < 5 / (32 * 36 * 4) ** 0.5


def test_noiseless_sources_are_counted_by_eigenvalues():
    scenes = noiseless(draw(8, sources=(1, 3), **BLOCKS))
    for criterion in ("eigenvalue_mdl", "eigenvalue_aic"):
        count, confidence = eigenvalue_number(measure(scenes), criterion, 5)
        assert torch.equal(count, scenes.sources.count)
        assert (confidence > 0.5).all()


@pytest.mark.parametrize(
    ("settings", "criterion", "message"),
    [
        (SMALL, "mdl", "criterion = 'mdl': allowed are bic, aic, threshold"),
        (SMALL, "eigenvalue_mdl", "with blocks = 1: allowed is 2 or more"),
        (MOVING, "eigenvalue_aic", "with 8 numbers a block for 36 elements"),
    ],
)
def test_a_criterion_that_cannot_be_used_is_one_clear_line(settings, criterion, message):
    with pytest.raises(InputError, match=message) as caught:
        locate(draw(2, **settings), criterion=criterion)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, math.nan])
def test_a_false_alarm_that_is_no_probability_is_rejected(probability: float):
    with pytest.raises(InputError, match="false_alarm ="):
        Threshold(probability)


def test_codes_without_full_rank_have_no_eigenvalues():
    scenes = draw(2, **BLOCKS)
    flat = replace(scenes, codes=torch.ones_like(scenes.codes))
    with pytest.raises(InputError, match="without full rank"):
        whitened_eigenvalues(measure(flat))


@pytest.mark.parametrize("blocks", [1, 8])
def test_what_lies_between_the_points_costs_more(blocks: int):
    # Few numbers and several blocks: the level of the whole domain is what is asked for.
    sizes = torch.tensor([[1.0, 14.0, 59.0, 52.0]], dtype=torch.float64)
    rows, test = 16 // blocks + 4, Threshold(0.01)
    few = source_costs(test, blocks, rows, 3, on_grid(234), 2)
    all_of_it = source_costs(test, blocks, rows, 3, Searched(234, sizes), 2)
    assert (np.diff(all_of_it) > np.diff(few)).all()
    level = torch.tensor([all_of_it[1] / (2 * blocks * rows)], dtype=torch.float64)
    assert exceedance(level, sizes, blocks, blocks * rows).item() == pytest.approx(0.01, rel=1e-6)
