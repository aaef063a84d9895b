"""Number of sources: by the residual of the fits, or by the eigenvalues of a covariance.

By the residual, the K of least

    2 T L M ln rss_K + sum_{k < K} cost_k

The first term is -2 ln of the likelihood maximised over amplitudes and noise variance, so a source
beside k others is taken when twice its log-likelihood ratio exceeds its cost:

aic         2 (d + 2 T)
threshold   -2 T L M ln(1 - b_k),   b_k: exceeded by Beta(T, n_k - T) with probability P_fa / G
            n_k = T L M - k (T + d / 2)
bic         d ln(2 T L M) + 2 T ln(2 L M),   at least threshold with P_fa = 0.01

A source has d coordinates (3, or 2 for a plane wavefront), informed by all 2 T L M real numbers,
and one complex amplitude a block, informed by the 2 L M of its block: at T = 1 BIC is 5 ln(2 L M).
The threshold makes the generalised likelihood ratio a test of constant false alarm: of white noise
of any level in the n_k complex numbers that k sources leave free, one place explains a part with
that Beta distribution, and the best of G points of a grid exceeds b_k with probability at most
P_fa. Between the points there is more, the more blocks the more: b_k is that of the whole domain
(`random_field`), for `Threshold` in the metric of each scene, which costs an integral, as the least
that BIC asks in that of the panel.
BIC is an expansion for many numbers, in which a search costs nothing; where they are few, noise
alone would pay for a source (reference preset with one code: BIC costs 17, the threshold 27 and
more).

By eigenvalues (`eigenvalue_mdl`, `eigenvalue_aic` of `spectral`), where there are blocks to average
over: see `whitened_eigenvalues`.

Source: G. Schwarz, "Estimating the Dimension of a Model", Ann. Statist. 6(2), 1978; P. Stoica and
Y. Selen, "Model-order selection", IEEE Signal Process. Mag. 21(4), 2004 (AIC, and BIC with
parameters whose information grows at different rates); S. M. Kay, "Fundamentals of Statistical
Signal Processing: Detection Theory", 1998, section 9.4 (noise of unknown variance).
"""

import math
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from scipy.special import betainc, betaincinv
from torch import Tensor

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._validation import check_range
from ris_pipeline.localization.cholesky import invert_factored, solve_factored
from ris_pipeline.localization.measurement.gram import GramMeasurement
from ris_pipeline.localization.measurement.noise import rounding_floor
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.random_field import alarm_level, exceedance
from ris_pipeline.spectral import eigenvalue_aic, eigenvalue_mdl, eigenvalues

RESIDUAL_CRITERIA = ("bic", "aic", "threshold")
EIGENVALUE_CRITERIA = ("eigenvalue_mdl", "eigenvalue_aic")
CRITERIA = RESIDUAL_CRITERIA + EIGENVALUE_CRITERIA


@dataclass(frozen=True)
class Threshold:
    """The criterion "threshold" at a chosen probability that noise alone gives a source."""

    false_alarm: float = 0.01

    def __post_init__(self) -> None:
        check_range("false_alarm", self.false_alarm, 0, 1)
        if not 0 < self.false_alarm < 1:
            raise InputError(f"false_alarm = {self.false_alarm}: allowed is 0..1, both excluded")


@dataclass(frozen=True)
class Searched:
    """Where sources are looked for: how many points a grid has, and the sizes of the domain,
    (1, d + 1), in the panel's own metric (`random_field.panel_sizes`)."""

    places: int
    sizes: Tensor


def check_criterion(criterion: str | Threshold, blocks: int, rows: int, elements: int) -> None:
    """Raise `InputError` unless there is such a criterion and the data allow it."""
    if isinstance(criterion, Threshold):
        return
    check_choice("criterion", criterion, CRITERIA)
    if criterion not in EIGENVALUE_CRITERIA:
        return
    if blocks < 2:
        raise InputError(f"criterion = {criterion!r} with blocks = 1: allowed is 2 or more blocks")
    if rows < elements:
        raise InputError(
            f"criterion = {criterion!r} with {rows} numbers a block for {elements} elements: "
            "allowed is at least as many"
        )


