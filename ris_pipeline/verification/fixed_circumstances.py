"""Fixed arguments beyond toys: sizes, scales, ties, modes, gradients, the state of the process."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ris_pipeline.verification import acts
from ris_pipeline.verification.acts import USUAL, Act
from ris_pipeline.verification.case import Case, Numbers, Run, row, same
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.families import (
    BASES,
    HERMITIZED,
    MEANS,
    OF_EACH,
    ORDERED,
    SPECTRA,
    ULA,
)
from ris_pipeline.verification.problems import Problem, Size, comparable, fresh, nearly, problem
from ris_pipeline.verification.strategies import Layout, lay_out
from ris_pipeline.verification.target import TARGET

FRONT, TAIL = slice(0, 8), slice(8, None)
SIZES: tuple[tuple[Cause, str, Size, slice], ...] = (
    (Cause.BATCH, "a batch of two axes", Size(4, (2, 3, 2), k=2), slice(None)),
    (Cause.BATCH, "the first of a batch of 17", Size(3, (17,), k=1, vectors=2), FRONT),
    (Cause.CHUNK, "the last of a batch of 17", Size(3, (17,), k=1, vectors=2), TAIL),
    (Cause.SIZE, "matrices of order 40", Size(40, k=3), slice(None)),
    (Cause.SIZE, "matrices of order 140", Size(140, k=130), slice(None)),
    (Cause.TIES, "equal leading eigenvalues", Size(6, k=3, tied=(True, False)), slice(None)),
    (Cause.TIES, "equal noise eigenvalues", Size(6, k=3, tied=(False, True)), slice(None)),
    (Cause.GUARD, "powers of 1e-12", Size(4, k=2, scale=1e-12), slice(None)),
    (Cause.GUARD, "powers of 1e12", Size(4, k=2, scale=1e12), slice(None)),
)
NEAR: tuple[tuple[Cause, str, Size], ...] = (
    (Cause.GUARD, "powers of 1e-12 and a skew part", Size(4, k=2, scale=1e-12)),
    (Cause.SIZE, "order 40 and a skew part", Size(40, k=3)),
    (Cause.CHUNK, "a batch of 17 with a skew part", Size(3, (17,), k=1, vectors=2)),
)
GRIDS: tuple[tuple[Cause, str, Size, slice], ...] = (
    (Cause.BATCH, "steering vectors of each matrix", Size(4, (3,), k=2, of_each=True), slice(None)),
    (Cause.MODULUS, "steering vectors of norm 3", Size(4, k=2, norm=3.0), slice(None)),
    (Cause.CHUNK, "a grid of 1,201 points", Size(4, vectors=1201), slice(None)),
)


def _of_problem(name: str, size: Size, part: slice) -> Run:
    def run(function: Callable[..., Any]) -> Numbers:
        given = fresh(problem(size))
        got = comparable(name, function(given.argument(name), *given.more(name)))
        unit = 1.0 if name in (*BASES, "music_spectrum") else size.scale
        return np.asarray(got[part] if got.ndim else got, dtype=np.complex128).ravel() / unit

    return run


def _shape_of_a_batch(name: str, function: Callable[..., Any]) -> Numbers:
    given = fresh(problem(Size(4, (2, 3), k=2)))
    answer = function(given.argument(name), *given.more(name))
    return row(torch.tensor([*answer.shape], dtype=torch.float64))


def _of_near_matrices(name: str, size: Size) -> Run:
    """Matrices that are not Hermitian."""

    def run(function: Callable[..., Any]) -> Numbers:
        given = nearly(problem(size), 0.1)
        got = comparable(name, function(given.argument(name), *given.more(name)))
        unit = 1.0 if name in (*BASES, "music_spectrum") else size.scale
        return np.asarray(got, dtype=np.complex128).ravel() / unit

    return run


def circumstances(name: str) -> Iterator[Case]:
    """What may become of an answer, of the argument and of the process; memory, sizes, scales,
    slopes. What explains more comes first."""
    usual = (
        (Cause.RANDOM, "the same argument twice", acts.again),
        (Cause.REMEMBERS, "the same argument many times", acts.on_its_way),
        (Cause.REMEMBERS, "one matrix after another", acts.after_another),
        (Cause.REMEMBERS, "other numbers in the same tensor", acts.filled_anew),
        (Cause.ALIAS, "the answer, after another call", acts.kept),
        (Cause.OVERWRITTEN, "the argument afterwards", acts.left_alone),
        (Cause.ALIAS, "the answer, once the argument is overwritten", acts.no_window),
        (Cause.SIDE_EFFECT, "the state of the process afterwards", acts.process),
        (Cause.MODE, "without recording gradients", acts.without_gradient),
        (Cause.MODE, "an argument that asks for its gradient", acts.live),
        (Cause.NAN_HIDDEN, "an argument that holds NaN", acts.with_nan),
    )
    for cause, where, act in usual:
        yield Case(_acted(name, act), (cause,), where)
    for layout in (Layout.TRANSPOSED, Layout.BATCH_LAST, Layout.STRIDED):
        yield Case(_laid_out(name, layout), (Cause.MEMORY,), f"in memory: {layout.value}")
    for cause, where, size, part in SIZES:
        if not (name in MEANS and part is TAIL):
            yield Case(_of_problem(name, size, part), (cause,), where)
    if name not in MEANS:
        where = "the shape of the answer to a batch of two axes"
        yield Case(partial(_shape_of_a_batch, name), (Cause.BATCH,), where)
    yield from _of_orders(name)
    yield from _of_diagonals(name)
    reals = partial(_of_reals, name)
    yield Case(reals, (), "a matrix of real numbers", eases=Cause.CONJUGATED)
    if name in SUBSPACES:
        where = "the span of its columns"
        yield Case(partial(_spanned, name), (), where, eases=Cause.NOT_ORTHONORMAL)
    if name in MEANS:
        many = Size(3, (130,), k=1)
        yield Case(_of_problem(name, many, slice(None)), (Cause.CHUNK,), "a mean over 130")
    if name in HERMITIZED:
        skew = _acted(name, acts.left_skew)
        yield Case(skew, (Cause.OVERWRITTEN,), "a matrix that is not Hermitian, afterwards")
        for cause, where, size in NEAR:
            yield Case(_of_near_matrices(name, size), (cause, Cause.NOT_HERMITIAN), where)
    for cause, where, size, part in GRIDS if name in SPECTRA else ():
        if name in OF_EACH or not size.of_each:
            yield Case(_of_problem(name, size, part), (cause,), where)
    if name in ("matrix_sqrt", "whitening"):
        where = "eigenvalues that are nearly one"
        near = partial(_with_values, name, values=(1.03, 1.02, 1.01, 1.0))
        yield Case(near, (), where, 1.0, Cause.UNCONVERGED)
    if name in SPECTRAL:
        where = "eigenvalues far apart"
        yield Case(lambda function: _far_apart(name, function), (), where, 1.0, Cause.UNCONVERGED)
    for where, cause, names, condition, of in OF_VALUES:
        if name in names:
            yield Case(partial(of, name), (cause,), where, condition)
    if name in (*SPECTRA, *ULA):
        yield Case(_acted(name, acts.second_grid), (Cause.REMEMBERS,), "a second grid of that size")
    if name in ULA:
        grid = Size(4, vectors=1201)
        yield Case(_of_problem(name, grid, slice(None)), (Cause.CHUNK,), "a grid of 1,201 points")
    yield from _of_slopes(name)


def _of_slopes(name: str) -> Iterator[Case]:
    """What may become of a gradient, by every argument, and of the next one."""
    yield Case(_acted(name, acts.slope_of), (Cause.DETACHED,), "the gradient")
    if name in (*MEANS, "eigengap"):
        broken = (Cause.CHAIN_RULE, Cause.DETACHED)
        yield Case(_acted(name, acts.slope_of_thrice), broken, "the gradient of three times it")
    if name in SPECTRA:
        where = "the steering vectors afterwards"
        yield Case(_acted(name, acts.steering_left_alone), (Cause.OVERWRITTEN,), where)
        where = "the gradient by the steering vectors"
        yield Case(_acted(name, acts.slope_by_steering), (Cause.DETACHED,), where)
    yield Case(_acted(name, acts.curvature), (Cause.SECOND,), "the second derivative")


def _of_orders(name: str) -> Iterator[Case]:
    """What may become of k."""
    if name in ORDERED and name != "spatial_smoothing":
        yield Case(_acted(name, acts.of_a_narrow_order), (Cause.TRUNCATED,), "k of eight bits")
        last = Size(5, k=4)
        yield Case(_of_problem(name, last, slice(None)), (Cause.FENCEPOST,), "k = n - 1")
        yield Case(partial(_of_another_order, name), (Cause.REMEMBERS,), "one k after another")


def _of_diagonals(name: str) -> Iterator[Case]:
    """Numbers that rounding leaves as they are."""
    if name in EXACT:
        where = "a diagonal matrix of powers of four"
        powers = partial(_of_powers_of_four, name)
        yield Case(powers, (Cause.LOADING_ADDED,), where, diagonal=True)
        where = "a diagonal matrix over twelve decades"
        # Of no weight where a few digits are asked: single precision is exact here.
        yield Case(partial(_over_decades, name), (Cause.GUARD,), where, 5e6, diagonal=True)


SPECTRAL = (
    "eigenvalues",
    "singular_values",
    "eigengap",
    "eigengap_loss",
    "signal_subspace",
    "noise_subspace",
    "music_spectrum",
)
"""Functions of eigenvalues or eigenvectors alone."""


SUBSPACES = ("signal_subspace", "noise_subspace")


def _of_reals(name: str, function: Callable[..., Any]) -> Numbers:
    """A matrix, and what is beside it, without imaginary parts."""
    given = problem(replace(USUAL, imaginary=0.0))
    steering = torch.from_numpy(given.steering.real.astype(complex))
    got = comparable(name, function(given.argument(name), *given.more(name, steering)))
    return np.asarray(got, dtype=np.complex128).ravel()


def _spanned(name: str, function: Callable[..., Any]) -> Numbers:
    """The projector onto the columns of an answer, whatever their products."""
    given = fresh(problem(USUAL))
    basis = torch.as_tensor(function(given.argument(name), *given.more(name)))
    q = torch.linalg.qr(basis.detach().to(torch.complex128))[0]
    return row(q @ q.mH)


def _far_apart(name: str, function: Callable[..., Any]) -> Numbers:
    """Eigenvalues twenty times the next, where iterations end after a few steps; not round."""
    first, second, third, last = (value * np.pi / 3 for value in (8000, 400, 20, 1))
    return _with_values(name, function, (first, second, third, last))


def _ill_conditioned(name: str, function: Callable[..., Any]) -> Numbers:
    """A condition of 10^6, in units of the smallest eigenvalue."""
    return _with_values(name, function, (1e6, 5e5, 2.0, 1.0))


def _uneven(name: str, function: Callable[..., Any]) -> Numbers:
    """A condition of 10^4, which Newton's steps take twice as many for as one of 10^2."""
    return _with_values(name, function, (1e4, 5e3, 2.0, 1.0))


