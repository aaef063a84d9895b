"""The trainer as a state machine: whatever happens to a run, in any order, it stays the run that
nothing happened to."""

import copy
import dataclasses
import json
import math
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from torch.nn.utils import clip_grad_norm_
from trainer_oracle import EPS, POISONED, Oracle

from ris_pipeline._errors import InputError
from ris_pipeline.config import LossWeights, Settings, load_settings
from ris_pipeline.learning import (
    Checkpoint,
    Trainer,
    load_checkpoint,
    make_features,
    save_checkpoint,
)
from ris_pipeline.learning import trainer as training_loop
from ris_pipeline.learning.averaging import Weights, copy_weights, update_ema
from ris_pipeline.learning.records import Counters, EpochRecord
from ris_pipeline.learning.schedule import rate_scale
from ris_pipeline.verification.known_bugs.learning import (
    epoch_drops_the_last_group,
    epoch_loss_in_the_step_block,
    norm_poisoned,
)

pytestmark = pytest.mark.slow

Plant = tuple[Any, str, Callable[..., Any]]
"""Where, which name, and what to put there."""

BATCHES, EPOCHS = 5, 4

save_checkpoint_of_the_run, load_checkpoint_of_the_run = save_checkpoint, load_checkpoint


def smallest_settings() -> Settings:
    golden = load_settings("golden")
    scenario = golden.scenario.replace(
        panel=(3, 2), antennas=2, codes=4, dft_shape=(2, 2), sources=(1, 1)
    )
    model = golden.model.replace(width=4, cells=(3, 3), atoms=3)
    training = golden.training.replace(
        epochs=EPOCHS,
        batches=BATCHES,
        batch_size=3,
        validation_scenes=4,
        accumulation=2,
        warmup=0.25,
        swa_fraction=0.5,
        curriculum=(
            {"name": "geometry", "until": 0.5, "scale": {"angle": 3.0}},
            {"name": "joint", "until": 1.0},
        ),
    )
    # Which terms there are is of no interest here, and each is differentiated by itself.
    kept = {"nmse": 1.0, "angle": 0.05}
    weights = LossWeights(**{**dict.fromkeys(LossWeights.model_fields, 0.0), **kept})
    loss = golden.loss.replace(weights=weights)
    return golden.replace(scenario=scenario, model=model, training=training, loss=loss)


SETTINGS = smallest_settings()


class PowerCut(Exception):
    """What ends a process in the middle of something."""


def global_randomness() -> tuple[bytes, bytes]:
    # Not that of `random`: the shape checker of the tests draws from it.
    return (
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state(legacy=True)[1].tobytes(),  # type: ignore[index]  # noqa: NPY002
    )