def bic_penalty(blocks: int, rows: int, coordinates: int = 3) -> float:
    """What one more source costs: `d ln(2 T L M) + 2 T ln(2 L M)`; rows = L M."""
    return coordinates * math.log(2 * blocks * rows) + 2 * blocks * math.log(2 * rows)


def aic_penalty(blocks: int, coordinates: int = 3) -> float:
    """`2 (d + 2 T)`."""
    return 2.0 * (coordinates + 2 * blocks)


def threshold_penalty(
    blocks: int, rows: int, places: int, false_alarm: float, found: float = 0.0
) -> float:
    """`-2 T L M ln(1 - b)` for G = places searched; rows = L M >= 2.

    Args:
        found: complex numbers that the sources found have taken, `k (T + d / 2)`.
    """
    free = blocks * (rows - 1) - found
    # 1 - b has the mirrored distribution; b itself rounds to 1 where few numbers are free.
    left = float(betaincinv(free, blocks, false_alarm / places))
    return -2 * blocks * rows * math.log(left)


def false_alarm_probability(
    explained: Float[Tensor, "b k"], blocks: int, free: Float[Tensor, "b #k"], places: int
) -> Float[Tensor, "b k"]:
    """`min(1, G P(Beta(T, n - T) > explained))`, the threshold's test turned round.

    Args:
        explained: part of what one source fewer leaves that this source explains, 0..1.
        free: complex numbers n that the other sources leave free.
        places: G, where the source was searched for.
    """
    rest = (free - blocks).clamp_min(0.5).expand_as(explained)
    tail = betainc(rest.cpu().numpy(), float(blocks), (1 - explained).clamp(0, 1).cpu().numpy())
    return (places * torch.from_numpy(tail)).clamp_max(1).to(explained)


def false_alarm_anywhere(
    explained: Float[Tensor, "b k"],
    blocks: int,
    free: Float[Tensor, "b #k"],
    searched: Searched,
) -> Float[Tensor, "b k"]:
    """The same of the best place of the whole domain, on the grid or between its points."""
    level = -torch.log1p(-explained.clamp(0, 1))
    between = exceedance(level, searched.sizes, blocks, free.clamp_min(blocks + 1.5))
    # At low levels the field's sum is not a probability, and the grid's bound is 1.
    on_grid = false_alarm_probability(explained, blocks, free, searched.places)
    return torch.fmax(on_grid, between).clamp_max(1)


def source_costs(
    criterion: str | Threshold,
    blocks: int,
    rows: int,
    coordinates: int,
    searched: Searched,
    most: int,
) -> tuple[float, ...]:
    """What 0, 1, .. `most` sources cost by one of the `RESIDUAL_CRITERIA`, `most` identifiable."""
    if criterion == "aic":
        costs = [aic_penalty(blocks, coordinates)] * most
    else:
        test = criterion if isinstance(criterion, Threshold) else Threshold()
        least = bic_penalty(blocks, rows, coordinates) if criterion == "bic" else 0.0
        taken = blocks + coordinates / 2
        places, samples = searched.places, blocks * rows
        costs = [
            max(least, threshold_penalty(blocks, rows, places, test.false_alarm, k * taken))
            for k in range(most)
        ]
        free = samples - taken * torch.arange(most, dtype=torch.float64)
        levels = torch.tensor(costs, dtype=torch.float64) / (2 * samples)
        sizes = searched.sizes.cpu()
        if bool((exceedance(levels, sizes, blocks, free) > test.false_alarm).any()):
            anywhere = 2 * samples * alarm_level(sizes, blocks, free, test.false_alarm)
            costs = list(map(max, costs, anywhere.tolist()))
    return tuple(accumulate(costs, initial=0.0))


