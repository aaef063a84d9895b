"""Sources found where they are; statuses that tell the truth; bad input refused."""

import dataclasses

import pytest
import torch
from scipy.stats import binom

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.localization import (
    DETECTION_ANGLE,
    Status,
    Threshold,
    cramer_rao_bound,
    estimation_errors,
    locate,
    steering_grid,
)
from ris_pipeline.localization.least_squares.refinement import FINAL_TOLERANCE
from ris_pipeline.scene import simulate

pytestmark = pytest.mark.no_shapes

SCENARIO = Scenario(
    panel=(6, 6),
    antennas=8,
    codes=8,
    sources=(1, 2),
    snr_db=(20, 20),
    distance=(0.5, 3.0),
    azimuth_deg=(-45, 45),
    power="power_control",
)
MOVING = SCENARIO.replace(blocks=12, codes=1, codebook="random")


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [SCENARIO, MOVING], ids=["static", "moving symbols"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_source_is_found_at_the_bound(scenario: Scenario, dtype: torch.dtype) -> None:
    scenes = simulate(scenario.replace(sources=(1, 1)), 0, torch.arange(48), dtype)
    # What noise alone gives a source with, at most, in every scene: exceeded once in a thousand.
    assert (locate(scenes).count != 1).sum() <= binom.ppf(1 - 1e-3, 48, Threshold().false_alarm)
    estimates = locate(scenes, number=1)
    bound = cramer_rao_bound(scenes)
    errors = estimation_errors(estimates, scenes).error
    normalized = (errors.square() / bound)[..., :2].mean().sqrt()
    # Chi-square with 96 degrees of freedom: within four deviations of one.
    assert abs(normalized - 1) < 4 / (2 * 96) ** 0.5
    inside = estimates.status[:, 0] == Status.CONVERGED
    assert inside.sum() > 24
    claimed = estimates.std[inside, 0].double().square() / bound[inside, 0]
    # The noise is estimated from 2 T L M real residuals: 128, or 192 with moving symbols.
    residuals = 2 * scenes.snapshots[0].numel()
    assert abs(claimed.median() - 1) < 4 * (2 / residuals) ** 0.5


@pytest.mark.parametrize("known", [True, False])
def test_two_sources_are_told_apart(known: bool) -> None:
    scenes = simulate(SCENARIO.replace(sources=(2, 2)), 1, torch.arange(24))
    estimates = locate(scenes, scenes.sources.count if known else None)
    errors, bound = estimation_errors(estimates, scenes), cramer_rao_bound(scenes)
    # Five deviations of an efficient estimator inside the angle: missed once in a million.
    clear = (5 * bound[..., :2].sqrt() < DETECTION_ANGLE).flatten(1).all(1)
    assert clear.sum() >= 12
    assert errors.detected[clear].all()
    assert errors.correct_number[clear].all()
    powers = estimates.power[clear][estimates.status[clear] == Status.CONVERGED]
    # Each source has half the energy of 64 numbers at 20 dB: four deviations of its square.
    assert abs(powers.median() - 1) < 4 * (4 / (2 * 32 * 100)) ** 0.5


def test_a_scene_is_located_alike_alone_and_in_a_batch() -> None:
    scenes = simulate(SCENARIO, 2, torch.arange(6), torch.float64)
    alone = simulate(SCENARIO, 2, torch.tensor([4]), torch.float64)
    together, single = locate(scenes), locate(alone)
    count = int(single.count[0])
    assert int(together.count[4]) == count
    difference = together.azimuth[4, :count] - single.azimuth[0, :count]
    # Both stop within this part of a deviation of the same minimum.
    assert (difference.abs() <= 2 * FINAL_TOLERANCE * single.std[0, :count, 0]).all()


def test_a_source_beyond_the_border_is_held_and_says_so() -> None:
    narrow = SCENARIO.replace(sources=(1, 1), azimuth_deg=(-10, 10))
    scenes = simulate(narrow.replace(azimuth_deg=(12, 20)), 0, torch.arange(8))
    estimates = locate(dataclasses.replace(scenes, scenario=narrow), number=1)
    assert (estimates.status[:, 0] == Status.EDGE).all()
    # Radians and degrees are rounded once each.
    rounding = 2 * torch.finfo(estimates.azimuth.dtype).eps
    assert (estimates.azimuth[:, 0].rad2deg() <= 10 * (1 + rounding)).all()


def test_the_truth_is_not_read() -> None:
    scenes = simulate(SCENARIO, 0, torch.arange(3))
    lost = {
        field.name: torch.full_like(getattr(scenes.sources, field.name), -1)
        for field in dataclasses.fields(scenes.sources)
    }
    blind = dataclasses.replace(
        scenes,
        sources=dataclasses.replace(scenes.sources, **lost),
        noise_variance=torch.full_like(scenes.noise_variance, torch.nan),
    )
    first, second = locate(scenes), locate(blind)
    assert torch.equal(first.count, second.count)
    torch.testing.assert_close(first.azimuth, second.azimuth, equal_nan=True)


def test_the_grid_covers_the_domain() -> None:
    grid = steering_grid(SCENARIO)
    for values, (low, high) in (
        (grid.azimuth.rad2deg(), SCENARIO.azimuth_deg),
        (grid.elevation.rad2deg(), SCENARIO.elevation_deg),
        (1 / grid.inverse_distance, SCENARIO.distance),
    ):
        torch.testing.assert_close(values.min(), torch.tensor(float(low)), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(values.max(), torch.tensor(float(high)), rtol=1e-5, atol=1e-5)


def broken(**changes):
    scenes = simulate(SCENARIO, 0, torch.arange(2))
    return dataclasses.replace(
        scenes, **{name: change(getattr(scenes, name)) for name, change in changes.items()}
    )


@pytest.mark.parametrize(
    ("make", "number", "message"),
    [
        (lambda: broken(), 0, r"number = 0: allowed is 1\.\.5"),
        (lambda: broken(), 6, r"number = 6: allowed is 1\.\.5"),
        (lambda: broken(), torch.tensor([1, 2, 3]), r"shape \(3,\): allowed are integers"),
        (lambda: broken(snapshots=lambda y: y * torch.nan), None, "snapshots has 128 non-finite"),
        (lambda: broken(snapshots=lambda y: y.real), None, "snapshots has dtype torch.float32"),
        (lambda: broken(snapshots=lambda y: y[..., :-1]), None, r"channel has shape \(2, 8, 36\)"),
    ],
)
def test_bad_input_is_one_clear_line(make, number, message: str, untyped) -> None:
    with untyped(), pytest.raises(InputError, match=message) as caught:
        locate(make(), number)
    assert "\n" not in str(caught.value)
