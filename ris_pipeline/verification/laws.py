"""The laws of `properties/`: where they stand, and what one says of a function."""

import functools
import inspect
import math
import re
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import SkipTest

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import HypothesisException

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters import Stopped
from ris_pipeline.verification.implementation import Implementation
from ris_pipeline.verification.reproducible import without_local_constants
from ris_pipeline.verification.target import DoesNotApply, Usage, provide

Law = Callable[[], None]
SHRINK_S = 8.0
"""Seconds for which a failing example is made smaller: most are as small as they get in one."""


class Outcome(StrEnum):
    """What a law says of a function."""

    HOLDS = "holds"
    FAILS = "fails"
    NOT_ABOUT = "is about other functions"
    DOES_NOT_APPLY = "does not apply"
    EXPECTED = "fails as expected"
    UNEXPECTED = "holds unexpectedly"


@dataclass(frozen=True)
class LawResult:
    """One law on one function.

    law: `file::test`; reason: why it fails or does not apply; counterexample: the smallest found;
    examples: how often it was tried, shrinking among it; holds_on: a domain it holds on although it
    fails, "" for none.
    """

    law: str
    outcome: Outcome
    reason: str = ""
    counterexample: str = ""
    examples: int = 0
    seconds: float = 0.0
    holds_on: str = ""


def laws_folder() -> Path:
    """`properties/`: inside the installed package, or beside it in a clone.

    Raises:
        InputError: in neither place.
    """
    package = Path(str(files("ris_pipeline")))
    for folder in (package / "verification" / "properties", package.parent / "properties"):
        if (folder / "spectral" / "test_gap_sign.py").is_file():
            return folder
    raise InputError(f"the laws are missing: no folder 'properties' in or beside {str(package)!r}")


def thorough(examples: int, *, shrink: bool = True) -> settings:
    """The same examples in every run; shrink: a failing one is made as small as it gets."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if shrink else ())),
        suppress_health_check=tuple(HealthCheck),
    )


def load_laws(
    profile: settings,
    uses: Mapping[str, Collection[str]] | None = None,
    place: str = "",
) -> dict[str, Law]:
    """Every law as `file::test`, freshly imported, under a profile.

    uses, place: the names that each law looks up, as far as they are known, and the one that
    matters; files without a law that may be about it are not imported.
    """
    known = uses or {}
    other = {law for law, names in known.items() if place and place not in names}
    found: dict[str, Law] = {}
    for path in sorted(laws_folder().rglob("test_*.py")):
        of_file = {law for law in known if law.startswith(f"{path.stem}::")}
        if of_file and of_file <= other:
            continue
        spec = spec_from_file_location(f"_law_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise InputError(f"{str(path)!r} cannot be imported")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            law = f"{path.stem}::{name}"
            if name.startswith("test_") and law not in other:
                found[law] = profile(function)
    return found


def run_law(name: str, law: Law, implementation: Implementation, domain: str = "") -> LawResult:
    """Run a law on one function.

    Args:
        name: `file::test`.
        law: from `load_laws`.
        implementation: the function in the place of ours.
        domain: to run it on, by default what the function takes.
    """
    start = time.perf_counter()
    functions = {implementation.place: implementation.function}
    with (
        trials_of(law) as trials,
        provide(functions, implementation.without(domain)) as usage,
        warnings.catch_warnings(),
        without_local_constants(),
    ):
        # What a function warns of is its own affair.
        warnings.simplefilter("ignore")
        # pytest's own way to hold whatever a test raises.
        info = pytest.CallInfo.from_call(law, "call", reraise=(KeyboardInterrupt, Stopped))
    error = None if info.excinfo is None else info.excinfo.value
    if isinstance(error, _SmallEnough):
        error = trials.failure
    seconds = round(time.perf_counter() - start, 3)
    return LawResult(name, *_outcome(error, usage), trials.count, seconds)


class _SmallEnough(BaseException):
    """A failing example has been made smaller for long enough; hypothesis lets it pass."""


class Trials:
    """Counts the trials of a law, and ends them `SHRINK_S` after the first that fails.

    first_failure: the number of that one, 0 for none.
    """

    def __init__(self) -> None:
        self.count = self.first_failure = 0
        self.failure: BaseException | None = None
        self._until = math.inf

    def __enter__(self) -> None:
        if time.perf_counter() > self._until:
            raise _SmallEnough
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Hypothesis and skips say by exceptions too what is no failure.
        if isinstance(error, Exception) and not isinstance(error, HypothesisException | SkipTest):
            self._until = min(self._until, time.perf_counter() + SHRINK_S)
            self.failure = error
            self.first_failure = self.first_failure or self.count


@contextmanager
def trials_of(law: Law) -> Iterator[Trials]:
    """Count the trials of a law while this is open."""
    handle: Any = law.hypothesis  # type: ignore[attr-defined]
    inner, trials = handle.inner_test, Trials()

    @functools.wraps(inner)
    def counted(*arguments: Any, **named: Any) -> Any:
        with trials:
            return inner(*arguments, **named)

    handle.inner_test = counted
    try:
        yield trials
    finally:
        handle.inner_test = inner


def _outcome(error: BaseException | None, usage: Usage) -> tuple[Outcome, str, str]:
    if isinstance(error, DoesNotApply):
        return Outcome.DOES_NOT_APPLY, str(error), ""
    if not usage.applies:
        return Outcome.NOT_ABOUT, "", ""
    if error is None:
        return Outcome.HOLDS, "", ""
    said = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, AssertionError):
        said = f"{type(error).__name__}: {said}"
    return Outcome.FAILS, said, compact("\n".join(getattr(error, "__notes__", ())))


def compact(note: str) -> str:
    """Hypothesis's note on a falsifying example as `name = value; k = 1`."""
    drawn = re.findall(r"^ {4}(\w+)=(.*?),?$", note, flags=re.MULTILINE)
    labelled = re.findall(r"^Draw \d+(?: \((.+?)\))?: (.*)$", note, flags=re.MULTILINE)
    pairs = [pair for pair in drawn if pair[1] != "data(...)"]
    pairs += [(label or "drawn", value) for label, value in labelled]
    return "; ".join(f"{name} = {value}" for name, value in pairs)
