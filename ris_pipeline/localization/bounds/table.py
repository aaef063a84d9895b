"""A bound to be read: one row a source, in degrees and metres."""

import math
from dataclasses import dataclass

from torch import Tensor

from ris_pipeline._arrays import own_tensors
from ris_pipeline._errors import InputError
from ris_pipeline._tables import Row, Tabular, known

_COORDINATES = (
    ("azimuth", "deg", 180 / math.pi),
    ("elevation", "deg", 180 / math.pi),
    ("distance", "m", 1.0),
)


def coordinate_rows(there: Tensor, **columns: Tensor) -> list[Row]:
    """scene, source, then `azimuth_KIND_deg`, `elevation_KIND_deg`, `distance_KIND_m` of each kind.

    Args:
        there: (B, K), the slots that have a row.
        columns: of each kind (B, K, 3), rad and m.
    """
    values = {kind: column[there].tolist() for kind, column in columns.items()}
    return [
        {
            "scene": scene,
            "source": source,
            **{
                f"{name}_{kind}_{unit}": known(scale * values[kind][row][place])
                for place, (name, unit, scale) in enumerate(_COORDINATES)
                for kind in values
            },
        }
        for row, (scene, source) in enumerate(there.nonzero().tolist())
    ]


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
        return coordinate_rows(~self.variance.isnan().all(-1), std=self.variance.double().sqrt())

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
