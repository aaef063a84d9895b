"""Where a fit may be the wrong one, and what is then tried.

consistent   (J - E) / (T N - K (T + d/2))  <=  c E / (T (L M - N)),   c: a quantile of F

with J the residual of K sources of d coordinates and E the energy outside the range of Phi, which
is noise wherever the sources are. Numerator and denominator are two estimates of sigma^2, one of
them free of the sources, so the ratio has the F distribution when the fit is right. A source that
was missed or put in the wrong place at high SNR leaves far more than that.

At low SNR it does not, and any source that explains little may be in the wrong place:

weak         min_k (rise of the residual without source k) < WEAK sigma^2

Fits in doubt are searched again: for each source the best places in other lobes, then one source
more and the weakest dropped, which frees a fit in which one source stands between two.

Source: R. A. Fisher's variance ratio, as in S. Weisberg, "Applied Linear Regression", 4th ed. 2014,
section 7.2 (test of lack of fit against pure error).
"""

import torch
from jaxtyping import Bool, Float
from scipy.stats import f as variance_ratio
from torch import Tensor

from ris_pipeline.localization.greedy import (
    Search,
    add_source,
    drop_weakest,
    loss_without,
    relocate,
)
from ris_pipeline.localization.refinement import noise_estimate

LEVEL = 0.02
"""Part of the right fits that are called inconsistent: it costs time, not accuracy."""

WEAK = 100.0
"""A source is weak below this. It is 20 dB after all of the measurement: a place in another lobe
explains at best half of what the right one does, and noise lifts it by 10 among all places."""

_PLACES = 3
"""Places tried for each source, in different lobes."""


def consistent(
    search: Search, objective: Float[Tensor, " b"], number: int, coordinates: int
) -> Bool[Tensor, " b"]:
    """Whether the residual of `number` sources is no more than noise; False where nobody knows."""
    if search.outside is None:
        return torch.zeros_like(objective, dtype=torch.bool)
    data = search.white
    inside = data.blocks * data.elements - number * (data.blocks + coordinates / 2)
    outside = data.blocks * (data.rows - data.elements)
    largest = float(variance_ratio.ppf(1 - LEVEL, 2 * inside, 2 * outside))
    return (objective - search.outside) / inside <= largest * search.outside / outside


def _noise(search: Search, objective: Tensor, number: int, coordinates: int) -> Tensor:
    data = search.white
    if search.outside is not None:
        return search.outside / (data.blocks * (data.rows - data.elements))
    count = torch.full_like(objective, number, dtype=torch.int64)
    return noise_estimate(data, objective, count, coordinates)


def search_again(
    search: Search,
    parameters: Float[Tensor, "b k 3"],
    objective: Float[Tensor, " b"],
    coordinates: int,
    one_more: bool,
) -> None:
    """Search again where a fit of K >= 2 sources is in doubt; in place.

    Args:
        coordinates: unknown coordinates of a source.
        one_more: whether the data could hold K + 1 sources.
    """
    k = parameters.shape[1]
    active = torch.ones(parameters.shape[:2], dtype=torch.bool, device=parameters.device)
    noise = _noise(search, objective, k, coordinates)
    weak = loss_without(search.white, parameters, active).amin(1) < WEAK * noise
    doubt = torch.nonzero(weak | ~consistent(search, objective, k, coordinates))[:, 0]
    if k < 2 or doubt.numel() == 0:
        return
    part = search.take(doubt)
    here, rss = parameters[doubt], objective[doubt]
    everything = torch.arange(doubt.numel(), device=doubt.device)
    for source in range(k):
        relocate(part, here, rss, everything, source, _PLACES)
    if one_more:
        fewer, lower = drop_weakest(part, add_source(part, here)[0])
        better = lower < rss
        here[better], rss[better] = fewer[better], lower[better]
    parameters[doubt], objective[doubt] = here, rss
