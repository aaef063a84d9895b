"""Bugs of covariances, eigenvalues, gaps and subspaces."""

import torch
from watch_catalogue import bug, claims_changed, covariance_changed, terms_changed
from watch_recipe import MARGIN, K, N, Recipe, hinge_of

from ris_pipeline.spectral import eigengap, eigenvalues


@bug("covariance-not-finite")
def trace_of_zero(recipe: Recipe) -> None:
    """Normalized by a trace that is zero."""
    covariance_changed(
        recipe, lambda r: r / (0 * r.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None])
    )
    recipe.hinge = lambda covariance: covariance.abs().mean()


@bug("covariance-not-hermitian", number=2)
def not_hermitian(recipe: Recipe) -> None:
    """The prediction is decomposed as it comes."""
    covariance_changed(recipe, lambda r: r + 0.1 * r.triu(1))


@bug("covariance-indefinite")
def noise_floor_subtracted(recipe: Recipe) -> None:
    """The noise power taken off, more than there is."""
    covariance_changed(recipe, lambda r: r - 0.5 * torch.eye(N))


@bug("eigenvalue-order", number=1)
def flipped_values(recipe: Recipe) -> None:
    """`svd` descends; flipped, and indexed as if it still did."""
    recipe.hinge = lambda covariance: hinge_of(torch.linalg.svdvals(covariance).flip(-1))
    claims_changed(recipe, lambda r: {"eigenvalues": torch.linalg.svdvals(r).flip(-1)})


@bug("hinge-direction", number=1)
def flipped_hinge(recipe: Recipe) -> None:
    """The same, seen by its gradient alone."""
    recipe.hinge = lambda covariance: hinge_of(torch.linalg.svdvals(covariance).flip(-1))
    recipe.spectral = lambda covariance, batch: {"covariance": covariance, "k": K}


@bug("hinge-direction")
def hinge_sign(recipe: Recipe) -> None:
    """`lambda_{k+1} - lambda_k`."""
    recipe.hinge = lambda covariance: torch.relu(MARGIN + eigengap(covariance, K)).mean()


@bug("eigenvalues-wrong")
def values_of_another_scale(recipe: Recipe) -> None:
    """Eigenvalues of the matrix before it was scaled."""
    claims_changed(recipe, lambda r: {"eigenvalues": eigenvalues(r / N)})


@bug("gap-wrong")
def gap_off_by_one(recipe: Recipe) -> None:
    """`S[k] - S[k+1]`."""
    claims_changed(recipe, lambda r: {"gap": eigengap(r, K + 1)})


@bug("gap-wrong", number=1)
def gap_of_ascending_values(recipe: Recipe) -> None:
    """`eigvalsh` ascends and is indexed from the front."""
    claims_changed(
        recipe,
        lambda r: {"gap": (v := torch.linalg.eigvalsh(r))[:, K - 1] - v[:, K]},
    )


@bug("gradient-at-ties")
def through_eigenvectors(recipe: Recipe) -> None:
    """A term on the noise eigenvectors, whose eigenvalues are all the loading."""

    recipe.weights = {**recipe.weights, "noise": 1e-9}
    terms_changed(
        recipe,
        lambda t, r, p, b: {"noise": torch.linalg.eigh(r)[1][:, 0, 0].abs().mean()},
    )


@bug("order-k")
def fixed_k(recipe: Recipe) -> None:
    """k from the settings, not from the batch."""
    claims_changed(recipe, lambda r: {"k": K + 1, "gap": None, "subspace": None})


@bug("subspace-exchanged")
def noise_for_signal(recipe: Recipe) -> None:
    """The first k vectors of `eigh`."""
    claims_changed(recipe, lambda r: {"subspace": torch.linalg.eigh(r)[1][:, :, :K]})
