"""Peaks of a spectrum over directions, no two closer than a separation.

A peak is a direction that no neighbour on the grid exceeds. They are taken from the highest down,
and each takes its surroundings with it: what lies closer than the separation in both u and v is the
same source, or its shoulder.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range, check_shape
from ris_pipeline.localization.grid_search.grid import SteeringGrid
from ris_pipeline.scene import direction_cosines

_AROUND = 9
"""A point and its ring on a rectangular grid; at the rim some of them lie farther in."""


@dataclass(frozen=True)
class DirectionGrid:
    """Directions of a grid: cosines (D, 2), their neighbours (D, 8 or fewer).

    peak_separation (2,): the smallest of two peaks, in u and v; period (2,): of u and v where
    directions repeat, infinite where they do not.
    """

    cosines: Tensor
    neighbours: Tensor
    peak_separation: Tensor
    period: Tensor


def direction_grid(
    cosines: Float[Tensor, "d 2"],
    peak_separation: tuple[float, float],
    period: tuple[float, float] = (torch.inf, torch.inf),
) -> DirectionGrid:
    """Find the neighbours of every direction, across the border of the period too.

    Raises:
        InputError: a separation or a period that is not positive.
    """
    least = torch.finfo(torch.float64).tiny
    for name, pair in (("peak_separation", peak_separation), ("period", period)):
        for value in pair:
            check_range(name, value, least, torch.inf)
    turn = torch.tensor(period, dtype=torch.float64)
    periodic = torch.isfinite(turn)
    scale = torch.where(periodic, turn, 1.0)
    places = cosines.double().cpu() / scale
    places = torch.where(periodic, places.remainder(1.0), places + 2)
    # Box sides: one period, or more than the directions can spread.
    sides = torch.where(periodic, 1.0, 8.0)
    # Distances in separations, so that neither axis is favoured.
    unit = scale / torch.tensor(peak_separation, dtype=torch.float64)
    # A remainder next to one period may round to it, and the box is open at that end.
    points = torch.minimum(places * unit, torch.nextafter(sides * unit, torch.zeros(2).double()))
    tree = cKDTree(points.numpy(), boxsize=(sides * unit).numpy())
    count = min(_AROUND, cosines.shape[0])
    _, nearest = tree.query(points.numpy(), k=list(range(1, count + 1)), p=torch.inf)
    neighbours = torch.from_numpy(nearest).to(cosines.device, torch.int64)
    extent = cosines.new_tensor(peak_separation)
    return DirectionGrid(cosines, neighbours, extent, turn.to(cosines))


def grid_directions(
    grid: SteeringGrid, peak_separation: tuple[float, float]
) -> tuple[DirectionGrid, int]:
    """The directions of a grid that runs over distances fastest, and how many distances each has.

    Raises:
        InputError: a grid whose directions have different numbers of distances.
    """
    angles = torch.stack((grid.azimuth, grid.elevation), dim=-1)
    directions, counts = torch.unique_consecutive(angles, dim=0, return_counts=True)
    depths = int(counts[0])
    if bool((counts != depths).any()):
        raise InputError(
            f"grid has {int(counts.min())}..{int(counts.max())} distances a direction: allowed is "
            "one number of them, distances running fastest"
        )
    cosines = direction_cosines(directions[:, 0], directions[:, 1])[:, :2]
    return direction_grid(cosines, peak_separation), depths


def direction_peaks(
    level: Float[Tensor, "b d"], directions: DirectionGrid, most: int
) -> tuple[Int[Tensor, "b most"], Bool[Tensor, "b most"]]:
    """Directions of the highest peaks, highest first, and which of the `most` slots hold one.

    Of equal neighbours the first on the grid is the peak.

    Raises:
        InputError: levels of another number of directions.
    """
    check_shape("level", level, (directions.cosines.shape[0],))
    first = torch.arange(level.shape[1], device=level.device)
    lower = torch.ones_like(level, dtype=torch.bool)
    for neighbour in directions.neighbours.mT:
        beside = level[:, neighbour]
        lower &= (beside < level) | ((beside == level) & (neighbour >= first))
    height, place = torch.where(lower, level, -torch.inf).sort(descending=True, stable=True)
    count = max(most, int(lower.sum(1).max()) if lower.numel() else 0)
    return _apart(height[:, :count], place[:, :count], directions, most)


def _apart(
    left: Tensor, place: Tensor, directions: DirectionGrid, most: int
) -> tuple[Int[Tensor, "b most"], Bool[Tensor, "b most"]]:
    """The highest of peaks sorted from the highest down, each with its surroundings taken away."""
    cosines, places, found = directions.cosines[place], [], []
    for _ in range(most):
        top, best = left.max(-1)
        places.append(place.gather(1, best[:, None])[:, 0])
        found.append(top > -torch.inf)
        here = cosines.gather(1, best[:, None, None].expand(-1, 1, 2))
        apart = (cosines - here).abs()
        apart = torch.minimum(apart, (directions.period - apart).abs())
        same = (apart < directions.peak_separation).all(-1)
        left = torch.where(same, -torch.inf, left)
    if not places:
        empty = left[:, :0]
        return empty.long(), empty.bool()
    return torch.stack(places, dim=-1), torch.stack(found, dim=-1)
