"""Law: sources and slots are matched at the least total cost, as the Hungarian method does."""

import itertools
import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import entry_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.target import TARGET


@st.composite
def costs(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole costs (1, K, S) with K <= S, so that totals are exact, and the real sources."""
    sources = draw(st.integers(1, 3))
    slots = draw(st.integers(sources, 4))
    row = st.lists(st.integers(0, 9), min_size=slots, max_size=slots)
    cost = draw(st.lists(row, min_size=sources, max_size=sources))
    count = draw(st.integers(1, sources))
    active = torch.arange(sources)[None] < count
    return torch.tensor([cost], dtype=torch.float64), active


@given(costs())
def test_slots_are_matched_at_the_least_total_cost(drawn) -> None:
    cost, active = drawn
    slot = TARGET.match_slots(cost, active)[0]
    count, slots = int(active.sum()), range(cost.shape[-1])
    assert_true("one slot a source", len(set(slot.tolist())) == slot.numel(), slot.numpy())
    got = cost[0].gather(-1, slot[:, None])[:count].sum().item()
    table = cost[0].numpy()
    best = min(
        sum(table[i, s] for i, s in enumerate(p)) for p in itertools.permutations(slots, count)
    )
    assert_within("total cost", got, best, 0.0)


# Few places make ties, which rounding decides.
azimuths, elevations = st.integers(-10, 10), st.integers(-6, 6)
near = st.sampled_from((0, 1, -1))
directions = st.lists(
    st.tuples(near, near) | st.tuples(azimuths, elevations), min_size=1, max_size=3, unique=True
)


def _unit(where: list[tuple[int, int]]) -> np.ndarray:
    azimuth, elevation = np.array(where, dtype=float).T / 8
    across = np.cos(elevation)
    return np.stack(
        (np.sin(azimuth) * across, np.sin(elevation), np.cos(azimuth) * across), axis=-1
    )


def _matched(found, true) -> np.ndarray:
    def angles(where):
        azimuth, elevation = torch.tensor([where], dtype=torch.float64).unbind(-1)
        return azimuth / 8, elevation / 8, torch.ones(1, len(where), dtype=torch.bool)

    return TARGET.match_sources(*angles(found), *angles(true))[0].numpy()


@given(directions, directions)
def test_sources_are_matched_at_the_least_total_angle(found, true) -> None:
    match = _matched(found, true)
    pairs = [(i, m) for i, m in enumerate(match) if m >= 0]
    assert_within("pairs", len(pairs), min(len(found), len(true)), 0)
    angles = 2 * np.arcsin(
        np.minimum(np.linalg.norm(_unit(true)[:, None] - _unit(found), axis=-1) / 2, 1)
    )
    short, long = sorted((len(true), len(found)))
    table = angles if len(true) <= len(found) else angles.T
    best = min(
        sum(table[i, j] for i, j in enumerate(p))
        for p in itertools.permutations(range(long), short)
    )
    got = sum(angles[i, m] for i, m in pairs)
    # Six operations a chord; asin is steep near the antipode only, which these angles exclude.
    # Only at a tie is the choice one of rounding.
    tie = entry_bound(short * math.pi, 64, torch.float64)
    assert_true("at the least total angle", got <= best + tie, got - best)


@given(directions, st.randoms(use_true_random=False))
def test_the_truth_is_matched_to_itself_in_any_order(true, random) -> None:
    order = list(range(len(true)))
    random.shuffle(order)
    match = _matched([true[i] for i in order], true)
    assert_within("match", [order[m] for m in match], np.arange(len(true)), 0)
