"""Where a fit may be the wrong one, and what is then tried.

consistent   (J - E) / (R - K (T + d/2))  <=  c E / (T L M - R),   c: a quantile of F

with J the residual of K sources of d coordinates, R the rank of Phi over all blocks and E the
energy outside its range, which is noise wherever the sources are. Numerator and denominator are two
estimates of sigma^2, one of them free of the sources, so the ratio has the F distribution when the
fit is right. A source that
was missed or put in the wrong place at high SNR leaves far more than that.

Where nothing is outside the range of Phi the noise level is not known, but over several blocks what
a source leaves still stands out of the rest:

unremarkable   P(noise alone lets the best of all places explain as much)  >  LIKELY

At low SNR neither is seen, and any source that explains little may be in the wrong place:

weak         min_k (rise of the residual without source k) < WEAK sigma^2

Fits in doubt are searched again. For each source the best places in other cells are tried; for each
pair closer than two beamwidths, new pairs, since neither can move while the other stands in its
way, and for each pair with the only faint source, which is wasted where the other stands between
two; then one source more and the weakest dropped, which frees such a fit as well.

Source: R. A. Fisher's variance ratio, as in S. Weisberg, "Applied Linear Regression", 4th ed. 2014,
section 7.2 (test of lack of fit against pure error).
"""

from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import fdtri
from torch import Tensor

from ris_pipeline.localization.coordinates import line_of_sight
from ris_pipeline.localization.grid_search.detection import next_places, next_source
from ris_pipeline.localization.maximum_likelihood.relax import (
    Found,
    Search,
    add_source,
    best_start,
    drop_weakest,
    loss_without,
    noise_beside,
    relocate,
)
from ris_pipeline.localization.source_number import false_alarm_probability

LEVEL = 0.02
"""Part of the right fits that are called inconsistent: it costs time, not accuracy."""

LIKELY = 0.5
"""Probability, no more than that of right fits that are called remarkable: places beside each other
are counted as if they were independent. At 0.2 one of 1,400 scenes lost the better of its fits, at
0.5 none."""

WEAK = 120.0
"""A source is weak below this, 21 dB after all of the measurement. Noise alone explains 10 at the
best of all places, and two close sources leave a wrong pair a few per cent of what one explains."""

FAINT = 30.0
"""A source is faint below this: it may be noise, taken for a source because one of the others
stands between two and explains most of both."""

_PLACES = 3
"""Places tried for each source, in different cells."""

_PAIRS = 4
"""Places tried for the first source of a pair, a quarter of a beamwidth apart; the other goes to
its best."""


def consistent(search: Search, found: Found, coordinates: int) -> Bool[Tensor, " b"]:
    """Whether what the sources found leave is no more than noise.

    Args:
        coordinates: unknown coordinates of a source.
    """
    if search.outside is None:
        if not scores_tell(search, found):
            return torch.zeros_like(found.objective, dtype=torch.bool)
        data, gains = search.white, search.white_gains
        _, score = next_source(search.detector, data, gains, found.parameters, found.active)
        return unremarkable(search, found, score, coordinates)
    data, number = search.white, found.parameters.shape[1]
    outside = search.outside.dimensions
    inside = (data.samples - outside - number * (data.blocks + coordinates / 2)).clamp_min(0.5)
    largest = torch.from_numpy(
        np.asarray(fdtri(2 * inside.cpu().numpy(), 2 * outside.cpu().numpy(), 1 - LEVEL))
    ).to(outside)
    return (found.objective - search.outside.energy) / inside <= largest * search.outside.noise


def scores_tell(search: Search, found: Found) -> bool:
    """Whether the scores beside these sources say that nothing is left.

    Not beside one source: the whitened filter alone put it where it is. Not in a single block: its
    sources are coherent, and one in the wrong place leaves what looks like none.
    """
    return search.white.blocks > 1 and found.parameters.shape[1] > 1


