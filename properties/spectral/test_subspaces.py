"""Law: the signal subspace belongs to the k largest eigenvalues, the noise subspace to the rest."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline._laws import adjoint
from ris_pipeline.verification.bounds import orthonormality_bound, subspace_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import (
    Domain,
    SpectralMatrix,
    hermitian_matrices,
    orders,
)
from ris_pipeline.verification.target import TARGET

SIMPLE = (Domain.POSITIVE, Domain.INDEFINITE)


def _complex(tensor: torch.Tensor) -> np.ndarray:
    return tensor.to(torch.complex128).numpy()


def _norms(matrices: np.ndarray) -> np.ndarray:
    return np.linalg.norm(matrices, axis=(-2, -1))


def _leading(drawn: SpectralMatrix, k: int) -> np.ndarray:
    vectors = np.linalg.eigh(drawn.exact)[1][..., -k:]
    return vectors @ adjoint(vectors)


@given(hermitian_matrices(), st.data())
def test_the_bases_are_orthonormal_and_complete(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    signal, noise = (
        _complex(find(drawn.matrix, k)) for find in (TARGET.signal_subspace, TARGET.noise_subspace)
    )
    assert_within("columns of U_s", signal.shape[-1], k, 0)
    assert_within("columns of U_n", noise.shape[-1], drawn.n - k, 0)
    bound = orthonormality_bound(drawn.n, drawn.n, drawn.matrix.dtype)
    for name, basis in (("U_s", signal), ("U_n", noise)):
        off = _norms(adjoint(basis) @ basis - np.eye(basis.shape[-1]))
        assert_within(f"|{name}^H {name} - I|_F", off, np.zeros_like(off), bound)
    # They may come from two decompositions, which agree where the gap is open.
    across = _norms(adjoint(signal) @ noise)
    turned = 2 * subspace_bound(drawn.values, k, drawn.matrix.dtype)
    assert_within("|U_s^H U_n|_F", across, np.zeros_like(across), turned + bound)


@given(hermitian_matrices(domains=SIMPLE), st.data())
def test_the_signal_subspace_is_that_of_the_k_largest(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    basis = _complex(TARGET.signal_subspace(drawn.matrix, k))
    off = _norms(basis @ adjoint(basis) - _leading(drawn, k))
    bound = subspace_bound(drawn.values, k, drawn.matrix.dtype)
    assert_within("|P - P_k|_F", off, np.zeros_like(off), bound)


@given(hermitian_matrices(domains=SIMPLE), st.data())
def test_the_noise_subspace_is_the_orthogonal_complement(drawn: SpectralMatrix, data) -> None:
    k = data.draw(orders(drawn), label="k")
    basis = _complex(TARGET.noise_subspace(drawn.matrix, k))
    off = _norms(basis @ adjoint(basis) - np.eye(drawn.n) + _leading(drawn, k))
    bound = subspace_bound(drawn.values, k, drawn.matrix.dtype)
    bound = bound + orthonormality_bound(drawn.n, drawn.n, drawn.matrix.dtype)
    assert_within("|P_n - (I - P_k)|_F", off, np.zeros_like(off), bound)


@given(hermitian_matrices(), st.data())
def test_the_basis_holds_the_most_power(drawn: SpectralMatrix, data) -> None:
    # Ky Fan: tr(U^H A U) <= lambda_1 + ... + lambda_k over orthonormal U, with equality here, at
    # ties too.
    k = data.draw(orders(drawn), label="k")
    basis = _complex(TARGET.signal_subspace(drawn.matrix, k))
    held = np.trace(adjoint(basis) @ drawn.exact @ basis, axis1=-2, axis2=-1).real
    best = drawn.values[..., :k].sum(axis=-1)
    size = np.abs(drawn.values).max(axis=-1)
    slack = 4 * k * size * orthonormality_bound(drawn.n, drawn.n, drawn.matrix.dtype)
    assert_within("tr U^H A U", held, best, slack)
    assert_true("finite", np.isfinite(basis), basis)
