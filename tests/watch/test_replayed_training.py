"""Batches that are replayed: the same numbers as batches that are not, and as much said of them."""

import gc
import itertools
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import torch
import watch_ours
from tape import Tape
from watch_ours import tiny

from ris_pipeline._errors import InputError, RunFailed
from ris_pipeline._recorder import recording
from ris_pipeline._replay import Recordings, tensors_of
from ris_pipeline.config import Settings, load_settings
from ris_pipeline.config.learning import CurriculumPhase
from ris_pipeline.learning import Trainer
from ris_pipeline.learning.losses import _injections
from ris_pipeline.learning.schedule import make_optimiser
from ris_pipeline.scene import SceneSet
from ris_pipeline.watch.sampling import Sampling

pytestmark = pytest.mark.slow


class Every(Sampling):
    """Looks at every so-manieth batch, at none by default."""

    def __init__(self, turn: int = 0) -> None:
        super().__init__()
        self.turn, self.asked = turn, 0

    def due(self) -> bool:
        self.asked += 1
        return self.turn > 0 and self.asked % self.turn == 1


def begun(settings: Settings, replayed: bool, turn: int = 0) -> Trainer:
    trainer = Trainer(settings)
    trainer.recordings = Recordings(Tape) if replayed else None
    trainer.start_watch(sampling=Every(turn), log=lambda line: None)
    return trainer


def weights_of(trainer: Trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.network.parameters()]


