"""Conventions of steering vectors: angles, units, phase, norm, order of the elements."""

from typing import Any

import torch
from scipy.constants import c as LIGHT
from torch import Tensor

from ris_pipeline.scene._phasor import phasor
from ris_pipeline.verification.conventions._entry import Convention, Values

_OF = frozenset({"steering_vector"})


def _towards(azimuth: Tensor, elevation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Direction cosines (u, v, w)."""
    cos = torch.cos(elevation)
    return torch.sin(azimuth) * cos, torch.sin(elevation), torch.cos(azimuth) * cos


def _point(given: Values) -> Tensor:
    """Source (..., 3) in metres."""
    cosines = _towards(given["azimuth"], given["elevation"])
    return given["distance"][..., None] * torch.stack(cosines, dim=-1)


def _positions(given: Values) -> Tensor:
    """Elements (N, 3) in metres, ours, whichever form they are given in."""
    if "positions" in given:
        return given["positions"]
    (n_h, n_v), (d_h, d_v) = given["shape"], given["spacing"]
    x = (torch.arange(n_h, dtype=torch.float64) - (n_h - 1) / 2) * d_h
    y = (torch.arange(n_v, dtype=torch.float64) - (n_v - 1) / 2) * d_v
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((grid_x, grid_y, torch.zeros_like(grid_x)), dim=-1).reshape(-1, 3)


def _wavenumber(given: Values) -> float:
    return float(2 * torch.pi / given["wavelength"])


def _turned(answer: Tensor, phase: Tensor) -> Tensor:
    """`answer exp(j phase)`, one phase for each vector."""
    return answer * phasor(phase)[..., None]


def _elements(given: Values) -> int:
    return int(_positions(given).shape[-2])


def _first(given: Values) -> Tensor:
    """Distance of the source from the first element."""
    return torch.linalg.vector_norm(_point(given) - _positions(given)[0], dim=-1)


def _from_first(given: Values) -> Tensor:
    return _turned_phase(given, _first(given))


def _turned_phase(given: Values, length: Tensor) -> Tensor:
    return _wavenumber(given) * (given["distance"] - length)


def _lengths(answer_scale: float, *names: str) -> Any:
    def change(given: Values) -> dict[str, Any]:
        def scaled(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(x * answer_scale for x in value)
            return value * answer_scale

        return {k: scaled(v) if k in names else v for k, v in given.items()}

    return change


def _in_wavelengths(*names: str) -> Any:
    def change(given: Values) -> dict[str, Any]:
        scale = 1 / given["wavelength"]
        return _lengths(scale, *names)(given)

    return change


def _angles(change: Any) -> Any:
    def arguments(given: Values) -> dict[str, Any]:
        azimuth, elevation = change(given["azimuth"], given["elevation"])
        return {**given, "azimuth": azimuth, "elevation": elevation}

    return arguments


def _polar(azimuth: Tensor, elevation: Tensor) -> tuple[Tensor, Tensor]:
    """Angle around the normal from the horizontal axis, and from the normal."""
    u, v, w = _towards(azimuth, elevation)
    return torch.atan2(v, u), torch.atan2(torch.hypot(u, v), w)


def _tilted(azimuth: Tensor, elevation: Tensor) -> tuple[Tensor, Tensor]:
    """Angles of `u = sin(az)`, `v = cos(az) sin(el)`."""
    u, v, w = _towards(azimuth, elevation)
    return torch.asin(u), torch.atan2(v, w)


def _wave(value: Any) -> Any:
    return lambda given: {**given, "wavelength": value(given["wavelength"])}


def _seen_from_corner(given: Values) -> dict[str, Any]:
    """Azimuth, elevation and distance of the source from the first element."""
    x, y, z = (_point(given) - _positions(given)[0]).unbind(-1)
    distance = torch.sqrt(x * x + y * y + z * z)
    angles = {"azimuth": torch.atan2(x, z), "elevation": torch.asin(y / distance)}
    return {**given, **angles, "distance": distance}


def _horizontal_first(answer: Tensor, given: Values) -> Tensor:
    if "shape" not in given:
        return answer
    n_h, n_v = given["shape"]
    return answer.reshape(*answer.shape[:-1], n_h, n_v).mT.reshape(answer.shape)


def _rows_first(given: Values) -> dict[str, Any]:
    pairs = ("shape", "spacing")
    return {k: v[::-1] if k in pairs else v for k, v in given.items()}


def _permuted(*order: int) -> Any:
    def arguments(given: Values) -> dict[str, Any]:
        if "positions" not in given:
            return dict(given)
        return {**given, "positions": given["positions"][..., list(order)]}

    return arguments


def _with_point(plain: tuple[str, ...]) -> tuple[str, ...]:
    place = plain.index("azimuth")
    left = tuple(n for n in plain if n not in ("azimuth", "elevation", "distance"))
    return (*left[:place], "point", *left[place:])


def _amplitude(power: int) -> Any:
    def result(answer: Tensor, given: Values) -> Tensor:
        lengths = torch.linalg.vector_norm(_point(given)[..., None, :] - _positions(given), dim=-1)
        scale = lengths if power == 0 else lengths / given["distance"][..., None]
        return answer * scale

    return result


def _entry(name: str, rank: int, **rest: Any) -> Convention:
    return Convention(name, _OF, rank, **rest)


_K = "k = 2 * np.pi / wavelength"
_P = (
    "point = distance * np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), "
    "np.cos(azimuth) * np.cos(elevation)])"
)

STEERING: tuple[Convention, ...] = (
    _entry(
        "opposite phase",
        0,
        result=lambda answer, given: answer.conj(),
        after=("answer = answer.conj()",),
        group="sign",
    ),
    _entry(
        "unit modulus",
        1,
        result=lambda answer, given: answer / _elements(given) ** 0.5,
        after=("answer = answer / len(answer) ** 0.5",),
        group="norm",
    ),
    _entry(
        "vertical index first",
        2,
        result=_horizontal_first,
        after=("answer = answer.reshape(shape).T.ravel()",),
        group="order",
    ),
    _entry(
        "rows first",
        2,
        arguments=_rows_first,
        before=("shape, spacing = shape[::-1], spacing[::-1]",),
        group="order",
    ),
    _entry(
        "absolute phase",
        3,
        result=lambda answer, given: _turned(answer, _wavenumber(given) * given["distance"]),
        after=(_K, "answer = answer * np.exp(1j * k * distance)"),
        group="reference",
    ),
    _entry(
        "first element reference",
        3,
        result=lambda answer, given: _turned(answer, _from_first(given)),
        after=(
            _K,
            _P,
            "first = np.linalg.norm(point - positions[0])",
            "answer = answer * np.exp(1j * k * (distance - first))",
        ),
        group="reference",
    ),
    _entry(
        "corner origin",
        3,
        arguments=_seen_from_corner,
        result=lambda answer, given: _turned(answer, _from_first(given)),
        before=(
            "centre = distance",
            _P,
            "corner = -0.5 * np.array([(n - 1) * d for n, d in zip(shape, spacing)] + [0])",
            "x, y, z = point - corner",
            "distance = np.linalg.norm(point - corner)",
            "azimuth, elevation = np.arctan2(x, z), np.arcsin(y / distance)",
        ),
        after=(_K, "answer = answer * np.exp(1j * k * (centre - distance))"),
        group="reference",
    ),
    _entry(
        "amplitude 1/|p-q|",
        1,
        result=lambda answer, given: _amplitude(0)(answer, given) / _elements(given) ** 0.5,
        after=(
            _P,
            "lengths = np.linalg.norm(point - positions, axis=1)",
            "answer = answer * lengths / len(answer) ** 0.5",
        ),
        group="norm",
    ),
    _entry(
        "amplitude r/|p-q|",
        1,
        result=_amplitude(1),
        after=(
            _P,
            "lengths = np.linalg.norm(point - positions, axis=1)",
            "answer = answer * lengths / distance",
        ),
        group="amplitude",
    ),
    _entry(
        "amplitude 1/|p-q|",
        1,
        result=_amplitude(0),
        after=(
            _P,
            "lengths = np.linalg.norm(point - positions, axis=1)",
            "answer = answer * lengths",
        ),
        group="amplitude",
    ),
    _entry(
        "degrees",
        1,
        arguments=_angles(lambda az, el: (torch.rad2deg(az), torch.rad2deg(el))),
        before=("azimuth, elevation = np.degrees(azimuth), np.degrees(elevation)",),
        group="angle unit",
    ),
    _entry(
        "swapped angles",
        2,
        arguments=_angles(lambda az, el: (el, az)),
        before=("azimuth, elevation = elevation, azimuth",),
        group="angle order",
    ),
    _entry(
        "zenith angle",
        4,
        arguments=_angles(lambda az, el: (az, torch.pi / 2 - el)),
        before=("elevation = np.pi / 2 - elevation",),
        group="angles",
    ),
    _entry(
        "angle from the normal",
        4,
        arguments=_angles(_polar),
        before=(
            "u, v = np.sin(azimuth) * np.cos(elevation), np.sin(elevation)",
            "azimuth, elevation = np.arctan2(v, u), np.arcsin(np.hypot(u, v))",
        ),
        group="angles",
    ),
    _entry(
        "elevation about the horizontal axis",
        4,
        arguments=_angles(_tilted),
        before=(
            "u, v = np.sin(azimuth) * np.cos(elevation), np.sin(elevation)",
            "w = np.cos(azimuth) * np.cos(elevation)",
            "azimuth, elevation = np.arcsin(u), np.arctan2(v, w)",
        ),
        group="angles",
    ),
    _entry(
        "azimuth from the horizontal axis",
        4,
        arguments=_angles(lambda az, el: (torch.pi / 2 - az, el)),
        before=("azimuth = np.pi / 2 - azimuth",),
        group="angles",
    ),
    _entry(
        "frequency",
        2,
        arguments=_wave(lambda wavelength: LIGHT / wavelength),
        before=("wavelength = 299_792_458.0 / wavelength  # now a frequency",),
        group="wave",
    ),
    _entry(
        "frequency, c = 3e8",
        2,
        arguments=_wave(lambda wavelength: 3e8 / wavelength),
        before=("wavelength = 3e8 / wavelength  # now a frequency",),
        group="wave",
    ),
    _entry(
        "wavenumber",
        2,
        arguments=_wave(lambda wavelength: 2 * torch.pi / wavelength),
        before=("wavelength = 2 * np.pi / wavelength  # now a wavenumber",),
        group="wave",
    ),
    _entry(
        "spacing in wavelengths",
        4,
        arguments=_in_wavelengths("spacing", "positions"),
        before=("spacing = np.asarray(spacing) / wavelength",),
        group="unit",
    ),
    _entry(
        "lengths in wavelengths",
        4,
        arguments=_in_wavelengths("spacing", "positions", "distance"),
        parameters=lambda plain: tuple(n for n in plain if n != "wavelength"),
        before=("positions, distance = positions / wavelength, distance / wavelength",),
        group="unit",
    ),
    _entry(
        "millimetres",
        4,
        arguments=_lengths(1e3, "spacing", "positions"),
        before=("positions = 1e3 * positions",),
        group="unit",
    ),
    _entry(
        "millimetres",
        4,
        arguments=_lengths(1e3, "spacing", "positions", "distance", "wavelength"),
        before=(
            "positions, distance, wavelength = 1e3 * positions, 1e3 * distance, 1e3 * wavelength",
        ),
        group="unit",
    ),
    _entry(
        "rows for columns",
        4,
        arguments=lambda given: {k: v.mT if k == "positions" else v for k, v in given.items()},
        before=("positions = positions.T",),
        group="form",
    ),
    _entry(
        "normal along x",
        6,
        arguments=_permuted(2, 0, 1),
        before=("positions = positions[:, [2, 0, 1]]",),
        group="axes",
    ),
    _entry(
        "cartesian point",
        6,
        arguments=lambda given: {**given, "point": _point(given)},
        parameters=_with_point,
        before=(_P.replace("point = ", "point = ", 1),),
        group="angles",
    ),
)
