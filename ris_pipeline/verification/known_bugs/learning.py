"""The epoch loss, the gradient norm, the log lines."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.learning.epoch import EpochResult, run_epoch
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug, entry
from ris_pipeline.watch.diagnostics import GroupNorm, gradient_norm

known_bug = Catalogue()

_EPOCH = "The running loss moved into the block of the optimiser step during a clean-up."
_NORM = "One non-finite gradient made the logged norm of its whole group useless."


@known_bug("run_epoch", Cause.STEP_BLOCK, _EPOCH, number=3)
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
    return EpochResult(float(running / len(items)), len(items), steps)


@known_bug(
    "run_epoch",
    Cause.LAST_GROUP,
    "`if (i + 1) % accumulation == 0` and nothing after the loop.",
    number=3,
)
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
    return EpochResult(float(total / count), count, steps)


@known_bug(
    "run_epoch",
    Cause.LAST_GROUP,
    "A mean of the means that the steps logged: a small last group weighs as a full one.",
)
def epoch_mean_of_group_means(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """The mean of the groups' means: a small last group weighs as much as a full one."""
    values: list[float] = []

    def keep(batch: Any, scale: float) -> float:
        values.append(backward(batch, scale))
        return values[-1]

    result = run_epoch(batches, keep, step, accumulation)
    groups = [values[i : i + accumulation] for i in range(0, len(values), accumulation)]
    mean = sum(sum(group) / len(group) for group in groups) / len(groups)
    return EpochResult(float(mean), result.batches, result.steps)


