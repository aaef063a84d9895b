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

from ris_pipeline.localization.measurement.statistics import Measurement

DIFFUSE_PART = 0.5
"""Part of the signal power taken for the diffuse field; the rest is the source looked for."""

_SMALLEST = 1e-4
"""Smallest eps, of the mean eigenvalue of W: beyond, the whitening is zero forcing to 40 dB
already."""
_LARGEST = 1e3
"""Largest eps, of the same: beyond, the whitened filter is the white one to 0.1 %."""


def outside_energy(measurement: Measurement) -> Float[Tensor, " b"] | None:
    """`sum_t |Q_t y_t|^2`, Q projecting out the range of Phi: noise, wherever the sources are.

    It has T (L M - N) complex dimensions; None where L M > N does not hold and there are none.
    """
    if measurement.gram is None or measurement.rows == measurement.elements:
        return None
    trace = measurement.gram.diagonal(dim1=-2, dim2=-1).real.sum((-2, -1))
    # A rank-deficient W must not stop the factorisation; this moves sigma^2 by its own rounding.
    ridge = measurement.elements * torch.finfo(trace.dtype).eps * trace
    eye = torch.eye(measurement.gram.shape[-1], dtype=measurement.gram.dtype, device=trace.device)
    factor = torch.linalg.cholesky(measurement.gram + ridge[..., None, None, None] * eye)
    matched = measurement.matched[:, :, measurement.classes]
    seen = torch.linalg.solve_triangular(factor, matched[..., None], upper=False)
    return (measurement.energy - seen.abs().square().sum((1, 2, 3, 4))).clamp_min(0)


def diffuse_ratio(measurement: Measurement) -> Float[Tensor, " b"]:
    """`eps = sigma^2 / p` of each scene, from the data alone.

        sigma^2 = outside_energy / (T (L M - N)),   p = DIFFUSE_PART (|y|^2 - T L M sigma^2) / tr W

    Where nothing is outside the range of Phi the noise level cannot be told from the data, and eps
    is the mean non-zero eigenvalue of W.
    """
    return noise_over_power(measurement, outside_energy(measurement))


def noise_over_power(measurement: Measurement, outside: Tensor | None) -> Float[Tensor, " b"]:
    """`diffuse_ratio` where `outside_energy` is known already."""
    if measurement.gram is None:
        assert measurement.sensing is not None
        trace = measurement.sensing.abs().square().sum((2, 3))
        return trace.mean(1) / measurement.rows
    mean = _mean_eigenvalue(measurement)
    if outside is None:
        return mean
    return torch.maximum(_ratio(measurement, outside), _SMALLEST * mean)


def _mean_eigenvalue(measurement: Measurement) -> Float[Tensor, " b"]:
    assert measurement.gram is not None
    trace = measurement.gram.diagonal(dim1=-2, dim2=-1).real.sum((-3, -2, -1))
    return trace / (measurement.blocks * measurement.elements)


def _ratio(measurement: Measurement, outside: Tensor) -> Float[Tensor, " b"]:
    mean = _mean_eigenvalue(measurement)
    noise = outside / (measurement.blocks * (measurement.rows - measurement.elements))
    signal = measurement.energy - measurement.blocks * measurement.rows * noise
    trace = measurement.blocks * measurement.elements * mean
    power = DIFFUSE_PART * signal.clamp_min(0) / trace
    ratio = noise / power.clamp_min(torch.finfo(power.dtype).tiny)
    return torch.minimum(ratio, _LARGEST * mean)


def amplitude_ridge(measurement: Measurement, outside: Tensor | None) -> Float[Tensor, " b"]:
    """`ridge = sigma^2 / P`, P the power of one source that would explain all of the signal.

    `min |y - B x|^2 + ridge |x|^2` is the mode of x under a Gaussian prior of power P: no source is
    expected to be stronger than all of them. Without it the likelihood of a scene with fewer
    visible sources than asked for is largest where two of them coincide, with amplitudes in the
    thousands that cancel, and the search is caught there. It shrinks a resolved source by sigma^2 /
    (P |Phi a|^2), the inverse of the signal-to-noise ratio after all of the measurement.

    Zero where the noise level cannot be told from the data, see `outside_energy`.
    """
    if outside is None:
        return torch.zeros_like(measurement.energy)
    # The power of the diffuse field is DIFFUSE_PART of the signal's, on each of N elements.
    return _ratio(measurement, outside) * DIFFUSE_PART / measurement.elements


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
