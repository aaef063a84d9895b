"""Snapshots taken back to the aperture through the known channel and codes.

    matched filter   z_t = Phi_t^H y_t
    least squares    x_t = (Phi_t^H Phi_t + eps I)^-1 z_t
    Gram matrix      W_t = Phi_t^H Phi_t = (H^H H) o (sum_l conj(c_tl) c_tl^T)

The Hadamard form of W_t never stacks Phi_t.
"""

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline._validation import check_complex, check_finite, check_shape
from ris_pipeline.scene import SceneBatch


def check_snapshots(scenes: SceneBatch) -> None:
    """Raise `InputError` unless the snapshots are finite, complex and of the scenario's shape."""
    t, length, n = scenes.codes.shape
    check_complex("snapshots", scenes.snapshots)
    check_shape("snapshots", scenes.snapshots, (None, t, length, scenes.channel.shape[-2]))
    check_shape("channel", scenes.channel, (scenes.size, None, n))
    check_finite("snapshots", scenes.snapshots)
    check_finite("channel", scenes.channel)


def sensing_gram(scenes: SceneBatch) -> Complex[Tensor, "b t n n"]:
    """`Phi_t^H Phi_t`."""
    station = scenes.channel.mH @ scenes.channel
    return station[:, None] * (scenes.codes.mH @ scenes.codes)


def matched_filter(scenes: SceneBatch) -> Complex[Tensor, "b t n"]:
    """`Phi_t^H y_t = sum_l conj(c_tl) o (H^H y_tl)`."""
    aperture = torch.einsum("bmn,btlm->btln", scenes.channel.conj(), scenes.snapshots)
    return (scenes.codes.conj() * aperture).sum(2)


def least_squares(scenes: SceneBatch) -> Complex[Tensor, "b t n"]:
    """`(Phi^H Phi + eps I)^-1 Phi^H y` with `eps = (tr Phi^H Phi / N) / SNR`, by Cholesky.

    That is the linear minimum mean square error estimate of an aperture field that is white, at
    the SNR that the receiver knows.

    Raises:
        InputError: snapshots that are not finite, not complex, or of another shape.
    """
    check_snapshots(scenes)
    gram = sensing_gram(scenes)
    level = gram.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    eps = level * (10 ** (-scenes.snr_db / 10))[:, None]
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    cholesky = torch.linalg.cholesky(gram + eps[..., None, None] * eye)
    return torch.cholesky_solve(matched_filter(scenes)[..., None], cholesky)[..., 0]
