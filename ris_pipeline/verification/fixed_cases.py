"""A few fixed arguments for each public function: wrong ones answer them each in their own way."""

import math
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.scene.array import Panel
from ris_pipeline.spectral import eigengap
from ris_pipeline.verification.acts import weighted
from ris_pipeline.verification.adapters import CALL_ERRORS
from ris_pipeline.verification.case import SAME, Case, Numbers, row
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.families import NAMES
from ris_pipeline.verification.fixed_arrays import ARRAY_CASES
from ris_pipeline.verification.fixed_bookkeeping import BOOKKEEPING_CASES
from ris_pipeline.verification.fixed_circumstances import circumstances
from ris_pipeline.verification.strategies import unit_vectors
from ris_pipeline.verification.target import Claim, taken

N = 5


def same_numbers(first: Numbers | None, second: Numbers | None, tolerance: float = SAME) -> bool:
    """Whether two answers are one: both failed, or the same numbers, NaN where NaN.

    tolerance: relative to the largest number, or to one where all are smaller.
    """
    if first is None or second is None:
        return first is second
    if first.shape != second.shape:
        return False
    known = second[np.isfinite(second)]
    # The arguments are of size one: smaller answers, such as the gap of a tie, are rounding.
    size = float(np.abs(known).max(initial=1.0))
    # `np.allclose` takes three times as long, and a diagnosis asks thousands of times.
    with np.errstate(invalid="ignore"):
        near = np.abs(first - second) <= tolerance * size
    if np.isfinite(second).all():
        return bool(near.all())
    both = (first == second) | (np.isnan(first) & np.isnan(second))
    return bool((near | both).all())


def answer(case: Case, function: Callable[..., Any]) -> Numbers | None:
    """The numbers, or None where the function fails.

    Raises:
        DoesNotApply: the function does not claim to take the case.
    """
    dtype = torch.get_default_dtype()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # A copy: a function may answer in memory that its next call writes to.
            return case.run(function).copy()
    except CALL_ERRORS:
        return None
    finally:
        # A function may have changed it, which one of the cases is about.
        torch.set_default_dtype(dtype)


def _matrices() -> tuple[Tensor, ...]:
    """Positive definite; indefinite; not Hermitian; a batch; diagonal in no order; with ties."""
    generator = np.random.default_rng(5)

    def draw(*batch: int) -> Any:
        shape = (*batch, N, N)
        return generator.standard_normal(shape) + 1j * generator.standard_normal(shape)

    def made(values: Any, q: Any) -> Any:
        return (q * np.asarray(values, dtype=float)[..., None, :]) @ q.conj().swapaxes(-1, -2)

    q = np.linalg.qr(draw(4))[0]
    positive, indefinite = made([5, 3.5, 2, 1, 0.25], q[0]), made([4, 3, 0.5, -2, -3.5], q[1])
    batch = made([[6, 3, 2, 1, 0.5], [4, 3.75, 1, 0.5, 0.25]], q[:2])
    tied = made([2, 2, 2, 0, 0], q[2])
    shuffled = np.diag([1.0, 5.0, 0.25, 3.5, 2.0]).astype(complex)
    matrices = positive, indefinite, positive + 0.3 * draw(), batch, shuffled, tied
    return tuple(torch.from_numpy(np.ascontiguousarray(m)) for m in matrices)


INDEFINITE = "an indefinite matrix"
SYMPTOMS: tuple[tuple[tuple[Cause, ...], str], ...] = (
    ((), "a positive definite matrix"),
    ((Cause.SINGULAR_FOR_EIGEN,), INDEFINITE),
    ((Cause.NOT_HERMITIAN,), "a matrix that is not Hermitian"),
    ((Cause.BATCH,), "a batch"),
    ((Cause.UNSORTED,), "a diagonal matrix in no order"),
    ((Cause.TIES,), "equal eigenvalues"),
)
"""Of the matrices."""


def _is_hermitian(matrix: Tensor) -> bool:
    return bool(torch.allclose(matrix, matrix.mH))


def _asked(matrix: Tensor) -> Tensor:
    """A copy of a matrix, if the function takes such."""
    if not _is_hermitian(matrix):
        taken((Claim.NOT_HERMITIAN,))
    return matrix.clone()


def _of_matrices(*rest: Any) -> Iterator[Case]:
    for matrix, symptom in zip(_matrices(), SYMPTOMS, strict=True):
        yield Case(lambda function, m=matrix: row(function(_asked(m), *rest)), *symptom)


def _gaps() -> Iterator[Case]:
    for k in (1, 2, 3):
        yield from _of_matrices(k)
    # Two that tell, since one number is soon met by chance.
    cases = zip(_of_matrices(N - 1), SYMPTOMS, strict=True)
    yield from (case for case, (_, where) in cases if where == INDEFINITE)


