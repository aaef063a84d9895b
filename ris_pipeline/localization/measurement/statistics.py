"""The data as every estimator sees them: sufficient statistics of a batch.

Nothing needs B_t = Phi_t A or its derivatives themselves. With C = [A, dA] everything follows from
C^H Phi^H Phi C and C^H Phi^H y, small matrices, so that the data enter once, as z_t = Phi_t^H y_t
and |y|^2, and as W_t = Phi_t^H Phi_t, whose smaller form is kept: `GramMeasurement` or
`SensingMeasurement`. Normal equations square the condition number; they are formed in float64
whatever the data came in, so that float32 data (1e-7) lose nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.scene import Panel

Kind = TypeVar("Kind", bound="Measurement")


def squared_modulus(values: Complex[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`Re^2 + Im^2`: `abs` takes a root first, and a sum over pairs four times as long."""
    return values.real.square() + values.imag.square()


@dataclass(frozen=True)
class Outside:
    """`sum_t |Q_t y_t|^2`, Q projecting out the range of Phi: noise, wherever the sources are.

    energy (B,); dimensions (B,), complex ones, `sum_t (L M - rank Phi_t)`.
    """

    energy: Tensor
    dimensions: Tensor

    @property
    def noise(self) -> Float[Tensor, " b"]:
        """sigma^2, the mean energy of a dimension."""
        return self.energy / self.dimensions

    def take(self, index: Tensor) -> "Outside":
        """The scenes `index`."""
        return Outside(self.energy[index], self.dimensions[index])


@dataclass(frozen=True, kw_only=True)
class Measurement(ABC):
    """What is kept of the snapshots; complex128 as `measure` makes it.

    matched `Phi^H y` (B, T, N); energy `|y|^2` (B,); ridge (B,), see `amplitude_ridge`; rows = L M.
    """

    matched: Tensor
    energy: Tensor
    ridge: Tensor
    rows: int
    panel: Panel
    wavefront: Wavefront

    @property
    def scenes(self) -> int:
        """Number of scenes B."""
        return self.energy.shape[0]

    @property
    def blocks(self) -> int:
        """Number of coherence blocks T."""
        return self.matched.shape[1]

    @property
    def elements(self) -> int:
        """Number of elements N."""
        return self.matched.shape[2]

    @property
    def samples(self) -> int:
        """Complex numbers of a scene, T L M."""
        return self.blocks * self.rows

    def take(self: Kind, index: Tensor) -> Kind:
        """The scenes `index`."""
        taken = self._with_operator(lambda operator: operator[index])
        return replace(
            taken,
            matched=self.matched[index],
            energy=self.energy[index],
            ridge=self.ridge[index],
        )

    def to(self: Kind, dtype: torch.dtype) -> Kind:
        """The same in complex `dtype`, and the panel in its real one; energy and ridge stay."""
        positions = self.panel.positions.to(dtype.to_real())
        return replace(
            self._with_operator(lambda operator: operator.to(dtype)),
            matched=self.matched.to(dtype),
            panel=replace(self.panel, positions=positions),
        )

    def correlate(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c"]:
        """`C^H Phi_t^H y_t`."""
        return self.matched @ columns.conj()

    @abstractmethod
    def _with_operator(self: Kind, change: Callable[[Tensor], Tensor]) -> Kind:
        """The same with the tensor that W is kept in changed."""

    @abstractmethod
    def normal(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t n c"]:
        """`W_t C`."""

    @abstractmethod
    def inner(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c c"]:
        """`C^H W_t C`."""

    def power(self, columns: Complex[Tensor, "b n c"]) -> Float[Tensor, "b t c"]:
        """`|Phi_t c|^2` of every column."""
        return (columns.conj()[:, None] * self.normal(columns)).real.sum(2)

    @abstractmethod
    def gains(self, steering: Complex[Tensor, "g n"]) -> Float[Tensor, "b t g"]:
        """`|Phi_t a_g|^2`, in the dtype of the steering vectors."""

    @abstractmethod
    def mean_eigenvalue(self) -> Float[Tensor, " b"]:
        """Mean over the blocks of the eigenvalues of W that may be other than zero."""

    @abstractmethod
    def outside(self) -> Outside | None:
        """What is outside the range of Phi; None where L M > N does not hold."""

    @abstractmethod
    def regularised_inverse(
        self, ratio: Float[Tensor, " b"], dtype: torch.dtype
    ) -> Complex[Tensor, "b t n"]:
        """`(W_t + eps I)^-1 z_t` in complex `dtype`; ratio: eps > 0 of each scene."""

    @abstractmethod
    def whitened(self: Kind, ratio: Float[Tensor, " b"], dtype: torch.dtype) -> Kind:
        """W replaced by `(W + eps I)^-1 W` and z by `(W + eps I)^-1 z`, in complex `dtype`."""
