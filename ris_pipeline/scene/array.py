"""The panel and its steering vector: the one place where sign, centring, order and units are fixed.

element n = i_v N_H + i_h at q_n = ((i_h - (N_H-1)/2) d_H, (i_v - (N_V-1)/2) d_V, 0)   [m]
source at p = r (u, v, w),  u = sin(azimuth) cos(elevation),  v = sin(elevation),
                            w = cos(azimuth) cos(elevation)

a_n = exp(+j k (r - |p - q_n|)) / sqrt(N),    k = 2 pi / wavelength      (spherical)
r - |p - q_n| ~ s_n - (|q_n|^2 - s_n^2) / (2 r),   s_n = q_n . (u, v, w)  (fresnel)
r - |p - q_n| ~ s_n                                                        (plane)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline._arrays import own_tensors
from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._validation import check_range, numbers
from ris_pipeline.config import Scenario, Wavefront
from ris_pipeline.scene._phasor import phasor


@dataclass(frozen=True)
class Panel:
    """A planar array: element positions (..., N, 3) in metres and the wavelength in metres.

    The leading axes of `positions`, and of `wavelength` where it is a tensor, are those of the
    scenes: an ideal panel has none, a panel drawn per scene has the batch axis.
    """

    positions: Tensor
    wavelength: float | Tensor

    def __post_init__(self) -> None:
        own_tensors(self)

    @property
    def elements(self) -> int:
        """Number of elements N."""
        return self.positions.shape[-2]


def ideal_panel(
    scenario: Scenario,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Panel:
    """The panel that the receiver assumes, positions (N, 3): a scenario's own, or the even grid."""
    if scenario.positions is not None:
        own = torch.tensor(scenario.positions, dtype=dtype, device=device)
        return Panel(own, scenario.wavelength)
    (n_h, n_v), (d_h, d_v) = scenario.panel, scenario.spacing
    x = (torch.arange(n_h, dtype=dtype, device=device) - (n_h - 1) / 2) * d_h * scenario.wavelength
    y = (torch.arange(n_v, dtype=dtype, device=device) - (n_v - 1) / 2) * d_v * scenario.wavelength
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    positions = torch.stack((grid_x, grid_y, torch.zeros_like(grid_x)), dim=-1)
    return Panel(positions.reshape(-1, 3), scenario.wavelength)


