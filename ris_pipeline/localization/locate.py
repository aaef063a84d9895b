"""The whole estimator: detect, refine jointly, decide how many, report what can be trusted."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.config import K_MAX, Scenario
from ris_pipeline.localization._checks import check_number, check_scenes, identifiable_sources
from ris_pipeline.localization.detection import Detector, build_detector, next_source
from ris_pipeline.localization.doubt import consistent, search_again
from ris_pipeline.localization.estimates import Estimates, report
from ris_pipeline.localization.greedy import Search, add_source, drop_weakest, prepare_search
from ris_pipeline.localization.grid import (
    Domain,
    SteeringGrid,
    beamwidths,
    depth_of_focus,
    search_domain,
    steering_grid,
)
from ris_pipeline.localization.refinement import STAGE_TOLERANCE, free_coordinates, refine
from ris_pipeline.localization.source_number import (
    EIGENVALUE_CRITERIA,
    Threshold,
    check_criterion,
    eigenvalue_number,
    number_confidence,
    penalised_likelihood,
    source_costs,
)
from ris_pipeline.localization.varpro import linearise, measure
from ris_pipeline.scene import SceneBatch

_CHUNK_ENTRIES = 2**23
"""Complex numbers of a whole Phi^H Phi worked on together (128 MiB, and less by the number of
`element_classes`): smaller chunks pay more for each call, larger ones gain nothing."""

_PATIENCE = 2
"""Rises of the criterion in a row before a scene stops growing. One is not enough: of two equal
sources the best single one can explain less than its penalty, and the pair then goes unseen even
at 20 dB."""

_SEEN = 0.6
"""Part of what a source explains that the grid shows of it at least: 0.66 for the direction (see
`DEFAULT_DENSITY`), the rest for the depth."""


@dataclass(frozen=True)
class _Plan:
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


def _plan(
    scenario: Scenario,
    codes: Tensor,
    grid: SteeringGrid,
    slots: int,
    costs: tuple[float, ...],
    one_more: bool,
) -> _Plan:
    domain = search_domain(scenario, codes.device)
    widths = beamwidths(scenario)
    extent = torch.tensor([*widths, depth_of_focus(scenario)], dtype=torch.float64)
    return _Plan(
        build_detector(grid, codes),
        domain,
        slots,
        int(free_coordinates(domain, scenario.wavefront).sum()),
        extent.to(codes.device) / 2,
        max(widths),
        costs,
        one_more,
    )


def _grow_known(search: Search, known: Tensor, plan: _Plan) -> Tensor:
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


def _grow(search: Search, plan: _Plan) -> tuple[Tensor, Tensor, Tensor]:
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


def _hoped(search: Search, parameters: Tensor, rss: Tensor, plan: _Plan) -> Tensor:
    """The least criterion that one source more could give, as far as the grid shows."""
    active = torch.ones(parameters.shape[:2], dtype=torch.bool, device=rss.device)
    _, score = next_source(search.detector, search.white, search.white_gains, parameters, active)
    least = (rss - score / _SEEN).clamp_min(0)
    return penalised_likelihood(search.white, least, plan.costs[parameters.shape[1] + 1])


def _settle(search: Search, count: Tensor, parameters: Tensor, plan: _Plan) -> None:
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


def _doubt_number(
    search: Search, count: Tensor, values: Tensor, parameters: Tensor, plan: _Plan
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


def _locate_chunk(
    scenes: SceneBatch, known: Tensor | None, criterion: str | Threshold, plan: _Plan
) -> Estimates:
    measurement = measure(scenes)
    interference = known is None or plan.slots > 1
    search = prepare_search(plan.detector, measurement, plan.domain, plan.lobe, interference)
    confidence = torch.full_like(measurement.energy, torch.nan)
    if known is not None:
        count = known
    elif criterion in EIGENVALUE_CRITERIA:
        count, confidence = eigenvalue_number(measurement, str(criterion), plan.slots)
    if known is None and criterion not in EIGENVALUE_CRITERIA:
        count, values, parameters = _grow(search, plan)
        _doubt_number(search, count, values, parameters, plan)
        confidence = number_confidence(values, count)
    else:
        parameters = _grow_known(search, count, plan)
    _settle(search, count, parameters, plan)
    active = torch.arange(plan.slots, device=count.device) < count[:, None]
    refined = refine(search.white, parameters, active, plan.domain)
    dtype = scenes.snapshots.real.dtype
    estimates = report(measurement, refined, active, plan.domain, plan.width, dtype)
    return replace(estimates, confidence=confidence.to(dtype))


def scenes_between(scenes: SceneBatch, start: int, stop: int) -> SceneBatch:
    """Some scenes, with what the receiver has of them; the truth stays as it was and is not
    used."""
    return replace(
        scenes, snapshots=scenes.snapshots[start:stop], channel=scenes.channel[start:stop]
    )


def _check_grid(grid: SteeringGrid, scenes: SceneBatch) -> None:
    elements, device = scenes.channel.shape[-1], scenes.snapshots.device
    if grid.panel.elements != elements or grid.azimuth.device != device:
        raise InputError(
            f"grid is for {grid.panel.elements} elements on {grid.azimuth.device}: allowed is "
            f"{elements} on {device}"
        )
    if grid.wavefront != scenes.scenario.wavefront:
        raise InputError(
            f"grid has wavefront {grid.wavefront!r}: allowed is {scenes.scenario.wavefront!r}"
        )


def locate(
    scenes: SceneBatch,
    number: int | Tensor | None = None,
    grid: SteeringGrid | None = None,
    criterion: str | Threshold = "bic",
) -> Estimates:
    """Maximum-likelihood positions of the sources of each scene.

        argmin over theta of sum_t |y_t - Phi_t A(theta) x_t|^2 + ridge |x_t|^2,   x_t eliminated

    by greedy detection on a grid, each new source followed by a joint refinement, and a second
    search where the fit is in `doubt`. The ridge bounds amplitudes that cancel and moves nothing
    that is resolved (`amplitude_ridge`). Uses the
    snapshots, channel, codes, panel and scenario limits of `scenes`, never its truth, its SNR or
    its noise variance. Computed in float64 (see `varpro`), detection in the dtype of the grid,
    returned in the dtype of the scenes. Distance is NaN with a plane wavefront, which has none.

    Args:
        number: sources per scene, one for all or (B,) integers; None estimates it, 0 to K_MAX.
        grid: as from `steering_grid`, to be reused over many calls.
        criterion: how the number is estimated, one of `CRITERIA` or a `Threshold` with its
            probability of false alarm; see `source_number`. Not used where the number is given.

    Raises:
        InputError: non-finite data, shapes or dtypes that do not fit, a number outside what the
            measurement can identify (at most K_MAX), a grid of another panel, a criterion that
            does not exist or needs more blocks or rows than there are.

    Source: J. Li and P. Stoica, IEEE Trans. Signal Process. 44(2), 1996 (RELAX); G. H. Golub and
    V. Pereyra, Inverse Problems 19, 2003 (variable projection).
    """
    check_scenes(scenes)
    blocks, codes, elements = scenes.codes.shape
    rows, device = codes * scenes.channel.shape[1], scenes.snapshots.device
    identifiable = identifiable_sources(elements, blocks, rows)
    most = min(K_MAX, identifiable)
    check_number(number, scenes.size, most)
    if grid is None:
        grid = steering_grid(scenes.scenario, scenes.snapshots.real.dtype, device)
    _check_grid(grid, scenes)
    check_criterion(criterion, blocks, rows, elements)
    known, slots = None, most
    if number is not None:
        known = torch.as_tensor(number, dtype=torch.int64, device=device).expand(scenes.size)
        slots = number if isinstance(number, int) else int(known.max()) if scenes.size else 1
    coordinates = int(free_coordinates(search_domain(scenes.scenario), grid.wavefront).sum())
    costs = source_costs(criterion, blocks, rows, coordinates, grid.size, slots)
    plan = _plan(scenes.scenario, scenes.codes, grid, slots, costs, identifiable > slots)
    step = max(1, _CHUNK_ENTRIES // (blocks * elements * min(elements, rows)))
    parts = []
    for start in range(0, max(1, scenes.size), step):
        part = scenes_between(scenes, start, start + step)
        parts.append(
            _locate_chunk(
                part, None if known is None else known[start : start + step], criterion, plan
            )
        )
    return Estimates.joined(parts)
