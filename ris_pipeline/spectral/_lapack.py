"""LAPACK on batches of small matrices: one thread each, several at a time."""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from ris_pipeline._recorder import on_host, recording
from ris_pipeline._validation import transformed

_ONE_AT_A_TIME = threading.Lock()
if hasattr(os, "register_at_fork"):
    # A fork waits for the batch in hand, so that the child finds the lock open and the number of
    # threads as its owner set it.
    os.register_at_fork(
        before=_ONE_AT_A_TIME.acquire,
        after_in_parent=_ONE_AT_A_TIME.release,
        after_in_child=_ONE_AT_A_TIME.release,
    )
_WORTH_SHARING = 2**13
"""Entries of a batch from which sharing it saves more than it costs."""

Parts = TypeVar("Parts")


def by_lapack(routine: Callable[[Tensor], Parts], matrices: Tensor) -> list[Parts]:
    """`routine` of a batch, or of consecutive parts of it at the same time.

    LAPACK takes a batch as a loop over matrices of a few dozen rows. Splitting each over threads
    costs more than it saves: 64 of 26 x 26 take 2.8 ms on one thread, 25 ms on two that sleep
    while they wait. Sharing the batch among two takes 1.5 ms. A recorded gradient and a transform
    belong to one thread, so such a batch is not shared. torch's number of threads is one for the
    whole process, hence the lock.
    """
    if torch.compiler.is_compiling():
        return [routine(matrices)]
    if recording():
        return [on_host(routine, matrices)]
    with _ONE_AT_A_TIME:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            recorded = matrices.requires_grad and torch.is_grad_enabled()
            followed = recorded or transformed(matrices)
            small = matrices.ndim != 3 or matrices.numel() < _WORTH_SHARING
            if threads == 1 or followed or small or matrices.device.type != "cpu":
                return [routine(matrices)]
            own, *others = matrices.chunk(threads)
            workers = _workers(os.getpid(), threads - 1)
            shared = workers.map(torch.no_grad()(routine), others)
            return [routine(own), *shared]
        finally:
            torch.set_num_threads(threads)


@functools.cache
def _workers(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of one process (a fork inherits none) that compute on themselves alone."""
    return ThreadPoolExecutor(threads, initializer=functools.partial(torch.set_num_threads, 1))
