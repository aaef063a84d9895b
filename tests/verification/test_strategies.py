"""The strategies reach what they promise, keep it, and shrink to something readable."""

import math
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings

from ris_pipeline.verification.strategies import (
    BATCHES,
    DTYPES,
    SCALES,
    WAVEFRONTS,
    Basis,
    Domain,
    FactoredMatrix,
    Layout,
    NearHermitian,
    Rank,
    SpectralMatrix,
    gradients,
    hermitian_matrices,
    lay_out,
    loss_sequences,
    low_rank_factors,
    near_hermitian_matrices,
    scenarios,
    settings_before_a_panel,
    wilkinson_spectrum,
)
from ris_pipeline.verification.strategies.predictions import leaves, predictions, truths

SMALLEST = settings(max_examples=2000, database=None, deadline=None)
FIRST = settings(SMALLEST, phases=(Phase.generate,))


def reach(strategy, condition, search: settings = FIRST):
    return find(strategy, condition, settings=search, random=Random(0))


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
        case Domain.INDEFINITE | Domain.WILKINSON:
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


@settings(deadline=None)
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


@given(low_rank_factors())
def test_a_factor_keeps_its_promise(drawn: FactoredMatrix) -> None:
    singular = np.linalg.svd(drawn.exact, compute_uv=False)
    bound = 8 * (drawn.n + drawn.q) * np.finfo(float).eps * 4
    assert np.abs(singular - np.sqrt(drawn.squares)).max() <= bound
    values = np.linalg.eigvalsh(drawn.dense)[..., ::-1]
    assert np.abs(values - drawn.values).max() <= bound * 8


@pytest.mark.parametrize("rank", Rank)
def test_every_rank_and_shape_of_factor_is_reached(rank: Rank) -> None:
    reach(low_rank_factors(), lambda f: f.rank is rank and f.q > f.n)
    reach(low_rank_factors(), lambda f: f.rank is rank and f.q < f.n)
    reach(low_rank_factors(), lambda f: f.rank is rank and f.factor.shape[:-2] == (2, 2))


def test_factors_shrink_to_one_column_before_an_identity() -> None:
    found = reach(low_rank_factors(), lambda f: f.squares.max() > 1, SMALLEST)
    assert tuple(found.factor.shape) == (2, 1)
    assert found.basis is Basis.IDENTITY
    assert "DISTINCT" not in repr(found)
    assert "F of shape (2, 1)" in repr(found)


@pytest.mark.parametrize("n", [7, 9, 11])
def test_wilkinson_pairs_nearly_agree_and_one_value_is_negative(n: int) -> None:
    values = np.sort(wilkinson_spectrum(n))[::-1]
    # The leading pair of W_n^+, n = 2 m + 1, is m!^-2 apart at a norm of m + 3/4, both to leading
    # order (Wilkinson, 1965, section 5.45): a factor of two either way holds them.
    m = (n - 1) // 2
    apart = math.factorial(m) ** -2 * 4 / (m + 0.75)
    assert apart / 2 < values[0] - values[1] < 2 * apart
    assert values[-1] < 0


@pytest.mark.parametrize("layout", Layout)
def test_a_layout_keeps_the_numbers_and_moves_the_memory(layout: Layout) -> None:
    matrix = torch.complex(*torch.arange(36.0).reshape(2, 2, 3, 3).unbind(0))
    moved = lay_out(matrix, layout)
    assert torch.equal(moved, matrix)
    signs = {
        Layout.CONTIGUOUS: moved.is_contiguous() and not moved.is_conj(),
        Layout.TRANSPOSED: not moved.is_contiguous(),
        Layout.STRIDED: moved.stride(-1) == 2,
        Layout.CONJUGATE_VIEW: moved.is_conj(),
        Layout.OFFSET: moved.storage_offset() > 0,
        Layout.BATCH_LAST: moved.stride(0) == 1,
    }
    assert signs[layout]


@pytest.mark.parametrize("wavefront", WAVEFRONTS)
def test_scenarios_reach_every_wavefront_and_codebook(wavefront: str) -> None:
    for codebook in ("dft", "random", "hadamard", "mixed"):
        reach(scenarios(), lambda s: s.wavefront == wavefront and s.codebook == codebook)  # noqa: B023


def test_sources_stand_at_eight_times_the_extent_and_shrink_to_broadside() -> None:
    found = reach(settings_before_a_panel(), lambda s: s.extent > 0, SMALLEST)
    assert (found.azimuth, found.elevation) == (0.0, 0.0)
    assert found.scenario.panel == (1, 2)
    reach(settings_before_a_panel(), lambda s: s.distance == np.float32(8 * s.extent))
    reach(settings_before_a_panel(), lambda s: s.distance > 500 * s.extent)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_truths_reach_every_number_of_sources(count: int) -> None:
    truth = reach(truths(), lambda t: bool((t.count == count).any()))
    prediction = reach(predictions(truth), lambda p: True)
    assert all(leaf.requires_grad for leaf in leaves(prediction))
