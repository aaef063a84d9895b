"""The greedy search against the least-squares problems that it stands for."""

from dataclasses import replace

import pytest
import torch
from localization_helpers import MOVING, SMALL, draw, residual, true_parameters

from ris_pipeline.localization import diffuse_ratio, measure, steering_grid, whiten
from ris_pipeline.localization.coordinates import line_of_sight
from ris_pipeline.localization.grid_search import detection
from ris_pipeline.localization.grid_search.detection import (
    COLLINEAR,
    Detector,
    build_detector,
    detection_spectrum,
    gains_and_whitened,
    grid_gains,
    next_places,
    next_source,
)
from ris_pipeline.scene import sensing_matrix

SETTINGS = {
    "dft": {**SMALL, "dft_shape": (4, 4)},
    "random": {**SMALL, "codebook": "random"},
    "moving": MOVING,
}
EXACT = 1e-9  # float64 throughout, Gram matrices of condition below 1e5


def without_table(detector):
    return Detector(detector.grid, detector.first, detector.second, None)


def gains_at_points(detector, data):
    return detector.grid.at_points(grid_gains(detector, data))


@pytest.mark.parametrize("name", SETTINGS)
def test_grid_gains_are_the_energies_of_the_images(name):
    scenes = draw(3, **SETTINGS[name])
    grid = steering_grid(scenes.scenario, torch.float64, density=0.7)
    detector = build_detector(grid, scenes.codes)
    image = sensing_matrix(scenes.channel, scenes.codes) @ grid.steering.mT
    expected = image.abs().square().sum(2)
    for candidate in (detector, without_table(detector)):
        torch.testing.assert_close(grid_gains(candidate, measure(scenes)), expected)


@pytest.mark.parametrize("name", SETTINGS)
def test_gains_of_many_blocks_are_formed_part_by_part(name, monkeypatch):
    scenes = draw(3, **SETTINGS[name])
    grid = steering_grid(scenes.scenario, torch.float64, density=0.7)
    detector, data = without_table(build_detector(grid, scenes.codes)), measure(scenes)
    expected = grid_gains(detector, data)
    monkeypatch.setattr(detection, "_PAIRS_PAY", 1)
    monkeypatch.setattr(detection, "_TABLE_AT_ONCE", 7 * 2 * max(1, detector.first.numel()))
    torch.testing.assert_close(grid_gains(detector, data), expected)


@pytest.mark.parametrize("name", SETTINGS)
def test_gains_of_white_and_whitened_data_together_are_those_of_each(name):
    scenes = draw(3, **SETTINGS[name])
    grid = steering_grid(scenes.scenario, torch.float64, density=0.7)
    detector, data = build_detector(grid, scenes.codes), measure(scenes)
    ratio = diffuse_ratio(data)
    whitened = whiten(data, ratio, torch.complex128)
    gains, white = gains_and_whitened(detector, data, whitened, ratio)
    torch.testing.assert_close(gains, grid_gains(detector, data))
    torch.testing.assert_close(white, grid_gains(detector, whitened))


def test_the_table_of_pairs_is_kept_for_the_same_codes_and_no_others():
    grid = steering_grid(draw(1, panel=(4, 3)).scenario, torch.float64, density=0.7)
    first, second = torch.triu_indices(grid.panel.elements, grid.panel.elements, 1)
    with torch.inference_mode():
        table = grid.pair_table(first, second)
    assert grid.pair_table(first.clone(), second.clone()) is table
    assert not table.is_inference()
    few = grid.pair_table(first[::2], second[::2])
    pairs = table.shape[1] // 2
    torch.testing.assert_close(few, torch.cat((table[:, :pairs:2], table[:, pairs::2]), 1))


def test_dft_codes_on_an_even_grid_leave_few_interfering_pairs():
    scenes = draw(1, panel=(8, 8), codes=16, dft_shape=(8, 8))
    detector = build_detector(steering_grid(scenes.scenario, density=0.7), scenes.codes)
    # 16 classes of 4 elements, 6 pairs each.
    assert detector.first.numel() == 16 * 6


def test_a_grid_too_large_to_keep_gives_the_same_gains_and_peaks():
    scenes = draw(3)
    grid = steering_grid(scenes.scenario, torch.float64, density=0.7)
    parameters = torch.empty(3, 0, 3, dtype=torch.float64)
    none = torch.empty(3, 0, dtype=torch.bool)
    results = []
    for candidate in (grid, replace(grid, steering=None)):
        detector = build_detector(candidate, scenes.codes)
        gains = grid_gains(detector, measure(scenes))
        there = candidate.at_points(gains)
        results.append((gains, *next_source(detector, measure(scenes), there, parameters, none)))
    for kept, made in zip(*results, strict=True):
        torch.testing.assert_close(kept, made)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_score_is_the_fall_of_the_residual(name):
    scenes = draw(4, sources=(2, 2), snr_db=(10, 10), **SETTINGS[name])
    grid = steering_grid(scenes.scenario, torch.float64, density=0.7)
    detector, data = build_detector(grid, scenes.codes), measure(scenes)
    one = true_parameters(scenes)[:, :1]
    active = torch.ones(4, 1, dtype=torch.bool)
    where, score = next_source(detector, data, gains_at_points(detector, data), one, active)
    both = torch.cat((one, grid.coordinates(where)[:, None]), dim=1)
    fall = residual(scenes, one) - residual(scenes, both)
    torch.testing.assert_close(score, fall, rtol=EXACT, atol=EXACT)


