"""`check_laws`: the laws of a public function as tests of somebody's own, in their repository.

    @check_laws("eigengap_loss", expected_failures={"test_size::...": "on purpose"})
    def test_my_loss(R, k, margin):
        return my_package.loss(R, k, margin)

Each law is one test. What is decorated is called as `ris-pipeline verify` would call it.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range
from ris_pipeline.verification.adapters import PLACE, SIGNATURES
from ris_pipeline.verification.diagnosis import diagnose
from ris_pipeline.verification.implementation import Implementation, Options, implementation
from ris_pipeline.verification.laws import (
    Law,
    LawResult,
    Outcome,
    load_laws,
    run_law,
    thorough,
)
from ris_pipeline.verification.pytest_plugin import RUNS
from ris_pipeline.verification.stored_matrix import stored_matrix
from ris_pipeline.verification.titles import law_named

EXAMPLES = 100
"""Tried a law, unless it is said otherwise."""


@dataclass
class LawRun:
    """The laws of one function in one session; results: those that have run."""

    name: str
    label: str
    function: Callable[..., Any]
    options: Options
    examples: int
    results: list[LawResult] = field(default_factory=list)

    @functools.cached_property
    def implementation(self) -> Implementation:
        """The function in the place of ours.

        Raises:
            InputError: it cannot be called.
        """
        return implementation(self.name, self.label, self.function, self.options)

    @functools.cached_property
    def laws(self) -> dict[str, Law]:
        """Those that may be about it."""
        place = PLACE.get(self.name, self.name)
        return load_laws(thorough(self.examples), stored_matrix().laws, place)

    def run(self, law: str) -> LawResult:
        """The result of one law, which is kept."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            result = run_law(law, self.laws[law], self.implementation)
        finally:
            torch.set_num_threads(threads)
        self.results.append(result)
        return result

    def causes(self) -> Iterator[str]:
        """What is likely wrong, in lines."""
        if any(result.outcome is Outcome.FAILS for result in self.results):
            for cause in diagnose(self.implementation, self.results):
                yield f"{self.label}: {cause.cause} ({cause.fit:.0%}). {cause.story}"


def law_names(name: str) -> tuple[str, ...]:
    """The laws that are about a public function.

    Raises:
        InputError: no such function.
    """
    if name not in SIGNATURES:
        raise InputError(f"{name!r}: allowed are {', '.join(sorted(SIGNATURES))}")
    place = PLACE.get(name, name)
    return tuple(sorted(law for law, names in stored_matrix().laws.items() if place in names))


def check_laws(
    name: str,
    *,
    expected_failures: Mapping[str, str] | None = None,
    skip: Collection[str] = (),
    examples: int = EXAMPLES,
    domain: str = "",
    conventions: Collection[str] = (),
) -> Callable[[Any], Any]:
    """A decorator: of a function, a test for each law; of a class, a class of such tests.

    Args:
        name: a public function that the laws are about.
        expected_failures: laws that are broken on purpose, each with the reason; one that holds
            after all fails.
        skip: laws left out.
        examples: tried a law.
        domain, conventions: as the command line takes them.

    Raises:
        InputError: an unknown name or law, or examples below 1.
    """
    laws = law_names(name)
    expected = {law_named(law, laws): why for law, why in (expected_failures or {}).items()}
    left_out = {law_named(law, laws) for law in skip}
    check_range("examples", examples, 1, float("inf"))
    marked = [
        pytest.param(law, marks=pytest.mark.xfail(reason=expected[law], strict=True))
        if law in expected
        else law
        for law in laws
        if law not in left_out
    ]
    options = Options(domain=domain, conventions=tuple(conventions))

    def decorate(given: Any) -> Any:
        label = f"{given.__module__}:{given.__qualname__}"
        made = LawRun(name, label, given, options, examples)

        @pytest.mark.parametrize("law", marked)
        def test(law: str, request: pytest.FixtureRequest) -> None:
            request.config.stash[RUNS][label] = made
            _judge(made, law)

        test.__name__, test.__qualname__ = given.__name__, given.__qualname__
        test.__module__, test.__doc__ = given.__module__, given.__doc__
        if not isinstance(given, type):
            return test
        members = {"test_law": staticmethod(test), "__module__": given.__module__}
        return type(given.__name__, (), members)

    return decorate


def _judge(run: LawRun, law: str) -> None:
    try:
        result = run.run(law)
    except InputError as error:
        pytest.fail(str(error), pytrace=False)
    if result.outcome is Outcome.FAILS:
        example = f"\nwith {result.counterexample}" if result.counterexample else ""
        pytest.fail(f"{result.reason}{example}", pytrace=False)
    if result.outcome is not Outcome.HOLDS:
        pytest.skip(result.reason or f"is not about {run.name}")
