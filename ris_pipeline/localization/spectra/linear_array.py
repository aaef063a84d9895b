"""Directions by a uniform linear array (ULA): spectra over angles, ESPRIT and root-MUSIC.

a_n(theta) = exp(+j 2 pi d n sin(theta)),   n = 0..N-1,   d: spacing in wavelengths, |a|^2 = N

Bartlett     a^H R a / N^2
MVDR         1 / (a^H R^-1 a)
MUSIC        1 / |E_n^H a|^2
ESPRIT       eigenvalues z of the least squares solution of U[:-1] Psi = U[1:]
root-MUSIC   the k roots z inside the unit circle that lie nearest to it of
             sum_l z^l sum_{j - i = l} (E_n E_n^H)_ij

theta = arcsin(arg(z) / (2 pi d)): radians from broadside, unique for d <= 1/2. NaN where z is zero
or missing, which has no phase: the matrix says nothing of a direction, as that of white noise.

Sources: R. Roy, T. Kailath, "ESPRIT - estimation of signal parameters via rotational invariance
techniques", IEEE Trans. ASSP 37(7), 1989; A. J. Barabell, "Improving the resolution performance of
eigenstructure-based direction-finding algorithms", Proc. ICASSP, 1983; those of `spectral.spectra`.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline._validation import check_range, check_square
from ris_pipeline.scene.array import Panel, steering_vector
from ris_pipeline.spectral import (
    bartlett_spectrum,
    music_spectrum,
    mvdr_spectrum,
    projector,
    signal_subspace,
    unordered_eigenvalues,
)

HALF = 0.5
"""Half a wavelength: the widest spacing at which every direction has a phase of its own."""


def ula_steering(
    antennas: int, angles: Float[Tensor, " g"], spacing: float = HALF
) -> Complex[Tensor, "antennas g"]:
    """Steering vectors as columns: plane waves, the first antenna as the reference, |a|^2 = N.

    Raises:
        InputError: no antennas, or a spacing that is not positive.
    """
    check_range("antennas", antennas, 1, math.inf)
    _check_spacing(spacing, angles)
    places = spacing * torch.arange(antennas, dtype=angles.dtype, device=angles.device)
    line = torch.stack((places, torch.zeros_like(places), torch.zeros_like(places)), dim=-1)
    flat = torch.zeros_like(angles)
    return antennas**0.5 * steering_vector(Panel(line, 1.0), angles, flat, flat + 1, "plane").mT


def _steering(matrix: Tensor, angles: Tensor, spacing: float) -> Tensor:
    check_square("matrix", matrix)
    return ula_steering(matrix.shape[-1], angles, spacing).to(matrix.dtype)


def ula_bartlett(
    matrix: Complex[Tensor, "*batch n n"], angles: Float[Tensor, " g"], spacing: float = HALF
) -> Float[Tensor, "*batch g"]:
    """`a^H R a / N^2`: the power of one plane wave, at its angle.

    Raises:
        InputError: not square, not complex, or a spacing that is not positive.
    """
    return bartlett_spectrum(matrix, _steering(matrix, angles, spacing)) / matrix.shape[-1] ** 2


def ula_mvdr(
    matrix: Complex[Tensor, "*batch n n"], angles: Float[Tensor, " g"], spacing: float = HALF
) -> Float[Tensor, "*batch g"]:
    """`1 / (a^H R^-1 a)`.

    Raises:
        InputError: as `ula_bartlett`.
        torch.linalg.LinAlgError: not positive definite.
    """
    return mvdr_spectrum(matrix, _steering(matrix, angles, spacing))


def ula_music(
    matrix: Complex[Tensor, "*batch n n"],
    k: int,
    angles: Float[Tensor, " g"],
    spacing: float = HALF,
) -> Float[Tensor, "*batch g"]:
    """`1 / |E_n^H a|^2`, E_n: eigenvectors of the n - k smallest eigenvalues.

    Raises:
        InputError: as `ula_bartlett`, and k outside 1..n-1.
    """
    return music_spectrum(matrix, _steering(matrix, angles, spacing), k)


def esprit(
    matrix: Complex[Tensor, "*batch n n"], k: int, spacing: float = HALF
) -> Float[Tensor, "*batch k"]:
    """k angles by ESPRIT (least squares), radians from broadside, ascending.

    Raises:
        InputError: k outside 1..n-1; not square, not complex, not finite; a spacing that is not
            positive.
    """
    _check_spacing(spacing, matrix)
    basis = signal_subspace(matrix, k)
    shift = torch.linalg.pinv(basis[..., :-1, :]) @ basis[..., 1:, :]
    return _angles(unordered_eigenvalues(shift), spacing)


def root_music(
    matrix: Complex[Tensor, "*batch n n"], k: int, spacing: float = HALF
) -> Float[Tensor, "*batch k"]:
    """k angles by root-MUSIC, radians from broadside, ascending.

    Raises:
        InputError: k outside 1..n-1; not square, not complex, not finite; a spacing that is not
            positive.
    """
    _check_spacing(spacing, matrix)
    n = matrix.shape[-1]
    noise = torch.eye(n, dtype=matrix.dtype, device=matrix.device) - projector(
        signal_subspace(matrix, k)
    )
    sums = [noise.diagonal(lag, -2, -1).sum(-1) for lag in range(1 - n, n)]
    coefficients = torch.stack(sums, dim=-1).reshape(-1, 2 * n - 1)
    # Those of both ends vanish together, and with them as many roots inside, at zero.
    size = coefficients[:, n - 1 :].abs()
    told = size > n * torch.finfo(size.dtype).eps * size[:, :1]
    order = (told * torch.arange(n, device=size.device)).amax(-1)
    found = torch.zeros_like(coefficients[:, :k])
    for degree in order.unique().tolist():
        rows = torch.nonzero(order == degree)[:, 0]
        nearest = _nearest(coefficients[rows, n - 1 - degree : n + degree], min(k, degree))
        found[rows, : nearest.shape[1]] = nearest
    return _angles(found.reshape(*matrix.shape[:-2], k), spacing)


def _nearest(coefficients: Complex[Tensor, "r c"], count: int) -> Complex[Tensor, "r count"]:
    """The roots inside the unit circle that lie nearest to it, of a polynomial whose roots come in
    pairs z, 1 / z*: half of them lie inside, or on the circle but for rounding."""
    degree = coefficients.shape[1] // 2
    if not count:
        return coefficients[:, :0]
    roots = _roots(coefficients)
    return roots.gather(-1, roots.abs().argsort(-1)[:, degree - count : degree])


def _roots(coefficients: Tensor) -> Tensor:
    """Roots of `sum_l c_l z^l`, the eigenvalues of the companion matrix."""
    degree = coefficients.shape[-1] - 1
    below = torch.diag_embed(torch.ones_like(coefficients[..., : degree - 1]), offset=-1)
    last = -coefficients[..., :-1] / coefficients[..., -1:]
    return unordered_eigenvalues(torch.cat((below[..., :-1], last[..., None]), dim=-1))


def _angles(phasors: Tensor, spacing: float) -> Tensor:
    sines = phasors.angle() / (2 * math.pi * spacing)
    sines = torch.where(phasors == 0, torch.nan, sines)
    return sines.clamp(-1.0, 1.0).asin().sort(-1).values


def _check_spacing(spacing: float, like: Tensor) -> None:
    kind = torch.finfo(like.dtype)
    check_range("spacing", spacing, kind.tiny, kind.max)
