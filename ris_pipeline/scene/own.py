"""A panel of one's own: element positions and a wavelength, and what follows from them.

    directions    the half space before the panel, both angles within +-89 degrees
    distance      R / 2 or a wavelength, whichever is more, to 1e6 wavelengths
                  (R: distance of the farthest element from the origin)

are the limits of the search where none are given. Nearer than R / 2 elements see the source from
such different distances that equal amplitudes, which the model has, are wrong by more than a factor
of three; beyond 1e6 wavelengths no panel tells a distance. Narrower limits, where one knows them,
make for a faster search and fewer false sources.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline._arrays import Array, to_tensor
from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_finite, check_range
from ris_pipeline.config import K_MAX, Interval, Scenario, Wavefront
from ris_pipeline.scene.array import Panel
from ris_pipeline.scene.believed import believed_panel

_FRONT = (-89.0, 89.0)
"""Degrees, the widest that a scenario allows."""

_FAR = 1e6
"""Wavelengths, the farthest that a scenario allows."""

JITTER = 0.25
"""How far, in spacings, an element may be off an even grid that is still called one: no nearer to
the middle between two places than to its own."""


def own_scenario(
    positions: Array,
    wavelength: float,
    *,
    azimuth_deg: Interval | None = None,
    elevation_deg: Interval | None = None,
    distance: Interval | None = None,
    wavefront: Wavefront = "spherical",
) -> Scenario:
    """What a receiver knows of a panel of its own; see the head of the file for the limits.

    Where the positions lie on an even grid, horizontal fastest, `panel` and `spacing` are those of
    the grid, which sub-panels need; elsewhere `panel` is (N, 1).

    Args:
        positions: (N, 3) in metres, in the x-y plane or near it, facing +z, around the origin:
            sources are found in the same coordinates.
        wavelength: metres.
        azimuth_deg, elevation_deg, distance: limits of the search, degrees and metres.

    Raises:
        InputError: positions of another shape, not finite, not around the origin or beyond 2e6
            wavelengths; fewer than two
            elements; a wavelength or limit outside its range.
    """
    settings = Scenario().replace(wavelength=wavelength)
    places = _checked(positions, 2 * _FAR * wavelength)
    radius = float(np.linalg.norm(places, axis=1).max())
    grid = _even_grid(places)
    (n_h, n_v), (d_h, d_v) = grid or ((len(places), 1), (0.5 * wavelength, 0.5 * wavelength))
    return settings.replace(
        panel=(n_h, n_v),
        spacing=(d_h / wavelength, d_v / wavelength),
        positions=tuple(map(tuple, places.tolist())),
        sources=(1, min(K_MAX, len(places) - 1)),
        azimuth_deg=azimuth_deg or _FRONT,
        elevation_deg=elevation_deg or _FRONT,
        distance=distance or (max(radius / 2, wavelength), _FAR * wavelength),
        wavefront=wavefront,
        phase_bits=None,
    )


def panel_scenario(panel: Panel) -> Scenario:
    """`own_scenario` of a panel.

    Raises:
        InputError: a panel drawn per scene, or as `own_scenario`.
    """
    if isinstance(panel.wavelength, Tensor) or panel.positions.ndim != 2:
        raise InputError("panel is drawn per scene: allowed is one panel, positions (N, 3)")
    return own_scenario(panel.positions, panel.wavelength)


def on_even_grid(scenario: Scenario) -> bool:
    """Whether the elements are where `panel` and `spacing` say, give or take `JITTER`.

    Raises:
        InputError: as `believed_panel`.
    """
    if scenario.positions is None and scenario.panel_file is None:
        return True
    places = believed_panel(scenario, torch.float64).panel.positions.numpy()
    step = np.array(scenario.spacing) * scenario.wavelength
    return _misfit(places, scenario.panel, step) <= JITTER


def _checked(positions: Array, farthest: float) -> NDArray[np.float64]:
    values = to_tensor("positions", positions)
    if values.ndim != 2 or values.shape[1] != 3:
        turned = values.ndim == 2 and values.shape[0] == 3
        fix = "; positions.T has it" if turned else ""
        raise InputError(
            f"positions has shape {tuple(values.shape)}: allowed is (elements, 3), metres{fix}"
        )
    if values.is_complex():
        raise InputError(f"positions is {values.dtype}: allowed are real numbers, metres")
    check_finite("positions", values)
    check_range("positions", values, -farthest, farthest)
    if values.shape[0] < 2:
        raise InputError(f"positions has {values.shape[0]} elements: allowed are 2 or more")
    return values.detach().to("cpu", torch.float64).numpy()


def _indices(panel: tuple[int, int]) -> NDArray[np.float64]:
    """Places (N, 2) on a centred grid of unit spacing, horizontal fastest."""
    n_h, n_v = panel
    v, h = np.divmod(np.arange(n_h * n_v), n_h)
    return np.stack((h - (n_h - 1) / 2, v - (n_v - 1) / 2), axis=1)


def _misfit(
    places: NDArray[np.float64], panel: tuple[int, int], step: NDArray[np.float64]
) -> float:
    """Farthest that an element is off the grid, along any axis and in spacings."""
    away = places - places.mean(axis=0)
    away[:, :2] -= _indices(panel) * step
    least = min((d for d, n in zip(step, panel, strict=True) if n > 1), default=math.inf)
    return float(np.abs(away).max() / least)


def _even_grid(
    places: NDArray[np.float64],
) -> tuple[tuple[int, int], tuple[float, float]] | None:
    """The even grid that positions lie on best, elements and spacing (m) along x and y; None where
    they lie on none."""
    elements, best = len(places), (JITTER, None)
    away = places - places.mean(axis=0)
    for n_h in (n for n in range(1, elements + 1) if elements % n == 0):
        panel = n_h, elements // n_h
        index = _indices(panel)
        square = (index**2).sum(axis=0)
        step = (index * away[:, :2]).sum(axis=0) / np.where(square > 0, square, 1.0)
        if (step[square > 0] <= 0).any():
            continue
        # Along an axis with one element any spacing will do.
        step = np.where(square > 0, step, step.max())
        misfit = _misfit(places, panel, step)
        if misfit <= best[0]:
            best = misfit, (panel, (float(step[0]), float(step[1])))  # type: ignore[assignment]
    return best[1]
