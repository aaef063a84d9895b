"""What is seen of the figures that a loop reports, and of the averages that it keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ris_pipeline.watch._hooks import short_name
from ris_pipeline.watch._seen import MOVED, Block, Tell, samples_of

REPORTED_RTOL = 5e-4
"""Of a reported loss: sums in float32 and figures printed to four digits are within it."""

DENOMINATOR = 10_000
"""A value that is a fraction of a denominator up to this may be an accuracy, or rounded."""

FARTHER = 4.0
"""Times the longest way between kept weights: they are kept once an epoch, and stray between."""

NEAR_BEST = 1e-2
"""Relative: stopping rules let improvements below a threshold pass."""

Average = nn.Module | Mapping[str, Tensor]
"""An averaged model, or its parameters by name."""


@dataclass(frozen=True)
class Losses:
    """The losses of an epoch, and where in it the optimiser stepped.

    rows: samples of each batch, where known; steps: places (from 0) of the batches with a step;
    divided: the losses were already divided by the batches of a step.
    """

    values: Sequence[float]
    rows: Sequence[int | None]
    steps: Sequence[int]
    divided: bool

    @classmethod
    def of(cls, values: Sequence[float], blocks: Sequence[Block]) -> "Losses":
        """Of the blocks of an epoch."""
        places = [place for place, block in enumerate(blocks) if "step" in block.events]
        divided = any(block.divisor > 1 for block in blocks)
        return cls(values, [block.rows for block in blocks], places, divided)


def right_means(losses: Losses) -> list[float]:
    """What an epoch's loss may be: the mean over batches, or over samples."""
    values = np.asarray(losses.values)
    means = [float(values.mean())]
    if all(losses.rows):
        weights = np.asarray(losses.rows, dtype=np.float64)
        means.append(float((weights * values).sum() / weights.sum()))
    group = len(values) / max(1, len(losses.steps))
    if losses.divided and group > 1:
        means += [mean * factor for mean in means for factor in (round(group), group)]
    return means


def wrong_means(losses: Losses) -> dict[str, float]:
    """What it is when it is wrong, by the mistake."""
    values, steps = np.asarray(losses.values), list(losses.steps)
    n, m = len(values), max(1, len(steps))
    at_steps = float(values[steps].sum()) if steps else 0.0
    kept = values[: steps[-1] + 1] if steps else values
    whole = values[: (n // max(1, round(n / m))) * max(1, round(n / m))]
    return {
        "the losses of the batches with a step, over all batches": at_steps / n,
        "the mean over the batches with a step": at_steps / m,
        "the sum divided by the steps": float(values.sum()) / m,
        "the mean divided by the batches of a step": float(values.mean()) * m / n,
        "the last batch only": float(values[-1]),
        "the first batch only": float(values[0]),
        "the sum, not divided": float(values.sum()),
        "the mean without the remainder": float(kept.mean()),
        "the mean without the last, partial group": float(whole.mean()),
        "the sum divided by one batch too many": float(values.sum()) / (n + 1),
        "the sum divided by one batch too few": float(values.sum()) / max(1, n - 1),
        "the sum without the last batch": float(values[:-1].sum()) / n,
    }


class Bookkeeping:
    """Raises the alarms of the family `bookkeeping` that concern reported figures.

    Args:
        averages: averaged models by name.
        higher_is_better: of the validation, e.g. an accuracy.
    """

    def __init__(
        self,
        tell: Tell,
        model: nn.Module,
        averages: Mapping[str, Average],
        higher_is_better: bool,
    ) -> None:
        self.tell, self.model, self.averages = tell, model, averages
        self.higher_is_better = higher_is_better
        self.validations: list[float] = []
        self.weights = [_samples(model)]
        self.averaged = {name: _samples(average) for name, average in averages.items()}
        self.started = {name: _count(average) > 0 for name, average in averages.items()}

    def train(self, reported: float, losses: Losses) -> None:
        """The reported training loss of an epoch against its losses."""
        if not losses.values or not np.isfinite([reported, *losses.values]).all():
            return
        rights = right_means(losses)
        if any(_near(reported, right) for right in rights):
            return
        said = f"{reported:.6g} is reported, the mean over {len(losses.values)} batches is "
        said += f"{rights[0]:.6g}"
        fits = [name for name, wrong in wrong_means(losses).items() if _near(reported, wrong)]
        said += f"; it is {fits[0]}" if fits else "; no formula that we know fits"
        self.tell("epoch-loss", said)

    def validation(self, value: float, moved: float) -> None:
        """A reported validation; moved: relative change of the weights since the last one."""
        last = self.validations[-1] if self.validations else None
        self.validations.append(value)
        if last == value and moved > MOVED and not _is_fraction(value):
            self.tell("validation-constant", f"{value!r} twice in a row")

    def best(self, value: float) -> None:
        """The best validation that the loop believes in."""
        if not self.validations:
            return
        true = (max if self.higher_is_better else min)(self.validations)
        if abs(value - true) > NEAR_BEST * max(abs(true), abs(value)):
            self.tell("best-not-best", f"{value:.6g} is kept, the best of all is {true:.6g}")

    def follow(self, moved: float) -> None:
        """The averages, at the end of an epoch; moved: relative change of the weights in it."""
        now = _samples(self.model)
        went = max((_distance(now, past) for past in self.weights), default=0.0)
        for name, average in self.averages.items():
            held = _samples(average)
            before, self.averaged[name] = self.averaged[name], held
            if not self._has_started(name, average) or moved <= MOVED:
                continue
            if all(torch.equal(held[key], before[key]) for key in held):
                self.tell("average-not-following", f"{name!r} did not move in an epoch")
            elif _distance(now, held) > FARTHER * went:
                far = _distance(now, held) / went
                self.tell("average-not-following", f"{name!r} is {far:.1f} ways of the weights off")
        self.weights = [*self.weights, now][-64:]

    def _has_started(self, name: str, average: Average) -> bool:
        """An average over the last epochs starts late: its first update is no update."""
        if hasattr(average, "n_averaged"):
            started, self.started[name] = self.started[name], _count(average) > 0
            return started
        return True


def _count(average: Any) -> int:
    return int(getattr(average, "n_averaged", 1))


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= REPORTED_RTOL * max(abs(a), abs(b))


def _is_fraction(value: float) -> bool:
    """Whether the value is p / q with a small q, to the rounding of its precision."""
    if not np.isfinite(value):
        return True
    # A float32 has digits for denominators up to 300: with more, any number would be a fraction.
    single = float(np.float32(value)) == value
    dtype, most = (np.float32, 300) if single else (np.float64, DENOMINATOR)
    products = value * np.arange(1, most + 1)
    # The value is rounded once, a mean of a few such values a few times.
    rounding = (0.5 if single else 4) * np.finfo(dtype).eps * np.abs(products)
    return bool((np.abs(products - np.round(products)) <= rounding).any())


def _samples(held: Average) -> dict[str, Tensor]:
    named = dict(held.named_parameters()) if isinstance(held, nn.Module) else dict(held)
    return samples_of({short_name(name): parameter for name, parameter in named.items()})


def _distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    pairs = [(a[n], b[n]) for n in a if n in b]
    if not pairs and len(a) == len(b):
        # One of them is named as a part of the other.
        pairs = list(zip(a.values(), b.values(), strict=True))
    return sum(float((x - y).square().sum()) for x, y in pairs if x.shape == y.shape) ** 0.5
