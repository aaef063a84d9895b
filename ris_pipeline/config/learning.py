"""What is learned and how: network, loss, training; and everything that defines a run."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ris_pipeline.config._base import (
    Count,
    Fraction,
    Frozen,
    Integer,
    NonNegative,
    Positive,
    Real,
    Switch,
)
from ris_pipeline.config.scenario import Scenario


class ModelConfig(Frozen):
    """Shape of the covariance network."""

    stages: Count = 3
    """Unrolled stages: each later one sees what the data say of the answer before it."""
    width: Count = 48
    conv_blocks: Count = 2
    cells: tuple[Count, Count] = (16, 10)
    """Direction cells over the sector, along azimuth then elevation: three a beamwidth."""
    depths: Count = 4
    """Distances at which the filter is shown, and that an answer mixes."""
    atoms: Count = 16
    """Steering vectors of the predicted covariance, and so its rank."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        most = self.cells[0] * self.cells[1]
        if self.atoms > most:
            raise ValueError(f"atoms = {self.atoms}: allowed are at most the {most} cells")
        return self


class LossWeights(Frozen):
    """Weight of each loss term; zero switches a term off."""

    nmse: NonNegative = 1.0
    stages: NonNegative = 0.5
    cells: NonNegative = 0.1
    eigengap: NonNegative = 0.02
    subspace_margin: NonNegative = 0.02
    angle: NonNegative = 0.05
    distance: NonNegative = 0.01
    chamfer: NonNegative = 0.05
    alignment: NonNegative = 0.05
    peak_contrast: NonNegative = 0.02

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(dict(self).values()):
            raise ValueError("every weight is 0: allowed is at least one that is positive")
        return self


class LossConfig(Frozen):
    """Weights and shape parameters of the loss."""

    weights: LossWeights = LossWeights()
    scales: dict[str, Positive] | None = None
    """Value of each term for the best answer that ignores the data; absent: measured at the start
    of training."""
    diagonal_weight: NonNegative = 1.0
    off_diagonal_weight: NonNegative = 1.0
    gap_fraction: Annotated[Real, Field(gt=0, le=1)] = 0.5
    """Eigengap margin, as a fraction of the true covariance's own gap."""
    power_margin: Fraction = 0.95
    """Fraction of the trace that the K leading eigenvalues should hold."""
    huber_angle_deg: Positive = 15.0
    huber_log_distance: Positive = 0.3

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scales is not None and self.scales.keys() != LossWeights.model_fields.keys():
            raise ValueError(
                f"scales names {', '.join(self.scales)}: allowed are "
                f"{', '.join(LossWeights.model_fields)}"
            )
        return self


Phase = Literal["geometry", "joint", "refine"]


class CurriculumPhase(Frozen):
    """A span of training in which some weights are multiplied."""

    name: Phase
    until: Annotated[Real, Field(gt=0, le=1)]
    """Fraction of the epochs at which the phase ends."""
    scale: dict[str, NonNegative] = Field(default_factory=dict)
    """Multipliers of the loss weights, by term; a term not named keeps its weight."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for term in self.scale:
            if term not in LossWeights.model_fields:
                raise ValueError(
                    f"scale names {term!r}: allowed are {', '.join(LossWeights.model_fields)}"
                )
        return self


class Training(Frozen):
    """Optimiser, schedule and data volume."""

    epochs: Count = 30
    batches: Count = 60
    """Batches of an epoch; every epoch draws new scenes unless `fixed_scenes`."""
    batch_size: Count = 128
    validation_scenes: Count = 1024
    fixed_scenes: Switch = False
    """Show the same scenes in every epoch (the overfit test)."""
    scene_folder: str | None = None
    """Folder of training scenes that `ris-pipeline simulate` wrote, shown in random order again and
    again; absent: new scenes."""
    accumulation: Count = 1
    lr_backbone: Positive = 2e-4
    lr_heads: Positive = 8e-4
    weight_decay: NonNegative = 1e-4
    clip_norm: Positive = 1.0
    warmup: Annotated[Real, Field(ge=0, lt=1)] = 0.1
    """Fraction of the optimiser steps over which the rates rise linearly."""
    ema_decay: Annotated[Real, Field(ge=0, lt=1)] = 0.999
    swa_fraction: Annotated[Real, Field(ge=0, lt=1)] = 0.2
    """Last fraction of the epochs whose weights are averaged."""
    patience: Count | None = None
    """Epochs without a better validation loss before training stops; absent means never."""
    curriculum: tuple[CurriculumPhase, ...] = ()
    precision: Literal["32-true", "64-true", "16-mixed", "bf16-mixed"] = "32-true"

    @model_validator(mode="after")
    def _check(self) -> Self:
        ends = [phase.until for phase in self.curriculum]
        if ends and (ends != sorted(set(ends)) or ends[-1] != 1.0):
            raise ValueError(f"curriculum ends at {ends}: allowed are rising values, the last 1.0")
        if self.fixed_scenes and self.scene_folder is not None:
            raise ValueError("fixed_scenes and scene_folder: allowed is one of them")
        return self


class Settings(Frozen):
    """Everything that defines a run."""

    seed: Annotated[Integer, Field(ge=0, lt=2**31)] = 0
    scenario: Scenario = Scenario()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: Training = Training()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.atoms < self.scenario.sources[1]:
            raise ValueError(
                f"model.atoms = {self.model.atoms}: allowed is at least "
                f"scenario.sources = {self.scenario.sources[1]}"
            )
        for phase in self.training.curriculum:
            left = [w * phase.scale.get(n, 1.0) for n, w in self.loss.weights]
            if not any(left):
                raise ValueError(
                    f"training.curriculum: every weight is 0 in {phase.name}: allowed is at least "
                    "one that is positive"
                )
        return self
