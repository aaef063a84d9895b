"""With and without a watch the weights are the same to the last bit, whatever happens."""

import copy
import math
import pickle
import random
import warnings
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from watch_loops import every_step
from watch_recipe import Net, Recipe

from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer
from ris_pipeline.watch import Watch
from ris_pipeline.watch import observers as observers_module


class Broken(Exception):
    """What a loop raises in the middle of a batch."""


def train(watched: bool, change: dict[str, Any]) -> dict[str, Any]:
    """A loop with dropout, running statistics, momentum, clipping; everything it leaves behind."""
    torch.manual_seed(change["seed"])
    np.random.seed(0)  # noqa: NPY002
    model: nn.Module = nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
    )
    if change["compiled"]:
        model = torch.compile(model, backend="aot_eager")  # type: ignore[assignment]
    optimizer = change["make"](model.parameters())
    scaler = torch.amp.GradScaler("cpu", enabled=change["scaled"])
    options: dict[str, Any] = {"sampling": every_step(), "log": lambda line: None, "scaler": scaler}
    watch = Watch(model, optimizer, **options) if watched else None
    calls = []
    handle = next(model.parameters()).register_hook(lambda gradient: calls.append(1))
    for epoch in range(2):
        for number in range(6):
            x = torch.randn(5, 4)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=change["mixed"]):
                output = model(x).float()
            terms = {
                "fit": (output[:, 0] - x[:, 0]).square().mean(),
                "size": output.square().mean(),
            }
            loss = terms["fit"] + 0.1 * terms["size"]
            try:
                if watch is not None:
                    with watch.step(terms, {"fit": 1.0, "size": 0.1}, batch=x):
                        body(optimizer, scaler, model, loss, (epoch, number) == change["raises"])
                else:
                    body(optimizer, scaler, model, loss, (epoch, number) == change["raises"])
            except Broken:
                pass
        model.eval()
        with torch.no_grad():
            value = model(torch.ones(2, 4)).sum().item()
        model.train()
        if watch is not None:
            watch.epoch(train=1.0, validation=value, best=math.inf)
            watch.validation_batch(torch.ones(2, 4))
    if watch is not None:
        watch.close()
        assert watch.ended == "closed", watch.ended
    handle.remove()
    return left_behind(model, optimizer, calls)


def body(optimizer: Any, scaler: Any, model: nn.Module, loss: Any, raises: bool) -> None:
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    if raises:
        raise Broken
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    scaler.step(optimizer)
    scaler.update()


def left_behind(model: nn.Module, optimizer: Any, calls: list[int]) -> dict[str, Any]:
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in model.modules()
    ]
    return {
        "weights": {k: v.clone() for k, v in model.state_dict().items()},
        "gradients": [p.grad for p in model.parameters()],
        "moments": optimizer.state_dict()["state"],
        "modes": [m.training for m in model.modules()],
        "hooks": hooks,
        "step hooks": (len(optimizer._optimizer_step_pre_hooks),),
        "randomness": torch.get_rng_state(),
        "numpy": np.random.get_state(legacy=True)[1].tobytes(),  # type: ignore[index]  # noqa: NPY002
        "calls of the loop's own hook": calls,
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


MAKERS: dict[str, Callable[..., Any]] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "fused": lambda p: torch.optim.AdamW(p, lr=1e-2, fused=True),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
}


@given(
    make=st.sampled_from(sorted(MAKERS)),
    seed=st.integers(0, 9),
    mixed=st.booleans(),
    scaled=st.booleans(),
    compiled=st.booleans(),
    raises=st.none() | st.tuples(st.integers(0, 1), st.integers(0, 5)),
)
@settings(max_examples=12, deadline=None)
def test_a_run_is_the_same_with_and_without(make: str, **change: Any) -> None:
    change["make"] = MAKERS[make]
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bare, watched = train(False, change), train(True, change)
    assert [name for name in bare if not same(bare[name], watched[name])] == []


