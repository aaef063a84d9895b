"""Assertions that say what, where, how far and how far was allowed.

`assert_within` also steers hypothesis towards the worst error in units of its bound.
"""

import numpy as np
from hypothesis import currently_in_test_context, target
from numpy.typing import ArrayLike

_RULE = "error / bound"


def assert_within(label: str, got: ArrayLike, expected: ArrayLike, bound: ArrayLike) -> None:
    """Fail unless `|got - expected| <= bound` entry by entry; NaN fails.

    The message names the entry, both values, the error and the bound.
    """
    __tracebackhide__ = True
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        raise AssertionError(f"{label}: shape {got.shape}, expected {expected.shape}")
    error = np.abs(got - expected)
    allowed = np.broadcast_to(np.asarray(bound, dtype=np.float64), error.shape)
    within = error <= allowed
    if within.all():
        real_bound = np.isfinite(allowed) & (allowed > 0)
        ratios = error[real_bound] / allowed[real_bound]
        if currently_in_test_context():
            target(float(np.max(ratios, initial=0.0)), label=f"{label}: {_RULE}")
        return
    where = tuple(int(i) for i in np.argwhere(~within)[0])
    raise AssertionError(
        f"{label}: entry {where} is {got[where]}, expected {expected[where]}: "
        f"off by {error[where]:.3e}, allowed {allowed[where]:.3e} "
        f"({int((~within).sum())} of {within.size} entries beyond)"
    )


def assert_true(label: str, condition: ArrayLike, value: ArrayLike) -> None:
    """Fail unless every entry of `condition` holds; the message names the first that does not."""
    __tracebackhide__ = True
    holds, values = np.asarray(condition), np.asarray(value)
    if holds.all():
        return
    where = tuple(int(i) for i in np.argwhere(~holds)[0]) if holds.ndim else ()
    shown = values[where] if values.shape == holds.shape else values
    raise AssertionError(f"{label}: fails at entry {where} with {shown}")
