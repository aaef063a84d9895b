"""Shared fixtures."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
import pytest
import torch


def pytest_configure() -> None:
    # Problems here are small, and the workers of pytest-xdist share the cores.
    torch.set_num_threads(1)


@pytest.fixture
def untyped():
    """Without the shape checker of the tests, which would see a bad argument before the library."""

    @contextmanager
    def off() -> Iterator[None]:
        before = jaxtyping.config.jaxtyping_disable
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            yield
        finally:
            jaxtyping.config.update("jaxtyping_disable", before)

    return off
