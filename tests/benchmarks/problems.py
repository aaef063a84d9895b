"""The problems that are timed: random covariances and predictions at the reference preset."""

import dataclasses

import torch
from torch import Tensor

from ris_pipeline.config import LossWeights, Settings, load_settings
from ris_pipeline.learning import make_sector, make_truth
from ris_pipeline.learning.losses import Prediction, Truth, loss_terms, total_loss
from ris_pipeline.scene import simulate
from ris_pipeline.spectral import LowRankCovariance, normalize_trace

COLUMNS = 26
"""Columns of a predicted covariance."""


def complex_normal(*shape: int, seed: int) -> Tensor:
    """complex64 numbers of unit variance."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex64, generator=generator)


@dataclasses.dataclass(frozen=True)
class LossProblem:
    """A batch whose loss is to be differentiated by what a network would put out."""

    settings: Settings
    truth: Truth
    outputs: tuple[Tensor, ...]

    def prediction(self) -> Prediction:
        """The covariance scaled to its trace, from fresh leaves."""
        factor, logit, power, *angles = self.outputs
        covariance = normalize_trace(LowRankCovariance(factor))
        assert isinstance(covariance, LowRankCovariance)
        return Prediction((covariance,), logit.log_softmax(1), power.softmax(1), *angles)

    def loss(self) -> Tensor:
        """Every term, weighted."""
        config = self.settings.loss
        terms = loss_terms(self.prediction(), self.truth, config)
        return total_loss(terms, config.weights)

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        """By every output."""
        return torch.autograd.grad(loss, self.outputs)


def loss_problem(side: int, batch: int) -> LossProblem:
    """The reference preset on a panel of side x side elements."""
    settings = load_settings("reference", [f"scenario.panel=[{side},{side}]"])
    units = dict.fromkeys(LossWeights.model_fields, 1.0)
    settings = settings.replace(loss=settings.loss.replace(scales=units))
    scenario, model = settings.scenario, settings.model
    scenes = simulate(scenario, 0, torch.arange(batch))
    truth = make_truth(scenes, make_sector(scenario, model))
    factor = complex_normal(batch, scenario.elements, COLUMNS, seed=0)
    generator = torch.Generator().manual_seed(3)
    slots = scenario.sources[1]
    shapes = (truth.cells.shape[1], COLUMNS, COLUMNS, COLUMNS, slots, slots, slots)
    values = [torch.randn(batch, count, generator=generator) for count in shapes]
    outputs = tuple(x.requires_grad_() for x in (factor, *values))
    return LossProblem(settings, truth, outputs)
