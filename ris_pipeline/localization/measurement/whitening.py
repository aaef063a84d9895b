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

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline._validation import check_shape
from ris_pipeline.localization.measurement.statistics import Measurement, Outside

DIFFUSE_PART = 0.5
"""Part of the signal power taken for the diffuse field; the rest is the source looked for."""

_SMALLEST = 1e-4
"""Smallest eps, of the mean eigenvalue of W: beyond, the whitening is zero forcing to 40 dB
already."""
_LARGEST = 1e3
"""Largest eps, of the same: beyond, the whitened filter is the white one to 0.1 %."""


def diffuse_ratio(measurement: Measurement) -> Float[Tensor, " b"]:
    """`eps = sigma^2 / p` of each scene, from the data alone.

        sigma^2 = |Q y|^2 / (T L M - rank),   p = DIFFUSE_PART (|y|^2 - T L M sigma^2) / tr W

    Where nothing is outside the range of Phi the noise level cannot be told from the data, and eps
    is the mean non-zero eigenvalue of W.
    """
    return noise_over_power(measurement, measurement.outside())


def noise_over_power(measurement: Measurement, outside: Outside | None) -> Float[Tensor, " b"]:
    """`diffuse_ratio` where `outside` is known already."""
    mean = measurement.mean_eigenvalue()
    if outside is None:
        return mean
    return torch.maximum(_ratio(measurement, outside), _SMALLEST * mean)


def _ratio(measurement: Measurement, outside: Outside) -> Float[Tensor, " b"]:
    mean = measurement.mean_eigenvalue()
    noise = outside.noise
    signal = measurement.energy - measurement.samples * noise
    trace = measurement.blocks * measurement.elements * mean
    power = DIFFUSE_PART * signal.clamp_min(0) / trace
    ratio = noise / power.clamp_min(torch.finfo(power.dtype).tiny)
    return torch.minimum(ratio, _LARGEST * mean)


def amplitude_ridge(measurement: Measurement, outside: Outside | None) -> Float[Tensor, " b"]:
    """`ridge = sigma^2 / P`, P the power of one source that would explain all of the signal.

    `min |y - B x|^2 + ridge |x|^2` is the mode of x under a Gaussian prior of power P: no source is
    expected to be stronger than all of them. Without it the likelihood of a scene with fewer
    visible sources than asked for is largest where two of them coincide, with amplitudes in the
    thousands that cancel, and the search is caught there. It shrinks a resolved source by sigma^2 /
    (P |Phi a|^2), the inverse of the signal-to-noise ratio after all of the measurement.

    It is for where a source is, not for whether there is one: of noise a ridge leaves less to
    explain than the likelihood ratio, and a test of constant false alarm would be a stricter one.

    Zero where the noise level cannot be told from the data.
    """
    if outside is None:
        return torch.zeros_like(measurement.energy)
    # The power of the diffuse field is DIFFUSE_PART of the signal's, on each of N elements.
    return _ratio(measurement, outside) * DIFFUSE_PART / measurement.elements


def whiten(measurement: Measurement, ratio: Float[Tensor, " b"], dtype: torch.dtype) -> Measurement:
    """The measurement seen through `C_t^-1/2`, up to a factor; complex `dtype`, for detection
    only.

    Raises:
        InputError: not one ratio a scene.
    """
    check_shape("ratio", ratio, (measurement.scenes,))
    return measurement.whitened(ratio, dtype)
