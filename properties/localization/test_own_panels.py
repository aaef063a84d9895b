"""Law: on a panel of one's own, sources are where they are: in the coordinates and the unit of the
elements' places, whatever order the elements are listed in.

    elements in another order            the same places
    a panel turned about its normal      the places turned with it:  p' = Q p
    every length times a number          the distances times it
"""

import math
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.localization import Estimates, Status
from ris_pipeline.localization.least_squares.refinement import FINAL_TOLERANCE
from ris_pipeline.scene import (
    Received,
    SceneBatch,
    direction_cosines,
    own_scenario,
    simulate,
)
from ris_pipeline.verification.checks import assert_true
from ris_pipeline.verification.target import TARGET

WAVELENGTH, ELEMENTS, SCENES = 0.3, 20, 4
SEARCHED: dict[str, Any] = {"azimuth_deg": (-60.0, 60.0), "elevation_deg": (-60.0, 60.0)}
NEAR = (0.2, 3.0)
"""Limits of the search: the same about both axes, so that a panel may be turned."""


def _disc() -> np.ndarray:
    """Evenly filled and nowhere even."""
    index = np.arange(ELEMENTS) + 0.5
    turn, reach = math.pi * (1 + math.sqrt(5)) * index, 0.45 * np.sqrt(index / ELEMENTS)
    return np.stack((reach * np.cos(turn), reach * np.sin(turn), 0 * turn), axis=1)


def _jittered() -> np.ndarray:
    """A grid of 5 x 4 at half a wavelength, each element up to 2 cm off its place."""
    index = np.arange(ELEMENTS)
    grid = np.stack((index % 5 - 2.0, index // 5 - 1.5, 0 * index), axis=1) * WAVELENGTH / 2
    off = np.random.default_rng(1).uniform(-0.02, 0.02, (ELEMENTS, 3))
    return grid + off


def _bowl() -> np.ndarray:
    """The disc, its rim 5 cm before its middle."""
    disc = _disc()
    disc[:, 2] = 0.05 * (disc[:, :2] ** 2).sum(axis=1) / 0.45**2
    return disc


PANELS = _disc(), _jittered(), _bowl()
panels, seeds = st.integers(0, len(PANELS) - 1), st.integers(0, 1)


def _scenes(panel: int, seed: int) -> SceneBatch:
    """One or two sources that any panel tells apart, well inside of what is searched."""
    told = own_scenario(
        PANELS[panel],
        WAVELENGTH,
        azimuth_deg=(-35.0, 35.0),
        elevation_deg=(-25.0, 25.0),
        distance=(0.5, 1.5),
    )
    scenario = told.replace(
        antennas=6, codes=8, codebook="random", sources=(1, 2), power="power_control",
        snr_db=(20.0, 30.0), separation_deg=40.0,
    )  # fmt: skip
    return simulate(scenario, seed, torch.arange(SCENES), torch.float64)


def _own(
    scenes: SceneBatch,
    positions: np.ndarray,
    order: np.ndarray | slice = slice(None),
    unit: float = 1.0,
) -> Received:
    """The scenes as somebody's arrays: another order of elements, other places, another unit."""
    return Received.from_arrays(
        scenes.snapshots,
        scenes.channel[..., order],
        scenes.codes[..., order],
        positions=unit * positions[order],
        wavelength=unit * WAVELENGTH,
        distance=(unit * NEAR[0], unit * NEAR[1]),
        **SEARCHED,
    )


def _places(found: Estimates) -> torch.Tensor:
    """(B, K, 3) metres."""
    return found.distance[..., None] * direction_cosines(found.azimuth, found.elevation)


def _assert_same(found: Estimates, other: Estimates, places: torch.Tensor) -> None:
    """`other` is at `places`, where the first search's results were taken to.

    Either search ends within a thousandth of a deviation of the minimum (`FINAL_TOLERANCE`), of
    each coordinate; the way between both is at most twice that in each.
    """
    both = (found.status == int(Status.CONVERGED)) & (other.status == int(Status.CONVERGED))
    assert_true("converged", bool((both | ~found.active).all()), other.status)
    size = found.distance[..., None] * found.std[..., :2]
    reach = 2 * FINAL_TOLERANCE * (size.sum(-1) + found.std[..., 2])
    # Equal powers are listed in either order.
    away = torch.cdist(_places(other).nan_to_num(1e9), places.nan_to_num(1e9)).amin(-1)
    assert_true("places", bool((away <= reach)[found.active].all()), away / reach)


@given(panels, seeds)
def test_the_order_of_the_elements_does_not_matter(panel: int, seed: int) -> None:
    scenes, positions = _scenes(panel, seed), PANELS[panel]
    number = scenes.sources.count
    order = np.random.default_rng(seed).permutation(ELEMENTS)
    found = TARGET.locate(_own(scenes, positions), number)
    other = TARGET.locate(_own(scenes, positions, order), number)
    _assert_same(found, other, _places(found))


@given(panels, seeds, st.sampled_from((2, 1, 5)))
def test_sources_turn_with_the_panel(panel: int, seed: int, eighths: int) -> None:
    scenes, positions = _scenes(panel, seed), PANELS[panel]
    number, turn = scenes.sources.count, math.pi / 4 * eighths
    c, s = math.cos(turn), math.sin(turn)
    q = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    found = TARGET.locate(_own(scenes, positions), number)
    other = TARGET.locate(_own(scenes, positions @ q.T), number)
    _assert_same(found, other, _places(found) @ torch.from_numpy(q).mT)


@given(panels, seeds, st.sampled_from((-1, 9, -7)))
def test_lengths_may_have_any_unit(panel: int, seed: int, power: int) -> None:
    scenes, positions, unit = _scenes(panel, seed), PANELS[panel], 2.0**power
    number = scenes.sources.count
    found = TARGET.locate(_own(scenes, positions), number)
    other = TARGET.locate(_own(scenes, positions, unit=unit), number)
    # As if the first had been asked in that unit.
    stretched = found.std * found.std.new_tensor([1.0, 1.0, unit])
    in_unit = Estimates(
        **{**vars(found), "distance": found.distance * unit, "std": stretched},
    )
    _assert_same(in_unit, other, _places(in_unit))
