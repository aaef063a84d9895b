"""Steering vectors of the sources as columns, with their derivatives."""

import torch
from jaxtyping import Bool, Complex, Float, Shaped
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.localization.coordinates import distance_by_inverse
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.scene import Panel
from ris_pipeline.scene.array import waves, waves_and_slopes

COORDINATES = 3
"""Azimuth, elevation and inverse distance: D = 3 K run over them fastest."""


def of_source(values: Shaped[Tensor, "*batch k"]) -> Shaped[Tensor, "*batch d"]:
    """For every coordinate the value of its source."""
    return values.repeat_interleave(COORDINATES, dim=-1)


def owner(sources: int, like: Tensor) -> Shaped[Tensor, "d k"]:
    """1 where a coordinate (row) belongs to a source (column), 0 elsewhere."""
    eye = torch.eye(sources, dtype=like.dtype, device=like.device)
    return eye.repeat_interleave(COORDINATES, dim=0)


def source_columns(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Complex[Tensor, "b n k"]:
    """`A`, the first K of `model_columns`; columns of inactive slots are zero."""
    azimuth, elevation, inverse = parameters.unbind(-1)
    panel, wavefront = measurement.panel, measurement.wavefront
    a = waves(panel, azimuth, elevation, 1 / inverse, wavefront)
    return (a * active[..., None]).mT


def waves_by_inverse(
    panel: Panel, wavefront: Wavefront, parameters: Float[Tensor, "*batch 3"]
) -> tuple[Complex[Tensor, "*batch n"], Complex[Tensor, "*batch 3 n"]]:
    """a, and its derivatives by azimuth, elevation and inverse distance."""
    azimuth, elevation, inverse = parameters.unbind(-1)
    a, da = waves_and_slopes(panel, azimuth, elevation, 1 / inverse, wavefront)
    return a, da * distance_by_inverse(parameters)[..., None]


def model_columns(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Complex[Tensor, "b n c"]:
    """`C = [A, dA]`, 4 K columns: A, then the three derivatives of each source in turn.

    Columns of inactive slots are zero.
    """
    a, da = waves_by_inverse(measurement.panel, measurement.wavefront, parameters)
    columns = torch.cat((a, da.flatten(1, 2)), dim=1)
    mask = torch.cat((active, of_source(active)), dim=1)
    return (columns * mask[..., None]).mT
