"""The cells that the network answers in: sines of the two angles, a few depths.

    p = sin(azimuth),  v = sin(elevation),  ln(1 / r)

A scenario's limits are a box in these three, and the panel's response varies along p and v about
as fast everywhere; in ln(1 / r) as many depths lie near as far. Cells are centred, even, and
touch: cell (i, j) spans `p_i +- half[0]`, `v_j +- half[1]`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ris_pipeline.config import ModelConfig, Scenario
from ris_pipeline.localization import SteeringGrid, grid_at

_LEAST_HALF = 1e-3
"""Half width of a cell of a scenario that fixes the coordinate: division stays possible."""


@dataclass(frozen=True)
class Sector:
    """Cells (i, j) in the order i cells_v + j, depths fastest in `grid`.

    p (cells,), v (cells,), depth (D,) `ln(1 / r)`: centres; half (3,): half widths; shape: cells
    along p and along v; lower and upper (3,): the limits of (p, v, ln(1 / r)).
    """

    p: Tensor
    v: Tensor
    depth: Tensor
    half: tuple[float, float, float]
    shape: tuple[int, int]
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]
    grid: SteeringGrid

    @property
    def cells(self) -> int:
        """Number of direction cells."""
        return self.p.numel()

    def cell_of(
        self, azimuth: Float[Tensor, "*batch"], elevation: Float[Tensor, "*batch"]
    ) -> Int[Tensor, "*batch"]:
        """The cell that a direction (rad) lies in; the nearest one outside the sector."""
        index = torch.zeros_like(azimuth, dtype=torch.int64)
        for axis, angle in enumerate((azimuth, elevation)):
            place = (torch.sin(angle) - self.lower[axis]) / (2 * self.half[axis])
            count = self.shape[axis]
            index = index * count + place.floor().to(torch.int64).clamp(0, count - 1)
        return index


def _centres(low: float, high: float, count: int) -> tuple[Tensor, float]:
    half = (high - low) / (2 * count)
    centres = low + (2 * torch.arange(count, dtype=torch.float64) + 1) * half
    return centres, max(half, _LEAST_HALF)


def make_sector(
    scenario: Scenario,
    config: ModelConfig,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Sector:
    """The cells of a scenario."""
    limits = [
        *(
            (math.sin(math.radians(low)), math.sin(math.radians(high)))
            for low, high in (scenario.azimuth_deg, scenario.elevation_deg)
        ),
        (-math.log(scenario.distance[1]), -math.log(scenario.distance[0])),
    ]
    counts = (*config.cells, config.depths)
    axes = [_centres(*limit, count) for limit, count in zip(limits, counts, strict=True)]
    values = [centres.to(device, dtype) for centres, _ in axes]
    p, v, depth = (x.flatten() for x in torch.meshgrid(*values, indexing="ij"))
    grid = grid_at(scenario, torch.asin(p), torch.asin(v), depth.exp())
    lower, upper = (tuple(limit[i] for limit in limits) for i in range(2))
    return Sector(
        p[:: config.depths],
        v[:: config.depths],
        values[2],
        tuple(half for _, half in axes),  # type: ignore[arg-type]
        config.cells,
        lower,  # type: ignore[arg-type]
        upper,  # type: ignore[arg-type]
        grid,
    )
