"""The epoch loss, the gradient norm, the log lines."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from ris_pipeline.learning.diagnostics import GroupNorm
from ris_pipeline.learning.epoch import EpochResult
from ris_pipeline.verification.known_bugs._entry import KnownBug, known_bug


def epoch_loss_in_the_step_block(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """`running += loss` inside the accumulation step: most batches are not counted."""
    items = list(batches)
    running, steps = 0.0, 0
    for number, batch in enumerate(items, start=1):
        start = (number - 1) // accumulation * accumulation
        loss = backward(batch, 1 / min(accumulation, len(items) - start))
        if number % accumulation == 0 or number == len(items):
            step()
            steps += 1
            running += loss
    return EpochResult(running / len(items), len(items), steps)


def epoch_drops_the_last_group(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """No step after the last, partial group, and its gradients weighed as if it were full."""
    total, count, steps = 0.0, 0, 0
    for number, batch in enumerate(batches, start=1):
        total += backward(batch, 1 / accumulation)
        count += 1
        if number % accumulation == 0:
            step()
            steps += 1
    return EpochResult(total / count, count, steps)


def norm_poisoned(parameters: Iterable[Tensor]) -> GroupNorm:
    """One NaN makes the norm of the whole group NaN."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return GroupNorm(0.0, 0)
    return GroupNorm(math.sqrt(sum(g.square().sum().item() for g in grads)), 0)


def norm_hiding_what_it_left_out(parameters: Iterable[Tensor]) -> GroupNorm:
    """`nan_to_num` on the gradients: a finite figure that hides the fault."""
    grads = [p.grad for p in parameters if p.grad is not None]
    squares = (g.nan_to_num(0.0, 0.0, 0.0).square().sum().item() for g in grads)
    return GroupNorm(math.sqrt(sum(squares)), 0)


def no_log_line(*_: Any) -> str:
    """No diagnostics: nobody could tell whether the optimiser stepped."""
    return ""


_EPOCH = "The running loss moved into the block of the optimiser step during a clean-up."
_NORM = "One non-finite gradient made the logged norm of its whole group useless."
_BLIND = "Nothing was logged, so nobody saw that nothing was learned."

LEARNING_BUGS: tuple[KnownBug, ...] = (
    known_bug(3, "run_epoch", epoch_loss_in_the_step_block, _EPOCH),
    known_bug(
        3, "run_epoch", epoch_drops_the_last_group, "Shows where the factor does not divide."
    ),
    known_bug(4, "gradient_norm", norm_poisoned, _NORM),
    known_bug(4, "gradient_norm", norm_hiding_what_it_left_out, _NORM),
    *(
        KnownBug(f"no_{line}", 5, line, no_log_line, _BLIND)
        for line in ("debug_line", "optimiser_line", "gradient_line", "step_line", "epoch_line")
    ),
)
