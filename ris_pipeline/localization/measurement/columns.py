"""Steering vectors of the sources as columns, with their derivatives."""

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from ris_pipeline.localization.coordinates import distance_by_inverse
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.scene import steering_derivatives, steering_vector


def source_columns(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Complex[Tensor, "b n k"]:
    """`A`, the first K of `model_columns`; columns of inactive slots are zero."""
    azimuth, elevation, inverse = parameters.unbind(-1)
    panel, wavefront = measurement.panel, measurement.wavefront
    a = steering_vector(panel, azimuth, elevation, 1 / inverse, wavefront)
    return (a * active[..., None]).mT


def model_columns(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Complex[Tensor, "b n c"]:
    """`C = [A, dA]`, 4 K columns: A, then the three derivatives of each source in turn.

    Columns of inactive slots are zero.
    """
    azimuth, elevation, inverse = parameters.unbind(-1)
    a, da = steering_derivatives(
        measurement.panel, azimuth, elevation, 1 / inverse, measurement.wavefront
    )
    by_inverse = da * distance_by_inverse(parameters)[..., None]
    columns = torch.cat((a, by_inverse.flatten(1, 2)), dim=1)
    mask = torch.cat((active, active.repeat_interleave(3, dim=1)), dim=1)
    return (columns * mask[..., None]).mT
