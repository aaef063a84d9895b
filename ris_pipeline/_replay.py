"""Functions of tensors that are recorded once and replayed as a whole.

On a GPU every call costs some 10 microseconds whatever its size; a function of a thousand small
ones pays that once when it is replayed as a CUDA graph (`_recorder.py`, which says what may be
recorded). Recordings are kept by function and by the form of its arguments, whose numbers are
loaded into memory that stays where it is.
"""

from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from threading import RLock
from typing import Any, Generic, TypeVar
from weakref import ref

import torch
from torch import Tensor

from ris_pipeline._recorder import CudaGraphs, Recorder, overwrite

SIZES = (16, 64, 256, 1024, 2048, 4096)
"""Numbers of rows that are recorded for: on a GPU a replay takes as long for one as for some
hundred."""

Result = TypeVar("Result")
Value = TypeVar("Value")


def each_tensor(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """The same value with every tensor in it changed: in dataclasses, tuples, lists and
    dictionaries."""
    if isinstance(value, Tensor):
        return change(value)  # type: ignore[return-value]
    if isinstance(value, tuple | list):
        parts = [each_tensor(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: each_tensor(part, change) for key, part in value.items()}  # type: ignore[return-value]
    if _has_fields(value):
        named = {f.name: each_tensor(getattr(value, f.name), change) for f in fields(value)}  # type: ignore[arg-type]
        return type(value)(**named)
    return value


class Same(Generic[Value]):
    """An argument that is the same object in every call: nothing of it is loaded.

    Held weakly, since it may own the recordings.
    """

    def __init__(self, value: Value) -> None:
        self._reference, self._hash = ref(value), id(value)

    @property
    def value(self) -> Value:
        """The object.

        Raises:
            ReferenceError: it is gone.
        """
        value = self._reference()
        if value is None:
            raise ReferenceError("what is the same in every call is gone")
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other._reference() is self._reference()

    def __hash__(self) -> int:
        return self._hash


def tensors_of(value: Any) -> list[Tensor]:
    """Every tensor in a value, in the order of `each_tensor`."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    each_tensor(value, keep)
    return found


def _has_fields(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _form(value: Any) -> Hashable:
    """All that a recording of a value depends on: everything but the numbers in its tensors."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.device
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_form, value))
    if isinstance(value, dict):
        return dict, tuple((key, _form(part)) for key, part in value.items())
    if _has_fields(value):
        return type(value), tuple(_form(getattr(value, f.name)) for f in fields(value))
    return value


_ALIGNED = 256
"""Bytes, as CUDA's own allocations are."""


class _Memory:
    """For inputs of recordings of which only one is in use at a time: they lie on each other."""

    def __init__(self) -> None:
        self._blocks: dict[torch.device, Tensor] = {}
        self._places: set[int] = set()

    def apart(self, inputs: Value) -> Value:
        """The same with what lies here copied away: it would be written over."""
        return each_tensor(inputs, lambda x: x.clone() if self._holds(x) else x)

    def _holds(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self._places

    @torch.no_grad()
    def copies(self, inputs: Value) -> Value:
        """The same with copies of all tensors; no gradient goes through them."""
        needed: dict[torch.device, int] = {}
        for tensor in tensors_of(inputs):
            needed[tensor.device] = needed.get(tensor.device, 0) + _space(tensor)
        for device, size in needed.items():
            block = self._blocks.get(device)
            if block is None or block.shape[0] < size:
                # What lies on the old one keeps it; doubling bounds what that comes to.
                size = size if block is None else max(size, 2 * block.shape[0])
                block = torch.empty(size, dtype=torch.uint8, device=device)
                self._blocks[device] = block
                self._places.add(block.data_ptr())
        taken = dict.fromkeys(needed, 0)

        def copy(tensor: Tensor) -> Tensor:
            start = taken[tensor.device]
            taken[tensor.device] += _space(tensor)
            size = tensor.numel() * tensor.element_size()
            own = self._blocks[tensor.device][start : start + size].view(tensor.dtype)
            return own.view(tensor.shape).copy_(tensor)

        return each_tensor(inputs, copy)


def _space(tensor: Tensor) -> int:
    return -(-tensor.numel() * tensor.element_size() // _ALIGNED) * _ALIGNED


class Recording(Generic[Result]):
    """A function of static tensors, the copies of those it was made with.

    inputs: those copies, of which a function may change some in place; what is loaded for another
    recording writes over them.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        inputs: tuple[Any, ...],
        recorder: Recorder,
        memory: _Memory,
    ) -> None:
        self._recorder = recorder
        # It outlives an inference mode that it was made in; to leave one switches gradients on.
        follows = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(follows):
            self.inputs = memory.copies(inputs)
            self._tensors = tensors_of(self.inputs)
            self._result = recorder.record(lambda: function(*self.inputs))

    def load(self, *inputs: Any) -> None:
        """Other numbers in the same shapes."""
        overwrite(self._tensors, tensors_of(inputs))

    def run(self) -> Result:
        """The result, in memory that the next run writes over."""
        self._recorder.replay()
        return self._result


class Recordings:
    """Recordings by function and by the form of its inputs, made when they are first wanted.

    alone: a lock, to be held from loading numbers until the result has been read.

    Args:
        make: a recorder; by default CUDA graphs in one memory.
    """

    def __init__(self, make: Callable[[], Recorder] | None = None) -> None:
        self.alone = RLock()
        self._make = make
        self._pool: Any = None
        self._memory = _Memory()
        self._held: dict[Hashable, Recording[Any]] = {}

    def __reduce__(self) -> tuple[type["Recordings"], tuple[Any]]:
        # A copy, in another process too, records for itself.
        return Recordings, (self._make,)

    def of(self, function: Callable[..., Result], *inputs: Any) -> Recording[Result]:
        """The recording of a function, with these inputs loaded."""
        inputs = self._memory.apart(inputs)
        key = function, _form(inputs)
        found = self._held.get(key)
        if found is None:
            recorder = self._recorder(tensors_of(inputs)[0].device)
            found = self._held[key] = Recording(function, inputs, recorder, self._memory)
        # Recording it has run it, and a function may change its inputs.
        found.load(*inputs)
        return found

    def of_rows(
        self,
        function: Callable[..., Result],
        rows: Tensor,
        take: Callable[[Tensor], tuple[Any, ...]],
    ) -> Result:
        """What a function answers row by row, in recordings of a few `SIZES`.

        Args:
            rows: (B,) int64.
            take: the arguments of some rows, of which one may occur often.
        """
        if not rows.shape[0]:
            return function(*take(rows))
        parts = []
        with self.alone:
            for some in split(rows):
                count = some.shape[0]
                result = self.of(function, *take(filled(some))).run()
                parts.append(each_tensor(result, lambda x, count=count: x[:count].clone()))
        if len(parts) == 1:
            return parts[0]
        whole = map(torch.cat, zip(*map(tensors_of, parts), strict=True))
        return each_tensor(parts[0], lambda _: next(whole))

    def _recorder(self, device: torch.device) -> Recorder:
        if self._make is not None:
            return self._make()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        return CudaGraphs(self._pool, device)


def split(rows: Tensor) -> tuple[Tensor, ...]:
    """Parts that one of `SIZES` holds."""
    return rows.split(SIZES[-1])


def size_of(count: int) -> int:
    """The least of `SIZES` that holds so many rows."""
    return next(size for size in SIZES if count <= size)


def filled(rows: Tensor) -> Tensor:
    """Up to one of `SIZES` with copies of the last."""
    count = rows.shape[0]
    return rows[torch.arange(size_of(count), device=rows.device).clamp_max(count - 1)]
