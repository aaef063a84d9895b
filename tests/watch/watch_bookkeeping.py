"""Bugs of epochs, validation and averages."""

import math

import torch
from torch import Tensor
from watch_catalogue import (
    OWN_ORDER,
    bug,
)
from watch_recipe import Net, Recipe, Run


@bug("epoch-loss", ("accumulated",), number=3)
def loss_in_the_step_block(recipe: Recipe) -> None:
    """`running += loss` inside the accumulation step."""
    recipe.report = lambda losses, steps: sum(losses[i] for i in steps) / len(losses)


@bug("epoch-loss", ("accumulated",), number=3)
def divided_by_the_steps(recipe: Recipe) -> None:
    """The counter of the steps stood nearer."""
    recipe.report = lambda losses, steps: sum(losses) / len(steps)


@bug("epoch-loss", OWN_ORDER)
def last_batch_only(recipe: Recipe) -> None:
    """A `+` lost."""
    recipe.report = lambda losses, steps: losses[-1]


@bug("epoch-loss", OWN_ORDER)
def sum_not_divided(recipe: Recipe) -> None:
    """The sum over the batches."""
    recipe.report = lambda losses, steps: sum(losses)


@bug("epoch-loss", ("accumulated",), number=3)
def remainder_dropped(recipe: Recipe) -> None:
    """The batches after the last full group are trained on and not counted."""
    recipe.train_rows, recipe.drop_remainder = 108, True
    recipe.report = lambda losses, steps: sum(losses[:24]) / 24


@bug("validation-constant")
def cached_validation(recipe: Recipe) -> None:
    """The validation of the first epoch, again and again."""
    seen: list[float] = []

    def report(value: float, epoch: int) -> float:
        seen.append(value)
        return seen[0] if len(seen) > 3 or epoch else value

    recipe.report_validation = report
    right = recipe.validation
    recipe.validation = lambda run: right(run)[:1]


def run_rows(run: Run, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return run.x[rows], run.true[rows], run.y[rows]


@bug("validation-on-training")
def validated_on_training(recipe: Recipe) -> None:
    """The training loader twice."""
    recipe.validation = lambda run: [
        (run.x[r], run.true[r], run.y[r]) for r in torch.arange(24).split(8)
    ]


@bug("validation-overlap")
def overlapping_split(recipe: Recipe) -> None:
    """Indices split after some were duplicated."""

    def mixed(run: Run) -> list[tuple[Tensor, Tensor, Tensor]]:
        order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
        rows = torch.arange(recipe.train_rows - 8, recipe.train_rows + 16)[order].split(8)
        return [run_rows(run, r) for r in rows]

    recipe.validation = mixed


@bug("training-in-eval-mode")
def never_back_to_training(recipe: Recipe) -> None:
    """`model.eval()` for the validation, and nothing after it."""
    right = recipe.train_mode
    epochs: list[int] = []

    def train_mode(run: Run) -> None:
        epochs.append(0)
        if len(epochs) == 1:
            right(run)
        else:
            run.model.eval()

    recipe.train_mode = train_mode


@bug("validating-in-train-mode")
def no_eval(recipe: Recipe) -> None:
    """No `model.eval()`."""
    recipe.validation_mode = lambda run: run.model.train()  # type: ignore[assignment]


@bug("average-not-following")
def average_forgotten(recipe: Recipe) -> None:
    """The update is not called."""
    recipe.average = lambda run: None


@bug("average-not-following")
def average_of_an_old_module(recipe: Recipe) -> None:
    """The average follows a module that was replaced."""
    old = {n: p.detach() * 4 + 1 for n, p in Net().named_parameters()}

    def average(run: Run) -> None:
        for name, value in run.ema.items():
            value.lerp_(old[name], 0.1)

    recipe.average = average


@bug("best-not-best")
def comparison_turned(recipe: Recipe) -> None:
    """`>` for `<`."""
    recipe.better = lambda value, best: value > best or math.isinf(best)
    recipe.report_validation = lambda value, epoch: value / (1 + epoch)