def test_our_trainer_is_the_same_with_and_without() -> None:
    golden = load_settings("golden")
    tiny = golden.training.replace(epochs=2, batches=5, batch_size=4, validation_scenes=4)
    trainers = [Trainer(golden.replace(training=tiny)) for _ in range(2)]
    watch = trainers[1].start_watch(sampling=every_step(), log=lambda line: None)
    # The first one without the watch that it would start by itself.
    with patch.object(trainers[0], "start_watch", lambda: None):
        for trainer in trainers:
            for _ in range(tiny.epochs):
                trainer.train_epoch()
    assert trainers[0].watch is None
    assert watch.ended is None
    assert trainers[0].history == trainers[1].history
    weights = [dict(trainer.network.named_parameters()) for trainer in trainers]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


PLACES = (
    "begin",
    "end",
    "epoch",
    "_arrived",
    "_backward_ended",
    "_reached",
    "_before_step",
    "_after_step",
    "_before_forward",
    "_after_forward",
    "_write_epoch",
)


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_ends_the_watch_and_not_the_training(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def fault(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of the watch")

    monkeypatch.setattr(observers_module.Observers, place, fault)
    recipe = Recipe(epochs=1, train_rows=48)
    run = recipe.setup()
    lines: list[str] = []
    watch = Watch(run.model, run.optimizer, tmp_path, log=lines.append)
    before = [p.detach().clone() for p in run.model.parameters()]
    for batch in recipe.batches(run, 0):
        terms = recipe.terms(*recipe.forward(run, batch), batch)
        with watch.step(terms, recipe.weights):
            recipe.total(terms).backward()
            run.optimizer.step()
            run.optimizer.zero_grad()
    watch.epoch(train=1.0)
    assert watch.ended == "fault"
    assert any("a fault of the watch" in line and "goes on" in line for line in lines)
    assert '"fault"' in (tmp_path / "watch.jsonl").read_text()
    moved = zip(before, run.model.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in moved)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in run.model.modules())
    assert not run.optimizer._optimizer_step_pre_hooks


def test_a_fault_of_the_users_own_log_is_a_fault_too() -> None:
    def full(line: str) -> None:
        raise OSError("disk full")

    model = nn.Linear(2, 1)
    watch = Watch(model, torch.optim.SGD(model.parameters(), lr=0.1), log=full)
    loss = model(torch.ones(3, 2)).sum()
    with watch.step(loss):
        loss.backward()
    assert watch.ended == "fault"


def test_a_model_that_has_no_weights_yet_is_told_and_trains_on() -> None:
    model = nn.LazyLinear(1)
    lines: list[str] = []
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        watch = Watch(model, optimizer, log=lines.append)
        loss = model(torch.ones(3, 2)).sum()
        with watch.step(loss):
            loss.backward()
        watch.epoch(train=1.0)
        watch.close()
    assert watch.ended == "fault"
    assert len(lines) == 1


def test_what_cannot_be_used_ends_the_watch() -> None:
    model = nn.Linear(2, 1)
    watch = Watch(model, torch.optim.SGD(model.parameters(), lr=0.1), log=lambda line: None)
    with watch.step({"loss": 1.0}):  # type: ignore[dict-item]
        pass
    assert watch.ended == "fault"


def test_a_copy_of_the_model_is_not_watched() -> None:
    model = Net()
    watch = Watch(model, torch.optim.SGD(model.parameters(), lr=0.1), log=lambda line: None)
    copied, stored = copy.deepcopy(model), pickle.loads(pickle.dumps(model))  # noqa: S301
    x = torch.randn(3, 12)
    for other in (copied, stored):
        other(x)[0].sum().backward()
    assert not watch._observers._optimisers.touched
    model(x)[0].sum().backward()
    assert watch._observers._optimisers.touched


def test_an_exception_passes_through_unchanged() -> None:
    model = nn.Linear(2, 1)
    watch = Watch(model, torch.optim.SGD(model.parameters(), lr=0.1), log=lambda line: None)
    raised = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught, watch.step(model(torch.ones(1, 2)).sum()):
        raise raised
    assert caught.value is raised
    assert watch.ended is None


def test_no_random_number_is_drawn() -> None:
    states = [torch.get_rng_state(), random.getstate()]
    recipe = Recipe()
    with torch.random.fork_rng():
        run = recipe.setup()
    watch = Watch(run.model, run.optimizer, log=lambda line: None)
    watch.epoch(1.0, 2.0)
    watch.close()
    assert torch.equal(states[0], torch.get_rng_state())  # type: ignore[arg-type]
    assert states[1] == random.getstate()
