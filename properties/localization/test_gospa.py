"""Law: GOSPA is the least cost over assignments, and a metric on sets of directions."""

import itertools
import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import entry_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.target import TARGET

CUTOFF = 0.25
STEP = 0.05
"""Spacing of the directions (rad): pairs of them fall on both sides of the cutoff."""
SLOTS = 3
ROUNDING = float(entry_bound(math.sqrt(2 * SLOTS), 32, torch.float64))
"""Angles differ by the rounding of two unit vectors, their chord and its arc, all of size one;
GOSPA is a Euclidean norm of at most 2 SLOTS of them."""

directions = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(-1, 1)), min_size=0, max_size=SLOTS, unique=True
)


def _slots(where: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Directions in the first slots of three, NaN in the others, as estimates have it."""
    slots = torch.full((1, SLOTS, 2), torch.nan, dtype=torch.float64)
    slots[0, : len(where)] = torch.tensor(where, dtype=torch.float64).reshape(-1, 2) * STEP
    return slots[..., 0], slots[..., 1], (torch.arange(SLOTS) < len(where))[None]


def _gospa(found: list[tuple[int, int]], true: list[tuple[int, int]]) -> float:
    return float(TARGET.gospa_metric(*_slots(found), *_slots(true), cutoff=CUTOFF)[0])


def _unit(where: list[tuple[int, int]]) -> np.ndarray:
    azimuth, elevation = np.array(where, dtype=float).reshape(-1, 2).T * STEP
    across = np.cos(elevation)
    return np.stack(
        (np.sin(azimuth) * across, np.sin(elevation), np.cos(azimuth) * across), axis=-1
    )


def _least_cost(found: list[tuple[int, int]], true: list[tuple[int, int]]) -> float:
    """By trying every set of pairs, of any size: each costs its squared angle, and each direction
    left over half a squared cutoff."""
    chord = np.linalg.norm(_unit(found)[:, None] - _unit(true), axis=-1)
    angle = 2 * np.arcsin(chord / 2)
    best = math.inf
    for size in range(min(len(found), len(true)) + 1):
        alone = (len(found) + len(true) - 2 * size) * CUTOFF**2 / 2
        for rows in itertools.combinations(range(len(found)), size):
            for columns in itertools.permutations(range(len(true)), size):
                cost = sum(angle[i, j] ** 2 for i, j in zip(rows, columns, strict=True))
                best = min(best, cost + alone)
    return math.sqrt(best)


@given(directions, directions)
def test_gospa_is_the_least_cost_over_assignments(found, true) -> None:
    assert_within("GOSPA", _gospa(found, true), _least_cost(found, true), ROUNDING)


@given(directions, st.randoms(use_true_random=False))
def test_gospa_of_the_truth_in_any_order_is_zero(true, random) -> None:
    order = list(true)
    random.shuffle(order)
    found = _gospa(order, true)
    assert_true("zero", found <= ROUNDING, found)


@given(directions, directions)
def test_gospa_is_symmetric_and_zero_for_the_truth_alone(found, true) -> None:
    there, back = _gospa(found, true), _gospa(true, found)
    assert_true("the same exchanged", abs(there - back) <= ROUNDING, there - back)
    # No two directions are nearer than a step at the highest elevation.
    apart = STEP * math.cos(STEP) / 2
    assert_true("positive unless equal", set(found) == set(true) or there > apart, there)


@given(directions, directions, directions)
def test_gospa_keeps_the_triangle_inequality(first, second, third) -> None:
    around = _gospa(first, second) + _gospa(second, third)
    direct = _gospa(first, third)
    assert_true("no detour is shorter", direct <= around + ROUNDING, direct - around)