class TrainerMachine(RuleBasedStateMachine):
    """Beside the trainer runs an oracle that nothing interrupts; after each rule they agree."""

    @initialize(accumulation=st.integers(1, BATCHES + 1))
    def start(self, accumulation: int) -> None:
        training = SETTINGS.training.replace(accumulation=accumulation)
        self.settings = SETTINGS.replace(training=training)
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "checkpoint.safetensors"
        self.oracle = Oracle(self.settings)
        self.saved = self.kept = copy.deepcopy(self.oracle)
        self.randomness = global_randomness()
        self.poisoned: frozenset[int] = frozenset()
        self.power_fails_at: int | None = None
        self.trainer = self.new_trainer()
        self.checkpoint: Checkpoint = self.trainer.checkpoint()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def new_trainer(self) -> Trainer:
        trainer = Trainer(self.settings, on_batch=self.on_batch)
        trainer.network.get_parameter(POISONED).register_hook(self.poison)
        self.batch = 0
        return trainer

    def poison(self, gradient: torch.Tensor) -> torch.Tensor:
        return torch.full_like(gradient, math.nan) if self.batch in self.poisoned else gradient

    def on_batch(self, number: int, loss: torch.Tensor) -> None:
        self.batch = number % BATCHES
        if number == self.power_fails_at:
            self.power_fails_at = None
            raise PowerCut

    def epochs_left(self) -> bool:
        return self.oracle.epoch < EPOCHS

    def train(self, poisoned: frozenset[int] = frozenset()) -> None:
        self.poisoned = poisoned
        self.oracle.train(self.settings.training.accumulation, poisoned)
        self.trainer.train_epoch()
        self.poisoned = frozenset()

    @precondition(epochs_left)
    @rule()
    def train_an_epoch(self) -> None:
        self.train()

    @precondition(epochs_left)
    @rule()
    def train_another_epoch(self) -> None:
        # Rules are drawn alike, and most of what can go wrong needs epochs before and after it.
        self.train()

    @precondition(epochs_left)
    @rule(poisoned=st.frozensets(st.integers(0, BATCHES - 1), min_size=1, max_size=2))
    def train_with_nan(self, poisoned: frozenset[int]) -> None:
        self.train(poisoned)

    @rule()
    def validate(self) -> None:
        weights = self.oracle.weights()
        total, terms = self.trainer.validate()
        within("validation", total, self.oracle.validation(weights), rounding(total))
        assert self.trainer.validate() == (total, terms)

    @rule(memory=st.booleans())
    def save(self, memory: bool) -> None:
        if memory:
            self.checkpoint = self.trainer.checkpoint()
            self.kept = copy.deepcopy(self.oracle)
        else:
            save_checkpoint_of_the_run(self.path, self.trainer.checkpoint())
            self.saved = copy.deepcopy(self.oracle)

    @rule(memory=st.booleans())
    def resume(self, memory: bool) -> None:
        """The same trainer from a checkpoint in memory, or a new one from the file."""
        if memory:
            self.trainer.restore(self.checkpoint)
            self.oracle = copy.deepcopy(self.kept)
            return
        self.trainer = self.new_trainer()
        if self.path.exists():
            self.trainer.restore(load_checkpoint_of_the_run(self.path))
            self.oracle = copy.deepcopy(self.saved)
        else:
            self.oracle = Oracle(self.settings)

    @precondition(epochs_left)
    @rule(batch=st.integers(1, BATCHES), memory=st.booleans())
    def crash_within_an_epoch(self, batch: int, memory: bool) -> None:
        self.power_fails_at = batch
        with pytest.raises(PowerCut):
            self.trainer.train_epoch()
        with pytest.raises(InputError, match="was not finished"):
            self.trainer.checkpoint()
        self.batch = 0
        self.resume(memory)

    @rule(moves=st.integers(0, 1))
    def crash_while_saving(self, moves: int) -> None:
        """The process ends when that many of the checkpoint's files are in place."""
        done = 0

        def replace(source: str, target: str) -> None:
            nonlocal done
            if done == moves:
                raise PowerCut
            done += 1
            os.rename(source, target)

        checkpoint = self.trainer.checkpoint()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", replace)
            with pytest.raises(PowerCut):
                save_checkpoint_of_the_run(self.path, checkpoint)
        if moves:
            self.saved = copy.deepcopy(self.oracle)
        self.resume(memory=False)

    @rule(accumulation=st.integers(1, BATCHES + 1))
    def change_the_accumulation(self, accumulation: int) -> None:
        training = self.settings.training.replace(accumulation=accumulation)
        self.settings = self.settings.replace(training=training)
        checkpoint = self.trainer.checkpoint()
        self.trainer = self.new_trainer()
        self.trainer.restore(checkpoint)

    @rule(seed=st.integers(0, 2**31 - 1))
    def somebody_seeds_the_global_generators(self, seed: int) -> None:
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        self.randomness = global_randomness()

    @invariant()
    def it_is_the_run_that_nothing_happened_to(self) -> None:
        assert global_randomness() == self.randomness, "global random numbers were used"
        self.check_weights()
        self.check_averages()
        self.check_counters()
        self.check_history()

    def check_weights(self) -> None:
        for name, value in self.trainer.network.named_parameters():
            assert torch.equal(value, self.oracle.network.get_parameter(name)), f"{name} differs"

    def check_averages(self) -> None:
        best = self.trainer.counters.best_epoch
        for label, (expected, bound) in (
            ("ema", self.oracle.ema()),
            ("swa", self.oracle.swa()),
            ("best", self.oracle.expected[best - 1].ema if best else ({}, 0.0)),
        ):
            average = getattr(self.trainer, label)
            assert average.keys() == expected.keys(), f"{label} holds {list(average)}"
            for name, value in expected.items():
                error = (average[name] - value).abs().max().item()
                within(f"{label} of {name}, its error", error, 0.0, bound)

    def check_counters(self) -> None:
        counters = self.trainer.counters
        expected = self.oracle.epoch, self.oracle.step, self.oracle.epoch * BATCHES
        assert (counters.epoch, counters.step, counters.batch) == expected
        losses = [record.validation for record in self.trainer.history]
        best = min(losses, default=math.inf)
        first = losses.index(best) + 1 if losses else 0
        assert (counters.best, counters.best_epoch) == (best, first)

    def check_history(self) -> None:
        history = self.trainer.history
        assert [record.epoch for record in history] == list(range(1, self.oracle.epoch + 1))
        for record, expected in zip(history, self.oracle.expected, strict=True):
            assert record.step == expected.step
            assert record.rates == expected.rates
            assert record.skipped_steps == expected.skipped
            assert record.non_finite == expected.non_finite
            for label, got, values in (
                ("epoch loss", record.train, expected.losses),
                ("g_back", record.gradient_backbone, expected.backbone),
                ("g_head", record.gradient_heads, expected.heads),
            ):
                mean = math.fsum(values) / len(values)
                within(label, got, mean, rounding(mean))
            within("validation", record.validation, expected.validation, 1e3 * rounding(1.0))


