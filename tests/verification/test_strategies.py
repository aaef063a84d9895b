"""The strategies reach what they promise, keep it, and shrink to something readable."""

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import find, given, settings

from ris_pipeline.verification.strategies import (
    BATCHES,
    DTYPES,
    SCALES,
    Basis,
    Domain,
    NearHermitian,
    SpectralMatrix,
    gradients,
    hermitian_matrices,
    loss_sequences,
    near_hermitian_matrices,
)

SEARCH = settings(max_examples=2000, database=None, deadline=None)


def reach(strategy, condition):
    return find(strategy, condition, settings=SEARCH, random=Random(0))


@pytest.mark.parametrize("domain", Domain)
def test_every_domain_is_reached(domain: Domain) -> None:
    assert reach(hermitian_matrices(), lambda m: m.domain == domain).domain == domain


@pytest.mark.parametrize("basis", Basis)
def test_every_basis_is_reached(basis: Basis) -> None:
    reach(hermitian_matrices(), lambda m: m.basis == basis)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_every_dtype_and_batch_is_reached(dtype: torch.dtype, batch: tuple[int, ...]) -> None:
    reach(
        hermitian_matrices(),
        lambda m: m.matrix.dtype == dtype and tuple(m.matrix.shape[:-2]) == batch,
    )


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_reached(scale: float) -> None:
    reach(hermitian_matrices(), lambda m: scale < np.abs(m.values).max() <= 4 * scale)


@given(hermitian_matrices())
def test_a_matrix_keeps_its_promise(drawn: SpectralMatrix) -> None:
    values = np.linalg.eigvalsh(drawn.exact)[..., ::-1]
    # Three matrix products in double precision.
    bound = 8 * drawn.n * np.finfo(float).eps * np.abs(drawn.values).max()
    assert np.abs(values - drawn.values).max() <= bound
    assert (np.diff(drawn.values, axis=-1) <= 0).all()
    assert np.array_equal(drawn.exact, drawn.exact.conj().swapaxes(-1, -2))
    match drawn.domain:
        case Domain.INDEFINITE:
            assert (drawn.values[..., 0] > 0).all()
            assert (drawn.values[..., -1] < 0).all()
        case Domain.LOW_RANK:
            assert (drawn.values[..., -1] == 0).all()
        case Domain.REPEATED:
            assert (np.diff(drawn.values, axis=-1) == 0).any(axis=-1).all()
        case Domain.ZERO:
            assert not drawn.exact.any()
        case _:
            assert (drawn.values > 0).all()


@given(near_hermitian_matrices())
def test_a_near_hermitian_matrix_is_off_by_what_it_says(drawn: NearHermitian) -> None:
    norm = torch.linalg.matrix_norm(drawn.hermitian.matrix)
    skew = torch.linalg.matrix_norm(drawn.matrix - drawn.hermitian.matrix)
    expected = drawn.relative * torch.where(norm > 0, norm, torch.ones_like(norm))
    # The sum is rounded to the dtype of the matrix.
    eps = 10 * drawn.hermitian.n * torch.finfo(norm.dtype).eps
    torch.testing.assert_close(skew, expected, rtol=eps / drawn.relative, atol=0)


def test_failures_shrink_to_something_readable() -> None:
    seen: list[SpectralMatrix] = []

    @settings(database=None, derandomize=True, deadline=None, max_examples=500)
    @given(hermitian_matrices())
    def fails(drawn: SpectralMatrix) -> None:
        seen.append(drawn)
        assert drawn.values.max() <= 1

    with pytest.raises(AssertionError):
        fails()
    smallest = seen[-1]
    assert smallest.matrix.shape == (2, 2)
    assert smallest.basis is Basis.IDENTITY
    assert "identity basis, torch.complex128, shape (2, 2)" in repr(smallest)


def test_gradients_and_losses_reach_the_hard_cases() -> None:
    def kinds(parameters) -> set[str]:
        found = set()
        for grad in (p.grad for p in parameters):
            if grad is None:
                found.add("absent")
            else:
                found.add("nan" if grad.isnan().any() else "inf" if grad.isinf().any() else "ok")
        return found

    reach(gradients(), lambda parameters: kinds(parameters) >= {"absent", "nan", "ok"})
    reach(gradients(), lambda parameters: "inf" in kinds(parameters))
    reach(gradients(), lambda parameters: not parameters)
    reach(loss_sequences(), lambda drawn: len(drawn[0]) % drawn[1] and len(drawn[0]) > drawn[1])
