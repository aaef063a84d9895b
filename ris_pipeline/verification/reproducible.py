"""The same examples in every run, on every machine and in every layout of the files."""

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants


@contextmanager
def without_local_constants() -> Iterator[None]:
    """Keep hypothesis from drawing the constants of local modules.

    It adds them to what it draws, and calls local what is not installed: one and the same wrong
    function would fail in a clone and hold from an installed package. There is no setting for it.
    """
    if not hasattr(providers, "_get_local_constants"):
        yield
        return
    drawn, nothing = providers._get_local_constants, Constants()
    providers._get_local_constants = lambda: nothing
    try:
        yield
    finally:
        providers._get_local_constants = drawn
