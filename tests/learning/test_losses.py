"""Every loss term: zero at the truth, a live gradient elsewhere, blind to the order of sources."""

import dataclasses
import math

import pytest
import torch

from ris_pipeline.config import LossConfig, LossWeights, Scenario
from ris_pipeline.learning.features import make_truth, sector_grid
from ris_pipeline.learning.losses import (
    TERMS,
    Prediction,
    Truth,
    huber,
    loss_terms,
    match_slots,
    total_loss,
    wrap_angle,
)
from ris_pipeline.scene import ideal_panel, simulate
from ris_pipeline.spectral import LowRankCovariance, signal_subspace

SCENARIO = Scenario(panel=(5, 4), antennas=4, codes=6, sources=(1, 3))
CONFIG = LossConfig()
WEIGHTS = LossWeights(**dict.fromkeys(LossWeights.model_fields, 1.0))


@pytest.fixture
def truth() -> Truth:
    scenes = simulate(SCENARIO, 0, torch.arange(6), torch.float64)
    return make_truth(scenes, sector_grid(SCENARIO, ideal_panel(SCENARIO, torch.float64), (7, 5)))


def perfect(truth: Truth) -> Prediction:
    """The truth as a prediction: orthogonal factors, empty slots repeating the first source."""
    values = truth.covariance.eigenvalues()[:, :3]
    factor = signal_subspace(truth.covariance, 3) * values.sqrt()[:, None]
    first = [x[:, :1] for x in (truth.azimuth, truth.elevation, truth.distance)]
    slots = [
        torch.where(truth.active, x, one)
        for x, one in zip((truth.azimuth, truth.elevation, truth.distance), first, strict=True)
    ]
    covariance = LowRankCovariance(factor)
    return Prediction(
        factor, torch.zeros_like(factor), slots[0], slots[1], slots[2].log(), covariance, covariance
    )


def generic(truth: Truth) -> Prediction:
    """A prediction that is wrong in every way, with leaves that require gradients."""
    generator = torch.Generator().manual_seed(3)
    size, n = truth.steering.shape[:2]

    def draw(*shape: int, dtype=torch.float64) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()

    angle, span = (draw(size, n, 3, dtype=torch.complex128) for _ in range(2))
    covariance = LowRankCovariance(torch.cat((angle, span), dim=-1))
    return Prediction(
        angle, span, draw(size, 3), draw(size, 3), draw(size, 3), covariance, covariance
    )


@pytest.mark.parametrize("name", TERMS)
def test_zero_at_the_truth(name: str, truth: Truth) -> None:
    value = TERMS[name](perfect(truth), truth, CONFIG).item()
    # Rounding of a chain over n = 20 elements, squared norms of order n^2.
    assert abs(value) < 1e3 * torch.finfo(torch.float64).eps * 20**2


@pytest.mark.parametrize("name", TERMS)
def test_a_live_gradient_elsewhere(name: str, truth: Truth) -> None:
    prediction = generic(truth)
    value = TERMS[name](prediction, truth, CONFIG)
    assert value.item() > 0
    value.backward()
    leaves = (
        prediction.angle_factor,
        prediction.range_factor,
        prediction.azimuth,
        prediction.elevation,
        prediction.log_distance,
    )
    grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert sum(grad.abs().sum() for grad in grads) > 0


@pytest.mark.parametrize("name", TERMS)
def test_the_order_of_slots_does_not_matter(name: str, truth: Truth) -> None:
    prediction = generic(truth)
    order = torch.tensor([2, 0, 1])
    turned = dataclasses.replace(
        prediction,
        azimuth=prediction.azimuth[:, order],
        elevation=prediction.elevation[:, order],
        log_distance=prediction.log_distance[:, order],
    )
    first, second = (TERMS[name](p, truth, CONFIG) for p in (prediction, turned))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", TERMS)
def test_a_weight_of_zero_switches_a_term_off(name: str, truth: Truth) -> None:
    weights = WEIGHTS.replace(**{name: 0.0})
    assert loss_terms(generic(truth), truth, CONFIG, weights).keys() == TERMS.keys() - {name}


def test_the_total_is_the_weighted_sum(truth: Truth) -> None:
    weights = LossWeights()
    terms = loss_terms(generic(truth), truth, CONFIG)
    expected = sum(getattr(weights, name) * term for name, term in terms.items())
    torch.testing.assert_close(total_loss(terms, weights), expected)


def test_weights_and_terms_have_the_same_names() -> None:
    assert TERMS.keys() == LossWeights.model_fields.keys()


def test_angles_wrap() -> None:
    turns = torch.tensor([0.1, 0.1 + 2 * math.pi, 0.1 - 2 * math.pi], dtype=torch.float64)
    torch.testing.assert_close(wrap_angle(turns), torch.full_like(turns, 0.1))


def test_huber_is_quadratic_then_linear() -> None:
    errors = torch.tensor([0.0, 0.5, 1.0, 3.0]) * 0.2
    torch.testing.assert_close(huber(errors, 0.2), torch.tensor([0.0, 0.125, 0.5, 2.5]))


def test_slots_are_matched_by_the_least_total_cost() -> None:
    cost = torch.tensor([[[1.0, 2.0, 9.0], [0.5, 3.0, 9.0]]])
    both, first = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    assert match_slots(cost, both).tolist() == [[1, 0]]
    assert match_slots(cost, first)[0, 0] == 0