def _losses() -> Iterator[Case]:
    for k in (1, 2, 3):
        # No gap is as wide as a margin: at the kink rounding decides.
        for margin in (1.2, 20.0):
            for matrix, (symptoms, where) in zip(_matrices(), SYMPTOMS, strict=True):
                resting = (Cause.NEVER_RESTS,) * _is_open(matrix, k, margin)
                yield Case(
                    lambda function, m=matrix, k=k, c=margin: row(function(_asked(m), k, c)),
                    (*symptoms, *resting),
                    where,
                )
                yield Case(
                    lambda function, m=matrix, k=k, c=margin, t=Cause.TIES in symptoms: _slope(
                        function, m, k, c, t
                    ),
                    (Cause.DETACHED, *symptoms, *resting),
                    f"the gradient at {where}",
                )


def _is_open(matrix: Tensor, k: int, margin: float) -> bool:
    """Whether every gap is as wide as the margin."""
    return bool((eigengap(matrix, k) >= margin).all())


def _slope(
    function: Callable[..., Any], matrix: Tensor, k: int, margin: float, tied: bool
) -> Numbers:
    leaf = _asked(matrix).requires_grad_()
    hinge = function(leaf, k, margin)
    # A hinge without a graph descends nowhere, as one of gradient zero.
    if hinge.requires_grad:
        hinge.backward()
    slope = row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
    # At a tie each of many gradients is right, as long as it is finite.
    return np.isfinite(slope).astype(complex) if tied else slope


def _bases() -> Iterator[Case]:
    for k in (1, 2):
        # Not the last: no basis of a tie is the right one.
        for matrix, symptom in zip(_matrices()[:-1], SYMPTOMS, strict=False):

            def run(function: Callable[..., Any], m: Tensor = matrix, k: int = k) -> Numbers:
                basis = torch.as_tensor(function(_asked(m), k)).to(torch.complex128)
                # A basis is one up to phases, so its products are looked at.
                inner = (basis.mH @ basis).abs()
                return np.concatenate((row(basis @ basis.mH), row(inner)))

            yield Case(run, *symptom)


def _projectors() -> Iterator[Case]:
    for columns in (1, 2, 3):
        basis = torch.linalg.qr(_matrices()[2])[0][:, :columns]
        yield Case(lambda function, b=basis: row(function(b.clone())))


def _spectra(*rest: Any) -> Iterator[Case]:
    steering = torch.from_numpy(unit_vectors(N, 3, 3))
    matrices = _matrices()
    for i in (0, 3, 4):
        yield Case(
            lambda function, m=matrices[i]: row(function(m.clone(), steering, *rest)), *SYMPTOMS[i]
        )


def _steering() -> Iterator[Case]:
    x, y = np.meshgrid(np.arange(4) - 1.5, np.arange(3) - 1.0)
    flat = np.stack((0.12 * x.ravel(), 0.16 * y.ravel(), np.zeros(12)), axis=-1)
    # Some take one spacing for both axes.
    square = flat * np.array([1.0, 0.75, 1.0])
    for positions, where in (
        (flat, (0.0, 0.0, 4.07)),
        (flat, (0.5, 0.0, 4.15)),
        (flat, (0.0, 0.4, 2.03)),
        (flat, (-0.7, 0.3, 1.61)),
        (square, (0.4, 0.3, 2.03)),
        (square, (-0.7, -0.2, 1.61)),
    ):
        places = torch.from_numpy(positions)
        source = tuple(torch.tensor(x, dtype=torch.float64) for x in where)
        for front in ("spherical", "fresnel", "plane"):
            yield Case(
                lambda function, q=places, s=source, f=front: row(
                    function(Panel(q.clone(), 0.25), *s, f)
                ),
                condition=_phase(where[-1]),
            )


