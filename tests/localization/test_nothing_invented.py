"""Where the data say nothing, nobody answers: silence, noise alone, covariances without sources."""

from dataclasses import replace

import pytest
import torch
from localization_helpers import draw

from ris_pipeline.localization import Status, locate, locate_from_covariance
from ris_pipeline.spectral import LowRankCovariance

pytestmark = pytest.mark.no_shapes

ALARMS = 0.05
"""Five times what is asked: the grid's bound is one of the grid, not of what lies between."""


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
