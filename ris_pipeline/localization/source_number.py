"""How many sources: the Bayesian information criterion on the residual of the joint fits.

    BIC(K) = 2 n ln(|r_K|^2 / n) + K (3 + 2 T) ln(2 n),     n = T L M complex samples

A source has three position parameters and a complex amplitude a block: five real ones at T = 1.

Source: P. Stoica, Y. Selen, "Model-order selection", IEEE Signal Process. Mag. 21(4), 2004.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def bayesian_information(
    energy: Float[Tensor, "k b"], samples: int, blocks: int
) -> Float[Tensor, "k b"]:
    """BIC of the fits with 1..K sources; `energy[k - 1]` is the residual with k sources."""
    count = torch.arange(1, len(energy) + 1, dtype=energy.dtype, device=energy.device)
    penalty = count * (3 + 2 * blocks) * torch.log(torch.tensor(2.0 * samples))
    tiny = torch.finfo(energy.dtype).tiny
    return 2 * samples * (energy / samples).clamp_min(tiny).log() + penalty[:, None]


def estimate_number(energy: Float[Tensor, "k b"], samples: int, blocks: int) -> Int[Tensor, " b"]:
    """The number of sources of least BIC, (B,)."""
    return bayesian_information(energy, samples, blocks).argmin(0) + 1
