"""Steering vectors, codes and simulated snapshots that are somebody else's."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.scene.array import Panel, ideal_panel, steering_derivatives, steering_vector
from ris_pipeline.scene.codebook import dft_codebook, hadamard_codebook, random_codebook
from ris_pipeline.scene.simulate import SceneBatch, covariance_factor, simulate
from ris_pipeline.verification.known_bugs._entry import KnownBug, known_bug


def steering_conjugated(panel: Panel, *where: Any) -> Tensor:
    """`exp(-j k ...)`: the sign of the other convention."""
    return steering_vector(panel, *where).conj().resolve_conj()


def steering_not_normalised(panel: Panel, *where: Any) -> Tensor:
    """`1 / sqrt(N)` left out."""
    return steering_vector(panel, *where) * math.sqrt(panel.elements)


def steering_in_wavelengths(panel: Panel, *where: Any) -> Tensor:
    """Positions in metres read as wavelengths: `k = 2 pi`."""
    return steering_vector(Panel(panel.positions, 1.0), *where)


def steering_axes_swapped(panel: Panel, *where: Any) -> Tensor:
    """Horizontal and vertical positions exchanged."""
    return steering_vector(Panel(panel.positions[..., [1, 0, 2]], panel.wavelength), *where)


def steering_in_degrees(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, *front: Any
) -> Tensor:
    """Radians converted to radians once more."""
    angles = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    return steering_vector(panel, *angles, distance, *front)


def steering_curved_the_other_way(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: str = "spherical"
) -> Tensor:
    """The Fresnel term with a plus: a wave that converges."""
    if wavefront != "fresnel":
        return steering_vector(panel, azimuth, elevation, distance, wavefront)  # type: ignore[arg-type]
    return steering_vector(panel, azimuth, elevation, -distance, "fresnel")


def steering_always_spherical(
    panel: Panel, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavefront: str = "spherical"
) -> Tensor:
    """A plane wave from a tenth of the distance."""
    near = distance / 10 if wavefront == "plane" else distance
    front: Any = "fresnel" if wavefront == "plane" else wavefront
    return steering_vector(panel, azimuth, elevation, near, front)


def panel_half_an_element_off(
    scenario: Scenario, dtype: torch.dtype = torch.float32, device: Any = None
) -> Panel:
    """Centred on N / 2 where it is (N - 1) / 2."""
    panel = ideal_panel(scenario, dtype, device)
    steps = torch.tensor((*scenario.spacing, 0.0), dtype=dtype) * scenario.wavelength
    return Panel(panel.positions - steps / 2, panel.wavelength)


def derivatives_with_cosines_lost(panel: Panel, *where: Any) -> tuple[Tensor, Tensor]:
    """The chain rule of `sin` forgotten in the azimuth, and the distance in wavelengths."""
    a, slopes = steering_derivatives(panel, *where)
    return a, slopes * torch.tensor((2.0, 0.5, 3.0), dtype=slopes.real.dtype)[:, None]


def derivatives_without_j(panel: Panel, *where: Any) -> tuple[Tensor, Tensor]:
    """`d exp(j x) = exp(j x) dx`: the j left behind."""
    a, slopes = steering_derivatives(panel, *where)
    return a, slopes * -1j


def simulate_with_power_decibels(scenario: Scenario, *rest: Any) -> SceneBatch:
    """`10^(-snr / 20)` taken for the variance: the rule of amplitudes."""
    scenes = simulate(scenario, *rest)
    variance = scenes.noise_variance * 10 ** (scenes.snr_db / 20)
    return replace(scenes, noise_variance=variance)


def simulate_with_real_noise(scenario: Scenario, *rest: Any) -> SceneBatch:
    """Variance `noise_variance` in each of the real and imaginary parts: 3 dB too loud."""
    scenes = simulate(scenario, *rest)
    quiet = simulate(scenario.replace(snr_db=(200.0, 200.0)), *rest)
    noise = (scenes.snapshots - quiet.snapshots) * 4
    return replace(scenes, snapshots=quiet.snapshots + noise)


def simulate_conjugated(scenario: Scenario, *rest: Any) -> SceneBatch:
    """A simulator with a steering vector of its own, of the other sign."""
    scenes = simulate(scenario, *rest)
    return replace(scenes, snapshots=scenes.snapshots.conj().resolve_conj())


def factor_of_amplitudes(scenes: SceneBatch) -> Tensor:
    """Columns weighed by powers where it takes their roots: trace not N."""
    powers = scenes.sources.powers
    weights = scenes.panel.elements * powers / powers.sum(-1, keepdim=True)
    return covariance_factor(scenes) * weights.sqrt()[:, None, :]


def quantised_by_floor(codes: Tensor, bits: int) -> Tensor:
    """The phase rounded down: half a step of bias."""
    step = 2 * math.pi / 2**bits
    phase = torch.floor(codes.angle() / step) * step
    return torch.polar(torch.ones_like(phase), phase)


def quantised_with_its_amplitude(codes: Tensor, bits: int) -> Tensor:
    """`2^bits - 1` steps a turn, as in a fencepost, and the modulus kept."""
    step = 2 * math.pi / max(1, 2**bits - 1)
    return torch.polar(codes.abs(), torch.round(codes.angle() / step) * step)


def dft_of_the_wrong_size(panel: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """The codebook's axes exchanged: vertical codes on the horizontal axis."""
    book = dft_codebook((panel[1], panel[0]), shape)
    turned = book.reshape(-1, panel[0], panel[1]).mT.reshape(-1, panel[0] * panel[1])
    return turned * torch.arange(1, 1 + panel[0] * panel[1])


