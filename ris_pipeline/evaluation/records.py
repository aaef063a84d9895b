"""What is recorded of each scene, computed in units of fixed size.

A unit is located on one thread and in one call, so its records do not depend on how many workers
share the units, nor on which of them got it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline.config import K_MAX, Scenario
from ris_pipeline.evaluation.estimators import Estimator
from ris_pipeline.localization import (
    Status,
    cramer_rao_bound,
    estimation_errors,
    gospa,
    misspecified_cramer_rao_bound,
)
from ris_pipeline.scene import SceneBatch, SceneSet, Split, sensing_matrix, steering_matrix

UNIT = 100
"""Scenes of a unit."""


@dataclass(frozen=True)
class Task:
    """One estimator, by its name, on the test scenes start..stop-1 of a seed.

    known: whether the estimator is told the number of sources; receiver_scenario: the scenario
    as the receiver knows it, by default that of the scenes.
    """

    scenario: Scenario
    estimator: str
    known: bool
    seed: int
    start: int
    stop: int
    receiver_scenario: Scenario | None = None


def units(
    scenario: Scenario,
    estimator: str,
    known: bool,
    seed: int,
    scenes: int,
    receiver_scenario: Scenario | None = None,
) -> Iterator[Task]:
    """The tasks that together cover scenes 0..scenes-1."""
    for start in range(0, scenes, UNIT):
        yield Task(
            scenario, estimator, known, seed, start, min(start + UNIT, scenes), receiver_scenario
        )


@dataclass(frozen=True, kw_only=True)
class Records:
    """Of B scenes with K_MAX source slots; NaN or False where a slot is empty.

    active, detected, resolved (B, K) bool; azimuth, elevation (rad), distance (m) of the truth
    and own_snr_db, the source's own power over the noise at the receiver: (B, K); error and bound
    (B, K, 3): estimate less truth, and bound on its mean square, of azimuth (rad), elevation (rad),
    distance (m);
    snr_db, count, estimated, false_alarms, gospa (rad): (B,); seconds: (1,), for all of them.
    """

    active: NDArray[np.bool_]
    detected: NDArray[np.bool_]
    resolved: NDArray[np.bool_]
    azimuth: NDArray[np.float64]
    elevation: NDArray[np.float64]
    distance: NDArray[np.float64]
    own_snr_db: NDArray[np.float64]
    error: NDArray[np.float64]
    bound: NDArray[np.float64]
    snr_db: NDArray[np.float64]
    count: NDArray[np.int64]
    estimated: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    gospa: NDArray[np.float64]
    seconds: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The records of all parts, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


_OF_SLOTS = "active", "detected", "resolved", "azimuth", "elevation", "distance", "own_snr_db"
_OF_COORDINATES = "error", "bound"
_TRUTH = "azimuth", "elevation", "distance", "own_snr_db"


def checked_records(arrays: Mapping[str, NDArray[Any]], scenes: int) -> Records:
    """The records of so many scenes.

    Raises:
        ValueError: a name, shape or dtype that is not that of `Records`, or numbers that no unit
            has: a truth that is NaN, or where there is no source, more sources than slots.
    """
    names = [field.name for field in fields(Records)]
    if wrong := sorted(arrays.keys() ^ set(names)):
        raise ValueError(f"{wrong[0]} is missing, or no record")
    for name, value in arrays.items():
        shape: tuple[int, ...] = (scenes,)
        if name in _OF_SLOTS:
            shape = scenes, K_MAX
        elif name in _OF_COORDINATES:
            shape = scenes, K_MAX, 3
        elif name == "seconds":
            shape = (1,)
        dtype = _DTYPES.get(name, np.dtype(np.float64))
        if (value.shape, value.dtype) != (shape, dtype):
            raise ValueError(
                f"{name} is {value.dtype} of shape {value.shape}: allowed is {dtype} of {shape}"
            )
    records = Records(**arrays)
    _check_numbers(records)
    return records


_DTYPES = dict.fromkeys(("active", "detected", "resolved"), np.dtype(np.bool_)) | dict.fromkeys(
    ("count", "estimated", "false_alarms"), np.dtype(np.int64)
)
"""Other records are float64."""


def _check_numbers(records: Records) -> None:
    for name in _TRUTH:
        if (np.isnan(getattr(records, name)) == records.active).any():
            raise ValueError(f"{name} is NaN for a source, or a number where there is none")
    for name in ("snr_db", "gospa", "seconds"):
        if np.isnan(getattr(records, name)).any():
            raise ValueError(f"{name} is NaN")
    for name in ("count", "estimated", "false_alarms"):
        value = getattr(records, name)
        if ((value < 0) | (value > K_MAX)).any():
            raise ValueError(f"{name} is not in 0..{K_MAX}")
    if (records.count != records.active.sum(1)).any():
        raise ValueError("count is not the number of active sources")
    if (records.detected & ~records.active).any() or (records.resolved & ~records.detected).any():
        raise ValueError("a source is detected that is not there, or resolved and not detected")
    # Of a plane wave there is no distance.
    if np.isnan(records.error[records.detected][:, :2]).any():
        raise ValueError("error is NaN where a source is detected")


def _slots(value: Tensor, fill: float) -> NDArray[np.float64]:
    """(B, K, ...) padded to K_MAX slots."""
    wide = value.new_full((value.shape[0], K_MAX, *value.shape[2:]), fill)
    wide[:, : value.shape[1]] = value
    return wide.numpy()


def _own_snr_db(scenes: SceneBatch) -> Tensor:
    """`mean |Phi a_k x_k|^2 / sigma^2` of each source in dB, (B, K)."""
    amplitudes = scenes.sources.gains[..., None] * scenes.sources.symbols
    steering = steering_matrix(scenes)[:, None]
    # Block by block: Phi of all blocks is what would fill the memory.
    gains = [
        (sensing_matrix(scenes.channel, codes[None]) @ steering).abs().square().mean(2)
        for codes in scenes.codes
    ]
    power = (torch.cat(gains, dim=1) * amplitudes.mT.abs().square()).mean(1)
    return 10 * torch.log10(power.double() / scenes.noise_variance.double()[:, None])


def _bound(scenes: SceneBatch) -> Tensor:
    """On the squared errors (B, K, 3) of a receiver that believes in a perfect panel."""
    if scenes.scenario.impairments.perfect:
        return cramer_rao_bound(scenes)
    return misspecified_cramer_rao_bound(scenes).mean_squared_error


def evaluate_unit(task: Task, estimator: Estimator) -> Records:
    """Draw, locate and score the scenes of a task on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _evaluate(task, estimator)
    finally:
        torch.set_num_threads(threads)


