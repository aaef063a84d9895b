"""A few fixed arguments for each public function: wrong ones answer them each in their own way."""

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.scene.array import Panel
from ris_pipeline.verification.adapters import CALL_ERRORS
from ris_pipeline.verification.fixed_arrays import ARRAY_CASES
from ris_pipeline.verification.fixed_circumstances import (
    SAME,
    Case,
    Numbers,
    circumstances,
    row,
    weighted,
)
from ris_pipeline.verification.problems import NAMES
from ris_pipeline.verification.strategies import unit_vectors
from ris_pipeline.verification.target import Claim, taken

N = 5


def same_numbers(first: Numbers | None, second: Numbers | None) -> bool:
    """Whether two answers are one: both failed, or the same numbers, NaN where NaN."""
    if first is None or second is None:
        return first is second
    if first.shape != second.shape:
        return False
    known = second[np.isfinite(second)]
    # The arguments are of size one: smaller answers, such as the gap of a tie, are rounding.
    size = float(np.abs(known).max(initial=1.0))
    return bool(np.allclose(first, second, rtol=0.0, atol=SAME * size, equal_nan=True))


def answer(case: Case, function: Callable[..., Any]) -> Numbers | None:
    """The numbers, or None where the function fails.

    Raises:
        DoesNotApply: the function does not claim to take the case.
    """
    dtype = torch.get_default_dtype()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return case(function)
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


def _is_hermitian(matrix: Tensor) -> bool:
    return bool(torch.allclose(matrix, matrix.mH))


def _asked(matrix: Tensor) -> Tensor:
    """A copy of a matrix, if the function takes such."""
    if not _is_hermitian(matrix):
        taken((Claim.NOT_HERMITIAN,))
    return matrix.clone()


def _of_matrices(*rest: Any) -> Iterator[Case]:
    for matrix in _matrices():
        yield lambda function, m=matrix: row(function(_asked(m), *rest))


def _losses() -> Iterator[Case]:
    for k in (1, 2, 3):
        for margin in (1.0, 20.0):
            yield from _of_matrices(k, margin)
            *simple, tied = _matrices()
            for matrix in (*simple, tied):
                yield lambda function, m=matrix, k=k, c=margin, t=matrix is tied: _slope(
                    function, m, k, c, t
                )


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
        for matrix in _matrices()[:-1]:

            def case(function: Callable[..., Any], m: Tensor = matrix, k: int = k) -> Numbers:
                basis = torch.as_tensor(function(_asked(m), k)).to(torch.complex128)
                # A basis is one up to phases, so its products are looked at.
                inner = (basis.mH @ basis).abs()
                return np.concatenate((row(basis @ basis.mH), row(inner)))

            yield case


def _projectors() -> Iterator[Case]:
    for columns in (1, 2, 3):
        basis = torch.linalg.qr(_matrices()[2])[0][:, :columns]
        yield lambda function, b=basis: row(function(b.clone()))


def _spectra(*rest: Any) -> Iterator[Case]:
    steering = torch.from_numpy(unit_vectors(N, 3, 3))
    for matrix in (_matrices()[0], *_matrices()[3:5]):
        yield lambda function, m=matrix: row(function(m.clone(), steering, *rest))


def _steering() -> Iterator[Case]:
    x, y = np.meshgrid(np.arange(4) - 1.5, np.arange(3) - 1.0)
    flat = np.stack((0.12 * x.ravel(), 0.16 * y.ravel(), np.zeros(12)), axis=-1)
    places = torch.from_numpy(flat)
    for where in (
        (0.0, 0.0, 4.07),
        (0.5, 0.0, 4.15),
        (0.0, 0.4, 2.03),
        (-0.7, 0.3, 1.61),
    ):
        source = tuple(torch.tensor(x, dtype=torch.float64) for x in where)
        for front in ("spherical", "fresnel", "plane"):
            yield lambda function, s=source, f=front: row(
                function(Panel(places.clone(), 0.25), *s, f)
            )


