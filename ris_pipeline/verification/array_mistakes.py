"""Mistakes made with snapshots, loading, averages, roots and model order."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.spectral import (
    eigenvalues,
    hermitize,
)
from ris_pipeline.spectral.hermitian import eigh
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.linear_array_mistakes import LINEAR_ARRAYS
from ris_pipeline.verification.model_order_mistakes import MODEL_ORDERS
from ris_pipeline.verification.named_mistakes import Named
from ris_pipeline.verification.snapshot_mistakes import SNAPSHOTS, identity, mean_power

LOADINGS: Named = (
    (
        Cause.SCALE,
        "It loads each entry in proportion to itself.",
        lambda r, d: r + d * torch.diag_embed(r.diagonal(dim1=-2, dim2=-1)),
    ),
    (Cause.BROADCAST, "It adds the loading to every entry.", lambda r, d: r + d),
    (
        Cause.RANGE,
        "It raises the diagonal to the loading.",
        lambda r, d: r + torch.diag_embed((d - r.diagonal(dim1=-2, dim2=-1).real).clamp_min(0)),
    ),
    (
        Cause.LOADING_LOST,
        "It puts the loading in place of the diagonal.",
        lambda r, d: r - torch.diag_embed(r.diagonal(dim1=-2, dim2=-1)) + d * identity(r),
    ),
    (Cause.SIGN, "It subtracts the loading.", lambda r, d: r - d * identity(r)),
    (Cause.ROOT, "It adds the square of the loading.", lambda r, d: r + d**2 * identity(r)),
    (Cause.ROOT, "It adds the root of the loading.", lambda r, d: r + d**0.5 * identity(r)),
    (Cause.HALF, "It adds half of the loading.", lambda r, d: r + d / 2 * identity(r)),
    (Cause.HALF, "It adds twice the loading.", lambda r, d: r + 2 * d * identity(r)),
    (Cause.LOADING_LOST, "It adds nothing.", lambda r, d: r.clone()),
    (
        Cause.SCALE,
        "Its loading is a part of the mean power.",
        lambda r, d: r + d * mean_power(r) * identity(r),
    ),
    (
        Cause.SCALE,
        "Its loading is a part of the largest eigenvalue.",
        lambda r, d: r + d * eigenvalues(r)[..., :1, None] * identity(r),
    ),
    (
        Cause.SCALE,
        "It keeps the trace.",
        lambda r, d: (r + d * identity(r)) * mean_power(r) / (mean_power(r) + d),
    ),
)


def _turned(matrix: Tensor, *axes: int) -> Tensor:
    return matrix.conj().resolve_conj().flip(axes) if axes else matrix.conj().resolve_conj()


BACKWARDS: Named = (
    (Cause.CONJUGATED, "It adds J R J.", lambda r: (r + r.flip(-1, -2)) / 2),
    (Cause.REAL_PART, "It adds R^*.", lambda r: (r + _turned(r)) / 2),
    (Cause.AXES, "It turns the columns alone.", lambda r: (r + _turned(r, -1)) / 2),
    (Cause.AXES, "It turns the rows alone.", lambda r: (r + _turned(r, -2)) / 2),
    (
        Cause.BROADCAST,
        "It adds J R^* J entry by entry.",
        lambda r: (r + identity(r).flip(-1) * r.conj()) / 2,
    ),
    (Cause.LEFT_OUT, "It answers the backward part.", lambda r: _turned(r, -1, -2)),
    (Cause.LEFT_OUT, "It answers the forward part.", lambda r: r.clone()),
    (Cause.AXES, "It adds J R.", lambda r: (r + r.flip(-2)) / 2),
    (Cause.AXES, "It adds R J.", lambda r: (r + r.flip(-1)) / 2),
    (Cause.BATCH, "It turns the batch too.", lambda r: (r + _turned(r, *range(r.ndim))) / 2),
)


def _blocks(matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return matrix[..., rows[:, :, None], columns[:, None, :]]


def _median(blocks: Tensor) -> Tensor:
    """By numpy, which sorts complex numbers by their real parts."""
    return torch.from_numpy(np.asarray(np.median(blocks.numpy(), axis=-3)))


def _as_a_number(matrix: Tensor, windows: Tensor) -> Tensor:
    """So many subarrays, not of that size."""
    count, size = windows.shape
    starts = torch.arange(size)[:, None] + torch.arange(count)
    return _blocks(matrix, starts, starts).mean(-3)


SMOOTHINGS: Named = (
    (Cause.SCALE, "It takes the size for the number of subarrays.", _as_a_number),
    (Cause.SUM_FOR_MEAN, "It sums the windows.", lambda r, w: _blocks(r, w, w).sum(-3)),
    (
        Cause.CHUNK,
        "It leaves the last window out.",
        lambda r, w: _blocks(r, w, w)[..., : max(1, len(w) - 1), :, :].mean(-3),
    ),
    (
        Cause.FENCEPOST,
        "It leaves the first window out.",
        lambda r, w: _blocks(r, w, w)[..., min(1, len(w) - 1) :, :, :].mean(-3),
    ),
    (
        Cause.LEFT_OUT,
        "It takes the first window alone.",
        lambda r, w: _blocks(r, w, w)[..., 0, :, :],
    ),
    (
        Cause.FENCEPOST,
        "Its windows do not overlap.",
        lambda r, w: _blocks(r, w, w)[..., :: w.shape[-1], :, :].mean(-3),
    ),
    (
        Cause.ROWS,
        "The columns do not move with the rows.",
        lambda r, w: _blocks(r, w, w[:1].expand_as(w)).mean(-3),
    ),
    (
        Cause.ROWS,
        "The columns move one further than the rows.",
        lambda r, w: _blocks(r, w, w.roll(-1, 0)).mean(-3),
    ),
    (Cause.ROWS, "The columns come in reverse.", lambda r, w: _blocks(r, w, w.flip(0)).mean(-3)),
    (
        Cause.STATISTIC,
        "It takes the median of the windows.",
        lambda r, w: _median(_blocks(r, w, w)),
    ),
    (
        Cause.BROADCAST,
        "It pairs every window of rows with every window of columns.",
        lambda r, w: r[..., w[:, None, :, None], w[None, :, None, :]].mean((-4, -3)),
    ),
)


def _of_values(power: float) -> Callable[[Tensor], Tensor]:
    """`V D^p V^T`."""

    def made(matrix: Tensor) -> Tensor:
        values, vectors = eigh(matrix)
        return (vectors * values.clamp_min(0)[..., None, :] ** power) @ vectors.mT

    return made


def _cholesky(matrix: Tensor) -> Tensor:
    return torch.linalg.cholesky(hermitize(matrix))


def deviations(matrix: Tensor) -> Tensor:
    """Roots of the diagonal."""
    return matrix.diagonal(dim1=-2, dim2=-1).real.clamp_min(0).sqrt()


WHITENINGS: Named = (
    (Cause.ROWS, "It answers L^-H.", lambda r: torch.linalg.inv(_cholesky(r)).mH),
    (
        Cause.ROWS,
        "It answers the adjoint: L of R^-1 = L L^H.",
        lambda r: _cholesky(torch.linalg.inv(hermitize(r))),
    ),
    (
        Cause.ROWS,
        "It answers the adjoint: V D^-1/2.",
        lambda r: eigh(r)[1] * eigh(r)[0].rsqrt()[..., None, :],
    ),
    (
        Cause.ROWS,
        "It answers the adjoint: V D^-1/2, ascending.",
        lambda r: (eigh(r)[1] * eigh(r)[0].rsqrt()[..., None, :]).flip(-1),
    ),
    (Cause.RECIPROCAL, "It answers L.", _cholesky),
    (
        Cause.AXES,
        "It inverts the diagonal of L alone.",
        lambda r: torch.diag_embed(1 / _cholesky(r).diagonal(dim1=-2, dim2=-1)),
    ),
    (Cause.CONJUGATED, "It answers V D^-1/2 V^T.", _of_values(-0.5)),
    (Cause.ROOT, "It answers R^-1.", lambda r: torch.linalg.inv(hermitize(r))),
    (Cause.ROOT, "It answers R^-1/4.", lambda r: _power(r, -0.25)),
    (
        Cause.STATISTIC,
        "It divides by deviations: correlations stay.",
        lambda r: torch.diag_embed(1 / deviations(r)).to(r.dtype),
    ),
)


def _power(matrix: Tensor, power: float) -> Tensor:
    values, vectors = eigh(matrix)
    return (vectors * values.clamp_min(0)[..., None, :] ** power) @ vectors.mH


def _by_newton_schulz(matrix: Tensor, steps: int, by_trace: bool) -> Tensor:
    """The coupled iteration, from R / |R|_F or R / tr R (N. J. Higham, Functions of Matrices, eq.
    (6.35))."""
    norm = torch.linalg.matrix_norm(hermitize(matrix))[..., None, None]
    norm = matrix.shape[-1] * mean_power(matrix) if by_trace else norm
    y, z = hermitize(matrix) / norm, identity(matrix).expand_as(matrix)
    for _ in range(steps):
        step = (3 * identity(matrix) - z @ y) / 2
        y, z = y @ step, step @ z
    return y * norm.sqrt()


def _with_scaled_rows(ascending: bool, matrix: Tensor) -> Tensor:
    values, vectors = (x.flip(-1) if ascending else x for x in eigh(matrix))
    return (values.clamp_min(0).sqrt()[..., None] * vectors) @ vectors.mH


def _by_entries(ascending: bool, matrix: Tensor) -> Tensor:
    values, vectors = (x.flip(-1) if ascending else x for x in eigh(matrix))
    sums = (vectors @ values.clamp_min(0).sqrt()[..., None].to(vectors.dtype))[..., 0]
    return sums[..., None, :] * vectors.mH


ROOTS: Named = (
    *(
        (Cause.AXES, "It scales the rows of V.", partial(_with_scaled_rows, turn))
        for turn in (False, True)
    ),
    *(
        (
            Cause.UNCONVERGED,
            f"{steps} steps of Newton and Schulz.",
            lambda r, steps=steps, by_trace=by_trace: _by_newton_schulz(r, steps, by_trace),
        )
        for steps in (3, 4, 5, 6, 8, 10, 12, 15, 20)
        for by_trace in (False, True)
    ),
    *(
        (Cause.BROADCAST, "It multiplies V s into the entries of V^H.", partial(_by_entries, turn))
        for turn in (False, True)
    ),
    (Cause.ROOT, "It answers the Cholesky factor.", _cholesky),
    (Cause.ROOT, "It answers the adjoint of the Cholesky factor.", lambda r: _cholesky(r).mH),
    (Cause.ROOT, "It takes the root of every entry.", lambda r: hermitize(r).sqrt()),
    (Cause.CONJUGATED, "It answers V D^1/2 V^T.", _of_values(0.5)),
    (Cause.ROOT, "It answers V D^1/2.", lambda r: eigh(r)[1] * eigh(r)[0].sqrt()[..., None, :]),
)
PROJECTIONS: Named = (
    (
        Cause.LOADING_ADDED,
        "It lifts every eigenvalue by the lowest.",
        lambda r: hermitize(r) - eigenvalues(r)[..., -1:, None].clamp_max(0) * identity(r),
    ),
    (Cause.CONJUGATED, "It answers V D V^T.", _of_values(1.0)),
    (Cause.SIGN, "It answers the negative part.", lambda r: _power(-r, 1.0)),
    (
        Cause.BROADCAST,
        "It clips the entries, not the eigenvalues.",
        lambda r: hermitize(r).real.clamp_min(0) + 1j * hermitize(r).imag,
    ),
    (
        Cause.BROADCAST,
        "It clips the entries, not the eigenvalues.",
        lambda r: hermitize(r).real.clamp_min(0).to(r.dtype),
    ),
)
INVERSES: Named = (
    (Cause.RECIPROCAL, "It answers A^H.", lambda a: a.mH.contiguous()),
    (Cause.CONJUGATED, "It answers the inverse of A^T.", lambda a: torch.linalg.pinv(a).mT),
    *(
        (
            Cause.LOADING_ADDED,
            f"It answers (A^H A + {loading} I)^-1 A^H.",
            lambda a, loading=loading: torch.linalg.solve(a.mH @ a + loading * identity(a), a.mH),
        )
        for loading in (1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
    ),
)


def _factored(matrix: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The hinge of another product of the factor."""

    def made(factor: Tensor, k: int, margin: float) -> Tensor:
        values = eigenvalues(matrix(factor))
        return (margin - values[..., k - 1] + values[..., k]).relu().mean()

    return made


