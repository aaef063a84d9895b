"""Law: an estimate does not depend on the units of the data: y and H times any number."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.config import Scenario
from ris_pipeline.localization import Status
from ris_pipeline.scene import simulate
from ris_pipeline.verification.checks import assert_true
from ris_pipeline.verification.target import TARGET

SCENARIO = Scenario(
    panel=(6, 6), antennas=4, codes=16, codebook="random", sources=(1, 2), power="power_control"
)
CLOSE = 1e-3
"""Standard deviations. The minimum is known to a thousandth of one (`FINAL_TOLERANCE`), the data to
1e-16 of themselves."""


@given(st.integers(0, 2**16), st.integers(-12, 12), st.integers(-12, 12))
def test_places_and_statuses_do_not_depend_on_the_units(seed: int, first: int, second: int) -> None:
    scenes = simulate(SCENARIO, seed, torch.arange(4), torch.float64)
    there = replace(
        scenes,
        snapshots=scenes.snapshots * 10.0**first,
        channel=scenes.channel * 10.0**second,
    )
    number = scenes.sources.count
    found, far = TARGET.locate(scenes, number), TARGET.locate(there, number)
    assert_true("statuses", bool((found.status == far.status).all()), far.status)
    good = found.status == int(Status.CONVERGED)
    for axis, name in enumerate(("azimuth", "elevation")):
        moved = (getattr(found, name) - getattr(far, name)).abs() / found.std[..., axis]
        assert_true(name, bool((moved[good] <= CLOSE).all()), moved)
    power = far.power[good] / found.power[good] * 100.0 ** (second - first)
    assert_true("power", bool(((power - 1).abs() < 1e-3).all()), power)
