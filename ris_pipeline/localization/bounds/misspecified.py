"""Misspecified Cramer-Rao bound: the receiver assumes a perfect panel, and the panel is not.

m_t = E y_t                                    what the panel as it is sends
theta_0 = argmin over theta of sum_t |P_t(theta) m_t|^2           pseudo-true coordinates
MCRB = A^-1 B A^-1 at theta_0,     E (theta^ - theta)^2 >= diag MCRB + (theta_0 - theta)^2

theta_0 minimises the Kullback-Leibler divergence of the assumed model, `B_t x_t` in white noise,
from the true one; A is the mean Hessian of the assumed log-likelihood at it, B the mean outer
product of its gradient. With x_t and the model error e_t at theta_0,

    x_t = B_t^+ m_t,     e_t = m_t - B_t x_t,     C_t = [e_t^H d_ti] in the column of i's source,

and `F` and `M_t = diag(conj(x_t)) D_t^H B_t` those of `linearisation`, eliminating the amplitudes
leaves

    H = F - S + N + N^T - Q                              A = -(2 / sigma^2) H
    S = Re sum_t e_t^H d^2 (B_t x_t)                     second derivatives, zero between sources
    N = Re sum_t M_t (B_t^H B_t)^-1 C_t^H
    Q = Re sum_t C_t (B_t^H B_t)^-1 C_t^H
    MCRB = (sigma^2 / 2) H^-1 (F + Q) H^-1

It does not depend on the noise variance that the receiver assumes, nor on whether that is estimated
too: at theta_0 its gradient is uncorrelated with the others. Without a model error H = F, and this
is the Cramer-Rao bound.

Source: S. Fortunati, F. Gini, M. S. Greco, C. D. Richmond, "Performance Bounds for Parameter
Estimation under Misspecified Models", IEEE Signal Process. Mag. 34(6), 2017;
C. D. Richmond, L. L. Horowitz, "Parameter Bounds on Estimation Accuracy Under Model
Misspecification", IEEE Trans. Signal Process. 63(9), 2015.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from ris_pipeline._tables import Row, Tabular
from ris_pipeline.localization.bounds.chunks import in_chunks
from ris_pipeline.localization.bounds.deterministic import true_parameters
from ris_pipeline.localization.bounds.table import coordinate_rows
from ris_pipeline.localization.cholesky import (
    invert_factored,
    positive_definite,
    regular_cholesky,
    solve_factored,
    unit_diagonal,
)
from ris_pipeline.localization.coordinates import Domain, distance_by_inverse, free_coordinates
from ris_pipeline.localization.estimates import Status, status_of
from ris_pipeline.localization.least_squares.linearisation import (
    eliminate,
    fisher_core,
    known_amplitude_information,
)
from ris_pipeline.localization.least_squares.refinement import FINAL_TOLERANCE, refine
from ris_pipeline.localization.measurement.checks import check_no_gradient
from ris_pipeline.localization.measurement.columns import model_columns, of_source, owner
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.localization.measurement.noise import noise_estimate
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.scene import SceneBatch, clean_snapshots, steering_second_derivatives

_NEAR = 1e-2
"""Tolerance of the Gauss-Newton descent to the pseudo-true coordinates. Its convergence is linear
where the model error is not zero; exact Newton steps do the rest."""

_NEWTON_STEPS = 4
"""Each squares the distance."""


@dataclass(frozen=True, repr=False)
class MisspecifiedBound(Tabular):
    """The bound of an estimator that assumes a perfect panel, (azimuth, elevation, distance).

    variance: about the pseudo-true coordinates, rad^2 and m^2; bias: those minus the true ones, rad
    and m; both (B, K, 3) float64, NaN in empty slots and where no pseudo-true place was found. The
    variance is infinite for the distance of a plane wavefront, and for a coordinate on the border
    of the half space before the panel (1e6 wavelengths away, 89 degrees). status (B, K) int64, a
    `Status`; EDGE: on that border.
    """

    variance: Tensor
    bias: Tensor
    status: Tensor

    @property
    def mean_squared_error(self) -> Tensor:
        """`variance + bias^2`: the bound on the squared error about the truth, (B, K, 3)."""
        return self.variance + self.bias.square()

    def rows(self) -> list[Row]:
        """scene, source, root bound and bias of each coordinate (deg, deg, m), status in words;
        a slot whose bound is not known has no row, as one that holds no source."""
        there = ~self.bias.isnan().all(-1)
        rows = coordinate_rows(there, std=self.variance.sqrt(), bias=self.bias)
        words = [Status(code).name.lower() for code in self.status[there].tolist()]
        return [{**row, "status": word} for row, word in zip(rows, words, strict=True)]

    def columns(self) -> dict[str, str]:
        return {
            "scene": "scene",
            "source": "source",
            "azimuth, deg": "azimuth_bias_deg+-azimuth_std_deg",
            "elevation, deg": "elevation_bias_deg+-elevation_std_deg",
            "distance, m": "distance_bias_m+-distance_std_m",
            "status": "status",
        }

    def summary(self) -> str:
        return "MisspecifiedBound: bias+-standard deviation"


def misspecified_cramer_rao_bound(scenes: SceneBatch) -> MisspecifiedBound:
    """`diag(A^-1 B A^-1)` and `theta_0 - theta` of each source; see the head of the file.

    The receiver's panel is `scenes.panel`, the true one `scenes.truth`; everything else is known to
    both. The pseudo-true place is the minimum that least squares reach from the truth, in the whole
    half space before the panel, not only in the scenario's domain. The bound is one for estimators
    whose mean is that place; the maximum of the assumed likelihood attains it at high SNR.

    Raises:
        InputError: as `locate` for the receiver's part of the scenes, or a true panel that is not
            known.
    """
    check_no_gradient(scenes)
    variance, bias, status = in_chunks(_bound, scenes)
    return MisspecifiedBound(variance, bias, status)


def _bound(scenes: SceneBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Variance, bias and status; see `MisspecifiedBound`."""
    active, domain = scenes.sources.active, _half_space(scenes)
    measurement = measure(replace(scenes, snapshots=clean_snapshots(scenes)))
    refined = refine(measurement, true_parameters(scenes.sources), active, domain, _NEAR)
    free = (active[..., None] & ~refined.held).flatten(1)
    place = _expand(measurement, refined.parameters, active, free)
    for _ in range(_NEWTON_STEPS):
        parameters = torch.clamp(place.parameters + place.step(), domain.lower, domain.upper)
        place = _expand(measurement, parameters, active, free)
    edge = (refined.held & free_coordinates(domain, measurement.wavefront)).any(-1)
    return _report(scenes, measurement, place, free, edge)


