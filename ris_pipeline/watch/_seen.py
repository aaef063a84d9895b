"""What the observers share: the block under way, evidence in a row, small samples of tensors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

EVIDENCE = 5
"""Times in a row that a condition must hold. The conditions are exact (a bit, an order of calls),
so one is no chance; five pass over a start that is not like the rest: a first step at rate zero, a
gate that is zero by design, a scale that is being found."""

LOOKS = 8
"""The same for conditions on directions and sizes, which a start may fulfil for a moment."""

MOVED = 1e-4
"""Relative change of the weights in an epoch from which a loss, or an average of them, cannot stay
the same to the last bit: a thousand times the rounding of float32."""

Tell = Callable[[str, str], None]
"""`tell(name, seen)` raises an alarm."""


@dataclass
class Block:
    """One `with watch.step(...)`: what was given, and what happened inside, in order.

    terms: scalars by name, the loss alone under `loss`; weights: None where none were given;
    values: copies of the terms; total: a copy of the loss; divisor: what the loss was divided by
    where it was formed; rows: samples of the batch; events: "backward" and "step"; arrived: the
    gradients that came to each term; followed: the terms that have a graph.
    """

    number: int
    looked: bool
    terms: Mapping[str, Tensor]
    weights: Mapping[str, float] | None
    values: Mapping[str, Tensor]
    total: Tensor
    loss: Tensor | None = None
    divisor: float = 1.0
    rows: int | None = None
    events: list[str] = field(default_factory=list)
    arrived: dict[str, list[Tensor]] = field(default_factory=dict)
    handles: list[Any] = field(default_factory=list)
    followed: frozenset[str] = frozenset()

    @property
    def backwards(self) -> int:
        """Backward passes inside the block."""
        return self.events.count("backward")

    def let_go(self) -> None:
        """Keep the figures only: a term holds the whole graph of its batch."""
        for handle in self.handles:
            handle.remove()
        self.handles, self.terms, self.loss = [], {}, None

    def weight(self, name: str) -> float:
        """The stated weight of a term, 1 where none is stated."""
        return 1.0 if self.weights is None else float(self.weights.get(name, 1.0))

    def scales(self) -> list[float]:
        """What each term was multiplied by on its way, beside its weight; reads the device."""
        if LOSS in self.arrived:
            return [g.item() / self.divisor for g in self.arrived[LOSS]]
        pairs = [(g, self.weight(name)) for name, all_ in self.arrived.items() for g in all_]
        return [g.item() / weight for g, weight in pairs if weight]


LOSS = "loss"
"""The name of the loss itself among the terms."""


class NoGradientError(Exception):
    """The gradient cannot be asked for before the loop's own backward pass."""


def gradients_at(term: Tensor, places: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient of a scalar at each place, None where it does not depend on it.

    Raises:
        NoGradientError: a graph that allows a single pass, as compiled ones do.
    """
    try:
        with torch.enable_grad():
            return list(
                torch.autograd.grad(term, list(places), retain_graph=True, allow_unused=True)
            )
    except RuntimeError as error:
        raise NoGradientError(" ".join(str(error).split())) from None


class Streaks:
    """Counts how often in a row each condition held."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def held(self, name: str, condition: bool, times: int = EVIDENCE) -> bool:
        """Whether the condition has now held `times` in a row."""
        self._count[name] = self._count.get(name, 0) + 1 if condition else 0
        return self._count[name] >= times


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, Tensor):
        return [value]
    parts: Iterable[Any] = ()
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, entry.name) for entry in fields(value)]
    return [tensor for part in parts for tensor in tensors_in(part)]


def spread(tensor: Tensor, count: int) -> Tensor:
    """Up to `count` entries at places spread evenly over the tensor, as a detached copy."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() <= count:
        return flat.clone()
    places = torch.linspace(0, flat.numel() - 1, count, dtype=torch.float64, device=flat.device)
    return flat[places.long()]


def samples_of(named: Mapping[str, Tensor], count: int = 256) -> dict[str, Tensor]:
    """A sample of each tensor, in double precision on the CPU."""
    real = (torch.view_as_real(t.detach()) if t.is_complex() else t for t in named.values())
    parts = [spread(t, count).double() for t in real]
    if not parts:
        return {}
    # One copy for all of them: each would wait for the device.
    whole = torch.cat([part.to(parts[0].device) for part in parts]).cpu()
    return dict(zip(named, whole.split([part.numel() for part in parts]), strict=True))


def sample_of(tensors: Iterable[Tensor], count: int = 256) -> Tensor:
    """Samples of all the tensors, end to end."""
    samples = samples_of({str(place): tensor for place, tensor in enumerate(tensors)}, count)
    return torch.cat([torch.zeros(0, dtype=torch.float64), *samples.values()])


def listed(names: Iterable[str], most: int = 3) -> str:
    """`a, b, c and 4 more`"""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def distributed() -> bool:
    """Whether other processes train with this one."""
    module = torch.distributed
    ready = module.is_available() and module.is_initialized()
    return ready and module.get_world_size() > 1
