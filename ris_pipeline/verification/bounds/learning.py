"""Bounds for loss terms and means."""

import math

import torch

from ris_pipeline.verification.bounds.spectrum import BACKWARD_CONSTANT, epsilon


def mean_bound(mean: float, count: int) -> float:
    """`(count + 1) eps |mean|`: a running sum of numbers of one sign (Higham, eq. (4.4))."""
    return (count + 1) * epsilon(torch.float64) * abs(mean) + math.ulp(0.0)


def term_bound(elements: int, value: float = 1.0) -> float:
    """`c^2 N^2 eps (1 + |value|)`: a loss term at n = N elements.

    Covariances have trace N, so their squared norms are N^2 at most; a chain of two products of
    length N.
    """
    return BACKWARD_CONSTANT**2 * elements**2 * epsilon(torch.float64) * (1 + abs(value))


def turn_bound(turns: int, scale: float) -> float:
    """Change of a Huber cost by rounding of an angle taken `turns` times around.

    The angle is off by `2 pi (|turns| + 1) eps`, and the slope of the cost is `1 / scale` at most
    for each of azimuth and elevation.
    """
    return 4 * math.pi * (abs(turns) + 1) * epsilon(torch.float64) * 4 / scale
