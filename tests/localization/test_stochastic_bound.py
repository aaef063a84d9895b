"""The stochastic bound: its definition by differences, closed forms, and where it stands."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from localization_helpers import MOVING, SMALL, columns, draw, true_parameters

from ris_pipeline._errors import InputError
from ris_pipeline.localization import (
    cramer_rao_bound,
    fisher_information,
    stochastic_cramer_rao_bound,
    stochastic_fisher_information,
)

STEP = 1e-6
DIFFERENCE = 1e-5  # central differences (1e-8 of the slopes) times the conditioning of F
ROUNDING = 1e-9  # eps times the conditioning of F, below 1e6 in these scenes


def covariances(scenes, parameters, powers, noise):
    """R_t, (B, T, LM, LM), of a Hermitian P (B, K, K)."""
    b = columns(scenes, parameters)
    eye = torch.eye(b.shape[2], dtype=b.dtype)
    return b @ powers[:, None] @ b.mH + noise[:, None, None, None] * eye


def hermitian_units(k):
    """A basis of the Hermitian K x K matrices over the real numbers."""
    units = []
    for i in range(k):
        for j in range(i + 1):
            for value in (1.0,) if i == j else (1.0, 1j):
                unit = torch.zeros(k, k, dtype=torch.complex128)
                unit[i, j], unit[j, i] = value, np.conj(value)
                units.append(unit)
    return units


def slepian_bangs(scenes):
    """Fisher information of coordinates, P and noise variance, slopes by central differences."""
    s, parameters = scenes.sources, true_parameters(scenes)
    powers, noise = torch.diag_embed(s.powers.to(torch.complex128)), scenes.noise_variance
    moves = []
    for source in range(s.azimuth.shape[1]):
        for axis in range(3):
            ends = []
            for step in (STEP, -STEP):
                moved = parameters.clone()
                if axis == 2:
                    moved[:, source, 2] = 1 / (s.distance[:, source] + step)
                else:
                    moved[:, source, axis] += step
                ends.append(covariances(scenes, moved, powers, noise))
            moves.append((ends[0] - ends[1]) / (2 * STEP))
    moves += [
        covariances(scenes, parameters, unit.expand_as(powers), 0 * noise)
        for unit in hermitian_units(powers.shape[-1])
    ]
    moves.append(covariances(scenes, parameters, 0 * powers, torch.ones_like(noise)))
    inverse = torch.linalg.inv(covariances(scenes, parameters, powers, noise))
    scaled = torch.stack([inverse @ move for move in moves], dim=1)
    return torch.einsum("bitxy,bjtyx->bij", scaled, scaled).real


SETTINGS = {
    "static": SMALL,
    "moving": MOVING,
    "blocks": {**SMALL, "blocks": 3, "codes": 4, "codebook": "random"},
    "fresnel": {**SMALL, "wavefront": "fresnel"},
    "path loss": {**MOVING, "power": "path_loss"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("snr", [-10, 20])
def test_bound_is_the_inverse_of_the_information_of_every_unknown(settings, count, snr):
    scenes = draw(4, sources=(count, count), snr_db=(snr, snr), **settings)
    full = slepian_bangs(scenes)
    scale = full.diagonal(dim1=1, dim2=2).rsqrt()
    inverse = torch.linalg.inv(full * scale[:, :, None] * scale[:, None, :])
    variance = inverse.diagonal(dim1=1, dim2=2) * scale.square()
    expected = variance[:, : 3 * count].reshape(-1, count, 3)
    got = stochastic_cramer_rao_bound(scenes)
    torch.testing.assert_close(got, expected, rtol=DIFFERENCE, atol=0.0)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_concentrated_information_is_the_schur_complement_of_the_full_one(settings):
    scenes = draw(4, sources=(2, 2), snr_db=(5, 5), **settings)
    full = slepian_bangs(scenes)
    kept, nuisance = full[:, :6, :6], full[:, 6:, 6:]
    cross = full[:, :6, 6:]
    scale = nuisance.diagonal(dim1=1, dim2=2).rsqrt()
    unit, cross = nuisance * scale[:, :, None] * scale[:, None, :], cross * scale[:, None, :]
    expected = kept - cross @ torch.linalg.solve(unit, cross.mT)
    size = kept.diagonal(dim1=1, dim2=2).sqrt()
    got = stochastic_fisher_information(scenes)
    error = (got - expected) / size[:, :, None] / size[:, None, :]
    assert error.abs().max() < DIFFERENCE


def same_codes(scenes):
    """Every block with the codes of the first."""
    return replace(scenes, codes=scenes.codes[:1].expand_as(scenes.codes).clone())


def orthogonal_symbols(scenes):
    """Symbols whose sample covariance is the identity: rows of the DFT."""
    s = scenes.sources
    slots, blocks = s.symbols.shape[1:]
    turns = torch.outer(torch.arange(slots), torch.arange(blocks)) * (2 * math.pi / blocks)
    symbols = torch.polar(torch.ones_like(turns), turns).to(torch.complex128)
    return replace(scenes, sources=replace(s, symbols=symbols.expand_as(s.symbols).clone()))


EQUAL = {**SMALL, "blocks": 6, "codes": 4}


def parts(scenes):
    """B, Pi_perp and [D_1 .. D_K] of the first block by dense algebra, the derivatives by r."""
    parameters = true_parameters(scenes)
    b = columns(scenes, parameters)[:, 0]
    slopes = []
    for source in range(b.shape[2]):
        for axis in range(3):
            ends = []
            for step in (STEP, -STEP):
                moved = parameters.clone()
                if axis == 2:
                    moved[:, source, 2] = 1 / (scenes.sources.distance[:, source] + step)
                else:
                    moved[:, source, axis] += step
                ends.append(columns(scenes, moved)[:, 0, :, source])
            slopes.append((ends[0] - ends[1]) / (2 * STEP))
    project = torch.eye(b.shape[1], dtype=b.dtype) - b @ torch.linalg.pinv(b)
    return b, project, torch.stack(slopes, dim=-1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equal_codes_give_the_closed_form_of_stoica_larsson_gershman(count):
    scenes = same_codes(draw(6, sources=(count, count), snr_db=(0, 0), **EQUAL))
    b, project, d = parts(scenes)
    p = torch.diag_embed(scenes.sources.powers.to(torch.complex128))
    r = b @ p @ b.mH + scenes.noise_variance[:, None, None] * torch.eye(b.shape[1])
    weight = p @ b.mH @ torch.linalg.solve(r, b) @ p
    spread = weight.mT.repeat_interleave(3, dim=1).repeat_interleave(3, dim=2)
    information = ((d.mH @ project @ d) * spread).real
    factor = scenes.noise_variance / (2 * EQUAL["blocks"])
    variance = torch.linalg.inv(information).diagonal(dim1=1, dim2=2) * factor[:, None]
    got = stochastic_cramer_rao_bound(scenes)
    torch.testing.assert_close(got, variance.reshape_as(got), rtol=DIFFERENCE, atol=0.0)


def music_variance(scenes):
    """Stoica and Nehorai 1989, theorem 3.1, for three coordinates a source.

    `(sigma^2 / 2 T) (sum_i lambda_i |b_k^H v_i|^2 / (sigma^2 - lambda_i)^2) Re(D_k^H G G^H D_k)^-1`
    """
    b, _, d = parts(scenes)
    k = b.shape[2]
    variance = torch.empty(*scenes.sources.active.shape, 3, dtype=torch.float64)
    for i, noise in enumerate(scenes.noise_variance.tolist()):
        p = np.diag(scenes.sources.powers[i].numpy())
        bi, di = b[i].numpy(), d[i].numpy()
        values, vectors = np.linalg.eigh(bi @ p @ bi.conj().T + noise * np.eye(bi.shape[0]))
        signal, values, null = vectors[:, -k:], values[-k:], vectors[:, :-k]
        weights = values / (noise - values) ** 2 * noise
        for source in range(k):
            spread = (weights * np.abs(signal.conj().T @ bi[:, source]) ** 2).sum()
            seen = null.conj().T @ di[:, 3 * source : 3 * source + 3]
            inverse = np.linalg.inv((seen.conj().T @ seen).real)
            variance[i, source] = torch.from_numpy(spread * np.diag(inverse))
    return variance / (2 * scenes.codes.shape[0])


def test_music_is_above_the_bounds_and_tends_to_them():
    # Orthogonal symbols: the sample covariance of the amplitudes is P to rounding, as for T -> inf.
    excess = []
    for snr in (0, 20, 30):
        scenes = draw(6, sources=(2, 2), snr_db=(snr, snr), **EQUAL)
        scenes = orthogonal_symbols(same_codes(scenes))
        music, deterministic = music_variance(scenes), cramer_rao_bound(scenes)
        stochastic = stochastic_cramer_rao_bound(scenes)
        assert (music >= stochastic * (1 - DIFFERENCE)).all()
        assert (stochastic >= deterministic * (1 - ROUNDING)).all()
        excess.append(music / deterministic - 1)
    # Both exceed 1 by a term in sigma^2: ten times less for 10 dB more, up to its square.
    ratio = (excess[1] / excess[2]).median()
    assert ratio == pytest.approx(10.0, rel=0.2)
    assert excess[2].median() < 1e-2


def test_equal_codes_know_less_of_random_amplitudes_than_of_given_ones():
    # Stoica and Nehorai, "Performance study of conditional and unconditional direction-of-arrival
    # estimation", 1990: at the same P the stochastic information is below the deterministic one.
    for snr in (-10, 10, 40):
        scenes = draw(6, sources=(2, 2), snr_db=(snr, snr), **EQUAL)
        scenes = orthogonal_symbols(same_codes(scenes))
        more, less = fisher_information(scenes), stochastic_fisher_information(scenes)
        scale = more.diagonal(dim1=1, dim2=2).rsqrt()
        gap = (more - less) * scale[:, :, None] * scale[:, None, :]
        assert (torch.linalg.eigvalsh(gap) > -ROUNDING).all()


def test_many_random_symbols_bring_the_bounds_together_at_high_snr():
    blocks = 1000
    scenes = same_codes(draw(2, sources=(2, 2), snr_db=(30, 30), **{**EQUAL, "blocks": blocks}))
    ratio = stochastic_cramer_rao_bound(scenes) / cramer_rao_bound(scenes)
    # The sample correlation of the symbols is of order 1 / sqrt(T): five times that.
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=5 / math.sqrt(blocks))


def test_codes_that_change_undo_the_order_of_the_bounds():
    # How |Phi_t a|^2 varies over the blocks tells of the place where P is the same in all of them,
    # and nothing where every block has its own amplitude: no code equal, no order.
    scenes = draw(8, sources=(1, 1), snr_db=(10, 10), **{**MOVING, "antennas": 2, "blocks": 60})
    ratio = stochastic_cramer_rao_bound(scenes) / cramer_rao_bound(scenes)
    assert ratio.min() < 0.9
    assert ratio.max() > 1.0


def test_the_bound_is_float64_and_empty_slots_are_nan():
    scenes = draw(12, sources=(1, 3), dtype=torch.float32, **MOVING)
    bound, active = stochastic_cramer_rao_bound(scenes), scenes.sources.active
    assert bound.dtype == torch.float64
    assert torch.isnan(bound[~active]).all()
    assert torch.isfinite(bound[active]).all()
    information = stochastic_fisher_information(scenes)
    assert (information[~active.repeat_interleave(3, 1)] == 0).all()


def test_empty_slots_leave_the_others_alone():
    scenes = draw(6, sources=(2, 2), snr_db=(5, 5), **MOVING)
    s = scenes.sources
    wide = {
        name: torch.cat((getattr(s, name), getattr(s, name)[:, :1]), dim=1)
        for name in ("azimuth", "elevation", "distance", "gains", "symbols")
    }
    got = stochastic_cramer_rao_bound(replace(scenes, sources=replace(s, **wide)))
    expected = stochastic_cramer_rao_bound(scenes)
    torch.testing.assert_close(got[:, :2], expected, rtol=ROUNDING, atol=0.0)


def test_a_plane_wave_has_no_distance():
    bound = stochastic_cramer_rao_bound(draw(4, sources=(2, 2), wavefront="plane", **MOVING))
    assert torch.isinf(bound[..., 2]).all()
    assert torch.isfinite(bound[..., :2]).all()


def test_as_many_sources_as_numbers_in_a_block_are_refused():
    scenes = draw(4, sources=(2, 2), **{**MOVING, "antennas": 2})
    with pytest.raises(InputError, match=r"sources\.count holds 2: allowed are fewer than L M = 2"):
        stochastic_cramer_rao_bound(scenes)


def test_sources_at_one_place_have_no_finite_bound():
    scenes = draw(4, sources=(2, 2), **MOVING)
    s = scenes.sources
    places = {n: getattr(s, n)[:, :1].expand(-1, 2) for n in ("azimuth", "elevation", "distance")}
    bound = stochastic_cramer_rao_bound(replace(scenes, sources=replace(s, **places)))
    # To rounding a Gram matrix of equal columns may still pass as definite; eps is what it is then.
    separate = stochastic_cramer_rao_bound(scenes)
    assert (torch.isinf(bound) | (bound > separate / DIFFERENCE)).all()
