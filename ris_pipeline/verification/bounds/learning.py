"""Bounds for loss terms and means."""

import math
from collections.abc import Sequence

import torch

from ris_pipeline.verification.bounds.spectrum import BACKWARD_CONSTANT, epsilon


def mean_bound(losses: Sequence[float]) -> float:
    """`(count + 1) eps mean |x|`: a running sum (Higham, eq. (4.4))."""
    size = math.fsum(map(abs, losses)) / len(losses)
    return (len(losses) + 1) * epsilon(torch.float64) * size + math.ulp(0.0)


def term_bound(elements: int, sources: int, value: float = 1.0) -> float:
    """`4 K c N eps (1 + |value|)`: a loss term at n = N elements and K sources.

    Products of length N, relative to `(||R||_F + ||T||_F)^2 / ||T||_F^2`: matrices of trace N have
    norms of N at most, and a truth of rank K has one of `N / sqrt(K)` at least.
    """
    relative = BACKWARD_CONSTANT * elements * epsilon(torch.float64)
    return 4 * sources * relative * (1 + abs(value))


def turn_bound(turns: int, scale: float) -> float:
    """Change of a Huber cost by rounding of an angle taken `turns` times around.

    The angle is off by `2 pi (|turns| + 1) eps`, and the slope of the cost is `1 / scale` at most
    for each of azimuth and elevation.
    """
    return 4 * math.pi * (abs(turns) + 1) * epsilon(torch.float64) * 4 / scale
