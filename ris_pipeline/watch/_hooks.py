"""Hooks that a copy of the model leaves behind, and that a compiler does not see."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ris_pipeline._errors import InputError

PREFIXES = ("_orig_mod.", "_forward_module.", "module.")
"""What wrappers put before the names of parameters."""


class Hook:
    """Calls a function and returns None, so that nothing is changed.

    A deep copy or a pickle of it does nothing: a copied model is not watched.
    """

    def __init__(self, function: Callable[..., None] | None) -> None:
        self.function = function

    def __call__(self, *arguments: Any, **named: Any) -> None:
        """Call the function, unless a compiler traces the model."""
        if torch.compiler.is_compiling():
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


def parameter_names(model: nn.Module) -> dict[int, str]:
    """Names by identity, without what wrappers put before them."""
    names = {}
    for name, parameter in model.named_parameters():
        short = name
        while short.startswith(PREFIXES):
            short = short.partition(".")[2]
        names[id(parameter)] = short
    return names


def mode_layers(model: nn.Module) -> list[nn.Module]:
    """The layers that do something else in training than in evaluation."""
    return [module for module in model.modules() if _depends_on_mode(module)]


def _depends_on_mode(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.track_running_stats
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    return False


def built_in_divisor(loss: Tensor) -> float:
    """The constant that a loss was divided by in the operation that made it, 1 if by none."""
    made_by = loss.grad_fn
    if made_by is None or made_by.name() not in ("DivBackward0", "MulBackward0"):
        return 1.0
    constant = getattr(made_by, "_saved_other", None)
    if not isinstance(constant, Tensor) or constant.ndim or constant.requires_grad:
        return 1.0
    value = float(constant)
    if made_by.name() == "MulBackward0":
        value = 1 / value if value else 1.0
    return value if value > 1 else 1.0


def check_terms(terms: Any) -> dict[str, Tensor]:
    """Terms as a dictionary of scalars; a tensor alone is the loss.

    Raises:
        InputError: neither.
    """
    if isinstance(terms, Tensor):
        terms = {"loss": terms}
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.numel() != 1:
            shape = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
            raise InputError(f"term {name!r} is {shape}: allowed is a tensor with one entry")
    return dict(terms)


def as_list(value: Any) -> list[Any]:
    """One, several, or none."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) else [value]
