"""Where the data say nothing, nobody answers: silence, noise alone, covariances without sources."""

from dataclasses import replace

import pytest
import torch
from localization_helpers import draw
from scipy.stats import binom

from ris_pipeline.localization import (
    Status,
    Threshold,
    beamwidths,
    locate,
    locate_from_covariance,
    measure,
    steering_grid,
)
from ris_pipeline.localization.coordinates import resolution_cell, search_domain
from ris_pipeline.localization.random_field import field_sizes, panel_sizes
from ris_pipeline.scene import direction_cosines
from ris_pipeline.spectral import LowRankCovariance

pytestmark = pytest.mark.no_shapes

ALARMS = 0.05
"""Of 200 scenes that are asked for 0.01: more come once in ten million times."""

RARE = 1e-6
"""Probability of a test that fails though the code is right."""


def noise_alone(scenes):
    generator = torch.Generator().manual_seed(0)
    shape, dtype = scenes.snapshots.shape, scenes.snapshots.dtype
    return replace(scenes, snapshots=torch.randn(shape, dtype=dtype, generator=generator))


def test_a_silent_scene_has_no_source_wherever_it_is_put():
    scenes = draw(3, sources=(1, 1))
    found = locate(replace(scenes, snapshots=torch.zeros_like(scenes.snapshots)), 1)
    assert (found.status == Status.UNRESOLVED).all()
    assert torch.isinf(found.std).all()
    assert (found.power == 0).all()
    assert (found.false_alarm == 1).all()


@pytest.mark.slow
def test_noise_alone_is_no_source_when_one_is_asked_for():
    found = locate(noise_alone(draw(200, sources=(1, 1))), 1)
    assert (found.status != Status.UNRESOLVED).double().mean() <= ALARMS


@pytest.mark.slow
def test_a_source_in_noise_is_one_when_two_are_asked_for():
    found = locate(draw(100, sources=(1, 1), snr_db=(20, 20)), 2)
    assert (found.status[:, 0] != Status.UNRESOLVED).double().mean() > 0.9
    assert (found.false_alarm[:, 0] < 1e-6).double().mean() > 0.9
    assert (found.status[:, 1] != Status.UNRESOLVED).double().mean() <= 2 * ALARMS


@pytest.mark.parametrize("method", ["music", "bartlett", "soft_music", "mvdr"])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_white_covariance_has_no_source(method, dtype):
    scenario = draw(1).scenario
    white = torch.eye(scenario.elements, dtype=dtype).repeat(2, 1, 1)
    assert (locate_from_covariance(white, scenario, 1, method).status == Status.UNRESOLVED).all()
    if method != "mvdr":
        nothing = locate_from_covariance(0 * white, scenario, 1, method)
        assert (nothing.status == Status.UNRESOLVED).all()


def test_music_of_two_equal_eigenvalues_has_no_first_source():
    scenario = draw(1).scenario
    factor = torch.linalg.qr(torch.randn(1, scenario.elements, 2, dtype=torch.complex128))[0]
    found = locate_from_covariance(LowRankCovariance(factor), scenario, 1)
    assert (found.status == Status.UNRESOLVED).all()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(6, 6, 1, 8, 8), (4, 4, 3, 2, 1), (3, 3, 2, 2, 1)])
def test_false_alarms_are_as_frequent_as_they_say(shape):
    # Several blocks of few numbers are where a grid's bound says too little.
    n_h, n_v, antennas, codes, blocks = shape
    settings = {"panel": (n_h, n_v), "antennas": antennas, "codes": codes, "blocks": blocks}
    scenes = noise_alone(draw(400, **settings, codebook="random", sources=(1, 1)))
    said = locate(scenes, 1).false_alarm[:, 0]
    for stated in (0.1, 0.05, 0.01):
        assert int((said <= stated).sum()) <= binom.ppf(1 - RARE, said.numel(), stated)
    # BIC asks no less of a source than 0.01.
    assert int(locate(scenes).count.sum()) <= binom.ppf(1 - RARE, said.numel(), 0.01)


@pytest.mark.parametrize("wavefront", ["spherical", "fresnel", "plane"])
@pytest.mark.parametrize("panel", [(6, 6), (24, 1), (3, 8)])
def test_the_panels_own_metric_is_the_mean_of_those_of_scenes(wavefront, panel):
    # 12 scenes of 24 random numbers each: sizes are products of three lengths.
    scenes = draw(12, panel=panel, codes=24, antennas=2, codebook="random", wavefront=wavefront)
    data, domain = measure(scenes), search_domain(scenes.scenario)
    each = field_sizes(data, domain, resolution_cell(scenes.scenario)).mean(0)
    own = panel_sizes(data.panel, wavefront, domain)[0]
    seen = own > 1e-3
    assert torch.allclose(own[seen], each[seen], rtol=0.3)


@pytest.mark.parametrize("panel", [(24, 1), (12, 1), (3, 1), (1, 12), (7, 2), (5, 3), (9, 4)])
def test_the_grid_reaches_every_direction_that_a_panel_tells_apart(panel):
    scenario = draw(1, panel=panel, sources=(1, 1)).scenario
    points = steering_grid(scenario, torch.float64)
    grid = direction_cosines(points.azimuth, points.elevation)[:, :2]
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(2000, 2, dtype=torch.float64, generator=generator)
    limits = torch.deg2rad(
        torch.tensor((scenario.azimuth_deg, scenario.elevation_deg), dtype=torch.float64)
    )
    angles = limits[:, 0] + draws * (limits[:, 1] - limits[:, 0])
    places = direction_cosines(*angles.unbind(1))[:, :2]
    widths = torch.tensor(beamwidths(scenario), dtype=torch.float64)
    # A quarter inside of a row; beyond its ends the next row is half a beamwidth away.
    away = ((places[:, None] - grid).abs() / widths).amax(2).amin(1)
    assert float(away.max()) <= 0.5


@pytest.mark.slow
def test_a_row_of_elements_sees_sources_far_to_the_side():
    scenes = draw(60, panel=(24, 1), sources=(1, 1), snr_db=(20, 20), azimuth_deg=(50, 60))
    more = int((locate(scenes).count != 1).sum())
    assert more <= binom.ppf(1 - RARE, scenes.size, Threshold().false_alarm)


@pytest.mark.parametrize("method", ["music", "bartlett", "soft_music"])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_negative_covariance_has_no_source(method, dtype):
    scenario = draw(1).scenario
    negative = -torch.eye(scenario.elements, dtype=dtype)[None]
    assert (locate_from_covariance(negative, scenario, 1, method).status == Status.UNRESOLVED).all()
