"""How much is worked on together, by device."""

import torch

_GIB = 2**30
_MOST = 16
"""Times a CPU's chunk that a GPU is given at most: more gain little there."""


def at_once(cpu: int, device: torch.device) -> int:
    """The size of a chunk, given the one that suits a CPU's cache and memory.

    On a GPU every call costs some microseconds whatever its size, and there is no cache to stay in:
    chunks are larger by the GiB that it has, up to `_MOST`.
    """
    if device.type != "cuda":
        return cpu
    memory: int = torch.cuda.get_device_properties(device).total_memory
    return cpu * min(_MOST, max(1, memory // _GIB))
