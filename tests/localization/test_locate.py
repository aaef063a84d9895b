import math

import pytest
import torch

from ris_pipeline.config import Scenario
from ris_pipeline.localization import great_circle, locate, match_sources
from ris_pipeline.scene import SceneSet


@pytest.mark.parametrize("count", [1, 2])
def test_equal_powers_at_20_db_are_found(count):
    scenario = Scenario(power="power_control", sources=(count, count), snr_db=(20, 20))
    scenes = SceneSet(scenario, seed=1, size=20).scenes(0, 20)
    found = locate(scenes, count)
    truth = scenes.sources
    match = match_sources(
        found.azimuth,
        found.elevation,
        found.active,
        truth.azimuth,
        truth.elevation,
        truth.active,
    )
    angle = great_circle(
        found.azimuth.gather(1, match),
        found.elevation.gather(1, match),
        truth.azimuth,
        truth.elevation,
    )
    assert (angle < math.radians(2)).double().mean() > 0.95
