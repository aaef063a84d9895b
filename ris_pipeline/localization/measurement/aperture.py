"""The covariance of what the aperture saw, from snapshots that it has reflected to the receiver.

x_t = (Phi_t^H Phi_t + eps I)^-1 Phi_t^H y_t
R   = 1/T sum_t x_t x_t^H = F F^H,   F = [x_1 ... x_T] / sqrt(T)

With eps the noise-to-signal ratio per element (`whitening.diffuse_ratio`) x_t is the linear MMSE
estimate of a diffuse field. R has rank T at most: at T = 1 it is one, however many sources there
are.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.spectral import LowRankCovariance


def sample_covariance(
    measurement: Measurement, ratio: Float[Tensor, " b"], dtype: torch.dtype
) -> LowRankCovariance:
    """`1/T sum_t x_t x_t^H` of the aperture field, with factors (B, N, T)."""
    field = measurement.regularised_inverse(ratio, dtype)
    return LowRankCovariance(field.mT * measurement.blocks**-0.5)
