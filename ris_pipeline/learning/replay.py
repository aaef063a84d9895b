"""A training batch as one function of its scenes, which a GPU replays as a whole (`_replay.py`).

    gradient = d (scale total) / d parameters,   total = sum weight term / sum weight

It is recorded once for each phase of the curriculum. No hook is called at a replay, nothing is read
and nothing is checked: what somebody wants to know comes out as numbers.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ris_pipeline._replay import Recordings
from ris_pipeline.config import LossWeights, Settings
from ris_pipeline.learning.atoms import Atoms, make_prediction, output_is_finite
from ris_pipeline.learning.features import Features, Interference, make_features, make_truth
from ris_pipeline.learning.losses import loss_terms, total_loss
from ris_pipeline.learning.sector import Sector
from ris_pipeline.scene import SceneBatch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOSS = "loss"
"""The name of the total among the terms, as the watch has it."""


@dataclass(frozen=True)
class Learned:
    """What a batch teaches.

    figures: (2 m + 1,) float64, the m values `names` (loss and terms), the gradient that came to
    each, and 1 if the network's output is finite; arrived: whether any came; gradients: of the
    parameters `reached`.
    """

    figures: Tensor
    names: tuple[str, ...]
    arrived: tuple[bool, ...]
    gradients: tuple[Tensor, ...]
    reached: tuple[nn.Parameter, ...]

    def read(self) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Values and what came to them by name, and whether the output is finite, (1,): copies on
        the device that no replay overwrites."""
        count, figures = len(self.names), self.figures.clone()
        values, came, finite = figures.split((count, count, 1))
        pairs = zip(self.names, came.unbind(), self.arrived, strict=True)
        return (
            dict(zip(self.names, values.unbind(), strict=True)),
            {name: gradient for name, gradient, there in pairs if there},
            finite,
        )


def make_recordings(fabric: "Fabric") -> Recordings | None:
    """Recordings for a run on one GPU, None elsewhere: what other processes do at the same time
    may break a recording off."""
    alone = fabric.device.type == "cuda" and fabric.world_size == 1
    return Recordings() if alone else None


def is_recordable(settings: Settings) -> bool:
    """Whether `learn` is, beside the scenes themselves.

    Not in mixed precision; not where L M < N, as what codes have in common is then read off them in
    every batch; and not where a gradient goes through a decomposition, which only the host can
    follow: over several blocks, through their principal snapshot, and where the covariance has as
    many atoms as the panel has elements.
    """
    scenario, training = settings.scenario, settings.training
    whole = scenario.codes * scenario.antennas >= scenario.elements
    followed = scenario.blocks > 1 or settings.model.atoms >= scenario.elements
    return training.precision in ("32-true", "64-true") and whole and not followed


def learn(
    believe: Callable[[Features], list[Atoms]],
    parameters: Iterable[nn.Parameter],
    scenes: SceneBatch,
    known: Interference,
    sector: Sector,
    settings: Settings,
    weights: LossWeights,
    scale: float,
) -> Learned:
    """The terms of a batch, and the gradients of `scale` times their total.

    Args:
        believe: the network.
        parameters: its own; gradients are of those that require one.
        known: of the codes of the batch.

    Raises:
        InputError: as `loss_terms`.
    """
    believed = believe(make_features(scenes, sector, known))
    prediction = make_prediction(believed, settings.scenario.sources[1])
    terms = loss_terms(prediction, make_truth(scenes, sector), settings.loss, weights)
    named = {LOSS: total_loss(terms, weights), **terms}
    trained = [p for p in parameters if p.requires_grad]
    places = [*named.values(), *trained]
    found = torch.autograd.grad(scale * named[LOSS], places, allow_unused=True)
    came, gradients = found[: len(named)], found[len(named) :]
    zero = torch.zeros_like(named[LOSS])
    finite = output_is_finite(believed[-1])
    figures = *named.values(), *(zero if one is None else one for one in came), finite
    pairs = [(g, p) for g, p in zip(gradients, trained, strict=True) if g is not None]
    return Learned(
        torch.stack([figure.detach().double() for figure in figures]),
        tuple(named),
        tuple(one is not None for one in came),
        tuple(_laid_out(gradient, parameter) for gradient, parameter in pairs),
        tuple(parameter for _, parameter in pairs),
    )


def _laid_out(gradient: Tensor, parameter: Tensor) -> Tensor:
    """In the memory layout of the parameter, as a backward pass leaves it: a fused optimiser takes
    no other."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter, requires_grad=False).copy_(gradient)


@torch.no_grad()
def add_gradients(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
    """`grad += gradient`, of copies: a replay overwrites its results."""
    pairs = list(zip(parameters, gradients, strict=True))
    fresh = [pair for pair in pairs if pair[0].grad is None]
    held = [(p.grad, gradient) for p, gradient in pairs if p.grad is not None]
    if held:
        torch._foreach_add_([grad for grad, _ in held], [gradient for _, gradient in held])
    if fresh:
        copies = torch._foreach_mul([gradient for _, gradient in fresh], 1.0)
        for (parameter, _), copy in zip(fresh, copies, strict=True):
            parameter.grad = copy


def norms_of(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """The 2-norm of each gradient there is, in double precision, on the device."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return list(torch._foreach_norm(gradients, 2, torch.float64)) if gradients else []
