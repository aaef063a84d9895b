"""What is kept from call to call: of the panel file as it is now, and of no mode of torch."""

import os
from functools import partial

import pytest
import torch
from localization_helpers import SMALL, calibrated

from ris_pipeline.config import Scenario
from ris_pipeline.localization import locate_from_covariance
from ris_pipeline.localization.baselines.omp import _omp_grid
from ris_pipeline.localization.spectra.search import default_search
from ris_pipeline.scene import believed_panel, covariance_factor, simulate

CPU = torch.device("cpu")


@pytest.mark.parametrize("keeps", [default_search, _omp_grid], ids=["search", "grid"])
def test_what_is_kept_goes_with_the_panel_file(keeps, tmp_path) -> None:
    file = tmp_path / "panel.safetensors"
    for displaced in (0.0, 0.01):
        scenario = calibrated(file, displaced)
        os.utime(file, ns=(0, int(1e9 * displaced) + 1))
        kept = keeps(scenario, torch.float64, CPU)
        grid = getattr(kept, "grid", kept)
        believed = believed_panel(scenario, torch.float64).panel.positions
        assert torch.equal(grid.panel.positions, believed)
        assert keeps(scenario, torch.float64, CPU) is kept


def test_a_panel_that_was_read_is_nobodys_to_change(tmp_path) -> None:
    scenario = calibrated(tmp_path / "panel.safetensors")
    first, second = (believed_panel(scenario, torch.float64) for _ in range(2))
    assert first.response is not None
    assert second.response is not None
    first.panel.positions.add_(1.0)
    first.response.zero_()
    assert second.panel.positions.abs().max() < 1.0
    assert torch.all(second.response != 0)


@pytest.mark.parametrize("method", ["music", "mvdr", "bartlett", "soft_music"])
@pytest.mark.parametrize("wavefront", ["spherical", "plane"])
def test_what_is_kept_outlives_inference_mode(method, wavefront) -> None:
    # A scenario of its own: nobody has asked for it before.
    scenario = Scenario(**SMALL, wavefront=wavefront, sources=(1, 1), codebook_seed=len(method))
    factor = covariance_factor(simulate(scenario, 0, torch.arange(2), torch.float64))
    covariance = factor @ factor.mH + 1e-3 * torch.eye(36)
    ask = partial(locate_from_covariance, panel=scenario, number=1, method=method)
    with torch.inference_mode():
        before = ask(covariance)
    after = ask(covariance.clone().requires_grad_())
    torch.testing.assert_close(after.azimuth, before.azimuth)


def test_a_panel_file_read_in_inference_mode_serves_outside(tmp_path) -> None:
    scenario = calibrated(tmp_path / "panel.safetensors")
    with torch.inference_mode():
        believed_panel(scenario, torch.float64)
    assert not believed_panel(scenario, torch.float64).panel.positions.is_inference()
