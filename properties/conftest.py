"""Profiles of the properties: `--hypothesis-profile dev|ci|nightly`; ci where CI is set."""

import os

import torch
from hypothesis import settings

settings.register_profile("dev", max_examples=30, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, database=None)
settings.register_profile("nightly", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure() -> None:
    # Matrices here are tiny, and the workers of pytest-xdist share the cores.
    torch.set_num_threads(1)
