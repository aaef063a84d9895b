"""Law: an estimate does not depend on the units of the data: y and H times any number."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.config import Scenario
from ris_pipeline.localization import Estimates, Status
from ris_pipeline.localization.least_squares.refinement import FINAL_TOLERANCE
from ris_pipeline.scene import simulate
from ris_pipeline.verification.checks import assert_true
from ris_pipeline.verification.target import TARGET

SCENARIO = Scenario(
    panel=(4, 4), antennas=4, codes=8, codebook="random", sources=(1, 2), power="power_control"
)
SCENES, SETS = 24, 4
"""Each scene of a set in units of its own, one call a set: a call of one scene takes as long."""

LARGEST_POWER = 12
"""Of ten, up and down."""


@given(st.integers(0, SETS - 1))
def test_places_and_statuses_do_not_depend_on_the_units(seed: int) -> None:
    scenes = simulate(SCENARIO, seed, torch.arange(SCENES), torch.float64)
    generator = torch.Generator().manual_seed(seed)
    size, limit = (2, SCENES), LARGEST_POWER
    first, second = torch.randint(-limit, limit + 1, size, generator=generator).double()
    there = replace(
        scenes,
        snapshots=scenes.snapshots * (10.0**first)[:, None, None, None],
        channel=scenes.channel * (10.0**second)[:, None, None],
    )
    number = scenes.sources.count
    found, far = TARGET.locate(scenes, number), TARGET.locate(there, number)
    assert_true("statuses", bool((found.status == far.status).all()), far.status)
    _same_places(found, far, 100.0 ** (first - second))


def _same_places(found: Estimates, far: Estimates, unit: torch.Tensor) -> None:
    """The steps end where a thousandth of a deviation is left of the way (`FINAL_TOLERANCE`), in
    either run; of a power too, whose deviation is below itself where it is told from noise."""
    good = found.status == int(Status.CONVERGED)
    for axis, name in enumerate(("azimuth", "elevation", "distance")):
        moved = (getattr(found, name) - getattr(far, name)).abs() / found.std[..., axis]
        assert_true(name, bool((moved[good] <= FINAL_TOLERANCE).all()), moved)
    power = (far.power / found.power / unit[:, None])[good]
    assert_true("power", bool(((power - 1).abs() <= FINAL_TOLERANCE).all()), power)
