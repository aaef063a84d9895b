"""Law: MUSIC's spectrum is one over the squared distance to the signal subspace."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import noise_floor_bound, subspace_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import (
    Domain,
    Setting,
    SpectralMatrix,
    hermitian_matrices,
    orders,
    settings_before_a_panel,
    unit_vectors,
)
from ris_pipeline.verification.target import TARGET

SIMPLE = (Domain.POSITIVE, Domain.INDEFINITE)
"""Families whose eigenvalues are all distinct."""


@given(hermitian_matrices(domains=SIMPLE), st.data(), st.integers(0, 2**16))
def test_music_is_the_distance_to_the_signal_subspace(
    drawn: SpectralMatrix, data, seed: int
) -> None:
    k = data.draw(orders(drawn), label="k")
    a, dtype = unit_vectors(drawn.n, seed), drawn.matrix.dtype
    spectrum = TARGET.music_spectrum(drawn.matrix, torch.from_numpy(a).to(dtype), k)
    assert_true("positive", (spectrum > 0).numpy(), spectrum.numpy())
    noise = np.linalg.eigh(drawn.exact)[1][..., : drawn.n - k]
    expected = (np.abs(noise.conj().swapaxes(-1, -2) @ a) ** 2).sum(axis=-2)
    turned = subspace_bound(drawn.values, k, dtype)[..., None]
    bound = 2 * turned + noise_floor_bound(drawn.n, turned, dtype)
    assert_within("1 / spectrum", 1 / spectrum.double().numpy(), expected, bound)


@given(settings_before_a_panel(dtypes=(torch.float64,)), st.integers(1, 8))
def test_the_noiseless_peak_is_at_the_truth(setting: Setting, sixteenths: int) -> None:
    scenario = setting.scenario

    def vector(offset: float) -> np.ndarray:
        where = (setting.azimuth / 2 + offset, setting.elevation / 2, setting.distance)
        relative = (*where[:2], where[2] / scenario.wavelength)
        return oracles.steering(scenario.panel, scenario.spacing, relative)

    truth = vector(0.0)
    steering = np.stack((truth, vector(sixteenths / 16), vector(-sixteenths / 16)), axis=1)
    covariance = torch.from_numpy(np.outer(truth, truth.conj()))
    distance = 1 / TARGET.music_spectrum(covariance, torch.from_numpy(steering), 1).numpy()
    n = scenario.elements
    turned = subspace_bound(np.eye(1, n)[0], 1, torch.complex128)
    floor = noise_floor_bound(n, turned, torch.complex128)
    assert_within("distance at the truth", distance[0], 0.0, floor)
    # Elsewhere it is 1 - |a^H b|^2, which a single column of elements cannot tell from zero.
    expected = 1 - np.abs(steering.conj().T @ truth) ** 2
    assert_within("distance elsewhere", distance, expected, 2 * turned + floor)
