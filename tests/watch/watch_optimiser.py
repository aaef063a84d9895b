"""Bugs of optimisers, steps, clipping and schedules, and healthy runs that come near to them."""

import math
import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from watch_catalogue import (
    OWN_ORDER,
    bug,
    without_spectra,
)
from watch_healthy import healthy, loop, mlp, regression
from watch_recipe import FEATURES, Net, Recipe, Run

from ris_pipeline.watch import Watch


@bug("parameters-not-held")
def part_of_the_model(recipe: Recipe) -> None:
    """The optimiser was made from the backbone and one head."""
    recipe.held = lambda model: [
        p for name, p in model.named_parameters() if not name.startswith("position")
    ]


@bug("parameters-held-twice", ("plain", "accumulated"))
def overlapping_groups(recipe: Recipe) -> None:
    """Backbone and everything."""

    def make(params: Any, rate: float) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.optim.AdamW([*params, params[0]], lr=rate)

    recipe.make_optimizer = make


@bug("parameters-of-old-module")
def head_replaced(recipe: Recipe) -> None:
    """A new head after the optimiser was made."""

    def prepared(run: Run) -> None:
        run.model.position = nn.Linear(16, 2)
        run.ema = {n: p.detach().clone() for n, p in run.model.named_parameters()}

    recipe.prepared = prepared


