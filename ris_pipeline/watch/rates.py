"""What is seen of the rates and of their schedule."""

from collections.abc import Sequence
from typing import Any

from ris_pipeline.watch._seen import EVIDENCE, Tell
from ris_pipeline.watch.optimiser import Held, Optimisers

COLLAPSED = 1e-3
"""Share of its highest value below which a rate teaches nothing."""


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

    def start(self, schedulers: Sequence[Any]) -> None:
        """Before the first batch."""
        self.schedulers = schedulers
        self.advanced = [_place(scheduler) for scheduler in schedulers]

    def epoch(self, number: int) -> None:
        """At the end of an epoch, counted from 1."""
        for place, held in enumerate(self.optimisers.held):
            if held.epoch_steps >= EVIDENCE:
                self._rates(place, held, number)
        steps = max((held.epoch_steps for held in self.optimisers.held), default=0)
        for place, scheduler in enumerate(self.schedulers):
            before, self.advanced[place] = self.advanced[place], _place(scheduler)
            if steps >= EVIDENCE:
                self._schedule(scheduler, self.advanced[place] - before, steps)

    def _rates(self, place: int, held: Held, number: int) -> None:
        early = number == 2 or (self.epochs is not None and number <= self.epochs / 2)
        for group, rates in enumerate(zip(*held.rates, strict=True)):
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
        rates = [held.rates for held in self.optimisers.held if held.optimiser is optimiser]
        return any(len(set(one)) > 1 for every in rates for one in zip(*every, strict=True))

    def _schedule(self, scheduler: Any, advanced: int, steps: int) -> None:
        name = type(scheduler).__name__
        ours = [held.optimiser for held in self.optimisers.held]
        driven = getattr(scheduler, "optimizer", None)
        if driven is not None and not any(driven is optimiser for optimiser in ours):
            self.tell("schedule-not-stepped", f"{name} drives an optimiser that is not watched")
        elif advanced == 0 and not self._vary(driven):
            self.tell("schedule-not-stepped", f"{name} did not advance in an epoch")
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


def _place(scheduler: Any) -> int:
    return int(getattr(scheduler, "last_epoch", 0))
