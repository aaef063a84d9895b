"""From a covariance to positions: a spectrum over the grid, its peaks, the top of each.

For the covariance a network predicts, or one's own, dense or in factors. `sub_panels` averages it
first where sources are coherent.
"""

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._validation import check_complex, check_finite, check_range, check_shape
from ris_pipeline.config import K_MAX, Scenario
from ris_pipeline.localization.estimates import Estimates, Status, strongest_first
from ris_pipeline.localization.grid_search.grid import SteeringGrid
from ris_pipeline.localization.measurement.checks import check_number
from ris_pipeline.localization.spectra.search import (
    Method,
    Positions,
    SpectrumSearch,
    default_search,
    narrowest,
    spectrum_positions,
    spectrum_search,
    take,
)
from ris_pipeline.scene import Panel, believed_panel, panel_scenario, steering_vector
from ris_pipeline.spectral import (
    Covariance,
    LowRankCovariance,
    bartlett_spectrum,
    eigengap,
    eigenvalues,
    trace,
)

_CHUNK_ENTRIES = 2**22
"""Spectrum values worked on together, 16 MiB in float32."""


def source_powers(
    covariance: Covariance, steering: Complex[Tensor, "b n k"], active: Bool[Tensor, "b k"]
) -> tuple[Float[Tensor, "b k"], Float[Tensor, " b"]]:
    """Powers p and noise variance s of the best `A diag(p) A^H + s I`, neither below zero.

        argmin ||R - A diag(p) A^H - s I||_F^2
        [|A^H A|^2  |a|^2; |a|^2  n] [p; s] = [a^H R a; tr R]

    steering: A, (B, n, K), columns of inactive slots zero. Coinciding sources share their power.
    """
    n = steering.shape[-2]
    gram = (steering.mH @ steering).abs().square()
    size = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    matrix = torch.cat((gram, size[:, None]), dim=1)
    last = torch.cat((size, size.new_full((size.shape[0], 1), n)), dim=1)
    matrix = torch.cat((matrix, last[..., None]), dim=-1)
    matrix = matrix + torch.diag_embed(torch.nn.functional.pad((~active).to(size.dtype), (0, 1)))
    seen = torch.cat((bartlett_spectrum(covariance, steering), trace(covariance)[:, None]), dim=1)
    # The ridge, of the rounding of the entries, keeps coinciding sources from dividing by zero.
    ridge = n * torch.finfo(size.dtype).eps * torch.eye(matrix.shape[-1], dtype=size.dtype)
    solution = torch.linalg.solve(matrix + ridge.to(size.device), seen[..., None])[..., 0]
    solution = solution.clamp_min(0)
    return solution[:, :-1] * active, solution[:, -1]


