"""For every folder of tests: the shape checker, the hypothesis profiles of quick runs, pytest's own
test kit."""

from collections.abc import Generator
from typing import Any

import jaxtyping
import pytest
from hypothesis import Phase, settings

pytest_plugins = ["pytester"]

# Cheap and the same for every mutant: a mutant that lives must not owe it to the dice, and how
# prettily it dies is of no interest.
settings.register_profile(
    "mutation",
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.generate),
)

# A look at every law: a mistake that shows in most examples shows in a few.
settings.register_profile("fast", max_examples=4, derandomize=True, database=None, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-shapes",
        action="store_true",
        help="check shapes in slow tests too, which then take up to three times as long",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    # What a slow test calls, a quick one calls with every shape checked. A bug that is put back
    # must be seen by the law, not by the checker: so the kill matrix was measured.
    slow = item.get_closest_marker("slow") and not item.config.getoption("all_shapes")
    jaxtyping.config.update("jaxtyping_disable", bool(slow or item.get_closest_marker("no_shapes")))
    try:
        return (yield)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
