"""One pass over the batches: accumulation of gradients and the mean of the loss.

epoch loss = (1 / batches) sum over every batch of its loss
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range

B = TypeVar("B")


@dataclass(frozen=True)
class EpochResult:
    """Mean loss over all batches, and how many batches and optimiser steps it took."""

    mean: float
    batches: int
    steps: int


def run_epoch(
    batches: Iterable[B],
    backward: Callable[[B, float], float | Tensor],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """Accumulate gradients over groups of `accumulation` batches and step after each group.

    Args:
        batches: any iterable; the last group may be smaller.
        backward: `(batch, scale) -> loss`: backpropagates `scale * loss`, returns the loss, as a
            number or as a detached scalar that is read once, at the end.
        step: applies and clears the gradients.
        accumulation: batches a group, at least 1. `scale` is one over the size of the group, so a
            step sees the mean gradient of its group.

    Raises:
        InputError: accumulation below 1, or no batch at all.
    """
    check_range("accumulation", accumulation, 1, math.inf)
    total: float | Tensor = 0.0
    count, steps = 0, 0
    for group in _groups(batches, accumulation):
        for batch in group:
            total = total + backward(batch, 1 / len(group))
            count += 1
        step()
        steps += 1
    if not count:
        raise InputError("batches is empty: allowed is at least one batch")
    return EpochResult(float(total) / count, count, steps)


def _groups(batches: Iterable[B], size: int) -> Iterator[list[B]]:
    iterator = iter(batches)
    while group := list(islice(iterator, size)):
        yield group
