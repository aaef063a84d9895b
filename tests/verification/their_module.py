"""A module that imports a right function and has a wrong one of its own."""

import torch
from their_torch import hermitize

__all__ = ["eigenvalues", "hermitize", "trace"]


def eigenvalues(a):
    return torch.linalg.eigvalsh(hermitize(a)) + 1e-3


def trace(message):
    return len(message)
