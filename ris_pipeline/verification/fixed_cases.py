"""A few fixed arguments for each public function: wrong ones answer them each in their own way."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline.scene.array import Panel
from ris_pipeline.verification.adapters import CALL_ERRORS
from ris_pipeline.verification.fixed_arrays import ARRAY_CASES
from ris_pipeline.verification.strategies import unit_vectors

Numbers = NDArray[np.complex128]
Case = Callable[[Callable[..., Any]], Numbers]
"""Calls a function of one name and answers its numbers in a row."""

N = 5
SAME = float(np.sqrt(np.finfo(np.float64).eps))
"""Relative distance below which numbers are the same: half of the digits."""


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
    try:
        return case(function)
    except CALL_ERRORS:
        return None


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


def _row(answer: Any) -> Numbers:
    tensor = answer if isinstance(answer, Tensor) else torch.as_tensor(answer)
    return np.asarray(tensor.detach().resolve_conj().to(torch.complex128).numpy()).ravel()


def _of_matrices(*rest: Any) -> Iterator[Case]:
    for matrix in _matrices():
        yield lambda function, m=matrix: _row(function(m.clone(), *rest))


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
    leaf = matrix.clone().requires_grad_()
    hinge = function(leaf, k, margin)
    # A hinge without a graph descends nowhere, as one of gradient zero.
    if hinge.requires_grad:
        hinge.backward()
    slope = _row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
    # At a tie each of many gradients is right, as long as it is finite.
    return np.isfinite(slope).astype(complex) if tied else slope


def _bases() -> Iterator[Case]:
    for k in (1, 2):
        # Not the last: no basis of a tie is the right one.
        for matrix in _matrices()[:-1]:

            def case(function: Callable[..., Any], m: Tensor = matrix, k: int = k) -> Numbers:
                basis = torch.as_tensor(function(m.clone(), k)).to(torch.complex128)
                # A basis is one up to phases, so its products are looked at.
                inner = (basis.mH @ basis).abs()
                return np.concatenate((_row(basis @ basis.mH), _row(inner)))

            yield case


def _projectors() -> Iterator[Case]:
    for columns in (1, 2, 3):
        basis = torch.linalg.qr(_matrices()[2])[0][:, :columns]
        yield lambda function, b=basis: _row(function(b.clone()))


def _spectra(*rest: Any) -> Iterator[Case]:
    steering = torch.from_numpy(unit_vectors(N, 3))
    for matrix in (_matrices()[0], *_matrices()[3:5]):
        yield lambda function, m=matrix: _row(function(m.clone(), steering, *rest))


def _steering() -> Iterator[Case]:
    x, y = np.meshgrid(np.arange(4) - 1.5, np.arange(3) - 1.0)
    flat = np.stack((0.12 * x.ravel(), 0.16 * y.ravel(), np.zeros(12)), axis=-1)
    panel = Panel(torch.from_numpy(flat), 0.25)
    for where in ((0.0, 0.0, 4.0), (0.5, 0.0, 4.0), (0.0, 0.4, 2.0), (-0.7, 0.3, 1.5)):
        source = tuple(torch.tensor(x, dtype=torch.float64) for x in where)
        for front in ("spherical", "fresnel", "plane"):
            yield lambda function, s=source, f=front: _row(function(panel, *s, f))


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
    return _row(function(parameters).norm)


def _epochs() -> Iterator[Case]:
    losses = [5.0, 1.0, 4.0, 2.0, 8.0, 3.0, 7.0]
    for count in (1, 4, 7):
        for accumulation in (1, 2, 3, 10):
            yield lambda function, c=count, a=accumulation: _row(
                function(losses[:c], lambda loss, scale: loss, lambda: None, a).mean
            )


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


def fixed_cases(place: str) -> tuple[Case, ...]:
    """The cases of a name of `target.PLACES`; none where only patterns tell bugs apart."""
    return tuple(_CASES[place]()) if place in _CASES else ()
