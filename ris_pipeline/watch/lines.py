"""The log lines of the watch: which, when, and over which parameters."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from ris_pipeline.watch._hooks import parameter_names
from ris_pipeline.watch.diagnostics import (
    debug_line,
    epoch_line,
    gradient_line,
    gradient_norm,
    optimiser_line,
    step_line,
)
from ris_pipeline.watch.optimiser import Optimisers

__all__ = [
    "LOGGED_BATCHES",
    "debug_line",
    "epoch_line",
    "gradient_lines",
    "step_line",
    "two_groups",
]

LOGGED_BATCHES = 3
"""Batches of a run that have an `[OPT]` line; all but the last of them have a `[GRAD]` line."""

Groups = tuple[list[Tensor], list[Tensor]]


def two_groups(model: nn.Module, optimisers: Sequence[Optimizer]) -> Groups:
    """What the log calls back and head: the first group and the others, else the last layer."""
    groups = [list(group["params"]) for one in optimisers for group in one.param_groups]
    if len(groups) > 1:
        return groups[0], [p for group in groups[1:] for p in group]
    layers = [m for m in model.modules() if any(True for _ in m.parameters(recurse=False))]
    head: list[Tensor] = list(layers[-1].parameters(recurse=False)) if layers else []
    own = {id(p) for p in head}
    return [p for p in groups[0] if id(p) not in own], head


def gradient_lines(
    batch: int, model: nn.Module, groups: Groups, optimisers: Optimisers
) -> Iterator[str]:
    """`[OPT] batch=1 ...` and `[GRAD] ...` of one of the first batches."""
    back, head = (gradient_norm(group) for group in groups)
    rates = [g["lr"] for held in optimisers.held for g in held.optimiser.param_groups]
    yield optimiser_line(batch, back, head, [float(rate) for rate in rates])
    if batch < LOGGED_BATCHES:
        names = parameter_names(model)
        yield gradient_line(
            [names[id(p)] for p in model.parameters() if p.requires_grad and p.grad is None]
        )