def _half_space(scenes: SceneBatch) -> Domain:
    """Where a scenario may put a source, whatever this one does."""
    wavelength, angle = scenes.scenario.wavelength, math.radians(89)
    box = ((-angle, angle), (-angle, angle), (1e-6 / wavelength, 1e3 / wavelength))
    limits = torch.tensor(box, dtype=torch.float64, device=scenes.snapshots.device)
    return Domain(limits[:, 0], limits[:, 1])


@dataclass(frozen=True, kw_only=True)
class _Expansion:
    """The residual to second order around `parameters` (B, K, 3).

    score (B, 3K); core `F + Q` and inverse `H^-1` (B, 3K, 3K), the inverse on the free coordinates,
    zero on the others and where H is not positive definite; minimum (B,): where it is.
    """

    parameters: Tensor
    score: Tensor
    core: Tensor
    inverse: Tensor
    minimum: Tensor

    def step(self) -> Float[Tensor, "b k 3"]:
        """Newton's step to the minimum."""
        return (self.inverse @ self.score[..., None]).reshape_as(self.parameters)


def _expand(
    measurement: Measurement,
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    free: Bool[Tensor, "b d"],
) -> _Expansion:
    k = active.shape[1]
    columns = model_columns(measurement, parameters, active)
    inner = measurement.inner(columns)
    factor, schur, regular = eliminate(inner, active)
    seen = measurement.correlate(columns)[..., None]
    x = solve_factored(seen[..., :k, :], factor)
    # e_t^H D_t, and Phi_t^H e_t: all that is needed of the model error.
    slopes = (seen[..., k:, :] - inner[..., k:, :k] @ x)[..., 0].conj()
    error = measurement.matched - (measurement.normal(columns[..., :k]) @ x)[..., 0]
    x = x[..., 0]
    weights = of_source(x)
    c = slopes[..., None] * owner(k, x)
    solved = solve_factored(c.mH, factor)
    f = fisher_core(schur, x)
    n = (weights.conj()[..., None] * inner[..., k:, :k] @ solved).real.sum(1)
    q = (c @ solved).real.sum(1)
    s = _curvature(measurement, parameters, (error.conj().mT @ x).mT)
    whole = known_amplitude_information(inner[..., k:, k:], x)
    whole = whole + s.diagonal(dim1=1, dim2=2).abs()
    inverse, minimum = _restricted_inverse(f - s + n + n.mT - q, whole, free)
    # What moves nothing in the data has no place of its own, whatever rounding makes of its slope.
    told = positive_definite(unit_diagonal(f + q, free, whole)[0])
    score = (weights * slopes).real.sum(1)
    return _Expansion(
        parameters=parameters,
        score=score,
        core=f + q,
        inverse=inverse,
        minimum=minimum & regular & told,
    )


