"""Averages of a covariance that a symmetry of the aperture allows, dense or factored.

forward-backward     (R + J R* J) / 2              J: the exchange matrix, element i -> n-1-i
spatial smoothing    1/W sum_w S_w R S_w^T         S_w: picks the elements of window w

On a centro-symmetric aperture `J a* = a` for a plane wave about the centre, and on one that is
uniform every window sees a plane wave alike but for a phase. Either average therefore keeps the
directions and raises the rank of what coherent sources leave: to min(2, K) and min(W, K) or above.
A curved wavefront has neither symmetry; what then holds is for the caller to say.

Sources: S. U. Pillai and B. H. Kwon, "Forward/backward spatial smoothing techniques for coherent
signal identification", IEEE Trans. ASSP 37(1), 1989; T.-J. Shan, M. Wax, T. Kailath, "On spatial
smoothing for direction-of-arrival estimation of coherent signals", IEEE Trans. ASSP 33(4), 1985.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range
from ris_pipeline.spectral.covariance import order_of
from ris_pipeline.spectral.hermitian import hermitize
from ris_pipeline.spectral.low_rank import AnyForm, LowRankCovariance


def forward_backward(covariance: AnyForm) -> AnyForm:
    """`(R + J R* J) / 2`; the trace is kept, the factors `F` and `J F*` are concatenated.

    Raises:
        InputError: a dense covariance that is not square or not complex.
    """
    if isinstance(covariance, LowRankCovariance):
        factor = covariance.factor
        both = torch.cat((factor, factor.conj().flip(-2)), dim=-1)
        return LowRankCovariance(0.5**0.5 * both, covariance.loading)
    forward = hermitize(covariance)
    return 0.5 * forward + 0.5 * forward.conj().flip((-2, -1))


def spatial_smoothing(covariance: AnyForm, windows: Int[Tensor, "w m"]) -> AnyForm:
    """`1/W sum_w R[window_w, window_w]`, of order m; factors of the windows are concatenated.

    Args:
        windows: int64, row w lists the m elements of a window, in one order for all.

    Raises:
        InputError: no windows, or an element outside 0..n-1; a dense covariance that is not square
            or not complex.
    """
    if 0 in windows.shape:
        raise InputError(f"windows has shape {tuple(windows.shape)}: allowed is (w, m), both >= 1")
    check_range("windows", windows, 0, order_of(covariance) - 1)
    if isinstance(covariance, LowRankCovariance):
        # (..., w, m, q) -> (..., m, w q)
        parts = covariance.factor[..., windows, :].movedim(-3, -2).flatten(-2)
        return LowRankCovariance(windows.shape[0] ** -0.5 * parts, covariance.loading)
    blocks = hermitize(covariance)[..., windows[:, :, None], windows[:, None, :]]
    return blocks.mean(-3)
