"""A selection of no scenes is answered by no scenes: batches shrink to that at any step."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from localization_helpers import MOVING, draw, true_parameters
from test_second_search import searched

from ris_pipeline.config import Scenario
from ris_pipeline.localization import (
    Estimates,
    cramer_rao_bound,
    gospa,
    locate,
    locate_from_covariance,
    misspecified_cramer_rao_bound,
    steering_grid,
    stochastic_cramer_rao_bound,
    summarise,
    suppose_sources,
)
from ris_pipeline.localization.coordinates import line_of_sight, place_along
from ris_pipeline.localization.maximum_likelihood.evidence import log_evidence
from ris_pipeline.localization.maximum_likelihood.one_more import most_explained, peaks_left
from ris_pipeline.localization.maximum_likelihood.relax import (
    Found,
    add_source,
    drop_weakest,
    likeliest_alone,
    loss_without,
    noise_beside,
    relocate,
)
from ris_pipeline.localization.maximum_likelihood.second_search import (
    consistent,
    search_again,
    unremarkable,
)

SETTINGS = {
    "one block": {"sources": (2, 2)},
    "blocks": {**MOVING, "sources": (2, 2)},
    "blocks of few numbers": {**MOVING, "codes": 1, "antennas": 4, "sources": (2, 2)},
}


def _score(search, found):
    return peaks_left(search, found)[1]


STEPS = {
    "peaks_left": lambda search, found: peaks_left(search, found)[0],
    "most_explained": lambda search, found: most_explained(
        search, found, peaks_left(search, found)[0], 3
    ),
    "add_source": lambda search, found: add_source(search, found.parameters).objective,
    "likeliest_alone": lambda search, _: likeliest_alone(search).objective,
    "drop_weakest": lambda search, found: drop_weakest(search, found.parameters).objective,
    "relocate": lambda search, found: relocate(search, found, 1, 3).objective,
    "loss_without": lambda search, found: loss_without(
        search.white, found.parameters, found.active
    ),
    "noise_beside": lambda search, found: noise_beside(search, found, 3),
    "consistent": lambda search, found: consistent(search, found, 3),
    "unremarkable": lambda search, found: unremarkable(search, found, _score(search, found), 3),
    "search_again": lambda search, found: search_again(search, found, 3, True).objective,
    "log_evidence": lambda search, found: log_evidence(search, found.parameters, found.objective),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_of_the_search(step, settings):
    scenes = draw(3, **settings)
    search = searched(scenes)
    found = Found(true_parameters(scenes), search.white.energy)
    assert step(search, found).shape[0] == 3
    none = torch.arange(0)
    assert step(search.take(none), found.take(none)).shape[0] == 0


def test_places_along_no_line_of_sight():
    assert place_along(line_of_sight(torch.zeros(0, 3))).shape == (0, 3)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_scenes_alone_are_answered_as_in_a_batch(settings):
    # Alone a scene is all that a step selects, or nothing of it.
    scenes = draw(5, **{**settings, "snr_db": (0, 20), "sources": (1, 3)})
    grid = steering_grid(scenes.scenario)
    together = locate(scenes, grid=grid)
    parts = [locate(scenes.between(i, i + 1), grid=grid) for i in range(5)]
    alone = Estimates.joined(parts)
    assert torch.equal(alone.count, together.count)
    assert torch.equal(alone.status, together.status)
    # Steps end within 1e-3 of a deviation, and deviations are some 1e-2 rad.
    torch.testing.assert_close(alone.azimuth, together.azimuth, atol=1e-5, rtol=0, equal_nan=True)


@pytest.mark.parametrize(
    "estimate",
    [locate, partial(locate, number=2), cramer_rao_bound],
    ids=["blind", "told", "bound"],
)
def test_an_empty_batch(estimate):
    estimate(draw(0, **SETTINGS["blocks"]))


@pytest.mark.parametrize("method", ["music", "mvdr", "bartlett", "soft_music"])
@pytest.mark.parametrize("wavefront", ["spherical", "fresnel", "plane"])
def test_no_covariances(method, wavefront):
    scenario = Scenario(panel=(4, 4), wavefront=wavefront)
    none = torch.zeros(0, 16, 16, dtype=torch.complex128)
    found = locate_from_covariance(none, scenario, 2, method)
    assert found.azimuth.shape[0] == 0


BOUNDS = {
    "deterministic": cramer_rao_bound,
    "stochastic": stochastic_cramer_rao_bound,
    "misspecified": lambda scenes: misspecified_cramer_rao_bound(scenes).variance,
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
def test_the_bound_where_no_scene_has_a_slot(bound, settings):
    scenes, none = draw(3, **settings), torch.zeros(3, 0)
    supposed = replace(suppose_sources(scenes, none, none, none), truth=scenes.truth)
    assert bound(supposed).shape == (3, 0, 3)


def test_scores_where_no_scene_has_a_slot():
    scenes, none = draw(3), torch.zeros(3, 0)
    supposed, found = suppose_sources(scenes, none, none, none), locate(scenes)
    assert summarise(found, supposed, 0.0).sources == 0
    assert (gospa(found, supposed) > 0).all()
