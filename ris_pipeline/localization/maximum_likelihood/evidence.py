"""How probable each number of sources is: the evidence of the fits, and of sources not seen.

p(y | K) = integral over K places of p(y | places),   every number equally probable beforehand

Places are uniform on the domain, amplitudes of a source Gaussian of power P in each block, the
noise variance has Jeffreys' prior. Amplitudes and noise integrate in closed form, with rho =
sigma^2 / P, n = T L M,

    p(y | places) ~ J^-n  prod_t det(I + B_t^H B_t / rho)^-1
    J = |y|^2 - sum_t y_t^H B_t (B_t^H B_t + rho I)^-1 B_t^H y_t

and around a fit the places by Laplace's method, the K! orders of the sources counted, w the extent
of the domain along each coordinate:

    ln p(y | K)  ~  ln p(y | fit) - 1/2 ln det(I + w F w / pi sigma^2) + ln K!

(the identity is the prior: a coordinate of which the data say nothing has its whole extent). One
source more than the fit has may stand anywhere, seen or not, the others as they are:

    p(y | K + 1) / p(y | K)  ~  (K + 1) mean_g prod_t 1 / (1 + l_tg / rho) (1 - q_g / J)^-n

with l_tg = |P_t Phi_t a_g|^2 over the grid and q_g what a source at g would explain. Beside a
source l is small: there another one hides, whatever its power. P is the power of one source that
would explain all of the signal, as in `amplitude_ridge`. BIC leaves out all that does not grow with
the number of data, and with it how large the domain is and what hides in it.

Source: D. J. C. MacKay, "Information Theory, Inference, and Learning Algorithms", 2003, chapters
27 and 28; P. M. Djuric, "A model selection rule for sinusoids in white Gaussian noise", IEEE Trans.
Signal Process. 44(7), 1996.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ris_pipeline.localization.cholesky import regular_cholesky
from ris_pipeline.localization.coordinates import free_coordinates
from ris_pipeline.localization.grid_search.detection import evidence_of_another
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.maximum_likelihood.relax import Search
from ris_pipeline.localization.measurement.columns import source_columns
from ris_pipeline.localization.measurement.noise import noise_estimate
from ris_pipeline.localization.measurement.statistics import Measurement


def number_probability(
    search: Search,
    tried: Bool[Tensor, "b n"],
    places: Float[Tensor, "b n k 3"],
    count: Int[Tensor, " b"],
    coordinates: int,
) -> Float[Tensor, " b"]:
    """Probability of `count` sources among 0 to k.

    Args:
        tried: numbers that were fitted.
        places: the best fit of each number.
    """
    most = places.shape[2]
    evidence = torch.full_like(tried, -torch.inf, dtype=torch.float64)
    ratio = _noise_over_power(search, places, count, coordinates)
    for k in range(most + 1):
        index = torch.nonzero(tried[:, k])[:, 0]
        if index.numel():
            part = search.take(index)
            evidence[index, k] = log_evidence(part, places[index, k, :k], ratio[index])
    for k in range(most):
        index = torch.nonzero(count == k)[:, 0]
        if index.numel():
            part = search.take(index)
            more = _of_another(part, places[index, k, :k], ratio[index])
            evidence[index] = _extended(evidence[index], k, more)
    return torch.softmax(evidence, dim=1).gather(1, count[:, None])[:, 0]


def _extended(evidence: Tensor, k: int, more: Float[Tensor, " b"]) -> Float[Tensor, "b n"]:
    """The evidence with sources beyond the k found that were not seen: each as probable after the
    last as the first."""
    evidence = evidence.clone()
    for number in range(k + 1, evidence.shape[1]):
        unseen = (
            evidence[:, number - 1] + more.clamp_max(0)
            if number > k + 1
            else (evidence[:, k] + more)
        )
        evidence[:, number] = torch.maximum(evidence[:, number], unseen)
    return evidence


def _noise_over_power(
    search: Search, places: Tensor, count: Tensor, coordinates: int
) -> Float[Tensor, " b"]:
    """`sigma^2 / P`, P the power of one source that would explain all of the signal."""
    data = search.white
    rss = data.energy.clone()
    for k in range(1, places.shape[2] + 1):
        index = torch.nonzero(count == k)[:, 0]
        if index.numel():
            here = places[index, k, :k]
            active = torch.ones(here.shape[:2], dtype=torch.bool, device=here.device)
            rss[index] = linearise(data.take(index), here, active).rss
    noise = noise_estimate(data, torch.minimum(rss, data.energy), count, coordinates)
    signal = torch.maximum(data.energy - data.samples * noise, noise)
    gains = search.white_gains.sum(1, dtype=torch.float64)
    gain = search.detector.grid.in_order(gains).mean(1)
    return noise * gain / signal


def log_evidence(
    search: Search, places: Float[Tensor, "b k 3"], ratio: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """`ln p(y | K)` up to a constant of the scene."""
    data, k = search.white, places.shape[1]
    energy, volume = _shrunk(data, places, ratio)
    value = -data.samples * energy.log() - volume + math.lgamma(k + 1)
    if k == 0:
        return value
    active = torch.ones(places.shape[:2], dtype=torch.bool, device=places.device)
    information = linearise(data, places, active).information
    domain = search.domain
    extent = (domain.upper - domain.lower) * free_coordinates(domain, data.wavefront)
    extent = extent.repeat(k)
    noise = energy / data.samples
    unit = information * extent[:, None] * extent / (math.pi * noise[:, None, None])
    eye = torch.eye(unit.shape[-1], dtype=unit.dtype, device=unit.device)
    factor, regular = regular_cholesky(eye + unit)
    half = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    return torch.where(regular, value - half, -torch.inf)


def _shrunk(
    data: Measurement, places: Float[Tensor, "b k 3"], ratio: Float[Tensor, " b"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """J, and `sum_t ln det(I + B_t^H B_t / rho)`."""
    if places.shape[1] == 0:
        return data.energy, torch.zeros_like(data.energy)
    active = torch.ones(places.shape[:2], dtype=torch.bool, device=places.device)
    a = source_columns(data, places, active)
    eye = torch.eye(places.shape[1], dtype=a.dtype, device=a.device)
    factor, _ = regular_cholesky(data.inner(a) + ratio[:, None, None, None] * eye)
    seen = torch.linalg.solve_triangular(factor, data.correlate(a)[..., None], upper=False)
    energy = data.energy - seen.abs().square().sum((1, 2, 3))
    root = factor.diagonal(dim1=-2, dim2=-1).real.log().sum((1, 2))
    cells = data.blocks * places.shape[1]
    return energy.clamp_min(torch.finfo(energy.dtype).tiny), 2 * root - cells * ratio.log()


def _of_another(
    search: Search, places: Float[Tensor, "b k 3"], ratio: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """`ln p(y | K + 1) / p(y | K)`, the others where they are."""
    active = torch.ones(places.shape[:2], dtype=torch.bool, device=places.device)
    energy, _ = _shrunk(search.white, places, ratio)
    mean = evidence_of_another(
        search.detector, search.white, search.white_gains, places, active, ratio, energy
    )
    return mean + math.log(places.shape[1] + 1)