def hadamard_cut_short(elements: int) -> Tensor:
    """The matrix cut to a square: its columns are orthogonal no longer."""
    return hadamard_codebook(elements)[:elements]


def random_codes_with_amplitudes(count: int, elements: int, seed: int) -> Tensor:
    """Complex Gaussian entries: not the unit modulus of a passive surface."""
    return random_codebook(count, elements, seed) * random_codebook(1, elements, seed + 1).real


_OWN = "One of 14 steering vectors of one project; 8 did not match its own data generator."

ARRAY_BUGS: tuple[KnownBug, ...] = (
    *(
        known_bug(0, "steering_vector", function, _OWN)
        for function in (
            steering_conjugated,
            steering_not_normalised,
            steering_in_wavelengths,
            steering_axes_swapped,
            steering_in_degrees,
            steering_curved_the_other_way,
            steering_always_spherical,
        )
    ),
    known_bug(0, "ideal_panel", panel_half_an_element_off, _OWN),
    known_bug(
        0, "steering_derivatives", derivatives_with_cosines_lost, "A chain rule done by hand."
    ),
    known_bug(0, "steering_derivatives", derivatives_without_j, "A chain rule done by hand."),
    known_bug(0, "simulate", simulate_with_power_decibels, "dB of powers and of amplitudes."),
    known_bug(0, "simulate", simulate_with_real_noise, "Variance of a part, or of the whole."),
    known_bug(0, "simulate", simulate_conjugated, _OWN),
    known_bug(0, "covariance_factor", factor_of_amplitudes, "A root forgotten in a weight."),
    known_bug(0, "quantise_phase", quantised_by_floor, "An integer cast where it takes a round."),
    known_bug(0, "quantise_phase", quantised_with_its_amplitude, "2^b - 1 intervals, 2^b values."),
    known_bug(0, "dft_codebook", dft_of_the_wrong_size, "Square panels do not show it."),
    known_bug(0, "hadamard_codebook", hadamard_cut_short, "Right at powers of two only."),
    known_bug(0, "random_codebook", random_codes_with_amplitudes, "randn in place of a phase."),
)
