"""Profiles of the properties: `--hypothesis-profile dev|ci|nightly`; ci where CI is set.

`--target package.module` runs the laws on somebody else's functions.
"""

import os
from collections.abc import Generator
from typing import Any

import jaxtyping
import pytest
import torch
from hypothesis import Phase, settings

from ris_pipeline.verification.checks import steering
from ris_pipeline.verification.plugin import add_options, plugin_of
from ris_pipeline.verification.reproducible import without_local_constants
from ris_pipeline.verification.tightness import Tightness

settings.register_profile("dev", max_examples=12, deadline=None)
settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
settings.register_profile("nightly", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

MANY = 50
"""Examples a law."""


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    # Matrices here are tiny, and the workers of pytest-xdist share the cores.
    torch.set_num_threads(1)
    config.pluginmanager.register(Tightness(), "ris-pipeline-tightness")
    plugin = plugin_of(config)
    if plugin is not None:
        config.pluginmanager.register(plugin, "ris-pipeline-target")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    profile, unchecked = settings.default, jaxtyping.config.jaxtyping_disable
    # Shapes are checked by `tests` and by the few examples of `dev`: at 200 a law they would be
    # half of the time, and two thirds of that of an estimator, which calls small functions often.
    unchecked_here = profile.max_examples > MANY or item.path.parent.name == "localization"
    jaxtyping.config.update("jaxtyping_disable", unchecked or unchecked_here)
    try:
        with steering(Phase.target in profile.phases), without_local_constants():
            return (yield)
    finally:
        jaxtyping.config.update("jaxtyping_disable", unchecked)
