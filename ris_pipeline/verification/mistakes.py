"""Mistakes that can be made with any function: ours, asked or answered otherwise.

    theirs(R, k, ..) = after(ours(before(R), k + 1, ..))

A bug of the catalogue is a function that somebody wrote; a mistake is what is wrong with it, and
can be tried on every function of a matrix alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.spectral import hermitize
from ris_pipeline.verification.array_mistakes import ARRAYS, deviations
from ris_pipeline.verification.bookkeeping_mistakes import EPOCHS, NORMS
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.families import BASES, ESTIMATES, MEANS, NAMES, SPECTRA, ULA
from ris_pipeline.verification.named_mistakes import NAMED, centred_rows
from ris_pipeline.verification.spectrum_mistakes import FORMED
from ris_pipeline.verification.steering_mistakes import STEERING

Function = Callable[..., Any]

OF_HERMITIAN = tuple(
    name
    for name in NAMES
    if name not in (*ESTIMATES, "projector", "factor_eigengap_loss", "pseudo_inverse")
)
"""Those that take a Hermitian matrix first."""
MATRIX_VALUED = (
    "hermitize",
    "add_loading",
    "forward_backward",
    "spatial_smoothing",
    "matrix_sqrt",
    "psd_projection",
    "whitening",
    "pseudo_inverse",
    "projector",
    *ESTIMATES,
)
"""Those that answer a square matrix."""
WITH_ORDER = {
    "eigengap": 0,
    "eigengap_loss": 0,
    "factor_eigengap_loss": 0,
    "signal_subspace": 0,
    "noise_subspace": 0,
    "music_spectrum": 1,
    "ula_music": 0,
    "esprit": 0,
    "root_music": 0,
}
"""Where k stands behind the matrix."""


@dataclass(frozen=True)
class Mistake:
    """What is done otherwise: the whole function as it would be with the mistake."""

    cause: Cause
    story: str
    function: Function


def _spectral(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of the eigenvalues."""

    def changed(matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(hermitize(matrix))
        return (vectors * change(values)[..., None, :]) @ vectors.mH

    return changed


def _positive_part(matrix: Tensor) -> Tensor:
    """Of what has one: a Hermitian matrix."""
    square = matrix.shape[-1] == matrix.shape[-2]
    if not square or not bool(torch.allclose(matrix, matrix.mH)):
        return matrix
    return _spectral(lambda w: w.clamp_min(0))(matrix)


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1).real[..., None, None]


def _correlations(matrix: Tensor) -> Tensor:
    level = deviations(matrix)
    return hermitize(matrix) / (level[..., :, None] * level[..., None, :])


def _mirrored(matrix: Tensor) -> Tensor:
    lower = matrix.tril(-1)
    return lower + lower.mH + torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))


def _mean_of_batch(matrix: Tensor) -> Tensor:
    return matrix.mean(dim=tuple(range(matrix.ndim - 2)), keepdim=True).expand_as(matrix)


BEFORE: tuple[tuple[Cause, str, Callable[[Tensor], Tensor]], ...] = (
    (Cause.CONJUGATED, "It answers for R^T = R^*.", lambda r: r.conj().resolve_conj()),
    (Cause.REAL_PART, "It answers for Re R.", lambda r: r.real.to(r.dtype)),
    (Cause.NOT_HERMITIAN, "It reads the lower triangle only.", _mirrored),
    (Cause.NOT_HERMITIAN, "It reads the upper triangle only.", lambda r: _mirrored(r.mH)),
    (
        Cause.SINGULAR_FOR_EIGEN,
        "It answers for |R|: singular values have no sign.",
        _spectral(torch.abs),
    ),
    (Cause.CLIPPED, "It answers for the positive part of R.", _spectral(lambda w: w.clamp_min(0))),
    (
        Cause.STATISTIC,
        "It subtracts the mean of every row.",
        centred_rows,
    ),
    (
        Cause.STATISTIC,
        "It subtracts the mean of every column.",
        lambda r: centred_rows(r).mH,
    ),
    (Cause.SCALE, "It answers for the correlations.", _correlations),
    (Cause.SCALE, "It divides R by its trace first.", lambda r: r / _trace(r)),
    (Cause.SCALE, "It makes tr R = n first.", lambda r: r.shape[-1] * r / _trace(r)),
    (Cause.BATCH, "It answers for the mean of the batch.", _mean_of_batch),
    (Cause.ROOT, "It answers for R^2.", lambda r: r @ r),
    (Cause.ASCENDING, "It answers for the other end of the spectrum.", torch.linalg.inv),
)
"""Of a matrix. Of R^-1 the eigenvalues have the other order."""

