"""Slow references in numpy and scipy, float64, never torch: what the answer is."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ris_pipeline._laws import (
    Complex,
    Real,
    eigengap,
    eigenvalues,
    gap_of,
    hermitian_part,
    hinge,
    hinge_gradient,
    of_each,
)

__all__ = [
    "Complex",
    "Real",
    "Roots",
    "eigengap",
    "eigenvalues",
    "gap_of",
    "group_norm",
    "hermitian_part",
    "hinge",
    "hinge_gradient",
    "positive_part",
    "root_music",
    "shrunk_covariance",
    "singular_values",
    "steering",
    "steering_at",
    "ula",
    "unit_rows",
]


def singular_values(matrix: Complex) -> Real:
    """Singular values of each matrix of a batch, descending."""
    return of_each(scipy.linalg.svdvals, matrix)


def steering(
    panel: tuple[int, int],
    spacing: tuple[float, float],
    where: tuple[float, float, float],
    wavefront: str = "spherical",
) -> Complex:
    """`exp(+j k (r - |p - q_n|)) / sqrt(N)`, in extended precision.

    spacing in wavelengths; where: azimuth, elevation (rad) and distance in wavelengths. Horizontal
    index fastest, centred.
    """
    along = (np.arange(panel[0]) - np.longdouble(panel[0] - 1) / 2) * spacing[0]
    across = (np.arange(panel[1]) - np.longdouble(panel[1] - 1) / 2) * spacing[1]
    positions = np.array([(x, y, 0) for y in across for x in along], dtype=np.longdouble)
    return steering_at(positions, where, 1.0, wavefront)


def steering_at(
    positions: NDArray[Any],
    where: tuple[float, float, float],
    wavelength: float,
    wavefront: str = "spherical",
) -> Complex:
    """`steering` of elements anywhere, (N, 3), in the unit of the wavelength and the distance."""
    azimuth, elevation, distance = (np.longdouble(x) for x in where)
    towards = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    q = np.asarray(positions, dtype=np.longdouble)
    along, square = q @ towards, (q * q).sum(axis=-1)
    paths = {
        "plane": along,
        "fresnel": along - (square - along * along) / (2 * distance),
        # r - |p - q| rationalised: far away the difference loses the digits of extended precision.
        "spherical": (2 * distance * along - square)
        / (distance + np.sqrt(((distance * towards - q) ** 2).sum(axis=-1))),
    }
    phase = 2 * np.longdouble(np.pi) / np.longdouble(wavelength) * paths[wavefront]
    response = (np.cos(phase) + 1j * np.sin(phase)) / np.sqrt(np.longdouble(len(q)))
    return np.asarray(response.astype(np.complex128))


def positive_part(matrix: Complex) -> Complex:
    """`V diag(max(lambda, 0)) V^H`, the nearest positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(hermitian_part(matrix))
    kept = vectors * np.maximum(values, 0.0)[..., None, :]
    return np.asarray(kept @ vectors.conj().swapaxes(-1, -2))


def ula(antennas: int, angles: NDArray[Any], spacing: float = 0.5) -> Complex:
    """`exp(+j 2 pi spacing n sin(theta))` as columns (N, G), spacing in wavelengths."""
    phases = np.outer(np.arange(antennas, dtype=np.longdouble), np.sin(angles))
    turned = 2 * np.longdouble(np.pi) * spacing * phases
    return np.asarray((np.cos(turned) + 1j * np.sin(turned)).astype(np.complex128))


@dataclass(frozen=True)
class Roots:
    """What root-MUSIC finds in one matrix.

    angles: radians, ascending; sensitivity: error of an angle over that of the noise projector;
    clear: no other root is as near to the circle as these, whichever way one chooses.
    """

    angles: Real
    sensitivity: Real
    clear: bool


def root_music(matrix: Complex, k: int) -> Roots:
    """Roots of `a(1/z)^T E_n E_n^H a(z)` by numpy, for half a wavelength.

    A simple root moves by `sum |dc_l| |z|^l / |p'(z)|` (Wilkinson, Rounding Errors in Algebraic
    Processes, section 2.2), and the companion matrix has errors of its norm, `sum |c_l| / |c_n|`.
    """
    n = len(matrix)
    noise = np.linalg.eigh(matrix)[1][:, : n - k]
    projector = noise @ noise.conj().T
    highest_first = np.array([np.trace(projector, offset=lag) for lag in range(n - 1, -n, -1)])
    roots = np.roots(highest_first)
    inside = roots[np.argsort(np.abs(roots))][: n - 1][::-1]
    chosen, rest = inside[:k], np.abs(inside[k:])
    size = np.abs(highest_first).sum()
    slope = np.abs(np.polyval(np.polyder(highest_first), chosen)) * np.abs(chosen)
    sines = np.angle(chosen) / np.pi
    order = np.argsort(sines)
    cosines = np.sqrt(np.maximum(1 - sines**2, np.finfo(float).tiny))
    sensitivity = size**2 / np.abs(highest_first[0]) / slope / (np.pi * cosines)
    room = 2 - 1 / np.abs(chosen).min() - rest.max(initial=0.0)
    apart = np.diff(sines[order]).min(initial=1.0)
    clear = bool(room > 0.02 and np.abs(chosen).max() < 0.999 and apart > 0.01)
    return Roots(np.arcsin(sines[order]), sensitivity[order], clear)


def unit_rows(rows: int, columns: int) -> Complex:
    """Orthonormal rows (rows, columns), the same in every run."""
    generator = np.random.default_rng(rows)
    shape = (columns, rows)
    drawn = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    return np.asarray(np.linalg.qr(drawn)[0].conj().T)


def shrunk_covariance(snapshots: Complex) -> Complex:
    """Ledoit and Wolf's covariance of each batch entry, from its outer products one by one."""

    def one(x: Complex) -> Complex:
        n, count = x.shape
        sample = sum(np.outer(column, column.conj()) for column in x.T) / count
        target = np.trace(sample).real / n * np.eye(n)
        off = sum(np.linalg.norm(np.outer(column, column.conj()) - sample) ** 2 for column in x.T)
        distance = np.linalg.norm(sample - target) ** 2
        weight = min(1.0, float(off) / count**2 / float(distance)) if distance else 1.0
        return np.asarray((1 - weight) * sample + weight * target)

    return np.asarray(of_each(one, snapshots))


def group_norm(gradients: Iterable[NDArray[Any] | None]) -> tuple[float, int]:
    """2-norm over the gradients that are finite throughout, and the number of the others.

    A parameter without a gradient (None) does not count.
    """
    present = [gradient for gradient in gradients if gradient is not None]
    finite = [gradient for gradient in present if np.isfinite(gradient).all()]
    entries = (abs(complex(entry)) for gradient in finite for entry in gradient.ravel().tolist())
    return math.hypot(*entries), len(present) - len(finite)
