"""Law: MUSIC's spectrum is one over the squared distance to the signal subspace."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import noise_floor_bound, product_bound, subspace_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import (
    Domain,
    SpectralMatrix,
    hermitian_matrices,
    orders,
    unit_vectors,
)
from ris_pipeline.verification.target import TARGET, Claim, taken

SIMPLE = (Domain.POSITIVE, Domain.INDEFINITE)
"""Families whose eigenvalues are all distinct."""


@given(hermitian_matrices(domains=SIMPLE), st.data(), st.integers(0, 2**16))
def test_music_is_the_distance_to_the_signal_subspace(
    drawn: SpectralMatrix, data, seed: int
) -> None:
    k = data.draw(orders(drawn), label="k")
    a, dtype = unit_vectors(drawn.n, seed), drawn.matrix.dtype
    spectrum = TARGET.music_spectrum(drawn.matrix, torch.from_numpy(a).to(dtype), k)
    noise = np.linalg.eigh(drawn.exact)[1][..., : drawn.n - k]
    expected = (np.abs(noise.conj().swapaxes(-1, -2) @ a) ** 2).sum(axis=-2)
    turned = subspace_bound(drawn.values, k, dtype)[..., None]
    # A quadratic form is right to eps, as a^H E E^H a or with a projector.
    bound = 2 * turned + product_bound(1.0, 2 * drawn.n, dtype)
    with np.errstate(divide="ignore"):
        assert_within("1 / spectrum", 1 / spectrum.double().numpy(), expected, bound)


@given(hermitian_matrices(domains=SIMPLE, batches=((),)), st.data())
def test_a_peak_keeps_its_digits(drawn: SpectralMatrix, data) -> None:
    # What lies in the signal subspace is left with the square of a rounding, not with a rounding.
    taken((Claim.PEAK,))
    k = data.draw(orders(drawn), label="k")
    dtype = drawn.matrix.dtype
    peak = np.linalg.eigh(drawn.exact)[1][..., -k:].copy()
    got = TARGET.music_spectrum(drawn.matrix, torch.from_numpy(peak).to(dtype), k)
    turned = subspace_bound(drawn.values, k, dtype)
    floor = noise_floor_bound(drawn.n, turned, dtype)
    assert_within("1 / spectrum", 1 / got.double().numpy(), np.zeros(k), np.full(k, floor))
