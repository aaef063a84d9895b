"""Bugs of the terms of a loss."""

import torch
from torch import Tensor
from watch_catalogue import bug, terms_changed, without_spectra
from watch_recipe import MARGIN, Recipe, hinge_of

from ris_pipeline.spectral import eigenvalues


@bug("term-not-finite")
def logarithm_at_zero(recipe: Recipe) -> None:
    """A logarithm of a clamped difference."""
    without_spectra(recipe)
    terms_changed(recipe, lambda t, r, p, b: {"fit": t["fit"] + (t["fit"] * 0).log()})


@bug("term-detached")
def term_detached(recipe: Recipe) -> None:
    """`.detach()` left over from logging."""
    terms_changed(recipe, lambda t, r, p, b: {"eigengap": t["eigengap"].detach()})


@bug("term-detached")
def except_continue(recipe: Recipe) -> None:
    """`except: continue` around the term: a fresh zero is returned."""
    terms_changed(recipe, lambda t, r, p, b: {"eigengap": torch.zeros(())})


@bug("term-left-out")
def term_not_summed(recipe: Recipe) -> None:
    """Reported with the others, and not in the sum."""
    recipe.total = lambda terms: terms["fit"] + terms["nmse"]


@bug("term-constant")
def hinge_never_engages(recipe: Recipe) -> None:
    """A margin in other units than the gap: the hinge is zero from the first batch."""
    recipe.hinge = lambda covariance: hinge_of(eigenvalues(covariance), -1e3)


@bug("term-constant")
def hinge_of_noise_values(recipe: Recipe) -> None:
    """The gap of two eigenvalues that are both the loading: the hinge is the margin."""

    def hinge(covariance: Tensor) -> Tensor:
        values = eigenvalues(covariance)
        same = values[:, -1] - values[:, -1]
        return torch.relu(MARGIN - same).mean()

    recipe.hinge = hinge
    recipe.spectral = lambda covariance, batch: {}


@bug("term-dead")
def rounded_term(recipe: Recipe) -> None:
    """Rounded for a clean plot: the gradient of `round` is zero."""
    terms_changed(recipe, lambda t, r, p, b: {"nmse": (t["nmse"] * 1e4).round() / 1e4})


@bug("term-opposes")
def sign_turned(recipe: Recipe) -> None:
    """A score to be maximised, minimised."""
    recipe.weights = {**recipe.weights, "score": 6.0}
    terms_changed(recipe, lambda t, r, p, b: {"score": -(p - b[2]).abs().mean()})


@bug("term-opposes", number=1)
def hinge_against_all(recipe: Recipe) -> None:
    """The wrongly sorted hinge with a wide margin: it pushes the gap shut, against all others."""
    recipe.weights = {**recipe.weights, "eigengap": 5.0}
    recipe.hinge = lambda covariance: -hinge_of(eigenvalues(covariance), 30.0)
    recipe.spectral = lambda covariance, batch: {}


@bug("term-irrelevant")
def weight_in_other_units(recipe: Recipe) -> None:
    """A weight of 1e-9 from a run whose covariances had trace 1e9."""
    recipe.weights = {**recipe.weights, "eigengap": 1e-9}
    recipe.hinge = lambda covariance: hinge_of(eigenvalues(covariance), 100.0)


@bug("term-weight")
def weight_applied_twice(recipe: Recipe) -> None:
    """Inside the term and again in the sum."""
    recipe.hinge = lambda covariance: hinge_of(eigenvalues(covariance), 100.0)
    weights = recipe.weights
    recipe.total = lambda terms: (
        terms["fit"] + terms["nmse"] + weights["eigengap"] ** 2 * terms["eigengap"]
    )
