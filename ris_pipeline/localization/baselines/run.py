"""Estimators from the literature to compare with, all called as `locate` is.

Positions come from the method, power, noise variance and, where asked for, the number of sources
from a least-squares fit of the measurement at these positions: the same BIC that `locate` uses, so
that a comparison is one of positions. `std` is NaN: no method here states one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ris_pipeline.config import K_MAX, Wavefront
from ris_pipeline.localization.at_once import at_once
from ris_pipeline.localization.cholesky import blind_coordinates, unit_diagonal
from ris_pipeline.localization.coordinates import free_coordinates, search_domain
from ris_pipeline.localization.estimates import Estimates, Status, strongest_first
from ris_pipeline.localization.grid_search.grid import grid_size
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.measurement.aperture import sample_covariance
from ris_pipeline.localization.measurement.checks import (
    check_number,
    check_scenes,
    identifiable_sources,
)
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.localization.measurement.noise import noise_estimate
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.measurement.units import answer
from ris_pipeline.localization.measurement.whitening import diffuse_ratio
from ris_pipeline.localization.random_field import panel_sizes
from ris_pipeline.localization.source_number import Searched, penalised_likelihood, source_costs
from ris_pipeline.localization.spectra.search import Positions
from ris_pipeline.scene import Received
from ris_pipeline.spectral import LowRankCovariance

_CHUNK_ENTRIES = 2**21
"""Complex numbers of Phi^H Phi worked on together, as in `locate`."""

_BLOCKS_FOR_RATIO = 4
"""Blocks the noise-to-signal ratio is estimated from; the others have the same."""

RIDGE = 0.2
"""Regularisation of the back-projection in noise-to-signal ratios. The linear MMSE estimate, at 1,
blurs: from 1 to 0.2 `modified_music` at T = 1 and 10 dB goes from 0.63 to 0.70 for two sources, and
at 0.01 is back at 0.62."""

Find = Callable[[Int[Tensor, "n b"]], Sequence[Positions]]
"""Takes n numbers of sources to try of each scene, and finds them all."""

Prepare = Callable[[Received, Measurement], Find]


def aperture_covariance(scenes: Received, measurement: Measurement) -> LowRankCovariance:
    few = replace(
        scenes,
        snapshots=scenes.snapshots[:, :_BLOCKS_FOR_RATIO],
        codes=scenes.codes[:_BLOCKS_FOR_RATIO],
    )
    ratio = RIDGE * diffuse_ratio(measure(few))
    return sample_covariance(measurement, ratio, scenes.snapshots.dtype)


def _estimates(
    measurement: Measurement, positions: Positions, free: Bool[Tensor, "3"], dtype: torch.dtype
) -> Estimates:
    """Powers and noise of least squares at the positions; a source is not resolved where the data
    say nothing about one of its coordinates.

    Sources that coincide to rounding explain no more than one of them: the residual is infinite.
    """
    fit = linearise(measurement, positions.parameters, positions.found)
    number = positions.found.sum(1)
    noise = noise_estimate(measurement, fit.rss, number, int(free.sum()))
    unknown = free.repeat(positions.found.shape[1])
    blind = blind_coordinates(*unit_diagonal(fit.information, unknown, fit.whole)) & unknown
    lost = blind.reshape_as(positions.parameters).any(-1)
    return strongest_first(
        positions.parameters,
        positions.found,
        fit.amplitudes.abs().square().mean(1),
        torch.where(lost, int(Status.UNRESOLVED), positions.status),
        noise,
        measurement.wavefront,
        dtype,
    )


def _of_least_cost(measurement: Measurement, find: Find, costs: Sequence[float]) -> Positions:
    """The positions of the number, 0 to the most with a cost, whose least-squares fit has the least
    criterion."""
    most = len(costs) - 1
    scenes = measurement.scenes
    device = measurement.energy.device
    best = penalised_likelihood(measurement, measurement.energy, costs[0])
    kept = Positions(
        torch.ones(scenes, most, 3, dtype=torch.float64, device=device),
        torch.zeros(scenes, most, dtype=torch.bool, device=device),
        torch.full((scenes, most), int(Status.UNRESOLVED), device=device),
    )
    numbers = torch.arange(1, most + 1, device=device)[:, None].expand(-1, scenes)
    for k, positions in enumerate(find(numbers), start=1):
        rss = linearise(measurement, positions.parameters, positions.found).rss
        value = penalised_likelihood(measurement, rss, costs[k])
        better = (value < best) & (positions.found.sum(1) == k)
        best = torch.where(better, value, best)
        better = torch.nonzero(better)[:, 0]
        kept.parameters[better, :k] = positions.parameters[better]
        kept.found[better, :k] = True
        kept.status[better, :k] = positions.status[better]
    return kept


def run_baseline(
    prepare: Prepare, scenes: Received, number: int | Tensor | None, plane: bool = False
) -> Estimates:
    """Check, work through the batch in chunks, fit, report."""
    check_scenes(scenes)
    blocks, codes, elements = scenes.codes.shape
    rows = codes * scenes.channel.shape[1]
    most = min(K_MAX, identifiable_sources(elements, blocks, rows))
    check_number(number, scenes.size, most)
    known = None
    if number is not None:
        known = torch.as_tensor(number, dtype=torch.int64, device=scenes.snapshots.device)
        known = known.expand(scenes.size)
        most = number if isinstance(number, int) else int(known.max()) if scenes.size else 1
    domain = search_domain(scenes.scenario, scenes.snapshots.device)
    wavefront: Wavefront = "plane" if plane else scenes.scenario.wavefront
    free = free_coordinates(domain, wavefront)
    places = grid_size(scenes.scenario.replace(wavefront=wavefront))
    searched = Searched(places, panel_sizes(scenes.panel, wavefront, domain))
    costs = source_costs("bic", blocks, rows, int(free.sum()), searched, most)
    entries = at_once(_CHUNK_ENTRIES, scenes.snapshots.device)
    step = max(1, entries // (blocks * elements * min(elements, rows)))

    def estimate(part: Received, some: Tensor | None) -> Estimates:
        measurement = measure(part)
        find = prepare(part, measurement)
        measurement = replace(measurement, wavefront=wavefront)
        if some is None:
            positions = _of_least_cost(measurement, find, costs)
        else:
            positions = _padded(find(some[None])[0], most)
        return _estimates(measurement, positions, free, part.snapshots.real.dtype)

    parts = []
    for start in range(0, max(1, scenes.size), step):
        part = scenes.between(start, start + step)
        some = None if known is None else known[start : start + step]
        parts.append(answer(part, some, most, estimate, wavefront=wavefront, sure=False))
    return Estimates.joined(parts)


def _padded(positions: Positions, slots: int) -> Positions:
    """The same with `slots` slots; those added are empty."""
    more = slots - positions.found.shape[1]
    pad = torch.nn.functional.pad
    return Positions(
        pad(positions.parameters, (0, 0, 0, more), value=1.0),
        pad(positions.found, (0, more), value=False),
        pad(positions.status, (0, more), value=int(Status.UNRESOLVED)),
    )
