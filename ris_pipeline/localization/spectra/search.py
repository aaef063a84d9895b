"""Searching a spatial spectrum: over a grid, peak by peak, each followed to its top."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline.config import Scenario
from ris_pipeline.localization.coordinates import (
    Domain,
    beamwidths,
    free_coordinates,
    resolution_cell,
    search_domain,
)
from ris_pipeline.localization.estimates import status_of
from ris_pipeline.localization.grid_search.grid import SteeringGrid, steering_grid
from ris_pipeline.localization.grid_search.peaks import (
    DirectionGrid,
    direction_peaks,
    grid_directions,
)
from ris_pipeline.localization.spectra.peak_refinement import in_one_cell, refine_peaks
from ris_pipeline.localization.spectra.surfaces import Form, surface_of
from ris_pipeline.scene.believed import kept
from ris_pipeline.spectral import (
    Covariance,
    LowRankCovariance,
    bartlett_spectrum,
    decomposition,
    eigenvalues,
    music_spectrum,
    mvdr_spectrum,
    noise_weight,
    soft_music_spectrum,
)

Method = Literal["music", "mvdr", "bartlett", "soft_music"]

SEPARATION = 0.5
"""Smallest separation of two peaks, in beamwidths of u or of v."""

DENSITY = 3.0
"""Grid points a beamwidth. Two peaks need a lower point between them: 2 / 3 of a beamwidth."""

SPARE = 2
"""Peaks followed beside those asked for. The highest on the grid need not have the highest top: a
sharp peak between grid points looks lower than it is."""

SHARPNESS = 2.0
"""Exponent of soft MUSIC's weight."""

_SCOUTING_STEPS = 8
"""Steps of the spare peaks too: a source's peak is at its top after 3 to 6, and what crawls on for
longer is none."""


@dataclass(frozen=True, kw_only=True)
class SpectrumSearch:
    """What every search over one scenario's grid shares.

    depths: distances of each direction of the grid; resolution_cell: beamwidths and depth of focus,
    (3,).
    """

    scenario: Scenario
    grid: SteeringGrid
    directions: DirectionGrid
    depths: int
    domain: Domain
    resolution_cell: Tensor


def spectrum_search(scenario: Scenario, grid: SteeringGrid) -> SpectrumSearch:
    """Find the directions of a grid, and how far apart two peaks of the panel's have to be.

    Raises:
        InputError: a grid of another panel or wavefront, or not distances fastest.
    """
    if grid.panel.elements != scenario.elements or grid.wavefront != scenario.wavefront:
        raise InputError(
            f"grid is for {grid.panel.elements} elements and wavefront {grid.wavefront!r}: allowed "
            f"is {scenario.elements} and {scenario.wavefront!r}"
        )
    width_u, width_v = beamwidths(scenario)
    device = grid.azimuth.device
    directions, depths = grid_directions(grid, (SEPARATION * width_u, SEPARATION * width_v))
    return SpectrumSearch(
        scenario=scenario,
        grid=grid,
        directions=directions,
        depths=depths,
        domain=search_domain(scenario, device),
        resolution_cell=resolution_cell(scenario, device),
    )


@kept
def default_search(scenario: Scenario, dtype: torch.dtype, device: torch.device) -> SpectrumSearch:
    """The search over the scenario's own grid; kept."""
    return spectrum_search(scenario, steering_grid(scenario, dtype, device, DENSITY))


