"""Simulated scenes a second, against a loop and against drawing random numbers."""

import numpy as np
import textbook
import torch
from torch import Tensor

from ris_pipeline.config import load_settings
from ris_pipeline.scene import simulate

BATCH, LOOPED = 1024, 4


def _agrees_with_the_loop() -> None:
    scenario = load_settings("reference", ["scenario.snr_db=[200,200]"]).scenario
    scenes = simulate(scenario, 0, torch.arange(3), torch.float64)
    s = scenes.sources
    for i in range(scenes.size):
        where = torch.stack((s.azimuth, s.elevation, s.distance), dim=-1)[i].tolist()
        gains = (s.gains * s.symbols[..., 0])[i].tolist()
        sources = [(*x, g) for x, g in zip(where, gains, strict=True)]
        field = textbook.aperture(scenario, sources)
        expected = textbook.propagate(scenes.channel[i].numpy(), scenes.codes[0].numpy(), field)
        error = np.abs(scenes.snapshots[i, 0].numpy() - expected).max()
        # Noise at 200 dB below the signal: five deviations of 1e-10.
        assert error < 1e-9 * np.abs(expected).max()


def bench_simulation_against_loop(pairs, figure) -> None:
    _agrees_with_the_loop()
    scenario = load_settings("reference").scenario
    index = torch.arange(BATCH)
    generator = np.random.default_rng(0)

    def baseline() -> None:
        for _ in range(LOOPED):
            textbook.simulate_scene(scenario, generator)

    ratio = pairs(lambda: simulate(scenario, 0, index), baseline, rounds=15)[0]
    figure("simulation_against_loop", ratio * BATCH / LOOPED)


def bench_simulation_against_drawing(pairs, figure) -> None:
    _agrees_with_the_loop()
    scenario = load_settings("reference").scenario
    index = torch.arange(BATCH)
    generator = torch.Generator().manual_seed(0)
    shape = BATCH, scenario.antennas, scenario.elements

    def baseline() -> Tensor:
        return torch.randn(shape, dtype=torch.complex64, generator=generator)

    ratio = pairs(lambda: simulate(scenario, 0, index), baseline, rounds=40)[0]
    figure("simulation_against_drawing", 1 / ratio)
