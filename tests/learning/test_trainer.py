"""The loop: what it logs, what it reports, and that a resumed run is the same run."""

import dataclasses
import logging
import math
import re
from itertools import pairwise

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file

from ris_pipeline._errors import InputError, RunFailed
from ris_pipeline.config import Settings, load_settings
from ris_pipeline.learning import (
    TERMS,
    Trainer,
    health_alarms,
    history_curve,
    load_checkpoint,
    overfit_settings,
    save_checkpoint,
)
from ris_pipeline.learning import trainer as training_loop
from ris_pipeline.learning.averaging import copy_weights, update_ema, update_swa
from ris_pipeline.learning.features import principal_snapshot
from ris_pipeline.learning.processes import training_batches
from ris_pipeline.learning.schedule import rate_scale
from ris_pipeline.watch.sampling import Sampling

pytestmark = pytest.mark.slow

NUMBER = r"\d\.\d{2}e[+-]\d{2}"


def tiny(**training) -> Settings:
    base = load_settings("golden")
    changes = {"epochs": 4, "batches": 5, "batch_size": 8, "validation_scenes": 16}
    return base.replace(training=base.training.replace(**{**changes, **training}))


def state(trainer: Trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.network.parameters()]


def test_the_log_tells_the_story(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ris_pipeline"):
        Trainer(tiny(epochs=2)).fit()
    lines = [record.getMessage() for record in caplog.records]
    optimiser = rf"\[OPT\] batch=%d g_back={NUMBER} g_head={NUMBER} LRs=\[{NUMBER}, {NUMBER}\]"
    quiet = r"\[GRAD\] no-grad count=0 \(sample\)=\[\]"
    expected = [
        r"\[DEBUG\] total loss pre-backward = \d+\.\d{6}",
        optimiser % 1,
        quiet,
        optimiser % 2,
        quiet,
        optimiser % 3,
        r"\[OPT\] step 2 / batch 5",
        r"Epoch 001/002: train \d+\.\d{3}  val \d+\.\d{3}",
        r"\[OPT\] step 4 / batch 10",
        r"Epoch 002/002: train \d+\.\d{3}  val \d+\.\d{3}",
    ]
    assert len(lines) == len(expected), lines
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_both_losses_fall_and_the_run_is_healthy() -> None:
    history = Trainer(tiny(epochs=8)).fit()
    assert history[-1].train < history[0].train
    assert history[-1].validation < history[0].validation
    assert health_alarms(history) == []


def test_a_run_that_never_moves_raises_alarms() -> None:
    healthy = Trainer(tiny(epochs=2)).fit()
    flat = [dataclasses.replace(healthy[0], epoch=e, gradient_heads=0.0) for e in (1, 2)]
    alarms = health_alarms(flat)
    assert any("never moved" in alarm for alarm in alarms)
    assert any("heads had no gradient" in alarm for alarm in alarms)
    assert any("did not fall" in alarm for alarm in alarms)
    lost = [dataclasses.replace(healthy[0], train=math.nan)]
    assert any("not finite" in alarm for alarm in health_alarms(lost))


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path) -> None:
    settings = tiny(swa_fraction=0.6)
    whole = Trainer(settings)
    whole.fit()
    first = Trainer(settings)
    for _ in range(2):
        first.train_epoch()
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, first.checkpoint())
    second = Trainer(settings)
    second.restore(load_checkpoint(path))
    second.fit()
    assert all(torch.equal(a, b) for a, b in zip(state(whole), state(second), strict=True))
    assert second.history == whole.history
    for name in ("ema", "swa"):
        pair = getattr(whole, name), getattr(second, name)
        assert all(torch.equal(pair[0][key], pair[1][key]) for key in pair[0]), name
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.json",
        "checkpoint.safetensors",
    ]


def test_more_epochs_begin_the_average_anew_and_keep_the_history() -> None:
    short = Trainer(tiny(epochs=4, swa_fraction=0.5))
    short.fit()
    assert short.counters.swa_epochs == 2
    longer = Trainer(tiny(epochs=6, swa_fraction=0.5))
    longer.restore(short.checkpoint())
    assert (longer.counters.swa_epochs, longer.swa) == (0, {})
    longer.restore(longer.checkpoint())
    assert longer.fit()[:4] == short.history
    assert (longer.counters.epoch, longer.counters.swa_epochs) == (6, 2)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, Trainer(tiny()).checkpoint())
    with pytest.raises(InputError, match="other settings"):
        Trainer(tiny(epochs=2)).restore(load_checkpoint(path))
    with pytest.raises(InputError, match="no such file"):
        load_checkpoint(tmp_path / "absent.safetensors")
    path.write_bytes(b"half a file")
    with pytest.raises(InputError, match="is not a checkpoint"):
        load_checkpoint(path)