def _side_by_side(factor: Tensor) -> Tensor:
    """Factors of a batch as one, whose product is the mean of theirs."""
    if factor.ndim < 3:
        return factor
    whole = torch.cat(list(factor.flatten(0, -3)), dim=-1)
    return whole / math.sqrt(factor.shape[:-2].numel())


def _without_the_last(factor: Tensor, k: int, margin: float) -> Tensor:
    """lambda_q counts as zero where it stands below the gap."""
    values = eigenvalues(factor @ factor.mH)
    below = values[..., k] * (k < min(factor.shape[-2:]) - 1)
    return (margin - values[..., k - 1] + below).relu().mean()


FACTORS: Named = (
    (Cause.OFF_BY_ONE, "The last of the squares is taken for zero.", _without_the_last),
    (
        Cause.BATCH,
        "It takes the mean of the covariances.",
        _factored(lambda f: _side_by_side(f) @ _side_by_side(f).mH),
    ),
    (Cause.CONJUGATED, "It takes F F^T.", _factored(lambda f: f @ f.mT)),
    (Cause.ROWS, "It takes F^H F.", _factored(lambda f: f.mH @ f)),
    (
        Cause.SCALE,
        "It divides by the number of columns.",
        _factored(lambda f: f @ f.mH / f.shape[-1]),
    ),
    (Cause.SCALE, "It divides by the trace.", _factored(lambda f: f @ f.mH / _trace_of(f))),
    (Cause.DETACHED, "One of the factors has no gradient.", _factored(lambda f: f @ f.detach().mH)),
    (Cause.REAL_PART, "It takes the real part.", _factored(lambda f: (f @ f.mH).real.to(f.dtype))),
)


def _trace_of(factor: Tensor) -> Tensor:
    return factor.abs().square().sum((-2, -1), keepdim=True)


ARRAYS: dict[str, Named] = {
    "add_loading": LOADINGS,
    "forward_backward": BACKWARDS,
    "spatial_smoothing": SMOOTHINGS,
    "whitening": WHITENINGS,
    "matrix_sqrt": ROOTS,
    "psd_projection": PROJECTIONS,
    "pseudo_inverse": INVERSES,
    **SNAPSHOTS,
    **MODEL_ORDERS,
    "factor_eigengap_loss": FACTORS,
    **LINEAR_ARRAYS,
}
"""By the names of `target.places()`."""