def _least_value(name: str, function: Callable[..., Any]) -> Numbers:
    """The smallest of values over six decades, times a million."""
    values = (1.0, 0.5, 0.25, 1e-6)
    return 1e6 * _with_values(name, function, values)[-1:]


def _on_a_peak(name: str, function: Callable[..., Any]) -> Numbers:
    """A steering vector a thousandth off the signal subspace."""
    given = problem(USUAL)
    off = given.vectors[:, 0] + 1e-3 * given.vectors[:, -1]
    steering = torch.from_numpy(off[:, None] / np.linalg.norm(off))
    got = comparable(name, function(fresh(given).argument(name), *given.more(name, steering)))
    return 1e6 * np.asarray(got, dtype=np.complex128).ravel()


def _indefinite(name: str, function: Callable[..., Any]) -> Numbers:
    """The second value by magnitude is the last in order."""
    return _with_values(name, function, (4.0, 3.0, 0.5, -3.5))


def _with_values(name: str, function: Callable[..., Any], values: tuple[float, ...]) -> Numbers:
    vectors = problem(USUAL).vectors
    exact = (vectors * np.array(values)) @ vectors.conj().T
    return _of_matrix(name, function, (exact + exact.conj().T) / 2, values)


def _of_diagonal(name: str, function: Callable[..., Any], values: tuple[float, ...]) -> Numbers:
    return _of_matrix(name, function, np.diag(values).astype(complex), values)


