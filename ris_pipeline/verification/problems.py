"""A matrix with what each function takes beside it, the right answers, and how far one may be off.

The laws that hold for every function alike (of size, scale, memory, batches, side effects) are
written over these.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._laws import adjoint
from ris_pipeline.verification.bounds import (
    condition_number,
    conditioned_bound,
    eigenvalue_bound,
    entry_bound,
    gap_bound,
    largest,
    product_bound,
    subspace_bound,
)
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.families import BASES, ESTIMATES, FUNCTIONS, SPECTRA, ULA
from ris_pipeline.verification.oracles import shrunk_covariance, ula, unit_rows
from ris_pipeline.verification.strategies import (
    Basis,
    Domain,
    SpectralMatrix,
    eigenbasis,
    skew_part,
    unit_vectors,
)
from ris_pipeline.verification.target import TARGET, Claim, taken


@dataclass(frozen=True)
class Problem:
    """Positive definite matrices (..., n, n) of distinct eigenvalues, and arguments beside them.

    k: order of the gap and the subspaces; steering: (n, g), or (..., n, g) of each matrix's own;
    turn, reach: of the angles of a linear array, `reach sin(turn + 2 i)`.
    """

    drawn: SpectralMatrix
    k: int
    steering: np.ndarray
    turn: float = 1.0
    reach: float = 1.0

    def __repr__(self) -> str:
        return f"Problem({self.drawn!r}, k = {self.k}, steering {self.steering.shape})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    @property
    def dtype(self) -> torch.dtype:
        """Of the matrices."""
        return self.drawn.matrix.dtype

    @property
    def vectors(self) -> np.ndarray:
        """Eigenvectors as columns, in descending order of the eigenvalues."""
        return np.linalg.eigh(self.drawn.exact)[1][..., ::-1]

    @property
    def margin(self) -> float:
        """Above every gap."""
        return 4 * largest(self.drawn.values)

    def windows(self) -> np.ndarray:
        """All but one element: without the last, and without the first."""
        n = self.drawn.n
        return np.array([range(n - 1), range(1, n)])

    def factor(self) -> np.ndarray:
        """F with F F^H the matrix."""
        return np.asarray(self.vectors * np.sqrt(self.drawn.values)[..., None, :])

    def snapshots(self) -> np.ndarray:
        """More snapshots than rows, whose sample covariance is the matrix."""
        n, count = self.drawn.n, self.drawn.n + 3
        rows = unit_rows(n, count)
        return np.asarray(np.sqrt(count) * self.factor() @ rows)

    def angles(self) -> np.ndarray:
        """As many directions as there are steering vectors, radians, in no order."""
        return self.reach * np.sin(self.turn + 2.0 * np.arange(self.steering.shape[-1]))

    def steering_tensor(self) -> Tensor:
        """The steering vectors in the matrices' dtype, fresh."""
        return torch.from_numpy(self.steering.copy()).to(self.dtype)

    def argument(self, name: str) -> Tensor:
        """What the function takes first: the matrices, or bases of k orthonormal columns."""
        if name == "projector":
            return torch.from_numpy(self.vectors[..., : self.k].copy()).to(self.dtype)
        if name in ESTIMATES:
            return torch.from_numpy(self.snapshots()).to(self.dtype)
        if name == "factor_eigengap_loss":
            return torch.from_numpy(self.factor()).to(self.dtype)
        return self.drawn.matrix

    def more(self, name: str, steering: Tensor | None = None) -> tuple[Any, ...]:
        """What the function takes beside it."""
        a = self.steering_tensor() if steering is None else steering
        return {
            "eigengap": (self.k,),
            "eigengap_loss": (self.k, self.margin),
            "signal_subspace": (self.k,),
            "noise_subspace": (self.k,),
            "music_spectrum": (a, self.k),
            "mvdr_spectrum": (a,),
            "bartlett_spectrum": (a,),
            "soft_music_spectrum": (a, largest(self.drawn.values) / 2, 1.0),
            "spatial_smoothing": (torch.from_numpy(self.windows()),),
            "add_loading": (largest(self.drawn.values) / 2,),
            "factor_eigengap_loss": (self.k, self.margin),
            "ula_music": (self.k, torch.from_numpy(self.angles())),
            "ula_mvdr": (torch.from_numpy(self.angles()),),
            "ula_bartlett": (torch.from_numpy(self.angles()),),
        }.get(name, ())

    def answer(self, name: str) -> np.ndarray:
        """The answer of the function under test, made comparable."""
        return comparable(name, getattr(TARGET, name)(self.argument(name), *self.more(name)))

    def check(self, name: str, got: np.ndarray) -> None:
        """Fail unless a comparable answer is the right one."""
        __tracebackhide__ = True
        assert_within(name, got, *self.truth(name), recorded=False)

    def truth(self, name: str) -> tuple[np.ndarray, Any]:
        """The comparable right answer, and how far one may be off."""
        if name in BASES:
            return self._of_bases(name)
        if name in SPECTRA:
            return self._of_spectra(name)
        if name in ULA:
            return self._of_linear_arrays(name)
        if name in (*FUNCTIONS, *ESTIMATES):
            return self._of_functions(name)
        dtype, values, exact = self.dtype, self.drawn.values, self.drawn.exact
        size = largest(values)
        gap = values[..., self.k - 1] - values[..., min(self.k, self.drawn.n - 1)]
        match name:
            case "hermitize":
                return exact, entry_bound(size, 4, dtype)
            case "forward_backward":
                return (exact + exact.conj()[..., ::-1, ::-1]) / 2, entry_bound(size, 4, dtype)
            case "spatial_smoothing":
                blocks = [exact[..., w[:, None], w[None, :]] for w in self.windows()]
                return np.mean(blocks, axis=0), entry_bound(size, 4, dtype)
            case "eigengap":
                return gap, gap_bound(values, dtype)
            case "add_loading":
                return exact + size / 2 * np.eye(self.drawn.n), entry_bound(2 * size, 4, dtype)
            case "eigengap_loss" | "factor_eigengap_loss":
                # The margin is rounded, and the difference.
                bound = float(gap_bound(values, dtype).mean())
                return np.asarray(self.margin - gap.mean()), bound + entry_bound(
                    self.margin, 2, dtype
                )
            case "singular_values":
                sizes = np.sort(np.abs(values), axis=-1)[..., ::-1]
                return sizes, eigenvalue_bound(values, dtype)[..., None]
            case _:
                return values, eigenvalue_bound(values, dtype)[..., None]

    def _of_bases(self, name: str) -> tuple[np.ndarray, Any]:
        values, k, n = self.drawn.values, self.k, self.drawn.n
        if name == "projector":
            return _projector(self.vectors[..., :k]), product_bound(1.0, k, self.dtype)
        basis = self.vectors[..., :k] if name == "signal_subspace" else self.vectors[..., k:]
        bound = subspace_bound(values, k, self.dtype)[..., None, None]
        return _projector(basis), bound + product_bound(1.0, n, self.dtype)

    def _of_spectra(self, name: str) -> tuple[np.ndarray, Any]:
        values, n, dtype, a = self.drawn.values, self.drawn.n, self.dtype, self.steering
        size, power = largest(values), (np.abs(a) ** 2).sum(axis=-2)
        parts = np.abs(adjoint(self.vectors) @ a) ** 2
        match name:
            case "music_spectrum":
                turned = subspace_bound(values, self.k, dtype)[..., None]
                # Of a quadratic form, not of a squared norm: textbooks write a^H E E^H a.
                off = 2 * turned + product_bound(1.0, 2 * n, dtype)
                return parts[..., self.k :, :].sum(axis=-2), off * power
            case "mvdr_spectrum":
                expected = 1 / (parts / values[..., None]).sum(axis=-2)
                bound = conditioned_bound(size, 2 * n, condition_number(values), dtype)
                return expected, bound / power
            case "soft_music_spectrum":
                weights = (size / 2) / np.maximum(values, size / 2)
                # The weight is Lipschitz with 1 / s, and sqrt(n) for the Frobenius norm.
                moved = 2 * n**0.5 * eigenvalue_bound(values, dtype) / size
                moved = 4 * (moved[..., None] + product_bound(1.0, 2 * n, dtype))
                return 1 / (weights[..., None] * parts).sum(axis=-2), moved / power
            case _:
                expected = (a.conj() * (self.drawn.exact @ a)).sum(axis=-2).real
                return expected, product_bound(size, 2 * n, dtype) * power

    def _of_linear_arrays(self, name: str) -> tuple[np.ndarray, Any]:
        n = self.drawn.n
        given = replace(self, steering=ula(n, self.angles()))
        expected, bound = given.truth(ULA[name])
        # The phases of a plane wave are known to eps of their size, and the vectors by as much.
        phases = 1 + np.pi * n
        scale = n**2 if name == "ula_bartlett" else 1
        return expected / scale, phases * bound / scale

    def _of_functions(self, name: str) -> tuple[np.ndarray, Any]:
        values, n, dtype, v = self.drawn.values, self.drawn.n, self.dtype, self.vectors
        size, condition = largest(values), condition_number(values)
        match name:
            case "psd_projection":
                positive = (v * values.clip(0)[..., None, :]) @ adjoint(v)
                return positive, n**0.5 * product_bound(size, n, dtype)
            case "matrix_sqrt":
                # |dS| <= |dR| / (2 sqrt(lambda_n)): Higham, Functions of Matrices, eq. (6.4).
                root = (v * np.sqrt(values)[..., None, :]) @ adjoint(v)
                moved = product_bound(size, n, dtype) * n / np.sqrt(values.min(initial=size))
                return root, moved + product_bound(size**0.5, n, dtype)
            case "sample_covariance":
                return self.drawn.exact, product_bound(size, n * (n + 3), dtype)
            case "ledoit_wolf":
                expected = shrunk_covariance(self.snapshots())
                # The weight is a ratio of squares, known to the condition of their difference.
                return expected, product_bound(size, n * (n + 3), dtype) * (1 + condition)
            case _:
                inverse = (v / values[..., None, :]) @ adjoint(v)
                smallest = values.min(initial=size)
                return inverse, conditioned_bound(1 / smallest, n, condition, dtype)


