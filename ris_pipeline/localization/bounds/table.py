"""A bound to be read: one row a source, in degrees and metres."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ris_pipeline._arrays import own_tensors
from ris_pipeline._errors import InputError
from ris_pipeline._tables import Row, Tabular, known


@dataclass(frozen=True, repr=False)
class BoundTable(Tabular):
    """Root bounds of azimuth, elevation (deg) and distance (m) of every source.

        print(BoundTable(cramer_rao_bound(scenes)))

    variance: (B, K, 3) as `cramer_rao_bound` and `stochastic_cramer_rao_bound` return it, rad^2 and
    m^2. Slots of NaN have no row; what is infinite, a coordinate that the data say nothing about,
    is None.

    Raises:
        InputError: a variance of another shape.
    """

    variance: Tensor

    def __post_init__(self) -> None:
        own_tensors(self)
        shape = tuple(self.variance.shape)
        if len(shape) != 3 or shape[-1] != 3:
            raise InputError(f"variance has shape {shape}: allowed is (scenes, sources, 3)")

    def rows(self) -> list[Row]:
        """scene, source, azimuth_std_deg, elevation_std_deg, distance_std_m."""
        there = ~self.variance.isnan().all(-1)
        root = self.variance.double().sqrt()[there]
        std = torch.cat((torch.rad2deg(root[:, :2]), root[:, 2:]), dim=-1).tolist()
        names = "azimuth_std_deg", "elevation_std_deg", "distance_std_m"
        return [
            {"scene": scene, "source": source, **dict(zip(names, map(known, row), strict=True))}
            for (scene, source), row in zip(there.nonzero().tolist(), std, strict=True)
        ]

    def columns(self) -> dict[str, str]:
        return {
            "scene": "scene",
            "source": "source",
            "azimuth, deg": "azimuth_std_deg",
            "elevation, deg": "elevation_std_deg",
            "distance, m": "distance_std_m",
        }

    def summary(self) -> str:
        return "BoundTable: root of the bound"
