"""Phi itself is kept: fewer numbers a block than elements, L M < N."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.localization.cholesky import regular_cholesky
from ris_pipeline.localization.measurement.statistics import Measurement


@dataclass(frozen=True, kw_only=True)
class SensingMeasurement(Measurement):
    """sensing `Phi` (B, T, LM, N)."""

    sensing: Tensor

    def _with_operator(self, change: Callable[[Tensor], Tensor]) -> "SensingMeasurement":
        return replace(self, sensing=change(self.sensing))

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
        return (self.sensing.flatten(1, 2) @ columns).unflatten(1, (self.blocks, self.rows))

    def gains(self, steering: Complex[Tensor, "g n"]) -> Float[Tensor, "b t g"]:
        """`|Phi_t a_g|^2`."""
        image = self.sensing.to(steering.dtype) @ steering.mT
        return torch.view_as_real(image).square().sum((-3, -1))

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
        whitened = torch.linalg.solve_triangular(factor, sensing, upper=False)
        seen = sensing @ self.matched[..., None]
        image = torch.linalg.solve_triangular(factor, seen, upper=False)
        matched = (self.matched[..., None] - whitened.mH @ image)[..., 0] / shift[..., 0]
        return replace(self, sensing=whitened.to(dtype), matched=matched.to(dtype))


def _outer_factor(sensing: Tensor, ridge: Tensor) -> Tensor:
    """Cholesky factors of `Phi_t Phi_t^H + eps I`; of I where that is singular to rounding."""
    eye = torch.eye(sensing.shape[-2], dtype=sensing.dtype, device=sensing.device)
    return regular_cholesky(sensing @ sensing.mH + ridge * eye)[0]
