"""Law: `U U^H` is idempotent, Hermitian, of rank k, and forgets which basis U is."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import orthonormality_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.oracles import eigenvalues
from ris_pipeline.verification.strategies import DTYPES, Basis, eigenbasis, unit_vectors
from ris_pipeline.verification.target import TARGET

bases = st.sampled_from(tuple(Basis))
seeds = st.integers(0, 2**16)
dtypes = st.sampled_from(DTYPES)
sizes = st.integers(2, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1)))


def _projector(basis: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    return TARGET.projector(torch.from_numpy(basis).to(dtype)).to(torch.complex128).numpy()


def _bound(size: tuple[int, int], dtype: torch.dtype) -> float:
    return orthonormality_bound(size[0], size[1], dtype)


@given(sizes, bases, seeds, dtypes)
def test_a_projector_is_idempotent_and_hermitian(size, family, seed, dtype) -> None:
    p = _projector(eigenbasis(size[0], family, seed)[:, : size[1]], dtype)
    off = [np.linalg.norm(p @ p - p), np.linalg.norm(p - p.conj().T)]
    assert_within("|P P - P|_F, |P - P^H|_F", off, [0.0, 0.0], _bound(size, dtype))


@given(sizes, bases, seeds, dtypes)
def test_a_projector_has_rank_k(size, family, seed, dtype) -> None:
    p = _projector(eigenbasis(size[0], family, seed)[:, : size[1]], dtype)
    assert_within("order", p.shape[-1], size[0], 0)
    expected = np.repeat((1.0, 0.0), (size[1], size[0] - size[1]))
    assert_within("spectrum of P", eigenvalues(p), expected, _bound(size, dtype))


@given(sizes, bases, seeds, dtypes)
def test_a_projector_does_not_see_the_phase_of_the_eigenvectors(size, family, seed, dtype) -> None:
    basis = eigenbasis(size[0], family, seed)[:, : size[1]]
    turned = basis @ eigenbasis(size[1], Basis.HAAR, seed + 1)
    off = np.linalg.norm(_projector(basis, dtype) - _projector(turned, dtype))
    assert_within("|U U^H - U W W^H U^H|_F", off, 0.0, 2 * _bound(size, dtype))


@given(sizes, bases, seeds, dtypes)
def test_what_a_projector_leaves_is_the_distance_to_the_subspace(size, family, seed, dtype) -> None:
    whole, x = eigenbasis(size[0], family, seed), unit_vectors(size[0], seed)
    basis, rest = whole[:, : size[1]], whole[:, size[1] :]
    left = TARGET.noise_projection(*(torch.from_numpy(m).to(dtype) for m in (basis, x)))
    expected = (np.abs(rest.conj().T @ x) ** 2).sum(axis=0)
    assert_within("|(I - P) x|^2", left.double().numpy(), expected, 2 * _bound(size, dtype))
