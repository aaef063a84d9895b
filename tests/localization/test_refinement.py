"""The joint refinement: minima, borders, deviations."""

import pytest
import torch
from localization_helpers import MOVING, SMALL, draw, noiseless, residual, true_parameters

from ris_pipeline.localization import cramer_rao_bound, measure, search_domain
from ris_pipeline.localization.coordinates import free_coordinates
from ris_pipeline.localization.least_squares.refinement import refine, standard_deviations
from ris_pipeline.localization.measurement.noise import noise_estimate

FREE = torch.ones(3, dtype=torch.bool)
PUSH = torch.tensor([0.02, 0.02, 0.03], dtype=torch.float64)
"""rad, rad, 1/m: about a twentieth of what a 6 x 6 panel resolves."""


@pytest.mark.parametrize("settings", [SMALL, MOVING], ids=["static", "moving"])
def test_noiseless_sources_are_found_exactly(settings):
    scenes = noiseless(draw(6, sources=(2, 2), **settings))
    truth = true_parameters(scenes)
    domain = search_domain(scenes.scenario)
    refined = refine(measure(scenes), truth + PUSH, scenes.sources.active, domain)
    # The residual is resolved to 1e-16 of the energy, hence coordinates to its root and condition.
    torch.testing.assert_close(refined.parameters, truth, rtol=0, atol=1e-5)
    assert not refined.held.any()


def test_the_end_is_a_minimum_and_never_above_the_start():
    scenes = draw(8, sources=(2, 2), snr_db=(5, 5))
    start = true_parameters(scenes) + PUSH
    domain = search_domain(scenes.scenario)
    start = start.clamp(domain.lower, domain.upper)
    refined = refine(measure(scenes), start, scenes.sources.active, domain)
    assert (refined.fit.rss <= residual(scenes, start)).all()
    torch.testing.assert_close(refined.fit.rss, residual(scenes, refined.parameters))
    inside = refined.converged & ~refined.held.flatten(1).any(1)
    assert inside.sum() >= 4
    for axis in range(6):
        for sign in (-1, 1):
            nearby = refined.parameters.flatten(1).clone()
            nearby[:, axis] += sign * 1e-3
            higher = residual(scenes, nearby.reshape_as(start)) > refined.fit.rss
            assert higher[inside].all()


def test_a_coordinate_beyond_the_border_is_held_there():
    scenes = draw(6, sources=(1, 1), snr_db=(20, 20), azimuth_deg=(12, 18))
    narrow = search_domain(scenes.scenario.model_copy(update={"azimuth_deg": (-10.0, 10.0)}))
    refined = refine(measure(scenes), true_parameters(scenes), scenes.sources.active, narrow)
    assert (refined.parameters >= narrow.lower).all()
    assert (refined.parameters <= narrow.upper).all()
    assert refined.held[:, 0, 0].all()
    std = standard_deviations(refined, torch.ones(6, dtype=torch.float64), FREE)
    assert (std[refined.held] == 0).all()


def test_known_coordinates_are_not_fitted():
    scenes = draw(4, sources=(1, 1), elevation_deg=(10, 10))
    domain = search_domain(scenes.scenario)
    assert free_coordinates(domain, "spherical").tolist() == [True, False, True]
    assert free_coordinates(domain, "plane").tolist() == [True, False, False]
    refined = refine(measure(scenes), true_parameters(scenes), scenes.sources.active, domain)
    assert (refined.parameters[..., 1] == domain.lower[1]).all()
    assert refined.converged.all()


def test_deviations_are_the_bound_at_the_estimate():
    scenes = draw(16, sources=(2, 2), snr_db=(30, 30))
    active = scenes.sources.active
    data = measure(scenes)
    refined = refine(data, true_parameters(scenes), active, search_domain(scenes.scenario))
    std = standard_deviations(refined, scenes.noise_variance, FREE)
    std[..., 2] *= refined.parameters[..., 2] ** -2
    free = ~refined.held.flatten(1).any(1)
    ratio = std[free] / cramer_rao_bound(scenes)[free].sqrt()
    # At 30 dB the estimate is within a few thousandths of the truth and so is its information.
    assert ratio.median() == pytest.approx(1.0, abs=0.02)


def test_the_noise_estimate_is_unbiased():
    scenes = draw(64, sources=(2, 2), snr_db=(10, 10))
    data = measure(scenes)
    domain = search_domain(scenes.scenario)
    refined = refine(data, true_parameters(scenes), scenes.sources.active, domain)
    noise = noise_estimate(data, refined.fit.rss, scenes.sources.count, 3)
    # 43 complex degrees of freedom, 64 scenes: 2 % standard error, four of them.
    assert (noise / scenes.noise_variance).mean() == pytest.approx(1.0, abs=0.08)


def test_a_scene_does_not_feel_its_batch():
    scenes = draw(6, sources=(2, 2), snr_db=(5, 5))
    data, domain = measure(scenes), search_domain(scenes.scenario)
    start = true_parameters(scenes) + PUSH
    together = refine(data, start, scenes.sources.active, domain)
    for i in range(6):
        one = torch.tensor([i])
        alone = refine(data.take(one), start[one], scenes.sources.active[one], domain)
        # Both stop within 1e-3 of a deviation; deviations here are below 0.1.
        torch.testing.assert_close(alone.parameters, together.parameters[one], rtol=0, atol=1e-4)


def test_a_scene_that_has_arrived_waits_where_it_is_for_the_others():
    scenes = draw(6, sources=(2, 2), snr_db=(5, 5))
    data, domain, active = measure(scenes), search_domain(scenes.scenario), scenes.sources.active
    start = refine(data, true_parameters(scenes), active, domain).parameters
    # One of six: too few to be dropped while the others move.
    start[1:] += PUSH
    refined = refine(data, start, active, domain)
    assert refined.converged[0]
    assert torch.equal(refined.parameters[0], start[0])
    assert (refined.parameters[1:] != start[1:]).flatten(1).any(1).all()
