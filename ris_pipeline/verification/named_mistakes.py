"""Mistakes that are made with one function: another form of its formula."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.spectral import (
    eigenvalues,
    hermitize,
    matrix_sqrt,
    projector,
)
from ris_pipeline.spectral.hermitian import eigh
from ris_pipeline.verification.cause import Cause

Named = tuple[tuple[Cause, str, Callable[..., Any]], ...]


def _with_its_diagonal(matrix: Tensor) -> Tensor:
    return hermitize(matrix) + 1j * torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1).imag)


def _stretched(matrix: Tensor, real: float, imaginary: float) -> Tensor:
    return real * matrix.real + 1j * imaginary * matrix.imag


def _of_transposed_slope(matrix: Tensor) -> Tensor:
    change = matrix - matrix.detach()
    return hermitize(matrix).detach() + (change + change.mT) / 2


HERMITIAN_PARTS: Named = (
    (Cause.CONJUGATED, "Its gradient adds the transpose.", _of_transposed_slope),
    (Cause.NOT_HERMITIAN, "It answers its argument.", lambda r: r.clone()),
    (Cause.NOT_HERMITIAN, "The diagonal keeps its imaginary part.", _with_its_diagonal),
    (Cause.SIGN, "It answers the skew part.", lambda r: (r - r.mH) / 2),
    (Cause.SIGN, "It answers the skew part.", lambda r: (r.mH - r) / 2),
    (Cause.CONJUGATED, "It adds the transpose.", lambda r: (r + r.mT) / 2),
    (Cause.HALF, "Its imaginary part is twice ours.", lambda r: _stretched(hermitize(r), 1.0, 2.0)),
    (Cause.HALF, "Its real part is twice ours.", lambda r: _stretched(hermitize(r), 2.0, 1.0)),
    (Cause.REAL_PART, "It adds the real part.", lambda r: (r + r.real) / 2),
    (
        Cause.HALF,
        "It doubles what is off the diagonal.",
        lambda r: 2 * hermitize(r) - torch.diag_embed(hermitize(r).diagonal(dim1=-2, dim2=-1)),
    ),
    (Cause.ROOT, "It answers R R^H.", lambda r: r @ r.mH),
    (Cause.ROOT, "It answers R^H R.", lambda r: r.mH @ r),
)


def _gap(values: Tensor, k: int) -> Tensor:
    return values[..., k - 1] - values[..., k]


def _ratio(values: Tensor, k: int) -> Tensor:
    return values[..., k - 1] / values[..., k]


def _with_slope(matrix: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """A value that has another gradient."""
    change = (matrix - matrix.detach()).conj() * slope.detach()
    return value.detach() + change.sum((-2, -1)).real


def _transposed_slope(matrix: Tensor, k: int) -> Tensor:
    """`v v^T` for `v v^H`."""
    upper, lower = (columns(matrix)[..., place, None] for place in (k - 1, k))
    return upper @ upper.mT - lower @ lower.mT


def _gap_of_another_slope(matrix: Tensor, k: int) -> Tensor:
    gap = _gap(eigenvalues(matrix), k)
    return _with_slope(matrix, gap, _transposed_slope(matrix, k))


SLOPED_GAPS: Named = (
    (Cause.CONJUGATED, "Its gradient has v v^T for v v^H.", _gap_of_another_slope),
)
SLOPED_HINGES: Named = (
    (
        Cause.CONJUGATED,
        "Its gradient has v v^T for v v^H.",
        lambda r, k, c: (c - _gap_of_another_slope(r, k)).relu().mean(),
    ),
)
GAPS: Named = tuple(
    (cause, story, lambda r, k, form=form: form(eigenvalues(r), k))
    for cause, story, form in (
        (Cause.SCALE, "It divides the gap by the largest.", lambda w, k: _gap(w, k) / w[..., 0]),
        (Cause.SCALE, "It divides by lambda_k.", lambda w, k: _gap(w, k) / w[..., k - 1]),
        (Cause.SCALE, "It divides by the trace.", lambda w, k: _gap(w, k) / w.sum(-1)),
        (Cause.SCALE, "It answers a ratio.", _ratio),
        (Cause.RECIPROCAL, "It answers the ratio upside down.", lambda w, k: 1 / _ratio(w, k)),
        (
            Cause.LOGARITHM,
            "It answers a difference of logarithms.",
            lambda w, k: _ratio(w, k).log(),
        ),
        (Cause.ROOT, "It answers for R^2.", lambda w, k: _gap(w.square(), k)),
        (
            Cause.STATISTIC,
            "From lambda_k to the mean of the rest.",
            lambda w, k: w[..., k - 1] - w[..., k:].mean(-1),
        ),
        (
            Cause.STATISTIC,
            "From the mean of the first k to that of the rest.",
            lambda w, k: w[..., :k].mean(-1) - w[..., k:].mean(-1),
        ),
        (
            Cause.STATISTIC,
            "The largest gap from k on.",
            lambda w, k: -w[..., k - 1 :].diff(dim=-1).amin(-1),
        ),
        (Cause.STATISTIC, "The largest gap, whatever k.", lambda w, k: -w.diff(dim=-1).amin(-1)),
        (Cause.OFF_BY_ONE, "From lambda_1 to lambda_k+1.", lambda w, k: w[..., 0] - w[..., k]),
        (Cause.OFF_BY_ONE, "From lambda_k to the last.", lambda w, k: w[..., k - 1] - w[..., -1]),
    )
)


def _every_gap(values: Tensor, k: int, margin: float) -> Tensor:
    return torch.stack([(margin - _gap(values, j)).relu() for j in range(1, k + 1)])


def _upside_down(values: Tensor, k: int) -> Tensor:
    return _gap(values.flip(-1), k)


def _half_detached(values: Tensor, k: int, live: int) -> Tensor:
    upper, lower = values[..., k - 1], values[..., k]
    return upper - lower.detach() if live == 0 else upper.detach() - lower


def _over_active(values: Tensor, k: int, margin: float) -> Tensor:
    """Of which the mean is the sum over the number of those that are not zero."""
    hinge = (margin - _gap(values, k)).relu()
    return hinge * hinge.numel() / (hinge > 0).sum().clamp_min(1)


_HINGES: tuple[tuple[Cause, str, Callable[[Tensor, int, float], Tensor]], ...] = (
    (Cause.SCALE, "It takes the mean over the matrices that are active.", _over_active),
    (Cause.NEVER_RESTS, "It has no hinge.", lambda w, k, c: c - _gap(w, k)),
    (Cause.NEVER_RESTS, "It answers |c - gap|.", lambda w, k, c: (c - _gap(w, k)).abs()),
    (Cause.RANGE, "It is cut at one.", lambda w, k, c: (c - _gap(w, k)).clamp(0, 1)),
    (Cause.NEVER_RESTS, "It answers (c - gap)^2.", lambda w, k, c: (c - _gap(w, k)).square()),
    (Cause.ASCENDING, "Its values ascend.", lambda w, k, c: (c - _upside_down(w, k)).relu()),
    (Cause.SIGN, "It adds the gap.", lambda w, k, c: (c + _gap(w, k)).relu()),
    (Cause.SIGN, "It pays for open gaps.", lambda w, k, c: (_gap(w, k) - c).relu()),
    (
        Cause.SCALE,
        "Its margin is a part of the largest eigenvalue.",
        lambda w, k, c: (c * w[..., 0] - _gap(w, k)).relu(),
    ),
    (
        Cause.SCALE,
        "Its margin is a part of the mean eigenvalue.",
        lambda w, k, c: (c * w.mean(-1) - _gap(w, k)).relu(),
    ),
    (
        Cause.SCALE,
        "Its gap is a part of the largest eigenvalue.",
        lambda w, k, c: (c - _gap(w, k) / w[..., 0]).relu(),
    ),
    (
        Cause.SCALE,
        "Its gap is a part of lambda_k.",
        lambda w, k, c: (c - _gap(w, k) / w[..., k - 1]).relu(),
    ),
    (
        Cause.SCALE,
        "Its gap is a part of the trace.",
        lambda w, k, c: (c - _gap(w, k) / w.sum(-1)).relu(),
    ),
    (Cause.SCALE, "It divides by the margin.", lambda w, k, c: (1 - _gap(w, k) / c).relu()),
    (Cause.SCALE, "Its gap is a ratio.", lambda w, k, c: (c - _ratio(w, k)).relu()),
    (
        Cause.SCALE,
        "Its gap is one of decibels.",
        lambda w, k, c: (c - 10 * _ratio(w, k).log10()).relu(),
    ),
    (Cause.SCALE, "Its gap is one of logarithms.", lambda w, k, c: (c - _ratio(w, k).log()).relu()),
    (Cause.OFF_BY_ONE, "It adds the hinges up to k.", lambda w, k, c: _every_gap(w, k, c).sum(0)),
    (
        Cause.OFF_BY_ONE,
        "It takes the mean of the hinges up to k.",
        lambda w, k, c: _every_gap(w, k, c).mean(0),
    ),
    (
        Cause.OFF_BY_ONE,
        "The gap lies between lambda_1 and lambda_k+1.",
        lambda w, k, c: (c - (w[..., 0] - w[..., k])).relu(),
    ),
    (
        Cause.OFF_BY_ONE,
        "The gap lies between lambda_k and the smallest.",
        lambda w, k, c: (c - (w[..., k - 1] - w[..., -1])).relu(),
    ),
    (
        Cause.MEAN_TOO_EARLY,
        "The hinge of the mean.",
        lambda w, k, c: (c - _gap(w, k).mean()).relu(),
    ),
    (
        Cause.DETACHED,
        "lambda_k has no gradient.",
        lambda w, k, c: (c - _half_detached(w, k, 1)).relu(),
    ),
    (
        Cause.DETACHED,
        "lambda_k+1 has no gradient.",
        lambda w, k, c: (c - _half_detached(w, k, 0)).relu(),
    ),
)


def _hinges(spectrum: Callable[[Tensor], Tensor]) -> Named:
    return tuple(
        (cause, story, lambda r, k, c, form=form: form(spectrum(r), k, c).mean())
        for cause, story, form in _HINGES
    )


def _of_factor(factor: Tensor) -> Tensor:
    return eigenvalues(factor @ factor.mH)


FACTOR_HINGES: Named = (
    *_hinges(_of_factor),
    (
        Cause.ROOT,
        "It takes singular values of F for eigenvalues of F F^H.",
        lambda f, k, c: (c - _gap(_of_factor(f).clamp_min(0).sqrt(), k)).relu().mean(),
    ),
    (
        Cause.ROOT,
        "It squares the gap of the singular values.",
        lambda f, k, c: (c - _gap(_of_factor(f).clamp_min(0).sqrt(), k).square()).relu().mean(),
    ),
)


def columns(matrix: Tensor) -> Tensor:
    """Eigenvectors in descending order of their values."""
    return eigh(matrix)[1]


def _scaled(matrix: Tensor, k: int) -> Tensor:
    values, vectors = eigh(matrix)
    return vectors[..., :k] * values[..., None, :k].abs()


def _iterated(matrix: Tensor, k: int, steps: int) -> Tensor:
    """Orthogonal iteration (Golub and Van Loan, section 8.2.4) from the first unit vectors."""
    basis = torch.eye(matrix.shape[-1], dtype=matrix.dtype)[:, :k].expand(*matrix.shape[:-1], k)
    for _ in range(steps):
        basis = torch.linalg.qr(hermitize(matrix) @ basis)[0]
    return basis


def centred_rows(matrix: Tensor) -> Tensor:
    """The Hermitian part, less the mean of every row."""
    return hermitize(matrix) - hermitize(matrix).mean(-1, keepdim=True)


def cut_anew(matrix: Tensor) -> Tensor:
    """The shape of the transpose, with the entries in the order that they had."""
    return matrix.reshape(*matrix.shape[:-2], matrix.shape[-1], matrix.shape[-2])


def _left_vectors(matrix: Tensor) -> Tensor:
    """Left singular vectors."""
    return columns(matrix @ matrix.mH)


SIGNAL_BASES: Named = (
    (
        Cause.STATISTIC,
        "It subtracts the mean of every row, as of data.",
        lambda r, k: _left_vectors(centred_rows(r))[..., :k],
    ),
    (
        Cause.STATISTIC,
        "It subtracts the mean of every column, as of data.",
        lambda r, k: _left_vectors(centred_rows(r).mH)[..., :k],
    ),
    *(
        (
            Cause.UNCONVERGED,
            f"{steps} steps of orthogonal iteration.",
            lambda r, k, steps=steps: _iterated(r, k, steps),
        )
        for steps in (1, 3, 5, 10, 20)
    ),
    (Cause.NOT_ORTHONORMAL, "Its columns are times lambda.", _scaled),
    (
        Cause.NOT_ORTHONORMAL,
        "Its columns are times sqrt(lambda).",
        lambda r, k: _scaled(matrix_sqrt(r), k),
    ),
    *(
        (cause, story, lambda r, k, form=form: form(columns(r), k))
        for cause, story, form in (
            (Cause.OFF_BY_ONE, "The first column is left out.", lambda v, k: v[..., 1 : k + 1]),
            (Cause.ASCENDING, "The last k columns.", lambda v, k: v[..., -k:]),
            (Cause.ROWS, "The first k rows.", lambda v, k: v[..., :k, :].mT),
            (Cause.ROWS, "The last k rows.", lambda v, k: v.flip(-1)[..., -k:, :].mT),
            (Cause.ROWS, "The first k rows of V^H.", lambda v, k: v.mH[..., :k].contiguous()),
            (Cause.ROWS, "The rows in reverse.", lambda v, k: v[..., :k].flip(-2)),
            (Cause.ROWS, "The rows in reverse.", lambda v, k: v.flip(-2)[..., -k:]),
        )
    ),
)
NOISE_BASES: Named = tuple(
    (cause, story, lambda r, k, form=form: form(columns(r), k))
    for cause, story, form in (
        (Cause.ASCENDING, "The first n - k columns.", lambda v, k: v[..., : v.shape[-1] - k]),
        (Cause.OFF_BY_ONE, "The last column is left out.", lambda v, k: v[..., k - 1 : -1]),
        (Cause.ROWS, "The last n - k rows.", lambda v, k: v[..., k:, :].mT),
        (Cause.ROWS, "The rows in reverse.", lambda v, k: v[..., k:].flip(-2)),
        (
            Cause.AXES,
            "The rows are turned round, not the columns.",
            lambda v, k: v.flip(-1).flip(-2)[..., k:],
        ),
    )
)
PROJECTORS: Named = (
    (
        Cause.BROADCAST,
        "It multiplies the sums of the columns.",
        lambda u: u.sum(-1)[..., :, None] * u.conj().sum(-1)[..., None, :],
    ),
    (
        Cause.AXES,
        "It reshapes U^* for U^H.",
        lambda u: u @ cut_anew(u.conj().resolve_conj()),
    ),
    (
        Cause.AXES,
        "It reshapes U for U^T: other columns.",
        lambda u: projector(cut_anew(u).mT),
    ),
    (Cause.OFF_BY_ONE, "Of the last column alone.", lambda u: projector(u[..., -1:])),
    (Cause.OFF_BY_ONE, "Of the first column alone.", lambda u: projector(u[..., :1])),
    (Cause.OFF_BY_ONE, "The last column is left out.", lambda u: projector(u[..., :-1])),
    (Cause.CONJUGATED, "It answers U U^T.", lambda u: u @ u.mT),
    (Cause.ROWS, "It answers U^H U.", lambda u: u.mH @ u),
    (Cause.SCALE, "It divides by the number of columns.", lambda u: projector(u) / u.shape[-1]),
)


def _by_sweeps(matrix: Tensor, sweeps: int) -> Tensor:
    """The QR algorithm without shifts (Golub and Van Loan, section 7.3.3)."""
    turned = hermitize(matrix)
    for _ in range(sweeps):
        q, r = torch.linalg.qr(turned)
        turned = r @ q
    return turned.diagonal(dim1=-2, dim2=-1).real.sort(descending=True)[0]


SPECTRA: Named = tuple(
    (
        Cause.UNCONVERGED,
        f"{sweeps} sweeps of the QR algorithm.",
        lambda r, sweeps=sweeps: _by_sweeps(r, sweeps),
    )
    for sweeps in (10, 20, 30, 50, 60, 100, 200)
)


NAMED: dict[str, Named] = {
    "hermitize": HERMITIAN_PARTS,
    "eigenvalues": SPECTRA,
    "eigengap": (*GAPS, *SLOPED_GAPS),
    "eigengap_loss": (*_hinges(eigenvalues), *SLOPED_HINGES),
    "factor_eigengap_loss": FACTOR_HINGES,
    "signal_subspace": SIGNAL_BASES,
    "noise_subspace": NOISE_BASES,
    "projector": PROJECTORS,
}
"""By the names of `target.places()`."""
