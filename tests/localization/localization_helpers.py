"""Small scenes and slow, explicit formulas for the localisation tests."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ris_pipeline.config import Scenario
from ris_pipeline.scene import (
    BelievedPanel,
    Panel,
    SceneBatch,
    SceneSet,
    ideal_panel,
    save_panel,
    sensing_matrix,
    steering_vector,
    true_panel,
)

SMALL: dict[str, Any] = {
    "panel": (6, 6),
    "antennas": 6,
    "codes": 8,
    "power": "power_control",
    "distance": (0.3, 3.0),
}
"""LM = 48 > N = 36."""

MOVING: dict[str, Any] = {
    "panel": (6, 6),
    "antennas": 8,
    "codes": 1,
    "blocks": 6,
    "codebook": "random",
    "power": "power_control",
    "distance": (0.3, 3.0),
}
"""LM = 8 < N = 36: the classical case of one code a block and a moving symbol."""


DIFFERENCE_STEP = 1e-3
"""Of a second difference of fourth order: truncation and rounding meet near eps^(1/6)."""


def draw(size=8, seed=1, dtype=torch.float64, **settings) -> SceneBatch:
    scenario = Scenario(**{**SMALL, **settings})
    return SceneSet(scenario, seed, size, dtype=dtype).scenes(0, size)


def true_parameters(scenes):
    s = scenes.sources
    return torch.stack((s.azimuth, s.elevation, 1 / s.distance), dim=-1).double()


def noiseless(scenes):
    """The same scenes without their noise."""
    s = scenes.sources
    parameters = true_parameters(scenes)
    clean = model(scenes, parameters, (s.gains[..., None] * s.symbols).mT)
    return replace(scenes, snapshots=clean.reshape(scenes.snapshots.shape))


def columns(scenes, parameters):
    """B_t = Phi_t A, (B, T, LM, K), from the stacked Phi."""
    a = steering_vector(
        scenes.panel,
        parameters[..., 0],
        parameters[..., 1],
        # A difference may step over infinity, where nobody looks at what it gives.
        1 / parameters[..., 2].clamp_min(1e-12),
        scenes.scenario.wavefront,
    )
    return sensing_matrix(scenes.channel, scenes.codes) @ a.mT[:, None]


def model(scenes, parameters, amplitudes):
    """B_t x_t, (B, T, LM), for amplitudes (B, T, K)."""
    return (columns(scenes, parameters) @ amplitudes[..., None])[..., 0]


def residual(scenes, parameters):
    """sum_t |P_t y_t|^2 by a dense least-squares solve."""
    b, y = columns(scenes, parameters), scenes.snapshots.flatten(2)[..., None]
    x = torch.linalg.lstsq(b, y).solution
    return (y - b @ x).abs().square().sum((1, 2, 3))


def second_differences(function, point):
    """Hessian of a function of points (B, P), to fourth order in DIFFERENCE_STEP: (B, P, P)."""
    # f'' = sum_i w_i f(i h) / h^2 along a line; mixed ones by polarisation.
    weights = {-2: -1 / 12, -1: 4 / 3, 0: -5 / 2, 1: 4 / 3, 2: -1 / 12}

    def along(direction):
        values = [w * function(point + i * DIFFERENCE_STEP * direction) for i, w in weights.items()]
        return sum(values) / DIFFERENCE_STEP**2

    size = point.shape[1]
    units = torch.eye(size, dtype=point.dtype)
    hessian = torch.empty(point.shape[0], size, size, dtype=point.dtype)
    for i in range(size):
        hessian[:, i, i] = along(units[i])
        for j in range(i):
            mixed = along(units[i] + units[j]) - along(units[i] - units[j])
            hessian[:, i, j] = hessian[:, j, i] = mixed / 4
    return hessian


def degrees(value):
    return value * 180 / math.pi


def calibrated(file: Path, displaced=0.0, **settings) -> Scenario:
    """A scenario with a panel file: phases as its impairments, elements off by so many metres."""
    scenario = Scenario(**{**SMALL, **settings})
    truth = true_panel(scenario, 0, torch.arange(1), torch.float64)
    torch.manual_seed(3)
    places = ideal_panel(scenario, torch.float64).positions
    places[:, :2] += displaced * torch.randn(len(places), 2, dtype=torch.float64)
    save_panel(file, BelievedPanel(Panel(places, scenario.wavelength), truth.response[0]))
    return scenario.replace(panel_file=str(file))
