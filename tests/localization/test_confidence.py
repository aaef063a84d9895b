"""Confidence of the number: a probability, computed from the data, that comes true as often as it
says."""

import math

import pytest
import torch

from ris_pipeline.config import Scenario
from ris_pipeline.localization import locate, measure, search_domain, steering_grid
from ris_pipeline.localization.coordinates import resolution_cell
from ris_pipeline.localization.grid_search.detection import build_detector, evidence_of_another
from ris_pipeline.localization.maximum_likelihood.evidence import log_evidence
from ris_pipeline.localization.maximum_likelihood.relax import Search, prepare_search
from ris_pipeline.scene import SceneBatch, simulate

pytestmark = pytest.mark.no_shapes

REFERENCE = Scenario(power="power_control", snr_db=(-5.0, 10.0))
FRESH = 4211
"""A seed that nothing was chosen on."""


def _search(scenes: SceneBatch, density: float) -> Search:
    scenario = scenes.scenario
    grid = steering_grid(scenario, torch.float64, density=density)
    half_cell = resolution_cell(scenario) / 2
    data, domain = measure(scenes), search_domain(scenario)
    return prepare_search(build_detector(grid, scenes.codes), data, domain, half_cell)


def test_laplace_and_the_sum_over_the_grid_are_one_integral():
    """p(y | 1) / p(y | 0), around the best fit and over the whole domain."""
    scenario = REFERENCE.replace(
        panel=(8, 8), antennas=8, sources=(1, 1), snr_db=(0.0, 0.0), wavefront="plane"
    )
    scenes = simulate(scenario, 1, torch.arange(12), torch.float64)
    search = _search(scenes, density=32.0)
    found = locate(scenes, 1)
    far = torch.full_like(found.azimuth, 0.1)
    place = torch.stack((found.azimuth, found.elevation, far), dim=-1)
    ratio = torch.full((12,), 0.1, dtype=torch.float64)
    none = place[:, :0]
    around = log_evidence(search, place, ratio) - log_evidence(search, none, ratio)
    active = torch.ones(12, 0, dtype=torch.bool)
    over = evidence_of_another(
        search.detector, search.white, search.white_gains, none, active, ratio, search.white.energy
    )
    domain = search.domain
    room = torch.minimum(place[:, 0] - domain.lower, domain.upper - place[:, 0])[:, :2]
    inside = (room > 3 * found.std[:, 0, :2]).all(1)
    assert inside.sum() > 6
    # The grid is finer than the sharpest peak. The prior is uniform in the angles, the grid in u
    # and v: the domain's mean of cos(azimuth) cos^2(elevation) is 0.76, its least 0.38.
    assert (around - over)[inside].abs().max() < math.log(0.76 / 0.38)


@pytest.mark.slow
def test_of_the_answers_at_nine_tenths_nine_tenths_are_right():
    scenes = simulate(REFERENCE, FRESH, torch.arange(64))
    found = locate(scenes)
    stated = found.confidence.double()
    sure = stated >= 0.9
    right = (found.count == scenes.sources.count)[sure].double()
    assert sure.sum() > 24
    # Three standard deviations of as many draws with the probabilities stated.
    spread = (stated * (1 - stated))[sure].sum().sqrt()
    assert (stated[sure].sum() - right.sum()).abs() < 3 * spread
    doubtful = stated < 0.5
    assert (found.count == scenes.sources.count)[doubtful].double().mean() < 0.5
