"""Peaks over directions: none close to a higher one, across the border of a period too."""

import math

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.localization import direction_grid, direction_peaks, grid_at
from ris_pipeline.localization.grid_search.peaks import grid_directions

SIDE = 9


def square(period=(math.inf, math.inf), separation=(0.25, 0.25)):
    axis = (torch.arange(SIDE, dtype=torch.float64) - SIDE // 2) / SIDE
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return direction_grid(torch.stack((u.flatten(), v.flatten()), dim=-1), separation, period)


def peaks(level, most, **settings):
    places, found = direction_peaks(level.flatten()[None], square(**settings), most)
    pairs = zip(places[0].tolist(), found[0].tolist(), strict=True)
    return [divmod(place, SIDE) for place, there in pairs if there]


def test_peaks_are_separate_and_ordered() -> None:
    level = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    level[2, 2], level[2, 3], level[7, 7] = 3.0, 2.9, 4.0
    assert peaks(level, 2) == [(7, 7), (2, 2)]


def test_a_shoulder_outside_the_separation_is_no_peak() -> None:
    level = torch.full((SIDE, SIDE), -1.0, dtype=torch.float64)
    level[4] = torch.tensor([0.0, 1, 2, 3, 4, 3, 2, 1, 0], dtype=torch.float64)
    level[0, 8] = 0.5
    assert peaks(level, 2)[:2] == [(4, 4), (0, 8)]


def test_the_second_of_two_peaks_that_are_close_is_left_out() -> None:
    level = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    level[4, 3], level[4, 5] = 2.0, 1.0
    assert peaks(level, 2, separation=(0.25, 0.25))[0] == (4, 3)
    assert (4, 5) not in peaks(level, 2, separation=(0.25, 0.25))
    assert peaks(level, 2, separation=(0.2, 0.2)) == [(4, 3), (4, 5)]


def test_a_plateau_has_one_peak_and_slots_stay_empty() -> None:
    assert peaks(torch.ones(SIDE, SIDE, dtype=torch.float64), 3) == [(0, 0)]


def test_a_peak_at_the_border_of_a_period_is_one() -> None:
    level = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    level[4, 0], level[4, SIDE - 1], level[1, 4] = 3.0, 2.9, 1.0
    assert peaks(level, 2, period=(1.0, 1.0)) == [(4, 0), (1, 4)]
    assert peaks(level, 2) == [(4, 0), (4, SIDE - 1)]


def test_no_peak_asked_for_and_no_scene() -> None:
    places, found = direction_peaks(torch.ones(2, SIDE**2).double(), square(), 0)
    assert places.shape == found.shape == (2, 0)
    assert direction_peaks(torch.ones(0, SIDE**2).double(), square(), 2)[0].shape == (0, 2)


def test_levels_of_another_grid_are_refused(untyped) -> None:
    with untyped(), pytest.raises(InputError, match="level has shape"):
        direction_peaks(torch.ones(1, 5).double(), square(), 1)


def test_a_grid_with_uneven_distances_is_refused() -> None:
    azimuth = torch.tensor([0.0, 0.0, 0.1])
    grid = grid_at(Scenario(), azimuth, torch.zeros(3), torch.tensor([0.5, 1.0, 0.5]))
    with pytest.raises(InputError, match="distances a direction"):
        grid_directions(grid, (0.1, 0.1))
