"""The whole estimator: detect, refine jointly, decide how many, report what can be trusted."""

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.config import K_MAX, Scenario
from ris_pipeline.localization.at_once import at_once
from ris_pipeline.localization.coordinates import (
    beamwidths,
    free_coordinates,
    resolution_cell,
    search_domain,
)
from ris_pipeline.localization.estimates import Estimates
from ris_pipeline.localization.grid_search.detection import build_detector
from ris_pipeline.localization.grid_search.grid import SteeringGrid, steering_grid
from ris_pipeline.localization.least_squares.refinement import refine
from ris_pipeline.localization.maximum_likelihood.evidence import number_probability
from ris_pipeline.localization.maximum_likelihood.growing import (
    Plan,
    grow,
    grow_known,
    reconsider,
    settle,
)
from ris_pipeline.localization.maximum_likelihood.relax import prepare_search
from ris_pipeline.localization.maximum_likelihood.report import report
from ris_pipeline.localization.measurement.checks import (
    check_number,
    check_scenes,
    identifiable_sources,
)
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.measurement.units import answer
from ris_pipeline.localization.random_field import field_sizes, panel_sizes
from ris_pipeline.localization.source_number import (
    EIGENVALUE_CRITERIA,
    Searched,
    Threshold,
    check_criterion,
    eigenvalue_number,
    source_costs,
    threshold_costs,
)
from ris_pipeline.scene import Received

_CHUNK_ENTRIES = 2**23
"""Complex numbers of a whole Phi^H Phi worked on together (128 MiB, and less by the number of
`element_classes`): smaller chunks pay more for each call, larger ones gain nothing."""

_CHUNK_PLACES = 2**27
"""Places of the grid in all blocks of all scenes worked on together (512 MiB an array)."""


def _plan(
    scenario: Scenario,
    codes: Tensor,
    grid: SteeringGrid,
    slots: int,
    one_more: bool,
) -> Plan:
    domain = search_domain(scenario, codes.device)
    return Plan(
        detector=build_detector(grid, codes),
        domain=domain,
        slots=slots,
        coordinates=int(free_coordinates(domain, scenario.wavefront).sum()),
        half_cell=resolution_cell(scenario, codes.device) / 2,
        width=max(beamwidths(scenario)),
        searched=Searched(grid.size, panel_sizes(grid.panel, grid.wavefront, domain)),
        one_more=one_more,
    )


def _costs(
    measurement: Measurement, criterion: str | Threshold, plan: Plan
) -> Float[Tensor, "b n"] | None:
    """What 0, 1, .. sources cost; None where the residual does not say how many."""
    if criterion in EIGENVALUE_CRITERIA:
        return None
    if criterion == "threshold" or isinstance(criterion, Threshold):
        test = criterion if isinstance(criterion, Threshold) else Threshold()
        sizes = field_sizes(measurement, plan.domain, 2 * plan.half_cell)
        return threshold_costs(measurement, sizes, plan.coordinates, test, plan.slots)
    blocks, rows = measurement.blocks, measurement.rows
    costs = source_costs(criterion, blocks, rows, plan.coordinates, plan.searched, plan.slots)
    return measurement.energy.new_tensor(costs).repeat(measurement.scenes, 1)


def _locate_chunk(
    scenes: Received, known: Tensor | None, criterion: str | Threshold, plan: Plan
) -> Estimates:
    measurement = measure(scenes)
    interference = known is None or plan.slots > 1
    costs = None if known is not None else _costs(measurement, criterion, plan)
    search = prepare_search(
        plan.detector, measurement, plan.domain, plan.half_cell, interference, costs
    )
    numbers = None
    if known is not None:
        count, confidence = known, torch.full_like(measurement.energy, torch.nan)
        places = grow_known(search, count, plan)
    elif criterion in EIGENVALUE_CRITERIA:
        count, confidence = eigenvalue_number(measurement, str(criterion), plan.slots)
        places = grow_known(search, count, plan)
    else:
        numbers = reconsider(search, grow(search, plan), plan)
        count, places = numbers.count, numbers.places
    right = torch.zeros_like(count, dtype=torch.bool)
    if numbers is not None:
        right = numbers.settled == count
    places = settle(search, count, places, plan, right)
    if numbers is not None:
        fits = numbers.fits.clone()
        fits[torch.arange(count.shape[0], device=count.device), count] = places
        confidence = number_probability(search, numbers.tried, fits, count, plan.coordinates)
    used = min(plan.slots, max(1, int(count.max()) if count.numel() else 0))
    active = torch.arange(used, device=count.device) < count[:, None]
    refined = refine(
        search.white, places[:, :used], active, plan.domain, recordings=search.recordings
    )
    dtype = scenes.snapshots.real.dtype
    estimates = report(measurement, refined, active, plan.domain, plan.width, plan.searched, dtype)
    return replace(estimates.padded(plan.slots), confidence=confidence.to(dtype))


def _check_grid(grid: SteeringGrid, scenes: Received) -> None:
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
    scenes: Received,
    number: int | Tensor | None = None,
    grid: SteeringGrid | None = None,
    criterion: str | Threshold = "bic",
) -> Estimates:
    """Maximum-likelihood positions of the sources of each scene.

        argmin over theta of sum_t |y_t - Phi_t A(theta) x_t|^2 + ridge |x_t|^2,   x_t eliminated

    by greedy detection on a grid, each new source followed by a joint refinement, and a second
    search where the fit is in doubt (`second_search`). The ridge bounds amplitudes that cancel and
    moves nothing that is resolved (`amplitude_ridge`). Uses the snapshots, channel, codes, panel
    and scenario limits of `scenes`, never its truth, its SNR or its noise variance. Computed in
    float64 (see `statistics`), detection in the dtype of the grid, returned in the dtype of the
    scenes. Distance is NaN with a plane wavefront, which has none.

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
    plan = _plan(scenes.scenario, scenes.codes, grid, slots, identifiable > slots)
    step = at_once(_CHUNK_ENTRIES, device) // (blocks * elements * min(elements, rows))
    step = max(1, min(step, _CHUNK_PLACES // (blocks * grid.size)))
    parts = []
    for start in range(0, max(1, scenes.size), step):
        part = scenes.between(start, start + step)
        some = None if known is None else known[start : start + step]
        parts.append(
            answer(part, some, slots, partial(_locate_chunk, criterion=criterion, plan=plan))
        )
    return Estimates.joined(parts)
