"""Functions of tensors that are recorded once and replayed as a whole.

On a GPU every call costs some 10 microseconds whatever its size; a function of a thousand small
ones pays that once when it is replayed as a CUDA graph. What is recorded has fixed shapes, reads no
number (`numbers` gives none) and makes its constants on the device. What only the host can call,
as decompositions that look at what LAPACK says, runs between two graphs (`on_host`).

Source: NVIDIA, "CUDA C++ Programming Guide", section on CUDA graphs.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
Value = TypeVar("Value")


class Recorder(Protocol):
    """Records a function as it runs, and runs it again on the same memory."""

    def record(self, function: Callable[[], Result]) -> Result:
        """What the function returns: tensors that every `replay` fills anew."""

    def on_host(self, routine: Callable[[Tensor], Result], matrices: Tensor) -> Result:
        """What `routine` will make of the matrices at every replay."""

    def replay(self) -> None:
        """Run what was recorded."""


_RECORDER: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recorded_by(recorder: Recorder) -> Iterator[None]:
    """What runs inside is being recorded."""
    token = _RECORDER.set(recorder)
    try:
        yield
    finally:
        _RECORDER.reset(token)


def recording() -> bool:
    """Whether what runs is being recorded: its tensors hold no numbers yet."""
    return _RECORDER.get() is not None


def on_host(routine: Callable[[Tensor], Result], matrices: Tensor) -> Result:
    """`routine` of square matrices: at once, or at every replay of what is being recorded.

    Raises:
        RuntimeError: recorded, and of matrices whose gradient is followed: it would be lost.
    """
    recorder = _RECORDER.get()
    if recorder is None:
        return routine(matrices)
    if matrices.requires_grad and torch.is_grad_enabled():
        raise RuntimeError("a decomposition whose gradient is followed cannot be recorded")
    return recorder.on_host(routine, matrices)


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
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: each_tensor(getattr(value, f.name), change) for f in fields(value)}
        return type(value)(**named)
    return value


def tensors_of(value: Any) -> list[Tensor]:
    """Every tensor in a value, in the order of `each_tensor`."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    each_tensor(value, keep)
    return found


def _form(value: Any) -> Hashable:
    """All that a recording of a value depends on: everything but the numbers in its tensors."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.device
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_form, value))
    if isinstance(value, dict):
        return dict, tuple((key, _form(part)) for key, part in value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), tuple(_form(getattr(value, f.name)) for f in fields(value))
    return value


def _as_tuple(value: Any) -> tuple[Tensor, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)


class CudaGraphs:
    """A recorder that makes CUDA graphs, one between every two calls on the host.

    Args:
        pool: memory that several recorders share which are never replayed at the same time.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._parts: list[Callable[[], None]] = []
        self._graph: torch.cuda.CUDAGraph | None = None

    def record(self, function: Callable[[], Result]) -> Result:
        """See `Recorder`. The function runs once before, for what libraries set up at first."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            function()
            torch.cuda.synchronize()
            with recorded_by(self):
                self._begin()
                result = function()
                self._end()
        current.wait_stream(stream)
        return result

    def _begin(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._graph.capture_begin(pool=self._pool)

    def _end(self) -> None:
        assert self._graph is not None
        self._graph.capture_end()
        self._parts.append(self._graph.replay)

    def on_host(self, routine: Callable[[Tensor], Result], matrices: Tensor) -> Result:
        """See `Recorder`."""
        self._end()
        # The matrices hold no numbers yet; those of the identity say what will come.
        eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
        result = routine(eye.expand_as(matrices).contiguous())
        self._parts.append(lambda: _overwrite(result, routine(matrices)))
        self._begin()
        return result

    def replay(self) -> None:
        """See `Recorder`."""
        for part in self._parts:
            part()


def _overwrite(held: Any, new: Any) -> None:
    for old, value in zip(_as_tuple(held), _as_tuple(new), strict=True):
        old.copy_(value)


class Recording(Generic[Result]):
    """A function of static tensors, the copies of those it was made with.

    inputs: those copies, of which a function may change some in place.
    """

    def __init__(
        self, function: Callable[..., Result], inputs: tuple[Any, ...], recorder: Recorder
    ) -> None:
        self._recorder = recorder
        # It outlives the mode that it was made in.
        with torch.inference_mode(False):
            self.inputs = each_tensor(inputs, torch.clone)
            self._tensors = tensors_of(self.inputs)
            self._result = recorder.record(lambda: function(*self.inputs))

    def load(self, *inputs: Any) -> None:
        """Other numbers in the same shapes."""
        for held, new in zip(self._tensors, tensors_of(inputs), strict=True):
            held.copy_(new)

    def run(self) -> Result:
        """The result, in memory that the next run writes over."""
        self._recorder.replay()
        return self._result


class Recordings:
    """Recordings by function and by the form of its inputs, made when they are first wanted.

    alone: to be held from loading numbers until the result has been read, where threads share this.

    Args:
        make: a recorder; by default CUDA graphs in one memory.
    """

    def __init__(self, make: Callable[[], Recorder] | None = None) -> None:
        self.alone = Lock()
        self._make = make
        self._pool: Any = None
        self._held: dict[Hashable, Recording[Any]] = {}

    def __reduce__(self) -> tuple[type["Recordings"], tuple[Any]]:
        # A copy, in another process too, records for itself.
        return Recordings, (self._make,)

    def of(self, function: Callable[..., Result], *inputs: Any) -> Recording[Result]:
        """The recording of a function, with these inputs loaded."""
        key = function, _form(inputs)
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = Recording(function, inputs, self._recorder())
        # Recording it has run it, and a function may change its inputs.
        found.load(*inputs)
        return found

    def _recorder(self) -> Recorder:
        if self._make is not None:
            return self._make()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        return CudaGraphs(self._pool)
