"""Law: a quantised phase is the nearest of `2 pi m / 2^bits`, at unit modulus, and stays there."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import angle_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.target import TARGET

bits = st.integers(1, 10)
codes = st.lists(st.integers(-999, 999), min_size=1, max_size=6).map(
    lambda milli: np.exp(1j * np.pi * np.array(milli) / 1000) * 0.5
)


def _quantised(code: np.ndarray, width: int) -> np.ndarray:
    return TARGET.quantize_phase(torch.from_numpy(code), width).numpy()


@given(codes, bits)
def test_phases_are_on_the_grid_at_unit_modulus(code: np.ndarray, width: int) -> None:
    got, bound = _quantised(code, width), angle_bound(torch.float64) * 2**width
    assert_within("|c_n|", np.abs(got), np.ones(code.size), angle_bound(torch.float64, 1.0))
    # The 2^bits-th power of every allowed phasor is one.
    assert_within("c^(2^bits)", got ** (2**width), np.ones(code.size), bound)
    assert_within("quantised twice", _quantised(got, width), got, 0.0)


@given(codes, bits)
def test_no_phase_of_the_grid_is_nearer(code: np.ndarray, width: int) -> None:
    off = np.abs(np.angle(_quantised(code, width) * code.conj()))
    allowed = np.pi / 2**width + angle_bound(torch.float64)
    assert_true("off by half a step at most", off <= allowed, off)
