"""What one source more could explain of what a fit has left.

score(place) = sum_t |(Phi_t a)^H P_t y_t|^2 / |P_t Phi_t a|^2   a = a(place), P_t: without the fit

is by how much the residual would fall if a source joined at `place`. Its highest peaks on the grid
are looked at again half a step around, so that less of a top is missed than between grid points.
"""

from itertools import product

import torch
from jaxtyping import Float
from scipy.special import chdtri
from torch import Tensor

from ris_pipeline.localization.coordinates import line_of_sight, place_along
from ris_pipeline.localization.grid_search.detection import next_places, scores_at
from ris_pipeline.localization.maximum_likelihood.relax import Found, Search, noise_beside

_PEAKS = 3
"""Peaks looked at again: where a source is between grid points noise may stand higher than it."""

_SEEN = 0.88
"""Part of a top that is seen half a step around: `sinc^2(1/8)^2` = 0.90 of the direction (see
`DEFAULT_DENSITY`), the rest for the depth."""

_MORE_ROOM = 0.01
"""Probability that the sources found gain more by making room than is allowed for."""


def peaks_left(search: Search, found: Found) -> tuple[Float[Tensor, "b p 3"], Float[Tensor, " b"]]:
    """Where the highest peaks on the grid are, and the score of the highest."""
    grid, near = search.detector.grid, 2 * search.half_cell
    where, scores = next_places(
        search.detector,
        search.white,
        search.white_gains,
        found.parameters,
        found.active,
        _PEAKS,
        near,
    )
    return grid.coordinates(where), scores[:, 0]


def most_explained(
    search: Search, found: Found, peaks: Float[Tensor, "b p 3"], coordinates: int
) -> Float[Tensor, " b"]:
    """The most that a source anywhere could explain, as far as the surroundings of the peaks show.

        top / _SEEN + sigma^2 chi2 / 2,   chi2: a quantile for the K d coordinates of the others

    The others move when it joins; each coordinate that is fitted again gains half a chi-squared.

    Args:
        coordinates: d, unknown ones of a source.
    """
    grid, data, number = search.detector.grid, search.white, found.parameters.shape[1]
    around = _around(search, peaks)
    near = scores_at(grid, data, found.parameters, found.active, around).amax(1)
    noise = noise_beside(search, found, coordinates)
    return near / _SEEN + noise * float(chdtri(number * coordinates, _MORE_ROOM)) / 2


def _around(search: Search, places: Float[Tensor, "b p 3"]) -> Float[Tensor, "b s 3"]:
    """Half a step of the grid to every side of each place, and diagonally, inside the domain."""
    steps = places.new_tensor(list(product((-0.5, 0.0, 0.5), repeat=3))) * search.half_cell
    here = line_of_sight(places.flatten(0, 1))[:, None] + steps
    there = place_along(here.flatten(0, 1))
    inside = torch.clamp(there, search.domain.lower, search.domain.upper)
    return inside.unflatten(0, (places.shape[0], places.shape[1] * len(steps)))
