"""What the training loop counts and reports."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ris_pipeline.watch.diagnostics import GroupNorm


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean losses, the unweighted terms of both splits, and the state of the optimiser.

    gradient_backbone and gradient_heads are means over the batches; `non_finite` counts gradients
    left out of them, `skipped_steps` the steps not taken because of one.
    """

    epoch: int
    train: float
    validation: float
    terms: dict[str, float]
    validation_terms: dict[str, float]
    rates: list[float]
    gradient_backbone: float
    gradient_heads: float
    non_finite: int
    skipped_steps: int
    step: int
    phase: str


@dataclass
class Counters:
    """How far a run has come; part of every checkpoint."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    swa_epochs: int = 0
    best: float = math.inf
    best_epoch: int = 0
    history: list[EpochRecord] = field(default_factory=list)


@dataclass(frozen=True)
class Unread:
    """What a replayed batch (from 1) says on the device, and nobody has waited for yet.

    figures: whether the network's output is finite, norms of the backbone's gradients, so many, and
    of the heads'.
    """

    batch: int
    figures: Tensor
    backbone: int


@dataclass
class EpochSums:
    """What is averaged over the batches of one epoch, beside the loss."""

    terms: Tensor | None = None
    backbone: float = 0.0
    heads: float = 0.0
    non_finite: int = 0
    skipped: int = 0
    unread: list[Unread] = field(default_factory=list)

    def add_norms(self, backbone: GroupNorm, heads: GroupNorm) -> None:
        """Those of a batch."""
        self.backbone += backbone.norm
        self.heads += heads.norm
        self.non_finite += backbone.left_out + heads.left_out


def add_terms(sums: Tensor | None, terms: Iterable[Tensor], share: float = 1.0) -> Tensor:
    """Running sums (m,) of m detached values, in double precision and on their device: a number
    that is only summed need not leave it."""
    values = share * torch.stack([term.detach().double() for term in terms])
    return values if sums is None else sums + values
