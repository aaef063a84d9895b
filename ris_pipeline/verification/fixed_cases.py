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
from ris_pipeline.verification.problems import (
    BASES,
    NAMES,
    SPECTRA,
    Problem,
    Size,
    comparable,
    fresh,
    problem,
)
from ris_pipeline.verification.strategies import unit_vectors
from ris_pipeline.verification.target import Claim, taken

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


def _is_hermitian(matrix: Tensor) -> bool:
    return bool(torch.allclose(matrix, matrix.mH))


def _asked(matrix: Tensor) -> Tensor:
    """A copy of a matrix, if the function takes such."""
    if not _is_hermitian(matrix):
        taken((Claim.NOT_HERMITIAN,))
    return matrix.clone()


def _of_matrices(*rest: Any) -> Iterator[Case]:
    for matrix in _matrices():
        yield lambda function, m=matrix: _row(function(_asked(m), *rest))


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
    slope = _row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
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
                return np.concatenate((_row(basis @ basis.mH), _row(inner)))

            yield case


def _projectors() -> Iterator[Case]:
    for columns in (1, 2, 3):
        basis = torch.linalg.qr(_matrices()[2])[0][:, :columns]
        yield lambda function, b=basis: _row(function(b.clone()))


def _spectra(*rest: Any) -> Iterator[Case]:
    steering = torch.from_numpy(unit_vectors(N, 3, 3))
    for matrix in (_matrices()[0], *_matrices()[3:5]):
        yield lambda function, m=matrix: _row(function(m.clone(), steering, *rest))


def _steering() -> Iterator[Case]:
    x, y = np.meshgrid(np.arange(4) - 1.5, np.arange(3) - 1.0)
    flat = np.stack((0.12 * x.ravel(), 0.16 * y.ravel(), np.zeros(12)), axis=-1)
    panel = Panel(torch.from_numpy(flat), 0.25)
    for where in (
        (0.0, 0.0, 4.07),
        (0.5, 0.0, 4.15),
        (0.0, 0.4, 2.03),
        (-0.7, 0.3, 1.61),
    ):
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


def _shown(answer: Any) -> Numbers:
    """Whether numbers are finite, for cases in which nothing more can be said."""
    return np.isfinite(_row(answer)).astype(complex)


SIZES = (
    Size(40, k=3),
    Size(140, k=130),
    Size(3, (17,), k=2, vectors=2),
    Size(4, (2, 3, 2), k=2),
    Size(6, k=3, tied=True),
    Size(4, k=2, scale=1e-12),
    Size(4, k=2, scale=1e12),
    Size(4, (3,), k=2, of_each=True),
    Size(4, k=2, norm=3.0),
    Size(4, vectors=1201),
)
USUAL = Size(4, k=2)


def _of_problem(name: str, size: Size) -> Case:
    def case(function: Callable[..., Any]) -> Numbers:
        given = fresh(problem(size))
        got = comparable(name, function(given.argument(name), *given.more(name)))
        unit = 1.0 if name in (*BASES, "music_spectrum") else size.scale
        return np.asarray(got / unit, dtype=np.complex128).ravel()

    return case


def _circumstances(name: str) -> Iterator[Case]:
    """Sizes, scales, ties; modes, gradients, what becomes of the argument and of the process."""
    for size in SIZES:
        own_to_spectra = size.of_each or size.norm != 1.0 or size.vectors > 1000
        if name in SPECTRA or not own_to_spectra:
            yield _of_problem(name, size)
    yield from (_acted(name, act) for act in (_without_gradient, _live, _slope_of, _curvature))
    yield from (_acted(name, act) for act in (_with_nan, _left_alone, _no_window, _process))


Act = Callable[[str, Callable[..., Any], Problem], Numbers]


def _acted(name: str, act: Act) -> Case:
    return lambda function: act(name, function, fresh(problem(USUAL)))


def _without_gradient(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    with torch.no_grad():
        return comparable(name, function(given.argument(name), *given.more(name))).ravel()


def _live(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.argument(name).clone().requires_grad_()
    return comparable(name, function(leaf, *given.more(name))).ravel()


def _weighted(answer: Tensor) -> Tensor:
    weights = torch.linspace(0.5, 1.5, max(1, answer.numel()), dtype=torch.float64)
    flat = answer.reshape(-1)
    return (flat.real.double() * weights).sum() + (flat.abs().double() * weights.flip(0)).sum()


def _gauge_free(name: str, answer: Tensor) -> Tensor:
    return answer @ answer.mH if name.endswith("_subspace") else answer


def _slope_of(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.argument(name).clone().requires_grad_()
    value = _weighted(_gauge_free(name, function(leaf, *given.more(name))))
    if value.requires_grad:
        value.backward()
    return _row(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)


def _curvature(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    leaf = given.argument(name).clone().requires_grad_()
    value = _weighted(_gauge_free(name, function(leaf, *given.more(name))))
    if not value.requires_grad:
        return np.zeros(leaf.numel(), complex)
    (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
    if not slope.requires_grad:
        return np.zeros(leaf.numel(), complex)
    ramp = torch.linspace(0.1, 1.0, leaf.numel(), dtype=torch.float64).reshape(leaf.shape)
    (second,) = torch.autograd.grad(((ramp + ramp.mT) * slope.real).sum(), leaf)
    return _row(second)


def _with_nan(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    matrix = given.argument(name).clone()
    matrix[..., 1, 1] = float("nan")
    return _shown(function(matrix, *given.more(name)))


def _left_alone(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    argument = given.argument(name).clone()
    function(argument, *given.more(name))
    return _row(argument)


def _no_window(name: str, function: Callable[..., Any], given: Problem) -> Numbers:
    argument = given.argument(name).clone()
    answer = function(argument, *given.more(name))
    argument.zero_()
    return comparable(name, answer).ravel()


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
        return _row(torch.tensor([kept, not torch.equal(*ends)]))
    finally:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(state)


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
        yield lambda function, q=positions, s=source: _row(function(Panel(q.clone(), 0.25), *s))
    many = [torch.linspace(-a, a, 70, dtype=torch.float64) for a in (1.0, 0.5)]
    far = torch.linspace(2.03, 9.1, 70, dtype=torch.float64)
    yield lambda function: _row(function(Panel(flat.clone(), 0.25), *many, far))


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
    if place not in _CASES:
        return ()
    if place == "steering_vector":
        return (*_CASES[place](), *_steering_anywhere())
    more = _circumstances(place) if place in NAMES else ()
    return (*_CASES[place](), *more)
