"""Phi itself is kept: fewer numbers a block than elements, L M < N."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.localization.at_once import at_once
from ris_pipeline.localization.cholesky import regular_cholesky
from ris_pipeline.localization.measurement.operators import Operator
from ris_pipeline.localization.measurement.statistics import Measurement, squared_modulus

_IMAGE_ENTRIES = 2**18
"""Complex numbers of the image of a part of the grid (2 MiB in complex64)."""


@dataclass(frozen=True, kw_only=True)
class SensingMeasurement(Measurement):
    """Phi as an operator; root: what its image is still to be multiplied by (B, T, LM, LM), see
    `whitened`."""

    operator: Operator
    root: Tensor | None = None

    def _with_operator(self, change: Callable[[Tensor], Tensor]) -> "SensingMeasurement":
        root = None if self.root is None else change(self.root)
        return replace(self, operator=self.operator.change(change), root=root)

    def normal(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t n c"]:
        """`Phi_t^H (Phi_t C)`."""
        image = self._image(columns)
        return self.operator.adjoint(image if self.root is None else self.root.mH @ image)

    def inner(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c c"]:
        """`(Phi_t C)^H (Phi_t C)`."""
        image = self._image(columns)
        return image.mH @ image

    def power(self, columns: Complex[Tensor, "b n c"]) -> Float[Tensor, "b t c"]:
        """`|Phi_t c|^2`, from the image itself."""
        return squared_modulus(self._image(columns)).sum(2)

    def _image(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t r c"]:
        """`Phi_t C`."""
        return self._rooted(self.operator.image(self.operator.sorted(columns)))

    def _rooted(self, image: Complex[Tensor, "b t_r c"]) -> Complex[Tensor, "b t r c"]:
        image = image.unflatten(1, (self.blocks, self.rows))
        return image if self.root is None else self.root @ image

    def gains(self, steering: Complex[Tensor, "g n"]) -> Float[Tensor, "b t g"]:
        """`|Phi_t a_g|^2`, scene by scene and part by part of the grid: an image fills a cache."""
        data = self if self.matched.dtype == steering.dtype else self.to(steering.dtype)
        scenes = torch.arange(self.scenes, device=steering.device)
        each = [data.take(some) for some in scenes.split(at_once(1, scenes.device))]
        entries = at_once(_IMAGE_ENTRIES, scenes.device)
        parts = steering.split(max(1, entries // (self.blocks * self.rows)))
        return torch.cat([_gains(each, part.mT) for part in parts], dim=-1)

    def mean_eigenvalue(self) -> Float[Tensor, " b"]:
        """`tr W / (L M)`: the rank of W is L M at most."""
        return self.operator.energy() / (self.blocks * self.rows)

    def outside_energy(self) -> None:
        """None: Phi reaches every direction of the data."""

    def regularised_inverse(
        self, ratio: Float[Tensor, " b"], dtype: torch.dtype
    ) -> Complex[Tensor, "b t n"]:
        """`(W + eps I)^-1 z = (z - Phi^H (Phi Phi^H + eps I)^-1 Phi z) / eps`."""
        operator = self.operator.change(lambda x: x.to(dtype))
        ridge = ratio[:, None, None, None].to(dtype)
        matched = self.matched[..., None].to(dtype)
        factor = _regular_factor(operator.outer(), ridge)
        seen = operator.each(matched)
        solved = torch.cholesky_solve(seen, factor.expand(*seen.shape[:2], -1, -1))
        return ((matched - operator.adjoint(solved)) / ridge)[..., 0]

    def whitened(self, ratio: Float[Tensor, " b"], dtype: torch.dtype) -> "SensingMeasurement":
        """Phi replaced by `L^-1 Phi` with `L L^H = Phi Phi^H + eps I`."""
        shift, matched = ratio[:, None, None, None], self.matched[..., None]
        factor = _regular_factor(self.operator.outer(), shift)
        # The inverse itself is wanted: it is applied to the image of the whole grid.
        eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
        root = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
        solved = root.mH @ (root @ self.operator.each(matched))
        matched = (matched - self.operator.adjoint(solved))[..., 0] / shift[..., 0]
        rooted = self.operator.rooted(root)
        return replace(
            self,
            operator=(rooted or self.operator).change(lambda x: x.to(dtype)),
            root=None if rooted else root.to(dtype),
            matched=matched.to(dtype),
        )


def _gains(
    scenes: Sequence[SensingMeasurement], columns: Complex[Tensor, "n g"]
) -> Float[Tensor, "b t g"]:
    """`|Phi_t c|^2`, the columns sorted once for all scenes."""
    split: Tensor | None = None
    power = []
    for scene in scenes:
        split = scene.operator.sorted(columns[None]) if split is None else split
        power.append(_row_power(scene._rooted(scene.operator.image(split))))
    return torch.cat(power)


def _row_power(image: Complex[Tensor, "*b r g"]) -> Float[Tensor, "*b g"]:
    """`sum_r |x_rg|^2`, row by row, and real and imaginary parts at the end: a sum over an inner
    axis takes three times as long."""
    first, *rest = torch.view_as_real(image).unbind(-3)
    power = first.square()
    for row in rest:
        power.addcmul_(row, row)
    return power[..., 0] + power[..., 1]


def _regular_factor(
    outer: Complex[Tensor, "b #t r r"], ridge: Tensor
) -> Complex[Tensor, "b #t r r"]:
    """Cholesky factors of `Phi_t Phi_t^H + eps I`; of I where that is singular to rounding."""
    eye = torch.eye(outer.shape[-1], dtype=outer.dtype, device=outer.device)
    return regular_cholesky(outer + ridge * eye)[0]
