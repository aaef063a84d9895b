"""Signal and noise subspaces of a covariance.

    U_s: eigenvectors of the k largest eigenvalues;   P = U_s U_s^H;   noise projector I - P

A basis is unique up to a unitary factor only, so losses and tests look at projectors.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline._recorder import recording
from ris_pipeline._validation import (
    check_integer,
    check_range,
    check_shape,
    transformed,
)
from ris_pipeline.spectral.covariance import order_of
from ris_pipeline.spectral.hermitian import eigh
from ris_pipeline.spectral.low_rank import Covariance, Dense, LowRankCovariance
from ris_pipeline.spectral.norms import at_unit_scale, column_power, projected_power

NEAR = 1e-2
"""Share of a vector's power outside the signal subspace below which a difference of squares will
not do: above it, rounding of `c n eps |x|^2` costs at most two of the digits."""


def signal_subspace(covariance: Covariance, k: int) -> Complex[Tensor, "*batch n k"]:
    """Orthonormal basis of the k largest eigenvalues' eigenvectors.

    Raises:
        InputError: k outside 1..n-1, or above the rank of a factored covariance.
    """
    k = check_integer("k", k, 1, order_of(covariance) - 1)
    if isinstance(covariance, LowRankCovariance):
        return covariance.signal_basis(k)
    return eigh(covariance)[1][..., :k]


def noise_subspace(covariance: Dense, k: int) -> Complex[Tensor, "*#batch n m"]:
    """Orthonormal basis of the n - k smallest eigenvalues' eigenvectors; dense covariances only.

    A factored covariance has no use for it: `noise_projection` is `|x|^2` less the signal part.
    """
    k = check_integer("k", k, 1, order_of(covariance) - 1)
    return eigh(covariance)[1][..., k:]


def decomposition(
    covariance: Covariance,
) -> tuple[Float[Tensor, "*batch q"], Complex[Tensor, "*batch n q"], Float[Tensor, "*batch"]]:
    """`R = V diag(values) V^H + rest (I - V V^H)`: values DESCENDING, V orthonormal, rest.

    A factored covariance has min(q, n) vectors and its loading for the rest; a dense one has all n
    vectors, and a rest of 0 that multiplies nothing.

    Raises:
        InputError: not square, not complex, or not finite.
    """
    if isinstance(covariance, LowRankCovariance):
        count = min(covariance.rank, covariance.size)
        values = covariance.eigenvalues()[..., :count]
        # F v_i / sqrt(g_i) is off by the rounding of g_1 over g_i, towards the leading vectors.
        # What orthogonalisation puts in place of a lost vector has the rest's eigenvalue.
        vectors, _ = torch.linalg.qr(covariance.signal_basis(count))
        return values, vectors, covariance.loading_column()[..., 0]
    values, vectors = eigh(covariance)
    return values, vectors, torch.zeros_like(values[..., 0])


def projector(basis: Complex[Tensor, "*batch n k"]) -> Complex[Tensor, "*batch n n"]:
    """`U U^H` of an orthonormal basis."""
    return basis @ basis.mH


def noise_projection(
    basis: Complex[Tensor, "*#batch n k"],
    x: Complex[Tensor, "*#batch n m"],
    power: Float[Tensor, "*#batch m"] | None = None,
) -> Float[Tensor, "*#batch m"]:
    """`|(I - U U^H) x|^2` of each column, U orthonormal; power: `|x|^2`, if already known.

    It is `|x|^2 - |U^H x|^2`, which leaves a column near the signal subspace with half its digits:
    where less than `NEAR` of the power is left, the residual itself is formed.
    """
    power = column_power(x) if power is None else power
    distance = power - projected_power(basis.mH, x)
    near = distance.detach() < NEAR * power.detach()
    if transformed(distance):
        # What columns there are is not known.
        return torch.where(near, column_power(x - basis @ (basis.mH @ x)), distance)
    where = near.nonzero(as_tuple=True)
    if 8 * where[0].numel() > near.numel():
        return column_power(x - basis @ (basis.mH @ x))
    columns = x.mT.expand(*near.shape, -1)[where][..., None]
    bases = basis.expand(*near.shape[:-1], *basis.shape[-2:])[where[:-1]]
    return distance.index_put(where, column_power(columns - bases @ (bases.mH @ columns))[..., 0])


def soft_alignment(
    covariance: LowRankCovariance,
    steering: Complex[Tensor, "*#batch n m"],
    ridge: float = 1e-3,
) -> Float[Tensor, "*#batch m"]:
    """`a^H F (F^H F + ridge tr(F^H F) I)^-1 F^H a`: how much of each a lies in the span of F.

    In 0..|a|^2. A smooth stand-in for the hard projector: its gradient divides by no eigenvalue
    difference and stays finite at rank deficiency; zero factors give zero. A direction that holds
    less than `ridge` of the power counts as noise.

    Raises:
        InputError: a ridge outside 0..1, or a steering matrix of another height.
    """
    check_range("ridge", ridge, 0.0, 1.0)
    check_shape("steering", steering, (covariance.size, None))
    factor = at_unit_scale(covariance.factor)
    return soft_share(factor.mH @ factor, factor.mH @ steering, ridge)


def soft_share(
    gram: Complex[Tensor, "*#batch q q"],
    projected: Complex[Tensor, "*#batch q m"],
    ridge: float,
) -> Float[Tensor, "*#batch m"]:
    """`soft_alignment` from `F^H F` and `F^H a`, of a factor whose entries are near one."""
    power = gram.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    # The root of the smallest normal number keeps the Cholesky factor of a zero matrix invertible.
    level = ridge * power + torch.finfo(power.dtype).tiny ** 0.5
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    matrix = gram + level[..., None, None] * eye
    # To raise an error it would wait for the device.
    positive = torch.linalg.cholesky_ex(matrix, check_errors=not recording())
    whitened = torch.linalg.solve_triangular(positive.L, projected, upper=False)
    return column_power(whitened)
