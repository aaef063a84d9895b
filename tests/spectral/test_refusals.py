"""What is refused, in words that name the argument and what is allowed."""

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.spectral import matrix_sqrt, pseudo_inverse, sample_covariance, whitening

pytestmark = pytest.mark.no_shapes

REAL = torch.zeros(3, 4)
NAN = torch.full((3, 3), torch.nan, dtype=torch.complex128)
COMPLEX = "has dtype torch.float32: allowed are complex64 and complex128"
FINITE = r"has 9 non-finite entries, the first at \(0, 0\): allowed are finite numbers"


@pytest.mark.parametrize(
    ("function", "given", "said"),
    [
        (sample_covariance, REAL, f"^snapshots {COMPLEX}$"),
        (sample_covariance, NAN, f"^snapshots {FINITE}$"),
        (pseudo_inverse, REAL, f"^matrix {COMPLEX}$"),
        (pseudo_inverse, NAN, f"^matrix {FINITE}$"),
        (whitening, NAN, f"^matrix {FINITE}$"),
        (
            matrix_sqrt,
            -torch.eye(2, dtype=torch.complex128),
            "^matrix has a negative eigenvalue: allowed is a positive semidefinite one$",
        ),
    ],
)
def test_a_refusal_names_the_argument(function, given, said):
    with pytest.raises(InputError, match=said):
        function(given)


def test_a_whitening_keeps_the_precision_of_its_matrix():
    for dtype in (torch.complex64, torch.complex128):
        assert whitening(torch.eye(3, dtype=dtype)).dtype is dtype
