"""The whole estimator: detect, refine jointly, decide how many, report what can be trusted."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ris_pipeline._validation import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.localization._checks import check_number, check_scenes, identifiable_sources
from ris_pipeline.localization.detection import Detector, build_detector
from ris_pipeline.localization.greedy import Search, add_source, prepare_search
from ris_pipeline.localization.grid import (
    Domain,
    SteeringGrid,
    beamwidths,
    depth_of_focus,
    search_domain,
    steering_grid,
)
from ris_pipeline.localization.refinement import (
    Refined,
    Status,
    free_coordinates,
    noise_estimate,
    refine,
    standard_deviations,
)
from ris_pipeline.localization.source_number import added_source_pays
from ris_pipeline.localization.varpro import Measurement, measure
from ris_pipeline.scene import SceneBatch

_CHUNK_ENTRIES = 2**21
"""Complex numbers of Phi^H Phi worked on together (32 MiB): larger chunks leave the cache, smaller
ones pay more for each call."""


@dataclass(frozen=True)
class Estimates:
    """Located sources, strongest first; the first `count` slots of a scene are filled.

    azimuth, elevation (rad), distance (m), power `mean_t |x_t|^2`, all (B, K), NaN in empty slots;
    count (B,) int64; std (B, K, 3): standard deviations of azimuth (rad), elevation (rad) and distance
    (m), 0 for a coordinate held at the border, infinite for one that cannot be identified, NaN in empty
    slots; status (B, K) int64, a `Status`; noise_variance (B,).
    """

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    power: Tensor
    count: Tensor
    std: Tensor
    status: Tensor
    noise_variance: Tensor

    @property
    def active(self) -> Tensor:
        """(B, K) bool: which slots hold a source."""
        slots = torch.arange(self.azimuth.shape[1], device=self.count.device)
        return slots < self.count[:, None]


def _grow(
    search: Search, known: Tensor | None, slots: int, coordinates: int
) -> tuple[Tensor, Tensor]:
    """Number of sources (B,) and their parameters (B, slots, 3).

    With the number unknown a scene stops growing at the first rise of its BIC.
    """
    energy = search.white.energy
    count = torch.zeros_like(energy, dtype=torch.int64)
    chosen = search.domain.lower.repeat(energy.shape[0], slots, 1)
    index, growing = torch.arange(energy.shape[0], device=energy.device), search
    parameters, rss = chosen[:, :0], energy
    for k in range(1, slots + 1):
        if known is not None:
            wanted = known[index] >= k
            growing, index, parameters = _keep(growing, index, parameters, wanted)
        if index.numel() == 0:
            break
        parameters, new = add_source(growing, parameters)
        if known is None:
            both = torch.stack((rss, new), dim=1)
            wanted = added_source_pays(growing.white, both, coordinates)
            growing, index, parameters = _keep(growing, index, parameters, wanted)
            new = new[wanted]
        rss = new
        count[index], chosen[index, :k] = k, parameters
    return count, chosen


def _keep(
    search: Search, index: Tensor, parameters: Tensor, wanted: Tensor
) -> tuple[Search, Tensor, Tensor]:
    if bool(wanted.all()):
        return search, index, parameters
    kept = torch.nonzero(wanted)[:, 0]
    return search.take(kept), index[kept], parameters[kept]


def _locate_chunk(
    scenes: SceneBatch, detector: Detector, domain: Domain, known: Tensor | None, slots: int
) -> Estimates:
    measurement = measure(scenes)
    coordinates = int(free_coordinates(domain, measurement.wavefront).sum())
    search = prepare_search(detector, measurement, domain, _lobe(scenes.scenario, domain))
    count, parameters = _grow(search, known, slots, coordinates)
    active = torch.arange(slots, device=count.device) < count[:, None]
    refined = refine(measurement, parameters, active, domain)
    return _report(scenes, measurement, refined, active, domain)


def _lobe(scenario: Scenario, domain: Domain) -> Tensor:
    extent = torch.tensor([*beamwidths(scenario), depth_of_focus(scenario)], dtype=torch.float64)
    return extent.to(domain.lower.device) / 2


def _report(
    scenes: SceneBatch, measurement: Measurement, refined: Refined, active: Tensor, domain: Domain
) -> Estimates:
    free = free_coordinates(domain, measurement.wavefront)
    noise = noise_estimate(measurement, refined.fit.rss, active.sum(1), int(free.sum()))
    power = refined.fit.amplitudes.abs().square().mean(1)
    distance = 1 / refined.parameters[..., 2]
    std = standard_deviations(refined, noise)
    # d r = r^2 d(1/r)
    std = torch.stack((std[..., 0], std[..., 1], std[..., 2] * distance.square()), dim=-1)
    if measurement.wavefront == "plane":
        distance = torch.full_like(distance, torch.nan)
        std[..., 2] = torch.inf
    width = max(beamwidths(scenes.scenario))
    sharp = (std[..., :2] < width).all(-1) & refined.converged[:, None]
    edge = (refined.held & free).any(-1)
    status = torch.where(edge, int(Status.EDGE), int(Status.CONVERGED))
    status = torch.where(sharp & active, status, int(Status.UNRESOLVED))
    order = torch.where(active, power, -1.0).argsort(dim=1, descending=True)
    real = scenes.snapshots.real.dtype
    blank = torch.where(active, 0.0, torch.nan)

    def slot(value: Tensor) -> Tensor:
        return (value + blank).gather(1, order).to(real)

    return Estimates(
        slot(refined.parameters[..., 0]),
        slot(refined.parameters[..., 1]),
        slot(distance),
        slot(power),
        active.sum(1),
        torch.stack([slot(std[..., i]) for i in range(3)], dim=-1),
        status.gather(1, order),
        noise.to(real),
    )


def _part(scenes: SceneBatch, start: int, stop: int) -> SceneBatch:
    return replace(
        scenes, snapshots=scenes.snapshots[start:stop], channel=scenes.channel[start:stop]
    )


def locate(
    scenes: SceneBatch,
    number: int | Tensor | None = None,
    grid: SteeringGrid | None = None,
) -> Estimates:
    """Maximum-likelihood positions of the sources of each scene.

        argmin over theta of sum_t |y_t - Phi_t A(theta) x_t|^2,   x_t eliminated

    by greedy detection on a grid, each new source followed by a joint refinement. Uses the snapshots,
    channel, codes, panel and scenario limits of `scenes`, never its truth or its noise variance.
    Computed in float64 (see `varpro`), detection in the dtype of the grid, returned in the dtype of the
    scenes.

    Args:
        number: sources per scene, one for all or (B,) integers; None estimates it by BIC, 0..K_MAX.
        grid: as from `steering_grid`, to be reused over many calls.

    Raises:
        InputError: non-finite data, shapes or dtypes that do not fit, a number outside what the
            measurement can identify (at most K_MAX).

    Source: J. Li and P. Stoica, IEEE Trans. Signal Process. 44(2), 1996 (RELAX); G. H. Golub and
    V. Pereyra, Inverse Problems 19, 2003 (variable projection).
    """
    check_scenes(scenes)
    scenario, (blocks, codes, elements) = scenes.scenario, scenes.codes.shape
    antennas = scenes.channel.shape[1]
    most = identifiable_sources(scenario, blocks, codes * antennas)
    check_number(number, scenes.size, most)
    device = scenes.snapshots.device
    if grid is None:
        grid = steering_grid(scenario, scenes.snapshots.real.dtype, device)
    if grid.panel.elements != elements or grid.azimuth.device != device:
        raise InputError(
            f"grid is for {grid.panel.elements} elements on {grid.azimuth.device}: allowed is "
            f"{elements} on {device}"
        )
    known = None
    if number is not None:
        known = torch.as_tensor(number, device=device).expand(scenes.size)
    slots = most if known is None else int(known.max()) if scenes.size else 1
    detector, domain = build_detector(grid, scenes.codes), search_domain(scenario, device)
    step = max(1, _CHUNK_ENTRIES // (blocks * elements * min(elements, codes * antennas)))
    parts = []
    for start in range(0, max(1, scenes.size), step):
        stop = min(start + step, scenes.size)
        part = _part(scenes, start, stop)
        chunk_known = None if known is None else known[start:stop]
        parts.append(_locate_chunk(part, detector, domain, chunk_known, slots))
    return Estimates(
        *(torch.cat([getattr(p, field.name) for p in parts]) for field in fields(Estimates))
    )
