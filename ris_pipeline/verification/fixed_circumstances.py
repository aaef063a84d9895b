"""Fixed arguments beyond toys: sizes, scales, ties, modes, gradients, the state of the process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline._errors import CALL_ERRORS
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.problems import (
    BASES,
    HERMITIZED,
    MEANS,
    OF_EACH,
    ORDERED,
    SPECTRA,
    ULA,
    Problem,
    Size,
    comparable,
    fresh,
    nearly,
    problem,
)
from ris_pipeline.verification.strategies import Layout, lay_out
from ris_pipeline.verification.target import TARGET, Claim, takes

Numbers = NDArray[np.complex128]
Run = Callable[[Callable[..., Any]], Numbers]


@dataclass(frozen=True)
class Case:
    """A call of a function of one name, answered by its numbers in a row.

    symptoms: what may be wrong with a function that is right where nothing is out of the way and
    wrong here, none where nothing is out of the way; where: that, in words; condition: relative
    error of the answer over that of the argument; eases: a mistake that does not show here;
    diagonal: of a diagonal matrix, which eases many.
    """

    run: Run
    symptoms: tuple[Cause, ...] = ()
    where: str = ""
    condition: float = 1.0
    eases: Cause | None = None
    diagonal: bool = False


SAME = float(np.sqrt(np.finfo(np.float64).eps))
"""Relative distance below which numbers are the same: half of the digits."""


def same(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether half of the digits agree."""
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=SAME, atol=SAME))


def row(answer: Any) -> Numbers:
    """An answer's numbers in a row, double precision."""
    tensor = answer if isinstance(answer, Tensor) else torch.from_numpy(np.asarray(answer))
    return np.asarray(tensor.detach().resolve_conj().to(torch.complex128).numpy()).ravel()


USUAL = Size(4, k=2)
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
        (Cause.RANDOM, "the same argument twice", _again),
        (Cause.REMEMBERS, "one matrix after another", _after_another),
        (Cause.REMEMBERS, "other numbers in the same tensor", _filled_anew),
        (Cause.ALIAS, "the answer, after another call", _kept),
        (Cause.OVERWRITTEN, "the argument afterwards", _left_alone),
        (Cause.ALIAS, "the answer, once the argument is overwritten", _no_window),
        (Cause.SIDE_EFFECT, "the state of the process afterwards", _process),
        (Cause.MODE, "without recording gradients", _without_gradient),
        (Cause.MODE, "an argument that asks for its gradient", _live),
        (Cause.NAN_HIDDEN, "an argument that holds NaN", _with_nan),
    )
    for cause, where, act in usual:
        yield Case(_acted(name, act), (cause,), where)
    if name in ORDERED and name != "spatial_smoothing":
        yield Case(_acted(name, _of_a_narrow_order), (Cause.TRUNCATED,), "k of eight bits")
    for layout in (Layout.TRANSPOSED, Layout.BATCH_LAST, Layout.STRIDED):
        yield Case(_laid_out(name, layout), (Cause.MEMORY,), f"in memory: {layout.value}")
    for cause, where, size, part in SIZES:
        if not (name in MEANS and part is TAIL):
            yield Case(_of_problem(name, size, part), (cause,), where)
    if name in ORDERED and name != "spatial_smoothing":
        last = Size(5, k=4)
        yield Case(_of_problem(name, last, slice(None)), (Cause.FENCEPOST,), "k = n - 1")
        yield Case(partial(_of_another_order, name), (Cause.REMEMBERS,), "one k after another")
    if name in EXACT:
        where = "a diagonal matrix of powers of four"
        powers = partial(_of_powers_of_four, name)
        yield Case(powers, (Cause.LOADING_ADDED,), where, diagonal=True)
        where = "a diagonal matrix over twelve decades"
        # Of no weight where a few digits are asked: single precision is exact here.
        yield Case(partial(_over_decades, name), (Cause.GUARD,), where, 5e6, diagonal=True)
    if name in MEANS:
        many = Size(3, (130,), k=1)
        yield Case(_of_problem(name, many, slice(None)), (Cause.CHUNK,), "a mean over 130")
    if name in HERMITIZED:
        for cause, where, size in NEAR:
            yield Case(_of_near_matrices(name, size), (cause, Cause.NOT_HERMITIAN), where)
    for cause, where, size, part in GRIDS if name in SPECTRA else ():
        if name in OF_EACH or not size.of_each:
            yield Case(_of_problem(name, size, part), (cause,), where)
    if name in SPECTRAL:
        where = "eigenvalues far apart"
        yield Case(lambda function: _far_apart(name, function), (), where, 1.0, Cause.UNCONVERGED)
    for where, cause, names, condition, of in OF_VALUES:
        if name in names:
            yield Case(partial(of, name), (cause,), where, condition)
    if name in (*SPECTRA, *ULA):
        yield Case(_acted(name, _second_grid), (Cause.REMEMBERS,), "a second grid of that size")
    if name in ULA:
        grid = Size(4, vectors=1201)
        yield Case(_of_problem(name, grid, slice(None)), (Cause.CHUNK,), "a grid of 1,201 points")
    yield Case(_acted(name, _slope_of), (Cause.DETACHED,), "the gradient")
    if name in SPECTRA:
        where = "the steering vectors afterwards"
        yield Case(_acted(name, _steering_left_alone), (Cause.OVERWRITTEN,), where)
        where = "the gradient by the steering vectors"
        yield Case(_acted(name, _slope_by_steering), (Cause.DETACHED,), where)
    yield Case(_acted(name, _curvature), (Cause.SECOND,), "the second derivative")


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
    usual = problem(USUAL)
    exact = (usual.vectors * np.array(values)) @ usual.vectors.conj().T
    exact = (exact + exact.conj().T) / 2
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