class WithUnused(Net):
    """A layer that the forward pass does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(4, 4)


@bug("no-gradient", number=5)
def unused_layer(recipe: Recipe) -> None:
    """A layer that is made and not called."""
    recipe.make_model = WithUnused


class WithDeadBranch(Net):
    """A branch whose units are off for every input."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Linear(FEATURES, 2)
        with torch.no_grad():
            self.branch.bias.fill_(-100.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        factor, position = super().forward(x)
        return factor, position + torch.relu(self.branch(x))


@bug("gradient-zero")
def dead_units(recipe: Recipe) -> None:
    """A bias of -100 before a ReLU."""
    recipe.make_model = WithDeadBranch


@bug("gradient-not-finite", ("plain", "lightning", "fabric"), number=4)
def poisoned_gradient(recipe: Recipe) -> None:
    """A NaN in the gradient of one bias in every fourth batch."""
    without_spectra(recipe)
    recipe.prepared = partial(poison, math.nan, 4)


@bug("scaler-skips", ("accumulated",), number=4)
def skipped_for_ever(recipe: Recipe) -> None:
    """The same in every batch, under a loss scale: no step is ever taken."""
    recipe.prepared = partial(poison, math.nan, 1)


def poison(value: float, period: int, run: Run) -> None:
    calls = [0]

    def hook(gradient: Tensor) -> Tensor:
        calls[0] += 1
        return torch.full_like(gradient, value) if calls[0] % period == 0 else gradient

    run.model.position.bias.register_hook(hook)  # type: ignore[union-attr, operator]


@bug("step-never", OWN_ORDER, number=5)
def no_step(recipe: Recipe) -> None:
    """`optimizer.step()` under a condition that never holds."""
    recipe.order = ("backward", "clip", "clear")


@bug("step-twice", ("plain", "fabric"))
def two_steps(recipe: Recipe) -> None:
    """`step()` in the loop and in a helper."""
    recipe.order = ("backward", "clip", "step", "step", "clear")


@bug("step-before-backward", ("plain", "fabric"))
def step_first(recipe: Recipe) -> None:
    """Clear, step, backward."""
    recipe.order = ("clear", "step", "backward")


@bug("gradients-cleared-before-step", ("plain", "fabric"))
def cleared_before_the_step(recipe: Recipe) -> None:
    """Backward, clear, step."""
    recipe.order = ("backward", "clear", "step")


@bug("gradients-cleared-before-step", ("plain", "fabric"))
def zeroed_before_the_step(recipe: Recipe) -> None:
    """The same with zeros for None."""
    recipe.order = ("backward", "clear", "step")
    recipe.clear = lambda run: run.optimizer.zero_grad(set_to_none=False)


@bug("gradients-not-cleared", OWN_ORDER)
def never_cleared(recipe: Recipe) -> None:
    """No `zero_grad()`."""
    recipe.order = ("backward", "clip", "step")


@bug("gradients-not-cleared", ("plain", "fabric"))
def another_optimiser_cleared(recipe: Recipe) -> None:
    """`zero_grad()` of another module."""
    other = Net()
    recipe.clear = lambda run: other.zero_grad()


@bug("accumulation-not-divided", ("accumulated",))
def not_divided(recipe: Recipe) -> None:
    """The loss is not divided by the number of batches."""
    recipe.divide = lambda loss, group: loss


@bug("gradients-left-over", ("accumulated",))
def remainder_never_stepped(recipe: Recipe) -> None:
    """Two batches too few for a step, whose gradients wait for the next epoch."""
    recipe.train_rows, recipe.drop_remainder = 104, True


@bug("clip-after-step", ("plain", "fabric"))
def clipped_too_late(recipe: Recipe) -> None:
    """The clipping below the step."""
    recipe.order = ("backward", "step", "clip", "clear")
    recipe.clip_norm = 0.1


@bug("clip-without-effect", ("plain", "fabric"))
def clipped_before_backward(recipe: Recipe) -> None:
    """The clipping above the backward pass, on cleared gradients."""
    recipe.order = ("clip", "backward", "step", "clear")
    recipe.clip_norm = 0.1
    recipe.clear = lambda run: run.optimizer.zero_grad(set_to_none=False)
    recipe.watch = {**recipe.watch, "clip": 0.1}


@bug("clip-without-effect", ("plain", "fabric"))
def another_model_clipped(recipe: Recipe) -> None:
    """The parameters of a model that is not trained."""
    other = Net()
    recipe.clip = lambda run: nn.utils.clip_grad_norm_(other.parameters(), 0.1)  # type: ignore[assignment, return-value]
    recipe.watch = {**recipe.watch, "clip": 0.1}


@bug("clip-always-active")
def clipped_to_nothing(recipe: Recipe) -> None:
    """A threshold of 1e-4."""
    recipe.clip_norm = 1e-4


@bug("clip-never-active")
def clip_out_of_reach(recipe: Recipe) -> None:
    """A threshold of 1e6."""
    recipe.clip_norm = 1e6
    recipe.watch = {**recipe.watch, "clip": 1e6}


@bug("rate-zero", number=5)
def no_rate(recipe: Recipe) -> None:
    """A schedule that is over before it began."""
    recipe.rate = 0.0


@bug("rate-zero")
def head_without_a_rate(recipe: Recipe) -> None:
    """`epoch // epochs` for `epoch / epochs` in the rate of one group."""
    recipe.make_optimizer = lambda params, rate: torch.optim.AdamW(
        [{"params": params[:4], "lr": rate}, {"params": params[4:], "lr": 1 // 30}]
    )


@bug("rate-collapsed", OWN_ORDER)
def decayed_by_batch(recipe: Recipe) -> None:
    """A decay meant for epochs, stepped by the batch."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.4)
    recipe.after_batch = lambda run: quietly(run.scheduler.step)
    recipe.after_epoch = lambda run: None


def quietly(call: Callable[[], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call()


@bug("schedule-not-stepped", OWN_ORDER)
def schedule_forgotten(recipe: Recipe) -> None:
    """No `scheduler.step()`."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 2)
    recipe.say_scheduler = True
    recipe.after_epoch = lambda run: None


@bug("schedule-per-batch", OWN_ORDER)
def schedule_by_batch(recipe: Recipe) -> None:
    """A cosine over ten epochs, stepped by the batch."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10)
    recipe.say_scheduler = True
    recipe.after_batch = lambda run: quietly(run.scheduler.step)
    recipe.after_epoch = lambda run: None


@bug("schedule-per-batch", ("plain", "fabric"))
def steps_by_batch(recipe: Recipe) -> None:
    """A decay every five epochs, stepped by the batch."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.StepLR(o, 5, 0.5)
    recipe.say_scheduler = True
    recipe.after_batch = lambda run: quietly(run.scheduler.step)
    recipe.after_epoch = lambda run: None


@bug("schedule-per-epoch", OWN_ORDER)
def cycle_by_epoch(recipe: Recipe) -> None:
    """One cycle over all steps, stepped once an epoch."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.OneCycleLR(
        o, recipe.rate, total_steps=recipe.epochs * recipe.train_rows // recipe.size
    )
    recipe.watch = {**recipe.watch, "epochs": recipe.epochs}


@bug("weights-still")
def weights_restored(recipe: Recipe) -> None:
    """A head loaded from a checkpoint after every step."""

    def prepared(run: Run) -> None:
        run.extra["head"] = deepcopy(run.model.position.state_dict())  # type: ignore[union-attr]

    recipe.prepared = prepared
    recipe.after_batch = lambda run: run.model.position.load_state_dict(run.extra["head"])  # type: ignore[union-attr]


@bug("update-ratio")
def rate_far_too_large(recipe: Recipe) -> None:
    """A rate of 30."""
    recipe.rate = 30.0


@bug("update-ratio")
def rate_far_too_small(recipe: Recipe) -> None:
    """A rate of 1e-10."""
    recipe.rate = 1e-10


@bug("frozen")
def frozen_on_the_way(recipe: Recipe) -> None:
    """`requires_grad_(False)` for a picture, and never back."""

    def before(run: Run, number: int) -> None:
        if number == 7:
            run.model.position.requires_grad_(False)

    recipe.before_batch = before


@bug("frozen")
def frozen_group(recipe: Recipe) -> None:
    """A group with a rate of its own that was frozen in an earlier experiment."""

    def make(params: Any, rate: float) -> Any:
        for p in params[:4]:
            p.requires_grad_(False)
        return torch.optim.AdamW([{"params": params[:4]}, {"params": params[4:]}], lr=rate)

    recipe.make_optimizer = make


class WithRepeats(Net):
    """`[layer] * n`."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Sequential(*([nn.Linear(FEATURES, FEATURES)] * 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x + self.more(x))


@bug("shared")
def one_layer_three_times(recipe: Recipe) -> None:
    """`[layer] * 3`."""
    recipe.make_model = WithRepeats


@bug("shared")
def one_piece_of_memory(recipe: Recipe) -> None:
    """`.data = other.data` to start from the same weights."""

    def prepared(run: Run) -> None:
        first, last = run.model.backbone[3], nn.Linear(16, 16)  # type: ignore[index]
        run.model.extra = last
        last.weight.data = first.weight.data  # type: ignore[union-attr]

    recipe.prepared = prepared


# Healthy, and near.


@healthy
def frozen_backbone(watched: dict[str, Any]) -> Watch:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.1))
            self.out = nn.Linear(16, 1)
            self.body.requires_grad_(False)

        def train(self, mode: bool = True) -> "Net":
            super().train(mode)
            self.body.eval()
            return self

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.relu(self.body(x)))

    model = Net()
    return loop(watched, model, torch.optim.AdamW(model.parameters(), lr=1e-2), regression())


@healthy
def groups_with_rates(watched: dict[str, Any]) -> Watch:
    model = mlp()
    groups = [{"params": model[0].parameters(), "lr": 1e-3}, {"params": model[3].parameters()}]  # type: ignore[index]
    return loop(watched, model, torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.1), regression())
