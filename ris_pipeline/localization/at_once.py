"""How much is worked on together, by device."""

import torch

_GIB = 2**30


def at_once(cpu: int, device: torch.device) -> int:
    """The size of a chunk, given the one that suits a CPU's cache and memory.

    On a GPU every call costs some microseconds whatever its size, and there is no cache to stay in:
    chunks are larger by the GiB that it has.
    """
    if device.type != "cuda":
        return cpu
    return cpu * max(1, torch.cuda.get_device_properties(device).total_memory // _GIB)
