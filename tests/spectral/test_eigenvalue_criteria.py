"""What the eigenvalue criteria take for a spectrum, and what they refuse."""

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.spectral import eigenvalue_aic, eigenvalue_mdl

CRITERIA = pytest.mark.parametrize("criterion", [eigenvalue_mdl, eigenvalue_aic])
EPS = torch.finfo(torch.float64).eps


def real(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@CRITERIA
@pytest.mark.parametrize(
    ("values", "samples", "message"),
    [
        (torch.tensor(1.0), 5, r"^eigenvalues has shape \(\): allowed is \(\.\.\., m\)$"),
        (torch.ones(2, 0), 5, r"^eigenvalues has shape \(2, 0\): allowed is \(\.\.\., m\)$"),
        (real(1.0, float("nan")), 5, "^eigenvalues has 1 non-finite entries"),
        (real(2.0, 1.0), 1, r"^samples = 1: allowed is 2\.\.inf$"),
        (real(2.0, -0.5), 5, r"^eigenvalues holds -0\.5: allowed is 0 or more$"),
        (real(1.0, 2.0), 5, "^eigenvalues ascend: allowed is descending order$"),
        # Rounding is that of each matrix, not of the largest of the batch.
        (real([1e8, 1.0], [1e-3, -1e-9]), 5, "^eigenvalues holds -1e-09: allowed is 0 or more$"),
        (real([1e8, 1.0], [1e-3, 2e-3]), 5, "^eigenvalues ascend"),
    ],
)
def test_what_is_no_spectrum_is_refused(criterion, values, samples, message, untyped) -> None:
    with untyped(), pytest.raises(InputError, match=message):
        criterion(values, samples)


@CRITERIA
@pytest.mark.parametrize(
    "values",
    [(1.0, 0.0), (1.0, -2 * EPS), (1e8, -1e-9), (1.0 - 2 * EPS, 1.0), (3e-3, 3e-3 * (1 + EPS))],
    ids=["zero", "rounding", "rounding of a large one", "a tie", "a tie of small ones"],
)
def test_rounding_of_a_spectrum_is_taken(criterion, values) -> None:
    assert torch.isfinite(criterion(real(*values), 2)).all()
