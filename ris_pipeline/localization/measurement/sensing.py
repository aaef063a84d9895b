"""Phi itself is kept: fewer numbers a block than elements, L M < N."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.localization.at_once import at_once
from ris_pipeline.localization.cholesky import regular_cholesky
from ris_pipeline.localization.measurement.statistics import Measurement

_IMAGE_ENTRIES = 2**18
"""Complex numbers of the image of a part of the grid (2 MiB in complex64)."""


@dataclass(frozen=True, kw_only=True)
class SharedCodes:
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
        """None where classes are of unequal size, or of one element each.

        Args:
            codes: in the precision they came in, to the rounding of which two may be the same.
        """
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

    def image(self, columns: Complex[Tensor, "#b n c"]) -> Complex[Tensor, "b t_l_m c"]:
        """`Phi C`, all rows of all blocks."""
        return self.image_by_class(columns[:, self.classes])

    def image_by_class(self, columns: Complex[Tensor, "#b r s c"]) -> Complex[Tensor, "b t_l_m c"]:
        """The same of columns that run over the classes."""
        seen = self.channel @ columns
        image = self.weights.to(seen.dtype) @ seen.flatten(2)
        return image.unflatten(2, seen.shape[2:]).flatten(1, 2)

    def change(self, change: Callable[[Tensor], Tensor]) -> "SharedCodes":
        """The same with the channel of every scene changed."""
        return replace(self, channel=change(self.channel))


@dataclass(frozen=True, kw_only=True)
class SensingMeasurement(Measurement):
    """sensing `Phi` (B, T, LM, N), and the same as `SharedCodes` where elements share codes; root:
    what the image of those is still to be multiplied by (B, T, LM, LM), see `whitened`."""

    sensing: Tensor
    shared: SharedCodes | None
    root: Tensor | None = None

    def _with_operator(self, change: Callable[[Tensor], Tensor]) -> "SensingMeasurement":
        return replace(
            self,
            sensing=change(self.sensing),
            shared=None if self.shared is None else self.shared.change(change),
            root=None if self.root is None else change(self.root),
        )

    def normal(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t n c"]:
        """`Phi_t^H (Phi_t C)`."""
        # The conjugate is taken of the small factor.
        return (self._image(columns).mH @ self.sensing).mH

    def inner(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c c"]:
        """`(Phi_t C)^H (Phi_t C)`."""
        image = self._image(columns)
        return image.mH @ image

    def _image(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t r c"]:
        """`Phi_t C`, one product a scene: broadcast over t it would copy C for every block."""
        if self.shared is None:
            return self._rooted(self.sensing.flatten(1, 2) @ columns)
        return self._rooted(self.shared.image(columns))

    def _rooted(self, image: Complex[Tensor, "b t_r c"]) -> Complex[Tensor, "b t r c"]:
        image = image.unflatten(1, (self.blocks, self.rows))
        return image if self.root is None else self.root @ image

    def gains(self, steering: Complex[Tensor, "g n"]) -> Float[Tensor, "b t g"]:
        """`|Phi_t a_g|^2`, scene by scene and part by part of the grid: an image fills a cache."""
        data = self if self.sensing.dtype == steering.dtype else self.to(steering.dtype)
        scenes = torch.arange(self.scenes, device=steering.device)
        each = [data.take(some) for some in scenes.split(at_once(1, scenes.device))]
        entries = at_once(_IMAGE_ENTRIES, scenes.device)
        parts = steering.split(max(1, entries // (self.blocks * self.rows)))
        return torch.cat([_gains(each, part.mT) for part in parts], dim=-1)

    def mean_eigenvalue(self) -> Float[Tensor, " b"]:
        """`tr W / (L M)`: the rank of W is L M at most."""
        return self.sensing.abs().square().sum((2, 3)).mean(1) / self.rows

    def outside_energy(self) -> None:
        """None: Phi reaches every direction of the data."""

    def regularised_inverse(
        self, ratio: Float[Tensor, " b"], dtype: torch.dtype
    ) -> Complex[Tensor, "b t n"]:
        """`(W + eps I)^-1 z = (z - Phi^H (Phi Phi^H + eps I)^-1 Phi z) / eps`."""
        ridge = ratio[:, None, None, None].to(dtype)
        matched, sensing = self.matched[..., None].to(dtype), self.sensing.to(dtype)
        solved = torch.cholesky_solve(sensing @ matched, _outer_factor(sensing, ridge))
        return ((matched - sensing.mH @ solved) / ridge)[..., 0]

    def whitened(self, ratio: Float[Tensor, " b"], dtype: torch.dtype) -> "SensingMeasurement":
        """Phi replaced by `L^-1 Phi` with `L L^H = Phi Phi^H + eps I`."""
        shift, sensing = ratio[:, None, None, None], self.sensing
        factor = _outer_factor(sensing, shift)
        # The inverse itself is wanted: it is applied to the image of the whole grid.
        eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
        root = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
        whitened = root @ sensing
        seen = sensing @ self.matched[..., None]
        matched = (self.matched[..., None] - whitened.mH @ (root @ seen))[..., 0] / shift[..., 0]
        return replace(
            self,
            sensing=whitened.to(dtype),
            matched=matched.to(dtype),
            shared=None if self.shared is None else self.shared.change(lambda x: x.to(dtype)),
            root=None if self.shared is None else root.to(dtype),
        )


def _gains(
    scenes: Sequence[SensingMeasurement], columns: Complex[Tensor, "n g"]
) -> Float[Tensor, "b t g"]:
    """`|Phi_t c|^2`, the columns sorted by class once for all scenes."""
    split: Tensor | None = None
    power = []
    for scene in scenes:
        if scene.shared is None:
            image = scene._image(columns[None])
        else:
            split = columns[scene.shared.classes][None] if split is None else split
            image = scene._rooted(scene.shared.image_by_class(split))
        power.append(_row_power(image))
    return torch.cat(power)


def _row_power(image: Complex[Tensor, "*b r g"]) -> Float[Tensor, "*b g"]:
    """`sum_r |x_rg|^2`, row by row, and real and imaginary parts at the end: a sum over an inner
    axis takes three times as long."""
    first, *rest = torch.view_as_real(image).unbind(-3)
    power = first.square()
    for row in rest:
        power.addcmul_(row, row)
    return power[..., 0] + power[..., 1]


def _outer_factor(sensing: Tensor, ridge: Tensor) -> Tensor:
    """Cholesky factors of `Phi_t Phi_t^H + eps I`; of I where that is singular to rounding."""
    eye = torch.eye(sensing.shape[-2], dtype=sensing.dtype, device=sensing.device)
    return regular_cholesky(sensing @ sensing.mH + ridge * eye)[0]
