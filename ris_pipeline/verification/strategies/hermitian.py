"""Hermitian matrices whose spectrum is known.

    R = Q diag(lambda) Q^H,   lambda: drawn, descending;   Q: identity, permutation, DFT or Haar

Simple cases come first in every choice, so a failure shrinks to a small matrix with an identity
eigenbasis and round numbers.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import dft, eigvalsh_tridiagonal
from torch import Tensor

from ris_pipeline.verification.target import Claim, taken, takes

DTYPES = (torch.complex128, torch.complex64)
BATCHES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (2, 2))
SCALES = tuple(10.0**power for power in (0, -6, -3, 3, 6))
LARGEST_ORDER = 12

CLUSTER = 2.0**-20
"""Distance of neighbours in a cluster: resolved in double precision, lost in single."""

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


class Domain(StrEnum):
    """Families of spectra."""

    POSITIVE = "positive semidefinite"
    INDEFINITE = "indefinite"
    LOW_RANK = "low rank"
    REPEATED = "repeated eigenvalues"
    CLUSTERED = "clusters"
    WILKINSON = "Wilkinson-like"
    GRADED = "graded over 12 decades"
    ZERO = "all zero"


SEMIDEFINITE = (
    Domain.POSITIVE,
    Domain.LOW_RANK,
    Domain.REPEATED,
    Domain.CLUSTERED,
    Domain.GRADED,
    Domain.ZERO,
)


class Basis(StrEnum):
    """Families of eigenbases, simplest first."""

    IDENTITY = "identity"
    PERMUTATION = "permutation"
    DFT = "DFT"
    HAAR = "Haar"


@dataclass(frozen=True)
class SpectralMatrix:
    """Hermitian matrices of one shape with the truth about them.

    matrix: (*batch, n, n) in the drawn dtype; exact: the same in complex128 numpy before rounding;
    values: (*batch, n) float64, descending; domain: the family of the spectra.
    """

    matrix: Tensor
    exact: Complex
    values: Real
    domain: Domain
    basis: Basis

    @property
    def n(self) -> int:
        """Order of the matrices."""
        return self.matrix.shape[-1]

    def __repr__(self) -> str:
        spectrum = np.array2string(self.values.reshape(-1, self.n)[0], precision=4)
        return (
            f"SpectralMatrix({self.domain.value}, {self.basis.value} basis, "
            f"{self.matrix.dtype}, shape {tuple(self.matrix.shape)}, first spectrum {spectrum})"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Hypothesis would print every entry of every field.
        printer.text(repr(self))


class NearHermitian(NamedTuple):
    """A Hermitian matrix, and the same with a skew-Hermitian part of `relative` times its norm."""

    hermitian: SpectralMatrix
    matrix: Tensor
    relative: float

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"{self.hermitian!r} + skew part of {self.relative:g} times its norm")


def _sixteenths(n: int, generator: np.random.Generator | None) -> Real:
    """Distinct multiples of 1/16, exact in every precision; the n smallest without a generator."""
    if generator is None:
        return np.arange(1, n + 1) / 16
    return np.asarray((1 + generator.permutation(max(64, n))[:n]) / 16)


def _raw_spectrum(n: int, domain: Domain, generator: np.random.Generator | None) -> Real:
    """A spectrum of the family in no order; the simplest one without a generator."""
    match domain:
        case Domain.POSITIVE:
            return _sixteenths(n, generator)
        case Domain.INDEFINITE:
            signs = np.ones(n)
            signs[: n // 2] = -1.0
            signs = signs if generator is None else generator.choice((1.0, -1.0), size=n)
            signs[-1] = -signs[0]
            return signs * _sixteenths(n, generator)
        case Domain.LOW_RANK:
            rank = 1 if generator is None else int(generator.integers(1, n))
            return np.pad(_sixteenths(rank, generator), (0, n - rank))
        case Domain.REPEATED:
            values = np.ones(n) if generator is None else generator.choice((1.0, 2.0, 4.0), size=n)
            values[-1] = values[0]
            return values
        case Domain.CLUSTERED:
            heads = np.ones(n) if generator is None else generator.choice((1.0, 2.0, 4.0), size=n)
            return heads - CLUSTER * np.arange(n)
        case Domain.WILKINSON:
            return np.asarray(wilkinson_spectrum(n))
        case Domain.GRADED:
            return 10.0 ** (-12 * np.arange(n) / (n - 1))
        case Domain.ZERO:
            return np.zeros(n)


def wilkinson_spectrum(n: int) -> list[float]:
    """Spectrum of Wilkinson's W_n^+ at norm 4: pairs that agree to many digits, one negative.

    `W_n^+` is tridiagonal with `|i - (n - 1) / 2|` on the diagonal and ones beside it. Source:
    J. H. Wilkinson, The Algebraic Eigenvalue Problem, 1965, section 5.45.
    """
    middle = np.abs(np.arange(n) - (n - 1) / 2)
    values = eigvalsh_tridiagonal(middle, np.ones(n - 1))
    return [float(value) for value in 4 * values / np.abs(values).max()]


def spectrum(n: int, domain: Domain, seed: int) -> Real:
    """A spectrum of the family, (n,) float64, descending; the largest magnitude is at most 4.

    That of seed 0 is the simplest, so that a failure shrinks to it.
    """
    generator = np.random.default_rng((seed, n)) if seed else None
    return np.sort(_raw_spectrum(n, domain, generator))[::-1].copy()


def eigenbasis(n: int, basis: Basis, seed: int) -> Complex:
    """A unitary matrix of the family, complex128."""
    match basis:
        case Basis.IDENTITY:
            return np.eye(n, dtype=np.complex128)
        case Basis.PERMUTATION:
            order = np.random.default_rng(seed).permutation(n)
            return np.eye(n, dtype=np.complex128)[:, order]
        case Basis.DFT:
            return dft(n, scale="sqrtn")
        case Basis.HAAR:
            return _haar(n, np.random.default_rng(seed))


def _haar(n: int, generator: np.random.Generator) -> Complex:
    """Uniform over the unitary group: QR of a Gaussian matrix with a positive diagonal of R
    (F. Mezzadri, Notices AMS 54(5), 2007)."""
    q, r = np.linalg.qr(generator.standard_normal((n, n)) + 1j * generator.standard_normal((n, n)))
    diagonal = r.diagonal()
    return np.asarray(q * (diagonal / np.abs(diagonal)))


@st.composite
def hermitian_matrices(
    draw: st.DrawFn,
    domains: tuple[Domain, ...] = tuple(Domain),
    dtypes: tuple[torch.dtype, ...] = DTYPES,
    batches: tuple[tuple[int, ...], ...] = BATCHES,
    scales: tuple[float, ...] = SCALES,
    orders: tuple[int, int] = (2, LARGEST_ORDER),
    bases: tuple[Basis, ...] = tuple(Basis),
) -> SpectralMatrix:
    """Batches of Hermitian matrices of one family, order, basis family and scale.

    Each matrix of a batch has a spectrum and a basis of its own, so a function that mixes the batch
    axes cannot pass. Families that the target under test does not take are left out.
    """
    domain, basis = draw(st.sampled_from(taken(domains))), draw(st.sampled_from(bases))
    dtype, batch = draw(st.sampled_from(dtypes)), draw(st.sampled_from(batches))
    scale = draw(st.sampled_from(scales if takes(Claim.SCALE) else scales[:1]))
    n = draw(st.integers(*orders))
    seed = draw(st.integers(0, 2**16))
    values, exact = [], []
    first = draw(st.integers(0, 2**16))
    for index in range(math.prod(batch)):
        drawn = spectrum(n, domain, first + index) * scale
        q = eigenbasis(n, basis, seed + index)
        matrix = (q * drawn) @ q.conj().T
        values.append(drawn)
        exact.append(0.5 * (matrix + matrix.conj().T))
    stacked = np.array(exact).reshape(*batch, n, n)
    return SpectralMatrix(
        torch.from_numpy(stacked).to(dtype),
        stacked,
        np.array(values).reshape(*batch, n),
        domain,
        basis,
    )


def skew_part(like: Tensor, seed: int, relative: float) -> Tensor:
    """A skew-Hermitian matrix of the size of `like`, `relative` times its norm (or 1)."""
    generator = np.random.default_rng(seed)
    shape = tuple(like.shape)
    draw = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    skew = 0.5 * (draw - draw.conj().swapaxes(-1, -2))
    norm = torch.linalg.matrix_norm(like, keepdim=True).to(torch.float64)
    size = torch.where(norm > 0, norm, torch.ones_like(norm))
    unit = torch.from_numpy(skew / np.linalg.norm(skew, axis=(-2, -1), keepdims=True))
    return (relative * size * unit).to(like.dtype)


@st.composite
def near_hermitian_matrices(
    draw: st.DrawFn, domains: tuple[Domain, ...] = tuple(Domain)
) -> NearHermitian:
    """A Hermitian matrix, and the same with a skew-Hermitian part of 1e-3 to 1 of its norm."""
    taken((Claim.NOT_HERMITIAN,))
    drawn = draw(hermitian_matrices(domains=domains))
    relative = draw(st.sampled_from((1.0, 1e-1, 1e-3)))
    skew = skew_part(drawn.matrix, draw(st.integers(0, 2**16)), relative)
    return NearHermitian(drawn, drawn.matrix + skew, relative)


def orders(matrix: SpectralMatrix) -> st.SearchStrategy[int]:
    """An eigengap order k, 1 <= k < n."""
    return st.integers(1, matrix.n - 1)
