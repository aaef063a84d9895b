"""Covariances estimated from snapshots X = (x_1 ... x_T) of zero mean.

sample covariance   S = X X^H / T
Ledoit-Wolf         (1 - rho) S + rho (tr S / n) I
                    rho = min(1, b / d),   d = |S - (tr S / n) I|_F^2
                    b = 1/T^2 sum_t |x_t x_t^H - S|_F^2 = (mean |x_t|^4 - |S|_F^2) / T

rho is the consistent estimate of the weight of least expected error |R - S*|_F^2.

Source: O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance
matrices", J. Multivariate Anal. 88, 2004, lemmas 3.2 to 3.4.
"""

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_complex, check_finite
from ris_pipeline.spectral.covariance import shrink
from ris_pipeline.spectral.hermitian import hermitize
from ris_pipeline.spectral.norms import at_unit_scale, column_power, squared_norm


def sample_covariance(snapshots: Complex[Tensor, "*batch n t"]) -> Complex[Tensor, "*batch n n"]:
    """`X X^H / T`, one snapshot a column; no mean is removed.

    Raises:
        InputError: not complex, not finite, or no snapshot.
    """
    check_complex("snapshots", snapshots)
    check_finite("snapshots", snapshots)
    if snapshots.ndim < 2 or 0 in snapshots.shape[-2:]:
        raise InputError(
            f"snapshots has shape {tuple(snapshots.shape)}: allowed is (..., n, t), n and t >= 1"
        )
    return hermitize(snapshots @ snapshots.mH / snapshots.shape[-1])


def ledoit_wolf(snapshots: Complex[Tensor, "*batch n t"]) -> Complex[Tensor, "*batch n n"]:
    """The sample covariance, shrunk towards a multiple of the identity by what it is off.

    Raises:
        InputError: as `sample_covariance`.
    """
    whole = sample_covariance(snapshots)
    near_one = at_unit_scale(snapshots)
    sample = sample_covariance(near_one)
    n, count = snapshots.shape[-2:]
    eye = torch.eye(n, dtype=sample.dtype, device=sample.device)
    level = sample.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    distance = squared_norm(sample - level[..., None, None] * eye)
    error = (column_power(near_one).square().mean(-1) - squared_norm(sample)) / count
    weight = (error / distance.clamp_min(torch.finfo(distance.dtype).tiny)).clamp(0.0, 1.0)
    shrunk = shrink(whole, weight)
    assert isinstance(shrunk, Tensor)
    return shrunk