def unremarkable(
    search: Search, found: Found, score: Float[Tensor, " b"], coordinates: int
) -> Bool[Tensor, " b"]:
    """Whether noise alone would let one source more explain as much, with probability `LIKELY`."""
    data, number = search.white, found.parameters.shape[1]
    free = data.samples - number * (data.blocks + coordinates / 2)
    explained = (score / found.objective)[:, None]
    every = torch.full_like(explained, free)
    alarm = false_alarm_probability(explained, data.blocks, every, search.detector.grid.size)
    return alarm[:, 0] > LIKELY


def _noise(search: Search, sources: Found, coordinates: int) -> Float[Tensor, " b"]:
    if search.outside is not None:
        return search.outside.noise
    return noise_beside(search, sources, coordinates)


def _doubtful(
    search: Search, sources: Found, noise: Tensor, coordinates: int, right: Tensor | None
) -> Int[Tensor, " s"]:
    losses = loss_without(search.white, sources.parameters, sources.active)
    doubtful = losses.amin(1) < WEAK * noise
    unsure = torch.nonzero(~doubtful if right is None else ~(doubtful | right))[:, 0]
    if unsure.numel():
        fits = consistent(search.take(unsure), sources.take(unsure), coordinates)
        doubtful[unsure] = ~fits
    return torch.nonzero(doubtful)[:, 0]


def search_again(
    search: Search,
    sources: Found,
    coordinates: int,
    one_more: bool,
    right: Bool[Tensor, " b"] | None = None,
) -> Found:
    """The better of two searches where a fit of K >= 1 sources is in doubt.

    Args:
        coordinates: unknown coordinates of a source.
        one_more: whether the data could hold K + 1 sources.
        right: fits that are known to be `consistent`.
    """
    k = sources.parameters.shape[1]
    noise = _noise(search, sources, coordinates)
    doubtful = _doubtful(search, sources, noise, coordinates, right)
    if doubtful.numel() == 0:
        return sources
    part, here = search.take(doubtful), sources.take(doubtful)
    for source in range(k):
        here = relocate(part, here, source, _PLACES)
    for pair in combinations(range(k), 2):
        here = _replace_pair(part, here, pair, FAINT * noise[doubtful])
    if one_more:
        fewer = drop_weakest(part, add_source(part, here.parameters).parameters)
        better = torch.nonzero(fewer.objective < here.objective)[:, 0]
        here = here.put(better, fewer.take(better))
    return sources.put(doubtful, here)


def _replace_pair(search: Search, sources: Found, pair: tuple[int, int], level: Tensor) -> Found:
    """The best of new places for two sources at once: where they are close, and where one of them
    is the only faint one. Where more are faint the noise is too strong to part anything."""
    parameters = sources.parameters
    faint = loss_without(search.white, parameters, sources.active) < level[:, None]
    wasted = faint[:, pair].any(1) & (faint.sum(1) == 1)
    first, second = (line_of_sight(parameters[:, source]) for source in pair)
    close = ((first - second).abs()[:, :2] < 4 * search.half_cell[:2]).all(1)
    index = torch.nonzero(close | wasted)[:, 0]
    if index.numel() == 0:
        return sources
    part, k = search.take(index), parameters.shape[1]
    others = parameters[index][:, [source for source in range(k) if source not in pair]]
    active = torch.ones(index.numel(), k, dtype=torch.bool, device=index.device)
    data, gains = part.white, part.white_gains
    places, _ = next_places(
        part.detector, data, gains, others, active[:, : k - 2], _PAIRS, part.half_cell / 2
    )
    starts = []
    for place in places.unbind(1):
        start = torch.cat((others, part.detector.grid.coordinates(place)[:, None]), dim=1)
        beside, _ = next_source(part.detector, data, gains, start, active[:, : k - 1])
        starts.append(torch.cat((start, part.detector.grid.coordinates(beside)[:, None]), dim=1))
    return best_start(search, sources, index.repeat(_PAIRS), torch.cat(starts))
