"""Stochastic Cramer-Rao bound: amplitudes random, their covariance unknown.

y_t ~ CN(0, R_t) independent,   R_t = B_t P B_t^H + sigma^2 I,   B_t = Phi_t A(theta)
F_ij = sum_t tr(R_t^-1 (d_i R_t) R_t^-1 (d_j R_t))                         (Slepian and Bangs)

with unknown coordinates, unknown Hermitian P (K^2 real numbers) and unknown sigma^2; the last two
are eliminated. Codes differ from block to block, hence B_t.

With D_t = P_t D_t + B_t H_t, H_t = B_t^+ D_t, and d_ti the column of D_t for coordinate i of source
k(i), a change of the covariance is

    d_i R_t = P_t d_ti (B_t P e_k)^H + ... + B_t E_ti B_t^H,   E_ti = H_t e_i (P e_k)^H + (its ^H)
    dR_t / dP = B_t E B_t^H,      dR_t / d sigma^2 = P_t + B_t (B_t^H B_t)^-1 B_t^H

(... the Hermitian transpose of what stands before), and on the span of B_t

    U_t = B_t^H R_t^-1 B_t = (P + sigma^2 (B_t^H B_t)^-1)^-1,

so that F is a sum of two parts: `(2 / sigma^2) Re sum_t (P U_t P)^T o (D_t^H P_t D_t)`, which the
nuisances do not touch, and the Gram matrix of E_ti, a basis of E, and (B_t^H B_t)^-1 under
`tr(U_t E U_t E')`. Where all Phi_t are equal P takes up E_ti whole, and the first part is all that
is left: the closed form of Stoica, Larsson and Gershman.

Source: P. Stoica, E. G. Larsson, A. B. Gershman, "The stochastic CRB for array processing: a
textbook derivation", IEEE Signal Process. Lett. 8(5), 2001; Slepian and Bangs: P. Stoica, R. Moses,
"Spectral Analysis of Signals", 2005, appendix B.3.
"""

import math

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.localization.bounds.chunks import in_chunks
from ris_pipeline.localization.bounds.deterministic import by_distance, true_parameters, variances
from ris_pipeline.localization.cholesky import invert_factored, regular_cholesky, unit_diagonal
from ris_pipeline.localization.coordinates import inverse_by_distance
from ris_pipeline.localization.least_squares.linearisation import eliminate
from ris_pipeline.localization.measurement.checks import check_scenes
from ris_pipeline.localization.measurement.columns import model_columns, of_source, owner
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.scene import SceneBatch


def stochastic_fisher_information(scenes: SceneBatch) -> Float[Tensor, "b d d"]:
    """The information of (azimuth, elevation, distance) of each slot in turn, nuisances eliminated.

    (B, 3K, 3K) float64, 1/rad^2 and 1/m^2; rows and columns of empty slots are zero, and all of
    them where two sources coincide. The panel is the one the receiver assumes.
    """
    return in_chunks(_information, scenes)[0]


def _information(scenes: SceneBatch) -> tuple[Float[Tensor, "b d d"], Float[Tensor, "b d"]]:
    """`stochastic_fisher_information`, and the diagonal of that with the nuisances known."""
    sources, measurement = scenes.sources, measure(scenes)
    active = sources.active
    k = active.shape[1]
    parameters = true_parameters(sources)
    inner = measurement.inner(model_columns(measurement, parameters, active))
    factor, schur, regular = eliminate(inner, active)
    inverse = invert_factored(factor)
    inside = inverse @ inner[..., :k, k:]
    inverse = inverse * active[:, None, None, :]
    noise = scenes.noise_variance.double()
    powers = sources.powers.double() * active
    weight = _signal_information(inverse, powers, noise, active)
    outside = _outside(weight, schur, powers, noise)
    count = active.sum(1)
    spare = measurement.blocks * (measurement.rows - count) / noise.square()
    within, whole = _inside(weight, inside, inverse, powers, spare)
    whole = whole + _outside(weight, inner[..., k:, k:], powers, noise).diagonal(dim1=1, dim2=2)
    information = (outside + within) * regular[:, None, None]
    chain = inverse_by_distance(parameters).flatten(1).square()
    return by_distance(information, parameters), whole * chain


def _signal_information(
    inverse: Complex[Tensor, "b t k k"],
    powers: Float[Tensor, "b k"],
    noise: Float[Tensor, " b"],
    active: Bool[Tensor, "b k"],
) -> Complex[Tensor, "b t k k"]:
    """`U_t = (P + sigma^2 (B_t^H B_t)^-1)^-1`, P = diag(powers); of unit size in empty slots."""
    diagonal = torch.where(active, powers, torch.ones_like(powers))
    covariance = torch.diag_embed(diagonal.to(inverse.dtype))[:, None]
    total = covariance + noise[:, None, None, None] * inverse
    return invert_factored(regular_cholesky(total)[0])


