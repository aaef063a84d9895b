"""Complex numbers from modulus and phase."""

import torch
from torch import Tensor


def phasor(phase: Tensor, modulus: Tensor | float = 1.0, *, out: Tensor | None = None) -> Tensor:
    """`modulus exp(j phase)`, phase in radians.

    Twice as fast as `torch.polar`, whose cosines and sines are not vectorised on a CPU.
    """
    return torch.complex(modulus * torch.cos(phase), modulus * torch.sin(phase), out=out)
