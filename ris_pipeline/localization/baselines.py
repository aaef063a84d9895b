"""Estimators from the literature to compare with, all called as `locate` is.

Positions come from the method, power, noise variance and, where asked for, the number of sources
from a least-squares fit of the measurement at these positions: the same BIC that `locate` uses, so
that a comparison is one of positions. `std` is NaN: no method here states one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from ris_pipeline.config import K_MAX, Scenario
from ris_pipeline.localization._checks import check_number, check_scenes, identifiable_sources
from ris_pipeline.localization.aperture import sample_covariance
from ris_pipeline.localization.detection import build_detector, grid_gains
from ris_pipeline.localization.estimates import Estimates, strongest_first
from ris_pipeline.localization.grid import SteeringGrid, grid_size, search_domain, steering_grid
from ris_pipeline.localization.locate import scenes_between
from ris_pipeline.localization.modified_music import modified_music_finder, sub_panel_size
from ris_pipeline.localization.refinement import Status, free_coordinates, noise_estimate
from ris_pipeline.localization.source_number import penalised_likelihood, source_costs
from ris_pipeline.localization.spectrum_search import (
    Positions,
    default_search,
    narrowest,
    spectrum_positions,
)
from ris_pipeline.localization.sub_panels import smooth_panel
from ris_pipeline.localization.varpro import Measurement, linearise, measure, source_columns
from ris_pipeline.localization.whitening import diffuse_ratio
from ris_pipeline.scene import SceneBatch
from ris_pipeline.spectral import LowRankCovariance, forward_backward, shrink

PLANE_SUB_PANEL = 0.75
"""Side of `plane_music`'s sub-panels in sides of the panel: a smaller one sees less of the
curvature, a larger one separates more. Detection of two sources at T = 1 and 10 dB was 0.61, 0.68,
0.71 and 0.71 at 0.34, 0.5, 0.58 and 0.75."""

MVDR_LOADING = 0.05
"""Shrinkage of `mvdr_planes`' covariance, the largest that `shrinkage_weight` gives. From 0.01 to
0.5 nothing changes; smoothing over sub-panels, which the near field does not allow, loses."""

OMP_DENSITY = 3.5
"""Grid points a beamwidth of `omp`, which has nothing but its grid."""

_CHUNK_ENTRIES = 2**21
"""Complex numbers of Phi^H Phi worked on together, as in `locate`."""

_BLOCKS_FOR_RATIO = 4
"""Blocks the noise-to-signal ratio is estimated from; the others have the same."""

RIDGE = 0.2
"""Regularisation of the back-projection in noise-to-signal ratios. The linear MMSE estimate, at 1,
blurs: from 1 to 0.2 `modified_music` at T = 1 and 10 dB goes from 0.63 to 0.70 for two sources, and
at 0.01 is back at 0.62."""

Find = Callable[[Int[Tensor, " b"]], Positions]
_Prepare = Callable[[SceneBatch, Measurement], Find]


def _aperture_covariance(scenes: SceneBatch, measurement: Measurement) -> LowRankCovariance:
    few = replace(
        scenes,
        snapshots=scenes.snapshots[:, :_BLOCKS_FOR_RATIO],
        codes=scenes.codes[:_BLOCKS_FOR_RATIO],
    )
    ratio = RIDGE * diffuse_ratio(measure(few))
    return sample_covariance(measurement, ratio, scenes.snapshots.dtype)


def _modified_music(scenes: SceneBatch, measurement: Measurement) -> Find:
    return modified_music_finder(_aperture_covariance(scenes, measurement), scenes.scenario)


def _plane_music(scenes: SceneBatch, measurement: Measurement) -> Find:
    scenario = scenes.scenario.replace(wavefront="plane")
    size = sub_panel_size(scenario.panel, PLANE_SUB_PANEL)
    covariance, part = smooth_panel(_aperture_covariance(scenes, measurement), scenario, size)
    covariance = narrowest(forward_backward(covariance))
    search = default_search(part, scenes.snapshots.real.dtype, scenes.snapshots.device)
    return lambda number: spectrum_positions(covariance, search, number, number, "music")


def _mvdr_planes(scenes: SceneBatch, measurement: Measurement) -> Find:
    covariance = shrink(_aperture_covariance(scenes, measurement), MVDR_LOADING)
    values = scenes.snapshots
    search = default_search(scenes.scenario, values.real.dtype, values.device)
    return lambda number: spectrum_positions(covariance, search, number, number, "mvdr")


def _omp(scenes: SceneBatch, measurement: Measurement) -> Find:
    values = scenes.snapshots
    grid = _omp_grid(scenes.scenario, values.real.dtype, values.device)
    gains = grid_gains(build_detector(grid, scenes.codes), measurement)
    domain = search_domain(scenes.scenario, values.device)

    def find(number: Int[Tensor, " b"]) -> Positions:
        slots = int(number.max()) if number.numel() else 0
        parameters = domain.lower.repeat(number.shape[0], slots, 1)
        found = torch.arange(slots, device=number.device) < number[:, None]
        for k in range(slots):
            residual = _matched_residual(measurement, parameters[:, :k], found[:, :k])
            parameters[:, k] = grid.coordinates(_strongest(grid, residual, gains))
        edge = (parameters <= domain.lower) | (parameters >= domain.upper)
        edge = (edge & free_coordinates(domain, measurement.wavefront)).any(-1)
        status = torch.where(edge, int(Status.EDGE), int(Status.CONVERGED))
        return Positions(parameters, found, torch.where(found, status, int(Status.UNRESOLVED)))

    return find


def _matched_residual(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Complex[Tensor, "b t n"]:
    """`Phi_t^H P_t y_t`, P_t the projection that removes the sources found."""
    if parameters.shape[1] == 0:
        return measurement.matched
    a = source_columns(measurement, parameters, active)
    amplitudes = linearise(measurement, parameters, active).amplitudes
    return measurement.matched - (measurement.normal(a) @ amplitudes[..., None])[..., 0]


def _strongest(
    grid: SteeringGrid, residual: Complex[Tensor, "b t n"], gains: Float[Tensor, "b t g"]
) -> Int[Tensor, " b"]:
    best = torch.full_like(gains[:, 0, 0], -1.0)
    where = torch.zeros_like(best, dtype=torch.int64)
    for start, stop, steering in grid.chunks():
        rows = residual.flatten(0, 1).to(steering.dtype).conj().resolve_conj()
        response = torch.view_as_real(rows @ steering.mT).square().sum(-1)
        score = response.unflatten(0, residual.shape[:2]) / gains[..., start:stop]
        top, index = score.sum(1).max(-1)
        where = torch.where(top > best, index + start, where)
        best = torch.maximum(top, best)
    return where


@lru_cache(maxsize=8)
def _omp_grid(scenario: Scenario, dtype: torch.dtype, device: torch.device) -> SteeringGrid:
    return steering_grid(scenario, dtype, device, OMP_DENSITY)


def _fit(measurement: Measurement, positions: Positions) -> tuple[Tensor, Tensor]:
    """Amplitudes (B, T, K) and residual (B,) of least squares at the positions.

    Sources that coincide to rounding explain no more than one of them: their residual is infinite.
    """
    fit = linearise(measurement, positions.parameters, positions.found)
    return fit.amplitudes, fit.rss


def _estimates(
    measurement: Measurement, positions: Positions, coordinates: int, dtype: torch.dtype
) -> Estimates:
    amplitudes, rss = _fit(measurement, positions)
    power = amplitudes.abs().square().mean(1)
    noise = noise_estimate(measurement, rss, positions.found.sum(1), coordinates)
    return strongest_first(
        positions.parameters,
        positions.found,
        power,
        positions.status,
        noise,
        measurement.wavefront,
        dtype,
    )


def _of_least_cost(measurement: Measurement, find: Find, costs: Sequence[float]) -> Positions:
    """The positions of the number, 0 to the most with a cost, whose least-squares fit has the least
    criterion."""
    most = len(costs) - 1
    scenes = measurement.energy.shape[0]
    device = measurement.energy.device
    chosen = torch.zeros(scenes, dtype=torch.int64, device=device)
    best = penalised_likelihood(measurement, measurement.energy, costs[0])
    kept = Positions(
        torch.ones(scenes, most, 3, dtype=torch.float64, device=device),
        torch.zeros(scenes, most, dtype=torch.bool, device=device),
        torch.full((scenes, most), int(Status.UNRESOLVED), device=device),
    )
    for k in range(1, most + 1):
        positions = find(torch.full_like(chosen, k))
        rss = _fit(measurement, positions)[1]
        value = penalised_likelihood(measurement, rss, costs[k])
        better = (value < best) & (positions.found.sum(1) == k)
        best = torch.where(better, value, best)
        kept.parameters[better, :k] = positions.parameters[better]
        kept.found[better, :k] = True
        kept.status[better, :k] = positions.status[better]
    return kept


def _run(
    prepare: _Prepare, scenes: SceneBatch, number: int | Tensor | None, plane: bool = False
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
    wavefront = "plane" if plane else scenes.scenario.wavefront
    coordinates = int(free_coordinates(domain, wavefront).sum())
    places = grid_size(scenes.scenario.replace(wavefront=wavefront))
    costs = source_costs("bic", blocks, rows, coordinates, places, most)
    step = max(1, _CHUNK_ENTRIES // (blocks * elements * min(elements, rows)))
    parts = []
    for start in range(0, max(1, scenes.size), step):
        part = scenes_between(scenes, start, start + step)
        measurement = measure(part)
        find = prepare(part, measurement)
        measurement = replace(measurement, wavefront=wavefront)
        if known is None:
            positions = _of_least_cost(measurement, find, costs)
        else:
            positions = _padded(find(known[start : start + step]), most)
        dtype = scenes.snapshots.real.dtype
        parts.append(_estimates(measurement, positions, coordinates, dtype))
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


def modified_music(scenes: SceneBatch, number: int | Tensor | None = None) -> Estimates:
    """Anti-diagonal MUSIC for directions, then a distance search; see `modified_music`'s module.

    Args:
        number: as `locate`; None estimates it by BIC, as for all baselines.

    Raises:
        InputError: as `locate`.

    Source: P. Ramezani, A. Kosasih, E. Bjornson, 2024 (arXiv 2409.14152).
    """
    return _run(_modified_music, scenes, number)


def plane_music(scenes: SceneBatch, number: int | Tensor | None = None) -> Estimates:
    """Two-dimensional MUSIC with plane waves, on the sub-panel and forward-backward average.

    It knows no distance: that is NaN, and the fit for power and number is one of plane waves too.

    Raises:
        InputError: as `locate`.

    Sources: R. O. Schmidt, IEEE Trans. Antennas Propag. 34(3), 1986; S. U. Pillai and B. H. Kwon,
    IEEE Trans. ASSP 37(1), 1989.
    """
    return _run(_plane_music, scenes, number, plane=True)


def mvdr_planes(scenes: SceneBatch, number: int | Tensor | None = None) -> Estimates:
    """MVDR over direction and distance planes, the best plane of each direction, its peaks (2.5-D).

    At T = 1 the covariance has rank one, and the spectrum's order is that of |a^H x|^2.

    Raises:
        InputError: as `locate`.

    Source: J. Capon, Proc. IEEE 57(8), 1969; distance planes as in the original system.
    """
    return _run(_mvdr_planes, scenes, number)


def omp(scenes: SceneBatch, number: int | Tensor | None = None) -> Estimates:
    """Orthogonal matching pursuit through Phi, on a grid of exact wavefronts; all blocks together.

        argmax over g of sum_t |(Phi_t a_g)^H P_t y_t|^2 / |Phi_t a_g|^2

    Raises:
        InputError: as `locate`.

    Sources: Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, Asilomar 1993; J. A. Tropp,
    A. C. Gilbert, M. J. Strauss, Signal Process. 86(3), 2006, for several blocks.
    """
    return _run(_omp, scenes, number)
