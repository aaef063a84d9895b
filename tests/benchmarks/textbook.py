"""The same quantities as the textbook writes them: dense matrices, one scene at a time."""

import math
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ris_pipeline.config import LossConfig, LossWeights, Scenario
from ris_pipeline.learning.losses import Prediction, Truth


def hinge_by_svd(matrix: Tensor, k: int, margin: float) -> Tensor:
    """`mean max(0, margin - (s_k - s_{k+1}))` from the singular values of the whole matrix."""
    values = torch.linalg.svdvals(0.5 * (matrix + matrix.mH))
    return torch.relu(margin - (values[..., k - 1] - values[..., k])).mean()


def spectra(covariance: Tensor, steering: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """MVDR by the inverse, MUSIC by the noise subspace of a full eigendecomposition."""
    inverse = torch.linalg.inv(covariance)
    mvdr = 1 / (steering.conj() * (inverse @ steering)).real.sum(-2)
    noise = torch.linalg.eigh(covariance)[1][..., :-k]
    music = 1 / (noise.mH @ steering).abs().square().sum(-2)
    return mvdr, music


def _unit_trace(matrix: Tensor) -> Tensor:
    n = matrix.shape[-1]
    return matrix * (n / matrix.diagonal(dim1=-2, dim2=-1).real.sum(-1))[..., None, None]


def _squared_norm(matrix: Tensor) -> Tensor:
    return matrix.abs().square().sum((-2, -1))


def _leading(values: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """`lambda_k` and `lambda_{k+1}` of ascending eigenvalues, k by scene."""
    place = values.shape[-1] - count[:, None]
    return values.gather(-1, place)[:, 0], values.gather(-1, place - 1)[:, 0]


def _huber(error: Tensor, delta: float) -> Tensor:
    size = error.abs() / delta
    return torch.where(size < 1, size.square() / 2, size - 0.5)


def _wrapped(angle: Tensor) -> Tensor:
    return torch.atan2(angle.sin(), angle.cos())


def _alignment(matrix: Tensor, steering: Tensor, ridge: float = 1e-3) -> Tensor:
    """`a^H S (S + c I)^-1 a` with `c = ridge tr S`, S the covariance without its loading."""
    level = ridge * matrix.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    loaded = matrix + level[:, None, None] * torch.eye(matrix.shape[-1])
    return (steering.conj() * torch.linalg.solve(loaded, matrix @ steering)).real.sum(-2)


def loss(
    prediction: Prediction,
    truth: Truth,
    predicted: Tensor,
    config: LossConfig,
    weights: LossWeights,
) -> Tensor:
    """Every term of the loss on dense covariances; predicted: R_pred, of any trace."""
    target = truth.covariance.factor @ truth.covariance.factor.mH
    n = target.shape[-1]
    final = _unit_trace(predicted)
    values, true_values = torch.linalg.eigvalsh(final), torch.linalg.eigvalsh(target)
    upper, lower = _leading(values, truth.count)
    true_upper, true_lower = _leading(true_values, truth.count)
    total = values.sum(-1)
    kept = torch.arange(n) >= n - truth.count[:, None]
    share = (values * kept).sum(-1) / total
    delta = math.radians(config.huber_angle_deg)

    angle, distance, chamfer = [], [], []
    for i in range(len(truth.count)):
        k = int(truth.count[i])
        azimuth = _wrapped(prediction.azimuth[i][None] - truth.azimuth[i, :k, None])
        elevation = _wrapped(prediction.elevation[i][None] - truth.elevation[i, :k, None])
        cost = _huber(azimuth, delta) + _huber(elevation, delta)
        squares = (azimuth.square() + elevation.square()).detach().numpy()
        sources, slots = (torch.from_numpy(x) for x in linear_sum_assignment(squares))
        angle.append(cost[sources, slots].mean())
        error = prediction.log_distance[i][slots] - truth.distance[i, :k].log()
        distance.append(_huber(error, config.huber_log_distance).mean())
        atoms: Any = sum(
            _huber(_wrapped(guess[i][None] - true[i, :k, None]), delta)
            for guess, true in (
                (prediction.atom_azimuth, truth.azimuth),
                (prediction.atom_elevation, truth.elevation),
            )
        )
        nearest = (prediction.share[i] * atoms.amin(0)).sum()
        chamfer.append(0.5 * (cost.amin(1).mean() + nearest))

    reached = _alignment(final, truth.steering)
    possible = _alignment(target, truth.steering)
    missing = torch.relu(possible - reached) * truth.active

    def contrast(matrix: Tensor) -> Tensor:
        peaks = (truth.steering.conj() * (matrix @ truth.steering)).real.sum(-2)
        level = (peaks * truth.active).sum(-1) / truth.count
        return (truth.grid.conj() * (matrix @ truth.grid)).real.sum(-2).mean(-1) / level

    error = (_squared_norm(final - target) / _squared_norm(target)).mean()
    own = torch.where(truth.cells > 0, truth.cells * truth.cells.log(), 0.0)
    terms = {
        "nmse": error,
        "stages": error,
        "cells": (own - truth.cells * prediction.cells).sum(1).mean(),
        "eigengap": torch.relu(
            config.gap_fraction * (true_upper - true_lower) - (upper - lower)
        ).mean()
        / n,
        "subspace_margin": torch.relu(config.power_margin - share).mean(),
        "angle": torch.stack(angle).mean(),
        "distance": torch.stack(distance).mean(),
        "chamfer": torch.stack(chamfer).mean(),
        "alignment": (missing.sum(-1) / truth.count).mean(),
        "peak_contrast": torch.relu(contrast(final) - contrast(target)).mean(),
    }
    chosen = weights.model_dump()
    whole = sum((chosen[name] * term for name, term in terms.items()), torch.zeros(()))
    return whole / sum(chosen.values())


def aperture(scenario: Scenario, sources: list[tuple[float, float, float, complex]]) -> np.ndarray:
    """`sum_k g_k a_k`, element by element; sources: azimuth, elevation (rad), distance (m), g."""
    field = np.zeros(scenario.elements, dtype=np.complex128)
    for azimuth, elevation, r, gain in sources:
        u, v = math.sin(azimuth) * math.cos(elevation), math.sin(elevation)
        w = math.cos(azimuth) * math.cos(elevation)
        for i, (x, y) in enumerate(_positions(scenario)):
            path = math.sqrt((r * u - x) ** 2 + (r * v - y) ** 2 + (r * w) ** 2)
            phase = 2 * math.pi / scenario.wavelength * (r - path)
            field[i] += gain * complex(math.cos(phase), math.sin(phase))
    return field / math.sqrt(scenario.elements)


def _positions(scenario: Scenario) -> list[tuple[float, float]]:
    n_h, n_v = scenario.panel
    d_h, d_v = (scenario.wavelength * x for x in scenario.spacing)
    return [
        ((h - (n_h - 1) / 2) * d_h, (v - (n_v - 1) / 2) * d_v)
        for v in range(n_v)
        for h in range(n_h)
    ]


def propagate(channel: np.ndarray, codes: np.ndarray, field: np.ndarray) -> np.ndarray:
    """`H diag(c) x` code by code, (L, M)."""
    return np.stack([channel @ np.diag(code) @ field for code in codes])


def draw_channel(scenario: Scenario, generator: np.random.Generator) -> np.ndarray:
    """A Rician channel (M, N), entry by entry."""
    wave = 2 * math.pi / scenario.wavelength
    kappa = generator.uniform(*scenario.rician_k)
    arrival, azimuth, elevation = generator.uniform(-math.pi / 3, math.pi / 3, 3)
    u, v = math.sin(azimuth) * math.cos(elevation / 2), math.sin(elevation / 2)
    channel = np.empty((scenario.antennas, scenario.elements), dtype=np.complex128)
    for row in range(scenario.antennas):
        offset = (row - (scenario.antennas - 1) / 2) * scenario.wavelength / 2
        for column, (x, y) in enumerate(_positions(scenario)):
            phase = wave * (offset * math.sin(arrival) + u * x + v * y)
            scatter = complex(*generator.standard_normal(2)) * math.sqrt(0.5 / (kappa + 1))
            line = math.sqrt(kappa / (kappa + 1)) * complex(math.cos(phase), math.sin(phase))
            channel[row, column] = scatter + line
    return channel


def simulate_scene(scenario: Scenario, generator: np.random.Generator) -> np.ndarray:
    """Snapshots (L, M) of one scene with T = 1."""
    count = generator.integers(scenario.sources[0], scenario.sources[1] + 1)
    sources = []
    for _ in range(count):
        distance = generator.uniform(*scenario.distance)
        amplitude = scenario.wavelength / (4 * math.pi * distance)
        phase = generator.uniform(0, 2 * math.pi)
        azimuth = math.radians(generator.uniform(*scenario.azimuth_deg))
        elevation = math.radians(generator.uniform(*scenario.elevation_deg))
        gain = amplitude * complex(math.cos(phase), math.sin(phase))
        sources.append((azimuth, elevation, distance, gain))
    field = aperture(scenario, sources)
    codes = np.exp(1j * math.pi / 4 * generator.integers(0, 8, (scenario.codes, len(field))))
    clean = propagate(draw_channel(scenario, generator), codes, field)
    snr = 10 ** (generator.uniform(*scenario.snr_db) / 10)
    noise = generator.standard_normal((*clean.shape, 2)) @ np.array((1, 1j))
    return clean + math.sqrt(np.mean(np.abs(clean) ** 2) / snr / 2) * noise
