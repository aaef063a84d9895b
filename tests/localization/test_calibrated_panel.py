"""Sub-panels, of a panel that the receiver has calibrated and of few elements."""

import pytest
import torch
from localization_helpers import SMALL, calibrated, draw

from ris_pipeline._errors import InputError
from ris_pipeline.config import Impairments, Scenario
from ris_pipeline.evaluation import ESTIMATORS
from ris_pipeline.localization import (
    estimation_errors,
    misspecified_cramer_rao_bound,
    smooth_panel,
)
from ris_pipeline.scene import (
    BelievedPanel,
    clean_snapshots,
    load_panel,
    on_even_grid,
    save_panel,
    simulate,
)

SUB_PANELS = "plane_music", "modified_music"


@pytest.mark.parametrize("name", SUB_PANELS)
def test_sub_panels_of_a_calibrated_panel(name, tmp_path) -> None:
    settings = {
        "impairments": Impairments(phase_error_deg=60.0),
        "sources": (1, 1),
        "snr_db": (30.0, 30.0),
        "distance": (2.9, 3.0),
    }
    scenario = calibrated(tmp_path / "panel.safetensors", **settings)
    scenes = simulate(scenario, 1, torch.arange(20))
    assert estimation_errors(ESTIMATORS[name](scenes, 1), scenes).detected.sum() >= 18
    blind = simulate(scenario.replace(panel_file=None), 1, torch.arange(20))
    assert estimation_errors(ESTIMATORS[name](blind, 1), blind).detected.sum() <= 10


@pytest.mark.parametrize("name", SUB_PANELS)
def test_sub_panels_of_a_calibrated_panel_need_an_even_grid(name, tmp_path) -> None:
    scenario = calibrated(tmp_path / "panel.safetensors", displaced=0.05)
    assert not on_even_grid(scenario)
    with pytest.raises(InputError, match="positions are on no even grid"):
        ESTIMATORS[name](simulate(scenario, 1, torch.arange(2)), 1)


@pytest.mark.parametrize("name", SUB_PANELS)
@pytest.mark.parametrize("number", [None, 2])
def test_a_scenario_of_more_sources_than_a_sub_panel_tells_apart(name, number) -> None:
    scenes = draw(3, panel=(3, 3), sources=(5, 5))
    found = ESTIMATORS[name](scenes, number)
    assert (found.count <= 5).all()


def test_a_sub_panel_has_no_more_sources_than_it_tells_apart() -> None:
    scenario = Scenario(**SMALL, sources=(4, 5))
    covariance = torch.eye(36, dtype=torch.complex128)[None]
    assert smooth_panel(covariance, scenario, (2, 2))[1].sources == (3, 3)
    assert smooth_panel(covariance, scenario, (3, 2))[1].sources == (4, 5)
    with pytest.raises(InputError, match=r"size = \(1, 1\): allowed are sub-panels of 2"):
        smooth_panel(covariance, scenario, (1, 1))


def test_what_a_panel_sends_where_the_receiver_believes_an_element_dead(tmp_path) -> None:
    file = tmp_path / "panel.safetensors"
    scenario = calibrated(file, sources=(1, 1), snr_db=(20.0, 20.0))
    plain = clean_snapshots(simulate(scenario, 1, torch.arange(3), torch.float64))
    response = load_panel(file).response
    assert response is not None
    response[5] = 0
    save_panel(file, BelievedPanel(load_panel(file).panel, response))
    scenes = simulate(scenario, 1, torch.arange(3), torch.float64)
    assert (scenes.codes[..., 5] == 0).all()
    torch.testing.assert_close(clean_snapshots(scenes), plain)
    bound = misspecified_cramer_rao_bound(scenes)
    assert bound.variance.isfinite().all()
    assert (bound.bias != 0).all()
