"""The trainer as a state machine: whatever happens to a run, in any order, it stays the run that
nothing happened to."""

import copy
import math
import os
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from trainer_oracle import EPS, POISONED, Oracle

from ris_pipeline._errors import InputError
from ris_pipeline.config import Settings, load_settings
from ris_pipeline.learning import Checkpoint, Trainer, load_checkpoint, save_checkpoint

BATCHES, EPOCHS = 5, 6


def smallest_settings() -> Settings:
    golden = load_settings("golden")
    scenario = golden.scenario.replace(
        panel=(3, 2), antennas=2, codes=4, dft_shape=(2, 2), sources=(1, 1)
    )
    model = golden.model.replace(
        width=8, heads=1, angle_rank=1, range_rank=1, angle_grid=(3, 3), slots=1
    )
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
    return golden.replace(scenario=scenario, model=model, training=training)


SETTINGS = smallest_settings()


class PowerCut(Exception):
    """What ends a process in the middle of something."""


def global_randomness() -> tuple[bytes, bytes]:
    # Not that of `random`: the shape checker of the tests draws from it.
    return (
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
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

    def on_batch(self, number: int, loss: float) -> None:
        self.batch = number % BATCHES
        if number == self.power_fails_at:
            self.power_fails_at = None
            raise PowerCut

    def epochs_left(self) -> bool:
        return self.oracle.epoch < EPOCHS

    @precondition(epochs_left)
    @rule(poisoned=st.frozensets(st.integers(0, BATCHES - 1), max_size=2))
    def train_an_epoch(self, poisoned: frozenset[int]) -> None:
        self.poisoned = poisoned
        self.oracle.train(self.settings.training.accumulation, poisoned)
        self.trainer.train_epoch()
        self.poisoned = frozenset()

    @rule()
    def validate(self) -> None:
        weights = self.oracle.weights()
        total, terms = self.trainer.validate()
        within("validation", total, self.oracle.validation(weights), rounding(total))
        assert self.trainer.validate() == (total, terms)

    @rule()
    def save(self) -> None:
        save_checkpoint(self.path, self.trainer.checkpoint())
        self.saved = copy.deepcopy(self.oracle)

    @rule()
    def keep_in_memory(self) -> None:
        self.checkpoint = self.trainer.checkpoint()
        self.kept = copy.deepcopy(self.oracle)

    @rule()
    def crash_and_resume(self) -> None:
        self.trainer = self.new_trainer()
        if self.path.exists():
            self.trainer.restore(load_checkpoint(self.path))
            self.oracle = copy.deepcopy(self.saved)
        else:
            self.oracle = Oracle(self.settings)

    @precondition(epochs_left)
    @rule(batch=st.integers(1, BATCHES), memory=st.booleans())
    def crash_within_an_epoch(self, batch: int, memory: bool) -> None:
        self.power_fails_at = batch
        with pytest.raises(PowerCut):
            self.trainer.train_epoch()
        self.batch = 0
        if memory:
            self.go_back()
        else:
            self.crash_and_resume()

    @rule(moves=st.integers(0, 1))
    def crash_while_saving(self, moves: int) -> None:
        """The process ends when that many of the checkpoint's files are in place."""
        before, done = copy.deepcopy(self.saved), 0
        existed = self.path.exists()

        def replace(source: str, target: str) -> None:
            nonlocal done
            if done == moves:
                raise PowerCut
            done += 1
            os.rename(source, target)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
            patch.setattr(os, "replace", replace)
            save_checkpoint(self.path, self.trainer.checkpoint())
        if moves == 0 and not existed:
            assert not self.path.exists()
        self.saved = copy.deepcopy(self.oracle) if moves else before
        self.crash_and_resume()

    @rule()
    def go_back(self) -> None:
        """The same trainer, from the checkpoint in memory: as often as one likes."""
        self.trainer.restore(self.checkpoint)
        self.oracle = copy.deepcopy(self.kept)

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
        for label in ("ema", "swa"):
            average = getattr(self.trainer, label)
            expected, bound = getattr(self.oracle, label)()
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


QUICK = settings(
    max_examples=12, stateful_step_count=12, deadline=None, phases=(Phase.explicit, Phase.generate)
)


def test_a_run_is_the_run_that_nothing_happened_to() -> None:
    run_state_machine_as_test(TrainerMachine, settings=QUICK)