_TIMES = 32
"""Calls with one argument: what leaves something out one time in ten gives the same answer in all
of them with a probability of 0.03."""

Act = Callable[[str, Callable[..., Any], Problem], Numbers]


def _acted(name: str, act: Act) -> Run:
    return lambda function: act(name, function, fresh(problem(USUAL)))


def _without_gradient(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    with torch.no_grad():
        return comparable(name, function(given.argument(name), *given.more(name))).ravel()


def _live(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.argument(name).clone().requires_grad_()
    return comparable(name, function(leaf, *given.more(name))).ravel()


def weighted(answer: Tensor) -> Tensor:
    """A real number that every entry of an answer counts in, each otherwise."""
    weights = torch.linspace(0.5, 1.5, max(1, answer.numel()), dtype=torch.float64)
    flat = answer.reshape(-1)
    return (flat.real.double() * weights).sum() + (flat.abs().double() * weights.flip(0)).sum()


def _gauge_free(name: str, answer: Tensor) -> Tensor:
    return answer @ answer.mH if name.endswith("_subspace") else answer


def _slope_of(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.argument(name).clone().requires_grad_()
    value = weighted(_gauge_free(name, function(leaf, *given.more(name))))
    if value.requires_grad:
        value.backward()
    return row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def _slope_by_steering(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.steering_tensor().requires_grad_()
    value = weighted(function(given.argument(name), *given.more(name, leaf)))
    if value.requires_grad:
        value.backward()
    return row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def _curvature(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.argument(name).clone().requires_grad_()
    value = weighted(_gauge_free(name, function(leaf, *given.more(name))))
    if not value.requires_grad:
        return np.zeros(leaf.numel(), complex)
    (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
    if not slope.requires_grad:
        return np.zeros(leaf.numel(), complex)
    ramp = torch.linspace(0.1, 1.0, leaf.numel(), dtype=torch.float64).reshape(leaf.shape)
    (second,) = torch.autograd.grad(((ramp + ramp.mT) * slope.real).sum(), leaf)
    return row(second)


def _with_nan(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    matrix = given.argument(name).clone()
    matrix[..., 1, 1] = float("nan")
    try:
        answered = row(function(matrix, *given.more(name)))
    except CALL_ERRORS:
        # To refuse it is to show it.
        return np.zeros(1, complex)
    return np.isfinite(answered).all(keepdims=True).astype(complex)


def _of_a_narrow_order(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    order, *others = given.more(name) if name != "music_spectrum" else given.more(name)[::-1]
    rest = (np.uint8(order), *others)
    return comparable(
        name, function(given.argument(name), *(rest[::-1] if name == "music_spectrum" else rest))
    ).ravel()


def _laid_out(name: str, layout: Layout) -> Run:
    size = Size(4, (3,), k=2) if layout is Layout.BATCH_LAST else USUAL

    def run(function: Callable[..., Any]) -> Numbers:
        given = fresh(problem(size))
        argument = lay_out(given.argument(name), layout)
        return comparable(name, function(argument, *given.more(name))).ravel()

    return run


def _left_alone(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    # What makes a Hermitian matrix Hermitian leaves it as it is.
    skewed = name in HERMITIZED and takes(Claim.NOT_HERMITIAN)
    argument = (nearly(given, 0.1) if skewed else given).argument(name).clone()
    function(argument, *given.more(name))
    return row(argument)


def _steering_left_alone(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    steering = 2.0 * given.steering_tensor()
    function(given.argument(name), *given.more(name, steering))
    return row(steering)


def _no_window(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    argument = given.argument(name).clone()
    answer = function(argument, *given.more(name))
    argument.zero_()
    return comparable(name, answer).ravel()


def _again(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether the answer is the same each time, to the last digit."""
    answers = [
        comparable(name, function(given.argument(name).clone(), *given.more(name)))
        for _ in range(_TIMES)
    ]
    same_bits = all(np.array_equal(answers[0], other, equal_nan=True) for other in answers[1:])
    return row(torch.tensor(same_bits))


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


def _of_diagonal(name: str, function: Callable[..., Any], values: tuple[float, ...]) -> Numbers:
    usual = problem(USUAL)
    exact = np.diag(values).astype(complex)
    drawn = replace(
        usual.drawn, matrix=torch.from_numpy(exact), exact=exact, values=np.array(values)
    )
    given = replace(usual, drawn=drawn)
    return comparable(name, function(given.argument(name), *given.more(name))).ravel()


def _after_another(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether another matrix, of other vectors and a greater power, has the same answer."""
    turned = fresh(problem(replace(USUAL, batch=(2,), scale=3.0)))
    first, second = (
        comparable(name, function(one, *given.more(name)))
        for one in (given.argument(name), turned.argument(name)[1])
    )
    return row(torch.tensor(same(first, second) and bool(np.any(first))))


def _filled_anew(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether the same tensor has the same answer when other numbers are in it."""
    argument = given.argument(name).clone()
    first = comparable(name, function(argument, *given.more(name)))
    argument.copy_(fresh(problem(replace(USUAL, batch=(2,), scale=3.0))).argument(name)[1])
    second = comparable(name, function(argument, *given.more(name)))
    return row(torch.tensor(same(first, second) and bool(np.any(first))))


def _kept(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    answer = function(given.argument(name).clone(), *given.more(name))
    function(3.0 * given.argument(name), *given.more(name))
    return comparable(name, answer).ravel()


def _second_grid(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether another grid has the same answer."""
    argument = given.argument(name)
    other = replace(given, steering=given.steering[..., ::-1].copy(), turn=0.25)
    first, second = (comparable(name, function(argument, *x.more(name))) for x in (given, other))
    return row(torch.tensor(same(first, second) and bool(np.any(first))))


def _process(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    """Whether the generators go on from where they were, and the default dtype is as it was."""
    dtype, state = torch.get_default_dtype(), torch.get_rng_state()
    try:
        torch.set_default_dtype(torch.float32)
        ends = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            function(given.argument(name).clone(), *given.more(name))
            ends.append(torch.rand(3, dtype=torch.float64))
        kept = torch.get_default_dtype() is torch.float32
        return row(torch.tensor([kept, not torch.equal(*ends)]))
    finally:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(state)