def within(label: str, got: float, expected: float, bound: float) -> None:
    # Not `assert_within`, which steers: it takes each label once, and a machine comes back to it.
    assert abs(got - expected) <= bound, f"{label} is {got}, expected {expected} to {bound:.1e}"


def rounding(value: float) -> float:
    """Sums of a few hundred numbers in another order: 1000 roundings of the sum."""
    return 1e3 * EPS * abs(value)


@pytest.mark.parametrize("walks", [4, pytest.param(40, marks=pytest.mark.nightly)])
def test_a_run_is_the_run_that_nothing_happened_to(walks: int) -> None:
    some = settings(max_examples=walks, stateful_step_count=15, deadline=None)
    run_state_machine_as_test(TrainerMachine, settings=some)


def everything_happens() -> None:
    """One walk of the machine through every rule, each in the places where it can do harm."""
    machine = TrainerMachine()
    machine.start(accumulation=2)
    check = machine.it_is_the_run_that_nothing_happened_to
    steps: list[Callable[[], None]] = [
        machine.train_an_epoch,
        lambda: machine.save(memory=False),
        lambda: machine.train_with_nan(frozenset({1})),
        machine.validate,
        lambda: machine.crash_while_saving(moves=0),
        machine.train_an_epoch,
        lambda: machine.save(memory=True),
        lambda: machine.crash_while_saving(moves=1),
        lambda: machine.crash_within_an_epoch(batch=3, memory=True),
        lambda: machine.somebody_seeds_the_global_generators(seed=1),
        machine.train_an_epoch,
        lambda: machine.resume(memory=True),
        lambda: machine.change_the_accumulation(3),
        machine.train_an_epoch,
        lambda: machine.save(memory=True),
        lambda: machine.resume(memory=True),
        machine.train_an_epoch,
        lambda: machine.resume(memory=True),
        machine.train_an_epoch,
    ]
    try:
        for step in steps:
            step()
            check()
    finally:
        machine.teardown()


def test_everything_happens_to_one_run() -> None:
    everything_happens()


def after_restore(change: Callable[[Trainer, Checkpoint], None]) -> Plant:
    """A bug that undoes a part of what `restore` does."""
    right = Trainer.restore

    def restore(self: Trainer, checkpoint: Checkpoint) -> None:
        right(self, checkpoint)
        change(self, checkpoint)

    return Trainer, "restore", restore


def ema_of_the_weights(trainer: Trainer, _: Checkpoint) -> None:
    trainer.ema = copy_weights(dict(trainer.network.named_parameters()))


def ema_of_the_checkpoint_itself(trainer: Trainer, checkpoint: Checkpoint) -> None:
    trainer.ema = checkpoint.tensors["ema"]


def rates_by(counter: str) -> Plant:
    def scale(self: Trainer) -> float:
        done = getattr(self.counters, counter)
        return rate_scale(done, self.total_steps, self.settings.training.warmup)

    return Trainer, "_scale", scale


