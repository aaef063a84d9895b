"""Profiles of the properties: `--hypothesis-profile dev|ci|nightly`; ci where CI is set.

`--target package.module` runs the laws on somebody else's functions.
"""

import os

import pytest
import torch
from hypothesis import settings

from ris_pipeline.verification.plugin import add_options, plugin_of
from ris_pipeline.verification.tightness import Tightness

settings.register_profile("dev", max_examples=12, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, database=None)
settings.register_profile("nightly", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    # Matrices here are tiny, and the workers of pytest-xdist share the cores.
    torch.set_num_threads(1)
    config.pluginmanager.register(Tightness(), "ris-pipeline-tightness")
    plugin = plugin_of(config)
    if plugin is not None:
        config.pluginmanager.register(plugin, "ris-pipeline-target")
