"""Cholesky factors of matrices that may be singular."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def regular_cholesky(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The factor L of `R = L L^H`, and where R is positive definite to rounding, (...) bool.

    Elsewhere L is the identity: LAPACK leaves a factor with a zero pivot there, on which a solve
    answers NaN and an inversion raises for the whole batch.
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    regular = failed == 0
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.where(regular[..., None, None], factor, eye), regular


def unit_diagonal(
    matrix: Float[Tensor, "*batch d d"], free: Bool[Tensor, "*#batch d"] | None = None
) -> tuple[Float[Tensor, "*batch d d"], Float[Tensor, "*batch d"]]:
    """`S M S` with a unit diagonal, and the diagonal of S.

    Rows and columns that are not free, or whose diagonal entry is not positive, become those of the
    identity, and their scale is zero. Coordinates differ in size and unit by any factor: a unit
    diagonal is the condition that counts.
    """
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    usable = diagonal > 0 if free is None else free & (diagonal > 0)
    scale = torch.where(usable, diagonal, torch.ones_like(diagonal)).rsqrt() * usable
    unit = matrix * scale[..., :, None] * scale[..., None, :]
    return unit + torch.diag_embed((~usable).to(unit.dtype)), scale


def invert_information(unit: Tensor, scale: Tensor, noise: Tensor) -> Float[Tensor, "b d"]:
    """`sqrt(diag((sigma^2 / 2) F^-1))` of a scaled F; infinite where F is singular to rounding."""
    factor, regular = regular_cholesky(unit)
    diagonal = torch.cholesky_inverse(factor).diagonal(dim1=1, dim2=2).clamp_min(0)
    deviation = (diagonal * (noise / 2)[:, None]).sqrt() * scale
    return torch.where(regular[:, None], deviation, torch.inf)
