"""Bugs planted in our own trainer, where the catalogue of `verification` and the loop meet."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest.mock import patch

import torch

from ris_pipeline._errors import RunFailed
from ris_pipeline.config import Settings, load_settings
from ris_pipeline.learning import Trainer, losses
from ris_pipeline.learning import trainer as training_loop
from ris_pipeline.verification.known_bugs import KNOWN_BUGS
from ris_pipeline.watch import Watch

Plant = Callable[[ExitStack], Callable[[Trainer], None]]
BUGS: dict[str, tuple[str, int, Plant]] = {}
"""Name: alarm, number in the post-mortem, what plants it and what it does to the trainer."""


def tiny(**training: Any) -> Settings:
    golden = load_settings("golden")
    changes = {"epochs": 2, "batches": 12, "batch_size": 4, "validation_scenes": 4}
    changed = golden.training.replace(**{**changes, "accumulation": 2, **training})
    scenario = golden.scenario.replace(panel=(3, 3), antennas=3, codes=4, dft_shape=(2, 2))
    return golden.replace(training=changed, scenario=scenario)


def ours(alarm: str, number: int = 0) -> Callable[[Plant], Plant]:
    def enter(plant: Plant) -> Plant:
        BUGS[plant.__name__] = alarm, number, plant
        return plant

    return enter


def nothing(trainer: Trainer) -> None:
    pass


def known(place: Any, name: str, alarm: str, number: int = 0) -> None:
    """A bug of the catalogue of functions, in the place that `place` calls it from."""
    bug = next(bug for bug in KNOWN_BUGS if bug.name == name)

    def plant(stack: ExitStack) -> Callable[[Trainer], None]:
        stack.enter_context(patch.object(place, bug.replaces, bug.function))
        return nothing

    BUGS[f"{name} in ours"] = alarm, number, plant


known(losses, "hinge_of_flipped_singular_values", "hinge-direction", 1)
known(losses, "hinge_detached", "term-dead")
known(training_loop, "epoch_loss_in_the_step_block", "epoch-loss", 3)
known(training_loop, "epoch_divided_by_the_steps", "epoch-loss", 3)
known(training_loop, "epoch_of_scaled_losses", "epoch-loss", 3)
known(training_loop, "epoch_of_the_last_batch", "epoch-loss", 3)


@ours("gradient-not-finite", 4)
def poisoned_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    def poison(trainer: Trainer) -> None:
        parameter = list(trainer.network.parameters())[-1]
        parameter.register_hook(lambda gradient: torch.full_like(gradient, math.nan))

    return poison


@ours("steps-skipped", 4)
def skipping_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    """The same: the trainer skips every step, as it should skip one."""
    return poisoned_in_ours(stack)


@ours("step-never", 5)
def no_step_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    stack.enter_context(
        patch.object(Trainer, "_step", lambda self, sums: self.optimiser.zero_grad())
    )
    return nothing


@ours("rate-zero", 5)
def no_rate_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    stack.enter_context(patch.object(training_loop, "rate_scale", lambda *_: 0.0))
    return nothing


@ours("average-not-following")
def no_average_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    stack.enter_context(patch.object(training_loop, "update_ema", lambda *_: None))
    return nothing


@ours("frozen")
def frozen_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    def freeze(trainer: Trainer) -> None:
        for parameter in trainer.network.head_parameters():
            parameter.requires_grad_(False)

    return freeze


@ours("validation-constant")
def cached_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    right, cache = Trainer.validate, []

    def validate(self: Trainer, weights: Any = None) -> Any:
        cache.append(right(self, weights))
        return cache[0]

    stack.enter_context(patch.object(Trainer, "validate", validate))
    return nothing


@ours("weights-still")
def restored_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    right = Trainer._step

    def step(self: Trainer, sums: Any) -> None:
        kept = [p.detach().clone() for p in self.network.head_parameters()]
        right(self, sums)
        with torch.no_grad():
            for parameter, value in zip(self.network.head_parameters(), kept, strict=True):
                parameter.copy_(value)

    stack.enter_context(patch.object(Trainer, "_step", step))
    return nothing


@ours("gradients-not-cleared")
def not_cleared_in_ours(stack: ExitStack) -> Callable[[Trainer], None]:
    return lambda trainer: setattr(trainer.optimiser, "zero_grad", lambda: None)


@contextmanager
def planted(name: str) -> Iterator[Callable[[Trainer], None]]:
    with ExitStack() as stack:
        yield BUGS[name][2](stack)


def run(name: str | None, settings: Settings | None = None, **watched: Any) -> Watch:
    """Two epochs of the trainer with a bug, or without; it may stop for it."""
    with ExitStack() as stack:
        change = nothing if name is None else stack.enter_context(planted(name))
        trainer = Trainer(settings or tiny())
        change(trainer)
        watch = trainer.start_watch(log=lambda line: None, **watched)
        with suppress(RunFailed):
            trainer.fit()
    return watch
