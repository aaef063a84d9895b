"""How much is worked on together, by device."""

import torch

_GPU_FACTOR = 16
"""On a GPU every call costs some microseconds whatever its size, and there is no cache to stay in:
chunks are larger, up to some gigabytes."""


def at_once(cpu: int, device: torch.device) -> int:
    """The size of a chunk, given the one that suits a CPU's cache and memory."""
    return cpu if device.type == "cpu" else _GPU_FACTOR * cpu
