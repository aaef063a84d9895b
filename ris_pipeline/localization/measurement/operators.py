"""Phi of every scene and block, in the form that is cheapest to apply."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

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
    def matrix(self, blocks: int) -> Complex[Tensor, "b t l_m n"]:
        """Phi itself."""

    @abstractmethod
    def energy(self) -> Float[Tensor, " b"]:
        """`sum_t |Phi_t|^2`."""

    @abstractmethod
    def one_gram(self, blocks: int) -> bool:
        """Whether `Phi_t Phi_t^H` is known to be the same for all t."""

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

    def matrix(self, blocks: int) -> Tensor:
        return self.sensing

    def energy(self) -> Tensor:
        return squared_modulus(self.sensing).sum((1, 2, 3))

    def one_gram(self, blocks: int) -> bool:
        return False

    def rooted(self, root: Tensor) -> "OwnCodes":
        return OwnCodes(root @ self.sensing)

    def change(self, change: Callable[[Tensor], Tensor]) -> "OwnCodes":
        return OwnCodes(change(self.sensing))


@dataclass(frozen=True, kw_only=True)
class SharedCodes(Operator):
    """Phi in classes of elements whose codes are the same in every row: R instead of N of them.

        Phi_t a = sum_r c_tr (H_r a_r)        H_r a_r is one for all blocks and codes

    DFT codes on an even sub-grid repeat along the panel: R = 16 of N = 144.

    channel: H_r (B, R, M, N / R); weights: c (T L, R); classes (R, N / R), the elements of each.
    """

    channel: Tensor
    weights: Tensor
    classes: Tensor

    @classmethod
    def of(
        cls, channel: Complex[Tensor, "b m n"], codes: Complex[Tensor, "t l n"]
    ) -> "SharedCodes | None":
        """None where classes are of unequal size, or of one element each."""
        step = 8 * torch.finfo(codes.dtype).eps
        rows = codes.flatten(0, 1).to(channel.dtype)
        parts = (torch.view_as_real(rows.mT.contiguous()) / step).round() + 0.0
        _, label, sizes = torch.unique(parts, dim=0, return_inverse=True, return_counts=True)
        if int(sizes.max()) == 1 or bool((sizes != sizes[0]).any()):
            return None
        classes = label.argsort(stable=True).reshape(-1, int(sizes[0]))
        return cls(
            channel=channel[:, :, classes].transpose(1, 2),
            weights=rows[:, classes[:, 0]],
            classes=classes,
        )

    def sorted(self, columns: Complex[Tensor, "#b n c"]) -> Complex[Tensor, "#b r s c"]:
        return columns[:, self.classes]

    def image(self, sorted_columns: Complex[Tensor, "#b r s c"]) -> Complex[Tensor, "b t_l_m c"]:
        seen = self.channel @ sorted_columns
        image = self.weights.to(seen.dtype) @ seen.flatten(2)
        return image.unflatten(2, seen.shape[2:]).flatten(1, 2)

    def adjoint(self, image: Complex[Tensor, "b t l_m c"]) -> Complex[Tensor, "b t n c"]:
        blocks, antennas, count = image.shape[1], self.channel.shape[2], image.shape[3]
        weights = self.weights.to(image.dtype).unflatten(0, (blocks, -1)).mH
        seen = weights @ image.unflatten(2, (-1, antennas)).flatten(3)
        # One product a class: blocks and columns side by side.
        side = seen.unflatten(3, (antennas, count)).permute(0, 2, 3, 1, 4).flatten(3)
        back = (self.channel.mH @ side).unflatten(3, (blocks, count))
        return self._natural(back.flatten(1, 2), 1).transpose(1, 2)

    def matrix(self, blocks: int) -> Complex[Tensor, "b t l_m n"]:
        weights = self.weights.to(self.channel.dtype)
        rows = (weights[:, :, None, None] * self.channel[:, None]).transpose(2, 3)
        return self._natural(rows.flatten(3), 3).flatten(1, 2).unflatten(1, (blocks, -1))

    def _natural(self, values: Tensor, axis: int) -> Tensor:
        """Numbers that run over the classes, in the order of the elements."""
        return values.index_select(axis, self.classes.flatten().argsort())

    def energy(self) -> Float[Tensor, " b"]:
        through = squared_modulus(self.weights).sum(0)
        return (squared_modulus(self.channel).sum((2, 3)) * through).sum(1)

    def one_gram(self, blocks: int) -> bool:
        """With one code a block, where an element lets as much through in all, to rounding."""
        modulus = self.weights.abs()
        rounding = 8 * torch.finfo(modulus.dtype).eps * modulus.amax()
        alike = ((modulus - modulus[:1]).abs() <= rounding).all()
        return self.weights.shape[0] == blocks and bool(alike)

    def rooted(self, root: Tensor) -> "SharedCodes | None":
        """One root for all blocks, each of one code, goes into the channel."""
        if root.shape[1] > 1 or root.shape[-1] != self.channel.shape[2]:
            return None
        return replace(self, channel=root @ self.channel)

    def change(self, change: Callable[[Tensor], Tensor]) -> "SharedCodes":
        return replace(self, channel=change(self.channel))
