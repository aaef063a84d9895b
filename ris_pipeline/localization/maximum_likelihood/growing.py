"""How many sources: scenes grow source by source until one more does not pay."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ris_pipeline.localization.coordinates import Domain
from ris_pipeline.localization.grid_search.detection import Detector, next_source
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.maximum_likelihood.one_more import most_explained, peaks_left
from ris_pipeline.localization.maximum_likelihood.relax import (
    Found,
    Search,
    add_source,
    drop_weakest,
    likeliest_alone,
    refined_sources,
)
from ris_pipeline.localization.maximum_likelihood.second_search import (
    consistent,
    scores_tell,
    search_again,
    unremarkable,
)
from ris_pipeline.localization.source_number import Searched, penalised_likelihood

_PATIENCE = 2
"""Rises of the criterion in a row before a scene stops growing. One is not enough: of two equal
sources the best single one can explain less than its penalty, and the pair then goes unseen even
at 20 dB."""

_SEEN = 0.6
"""Part of what a source explains that the grid shows of it at least: 0.66 for the direction (see
`DEFAULT_DENSITY`), the rest for the depth."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all scenes of a call share."""

    detector: Detector
    domain: Domain
    slots: int
    coordinates: int
    """Unknown coordinates of a source."""
    half_cell: Tensor
    width: float
    """The larger beamwidth."""
    searched: Searched
    one_more: bool
    """Whether the data could hold one source beyond `slots`."""


@dataclass
class Numbers:
    """What has been tried of each scene, and the best of it so far: it grows by `note` and `offer`.

    values (B, slots + 1): the least criterion of each number, infinite where it was not tried;
    count (B,): the number of least criterion; places (B, slots, 3): its sources; tried
    (B, slots + 1): numbers that were fitted, and fits (B, slots + 1, slots, 3): the best fit of
    each; settled (B,): the number at which nothing but noise was left, -1 where there was none.
    """

    values: Float[Tensor, "b n"]
    count: Int[Tensor, " b"]
    places: Float[Tensor, "b k 3"]
    tried: Bool[Tensor, "b n"]
    fits: Float[Tensor, "b n k 3"]
    settled: Int[Tensor, " b"]
    _least: Float[Tensor, " b"] = field(repr=False)

    @classmethod
    def none(cls, scenes: int, slots: int, domain: Domain) -> "Numbers":
        """Nothing tried yet."""
        infinite = torch.full_like(domain.lower[0], torch.inf)
        count = torch.zeros(scenes, dtype=torch.int64, device=domain.lower.device)
        values, places = infinite.repeat(scenes, slots + 1), domain.lower.repeat(scenes, slots, 1)
        fits = domain.lower.repeat(scenes, slots + 1, slots, 1)
        tried = torch.zeros_like(values, dtype=torch.bool)
        settled = torch.full_like(count, -1)
        return cls(values, count, places, tried, fits, settled, infinite.repeat(scenes))

    def least(self, index: Tensor) -> Float[Tensor, " s"]:
        """The criterion of the best so far."""
        return self._least[index]

    def note(self, index: Tensor, number: int, values: Float[Tensor, " s"]) -> None:
        """Keep what a number is worth in the scenes `index`, where it is better than before."""
        self.values[index, number] = torch.minimum(self.values[index, number], values)

    def offer(
        self, index: Tensor, places: Float[Tensor, "s k 3"], values: Float[Tensor, " s"]
    ) -> Bool[Tensor, " s"]:
        """Take these sources of the scenes `index` where they are the best so far; where they
        are."""
        number = places.shape[1]
        best = ~self.tried[index, number] | (values < self.values[index, number])
        best_fits = torch.nonzero(best & values.isfinite())[:, 0]
        kept = index[best_fits]
        self.tried[kept, number] = True
        self.fits[kept, number, :number] = places[best_fits]
        self.note(index, number, values)
        better = values < self._least[index]
        best_yet = torch.nonzero(better)[:, 0]
        winners = index[best_yet]
        self.count[winners], self._least[winners] = number, values[best_yet]
        self.places[winners, :number] = places[best_yet]
        return better


def grow_known(search: Search, known: Tensor, plan: Plan) -> Float[Tensor, "b slots 3"]:
    """Places of `known` sources a scene."""
    index = torch.arange(known.shape[0], device=known.device)
    chosen = search.domain.lower.repeat(known.shape[0], plan.slots, 1)
    places = chosen[:, :0]
    for k in range(1, plan.slots + 1):
        search, index, places = _keep(search, index, places, known[index] >= k)
        if index.numel() == 0:
            break
        places = add_source(search, places).parameters
        chosen[index, :k] = places
    return chosen


