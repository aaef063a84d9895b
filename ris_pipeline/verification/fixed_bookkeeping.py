"""Fixed arguments of a norm of gradients and of the mean of an epoch."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from ris_pipeline.verification.case import Case, Numbers, row
from ris_pipeline.verification.cause import Cause


def _norms() -> Iterator[Case]:
    nan, inf = float("nan"), float("inf")
    groups: tuple[tuple[list[Any], torch.dtype, Cause | None, str], ...] = (
        ([[3.0, 4.0]], torch.float64, None, "one gradient"),
        ([[3.0], [12.0], [4.0]], torch.float64, None, "three gradients"),
        ([[[2.0, 1.0], [-3.0, 0.5]], [[4.0, 7.0]]], torch.float64, None, "matrices"),
        ([[[1.0, 2.0], [3.0, 4.0], [-1.0, 6.0]]], torch.float64, None, "a matrix"),
        ([[3.0, nan], [4.0]], torch.float64, Cause.NAN, "a gradient with NaN"),
        ([[inf], [1.0, 2.0]], torch.float64, Cause.NAN, "an infinite gradient"),
        ([[nan, 2.0], [5.0], [-inf, 1.0]], torch.float64, Cause.NAN, "NaN and -inf"),
        ([[nan]], torch.float64, Cause.NAN, "nothing finite"),
        ([], torch.float64, Cause.NAN, "no gradient at all"),
        ([[1.0 + 5 * i % 13] for i in range(13)], torch.float64, Cause.SIZE, "thirteen gradients"),
        ([3.0, [12.0], [[4.0]]], torch.float64, Cause.LEFT_OUT, "a scalar and a vector"),
        ([None, [3.0], None, [4.0]], torch.float64, Cause.LEFT_OUT, "some without a gradient"),
        ([[3.0 + 4.0j], [12.0]], torch.complex128, Cause.REAL_PART, "complex gradients"),
        ([[1.0, 8.0j], [4.0]], torch.complex128, Cause.REAL_PART, "imaginary gradients"),
        ([[300.0, 400.0]], torch.float16, Cause.SINGLE, "half precision"),
        ([[3e25, 4e25], [12e25]], torch.float32, Cause.SINGLE, "gradients of 10^25"),
    )
    for group, dtype, symptom, where in groups:
        symptoms = () if symptom is None else (symptom,)
        yield Case(lambda function, g=group, d=dtype: _norm(function, g, d), symptoms, where)
    where = "gradients that can be read once, beside the same in a list"
    yield Case(_read_once, (Cause.EXHAUSTED,), where)
    pair = ([3.0, 4.0], [12.0], [nan, 2.0])
    yield Case(
        lambda function: _norm(function, list(pair), torch.float64, after=True),
        (Cause.OVERWRITTEN,),
        "the gradients and their list afterwards",
    )


def _norm(
    function: Callable[..., Any],
    group: list[Any],
    dtype: torch.dtype,
    *,
    after: bool = False,
    once: bool = False,
) -> Numbers:
    """once: parameters that can be read once."""
    parameters = []
    for gradient in group:
        values = torch.tensor([7.0] if gradient is None else gradient, dtype=dtype)
        # Parameters that are not zero, whose own norm would be one.
        parameters.append(torch.full_like(values, 2.0, requires_grad=True))
        parameters[-1].grad = None if gradient is None else values
    # One without a gradient.
    parameters.append(torch.zeros(1, dtype=torch.float64, requires_grad=True))
    try:
        found = row(function(iter(parameters) if once else parameters).norm)
    except AssertionError:
        if not after:
            raise
        # An adapter hands out a copy, and says that it is changed.
        parameters = []
    left = [torch.zeros(0), *(p.grad for p in parameters if p.grad is not None)]
    return row(torch.cat(left)) if after else found


def _read_once(function: Callable[..., Any]) -> Numbers:
    """Whether parameters that can be read once have the norm of the same in a list."""
    group = [[3.0], [12.0], [4.0]]
    listed, once = (_norm(function, group, torch.float64, once=way) for way in (False, True))
    return row(torch.tensor(np.array_equal(listed, once, equal_nan=True)))


def _epochs() -> Iterator[Case]:
    losses = [5.0, 1.0, 4.0, 2.0, 8.0, 3.0, 7.0]
    many = [float((7 * i) % 31) for i in range(300)]
    nan, inf = float("nan"), float("inf")
    lists = [(losses[:c], a, None, "up to seven losses") for c in (1, 4, 7) for a in (1, 2, 3, 10)]
    others = [
        (many[:30], 1, Cause.SIZE, "thirty losses"),
        (many, 4, Cause.SIZE, "three hundred losses"),
        ([-5.0, 2.0, -1.0], 1, Cause.CLIPPED, "negative losses"),
        ([2.0**25, 4.0, 2.0**26], 1, Cause.GUARD, "losses of 10^7"),
        ([2.0**-25, 2.0**-26, 2.0**-20], 1, Cause.ROUNDED, "losses of 10^-7"),
        ([4.0, 0.0, 1.0, 0.0], 1, Cause.EMPTY_SLOTS, "losses of zero"),
        ([3.0, nan, 1.0], 1, Cause.NAN_HIDDEN, "a loss that is NaN"),
        ([3.0, inf, 1.0], 1, Cause.NAN_HIDDEN, "an infinite loss"),
    ]
    for given, accumulation, symptom, where in (*lists, *others):
        yield Case(
            lambda function, x=given, a=accumulation: row(
                function(list(x), lambda loss, scale: loss, lambda: None, a).mean
                / max(abs(v) for v in x if math.isfinite(v))
            ),
            () if symptom is None else (symptom,),
            where,
        )
    yield Case(_afterwards, (Cause.OVERWRITTEN,), "the list of losses afterwards")
    yield Case(_tensors_afterwards, (Cause.OVERWRITTEN,), "losses that are tensors, afterwards")
    yield Case(_once_more, (Cause.REMEMBERS,), "the same losses after others")


def _tensors_afterwards(function: Callable[..., Any]) -> Numbers:
    losses = [torch.tensor(x, dtype=torch.float64) for x in (5.0, 1.0, 4.0, 2.0)]
    try:
        function(losses, lambda loss, scale: loss, lambda: None, 1)
    except AssertionError:
        # An adapter hands out copies, and says that they are changed.
        losses = [torch.zeros((), dtype=torch.float64)]
    return row(torch.stack(losses))


def _once_more(function: Callable[..., Any]) -> Numbers:
    """Whether the mean is another one than before."""
    means = [
        function(list(losses), lambda loss, scale: loss, lambda: None, 1).mean
        for losses in ((5.0, 1.0), (64.0, 32.0), (5.0, 1.0))
    ]
    return row(torch.tensor(means[0] != means[2]))


def _afterwards(function: Callable[..., Any]) -> Numbers:
    losses = [5.0, 1.0, 4.0, 2.0]
    try:
        function(losses, lambda loss, scale: loss, lambda: None, 1)
    except AssertionError:
        # An adapter hands out a copy, and says that it is changed.
        losses = []
    return row(torch.tensor(losses))


BOOKKEEPING_CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "gradient_norm": _norms,
    "run_epoch": _epochs,
}
"""By the names of `target.places()`."""