def comparable(name: str, answer: Tensor) -> np.ndarray:
    """An answer in numbers that do not depend on the choice of a basis, nor grow at a peak."""
    wide = np.asarray(answer.detach().resolve_conj().to(torch.complex128).numpy())
    if name.endswith("_subspace"):
        return _projector(wide)
    if name == "whitening":
        return np.asarray(adjoint(wide) @ wide)
    with np.errstate(divide="ignore"):
        return 1 / wide if name in ("music_spectrum", "ula_music") else wide


def _projector(basis: np.ndarray) -> np.ndarray:
    return np.asarray(basis @ adjoint(basis))


@dataclass(frozen=True)
class Size:
    """What a problem is made of: its order, batch, k and number of steering vectors.

    of_each: steering vectors of each matrix's own; norm: of a steering vector; imaginary: of the
    eigenvectors' imaginary parts, before they are made orthonormal.
    """

    n: int
    batch: tuple[int, ...] = ()
    k: int = 1
    vectors: int = 3
    scale: float = 1.0
    dtype: torch.dtype = torch.complex128
    of_each: bool = False
    norm: float = 1.0
    tied: tuple[bool, bool] = (False, False)
    imaginary: float = 1.0


def problem(size: Size) -> Problem:
    """The problem of that size, the same in every run.

    The k leading eigenvalues of each matrix lie in 4..5 and the others in 1..2, times the scale;
    tied: all of the leading ones are one, all of the others.

    Raises:
        DoesNotApply: the functions under test take no positive matrices.
    """
    taken((Domain.REPEATED if any(size.tied) else Domain.POSITIVE,))
    return fresh(_problem(size))