def check_same(one: Trainer, other: Trainer) -> None:
    assert one.history == other.history
    pairs = zip(weights_of(one), weights_of(other), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("preset", ["golden", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scenes_are_the_same_to_the_bit_and_stay(preset: str, dtype: torch.dtype) -> None:
    scenes = SceneSet(load_settings(preset).scenario, 3, 15, dtype=dtype)
    draw = scenes.replayed(Recordings(Tape))
    drawn = [draw(start, start + 5) for start in range(0, 15, 5)]
    for start, batch in zip(range(0, 15, 5), drawn, strict=True):
        pairs = zip(tensors_of(batch), tensors_of(scenes.scenes(start, start + 5)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(InputError, match="stop = 16"):
        draw(11, 16)


def test_scenes_of_a_panel_of_its_own_are_recorded() -> None:
    places = ((-0.3, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.3, 0.0), (0.0, -0.3, 0.0))
    golden = load_settings("golden").scenario
    scenario = golden.replace(panel=(4, 1), positions=places, sources=(1, 2))
    scenes = SceneSet(scenario, 3, 4)
    drawn = scenes.replayed(Recordings(Tape))(0, 4)
    pairs = zip(tensors_of(drawn), tensors_of(scenes.scenes(0, 4)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


PHASES = (
    CurriculumPhase(name="geometry", until=0.5, scale={"cells": 10.0, "eigengap": 0.0}),
    CurriculumPhase(name="refine", until=1.0),
)


@pytest.mark.parametrize(
    ("training", "turn"),
    [
        ({"accumulation": 1, "batches": 8}, 0),
        ({"accumulation": 5, "curriculum": PHASES}, 4),
        ({"accumulation": 1, "precision": "32-true", "batches": 6}, 3),
    ],
    ids=["steps", "groups and phases", "single precision"],
)
def test_a_replayed_run_is_the_same_run(training: dict[str, Any], turn: int) -> None:
    settings = tiny(**training)
    plain, replayed = (begun(settings, way, turn) for way in (False, True))
    plain.fit()
    replayed.fit()
    assert replayed.recordings is not None
    assert len(replayed.recordings._held) > 1
    check_same(plain, replayed)


def test_a_replayed_run_goes_on_as_it_would_have() -> None:
    whole = begun(tiny(batches=6), True)
    whole.fit()
    first = begun(tiny(batches=6), True)
    first.train_epoch()
    second = begun(tiny(batches=6), True)
    second.train_epoch()
    before = second.recordings
    second.restore(first.checkpoint())
    assert second.recordings is not before
    second.start_watch(sampling=Every(), log=lambda line: None)
    second.fit()
    check_same(whole, second)


@pytest.mark.parametrize("terms", [{}, {"eigengap": 0.0, "subspace_margin": 0.0}])
def test_an_output_that_is_not_finite_ends_both_runs_in_one_line(terms: dict[str, float]) -> None:
    said = []
    for replayed in (False, True):
        settings = tiny(accumulation=1)
        loss = settings.loss.replace(weights=settings.loss.weights.replace(**terms))
        trainer = begun(settings.replace(loss=loss), replayed)

        def spoil(number: int, _: torch.Tensor, trainer: Trainer = trainer) -> None:
            if number == 7:
                with torch.no_grad():
                    next(trainer.network.head_parameters()).fill_(math.nan)

        trainer.on_batch = spoil
        with pytest.raises(RunFailed) as error:
            trainer.fit()
        assert trainer.watch is not None
        said.append((str(error.value), trainer.watch.ended, trainer.counters.step))
    assert said[0] == said[1]
    assert said[0][0] == "the network's output is not finite from batch 8 of epoch 1"


def test_the_first_output_that_is_not_finite_is_named_whoever_looks_at_the_next() -> None:
    settings = tiny(accumulation=5)
    weights = settings.loss.weights.replace(eigengap=0.0, subspace_margin=0.0)
    trainer = begun(settings.replace(loss=settings.loss.replace(weights=weights)), True, turn=4)

    def spoil(number: int, _: torch.Tensor) -> None:
        if number == 5:
            with torch.no_grad():
                next(trainer.network.head_parameters()).fill_(math.nan)

    trainer.on_batch = spoil
    with pytest.raises(RunFailed, match="from batch 6 of epoch 1"):
        trainer.fit()


def test_a_trainer_goes_with_its_recordings() -> None:
    trainer = begun(tiny(accumulation=1, epochs=1, batches=5), True)
    trainer.fit()
    recordings = trainer.recordings
    assert recordings is not None
    assert len(recordings._held) == 2
    gone = weakref.ref(trainer), weakref.ref(recordings)
    gc.collect()
    gc.disable()
    try:
        # Without a collector: they would keep the memory of a GPU until it comes.
        del trainer, recordings
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()


def test_a_gradient_that_is_not_finite_skips_the_step() -> None:
    settings = tiny(accumulation=1, epochs=1, batches=6)
    trainers = [begun(settings, way) for way in (False, True)]
    for trainer in trainers:
        last = list(trainer.network.parameters())[-1]
        last.register_hook(lambda gradient: torch.full_like(gradient, math.nan))
        trainer.train_epoch()
        record = trainer.history[-1]
        assert (record.skipped_steps, record.non_finite) == (6, 6)
    check_same(*trainers)


def of_both(name: str | None) -> Iterator[tuple[str | None, list[Any]]]:
    for replayed in (False, True):
        with ExitStack() as stack:
            change: Callable[[Trainer], None] = watch_ours.nothing
            if name is not None:
                change = stack.enter_context(watch_ours.planted(name))
            trainer = begun(tiny(), replayed, turn=3)
            change(trainer)
            with suppress(RunFailed):
                trainer.fit()
            assert trainer.watch is not None
            yield trainer.watch.ended, trainer.watch.alarms


BUGS = [
    "poisoned_in_ours",
    "restored_in_ours",
    "not_cleared_in_ours",
]


@pytest.mark.parametrize("name", [None, *BUGS])
def test_the_watch_says_of_replayed_batches_what_it_says_of_others(name: str | None) -> None:
    plain, replayed = of_both(name)
    assert plain == replayed
    assert replayed[0] == "closed"
    if name is None:
        assert replayed[1] == []


@pytest.mark.parametrize(
    ("scenario", "model"),
    [({"blocks": 2}, {}), ({}, {"atoms": 9})],
    ids=["blocks", "full rank"],
)
def test_where_the_network_cannot_be_recorded_the_scenes_are(
    scenario: dict[str, Any], model: dict[str, Any]
) -> None:
    settings = tiny(batches=6, epochs=1)
    settings = settings.replace(
        scenario=settings.scenario.replace(**scenario), model=settings.model.replace(**model)
    )
    plain, replayed = (begun(settings, way) for way in (False, True))
    plain.fit()
    replayed.fit()
    assert replayed.recordings is not None
    assert len(replayed.recordings._held) == 1
    check_same(plain, replayed)


def test_no_graph_is_alive_while_another_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that accumulate gradients belong to the stream that they were made on."""
    trainer = begun(tiny(accumulation=1, epochs=1, batches=4), True)
    believe, record, alive = Trainer._believe, Tape.record, []

    def marks() -> list[dict[Any, Any]]:
        with torch.enable_grad():
            views: list[Any] = [p.view_as(p) for p in trainer.network.parameters()]
        return [view.grad_fn.next_functions[0][0].metadata for view in views]

    def marking(self: Trainer, *given: Any) -> Any:
        believed = believe(self, *given)
        if torch.is_grad_enabled() and not recording():
            for mark in marks():
                mark["alive"] = True
        return believed

    def recorded(self: Tape, function: Any) -> Any:
        alive.append(sum(map(len, marks())))
        return record(self, function)

    monkeypatch.setattr(Trainer, "_believe", marking)
    monkeypatch.setattr(Tape, "record", recorded)
    trainer.train_epoch()
    assert alive == [0, 0]


def test_gradients_and_moments_lie_in_memory_as_parameters_do() -> None:
    trainer = begun(tiny(accumulation=1, epochs=1, batches=5), True)
    step = trainer.optimiser.step
    strides: list[tuple[Any, Any]] = []

    def seen() -> None:
        own: list[Any] = list(trainer.network.parameters())
        strides.extend((p.grad.stride(), p.stride()) for p in own)
        step()

    trainer.optimiser.step = seen
    trainer.train_epoch()
    assert all(mine == wanted for mine, wanted in strides)
    checkpoint = trainer.checkpoint()
    for group in checkpoint.tensors.values():
        group |= {name: value.contiguous() for name, value in group.items()}
    trainer.restore(checkpoint)
    for parameter in trainer.network.parameters():
        moments = trainer.optimiser.state[parameter]
        assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == parameter.stride()


def test_a_fused_optimiser_takes_the_same_steps() -> None:
    trainers = [begun(tiny(accumulation=1, epochs=1, batches=6), True) for _ in range(2)]
    network = trainers[1].network
    trainers[1].optimiser = make_optimiser(network, trainers[1].settings.training, fused=True)
    trainers[1].start_watch(sampling=Every(), log=lambda line: None)
    for trainer in trainers:
        trainer.train_epoch()
    for one, other in zip(*map(weights_of, trainers), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("slots", range(1, 6))
def test_injections_come_in_order(slots: int) -> None:
    for sources in range(1, slots + 1):
        expected = [list(x) for x in itertools.permutations(range(slots), sources)]
        assert _injections(sources, slots, torch.device("cpu")).tolist() == expected
