"""A recorder without a GPU: it notes every operation, and repeats them on the same memory.

It refuses what a CUDA graph cannot hold: reading a number, a result whose shape depends on numbers,
and constants that are copied from the host.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ris_pipeline._recorder import recorded_by

Result = TypeVar("Result")

READING = {
    "_local_scalar_dense",
    "equal",
    "is_nonzero",
    "linalg_eig",
    "_linalg_eigh",
    "_linalg_eigvals",
    "_linalg_svd",
    "_linalg_check_errors",
    "masked_select",
    "nonzero",
    "unique_dim",
    "_unique2",
}
"""Operations for which a GPU is waited for."""

FROM_HOST = {"lift_fresh", "lift_fresh_copy"}


def tensors_in(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def check_recordable(name: str, arguments: Any) -> None:
    """Raise `AssertionError` for an operation that a CUDA graph cannot hold."""
    assert name not in READING, f"{name} waits for the device"
    assert name not in FROM_HOST, f"{name}: a constant is copied from the host"
    if name in ("index", "index_put_", "index_put", "_index_put_impl_"):
        asked = tensors_in(arguments[1])
        assert all(index.dtype != torch.bool for index in asked), f"{name} by a mask"


class Tape(TorchDispatchMode):
    """See the head of this file."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[tuple[Callable[..., Any], Any, Any, list[Tensor]] | Callable[[], None]]
        self._notes = []
        self._off = False

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if self._off:
            return result
        check_recordable(function._schema.name.partition("::")[2], args)
        made = tensors_in(result)
        given = {x.untyped_storage().data_ptr() for x in tensors_in((args, kwargs))}
        view = all(x.untyped_storage().data_ptr() in given for x in made)
        if function._schema.is_mutable:
            self._notes.append((function, args, kwargs, []))
        elif not view:
            self._notes.append((function, args, kwargs, made))
        return result

    def record(self, function: Callable[[], Result]) -> Result:
        with self, recorded_by(self):
            return function()

    def on_host(self, routine: Callable[[Tensor], Result], matrices: Tensor) -> Result:
        self._off = True
        result = routine(matrices)
        self._off = False

        def again() -> None:
            for held, new in zip(tensors_in(result), tensors_in(routine(matrices)), strict=True):
                held.copy_(new)

        self._notes.append(again)
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for note in self._notes:
            if callable(note):
                note()
                continue
            function, args, kwargs, held = note
            new = function(*args, **kwargs)
            for old, value in zip(held, tensors_in(new) if held else [], strict=True):
                old.copy_(value)