def grow(search: Search, plan: Plan) -> Numbers:
    """Every number of sources that may be the best.

    A scene stops growing when what is left is noise (`consistent`) and the best place for one more
    source could not pay for it, or after `_PATIENCE` rises in a row.
    """
    energy = search.white.energy
    index = torch.arange(search.white.scenes, device=energy.device)
    numbers = Numbers.none(search.white.scenes, plan.slots, search.domain)
    nothing = Found(numbers.places[:, :0], energy)
    found = add_source(search, nothing.parameters)
    silence = _criterion(search, nothing) + _lost_alone(search, found)
    numbers.offer(index, nothing.parameters, silence)
    rises = torch.zeros_like(index)
    for k in range(1, plan.slots + 1):
        if k > 1:
            found = add_source(search, found.parameters)
        better = numbers.offer(index, found.parameters, _criterion(search, found))
        rises = torch.where(better, 0, rises + 1)
        if k > 1:
            fewer = drop_weakest(search, found.parameters)
            numbers.offer(index, fewer.parameters, _criterion(search, fewer))
        if k == plan.slots:
            break
        settled = _settled(search, index, found, numbers, plan)
        numbers.settled[index] = torch.where(settled, k, -1)
        wanted = (rises < _PATIENCE) & ~settled
        kept = torch.nonzero(wanted)[:, 0]
        if kept.numel() == 0:
            break
        search, index, found, rises = search.take(kept), index[kept], found.take(kept), rises[kept]
    return numbers


def _lost_alone(search: Search, found: Found) -> Float[Tensor, " b"]:
    """What the ridge takes from the likelihood of the best source alone.

    Whether there is a source at all is for the likelihood ratio to say, which is a test of constant
    false alarm; with a ridge it would be a stricter one.
    """
    if not bool(search.white.ridge.any()):
        return torch.zeros_like(found.objective)
    return _criterion(search, found) - _criterion(search, likeliest_alone(search))


def _criterion(search: Search, found: Found) -> Float[Tensor, " b"]:
    cost = search.costs[:, found.parameters.shape[1]]
    return penalised_likelihood(search.white, found.objective, cost)


def _settled(
    search: Search, index: Tensor, found: Found, numbers: Numbers, plan: Plan
) -> Bool[Tensor, " b"]:
    """Where what is left is noise, and one source more could not pay for itself.

    What it could be worth at best then stands for the number that is not tried.
    """
    if search.outside is not None:
        settled = consistent(search, found, plan.coordinates)
        quiet = torch.nonzero(settled)[:, 0]
        most = _seen(search.take(quiet), found.take(quiet)) / _SEEN
    elif scores_tell(search, found):
        peaks, score = peaks_left(search, found)
        settled = unremarkable(search, found, score, plan.coordinates)
        quiet = torch.nonzero(settled)[:, 0]
        part, few = search.take(quiet), found.take(quiet)
        most = most_explained(part, few, peaks[quiet], plan.coordinates)
    else:
        return torch.zeros_like(index, dtype=torch.bool)
    k, data = found.parameters.shape[1], search.white.take(quiet)
    least = (found.objective[quiet] - most).clamp_min(0)
    hoped = penalised_likelihood(data, least, search.costs[quiet, k + 1])
    hopeless = hoped >= numbers.least(index[quiet])
    settled[quiet] = hopeless
    left = torch.nonzero(hopeless)[:, 0]
    numbers.note(index[quiet[left]], k + 1, hoped[left])
    return settled


def _seen(search: Search, found: Found) -> Float[Tensor, " b"]:
    """What the best place of the grid explains of what is left."""
    data, gains = search.white, search.white_gains
    return next_source(search.detector, data, gains, found.parameters, found.active)[1]


def reconsider(search: Search, numbers: Numbers, plan: Plan) -> Numbers:
    """The same, but one source fewer where a second search finds a better fit of fewer.

    A fit of K sources that was caught in the wrong place is not seen as such while scenes grow, and
    K + 1 then explain what K could.
    """
    count, values, places = numbers.count.clone(), numbers.values.clone(), numbers.places.clone()
    tried, fits = numbers.tried.clone(), numbers.fits.clone()
    for k in range(3, plan.slots + 1):
        index = torch.nonzero(count == k)[:, 0]
        if index.numel() == 0:
            continue
        part = search.take(index)
        start = drop_weakest(part, places[index, :k]).parameters
        fewer = refined_sources(part, part.white, start)
        fewer = search_again(part, fewer, plan.coordinates, one_more=False)
        value = _criterion(part, fewer)
        better = torch.nonzero(value < values[index, k])[:, 0]
        lower = torch.nonzero(value < values[index, k - 1])[:, 0]
        fits[index[lower], k - 1, : k - 1] = fewer.parameters[lower]
        values[index, k - 1] = torch.minimum(values[index, k - 1], value)
        count[index[better]] = k - 1
        places[index[better], : k - 1] = fewer.parameters[better]
    return Numbers(values, count, places, tried, fits, numbers.settled, values.amin(1))


def settle(
    search: Search, count: Tensor, places: Tensor, plan: Plan, right: Bool[Tensor, " b"]
) -> Float[Tensor, "b slots 3"]:
    """The places of the chosen number, searched again where their fit is in doubt.

    Args:
        right: fits that are known to leave nothing but noise.
    """
    places = places.clone()
    for k in range(1, plan.slots + 1):
        index = torch.nonzero(count == k)[:, 0]
        if index.numel() == 0:
            continue
        part, here = search.take(index), places[index, :k]
        active = torch.ones(here.shape[:2], dtype=torch.bool, device=here.device)
        found = Found(here, linearise(part.white, here, active).objective)
        more = plan.one_more or k < plan.slots
        again = search_again(part, found, plan.coordinates, more, right[index])
        places[index, :k] = again.parameters
    return places


def _keep(
    search: Search, index: Tensor, parameters: Tensor, wanted: Tensor
) -> tuple[Search, Tensor, Tensor]:
    kept = torch.nonzero(wanted)[:, 0]
    return search.take(kept), index[kept], parameters[kept]
