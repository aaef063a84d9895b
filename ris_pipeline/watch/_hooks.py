"""Hooks that a copy of the model leaves behind, and that a compiler does not see."""

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ris_pipeline._errors import InputError
from ris_pipeline._recorder import recording, rehearsing
from ris_pipeline.watch._seen import LOSS, Block

T = TypeVar("T")

PREFIXES = ("_orig_mod.", "_forward_module.", "module.")
"""What wrappers put before the names of parameters."""


class Hook:
    """Calls a function and returns None, so that nothing is changed.

    A deep copy or a pickle of it does nothing: a copied model is not watched.
    """

    def __init__(self, function: Callable[..., None] | None) -> None:
        self.function = function

    def __call__(self, *arguments: Any, **named: Any) -> None:
        """Call the function, unless a compiler traces the model, or a graph is made of it."""
        if torch.compiler.is_compiling() or recording() or rehearsing():
            return
        if self.function is not None:
            self.function(*arguments, **named)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Hook":
        return Hook(None)

    def __reduce__(self) -> tuple[type["Hook"], tuple[None]]:
        return Hook, (None,)


def after_backward(function: Callable[[], None]) -> None:
    """Call the function when the backward pass under way has ended; only from a tensor's hook."""
    torch.autograd.Variable._execution_engine.queue_callback(function)


def inner(optimiser: Any) -> Optimizer:
    """The optimiser inside the wrappers of Fabric, Lightning and others.

    Raises:
        InputError: no optimiser.
    """
    wrapped = getattr(optimiser, "optimizer", None)
    if isinstance(wrapped, Optimizer):
        return inner(wrapped)
    if not isinstance(optimiser, Optimizer):
        raise InputError(
            f"optimizer is a {type(optimiser).__name__}: allowed is a torch optimiser, or several"
        )
    return optimiser


def short_name(name: str) -> str:
    """A parameter's name without what wrappers put before it."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def parameter_names(model: nn.Module) -> dict[int, str]:
    """Short names by identity."""
    return {id(p): short_name(name) for name, p in model.named_parameters()}


def mode_layers(model: nn.Module) -> list[nn.Module]:
    """The layers that do something else in training than in evaluation, next to trainable ones.

    Those of a frozen part are left out: it may rest in evaluation mode.
    """
    found: dict[int, nn.Module] = {}
    for parent in model.modules():
        if any(p.requires_grad for p in parent.parameters()):
            found |= {id(m): m for m in (parent, *parent.children()) if _depends_on_mode(m)}
    frozen = [m for m in model.modules() if _is_frozen(m)]
    for module in frozen:
        for inside in module.modules():
            found.pop(id(inside), None)
    return list(found.values())


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)


def is_dropout(module: nn.Module) -> bool:
    """Whether it drops entries: nobody rests it alone, as is done with normalization."""
    return isinstance(module, nn.modules.dropout._DropoutNd)


def _depends_on_mode(module: nn.Module) -> bool:
    if is_dropout(module):
        return float(module.p) > 0  # type: ignore[arg-type]
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.track_running_stats
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    return False


def schedulers_of(optimisers: Sequence[Optimizer]) -> list[LRScheduler]:
    """The schedulers in memory that drive these optimisers, found since they left their mark.

    A scheduler inside of another is the other's affair.
    """
    groups = [group for one in optimisers for group in one.param_groups]
    if not any("initial_lr" in group for group in groups):
        return []
    ours = [x for x in _in_memory(LRScheduler) if any(x.optimizer is one for one in optimisers)]
    within = {id(part) for x in ours for part in getattr(x, "_schedulers", ())}
    return [x for x in ours if id(x) not in within]


def scaler_in_memory() -> Any:
    """The one GradScaler that is switched on, None where there are several or none."""
    found = [scaler for scaler in _in_memory(torch.amp.GradScaler) if scaler.is_enabled()]
    return found[0] if len(found) == 1 else None


def _in_memory(kind: type[T]) -> list[T]:
    # By the type alone: asking some objects for their class imports what they stand for.
    return [one for one in gc.get_objects() if kind in type(one).__mro__]


def built_in_divisor(loss: Tensor) -> float:
    """The number of batches that a loss was divided by in the operation that made it, 1 if by none.

    A mean over weights is divided too, by what is seldom a whole number.
    """
    made_by = loss.grad_fn
    if made_by is None or made_by.name() not in ("DivBackward0", "MulBackward0"):
        return 1.0
    constant = getattr(made_by, "_saved_other", None)
    if not isinstance(constant, Tensor) or constant.ndim or constant.requires_grad:
        return 1.0
    value = float(constant)
    if made_by.name() == "MulBackward0":
        value = 1 / value if value else 1.0
    whole = round(value) if math.isfinite(value) else 0
    return float(whole) if whole > 1 and abs(value / whole - 1) < 1e-6 else 1.0


def check_terms(terms: Any) -> tuple[dict[str, Tensor], Tensor | None]:
    """Terms as a dictionary of scalars, and the loss where it is among them or alone.

    Raises:
        InputError: neither.
    """
    held = dict(terms) if isinstance(terms, Mapping) else {LOSS: terms}
    for name, term in held.items():
        if not isinstance(term, Tensor) or term.numel() != 1:
            shape = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
            raise InputError(f"term {name!r} is {shape}: allowed is a tensor with one entry")
    total = next((held[name] for name in (LOSS, "total") if name in held), None)
    if total is not None and len(held) > 1:
        held = {name: term for name, term in held.items() if term is not total}
    return held, total


def make_block(
    number: int,
    looked: bool,
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float] | None,
    loss: Tensor | None,
) -> Block:
    """The block of a batch, with copies of what it was given."""
    # Copies: `loss /= accumulation` would change what was seen.
    values = {name: term.detach().clone() for name, term in terms.items()}
    block = Block(number, looked, terms, weights, values, torch.zeros(()), loss)
    block.followed = frozenset(name for name, term in terms.items() if term.requires_grad)
    if loss is None:
        parts = [block.weight(name) * value for name, value in values.items()]
        block.total = torch.stack([part.reshape(()) for part in parts]).sum()
    else:
        block.total = loss.detach().clone()
        block.divisor = built_in_divisor(loss)
    return block


def as_list(value: Any) -> list[Any]:
    """One, several, or none."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) else [value]


def has_closure(arguments: Any, named: Mapping[str, Any]) -> bool:
    """Whether the gradients come inside a step of these arguments."""
    return named.get("closure", arguments[0] if arguments else None) is not None
