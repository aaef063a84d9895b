"""Peaks of a spectrum over azimuth and elevation."""

import torch
from jaxtyping import Float, Int
from scipy.ndimage import maximum_filter
from torch import Tensor


def spectrum_peaks(
    level: Float[Tensor, "elevations azimuths"], count: int, separation: int = 3
) -> Int[Tensor, "peaks 2"]:
    """Indices (elevation, azimuth) of the highest local maxima, highest first.

    Args:
        count: at most so many are returned.
        separation: a peak is the largest value within so many cells in each direction.
    """
    values = level.numpy(force=True)
    highest = torch.from_numpy(maximum_filter(values, size=2 * separation + 1) == values)
    indices = highest.nonzero()
    heights = level.cpu()[highest]
    return indices[heights.argsort(descending=True)[:count]]
