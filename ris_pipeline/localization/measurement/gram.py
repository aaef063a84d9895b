"""W = Phi^H Phi itself is kept: at least as many numbers a block as elements, L M >= N."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.localization.cholesky import (
    invert_factored,
    regular_cholesky,
    solve_factored,
)
from ris_pipeline.localization.measurement.statistics import Measurement, Outside

_NO_RANK = 1e-10
"""Part of tr W_t below which an eigenvalue is one of a singular matrix: far above rounding, and far
below what a measurement tells anything by."""


@dataclass(frozen=True, kw_only=True)
class GramMeasurement(Measurement):
    """gram `Phi^H Phi` (B, T, C, N / C, N / C): its blocks on the C `classes` (C, N / C) of
    elements that interfere; between two classes it is zero."""

    gram: Tensor
    classes: Tensor

    def _with_operator(self, change: Callable[[Tensor], Tensor]) -> "GramMeasurement":
        return replace(self, gram=change(self.gram))

    def by_class(self, values: Complex[Tensor, "b t n"]) -> Complex[Tensor, "b t c nc"]:
        """Numbers of the elements, class by class."""
        return values[:, :, self.classes]

    def natural(self, values: Complex[Tensor, "b t n *c"]) -> Complex[Tensor, "b t n *c"]:
        """Numbers that run over the classes, in the order of the elements."""
        return values[:, :, self.classes.flatten().argsort()]

    def entries(self, first: Tensor, second: Tensor) -> Complex[Tensor, "b t p"]:
        """Entries (first, second) of W_t, pairs of one class."""
        size = self.classes.shape[1]
        place = self.classes.flatten().argsort()
        row, column = place[first], place[second] % size
        return self.gram[..., row // size, row % size, column]

    def mean_diagonal(self) -> Float[Tensor, "b t"]:
        """Mean diagonal entry of W_t."""
        return self.gram.diagonal(dim1=-2, dim2=-1).real.mean((-2, -1))

    def normal(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t n c"]:
        """`W_t C`, class by class."""
        image = self.gram @ columns[:, self.classes][:, None]
        return self.natural(image.flatten(2, 3))

    def inner(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c c"]:
        """`C^H W_t C`."""
        split = columns[:, self.classes][:, None]
        return split.flatten(2, 3).mH @ (self.gram @ split).flatten(2, 3)

    def gains(self, steering: Complex[Tensor, "g n"]) -> Float[Tensor, "b t g"]:
        """`Re(a_g^H W_t a_g)`."""
        data = replace(self, gram=self.gram.to(steering.dtype))
        image = data.normal(steering.mT.expand(self.scenes, -1, -1))
        return (steering.mT.conj() * image).real.sum(-2)

    def mean_eigenvalue(self) -> Float[Tensor, " b"]:
        """`tr W / N`."""
        trace = self.gram.diagonal(dim1=-2, dim2=-1).real.sum((-3, -2, -1))
        return trace / (self.blocks * self.elements)

    def outside(self) -> Outside | None:
        """`|y|^2 - z^H W^-1 z`."""
        if self.rows == self.elements:
            return None
        trace = self.gram.diagonal(dim1=-2, dim2=-1).real.sum((-2, -1))
        # A rank-deficient W must not stop the factorisation; this moves sigma^2 by its own
        # rounding. Where W is zero z is, and the factor is of no account.
        ridge = self.elements * torch.finfo(trace.dtype).eps * trace
        factor, regular = regular_cholesky(self._plus(ridge[..., None, None, None]))
        split = self.by_class(self.matched)[..., None]
        seen = torch.linalg.solve_triangular(factor, split, upper=False)
        energy = (self.energy - seen.abs().square().sum((1, 2, 3, 4))).clamp_min(0)
        return Outside(energy, self.blocks * self.rows - self._ranks(factor, regular, trace))

    def _ranks(
        self, factor: Tensor, regular: Tensor, trace: Float[Tensor, "b t"]
    ) -> Float[Tensor, " b"]:
        """`sum_t rank W_t`, an eigenvalue of less than `_NO_RANK` of the trace being none.

        Codes that repeat, or a channel of low rank, leave W_t singular. The least pivot is no less
        than the least eigenvalue, so that most need no second look.

            rank ~ N - eps tr (W + eps I)^-1
        """
        level = (_NO_RANK * trace + torch.finfo(trace.dtype).tiny)[..., None]
        least = factor.diagonal(dim1=-2, dim2=-1).real.square().amin(-1)
        full = torch.full_like(self.energy, self.blocks * self.elements)
        short = torch.nonzero((~regular | (least < level)).flatten(1).any(1))[:, 0]
        if short.numel() == 0:
            return full
        part = self.take(short)
        eps = level[short][..., None, None]
        again, _ = regular_cholesky(part._plus(eps))
        left = invert_factored(again).diagonal(dim1=-2, dim2=-1).real.sum(-1)
        nulls = (eps[..., 0, 0] * left).round().sum((1, 2))
        return full.index_copy(0, short, full[short] - nulls)

    def regularised_inverse(
        self, ratio: Float[Tensor, " b"], dtype: torch.dtype
    ) -> Complex[Tensor, "b t n"]:
        """`(W_t + eps I)^-1 z_t`, class by class."""
        return self._solved(self._regularised_factor(ratio, dtype))

    def whitened(self, ratio: Float[Tensor, " b"], dtype: torch.dtype) -> "GramMeasurement":
        """`(W + eps I)^-1 W = I - eps (W + eps I)^-1`, which is Hermitian as computed."""
        factor = self._regularised_factor(ratio, dtype)
        # The inverse itself is wanted: it is the quadratic form of the whole grid.
        inverse = invert_factored(factor)
        eye = torch.eye(factor.shape[-1], dtype=dtype, device=factor.device)
        level = ratio[:, None, None, None, None].to(dtype)
        return replace(self, gram=eye - level * inverse, matched=self._solved(factor))

    def _regularised_factor(self, ratio: Tensor, dtype: torch.dtype) -> Tensor:
        """Cholesky factors of `W_t + eps I` on the classes; of I where that is singular in `dtype`,
        which leaves the matched filter as it is."""
        level = ratio[:, None, None, None, None].to(dtype)
        return regular_cholesky(replace(self, gram=self.gram.to(dtype))._plus(level))[0]

    def _solved(self, factor: Tensor) -> Complex[Tensor, "b t n"]:
        split = self.by_class(self.matched).to(factor.dtype)[..., None]
        return self.natural(solve_factored(split, factor).flatten(2))

    def _plus(self, level: Tensor) -> Tensor:
        eye = torch.eye(self.gram.shape[-1], dtype=self.gram.dtype, device=self.gram.device)
        return self.gram + level * eye
