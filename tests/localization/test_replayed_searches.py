"""`locate` on a grid with recordings, as on a GPU: the same estimates, and no wait in a step."""

import copy
import gc
import threading
import weakref
from dataclasses import replace

import pytest
import torch
from tape import Tape

from ris_pipeline import _replay
from ris_pipeline._replay import Recordings
from ris_pipeline.config import Scenario
from ris_pipeline.localization import Estimates, SteeringGrid, locate, steering_grid
from ris_pipeline.localization.cholesky import solve_by_triangles
from ris_pipeline.scene import simulate

SMALL = Scenario(panel=(5, 5), power="power_control", snr_db=(0.0, 20.0), sources=(1, 3))
SCENARIOS = {
    "one block": SMALL,
    "blocks of one code": SMALL.replace(blocks=4, codes=1, antennas=4, sources=(2, 2)),
    "blocks of their own": SMALL.replace(blocks=2, codes=2, antennas=4, sources=(1, 2)),
    "plane": SMALL.replace(wavefront="plane"),
}

ROUNDING = 1e-6
"""Radians: estimates are float32, whose last digit at one radian is 1.2e-7; scenes that are filled
up to other numbers are summed in another order."""

CONFIDENCE = 1e-3
"""Evidence is a sum of n ln J with n some hundred, J to the rounding of what was fitted to 1e-3 of
a deviation: a probability moves by a few 1e-4; 9e-5 was seen."""


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_replay, "SIZES", (2, 5))


def recorded(grid: SteeringGrid) -> SteeringGrid:
    """The same grid with recordings that need no GPU."""
    other = copy.copy(grid)
    other.__dict__["recordings"] = Recordings(Tape)
    return other


def assert_same(one: Estimates, other: Estimates) -> None:
    assert torch.equal(one.count, other.count)
    assert torch.equal(one.status, other.status)
    for name in ("azimuth", "elevation"):
        torch.testing.assert_close(
            getattr(one, name), getattr(other, name), atol=ROUNDING, rtol=0, equal_nan=True
        )
    torch.testing.assert_close(
        one.confidence, other.confidence, atol=CONFIDENCE, rtol=0, equal_nan=True
    )


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_replayed_searches_find_the_same(scenario: Scenario) -> None:
    scenes = simulate(scenario, 0, torch.arange(7))
    grid = steering_grid(scenario)
    replayed = recorded(grid)
    expected = locate(scenes, grid=grid)
    for _ in range(2):
        assert_same(locate(scenes, grid=replayed), expected)
    one = scenes.between(3, 4)
    assert_same(locate(one, grid=replayed), locate(one, grid=grid))


def test_with_the_number_told() -> None:
    scenes = simulate(SMALL, 1, torch.arange(5))
    grid = steering_grid(SMALL)
    number = scenes.sources.count
    assert_same(locate(scenes, number, recorded(grid)), locate(scenes, number, grid))


def test_threads_that_share_a_grid_do_not_mix_their_scenes() -> None:
    grid = recorded(steering_grid(SMALL))
    scenes = [simulate(SMALL, seed, torch.arange(3)) for seed in range(3)]
    expected = [locate(part, grid=grid) for part in scenes]
    found = list(expected)

    def work(i: int) -> None:
        found[i] = locate(scenes[i], grid=grid)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(scenes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        assert one is not other
        assert_same(one, other)


def test_a_grid_goes_with_its_recordings() -> None:
    grid = recorded(steering_grid(SMALL))
    locate(simulate(SMALL, 0, torch.arange(2)), 1, grid)
    gone = weakref.ref(grid)
    gc.collect()
    gc.disable()
    try:
        # Without a collector: it would keep the memory of a GPU until it comes.
        del grid
        assert gone() is None
    finally:
        gc.enable()


def test_a_grid_without_cuda_has_no_recordings() -> None:
    grid = steering_grid(SMALL)
    assert grid.recordings is None
    assert replace(grid, azimuth=grid.azimuth.to("meta")).recordings is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_two_triangles_solve_what_a_factor_does(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(2, 5, 5, dtype=dtype, generator=generator)
    right = torch.randn(2, 5, 2, dtype=dtype, generator=generator, requires_grad=True)
    matrix = matrix @ matrix.mH + torch.eye(5, dtype=dtype)
    factor = torch.linalg.cholesky(matrix)
    # Rounding by the condition, some hundred.
    torch.testing.assert_close(solve_by_triangles(right, factor), matrix.inverse() @ right)
    assert torch.autograd.gradcheck(solve_by_triangles, (right, factor.detach()))
