"""Bounds for steering vectors, codes, simulated noise and the Cramer-Rao bound."""

import math

import torch

from ris_pipeline.verification.bounds.spectrum import BACKWARD_CONSTANT, epsilon

FALSE_ALARM = 1e-12
"""Probability that a statistical bound fails a right implementation."""


def wavenumber(wavelength: float) -> float:
    """`k = 2 pi / wavelength`, rad/m."""
    return 2 * math.pi / wavelength


def phase_bound(extent: float, wavelength: float, dtype: torch.dtype) -> float:
    """`c eps (1 + 2 k extent)`: error of a phase `k (r - |p - q|)`, `|phase| <= 2 k extent`.

    Eight roundings of products and sums no larger than twice the path, one of the phasor (Higham,
    section 3.1); `exp(j x)` moves by no more than its argument.
    """
    return BACKWARD_CONSTANT * epsilon(dtype) * (1 + 2 * wavenumber(wavelength) * extent)


def plane_remainder(extent: float, distance: float, wavelength: float) -> float:
    """`k q^2 / (2 r)`: phase that the plane wave leaves out of the Fresnel one, `|q| <= extent`."""
    return wavenumber(wavelength) * extent**2 / (2 * distance)


def fresnel_remainder(extent: float, distance: float, wavelength: float) -> float:
    """`2 k q^3 / r^2`: phase that the Fresnel wave leaves out of the spherical one, `q <= r / 8`.

    With `x = (q^2 - 2 r s) / r^2`, `|x| <= 2.125 q / r`: Lagrange's remainder of `sqrt(1 + x)`
    after x^2 is at most `|x|^3 / (16 (1 - |x|)^(5/2)) <= 1.3 (q / r)^3`, and the part of `x^2 / 8`
    that the Fresnel path drops at most `0.52 (q / r)^3`.
    """
    return 2 * wavenumber(wavelength) * extent**3 / distance**2


def steering_step() -> float:
    """Relative step of a central difference, `eps^(1/3)` (Nocedal and Wright, section 8.1)."""
    return float(epsilon(torch.float64) ** (1 / 3))


def steering_slope_bound(extent: float, wavelength: float) -> float:
    """Error of a central difference of `exp(j phase)` with `steering_step`, by angle or by ln r.

    Every derivative of the phase is at most K = 4 k extent for `r >= 8 extent`, so the third one of
    the phasor is at most `K^3 + 3 K^2 + K`: truncation `step^2 / 6` of it, and rounding of two
    phasors over `2 step`.
    """
    step, size = steering_step(), 4 * wavenumber(wavelength) * extent
    truncation = step**2 / 6 * (size**3 + 3 * size**2 + size)
    return truncation + phase_bound(extent, wavelength, torch.float64) / step


def steering_curvature_bound(extent: float, wavelength: float) -> float:
    """Error of a central difference of first derivatives with `steering_step`, as in
    `steering_slope_bound`: the fourth derivative of the phasor is at most
    `K^4 + 6 K^3 + 7 K^2 + K`, and the first ones carry a factor K into the rounding."""
    step, size = steering_step(), 4 * wavenumber(wavelength) * extent
    truncation = step**2 / 6 * (size**4 + 6 * size**3 + 7 * size**2 + size)
    return truncation + (1 + size) * phase_bound(extent, wavelength, torch.float64) / step


def angle_bound(dtype: torch.dtype, size: float = math.pi) -> float:
    """`4 eps size`: an angle reduced, rounded to a step and multiplied back."""
    return 4 * epsilon(dtype) * size


def snapshot_bound(elements: int, snr_db: float) -> float:
    """Relative error of a noiseless snapshot: `10^(-snr / 20)` of leftover noise, six times its
    standard deviation at most, and an inner product over the elements (Higham, eq. (3.13))."""
    return 6 * 10 ** (-snr_db / 20) + BACKWARD_CONSTANT * elements * epsilon(torch.float64)


def chi_square_bound(count: int) -> float:
    """`|mean |z|^2 - 1|` over `count` unit circular Gaussians, exceeded with FALSE_ALARM.

    `2 sqrt(x / n) + 2 x / n`, x = ln(2 / probability), for the mean of n exponential variables, a
    chi-square of 2 n degrees. Source: B. Laurent, P. Massart, Ann. Statist. 28(5), 2000, lemma 1.
    """
    x = math.log(2 / FALSE_ALARM)
    return 2 * math.sqrt(x / count) + 2 * x / count


def cramer_rao_rounding(rows: int, condition: float) -> float:
    """`c rows eps condition`, relative: the Fisher information inverted (Higham, theorem 14.1).

    condition: of the information of all unknowns, amplitudes included, at unit diagonal.
    """
    return BACKWARD_CONSTANT * rows * epsilon(torch.float64) * (1 + condition)


def sandwich_rounding(rows: int, condition: float, second: float) -> float:
    """Relative rounding of `H^-1 F H^-1`: two inverses, one product, and the place they stand at,
    which is known to the rounding of one more inverse; and that of H itself, `Re e^H d^2 mu` with
    e a difference.

    condition: the larger of those of H and of F, of all unknowns, at unit diagonal. second: norm
    of that term at unit diagonal with the snapshots in place of what is left of them; it is large
    where a slope vanishes, as that by the distance does far out.
    """
    difference = BACKWARD_CONSTANT * epsilon(torch.float64) * second
    return 4 * cramer_rao_rounding(rows, condition) + 2 * condition * difference