def _outside(weight: Tensor, schur: Tensor, powers: Tensor, noise: Tensor) -> Tensor:
    """`(2 / sigma^2) Re sum_t (P U_t P)^T o (D_t^H P_t D_t)`."""
    scaled = powers[:, None, :, None] * weight * powers[:, None, None, :]
    spread = of_source(of_source(scaled).mT)
    return (spread * schur).real.sum(1) * (2 / noise)[:, None, None]


def _inside(
    weight: Complex[Tensor, "b t k k"],
    inside: Complex[Tensor, "b t k d"],
    inverse: Complex[Tensor, "b t k k"],
    powers: Float[Tensor, "b k"],
    spare: Float[Tensor, " b"],
) -> tuple[Float[Tensor, "b d d"], Float[Tensor, "b d"]]:
    """The part on the span of B_t, with P and sigma^2 eliminated, and its diagonal before they are.

    `tr(U E U E') = <L^H E L, L^H E' L>` with `U = L L^H`: real vectors of 2 K^2 entries a block,
    whose Gram matrix is wanted.
    """
    k, dtype = powers.shape[1], inside.dtype
    # Axes: scene b, block t, coordinate i, row r and column c of a K x K matrix.
    # E_ti = H_t e_i (P e_k)^H + its Hermitian transpose, where k owns coordinate i.
    half = torch.einsum("btri,ic,bc->btirc", inside, owner(k, inside), powers.to(dtype))
    basis = _hermitian_basis(k, inside).expand(*inverse.shape[:2], -1, -1, -1)
    directions = torch.cat((half + half.mH, basis, inverse[:, :, None]), dim=2)
    lower = regular_cholesky(weight)[0][:, :, None]
    vectors = torch.view_as_real(lower.mH @ directions @ lower).flatten(3)
    gram = (vectors @ vectors.mT).sum(1)
    gram[:, -1, -1] += spare
    kept = inside.shape[-1]
    return _eliminate_last(gram, kept), gram.diagonal(dim1=1, dim2=2)[:, :kept]


def _hermitian_basis(k: int, like: Tensor) -> Complex[Tensor, "kk k k"]:
    """K^2 orthonormal Hermitian matrices: e_i e_i^T, and both kinds of off-diagonal pairs."""
    basis = torch.zeros(k, k, k, k, dtype=like.dtype, device=like.device)
    for i in range(k):
        basis[i, i, i, i] = 1
        for j in range(i):
            basis[i, j, i, j] = basis[i, j, j, i] = math.sqrt(0.5)
            basis[j, i, i, j] = torch.tensor(1j * math.sqrt(0.5), dtype=like.dtype)
            basis[j, i, j, i] = -basis[j, i, i, j]
    return basis.flatten(0, 1)


def _eliminate_last(gram: Float[Tensor, "b n n"], kept: int) -> Float[Tensor, "b d d"]:
    """What is left of the information of the first `kept` unknowns when the others are unknown."""
    nuisance, scale = unit_diagonal(gram[:, kept:, kept:])
    factor, regular = regular_cholesky(nuisance)
    cross = scale[:, :, None] * gram[:, kept:, :kept]
    whitened = torch.linalg.solve_triangular(factor, cross, upper=False)
    # Unknowns that nothing tells apart leave nothing to be known.
    return (gram[:, :kept, :kept] - whitened.mT @ whitened) * regular[:, None, None]


def stochastic_cramer_rao_bound(scenes: SceneBatch) -> Float[Tensor, "b k 3"]:
    """Variances of azimuth (rad^2), elevation (rad^2) and distance (m^2), (B, K, 3) float64.

        diag(F^-1),   F_ij = sum_t tr(R_t^-1 (d_i R_t) R_t^-1 (d_j R_t)),   P and sigma^2 eliminated

    for zero-mean circular Gaussian amplitudes, independent from block to block, whose covariance P
    the receiver does not know. The bound is taken at `P = diag(|g|^2)`: the simulator draws symbols
    of unit modulus and independent phases, so this is their covariance; that they are not Gaussian,
    and P diagonal, is not told to the receiver. Meant for several blocks; with one it bounds the
    mean over amplitudes that are drawn anew in every trial.

    NaN in empty slots; infinite where the information is singular, and for the distance of a plane
    wavefront.

    Raises:
        InputError: as `locate` for the receiver's part of the scenes, or not fewer sources than
            numbers in a block (L M).
    """
    check_scenes(scenes)
    rows = scenes.snapshots.shape[2] * scenes.snapshots.shape[3]
    if bool((scenes.sources.count >= rows).any()):
        most = int(scenes.sources.count.max())
        raise InputError(f"sources.count holds {most}: allowed are fewer than L M = {rows}")
    information, whole = in_chunks(_information, scenes)
    return variances(information, whole, scenes)
