"""Modified MUSIC for the near field of a RIS: directions first, then one distance search for each.

    r_n = R[n, N-1-n]  ~  sum_k p_k exp(+j 2 k q_n . (u_k, v_k, 0)) / N         q_{N-1-n} = -q_n

Along the anti-diagonal the even orders of the path cancel, the Fresnel curvature first of all: r is
one snapshot of plane waves on a panel of twice the spacing. Averaged over its sub-panels it has the
rank of the sources, and two-dimensional MUSIC finds u and v. At half a wavelength between elements
the doubled spacing repeats every 1 in u and v; which of the aliases it was, and how far, the
original covariance says.

Where the paper takes the minimum of MUSIC's null spectrum over distance for each direction, the
search here is recursive: the best (direction, alias, distance), then the best with that one
projected out, and so on. At T >= K it is the same with the ghosts left out. At T = 1, where
the paper's covariance has rank one and the anti-diagonal holds a ghost half-way between each two
coherent sources, it is what makes the method work at all.

Sources: P. Ramezani, A. Kosasih, E. Bjornson, "An Efficient Modified MUSIC Algorithm for
RIS-Assisted Near-Field Localization", 2024 (arXiv 2409.14152); for the recursion J. C. Mosher and
R. M. Leahy, "Source localization using recursively applied and projected (RAP) MUSIC", IEEE Trans.
Signal Process. 47(2), 1999.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.localization.at_once import at_once
from ris_pipeline.localization.baselines.folded_directions import aliases, doubled_search
from ris_pipeline.localization.baselines.run import Find, aperture_covariance, run_baseline
from ris_pipeline.localization.coordinates import (
    Domain,
    depth_of_focus,
    on_border,
    search_domain,
)
from ris_pipeline.localization.estimates import Estimates, status_of
from ris_pipeline.localization.measurement.statistics import Measurement, squared_modulus
from ris_pipeline.localization.spectra.search import (
    Positions,
    narrowest,
    spectrum_positions,
)
from ris_pipeline.localization.spectra.sub_panels import check_even_grid
from ris_pipeline.scene import Panel, Received, believed_panel, steering_vector
from ris_pipeline.spectral import LowRankCovariance, signal_subspace
from ris_pipeline.spectral.subspaces import soft_share

DEPTH_DENSITY = 6.0
"""Distances a depth of focus in the first pass."""

_PASSES = 2
"""Finer passes over the distance, each over one step of the last in `_FINER` parts."""
_FINER = 9

_LEFT = 0.1
"""Part of a steering vector that the places chosen must leave for it to be a candidate."""

_CANDIDATE_ENTRIES = 2**19
"""Complex numbers of steering vectors compared at a time (4 MiB in complex64): they are made and
read many times over, which a cache serves twice as fast."""

_RIDGE = 0.05
"""Share of the residual signal subspace's power below which a direction counts as noise: what is
left of a source that has been projected out at a distance half a step off."""


def anti_diagonal(covariance: LowRankCovariance) -> Complex[Tensor, "b n"]:
    """`r_n = R[n, N-1-n]`, without R; the loading touches it in the middle only, and is noise."""
    factor = covariance.factor
    return (factor * factor.conj().flip(-2)).sum(-1)


@dataclass(frozen=True)
class _DistanceSearch:
    """The signal subspace (B, N, q) of the original covariance, panel, wavefront and depths."""

    basis: Tensor
    panel: Panel
    scenario: Scenario
    domain: Domain

    def take(self, index: Tensor) -> "_DistanceSearch":
        """The scenes `index`."""
        return replace(self, basis=self.basis[index])

    def best(
        self,
        candidates: Float[Tensor, "b c 3"],
        others: Float[Tensor, "b j 3"],
    ) -> Float[Tensor, "b 3"]:
        """The candidate whose steering vector lies most in the signal subspace, both without the
        `others`."""
        a, signal = self.steering(candidates), self.basis
        power = torch.ones_like(a[:, 0].real)
        if others.shape[1]:
            axes, _ = torch.linalg.qr(self.steering(others))
            signal, power = _without(axes, signal), power - squared_modulus(axes.mH @ a).sum(1)
        everything = torch.ones_like(power, dtype=torch.bool)
        best = _most_aligned(signal, signal.mH @ a, power, everything)
        return candidates.gather(1, best[:, None, None].expand(-1, 1, 3))[:, 0]

    def steering(self, parameters: Float[Tensor, "b c 3"]) -> Complex[Tensor, "b n c"]:
        """Steering vectors as columns, in the precision of the panel."""
        azimuth, elevation, inverse = parameters.to(self.panel.positions.dtype).unbind(-1)
        wavefront = self.scenario.wavefront
        return steering_vector(self.panel, azimuth, elevation, 1 / inverse, wavefront).mT


def _depths(scenario: Scenario, domain: Domain) -> Tensor:
    low, high = float(domain.lower[2]), float(domain.upper[2])
    if scenario.wavefront == "plane" or high <= low:
        return domain.lower[2:]
    count = math.ceil((high - low) / depth_of_focus(scenario) * DEPTH_DENSITY) + 1
    return torch.linspace(low, high, count, dtype=torch.float64, device=domain.lower.device)


def _choose(search: _DistanceSearch, directions: Tensor, valid: Tensor, number: int) -> Tensor:
    """Places (B, K, 3): greedily over all directions and depths, then finer in distance."""
    depths = _depths(search.scenario, search.domain)
    most = max(1, int(valid.sum(1).max()) if valid.numel() else 0)
    entries = most * depths.numel() * search.panel.elements
    scenes = torch.arange(directions.shape[0], device=directions.device)
    parts = [
        _greedy(search.take(some), *_valid_first(directions[some], valid[some]), depths, number)
        for some in scenes.split(max(1, at_once(_CANDIDATE_ENTRIES, scenes.device) // entries))
    ]
    return _finer(search, torch.cat(parts), depths)


def _greedy(
    search: _DistanceSearch, directions: Tensor, valid: Tensor, depths: Tensor, number: int
) -> Tensor:
    candidates = torch.cat(
        (
            directions[:, :, None].expand(-1, -1, depths.numel(), -1),
            depths[:, None].expand(*directions.shape[:2], -1, 1),
        ),
        dim=-1,
    ).flatten(1, 2)
    usable = valid.repeat_interleave(depths.numel(), dim=1)
    a, signal, chosen = search.steering(candidates), search.basis, []
    seen, axes, power = signal.mH @ a, a[..., :0], torch.ones_like(a[:, 0].real)
    for _ in range(number):
        best = _most_aligned(signal, seen, power, usable)[:, None, None]
        chosen.append(candidates.gather(1, best.expand(-1, 1, 3)))
        axis = _without(axes, a.gather(2, best.expand(-1, a.shape[1], 1)))
        # A candidate taken a second time, where there is no other, has nothing left.
        axis = axis / torch.linalg.vector_norm(axis, dim=1, keepdim=True).clamp_min(_LEFT)
        along, part = axis.mH @ a, axis.mH @ signal
        axes, signal = torch.cat((axes, axis), dim=2), signal - axis @ part
        seen, power = seen - part.mH @ along, power - squared_modulus(along)[:, 0]
    return torch.cat(chosen, dim=1)


def _without(
    axes: Complex[Tensor, "b n j"], x: Complex[Tensor, "b n m"]
) -> Complex[Tensor, "b n m"]:
    """What is left of the columns beside orthonormal ones."""
    return x - axes @ (axes.mH @ x)


def _most_aligned(
    signal: Complex[Tensor, "b n q"],
    seen: Complex[Tensor, "b q c"],
    power: Float[Tensor, "b c"],
    usable: Bool[Tensor, "b c"],
) -> Int[Tensor, " b"]:
    """The candidate of which the largest part of its `power` lies in the signal subspace.

    Args:
        seen: the candidates by the signal's columns.
    """
    share = soft_share(signal.mH @ signal, seen, _RIDGE)
    usable = usable & (power > _LEFT)
    return torch.where(usable, share / power.clamp_min(_LEFT), -1.0).argmax(1)


def _valid_first(
    directions: Float[Tensor, "b c 2"], valid: Bool[Tensor, "b c"]
) -> tuple[Float[Tensor, "b d 2"], Bool[Tensor, "b d"]]:
    """The same without those that are valid in no scene: most aliases lie outside the domain."""
    order = valid.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    order = order[:, : max(1, int(valid.sum(1).max()) if valid.numel() else 0)]
    return directions.gather(1, order[..., None].expand(-1, -1, 2)), valid.gather(1, order)


def _finer(search: _DistanceSearch, chosen: Tensor, depths: Tensor) -> Tensor:
    """The same directions, at distances between those of the first pass."""
    step = float(depths[1] - depths[0]) if depths.numel() > 1 else 0.0
    for _ in range(_PASSES if step else 0):
        offsets = torch.linspace(-step, step, _FINER, dtype=torch.float64, device=chosen.device)
        for k in range(chosen.shape[1]):
            fine = chosen[:, k : k + 1].repeat(1, _FINER, 1)
            fine[..., 2] = (fine[..., 2] + offsets).clamp(depths[0], depths[-1])
            before, after = chosen[:, :k], chosen[:, k + 1 :]
            others = torch.cat((before, after), dim=1)
            best = search.best(fine, others)
            chosen = torch.cat((before, best[:, None], after), dim=1)
        step *= 2 / (_FINER - 1)
    return chosen


def _modified_music(scenes: Received, measurement: Measurement) -> Find:
    """Find any numbers of sources: the peaks of all numbers at once, then number by number."""
    covariance, scenario = aperture_covariance(scenes, measurement), scenes.scenario
    dtype, device = covariance.factor.real.dtype, covariance.factor.device
    check_even_grid(scenario)
    doubled = doubled_search(scenario, dtype, device)
    factor = anti_diagonal(covariance)[:, doubled.windows].mT
    smoothed = narrowest(LowRankCovariance(factor.contiguous()))
    panel = believed_panel(scenario, dtype, device).panel
    domain = search_domain(scenario, device)

    def find(numbers: Int[Tensor, "n b"]) -> list[Positions]:
        most = min(doubled.windows.shape)
        # Coherent sources leave a ghost between each two of them.
        waves = (numbers * (numbers + 1) // 2).clamp(1, max(1, most - 1)).flatten()
        scene = torch.arange(numbers.shape[1], device=device).repeat(numbers.shape[0])
        peaks = spectrum_positions(smoothed, doubled.search, waves, waves, "music", scene=scene)
        directions, inside = aliases(peaks.parameters[..., :2], doubled.period, domain)
        valid = (inside & peaks.found[..., None]).flatten(1)
        parts = (x.unflatten(0, numbers.shape) for x in (directions.flatten(1, 2), valid))
        return [placed(*part) for part in zip(numbers, *parts, strict=True)]

    def placed(number: Tensor, directions: Tensor, valid: Tensor) -> Positions:
        slots = int(number.max()) if number.numel() else 0
        parameters = domain.lower.repeat(number.shape[0], slots, 1)
        for k in number.unique().tolist():
            index = torch.nonzero(number == k)[:, 0]
            part = LowRankCovariance(covariance.factor[index])
            basis = signal_subspace(part, min(k, part.rank))
            search = _DistanceSearch(basis, panel, scenario, domain)
            parameters[index, :k] = _choose(search, directions[index], valid[index], k)
        found = torch.arange(slots, device=device) < number[:, None]
        edge = on_border(parameters, domain, scenario.wavefront)
        return Positions(parameters, found, status_of(edge, resolved=found))

    return find


def modified_music(scenes: Received, number: int | Tensor | None = None) -> Estimates:
    """Anti-diagonal MUSIC for directions, then a distance search; see the head of this file.

    Args:
        number: as `locate`; None estimates it by BIC, as for all baselines.

    Raises:
        InputError: as `locate`.

    Source: P. Ramezani, A. Kosasih, E. Bjornson, 2024 (arXiv 2409.14152).
    """
    return run_baseline(_modified_music, scenes, number)