def _curvature(
    measurement: Measurement,
    parameters: Float[Tensor, "b k 3"],
    weights: Complex[Tensor, "b k n"],
) -> Float[Tensor, "b d d"]:
    """`S = Re sum_n w_kn d_i d_j a_kn`, w_k = sum_t conj(Phi_t^H e_t) x_tk, blocks of 3 a source.

    From r to 1/r only `d_r` turns into `-r^2 d_r`: the term with the second derivative of r stands
    beside the gradient, which is zero here.
    """
    azimuth, elevation, inverse = parameters.unbind(-1)
    second = steering_second_derivatives(
        measurement.panel, azimuth, elevation, 1 / inverse, measurement.wavefront
    )
    # Axes: scene b, sources k and l, their coordinates i and j, element n.
    blocks = torch.einsum("bkijn,bkn->bkij", second, weights).real
    chain = distance_by_inverse(parameters)
    blocks = blocks * chain[..., :, None] * chain[..., None, :]
    apart = torch.eye(blocks.shape[1], dtype=blocks.dtype, device=blocks.device)
    return torch.einsum("bkij,kl->bkilj", blocks, apart).flatten(3, 4).flatten(1, 2)


def _restricted_inverse(
    hessian: Float[Tensor, "b d d"], whole: Float[Tensor, "b d"], free: Bool[Tensor, "b d"]
) -> tuple[Float[Tensor, "b d d"], Bool[Tensor, " b"]]:
    """`H^-1` on the free coordinates and zero on the others; where H was positive definite, by more
    than the rounding of the terms that it is the sum of."""
    unit, scale = unit_diagonal(hessian, free, whole)
    factor, regular = regular_cholesky(unit)
    definite = regular & positive_definite(unit) & ((scale > 0) | ~free).all(1)
    inverse = invert_factored(factor) * scale[:, :, None] * scale[:, None, :]
    return torch.where(definite[:, None, None], inverse, torch.zeros_like(inverse)), definite


def _report(
    scenes: SceneBatch,
    measurement: Measurement,
    place: _Expansion,
    free: Bool[Tensor, "b d"],
    edge: Bool[Tensor, "b k"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Variance and bias in (azimuth, elevation, distance), and what became of each source."""
    active, noise = scenes.sources.active, scenes.noise_variance.double()
    rounding = noise_estimate(measurement, torch.zeros_like(noise), torch.zeros_like(noise), 0)
    left = 2 * (place.score * place.step().flatten(1)).sum(1)
    found = place.minimum & (left < FINAL_TOLERANCE**2 * torch.maximum(noise, rounding))
    sandwich = place.inverse @ place.core @ place.inverse
    variance = sandwich.diagonal(dim1=1, dim2=2) * (noise / 2)[:, None]
    variance = torch.where(free, variance, torch.inf).reshape_as(place.parameters)
    end, truth = place.parameters.clone(), true_parameters(scenes.sources)
    end[..., 2], truth[..., 2] = 1 / end[..., 2], 1 / truth[..., 2]
    variance = variance * distance_by_inverse(place.parameters).square()
    known = found[:, None] & active
    blank = torch.where(known, 0.0, torch.nan).double()[..., None]
    status = status_of(edge, resolved=known)
    return variance + blank, end - truth + blank, status
