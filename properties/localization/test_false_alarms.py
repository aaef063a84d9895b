"""Law: of noise alone `Threshold(p)` makes a source with probability p, whatever the size."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from ris_pipeline.config import Scenario
from ris_pipeline.localization import Threshold
from ris_pipeline.scene import simulate
from ris_pipeline.verification.checks import assert_true
from ris_pipeline.verification.target import TARGET

SCENES = 64
SURE = 1e-6
"""Probability that a right threshold fails by chance."""

SIZES = (
    {"panel": (4, 4), "dft_shape": (4, 4), "codes": 2, "antennas": 3},
    {"panel": (3, 3), "dft_shape": (3, 3), "codes": 2, "antennas": 2},
    {"panel": (4, 4), "dft_shape": (4, 4), "codes": 1, "antennas": 8},
    {"panel": (6, 6), "codebook": "random", "codes": 16, "antennas": 4},
    {"panel": (3, 3), "codebook": "random", "codes": 2, "antennas": 3, "blocks": 4},
)


@given(st.sampled_from(SIZES))
def test_noise_alone_makes_as_many_sources_as_asked_for(size) -> None:
    asked, scenario = 0.05, Scenario(sources=(1, 1), **size)
    scenes = simulate(scenario, 0, torch.arange(SCENES), torch.float64)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(scenes.snapshots.shape, dtype=torch.complex128, generator=generator)
    found = TARGET.locate(replace(scenes, snapshots=noise), None, criterion=Threshold(asked))
    alarms = int((found.count > 0).sum())
    # The search may miss the maximum, and faces are not flat: no more than half too few, and hardly
    # too many.
    low = binom.ppf(SURE, SCENES, asked * 0.5)
    high = binom.ppf(1 - SURE, SCENES, asked * 1.25)
    assert_true("alarms", low <= alarms <= high, alarms)
