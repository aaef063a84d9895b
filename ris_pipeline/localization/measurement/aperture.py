"""The covariance of what the aperture saw, from snapshots that it has reflected to the receiver.

x_t = (Phi_t^H Phi_t + eps I)^-1 Phi_t^H y_t
R   = 1/T sum_t x_t x_t^H = F F^H,   F = [x_1 ... x_T] / sqrt(T)

With eps the noise-to-signal ratio per element (`whitening.diffuse_ratio`) x_t is the linear MMSE
estimate of a diffuse field. R has rank T at most: at T = 1 it is one, however many sources there
are.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.spectral import LowRankCovariance


def aperture_field(
    measurement: Measurement, ratio: Float[Tensor, " b"], dtype: torch.dtype
) -> Complex[Tensor, "b t n"]:
    """`x_t`, in complex `dtype`; ratio: eps > 0 of each scene."""
    ridge = ratio[:, None, None, None].to(dtype)
    if measurement.gram is not None:
        # Class by class: elements of two classes do not interfere.
        gram, classes = measurement.gram.to(dtype), measurement.classes
        eye = torch.eye(gram.shape[-1], dtype=dtype, device=gram.device)
        factor = torch.linalg.cholesky(gram + ridge[..., None] * eye)
        split = measurement.matched[:, :, classes][..., None].to(dtype)
        solved = torch.cholesky_solve(split, factor).flatten(2)
        return solved[:, :, classes.flatten().argsort()]
    matched = measurement.matched[..., None].to(dtype)
    assert measurement.sensing is not None
    # (Phi^H Phi + eps I)^-1 z = (z - Phi^H (Phi Phi^H + eps I)^-1 Phi z) / eps
    sensing = measurement.sensing.to(dtype)
    eye = torch.eye(sensing.shape[-2], dtype=dtype, device=sensing.device)
    factor = torch.linalg.cholesky(sensing @ sensing.mH + ridge * eye)
    solved = torch.cholesky_solve(sensing @ matched, factor)
    return ((matched - sensing.mH @ solved) / ridge)[..., 0]


def sample_covariance(
    measurement: Measurement, ratio: Float[Tensor, " b"], dtype: torch.dtype
) -> LowRankCovariance:
    """`1/T sum_t x_t x_t^H` of the aperture field, with factors (B, N, T)."""
    field = aperture_field(measurement, ratio, dtype)
    return LowRankCovariance(field.mT * measurement.blocks**-0.5)
