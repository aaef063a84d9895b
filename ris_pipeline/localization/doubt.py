"""Where a fit may be the wrong one, and what is then tried.

consistent   (J - E) / (T N - K (T + d/2))  <=  c E / (T (L M - N)),   c: a quantile of F

with J the residual of K sources of d coordinates and E the energy outside the range of Phi, which
is noise wherever the sources are. Numerator and denominator are two estimates of sigma^2, one of
them free of the sources, so the ratio has the F distribution when the fit is right. A source that
was missed or put in the wrong place at high SNR leaves far more than that.

At low SNR it does not, and any source that explains little may be in the wrong place:

weak         min_k (rise of the residual without source k) < WEAK sigma^2

Fits in doubt are searched again. For each source the best places in other lobes are tried; for each
pair closer than two beamwidths, new pairs, since neither can move while the other stands in its
way, and for each pair with the only faint source, which is wasted where the other stands between
two; then one source more and the weakest dropped, which frees such a fit as well.

Source: R. A. Fisher's variance ratio, as in S. Weisberg, "Applied Linear Regression", 4th ed. 2014,
section 7.2 (test of lack of fit against pure error).
"""

from itertools import combinations

import torch
from jaxtyping import Bool, Float
from scipy.special import fdtri
from torch import Tensor

from ris_pipeline.localization.detection import next_places, next_source
from ris_pipeline.localization.greedy import (
    Search,
    add_source,
    drop_weakest,
    line_of_sight,
    loss_without,
    relocate,
    try_from,
)
from ris_pipeline.localization.refinement import noise_estimate

LEVEL = 0.02
"""Part of the right fits that are called inconsistent: it costs time, not accuracy."""

WEAK = 120.0
"""A source is weak below this, 21 dB after all of the measurement. Noise alone explains 10 at the
best of all places, and two close sources leave a wrong pair a few per cent of what one explains."""

FAINT = 30.0
"""A source is faint below this: it may be noise, taken for a source because one of the others
stands between two and explains most of both."""

_PLACES = 3
"""Places tried for each source, in different lobes."""

_PAIRS = 4
"""Places tried for the first source of a pair, half a lobe apart; the other goes to its best."""


def consistent(
    search: Search, objective: Float[Tensor, " b"], number: int, coordinates: int
) -> Bool[Tensor, " b"]:
    """Whether the residual of `number` sources is no more than noise; False where nobody knows."""
    if search.outside is None:
        return torch.zeros_like(objective, dtype=torch.bool)
    data = search.white
    inside = data.blocks * data.elements - number * (data.blocks + coordinates / 2)
    outside = data.blocks * (data.rows - data.elements)
    largest = float(fdtri(2 * inside, 2 * outside, 1 - LEVEL))
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
    """Search again where a fit of K >= 1 sources is in doubt; in place.

    Args:
        coordinates: unknown coordinates of a source.
        one_more: whether the data could hold K + 1 sources.
    """
    k = parameters.shape[1]
    active = torch.ones(parameters.shape[:2], dtype=torch.bool, device=parameters.device)
    noise = _noise(search, objective, k, coordinates)
    weak = loss_without(search.white, parameters, active).amin(1) < WEAK * noise
    doubt = torch.nonzero(weak | ~consistent(search, objective, k, coordinates))[:, 0]
    if k == 0 or doubt.numel() == 0:
        return
    part = search.take(doubt)
    here, rss = parameters[doubt], objective[doubt]
    everything = torch.arange(doubt.numel(), device=doubt.device)
    for source in range(k):
        relocate(part, here, rss, everything, source, _PLACES)
    for pair in combinations(range(k), 2):
        _replace_pair(part, here, rss, pair, FAINT * noise[doubt])
    if one_more:
        fewer, lower = drop_weakest(part, add_source(part, here)[0])
        better = lower < rss
        here[better], rss[better] = fewer[better], lower[better]
    parameters[doubt], objective[doubt] = here, rss


def _replace_pair(
    search: Search, parameters: Tensor, rss: Tensor, pair: tuple[int, int], level: Tensor
) -> None:
    """Try new places for two sources at once, in place: where they are close, and where one of them
    is the only faint one. Where more are faint the noise is too strong to part anything."""
    active = torch.ones(parameters.shape[:2], dtype=torch.bool, device=parameters.device)
    faint = loss_without(search.white, parameters, active) < level[:, None]
    wasted = faint[:, pair].any(1) & (faint.sum(1) == 1)
    first, second = (line_of_sight(parameters[:, source]) for source in pair)
    # A lobe is half a beamwidth.
    close = ((first - second).abs()[:, :2] < 4 * search.lobe[:2]).all(1)
    index = torch.nonzero(close | wasted)[:, 0]
    if index.numel() == 0:
        return
    part, k = search.take(index), parameters.shape[1]
    others = parameters[index][:, [source for source in range(k) if source not in pair]]
    active = torch.ones(index.numel(), k, dtype=torch.bool, device=index.device)
    data, gains = part.white, part.white_gains
    places, _ = next_places(
        part.detector, data, gains, others, active[:, : k - 2], _PAIRS, part.lobe / 2
    )
    starts = []
    for place in places.unbind(1):
        start = torch.cat((others, part.detector.grid.coordinates(place)[:, None]), dim=1)
        beside, _ = next_source(part.detector, data, gains, start, active[:, : k - 1])
        starts.append(torch.cat((start, part.detector.grid.coordinates(beside)[:, None]), dim=1))
    try_from(search, parameters, rss, index.repeat(_PAIRS), torch.cat(starts))
