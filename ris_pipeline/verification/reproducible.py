"""The same examples in every run, on every machine and in every layout of the files."""

from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants


def without_local_constants() -> None:
    """Keep hypothesis from drawing the constants of local modules, for the rest of the process.

    It adds them to what it draws, and calls local what is not installed: one and the same wrong
    function would fail in a clone and hold from an installed package. There is no setting for it.
    """
    if hasattr(providers, "_get_local_constants"):
        nothing = Constants()
        providers._get_local_constants = lambda: nothing
