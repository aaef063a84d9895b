"""What every estimator reports."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ris_pipeline._arrays import own_tensors
from ris_pipeline._tables import Row, Tabular, known
from ris_pipeline.config import Wavefront


class Status(IntEnum):
    """What became of a source."""

    CONVERGED = 0
    """A minimum of the residual inside the scenario's domain."""
    EDGE = 1
    """A minimum on the border of the domain; that coordinate was held, the optimum lies beyond."""
    UNRESOLVED = 2
    """No such minimum was reached, it is flatter than a beamwidth, noise alone would explain as
    much (of estimators that say how often: `Estimates.false_alarm`), or the slot holds no
    source."""


def status_of(
    edge: Bool[Tensor, "*batch"], resolved: Bool[Tensor, "*batch"]
) -> Int[Tensor, "*batch"]:
    """The `Status` of sources that are resolved or not, at the edge of the domain or inside."""
    status = torch.where(edge, int(Status.EDGE), int(Status.CONVERGED))
    return torch.where(resolved, status, int(Status.UNRESOLVED))


@dataclass(frozen=True, kw_only=True, repr=False)
class Estimates(Tabular):
    """Located sources, strongest first; the first `count` slots of a scene are filled.

    azimuth, elevation (rad), distance (m), power `mean_t |x_t|^2`, all (B, K), NaN in empty slots;
    count (B,) int64; std (B, K, 3): standard deviations of azimuth (rad), elevation (rad) and
    distance (m), 0 for a coordinate held at the border, infinite for one that cannot be identified,
    NaN in empty slots; the fit is Gaussian in 1 / r, so where that of a distance is not well below
    the distance r itself, `1 / r +- std / r^2` says where it is; status (B, K) int64, a `Status`;
    noise_variance (B,); confidence (B,) that `count` is right, 0..1, see `evidence`, and
    `number_confidence` for the criteria of eigenvalues: NaN where the number was given, nothing at
    all was received, or an estimator does not say; false_alarm (B, K): probability that the best of
    all places would have explained as much had the slot been given nothing but noise, see
    `false_alarm_anywhere`; NaN where an estimator does not say.
    """

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    power: Tensor
    count: Tensor
    std: Tensor
    status: Tensor
    noise_variance: Tensor
    confidence: Tensor
    false_alarm: Tensor

    def __post_init__(self) -> None:
        own_tensors(self)

    @classmethod
    def joined(cls, parts: Sequence["Estimates"]) -> "Estimates":
        """The estimates of all parts of a batch, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def put(self, index: Tensor, others: "Estimates") -> "Estimates":
        """The same with the scenes `index` replaced by others of as many slots."""
        changed = {field.name: getattr(self, field.name).clone() for field in fields(self)}
        for name, values in changed.items():
            values[index] = getattr(others, name)
        return Estimates(**changed)

    @property
    def active(self) -> Tensor:
        """(B, K) bool: which slots hold a source."""
        slots = torch.arange(self.azimuth.shape[1], device=self.count.device)
        return slots < self.count[:, None]

    def padded(self, slots: int) -> "Estimates":
        """The same with `slots` slots; those added are empty."""
        more = slots - self.status.shape[1]

        def pad(value: Tensor) -> Tensor:
            empty = torch.nan if value.is_floating_point() else int(Status.UNRESOLVED)
            width = [0, 0] * (value.ndim - 2) + [0, more]
            return torch.nn.functional.pad(value, width, value=empty)

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: pad(x) for name, x in values.items() if x.ndim > 1})

    def rows(self) -> list[Row]:
        """scene, source, azimuth_deg, elevation_deg, distance_m, power, their standard deviations
        azimuth_std_deg, elevation_std_deg and distance_std_m, and status in words."""
        turn = torch.rad2deg
        std = self.std.double()
        columns = {
            "azimuth_deg": turn(self.azimuth.double()),
            "elevation_deg": turn(self.elevation.double()),
            "distance_m": self.distance,
            "power": self.power,
            "azimuth_std_deg": turn(std[..., 0]),
            "elevation_std_deg": turn(std[..., 1]),
            "distance_std_m": std[..., 2],
        }
        places = self.active.nonzero().tolist()
        values = {name: column[self.active].tolist() for name, column in columns.items()}
        status = [Status(x).name.lower() for x in self.status[self.active].tolist()]
        return [
            {
                "scene": scene,
                "source": source,
                **{name: known(column[i]) for name, column in values.items()},
                "status": status[i],
            }
            for i, (scene, source) in enumerate(places)
        ]

    def columns(self) -> dict[str, str]:
        return {
            "scene": "scene",
            "source": "source",
            "azimuth, deg": "azimuth_deg+-azimuth_std_deg",
            "elevation, deg": "elevation_deg+-elevation_std_deg",
            "distance, m": "distance_m+-distance_std_m",
            "power": "power",
            "status": "status",
        }

    def summary(self) -> str:
        scenes, sources = self.count.shape[0], int(self.count.sum())
        return f"Estimates: {sources} sources in {scenes} scenes"

    def to_dict(self) -> dict[str, Any]:
        """`{"scenes": [{"scene", "count", "confidence", "noise_variance", "sources": rows}]}`."""
        found: list[list[Row]] = [[] for _ in range(self.count.shape[0])]
        for row in self.rows():
            found[int(row.pop("scene") or 0)].append(row)
        scenes = zip(
            self.count.tolist(), self.confidence.tolist(), self.noise_variance.tolist(), strict=True
        )
        return {
            "scenes": [
                {
                    "scene": scene,
                    "count": count,
                    "confidence": known(confidence),
                    "noise_variance": known(noise),
                    "sources": found[scene],
                }
                for scene, (count, confidence, noise) in enumerate(scenes)
            ]
        }


def strongest_first(
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    power: Float[Tensor, "b k"],
    status: Int[Tensor, "b k"],
    noise: Float[Tensor, " b"],
    wavefront: Wavefront,
    dtype: torch.dtype,
    std: Float[Tensor, "b k 3"] | None = None,
    false_alarm: Float[Tensor, "b k"] | None = None,
) -> Estimates:
    """Estimates in real `dtype`, sorted by power, empty slots last.

    Args:
        parameters: azimuth (rad), elevation (rad), inverse distance (1/m); a plane wavefront has no
            distance, whatever stands there.
        std: of azimuth (rad), elevation (rad) and distance (m); None: not known.
        false_alarm: that noise explains as much as a source does; None: not known.
    """
    azimuth, elevation, inverse = parameters.unbind(-1)
    distance = torch.full_like(inverse, torch.nan) if wavefront == "plane" else 1 / inverse
    std = torch.full_like(parameters, torch.nan) if std is None else std
    alarm = torch.full_like(inverse, torch.nan) if false_alarm is None else false_alarm
    order = torch.where(active, power, -1.0).argsort(dim=1, descending=True)
    blank = torch.where(active, 0.0, torch.nan)

    def slot(value: Tensor) -> Tensor:
        return (value + blank).gather(1, order).to(dtype)

    return Estimates(
        azimuth=slot(azimuth),
        elevation=slot(elevation),
        distance=slot(distance),
        power=slot(power),
        count=active.sum(1),
        std=torch.stack([slot(std[..., i]) for i in range(3)], dim=-1),
        status=status.gather(1, order),
        noise_variance=noise.to(dtype),
        confidence=torch.full_like(noise, torch.nan, dtype=dtype),
        false_alarm=slot(alarm),
    )
