"""Codes, simulated snapshots and true covariances that are wrong."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.scene.codebook import dft_codebook, hadamard_codebook
from ris_pipeline.scene.simulate import (
    SceneBatch,
    covariance_factor,
    sensing_matrix,
    simulate,
    steering_matrix,
)
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug

known_bug = Catalogue()


@known_bug("simulate", Cause.DECIBELS, "dB of powers and of amplitudes: 20 for 10.")
def simulate_with_amplitude_decibels(scenario: Scenario, *rest: Any) -> SceneBatch:
    """`10^(-snr / 20)` for the variance: the rule of amplitudes."""
    scenes = simulate(scenario, *rest)
    variance = scenes.noise_variance * 10 ** (scenes.snr_db / 20)
    return replace(scenes, noise_variance=variance)


def _clean(scenes: SceneBatch, steering: Tensor) -> Tensor:
    """`H diag(c) A g s`, (B, T, L, M)."""
    amplitudes = (scenes.sources.gains[..., None] * scenes.sources.symbols).mT
    aperture = amplitudes.to(steering.dtype) @ steering.mT
    seen = sensing_matrix(scenes.channel, scenes.codes) @ aperture[..., None]
    return seen[..., 0].reshape(scenes.snapshots.shape)


@known_bug("simulate", Cause.HALF, "`sigma * (randn + 1j * randn)`: the root of two forgotten.")
def simulate_with_noise_in_each_part(scenario: Scenario, *rest: Any) -> SceneBatch:
    """The variance in each of the real and the imaginary part: 3 dB too loud."""
    scenes = simulate(scenario, *rest)
    clean = _clean(scenes, steering_matrix(scenes))
    noise = math.sqrt(2) * (scenes.snapshots - clean)
    return replace(scenes, snapshots=clean + noise)


@known_bug(
    "simulate", Cause.CONJUGATED, "One of 14 steering vectors of one project, the data generator's."
)
def simulate_with_its_own_steering(scenario: Scenario, *rest: Any) -> SceneBatch:
    """A simulator with a steering vector of its own, of the other sign."""
    scenes = simulate(scenario, *rest)
    a = steering_matrix(scenes)
    other = _clean(scenes, a.conj()) - _clean(scenes, a)
    return replace(scenes, snapshots=scenes.snapshots + other)


@known_bug("covariance_factor", Cause.ROOT, "A root forgotten in a weight.")
def factor_of_powers(scenes: SceneBatch) -> Tensor:
    """Columns weighed by powers where it takes their roots: trace not N."""
    powers = scenes.sources.powers
    weights = scenes.panel.elements * powers / powers.sum(-1, keepdim=True)
    return covariance_factor(scenes) * weights.sqrt()[:, None, :]


@known_bug("quantize_phase", Cause.ROUNDED, "An integer cast where it takes a round.")
def quantized_by_floor(codes: Tensor, bits: int) -> Tensor:
    """The phase rounded down: half a step of bias."""
    step = 2 * math.pi / 2**bits
    phase = torch.floor(codes.angle() / step) * step
    return torch.polar(torch.ones_like(phase), phase)


@known_bug("quantize_phase", Cause.MODULUS, "Written for codes that had unit modulus already.")
def quantized_with_its_amplitude(codes: Tensor, bits: int) -> Tensor:
    """The modulus kept: a passive surface has none to give."""
    step = 2 * math.pi / 2**bits
    return torch.polar(codes.abs(), torch.round(codes.angle() / step) * step)


@known_bug("quantize_phase", Cause.FENCEPOST, "2^b - 1 intervals, 2^b values.")
def quantized_to_one_step_fewer(codes: Tensor, bits: int) -> Tensor:
    """`2^bits - 1` steps a turn, as `linspace(0, 2 pi, 2^bits)` has."""
    step = 2 * math.pi / max(1, 2**bits - 1)
    phase = torch.round(codes.angle() / step) * step
    return torch.polar(torch.ones_like(phase), phase)


@known_bug("dft_codebook", Cause.AXES, "Square panels and books hide it.")
def dft_with_axes_swapped(panel: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """`kron(horizontal, vertical)`: the vertical index runs fastest."""
    book = dft_codebook(panel, shape).reshape(shape[1], shape[0], panel[1], panel[0])
    return book.permute(1, 0, 3, 2).reshape(math.prod(shape), math.prod(panel))


@known_bug(
    "dft_codebook", Cause.FENCEPOST, "`linspace` includes its end point, and a turn is no turn."
)
def dft_with_both_ends(panel: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """`linspace(0, 1, P)`: the first and the last code are the same."""
    (n_h, n_v), (size_h, size_v) = panel, shape
    p, q = (torch.linspace(0, 1, size, dtype=torch.float64) for size in shape)
    i_h, i_v = torch.arange(n_h), torch.arange(n_v)
    turns = q[:, None, None, None] * i_v[:, None] + p[:, None, None] * i_h
    phase = 2 * math.pi * turns.reshape(size_h * size_v, n_h * n_v)
    return torch.polar(torch.ones_like(phase), phase)


@known_bug("hadamard_codebook", Cause.NOT_ORTHONORMAL, "Right at powers of two only.")
def hadamard_cut_short(elements: int) -> Tensor:
    """The matrix cut to a square: its columns are orthogonal no longer."""
    return hadamard_codebook(elements)[:elements]


@known_bug("random_codebook", Cause.MODULUS, "`randn` in place of a phase.")
def gaussian_codes(count: int, elements: int, seed: int) -> Tensor:
    """Complex Gaussian entries: not the unit modulus of a passive surface."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, elements, dtype=torch.complex128, generator=generator)


SCENE_BUGS: tuple[KnownBug, ...] = (*known_bug,)