def noise_level(covariance: Covariance, number: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Mean of the n - K smallest eigenvalues, at least the rounding of the largest.

    The maximum-likelihood noise variance of sources in white noise; source: T. W. Anderson,
    "Asymptotic theory for principal component analysis", Ann. Math. Statist. 34(1), 1963.
    """
    values = eigenvalues(covariance)
    n = values.shape[-1]
    small = torch.arange(n, device=values.device) >= number[:, None]
    mean = (values * small).sum(-1) / (n - number)
    floor = n * torch.finfo(values.dtype).eps * values[:, 0]
    return torch.maximum(mean, floor).clamp_min(torch.finfo(values.dtype).tiny)


def spectrum(
    covariance: Covariance,
    grid: SteeringGrid,
    number: Int[Tensor, " s"],
    method: Method = "music",
    noise: Float[Tensor, " s"] | None = None,
    scene: Int[Tensor, " s"] | None = None,
) -> Float[Tensor, "s g"]:
    """The chosen spectrum of each covariance over a grid.

    Args:
        number: sources of each, the order of MUSIC; the others do not use it, but for soft MUSIC's
            noise level where `noise` is None.
        scene: the covariance of each spectrum; None: one of each.
    """
    size = number.shape[0]
    scene = torch.arange(size, device=number.device) if scene is None else scene
    level = number
    if method == "soft_music":
        level = noise_level(take(covariance, scene), number) if noise is None else noise
    evaluate: dict[str, Callable[[Covariance, Tensor, Tensor], Tensor]] = {
        "bartlett": lambda r, a, _: bartlett_spectrum(r, a),
        "mvdr": lambda r, a, _: mvdr_spectrum(r, a),
        "soft_music": lambda r, a, index: soft_music_spectrum(r, a, level[index], SHARPNESS),
        "music": lambda r, a, index: music_spectrum(r, a, int(number[index[0]])),
    }
    check_choice("method", method, evaluate)
    values = torch.empty(size, grid.size, dtype=grid.azimuth.dtype, device=grid.azimuth.device)
    for index in (
        _alike(number) if method == "music" else (torch.arange(size, device=number.device),)
    ):
        part = take(covariance, scene[index])
        for start, stop, steering in grid.chunks():
            answer = evaluate[method](part, steering.mT, index)
            values[index, start:stop] = answer.to(values.dtype)
    return values


def _alike(number: Tensor) -> list[Tensor]:
    """Index sets of equal number."""
    return [torch.nonzero(number == k)[:, 0] for k in number.unique()]


def take(covariance: Covariance, index: Tensor) -> Covariance:
    """The covariances `index` of a batch."""
    if isinstance(covariance, LowRankCovariance):
        loading = covariance.loading_column()[..., 0]
        return LowRankCovariance(covariance.factor[index], loading[index])
    return covariance[index]


def narrowest(covariance: Covariance) -> Covariance:
    """The same covariance, to rounding, in the form that is cheapest to evaluate.

    Dense where a factor has more columns than rows; `V diag(l - s) V^H + s I` in factors where a
    dense one has its smallest eigenvalue s >= 0 at least n / 2 times. Eigenvalues are equal that
    differ by the rounding of the largest (Weyl's inequality).
    """
    if isinstance(covariance, LowRankCovariance):
        if covariance.rank <= covariance.size:
            return covariance
        covariance = covariance.dense()
    values, vectors, _ = decomposition(covariance)
    n = values.shape[-1]
    rounding = n * torch.finfo(values.dtype).eps * values[:, :1].abs()
    least = values[:, -1:]
    columns = int((values - least > rounding).sum(-1).amax()) if values.numel() else n
    if 2 * columns > n or bool((least < -rounding).any()):
        return covariance
    columns = max(columns, 1)
    root = (values[:, :columns] - least).clamp_min(0).sqrt()
    factor = vectors[..., :columns] * root[:, None]
    return LowRankCovariance(factor, torch.where(least > rounding, least, 0.0)[:, 0])


def largest_order(covariance: Covariance) -> int:
    """Largest order that MUSIC has on covariances of that form: eigenvectors that there are, and
    one left for noise."""
    if isinstance(covariance, LowRankCovariance):
        return min(covariance.rank, covariance.size - 1)
    return covariance.shape[-1] - 1


def quadratic_form(
    covariance: Covariance,
    number: Int[Tensor, " s"],
    method: Method,
    noise: Float[Tensor, " s"] | None = None,
    scene: Int[Tensor, " s"] | None = None,
) -> Form:
    """The matrix whose form a peak of the spectrum minimises, complex128; see `peak_refinement`.

    Args:
        number, noise, scene: as `spectrum`.
    """
    if isinstance(covariance, LowRankCovariance):
        loading = covariance.loading_column()[..., 0].double()
        covariance = LowRankCovariance(covariance.factor.to(torch.complex128), loading)
    else:
        covariance = covariance.to(torch.complex128)
    values, vectors, rest = decomposition(covariance)
    if values.shape[-1] == vectors.shape[-2]:
        # Nothing is left over: any rest will do, and the smallest makes for the smallest weights.
        rest = values[:, -1]
    owner = torch.arange(number.shape[0], device=number.device) if scene is None else scene
    values, rest = values[owner], rest[owner]
    if method == "bartlett":
        return Form(vectors, rest[:, None] - values, None, owner)
    if method == "music":
        most = int(number.max()) if number.numel() else 1
        chosen = (torch.arange(most, device=values.device) < number[:, None]).to(values.dtype)
        return Form(vectors[..., :most], -chosen, torch.ones_like(rest), owner)
    if method == "mvdr":
        # Scaled by the smallest eigenvalue, so that no weight exceeds 1.
        return Form(vectors, rest[:, None] / values - 1, torch.ones_like(rest), owner)
    level = noise_level(take(covariance, owner), number) if noise is None else noise.double()
    shift = noise_weight(rest[:, None], level, SHARPNESS)
    return Form(vectors, noise_weight(values, level, SHARPNESS) - shift, shift[:, 0], owner)


@dataclass(frozen=True)
class Positions:
    """Peaks of a spectrum, highest first: parameters (B, K, 3) as (azimuth, elevation, 1/distance),
    found (B, K) and status (B, K)."""

    parameters: Tensor
    found: Tensor
    status: Tensor


def spectrum_positions(
    covariance: Covariance,
    search: SpectrumSearch,
    number: Int[Tensor, " s"],
    peaks: Int[Tensor, " s"],
    method: Method,
    noise: Float[Tensor, " s"] | None = None,
    scene: Int[Tensor, " s"] | None = None,
) -> Positions:
    """The `peaks` highest peaks of each spectrum, followed to their tops.

    Args:
        number: order of MUSIC.
        scene: the covariance of each spectrum; None: one of each.
    """
    level = spectrum(covariance, search.grid, number, method, noise, scene)
    best, depth = level.unflatten(1, (-1, search.depths)).max(-1)
    slots = SPARE + int(peaks.max()) if peaks.numel() else 0
    place, found = direction_peaks(best, search.directions, slots)
    # No more spare peaks than a spectrum has when it is searched alone.
    found = found & (torch.arange(slots, device=peaks.device) < SPARE + peaks[:, None])
    start = search.grid.coordinates(place * search.depths + depth.gather(1, place))
    form = quadratic_form(covariance, number, method, noise, scene)
    surface, cell = surface_of(form, search.scenario), search.resolution_cell
    scouted = refine_peaks(surface, start, search.domain, cell, found, _SCOUTING_STEPS)
    astray = ~in_one_cell(scouted.parameters, start, cell)
    scouts = torch.where(astray[..., None], start, scouted.parameters)
    height = torch.where(found, -scouted.value, -torch.inf)
    chosen, found = _highest(scouts, height, search.directions.peak_separation, peaks)
    chosen = chosen[..., None].expand(-1, -1, 3)
    scouts, start = scouts.gather(1, chosen), start.gather(1, chosen)
    top = refine_peaks(surface, scouts, search.domain, cell, found)
    edge = (top.held & free_coordinates(search.domain, surface.wavefront)).any(-1)
    good = top.converged & in_one_cell(top.parameters, start, cell)
    parameters = torch.where(good[..., None], top.parameters, start)
    return Positions(parameters, found, status_of(edge, resolved=good))


def _highest(
    parameters: Tensor, height: Tensor, separation: Tensor, peaks: Tensor
) -> tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"]]:
    """The `peaks` highest tops, highest first, no two closer than the separation; and which of them
    there are."""
    left, chosen, found = height, [], []
    for k in range(int(peaks.max()) if peaks.numel() else 0):
        best, index = left.max(-1)
        chosen.append(index)
        found.append((best > -torch.inf) & (k < peaks))
        place = parameters.gather(1, index[:, None, None].expand(-1, 1, 3))
        left = torch.where(in_one_cell(parameters, place, separation), -torch.inf, left)
    if not chosen:
        return peaks.new_empty(peaks.shape[0], 0), height[:, :0] > 0
    return torch.stack(chosen, dim=-1), torch.stack(found, dim=-1)
