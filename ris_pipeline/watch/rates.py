"""What is seen of the rates and of their schedule."""

from collections.abc import Sequence
from typing import Any

from ris_pipeline.watch._held import Held
from ris_pipeline.watch._seen import EVIDENCE, Tell
from ris_pipeline.watch.optimiser import Optimisers

COLLAPSED = 1e-3
"""Share of its highest value below which a rate teaches nothing."""

UNUSED = 0.1
"""Share of a schedule at which the run ends: an order of magnitude, which no plan leaves out."""

PLANNED = (0.5, 1.1)
"""Length of a schedule over the steps of a run that it was planned by: the last milestone is in the
second half, and a remainder makes a tenth at most."""


class Rates:
    """Raises the alarms of the family `optimiser` that concern rates.

    Args:
        epochs: of the whole run, where known.
    """

    def __init__(self, tell: Tell, optimisers: Optimisers, epochs: int | None) -> None:
        self.tell, self.optimisers, self.epochs = tell, optimisers, epochs
        self.schedulers: Sequence[Any] = ()
        self.advanced: list[int] = []
        self.highest: dict[tuple[int, int], float] = {}
        self.resting: list[int] = []

    def start(self, schedulers: Sequence[Any]) -> None:
        """Before the first batch."""
        self.schedulers = schedulers
        self.advanced = [_place(scheduler) for scheduler in schedulers]

    def epoch(self, number: int, batches: int) -> None:
        """At the end of an epoch of so many batches, counted from 1."""
        for place, held in enumerate(self.optimisers.held):
            if held.epoch_steps >= EVIDENCE:
                self._rates(place, held, number)
        steps = max((held.epoch_steps for held in self.optimisers.held), default=0)
        self.resting = []
        for place, scheduler in enumerate(self.schedulers):
            before, self.advanced[place] = self.advanced[place], _place(scheduler)
            if steps < EVIDENCE:
                continue
            advanced = self.advanced[place] - before
            if advanced == 0 and not self._vary(getattr(scheduler, "optimizer", None)):
                self.resting.append(place)
            self._schedule(scheduler, advanced, steps)
            self._pace(scheduler, advanced, steps, batches)

    def settle(self) -> None:
        """At the next batch, or the end: `scheduler.step()` may stand below `epoch`."""
        for place in self.resting:
            scheduler = self.schedulers[place]
            if _place(scheduler) == self.advanced[place]:
                said = f"{type(scheduler).__name__} did not advance in an epoch"
                self.tell("schedule-not-stepped", said)
        self.resting = []

    def _rates(self, place: int, held: Held, number: int) -> None:
        early = number == 2 or (self.epochs is not None and number <= self.epochs / 2)
        for group, rates in enumerate(held.group_rates):
            highest = self.highest.get((place, group), 0.0)
            if max(rates) == 0:
                self.tell("rate-zero", f"{held.label}group {group} has rate 0 at every step")
            elif early and max(rates) < COLLAPSED * highest:
                self.tell(
                    "rate-collapsed",
                    f"{held.label}group {group} fell from {highest:.1e} to {max(rates):.1e}",
                )
            self.highest[place, group] = max(highest, *rates)

    def _vary(self, optimiser: Any) -> bool:
        """Whether the rates moved within the epoch: some schedules count fractions of epochs."""
        ours = [held for held in self.optimisers.held if held.optimiser is optimiser]
        return any(len(set(rates)) > 1 for held in ours for rates in held.group_rates)

    def _schedule(self, scheduler: Any, advanced: int, steps: int) -> None:
        name = type(scheduler).__name__
        ours = [held.optimiser for held in self.optimisers.held]
        driven = getattr(scheduler, "optimizer", None)
        if driven is not None and not any(driven is optimiser for optimiser in ours):
            self.tell("schedule-not-stepped", f"{name} drives an optimiser that is not watched")
        if advanced < max(2, steps // 2):
            return
        cosine = getattr(scheduler, "T_max", None)
        marks = getattr(scheduler, "milestones", None)
        length = getattr(scheduler, "step_size", None) or (max(marks) if marks else None)
        if cosine is not None and _place(scheduler) > cosine:
            self.tell(
                "schedule-per-batch", f"{name} is past T_max = {cosine} after {advanced} a epoch"
            )
        elif isinstance(length, int) and length <= advanced:
            self.tell(
                "schedule-per-batch", f"{name} of length {length} advances {advanced} an epoch"
            )

    def _pace(self, scheduler: Any, advanced: int, steps: int, batches: int) -> None:
        """Whether it counts the steps of the whole run, and is far too slow for that."""
        length = _length(scheduler)
        if self.epochs is None or length is None or advanced < 1:
            return
        least, most = PLANNED[0] * steps, PLANNED[1] * max(steps, batches)
        planned = least <= length / self.epochs <= most
        if planned and advanced * self.epochs < UNUSED * length:
            self.tell(
                "schedule-per-epoch",
                f"{type(scheduler).__name__} of length {length} advances {advanced} an epoch, "
                f"in {self.epochs} epochs of {steps} steps",
            )


def _length(scheduler: Any) -> int | None:
    """What it says to be the end of its way."""
    marks = getattr(scheduler, "milestones", None)
    said = [getattr(scheduler, name, None) for name in ("total_steps", "T_max", "total_iters")]
    lengths = [one for one in [*said, max(marks) if marks else None] if isinstance(one, int)]
    return max(lengths, default=None)


def _place(scheduler: Any) -> int:
    return int(getattr(scheduler, "last_epoch", 0))