def test_only_the_one_file_of_a_checkpoint_is_read(tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    taken = Trainer(tiny()).checkpoint()
    save_checkpoint(path, taken)
    path.with_suffix(".json").write_text("{}")
    assert load_checkpoint(path).progress == taken.progress
    save_file({"weights/x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="is not a checkpoint"):
        load_checkpoint(path)


def test_a_double_run_is_double_throughout() -> None:
    settings = tiny(epochs=1)
    trainer = Trainer(settings)
    scenes = next(training_batches(trainer.settings, 0, trainer.dtype, trainer.fabric))
    prediction, truth = trainer._predict(scenes)
    assert prediction.azimuth.dtype == truth.azimuth.dtype == torch.float64
    assert prediction.covariance.factor.dtype == torch.complex128
    demoting = Trainer(settings, Fabric(accelerator="cpu", devices=1, precision="64-true"))
    with pytest.raises(InputError, match="allowed is a fabric of make_fabric"):
        demoting.train_epoch()


def test_a_broken_epoch_cannot_be_saved_or_repeated_only_restored() -> None:
    def stop(batch: int, loss: torch.Tensor) -> None:
        if batch == 2:
            raise KeyboardInterrupt

    trainer = Trainer(tiny(), on_batch=stop)
    taken = trainer.checkpoint()
    with pytest.raises(KeyboardInterrupt):
        trainer.train_epoch()
    for action in (trainer.checkpoint, trainer.train_epoch):
        with pytest.raises(InputError, match="epoch 1 was not finished"):
            action()
    trainer.restore(taken)
    assert trainer.checkpoint().progress == taken.progress


def test_a_poisoned_gradient_skips_the_step_and_is_counted(caplog) -> None:
    trainer = Trainer(tiny(epochs=1, accumulation=1))
    parameter = trainer.network.get_parameter("heads.0.1.bias")
    before = state(trainer)
    hook = parameter.register_hook(lambda grad: torch.full_like(grad, torch.nan))
    record = trainer.train_epoch()
    hook.remove()
    assert record.skipped_steps == 5
    assert record.non_finite == 5
    assert math.isfinite(record.gradient_heads)
    assert record.gradient_heads > 0
    assert all(torch.equal(a, b) for a, b in zip(before, state(trainer), strict=True))
    assert any("skipped: non-finite gradient" in r.getMessage() for r in caplog.records)
    assert any("5 of 5 steps skipped" in alarm for alarm in health_alarms([record]))


def test_patience_stops_a_run_that_does_not_improve() -> None:
    trainer = Trainer(tiny(epochs=50, patience=2, lr_backbone=1e-30, lr_heads=1e-30))
    assert len(trainer.fit()) <= 5


def test_the_curriculum_scales_the_weights() -> None:
    phases = (
        {"name": "geometry", "until": 0.5, "scale": {"eigengap": 0.0}},
        {"name": "refine", "until": 1.0},
    )
    history = Trainer(tiny(epochs=2, curriculum=phases)).fit()
    assert [record.phase for record in history] == ["geometry", "refine"]
    assert "eigengap" not in history[0].terms
    assert "eigengap" in history[1].terms
    assert "eigengap" in history[0].validation_terms


@pytest.mark.parametrize("accumulation", [1, 2, 3, 7])
def test_steps_follow_the_accumulation(accumulation: int) -> None:
    trainer = Trainer(tiny(epochs=1, accumulation=accumulation))
    assert trainer.train_epoch().step == -(-5 // accumulation) == trainer.total_steps


def test_moving_symbols_train_too() -> None:
    base = tiny(epochs=1, batches=2)
    scenario = base.scenario.replace(blocks=8, codes=1, codebook="random")
    settings = base.replace(scenario=scenario)
    assert health_alarms(Trainer(settings).fit()) == []


def test_the_principal_snapshot_carries_the_leading_part_of_the_covariance() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, 10, dtype=torch.complex128, generator=generator)
    kept = principal_snapshot(x)
    torch.testing.assert_close(kept.abs().square().sum(-1), torch.linalg.svdvals(x)[:, 0].square())
    largest = kept.gather(-1, kept.abs().argmax(-1, keepdim=True))
    assert (largest.real > 0).all()
    torch.testing.assert_close(largest.imag, torch.zeros_like(largest.imag))
    assert torch.equal(principal_snapshot(x[:, :1]), x[:, 0])


def test_rates_rise_then_fall() -> None:
    scales = [rate_scale(step, 100, 0.1) for step in range(100)]
    assert scales[0] == pytest.approx(0.1)
    assert max(scales) == scales[9] == 1.0
    assert all(a >= b for a, b in pairwise(scales[10:]))
    assert scales[-1] < 1e-3


def test_averages() -> None:
    average = {"w": torch.tensor(0.0, dtype=torch.float64)}
    update_ema(average, {"w": torch.tensor(1.0, dtype=torch.float64)}, 0.999, step=1)
    assert average["w"].item() == pytest.approx(1 - 2 / 11)
    mean = {"w": torch.tensor(1.0, dtype=torch.float64)}
    for count, value in enumerate((2.0, 6.0), start=1):
        update_swa(mean, {"w": torch.tensor(value, dtype=torch.float64)}, count)
    assert mean["w"].item() == pytest.approx(3.0)


def test_best_weights_are_those_of_the_lowest_validation_loss() -> None:
    trainer = Trainer(tiny(swa_fraction=0.5))
    trainer.fit()
    name, weights = trainer.best_weights()
    losses = [trainer.validate(w)[0] for w in (trainer.ema, trainer.swa, trainer.best)]
    assert name in ("best", "swa", "last")
    assert trainer.validate(weights)[0] <= min(losses)


@pytest.mark.parametrize(
    "values", [(3.0, 1.0, 2.0, 1.0), (1.0, 2.0, 3.0, 4.0), (4.0, 3.0, 2.0, 1.0)]
)
@pytest.mark.parametrize("patience", [None, 2])
def test_the_weights_of_the_best_epoch_are_kept(values, patience, monkeypatch, tmp_path) -> None:
    """Bit for bit the EMA after the first epoch of least validation, through a checkpoint too."""
    monkeypatch.setattr(
        Trainer, "validate", lambda self, weights=None: (values[self.counters.epoch - 1], {})
    )
    averages = []
    trainer = Trainer(tiny(patience=patience))
    trainer.fit(lambda run: averages.append(copy_weights(run.ema)))
    best = values.index(min(values[: len(averages)]))
    expected = 4 if patience is None else min(4, best + 1 + patience)
    assert len(averages) == expected
    resumed = Trainer(tiny(patience=patience))
    save_checkpoint(tmp_path / "run.safetensors", trainer.checkpoint())
    resumed.restore(load_checkpoint(tmp_path / "run.safetensors"))
    for run in (trainer, resumed):
        assert run.counters.best_epoch == best + 1
        assert run.best.keys() == averages[best].keys()
        assert all(torch.equal(run.best[name], averages[best][name]) for name in run.best)


def test_a_trainer_is_watched_and_stops_with_a_diagnosis() -> None:
    trainer = Trainer(tiny(batches=12, accumulation=1, epochs=9))
    last = trainer.network.get_parameter("heads.1.1.bias")
    last.register_hook(lambda gradient: torch.full_like(gradient, torch.nan))
    with pytest.raises(RunFailed, match=r"after epoch 1\n.*steps-skipped .* Try: "):
        trainer.fit()
    assert len(trainer.history) == 1
    assert trainer.watch is not None
    assert {"gradient-not-finite", "steps-skipped"} <= {a.name for a in trainer.watch.alarms}
    assert any("heads.1.1.bias" in alarm.seen for alarm in trainer.watch.alarms)


def test_a_validation_that_never_moves_stops_the_run(monkeypatch) -> None:
    monkeypatch.setattr(Trainer, "validate", lambda self, weights=None: (0.75, {}))
    trainer = Trainer(tiny(epochs=9))
    with pytest.raises(RunFailed, match=r"after epoch 5\n.*validation-constant: 0.75 in 5 epochs"):
        trainer.fit()


def test_a_group_without_a_rate_stops_the_run(monkeypatch) -> None:
    monkeypatch.setattr(training_loop, "rate_scale", lambda *_: 0.0)
    trainer = Trainer(tiny(batches=6, accumulation=1))
    with pytest.raises(RunFailed, match=r"rate-zero .*group 0 has rate 0"):
        trainer.fit()


def test_a_term_of_no_gradient_stops_the_run(monkeypatch) -> None:
    # Every step is looked at, whatever a look costs on a busy machine.
    monkeypatch.setattr(Sampling, "due", lambda self: True)
    right = TERMS["nmse"]
    monkeypatch.setitem(TERMS, "nmse", lambda p, t, c: right(p, t, c).detach() + 0 * p.cells.sum())
    trainer = Trainer(tiny(batches=6, accumulation=1))
    with pytest.raises(RunFailed, match=r"term-dead .*'nmse'"):
        trainer.fit()


def test_overfit_settings_show_the_same_scenes() -> None:
    trainer = Trainer(overfit_settings(load_settings("golden"), epochs=2))
    batches = []
    for _ in range(2):
        given = trainer.settings, trainer.counters.epoch, trainer.dtype, trainer.fabric
        batches.append(next(training_batches(*given)).snapshots)
        trainer.train_epoch()
    assert torch.equal(*batches)
    assert set(history_curve(trainer.history)) >= {"train", "validation", "train_eigengap"}
