"""What a real panel does beyond the model that the receiver assumes.

    c'_n = beta(arg c_n) e_n c_n,     e_n = gain_n exp(j error_n), or 0 for a dead element

together with moved elements, a scaled spacing and a shifted wavelength.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline._arrays import own_tensors
from ris_pipeline.config import PhaseAmplitude, Scenario
from ris_pipeline.scene._phasor import phasor
from ris_pipeline.scene._random import SceneRandom, Stream
from ris_pipeline.scene.array import Panel, ideal_panel


@dataclass(frozen=True)
class TruePanel:
    """The panel as it is: geometry, and the response e_n of its elements (B, N) complex.

    B is 1 for a panel that is the same in every scene.
    """

    panel: Panel
    response: Tensor
    phase_amplitude: PhaseAmplitude | None

    def __post_init__(self) -> None:
        own_tensors(self)

    def double(self) -> "TruePanel":
        """The same panel in double precision."""
        panel = replace(self.panel, positions=self.panel.positions.double())
        return replace(self, panel=panel, response=self.response.to(torch.complex128))

    def attenuate(self, codes: Complex[Tensor, "t l n"]) -> Complex[Tensor, "t l n"]:
        """`beta(arg c) c`; the elements apply it times their response."""
        if self.phase_amplitude is None:
            return codes
        return codes * phase_dependent_amplitude(codes.angle(), self.phase_amplitude)


def phase_dependent_amplitude(phase: Tensor, model: PhaseAmplitude) -> Tensor:
    """`beta(phase)`, the shape of `phase` (radians); see `PhaseAmplitude`."""
    rise = ((torch.sin(phase - model.offset_rad) + 1) / 2) ** model.steepness
    return (1 - model.minimum) * rise + model.minimum


def draw_panel(random: SceneRandom, scenario: Scenario, ideal: Panel | None = None) -> TruePanel:
    """The true panel of each scene; with `impairments.fixed`, one for all of them.

    Args:
        ideal: `ideal_panel`, where it has been made.
    """
    settings = scenario.impairments
    if settings.fixed:
        random = SceneRandom(settings.panel_seed, random.index.new_zeros(1), random.dtype)
    if ideal is None:
        ideal = ideal_panel(scenario, random.dtype, random.index.device)
    positions = ideal.positions * (1 + settings.spacing_error)
    if settings.position_jitter > 0:
        jitter = random.normal(Stream.POSITION_JITTER, scenario.elements, 2) * scenario.wavelength
        positions = positions + settings.position_jitter * torch.nn.functional.pad(jitter, (0, 1))
    panel = Panel(positions, scenario.wavelength * (1 + settings.wavelength_offset))
    return TruePanel(panel, _element_response(random, scenario), settings.phase_amplitude)


def _element_response(random: SceneRandom, scenario: Scenario) -> Complex[Tensor, "b n"]:
    settings, n = scenario.impairments, scenario.elements
    error = random.normal(Stream.PHASE_ERROR, n) * math.radians(settings.phase_error_deg)
    gain = 10 ** (random.normal(Stream.GAIN_JITTER, n) * settings.gain_jitter_db / 20)
    alive = random.uniform(Stream.DEAD_ELEMENT, n) >= settings.dead_fraction
    return phasor(error, gain * alive)
