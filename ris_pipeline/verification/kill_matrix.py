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

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky

from ris_pipeline._errors import CALL_ERRORS
from ris_pipeline.verification.known_bugs import KNOWN_BUGS, KnownBug
from ris_pipeline.verification.laws import Law, load_laws
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


def run_law(law: Law, functions: Mapping[str, Callable[..., Any]]) -> tuple[bool, Usage]:
    """Whether the law turns red with some functions in place of ours, and what it looked up."""
    with provide(functions) as usage, warnings.catch_warnings(), without_local_constants():
        warnings.simplefilter("ignore")
        try:
            law()
        except FAILURES:
            return True, usage
    return False, usage


def turns_red(law: Law, bug: KnownBug) -> bool:
    """Whether the law catches the bug."""
    return run_law(law, {bug.replaces: bug.function})[0]


@cache
def _laws() -> dict[str, Law]:
    return load_laws(QUICK)


def _uses(name: str) -> tuple[str, ...]:
    red, usage = run_law(_laws()[name], {})
    if red:
        raise AssertionError(f"{name} fails without any bug")
    return tuple(sorted(usage.looked_up))


def _red_laws(key: str, candidates: tuple[str, ...]) -> tuple[str, ...]:
    bug = next(bug for bug in KNOWN_BUGS if bug.key == key)
    return tuple(name for name in candidates if turns_red(_laws()[name], bug))


def measure(processes: int = 2, stored: KillMatrix | None = None) -> KillMatrix:
    """Run every law that looks up the replaced function against every bug.

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


def _candidates(
    bug: KnownBug, laws: Mapping[str, tuple[str, ...]], stored: KillMatrix | None
) -> tuple[str, ...]:
    """The laws that may turn red with a bug."""
    asked = tuple(law for law, names in laws.items() if bug.replaces in names)
    if stored is None or bug.key not in stored.red:
        return asked
    green = stored.laws.keys() - set(stored.red[bug.key])
    return tuple(law for law in asked if law not in green)


__all__ = ["QUICK", "STORED", "KillMatrix", "measure", "run_law", "turns_red"]
