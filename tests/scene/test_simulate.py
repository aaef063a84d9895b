"""The simulator: what a seed means, the SNR, the covariance, the settings."""

import dataclasses

import numpy as np
import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.config import Impairments, PhaseAmplitude, Scenario
from ris_pipeline.scene import (
    SceneSet,
    Split,
    clean_snapshots,
    covariance_factor,
    dft_codebook,
    hadamard_codebook,
    quantize_phase,
    random_codebook,
    ris_codes,
    sensing_matrix,
    simulate,
    steering_matrix,
)

SCENARIO = Scenario(panel=(4, 4), antennas=4, codes=6, dft_shape=(4, 4), sources=(1, 3))
MOVING = SCENARIO.replace(blocks=5, codes=1)


def index(*scenes: int) -> torch.Tensor:
    return torch.tensor(scenes)


@pytest.mark.parametrize("scenario", [SCENARIO, MOVING], ids=["static", "moving symbols"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_scene_does_not_depend_on_its_batch(scenario: Scenario, dtype: torch.dtype) -> None:
    whole = simulate(scenario, 3, torch.arange(20), dtype)
    # Sums of fewer than 100 products, each rounded twice or fused to one rounding.
    eps = 100 * torch.finfo(dtype).eps
    for chosen in ([17, 2, 2], [5]):
        part = simulate(scenario, 3, index(*chosen), dtype)
        for field in dataclasses.fields(whole.sources):
            expected = getattr(whole.sources, field.name)[chosen]
            assert torch.equal(expected, getattr(part.sources, field.name)), field.name
        assert torch.equal(whole.snr_db[chosen], part.snr_db)
        for name in ("snapshots", "channel", "noise_variance"):
            expected = getattr(whole, name)[chosen]
            largest = expected.abs().max().item()
            torch.testing.assert_close(
                getattr(part, name), expected, rtol=eps, atol=eps * largest, msg=name
            )


def test_seeds_and_splits_differ() -> None:
    sets = [SceneSet(SCENARIO, seed, 4, split) for seed in (0, 1) for split in Split]
    azimuths = [scenes.scenes(0, 4).sources.azimuth for scenes in sets]
    assert len({tuple(a.flatten().tolist()) for a in azimuths}) == len(azimuths)


@pytest.mark.parametrize("scenario", [SCENARIO, MOVING], ids=["static", "moving symbols"])
def test_the_measurement_is_the_signal_model(scenario: Scenario) -> None:
    scenes = simulate(scenario, 0, torch.arange(6), torch.float64)
    sources = scenes.sources
    phi, a = sensing_matrix(scenes.channel, scenes.codes), steering_matrix(scenes)
    clean = phi @ (a @ (sources.gains[..., None] * sources.symbols)).mT[..., None]
    noise = scenes.snapshots.flatten(2) - clean[..., 0]
    power = clean.abs().square().mean((1, 2, 3))
    torch.testing.assert_close(10 * torch.log10(power / scenes.noise_variance), scenes.snr_db)
    # |noise|^2 / sigma^2 over n samples has mean 1 and deviation 1 / sqrt(n); five of them.
    ratio = (noise.abs().square().mean((1, 2)) / scenes.noise_variance).mean()
    assert abs(ratio - 1) < 5 / np.sqrt(noise.numel())


IMPAIRED = Impairments(
    position_jitter=0.05,
    phase_error_deg=20,
    gain_jitter_db=1,
    dead_fraction=0.1,
    wavelength_offset=0.02,
    spacing_error=-0.03,
    phase_amplitude=PhaseAmplitude(),
)


@pytest.mark.parametrize("fixed", [True, False], ids=["one panel", "a panel a scene"])
@pytest.mark.parametrize("scenario", [SCENARIO, MOVING], ids=["static", "moving symbols"])
def test_clean_snapshots_are_those_of_the_true_panel(scenario: Scenario, fixed: bool) -> None:
    impairments = IMPAIRED.replace(fixed=fixed)
    quiet = scenario.replace(impairments=impairments, snr_db=(200, 200))
    for dtype in (torch.float64, torch.float32):
        scenes = simulate(quiet, 0, torch.arange(6), dtype)
        clean = clean_snapshots(scenes)
        assert clean.dtype == torch.complex128
        # Noise at 1e-10 of the signal; sums of 16 products in the dtype of the scenes.
        error = (scenes.snapshots - clean).abs().max() / clean.abs().max()
        assert error < max(1e-9, 100 * torch.finfo(dtype).eps)
    perfect = simulate(scenario.replace(snr_db=(200, 200)), 0, torch.arange(6), torch.float64)
    assert (perfect.snapshots - clean).abs().max() > 0.1 * clean.abs().max()


def test_clean_snapshots_follow_what_is_replaced() -> None:
    scenes = simulate(SCENARIO.replace(impairments=IMPAIRED), 0, torch.arange(6), torch.float64)
    s = scenes.sources
    twice = dataclasses.replace(scenes, sources=dataclasses.replace(s, gains=2 * s.gains))
    torch.testing.assert_close(clean_snapshots(twice), 2 * clean_snapshots(scenes))
    # An empty slot sends nothing, whatever its gain.
    none = dataclasses.replace(s, count=torch.zeros_like(s.count))
    assert (clean_snapshots(dataclasses.replace(scenes, sources=none)) == 0).all()


def test_clean_snapshots_need_the_true_panel() -> None:
    scenes = simulate(SCENARIO, 0, torch.arange(2))
    with pytest.raises(InputError, match=r"scenes\.truth is None"):
        clean_snapshots(dataclasses.replace(scenes, truth=None))


def test_the_covariance_is_the_mean_outer_product_without_cross_terms() -> None:
    scenes = simulate(MOVING, 0, torch.arange(8), torch.float64)
    factor = covariance_factor(scenes)
    covariance = factor @ factor.mH
    trace = covariance.diagonal(dim1=1, dim2=2).real.sum(-1)
    torch.testing.assert_close(trace, torch.full_like(trace, SCENARIO.elements))
    a, powers = steering_matrix(scenes), scenes.sources.powers
    expected = (a * powers[:, None]) @ a.mH
    expected = expected * (SCENARIO.elements / powers.sum(-1))[:, None, None]
    torch.testing.assert_close(covariance, expected)


def test_draws_cover_the_sector() -> None:
    scenes = simulate(SCENARIO, 0, torch.arange(4000))
    sources = scenes.sources
    assert set(sources.count.tolist()) == {1, 2, 3}
    for values, (low, high) in (
        (sources.azimuth.rad2deg(), SCENARIO.azimuth_deg),
        (sources.elevation.rad2deg(), SCENARIO.elevation_deg),
        (sources.distance, SCENARIO.distance),
        (scenes.snr_db, SCENARIO.snr_db),
    ):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high


def test_gaussian_numbers_are_gaussian() -> None:
    channel = simulate(SCENARIO.replace(rician_k=(0, 0)), 0, torch.arange(2000)).channel
    count = channel.numel()
    # Moments of CN(0, 1), each within five deviations of its estimate.
    assert abs(channel.mean()) < 5 / np.sqrt(count)
    assert abs(channel.abs().square().mean() - 1) < 5 / np.sqrt(count)
    assert abs(channel.abs().pow(4).mean() - 2) < 5 * np.sqrt(20 / count)
    assert abs((channel[:, :, 1:] * channel[:, :, :-1].conj()).mean()) < 5 / np.sqrt(count)


def test_codes_have_unit_modulus_and_the_allowed_phases() -> None:
    for name in ("dft", "random", "hadamard", "mixed"):
        codes = ris_codes(SCENARIO.replace(codebook=name, phase_bits=3), torch.complex128)
        assert codes.shape == (1, 6, 16)
        torch.testing.assert_close(codes.abs(), torch.ones_like(codes.real))
        turns = codes.angle() * 8 / (2 * np.pi)
        assert (turns - turns.round()).abs().max() < 8 * np.finfo(float).eps


def test_codebooks_are_what_they_are_called() -> None:
    full = dft_codebook((4, 4), (4, 4))
    torch.testing.assert_close(full @ full.mH, 16 * torch.eye(16, dtype=full.dtype))
    rows = hadamard_codebook(16)
    torch.testing.assert_close(rows @ rows.mH, 16 * torch.eye(16, dtype=rows.dtype))
    assert torch.equal(random_codebook(3, 16, 5), random_codebook(3, 16, 5))
    error = (quantize_phase(random_codebook(50, 16, 1), 3) / random_codebook(50, 16, 1)).angle()
    assert error.abs().max() <= np.pi / 8


def test_sensing_is_well_conditioned_in_the_reference_scenario() -> None:
    scenario = Scenario(rician_k=(0, 0))
    scenes = simulate(scenario, 0, torch.arange(4), torch.float64)
    phi = sensing_matrix(scenes.channel, scenes.codes)[:, 0]
    # Without line of sight the 16 codes split the panel into 16 classes of 9 elements: 16 x 9
    # Gaussian blocks, whose condition number is near (4 + 3) / (4 - 3).
    condition = torch.linalg.cond(phi)
    assert (condition < 20).all()


@pytest.mark.parametrize(
    "impairment",
    [
        {"position_jitter": 0.05},
        {"phase_error_deg": 10},
        {"gain_jitter_db": 1},
        {"dead_fraction": 0.3},
        {"wavelength_offset": 0.02},
        {"spacing_error": 0.02},
        {"phase_amplitude": {}},
    ],
    ids=lambda impairment: next(iter(impairment)),
)
def test_an_impairment_changes_the_measurement_only(impairment: dict) -> None:
    scenario = SCENARIO.replace(snr_db=(200, 200))
    ideal = simulate(scenario, 0, torch.arange(3), torch.float64)
    for fixed in (True, False):
        changed = scenario.replace(impairments={**impairment, "fixed": fixed})
        real = simulate(changed, 0, torch.arange(3), torch.float64)
        assert torch.equal(real.channel, ideal.channel)
        assert torch.equal(real.codes, ideal.codes)
        distance = (real.snapshots - ideal.snapshots).norm() / ideal.snapshots.norm()
        assert distance > 1e-3


def test_a_fixed_panel_is_one_panel() -> None:
    jitter = {"phase_error_deg": 20.0}
    fixed, drawn = (
        SCENARIO.replace(impairments={**jitter, "fixed": fixed}) for fixed in (True, False)
    )
    from ris_pipeline.scene._random import SceneRandom
    from ris_pipeline.scene.impairments import draw_panel

    responses = [draw_panel(SceneRandom(1, torch.arange(3)), s).response for s in (fixed, drawn)]
    assert responses[0].shape == (1, 16)
    assert not torch.equal(responses[1][0], responses[1][2])
    other = draw_panel(SceneRandom(2, torch.arange(3)), fixed).response
    assert torch.equal(responses[0], other)


def test_scenes_outside_the_set_are_rejected() -> None:
    with pytest.raises(InputError, match=r"stop = 5: allowed is 0\.\.4"):
        SceneSet(SCENARIO, 0, 4).scenes(0, 5)


def test_a_panel_is_perfect_unless_something_is_wrong_with_it():
    assert Impairments().perfect
    assert Impairments(fixed=False, panel_seed=3).perfect
    assert not IMPAIRED.perfect
    assert not Impairments(dead_fraction=0.1).perfect
    assert not Impairments(phase_amplitude=PhaseAmplitude()).perfect
