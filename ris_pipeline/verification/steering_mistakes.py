"""What is written for a steering vector: other positions, directions, units and wavefronts.

a_n = exp(j k path(q_n, u, r)) / sqrt(N),   path = r - |r u - q_n|
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.scene.array import Panel, direction_cosines, steering_vector
from ris_pipeline.verification.adapters import PROBE_WAVELENGTH
from ris_pipeline.verification.cause import Cause

Vector = Callable[..., Tensor]


def _moved(change: Callable[[Tensor, float], Tensor], wavelength: float = 1.0) -> Vector:
    """Ours on other positions, and at so many wavelengths."""

    def mistaken(panel: Panel, *where: Any) -> Tensor:
        changed = change(panel.positions, float(panel.wavelength))
        return steering_vector(
            replace(panel, positions=changed, wavelength=panel.wavelength * wavelength), *where
        )

    return mistaken


def _in_units(power: int, length: int) -> Vector:
    """Positions times a power of the wavelength, and a power of it for the wavelength."""

    def mistaken(panel: Panel, *where: Any) -> Tensor:
        w = panel.wavelength
        moved = replace(panel, positions=panel.positions * w**power, wavelength=w**length)
        return steering_vector(moved, *where)

    return mistaken


def _switched(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    """A plane wave within the Fraunhofer distance 2 D^2 / wavelength, and the exact one beyond."""
    width = (panel.positions.amax(0) - panel.positions.amin(0)).max()
    near = distance < 2 * width.square() / panel.wavelength
    plane, exact = (
        steering_vector(panel, azimuth, elevation, distance, form)
        for form in ("plane", "spherical")
    )
    return torch.where(near[..., None], plane, exact)


def _asked(change: Callable[[Tensor, Tensor, Tensor], tuple[Any, Any, Any]]) -> Vector:
    """Ours from another place."""
    return lambda panel, azimuth, elevation, distance, *front: steering_vector(
        panel, *change(azimuth, elevation, distance), *front
    )


def _always(front: Any) -> Vector:
    """Ours on one wavefront, whatever is asked for."""
    return lambda panel, azimuth, elevation, distance, *others: steering_vector(
        panel, azimuth, elevation, distance, front
    )


def _spacings(positions: Tensor) -> Tensor:
    """Smallest steps along x and y, 0 where there is but one place."""
    steps = []
    for axis in (0, 1):
        places = positions[:, axis].unique()
        steps.append(places.diff().min() if len(places) > 1 else torch.zeros(()))
    return torch.stack(steps)


def _shifted(positions: Tensor, steps: float) -> Tensor:
    shift = torch.zeros(3, dtype=positions.dtype)
    shift[:2] = steps * _spacings(positions)
    return positions + shift


def _to_the_middle(positions: Tensor, wavelength: float) -> Tensor:
    """`i - n // 2`: half an element off where n is even."""
    counts = [len(positions[:, axis].unique()) for axis in (0, 1)]
    even = torch.tensor([-0.5 * (count % 2 == 0) for count in counts], dtype=positions.dtype)
    shift = torch.zeros(3, dtype=positions.dtype)
    shift[:2] = even * _spacings(positions)
    return positions + shift


def _past_the_middle(positions: Tensor, wavelength: float) -> Tensor:
    """`i - (n - 1) // 2`: half an element to the other side."""
    return 2 * positions - _to_the_middle(positions, wavelength)


def _counts(positions: Tensor) -> Tensor:
    return torch.tensor([len(positions[:, axis].unique()) for axis in (0, 1)])


def _to_one_middle(positions: Tensor, wavelength: float) -> Tensor:
    """`i - (n_x - 1) / 2` for both axes."""
    across, along = _counts(positions).tolist()
    other = positions.clone()
    other[:, 1] += (along - across) / 2 * _spacings(positions)[1]
    return other


def _stretched(positions: Tensor, wavelength: float) -> Tensor:
    """`linspace(-n d / 2, n d / 2, n)`."""
    counts = _counts(positions)
    other = positions.clone()
    other[:, :2] *= counts / (counts - 1).clamp_min(1)
    return other


def _in_steps(panel: Panel, *where: Any) -> Tensor:
    ours = steering_vector(panel, *where)
    turns = (ours.angle() / (2 * math.pi) * 64).round() / 64
    return torch.polar(ours.abs(), 2 * math.pi * turns)


def _along_squares(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    place = (distance[..., None] * direction_cosines(azimuth, elevation))[..., None, :]
    square = (place - panel.positions).square().sum(-1)
    return _wave(panel, distance[..., None] - square)


def _exchanged(positions: Tensor, wavelength: float) -> Tensor:
    """The spacings of the axes exchanged."""
    steps = _spacings(positions)
    other = positions.clone()
    if bool((steps > 0).all()):
        other[:, 0] *= steps[1] / steps[0]
        other[:, 1] *= steps[0] / steps[1]
    return other


def _one_spacing(axis: int) -> Callable[[Tensor, float], Tensor]:
    """The spacing of one axis for both."""

    def moved(positions: Tensor, wavelength: float) -> Tensor:
        steps = _spacings(positions)
        other = positions.clone()
        if bool((steps > 0).all()):
            other[:, 1 - axis] *= steps[axis] / steps[1 - axis]
        return other

    return moved


def _as_first_asked(panel: Panel, *where: Any) -> Tensor:
    return steering_vector(replace(panel, wavelength=PROBE_WAVELENGTH), *where)


def _along(direction: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> Vector:
    """The exact wavefront from a wrong direction."""

    def mistaken(
        panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
    ) -> Tensor:
        u = torch.stack(torch.broadcast_tensors(*direction(azimuth, elevation)), dim=-1)
        place = (distance[..., None] * u)[..., None, :]
        path = distance[..., None] - torch.linalg.vector_norm(place - panel.positions, dim=-1)
        return _wave(panel, path)

    return mistaken


def _wave(panel: Panel, path: Tensor) -> Tensor:
    return torch.exp(2j * math.pi * path / panel.wavelength) / math.sqrt(panel.positions.shape[0])


def _curved(form: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Vector:
    """Another path by `s = q . u`, `|q|^2` and r."""

    def mistaken(
        panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
    ) -> Tensor:
        s = direction_cosines(azimuth, elevation) @ panel.positions.mT
        square = panel.positions.square().sum(-1)
        return _wave(panel, form(s, square, distance[..., None]))

    return mistaken


def _weighted(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    place = (distance[..., None] * direction_cosines(azimuth, elevation))[..., None, :]
    length = torch.linalg.vector_norm(place - panel.positions, dim=-1)
    ours = steering_vector(panel, azimuth, elevation, distance, *front)
    return ours * distance[..., None] / length


def _separable(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    """`exp(j k (p_x + p_y))`, each path as if the element stood on that axis."""
    place = (distance[..., None] * direction_cosines(azimuth, elevation))[..., None, :]
    path = 0.0
    for axis in (0, 1):
        alone = torch.zeros_like(panel.positions)
        alone[:, axis] = panel.positions[:, axis]
        path = path + distance[..., None] - torch.linalg.vector_norm(place - alone, dim=-1)
    return _wave(panel, torch.as_tensor(path))


def _centred_as_one(positions: Tensor, wavelength: float) -> Tensor:
    """From the corner, less one number for both axes of the panel."""
    corner = positions - positions.amin(0)
    mean = corner[:, :2].mean()
    return torch.cat((corner[:, :2] - mean, corner[:, 2:]), dim=-1)


def _flat(positions: Tensor, wavelength: float) -> Tensor:
    return torch.cat((positions[:, :2], torch.zeros_like(positions[:, 2:])), dim=-1)


def _as_columns(positions: Tensor, wavelength: float) -> Tensor:
    """Elements in the order of the other axis."""
    rows, columns = (len(positions[:, axis].unique()) for axis in (1, 0))
    if rows * columns != len(positions):
        return positions
    return positions.reshape(columns, rows, 3).transpose(0, 1).reshape(-1, 3)


def _real_part(panel: Panel, *where: Any) -> Tensor:
    ours = steering_vector(panel, *where)
    return ours.real.to(ours.dtype)


STEERING: tuple[tuple[Cause, str, Vector], ...] = (
    (Cause.HALF, "k = pi / wavelength.", _moved(lambda q, w: q, 2.0)),
    (Cause.HALF, "k = 4 pi / wavelength, of a way there and back.", _moved(lambda q, w: q, 0.5)),
    *(
        (Cause.UNITS, f"Positions times {by} and k = 2 pi / {of}.", _in_units(power, length))
        for power, by in ((-1, "1 / wavelength"), (0, "1"), (1, "wavelength"))
        for length, of in (
            (-1, "(1 / wavelength)"),
            (0, "1 m"),
            (1, "wavelength"),
            (2, "wavelength^2"),
        )
        if (power, length) != (0, 1)
    ),
    (Cause.AXES, "x and y are exchanged.", _moved(lambda q, w: q[:, [1, 0, 2]])),
    (Cause.AXES, "The panel stands in the x-z plane.", _moved(lambda q, w: q[:, [0, 2, 1]])),
    (Cause.AXES, "The heights of the elements are left out.", _moved(_flat)),
    (Cause.AXES, "The spacings are exchanged.", _moved(_exchanged)),
    (Cause.AXES, "The spacing of x is that of both axes.", _moved(_one_spacing(0))),
    (Cause.AXES, "The spacing of y is that of both axes.", _moved(_one_spacing(1))),
    (Cause.REMEMBERS, "It keeps the wavelength of its first call.", _as_first_asked),
    (Cause.AXES, "The elements come in the order of columns.", _moved(_as_columns)),
    (Cause.AXES, "The angles are exchanged.", _asked(lambda a, e, r: (e, a, r))),
    (Cause.OFF_CENTRE, "Half an element off.", _moved(lambda q, w: _shifted(q, -0.5))),
    (Cause.OFF_CENTRE, "Half an element off.", _moved(lambda q, w: _shifted(q, 0.5))),
    (Cause.OFF_CENTRE, "The middle is i - n // 2.", _moved(_to_the_middle)),
    (Cause.OFF_CENTRE, "The middle is i - (n - 1) // 2.", _moved(_past_the_middle)),
    (Cause.AXES, "The middle of x is that of both axes.", _moved(_to_one_middle)),
    (Cause.SCALE, "n elements over n spacings, not n - 1.", _moved(_stretched)),
    (Cause.ROUNDED, "Its phases are rounded to 64 a turn.", _in_steps),
    (
        Cause.ROOT,
        "It takes the squared distance.",
        _along_squares,
    ),
    (Cause.OFF_CENTRE, "From the corner.", _moved(lambda q, w: q - q.amin(0))),
    (Cause.OFF_CENTRE, "Centred once more.", _moved(lambda q, w: q - q.mean(0))),
    (Cause.OFF_CENTRE, "The mean of all coordinates is subtracted.", _moved(_centred_as_one)),
    (
        Cause.ZENITH,
        "v = sin(azimuth) sin(elevation).",
        _along(
            lambda a, e: (
                a.sin() * e.cos(),
                a.sin() * e.sin(),
                (1 - a.sin().square()).clamp_min(0).sqrt(),
            )
        ),
    ),
    (
        Cause.ZENITH,
        "cos(elevation) is left out.",
        _along(lambda a, e: (a.sin(), e.sin(), a.cos())),
    ),
    (
        Cause.ZENITH,
        "cos(elevation) is left out along z.",
        _along(lambda a, e: (e.cos() * a.sin(), e.sin(), a.cos())),
    ),
    (
        Cause.ZENITH,
        "The elevation is counted from the zenith.",
        _asked(lambda a, e, r: (a, math.pi / 2 - e, r)),
    ),
    (
        Cause.DEGREES,
        "The angles are taken for degrees.",
        _asked(lambda a, e, r: (a * math.pi / 180, e * math.pi / 180, r)),
    ),
    (Cause.CURVATURE, "Always a plane wave.", _always("plane")),
    (Cause.CURVATURE, "A product of waves along the axes.", _separable),
    (Cause.CURVATURE, "Near and far are exchanged.", _switched),
    (
        Cause.CURVATURE,
        "The curvature is added.",
        _curved(lambda s, q, r: s + (q - s.square()) / (2 * r)),
    ),
    (
        Cause.CURVATURE,
        "The curvature on the axis.",
        _curved(lambda s, q, r: s - q / (2 * r)),
    ),
    (Cause.CURVATURE, "The second order alone.", _always("fresnel")),
    (
        Cause.ROOT,
        "The law of cosines, with |q| for |q|^2.",
        _curved(lambda s, square, r: r - (r * r - 2 * r * s + square.sqrt()).clamp_min(0).sqrt()),
    ),
    (Cause.REAL_PART, "The real part alone.", _real_part),
    (
        Cause.RANGE,
        "Distances below 1 m are taken for 1 m.",
        _asked(lambda a, e, r: (a, e, r.clamp_min(1.0))),
    ),
    (Cause.MODULUS, "The amplitude falls with the distance.", _weighted),
)