def _of_matrix(
    name: str,
    function: Callable[..., Any],
    exact: NDArray[np.complex128],
    values: tuple[float, ...],
) -> Numbers:
    usual = problem(USUAL)
    drawn = replace(
        usual.drawn, matrix=torch.from_numpy(exact), exact=exact, values=np.array(values)
    )
    given = replace(usual, drawn=drawn)
    return comparable(name, function(given.argument(name), *given.more(name))).ravel()


OF_VALUES: tuple[tuple[str, Cause, tuple[str, ...], float, Callable[..., Numbers]], ...] = (
    ("an indefinite matrix", Cause.SINGULAR_FOR_EIGEN, ("music_spectrum",), 1.0, _indefinite),
    ("on a peak", Cause.GUARD, ("music_spectrum",), 1e6, _on_a_peak),
    (
        "a condition of 10^6",
        Cause.GUARD,
        ("mvdr_spectrum", "pseudo_inverse"),
        1e6,
        _ill_conditioned,
    ),
    ("a condition of 10^4", Cause.UNCONVERGED, ("matrix_sqrt",), 1.0, _uneven),
    (
        "the smallest of four values",
        Cause.CANCELLATION,
        ("singular_values", "eigenvalues"),
        1e6,
        _least_value,
    ),
)
"""Matrices of certain eigenvalues, the functions that they may be too much for, the condition."""


