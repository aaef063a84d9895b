"""Bounds that can be written down: one source, and the far field of a uniform line."""

import math
from dataclasses import replace

import pytest
import torch
from localization_helpers import MOVING, SMALL, columns, draw, true_parameters

from ris_pipeline.localization import cramer_rao_bound, stochastic_cramer_rao_bound
from ris_pipeline.scene import Panel

STEP = 1e-6
DIFFERENCE = 1e-5  # central differences (1e-8 of the slopes) times the conditioning of F
ROUNDING = 1e-10  # eps times the conditioning of F

ELEMENTS, BLOCKS = 8, 5


def line():
    """A line of elements seen directly: one antenna behind each, plane waves, one source."""
    scenes = draw(
        6,
        sources=(1, 1),
        snr_db=(7, 7),
        panel=(ELEMENTS, 1),
        antennas=ELEMENTS,
        codes=1,
        blocks=BLOCKS,
        wavefront="plane",
        elevation_deg=(0, 0),
    )
    eye = torch.eye(ELEMENTS, dtype=torch.complex128)
    ones = torch.ones_like(scenes.codes)
    return replace(scenes, channel=eye.expand_as(scenes.channel).clone(), codes=ones)


def test_far_field_line_has_the_classical_bound():
    # 6 sigma^2 / (T p N (N^2 - 1)) for the electrical angle k d sin(azimuth) of N elements, each of
    # which receives the power p = |g|^2 / N.
    scenes = line()
    azimuth, power = scenes.sources.azimuth[:, 0], scenes.sources.powers[:, 0]
    spacing = 2 * math.pi * scenes.scenario.spacing[0]
    n, received = ELEMENTS, power / ELEMENTS
    omega = 6 * scenes.noise_variance / (BLOCKS * received * n * (n**2 - 1))
    expected = omega / (spacing * torch.cos(azimuth)).square()
    bound = cramer_rao_bound(scenes)[:, 0]
    torch.testing.assert_close(bound[:, 0], expected, rtol=ROUNDING, atol=0.0)
    # A horizontal line does not see the elevation, and a plane wave has no distance.
    assert torch.isinf(bound[:, 1:]).all()
    # Random amplitudes cost the factor 1 + sigma^2 / (N p).
    stochastic = stochastic_cramer_rao_bound(scenes)[:, 0, 0]
    factor = 1 + scenes.noise_variance / power
    torch.testing.assert_close(stochastic, factor * expected, rtol=ROUNDING, atol=0.0)


@pytest.mark.parametrize("settings", [SMALL, MOVING], ids=["static", "moving"])
def test_one_source_has_an_information_of_three_by_three(settings):
    # (2 / sigma^2) sum_t |x_t|^2 Re(D_t^H P_t D_t), P_t what is left of I without b_t.
    scenes = draw(4, sources=(1, 1), snr_db=(10, 10), **settings)
    s, parameters = scenes.sources, true_parameters(scenes)
    b = columns(scenes, parameters)[..., 0]
    slopes = []
    for axis in range(3):
        ends = []
        for step in (STEP, -STEP):
            moved = parameters.clone()
            if axis == 2:
                moved[..., 2] = 1 / (s.distance + step)
            else:
                moved[..., axis] += step
            ends.append(columns(scenes, moved)[..., 0])
        slope = (ends[0] - ends[1]) / (2 * STEP)
        along = (b.conj() * slope).sum(-1, keepdim=True) / b.abs().square().sum(-1, keepdim=True)
        slopes.append(slope - b * along)
    d = torch.stack(slopes, dim=-1)
    power = (s.gains[:, 0, None] * s.symbols[:, 0]).abs().square()
    information = (power[:, :, None, None] * (d.mH @ d).real).sum(1)
    factor = scenes.noise_variance[:, None] / 2
    expected = factor * torch.linalg.inv(information).diagonal(dim1=1, dim2=2)
    got = cramer_rao_bound(scenes)[:, 0]
    torch.testing.assert_close(got, expected, rtol=DIFFERENCE, atol=0.0)


def test_the_bound_of_angles_scales_with_the_aperture():
    # Everything in wavelengths: a panel, a wavelength and a distance three times as large leave the
    # angles alone and multiply the deviation of the distance by three.
    scenes = draw(4, sources=(2, 2), snr_db=(10, 10))
    s = scenes.sources
    larger = replace(
        scenes,
        panel=Panel(3 * scenes.panel.positions, 3 * scenes.panel.wavelength),
        sources=replace(s, distance=3 * s.distance),
    )
    expected = cramer_rao_bound(scenes) * torch.tensor([1.0, 1.0, 9.0])
    torch.testing.assert_close(cramer_rao_bound(larger), expected, rtol=ROUNDING, atol=0.0)
