"""Law: over several blocks no number beside the one found explains the data for less.

    2 n ln rss_K + cost_K,   rss_K = (n - K (T + d / 2)) sigma_K^2,   n = T L M

The search stops early, where what is left is unremarkable and one source more could not pay by a
bound. A search that is told the number does not stop, so it says what was missed.
"""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.localization import Estimates, search_domain, steering_grid
from ris_pipeline.localization.random_field import panel_sizes
from ris_pipeline.localization.source_number import Searched, source_costs
from ris_pipeline.scene import simulate
from ris_pipeline.verification.checks import assert_true
from ris_pipeline.verification.target import TARGET

SCENARIO = Scenario(
    panel=(6, 6),
    antennas=8,
    codes=1,
    blocks=6,
    codebook="random",
    power="power_control",
    distance=(0.3, 3.0),
    sources=(2, 3),
    snr_db=(15, 20),
)
SCENES = 8
"""In one call: one of a single scene takes as long."""

COORDINATES, MOST = 3, 4
"""Unknown ones of a source; sources that are told at most."""

FEW = 1
"""Scenes in which the search that is told the number may find what the other did not: of 144 there
were two, so that two of eight come by chance in one set of 200, and the scenes are the same."""

WORTH = 1.0
"""Twice -ln likelihood by which another number is better: two searches move a source where they
gain half of it (`_WORTH_MOVING`), and each may stop that short."""


def _cost(found: Estimates, number: Tensor) -> Tensor:
    shared = SCENARIO.blocks, SCENARIO.antennas * SCENARIO.codes
    samples = shared[0] * shared[1]
    grid, domain = steering_grid(SCENARIO), search_domain(SCENARIO)
    searched = Searched(grid.size, panel_sizes(grid.panel, grid.wavefront, domain))
    costs = torch.tensor(source_costs("bic", *shared, COORDINATES, searched, MOST))
    free = samples - number * (SCENARIO.blocks + COORDINATES / 2)
    return 2 * samples * (free * found.noise_variance).log() + costs[number]


@given(st.just(0))
def test_no_number_beside_the_one_found_explains_for_less(seed: int) -> None:
    scenes = simulate(SCENARIO, seed, torch.arange(SCENES), torch.float64)
    found = TARGET.locate(scenes, None)
    count = found.count.clamp(1, MOST)
    here = _cost(found, count)
    for other in (count + 1, count - 1):
        tried = other.clamp(1, MOST)
        there = _cost(TARGET.locate(scenes, tried), tried)
        gain = torch.where(tried == other, here - there, 0.0)
        better = int((gain > WORTH).sum())
        assert_true(f"gain of {int(other[0] - count[0]):+d}", better <= FEW, gain)
