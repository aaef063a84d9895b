"""Law: an answer keeps its digits at any power that a measurement may have.

Guards that are added (1e-12), limits that are clipped at (1e8) and products that overflow or
underflow all show far from one.
"""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.problems import NAMES, Size, problem
from ris_pipeline.verification.target import Claim, taken, under_test

SCALES = tuple(
    Size(n, batch, k=k, scale=scale, dtype=dtype)
    for n, batch, k in ((4, (), 1), (5, (2,), 2))
    for scale, dtype in (
        (1e-12, torch.complex128),
        (1e12, torch.complex128),
        (1e-30, torch.complex128),
        (1e30, torch.complex128),
        (1e-9, torch.complex64),
        (1e9, torch.complex64),
    )
)


@given(st.sampled_from(SCALES))
def test_an_answer_is_right_at_any_scale(size: Size) -> None:
    taken((Claim.SCALE,))
    for name in under_test(NAMES):
        given = problem(size)
        given.check(name, given.answer(name))
