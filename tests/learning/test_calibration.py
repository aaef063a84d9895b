"""A miscalibrated panel is found from labelled scenes, and what finds it stays a panel file."""

import math
from pathlib import Path

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.commands.calibrate import median_position_error
from ris_pipeline.config import Impairments, Scenario
from ris_pipeline.learning.calibration import (
    calibrate,
    calibrated,
    normalized_response,
    self_calibrate,
)
from ris_pipeline.localization import cramer_rao_bound, locate
from ris_pipeline.scene import (
    BelievedPanel,
    SceneSet,
    Split,
    clean_snapshots,
    load_panel,
    save_panel,
    simulate,
)

pytestmark = pytest.mark.slow

SCENARIO = Scenario(
    panel=(6, 6),
    antennas=6,
    codes=8,
    sources=(1, 2),
    power="power_control",
    snr_db=(20, 20),
    distance=(0.5, 3.0),
    impairments=Impairments(phase_error_deg=math.degrees(0.8), gain_jitter_db=1.0),
)


@pytest.fixture(scope="module")
def training():
    return SceneSet(SCENARIO, 0, 64, Split.TRAIN, torch.float64).scenes(0, 64)


@pytest.fixture(scope="module")
def found(training):
    return calibrate(training)


def test_responses_are_found_to_what_the_data_hold(training, found) -> None:
    true = normalized_response(training.truth.response[0])
    error = (found.believed.response - true).abs().square().mean().sqrt()
    # Each of N = 36 elements is seen by 64 scenes of 48 numbers at 20 dB, less what the positions
    # and amplitudes take: noise of 0.1 over sqrt(64 * 48 / 36) is 0.011; 3 for the rest.
    assert error < 0.03
    # Residual over noise: one, within its standard error, less the share of what was fitted.
    assert found.costs[0] > 2
    assert 0.8 < found.costs[-1] < 1.05


def test_a_calibrated_panel_locates_like_the_true_one(training, found) -> None:
    test = SceneSet(SCENARIO, 0, 32, Split.TEST, torch.float64).scenes(0, 32)
    assert test.truth is not None
    true = BelievedPanel(test.truth.panel, test.truth.response[0])
    errors = [
        median_position_error(locate(scenes, scenes.sources.count), scenes)
        for scenes in (test, calibrated(test, found.believed), calibrated(test, true))
    ]
    assert errors[1] <= 0.25 * errors[0]
    assert errors[1] <= 1.3 * errors[2]


def test_without_labels_most_of_it_is_found_too(training) -> None:
    few = SceneSet(SCENARIO, 0, 32, Split.TRAIN, torch.float64).scenes(0, 32)
    found = self_calibrate(few, few.sources.count, rounds=2)
    true = normalized_response(training.truth.response[0])
    before = (1 - true).abs().square().mean().sqrt()
    assert found.costs[-1] < 0.6 * found.costs[0]
    assert found.believed.response is not None
    assert (found.believed.response - true).abs().square().mean().sqrt() < before


def test_a_panel_file_is_what_scenes_are_seen_with(found, tmp_path: Path) -> None:
    path = tmp_path / "panel.safetensors"
    save_panel(path, found.believed)
    read = load_panel(path)
    assert read.response is not None
    assert torch.equal(read.response, found.believed.response)
    # Some kernels end the process where complex numbers stand at an odd multiple of eight bytes.
    assert read.response.data_ptr() % 16 == 0
    scenario = SCENARIO.replace(panel_file=str(path))
    plain, seen = (simulate(s, 3, torch.arange(2), torch.float64) for s in (SCENARIO, scenario))
    assert torch.equal(plain.snapshots, seen.snapshots), "what is measured does not change"
    again = calibrated(plain, read)
    torch.testing.assert_close(seen.codes, again.codes)
    torch.testing.assert_close(seen.panel.positions, again.panel.positions)
    torch.testing.assert_close(clean_snapshots(seen), clean_snapshots(plain))
    assert torch.isfinite(cramer_rao_bound(seen)[seen.sources.active]).all()


def test_a_panel_file_of_something_else_is_refused(found, tmp_path: Path) -> None:
    path = tmp_path / "panel.safetensors"
    with pytest.raises(InputError, match="no such file"):
        load_panel(path)
    save_panel(path, found.believed)
    other = SCENARIO.replace(panel=(3, 3), panel_file=str(path))
    with pytest.raises(InputError, match="36 elements"):
        simulate(other, 0, torch.arange(1))
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not a panel file"):
        load_panel(path)
    with pytest.raises(InputError, match="response is None"):
        save_panel(path, BelievedPanel(found.believed.panel))