def _steering_anywhere() -> Iterator[Case]:
    """Elements off the plane and the centre; near, far, to the side; many directions at once."""
    generator = np.random.default_rng(3)
    places = torch.from_numpy(generator.integers(-16, 17, (5, 3)) / 32)
    flat = torch.from_numpy(np.array([[x, y, 0.0] for y in (-0.06, 0.06) for x in (-0.1, 0.1)]))
    moved = flat + torch.tensor([0.2, -0.1, 0.0])
    x, y = np.meshgrid(np.arange(15) - 7.0, np.arange(10) - 4.5)
    large = torch.from_numpy(np.stack((x.ravel() / 8, y.ravel() / 10, np.zeros(150)), axis=-1))
    for positions, where, symptoms, said in (
        # Within the Fraunhofer distance of the elements.
        (places, (0.3, -0.2, 3.07), (Cause.AXES, Cause.CURVATURE), "elements off the plane"),
        (moved, (0.3, -0.2, 3.07), (Cause.OFF_CENTRE,), "off centre"),
        (flat, (1.5, 0.2, 2.03), (Cause.RANGE,), "a source to the side"),
        (flat, (0.4, -1.45, 2.03), (Cause.RANGE,), "a source far below"),
        (flat, (0.4, 0.3, 0.31), (Cause.RANGE, Cause.CURVATURE), "a near source"),
        (flat, (0.4, 0.3, 1013.7), (Cause.CURVATURE,), "a far source"),
        (large, (0.4, 0.3, 12.07), (Cause.SIZE, Cause.CURVATURE), "150 elements"),
    ):
        source = tuple(torch.tensor(x, dtype=torch.float64) for x in where)
        yield Case(
            lambda function, q=positions, s=source: row(function(Panel(q.clone(), 0.25), *s)),
            symptoms,
            said,
            _phase(where[-1]),
        )
    yield Case(
        lambda function: _after(function, moved), (Cause.OVERWRITTEN,), "the positions after it"
    )
    wider = "a wider panel of as many elements, and a shorter wave, after others"
    yield Case(_after_another, (Cause.REMEMBERS,), wider)
    yield Case(lambda function: _by_distance(function, flat), (Cause.DETACHED,), "the gradient")
    many = [torch.linspace(-a, a, 70, dtype=torch.float64) for a in (1.0, 0.5)]
    far = torch.linspace(2.03, 9.1, 70, dtype=torch.float64)
    yield Case(
        lambda function: row(function(Panel(flat.clone(), 0.25), *many, far)),
        (Cause.BATCH,),
        "many directions at once",
        _phase(9.1),
    )


def _phase(distance: float) -> float:
    """Radians on the way to a source, whose relative error is that of the distance."""
    return 2 * math.pi * distance / 0.25


def _after(function: Callable[..., Any], given: Tensor) -> Numbers:
    """The positions once the function has had them."""
    positions = given.clone()
    where = (torch.tensor(x, dtype=torch.float64) for x in (0.4, 0.3, 2.03))
    try:
        function(Panel(positions, 0.25), *where)
    except AssertionError:
        # An adapter hands out copies, and says that they are changed.
        positions.zero_()
    return row(positions)


def _after_another(function: Callable[..., Any]) -> Numbers:
    """Whether a square panel has the answer of the one before it, or of another wavelength."""
    flat = torch.tensor([[x, y, 0.0] for y in (-0.1, 0.1) for x in (-0.1, 0.1)]).double()
    where = [torch.tensor(x, dtype=torch.float64) for x in (0.4, 0.3, 2.03)]
    panels = Panel(flat, 0.25), Panel(1.5 * flat, 0.25), Panel(1.5 * flat, 0.2)
    narrow, wide, shorter = (row(function(panel, *where)) for panel in panels)
    return row(torch.tensor([same_numbers(narrow, wide), same_numbers(wide, shorter)]))


def _by_distance(function: Callable[..., Any], flat: Tensor) -> Numbers:
    """Slopes by the angles and by the distance."""
    where = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.4, 0.3, 0.61)]
    value = weighted(function(Panel(flat.clone(), 0.25), *where))
    if value.requires_grad:
        value.backward()
    slopes = [torch.zeros(()) if leaf.grad is None else leaf.grad for leaf in where]
    return row(torch.stack([slope.double() for slope in slopes]))


_CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "hermitize": _of_matrices,
    "eigenvalues": _of_matrices,
    "singular_values": _of_matrices,
    "eigengap": _gaps,
    "eigengap_loss": _losses,
    "signal_subspace": _bases,
    "noise_subspace": _bases,
    "projector": _projectors,
    "music_spectrum": lambda: (case for k in (1, 2) for case in _spectra(k)),
    "mvdr_spectrum": _spectra,
    "steering_vector": _steering,
    **BOOKKEEPING_CASES,
    **ARRAY_CASES,
}


@cache
def plain_cases(place: str) -> tuple[Case, ...]:
    """Arguments of a name of `target.places()` that are not out of the way; none for some names."""
    return tuple(_CASES[place]()) if place in _CASES else ()


@cache
def fixed_cases(place: str) -> tuple[Case, ...]:
    """The cases of a name of `target.places()`; none where only patterns tell bugs apart."""
    more = circumstances(place) if place in NAMES and place in _CASES else ()
    far = _steering_anywhere() if place == "steering_vector" else ()
    return (*plain_cases(place), *far, *more)
