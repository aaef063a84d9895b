"""One optimiser under watch, as its observers share it."""

from dataclasses import dataclass, field
from itertools import zip_longest

from torch import Tensor
from torch.optim import Optimizer

from ris_pipeline.watch._seen import Block

State = tuple[tuple[int, int], ...]
"""Identity and version of each gradient: clipping and unscaling count versions up."""


@dataclass
class Held:
    """One optimiser: its parameters, and what happened since its last step or epoch.

    reached: a backward pass brought gradients since the last step; fresh: the one under way did;
    used: there was a step since the last backward pass; empty: it found no gradient; clean: None
    until the first backward pass after a step was looked at, then whether it found no gradients
    left; group: the blocks of the backward passes of this step; norm, left: size and
    state of the gradients when the last backward pass ended; witness: a small parameter that stands
    for all; spent: its gradient when it was used, until the block ends; taken: the same, until the
    next step; fed: a step of this epoch found gradients; carried: the last block before this epoch,
    where its gradients are unused; sizes: blocks in each step, other than those of two epochs.
    """

    optimiser: Optimizer
    label: str
    steps: int = 0
    epoch_steps: int = 0
    epochs_without: int = 0
    pending: int = 0
    epoch_backwards: int = 0
    reached: bool = False
    fresh: bool = False
    used: bool = False
    empty: bool = False
    clean: bool | None = None
    repeats: int = 0
    group: list[Block] = field(default_factory=list)
    norm: float | None = None
    left: State = ()
    witness: Tensor | None = None
    spent: tuple[Tensor, int] | None = None
    taken: tuple[Tensor, int] | None = None
    fed: bool = False
    carried: int = 0
    sizes: set[int] = field(default_factory=set)
    before: Tensor | None = None
    clips: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    fastest: float = 0.0
    rates: list[list[float]] = field(default_factory=list)

    @property
    def parameters(self) -> list[Tensor]:
        """Of all its groups as they are now: one may be added."""
        return [p for group in self.optimiser.param_groups for p in group["params"]]

    def state(self) -> State:
        """Which gradients there are now, and how often each was changed in place."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        return tuple((id(gradient), gradient._version) for gradient in gradients)

    @property
    def group_rates(self) -> list[tuple[float, ...]]:
        """The rates at the steps of this epoch, group by group; 0 before a group was added."""
        return list(zip_longest(*self.rates, fillvalue=0.0))
