"""GOSPA of estimates against scenes; that it is the least cost and a metric is a property."""

import math
from dataclasses import replace

import pytest
import torch
from localization_helpers import draw, true_parameters

from ris_pipeline._errors import InputError
from ris_pipeline.localization import DETECTION_ANGLE, Estimates, Status
from ris_pipeline.localization.estimates import strongest_first
from ris_pipeline.localization.scoring.gospa import gospa, gospa_metric

ROUNDING = 1e-15
"""Chords of unit vectors, in double precision."""


def the_truth(scenes) -> Estimates:
    """The true sources as estimates, last one first."""
    active = scenes.sources.active
    order = torch.arange(active.shape[1]).expand(active.shape).to(torch.float64)
    return strongest_first(
        true_parameters(scenes),
        active,
        order,
        torch.full(active.shape, int(Status.CONVERGED)),
        scenes.noise_variance,
        "spherical",
        torch.float64,
    )


def test_the_truth_in_another_order_costs_nothing():
    scenes = draw(size=6, sources=(1, 3))
    assert (gospa(the_truth(scenes), scenes) == 0).all()


def test_a_miss_and_a_false_alarm_cost_half_a_squared_cutoff_each():
    scenes = draw(size=4, sources=(2, 2))
    found = the_truth(scenes)
    one = DETECTION_ANGLE / math.sqrt(2)
    fewer = replace(found, count=found.count - 1)
    assert gospa(fewer, scenes) == pytest.approx([one] * 4, abs=ROUNDING)
    none = replace(found, count=found.count * 0)
    assert gospa(none, scenes) == pytest.approx([DETECTION_ANGLE] * 4, abs=ROUNDING)
    far = replace(found, azimuth=found.azimuth + torch.tensor([0.0, 0.5]))
    expected = [DETECTION_ANGLE] * 4
    assert gospa(far, scenes) == pytest.approx(expected, abs=ROUNDING)


def test_a_small_error_counts_as_it_is():
    scenes = draw(size=3, sources=(1, 1), elevation_deg=(0, 0))
    found = the_truth(scenes)
    moved = replace(found, azimuth=found.azimuth + 1e-3)
    assert gospa(moved, scenes) == pytest.approx([1e-3] * 3, abs=ROUNDING)


def test_nothing_against_nothing():
    empty, none = torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool)
    assert gospa_metric(empty, empty, none, empty, empty, none).tolist() == [0, 0]


def test_what_cannot_be_compared(untyped):
    scenes = draw(size=3)
    found = the_truth(scenes)
    with pytest.raises(InputError, match=r"cutoff = 0\.0: allowed is above 0"):
        gospa(found, scenes, cutoff=0.0)
    with untyped(), pytest.raises(InputError, match="true_azimuth has shape"):
        gospa(found, draw(size=2))
