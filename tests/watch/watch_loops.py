"""The same training in five loops of different style; each returns the names of its alarms."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from watch_recipe import Recipe, Run

from ris_pipeline.watch import Sampling, Watch

Loop = Callable[[Recipe], Watch]


def options_of(recipe: Recipe, run: Run) -> dict[str, Any]:
    given = {"averages": {"ema": run.ema}, "scaler": run.scaler, "log": lambda line: None}
    if recipe.say_scheduler:
        given["scheduler"] = run.scheduler
    return {**given, **recipe.watch}


def report_epoch(
    recipe: Recipe, run: Run, epoch: int, losses: list[float], steps: list[int]
) -> dict[str, float]:
    recipe.after_epoch(run)
    value = recipe.validate(run, epoch)
    if recipe.better(value, run.best):
        run.best = value
    return {"train": recipe.report(losses, steps), "validation": value, "best": run.best}


def plain(recipe: Recipe) -> Watch:
    """Backward, clip, step, clear: one batch, one step."""
    run = recipe.setup()
    watch = Watch(run.model, run.optimizer, **options_of(recipe, run))
    for epoch in range(recipe.epochs):
        recipe.train_mode(run)
        losses: list[float] = []
        for number, batch in enumerate(recipe.batches(run, epoch)):
            recipe.before_batch(run, number)
            covariance, position = recipe.forward(run, batch)
            terms = recipe.terms(covariance, position, batch)
            loss = recipe.total(terms)
            given = recipe.spectral(covariance, batch)
            with watch.step(terms, recipe.weights, batch=batch, **given):
                for action in recipe.order:
                    run.backward(loss) if action == "backward" else getattr(recipe, action)(run)
            recipe.average(run)
            recipe.after_batch(run)
            losses.append(loss.item())
        watch.epoch(**report_epoch(recipe, run, epoch, losses, list(range(len(losses)))))
    watch.close()
    return watch


def accumulated(recipe: Recipe) -> Watch:
    """bfloat16 autocast, a loss scale, and four batches to a step."""
    recipe.accumulation = recipe.accumulation if recipe.accumulation > 1 else 4
    recipe.size = max(2, recipe.size // 2)
    run = recipe.setup()
    run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    watch = Watch(run.model, run.optimizer, **options_of(recipe, run))
    for epoch in range(recipe.epochs):
        recipe.train_mode(run)
        losses: list[float] = []
        steps: list[int] = []
        batches = recipe.batches(run, epoch)
        for number, batch in enumerate(batches):
            recipe.before_batch(run, number)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                covariance, position = recipe.forward(run, batch)
            terms = recipe.terms(covariance, position, batch)
            loss = recipe.total(terms)
            given = recipe.spectral(covariance, batch)
            last = number + 1 == len(batches) and not recipe.drop_remainder
            full = (number + 1) % recipe.accumulation == 0 or last
            group = recipe.accumulation
            if last and len(batches) % group:
                group = len(batches) % group
            with watch.step(terms, recipe.weights, batch=batch, **given):
                for action in recipe.order:
                    if action == "backward":
                        run.backward(run.scaler.scale(recipe.divide(loss, group)))
                    elif full:
                        accumulated_action(recipe, run, action)
            if full:
                recipe.average(run)
                steps.append(number)
            recipe.after_batch(run)
            losses.append(loss.item())
        watch.epoch(**report_epoch(recipe, run, epoch, losses, steps))
    watch.close()
    return watch


def accumulated_action(recipe: Recipe, run: Run, action: str) -> None:
    if action == "clip":
        if "step" in recipe.order and recipe.order.index("clip") < recipe.order.index("step"):
            run.scaler.unscale_(run.optimizer)
        recipe.clip(run)
    elif action == "step":
        run.scaler.step(run.optimizer)
        run.scaler.update()
    elif action == "clear":
        run.optimizer.zero_grad(set_to_none=False)


def fabric(recipe: Recipe) -> Watch:
    """Fabric's wrappers, and the callback called by name."""
    from ris_pipeline.watch.fabric import WatchCallback

    run = recipe.setup()
    callback = WatchCallback()
    device = Fabric(accelerator="cpu", devices=1, callbacks=[callback])
    raw = run.optimizer
    run.model, run.optimizer = device.setup(run.model, raw)
    run.backward = device.backward
    device.call("on_train_start", run.model, run.optimizer, **options_of(recipe, run))
    for epoch in range(recipe.epochs):
        recipe.train_mode(run)
        losses: list[float] = []
        for number, batch in enumerate(recipe.batches(run, epoch)):
            recipe.before_batch(run, number)
            covariance, position = recipe.forward(run, batch)
            terms = recipe.terms(covariance, position, batch)
            loss = recipe.total(terms)
            given = recipe.spectral(covariance, batch)
            device.call("on_before_backward", terms, recipe.weights, batch=batch, **given)
            for action in recipe.order:
                run.backward(loss) if action == "backward" else getattr(recipe, action)(run)
            device.call("on_train_batch_end")
            recipe.average(run)
            recipe.after_batch(run)
            losses.append(loss.item())
        report = report_epoch(recipe, run, epoch, losses, list(range(len(losses))))
        device.call("on_train_epoch_end", **report)
    device.call("on_train_end")
    assert callback.watch is not None
    return callback.watch


def lightning(recipe: Recipe) -> Watch:
    """Automatic optimisation: Lightning clears, calls back, clips and steps."""
    import logging

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from watch_lightning import fit

        return fit(recipe)


LOOPS: dict[str, Loop] = {
    "plain": plain,
    "accumulated": accumulated,
    "lightning": lightning,
    "fabric": fabric,
}

EVERY_STEP = float("inf")


def every_step() -> Sampling:
    """All steps looked at, whatever the machine is busy with."""
    return Sampling(allowance=EVERY_STEP)
