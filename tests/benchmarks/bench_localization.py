"""Estimators on several blocks and of an unknown number, and the bounds' memory.

Scenes a second are of this process's own time on one thread: what else runs does not count.
"""

import time
from collections.abc import Callable

import torch
from memory import peak_memory
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.evaluation.estimators import ESTIMATORS
from ris_pipeline.localization import Estimates, cramer_rao_bound, locate, measure, steering_grid
from ris_pipeline.localization.grid_search.detection import build_detector, grid_gains
from ris_pipeline.localization.measurement.gram import GramMeasurement
from ris_pipeline.scene import SceneBatch, sensing_matrix, simulate

STATIC = Scenario(power="power_control", snr_db=(0.0, 20.0), sources=(1, 5))
MOVING = STATIC.replace(blocks=16, codes=1, sources=(2, 2))


def _rate(estimate: Callable[..., Estimates], scenes: SceneBatch) -> float:
    """Scenes a second, the better of two runs."""
    torch.set_num_threads(1)
    estimate(scenes)
    spent = []
    for _ in range(2):
        start = time.process_time()
        estimate(scenes)
        spent.append(time.process_time() - start)
    return scenes.size / min(spent)


def bench_locate_moving(figure) -> None:
    figure("locate_moving", _rate(locate, simulate(MOVING, 0, torch.arange(64))))


def bench_omp_moving(figure) -> None:
    figure("omp_moving", _rate(ESTIMATORS["omp"], simulate(MOVING, 0, torch.arange(32))))


def bench_modified_music(figure) -> None:
    scenes = simulate(STATIC, 0, torch.arange(96))
    figure("modified_music", _rate(ESTIMATORS["modified_music"], scenes))


def bench_gains_against_dense(pairs, figure) -> None:
    torch.set_num_threads(1)
    scenes = simulate(MOVING, 0, torch.arange(8))
    grid = steering_grid(MOVING)
    data, detector = measure(scenes), build_detector(grid, scenes.codes)
    phi, steering = sensing_matrix(scenes.channel, scenes.codes), grid.steering
    assert steering is not None

    def subject() -> Tensor:
        return grid_gains(detector, data)

    def baseline() -> Tensor:
        return (phi @ steering.mT).abs().square().sum(2)

    # |Phi_t a|^2 is a sum of L M N products, and the smallest are lost in the rounding of its rows.
    error = (subject() - baseline()).abs().amax() / baseline().amax()
    assert error < 144 * torch.finfo(torch.float32).eps
    figure("gains_against_dense", pairs(subject, baseline, rounds=9)[0])


def bench_gains_of_own_codes(pairs, figure) -> None:
    torch.set_num_threads(1)
    scenes = simulate(STATIC.replace(blocks=16, codebook="random"), 0, torch.arange(16))
    grid = steering_grid(scenes.scenario)
    data, detector, steering = measure(scenes), build_detector(grid, scenes.codes), grid.steering
    assert isinstance(data, GramMeasurement)
    assert steering is not None
    assert detector.table is None

    def subject() -> Tensor:
        return grid_gains(detector, data)

    def baseline() -> Tensor:
        parts = [data.take(torch.arange(i, i + 8)).gains(steering) for i in (0, 8)]
        return torch.cat(parts)

    # A sum of N^2 products, of which the smallest are lost in its rounding.
    error = (subject() - baseline()).abs().amax() / baseline().amax()
    assert error < 144 * torch.finfo(torch.float32).eps
    figure("gains_of_own_codes", pairs(subject, baseline, rounds=5)[0])


def bench_memory_of_bounds(figure) -> None:
    scenes = simulate(STATIC.replace(panel=(32, 32)), 0, torch.arange(100))
    figure("memory_of_bounds", peak_memory(lambda: cramer_rao_bound(scenes)) / 1e6)
