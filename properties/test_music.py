"""Law: MUSIC's spectrum is one over the squared distance to the signal subspace."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import noise_floor_bound, subspace_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import (
    Domain,
    SpectralMatrix,
    hermitian_matrices,
    orders,
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
