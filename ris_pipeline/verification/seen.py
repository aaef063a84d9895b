"""What was seen of a function, and what it points to."""

from dataclasses import dataclass

from ris_pipeline.verification.case import SAME, Case, Numbers
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.fixed_cases import same_numbers

ALONE = 0.8
"""What one sign is worth where there is no other."""
SURE, MANY = 0.9, 8
"""What it is worth to answer alike in every one of so many cases that tell."""
COARSE = 0.1
"""Relative distance beyond which no digit agrees."""
DERIVED = (Cause.DETACHED, Cause.SECOND)
"""What is wrong of a derivative says nothing where the value is."""
ASIDE = (*DERIVED, Cause.TRUNCATED)
"""Nor does what becomes of an odd type."""
INDEPENDENT = {
    # Nothing else can be said of its numbers.
    Cause.RANDOM: "The same argument has two answers.",
    Cause.OVERWRITTEN: "Its argument is another one afterwards.",
    Cause.REMEMBERS: "It answers for an argument that it was given before.",
    Cause.EXHAUSTED: "What can be read once has another answer than the same in a list.",
}
"""What no right function does, whatever it answers."""


@dataclass(frozen=True)
class Seen:
    """A fixed case, a function's answer, and ours; None where it fails."""

    case: Case
    theirs: Numbers | None
    ours: Numbers | None

    def right(self, tolerance: float = SAME) -> bool:
        """Whether the answers are one."""
        return same_numbers(self.theirs, self.ours, tolerance)


@dataclass(frozen=True)
class Diagnosis:
    """A likely cause.

    fit: 0..1, the mean of the two signs; bug: of the catalogue, "" where it is none; pattern: red
    laws in common over red laws of either (Jaccard), None where laws are not looked at; numbers:
    part of the fixed cases that are answered so, of those that tell it from a right function, None
    where no case does; cases: how many tell, where that is counted.
    """

    cause: str
    bug: str
    story: str
    pattern: float | None
    numbers: float | None
    cases: int = 0

    @property
    def fit(self) -> float:
        """The mean of the signs; one sign alone is worth `ALONE` of itself, `SURE` where it is
        numbers that are the same in all of many cases."""
        signs = [sign for sign in (self.pattern, self.numbers) if sign is not None]
        if len(signs) > 1:
            return sum(signs) / 2
        sure = self.numbers == 1 and self.cases >= MANY
        return (SURE if sure else ALONE) * signs[0]
