"""Sources one by one: detect, refine jointly, look again for every source with the others in place.

The first search is whitened against what has not been found yet (`whitening`). Once K sources are
in place nothing else is left in the data, so the second look uses the white filter, which is then
the exact likelihood ratio; a source moves when its best place lies in another cell and lowers the
residual.

Source: J. Li and P. Stoica, "Efficient mixed-spectrum estimation with applications to target
feature extraction", IEEE Trans. Signal Process. 44(2), 1996 (the second look is RELAX's).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ris_pipeline._replay import Recordings
from ris_pipeline.localization.cholesky import invert_factored, regular_cholesky, solve_factored
from ris_pipeline.localization.coordinates import Domain, line_of_sight
from ris_pipeline.localization.grid_search.detection import (
    Detector,
    gains_and_whitened,
    grid_gains,
    next_places,
    next_source,
)
from ris_pipeline.localization.least_squares.refinement import STAGE_TOLERANCE, refine
from ris_pipeline.localization.measurement.columns import source_columns
from ris_pipeline.localization.measurement.noise import noise_estimate, rounding_floor
from ris_pipeline.localization.measurement.statistics import Measurement, Outside
from ris_pipeline.localization.measurement.whitening import (
    amplitude_ridge,
    noise_over_power,
    whiten,
)

_ROUNDS = 4
"""Second looks at all sources of a scene; a scene leaves after the first that moved nothing."""

_WORTH_MOVING = 0.5
"""A source moves when -ln likelihood falls by this much: less is not another place but slower
convergence to the same."""

_WORTH_TRYING = 0.5
"""A place is tried when its score is this part of the best one's: the grid and the sources beside
it, which are not refined with it, can hide a third."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What the searches of a batch share: data and grid gains (`SteeringGrid.at_points`), white and
    whitened."""

    detector: Detector
    white: Measurement
    white_gains: Tensor
    whitened: Measurement
    whitened_gains: Tensor
    costs: Tensor
    """What 0, 1, .. sources cost in each scene, by the criterion (B, most + 1)."""
    outside: Outside | None
    """What is outside the range of Phi."""
    domain: Domain
    half_cell: Tensor
    """Half of `resolution_cell`, (3,): places closer than this are one and the same."""
    recordings: Recordings | None
    """Of the steps of refinements, see `SteeringGrid.recordings`."""

    def take(self, index: Tensor) -> "Search":
        """The scenes `index`, each once and in order."""
        if index.numel() == self.white.scenes:
            return self
        return replace(
            self,
            white=self.white.take(index),
            white_gains=self.white_gains[index],
            whitened=self.whitened.take(index),
            whitened_gains=self.whitened_gains[index],
            costs=self.costs[index],
            outside=None if self.outside is None else self.outside.take(index),
        )


@dataclass(frozen=True)
class Found:
    """Sources found in each scene and how well they fit: parameters (B, K, 3), objective (B,)."""

    parameters: Tensor
    objective: Tensor

    @property
    def active(self) -> Bool[Tensor, "b k"]:
        """All of them."""
        shape, device = self.parameters.shape[:2], self.parameters.device
        return torch.ones(shape, dtype=torch.bool, device=device)

    def take(self, index: Tensor) -> "Found":
        """The scenes `index`."""
        return Found(self.parameters[index], self.objective[index])

    def put(self, index: Tensor, others: "Found") -> "Found":
        """The same with the scenes `index` replaced."""
        parameters, objective = self.parameters.clone(), self.objective.clone()
        parameters[index], objective[index] = others.parameters, others.objective
        return Found(parameters, objective)

    def without(self, source: int) -> Float[Tensor, "b k 3"]:
        """The places of the others."""
        before, after = self.parameters[:, :source], self.parameters[:, source + 1 :]
        return torch.cat((before, after), dim=1)


def prepare_search(
    detector: Detector,
    measurement: Measurement,
    domain: Domain,
    half_cell: Tensor,
    interference: bool = True,
    costs: Float[Tensor, "b n"] | None = None,
) -> Search:
    """Whiten the data and evaluate the grid once for all searches of a batch.

    Args:
        interference: False where no scene has more than one source: the white filter is then exact.
        costs: of the numbers of sources; by default nothing.
    """
    grid = detector.grid
    whitened, outside = measurement, measurement.outside()
    if interference:
        ratio = noise_over_power(measurement, outside)
        whitened = whiten(measurement, ratio, grid.dtype)
        both = gains_and_whitened(detector, measurement, whitened, ratio)
        gains, whitened_gains = (grid.at_points(each) for each in both)
        measurement = replace(measurement, ridge=amplitude_ridge(measurement, outside))
    else:
        gains = whitened_gains = grid.at_points(grid_gains(detector, measurement))
    return Search(
        detector=detector,
        white=measurement,
        white_gains=gains,
        whitened=whitened,
        whitened_gains=whitened_gains,
        costs=measurement.energy.new_zeros(measurement.scenes, 1) if costs is None else costs,
        outside=outside,
        domain=domain,
        half_cell=half_cell,
        recordings=grid.recordings,
    )


def refined_sources(search: Search, data: Measurement, start: Float[Tensor, "b k 3"]) -> Found:
    """All sources of each scene of the data refined together, as far as a stage asks for."""
    active = torch.ones(start.shape[:2], dtype=torch.bool, device=start.device)
    refined = refine(data, start, active, search.domain, STAGE_TOLERANCE, search.recordings)
    return Found(refined.parameters, refined.fit.objective)


def add_source(search: Search, parameters: Float[Tensor, "b k 3"]) -> Found:
    """One more source, and all K + 1 refined together."""
    sources = parameters.shape[1]
    active = torch.ones(parameters.shape[:2], dtype=torch.bool, device=parameters.device)
    where, _ = next_source(
        search.detector, search.whitened, search.whitened_gains, parameters, active
    )
    start = torch.cat((parameters, search.detector.grid.coordinates(where)[:, None]), dim=1)
    found = refined_sources(search, search.white, start)
    return _look_again(search, found) if sources else found


def likeliest_alone(search: Search) -> Found:
    """The first source where the likelihood itself is largest, without a ridge."""
    free = replace(search.white, ridge=torch.zeros_like(search.white.ridge))
    nothing = search.domain.lower.repeat(free.scenes, 0, 1)
    return add_source(replace(search, white=free), nothing)


def drop_weakest(search: Search, sources: Float[Tensor, "b kk 3"]) -> Found:
    """One source fewer: without the one that explains least beside the others, refined again.

    Leaving out source k raises the residual by `|x_k|^2 / [(B^H B)^-1]_kk`, summed over the blocks.
    Where that is the source added last the fit before it is returned to, and nothing is refined:
    the objective is then infinite.
    """
    kept = sources.shape[1] - 1
    active = torch.ones(sources.shape[:2], dtype=torch.bool, device=sources.device)
    weakest = loss_without(search.white, sources, active).argmin(1)
    slots = torch.arange(kept, device=sources.device)
    slots = slots + (slots >= weakest[:, None]).to(torch.int64)
    places = sources.gather(1, slots[..., None].expand(-1, -1, 3))
    fewer = Found(places, torch.full_like(search.white.energy, torch.inf))
    index = torch.nonzero(weakest < kept)[:, 0]
    if index.numel() == 0:
        return fewer
    data = search.white.take(index)
    return fewer.put(index, refined_sources(search, data, places[index]))


def loss_without(
    measurement: Measurement, parameters: Tensor, active: Tensor
) -> Float[Tensor, "b k"]:
    """By how much the residual rises without each source: `sum_t |x_k|^2 / [(B^H B)^-1]_kk`."""
    a = source_columns(measurement, parameters, active)
    # Sources that coincide to rounding: without one of them nothing is lost.
    factor, apart = regular_cholesky(measurement.inner(a))
    amplitudes = solve_factored(measurement.correlate(a)[..., None], factor)[..., 0]
    inverse = invert_factored(factor).diagonal(dim1=-2, dim2=-1).real
    return torch.where(apart[..., None], amplitudes.abs().square() / inverse, 0.0).sum(1)


def noise_beside(search: Search, sources: Found, coordinates: int) -> Float[Tensor, " b"]:
    """Noise variance as what all K sources leave has it.

    Args:
        coordinates: unknown ones of a source.
    """
    count = torch.full_like(sources.objective, sources.parameters.shape[1], dtype=torch.int64)
    return noise_estimate(search.white, sources.objective, count, coordinates)


def _look_again(search: Search, sources: Found) -> Found:
    """Move sources to better cells until none wants to."""
    waiting = torch.arange(sources.objective.shape[0], device=sources.objective.device)
    for _ in range(_ROUNDS):
        part, here = search.take(waiting), sources.take(waiting)
        before = here.objective
        for source in range(sources.parameters.shape[1]):
            here = relocate(part, here, source)
        sources = sources.put(waiting, here)
        waiting = waiting[torch.nonzero(here.objective < before)[:, 0]]
        if waiting.numel() == 0:
            break
    return sources


def relocate(search: Search, sources: Found, source: int, places: int = 1) -> Found:
    """The best of some other places for one source of each scene, where one is better."""
    others, here = sources.without(source), sources.parameters
    found, scores = next_places(
        search.detector,
        search.white,
        search.white_gains,
        others,
        sources.active[:, 1:],
        places,
        2 * search.half_cell,
    )
    start = here[:, None].repeat(1, places, 1, 1)
    start[:, :, source] = search.detector.grid.coordinates(found)
    now = here[:, None, source].expand(-1, places, -1)
    there = start[:, :, source].flatten(0, 1)
    tried = ~_in_half_cell(there, now.flatten(0, 1), search.half_cell).unflatten(0, found.shape)
    tried = tried & (scores > _WORTH_TRYING * scores[:, :1])
    scene, place = tried.nonzero(as_tuple=True)
    return best_start(search, sources, scene, start[scene, place])


def best_start(
    search: Search, sources: Found, index: Int[Tensor, " s"], start: Float[Tensor, "s k 3"]
) -> Found:
    """The scenes `index`, in which one may occur often, refined each from its `start`: what is best
    is kept where it is better by `_WORTH_MOVING`."""
    if index.numel() == 0:
        return sources
    data, old = search.white.take(index), sources.objective
    found = refined_sources(search, data, start)
    lower = found.objective
    least = torch.full_like(old, torch.inf).scatter_reduce(0, index, lower, "amin")
    gain = data.samples * (old[index] / lower.clamp_min(rounding_floor(data))).log()
    better = (gain > _WORTH_MOVING) & (lower < old[index]) & (lower == least[index])
    better = torch.nonzero(better)[:, 0]
    return sources.put(index[better], found.take(better))


def _in_half_cell(place: Tensor, other: Tensor, half_cell: Tensor) -> Bool[Tensor, " b"]:
    return ((line_of_sight(place) - line_of_sight(other)).abs() < half_cell).all(1)
