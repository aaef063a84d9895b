"""Every loss term: zero at the truth, a live gradient elsewhere, blind to the order of sources."""

import dataclasses
import math

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.config import LossConfig, LossWeights, ModelConfig, Scenario
from ris_pipeline.learning.features import make_truth
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
from ris_pipeline.learning.sector import make_sector
from ris_pipeline.scene import simulate
from ris_pipeline.spectral import LowRankCovariance, normalize_trace

SCENARIO = Scenario(panel=(5, 4), antennas=4, codes=6, sources=(1, 3))
WEIGHTS = LossWeights(**dict.fromkeys(LossWeights.model_fields, 1.0))
SCALES = {name: 1.0 + i for i, name in enumerate(LossWeights.model_fields)}
CONFIG = LossConfig(scales=SCALES)


@pytest.fixture
def truth() -> Truth:
    scenes = simulate(SCENARIO, 0, torch.arange(6), torch.float64)
    model = ModelConfig(cells=(7, 5), depths=2, atoms=6)
    return make_truth(scenes, make_sector(SCENARIO, model, torch.float64))


def perfect(truth: Truth) -> Prediction:
    """The truth as a prediction: an atom a source, empty slots repeating the first one."""
    azimuth, elevation, distance = (
        torch.where(truth.active, x, x[:, :1])
        for x in (truth.azimuth, truth.elevation, truth.distance)
    )
    power = truth.covariance.factor.abs().square().sum(1)
    return Prediction(
        (truth.covariance,),
        truth.cells.clamp_min(1e-300).log(),
        power / power.sum(1, keepdim=True),
        azimuth,
        elevation,
        azimuth,
        elevation,
        distance.log(),
    )


def generic(truth: Truth) -> Prediction:
    """A prediction that is wrong in every way, with leaves that require gradients."""
    generator = torch.Generator().manual_seed(3)
    size, n = truth.steering.shape[:2]

    def draw(*shape: int, dtype=torch.float64) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, generator=generator)

    covariance = normalize_trace(LowRankCovariance(draw(size, n, 6, dtype=torch.complex128)))
    stage = LowRankCovariance(covariance.factor.requires_grad_())
    values = (
        draw(size, truth.cells.shape[1]).log_softmax(1),
        draw(size, 6).softmax(1),
        *(draw(size, count) for count in (6, 6, 3, 3, 3)),
    )
    return Prediction((stage, stage), *(x.requires_grad_() for x in values))


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
    named = {key: x for key, x in vars(prediction).items() if key != "stages"}
    leaves = [prediction.covariance.factor, *named.values()]
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


def test_the_total_is_the_weighted_mean_in_units_of_the_scales(truth: Truth) -> None:
    weights, prediction = LossWeights(), generic(truth)
    terms = loss_terms(prediction, truth, CONFIG)
    for name, term in terms.items():
        raw = TERMS[name](prediction, truth, CONFIG)
        torch.testing.assert_close(term * SCALES[name], raw)
    expected = sum(getattr(weights, name) * term for name, term in terms.items())
    expected = expected / sum(weights.model_dump().values())
    torch.testing.assert_close(total_loss(terms, weights), expected)
    ones = {name: torch.ones(()) for name in terms}
    assert total_loss(ones, weights).item() == pytest.approx(1.0)


def test_a_loss_without_units_or_without_gradient_is_refused(
    truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"^loss\.scales is absent: allowed is what"):
        loss_terms(generic(truth), truth, LossConfig())
    monkeypatch.setitem(TERMS, "angle", lambda *_: torch.zeros(()))
    with pytest.raises(InputError, match="term angle has no gradient"):
        loss_terms(generic(truth), truth, CONFIG)


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
