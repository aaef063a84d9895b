"""The problems that are timed: random covariances and predictions at the reference preset."""

import dataclasses

import torch
from torch import Tensor

from ris_pipeline.config import Settings, load_settings
from ris_pipeline.learning import make_truth
from ris_pipeline.learning.features import sector_grid
from ris_pipeline.learning.losses import Prediction, Truth, loss_terms, total_loss
from ris_pipeline.scene import ideal_panel, simulate
from ris_pipeline.spectral import LowRankCovariance, prepare_covariance

BETA, SNAPSHOTS = 0.3, 16
"""Share of the sample covariance; its T = 16 snapshots and 2 x 5 predicted columns make q = 26."""


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
    sample: LowRankCovariance
    snr_db: Tensor

    def prediction(self) -> Prediction:
        """With the covariance as inference prepares it, from fresh leaves."""
        angle, span, azimuth, elevation, distance = self.outputs
        weight = self.settings.model.range_weight**0.5
        covariance = LowRankCovariance(torch.cat((angle, weight * span), dim=-1))
        prepared = prepare_covariance(covariance, self.sample, BETA, self.snr_db)
        return Prediction(angle, span, azimuth, elevation, distance, covariance, prepared)

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
    scenario, model = settings.scenario, settings.model
    scenes = simulate(scenario, 0, torch.arange(batch))
    truth = make_truth(scenes, sector_grid(scenario, ideal_panel(scenario), model.angle_grid))
    n = scenario.elements
    factors = [complex_normal(batch, n, r, seed=r) for r in (model.angle_rank, model.range_rank)]
    generator = torch.Generator().manual_seed(3)
    slots = [torch.randn(batch, model.slots, generator=generator) for _ in range(3)]
    outputs = tuple(x.requires_grad_() for x in (*factors, *slots))
    sample = LowRankCovariance(complex_normal(batch, n, SNAPSHOTS, seed=4))
    return LossProblem(settings, truth, outputs, sample, scenes.snr_db)
