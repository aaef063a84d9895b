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

SCENES = 96
ASKED = 0.2
"""Often enough that too few are seen as well as too many."""

FLAT = 0.5
"""Part of the alarms that there are at least. The level is where ASKED places stick out of the noise
on average: P of one or more is no more than that, and no less than ASKED - ASKED^2 / 2 where they
come independently (Bonferroni). Faces are taken for flat and noise for Gaussian (see
`random_field`): of 2,000 scenes each the rest of the loss was a fifth, at most."""

SURE = 1e-3
"""Probability that a right threshold fails by chance, once and for all: the scenes are the same."""

SIZES = (
    {"panel": (4, 4), "dft_shape": (4, 4), "codes": 2, "antennas": 3},
    {"panel": (3, 3), "dft_shape": (3, 3), "codes": 2, "antennas": 2},
    {"panel": (4, 4), "dft_shape": (4, 4), "codes": 1, "antennas": 8},
    {"panel": (6, 6), "codebook": "random", "codes": 16, "antennas": 4},
    {"panel": (3, 3), "codebook": "random", "codes": 2, "antennas": 3, "blocks": 4},
)


@given(st.sampled_from(SIZES))
def test_noise_alone_makes_as_many_sources_as_asked_for(size) -> None:
    scenes = simulate(Scenario(sources=(1, 1), **size), 0, torch.arange(SCENES), torch.float64)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(scenes.snapshots.shape, dtype=torch.complex128, generator=generator)
    found = TARGET.locate(replace(scenes, snapshots=noise), None, criterion=Threshold(ASKED))
    alarms = int((found.count > 0).sum())
    low = binom.ppf(SURE, SCENES, ASKED * FLAT)
    high = binom.ppf(1 - SURE, SCENES, ASKED)
    assert_true("alarms", low <= alarms <= high, alarms)
