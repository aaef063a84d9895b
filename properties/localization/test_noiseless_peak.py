"""Law: one source without noise peaks at the truth, and every other height is known.

With `R = b b^H + delta I` and `c = |a^H b|^2`, unit norms:

    Bartlett   c + delta
    MVDR       delta / (1 - c / (1 + delta))      (Sherman and Morrison)
    MUSIC      1 / (1 - c)
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import (
    conditioned_bound,
    product_bound,
    subspace_bound,
)
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import Setting, settings_before_a_panel
from ris_pipeline.verification.target import TARGET

before_a_panel = settings_before_a_panel(dtypes=(torch.float64,))
steps = st.integers(1, 8)

DELTA = 0.25


def _three_vectors(setting: Setting, sixteenths: int) -> np.ndarray:
    """Steering vectors (N, 3): the truth, and as many sixteenths of a radian to either side."""
    scenario = setting.scenario

    def vector(offset: float) -> np.ndarray:
        where = (setting.azimuth / 2 + offset, setting.elevation / 2, setting.distance)
        relative = (*where[:2], where[2] / scenario.wavelength)
        return oracles.steering(scenario.panel, scenario.spacing, relative)

    offset = sixteenths / 16
    return np.stack((vector(0.0), vector(offset), vector(-offset)), axis=1)


def _covariance(steering: np.ndarray, loading: float) -> torch.Tensor:
    truth = steering[:, 0]
    return torch.from_numpy(np.outer(truth, truth.conj()) + loading * np.eye(len(truth)))


def _overlap(steering: np.ndarray) -> np.ndarray:
    return np.abs(steering.conj().T @ steering[:, 0]) ** 2


@given(before_a_panel, steps)
def test_bartlett_peaks_at_the_truth(setting: Setting, sixteenths: int) -> None:
    steering = _three_vectors(setting, sixteenths)
    got = TARGET.bartlett_spectrum(_covariance(steering, DELTA), torch.from_numpy(steering)).numpy()
    bound = product_bound(1 + DELTA, 2 * len(steering), torch.complex128)
    assert_within("|a^H b|^2 + delta", got, _overlap(steering) + DELTA, bound)
    assert_true("the peak is at the truth", got[0] >= got - bound, got)


@given(before_a_panel, steps)
def test_mvdr_peaks_at_the_truth(setting: Setting, sixteenths: int) -> None:
    steering = _three_vectors(setting, sixteenths)
    got = TARGET.mvdr_spectrum(_covariance(steering, DELTA), torch.from_numpy(steering)).numpy()
    expected = DELTA / (1 - _overlap(steering) / (1 + DELTA))
    condition = (1 + DELTA) / DELTA
    bound = conditioned_bound(1 + DELTA, 2 * len(steering), condition, torch.complex128)
    assert_within("delta / (1 - |a^H b|^2 / (1 + delta))", got, expected, bound)
    assert_true("the peak is at the truth", got[0] >= got - bound, got)


@given(before_a_panel, steps)
def test_music_peaks_at_the_truth(setting: Setting, sixteenths: int) -> None:
    steering = _three_vectors(setting, sixteenths)
    matrix = _covariance(steering, 0.0)
    with np.errstate(divide="ignore"):
        distance = 1 / TARGET.music_spectrum(matrix, torch.from_numpy(steering), 1).numpy()
    n = len(steering)
    turned = subspace_bound(np.eye(1, n)[0], 1, torch.complex128)
    floor = product_bound(1.0, 2 * n, torch.complex128)
    assert_within("distance at the truth", distance[0], 0.0, 2 * turned + floor, recorded=False)
    # A single column of elements cannot tell the azimuths, and the distance is zero elsewhere too.
    assert_within("distance elsewhere", distance, 1 - _overlap(steering), 2 * turned + floor)
