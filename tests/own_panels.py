"""Measurements that the package did not make: numpy alone, from the model as it is written."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WAVELENGTH = 0.3
SOURCE = 0.3, 0.1, 1.5
"""Azimuth and elevation (rad) and distance (m)."""


def jittered_grid(side: int = 12) -> NDArray[np.float64]:
    """An even grid, each element up to a centimetre or two off its place."""
    index = np.arange(side * side)
    places = np.stack((index % side, index // side, 0 * index), axis=1) - (side - 1) / 2
    places = places * [0.15, 0.15, 0.0]
    return places + np.random.default_rng(1).normal(0, 0.01, places.shape) * [1, 1, 0]


def ring(elements: int = 60, radius: float = 0.6) -> NDArray[np.float64]:
    turn = 2 * np.pi * np.arange(elements) / elements
    return radius * np.stack((np.cos(turn), np.sin(turn), 0 * turn), axis=1)


def sunflower(elements: int = 100, radius: float = 0.9) -> NDArray[np.float64]:
    """A disc evenly filled and nowhere even: no grid, and no direction that looks like another."""
    index = np.arange(elements) + 0.5
    turn, reach = np.pi * (1 + np.sqrt(5)) * index, radius * np.sqrt(index / elements)
    return np.stack((reach * np.cos(turn), reach * np.sin(turn), 0 * turn), axis=1)


def steering(positions: NDArray[np.float64], azimuth: float, elevation: float, distance: float):
    u, v = np.sin(azimuth) * np.cos(elevation), np.sin(elevation)
    place = distance * np.array([u, v, np.cos(azimuth) * np.cos(elevation)])
    path = distance - np.linalg.norm(place - positions, axis=1)
    return np.exp(2j * np.pi / WAVELENGTH * path) / np.sqrt(len(positions))


@dataclass(frozen=True)
class Own:
    """One scene of one source: y (T, L, M), H (M, N), codes (T, L, N)."""

    snapshots: NDArray[Any]
    channel: NDArray[Any]
    codes: NDArray[Any]
    positions: NDArray[np.float64]
    noise_variance: float


def measured(
    positions: NDArray[np.float64], snr_db: float = 20, source: tuple[float, float, float] = SOURCE
) -> Own:
    """M = 16 antennas, L = 16 random codes."""
    random, elements = np.random.default_rng(0), len(positions)

    def gauss(*shape: int) -> NDArray[np.complex128]:
        return (random.normal(size=shape) + 1j * random.normal(size=shape)) / np.sqrt(2)

    channel = gauss(16, elements)
    codes = np.exp(1j * random.uniform(0, 2 * np.pi, (1, 16, elements)))
    clean = np.einsum("mn,tln,n->tlm", channel, codes, steering(positions, *source))
    noise = float(np.mean(np.abs(clean) ** 2)) * 10 ** (-snr_db / 10)
    return Own(clean + np.sqrt(noise) * gauss(*clean.shape), channel, codes, positions, noise)
