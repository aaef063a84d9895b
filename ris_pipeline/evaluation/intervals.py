"""95 % confidence intervals from scenes that are independent, sources of one scene that are not.

share   (p + z^2/2n -+ z sqrt(p (1-p)/n + z^2/4n^2)) / (1 + z^2/n),   n = sources / design effect
others  percentile bootstrap: whole scenes are drawn again, with replacement

Source: E. B. Wilson, J. Am. Stat. Assoc. 22, 1927; E. L. Korn, B. I. Graubard, Surv. Methodol.
24(2), 1998 (the effective number n); B. Efron, Ann. Stat. 7, 1979; F. Garwood, Biometrika 28, 1936.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054
"""97.5 % point of the normal distribution."""
_RESAMPLES = 999
_ENTRIES = 2**22
"""Weights of resampled scenes held at a time (32 MiB)."""

FEWEST = 10
"""Scenes from which on a bootstrap interval is given: of fewer, it is far too narrow."""


def _effective(hits: NDArray[np.float64], total: NDArray[np.float64]) -> float:
    """Number of independent trials that say as much as these, scene by scene.

    Sources over the design effect: variance of the share between scenes, by linearisation of the
    ratio, over `p (1-p) / sources`, at least 1. Where the share is 0 or 1 the effect cannot be
    seen, and a scene counts once.
    """
    scenes, sources = len(total), total.sum()
    share = hits.sum() / sources
    if scenes < 2 or share in (0, 1):
        return float(scenes)
    residual = hits - share * total
    between = scenes / (scenes - 1) * (residual**2).sum() / sources**2
    return float(sources / max(1.0, between * sources / (share * (1 - share))))


def share_interval(
    hits: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[float, float, float]:
    """`sum hits / sum total` and the ends of its interval; NaN where the total is 0.

    Args:
        hits, total: (B,), of each scene.
    """
    seen = total > 0
    if not seen.any():
        return math.nan, math.nan, math.nan
    hits, total = hits[seen], total[seen]
    share, n = float(hits.sum() / total.sum()), _effective(hits, total)
    middle = share + _Z**2 / (2 * n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low, high = ((middle + side) / (1 + _Z**2 / n) for side in (-half, half))
    # 0 and 1 are ends of an interval exactly; rounding would leave the share outside.
    return share, min(max(0.0, low), share), max(min(1.0, high), share)


@lru_cache(maxsize=2)
def _weights(scenes: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """How often each scene is drawn, (R, B)."""
    drawn = np.random.default_rng(seed).integers(0, scenes, (resamples, scenes))
    drawn += np.arange(resamples)[:, None] * scenes
    counts = np.bincount(drawn.ravel(), minlength=resamples * scenes)
    return counts.reshape(resamples, scenes).astype(np.float64)


def resampled_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the scenes of each resample, (R, C); the same draws for one number of scenes.

    Args:
        values: (B, C), of each scene.
    """
    scenes = len(values)
    step = min(_RESAMPLES, max(1, _ENTRIES // max(1, scenes)))
    starts = range(0, _RESAMPLES, step)
    return np.concatenate(
        [_weights(scenes, start, min(step, _RESAMPLES - start)) @ values for start in starts]
    )


def bootstrap_interval(
    values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> tuple[float, float]:
    """2.5 and 97.5 % points of a statistic of the sums over resampled scenes.

    Args:
        values: (B, C), of each scene; a row of zeros says nothing.
        statistic: (R, C) to (R,); a resample where it is NaN is left out.

    Returns:
        NaN where fewer than `FEWEST` scenes say something.
    """
    if np.count_nonzero(values.any(-1)) < FEWEST:
        return math.nan, math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = statistic(resampled_sums(values))
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of a number that is never negative, (B,), and the ends of its interval.

    Of all zeros the high end is `ln 40 / B`: more on average would have shown, for whole numbers.
    """
    scenes = len(values)
    if scenes == 0:
        return math.nan, math.nan, math.nan
    if not values.any():
        return 0.0, 0.0, math.log(40) / scenes
    if scenes < FEWEST:
        return float(values.mean()), math.nan, math.nan
    low, high = np.quantile(resampled_sums(values[:, None])[:, 0] / scenes, (0.025, 0.975))
    return float(values.mean()), float(low), float(high)
