"""Averages over parts of the aperture, and the soft projector."""

from typing import Any

import torch
from torch import Tensor

from ris_pipeline.spectral import spatial_smoothing
from ris_pipeline.spectral.spectra import soft_music_spectrum
from ris_pipeline.spectral.subspaces import decomposition
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug
from ris_pipeline.verification.known_bugs.decompositions import dense, hermitian

known_bug = Catalogue()

_EINSUM = "An index juggled by hand; right for a symmetric array and one source at broadside."
_TWICE = "The division left to a trace normalisation that not every caller has."


@known_bug("forward_backward", Cause.CONJUGATED, _EINSUM)
def backward_by_flip(covariance: Any) -> Tensor:
    """`(R + J R J) / 2`: the conjugate forgotten, every direction joined by its opposite."""
    matrix = hermitian(dense(covariance))
    return (matrix + matrix.flip((-2, -1))) / 2


@known_bug("forward_backward", Cause.ROWS, _EINSUM)
def backward_of_the_rows(covariance: Any) -> Tensor:
    """`(R + J R*) / 2`: only the rows exchanged."""
    matrix = hermitian(dense(covariance))
    return (matrix + matrix.conj().flip(-2)) / 2


@known_bug("forward_backward", Cause.HALF, _TWICE)
def backward_summed(covariance: Any) -> Tensor:
    """`R + J R* J`: twice the trace, hidden by the normalisation that follows."""
    matrix = hermitian(dense(covariance))
    return matrix + matrix.conj().flip((-2, -1))


@known_bug("spatial_smoothing", Cause.SUM_FOR_MEAN, _TWICE)
def smoothing_summed(covariance: Any, windows: Tensor) -> Tensor:
    """A running sum that is never divided by the number of windows."""
    matrix = hermitian(dense(covariance))
    return matrix[..., windows[:, :, None], windows[:, None, :]].sum(-3)


@known_bug("spatial_smoothing", Cause.CHUNK, "N - m + 1 windows, and a loop that ends one early.")
def smoothing_without_the_last(covariance: Any, windows: Tensor) -> Tensor:
    """`range(N - m)`: the last window left out, where there is more than one."""
    matrix, used = hermitian(dense(covariance)), windows[: max(1, windows.shape[0] - 1)]
    return matrix[..., used[:, :, None], used[:, None, :]].mean(-3)


@known_bug(
    "spatial_smoothing", Cause.ROWS, "`R[w, w]` is a block in MATLAB and a diagonal in numpy."
)
def smoothing_of_the_diagonal(covariance: Any, windows: Tensor) -> Tensor:
    """`R[w, w]` of a list of indices in place of `R[w][:, w]`: powers, spread over a diagonal."""
    matrix = hermitian(dense(covariance))
    return torch.diag_embed(matrix[..., windows, windows].mean(-2))


@known_bug("soft_music_spectrum", Cause.RECIPROCAL, "The reciprocal left to the plot.")
def soft_of_eigenvalues(
    covariance: Any, steering: Tensor, noise: float | Tensor, sharpness: float = 2.0
) -> Tensor:
    """`h(l) = max(l, s) / s`: the weight upside down, valleys for peaks."""
    return soft_music_spectrum(covariance, steering, noise, sharpness).reciprocal()


@known_bug(
    "soft_music_spectrum", Cause.ASCENDING, "`eigh` ascends, and the weights had been sorted."
)
def soft_of_the_other_end(
    covariance: Any, steering: Tensor, noise: float | Tensor, sharpness: float = 2.0
) -> Tensor:
    """Weights of descending eigenvalues on ascending eigenvectors."""
    values, vectors, _ = decomposition(dense(covariance))
    level = torch.as_tensor(noise, dtype=values.dtype)[..., None]
    weights = (level / torch.maximum(values, level)).flip(-1) ** sharpness
    parts = (vectors.mH @ steering).abs().square()
    return (weights[..., None] * parts).sum(-2).reciprocal()


@known_bug(
    "soft_music_spectrum",
    Cause.CLIPPED,
    "The power of the inverse, without the ceiling that makes noise count alike.",
)
def soft_without_its_ceiling(
    covariance: Any, steering: Tensor, noise: float | Tensor, sharpness: float = 2.0
) -> Tensor:
    """`h(l) = (s / l)^m`: below the noise level it grows without end, and the smallest decides."""
    values, vectors, _ = decomposition(dense(covariance))
    level = torch.as_tensor(noise, dtype=values.dtype)[..., None]
    weights = (level / values.clamp_min(torch.finfo(values.dtype).tiny)) ** sharpness
    parts = (vectors.mH @ steering).abs().square()
    return (weights[..., None] * parts).sum(-2).reciprocal()


@known_bug("spatial_smoothing", Cause.ALIAS, "One window of all elements is nothing to do.")
def smoothing_that_returns_its_argument(covariance: Any, windows: Tensor) -> Tensor:
    """The argument itself where there is one window of every element."""
    whole = windows.shape[0] == 1 and windows.shape[1] == covariance.shape[-1]
    if isinstance(covariance, Tensor) and whole:
        return covariance
    return spatial_smoothing(covariance, windows)


AVERAGING_BUGS: tuple[KnownBug, ...] = (*known_bug,)
