"""Law: every loss term is in its range, zero at the truth, blind to order, and alive."""

import math
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.config import LossConfig
from ris_pipeline.learning.losses import TERMS, Prediction, Truth
from ris_pipeline.spectral import LowRankCovariance
from ris_pipeline.verification.bounds import term_bound, turn_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies.predictions import (
    SLOTS,
    leaves,
    perfect_prediction,
    predictions,
    truths,
)
from ris_pipeline.verification.target import TARGET, under_test

CONFIG = LossConfig()
UPPER = dict.fromkeys((term.__name__ for term in TERMS.values()), math.inf) | {
    "eigengap_term": CONFIG.gap_fraction,
    "subspace_margin": CONFIG.power_margin,
    "alignment": 1.0,
}
"""The largest value that each term can take."""


SLOTTED = ("angle_loss", "distance_loss", "chamfer")
"""The terms that compare slots with sources."""


slot_orders = st.permutations(range(SLOTS))
N = 9
"""Elements of the panel that `truths` uses."""


Values = dict[str, float]


def _value(name: str, prediction: Prediction, truth: Truth) -> float:
    return float(getattr(TARGET, name)(prediction, truth, CONFIG).item())


def _values(prediction: Prediction, truth: Truth, names: tuple[str, ...] = tuple(UPPER)) -> Values:
    """Every term under test."""
    return {name: _value(name, prediction, truth) for name in under_test(names)}


def _assert_same(values: Values, expected: Values, more: float = 0.0) -> None:
    bounds = [term_bound(N, SLOTS, value) + more for value in expected.values()]
    assert_within("terms", list(values.values()), list(expected.values()), bounds)


@given(truths(), st.data())
def test_a_term_is_in_its_range(truth: Truth, data) -> None:
    prediction = data.draw(predictions(truth))
    for name, value in _values(prediction, truth).items():
        upper = UPPER[name] + term_bound(N, SLOTS)
        assert_true(f"0 <= {name} <= {UPPER[name]}", 0 <= value <= upper, value)


@given(truths())
def test_a_term_is_zero_at_the_truth(truth: Truth) -> None:
    values = _values(perfect_prediction(truth), truth)
    zeros, bound = [0.0] * len(values), term_bound(N, SLOTS)
    # Ours cancel to the last bits where a truth is its own prediction; others need not.
    assert_within("terms", list(values.values()), zeros, bound, recorded=False)


@given(truths(), st.data(), slot_orders)
def test_the_order_of_the_slots_does_not_matter(truth: Truth, data, order) -> None:
    prediction = data.draw(predictions(truth))
    turned = replace(
        prediction,
        azimuth=prediction.azimuth[:, order],
        elevation=prediction.elevation[:, order],
        log_distance=prediction.log_distance[:, order],
    )
    _assert_same(_values(turned, truth, SLOTTED), _values(prediction, truth, SLOTTED))


@given(truths(), st.data())
def test_the_order_of_the_sources_does_not_matter(truth: Truth, data) -> None:
    prediction = data.draw(predictions(truth))
    slots = torch.arange(truth.azimuth.shape[1])
    # The real sources stand first: turn them end for end and leave the rest.
    order = torch.where(truth.active, truth.count[:, None] - 1 - slots, slots)

    def turn(value: torch.Tensor) -> torch.Tensor:
        return value.gather(-1, order if value.ndim == 2 else order[:, None].expand(value.shape))

    turned = replace(
        truth,
        covariance=LowRankCovariance(turn(truth.covariance.factor)),
        steering=turn(truth.steering),
        azimuth=turn(truth.azimuth),
        elevation=turn(truth.elevation),
        distance=turn(truth.distance),
    )
    _assert_same(_values(prediction, turned), _values(prediction, truth))


@given(truths(), st.data(), st.sampled_from((1, -1, 2, -3)))
def test_a_full_turn_changes_nothing(truth: Truth, data, turns: int) -> None:
    prediction = data.draw(predictions(truth))
    turned = replace(
        prediction,
        azimuth=prediction.azimuth + 2 * math.pi * turns,
        elevation=prediction.elevation - 2 * math.pi * turns,
    )
    turn = turn_bound(turns, math.radians(CONFIG.huber_angle_deg))
    _assert_same(_values(turned, truth, SLOTTED), _values(prediction, truth, SLOTTED), turn)


@given(truths(), st.data())
def test_a_positive_term_has_a_live_and_finite_gradient(truth: Truth, data) -> None:
    for name in under_test(tuple(UPPER)):
        _assert_alive(name, data.draw(predictions(truth)), truth)


def _assert_alive(name: str, prediction: Prediction, truth: Truth) -> None:
    value = getattr(TARGET, name)(prediction, truth, CONFIG)
    assert value.requires_grad, f"{name} is detached"
    value.backward()
    grads = [leaf.grad for leaf in leaves(prediction)]
    size = sum(float(grad.abs().sum()) for grad in grads if grad is not None)
    assert_true(f"|grad {name}| is finite", math.isfinite(size), size)
    assert_true(f"|grad {name}| > 0 where {name} > 0", size > 0 or value.item() == 0, size)


@given(truths(), st.data())
def test_every_stage_counts(truth: Truth, data) -> None:
    prediction = data.draw(predictions(truth))
    if under_test(("stages_nmse",)):
        TARGET.stages_nmse(prediction, truth, CONFIG).backward()
        sizes = [float(stage.factor.grad.abs().sum()) for stage in prediction.stages]
        assert_true("|grad| of every stage > 0", min(sizes) > 0, sizes)


@given(truths(), st.data())
def test_another_stage_of_the_same_belief_costs_no_more(truth: Truth, data) -> None:
    prediction = data.draw(predictions(truth))
    twice = replace(prediction, stages=prediction.stages * 2)
    value = _value("stages_nmse", prediction, truth)
    assert_within(
        "stages_nmse", _value("stages_nmse", twice, truth), value, term_bound(N, SLOTS, value)
    )


@given(truths(), st.data())
def test_a_batch_costs_the_mean_of_its_scenes(truth: Truth, data) -> None:
    prediction = data.draw(predictions(truth))
    scenes = range(truth.count.shape[0])
    alone = [_values(_scene(prediction, i), _scene(truth, i)) for i in scenes]
    expected = {name: float(np.mean([one[name] for one in alone])) for name in alone[0]}
    _assert_same(_values(prediction, truth), expected)


def _scene(batch, index: int):
    """Scene `index` as a batch of one."""

    def one(value):
        if isinstance(value, LowRankCovariance):
            return LowRankCovariance(value.factor[index : index + 1])
        if isinstance(value, tuple):
            return tuple(map(one, value))
        return value[index : index + 1]

    fields = {name: one(value) for name, value in vars(batch).items() if name != "grid"}
    return replace(batch, **fields)
