"""Learning rates: a linear warm-up, then one half period of a cosine."""

import math


def rate_scale(step: int, total: int, warmup: float) -> float:
    """Share of the peak rate at optimiser step `step` (from 0) of `total`.

        (step + 1) / w                     while step < w,   w = round(warmup total)
        (1 + cos(pi (step - w) / (total - w))) / 2           after

    Source: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, eq. (5), with one period.
    """
    ramp = round(warmup * total)
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, total - ramp)))
