"""Covariances known by their factors: `R = F F^H + delta I` is never formed.

With the Gram matrix `G = F^H F` (q x q) and its eigenvalues `g_1 >= ... >= g_q`:

    eigenvalues of R    g_1 + delta, ..., g_q + delta, delta, ..., delta     (n of them)
    trace               tr G + n delta
    R X                 F (F^H X) + delta X
    R^-1 X              (X - F (delta I + G)^-1 F^H X) / delta                (Woodbury)
"""

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from ris_pipeline._arrays import own_tensors
from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_complex, check_finite, check_range, transformed
from ris_pipeline.spectral.hermitian import eigenvalues as dense_eigenvalues
from ris_pipeline.spectral.hermitian import eigh_of_gram
from ris_pipeline.spectral.norms import squared_norm


def _values_at(values: Tensor, places: Tensor) -> Tensor:
    """Eigenvalues of a Gram matrix (..., q) at some places, 0 from the q-th on."""
    inside = places < values.shape[-1]
    # A Gram matrix has no negative eigenvalues; rounding may return -eps |G|.
    return values.gather(-1, places.where(inside, 0)).clamp_min(0.0) * inside


def _vectors_at(vectors: Tensor, places: Tensor) -> Tensor:
    """Eigenvectors as columns (..., q, q) at some places, any from the q-th on."""
    chosen = places.where(places < vectors.shape[-1], 0)
    rows = vectors.shape[-2]
    return vectors.gather(-1, chosen[..., None, :].expand(*places.shape[:-1], rows, -1))


class _SquaredSingularValues(torch.autograd.Function):
    """`s_i^2 = |F v_i|^2` at some places of the descending order, 0 from the q-th on.

        d s_i^2 / dF = 2 F v_i v_i^H,    v_i: eigenvectors of F^H F

    Autograd would go through every eigenvector, and through both factors of `F^H F`. It does so
    for a derivative of the derivative: there the v_i move.
    """

    @staticmethod
    def forward(ctx: Any, factor: Tensor, places: Tensor) -> Tensor:
        values, vectors = eigh_of_gram(factor.mH @ factor)
        ctx.save_for_backward(factor, places, _vectors_at(vectors, places))
        return _values_at(values, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        factor, places, vectors = ctx.saved_tensors
        if torch.is_grad_enabled():
            vectors = _vectors_at(eigh_of_gram(factor.mH @ factor)[1], places)
        inside = places < factor.shape[-1]
        weighted = vectors * (2 * gradient * inside)[..., None, :]
        return factor @ (weighted @ vectors.mH), None


@dataclass(frozen=True)
class LowRankCovariance:
    """`F F^H + delta I`.

    Args:
        factor: F, (..., n, q) complex.
        loading: delta >= 0, a number or a real tensor (...).

    Raises:
        InputError: a factor that is no complex matrix, or a negative loading.
    """

    factor: Tensor
    loading: float | Tensor = 0.0

    def __post_init__(self) -> None:
        own_tensors(self)
        check_complex("factor", self.factor)
        if self.factor.ndim < 2 or 0 in self.factor.shape[-2:]:
            raise InputError(
                f"factor has shape {tuple(self.factor.shape)}: allowed is (..., n, q), n and q >= 1"
            )
        check_range("loading", self.loading, 0.0, math.inf)

    @property
    def size(self) -> int:
        """n, the order of the matrix."""
        return self.factor.shape[-2]

    @property
    def rank(self) -> int:
        """q, the number of columns of the factor."""
        return self.factor.shape[-1]

    def loading_column(self) -> Tensor:
        """delta, (..., 1), real."""
        real, device = self.factor.real.dtype, self.factor.device
        # A number is filled in on the device: a copy from the CPU would wait for it.
        if isinstance(self.loading, Tensor):
            delta = self.loading.to(device, real)
        else:
            delta = torch.full((), self.loading, dtype=real, device=device)
        return delta.expand(self.factor.shape[:-2])[..., None]

    def gram(self) -> Complex[Tensor, "*batch q q"]:
        """`F^H F`."""
        return self.factor.mH @ self.factor

    def dense(self) -> Complex[Tensor, "*batch n n"]:
        """The matrix itself: for reference and for pictures."""
        eye = torch.eye(self.size, dtype=self.factor.dtype, device=self.factor.device)
        return self.factor @ self.factor.mH + self.loading_column()[..., None] * eye

    def trace(self) -> Float[Tensor, "*batch"]:
        """`tr R`, real."""
        return squared_norm(self.factor) + self.size * self.loading_column()[..., 0]

    def scaled(self, scale: Float[Tensor, "*batch"]) -> "LowRankCovariance":
        """`scale R`, for `scale >= 0`."""
        root = scale.sqrt()[..., None, None]
        return LowRankCovariance(self.factor * root, self.loading_column()[..., 0] * scale)

    def eigenvalues(self) -> Float[Tensor, "*batch n"]:
        """All n eigenvalues, DESCENDING; the gradient is finite at ties and at rank deficiency."""
        count = min(self.rank, self.size)
        places = torch.arange(count, device=self.factor.device)
        leading = self._without_loading(places.expand(*self.factor.shape[:-2], -1))
        return torch.nn.functional.pad(leading, (0, self.size - count)) + self.loading_column()

    def eigenvalues_at(self, places: Int[Tensor, "*batch m"]) -> Float[Tensor, "*batch m"]:
        """The eigenvalues at some places of the DESCENDING order, from 0; their gradient costs
        products with m vectors instead of n.

        Raises:
            InputError: a factor that is not finite.
        """
        return self._without_loading(places) + self.loading_column()

    def _without_loading(self, places: Tensor) -> Tensor:
        check_finite("factor", self.factor)
        if self.rank >= self.size:
            return dense_eigenvalues(self.factor @ self.factor.mH).gather(-1, places)
        if transformed(self.factor):
            return _values_at(dense_eigenvalues(self.gram()), places)
        values: Tensor = _SquaredSingularValues.apply(self.factor, places)
        return values

    def signal_basis(self, order: int) -> Complex[Tensor, "*batch n order"]:
        """Orthonormal eigenvectors of the `order <= q` largest eigenvalues, `F v_i / sqrt(g_i)`.

        A direction whose `g_i` is lost in rounding, `g_i <= n eps g_1`, comes back as zero: it
        cannot be told from the noise subspace.
        """
        check_range("order", order, 1, min(self.rank, self.size))
        check_finite("factor", self.factor)
        values, vectors = eigh_of_gram(self.gram())
        values, vectors = values[..., :order], vectors[..., :order]
        floor = self.size * torch.finfo(values.dtype).eps * values[..., :1].clamp_min(0)
        kept = values > floor
        inverse_root = torch.where(kept, values, torch.ones_like(values)).rsqrt() * kept
        return self.factor @ (vectors * inverse_root[..., None, :])

    def apply(self, x: Complex[Tensor, "*#batch n m"]) -> Complex[Tensor, "*#batch n m"]:
        """`R X`."""
        return self.factor @ (self.factor.mH @ x) + self.loading_column()[..., None] * x


Dense = Complex[Tensor, "... _ _"]
"""A covariance as a matrix."""

Covariance = Dense | LowRankCovariance
"""A covariance in dense (..., n, n) or in factored form."""

AnyForm = TypeVar("AnyForm", Dense, LowRankCovariance, Covariance)
"""A covariance whose form stays what it is."""
