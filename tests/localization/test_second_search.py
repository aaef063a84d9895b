"""Fits that may be wrong are told from those that are not, and searched again."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from localization_helpers import MOVING, draw, true_parameters
from scipy.stats import binom
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.localization import Estimates, SteeringGrid, locate, measure, steering_grid
from ris_pipeline.localization.coordinates import resolution_cell, search_domain
from ris_pipeline.localization.grid_search.detection import build_detector
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.least_squares.refinement import refine
from ris_pipeline.localization.maximum_likelihood.relax import (
    Found,
    Search,
    best_start,
    prepare_search,
)
from ris_pipeline.localization.maximum_likelihood.second_search import (
    LEVEL,
    LIKELY,
    consistent,
    search_again,
)
from ris_pipeline.localization.measurement.whitening import amplitude_ridge
from ris_pipeline.scene import SceneBatch, SceneSet, Split, sensing_matrix

pytestmark = pytest.mark.no_shapes

RARE = 1e-6  # probability of a test that fails though the code is right


def searched(scenes) -> Search:
    scenario = scenes.scenario
    detector = build_detector(steering_grid(scenario), scenes.codes)
    cell = resolution_cell(scenario)
    return prepare_search(detector, measure(scenes), search_domain(scenario), cell / 2)


def test_right_fits_are_consistent_but_for_the_stated_part():
    scenes = draw(300, sources=(2, 2), snr_db=(15, 15))
    search = searched(scenes)
    active = scenes.sources.active
    fit = refine(search.white, true_parameters(scenes), active, search.domain).fit
    called = int((~consistent(search, Found(true_parameters(scenes), fit.objective), 3)).sum())
    assert called <= binom.ppf(1 - RARE, 300, LEVEL)
    # Pairs of one beamwidth can look like one source.
    assert consistent(search, first_source(search, scenes), 3).double().mean() < 0.1


def first_source(search: Search, scenes: SceneBatch) -> Found:
    """The first of the true sources alone."""
    one = true_parameters(scenes)[:, :1]
    return Found(one, linearise(search.white, one, scenes.sources.active[:, :1]).objective)


def test_without_outside_right_fits_are_unremarkable_but_for_the_stated_part():
    scenes = draw(100, **{**MOVING, "blocks": 12, "sources": (2, 2), "snr_db": (15, 15)})
    assert measure(scenes).outside() is None
    search = searched(scenes)
    assert (search.white.ridge == 0).all()
    places = true_parameters(scenes)
    fit = refine(search.white, places, scenes.sources.active, search.domain)
    called = int((~consistent(search, Found(fit.parameters, fit.fit.objective), 3)).sum())
    assert called <= binom.ppf(1 - RARE, 100, LIKELY)
    wrong = places.clone()
    wrong[:, 1] = torch.tensor([0.3, -0.4, 1.0])
    wrong = refine(search.white, wrong, scenes.sources.active, search.domain)
    far = wrong.fit.objective > 3 * fit.fit.objective
    assert far.sum() > 30
    there = Found(wrong.parameters, wrong.fit.objective)
    assert not consistent(search.take(torch.nonzero(far)[:, 0]), there.take(far), 3).any()


def test_without_outside_nobody_knows_of_one_source_or_one_block():
    for settings in ({"sources": (1, 1)}, {"sources": (2, 2), "blocks": 1, "codes": 4}):
        scenes = draw(3, **{**MOVING, **settings})
        search = searched(scenes)
        assert search.outside is None
        places = true_parameters(scenes)
        objective = linearise(search.white, places, scenes.sources.active).objective
        assert not consistent(search, Found(places, objective), 3).any()


def test_the_energy_outside_is_noise_alone():
    scenes = draw(64, sources=(2, 2), snr_db=(40, 40))
    outside = measure(scenes).outside()
    assert outside.dimensions.eq(12).all()
    mean = (outside.noise / scenes.noise_variance).mean()
    # 64 times 12 exponential variables, five deviations.
    assert abs(mean - 1) < 5 / (64 * 12) ** 0.5


@pytest.mark.parametrize("blocks", [1, 3])
def test_codes_that_repeat_leave_more_outside(blocks):
    scenes = draw(64, sources=(2, 2), blocks=blocks)
    twice = scenes.codes.clone()
    twice[:, 1::2] = twice[:, ::2]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(scenes.snapshots.shape, dtype=torch.complex128, generator=generator)
    outside = measure(replace(scenes, codes=twice, snapshots=noise)).outside()
    phi = sensing_matrix(scenes.channel, twice)
    free = blocks * phi.shape[2] - torch.linalg.matrix_rank(phi).sum(1)
    assert free.min() > blocks * (phi.shape[2] - phi.shape[3])
    torch.testing.assert_close(outside.dimensions, free.double())
    # As many exponential variables, five deviations.
    assert abs(outside.noise.mean() - 1) < 5 / free.sum() ** 0.5


@pytest.mark.slow
def test_a_source_in_the_wrong_place_is_brought_back():
    scenario = Scenario(power="power_control", sources=(2, 2), snr_db=(20, 20))
    scenes = SceneSet(scenario, seed=3, size=12).scenes(0, 12)
    search, active = searched(scenes), scenes.sources.active
    right = refine(search.white, true_parameters(scenes), active, search.domain)
    wrong = right.parameters.clone()
    wrong[:, 1] = torch.tensor([0.3, -0.4, 1.0])
    wrong = refine(search.white, wrong, active, search.domain)
    assert (wrong.fit.objective > 2 * right.fit.objective).sum() >= 8
    start = Found(wrong.parameters, wrong.fit.objective)
    again = search_again(search, start, 3, one_more=True)
    objective = linearise(search.white, again.parameters, active).objective
    torch.testing.assert_close(objective, again.objective, rtol=1e-6, atol=0)
    # Stage tolerance: a tenth of a deviation adds 0.01 sigma^2 to some 250.
    assert (again.objective < (1 + 1e-3) * right.fit.objective).sum() >= 11


def test_a_single_source_is_searched_again_too():
    """With three codes a side lobe is the highest point of the grid in this scene."""
    scenario = Scenario(power="power_control", sources=(1, 1), snr_db=(10, 10), codes=3)
    scenes = SceneSet(scenario, 2, 1000, Split.TEST).scenes(276, 277)
    found, right = objectives(scenes, locate(scenes, 1))
    assert found < right * (1 + 0.5 / 48)


def objectives(scenes: SceneBatch, found: Estimates) -> tuple[Tensor, Tensor]:
    """What the sources found leave, and what the minimum next to the truth leaves."""
    data = measure(scenes)
    data = replace(data, ridge=amplitude_ridge(data, data.outside()))
    active, domain = scenes.sources.active, search_domain(scenes.scenario)
    places = torch.stack((found.azimuth, found.elevation, 1 / found.distance), dim=-1).double()
    right = refine(data, true_parameters(scenes), active, domain).fit
    return linearise(data, places, active).objective, right.objective


FOUR = Scenario(power="power_control", sources=(4, 4), snr_db=(10, 10))


def four_sources(index: int) -> SceneBatch:
    return SceneSet(FOUR, 2, 1000, Split.TEST).scenes(index, index + 1)


@cache
def grid_of_four() -> SteeringGrid:
    return steering_grid(FOUR)


@pytest.mark.slow
@pytest.mark.parametrize("index", [403, 461, 900, 904])
def test_one_source_between_two_is_parted(index: int):
    """Four scenes in which the fourth source went to where noise is and one stood for two."""
    scenes = four_sources(index)
    found, right = objectives(scenes, locate(scenes, 4, grid_of_four()))
    # Half a unit of ln likelihood, M L = 256: less is not another place.
    assert found < right * (1 + 0.5 / 256)


@pytest.mark.slow
@pytest.mark.parametrize("index", [65, 95])
def test_sources_do_not_cancel(index: int):
    """Two scenes in which the plain likelihood ended with amplitudes in the hundreds."""
    scenes = four_sources(index)
    found = locate(scenes, 4, grid_of_four())
    assert (found.power < 4).all()
    assert found.noise_variance < 1.5 * scenes.noise_variance


def test_of_several_starts_of_a_scene_the_best_is_kept():
    scenes = draw(4, sources=(2, 2), snr_db=(20, 20))
    search, active = searched(scenes), scenes.sources.active
    right = refine(search.white, true_parameters(scenes), active, search.domain)
    wrong = true_parameters(scenes).flip(0)
    before = Found(wrong, linearise(search.white, wrong, active).objective)
    index = torch.tensor([0, 2, 0, 2, 0])
    start = torch.stack((wrong[0], wrong[2], right.parameters[0], right.parameters[2], wrong[0]))
    after = best_start(search, before, index, start)
    assert (after.objective < before.objective).tolist() == [True, False, True, False]
    assert (after.objective[index] <= right.fit.objective[index] * (1 + 1e-3)).all()
    assert torch.equal(after.objective[[1, 3]], before.objective[[1, 3]])
    assert torch.equal(after.parameters[[1, 3]], wrong[[1, 3]])