def _norms() -> Iterator[Case]:
    nan, inf = float("nan"), float("inf")
    groups: tuple[list[list[float]], ...] = (
        [[3.0, 4.0]],
        [[3.0], [4.0], [12.0]],
        [[3.0, nan], [4.0]],
        [[inf], [1.0, 2.0]],
        [[nan, 2.0], [5.0], [-inf, 1.0]],
        [[nan]],
        [],
    )
    for group in groups:
        yield lambda function, g=group: _norm(function, g)


def _norm(function: Callable[..., Any], group: list[list[float]]) -> Numbers:
    parameters = []
    for gradient in group:
        parameter = torch.zeros(len(gradient), dtype=torch.float64, requires_grad=True)
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        parameters.append(parameter)
    # One without a gradient.
    parameters.append(torch.zeros(1, dtype=torch.float64, requires_grad=True))
    return row(function(parameters).norm)


def _epochs() -> Iterator[Case]:
    losses = [5.0, 1.0, 4.0, 2.0, 8.0, 3.0, 7.0]
    for count in (1, 4, 7):
        for accumulation in (1, 2, 3, 10):
            yield lambda function, c=count, a=accumulation: row(
                function(losses[:c], lambda loss, scale: loss, lambda: None, a).mean
            )


def _steering_anywhere() -> Iterator[Case]:
    """Elements off the plane and the centre; near, far, to the side; many directions at once."""
    generator = np.random.default_rng(3)
    places = torch.from_numpy(generator.integers(-16, 17, (5, 3)) / 32)
    flat = torch.from_numpy(np.array([[x, y, 0.0] for y in (-0.06, 0.06) for x in (-0.1, 0.1)]))
    for positions, where in (
        (places, (0.3, -0.2, 3.07)),
        (flat + torch.tensor([0.2, -0.1, 0.0]), (0.3, -0.2, 3.07)),
        (flat, (1.5, 0.2, 2.03)),
        (flat, (0.4, -1.45, 2.03)),
        (flat, (0.4, 0.3, 0.31)),
        (flat, (0.4, 0.3, 1013.7)),
    ):
        source = tuple(torch.tensor(x, dtype=torch.float64) for x in where)
        yield lambda function, q=positions, s=source: row(function(Panel(q.clone(), 0.25), *s))
    yield lambda function: _after(function, flat)
    yield lambda function: _by_distance(function, flat)
    many = [torch.linspace(-a, a, 70, dtype=torch.float64) for a in (1.0, 0.5)]
    far = torch.linspace(2.03, 9.1, 70, dtype=torch.float64)
    yield lambda function: row(function(Panel(flat.clone(), 0.25), *many, far))


def _after(function: Callable[..., Any], flat: Tensor) -> Numbers:
    """The positions once the function has had them."""
    positions = flat.clone()
    where = (torch.tensor(x, dtype=torch.float64) for x in (0.4, 0.3, 2.03))
    function(Panel(positions, 0.25), *where)
    return row(positions)


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
    "eigengap": lambda: (case for k in (1, 2, 3) for case in _of_matrices(k)),
    "eigengap_loss": _losses,
    "signal_subspace": _bases,
    "noise_subspace": _bases,
    "projector": _projectors,
    "music_spectrum": lambda: (case for k in (1, 2) for case in _spectra(k)),
    "mvdr_spectrum": _spectra,
    "steering_vector": _steering,
    "gradient_norm": _norms,
    "run_epoch": _epochs,
    **ARRAY_CASES,
}


@cache
def fixed_cases(place: str) -> tuple[Case, ...]:
    """The cases of a name of `target.PLACES`; none where only patterns tell bugs apart."""
    if place not in _CASES:
        return ()
    if place == "steering_vector":
        return (*_CASES[place](), *_steering_anywhere())
    more = circumstances(place) if place in NAMES else ()
    return (*_CASES[place](), *more)
