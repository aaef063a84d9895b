"""What is likely wrong with a function: the known bug that it resembles most.

Two signs: the pattern of red and green laws, against that of each bug in the kill matrix; and the
numbers, against those that each bug answers on a few fixed arguments. The pattern says how a
function is wrong, the numbers whether it is this bug.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ris_pipeline.verification.fixed_cases import answer, fixed_cases, same_numbers
from ris_pipeline.verification.fixed_circumstances import Case, Numbers
from ris_pipeline.verification.implementation import Implementation
from ris_pipeline.verification.laws import LawResult, Outcome
from ris_pipeline.verification.stored_matrix import KillMatrix, stored_matrix
from ris_pipeline.verification.target import TARGET, DoesNotApply, provide

if TYPE_CHECKING:
    from ris_pipeline.verification.known_bugs import KnownBug

ENOUGH = 0.5
"""A cause that fits no better is not named: one sign alone, however clear, is half of what is
seen."""
ALONE = 0.8
"""What a pattern is worth where no numbers tell two bugs apart."""
Seen = tuple[Case, Numbers | None, Numbers | None]
"""A fixed case, a function's answer, and ours."""
MOST, CLOSE = 3, 0.25
"""Causes named at most, and how much worse than the best a second one may fit."""


@dataclass(frozen=True)
class Diagnosis:
    """A likely cause.

    fit: 0..1, the mean of the two signs; pattern: red laws in common over red laws of either
    (Jaccard); numbers: part of the fixed cases that it answers as the bug does, of those that tell
    the two from a right function, None where no case does.
    """

    cause: str
    bug: str
    story: str
    pattern: float
    numbers: float | None

    @property
    def fit(self) -> float:
        """The mean of the signs; a pattern alone is worth `ALONE` of itself."""
        return ALONE * self.pattern if self.numbers is None else (self.pattern + self.numbers) / 2


def diagnose(implementation: Implementation, results: Iterable[LawResult]) -> tuple[Diagnosis, ...]:
    """Up to three causes, best first; none where no known bug resembles the function."""
    decided = {r.law: r.outcome is Outcome.FAILS for r in results if r.outcome in _DECIDED}
    if not any(decided.values()):
        return ()
    # The catalogue imports every room: only where something is wrong.
    from ris_pipeline.verification.known_bugs import KNOWN_BUGS

    matrix = stored_matrix()
    seen = _seen(implementation)
    best: dict[str, Diagnosis] = {}
    for bug in KNOWN_BUGS:
        if bug.replaces != implementation.place or bug.key not in matrix.red:
            continue
        found = Diagnosis(
            bug.cause.value,
            bug.name,
            bug.story,
            pattern(decided, matrix, bug),
            numbers(seen, bug),
        )
        if found.fit > ENOUGH and (bug.cause not in best or found.fit > best[bug.cause.value].fit):
            best[bug.cause.value] = found
    ranked = sorted(best.values(), key=lambda one: -one.fit)
    return tuple(one for one in ranked[:MOST] if one.fit >= ranked[0].fit - CLOSE)


_DECIDED = (Outcome.HOLDS, Outcome.FAILS)


def pattern(decided: Mapping[str, bool], matrix: KillMatrix, bug: "KnownBug") -> float:
    """Red laws in common over red laws of either, among those that ran on the function and are in
    the matrix."""
    ran = {law for law in decided if law in matrix.laws}
    theirs, known = {law for law in ran if decided[law]}, ran & set(matrix.red[bug.key])
    either = theirs | known
    return len(theirs & known) / len(either) if either else 0.0


def numbers(seen: Iterable[Seen], bug: "KnownBug") -> float | None:
    """Part of the fixed cases on which a function answers what the bug does, of those on which one
    of them answers otherwise than ours; None where there is no such case."""
    agree, telling = 0, 0
    for case, theirs, right in seen:
        known = _known(case, bug.function)
        if same_numbers(theirs, right) and same_numbers(known, right):
            continue
        if theirs is None and known is None:
            # That both fail says little: a misspelt attribute fails everywhere.
            continue
        telling += 1
        agree += same_numbers(theirs, known)
    return agree / telling if telling else None


@cache
def _known(case: Case, function: Callable[..., Any]) -> Numbers | None:
    """The answer of a known function, which is asked for by many a diagnosis."""
    return answer(case, function)


def _seen(implementation: Implementation) -> list[Seen]:
    """The fixed cases that a function takes, with its answers and ours."""
    ours, seen = getattr(TARGET, implementation.place), []
    with provide({}, implementation.without()):
        for case in fixed_cases(implementation.place):
            try:
                seen.append((case, answer(case, implementation.function), _known(case, ours)))
            except DoesNotApply:
                continue
    return seen
