"""The laws under pytest, on functions that are not ours.

A law that asks for none of the functions under test says nothing about them: it is skipped, and so
is one that asks for what they do not claim to have.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ris_pipeline._errors import InputError
from ris_pipeline.verification.implementation import DOMAINS, Implementation, Options, load
from ris_pipeline.verification.target import provide


@dataclass(frozen=True)
class UnderTarget:
    """pytest plugin: every law runs on the implementations.

    uses: law -> the names it looks up, where they are known, so that a law about other functions
    need not be run to find out.
    """

    implementations: Sequence[Implementation]
    uses: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def _functions(self) -> dict[str, Any]:
        return {one.place: one.function for one in self.implementations}

    def pytest_report_header(self) -> list[str]:
        """What is under test, and how it is called."""
        return [f"target: {one.label} as {one.name} ({one.how})" for one in self.implementations]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Warnings are the functions' own affair: they fail no law."""
        for item in items:
            item.add_marker(pytest.mark.filterwarnings("default"))

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave out a law that is known to be about other functions."""
        names = self.uses.get(law_of(item.nodeid))
        if names is not None and names.isdisjoint(self._functions):
            pytest.skip(self._other)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run the law on the functions; one that did not ask for them did not apply."""
        without = frozenset().union(*(one.without() for one in self.implementations))
        with provide(self._functions, without) as usage:
            result = yield
        if not usage.applies:
            pytest.skip(self._other)
        return result

    @property
    def _other(self) -> str:
        return f"is not about {', '.join(one.name for one in self.implementations)}"


def law_of(nodeid: str) -> str:
    """`test_gap_sign::test_the_gap_is_never_negative`: a law's name, wherever its file stands."""
    file, _, test = nodeid.partition("::")
    return f"{file.rpartition('/')[2].removesuffix('.py')}::{test}"


def add_options(parser: pytest.Parser) -> None:
    """`--target` and what may be said of it."""
    group = parser.getgroup("target", "laws on functions that are not this package's")
    group.addoption(
        "--target",
        action="append",
        metavar="SPEC",
        help="package.module, module:object or module:function=name; may be given again",
    )
    group.addoption("--domain", default="", help=f"what it takes: {', '.join(DOMAINS)}")
    group.addoption("--backend", choices=("torch", "numpy"), help="found out by calling if absent")


def plugin_of(config: pytest.Config) -> UnderTarget | None:
    """The plugin that the command line asks for, if it does.

    Raises:
        pytest.UsageError: a target that cannot be loaded.
    """
    specs = config.getoption("target")
    if not specs:
        return None
    options = Options(config.getoption("backend"), config.getoption("domain"))
    try:
        found = [one for spec in specs for one in load(spec, options=options)]
    except InputError as error:
        raise pytest.UsageError(str(error)) from error
    return UnderTarget(found)
