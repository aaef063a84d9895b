"""What records a function of tensors as it runs, to run it again on the same memory.

What is recorded has fixed shapes, reads no number (`numbers` gives none) and makes its constants on
the device. What only the host can call, as decompositions that look at what LAPACK says, runs
between two graphs (`on_host`).

Source: NVIDIA, "CUDA C++ Programming Guide", section on CUDA graphs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class Recorder(Protocol):
    """Records a function as it runs, and runs it again on the same memory."""

    def record(self, function: Callable[[], Result]) -> Result:
        """What the function returns: tensors that every `replay` fills anew."""

    def on_host(self, routine: Callable[[Tensor], Result], matrices: Tensor) -> Result:
        """What `routine` will make of the matrices at every replay."""

    def replay(self) -> None:
        """Run what was recorded."""


_RECORDER: ContextVar[Recorder | None] = ContextVar("recorder", default=None)
_REHEARSING: ContextVar[bool] = ContextVar("rehearsing", default=False)


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


def rehearsing() -> bool:
    """Whether what runs will be recorded next, and is run for that alone: nobody is to keep it."""
    return _REHEARSING.get()


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


@torch.no_grad()
def overwrite(held: Sequence[Tensor], new: Sequence[Tensor]) -> None:
    """Copy numbers, those of one dtype in one call, and no graph."""
    alike: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for old, value in zip(held, new, strict=True):
        olds, values = alike.setdefault(old.dtype, ([], []))
        olds.append(old)
        values.append(value)
    for olds, values in alike.values():
        torch._foreach_copy_(olds, values)


def _as_tuple(value: Any) -> tuple[Tensor, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)


_CAPTURING = RLock()
"""Whatever else they share: nothing may wait for the whole device while somebody captures."""


class CudaGraphs:
    """A recorder that makes CUDA graphs, one between every two calls on the host.

    Args:
        pool: memory that several recorders share which are never replayed at the same time.
        device: where everything runs; by default the current one. What runs elsewhere is not
            recorded, and CUDA does not say so.
    """

    def __init__(self, pool: Any, device: torch.device | None = None) -> None:
        self._pool, self._device = pool, device
        self._parts: list[Callable[[], None]] = []
        self._graph: torch.cuda.CUDAGraph | None = None

    def record(self, function: Callable[[], Result]) -> Result:
        """See `Recorder`. The function runs once before, for what libraries set up at first."""
        stream = torch.cuda.Stream(self._device)
        current = torch.cuda.current_stream(self._device)
        stream.wait_stream(current)
        with _CAPTURING, torch.cuda.stream(stream):
            token = _REHEARSING.set(True)
            try:
                function()
            finally:
                _REHEARSING.reset(token)
            torch.cuda.synchronize()
            _make_room()
            with recorded_by(self):
                self._begin()
                try:
                    result = function()
                finally:
                    # Of a function that failed too: until then nothing else can run.
                    self._end()
        current.wait_stream(stream)
        return result

    def _begin(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        # Else what another thread calls meanwhile, as to allocate memory, fails and breaks it off.
        self._graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")

    def _end(self) -> None:
        graph, self._graph = self._graph, None
        # None after a routine of the host that failed.
        if graph is not None:
            graph.capture_end()
            self._parts.append(graph.replay)

    def on_host(self, routine: Callable[[Tensor], Result], matrices: Tensor) -> Result:
        """See `Recorder`."""
        self._end()
        # The matrices hold no numbers yet; those of the identity say what will come.
        eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
        result = routine(eye.expand_as(matrices).contiguous())
        self._parts.append(lambda: overwrite(_as_tuple(result), _as_tuple(routine(matrices))))
        self._begin()
        return result

    def replay(self) -> None:
        """See `Recorder`."""
        for part in self._parts:
            part()


def _make_room() -> None:
    """A graph takes about as much memory as its rehearsal has left cached, and nothing is freed
    while it is captured."""
    cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    if torch.cuda.mem_get_info()[0] < cached:
        torch.cuda.empty_cache()
