"""Law: a wrapped angle is the same direction, in [-pi, pi); Huber's loss is even and convex."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import angle_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.target import TARGET

eighths = st.lists(st.integers(-200, 200), min_size=1, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64) / 8
)


@given(eighths)
def test_a_wrapped_angle_is_the_same_direction_within_half_a_turn(angle: torch.Tensor) -> None:
    wrapped = TARGET.wrap_angle(angle).numpy()
    assert_true("in [-pi, pi)", (wrapped >= -math.pi) & (wrapped < math.pi), wrapped)
    off = np.exp(1j * wrapped) - np.exp(1j * angle.numpy())
    assert_within("direction", off, np.zeros_like(off), angle_bound(torch.float64, 25 + math.pi))


@given(eighths, st.sampled_from((1.0, 0.25, 4.0)))
def test_huber_is_quadratic_then_linear(error: torch.Tensor, delta: float) -> None:
    got, x = TARGET.huber(error, delta).numpy(), np.abs(error.numpy()) / delta
    expected = np.where(x < 1, x**2 / 2, x - 0.5)
    # Eighths over powers of two: nothing rounds.
    assert_within("Huber", got, expected, 0.0)
