"""How far least squares may be off, and the blend that follows from it.

    R = (1 - beta) P + beta M,    beta = 1 / (1 + e / d + r^2 / c)

P: what the network believes, M: the covariance at the maximum-likelihood estimate, both of trace N.

    d = |P - M|^2                    at most what P is off by, plus what M is off by
    e = E |M - R|^2                  what M is off by, from the likelihood of the scene at hand
    r = (|M|^2 - |P|^2) / |P|^2      of a posterior mean P the variance E |R - P|^2 over |P|^2
    c                                probability of the number of sources in M (`evidence`)

With r = 0 the weights are those of two independent estimates, the error of P taken as d: all of M
where M is sharp. e is local: it knows how flat the peak under M is and not whether it is the right
peak. That the posterior knows, where it has not decided, and r^2 / c is added: two who doubt, the
network where the sources are and the evidence how many. There is no constant in it; that r enters
by its square and c as a divisor was chosen among a few such forms on validation scenes.

For e the posterior of the coordinates theta is taken as normal about the estimate with the
covariance C = (sigma^2 / 2) F^-1; its 2 d points

    theta +- sqrt(d) column_i of C^1/2,   amplitudes fitted anew at each

have that mean and covariance, and e is the mean of |R(point) - M|^2, plus what the noise of the
amplitudes adds to the powers.

Source: S. J. Julier, J. K. Uhlmann, "Unscented filtering and nonlinear estimation", Proc. IEEE
92(3), 2004 (the points).
"""

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from ris_pipeline.localization.cholesky import invert_factored, regular_cholesky
from ris_pipeline.localization.coordinates import Domain
from ris_pipeline.localization.least_squares.linearisation import Fit, linearise
from ris_pipeline.localization.measurement.columns import source_columns
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.spectral import LowRankCovariance, nmse
from ris_pipeline.spectral.norms import squared_norm


def fitted_covariance(
    measurement: Measurement,
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    amplitudes: Complex[Tensor, "b t k"],
) -> LowRankCovariance:
    """M: `A diag(mean_t |x_t|^2) A^H` scaled to trace N; zero where no source is active."""
    columns = source_columns(measurement, parameters, active)
    power = amplitudes.abs().square().mean(1) * active
    total = power.sum(1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    return LowRankCovariance(columns * (columns.shape[1] * power / total).sqrt()[:, None])


def _square_root(
    fit: Fit, free: Bool[Tensor, "b d"], noise: Float[Tensor, " b"], width: Float[Tensor, "d"]
) -> Float[Tensor, "b d d"]:
    """`C^1/2` of the coordinates that may move, none farther than the domain is wide."""
    prior = width.clamp_min(torch.finfo(width.dtype).tiny).square().reciprocal()
    information = fit.information * (2 / noise)[:, None, None] + torch.diag_embed(prior)
    scale = information.diagonal(dim1=1, dim2=2).rsqrt()
    unit = information * scale[:, :, None] * scale[:, None, :]
    factor, regular = regular_cholesky(unit)
    eye = torch.eye(unit.shape[-1], dtype=unit.dtype, device=unit.device)
    root = torch.linalg.solve_triangular(factor.mT, eye.expand_as(unit), upper=True)
    return root * scale[:, :, None] * free[:, :, None] * regular[:, None, None]


def fit_error(
    measurement: Measurement,
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    noise: Float[Tensor, " b"],
    domain: Domain,
) -> tuple[LowRankCovariance, Float[Tensor, " b"]]:
    """M, and the expected `|M - R|_F^2` of it."""
    scenes, sources = active.shape
    d = 3 * sources
    fit = linearise(measurement, parameters, active)
    best = fitted_covariance(measurement, parameters, active, fit.amplitudes)
    width = (domain.upper - domain.lower).repeat(sources)
    free = active.repeat_interleave(3, dim=1)
    root = _square_root(fit, free, noise, width) * (3 * active.sum(1)).sqrt()[:, None, None]
    steps = torch.cat((root, -root), dim=2).mT.reshape(scenes, 2 * d, sources, 3)
    points = (parameters[:, None] + steps).clamp(domain.lower, domain.upper).flatten(0, 1)
    again = measurement.take(torch.arange(scenes, device=noise.device).repeat_interleave(2 * d))
    who = active.repeat_interleave(2 * d, dim=0)
    there = fitted_covariance(again, points, who, linearise(again, points, who).amplitudes)
    centre = LowRankCovariance(best.factor.repeat_interleave(2 * d, dim=0))
    size = squared_norm(best.gram())
    moved = (nmse(there, centre) * size.repeat_interleave(2 * d)).reshape(scenes, 2 * d)
    # Points along coordinates of empty slots have not moved.
    spread = moved.sum(1) / (6 * active.sum(1)).clamp_min(1)
    return best, spread + _power_error(measurement, parameters, active, fit, noise)


def _power_error(
    measurement: Measurement, parameters: Tensor, active: Tensor, fit: Fit, noise: Tensor
) -> Float[Tensor, " b"]:
    """`N^2 sum_k var(w_k)`, w the shares of power.

    `var |x_k|^2 = 2 |x_k|^2 sigma^2 [(B^H B)^-1]_kk`, sources taken for independent.
    """
    columns = source_columns(measurement, parameters, active)
    inner = measurement.inner(columns) + torch.diag_embed((~active).to(columns.dtype))[:, None]
    factor, _ = regular_cholesky(inner)
    inverse = invert_factored(factor).diagonal(dim1=-2, dim2=-1).real
    power = fit.amplitudes.abs().square() * active[:, None]
    variance = (2 * power * inverse).sum(1) * noise[:, None] / measurement.blocks**2
    mean = power.mean(1)
    total = mean.sum(1, keepdim=True).clamp_min(torch.finfo(mean.dtype).tiny)
    share = mean / total
    spread = variance * (1 - 2 * share) + share.square() * variance.sum(1, keepdim=True)
    return columns.shape[1] ** 2 * (spread / total.square()).sum(1).clamp_min(0)


def blend_weight(
    learned: LowRankCovariance,
    fitted: LowRankCovariance,
    error: Float[Tensor, " b"],
    confidence: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """beta in 0..1 of P, M, e and c; zero where M is empty.

    Args:
        confidence: c of the number of sources; NaN where it was given.
    """
    size = squared_norm(fitted.gram())
    tiny = torch.finfo(size.dtype).tiny
    distance = (nmse(learned, fitted) * size).clamp_min(tiny)
    kept = squared_norm(learned.gram()).clamp_min(tiny)
    doubt = (size / kept - 1).clamp_min(0)
    sure = confidence.nan_to_num(1.0).to(size.dtype).clamp_min(tiny)
    beta = 1 / (1 + error / distance + doubt.square() / sure)
    return torch.where(size > 0, beta, torch.zeros_like(beta))
