"""What a real panel does beyond the model that the receiver assumes.

    c'_n = beta(arg c_n) e_n c_n,     e_n = gain_n exp(j error_n), or 0 for a dead element

together with moved elements, a scaled spacing and a shifted wavelength.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline.config import PhaseAmplitude, Scenario
from ris_pipeline.scene._random import SceneRandom, Stream
from ris_pipeline.scene.array import Panel, ideal_panel


@dataclass(frozen=True)
class TruePanel:
    """The panel as it is: geometry, and the response of its elements (B, N) complex."""

    panel: Panel
    response: Tensor
    phase_amplitude: PhaseAmplitude | None

    def reflect(self, codes: Complex[Tensor, "t l n"]) -> Complex[Tensor, "b t l n"]:
        """What the panel applies when told to apply `codes`."""
        if self.phase_amplitude is not None:
            codes = codes * phase_dependent_amplitude(codes.angle(), self.phase_amplitude)
        return codes * self.response[:, None, None, :]


def phase_dependent_amplitude(phase: Tensor, model: PhaseAmplitude) -> Tensor:
    """`beta(phase)`, the shape of `phase` (radians); see `PhaseAmplitude`."""
    rise = ((torch.sin(phase - model.offset_rad) + 1) / 2) ** model.steepness
    return (1 - model.minimum) * rise + model.minimum


def draw_panel(random: SceneRandom, scenario: Scenario) -> TruePanel:
    """The true panel of each scene; with `impairments.fixed`, the same one for all of them."""
    settings, device = scenario.impairments, random.index.device
    if settings.fixed:
        random = SceneRandom(settings.panel_seed, torch.zeros_like(random.index), random.dtype)
    n = scenario.elements
    ideal = ideal_panel(scenario, random.dtype, device)
    jitter = random.normal(Stream.POSITION_JITTER, n, 2)
    jitter = torch.nn.functional.pad(jitter, (0, 1)) * settings.position_jitter
    positions = ideal.positions * (1 + settings.spacing_error) + jitter * scenario.wavelength
    error = random.normal(Stream.PHASE_ERROR, n) * math.radians(settings.phase_error_deg)
    gain = 10 ** (random.normal(Stream.GAIN_JITTER, n) * settings.gain_jitter_db / 20)
    alive = random.uniform(Stream.DEAD_ELEMENT, n) >= settings.dead_fraction
    panel = Panel(positions, scenario.wavelength * (1 + settings.wavelength_offset))
    return TruePanel(panel, torch.polar(gain * alive, error), settings.phase_amplitude)
