"""Every factored routine against its dense form; and where gradients must live."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline import spectral
from ris_pipeline._errors import InputError
from ris_pipeline.spectral import LowRankCovariance

DTYPES = (torch.complex128, torch.complex64)


def tolerance(dtype: torch.dtype, n: int, condition: float) -> float:
    """`100 n eps condition`: a chain of backward stable steps, each magnified by the condition."""
    return 100 * n * torch.finfo(dtype).eps * condition


@st.composite
def covariances(draw: st.DrawFn) -> LowRankCovariance:
    n, q = draw(st.integers(2, 10)), draw(st.integers(1, 12))
    batch = draw(st.sampled_from(((), (1,), (3,), (2, 2))))
    dtype = draw(st.sampled_from(DTYPES))
    loading = draw(st.sampled_from((0.25, 1.0, 0.0625)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    factor = torch.randn(*batch, n, q, dtype=torch.complex128, generator=generator)
    return LowRankCovariance(factor.to(dtype), loading)


def steering_for(covariance: LowRankCovariance) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(covariance.size, 5, dtype=torch.complex128, generator=generator)
    return (a / a.norm(dim=0)).to(covariance.factor.dtype)


def condition_of(covariance: LowRankCovariance) -> float:
    values = covariance.eigenvalues()
    return float((values[..., 0] / values[..., -1]).max())


def assert_agree(got: torch.Tensor, expected: torch.Tensor, covariance: LowRankCovariance) -> None:
    order = covariance.size + covariance.rank
    bound = tolerance(covariance.factor.dtype, order, condition_of(covariance))
    scale = expected.abs().max().item()
    error = (got - expected).abs().max().item()
    assert error <= bound * scale, f"off by {error:.2e}, allowed {bound * scale:.2e}"


@given(covariances())
def test_eigenvalues_trace_and_loading(covariance: LowRankCovariance) -> None:
    dense = covariance.dense()
    assert_agree(covariance.eigenvalues(), spectral.eigenvalues(dense), covariance)
    assert_agree(covariance.trace(), spectral.trace(dense), covariance)
    loaded = spectral.add_loading(covariance, 0.5)
    assert_agree(loaded.dense(), spectral.add_loading(dense, 0.5), covariance)


@pytest.mark.parametrize("columns", [3, 5])
def test_mvdr_keeps_its_digits_where_the_factor_leaves_no_eigenvalue_at_the_loading(
    columns: int,
) -> None:
    # R = (1e6 + 1e-6) I has condition 1; Woodbury's identity would lose lambda_1 / delta = 1e12.
    factor = 1e3 * torch.eye(3, columns, dtype=torch.complex128)
    covariance = LowRankCovariance(factor, 1e-6)
    steering = steering_for(covariance)
    spectrum = spectral.mvdr_spectrum(covariance, steering)
    assert_agree(spectrum, torch.full_like(spectrum, 1e6 + 1e-6), covariance)


@given(covariances(), st.integers(1, 9), st.sampled_from((0.0, 3.0, 100.0)))
def test_gap_and_hinges(covariance: LowRankCovariance, k: int, margin: float) -> None:
    k = min(k, covariance.size - 1)
    dense = covariance.dense()
    top = covariance.eigenvalues()[..., :1].abs().max()
    gaps = [spectral.eigengap(form, k) / top for form in (covariance, dense)]
    bound = tolerance(covariance.factor.dtype, covariance.size, 1.0)
    assert (gaps[0] - gaps[1]).abs().max() <= bound
    hinges = [spectral.eigengap_loss(form, k, margin) / top for form in (covariance, dense)]
    assert (hinges[0] - hinges[1]).abs() <= bound
    shares = [spectral.signal_power_hinge(form, k, 1.0) for form in (covariance, dense)]
    assert (shares[0] - shares[1]).abs() <= bound


@given(covariances(), st.sampled_from((0.0, 0.1, 1.0)))
def test_normalisation_shrinkage_and_blend(covariance: LowRankCovariance, weight: float) -> None:
    dense = covariance.dense()
    pairs = [
        (spectral.normalize_trace(covariance), spectral.normalize_trace(dense)),
        (spectral.shrink(covariance, weight), spectral.shrink(dense, weight)),
    ]
    other = LowRankCovariance(covariance.factor[..., :1], 0.5)
    pairs.append(
        (spectral.blend(covariance, other, weight), spectral.blend(dense, other.dense(), weight))
    )
    for factored, full in pairs:
        assert_agree(factored.dense(), full, covariance)
    assert_agree(spectral.trace(pairs[1][0]), spectral.trace(covariance), covariance)


@given(covariances(), st.sampled_from(((1.0, 1.0), (2.0, 0.5))))
def test_nmse(covariance: LowRankCovariance, weights: tuple[float, float]) -> None:
    truth = LowRankCovariance(covariance.factor.flip(-2)[..., :1], 0.125)
    got = spectral.nmse(covariance, truth, *weights)
    expected = spectral.nmse(covariance.dense(), truth.dense(), *weights)
    # Squared norms of both are subtracted: the error is eps of the larger.
    scale = float(1 + expected.abs().max())
    bound = tolerance(covariance.factor.dtype, covariance.size, scale)
    assert (got - expected).abs().max() <= bound


@given(covariances())
def test_spectra(covariance: LowRankCovariance) -> None:
    a, dense = steering_for(covariance), covariance.dense()
    assert_agree(
        spectral.bartlett_spectrum(covariance, a), spectral.bartlett_spectrum(dense, a), covariance
    )
    mvdr = spectral.mvdr_spectrum(covariance, a)
    assert_agree(mvdr, spectral.mvdr_spectrum(dense, a), covariance)
    slack = 1 + tolerance(covariance.factor.dtype, covariance.size, 1.0)
    assert (mvdr <= spectral.bartlett_spectrum(covariance, a) * slack).all()


@given(covariances(), st.integers(1, 9))
def test_signal_subspace(covariance: LowRankCovariance, k: int) -> None:
    k = min(k, covariance.size - 1, covariance.rank)
    values = covariance.eigenvalues()
    gap = (values[..., k - 1] - values[..., k]).min()
    projectors = [
        spectral.projector(spectral.signal_subspace(form, k))
        for form in (covariance, covariance.dense())
    ]
    # Davis and Kahan: a subspace turns by the perturbation over the gap. The factored basis divides
    # by sqrt(g_k), hence the ratio of the largest to the k-th eigenvalue.
    error = torch.linalg.matrix_norm(projectors[0] - projectors[1]).max()
    ratio = (values[..., 0] / (values[..., k - 1] - covariance.loading_column()[..., 0])).max()
    bound = tolerance(covariance.factor.dtype, covariance.size, float(ratio * values.max() / gap))
    assert error <= bound


@pytest.mark.parametrize("case", ["zero", "ties", "rank one"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_finite_where_eigenvectors_are_not(case: str, dtype: torch.dtype) -> None:
    factor = torch.zeros(2, 6, 3, dtype=dtype)
    if case == "ties":
        factor[:, range(3), range(3)] = 1
    elif case == "rank one":
        factor[:, :, 0] = 1
    factor.requires_grad_()
    covariance, a = LowRankCovariance(factor), torch.ones(6, 2, dtype=dtype) / 6**0.5
    truth = LowRankCovariance(torch.ones(2, 6, 1, dtype=dtype))
    normal = spectral.normalize_trace(covariance)
    loss = (
        spectral.eigengap_loss(covariance, 2, 10.0)
        + spectral.signal_power_hinge(covariance, 2, 1.0)
        + spectral.nmse(normal, truth).sum()
        + spectral.soft_alignment(covariance, a).sum()
        + spectral.mvdr_spectrum(spectral.add_loading(covariance, 0.1), a).sum()
        + spectral.bartlett_spectrum(covariance, a).sum()
    )
    loss.backward()
    assert factor.grad is not None
    assert torch.isfinite(factor.grad).all()


def test_the_factored_hinge_has_the_gradient_of_the_dense_one() -> None:
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(4, 9, 3, dtype=torch.complex128, generator=generator, requires_grad=True)
    grads = []
    for form in (LowRankCovariance(factor), LowRankCovariance(factor).dense()):
        grads.append(torch.autograd.grad(spectral.eigengap_loss(form, 2, 100.0), factor)[0])
    torch.testing.assert_close(*grads)


def test_signal_and_noise_subspaces_complete_each_other() -> None:
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(2, 7, 7, dtype=torch.complex128, generator=generator)
    matrix = factor @ factor.mH
    whole = sum(
        spectral.projector(subspace(matrix, 3))
        for subspace in (spectral.signal_subspace, spectral.noise_subspace)
    )
    torch.testing.assert_close(whole, torch.eye(7, dtype=matrix.dtype).expand(2, 7, 7))
    x = torch.randn(2, 7, 4, dtype=torch.complex128, generator=generator)
    noise = spectral.noise_subspace(matrix, 3)
    got = spectral.noise_projection(spectral.signal_subspace(matrix, 3), x)
    torch.testing.assert_close(got, (noise.mH @ x).abs().square().sum(-2))


def test_music_peaks_at_the_truth_without_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(8, 40, dtype=torch.complex128, generator=generator)
    a = a / a.norm(dim=0)
    covariance = LowRankCovariance(a[:, :3])
    spectrum = spectral.music_spectrum(covariance, a, 3)
    assert set(spectrum.topk(3).indices.tolist()) == {0, 1, 2}
    assert torch.isfinite(spectrum).all()


def test_soft_alignment_is_between_zero_and_one() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(8, 5, dtype=torch.complex128, generator=generator)
    a = a / a.norm(dim=0)
    inside = spectral.soft_alignment(LowRankCovariance(a[:, :2]), a)
    assert (inside >= 0).all()
    assert (inside <= 1 + np.finfo(float).eps * 100).all()
    # A direction with half the power: g / (g + ridge tr) with g near tr / 2.
    assert (inside[:2] > 1 - 10e-3).all()


REJECTED = [
    (lambda R: spectral.eigengap(R, 0), r"k = 0: allowed is 1\.\.3"),
    (lambda R: spectral.eigengap(R, 4), r"k = 4: allowed is 1\.\.3"),
    (lambda R: spectral.eigengap_loss(R, 1, -1.0), r"margin = -1\.0: allowed is 0\.0"),
    (lambda R: spectral.eigengap(R.real, 1), "dtype torch.float64: allowed are complex64"),
    (lambda R: spectral.hermitize(R[:3]), r"shape \(3, 4\): allowed is \(\.\.\., n, n\)"),
    (lambda R: spectral.eigengap(R * float("nan"), 1), "16 non-finite entries, the first at"),
    (lambda R: spectral.shrink(R, 1.5), r"weight = 1\.5: allowed is 0\.0\.\.1\.0"),
    (lambda R: spectral.blend(R, LowRankCovariance(R), 0.5), "allowed are two of one form"),
    (lambda R: spectral.mvdr_spectrum(LowRankCovariance(R), R), "allowed is a positive loading"),
    (lambda R: spectral.bartlett_spectrum(R, R[:3]), r"steering has shape \(3, 4\)"),
    (lambda R: LowRankCovariance(R, -0.1), r"loading = -0\.1: allowed is 0\.0\.\.inf"),
    (lambda R: LowRankCovariance(R[:, :0]), r"factor has shape \(4, 0\)"),
    (lambda R: LowRankCovariance(R / 0).eigenvalues(), "^factor has 16 non-finite entries"),
    (lambda R: LowRankCovariance(R / 0).signal_basis(1), "^factor has 16 non-finite entries"),
]


@pytest.mark.parametrize(("call", "message"), REJECTED)
def test_bad_input_is_one_clear_line(call, message: str, untyped) -> None:
    matrix = torch.eye(4, dtype=torch.complex128)
    with untyped(), pytest.raises(InputError, match=message) as caught:
        call(matrix)
    assert "\n" not in str(caught.value)
