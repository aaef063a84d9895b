"""Sources found one at a time on the grid, each followed by a joint refit of all.

    score(g) = sum_t |(P_t Phi_t a_g)^H y_t|^2 / |P_t Phi_t a_g|^2

the fall of the residual energy when a source at grid point g joins those already fitted (P_t
projects them out): orthogonal matching pursuit with relaxation.

Source: J. Li, P. Stoica, "Efficient mixed-spectrum estimation with applications to target feature
extraction" (RELAX), IEEE Trans. Signal Process. 44(2), 1996.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.localization.backprojection import matched_filter, sensing_gram
from ris_pipeline.localization.grid import SteeringGrid
from ris_pipeline.localization.projection import Measurement, Projection
from ris_pipeline.scene import SceneBatch

_CHUNK = 8
"""Scenes a matrix product: G x N complex numbers each stay in cache."""

_BLIND = 1e-3
"""Share of a point's own energy below which it lies in the span of the sources already fitted."""


def grid_energy(scenes: SceneBatch, grid: SteeringGrid) -> Float[Tensor, "b t g"]:
    """`|Phi_t a_g|^2 = a_g^H W_t a_g`."""
    conjugate = grid.steering.conj()
    rows = []
    for gram in sensing_gram(scenes).to(conjugate.dtype).split(_CHUNK):
        rows.append(((conjugate @ gram) * grid.steering).real.sum(-1))
    return torch.cat(rows)


def first_scores(
    scenes: SceneBatch, grid: SteeringGrid, energy: Float[Tensor, "b t g"]
) -> Float[Tensor, "b g"]:
    """The score before any source is fitted."""
    correlation = matched_filter(scenes) @ grid.steering.mH
    return (correlation.abs().square() / energy).sum(1)


def next_scores(
    data: Measurement,
    state: Projection,
    grid: SteeringGrid,
    energy: Float[Tensor, "b t g"],
) -> Float[Tensor, "b g"]:
    """The score beside the sources of `state`; zero where the grid point is one of them."""
    adjoint = data.sensing.mH
    filtered = (adjoint @ state.residual[..., None])[..., 0].to(grid.steering.dtype)
    shadow: Complex[Tensor, "b t n k"] = (adjoint @ state.basis).to(grid.steering.dtype)
    correlation = (filtered @ grid.steering.mH).abs().square()
    hidden = (grid.steering.conj() @ shadow).abs().square().sum(-1)
    left = energy - hidden
    score = correlation / left.clamp_min(torch.finfo(left.dtype).tiny)
    return torch.where(left > _BLIND * energy, score, 0.0).sum(1)