AFTER: tuple[tuple[Cause, str, Callable[[Tensor], Tensor]], ...] = (
    (Cause.SIGN, "Its answer has the other sign.", lambda y: -y),
    (Cause.HALF, "Its answer is twice ours.", lambda y: 2 * y),
    (Cause.HALF, "Its answer is half of ours.", lambda y: y / 2),
    (Cause.ROOT, "Its answer is the square of ours.", lambda y: y * y),
    (Cause.ROOT, "Its answer is the root of ours.", lambda y: y**0.5),
    (Cause.RECIPROCAL, "Its answer is the reciprocal of ours.", lambda y: 1 / y),
)
"""Of any answer but a basis."""
AFTER_MATRIX: tuple[tuple[Cause, str, Callable[[Tensor], Tensor]], ...] = (
    (Cause.CONJUGATED, "Its answer is the conjugate of ours.", lambda y: y.conj().resolve_conj()),
    (Cause.ROWS, "Its answer is the transpose of ours.", lambda y: y.mT),
    (Cause.REAL_PART, "Its answer is the real part of ours.", lambda y: y.real.to(y.dtype)),
    (Cause.OTHER_SUBSPACE, "It answers I minus ours.", lambda y: torch.eye(y.shape[-1]) - y),
)
AFTER_VALUES: tuple[tuple[Cause, str, Callable[[Tensor], Tensor]], ...] = (
    (Cause.ASCENDING, "Its values ascend.", lambda y: y.flip(-1)),
    (Cause.CLIPPED, "It clips negative values.", lambda y: y.clamp_min(0)),
    (Cause.SINGULAR_FOR_EIGEN, "It answers magnitudes.", torch.abs),
    (Cause.SCALE, "It divides by the largest.", lambda y: y / y[..., :1]),
    (Cause.SCALE, "It divides by the sum.", lambda y: y / y.sum(-1, keepdim=True)),
)


def _asked(function: Function, change: Callable[[Tensor], Tensor]) -> Function:
    return lambda matrix, *rest: function(change(matrix), *rest)


def _answered(function: Function, change: Callable[[Tensor], Tensor]) -> Function:
    return lambda matrix, *rest: change(function(matrix, *rest))


def _of_order(function: Function, place: int, change: Callable[[int, int], int]) -> Function:
    def mistaken(matrix: Tensor, *rest: Any) -> Any:
        given = list(rest)
        given[place] = change(int(given[place]), matrix.shape[-2])
        return function(matrix, *given)

    return mistaken


def _with_steering(function: Function, place: int, change: Callable[[Tensor], Tensor]) -> Function:
    def mistaken(matrix: Tensor, *rest: Any) -> Any:
        given = list(rest)
        given[place] = change(given[place])
        return function(matrix, *given)

    return mistaken


def _over_batch(function: Function, change: Callable[[Tensor], Tensor]) -> Function:
    """A mean over the batch that is another number of its parts."""

    def mistaken(matrix: Tensor, *rest: Any) -> Any:
        if matrix.ndim < 3:
            return function(matrix, *rest)
        return change(torch.stack([function(one, *rest) for one in matrix.flatten(0, -3)]))

    return mistaken


