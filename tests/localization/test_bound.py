"""The Cramer-Rao bound against finite differences of the whole likelihood."""

import dataclasses

import numpy as np
import pytest
import torch

from ris_pipeline.config import Scenario
from ris_pipeline.localization import cramer_rao_bound
from ris_pipeline.scene import SceneBatch, sensing_matrix, simulate, steering_vector

STATIC = Scenario(
    panel=(4, 4), antennas=4, codes=6, dft_shape=(4, 4), sources=(1, 2), distance=(0.3, 2.0)
)
SCENARIOS = {
    "static": STATIC,
    "moving symbols": STATIC.replace(blocks=4, codes=1, codebook="random"),
    "blocks of codes": STATIC.replace(blocks=2, codes=4),
}


def mean_of(scenes: SceneBatch, row: int, vector: np.ndarray) -> np.ndarray:
    """Noiseless snapshots as a function of positions and amplitudes, all real parameters."""
    count, blocks = int(scenes.sources.count[row]), scenes.scenario.blocks
    azimuth, elevation, distance = torch.from_numpy(vector[: 3 * count].reshape(count, 3)).unbind(1)
    parts = torch.from_numpy(vector[3 * count :].reshape(2, blocks, count))
    a = steering_vector(scenes.panel, azimuth, elevation, distance, scenes.scenario.wavefront)
    phi = sensing_matrix(scenes.channel[row : row + 1], scenes.codes)[0]
    return (phi @ (torch.complex(parts[0], parts[1]) @ a)[..., None]).flatten().numpy()


def bound_by_differences(scenes: SceneBatch, row: int) -> np.ndarray:
    """Inverse of the full Fisher matrix (2 / sigma^2) Re J^H J, amplitudes included."""
    sources, count = scenes.sources, int(scenes.sources.count[row])
    positions = torch.stack((sources.azimuth, sources.elevation, sources.distance), -1)[row, :count]
    received = (sources.gains[..., None] * sources.symbols)[row, :count].mT
    vector = np.concatenate(
        [positions.flatten(), received.real.flatten(), received.imag.flatten()]
    ).astype(np.float64)
    step = np.finfo(np.float64).eps ** (1 / 3)
    columns = [
        (mean_of(scenes, row, vector + d) - mean_of(scenes, row, vector - d)) / (2 * step)
        for d in step * np.eye(len(vector))
    ]
    jacobian = np.stack(columns, axis=1)
    fisher = 2 / scenes.noise_variance[row].item() * (jacobian.conj().T @ jacobian).real
    return np.diag(np.linalg.inv(fisher))[: 3 * count].reshape(count, 3)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("power", ["power_control", "path_loss"])
def test_agrees_with_the_full_fisher_matrix(name: str, power: str) -> None:
    scenario = SCENARIOS[name].replace(power=power)
    scenes = simulate(scenario, 0, torch.arange(6), torch.float64)
    bound = cramer_rao_bound(scenes)
    for row in range(scenes.size):
        count = int(scenes.sources.count[row])
        # Differences of step eps^(1/3) leave eps^(2/3), magnified by the condition of the inverse.
        expected = bound_by_differences(scenes, row)
        np.testing.assert_allclose(bound[row, :count].numpy(), expected, rtol=1e-4)
        assert bound[row, count:].isnan().all()


def test_scales_with_the_noise() -> None:
    scenes = simulate(STATIC, 0, torch.arange(6), torch.float64)
    louder = dataclasses.replace(scenes, noise_variance=4 * scenes.noise_variance)
    torch.testing.assert_close(
        cramer_rao_bound(louder), 4 * cramer_rao_bound(scenes), equal_nan=True
    )


def test_a_plane_wave_says_nothing_of_distance() -> None:
    scenes = simulate(STATIC.replace(wavefront="plane"), 0, torch.arange(3), torch.float64)
    bound = cramer_rao_bound(scenes)[scenes.sources.active]
    assert not torch.isfinite(bound[:, 2]).any()
