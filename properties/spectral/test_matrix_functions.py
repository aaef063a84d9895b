"""Law: roots, projections, whitenings and inverses are what defines them.

S S = R with S Hermitian and positive; the nearest positive semidefinite matrix; W R W^H = I; the
four conditions of Penrose.
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline._laws import adjoint
from ris_pipeline.verification.bounds import (
    conditioned_bound,
    eigenvalue_bound,
    inverse_bound,
    largest,
    product_bound,
    root_bound,
)
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.oracles import positive_part
from ris_pipeline.verification.strategies import (
    SEMIDEFINITE,
    Basis,
    Domain,
    FactoredMatrix,
    NearHermitian,
    Rank,
    SpectralMatrix,
    eigenbasis,
    hermitian_matrices,
    low_rank_factors,
    near_hermitian_matrices,
)
from ris_pipeline.verification.target import TARGET, Claim, taken


def _wide(answer: torch.Tensor) -> np.ndarray:
    return np.asarray(answer.detach().resolve_conj().to(torch.complex128).numpy())


@given(hermitian_matrices(domains=SEMIDEFINITE))
def test_the_square_of_the_root_is_the_matrix(drawn: SpectralMatrix) -> None:
    root = _wide(TARGET.matrix_sqrt(drawn.matrix))
    bound = product_bound(largest(drawn.values), 4 * drawn.n, drawn.matrix.dtype)
    assert_within("S S", root @ root, drawn.exact, bound)


@given(hermitian_matrices(domains=SEMIDEFINITE))
def test_the_root_is_hermitian_and_positive(drawn: SpectralMatrix) -> None:
    root = _wide(TARGET.matrix_sqrt(drawn.matrix))
    bound = root_bound(drawn.values, drawn.matrix.dtype)
    assert_within("S^H", adjoint(root), root, bound)
    lowest = np.linalg.eigvalsh(0.5 * (root + adjoint(root)))[..., 0]
    assert_true("no eigenvalue of S is negative", lowest >= -bound, lowest)


@given(hermitian_matrices())
def test_the_projection_keeps_the_positive_eigenvalues(drawn: SpectralMatrix) -> None:
    # A projection on a convex set moves two points no further apart.
    got = _wide(TARGET.psd_projection(drawn.matrix))
    bound = drawn.n**0.5 * eigenvalue_bound(drawn.values, drawn.matrix.dtype)
    assert_within("P", got, positive_part(drawn.exact), 2 * bound[..., None, None])


@given(near_hermitian_matrices())
def test_the_projection_is_that_of_the_hermitian_part(drawn: NearHermitian) -> None:
    taken((Claim.NOT_HERMITIAN,))
    got = _wide(TARGET.psd_projection(drawn.matrix))
    norm = float(
        np.linalg.norm(drawn.matrix.to(torch.complex128).numpy(), 2, axis=(-2, -1)).max(initial=0)
    )
    bound = product_bound(norm, 2 * drawn.hermitian.n**2, drawn.matrix.dtype)
    assert_within("P", got, positive_part(drawn.hermitian.exact), bound)


@given(hermitian_matrices(domains=(Domain.POSITIVE,)))
def test_what_is_whitened_is_white(drawn: SpectralMatrix) -> None:
    white = _wide(TARGET.whitening(drawn.matrix))
    # The rounding of R is magnified by W on either side.
    condition = float((drawn.values[..., 0] / drawn.values[..., -1]).max())
    bound = conditioned_bound(1.0, 2 * drawn.n, condition, drawn.matrix.dtype)
    eye = np.broadcast_to(np.eye(drawn.n), drawn.exact.shape)
    assert_within("W R W^H", white @ drawn.exact @ adjoint(white), eye, bound)


@given(st.integers(2, 9), st.integers(1, 8), st.integers(0, 7))
def test_what_is_ill_conditioned_is_whitened_as_well(n: int, decades: int, seed: int) -> None:
    values, basis = 10.0 ** -np.linspace(0, decades, n), eigenbasis(n, Basis.HAAR, seed)
    exact = (basis * values) @ adjoint(basis)
    exact = 0.5 * (exact + adjoint(exact))
    white = _wide(TARGET.whitening(torch.from_numpy(exact)))
    bound = conditioned_bound(1.0, 2 * n, 10.0**decades, torch.complex128)
    assert_within("W R W^H", white @ exact @ adjoint(white), np.eye(n), bound)


@given(low_rank_factors(ranks=(Rank.DISTINCT, Rank.TIED)))
def test_the_pseudo_inverse_of_any_shape(drawn: FactoredMatrix) -> None:
    taken((Claim.NOT_HERMITIAN,))
    got, exact = _wide(TARGET.pseudo_inverse(drawn.factor)), drawn.exact
    bound = inverse_bound(drawn.squares, drawn.n + drawn.q, drawn.factor.dtype)
    size = float(np.sqrt(drawn.squares.max()))
    assert_within("A^+", got, np.linalg.pinv(exact), bound)
    for label, product in (("A A^+", exact @ got), ("A^+ A", got @ exact)):
        assert_within(f"{label} is Hermitian", adjoint(product), product, 2 * size * bound)


@given(st.integers(1, 30), st.integers(0, 3), st.sampled_from(((3, 2), (2, 3), (3, 3))))
def test_the_pseudo_inverse_keeps_what_is_small(exponent: int, seed: int, shape) -> None:
    taken((Claim.NOT_HERMITIAN,))
    n, m = shape
    left, right = eigenbasis(n, Basis.HAAR, seed), eigenbasis(m, Basis.HAAR, seed + 7)
    values = 2.0 ** -np.linspace(0, exponent, min(shape))
    matrix = (left[:, : min(shape)] * values) @ adjoint(right[:, : min(shape)])
    got = _wide(TARGET.pseudo_inverse(torch.from_numpy(matrix)))
    expected = (right[:, : min(shape)] / values) @ adjoint(left[:, : min(shape)])
    # Twice: the matrix is made by a product that is rounded too.
    assert_within("A^+", got, expected, 2 * inverse_bound(values**2, n + m, torch.complex128))


KINDS = {
    "positive": (5.0, 3.0, 1.0),
    "indefinite": (4.0, 1.0, -3.0),
    "negative": (-1.0, -2.0, -3.0),
}


@given(st.permutations(sorted(KINDS)), st.integers(0, 3))
def test_a_batch_may_mix_definite_and_indefinite(kinds: list[str], seed: int) -> None:
    values = np.array([KINDS[kind] for kind in kinds])
    bases = np.stack([eigenbasis(3, Basis.HAAR, seed + i) for i in range(len(kinds))])
    batch = torch.from_numpy((bases * values[:, None, :]) @ adjoint(bases))
    taken((Domain.INDEFINITE,))
    got = _wide(TARGET.psd_projection(batch))
    expected = (bases * values.clip(0)[:, None, :]) @ adjoint(bases)
    assert_within("positive part", got, expected, 2 * product_bound(5.0, 3, torch.complex128))


@given(st.sampled_from(sorted(KINDS)), st.sampled_from((-60, -30, -10, 30)), st.integers(0, 3))
def test_the_projection_in_any_unit(kind: str, exponent: int, seed: int) -> None:
    taken((Domain.INDEFINITE, Claim.SCALE))
    values, basis = np.array(KINDS[kind]) * 2.0**exponent, eigenbasis(3, Basis.HAAR, seed)
    got = _wide(TARGET.psd_projection(torch.from_numpy((basis * values) @ adjoint(basis))))
    expected = (basis * values.clip(0)) @ adjoint(basis)
    bound = 2 * product_bound(5.0 * 2.0**exponent, 3, torch.complex128)
    assert_within("positive part", got, expected, bound)


# Zeros that no rounding fills: what counts as zero beside them is the same for everybody.
SINGULAR = (
    np.zeros((3, 2)),
    np.diag([4.0, 0.25, 0.0]),
    np.array([[0, 2j], [0, 0], [0, 0]]),
    np.diag([1e-9, 4e-9, 0.0, 0.0])[:, :3],
    np.diag([2e9, 0.0, 1e9]),
    # Of ranks 2, 1 and 3 together.
    np.stack((np.diag([4.0, 0.25, 0.0]), np.diag([0.0, 0.5, 0.0]), np.diag([1.0, 2.0, 4.0]))),
)


@given(st.sampled_from(SINGULAR))
def test_the_pseudo_inverse_leaves_zeros_alone(matrix: np.ndarray) -> None:
    taken((Claim.NOT_HERMITIAN,))
    exact = matrix.astype(np.complex128)
    got = _wide(TARGET.pseudo_inverse(torch.from_numpy(exact)))
    turned = exact.swapaxes(-1, -2)
    expected, filled = np.zeros_like(turned), turned != 0
    expected[filled] = 1 / turned[filled]
    bound = product_bound(float(np.abs(expected).max()), 4, torch.complex128)
    assert_within("A^+", got, expected, bound)
