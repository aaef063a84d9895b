"""Cholesky factors of matrices that may be singular."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline.spectral.hermitian import eigh_of_gram

RANK_TOLERANCE = 2**12 * torch.finfo(torch.float64).eps
"""Rounding of an information matrix whose entries, before amplitudes were eliminated, are at most
one: `d eps` for the elimination and `n eps` for each of the two products of length n it was formed
by (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, sections 3.5 and 10.1),
with d and n up to a thousand."""


def regular_cholesky(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The factor L of `R = L L^H`, and where R is positive definite to rounding, (...) bool.

    Elsewhere L is the identity: LAPACK leaves a factor with a zero pivot there, on which a solve
    answers NaN and an inversion raises for the whole batch.
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    regular = failed == 0
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.where(regular[..., None, None], factor, eye), regular


def solve_factored(right: Tensor, factor: Tensor) -> Tensor:
    """`(L L^H)^-1 X`, (..., n, m).

    By two triangular systems on a GPU, where MAGMA's solver allocates memory and waits.
    """
    if factor.device.type == "cpu":
        return torch.cholesky_solve(right, factor)
    return solve_by_triangles(right, factor)


def solve_by_triangles(right: Tensor, factor: Tensor) -> Tensor:
    """`solve_factored` by `L Z = X` and `L^H Y = Z`."""
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    return torch.linalg.solve_triangular(factor.mH, half, upper=True)


def invert_factored(factor: Tensor) -> Tensor:
    """`(L L^H)^-1`, (..., n, n); by a triangular system on a GPU, as `solve_factored`."""
    if factor.device.type == "cpu":
        return torch.cholesky_inverse(factor)
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    half = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
    return half.mH @ half


def unit_diagonal(
    matrix: Float[Tensor, "*batch d d"],
    free: Bool[Tensor, "*#batch d"] | None = None,
    whole: Float[Tensor, "*batch d"] | None = None,
) -> tuple[Float[Tensor, "*batch d d"], Float[Tensor, "*batch d"]]:
    """`S M S` with a unit diagonal, and the diagonal of S.

    Rows and columns that are not free, or whose diagonal entry is not positive, become those of the
    identity, and their scale is zero. Coordinates differ in size and unit by any factor: a unit
    diagonal is the condition that counts.

    Args:
        whole: what is scaled to one instead of the diagonal, nowhere below it: that of the matrix
            from which M was left by subtraction, whose rounding M has.
    """
    diagonal = matrix.diagonal(dim1=-2, dim2=-1) if whole is None else whole
    usable = diagonal > 0 if free is None else free & (diagonal > 0)
    scale = diagonal.where(usable, torch.ones_like(diagonal)).rsqrt() * usable
    unit = matrix * scale[..., :, None] * scale[..., None, :]
    unit.diagonal(dim1=-2, dim2=-1).add_(~usable)
    return unit, scale


def positive_definite(unit: Float[Tensor, "*batch d d"]) -> Bool[Tensor, "*batch"]:
    """Whether every eigenvalue of a scaled matrix (`unit_diagonal`) is above its rounding."""
    return (eigh_of_gram(_finite(unit))[0] > RANK_TOLERANCE).all(-1)


def _finite(unit: Tensor) -> Tensor:
    """Zero where an entry is not finite: there is nothing known there, and LAPACK raises."""
    return torch.where(unit.isfinite().all(-1).all(-1)[..., None, None], unit, 0.0)


def blind_coordinates(unit: Float[Tensor, "b d d"], scale: Float[Tensor, "b d"]) -> Tensor:
    """Coordinates that a scaled F (`unit_diagonal`) says nothing about, (b, d) bool: those with a
    part in its null space, and those of scale zero.

    An eigenvalue is zero that is no more than the rounding of F, `RANK_TOLERANCE` where entries are
    scaled to one; so is the square of a part in its eigenvector.
    """
    values, vectors = eigh_of_gram(_finite(unit))
    null = (values <= RANK_TOLERANCE)[:, None]
    return ((vectors.square() > RANK_TOLERANCE) & null).any(-1) | (scale <= 0)


def invert_information(unit: Tensor, scale: Tensor, noise: Tensor) -> Float[Tensor, "b d"]:
    """`sqrt(diag((sigma^2 / 2) F^-1))` of a scaled F (`unit_diagonal`), infinite for
    `blind_coordinates`; of the others what is known whatever those are."""
    unit = _finite(unit)
    factor, definite = regular_cholesky(unit)
    values, vectors = eigh_of_gram(unit)
    null = values <= RANK_TOLERANCE
    seen = torch.where(null, 0.0, 1 / torch.where(null, 1.0, values))
    regular = definite & ~null.any(-1)
    inverse = invert_factored(factor).diagonal(dim1=1, dim2=2).clamp_min(0)
    rest = (vectors.square() * seen[:, None]).sum(-1)
    deviation = (torch.where(regular[:, None], inverse, rest) * (noise / 2)[:, None]).sqrt() * scale
    return torch.where(blind_coordinates(unit, scale), torch.inf, deviation)
