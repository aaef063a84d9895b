"""Phi itself is kept: fewer numbers a block than elements, L M < N."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.localization.at_once import at_once
from ris_pipeline.localization.cholesky import regular_cholesky, solve_factored
from ris_pipeline.localization.measurement.operators import Operator
from ris_pipeline.localization.measurement.statistics import Measurement, squared_modulus
from ris_pipeline.spectral.hermitian import eigh_of_gram

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
        """`|Phi_t a_g|^2`."""
        return self._of_images(steering, lambda image, _: _row_power(image))

    def weighted_gains(
        self, steering: Complex[Tensor, "g n"], weights: Float[Tensor, "b #t w r"]
    ) -> Float[Tensor, "w b t g"]:
        """`sum_r w_r |(Phi_t a_g)_r|^2` for each of some weights."""
        own = weights.to(steering.dtype.to_real())

        def power(image: Tensor, some: Tensor) -> Tensor:
            return _weighted_power(image, own[some])

        return self._of_images(steering, power).movedim(2, 0)

    def _of_images(
        self, steering: Complex[Tensor, "g n"], make: Callable[[Tensor, Tensor], Tensor]
    ) -> Float[Tensor, "b *t g"]:
        """What is made of `Phi_t A`, scene by scene and part by part of the grid: an image fills a
        cache. `make` may overwrite it, and is told which scenes."""
        data = self if self.matched.dtype == steering.dtype else self.to(steering.dtype)
        scenes = torch.arange(self.scenes, device=steering.device)
        each = [(data.take(some), some) for some in scenes.split(at_once(1, scenes.device))]
        entries = at_once(_IMAGE_ENTRIES, scenes.device)
        parts = []
        for part in steering.split(max(1, entries // (self.blocks * self.rows))):
            # Once for all scenes.
            split = data.operator.sorted(part.mT[None])
            images = ((scene._rooted(scene.operator.image(split)), some) for scene, some in each)
            parts.append(torch.cat([make(image, some) for image, some in images]))
        return torch.cat(parts, dim=-1)

    def along_axes(
        self, ratio: Float[Tensor, " b"]
    ) -> "tuple[SensingMeasurement, Float[Tensor, 'b 1 two r']] | None":
        """The data in the axes of `Phi_t Phi_t^H = U diag(s) U^H`, and weights for which
        `weighted_gains` there are those of the data and of `whitened` ones:

            sum_r |u_r^H Phi_t a|^2 (1 and 1 / (s_r + eps))

        None where blocks differ in U: to find the axes then takes longer than a second image.
        """
        outer = self.operator.outer()
        if outer.shape[1] > 1:
            return None
        values, vectors = eigh_of_gram(outer)
        rooted = self.operator.rooted(vectors.mH)
        if rooted is None:
            return None
        white = 1 / (values.clamp_min(0) + ratio[:, None, None])
        weights = torch.stack((torch.ones_like(white), white), dim=2)
        return replace(self, operator=rooted), weights

    def mean_eigenvalue(self) -> Float[Tensor, " b"]:
        """`tr W / (L M)`: the rank of W is L M at most."""
        return self.operator.energy() / (self.blocks * self.rows)

    def outside(self) -> None:
        """None: Phi reaches every direction of the data, unless rows of it repeat."""

    def regularised_inverse(
        self, ratio: Float[Tensor, " b"], dtype: torch.dtype
    ) -> Complex[Tensor, "b t n"]:
        """`(W + eps I)^-1 z = (z - Phi^H (Phi Phi^H + eps I)^-1 Phi z) / eps`."""
        operator = self.operator.change(lambda x: x.to(dtype))
        ridge = ratio[:, None, None, None].to(dtype)
        matched = self.matched[..., None].to(dtype)
        factor = _regular_factor(operator.outer(), ridge)
        seen = operator.each(matched)
        solved = solve_factored(seen, factor.expand(*seen.shape[:2], -1, -1))
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


def _row_power(image: Complex[Tensor, "*b r g"]) -> Float[Tensor, "*b g"]:
    """`sum_r |x_rg|^2`, row by row, and real and imaginary parts at the end: a sum over an inner
    axis takes three times as long."""
    first, *rest = torch.view_as_real(image).unbind(-3)
    power = first.square()
    for row in rest:
        power.addcmul_(row, row)
    return power[..., 0] + power[..., 1]


def _weighted_power(
    image: Complex[Tensor, "b t r g"], weights: Float[Tensor, "b #t w r"]
) -> Float[Tensor, "b t w g"]:
    """`sum_r w_r |x_rg|^2`, as a product of real matrices; the image is overwritten."""
    squares = torch.view_as_real(image).flatten(-2).square_()
    power = weights.expand(*squares.shape[:2], -1, -1) @ squares
    return power[..., 0::2] + power[..., 1::2]


def _regular_factor(
    outer: Complex[Tensor, "b #t r r"], ridge: Tensor
) -> Complex[Tensor, "b #t r r"]:
    """Cholesky factors of `Phi_t Phi_t^H + eps I`; of I where that is singular to rounding."""
    eye = torch.eye(outer.shape[-1], dtype=outer.dtype, device=outer.device)
    return regular_cholesky(outer + ridge * eye)[0]
