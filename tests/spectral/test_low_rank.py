"""Of factored covariances, what the laws do not say: digits of MVDR, where gradients must live, bad
input. That they agree with dense ones is `properties/spectral/test_low_rank_and_dense.py`."""

import pytest
import torch

from ris_pipeline import spectral
from ris_pipeline._errors import InputError
from ris_pipeline.spectral import LowRankCovariance

DTYPES = (torch.complex128, torch.complex64)


def steering_for(covariance: LowRankCovariance) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(covariance.size, 5, dtype=torch.complex128, generator=generator)
    return (a / a.norm(dim=0)).to(covariance.factor.dtype)


@pytest.mark.parametrize("columns", [3, 5])
def test_mvdr_keeps_its_digits_where_the_factor_leaves_no_eigenvalue_at_the_loading(
    columns: int,
) -> None:
    # R = (1e6 + 1e-6) I has condition 1; Woodbury's identity would lose lambda_1 / delta = 1e12.
    factor = 1e3 * torch.eye(3, columns, dtype=torch.complex128)
    covariance = LowRankCovariance(factor, 1e-6)
    steering = steering_for(covariance)
    spectrum = spectral.mvdr_spectrum(covariance, steering)
    # A chain of backward stable steps at condition 1.
    rounding = 100 * (3 + columns) * torch.finfo(factor.dtype).eps
    torch.testing.assert_close(
        spectrum, torch.full_like(spectrum, 1e6 + 1e-6), rtol=rounding, atol=0.0
    )


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


def test_music_peaks_at_the_truth_without_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(8, 40, dtype=torch.complex128, generator=generator)
    a = a / a.norm(dim=0)
    covariance = LowRankCovariance(a[:, :3])
    spectrum = spectral.music_spectrum(covariance, a, 3)
    assert set(spectrum.topk(3).indices.tolist()) == {0, 1, 2}
    assert torch.isfinite(spectrum).all()


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
