"""The eigengap and the hinge that opens it.

    gap_k = lambda_k - lambda_{k+1} >= 0,   1 <= k < n,   eigenvalues descending
    hinge = mean over the batch of relu(margin - gap_k)

In the active zone the gradient with respect to R is `-(v_k v_k^H - v_{k+1} v_{k+1}^H) / batch`, so
a descent step opens the gap; outside it is zero. It is finite at ties, where it is one of the
subgradients.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline._validation import (
    check_batch,
    check_integer,
    check_order,
    check_range,
    numbers,
)
from ris_pipeline.spectral.covariance import (
    batch_of,
    eigenvalues_at,
    order_of,
    scaled_to_one,
    trace,
)
from ris_pipeline.spectral.low_rank import Covariance, LowRankCovariance


def _orders(covariance: Covariance, k: int | Tensor) -> Tensor:
    like = covariance.factor if isinstance(covariance, LowRankCovariance) else covariance
    check_batch("k", k, batch_of(covariance))
    return torch.as_tensor(k, dtype=torch.int64, device=like.device).expand(like.shape[:-2])


def _most(k: int | Tensor, size: int) -> int:
    """The largest order, or where a compiler traces the largest that there may be."""
    if isinstance(k, Tensor):
        known = numbers(k)
        return size - 1 if known is None else int(known.max())
    return k


def eigengap(covariance: Covariance, k: int | Tensor) -> Float[Tensor, "*batch"]:
    """`lambda_k - lambda_{k+1}` of the Hermitian part, never negative.

    Args:
        covariance: (..., n, n) complex, or factored.
        k: the order, an integer or an int64 tensor (...), 1 <= k < n.

    Raises:
        InputError: k outside 1..n-1; not square, not complex or not finite.
    """
    check_order("k", k, order_of(covariance))
    order = _orders(covariance, k)
    upper, lower = eigenvalues_at(covariance, torch.stack((order - 1, order), dim=-1)).unbind(-1)
    return upper - lower


def eigengap_loss(
    covariance: Covariance, k: int | Tensor, margin: float | Tensor
) -> Float[Tensor, ""]:
    """`mean relu(margin - gap_k)`; margin >= 0, a number or (...).

    Raises:
        InputError: as `eigengap`, and a negative margin.
    """
    check_range("margin", margin, 0.0, math.inf)
    check_batch("margin", margin, batch_of(covariance))
    return torch.relu(margin - eigengap(covariance, k)).mean()


def factor_eigengap_loss(
    factor: Complex[Tensor, "*batch n q"], k: int | Tensor, margin: float | Tensor
) -> Float[Tensor, ""]:
    """`eigengap_loss` of `F F^H`, which is never formed.

    In the active zone the gradient with respect to F is
    `-2 (v_k v_k^H - v_{k+1} v_{k+1}^H) F / batch`.

    Raises:
        InputError: as `eigengap_loss`; a factor that is no complex matrix.
    """
    return eigengap_loss(LowRankCovariance(factor), k, margin)


def signal_power_hinge(
    covariance: Covariance, k: int | Tensor, margin: float, most: int | None = None
) -> Float[Tensor, ""]:
    """`mean relu(margin - sum_{i<=k} lambda_i / tr R)`: the subspace margin.

    The k leading eigenvalues hold at least `margin` of the trace.

    Args:
        most: no k is above it; by default the largest is looked for, and a device waited for.

    Raises:
        InputError: k outside 1..n-1 or above `most`, or a margin outside 0..1.
    """
    order_limit = order_of(covariance)
    if most is not None:
        order_limit = check_integer("most", most, 1, order_limit - 1) + 1
    check_order("k", k, order_limit)
    check_range("margin", margin, 0.0, 1.0)
    covariance = scaled_to_one(covariance)
    total = trace(covariance)
    order = _orders(covariance, k)
    if most is None:
        most = _most(k, order_of(covariance)) if total.numel() else 1
    places = torch.arange(most, device=total.device).expand(*total.shape, most)
    leading = eigenvalues_at(covariance, places)
    share = (leading * (places < order[..., None])).sum(-1) / total.clamp_min(
        torch.finfo(total.dtype).tiny
    )
    return torch.relu(margin - share).mean()