def _acted(name: str, act: Act) -> Run:
    return lambda function: act(name, function, fresh(problem(USUAL)))


def _laid_out(name: str, layout: Layout) -> Run:
    size = Size(4, (3,), k=2) if layout is Layout.BATCH_LAST else USUAL

    def run(function: Callable[..., Any]) -> Numbers:
        given = fresh(problem(size))
        argument = lay_out(given.argument(name), layout)
        return comparable(name, function(argument, *given.more(name))).ravel()

    return run


def _of_another_order(name: str, function: Callable[..., Any]) -> Numbers:
    """Whether another k has the answer of the k before it, though k counts where it comes first.

    Of orders that no law draws: a function may remember others from before.
    """
    before, now, first = (fresh(problem(Size(n, k=k))) for n, k in ((23, 2), (23, 7), (29, 7)))
    ours = getattr(TARGET, name)

    def asked(of: Callable[..., Any], given: Problem) -> NDArray[Any]:
        return comparable(name, of(given.argument(name), *given.more(name)))

    counts = same(asked(function, first), asked(ours, first))
    counts = counts and same(asked(function, before), asked(ours, before))
    stale = same(asked(function, now), asked(ours, replace(now, k=before.k)))
    return row(torch.tensor(counts and stale))


EXACT = (
    "eigenvalues",
    "singular_values",
    "hermitize",
    "matrix_sqrt",
    "psd_projection",
    "pseudo_inverse",
    "projector",
)
"""Functions whose answers for powers of four on a diagonal are powers of two."""


def _of_powers_of_four(name: str, function: Callable[..., Any]) -> Numbers:
    """Single precision holds argument and answer; what is added to them shows."""
    return _of_diagonal(name, function, (4.0, 1.0, 0.25, 0.0625))


def _over_decades(name: str, function: Callable[..., Any]) -> Numbers:
    """What is answered for the smallest of the values."""
    return 2.0**40 * _of_diagonal(name, function, (1.0, 0.25, 2.0**-20, 2.0**-40))[-1:]
