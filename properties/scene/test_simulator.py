"""Law: the simulator measures `H diag(c) A g s` at the SNR asked for, with the same steering."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.scene import SceneBatch
from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import chi_square_bound, entry_bound, snapshot_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import NOISELESS_DB, scenarios, scene_batches
from ris_pipeline.verification.target import TARGET


def _simulated(scenario, first: int) -> SceneBatch:
    return TARGET.simulate(scenario, 0, torch.arange(first, first + 2), torch.float64)


def _steering(scenes: SceneBatch) -> np.ndarray:
    """A of every scene from the formula, (B, N, K)."""
    s, scenario = scenes.sources, scenes.scenario
    return np.array(
        [
            [
                oracles.steering(
                    scenario.panel,
                    scenario.spacing,
                    (az.item(), el.item(), r.item() / scenario.wavelength),
                    scenario.wavefront,
                )
                for az, el, r in zip(*row, strict=True)
            ]
            for row in zip(s.azimuth, s.elevation, s.distance, strict=True)
        ]
    ).swapaxes(1, 2)


def _clean(scenes: SceneBatch) -> np.ndarray:
    """H diag(c) A g s, (B, T, L, M)."""
    s = scenes.sources
    amplitudes = (s.gains[..., None] * s.symbols).numpy()
    aperture = np.einsum("bnk,bkt->btn", _steering(scenes), amplitudes)
    codes, channel = scenes.codes.numpy(), scenes.channel.numpy()
    return np.einsum("tln,btn,bmn->btlm", codes, aperture, channel)


def _power(snapshots: np.ndarray) -> np.ndarray:
    return (np.abs(snapshots) ** 2).mean(axis=(1, 2, 3))


@given(scenarios(snr_db=(NOISELESS_DB, NOISELESS_DB)), st.integers(0, 2**16))
def test_a_noiseless_snapshot_is_what_the_formula_says(scenario, first: int) -> None:
    scenes = _simulated(scenario, first)
    expected = _clean(scenes)
    # Noise is scaled to the power of the scene, not to that of the entry.
    size = np.sqrt(_power(expected))[:, None, None, None] * np.sqrt(expected[0].size)
    got = scenes.snapshots.numpy() / size
    assert_within("y", got, expected / size, snapshot_bound(scenario.elements, NOISELESS_DB))


@given(scenarios(), st.integers(0, 2**16))
def test_the_signal_to_noise_ratio_is_reached_exactly(scenario, first: int) -> None:
    scenes = _simulated(scenario, first)
    low, high = scenario.snr_db
    assert_within("SNR / dB in its interval", scenes.snr_db.clamp(low, high), scenes.snr_db, 0.0)
    got = scenes.noise_variance.numpy() * 10 ** (scenes.snr_db.numpy() / 10)
    expected = _power(_clean(scenes))
    bound = entry_bound(expected, 64 * scenario.elements, torch.float64)
    assert_within("noise variance * SNR", got, expected, bound)


@given(scenarios(), st.integers(0, 2**16))
def test_the_noise_has_the_variance_it_says(scenario, first: int) -> None:
    # So many draws that twice the variance is beyond the bound.
    scenes = _simulated(scenario.replace(blocks=32), first)
    noise = scenes.snapshots.numpy() - _clean(scenes)
    got = (_power(noise) / scenes.noise_variance.numpy()).mean()
    assert_within("|noise|^2 / variance", got, 1.0, chi_square_bound(noise.size))


@given(scene_batches())
def test_the_true_covariance_has_trace_n_and_the_sources_powers(scenes: SceneBatch) -> None:
    factor = TARGET.covariance_factor(scenes).numpy()
    n, powers = scenes.panel.elements, scenes.sources.powers.numpy()
    a = _steering(scenes)
    share = powers / powers.sum(axis=1, keepdims=True)
    expected = n * (a * share[:, None]) @ a.conj().swapaxes(-1, -2)
    got = factor @ factor.conj().swapaxes(-1, -2)
    assert_within("R", got, expected, entry_bound(float(n), 64 * n, torch.float64))