def restore_keeps_gradients() -> Plant:
    right = Trainer.restore

    def restore(self: Trainer, checkpoint: Checkpoint) -> None:
        kept = {p: p.grad for p in self.network.parameters()}
        right(self, checkpoint)
        for parameter, gradient in kept.items():
            parameter.grad = gradient

    return Trainer, "restore", restore


def a_checkpoint_that_goes_on_learning() -> Plant:
    right = Trainer.checkpoint

    def checkpoint(self: Trainer) -> Checkpoint:
        taken = right(self)
        taken.tensors["weights"] = dict(self.network.named_parameters())
        return taken

    return Trainer, "checkpoint", checkpoint


def validation_that_leaves_its_weights_behind() -> Plant:
    right = Trainer.validate

    def validate(self: Trainer, weights: Weights | None = None):
        if weights is not None:
            self.network.load_state_dict(weights, strict=False)
        return right(self)

    return Trainer, "validate", validate


def nan_set_to_zero(parameters, max_norm: float) -> torch.Tensor:
    parameters = list(parameters)
    for parameter in parameters:
        parameter.grad.nan_to_num_(0.0)
    return clip_grad_norm_(parameters, max_norm)


def features_from_the_global_generator(scenes, sector):
    torch.rand(1)
    return make_features(scenes, sector)


def ema_without_its_ramp(average: Weights, weights: Weights, decay: float, step: int) -> None:
    update_ema(average, weights, decay, 10**9)


def save_in_two_files(path: Path, checkpoint: Checkpoint) -> None:
    save_checkpoint(path.with_suffix(".tensors"), checkpoint)
    path.with_suffix(".progress.partial").write_text(
        json.dumps(dataclasses.asdict(checkpoint.progress))
    )
    os.replace(path.with_suffix(".progress.partial"), path.with_suffix(".progress"))
    path.touch()


def load_from_two_files(path: Path) -> Checkpoint:
    checkpoint = load_checkpoint(path.with_suffix(".tensors"))
    progress = path.with_suffix(".progress")
    told = json.loads(progress.read_text())
    history = [EpochRecord(**record) for record in told.pop("history")]
    return dataclasses.replace(checkpoint, progress=Counters(**told, history=history))


THIS = sys.modules[__name__]

PLANTED: dict[str, list[Plant]] = {
    "EMA not restored": [after_restore(ema_of_the_weights)],
    "EMA shared with the checkpoint": [after_restore(ema_of_the_checkpoint_itself)],
    "SWA not restored": [after_restore(lambda trainer, _: trainer.swa.clear())],
    "best not restored": [after_restore(lambda trainer, _: trainer.best.clear())],
    "moments lost": [after_restore(lambda trainer, _: trainer.optimiser.state.clear())],
    "step count lost": [after_restore(lambda trainer, _: setattr(trainer.counters, "step", 0))],
    "best epoch lost": [after_restore(lambda t, _: setattr(t.counters, "best", math.inf))],
    "history lost": [after_restore(lambda trainer, _: trainer.history.clear())],
    "gradients of a broken epoch kept": [restore_keeps_gradients()],
    "checkpoint shared with the run": [a_checkpoint_that_goes_on_learning()],
    "checkpoint in two files": [
        (THIS, "save_checkpoint_of_the_run", save_in_two_files),
        (THIS, "load_checkpoint_of_the_run", load_from_two_files),
    ],
    "rates by batch": [rates_by("batch")],
    "rates by steps at any factor": [rates_by("step")],
    "last group dropped": [(training_loop, "run_epoch", epoch_drops_the_last_group)],
    "loss in the step block": [(training_loop, "run_epoch", epoch_loss_in_the_step_block)],
    "NaN set to zero": [(torch.nn.utils, "clip_grad_norm_", nan_set_to_zero)],
    "norm poisoned": [(training_loop, "gradient_norm", norm_poisoned)],
    "validation keeps its weights": [validation_that_leaves_its_weights_behind()],
    "global generator used": [(training_loop, "make_features", features_from_the_global_generator)],
    "EMA without its ramp": [(training_loop, "update_ema", ema_without_its_ramp)],
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, attribute, wrong in PLANTED[name]:
        monkeypatch.setattr(owner, attribute, wrong)
    with pytest.raises(AssertionError):
        everything_happens()