@cache
def _problem(size: Size) -> Problem:
    generator = np.random.default_rng(7)
    k = min(size.k, max(size.n - 1, 1))
    values, exact = [], []
    for index in range(math.prod(size.batch)):
        spectrum = np.concatenate(
            (
                4 + _group(k, size.tied[0], generator),
                1 + _group(size.n - k, size.tied[1], generator),
            )
        )
        q = eigenbasis(size.n, Basis.HAAR, index)
        if size.imaginary != 1:
            q = np.linalg.qr(q.real + 1j * size.imaginary * q.imag)[0]
        matrix = (q * (size.scale * spectrum)) @ q.conj().T
        values.append(size.scale * spectrum)
        exact.append(0.5 * (matrix + matrix.conj().T))
    stacked = np.array(exact).reshape(*size.batch, size.n, size.n)
    drawn = SpectralMatrix(
        torch.from_numpy(stacked).to(size.dtype),
        stacked,
        np.array(values).reshape(*size.batch, size.n),
        Domain.REPEATED if any(size.tied) else Domain.POSITIVE,
        Basis.HAAR,
    )
    steering = size.norm * unit_vectors(size.n, 0, size.vectors)
    if size.of_each:
        each = [unit_vectors(size.n, i + 1, size.vectors) for i in range(math.prod(size.batch))]
        steering = size.norm * np.array(each).reshape(*size.batch, size.n, size.vectors)
    return Problem(drawn, k, steering)


