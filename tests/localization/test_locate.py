"""`locate` where the answer is known."""

from dataclasses import replace

import pytest
import torch
from localization_helpers import MOVING, SMALL, draw, noiseless

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.localization import (
    Status,
    cramer_rao_bound,
    locate,
    match_sources,
    steering_grid,
)
from ris_pipeline.scene import SceneSet


def matched(found, scenes):
    truth = scenes.sources
    return match_sources(
        found.azimuth, found.elevation, found.active, truth.azimuth, truth.elevation, truth.active
    )


@pytest.mark.parametrize("settings", [SMALL, MOVING], ids=["static", "moving"])
def test_a_noiseless_source_is_found_exactly_and_alone(settings):
    scenes = noiseless(draw(8, sources=(1, 1), **settings))
    found = locate(scenes)
    assert (found.count == 1).all()
    # The residual is resolved to 1e-16 of the energy, hence coordinates to its root and condition.
    for name in ("azimuth", "elevation", "distance"):
        torch.testing.assert_close(
            getattr(found, name)[:, :1], getattr(scenes.sources, name), rtol=0, atol=1e-5
        )
    torch.testing.assert_close(found.power[:, :1], scenes.sources.powers)


@pytest.mark.parametrize("index", [63, 84])
def test_two_equal_sources_are_seen_though_either_alone_explains_little(index):
    scenario = Scenario(power="power_control", sources=(2, 2), snr_db=(20, 20))
    scenes = SceneSet(scenario, seed=1, size=200).scenes(index, index + 1)
    found = locate(scenes)
    assert found.count.tolist() == [2]
    truth, order = torch.sort(scenes.sources.azimuth)
    deviation = cramer_rao_bound(scenes)[..., 0].sqrt().gather(1, order)
    assert ((torch.sort(found.azimuth[:, :2]).values - truth).abs() < 5 * deviation).all()


@pytest.mark.slow
def test_a_source_that_stands_between_two_is_pruned():
    scenario = Scenario(power="power_control", sources=(3, 3), snr_db=(10, 10))
    scenes = SceneSet(scenario, seed=1, size=200).scenes(101, 102)
    for number in (3, None):
        found = locate(scenes, number)
        assert found.count.tolist() == [3]
        assert found.noise_variance < 1.2 * scenes.noise_variance


def test_noise_alone_holds_no_source():
    scenes = draw(16, snr_db=(10, 10))
    noise = scenes.snapshots - noiseless(scenes).snapshots
    found = locate(replace(scenes, snapshots=noise))
    assert (found.count == 0).all()
    assert not found.active.any()
    assert (found.status == Status.UNRESOLVED).all()
    assert torch.isnan(found.azimuth).all()


def test_the_number_may_differ_from_scene_to_scene():
    scenes = draw(8, sources=(1, 3), snr_db=(25, 25))
    found = locate(scenes, scenes.sources.count)
    assert torch.equal(found.count, scenes.sources.count)
    assert torch.equal(found.active, scenes.sources.active[:, : found.active.shape[1]])
    assert torch.isfinite(found.std[found.active][:, :2]).any()
    assert torch.isnan(found.std[~found.active]).all()
    order = found.power.nan_to_num(-1.0)
    assert (order[:, :-1] >= order[:, 1:]).all()


def test_a_plane_wave_has_no_distance():
    scenes = draw(8, sources=(1, 1), snr_db=(20, 20), wavefront="plane")
    found = locate(scenes)
    assert (found.count == 1).all()
    assert torch.isnan(found.distance).all()
    assert torch.isinf(found.std[:, 0, 2]).all()
    assert (found.status[:, 0] == Status.CONVERGED).any()
    deviation = cramer_rao_bound(scenes)[..., 0].sqrt()
    assert ((found.azimuth[:, :1] - scenes.sources.azimuth).abs() < 5 * deviation).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_estimates_have_the_dtype_of_the_scenes(dtype):
    found = locate(draw(2, dtype=dtype))
    for name in ("azimuth", "elevation", "distance", "power", "std", "noise_variance"):
        assert getattr(found, name).dtype == dtype


def test_an_empty_batch_has_empty_estimates():
    scenes = draw(2)
    empty = replace(scenes, snapshots=scenes.snapshots[:0], channel=scenes.channel[:0])
    assert locate(empty, 2).azimuth.shape == (0, 2)
    assert locate(empty).count.shape == (0,)


def test_a_grid_of_another_panel_is_rejected():
    scenes = draw(2)
    other = steering_grid(scenes.scenario.model_copy(update={"panel": (5, 6)}))
    with pytest.raises(InputError, match="grid is for 30 elements"):
        locate(scenes, grid=other)
    plane = steering_grid(scenes.scenario.model_copy(update={"wavefront": "plane"}))
    with pytest.raises(InputError, match="grid has wavefront 'plane'"):
        locate(scenes, grid=plane)


@pytest.mark.slow
def test_more_sources_than_the_data_can_tell_are_rejected():
    # 8 complex numbers: 16 real ones hold three sources of five.
    scenes = draw(2, antennas=4, codes=2, sources=(1, 1))
    with pytest.raises(InputError, match=r"number = 4: allowed is 1\.\.3"):
        locate(scenes, 4)
    assert locate(scenes, 3).count.tolist() == [3, 3]
    with pytest.raises(InputError, match="too few numbers"):
        locate(draw(2, antennas=1, codes=2, sources=(1, 1)))
