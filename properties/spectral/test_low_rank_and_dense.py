"""Law: every routine on `F F^H + delta I` agrees with the same routine on the matrix itself."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.spectral import LowRankCovariance
from ris_pipeline.verification.bounds import (
    condition_number,
    conditioned_bound,
    eigenvalue_bound,
    factored_subspace_bound,
    gap_bound,
    largest,
    nmse_bound,
    noise_floor_bound,
    product_bound,
    smallest_double,
)
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import (
    FactoredMatrix,
    Rank,
    low_rank_factors,
    unit_vectors,
)
from ris_pipeline.verification.target import TARGET

seeds = st.integers(0, 2**16)
weights = st.sampled_from((0.0, 1.0, 0.5, 0.25))


def _factored(drawn: FactoredMatrix) -> LowRankCovariance:
    return TARGET.LowRankCovariance(drawn.factor, drawn.loading)


def _dense(drawn: FactoredMatrix) -> torch.Tensor:
    return torch.from_numpy(drawn.dense)


def _steering(drawn: FactoredMatrix, seed: int) -> torch.Tensor:
    return torch.from_numpy(unit_vectors(drawn.n, seed))


def _real(tensor: torch.Tensor) -> np.ndarray:
    return tensor.double().numpy()


def _other(drawn: FactoredMatrix) -> tuple[LowRankCovariance, torch.Tensor]:
    """The matrix turned end for end, in both forms."""
    factor = TARGET.LowRankCovariance(drawn.factor.flip(-2), drawn.loading)
    return factor, torch.from_numpy(drawn.dense[..., ::-1, ::-1].copy())


def _size(drawn: FactoredMatrix) -> int:
    return drawn.n + drawn.q


@given(low_rank_factors())
def test_the_matrix_and_its_trace(drawn: FactoredMatrix) -> None:
    covariance, dtype = _factored(drawn), drawn.factor.dtype
    bound = product_bound(largest(drawn.values), _size(drawn), dtype)
    assert_within("R", covariance.dense().to(torch.complex128).numpy(), drawn.dense, bound)
    total = drawn.values.sum(axis=-1)
    got = _real(TARGET.trace(covariance))
    assert_within("tr R", got, total, product_bound(total, _size(drawn), dtype))


@given(low_rank_factors(), st.data())
def test_eigenvalues_and_gaps(drawn: FactoredMatrix, data) -> None:
    k = data.draw(st.integers(1, drawn.n - 1), label="k")
    covariance, dtype = _factored(drawn), drawn.factor.dtype
    # A wide factor's products are as long as it has columns.
    long = 1 + drawn.q / drawn.n
    values = _real(covariance.eigenvalues())
    bound = long * eigenvalue_bound(drawn.values, dtype)[..., None]
    assert_within("lambda", values, drawn.values, bound)
    gap = drawn.values[..., k - 1] - drawn.values[..., k]
    got = _real(TARGET.eigengap(covariance, k))
    assert_within("gap_k", got, gap, long * gap_bound(drawn.values, dtype))


@given(low_rank_factors(), seeds)
def test_products_and_scaling(drawn: FactoredMatrix, seed: int) -> None:
    covariance, a = _factored(drawn), _steering(drawn, seed)
    got = covariance.apply(a.to(drawn.factor.dtype)).to(torch.complex128).numpy()
    bound = product_bound(largest(drawn.values), _size(drawn), drawn.factor.dtype)
    assert_within("R X", got, drawn.dense @ a.numpy(), bound)
    scale = torch.full(drawn.factor.shape[:-2], 0.3, dtype=drawn.factor.real.dtype)
    scaled = covariance.scaled(scale).dense().to(torch.complex128).numpy()
    assert_within("0.3 R", scaled, 0.3 * drawn.dense, bound)


@given(low_rank_factors(), weights)
def test_loading_normalisation_and_shrinkage(drawn: FactoredMatrix, weight: float) -> None:
    covariance, matrix = _factored(drawn), _dense(drawn)
    bound = product_bound(largest(drawn.values) + drawn.n, 2 * _size(drawn), drawn.factor.dtype)
    for name, *arguments in (("add_loading", weight), ("normalize_trace",), ("shrink", weight)):
        change = getattr(TARGET, name)
        got = change(covariance, *arguments).dense().to(torch.complex128).numpy()
        assert_within(name, got, change(matrix, *arguments).numpy(), bound)


@given(low_rank_factors(), weights)
def test_blends(drawn: FactoredMatrix, beta: float) -> None:
    factored, dense = _other(drawn)
    got = TARGET.blend(_factored(drawn), factored, beta).dense().to(torch.complex128).numpy()
    bound = product_bound(float(drawn.n), 2 * _size(drawn), drawn.factor.dtype)
    assert_within("blend", got, TARGET.blend(_dense(drawn), dense, beta).numpy(), bound)


@given(low_rank_factors(), weights, st.integers(-100, 400))
def test_the_prepared_covariance(drawn: FactoredMatrix, beta: float, tenths: int) -> None:
    factored, dense = _other(drawn)
    snr = torch.full(drawn.factor.shape[:-2], tenths / 10, dtype=drawn.factor.real.dtype)
    got = TARGET.prepare_covariance(_factored(drawn), factored, beta, snr)
    weight = TARGET.shrinkage_weight(snr.double())
    expected = TARGET.shrink(TARGET.blend(_dense(drawn), dense, beta), weight)
    bound = product_bound(float(drawn.n), 4 * _size(drawn), drawn.factor.dtype)
    assert_within("prepared", got.dense().to(torch.complex128).numpy(), expected.numpy(), bound)


@given(low_rank_factors(), st.sampled_from(((1.0, 1.0), (1.0, 0.0), (0.0, 2.0))))
def test_errors_of_covariances(drawn: FactoredMatrix, parts: tuple[float, float]) -> None:
    factored, dense = _other(drawn)
    got = _real(TARGET.nmse(_factored(drawn), factored, *parts))
    expected = TARGET.nmse(_dense(drawn), dense, *parts).numpy()
    norm = np.linalg.norm(drawn.dense, axis=(-2, -1))
    bound = 2 * nmse_bound(norm, norm, 2 * _size(drawn), drawn.factor.dtype)
    assert_within("NMSE", got, expected, bound)


@given(low_rank_factors(ranks=(Rank.DISTINCT,)), st.data())
def test_signal_subspaces(drawn: FactoredMatrix, data) -> None:
    k = data.draw(st.integers(1, min(drawn.n - 1, drawn.q)), label="k")
    basis = TARGET.signal_subspace(_factored(drawn), k).to(torch.complex128).numpy()
    true = np.linalg.eigh(drawn.dense)[1][..., -k:]
    off = basis @ basis.conj().swapaxes(-1, -2) - true @ true.conj().swapaxes(-1, -2)
    bound = factored_subspace_bound(drawn.squares, _size(drawn), k, drawn.factor.dtype)
    error = np.linalg.norm(off, axis=(-2, -1))
    assert_within("|P - P_k|_F", error, np.zeros_like(error), bound)


@given(low_rank_factors(), seeds)
def test_bartlett_and_mvdr_spectra(drawn: FactoredMatrix, seed: int) -> None:
    covariance, a = _factored(drawn), _steering(drawn, seed)
    condition, dtype = condition_number(drawn.values), drawn.factor.dtype
    for name, worse in (("bartlett_spectrum", 0.0), ("mvdr_spectrum", condition)):
        spectrum = getattr(TARGET, name)
        got = _real(spectrum(covariance, a.to(dtype)))
        expected = spectrum(_dense(drawn), a).numpy()
        bound = conditioned_bound(largest(drawn.values), _size(drawn), worse, dtype)
        assert_within(name, got, expected, bound)


@given(low_rank_factors(ranks=(Rank.DISTINCT,)), seeds, st.data())
def test_music_spectra(drawn: FactoredMatrix, seed: int, data) -> None:
    k = data.draw(st.integers(1, min(drawn.n - 1, drawn.q)), label="k")
    a, dtype = _steering(drawn, seed), drawn.factor.dtype
    # The distances, whose error does not grow at the peak.
    got = 1 / _real(TARGET.music_spectrum(_factored(drawn), a.to(dtype), k))
    expected = 1 / TARGET.music_spectrum(_dense(drawn), a, k).numpy()
    turned = factored_subspace_bound(drawn.squares, _size(drawn), k, dtype)[..., None]
    bound = 2 * turned + noise_floor_bound(_size(drawn), turned, dtype)
    assert_within("|(I - P) a|^2", got, expected, bound)


@given(low_rank_factors(), st.data(), st.sampled_from((1.0, 0.5, 0.95)))
def test_the_subspace_margin(drawn: FactoredMatrix, data, margin: float) -> None:
    k = data.draw(st.integers(1, drawn.n - 1), label="k")
    got = TARGET.signal_power_hinge(_factored(drawn), k, margin).item()
    share = drawn.values[..., :k].sum(axis=-1) / drawn.values.sum(axis=-1)
    expected = np.maximum(0.0, margin - share).mean()
    assert_within("hinge", got, expected, product_bound(1.0, _size(drawn), drawn.factor.dtype))


@given(low_rank_factors(), seeds, st.sampled_from((1.0, 0.125, 1e-3)))
def test_soft_alignment(drawn: FactoredMatrix, seed: int, ridge: float) -> None:
    a, dtype = _steering(drawn, seed), drawn.factor.dtype
    got = _real(TARGET.soft_alignment(_factored(drawn), a.to(dtype), ridge))
    # a^H (I + level (F F^H)^-1)^-1 a = a^H R (R + level I)^-1 a without loading.
    plain = drawn.dense - drawn.loading * np.eye(drawn.n)
    level = ridge * np.trace(plain, axis1=-2, axis2=-1).real[..., None, None]
    # A matrix of zeros reaches nothing, whatever the ridge.
    level = np.maximum(level, smallest_double())
    solved = np.linalg.solve(plain + level * np.eye(drawn.n), plain @ a.numpy())
    expected = (a.numpy().conj() * solved).sum(axis=-2).real
    bound = conditioned_bound(1.0, _size(drawn), 1 / ridge, dtype)
    assert_within("alignment", got, expected, bound)
    assert_true("in 0..1", (got >= 0) & (got <= 1 + bound), got)
