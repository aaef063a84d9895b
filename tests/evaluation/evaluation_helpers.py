"""A tiny scenario, and estimators of a known kind in the place of real ones."""

import math
import os
from dataclasses import replace

import numpy as np
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.config import K_MAX, Scenario
from ris_pipeline.evaluation import Records, statistics
from ris_pipeline.localization import Estimates, Status
from ris_pipeline.scene import SceneBatch

TINY = Scenario(
    panel=(4, 4),
    antennas=4,
    codes=8,
    codebook="random",
    power="power_control",
    distance=(0.3, 2.0),
    sources=(1, 2),
    snr_db=(0, 20),
)
OFF = math.radians(0.5)


def off_by(scenes: SceneBatch, angle: float) -> Estimates:
    """The truth, every azimuth off by an angle (rad) and every distance by a tenth."""
    truth = scenes.sources
    blank = torch.where(truth.active, 0.0, torch.nan)
    return Estimates(
        azimuth=truth.azimuth + angle + blank,
        elevation=truth.elevation + blank,
        distance=truth.distance * 1.1 + blank,
        power=truth.powers + blank,
        count=truth.count,
        std=torch.ones(*truth.active.shape, 3) + blank[..., None],
        status=torch.full_like(truth.azimuth, int(Status.CONVERGED), dtype=torch.int64),
        noise_variance=scenes.noise_variance,
        confidence=torch.full_like(scenes.noise_variance, torch.nan),
        false_alarm=torch.full_like(truth.azimuth, torch.nan),
    )


def near(scenes, number):
    return off_by(scenes, OFF)


def nearer(scenes, number):
    return off_by(scenes, OFF / 2)


def wide(scenes, number):
    """Nothing within two degrees."""
    return off_by(scenes, math.radians(5))


def silent(scenes, number):
    """No source anywhere."""
    found = off_by(scenes, 0.0)
    return replace(found, count=torch.zeros_like(found.count))


def flat(scenes, number):
    """A plane-wave estimator: no distance."""
    found = off_by(scenes, OFF)
    return replace(found, distance=torch.full_like(found.distance, torch.nan))


def unsure(scenes, number):
    """Right, and says that it is not resolved."""
    found = off_by(scenes, OFF)
    return replace(found, status=torch.full_like(found.status, int(Status.UNRESOLVED)))


def refusing(scenes, number):
    raise InputError("number = 5: allowed is 1..3")


def failing(scenes, number):
    if scenes.sources.count.max() > 1:
        raise RuntimeError("did not\nconverge")
    return off_by(scenes, OFF)


def dying(scenes, number):
    os._exit(3)


FAKES = {
    "maximum_likelihood": nearer,
    "near": near,
    "wide": wide,
    "silent": silent,
    "flat": flat,
    "unsure": unsure,
    "refusing": refusing,
    "failing": failing,
    "dying": dying,
}


def records(active, **changes) -> Records:
    """Records of scenes whose sources are all found exactly, with changes.

    Args:
        active: numbers of sources.
    """
    count = np.array(active)
    slots = np.arange(K_MAX) < count[:, None]
    blank = np.where(slots, 0.0, np.nan)
    zero = np.zeros(len(count))
    return replace(
        Records(
            active=slots,
            detected=slots.copy(),
            resolved=slots.copy(),
            azimuth=blank.copy(),
            elevation=blank.copy(),
            distance=blank + 1,
            own_snr_db=blank.copy(),
            error=np.repeat(blank[..., None], 3, -1),
            bound=np.repeat(blank[..., None] + 1, 3, -1),
            snr_db=zero.copy(),
            count=count,
            estimated=count.copy(),
            false_alarms=np.zeros_like(count),
            gospa=zero.copy(),
            seconds=np.ones(1),
        ),
        **changes,
    )


def same(first, second) -> bool:
    """Rows that are equal, NaN to NaN."""
    return np.array_equal(list(first.values()), list(second.values()), equal_nan=True)


__all__ = ["FAKES", "OFF", "TINY", "records", "same", "statistics"]