def locate_from_covariance(
    covariance: Covariance,
    panel: Panel | Scenario,
    number: int | Tensor | None,
    method: Method = "music",
    grid: SteeringGrid | None = None,
    noise: Float[Tensor, " b"] | None = None,
) -> Estimates:
    """Positions of the sources that a covariance of the aperture holds.

        the `number` highest peaks of the spectrum, one to a direction, each followed to its top

    Powers are those of `source_powers`; a spectrum's height is none. `std` is NaN: how far an
    estimate may be off depends on the number of snapshots, which a covariance does not tell. A
    scene with fewer peaks than sources has a `count` below `number`. Status CONVERGED: a top inside
    the domain; EDGE: on its border; UNRESOLVED: no top within a resolution cell, the position is
    the grid's; or nothing to be told: no power at the peak, no gap below MUSIC's eigenvalues.

    Args:
        covariance: (B, N, N) complex or factored with one batch axis, of `panel`.
        panel: element positions and wavelength, `Panel(positions, wavelength)`, searched within the
            limits of `own_scenario`; or a scenario, with limits of its own: `own_scenario(...,
            distance=...)`, a preset's, or a sub-panel's, see `sub_panels`.
        number: sources of each, 1..K_MAX, one for all or (B,).
        method: "music", "mvdr" (needs a positive definite covariance), "bartlett", "soft_music".
        grid: as from `steering_grid`; by default that of the panel, kept from call to call.
        noise: noise level for soft MUSIC, (B,); by default `noise_level`.

    Raises:
        InputError: a covariance of another shape, dtype or panel, non-finite, or singular for MVDR;
            a panel that `own_scenario` refuses;
            a number outside 1..K_MAX, above the rank for MUSIC, or None; another method; a grid of
            another panel.
    """
    scenario = panel_scenario(panel) if isinstance(panel, Panel) else panel
    if not isinstance(scenario, Scenario):
        raise InputError(f"panel is a {type(panel).__name__}: allowed are Panel and Scenario")
    size = _check_covariance(covariance, scenario)
    _check_asked(number, size, scenario, method, noise)
    values = covariance.factor if isinstance(covariance, LowRankCovariance) else covariance
    known = torch.as_tensor(number, dtype=torch.int64, device=values.device).expand(size)
    if grid is None:
        search = default_search(scenario, values.real.dtype, values.device)
    else:
        search = spectrum_search(scenario, grid)
    narrow = narrowest(covariance)
    if method == "mvdr":
        _check_invertible(narrow)
    step = max(1, _CHUNK_ENTRIES // search.grid.size)
    parts = []
    for start in range(0, max(1, size), step):
        index = torch.arange(start, min(start + step, size), device=values.device)
        level = None if noise is None else noise[index]
        part = take(narrow, index)
        found = spectrum_positions(part, search, known[index], known[index], method, level)
        told = torch.ones_like(index, dtype=torch.bool)
        if method == "music":
            told = _has_subspace(part, known[index])
        parts.append(_estimates(part, search, found, told[:, None]))
    return Estimates.joined(parts)


def _check_asked(
    number: int | Tensor | None, size: int, scenario: Scenario, method: str, noise: Tensor | None
) -> None:
    if number is None:
        raise InputError("number = None: allowed are integers; a spectrum does not count sources")
    check_number(number, size, min(K_MAX, scenario.elements - 1))
    check_choice("method", method, ("music", "mvdr", "bartlett", "soft_music"))
    if noise is not None:
        check_shape("noise", noise, (size,))
        check_range("noise", noise, torch.finfo(noise.dtype).tiny, torch.finfo(noise.dtype).max)


def _check_covariance(covariance: Covariance, scenario: Scenario) -> int:
    n = scenario.elements
    factored = isinstance(covariance, LowRankCovariance)
    name = "covariance.factor" if factored else "covariance"
    values = covariance.factor if isinstance(covariance, LowRankCovariance) else covariance
    check_complex(name, values)
    check_shape(name, values, (n, None if factored else n))
    if values.ndim != 3:
        one = f"; {name}[None] for one" if values.ndim == 2 else ""
        raise InputError(f"{name} has {values.ndim} axes: allowed are 3, the batch first{one}")
    check_finite(name, values)
    return values.shape[0]


def _check_invertible(covariance: Covariance) -> None:
    values = eigenvalues(covariance)
    least = values.shape[-1] * torch.finfo(values.dtype).eps * values[:, :1]
    if isinstance(covariance, LowRankCovariance):
        # The loading is exact, whatever the factors are.
        least = torch.zeros_like(least)
    if bool((values[:, -1:] <= least).any()):
        raise InputError(
            f"covariance has a smallest eigenvalue of {values[:, -1].min().item()}: allowed for "
            "mvdr are positive ones; add_loading makes it so"
        )


def _estimates(
    covariance: Covariance, search: SpectrumSearch, found: Positions, told: Bool[Tensor, "b 1"]
) -> Estimates:
    """Read off peaks; not resolved where `told` is False, and where a peak holds no power."""
    scenario, active = search.scenario, found.found
    azimuth, elevation, inverse = found.parameters.unbind(-1)
    panel = believed_panel(scenario, torch.float64, azimuth.device).panel
    a = steering_vector(panel, azimuth, elevation, 1 / inverse, scenario.wavefront)
    values = covariance.factor if isinstance(covariance, LowRankCovariance) else covariance
    dtype = values.real.dtype
    power, noise = source_powers(covariance, (a * active[..., None]).mT.to(values.dtype), active)
    rounding = scenario.elements * torch.finfo(dtype).eps * trace(covariance).abs()
    told = told & (power > rounding[:, None])
    status = torch.where(told, found.status, int(Status.UNRESOLVED))
    return strongest_first(
        found.parameters, active, power, status, noise, scenario.wavefront, dtype
    )


def _has_subspace(covariance: Covariance, order: Int[Tensor, " b"]) -> Bool[Tensor, " b"]:
    """Whether the gap below the `order` largest eigenvalues is more than the rounding of the
    largest (Weyl's inequality): with none, any basis of a larger space is as good."""
    values = eigenvalues(covariance)
    gap = eigengap(covariance, order)
    return gap > values.shape[-1] * torch.finfo(values.dtype).eps * values[:, 0].abs()