def _group(count: int, tied: bool, generator: np.random.Generator) -> np.ndarray:
    """Eigenvalues in 0..1, descending: equally spaced but for a shift, or all one."""
    shift = float(generator.random())
    if tied:
        return np.full(count, shift)
    return (np.arange(count)[::-1] + shift) / max(count, 1)


def nearly(given: Problem, relative: float) -> Problem:
    """The same problem by matrices with a skew-Hermitian part, relative to their norm.

    Raises:
        DoesNotApply: the functions under test take no such matrices.
    """
    taken((Claim.NOT_HERMITIAN,))
    matrix = given.drawn.matrix
    return replace(
        given, drawn=replace(given.drawn, matrix=matrix + skew_part(matrix, 3, relative))
    )


def problem_of(drawn: SpectralMatrix, k: int = 1) -> Problem:
    """The problem that a drawn matrix poses."""
    return Problem(drawn, min(k, drawn.n - 1), unit_vectors(drawn.n, 0))


def shifted(given: Problem, by: float) -> Problem:
    """The same eigenvectors and gaps, every eigenvalue less by a number.

    Raises:
        DoesNotApply: the functions under test take no indefinite matrices.
    """
    taken((Domain.INDEFINITE,))
    drawn = given.drawn
    exact = drawn.exact - by * np.eye(drawn.n)
    return replace(
        given,
        drawn=replace(
            drawn,
            matrix=torch.from_numpy(exact.copy()).to(given.dtype),
            exact=exact,
            values=drawn.values - by,
            domain=Domain.INDEFINITE,
        ),
    )


def beside_a_source(given: Problem, power: float, offset: float) -> Problem:
    """A linear array that sees one source, so many radians beside its first angle, in noise of
    power one.

    Raises:
        DoesNotApply: the functions under test take no equal eigenvalues.
    """
    taken((Domain.REPEATED,))
    n = given.drawn.n
    a = ula(n, given.angles()[:1] + offset)
    exact = power / n * (a @ adjoint(a)) + np.eye(n)
    exact = 0.5 * (exact + adjoint(exact))
    values = np.array([power + 1] + [1.0] * (n - 1))
    matrix = torch.from_numpy(exact.copy()).to(given.dtype)
    drawn = SpectralMatrix(matrix, exact, values, Domain.REPEATED, Basis.HAAR)
    return replace(given, drawn=drawn, k=1)


def fresh(given: Problem) -> Problem:
    """The same with a matrix of its own, which a function may do with as it likes."""
    return replace(given, drawn=replace(given.drawn, matrix=given.drawn.matrix.clone()))
