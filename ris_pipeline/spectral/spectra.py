"""Spatial spectra over a set of steering vectors A = (a_1 ... a_G), unit norm, one signature.

    Bartlett   a^H R a
    MVDR       1 / (a^H R^-1 a)
    MUSIC      1 / |(I - U_s U_s^H) a|^2
    soft MUSIC 1 / (a^H h(R) a),   h(l) = (s / max(l, s))^m

All four are `a^H h(R) a` or its reciprocal, h a function of the eigenvalues: the family of
V. F. Pisarenko, "On the estimation of spectra by means of non-linear functions of the covariance
matrix", Geophys. J. R. Astron. Soc. 28, 1972, to which the weight of soft MUSIC belongs.

Sources: M. S. Bartlett, Nature 161, 1948; J. Capon, Proc. IEEE 57(8), 1969, eq. (15);
R. O. Schmidt, IEEE Trans. Antennas Propag. 34(3), 1986, eq. (6).
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_batch, check_range, check_shape, numbers
from ris_pipeline.spectral.covariance import batch_of, order_of
from ris_pipeline.spectral.hermitian import hermitize
from ris_pipeline.spectral.low_rank import Covariance, LowRankCovariance
from ris_pipeline.spectral.norms import column_power, projected_power
from ris_pipeline.spectral.subspaces import decomposition, noise_projection, signal_subspace


def _check_steering(covariance: Covariance, steering: Tensor) -> None:
    check_shape("steering", steering, (order_of(covariance), None))
    like = covariance.factor if isinstance(covariance, LowRankCovariance) else covariance
    if steering.dtype != like.dtype:
        raise InputError(
            f"steering is {steering.dtype}: allowed is what the covariance is, {like.dtype}"
        )


def bartlett_spectrum(
    covariance: Covariance, steering: Complex[Tensor, "*#batch n g"]
) -> Float[Tensor, "*#batch g"]:
    """`a^H R a`, real.

    Args:
        covariance: (..., n, n) or factored.
        steering: (..., n, G), broadcast against the covariance.

    Raises:
        InputError: a steering matrix of another height.
    """
    _check_steering(covariance, steering)
    if isinstance(covariance, LowRankCovariance):
        power = projected_power(covariance.factor.mH, steering)
        return power + covariance.loading_column() * column_power(steering)
    return (steering.conj() * (hermitize(covariance) @ steering)).real.sum(-2)


def mvdr_spectrum(
    covariance: Covariance, steering: Complex[Tensor, "*#batch n g"]
) -> Float[Tensor, "*#batch g"]:
    """`1 / (a^H R^-1 a)`, by a Cholesky factor of R, or of `delta I + F^H F` (Woodbury).

    Raises:
        InputError: a steering matrix of another height; a factored covariance without loading.
        torch.linalg.LinAlgError: a dense covariance that is not positive definite.
    """
    _check_steering(covariance, steering)
    if isinstance(covariance, LowRankCovariance):
        return _factored_mvdr(covariance, steering)
    return _dense_mvdr(hermitize(covariance), steering)


def _dense_mvdr(matrix: Tensor, steering: Tensor) -> Tensor:
    cholesky = torch.linalg.cholesky(matrix)
    whitened = torch.linalg.solve_triangular(cholesky, steering, upper=False)
    return column_power(whitened).reciprocal()


def _factored_mvdr(covariance: LowRankCovariance, steering: Tensor) -> Tensor:
    delta = covariance.loading_column()
    known = numbers(delta)
    if known is not None and bool((known <= 0).any()):
        raise InputError(
            f"loading = {known.min().item()}: allowed is a positive loading, R must be invertible"
        )
    if covariance.rank >= covariance.size:
        # Woodbury loses what cancels between I and F (delta I + G)^-1 F^H, lambda_1 / delta of the
        # digits: the condition of R itself only while F leaves an eigenvalue at delta.
        return _dense_mvdr(covariance.dense(), steering)
    gram = covariance.gram()
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    cholesky = torch.linalg.cholesky(gram + delta[..., None] * eye)
    # Whitening F rather than F^H A: one triangular solve of n columns instead of G.
    whitened = torch.linalg.solve_triangular(cholesky, covariance.factor.mH, upper=False)
    power = column_power(steering)
    rest = power - projected_power(whitened, steering)
    # Rounding must not undercut a^H R^-1 a >= |a|^2 / lambda_1, and lambda_1 <= tr F^H F + delta.
    largest = gram.diagonal(dim1=-2, dim2=-1).real.sum(-1, keepdim=True) + delta
    return torch.maximum(rest / delta, power / largest).reciprocal()


def music_spectrum(
    covariance: Covariance, steering: Complex[Tensor, "*#batch n g"], k: int
) -> Float[Tensor, "*#batch g"]:
    """`1 / |(I - U_s U_s^H) a|^2` with the k-dimensional signal subspace.

    The projection is floored at `(n eps)^2 |a|^2`, the square of its own rounding error, so a
    noiseless peak is high but finite.

    Raises:
        InputError: k outside 1..n-1, or a steering matrix of another height.
    """
    n = order_of(covariance)
    _check_steering(covariance, steering)
    power = column_power(steering)
    distance = noise_projection(signal_subspace(covariance, k), steering, power)
    floor = (n * torch.finfo(distance.dtype).eps) ** 2 * power
    return torch.maximum(distance, floor).reciprocal()


def noise_weight(
    values: Float[Tensor, "*batch q"], noise: Float[Tensor, "*#batch"], sharpness: float
) -> Float[Tensor, "*batch q"]:
    """`h(l) = (s / max(l, s))^m`: 1 up to the noise level s, and falling from there."""
    level = noise[..., None]
    return (level / torch.maximum(values, level)) ** sharpness


def soft_music_spectrum(
    covariance: Covariance,
    steering: Complex[Tensor, "*#batch n g"],
    noise: float | Tensor,
    sharpness: float = 2.0,
) -> Float[Tensor, "*#batch g"]:
    """`1 / sum_i h(lambda_i) |u_i^H a|^2`, `h(l) = (s / max(l, s))^m`: MUSIC with a soft projector.

    An eigenvector counts as noise to the degree that its eigenvalue lies at the noise level s,
    instead of by its place in the order: at low SNR signal and noise eigenvectors change places,
    and here nothing jumps when they do. m = 1 is MVDR with eigenvalues below s lifted to it, m to
    infinity the projector on all eigenvectors at the noise level. Floored as `music_spectrum` is.

    Args:
        noise: s > 0, a number or (...); of R, not of its amplitudes.
        sharpness: m, 0 or more.

    Raises:
        InputError: a noise level that is not positive, a negative sharpness, or a steering matrix
            of another height.
    """
    n = order_of(covariance)
    _check_steering(covariance, steering)
    check_range("sharpness", sharpness, 0.0, math.inf)
    values, vectors, rest = decomposition(covariance)
    limits = torch.finfo(values.dtype)
    check_range("noise", noise, limits.tiny, limits.max)
    check_batch("noise", noise, batch_of(covariance))
    level = torch.as_tensor(noise, dtype=values.dtype, device=values.device)
    weights = noise_weight(values, level, sharpness).sqrt()[..., None]
    inside = projected_power(weights * vectors.mH, steering)
    power = column_power(steering)
    outside = noise_projection(vectors, steering, power)
    distance = inside + noise_weight(rest[..., None], level, sharpness) * outside
    floor = (n * torch.finfo(distance.dtype).eps) ** 2 * power
    return torch.maximum(distance, floor).reciprocal()
