"""Estimates paired with true sources: the assignment of least total angular distance."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ris_pipeline.scene import direction_cosines


def angular_distance(
    azimuth: Float[Tensor, "*batch k"],
    elevation: Float[Tensor, "*batch k"],
    other_azimuth: Float[Tensor, "*batch m"],
    other_elevation: Float[Tensor, "*batch m"],
) -> Float[Tensor, "*batch k m"]:
    """Great-circle angle (rad) between every source of one set and every source of another.

    `2 asin(|p - q| / 2)` of the unit vectors, which keeps its digits at small angles.
    """
    first = direction_cosines(azimuth, elevation)[..., :, None, :]
    second = direction_cosines(other_azimuth, other_elevation)[..., None, :, :]
    chord = torch.linalg.vector_norm(first - second, dim=-1)
    return 2 * torch.asin((chord / 2).clamp_max(1.0))


def match_sources(
    distance: Float[Tensor, "b k m"], count: Int[Tensor, " b"], found: Int[Tensor, " b"]
) -> Int[Tensor, "b k"]:
    """For each of the first `count` true sources the estimate paired with it, -1 if none.

    Source: H. W. Kuhn, Naval Research Logistics 2, 1955 (Hungarian method, as in scipy).
    """
    pairs = np.full(distance.shape[:2], -1, dtype=np.int64)
    costs = distance.cpu().numpy()
    for row, (k, m) in enumerate(zip(count.tolist(), found.tolist(), strict=True)):
        true, estimate = linear_sum_assignment(costs[row, :k, :m])
        pairs[row, true] = estimate
    return torch.from_numpy(pairs)
