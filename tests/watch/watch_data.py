"""Bugs of batches, labels and samplers."""

import math

import torch
from torch import Tensor
from watch_catalogue import (
    bug,
    without_spectra,
)
from watch_recipe import FEATURES, Recipe, Run


@bug("same-batch")
def first_batch_again(recipe: Recipe) -> None:
    """`next(iter(loader))` inside the loop."""
    right = recipe.batches
    recipe.batches = lambda run, epoch: [right(run, 0)[0]] * 12


@bug("labels-shuffled")
def shuffled_apart(recipe: Recipe) -> None:
    """Inputs and targets drawn by two permutations."""

    def batch(run: Run, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(77 + epoch)
        apart = torch.randperm(recipe.train_rows, generator=generator)[rows]
        return run.x[rows], run.true[apart], run.y[apart]

    recipe.batch = batch


@bug("constant-inputs")
def empty_buffer(recipe: Recipe) -> None:
    """A buffer that is not filled."""
    recipe.batch = lambda run, rows, epoch: (
        torch.zeros(len(rows), FEATURES),
        run.true[rows],
        run.y[rows],
    )


@bug("order-identical")
def not_shuffled(recipe: Recipe) -> None:
    """A sampler that is never told the epoch."""
    right = recipe.indices
    recipe.indices = lambda run, epoch: right(run, 0)


@bug("nan-inputs")
def missing_values(recipe: Recipe) -> None:
    """A few missing values."""

    def prepared(run: Run) -> None:
        run.x[::10, 3] = math.nan

    without_spectra(recipe)
    recipe.prepared = prepared
