"""The BS-RIS channel.

    H = sqrt(kappa / (kappa + 1)) b a^T + sqrt(1 / (kappa + 1)) G

b and a: plane-wave responses of the base station (M) and of the panel (N), entries of unit modulus;
G: independent CN(0, 1) entries. E|H_mn|^2 = 1.
"""

import math

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.scene._random import SceneRandom, Stream
from ris_pipeline.scene.array import Panel, ideal_panel, steering_vector, uniform_linear_array


def _unit_modulus_response(
    random: SceneRandom, scenario: Scenario, surface: Panel
) -> tuple[Tensor, Tensor]:
    device = random.index.device
    station = uniform_linear_array(scenario.antennas, scenario.wavelength, random.dtype, device)
    draw = random.uniform(Stream.CHANNEL_ANGLE, 3) * 2 - 1
    arrival, azimuth = draw[:, 0] * math.pi / 3, draw[:, 1] * math.pi / 3
    elevation = draw[:, 2] * math.pi / 6
    far = torch.ones_like(arrival)
    b = steering_vector(station, arrival, torch.zeros_like(arrival), far, "plane")
    a = steering_vector(surface, azimuth, elevation, far, "plane")
    return b * math.sqrt(station.elements), a * math.sqrt(surface.elements)


def rician_channel(random: SceneRandom, scenario: Scenario) -> Complex[Tensor, "b m n"]:
    """Draw H for each scene; line-of-sight angles within +-60 deg azimuth, +-30 deg elevation."""
    return draw_channel(random, scenario, ideal_panel(scenario, random.dtype, random.index.device))


def draw_channel(random: SceneRandom, scenario: Scenario, ideal: Panel) -> Complex[Tensor, "b m n"]:
    """`rician_channel`, where `ideal_panel` has been made."""
    kappa = random.between(Stream.RICIAN_K, *scenario.rician_k)
    b, a = _unit_modulus_response(random, scenario, ideal)
    shape = scenario.antennas, scenario.elements
    scatter = random.complex_normal(Stream.CHANNEL_SCATTER, *shape, variance=1 / (kappa + 1))
    specular = (kappa / (kappa + 1)).sqrt()[:, None] * b
    return scatter.addcmul_(specular[:, :, None], a[:, None, :])
