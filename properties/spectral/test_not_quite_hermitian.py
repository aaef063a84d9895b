"""Law: subspaces and spatial spectra of a matrix are those of its Hermitian part."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import (
    condition_number,
    conditioned_bound,
    largest,
    orthonormality_bound,
    perturbed_subspace_bound,
    product_bound,
)
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import (
    Domain,
    NearHermitian,
    near_hermitian_matrices,
    orders,
    unit_vectors,
)
from ris_pipeline.verification.target import TARGET

seeds = st.integers(0, 2**16)
SIMPLE = (Domain.POSITIVE, Domain.INDEFINITE)
"""Families whose eigenvalues are all distinct."""


def _norm(drawn: NearHermitian) -> np.ndarray:
    """Spectral norm of what is handed over."""
    return np.linalg.norm(drawn.matrix.to(torch.complex128).numpy(), ord=2, axis=(-2, -1))


def _turned(drawn: NearHermitian, k: int) -> np.ndarray:
    return perturbed_subspace_bound(drawn.hermitian.values, k, _norm(drawn), drawn.matrix.dtype)


def _projector(basis: torch.Tensor) -> np.ndarray:
    wide = basis.to(torch.complex128).numpy()
    return wide @ wide.conj().swapaxes(-1, -2)


@given(near_hermitian_matrices(domains=SIMPLE), st.data())
def test_the_signal_subspace_is_that_of_the_hermitian_part(drawn: NearHermitian, data) -> None:
    k = data.draw(orders(drawn.hermitian), label="k")
    leading = np.linalg.eigh(drawn.hermitian.exact)[1][..., -k:]
    off = _projector(TARGET.signal_subspace(drawn.matrix, k))
    error = np.linalg.norm(off - leading @ leading.conj().swapaxes(-1, -2), axis=(-2, -1))
    assert_within("|P - P_k|_F", error, np.zeros_like(error), _turned(drawn, k))


@given(near_hermitian_matrices(domains=SIMPLE), st.data())
def test_the_noise_subspace_is_that_of_the_hermitian_part(drawn: NearHermitian, data) -> None:
    hermitian, k = drawn.hermitian, data.draw(orders(drawn.hermitian), label="k")
    rest = np.linalg.eigh(hermitian.exact)[1][..., :-k]
    off = _projector(TARGET.noise_subspace(drawn.matrix, k))
    error = np.linalg.norm(off - rest @ rest.conj().swapaxes(-1, -2), axis=(-2, -1))
    bound = _turned(drawn, k) + orthonormality_bound(hermitian.n, hermitian.n, drawn.matrix.dtype)
    assert_within("|P_n - (I - P_k)|_F", error, np.zeros_like(error), bound)


@given(near_hermitian_matrices(domains=SIMPLE), st.data(), seeds)
def test_music_is_that_of_the_hermitian_part(drawn: NearHermitian, data, seed: int) -> None:
    k = data.draw(orders(drawn.hermitian), label="k")
    a, dtype = unit_vectors(drawn.hermitian.n, seed), drawn.matrix.dtype
    spectrum = TARGET.music_spectrum(drawn.matrix, torch.from_numpy(a).to(dtype), k)
    rest = np.linalg.eigh(drawn.hermitian.exact)[1][..., :-k]
    expected = (np.abs(rest.conj().swapaxes(-1, -2) @ a) ** 2).sum(axis=-2)
    turned = _turned(drawn, k)[..., None]
    bound = 2 * turned + product_bound(1.0, 2 * drawn.hermitian.n, dtype)
    with np.errstate(divide="ignore"):
        assert_within("1 / spectrum", 1 / spectrum.double().numpy(), expected, bound)


@given(near_hermitian_matrices(domains=(Domain.POSITIVE,)), seeds)
def test_bartlett_is_that_of_the_hermitian_part(drawn: NearHermitian, seed: int) -> None:
    a, dtype = unit_vectors(drawn.hermitian.n, seed), drawn.matrix.dtype
    got = TARGET.bartlett_spectrum(drawn.matrix, torch.from_numpy(a).to(dtype)).double().numpy()
    expected = (a.conj() * (drawn.hermitian.exact @ a)).sum(axis=-2).real
    bound = product_bound(_norm(drawn), 2 * drawn.hermitian.n, dtype)
    assert_within("a^H R a", got, expected, np.asarray(bound)[..., None])


@given(near_hermitian_matrices(domains=(Domain.POSITIVE,)), seeds)
def test_mvdr_is_that_of_the_hermitian_part(drawn: NearHermitian, seed: int) -> None:
    hermitian, dtype = drawn.hermitian, drawn.matrix.dtype
    a = unit_vectors(hermitian.n, seed)
    got = TARGET.mvdr_spectrum(drawn.matrix, torch.from_numpy(a).to(dtype)).double().numpy()
    form = (a.conj() * np.linalg.solve(hermitian.exact, a)).sum(axis=-2).real
    # What is handed over is rounded at its own size, not at that of its Hermitian part.
    condition = condition_number(hermitian.values) * float((1 + drawn.relative) * hermitian.n)
    bound = conditioned_bound(largest(hermitian.values), 2 * hermitian.n, condition, dtype)
    assert_within("1 / (a^H R^-1 a)", got, 1 / form, bound)
