"""Law: circumstances may meet: a middle order and a tiny power and another layout at once.

One circumstance at a time is what the other laws change; much code has a branch for two.
"""

from dataclasses import dataclass, replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.families import NAMES, askable
from ris_pipeline.verification.problems import Problem, Size, comparable, problem, shifted
from ris_pipeline.verification.strategies import Domain, Layout, lay_out
from ris_pipeline.verification.target import TARGET, Claim, takes, under_test

PARTS = 8
"""The functions are asked in so many parts, one an example; a function alone in each."""

UNMOVED = (
    "hermitize",
    "eigenvalues",
    "singular_values",
    "eigengap",
    "eigengap_loss",
    "forward_backward",
    "spatial_smoothing",
    "add_loading",
    "psd_projection",
    "signal_subspace",
    "noise_subspace",
    "music_spectrum",
    "bartlett_spectrum",
    "ula_music",
    "ula_bartlett",
)
"""What is asked of indefinite matrices too."""

POWERS = {torch.complex128: (1.0, 1e-10, 1e10), torch.complex64: (1.0, 1e-6, 1e6)}


@dataclass(frozen=True)
class Meeting:
    """What meets: sizes, the place of the order, the power, and where the spectrum lies.

    order: 0 for the first, 1 for the middle, 2 for the last; power: which of `POWERS`; shift: what
    is taken from eigenvalues of 4..5 and 1..2, in parts of the power.
    """

    n: int
    batch: tuple[int, ...]
    order: int
    vectors: int
    dtype: torch.dtype
    power: int
    imaginary: float
    shift: float
    layout: Layout

    def problem(self, name: str) -> Problem:
        """What is asked."""
        k = (1, max(1, self.n // 2), max(1, self.n - 1))[self.order]
        scale = POWERS[self.dtype][self.power] if takes(Claim.SCALE) else 1.0
        size = Size(self.n, self.batch, k, self.vectors, scale, self.dtype)
        given = problem(replace(size, imaginary=self.imaginary))
        moves = name in UNMOVED and takes(Domain.INDEFINITE)
        return shifted(given, self.shift * scale) if self.shift and moves else given


meetings = st.builds(
    Meeting,
    n=st.sampled_from((2, 3, 5, 8, 9, 16, 17, 33)),
    batch=st.sampled_from(((), (1,), (2,), (3, 2))),
    order=st.integers(0, 2),
    vectors=st.sampled_from((1, 3, 8, 17)),
    dtype=st.sampled_from(tuple(POWERS)),
    power=st.integers(0, 2),
    imaginary=st.sampled_from((1.0, 1e-3, 0.0)),
    shift=st.sampled_from((0.0, 3.0, 8.0)),
    layout=st.sampled_from(tuple(Layout)),
)


@given(meetings, st.integers(0, PARTS - 1))
def test_circumstances_may_meet(meeting: Meeting, part: int) -> None:
    asked = under_test(askable(NAMES, meeting.n))
    for name in asked if len(asked) == 1 else asked[part::PARTS]:
        given = meeting.problem(name)
        argument = lay_out(given.argument(name), meeting.layout)
        answer = getattr(TARGET, name)(argument, *given.more(name))
        given.check(name, comparable(name, answer))
