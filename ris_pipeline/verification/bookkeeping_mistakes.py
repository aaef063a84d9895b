"""What is written for the mean of an epoch and for the norm of a group of gradients."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.learning.epoch import EpochResult, run_epoch
from ris_pipeline.verification.cause import Cause
from ris_pipeline.watch.diagnostics import GroupNorm

Losses = Sequence[float]


def as_epoch(combine: Callable[[Losses, int], float]) -> Callable[..., EpochResult]:
    """The epoch whose losses come to another number."""

    def mistaken(
        batches: Iterable[Any],
        backward: Callable[[Any, float], float],
        step: Callable[[], None],
        accumulation: int = 1,
    ) -> EpochResult:
        losses: list[float] = []

        def kept(batch: Any, scale: float) -> float:
            losses.append(backward(batch, scale))
            return losses[-1]

        found = run_epoch(batches, kept, step, accumulation)
        return EpochResult(combine(losses, accumulation), found.batches, found.steps)

    return mistaken


def _mean(losses: Iterable[float]) -> float:
    listed = list(losses)
    return sum(listed) / len(listed) if listed else math.nan


def _groups(losses: Losses, size: int) -> list[Losses]:
    return [losses[i : i + size] for i in range(0, len(losses), size)]


def _closed_early(losses: Losses, size: int) -> float:
    """`i % size == 0` ends a group: the first has one loss, and the tail is lost."""
    means, running = [], []
    for i, loss in enumerate(losses):
        running.append(loss)
        if i % size == 0:
            means.append(_mean(running))
            running = []
    return _mean(means)


def _smoothed(keep: float, from_zero: bool, corrected: bool) -> Callable[[Losses, int], float]:
    """An exponential average; corrected: by 1 - keep^n, as in Adam."""

    def combine(losses: Losses, size: int) -> float:
        value = 0.0 if from_zero else losses[0]
        for loss in losses[not from_zero :]:
            value = keep * value + (1 - keep) * loss
        return value / (1 - keep ** len(losses)) if corrected else value

    return combine


EPOCHS: tuple[tuple[Cause, str, Callable[..., EpochResult]], ...] = tuple(
    (cause, story, as_epoch(combine))
    for cause, story, combine in (
        (Cause.SUM_FOR_MEAN, "The sum of the losses.", lambda x, a: sum(x)),
        (
            Cause.STEP_BLOCK,
            "The sum over the steps.",
            lambda x, a: sum(g[-1] for g in _groups(x, a)) / len(x),
        ),
        (
            Cause.STEP_BLOCK,
            "The mean of each step's last batch.",
            lambda x, a: _mean(g[-1] for g in _groups(x, a)),
        ),
        (
            Cause.STEP_BLOCK,
            "The mean of the last batches of full steps.",
            lambda x, a: sum(x[a - 1 :: a]) / max(1, len(x) // a),
        ),
        (
            Cause.STEP_BLOCK,
            "The mean of the last batches of full steps.",
            lambda x, a: _mean(x[a - 1 :: a]),
        ),
        (Cause.STEP_BLOCK, "Divided by steps.", lambda x, a: sum(x) / len(_groups(x, a))),
        (
            Cause.STEP_BLOCK,
            "Divided by full steps.",
            lambda x, a: sum(x) / max(1, len(x) // a),
        ),
        (Cause.STEP_BLOCK, "The last batch alone.", lambda x, a: x[-1]),
        (
            Cause.LAST_GROUP,
            "Without the last, smaller group.",
            lambda x, a: _mean(x[: len(x) // a * a] or x),
        ),
        (
            Cause.LAST_GROUP,
            "The mean of the groups' means.",
            lambda x, a: _mean(_mean(g) for g in _groups(x, a)),
        ),
        (Cause.SCALE, "The mean of scaled losses.", lambda x, a: _mean(x) / a),
        (Cause.NAN_HIDDEN, "NaN left out.", lambda x, a: _mean(v for v in x if v == v)),
        (
            Cause.NAN_HIDDEN,
            "What is not finite left out.",
            lambda x, a: _mean(v for v in x if math.isfinite(v)),
        ),
        (
            Cause.NAN_HIDDEN,
            "Infinite losses left out.",
            lambda x, a: _mean(v for v in x if not math.isinf(v)),
        ),
        (
            Cause.EMPTY_SLOTS,
            "Losses of zero left out.",
            lambda x, a: _mean([v for v in x if v] or [0.0]),
        ),
        (Cause.SIZE, "The last twenty losses.", lambda x, a: _mean(x[-20:])),
        (Cause.SIZE, "The first ten losses.", lambda x, a: _mean(x[:10])),
        (Cause.CLIPPED, "Negative losses as zero.", lambda x, a: _mean(max(v, 0.0) for v in x)),
        (Cause.FENCEPOST, "Without the first loss.", lambda x, a: _mean(x[1:] or x)),
        (Cause.FENCEPOST, "Without the last loss.", lambda x, a: _mean(x[:-1] or x)),
        (Cause.TIES, "Equal losses count once.", lambda x, a: _mean(set(x))),
        (
            Cause.LAST_GROUP,
            "Divided by the batches of full steps.",
            lambda x, a: sum(x) / (max(1, len(x) // a) * a),
        ),
        (Cause.STATISTIC, "The median.", lambda x, a: statistics.median(x)),
        *(
            (Cause.STATISTIC, "A moving average.", _smoothed(keep, *start))
            for keep in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
            for start in ((False, False), (True, False), (True, True))
        ),
        (
            Cause.LAST_GROUP,
            "The sum of full groups over all batches.",
            lambda x, a: sum(x[: len(x) // a * a]) / len(x),
        ),
        (
            Cause.LAST_GROUP,
            "The mean of full groups, zero where there is none.",
            lambda x, a: sum(x[: len(x) // a * a]) / max(1, len(x) // a * a),
        ),
        (Cause.STEP_BLOCK, "Groups close one too early.", _closed_early),
        (
            Cause.FENCEPOST,
            "Groups overlap by one.",
            lambda x, a: sum(sum(x[i : i + a + 1]) for i in range(0, len(x), a)) / len(x),
        ),
        (Cause.STATISTIC, "The largest loss.", lambda x, a: max(x)),
        (Cause.STATISTIC, "The lower of two medians.", lambda x, a: statistics.median_low(x)),
    )
)


def as_norm(combine: Callable[[list[Tensor]], float]) -> Callable[..., GroupNorm]:
    def mistaken(parameters: Iterable[Tensor]) -> GroupNorm:
        gradients = [p.grad.detach() for p in parameters if p.grad is not None]
        return GroupNorm(combine(gradients), 0)

    return mistaken


def _of(gradients: Iterable[Tensor], order: float = 2.0) -> float:
    norms = [
        float(torch.linalg.vector_norm(g.to(torch.complex128), order))
        for g in gradients
        if g.numel()
    ]
    return float(torch.linalg.vector_norm(torch.tensor(norms, dtype=torch.float64), order))


def _finite(gradients: list[Tensor]) -> list[Tensor]:
    return [g for g in gradients if bool(torch.isfinite(g).all())]


def _native(gradients: list[Tensor]) -> float:
    norms = [float(g.abs().square().sum().sqrt()) for g in gradients if g.numel()]
    return math.hypot(*(norm for norm in norms if math.isfinite(norm)))


def _of_parameters(parameters: Iterable[Tensor]) -> GroupNorm:
    return GroupNorm(_of(p.detach() for p in parameters), 0)


def _of_live_parameters(parameters: Iterable[Tensor]) -> GroupNorm:
    live = (p for p in parameters if p.grad is not None and p.grad.isfinite().all())
    return _of_parameters(live)


def _up_to(ends: Callable[[Tensor], bool]) -> Callable[[Iterable[Tensor]], GroupNorm]:
    """Of the parameters before the first without a gradient, or with one at which it ends."""

    def norm(parameters: Iterable[Tensor]) -> GroupNorm:
        counted = itertools.takewhile(lambda p: p.grad is not None and not ends(p.grad), parameters)
        return GroupNorm(_of(_finite([p.grad for p in counted if p.grad is not None])), 0)

    return norm


_OF_GRADIENTS: tuple[tuple[Cause, str, Callable[..., GroupNorm]], ...] = tuple(
    (cause, story, as_norm(combine))
    for cause, story, combine in (
        (Cause.STATISTIC, "The sum of the norms.", lambda g: sum(_of([one]) for one in _finite(g))),
        (Cause.ROOT, "The square of the norm.", lambda g: _of(_finite(g)) ** 2),
        (Cause.STATISTIC, "The largest entry.", lambda g: _of(_finite(g), math.inf)),
        (
            Cause.STATISTIC,
            "Of matrices the spectral norm.",
            lambda g: _of(torch.linalg.matrix_norm(x, 2) if x.ndim == 2 else x for x in _finite(g)),
        ),
        (Cause.STATISTIC, "The 1-norm.", lambda g: _of(_finite(g), 1.0)),
        (
            Cause.STATISTIC,
            "The largest of the norms.",
            lambda g: max((_of([one]) for one in _finite(g)), default=0.0),
        ),
        (
            Cause.SUM_FOR_MEAN,
            "The root of the mean square.",
            lambda g: _of(_finite(g)) / math.sqrt(max(1, sum(one.numel() for one in _finite(g)))),
        ),
        (
            Cause.SUM_FOR_MEAN,
            "Divided by the number of parameters.",
            lambda g: _of(_finite(g)) / max(1, len(_finite(g))),
        ),
        (Cause.NAN, "Nothing is left out.", _of),
        (
            Cause.NAN,
            "Only what is NaN is left out.",
            lambda g: _of(one for one in g if not bool(one.isnan().any())),
        ),
        (
            Cause.NAN,
            "Of the infinities only the positive ones are left out.",
            lambda g: _of(one for one in g if not bool((one.isnan() | (one == math.inf)).any())),
        ),
        (
            Cause.ZERO_TERM,
            "One that is not finite makes it zero.",
            lambda g: _of(g) if len(_finite(g)) == len(g) else 0.0,
        ),
        (
            Cause.NAN_HIDDEN,
            "What is not finite counts as zero.",
            lambda g: _of(one.nan_to_num(0.0, 0.0, 0.0) for one in g),
        ),
        (
            Cause.NAN_HIDDEN,
            "What is NaN counts as zero.",
            lambda g: _of(one.nan_to_num(0.0) for one in g),
        ),
        (Cause.LAST_GROUP, "The first gradient alone.", lambda g: _of(_finite(g)[:1])),
        (Cause.LAST_GROUP, "The last gradient alone.", lambda g: _of(_finite(g)[-1:])),
        (Cause.REAL_PART, "The real part.", lambda g: _of(one.real for one in _finite(g))),
        (
            Cause.CONJUGATED,
            "Squares without a conjugate.",
            lambda g: math.sqrt(abs(complex(sum((one * one).sum() for one in _finite(g))))),
        ),
        (
            Cause.CONJUGATED,
            "Squares without a conjugate, NaN among them.",
            lambda g: math.sqrt(abs(complex(sum((one * one).sum() for one in g)))),
        ),
        (Cause.SIZE, "The first ten.", lambda g: _of(_finite(g)[:10])),
        (
            Cause.LEFT_OUT,
            "Without vectors and scalars.",
            lambda g: _of(one for one in _finite(g) if one.ndim > 1),
        ),
        (
            Cause.LEFT_OUT,
            "Without scalars.",
            lambda g: _of(one for one in _finite(g) if one.ndim > 0),
        ),
        (Cause.SINGLE, "In the gradients' own precision.", _native),
    )
)
NORMS: tuple[tuple[Cause, str, Callable[..., GroupNorm]], ...] = (
    *_OF_GRADIENTS,
    (Cause.STATISTIC, "The norm of the parameters themselves.", _of_parameters),
    (Cause.STATISTIC, "The norm of the parameters with a gradient.", _of_live_parameters),
    (Cause.LEFT_OUT, "It stops where there is no gradient.", _up_to(lambda g: False)),
    (
        Cause.LEFT_OUT,
        "It stops where there is no gradient, or one that is not finite.",
        _up_to(lambda g: not bool(g.isfinite().all())),
    ),
)