def _evaluate(task: Task, estimator: Estimator) -> Records:
    data = SceneSet(task.scenario, task.seed, task.stop, Split.TEST)
    scenes = data.scenes(task.start, task.stop)
    truth = scenes.sources
    received = replace(scenes, scenario=task.receiver_scenario or task.scenario)
    begin = time.perf_counter()
    estimates = estimator(received, truth.count if task.known else None)
    seconds = time.perf_counter() - begin
    errors = estimation_errors(estimates, scenes)
    status = estimates.status.gather(1, errors.match.clamp_min(0))
    active = truth.active
    hits = errors.detected.sum(1)
    blank = torch.where(active, 0.0, torch.nan).double()
    places = (truth.azimuth, truth.elevation, truth.distance)
    azimuth, elevation, distance = (_slots(x.double() + blank, np.nan) for x in places)
    return Records(
        active=_slots(active, False).astype(bool),
        detected=_slots(errors.detected, False).astype(bool),
        resolved=_slots(errors.detected & (status != int(Status.UNRESOLVED)), False).astype(bool),
        azimuth=azimuth,
        elevation=elevation,
        distance=distance,
        own_snr_db=_slots(_own_snr_db(scenes) + blank, np.nan),
        error=_slots(errors.error, np.nan),
        bound=_slots(_bound(scenes), np.nan),
        snr_db=scenes.snr_db.double().numpy(),
        count=truth.count.numpy(),
        estimated=estimates.count.numpy(),
        false_alarms=(estimates.count - hits).numpy(),
        gospa=gospa(estimates, scenes).numpy(),
        seconds=np.array([seconds]),
    )
