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
        help="check shapes in every test; slow ones then take up to three times as long",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    # What these call, quick tests call with every shape checked.
    marked = any(item.get_closest_marker(name) for name in ("slow", "no_shapes"))
    unchecked = marked and not item.config.getoption("all_shapes")
    jaxtyping.config.update("jaxtyping_disable", unchecked)
    try:
        return (yield)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