def test_the_best_point_is_the_best_of_all_and_not_a_neighbour_of_the_source():
    scenes = draw(4, sources=(1, 1), snr_db=(20, 20))
    grid = steering_grid(scenes.scenario, torch.float64, density=0.7)
    detector, data = build_detector(grid, scenes.codes), measure(scenes)
    gains, one = gains_at_points(detector, data), true_parameters(scenes)
    active = torch.ones(4, 1, dtype=torch.bool)
    where, score = next_source(detector, data, gains, one, active)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    falls = torch.zeros(4, grid.size, dtype=torch.float64)
    for g in range(grid.size):
        point = grid.coordinates(torch.full((4, 1), g))
        image = phi[:, 0] @ grid.steering[g]
        own = (phi[:, 0] @ _steering(scenes, one)[..., None])[..., 0]
        part = (own.conj() * image).sum(1).abs() / own.norm(dim=1)
        free = image.norm(dim=1).square() - part.square() > COLLINEAR * image.norm(dim=1).square()
        fall = residual(scenes, one) - residual(scenes, torch.cat((one, point), dim=1))
        falls[:, g] = torch.where(free, fall, 0.0)
    torch.testing.assert_close(score, falls.amax(1), rtol=EXACT, atol=EXACT)
    assert torch.equal(where, falls.argmax(1))


def test_places_fall_in_score_and_are_the_best_of_those_left():
    scenes = draw(4, sources=(2, 2), snr_db=(20, 20))
    grid = steering_grid(scenes.scenario, torch.float64, density=0.7)
    detector, data = build_detector(grid, scenes.codes), measure(scenes)
    apart = torch.tensor([0.2, 0.2, 0.5], dtype=torch.float64)
    none = torch.zeros(4, 0, 3, dtype=torch.float64), torch.zeros(4, 0, dtype=torch.bool)
    where, scores = next_places(detector, data, gains_at_points(detector, data), *none, 3, apart)
    left = detection_spectrum(data, grid)
    sight = line_of_sight(grid.coordinates(torch.arange(grid.size)))
    for place in range(3):
        torch.testing.assert_close(scores[:, place], left.amax(1), rtol=EXACT, atol=EXACT)
        assert torch.equal(where[:, place], left.argmax(1))
        gap = (sight - sight[where[:, place]][:, None]).abs()
        left = left.masked_fill((gap <= apart).all(-1), 0.0)


def _steering(scenes, parameters):
    from ris_pipeline.scene import steering_vector

    azimuth, elevation, inverse = parameters[:, 0].unbind(-1)
    return steering_vector(scenes.panel, azimuth, elevation, 1 / inverse)


@pytest.mark.parametrize("name", SETTINGS)
def test_whitening_is_the_inverse_covariance_of_field_and_noise(name):
    scenes = draw(3, **SETTINGS[name])
    eps = torch.tensor([0.3, 3.0, 30.0], dtype=torch.float64)
    whitened = whiten(measure(scenes), eps, torch.complex128)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    covariance = phi @ phi.mH + eps[:, None, None, None] * torch.eye(phi.shape[2])
    matched = phi.mH @ torch.linalg.solve(covariance, scenes.snapshots.flatten(2)[..., None])
    torch.testing.assert_close(whitened.matched, matched[..., 0])
    x = torch.randn(3, phi.shape[-1], 2, dtype=torch.complex128)
    normal = phi.mH @ torch.linalg.solve(covariance, phi @ x[:, None])
    torch.testing.assert_close(whitened.normal(x), normal)


def test_the_diffuse_ratio_is_noise_over_half_the_signal_per_element():
    scenes = draw(64, antennas=12, sources=(1, 1), snr_db=(5, 5))
    eps = diffuse_ratio(measure(scenes))
    phi = sensing_matrix(scenes.channel, scenes.codes)
    power = 0.5 * scenes.noise_variance * 10**0.5 * phi.shape[2]
    expected = scenes.noise_variance / (power / phi.abs().square().sum((1, 2, 3)))
    # 60 complex numbers outside the range of Phi: 13 % in the noise, averaged over 64 scenes; the
    # signal power adds its own few per cent.
    assert (eps / expected).mean() == pytest.approx(1.0, abs=0.1)
