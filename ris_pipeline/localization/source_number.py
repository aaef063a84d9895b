"""Number of sources by the Bayesian information criterion.

BIC(K) = 2 T L M ln rss_K + K (d ln(2 T L M) + 2 T ln(2 L M))

The first term is -2 ln of the likelihood maximised over amplitudes and noise variance. A source has
d coordinates (3, or 2 for a plane wavefront), informed by all 2 T L M real numbers, and one complex
amplitude a block, informed by the 2 L M of its block. At T = 1 that is 5 ln(2 L M).

Source: G. Schwarz, "Estimating the Dimension of a Model", Ann. Statist. 6(2), 1978; P. Stoica and
Y. Selen, "Model-order selection", IEEE Signal Process. Mag. 21(4), 2004 (section on BIC: parameters
whose information grows at different rates).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.varpro import Measurement


def bic_penalty(blocks: int, rows: int, coordinates: int = 3) -> float:
    """What one more source costs: `d ln(2 T L M) + 2 T ln(2 L M)`; rows = L M."""
    return coordinates * math.log(2 * blocks * rows) + 2 * blocks * math.log(2 * rows)


def bayesian_information(
    measurement: Measurement, rss: Float[Tensor, " b"], number: int, coordinates: int = 3
) -> Float[Tensor, " b"]:
    """BIC of a fit with `number` sources that leaves the residual `rss`, up to a constant.

    A residual below the rounding of the data's energy, a sum of n = T L M squares and so known to
    `n eps` (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1),
    counts as that rounding.
    """
    samples = measurement.blocks * measurement.rows
    floor = samples * torch.finfo(rss.dtype).eps * measurement.energy
    tiny = torch.finfo(rss.dtype).tiny
    cost = number * bic_penalty(measurement.blocks, measurement.rows, coordinates)
    return 2 * samples * torch.maximum(rss, floor).clamp_min(tiny).log() + cost
