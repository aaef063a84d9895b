"""Fixed arguments of functions of matrices, snapshots, factors and linear arrays."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline.spectral import eigengap
from ris_pipeline.verification.case import Case, Run, row
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.oracles import ula
from ris_pipeline.verification.target import Claim, taken

N = 5
SMALL = 1e-9


def _gaussian(*shape: int) -> NDArray[np.complex128]:
    generator = np.random.default_rng(11)
    return np.asarray(generator.standard_normal(shape) + 1j * generator.standard_normal(shape))


def _matrices() -> tuple[Tensor, ...]:
    """Positive definite; small; a batch; indefinite; not Hermitian."""
    q = np.linalg.qr(_gaussian(3, N, N))[0]

    def made(values: list[float], i: int) -> NDArray[np.complex128]:
        return np.asarray((q[i] * np.array(values)) @ q[i].conj().T)

    positive, other = made([5, 3.5, 2, 1, 0.25], 0), made([6, 3, 2, 1, 0.5], 1)
    indefinite = made([4, 3, 0.5, -2, -3.5], 2)
    every = (positive, SMALL * other, np.stack((positive, other)), indefinite)
    skew = positive + 0.3 * _gaussian(N, N)
    return tuple(torch.from_numpy(np.ascontiguousarray(m)) for m in (*every, skew))


SYMPTOMS: tuple[tuple[tuple[Cause, ...], str], ...] = (
    ((), "a positive definite matrix"),
    ((Cause.GUARD,), "powers of 1e-9"),
    ((Cause.BATCH,), "a batch"),
    ((Cause.SINGULAR_FOR_EIGEN, Cause.CLIPPED), "an indefinite matrix"),
    ((Cause.NOT_HERMITIAN,), "a matrix that is not Hermitian"),
)
"""Of the matrices."""


def _run(matrix: Tensor, *rest: Any, unit: float = 1.0) -> Run:
    return lambda function: row(function(matrix.clone(), *rest)) / unit


def _labelled(count: int, *rest: Any, power: float = 1.0) -> Iterator[Case]:
    """So many of the matrices; power: of the matrix, that its answer grows with."""
    for matrix, symptoms in zip(_matrices()[:count], SYMPTOMS, strict=False):
        unit = SMALL**power if Cause.GUARD in symptoms[0] else 1.0
        yield Case(_run(matrix, *rest, unit=unit), *symptoms)


def _positive(*rest: Any, power: float = 1.0) -> Iterator[Case]:
    return _labelled(3, *rest, power=power)


def _projected() -> Iterator[Case]:
    yield from _labelled(5)
    positive, _, _, indefinite, _ = _matrices()
    weak, where = _run(SMALL * indefinite, unit=SMALL), "a weak indefinite matrix"
    yield Case(weak, (Cause.GUARD,), where)
    where = "a batch whose first is positive definite"
    yield Case(_run(torch.stack((positive, indefinite))), (Cause.BATCH,), where)


def _whitened() -> Iterator[Case]:
    for matrix, symptoms in zip(_matrices()[:3], SYMPTOMS, strict=False):

        def run(function: Callable[..., Any], m: Tensor = matrix) -> NDArray[np.complex128]:
            white = torch.as_tensor(function(m.clone())).to(torch.complex128)
            # Up to a unitary factor: what it does, and W^H W.
            inverse = white.mH @ white * m.abs().amax()
            return np.concatenate((row(white @ m @ white.mH), row(inverse)))

        yield Case(run, *symptoms)


def _inverted() -> Iterator[Case]:
    wide = torch.from_numpy(_gaussian(3, N))
    yield from _labelled(3, power=-1.0)
    indefinite, where = _matrices()[3], "an indefinite matrix"
    for matrix in (indefinite, -indefinite):
        yield Case(_run(matrix), (Cause.CLIPPED,), where)
    skew, (symptoms, where) = _matrices()[4], SYMPTOMS[4]
    yield Case(_run(skew), symptoms, where)
    yield Case(_run(wide), (Cause.ROWS,), "more columns than rows")
    yield Case(_run(wide.mT.clone()), (Cause.ROWS,), "more rows than columns")


SNAPSHOTS: tuple[tuple[tuple[int, ...], tuple[Cause, ...], str], ...] = (
    ((3, 4), (), "four snapshots"),
    ((2, 1), (Cause.ROWS,), "one snapshot"),
    ((4, 3), (Cause.ROWS,), "fewer snapshots than antennas"),
    ((4, 40), (Cause.CHUNK, Cause.LAST_GROUP, Cause.SIZE), "forty snapshots"),
    ((2, 700), (Cause.CHUNK, Cause.SIZE), "seven hundred snapshots"),
    ((2, 3, 8), (Cause.BATCH,), "a batch"),
)


def _snapshots() -> Iterator[Case]:
    for shape, symptoms, where in SNAPSHOTS:
        yield Case(_run(torch.from_numpy(_gaussian(*shape) + 0.5)), symptoms, where)


def _loaded() -> Iterator[Case]:
    yield from _labelled(4, 0.75)
    # Half way between two numbers of single precision.
    where = "a loading of more than seven digits"
    yield Case(_run(_matrices()[0], 9.0 + 0.99 * 2.0**-21), (Cause.SINGLE,), where)


def _windows() -> Iterator[Case]:
    for size in (1, 3, N):
        runs = torch.arange(N - size + 1)[:, None] + torch.arange(size)
        yield from _labelled(3, runs)


def _factor_losses() -> Iterator[Case]:
    for k in (1, 2):
        for margin in (0.5, 100.0):
            for shape in ((N, N), (2, N, 3)):
                factor = torch.from_numpy(_gaussian(*shape))
                resting = (Cause.NEVER_RESTS,) * (margin < 1)
                where = "an open gap" if resting else "a closed gap"
                yield Case(_run(factor, k, margin), resting, where)
                yield Case(
                    lambda function, f=factor, k=k, c=margin: _slope(function, f, k, c),
                    (Cause.DETACHED, *resting),
                    f"the gradient at {where}",
                )
    both = torch.from_numpy(_gaussian(2, N, 3))
    for k in (1, 2):
        between = float(eigengap(both @ both.mH, k).mean())
        one = "a batch with one gap open"
        yield Case(_run(both, k, between), (Cause.MEAN_TOO_EARLY, Cause.BATCH), one)
    # The next eigenvalue is zero.
    symptoms, where = (Cause.OFF_BY_ONE, Cause.SIZE), "as many signals as columns"
    yield Case(_run(torch.from_numpy(_gaussian(N, 3)), 3, 100.0), symptoms, where)


def _slope(
    function: Callable[..., Any], factor: Tensor, k: int, margin: float
) -> NDArray[np.complex128]:
    leaf = factor.clone().requires_grad_()
    loss = function(leaf, k, margin)
    if loss.requires_grad:
        loss.backward()
    return row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def _waves() -> Iterator[Case]:
    for sines in ((0.3,), (-0.6, 0.15), (0.1, 0.45, 0.8), (-0.75, -0.2, 0.25, 0.7)):
        a = ula(8, np.arcsin(np.array(sines)))
        noise = _gaussian(8, 8)
        uneven = 0.1 * (noise @ noise.conj().T) / 8 + 0.5 * np.eye(8)
        matrix = torch.from_numpy((a * (1.0 + np.arange(len(sines)))) @ a.conj().T + uneven)
        k = len(sines)
        yield Case(lambda function, m=matrix, k=k: row(function(m.clone(), k)))
    skew = matrix + 0.02 * torch.from_numpy(noise - noise.conj().T)
    where = "a covariance that is not Hermitian"
    yield Case(lambda function: _of_skew(function, skew, k), (Cause.NOT_HERMITIAN,), where)


def _of_skew(function: Callable[..., Any], matrix: Tensor, k: int) -> NDArray[np.complex128]:
    taken((Claim.NOT_HERMITIAN,))
    return row(function(matrix.clone(), k))


NUMBERS = (
    *(([9.0, 4, 1, 1, 1], t) for t in (8, 100)),
    *(([1.5, 1.25, 1, 0.9], t) for t in (8, 100)),
    *(([40.0, 2, 1.9, 0.1], t) for t in (8, 100)),
    # Each price of a parameter, and each of its multiples, has another answer.
    *((values, 50) for values in ([10.0, 6.5, 5, 3.25, 3], [9.5, 6.25, 4, 2.75, 2])),
    ([10.0, 7, 5.25, 4, 3.75], 200),
    # Between the criteria: two parameters a signal more or less decide.
    *(
        (values, 50)
        for values in ([5.75, 4, 2.75, 2.5], [7.25, 6.5, 4, 2.75], [8.75, 6.25, 3.5, 2])
    ),
)
"""Eigenvalues and numbers of samples."""


def _numbers() -> Iterator[Case]:
    for values, samples in NUMBERS:
        spectrum = torch.tensor(values, dtype=torch.float64)
        yield Case(partial(_number_of, spectrum, samples))
    for count, level in ((150, 1e-3), (150, 1e3), (120, 1e-4)):
        # Their product is beyond any number.
        tail = level * torch.linspace(1.5, 1.0, count, dtype=torch.float64)
        spectrum = torch.cat((100 * tail[:2], tail))
        yield Case(partial(_number_of, spectrum, 400), (Cause.SIZE,), f"{count} eigenvalues")
    for unit in (1e-80, 1e80):
        spectrum = unit * torch.tensor(NUMBERS[0][0], dtype=torch.float64)
        run = partial(_number_of, spectrum, NUMBERS[0][1])
        yield Case(run, (Cause.GUARD,), f"eigenvalues of {unit:g}")
    same = [torch.tensor(v, dtype=torch.float64) for v, t in NUMBERS if (len(v), t) == (4, 50)]
    yield Case(partial(_number_of, torch.stack(same), 50), (Cause.BATCH,), "several spectra")
    yield Case(_numbers_afterwards, (Cause.OVERWRITTEN,), "the eigenvalues afterwards")


def _number_of(
    spectrum: Tensor, samples: int, function: Callable[..., Any]
) -> NDArray[np.complex128]:
    return row(function(spectrum.clone(), samples))


def _numbers_afterwards(function: Callable[..., Any]) -> NDArray[np.complex128]:
    values, samples = NUMBERS[0]
    spectrum = torch.tensor(values, dtype=torch.float64)
    function(spectrum, samples)
    return row(spectrum)


_ANGLES = torch.tensor([-0.8, -0.1, 0.3, 0.95], dtype=torch.float64)

ARRAY_CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "matrix_sqrt": lambda: _positive(power=0.5),
    "psd_projection": _projected,
    "whitening": _whitened,
    "pseudo_inverse": _inverted,
    "add_loading": _loaded,
    "forward_backward": lambda: _labelled(4),
    "spatial_smoothing": _windows,
    "sample_covariance": _snapshots,
    "ledoit_wolf": _snapshots,
    "factor_eigengap_loss": _factor_losses,
    "esprit": _waves,
    "root_music": _waves,
    "ula_bartlett": lambda: _positive(_ANGLES),
    "ula_mvdr": lambda: _positive(_ANGLES),
    "ula_music": lambda: (case for k in (1, 2) for case in _positive(k, _ANGLES, power=0.0)),
    "mdl": _numbers,
    "aic": _numbers,
}
"""By the names of `target.places()`."""
