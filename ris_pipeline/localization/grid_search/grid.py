"""The search grid: uniform in (u, v, 1/r) rather than in angle and distance, spaced by beamwidths
and depths of focus (`coordinates`)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Complex, Float, Int, Shaped
from torch import Tensor

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._replay import Recordings
from ris_pipeline._validation import check_range
from ris_pipeline.config import LARGEST, Scenario, Wavefront
from ris_pipeline.localization.coordinates import beamwidths, depth_of_focus
from ris_pipeline.localization.grid_search.mirrors import Mirrors, mirrors_of
from ris_pipeline.scene import (
    Panel,
    angles_from_cosines,
    believed_panel,
    direction_cosines,
    steering_vector,
)

DEFAULT_DENSITY = 2.0
"""Grid points per beamwidth. The main lobe of a uniform aperture is two beamwidths wide, so the
worst direction of a cell keeps sinc^2(1/4)^2 = 0.66 of a peak. Measured on the reference scenario,
1.6, 2 and 2.5 end in the same minimum but for 1 % of the scenes at 0 dB and above."""

_STORED_ENTRIES = 2**24
"""Steering vectors are kept up to this many complex numbers (128 MiB in complex64)."""

_BYTES = 32
"""Of a place in a block: its energy, white and whitened, and what they are made of."""


@dataclass(frozen=True)
class SteeringGrid:
    """Candidate positions, azimuth, elevation (rad) and inverse distance (1/m), each (G,).

    `steering` is (G, N) complex, or None where the grid is too large to keep.
    """

    azimuth: Tensor
    elevation: Tensor
    inverse_distance: Tensor
    steering: Tensor | None
    panel: Panel
    wavefront: Wavefront

    @property
    def size(self) -> int:
        """Number of points G."""
        return self.azimuth.shape[0]

    @cached_property
    def mirrors(self) -> Mirrors | None:
        """Its mirror images, where it has some and is kept."""
        if self.steering is None or not self.size:
            return None
        cosines = direction_cosines(self.azimuth, self.elevation)[:, :2]
        places = torch.cat((cosines, self.inverse_distance[:, None]), dim=1)
        return mirrors_of(places, self.panel.positions, self.steering)

    @cached_property
    def recordings(self) -> Recordings | None:
        """Of the steps of all searches on this grid, with CUDA: None elsewhere."""
        return Recordings() if self.azimuth.device.type == "cuda" else None

    @cached_property
    def _kept(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Pairs n, m and their table, of those that were asked for last."""
        return []

    def pair_table(
        self, first: Int[Tensor, " p"], second: Int[Tensor, " p"]
    ) -> Float[Tensor, "g two_p"]:
        """`pair_products` of all points, kept until other pairs are asked for: scenes of one
        scenario have the same."""
        for n, m, table in self._kept:
            if torch.equal(n, first) and torch.equal(m, second):
                return table
        assert self.steering is not None
        # It outlives the mode that it was asked for in.
        with torch.inference_mode(False):
            table = pair_products(self.steering, first, second)
        self._kept[:] = [(first, second, table)]
        return table

    def coordinates(self, index: Tensor) -> Float[Tensor, "*batch 3"]:
        """(azimuth, elevation, inverse distance) of some points, float64."""
        axes = (self.azimuth, self.elevation, self.inverse_distance)
        return torch.stack([axis[index] for axis in axes], dim=-1).double()

    def chunks(self) -> Iterator[tuple[int, int, Complex[Tensor, "g n"]]]:
        """(start, stop, steering vectors) that together cover the grid."""
        step = max(1, _STORED_ENTRIES // self.panel.elements)
        for start in range(0, self.size, step):
            stop = min(start + step, self.size)
            if self.steering is not None:
                yield start, stop, self.steering[start:stop]
            else:
                yield start, stop, self._make(start, stop)

    @property
    def dtype(self) -> torch.dtype:
        """Of the steering vectors."""
        return self.azimuth.dtype.to_complex()

    def responses(
        self, rows: Complex[Tensor, "r n"]
    ) -> Iterator[tuple[int, int, Complex[Tensor, "r h"]]]:
        """(start, stop, `z^H a_g`) for the rows `z^H`, at all `points`."""
        if self.mirrors is not None:
            count = self.mirrors.points.shape[1]
            for i, response in enumerate(self.mirrors.responses(rows)):
                yield i * count, (i + 1) * count, response
            return
        for start, stop, steering in self.chunks():
            yield start, stop, rows @ steering.mT

    def at_points(self, values: Shaped[Tensor, "*batch g"]) -> Shaped[Tensor, "*batch h"]:
        """Values over the grid, in the order of `responses`: mirror image after mirror image, where
        the grid has some; points that are their own come more than once."""
        return values if self.mirrors is None else values[..., self.mirrors.points.flatten()]

    def in_order(self, values: Shaped[Tensor, "*batch h"]) -> Shaped[Tensor, "*batch g"]:
        """What `at_points` was made of."""
        return values if self.mirrors is None else values[..., self.mirrors.order]

    def _make(self, start: int, stop: int) -> Tensor:
        return steering_vector(
            self.panel,
            self.azimuth[start:stop],
            self.elevation[start:stop],
            1 / self.inverse_distance[start:stop],
            self.wavefront,
        )


def pair_products(
    steering: Complex[Tensor, "g n"], first: Int[Tensor, " p"], second: Int[Tensor, " p"]
) -> Float[Tensor, "g two_p"]:
    """`2 (Re, -Im) conj(a_n) a_m` of pairs n, m of elements."""
    products = steering[:, first].conj() * steering[:, second]
    return 2 * torch.cat((products.real, -products.imag), dim=1)


def _axis(low: float, high: float, spacing: float) -> Tensor:
    """Both ends and the fewest points between them that are no farther apart than `spacing`."""
    if high <= low:
        return torch.tensor([low], dtype=torch.float64)
    return torch.linspace(low, high, math.ceil((high - low) / spacing) + 1, dtype=torch.float64)


def _rows(low: float, high: float, spacing: float, width_u: float) -> Tensor:
    """v of the rows. u reaches farthest where |v| is least: a panel of one row sees so little of v
    that the row of that u may lie between two others, and is then one more."""
    rows = _axis(low, high, spacing)
    widest = torch.tensor([min(max(low, 0.0), high)], dtype=torch.float64)
    missed = (1 - widest.square()).sqrt() - (1 - rows.square()).sqrt().max()
    if missed.item() < width_u / 2:
        return rows
    return torch.cat((rows, widest)).sort().values


def _directions(scenario: Scenario, density: float) -> tuple[Tensor, Tensor]:
    """Azimuth and elevation of an even grid in u and v inside the scenario's limits."""
    width_u, width_v = (width / density for width in beamwidths(scenario))
    (left, right), (down, up) = (
        tuple(map(math.radians, x)) for x in (scenario.azimuth_deg, scenario.elevation_deg)
    )
    us, vs = [], []
    for v in _rows(math.sin(down), math.sin(up), width_v, width_u).tolist():
        cosine = math.sqrt(1 - v * v)
        row = _axis(math.sin(left) * cosine, math.sin(right) * cosine, width_u)
        us.append(row)
        vs.append(torch.full_like(row, v))
    azimuth, elevation = angles_from_cosines(torch.cat(us), torch.cat(vs))
    return azimuth.clamp(left, right), elevation.clamp(down, up)


def _depths(scenario: Scenario, density: float) -> Tensor:
    """Inverse distances (1/m) of the grid, the same for every direction."""
    near, far = scenario.distance
    if scenario.wavefront == "plane":
        return torch.tensor([1 / far], dtype=torch.float64)
    return _axis(1 / far, 1 / near, depth_of_focus(scenario) / density)


def steering_grid(
    scenario: Scenario,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    density: float = DEFAULT_DENSITY,
) -> SteeringGrid:
    """Grid over the scenario's domain, `density` points a beamwidth and as much finer in depth.

    A plane wavefront has no distance: there the grid has one depth, the far limit.

    Args:
        dtype: real dtype of the steering vectors.

    Raises:
        InputError: a density outside 0.5..64, a dtype that is not float32 or float64, or an
            aperture of so many wavelengths that no memory holds its grid.
    """
    check_range("density", density, 0.5, 64)
    check_choice("dtype", dtype, (torch.float32, torch.float64))
    _check_memory(scenario, density)
    azimuth, elevation = _directions(scenario, density)
    depth = _depths(scenario, density)
    return grid_at(
        scenario,
        azimuth.repeat_interleave(depth.numel()).to(device, dtype),
        elevation.repeat_interleave(depth.numel()).to(device, dtype),
        depth.repeat(azimuth.numel()).to(device, dtype),
    )


def _check_memory(scenario: Scenario, density: float) -> None:
    points = 1.0
    limits = scenario.azimuth_deg, scenario.elevation_deg
    for (low, high), width in zip(limits, beamwidths(scenario), strict=True):
        points *= (math.sin(math.radians(high)) - math.sin(math.radians(low))) * density / width + 2
    if scenario.wavefront != "plane":
        near, far = scenario.distance
        points *= (1 / near - 1 / far) * density / depth_of_focus(scenario) + 2
    size = _BYTES * scenario.blocks * points
    if size > LARGEST:
        across = max(1 / width for width in beamwidths(scenario))
        raise InputError(
            f"a panel {across:.3g} wavelengths across, azimuth_deg = {list(scenario.azimuth_deg)}, "
            f"distance = {list(scenario.distance)}: their search grid would take "
            f"{size / 2**30:.3g} GiB: allowed are {LARGEST >> 30}; positions and wavelength are in "
            "metres"
        )


def grid_size(scenario: Scenario) -> int:
    """Points of `steering_grid`, without making it.

    Raises:
        InputError: as `steering_grid` for the aperture.
    """
    _check_memory(scenario, DEFAULT_DENSITY)
    directions, depths = (
        _directions(scenario, DEFAULT_DENSITY)[0],
        _depths(scenario, DEFAULT_DENSITY),
    )
    return directions.numel() * depths.numel()


def grid_at(
    scenario: Scenario,
    azimuth: Float[Tensor, " g"],
    elevation: Float[Tensor, " g"],
    inverse_distance: Float[Tensor, " g"],
) -> SteeringGrid:
    """A grid of given points (rad, rad, 1/m), in their dtype and on their device."""
    panel = believed_panel(scenario, azimuth.dtype, azimuth.device).panel
    grid = SteeringGrid(azimuth, elevation, inverse_distance, None, panel, scenario.wavefront)
    if grid.size * grid.panel.elements > _STORED_ENTRIES:
        return grid
    return replace(grid, steering=grid._make(0, grid.size))
