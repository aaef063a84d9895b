"""The kill matrix: which law turns red with which known bug in place.

Every law that looks up the replaced function runs against every bug. The bug stands behind `TARGET`
only: the package itself stays right, so a row says what would turn red if a user handed over that
function. `kill_page` measures it and writes it down.
"""

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky

from ris_pipeline._errors import CALL_ERRORS
from ris_pipeline.verification.known_bugs import KNOWN_BUGS, KnownBug
from ris_pipeline.verification.laws import Law, load_laws, trials_of
from ris_pipeline.verification.reproducible import without_local_constants
from ris_pipeline.verification.stored_matrix import STORED, KillMatrix
from ris_pipeline.verification.target import Usage, provide

QUICK = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=tuple(HealthCheck),
)
"""The same examples in every run, no shrinking: the question is whether a law turns red."""

FAILURES = (*CALL_ERRORS, Flaky)
"""What a law fails with: its own assertion, the error of a function that answered nonsense, or
hypothesis's word that a function answers otherwise each time."""


EARLY = 12
"""Examples within which a law sees a bug that it sees in any 60: seen at a rate of 1 in 12, it is
missed by 60 with probability (11/12)^60 = 0.005."""

SEEDS = range(1, 5)
"""Other streams of examples, in each of which a law must see what it sees late in its own."""


def run_law(law: Law, functions: Mapping[str, Callable[..., Any]]) -> tuple[int, Usage]:
    """The example that turns the law red with some functions in place of ours, 0 for none, and
    what the law looked up."""
    with (
        provide(functions) as usage,
        trials_of(law) as trials,
        warnings.catch_warnings(),
        without_local_constants(),
    ):
        warnings.simplefilter("ignore")
        try:
            law()
        except FAILURES:
            # A law without examples fails before the first.
            return max(1, trials.first_failure), usage
    return 0, usage


def turns_red(law: Law, bug: KnownBug) -> int:
    """The example with which the law catches the bug, 0 if it does not."""
    return run_law(law, {bug.replaces: bug.function})[0]


def surely_red(law: Law, bug: KnownBug) -> int:
    """`turns_red`, but 0 where it takes luck with the examples.

    Rounding differs from one processor to the next and may change the examples that follow.
    """
    example = turns_red(law, bug)
    if example > EARLY:
        try:
            others = [turns_red(seed(number)(law), bug) for number in SEEDS]
        finally:
            seed(None)(law)
        return example if all(others) else 0
    return example


@cache
def _laws() -> dict[str, Law]:
    return load_laws(QUICK)


def _uses(name: str) -> tuple[str, ...]:
    red, usage = run_law(_laws()[name], {})
    if red:
        raise AssertionError(f"{name} fails without any bug")
    return tuple(sorted(usage.looked_up))


def _red_laws(key: str, candidates: tuple[str, ...]) -> dict[str, int]:
    bug = _bugs()[key]
    examples = {name: surely_red(_laws()[name], bug) for name in candidates}
    return {name: example for name, example in examples.items() if example}


def measure(processes: int = 2, stored: KillMatrix | None = None) -> KillMatrix:
    """Run every law that looks up the replaced function against every bug; luck does not count.

    stored: what was measured before; its green pairs of a law and a bug that are both known are
    taken as they are, since a green pair takes all examples and a red one the first few.
    """
    with ProcessPoolExecutor(processes) as pool:
        names = tuple(_laws())
        laws = dict(zip(names, pool.map(_uses, names), strict=True))
        keys = tuple(bug.key for bug in KNOWN_BUGS)
        candidates = [_candidates(bug, laws, stored) for bug in KNOWN_BUGS]
        red = dict(zip(keys, pool.map(_red_laws, keys, candidates), strict=True))
    return KillMatrix(laws, red)


def still_green(stored: KillMatrix, processes: int = 2) -> list[tuple[str, str]]:
    """The stored pairs of a bug and a law that do not turn red."""
    pairs = [(key, law) for key, laws in stored.red.items() for law in laws]
    with ProcessPoolExecutor(processes) as pool:
        red = pool.map(_turns_red, *zip(*pairs, strict=True), chunksize=8)
        return [pair for pair, example in zip(pairs, red, strict=True) if not example]


def _turns_red(key: str, law: str) -> int:
    return turns_red(_laws()[law], _bugs()[key])


@cache
def _bugs() -> dict[str, KnownBug]:
    return {bug.key: bug for bug in KNOWN_BUGS}


def _candidates(
    bug: KnownBug, laws: Mapping[str, tuple[str, ...]], stored: KillMatrix | None
) -> tuple[str, ...]:
    """The laws that may turn red with a bug."""
    asked = tuple(law for law, names in laws.items() if bug.replaces in names)
    if stored is None or bug.key not in stored.red:
        return asked
    green = stored.laws.keys() - set(stored.red[bug.key])
    return tuple(law for law in asked if law not in green)


__all__ = [
    "QUICK",
    "STORED",
    "KillMatrix",
    "measure",
    "run_law",
    "still_green",
    "surely_red",
    "turns_red",
]