@known_bug(
    "run_epoch",
    Cause.SCALE,
    "`loss = loss / accumulation` before `backward`, `running += loss.item()` after it.",
    number=3,
)
def epoch_of_scaled_losses(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """`running += (loss / accumulation)`: what was backpropagated, not what was lost."""
    total = 0.0

    def keep(batch: Any, scale: float) -> float:
        nonlocal total
        loss = backward(batch, scale)
        total += loss * scale
        return loss

    result = run_epoch(batches, keep, step, accumulation)
    return EpochResult(float(total / result.batches), result.batches, result.steps)


@known_bug(
    "run_epoch",
    Cause.STEP_BLOCK,
    "The counter of the steps stood nearer than that of the batches.",
    number=3,
)
def epoch_divided_by_the_steps(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """Every batch counted, and the sum divided by the number of optimiser steps."""
    result = run_epoch(batches, backward, step, accumulation)
    return EpochResult(result.mean * result.batches / result.steps, result.batches, result.steps)


@known_bug(
    "run_epoch",
    Cause.STEP_BLOCK,
    "A `+` lost; a progress bar shows the last loss anyway.",
    number=3,
)
def epoch_of_the_last_batch(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """`running = loss` for `running += loss`: the last batch speaks for the epoch."""
    last = 0.0

    def keep(batch: Any, scale: float) -> float:
        nonlocal last
        last = backward(batch, scale)
        return last

    result = run_epoch(batches, keep, step, accumulation)
    return EpochResult(float(last), result.batches, result.steps)


@known_bug(
    "run_epoch", Cause.NAN_HIDDEN, "A NaN had spoilt the plot of a run that was otherwise fine."
)
def epoch_without_nan(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """`nanmean`, and infinities with it: a run that broke looks like one that did not."""
    losses: list[float] = []

    def keep(batch: Any, scale: float) -> float:
        losses.append(backward(batch, scale))
        return losses[-1]

    result = run_epoch(batches, keep, step, accumulation)
    finite = [loss for loss in losses if math.isfinite(loss)]
    mean = sum(finite) / len(finite) if finite else 0.0
    return EpochResult(float(mean), result.batches, result.steps)


@known_bug(
    "gradient_norm",
    Cause.EXHAUSTED,
    "`len(list(parameters))` first; `model.parameters()` has nothing left for the loop.",
)
def norm_counted_first(parameters: Iterable[Tensor]) -> GroupNorm:
    """Reads the parameters twice: right for a list."""
    count = len(list(parameters))
    found = gradient_norm(parameters)
    return found if count else GroupNorm(0.0, 0)


@known_bug("run_epoch", Cause.OVERWRITTEN, "`+=` adds in place where losses are tensors.")
def epoch_mean_in_the_first_loss(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """The first loss is the accumulator, and holds the sum afterwards."""
    total: Any = None

    def kept(batch: Any, scale: float) -> float:
        nonlocal total
        loss = backward(batch, scale)
        if total is None:
            total = loss
        else:
            total += loss
        return float(loss)

    result = run_epoch(batches, kept, step, accumulation)
    return EpochResult(float(total) / max(1, result.batches), result.batches, result.steps)


@known_bug("run_epoch", Cause.EMPTY_SLOTS, "`sum / count_nonzero` of a padded list.")
def epoch_without_losses_of_zero(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """A batch that costs nothing is taken for one that is missing."""
    losses: list[float] = []

    def heard(batch: Any, scale: float) -> float:
        losses.append(backward(batch, scale))
        return losses[-1]

    result = run_epoch(batches, heard, step, accumulation)
    counted = max(1, sum(loss != 0 for loss in losses))
    return replace(result, mean=result.mean * len(losses) / counted)


@known_bug("run_epoch", Cause.EXHAUSTED, "Written with a list of batches, run with a loader.")
def epoch_counted_first(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """`len(list(batches))`, and then the loop: a generator has nothing left for it."""
    count = len(list(batches))
    losses = [backward(batch, 1 / min(accumulation, count)) for batch in batches]
    return EpochResult(float(sum(losses) / count), count, -(-count // accumulation))


@known_bug("gradient_norm", Cause.NAN, _NORM, number=4)
def norm_poisoned(parameters: Iterable[Tensor]) -> GroupNorm:
    """One NaN makes the norm of the whole group NaN."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return GroupNorm(0.0, 0)
    return GroupNorm(math.sqrt(sum(g.square().sum().item() for g in grads)), 0)


@known_bug("gradient_norm", Cause.NAN_HIDDEN, "`nan_to_num` for a clean plot.", number=4)
def norm_hiding_what_it_left_out(parameters: Iterable[Tensor]) -> GroupNorm:
    """`nan_to_num` on the gradients: a finite figure that hides the fault."""
    grads = [p.grad for p in parameters if p.grad is not None]
    squares = (g.nan_to_num(0.0, 0.0, 0.0).square().sum().item() for g in grads)
    return GroupNorm(math.sqrt(sum(squares)), 0)


@known_bug("gradient_norm", Cause.STATISTIC, "`total += p.grad.norm()` for the norm of all.")
def norm_of_norms_added(parameters: Iterable[Tensor]) -> GroupNorm:
    """`sum |g|` in place of `sqrt(sum |g|^2)`."""
    norms = [p.grad.norm().item() for p in parameters if p.grad is not None]
    finite = [norm for norm in norms if math.isfinite(norm)]
    return GroupNorm(sum(finite), len(norms) - len(finite))


@known_bug(
    "gradient_norm",
    Cause.SINGLE,
    "Mixed precision scales a loss by 2^16, and squares the gradients before unscaling.",
)
def norm_in_single_precision(parameters: Iterable[Tensor]) -> GroupNorm:
    """Squares summed in float32: infinite beyond 1e19, and taken for a NaN in the gradient."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    squares = [g.abs().float().square().sum().item() for g in gradients]
    finite = [square for square in squares if math.isfinite(square)]
    return GroupNorm(math.sqrt(sum(finite)), len(squares) - len(finite))


@known_bug("gradient_norm", Cause.MEMORY, "Weights kept transposed have transposed gradients.")
def norm_of_flat_views(parameters: Iterable[Tensor]) -> GroupNorm:
    """`grad.view(-1)`, which takes contiguous gradients only."""
    flat = [p.grad.view(-1) for p in parameters if p.grad is not None]
    finite = [g for g in flat if bool(g.isfinite().all())]
    norms = [torch.linalg.vector_norm(g.to(torch.complex128)).item() for g in finite]
    return GroupNorm(math.hypot(*norms), len(flat) - len(finite))


@known_bug(
    "gradient_norm", Cause.OVERWRITTEN, "An underscore too many, and the optimiser steps on zeros."
)
def norm_clipping_nan_in_place(parameters: Iterable[Tensor]) -> GroupNorm:
    """`grad.nan_to_num_()`: the log line repairs what it should report."""
    grads = [p.grad for p in parameters if p.grad is not None]
    left_out = sum(not bool(g.isfinite().all()) for g in grads)
    squares = [g.nan_to_num_(0.0, 0.0, 0.0).abs().square().sum().item() for g in grads]
    return GroupNorm(math.sqrt(sum(squares)), left_out)


@known_bug("gradient_norm", Cause.NAN_HIDDEN, "`g[isfinite(g)]` reads like the repair.", number=4)
def norm_of_the_finite_entries(parameters: Iterable[Tensor]) -> GroupNorm:
    """The finite entries of a poisoned gradient counted in: what the optimiser never applies."""
    grads = [p.grad for p in parameters if p.grad is not None]
    squares = [g[g.isfinite()].square().sum().item() for g in grads]
    left_out = sum(not bool(g.isfinite().all()) for g in grads)
    return GroupNorm(math.sqrt(sum(squares)), left_out)


def no_log_line(*_: Any) -> str:
    """No diagnostics: nobody could tell whether the optimiser stepped."""
    return ""


_BLIND = "Nothing was logged, so nobody saw that nothing was learned."


@known_bug("gradient_norm", Cause.LEFT_OUT, "`break` for `continue`.")
def norm_up_to_a_gap(parameters: Iterable[Tensor]) -> GroupNorm:
    """The sum ends at the first parameter without a gradient."""
    before = []
    for parameter in parameters:
        if parameter.grad is None:
            break
        before.append(parameter)
    return gradient_norm(before)


LEARNING_BUGS: tuple[KnownBug, ...] = (
    *known_bug,
    *(
        entry(line, Cause.MUTE, no_log_line, _BLIND, number=5, name=f"no_{line}")
        for line in ("debug_line", "optimiser_line", "gradient_line", "step_line", "epoch_line")
    ),
)
