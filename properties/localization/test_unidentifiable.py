"""Law: of a coordinate that the data say nothing about nobody reports a finite deviation."""

import math
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.config import Impairments, Scenario
from ris_pipeline.localization import Status
from ris_pipeline.scene import SceneBatch, clean_snapshots, simulate
from ris_pipeline.verification.checks import assert_true
from ris_pipeline.verification.target import TARGET

SMALL = Scenario(antennas=4, codes=8, codebook="random", power="power_control", sources=(1, 1))
SCENES = 12
"""Of each panel: a call of one takes as long."""


def _one_column(elements: int) -> SceneBatch:
    """Elements in a vertical line: the phase depends on v and r alone, azimuth turns around it."""
    scenario = SMALL.replace(panel=(1, elements), snr_db=(0.0, 40.0))
    return simulate(scenario, elements, torch.arange(SCENES), torch.float64)


def _one_row(elements: int) -> SceneBatch:
    """Elements in a horizontal line: azimuth and elevation show as u alone."""
    scenario = SMALL.replace(panel=(elements, 1), snr_db=(0.0, 40.0))
    return simulate(scenario, elements, torch.arange(SCENES), torch.float64)


def _one_direction(elements: int) -> SceneBatch:
    """A channel of rank one and codes that differ by a phase: one complex number is seen, and the
    amplitude takes all of it."""
    scenario = SMALL.replace(panel=(elements, 3))
    scenes = simulate(scenario, elements, torch.arange(SCENES), torch.float64)
    turns = torch.arange(scenario.codes, dtype=torch.float64)
    codes = scenes.codes[:, :1] * torch.polar(torch.ones_like(turns), turns)[:, None]
    channel = scenes.channel[:, :, :1] * scenes.channel[:, :1] / scenes.channel[:, :1, :1]
    scenes = replace(scenes, channel=channel, codes=codes)
    clean = clean_snapshots(scenes)
    noise = scenes.snapshots * (0.1 * clean.abs().mean() / scenes.snapshots.abs().mean())
    variance = noise.abs().square().mean((1, 2, 3))
    return replace(scenes, snapshots=clean + noise, noise_variance=variance)


BLIND = st.builds(
    lambda make, elements: make(elements),
    st.sampled_from((_one_column, _one_row, _one_direction)),
    st.integers(4, 12),
)


@given(BLIND)
def test_where_the_bound_is_infinite_no_deviation_is_finite(scenes: SceneBatch) -> None:
    found = TARGET.locate(scenes, 1)
    blind = torch.isinf(TARGET.cramer_rao_bound(scenes))[:, 0]
    assert_true("a coordinate is blind", bool(blind.any()), blind)
    finite = found.std[:, 0].isfinite() & blind
    assert_true("no finite deviation", not bool(finite.any()), found.std[:, 0])
    lost = found.status[:, 0] == int(Status.UNRESOLVED)
    assert_true("not resolved", bool(lost[blind.any(-1)].all()), found.status)


@given(st.integers(4, 12))
def test_the_bound_is_infinite_for_what_the_panel_does_not_see(elements: int) -> None:
    column = TARGET.cramer_rao_bound(_one_column(elements))[:, 0]
    assert_true("azimuth", bool((column[:, 0] == math.inf).all()), column)
    assert_true("elevation", bool(column[:, 1].isfinite().all()), column)
    row = TARGET.cramer_rao_bound(_one_row(elements))[:, 0]
    assert_true("both angles", bool((row[:, :2] == math.inf).all()), row)


@given(st.integers(2, 8))
def test_no_pseudo_true_place_where_the_panel_sees_none(elements: int) -> None:
    error = Impairments(phase_error_deg=20.0, fixed=False)
    scenario = SMALL.replace(panel=(elements, 1), impairments=error)
    scenes = simulate(scenario, elements, torch.arange(SCENES), torch.float64)
    bound = TARGET.misspecified_cramer_rao_bound(scenes)
    # A descent may end at the border, where what is held has no finite variance.
    held = (bound.status == int(Status.EDGE))[..., None]
    known = bound.variance.isfinite()
    assert_true("no variance", not bool((known & ~held).any()), bound.variance)
    assert_true("one is held", not bool((known & held).all(-1).any()), bound.variance)
    assert_true("none negative", not bool((bound.variance < 0).any()), bound.variance)
    assert_true("not found", bool((bound.status != int(Status.CONVERGED)).all()), bound.status)
