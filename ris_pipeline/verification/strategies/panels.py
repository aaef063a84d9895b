"""Panels of any form, and directions to them."""

from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from torch import Tensor

from ris_pipeline.scene import Panel
from ris_pipeline.verification.target import Claim, taken, takes

REAL_DTYPES = (torch.float64, torch.float32)


def some_panel(dtype: torch.dtype) -> Panel:
    """Four by three elements on a regular grid, the spacings of its two axes unlike if they may."""
    x, y = np.meshgrid(np.arange(4) - 1.5, np.arange(3) - 1.0)
    across = 0.1875 if takes(Claim.SPACINGS) else 0.125
    flat = np.stack((0.125 * x.ravel(), across * y.ravel(), np.zeros(12)), axis=-1)
    return Panel(torch.from_numpy(flat).to(dtype), 0.25)


def extent_of(panel: Panel) -> float:
    """Distance of the farthest element from the origin, metres."""
    return float(torch.linalg.vector_norm(panel.positions, dim=-1).max())


@dataclass(frozen=True)
class Sources:
    """A panel and directions to it: azimuth, elevation (rad) and distance (m), each (g,)."""

    panel: Panel
    azimuth: Tensor
    elevation: Tensor
    distance: Tensor

    def __repr__(self) -> str:
        p = self.panel
        where = zip(
            self.azimuth.tolist(), self.elevation.tolist(), self.distance.tolist(), strict=True
        )
        listed = "; ".join(f"{az:g}, {el:g}, {r:g} m" for az, el, r in where)
        return (
            f"Sources({p.elements} elements within {extent_of(p):g} m, wavelength "
            f"{float(p.wavelength):g} m, azimuth, elevation, distance {listed}, "
            f"{p.positions.dtype})"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@st.composite
def sources_anywhere(draw: st.DrawFn, regular: bool = False) -> Sources:
    """Elements off the plane and off the centre; sources to the side, very near and very far.

    regular: centred flat grids only, of either spacing. Distances are no whole numbers of
    wavelengths, so that an absolute phase shows.
    """
    dtype = draw(st.sampled_from(taken(REAL_DTYPES)))
    wavelength = draw(st.sampled_from((0.25, 1.0, 0.3, 0.0125)))
    if regular:
        shape = draw(st.sampled_from(((2, 1), (1, 3), (3, 2), (5, 4), (20, 15))))
        spacing = (3, 5) if takes(Claim.SPACINGS) else (5, 5)
        x, y = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape))
        positions = np.stack((spacing[0] * x.ravel(), spacing[1] * y.ravel(), 0 * x.ravel()), -1)
        positions = positions * wavelength / 8
    else:
        count = draw(st.integers(1, 6))
        places = st.lists(st.integers(-16, 16), min_size=3 * count, max_size=3 * count)
        positions = np.array(draw(places)).reshape(count, 3) * wavelength / 8
    panel = Panel(torch.from_numpy(positions).to(dtype), wavelength)
    least = 2 * max(extent_of(panel), wavelength)
    # Thirty-seconds of a radian to just below a right angle; distances from the Rayleigh-near to
    # what is a plane wave to a thousandth of a radian.
    angles = st.integers(-49, 49).map(lambda n: n / 32)
    ratios = st.sampled_from((1.15, 2.3, 9.1, 103.7, 20011.3))
    count = draw(st.integers(1, 3))
    azimuth, elevation = (
        torch.tensor([draw(angles) for _ in range(count)], dtype=dtype) for _ in range(2)
    )
    distance = torch.tensor([least * draw(ratios) for _ in range(count)], dtype=dtype)
    return Sources(panel, azimuth, elevation, distance)
