"""Phi of every scene and block, in the form that is cheapest to apply."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.localization.measurement.binary import of_unit_size
from ris_pipeline.localization.measurement.statistics import squared_modulus
from ris_pipeline.scene import sensing_matrix


class Operator(ABC):
    """`Phi_t` (LM x N) of T blocks of B scenes; an image has the rows of all blocks, one below the
    other."""

    @abstractmethod
    def sorted(self, columns: Complex[Tensor, "#b n c"]) -> Complex[Tensor, "#b *n c"]:
        """Columns as `image` takes them."""

    @abstractmethod
    def image(self, sorted_columns: Complex[Tensor, "#b *n c"]) -> Complex[Tensor, "b t_l_m c"]:
        """`Phi C`, one product a scene: broadcast over t it would copy C for every block."""

    @abstractmethod
    def adjoint(self, image: Complex[Tensor, "b t l_m c"]) -> Complex[Tensor, "b t n c"]:
        """`Phi_t^H X_t`."""

    @abstractmethod
    def each(self, columns: Complex[Tensor, "b t n c"]) -> Complex[Tensor, "b t l_m c"]:
        """`Phi_t C_t`, of columns that every block has of its own."""

    @abstractmethod
    def outer(self) -> Complex[Tensor, "b #t l_m l_m"]:
        """`Phi_t Phi_t^H`, one for all blocks where that is known."""

    @abstractmethod
    def energy(self) -> Float[Tensor, " b"]:
        """`sum_t |Phi_t|^2`."""

    @abstractmethod
    def rooted(self, root: Complex[Tensor, "b #t l_m l_m"]) -> "Operator | None":
        """`root Phi`; None where that has no such form."""

    @abstractmethod
    def change(self, change: Callable[[Tensor], Tensor]) -> "Operator":
        """The same with what every scene has of its own changed."""


def operator_of(
    channel: Complex[Tensor, "b m n"], codes: Complex[Tensor, "t l n"]
) -> "OwnCodes | SharedCodes":
    """The cheaper of two forms.

    Args:
        codes: in the precision they came in, to the rounding of which two may be the same.
    """
    shared = SharedCodes.of(channel, codes)
    return shared or OwnCodes(sensing_matrix(channel, codes.to(channel.dtype)))


@dataclass(frozen=True)
class OwnCodes(Operator):
    """Phi as it is: sensing (B, T, LM, N)."""

    sensing: Tensor

    def sorted(self, columns: Tensor) -> Tensor:
        return columns

    def image(self, sorted_columns: Tensor) -> Tensor:
        return self.sensing.flatten(1, 2) @ sorted_columns

    def adjoint(self, image: Tensor) -> Tensor:
        # The conjugate is taken of the small factor.
        return (image.mH @ self.sensing).mH

    def each(self, columns: Tensor) -> Tensor:
        return self.sensing @ columns

    def outer(self) -> Tensor:
        return self.sensing @ self.sensing.mH

    def energy(self) -> Tensor:
        return squared_modulus(self.sensing).sum((1, 2, 3))

    def rooted(self, root: Tensor) -> "OwnCodes":
        return OwnCodes(root @ self.sensing)

    def change(self, change: Callable[[Tensor], Tensor]) -> "OwnCodes":
        return OwnCodes(change(self.sensing))


@dataclass(frozen=True, kw_only=True)
class SharedCodes(Operator):
    """Phi in classes of elements whose codes are the same in every row: R instead of N of them.

        Phi_t a = sum_r c_tr (H_r a_r)        H_r a_r is one for all blocks and codes

    DFT codes on an even sub-grid repeat along the panel: R = 16 of N = 144.

    channel: H_r (B, R, M, N / R); weights: c (T, L, R); classes (R, N / R), the elements of each.
    """

    channel: Tensor
    weights: Tensor
    classes: Tensor

    @classmethod
    def of(
        cls, channel: Complex[Tensor, "b m n"], codes: Complex[Tensor, "t l n"]
    ) -> "SharedCodes | None":
        """None where classes are of unequal size, or of one element each."""
        step = 4 * torch.finfo(codes.dtype).eps
        rows = codes.flatten(0, 1).to(channel.dtype)
        parts = (torch.view_as_real(of_unit_size(rows).mT.contiguous()) / step).round() + 0.0
        _, label, sizes = torch.unique(parts, dim=0, return_inverse=True, return_counts=True)
        if int(sizes.max()) == 1 or bool((sizes != sizes[0]).any()):
            return None
        classes = label.argsort(stable=True).reshape(-1, int(sizes[0]))
        return cls(
            # As products take it, which would else copy it every time.
            channel=channel[:, :, classes].transpose(1, 2).contiguous(),
            weights=rows[:, classes[:, 0]].unflatten(0, codes.shape[:2]),
            classes=classes,
        )

    def sorted(self, columns: Complex[Tensor, "#b n c"]) -> Complex[Tensor, "#b r s c"]:
        return columns[:, self.classes]

    def image(self, sorted_columns: Complex[Tensor, "#b r s c"]) -> Complex[Tensor, "b t_l_m c"]:
        seen = self.channel @ sorted_columns
        image = self.weights.flatten(0, 1).to(seen.dtype) @ seen.flatten(2)
        return image.unflatten(2, seen.shape[2:]).flatten(1, 2)

    def adjoint(self, image: Complex[Tensor, "b t l_m c"]) -> Complex[Tensor, "b t n c"]:
        antennas, (blocks, count) = self.channel.shape[2], image.shape[1::2]
        weights = self.weights.to(image.dtype).mH
        seen = weights @ image.unflatten(2, (-1, antennas)).flatten(3)
        # One product a class: blocks and columns side by side.
        side = seen.unflatten(3, (antennas, count)).permute(0, 2, 3, 1, 4).flatten(3)
        back = (self.channel.mH @ side).unflatten(3, (blocks, count)).flatten(1, 2)
        return back.index_select(1, self.classes.flatten().argsort()).transpose(1, 2)

    def each(self, columns: Complex[Tensor, "b t n c"]) -> Complex[Tensor, "b t l_m c"]:
        seen = self.channel[:, None] @ columns[:, :, self.classes]
        image = self.weights.to(seen.dtype) @ seen.flatten(3)
        return image.unflatten(3, seen.shape[3:]).flatten(2, 3)

    def outer(self) -> Complex[Tensor, "b #t l_m l_m"]:
        weights = self.weights[:1] if self._one_outer() else self.weights
        weights = weights.to(self.channel.dtype)
        pairs = (weights[:, :, None] * weights[:, None].conj()).flatten(1, 2)
        antennas, (blocks, codes) = self.channel.shape[2], weights.shape[:2]
        by_class = (self.channel @ self.channel.mH).flatten(2)
        product = (pairs.flatten(0, 1) @ by_class).reshape(
            -1, blocks, codes, codes, antennas, antennas
        )
        return product.transpose(3, 4).flatten(4, 5).flatten(2, 3)

    def _one_outer(self) -> bool:
        """With one code a block, where an element lets as much through in all, to rounding."""
        modulus = self.weights.abs()
        rounding = 8 * torch.finfo(modulus.dtype).eps * modulus.amax()
        alike = ((modulus - modulus[:1]).abs() <= rounding).all()
        return self.weights.shape[1] == 1 and bool(alike)

    def energy(self) -> Float[Tensor, " b"]:
        through = squared_modulus(self.weights).sum((0, 1))
        return (squared_modulus(self.channel).sum((2, 3)) * through).sum(1)

    def rooted(self, root: Tensor) -> "SharedCodes | None":
        """One root for all blocks, each of one code, goes into the channel."""
        if root.shape[1] > 1 or root.shape[-1] != self.channel.shape[2]:
            return None
        return replace(self, channel=root @ self.channel)

    def change(self, change: Callable[[Tensor], Tensor]) -> "SharedCodes":
        return replace(self, channel=change(self.channel))