PARTS: tuple[tuple[Cause, str, Callable[[Tensor], Tensor]], ...] = (
    (Cause.SUM_FOR_MEAN, "It sums over the batch.", torch.sum),
    (Cause.BATCH, "It answers for the first of the batch.", lambda y: y[0]),
    (Cause.BATCH, "It answers for the last of the batch.", lambda y: y[-1]),
    (Cause.BATCH, "It takes the largest of the batch.", torch.max),
    (Cause.BATCH, "It takes the median of the batch.", torch.median),
    (Cause.CHUNK, "It leaves out the last of the batch.", lambda y: y[:-1].mean()),
    *(
        (
            Cause.LAST_GROUP,
            f"It takes the mean of the means of {size}, the last and shorter one too.",
            lambda y, size=size: torch.stack([part.mean() for part in y.split(size)]).mean(),
        )
        for size in (2, 4, 8, 16, 32, 64)
    ),
    *(
        (
            Cause.CHUNK,
            f"It leaves out what does not fill {size}.",
            lambda y, size=size: y[: max(len(y) // size * size, len(y) % size)].mean(),
        )
        for size in (2, 4, 8, 16)
    ),
)


def _named(name: str) -> Iterator[Mistake]:
    for named in (NAMED, FORMED, ARRAYS):
        yield from (Mistake(*entry) for entry in named.get(name, ()))


def two_mistakes(name: str) -> Iterator[Mistake]:
    """Every mistake that is made with one function, and then one that can be made with any."""
    after = AFTER_MATRIX[:3] if name in MATRIX_VALUED else AFTER if name not in BASES else ()
    for one in _named(name):
        for table, make in ((BEFORE if name in OF_HERMITIAN else (), _asked), (after, _answered)):
            for _, story, change in table:
                told = f"{one.story} And: {story[0].lower()}{story[1:]}"
                yield Mistake(one.cause, told, make(one.function, change))


def mistakes(name: str, function: Function) -> Iterator[Mistake]:
    """Every mistake that goes with a name, made with our function of that name."""

    def made(table: tuple[tuple[Cause, str, Any], ...], make: Any) -> Iterator[Mistake]:
        return (Mistake(cause, story, make(function, change)) for cause, story, change in table)

    if name in OF_HERMITIAN:
        yield from made(BEFORE, _asked)
    if name == "pseudo_inverse":
        clipped = _asked(function, _positive_part)
        yield Mistake(Cause.CLIPPED, "It answers for the positive part of R.", clipped)
        lower = _asked(function, lambda r: _mirrored(r) if r.shape[-1] == r.shape[-2] else r)
        yield Mistake(Cause.NOT_HERMITIAN, "It reads the lower triangle only.", lower)
    yield from _named(name)
    own = {"gradient_norm": NORMS, "run_epoch": EPOCHS, "steering_vector": STEERING}
    yield from (Mistake(*entry) for entry in own.get(name, ()))
    if name not in BASES and name not in own and name not in ("esprit", "root_music", "mdl", "aic"):
        yield from made(AFTER, _answered)
    if name in MATRIX_VALUED:
        yield from made(AFTER_MATRIX, _answered)
    if name in ("eigenvalues", "singular_values"):
        yield from made(AFTER_VALUES, _answered)
    if name in MEANS:
        yield from made(PARTS, _over_batch)
    if name in (*SPECTRA, *ULA):
        decibels = _answered(function, lambda y: 20 * y.log10())
        yield Mistake(Cause.DECIBELS, "It answers 20 log10 of a power.", decibels)
        yield Mistake(
            Cause.SCALE,
            "It divides by its largest value.",
            _answered(function, lambda y: y / y.amax(-1, keepdim=True)),
        )
    if name in SPECTRA:
        yield Mistake(
            Cause.CONJUGATED,
            "It answers for the conjugate steering vectors.",
            _with_steering(function, 0, lambda a: a.conj().resolve_conj()),
        )
        yield Mistake(
            Cause.MODULUS,
            "It normalises the steering vectors.",
            _with_steering(function, 0, lambda a: a / torch.linalg.vector_norm(a, dim=-2)),
        )
    if name in WITH_ORDER:
        place = WITH_ORDER[name]
        for cause, story, change in (
            (Cause.OFF_BY_ONE, "It answers for k + 1.", lambda k, n: k + 1),
            (Cause.OFF_BY_ONE, "It answers for k - 1.", lambda k, n: k - 1),
            (Cause.ASCENDING, "It answers for n - k.", lambda k, n: n - k),
        ):
            yield Mistake(cause, story, _of_order(function, place, change))
