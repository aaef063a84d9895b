"""Detection while other sources are still in the data.

Sources that have not been found yet are noise to the search for the next one, and through a
line-of-sight channel and DFT codes that noise is far from white. With the unfound sources modelled
as a diffuse field of power p on every element,

    C_t = p Phi_t Phi_t^H + sigma^2 I
    |a^H Phi_t^H C_t^-1 y_t|^2 / (a^H Phi_t^H C_t^-1 Phi_t a)

is the matched filter whitened against both. It is the white one with Phi_t^H Phi_t = W and z =
Phi_t^H y replaced by `(W + eps I)^-1 W` and `(W + eps I)^-1 z`, eps = sigma^2 / p, so the same
search serves.

Source: L. L. Scharf, "Statistical Signal Processing", 1991, section 4.12 (prewhitened matched
filter).
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.varpro import Measurement

DIFFUSE_PART = 0.5
"""Part of the signal power taken for the diffuse field; the rest is the source looked for."""

_SMALLEST = 1e-4
"""Smallest eps, of the mean eigenvalue of W: beyond, the whitening is zero forcing to 40 dB
already."""
_LARGEST = 1e3
"""Largest eps, of the same: beyond, the whitened filter is the white one to 0.1 %."""


def diffuse_ratio(measurement: Measurement) -> Float[Tensor, " b"]:
    """`eps = sigma^2 / p` of each scene, from the data alone.

        sigma^2 = sum_t |Q_t y_t|^2 / (T (L M - N)),   p = DIFFUSE_PART (|y|^2 - T L M sigma^2) /
        tr W

    Q projects out the range of Phi, where L M > N leaves something; otherwise the noise level
    cannot be told from the data, and eps is the mean non-zero eigenvalue of W.
    """
    elements = measurement.matched.shape[-1]
    if measurement.gram is None:
        assert measurement.sensing is not None
        trace = measurement.sensing.abs().square().sum((2, 3)).mean(1)
        return trace / measurement.rows
    trace = measurement.gram.diagonal(dim1=-2, dim2=-1).real.sum((-2, -1))
    mean = trace.mean(1) / elements
    if measurement.rows == elements:
        return mean
    # A rank-deficient W must not stop the factorisation; this moves sigma^2 by its own rounding.
    ridge = elements * torch.finfo(trace.dtype).eps * trace
    eye = torch.eye(measurement.gram.shape[-1], dtype=measurement.gram.dtype, device=trace.device)
    factor = torch.linalg.cholesky(measurement.gram + ridge[..., None, None, None] * eye)
    matched = measurement.matched[:, :, measurement.classes]
    seen = torch.linalg.solve_triangular(factor, matched[..., None], upper=False)
    outside = measurement.energy - seen.abs().square().sum((1, 2, 3, 4))
    noise = outside.clamp_min(0) / (measurement.blocks * (measurement.rows - elements))
    signal = measurement.energy - measurement.blocks * measurement.rows * noise
    power = DIFFUSE_PART * signal.clamp_min(0) / trace.sum(1)
    ratio = noise / power.clamp_min(torch.finfo(power.dtype).tiny)
    return torch.minimum(torch.maximum(ratio, _SMALLEST * mean), _LARGEST * mean)


def whiten(measurement: Measurement, ratio: Float[Tensor, " b"], dtype: torch.dtype) -> Measurement:
    """The measurement seen through `C_t^-1/2`, up to a factor; complex `dtype`, for detection
    only."""
    shift = ratio[:, None, None, None]
    if measurement.gram is not None:
        level = shift[..., None].to(dtype)
        gram = measurement.gram.to(dtype)
        eye = torch.eye(gram.shape[-1], dtype=dtype, device=gram.device)
        factor = torch.linalg.cholesky(gram + level * eye)
        # (W + eps I)^-1 W = I - eps (W + eps I)^-1, which is Hermitian as computed. The inverse
        # itself is wanted: it is the quadratic form of the whole grid.
        inverse = torch.cholesky_inverse(factor)
        split = measurement.matched[:, :, measurement.classes].to(dtype)
        matched = torch.cholesky_solve(split[..., None], factor).flatten(2)
        natural = measurement.classes.flatten().argsort()
        return replace(measurement, gram=eye - level * inverse, matched=matched[:, :, natural])
    assert measurement.sensing is not None
    sensing = measurement.sensing
    eye = torch.eye(sensing.shape[-2], dtype=sensing.dtype, device=sensing.device)
    factor = torch.linalg.cholesky(sensing @ sensing.mH + shift * eye)
    whitened = torch.linalg.solve_triangular(factor, sensing, upper=False)
    # (W + eps I)^-1 z = (z - Phi^H (Phi Phi^H + eps I)^-1 Phi z) / eps
    image = torch.linalg.solve_triangular(
        factor, sensing @ measurement.matched[..., None], upper=False
    )
    matched = (measurement.matched[..., None] - whitened.mH @ image)[..., 0] / shift[..., 0]
    return replace(measurement, sensing=whitened.to(dtype), matched=matched.to(dtype))


RIDGE=1.0
def amplitude_ridge(measurement):
    if measurement.gram is None or measurement.rows == measurement.elements:
        return torch.zeros_like(measurement.energy)
    return RIDGE*diffuse_ratio(measurement) * DIFFUSE_PART / measurement.elements
