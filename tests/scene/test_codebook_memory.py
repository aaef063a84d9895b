"""A codebook beyond memory is refused in one line, before anything is allocated."""

import pytest

from ris_pipeline._errors import InputError
from ris_pipeline.scene import dft_codebook, hadamard_codebook, random_codebook


@pytest.mark.parametrize(
    "make",
    [
        lambda: hadamard_codebook(10**9),
        lambda: hadamard_codebook(2**15),
        lambda: random_codebook(10**6, 10**6, 0),
        lambda: dft_codebook((10**5, 10**5), (8, 8)),
        lambda: dft_codebook((2, 2), (10**9, 10**9)),
    ],
)
def test_the_limit_is_said(make):
    with pytest.raises(InputError, match=r"^\d+ codes of \d+ elements would take \S+ GiB: allowed"):
        make()


def test_what_fits_is_made():
    assert hadamard_codebook(144).shape == (256, 144)
