"""How many sources: scenes grow source by source until one more does not pay."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ris_pipeline.localization.coordinates import Domain
from ris_pipeline.localization.grid_search.detection import Detector, next_source
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.least_squares.refinement import STAGE_TOLERANCE, refine
from ris_pipeline.localization.maximum_likelihood.relax import Search, add_source, drop_weakest
from ris_pipeline.localization.maximum_likelihood.second_search import consistent, search_again
from ris_pipeline.localization.source_number import penalised_likelihood

_PATIENCE = 2
"""Rises of the criterion in a row before a scene stops growing. One is not enough: of two equal
sources the best single one can explain less than its penalty, and the pair then goes unseen even
at 20 dB."""


_SEEN = 0.6
"""Part of what a source explains that the grid shows of it at least: 0.66 for the direction (see
`DEFAULT_DENSITY`), the rest for the depth."""


@dataclass(frozen=True)
class Plan:
    """What all scenes of a call share."""

    detector: Detector
    domain: Domain
    slots: int
    coordinates: int
    lobe: Tensor
    width: float
    costs: tuple[float, ...]
    """What 0..slots sources cost, by the criterion; see `source_number`."""
    one_more: bool
    """Whether the data could hold one source beyond `slots`."""


def grow_known(search: Search, known: Tensor, plan: Plan) -> Tensor:
    """Parameters (B, slots, 3) of `known` sources a scene."""
    index = torch.arange(known.shape[0], device=known.device)
    chosen = search.domain.lower.repeat(known.shape[0], plan.slots, 1)
    parameters = chosen[:, :0]
    for k in range(1, plan.slots + 1):
        search, index, parameters = _keep(search, index, parameters, known[index] >= k)
        if index.numel() == 0:
            break
        parameters, _ = add_source(search, parameters)
        chosen[index, :k] = parameters
    return chosen


def grow(search: Search, plan: Plan) -> tuple[Tensor, Tensor, Tensor]:
    """Number of sources (B,) of the least criterion, the criterion of 0..slots (B, slots + 1),
    infinite where it was not tried, and parameters (B, slots, 3).

    A scene stops growing when what is left is noise (`consistent`) and the best place for one more
    source could not pay for it, or after `_PATIENCE` rises in a row.
    """
    energy = search.white.energy
    index = torch.arange(energy.shape[0], device=energy.device)
    rises = torch.zeros_like(index)
    chosen = search.domain.lower.repeat(energy.shape[0], plan.slots, 1)
    parameters, best = chosen[:, :0], torch.full_like(energy, torch.inf)
    count = torch.zeros_like(index)
    values = torch.full_like(energy, torch.inf)[:, None].repeat(1, plan.slots + 1)

    def improve(parameters: Tensor, rss: Tensor, k: int) -> Tensor:
        value = penalised_likelihood(search.white, rss, plan.costs[k])
        values[index, k] = torch.minimum(values[index, k], value)
        better = value < best[index]
        winners = index[better]
        count[winners], best[winners], chosen[winners, :k] = k, value[better], parameters[better]
        return better

    improve(parameters, energy, 0)
    for k in range(1, plan.slots + 1):
        parameters, rss = add_source(search, parameters)
        better = improve(parameters, rss, k)
        rises[index] = torch.where(better, 0, rises[index] + 1)
        if k > 1:
            improve(*drop_weakest(search, parameters), k - 1)
        if k == plan.slots:
            break
        quiet = torch.nonzero(consistent(search, rss, k, plan.coordinates))[:, 0]
        hoped = _hoped(search.take(quiet), parameters[quiet], rss[quiet], plan)
        hopeless = hoped >= best[index[quiet]]
        settled = quiet[hopeless]
        # Where growth stops here, the hope stands for the number that was not tried.
        values[index[settled], k + 1] = hoped[hopeless]
        wanted = rises[index] < _PATIENCE
        wanted[settled] = False
        search, index, parameters = _keep(search, index, parameters, wanted)
        if index.numel() == 0:
            break
    return count, values, chosen


def _hoped(search: Search, parameters: Tensor, rss: Tensor, plan: Plan) -> Tensor:
    """The least criterion that one source more could give, as far as the grid shows."""
    active = torch.ones(parameters.shape[:2], dtype=torch.bool, device=rss.device)
    _, score = next_source(search.detector, search.white, search.white_gains, parameters, active)
    least = (rss - score / _SEEN).clamp_min(0)
    return penalised_likelihood(search.white, least, plan.costs[parameters.shape[1] + 1])


def settle(search: Search, count: Tensor, parameters: Tensor, plan: Plan) -> None:
    """Search again where a fit of the chosen number is in doubt; in place."""
    for k in range(1, plan.slots + 1):
        index = torch.nonzero(count == k)[:, 0]
        if index.numel() == 0:
            continue
        part, here = search.take(index), parameters[index, :k]
        active = torch.ones(here.shape[:2], dtype=torch.bool, device=here.device)
        objective = linearise(part.white, here, active).objective
        more = plan.one_more or k < plan.slots
        search_again(part, here, objective, plan.coordinates, more)
        parameters[index, :k] = here


def _keep(
    search: Search, index: Tensor, parameters: Tensor, wanted: Tensor
) -> tuple[Search, Tensor, Tensor]:
    kept = torch.nonzero(wanted)[:, 0]
    return search.take(kept), index[kept], parameters[kept]


def reconsider_number(
    search: Search, count: Tensor, values: Tensor, parameters: Tensor, plan: Plan
) -> None:
    """Take one source fewer where a second search finds a better fit of fewer; in place.

    A fit of K sources that was caught in the wrong place is not seen as such while scenes grow, and
    K + 1 then explain what K could.
    """
    for k in range(3, plan.slots + 1):
        index = torch.nonzero(count == k)[:, 0]
        if index.numel() == 0:
            continue
        part = search.take(index)
        fewer, _ = drop_weakest(part, parameters[index, :k])
        active = torch.ones(fewer.shape[:2], dtype=torch.bool, device=fewer.device)
        refined = refine(part.white, fewer, active, plan.domain, STAGE_TOLERANCE)
        fewer, objective = refined.parameters.clone(), refined.fit.objective.clone()
        search_again(part, fewer, objective, plan.coordinates, one_more=False)
        value = penalised_likelihood(part.white, objective, plan.costs[k - 1])
        better = value < values[index, k]
        values[index, k - 1] = torch.minimum(values[index, k - 1], value)
        count[index[better]], parameters[index[better], : k - 1] = k - 1, fewer[better]
