"""Roots, inverses and estimated covariances refuse what they are not for."""

import math

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.spectral import (
    aic,
    factor_eigengap_loss,
    ledoit_wolf,
    matrix_sqrt,
    mdl,
    psd_projection,
    pseudo_inverse,
    sample_covariance,
    whitening,
)

INDEFINITE = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.complex128)
SHIFTED = INDEFINITE + 2 * torch.eye(2)


@pytest.mark.parametrize("function", [matrix_sqrt, psd_projection, whitening, pseudo_inverse])
def test_what_is_no_finite_complex_matrix_is_refused(function, untyped):
    poisoned = INDEFINITE.clone()
    poisoned[0, 1] = math.nan
    with untyped():
        with pytest.raises(InputError, match="non-finite"):
            function(poisoned)
        with pytest.raises(InputError, match="dtype"):
            function(SHIFTED.real)


def test_an_indefinite_matrix_has_no_root():
    with pytest.raises(InputError, match="negative eigenvalue"):
        matrix_sqrt(INDEFINITE)
    with pytest.raises(torch.linalg.LinAlgError):
        whitening(INDEFINITE)
    # Eigenvalues 3 and -1 on (1, 1) and (1, -1).
    assert torch.allclose(
        psd_projection(INDEFINITE), torch.full((2, 2), 1.5 + 0j).to(torch.complex128)
    )


def test_the_root_of_what_rounding_made_negative():
    matrix = torch.diag(torch.tensor([1.0, -1e-16], dtype=torch.complex128))
    assert torch.equal(matrix_sqrt(matrix).real, torch.diag(torch.tensor([1.0, 0.0])).double())


@pytest.mark.parametrize("function", [sample_covariance, ledoit_wolf])
def test_no_snapshot_is_refused(function, untyped):
    with untyped(), pytest.raises(InputError, match=r"snapshots has shape \(3, 0\)"):
        function(torch.zeros(3, 0, dtype=torch.complex64))


def test_the_shrinkage_keeps_the_trace_and_mends_the_rank():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 4, dtype=torch.complex128, generator=generator)
    sample, shrunk = sample_covariance(x), ledoit_wolf(x)
    assert torch.allclose(sample.trace(), shrunk.trace())
    assert torch.linalg.eigvalsh(sample)[0] < 1e-12 < torch.linalg.eigvalsh(shrunk)[0]


def test_a_factor_of_a_wrong_kind_is_refused(untyped):
    with untyped(), pytest.raises(InputError, match="factor has dtype"):
        factor_eigengap_loss(torch.ones(3, 2), 1, 1.0)
    with pytest.raises(InputError, match="k = 3"):
        factor_eigengap_loss(torch.ones(3, 2, dtype=torch.complex64), 3, 1.0)


def test_numbers_of_a_batch_of_spectra():
    spectra = torch.tensor([[50.0, 1.0, 1.0], [1.0, 1.0, 1.0], [60.0, 50.0, 1.0]])
    assert mdl(spectra, 100).tolist() == aic(spectra, 100).tolist() == [1, 0, 2]
    with pytest.raises(InputError, match="ascend"):
        mdl(spectra.flip(-1), 100)