def threshold_costs(
    measurement: Measurement,
    sizes: Float[Tensor, "b d"],
    coordinates: int,
    test: Threshold,
    most: int,
) -> Float[Tensor, "b n"]:
    """What 0, 1, .. `most` sources cost each scene by a `Threshold`.

    Args:
        sizes: of the domain that is searched, see `random_field`.
    """
    taken = measurement.blocks + coordinates / 2
    costs = [torch.zeros_like(sizes[:, 0])]
    for k in range(most):
        free = measurement.samples - k * taken
        level = alarm_level(sizes, measurement.blocks, free, test.false_alarm)
        costs.append(costs[-1] + 2 * measurement.samples * level)
    return torch.stack(costs, dim=1)


def penalised_likelihood(
    measurement: Measurement, rss: Float[Tensor, " b"], cost: float | Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """`2 T L M ln rss + cost`: -2 ln likelihood up to a constant.

    A residual below the rounding of the data's energy, a sum of n = T L M squares and so known to
    `n eps` (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1),
    counts as that rounding.
    """
    floor = measurement.samples * rounding_floor(measurement)
    return 2 * measurement.samples * torch.maximum(rss, floor).log() + cost


def number_confidence(values: Float[Tensor, "b k"], count: Tensor) -> Float[Tensor, " b"]:
    """`exp(-v_count / 2) / sum_k exp(-v_k / 2)`, v in units of -2 ln likelihood.

    Of eigenvalues, whose criteria place no source: the evidence of fits (`evidence`) does not exist
    for them. With MDL that is the posterior probability of the number among those tried, all
    equally probable beforehand, to the order of the approximation that BIC is (A. E. Raftery,
    "Bayesian Model Selection in Social Research", Sociol. Methodol. 25, 1995); with AIC the Akaike
    weight.
    """
    return torch.softmax(-values / 2, dim=1).gather(1, count[:, None])[:, 0]


def whitened_eigenvalues(measurement: Measurement) -> tuple[Float[Tensor, "b m"], int]:
    """Eigenvalues, DESCENDING, of a covariance in which the noise is white, and its samples n.

        x_t = W_t^-1 Phi_t^H y_t = A g s_t + noise of covariance sigma^2 W_t^-1
        u_t = V^-1/2 x_t,   V = mean_t W_t^-1

    Codes change from block to block and with them the covariance of the noise; its mean over the
    blocks is made white. N-dimensional u_t of T blocks have as many eigenvalues as the smaller of T
    and N, of U^H U / N or U U^H / T: m is the smaller and n the larger. At most m - 1 sources can
    be told.

    Raises:
        InputError: Phi_t without full rank, which has no such inverse.
    """
    without_rank = "codes leave Phi without full rank: allowed is rank N for eigenvalues"
    if not isinstance(measurement, GramMeasurement):
        raise InputError(without_rank)
    factor, failed = torch.linalg.cholesky_ex(measurement.gram)
    if bool(failed.any()):
        raise InputError(without_rank)
    x = solve_factored(measurement.by_class(measurement.matched)[..., None], factor)[..., 0]
    # The inverse itself is wanted: it is the covariance of the noise.
    noise = invert_factored(factor).mean(1)
    root = torch.linalg.cholesky(noise)
    u = torch.linalg.solve_triangular(root, x.movedim(1, -1), upper=False).flatten(1, 2)
    elements, blocks = u.shape[1:]
    if blocks <= elements:
        return eigenvalues(u.mH @ u / elements), elements
    return eigenvalues(u @ u.mH / blocks), blocks


def eigenvalue_number(
    measurement: Measurement, criterion: str, most: int
) -> tuple[Tensor, Float[Tensor, " b"]]:
    """Number of sources (B,), `most` or fewer, by one of the `EIGENVALUE_CRITERIA`, and its
    confidence."""
    values, samples = whitened_eigenvalues(measurement)
    if criterion == "eigenvalue_mdl":
        values = 2 * eigenvalue_mdl(values, samples)
    else:
        values = eigenvalue_aic(values, samples)
    values = values[:, : most + 1]
    count = values.argmin(1)
    return count, number_confidence(values, count)
