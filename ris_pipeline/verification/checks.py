"""Assertions that say what, where, how far and how far was allowed.

`assert_within` also tells a recorder how large the worst error was in units of its bound, and under
`steering` it leads hypothesis there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from hypothesis import currently_in_test_context, target
from numpy.typing import ArrayLike
from torch import Tensor

_RULE = "error / bound"
_WORST: ContextVar[dict[str, float] | None] = ContextVar("worst", default=None)
_STEERED: ContextVar[bool] = ContextVar("steered", default=False)


@contextmanager
def steering(wanted: bool = True) -> Iterator[None]:
    """Inside the block hypothesis is led towards the worst error.

    Only for runs that may differ from machine to machine: `hypothesis.target` draws random numbers
    by the error, which is rounding, and so changes every later example.
    """
    token = _STEERED.set(wanted)
    try:
        yield
    finally:
        _STEERED.reset(token)


@contextmanager
def recording() -> Iterator[dict[str, float]]:
    """Inside the block the worst error / bound is kept, by the label of `assert_within`.

    Entries whose bound is zero or infinite have none.
    """
    worst: dict[str, float] = {}
    token = _WORST.set(worst)
    try:
        yield worst
    finally:
        _WORST.reset(token)


def assert_within(
    label: str,
    got: ArrayLike,
    expected: ArrayLike,
    bound: ArrayLike,
    *,
    recorded: bool = True,
) -> None:
    """Fail unless `|got - expected| <= bound` entry by entry; NaN fails.

    The message names the entry, both values, the error and the bound. A label names an assertion:
    it is the same for every example, so that the search climbs one hill. recorded: whether the
    bound should be approached; not where it leaves room for other forms of a formula than ours.
    """
    __tracebackhide__ = True
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        raise AssertionError(f"{label}: shape {got.shape}, expected {expected.shape}")
    error = np.abs(got - expected)
    allowed = np.broadcast_to(np.asarray(bound, dtype=np.float64), error.shape)
    within = error <= allowed
    if within.all():
        if recorded:
            _report(label, error, allowed)
        return
    where = tuple(int(i) for i in np.argwhere(~within)[0])
    raise AssertionError(
        f"{label}: entry {where} is {got[where]}, expected {expected[where]}: "
        f"off by {error[where]:.3e}, allowed {allowed[where]:.3e} "
        f"({int((~within).sum())} of {within.size} entries beyond)"
    )


def assert_relative(
    label: str, got: Tensor, expected: Tensor, active: Tensor, bound: ArrayLike
) -> None:
    """`assert_within` for positive numbers of each source, each to `bound` of itself.

    Args:
        got, expected: (B, K, ...); active: (B, K), which slots count; bound: (B,), relative, and
            infinite for a scene about which nothing can be said.
    """
    __tracebackhide__ = True
    relative = np.asarray(bound, dtype=np.float64)
    rows = np.isfinite(relative)
    known = active.numpy()[rows]
    first, second = (x.numpy()[rows][known] for x in (got, expected))
    allowed = np.broadcast_to(relative[rows][:, None], known.shape)[known][:, None] * second
    assert_within(label, first, second, allowed)


def _report(label: str, error: np.ndarray, allowed: np.ndarray) -> None:
    """Tell hypothesis and the recorder the worst error in units of its bound."""
    real_bound = np.isfinite(allowed) & (allowed > 0)
    if not real_bound.any():
        return
    ratio = float(np.max(error[real_bound] / allowed[real_bound]))
    worst = _WORST.get()
    if worst is not None:
        worst[label] = max(ratio, worst.get(label, 0.0))
    if _STEERED.get() and currently_in_test_context():
        target(ratio, label=f"{label}: {_RULE}")


def assert_true(label: str, condition: ArrayLike, value: ArrayLike) -> None:
    """Fail unless every entry of `condition` holds; the message names the first that does not."""
    __tracebackhide__ = True
    holds, values = np.asarray(condition), np.asarray(value)
    if holds.all():
        return
    where = tuple(int(i) for i in np.argwhere(~holds)[0]) if holds.ndim else ()
    shown = values[where] if values.shape == holds.shape else values
    raise AssertionError(f"{label}: fails at entry {where} with {shown}")
