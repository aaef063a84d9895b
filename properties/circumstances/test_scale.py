"""Law: an answer keeps its digits at any power that a measurement may have.

Guards that are added (1e-12), limits that are clipped at (1e8) and products that overflow or
underflow all show far from one.
"""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.families import HERMITIZED, NAMES
from ris_pipeline.verification.problems import Size, nearly, problem
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


@given(st.sampled_from(SCALES), st.sampled_from((0.1, 1e-6)))
def test_the_skew_part_does_not_count_at_any_scale(size: Size, relative: float) -> None:
    # Whoever tests first whether a matrix is Hermitian, tests it to a tolerance.
    taken((Claim.SCALE,))
    for name in under_test(HERMITIZED):
        given = problem(size)
        expected, bound = given.truth(name)
        # The sum with the skew part is rounded too.
        got = nearly(given, relative).answer(name)
        assert_within(name, got, expected, 4 * bound, recorded=False)