def uniform_linear_array(
    antennas: int,
    wavelength: float,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Panel:
    """Antennas along x at half a wavelength, centred.

    Raises:
        InputError: no antennas.
    """
    check_range("antennas", antennas, 1, math.inf)
    x = (torch.arange(antennas, dtype=dtype, device=device) - (antennas - 1) / 2) * wavelength / 2
    return Panel(torch.stack((x, torch.zeros_like(x), torch.zeros_like(x)), dim=-1), wavelength)


def direction_cosines(
    azimuth: Float[Tensor, "*batch"], elevation: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3"]:
    """`(u, v, w)`: the unit vector towards a source; angles in radians."""
    cos_elevation = torch.cos(elevation)
    return torch.stack(
        (
            torch.sin(azimuth) * cos_elevation,
            torch.sin(elevation),
            torch.cos(azimuth) * cos_elevation,
        ),
        dim=-1,
    )


def turning_cosines(
    azimuth: Float[Tensor, "*batch"], elevation: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """`direction_cosines`, and their derivatives by azimuth and by elevation, as rows."""
    sin_a, cos_a = torch.sin(azimuth), torch.cos(azimuth)
    sin_e, cos_e = torch.sin(elevation), torch.cos(elevation)
    u, w = sin_a * cos_e, cos_a * cos_e
    by_azimuth = (w, torch.zeros_like(u), -u)
    by_elevation = (-sin_a * sin_e, cos_e, -cos_a * sin_e)
    rows = torch.stack((u, sin_e, w, *by_azimuth, *by_elevation), dim=-1)
    return rows.unflatten(-1, (3, 3))


def angles_from_cosines(
    u: Float[Tensor, "*batch"], v: Float[Tensor, "*batch"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Azimuth and elevation (radians) of the direction cosines, for `u^2 + v^2 < 1`."""
    elevation = torch.asin(v)
    return torch.asin((u / torch.cos(elevation)).clamp(-1.0, 1.0)), elevation


def _spherical(s: Tensor, square: Tensor, r: Tensor) -> Tensor:
    # |p - q| = sqrt(r^2 - 2 r s + |q|^2); the difference r - |p - q| is rationalised, because in
    # float32 subtracting two lengths of 10 m leaves 1e-6 m, which is 2e-5 rad at 1 GHz.
    length = torch.sqrt(r * r - 2 * r * s + square)
    return (2 * r * s - square) / (r + length)


def _fresnel(s: Tensor, square: Tensor, r: Tensor) -> Tensor:
    return s - (square - s * s) / (2 * r)


def _plane(s: Tensor, square: Tensor, r: Tensor) -> Tensor:
    return s


def _spherical_slopes(s: Tensor, square: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    twice = 2 * r * s
    length = torch.sqrt(r * r - twice + square)
    sum_of_lengths = r + length
    by_distance = (square + s * (length - r)) / (sum_of_lengths * length)
    return (twice - square) / sum_of_lengths, r / length, by_distance


def _fresnel_slopes(s: Tensor, square: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _fresnel(s, square, r), 1 + s / r, (square - s * s) / (2 * r * r)


def _plane_slopes(s: Tensor, square: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return s, torch.ones_like(s), torch.zeros_like(s)


def _spherical_curvatures(s: Tensor, square: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    cube = (r * r - 2 * r * s + square) ** 1.5
    return r * r / cube, (square - r * s) / cube, (s * s - square) / cube


def _fresnel_curvatures(s: Tensor, square: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ones_like(s) / r, -s / (r * r), (s * s - square) / r**3


def _plane_curvatures(s: Tensor, square: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    zero = torch.zeros_like(s)
    return zero, zero, zero


# The path difference r - |p - q| as a function of (s, |q|^2, r); the same with its partial
# derivatives by s and by r; and the second ones by ss, sr and rr.
_PATHS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "spherical": _spherical,
    "fresnel": _fresnel,
    "plane": _plane,
}
_SLOPES: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "spherical": _spherical_slopes,
    "fresnel": _fresnel_slopes,
    "plane": _plane_slopes,
}
_CURVATURES: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "spherical": _spherical_curvatures,
    "fresnel": _fresnel_curvatures,
    "plane": _plane_curvatures,
}


def _check_positive(distance: Tensor, wavefront: str) -> None:
    """NaN goes on: training looks for it at its end."""
    if wavefront != "plane":
        known = numbers(distance)
        if known is not None and bool((known <= 0).any()):
            raise InputError(f"distance holds {known.min().item()}: allowed is above 0")


def _reach(distance: Tensor) -> Tensor:
    """The distance, (..., 1), no more than what can be squared: there a wave is plane to
    rounding."""
    return distance[..., None].clamp_max(torch.finfo(distance.dtype).max ** 0.5 / 4)


def _along(vector: Tensor, positions: Tensor) -> Tensor:
    """`q_n . vector`, (..., N)."""
    return vector @ positions.mT


def _along_rows(vectors: Tensor, positions: Tensor) -> Tensor:
    """`q_n . vector` of every row of (..., V, 3), (..., V, N)."""
    if positions.ndim == 2:
        return _along(vectors, positions)
    return _along(vectors.flatten(-3, -2), positions).unflatten(-2, vectors.shape[-3:-1])


def _squares(panel: Panel) -> Tensor:
    """`|q_n|^2`, with an axis for the sources where the panel has one for the scenes."""
    squares = panel.positions.square().sum(-1)
    return squares if squares.ndim == 1 else squares[..., None, :]


def _wavenumber(panel: Panel) -> float | Tensor:
    if isinstance(panel.wavelength, Tensor):
        return (2 * math.pi / panel.wavelength)[..., None, None]
    return 2 * math.pi / panel.wavelength


def steering_vector(
    panel: Panel,
    azimuth: Float[Tensor, "*batch"],
    elevation: Float[Tensor, "*batch"],
    distance: Float[Tensor, "*batch"],
    wavefront: Wavefront = "spherical",
) -> Complex[Tensor, "*batch n"]:
    """Steering vectors `a_n = exp(+j k (r - |p - q_n|)) / sqrt(N)`, of unit norm.

    Args:
        panel: positions (N, 3), or (B, N, 3) with angles of shape (B, K).
        azimuth, elevation: radians.
        distance: metres, above 0; infinite: the plane wave. A plane wavefront does not look at it.

    Raises:
        InputError: unknown wavefront, or a distance that is not positive.
    """
    check_choice("wavefront", wavefront, _PATHS)
    _check_positive(distance, wavefront)
    return waves(panel, azimuth, elevation, distance, wavefront)


def waves(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: Wavefront
) -> Complex[Tensor, "*batch n"]:
    """`steering_vector` of distances that are positive: a check would wait for the device."""
    s = _along(direction_cosines(azimuth, elevation), panel.positions)
    phase = _wavenumber(panel) * _PATHS[wavefront](s, _squares(panel), _reach(distance))
    return phasor(phase, 1 / math.sqrt(panel.elements))


def steering_derivatives(
    panel: Panel,
    azimuth: Float[Tensor, "*batch"],
    elevation: Float[Tensor, "*batch"],
    distance: Float[Tensor, "*batch"],
    wavefront: Wavefront = "spherical",
) -> tuple[Complex[Tensor, "*batch n"], Complex[Tensor, "*batch 3 n"]]:
    """Steering vectors and their derivatives `d a_n = j k d(r - |p - q_n|) a_n`.

    Returns:
        a (..., N) and da (..., 3, N), by azimuth (1/rad), elevation (1/rad) and distance (1/m).
    """
    check_choice("wavefront", wavefront, _PATHS)
    _check_positive(distance, wavefront)
    return waves_and_slopes(panel, azimuth, elevation, distance, wavefront)


def waves_and_slopes(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: Wavefront
) -> tuple[Complex[Tensor, "*batch n"], Complex[Tensor, "*batch 3 n"]]:
    """`steering_derivatives` of distances that are positive: a check would wait for the device."""
    s, turns = _path_turns(panel, azimuth, elevation)
    path, by_s, by_distance = _SLOPES[wavefront](s, _squares(panel), _reach(distance))
    a = phasor(_wavenumber(panel) * path, 1 / math.sqrt(panel.elements))
    slopes = _path_slopes(by_s, turns, by_distance)
    return a, 1j * (_wavenumber_of_slopes(panel) * slopes) * a[..., None, :]


def steering_second_derivatives(
    panel: Panel,
    azimuth: Float[Tensor, "*batch"],
    elevation: Float[Tensor, "*batch"],
    distance: Float[Tensor, "*batch"],
    wavefront: Wavefront = "spherical",
) -> Complex[Tensor, "*batch 3 3 n"]:
    """`d_i d_j a_n = (j k d_i d_j l_n - k^2 d_i l_n d_j l_n) a_n`, `l_n = r - |p - q_n|`.

    Returns:
        (..., 3, 3, N), symmetric, by azimuth (rad), elevation (rad) and distance (m).

    Raises:
        InputError: unknown wavefront.
    """
    a = steering_vector(panel, azimuth, elevation, distance, wavefront)
    s, turns = _path_turns(panel, azimuth, elevation)
    square, r = _squares(panel), _reach(distance)
    _, by_s, by_distance = _SLOPES[wavefront](s, square, r)
    slopes = _path_slopes(by_s, turns, by_distance)
    by_ss, by_sr, by_rr = _CURVATURES[wavefront](s, square, r)
    angles = by_ss[..., None, None, :] * turns[..., :, None, :] * turns[..., None, :, :]
    angles = angles + by_s[..., None, None, :] * _second_turns(panel, azimuth, elevation)
    mixed = by_sr[..., None, :] * turns
    upper = torch.cat((angles, mixed[..., :, None, :]), dim=-2)
    lower = torch.cat((mixed, by_rr[..., None, :]), dim=-2)
    curvatures = torch.cat((upper, lower[..., None, :, :]), dim=-3)
    wavenumber = _wavenumber_of_slopes(panel)
    first = wavenumber * slopes
    if isinstance(wavenumber, Tensor):
        wavenumber = wavenumber[..., None, :]
    factor = torch.complex(
        -first[..., :, None, :] * first[..., None, :, :], wavenumber * curvatures
    )
    return factor * a[..., None, None, :]


def _path_turns(panel: Panel, azimuth: Tensor, elevation: Tensor) -> tuple[Tensor, Tensor]:
    """`s` (..., N), and its derivatives by azimuth and elevation (..., 2, N)."""
    rows = _along_rows(turning_cosines(azimuth, elevation), panel.positions)
    return rows[..., 0, :], rows[..., 1:, :]


def _second_turns(panel: Panel, azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Second derivatives of `s` by azimuth and elevation, (..., 2, 2, N)."""
    cosines = direction_cosines(azimuth, elevation)
    zero, sine = torch.zeros_like(azimuth), torch.sin(elevation)
    twice_azimuth = -torch.stack((cosines[..., 0], zero, cosines[..., 2]), dim=-1)
    mixed = torch.stack((-torch.cos(azimuth) * sine, zero, torch.sin(azimuth) * sine), dim=-1)
    azimuths, mixtures, elevations = (
        _along(vector, panel.positions) for vector in (twice_azimuth, mixed, -cosines)
    )
    rows = (torch.stack((azimuths, mixtures), -2), torch.stack((mixtures, elevations), -2))
    return torch.stack(rows, dim=-3)


def _path_slopes(by_s: Tensor, turns: Tensor, by_distance: Tensor) -> Tensor:
    """Derivatives of `r - |p - q_n|` by azimuth, elevation and distance, (..., 3, N)."""
    return torch.cat((by_s[..., None, :] * turns, by_distance[..., None, :]), dim=-2)


def _wavenumber_of_slopes(panel: Panel) -> float | Tensor:
    wavenumber = _wavenumber(panel)
    return wavenumber[..., None, :] if isinstance(wavenumber, Tensor) else wavenumber
