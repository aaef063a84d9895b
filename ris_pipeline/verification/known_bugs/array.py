"""Steering vectors, and the panel they stand on, that are somebody else's."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.scene.array import (
    Panel,
    direction_cosines,
    ideal_panel,
    steering_derivatives,
    steering_second_derivatives,
    steering_vector,
)
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug, entry

known_bug = Catalogue()

_OWN = "One of 14 steering vectors of one project; 8 did not match its own data generator."
_HAND = "A chain rule done by hand, for an estimator that converged all the same, slowly."


def _moved(panel: Panel, offset: Tensor) -> Panel:
    return replace(panel, positions=panel.positions + offset)


def _pitch(panel: Panel) -> Tensor:
    """Distance of neighbours along each axis, (3,); zero along an axis with one row."""
    gaps = [column.unique().diff() for column in panel.positions.unbind(-1)]
    return torch.stack([gap.amin() if gap.numel() else gap.new_zeros(()) for gap in gaps])


def steering_conjugated(panel: Panel, *where: Any) -> Tensor:
    """`exp(-j k ...)`: the sign of the other convention."""
    return steering_vector(panel, *where).conj().resolve_conj()


@known_bug(
    "steering_vector", Cause.SCALE, "Unit modulus in the simulator, unit norm in the estimator."
)
def steering_not_normalized(panel: Panel, *where: Any) -> Tensor:
    """`1 / sqrt(N)` left out."""
    return steering_vector(panel, *where) * math.sqrt(panel.elements)


@known_bug(
    "steering_vector",
    Cause.SCALE,
    "Averages over the elements take 1 / N, vectors of unit norm its root.",
)
def steering_over_n(panel: Panel, *where: Any) -> Tensor:
    """`1 / N` where it takes its root."""
    return steering_vector(panel, *where) / math.sqrt(panel.elements)


def steering_in_wavelengths(panel: Panel, *where: Any) -> Tensor:
    """Positions in metres read as wavelengths: `k = 2 pi`."""
    return steering_vector(Panel(panel.positions, 1.0), *where)


def steering_axes_swapped(panel: Panel, *where: Any) -> Tensor:
    """Horizontal and vertical positions exchanged."""
    return steering_vector(Panel(panel.positions[..., [1, 0, 2]], panel.wavelength), *where)


@known_bug(
    "steering_vector",
    Cause.AXES,
    "`numpy.meshgrid` exchanges the axes unless told otherwise; square panels hide it.",
)
def steering_vertical_fastest(panel: Panel, *where: Any) -> Tensor:
    """`meshgrid` without `indexing="ij"`: the elements in the other order."""
    order = (panel.positions[..., 0] * 1e6 + panel.positions[..., 1]).argsort()
    return steering_vector(replace(panel, positions=panel.positions[order]), *where)


@known_bug(
    "steering_vector",
    Cause.AXES,
    "(theta, phi) is (elevation, azimuth) in one book and the reverse in the next.",
)
def steering_angles_swapped(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    """`(elevation, azimuth)`, as one of the two modules had it."""
    return steering_vector(panel, elevation, azimuth, distance, *front)


@known_bug(
    "steering_vector",
    Cause.DEGREES,
    "Labels in degrees, a network in radians, and a conversion on both sides.",
)
def steering_in_degrees(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    """Radians converted to radians once more."""
    angles = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    return steering_vector(panel, *angles, distance, *front)


@known_bug("steering_vector", Cause.ZENITH, "Physics books measure theta from the z axis.")
def steering_from_the_zenith(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    """Elevation as the polar angle of spherical coordinates."""
    return steering_vector(panel, azimuth, math.pi / 2 - elevation, distance, *front)


@known_bug(
    "steering_vector",
    Cause.ZENITH,
    "The linear array's formula, used for each axis of a planar one.",
)
def steering_of_a_linear_array(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    """`u = sin(azimuth)`, the cosine of the elevation forgotten."""
    wider = torch.asin((torch.sin(azimuth) / torch.cos(elevation)).clamp(-1, 1))
    return steering_vector(panel, wider, elevation, distance, *front)


def steering_half_an_element_off(panel: Panel, *where: Any) -> Tensor:
    """Centred on N / 2 where it is (N - 1) / 2."""
    return steering_vector(_moved(panel, -_pitch(panel) / 2), *where)


@known_bug(
    "steering_vector",
    Cause.OFF_CENTRE,
    "The first element as phase reference, as in far-field code, where only a phase changes.",
)
def steering_from_the_corner(panel: Panel, *where: Any) -> Tensor:
    """The first element at the origin: the same in the far field but for a phase."""
    return steering_vector(_moved(panel, -panel.positions[..., :1, :]), *where)


@known_bug(
    "steering_vector",
    Cause.CURVATURE,
    "r - |p - q| and |p - q| - r differ in the sign of every term.",
)
def steering_curved_the_other_way(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: Any = "spherical"
) -> Tensor:
    """The Fresnel term with a plus: a wave that converges."""
    turned = -distance if wavefront == "fresnel" else distance
    return steering_vector(panel, azimuth, elevation, turned, wavefront)


@known_bug(
    "steering_vector", Cause.CURVATURE, "The half of sqrt(1 + x) = 1 + x / 2 taken for done."
)
def steering_with_twice_the_curvature(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: Any = "spherical"
) -> Tensor:
    """`(q^2 - s^2) / r`: the half of the expansion forgotten."""
    nearer = distance / 2 if wavefront == "fresnel" else distance
    return steering_vector(panel, azimuth, elevation, nearer, wavefront)


@known_bug(
    "steering_vector", Cause.CURVATURE, "Far-field code given a distance argument for later."
)
def steering_always_plane(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: Any = "spherical"
) -> Tensor:
    """Distance taken and not looked at."""
    return steering_vector(panel, azimuth, elevation, distance, "plane")


@known_bug(
    "steering_vector",
    Cause.CANCELLATION,
    "The formula as it is written, in float32: 1e-6 m are left of 10 m, 2e-5 rad at 1 GHz.",
)
def steering_by_lengths(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: Any = "spherical"
) -> Tensor:
    """`r - |p - q|` as it is written, in float32: a phase of the difference of two lengths."""
    if wavefront != "spherical":
        return steering_vector(panel, azimuth, elevation, distance, wavefront)
    p = distance[..., None] * direction_cosines(azimuth, elevation)
    apart = p[..., None, :] - panel.positions
    lengths = torch.linalg.vector_norm(apart.float(), dim=-1)
    path = (distance[..., None].float() - lengths).to(distance.dtype)
    phase = 2 * math.pi / panel.wavelength * path
    return torch.polar(torch.full_like(phase, panel.elements**-0.5), phase)


@known_bug(
    "steering_vector",
    Cause.AXES,
    "Papers write A as N x K, batches come first in torch; for N = K nothing crashes.",
)
def steering_as_columns(panel: Panel, *where: Any) -> Tensor:
    """(N, K), one column a source, where the others have (K, N)."""
    a = steering_vector(panel, *where)
    return a.movedim(-1, 0)


@known_bug("ideal_panel", Cause.OFF_CENTRE, _OWN)
def panel_half_an_element_off(
    scenario: Scenario, dtype: torch.dtype = torch.float32, device: Any = None
) -> Panel:
    """Centred on N / 2 where it is (N - 1) / 2."""
    panel = ideal_panel(scenario, dtype, device)
    return _moved(panel, -_pitch(panel) / 2)


@known_bug("ideal_panel", Cause.UNITS, _OWN)
def panel_in_wavelengths(
    scenario: Scenario, dtype: torch.dtype = torch.float32, device: Any = None
) -> Panel:
    """Positions in wavelengths, and the wavelength in metres beside them."""
    panel = ideal_panel(scenario, dtype, device)
    return replace(panel, positions=panel.positions / scenario.wavelength)


@known_bug("steering_derivatives", Cause.CHAIN_RULE, _HAND)
def derivatives_without_the_cosine(
    panel: Panel, azimuth: Tensor, elevation: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    """`d sin(azimuth) = cos(azimuth)`: the cosine of the elevation forgotten."""
    a, slopes = steering_derivatives(panel, azimuth, elevation, *rest)
    by_azimuth = slopes[..., :1, :] / torch.cos(elevation)[..., None, None]
    return a, torch.cat((by_azimuth, slopes[..., 1:, :]), dim=-2)


@known_bug(
    "steering_derivatives",
    Cause.CURVATURE,
    "The Cramer-Rao bound of a far-field paper, extended by its steering vector only.",
)
def derivatives_of_the_plane_wave(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: Any = "spherical"
) -> tuple[Tensor, Tensor]:
    """The far-field Jacobian on a near-field vector: no slope by distance."""
    a, slopes = steering_derivatives(panel, azimuth, elevation, distance, wavefront)
    plane = steering_derivatives(panel, azimuth, elevation, distance, "plane")
    return a, plane[1] / plane[0][..., None, :] * a[..., None, :] + 0 * slopes


@known_bug("steering_derivatives", Cause.CHAIN_RULE, _HAND)
def derivatives_without_j(panel: Panel, *where: Any) -> tuple[Tensor, Tensor]:
    """`d exp(j x) = exp(j x) dx`: the j left behind."""
    a, slopes = steering_derivatives(panel, *where)
    return a, slopes * -1j


@known_bug(
    "steering_second_derivatives",
    Cause.CURVATURE,
    "Gauss-Newton's approximation kept where the model error makes the difference.",
)
def second_derivatives_of_a_straight_phase(panel: Panel, *where: Any) -> Tensor:
    """`-k^2 d_i l d_j l a`: the curvature of the path left out."""
    a, slopes = steering_derivatives(panel, *where)
    return slopes[..., :, None, :] * slopes[..., None, :, :] / a[..., None, None, :]


@known_bug(
    "steering_second_derivatives",
    Cause.CHAIN_RULE,
    "d(f' e^f) = f'' e^f: the second term of the product forgotten.",
)
def second_derivatives_of_the_phase(panel: Panel, *where: Any) -> Tensor:
    """`j k d_i d_j l a`: the product of the slopes left out."""
    straight = second_derivatives_of_a_straight_phase(panel, *where)
    return steering_second_derivatives(panel, *where) - straight


ARRAY_BUGS: tuple[KnownBug, ...] = (
    *known_bug,
    *(
        entry("steering_vector", cause, function, _OWN)
        for cause, function in (
            (Cause.CONJUGATED, steering_conjugated),
            (Cause.OFF_CENTRE, steering_half_an_element_off),
            (Cause.AXES, steering_axes_swapped),
            (Cause.UNITS, steering_in_wavelengths),
        )
    ),
)
