"""The linearised model that refinement and bound share: amplitudes eliminated, coordinates kept.

y_t = B_t x_t + n_t,   B_t = Phi_t A(theta),   theta_k = (azimuth, elevation, 1 / distance)

amplitudes   x_t = B_t^+ y_t
residual     rss = sum_t |P_t y_t|^2,   P_t = I - B_t B_t^+
score        s = Re sum_t conj(x_t) o D_t^H P_t y_t = -1/2 d rss / d theta
information  F = Re sum_t (conj(x_t) x_t^T) o (D_t^H P_t D_t),   D_t = Phi_t dA / d theta

F is J^H J of Kaufman's Jacobian J = -P_t D_t diag(x_t), and 2 F / sigma^2 at the true amplitudes is
the deterministic Fisher information: one definition serves both.

Nothing here needs B_t or D_t themselves. With C = [A, dA] everything follows from C^H Phi^H Phi C
and C^H Phi^H y, small matrices, so that the data enter once, as z_t = Phi_t^H y_t and |y|^2. Normal
equations square the condition number; they are formed in float64 whatever the data came in, so that
float32 data (1e-7) lose nothing.

Source: L. Kaufman, "A variable projection method for solving separable nonlinear least squares
problems", BIT 15, 1975. P. Stoica and A. Nehorai, "MUSIC, maximum likelihood, and Cramer-Rao
bound", IEEE Trans. ASSP 37(5), 1989, eq. (4.1).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.localization._cholesky import regular_cholesky
from ris_pipeline.localization.backprojection import element_classes, matched_filter
from ris_pipeline.scene import (
    Panel,
    SceneBatch,
    sensing_matrix,
    steering_derivatives,
    steering_vector,
)


@dataclass(frozen=True)
class Measurement:
    """The sufficient statistics of a batch, complex128.

    gram `Phi^H Phi` (B, T, C, N / C, N / C), its blocks on the C `classes` (C, N / C) of elements
    that interfere, or sensing `Phi` (B, T, LM, N), the smaller; the other is None.
    matched `Phi^H y` (B, T, N); energy `|y|^2` (B,); rows = L M; ridge (B,), see `ridge`.
    """

    gram: Tensor | None
    sensing: Tensor | None
    classes: Tensor
    matched: Tensor
    energy: Tensor
    ridge: Tensor
    rows: int
    panel: Panel
    wavefront: Wavefront

    @property
    def blocks(self) -> int:
        """Number of coherence blocks T."""
        return self.matched.shape[1]

    @property
    def elements(self) -> int:
        """Number of elements N."""
        return self.matched.shape[2]

    def take(self, index: Tensor) -> "Measurement":
        """The scenes `index` (an index or a mask)."""
        if index.dtype == torch.bool and bool(index.all()):
            return self
        return replace(
            self,
            gram=None if self.gram is None else self.gram[index],
            sensing=None if self.sensing is None else self.sensing[index],
            matched=self.matched[index],
            energy=self.energy[index],
            ridge=self.ridge[index],
        )

    def entries(self, first: Tensor, second: Tensor) -> Complex[Tensor, "b t p"]:
        """Entries (first, second) of `Phi_t^H Phi_t`, pairs of one class, where it is kept."""
        assert self.gram is not None
        size = self.classes.shape[1]
        place = self.classes.flatten().argsort()
        row, column = place[first], place[second] % size
        return self.gram[..., row // size, row % size, column]

    def normal(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t n c"]:
        """`Phi_t^H Phi_t C`."""
        if self.gram is not None:
            image = self.gram @ columns[:, self.classes][:, None]
            return image.flatten(2, 3)[:, :, self.classes.flatten().argsort()]
        assert self.sensing is not None
        # The conjugate is taken of the small factor.
        return (self._image(columns).mH @ self.sensing).mH

    def inner(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c c"]:
        """`C^H Phi_t^H Phi_t C`."""
        if self.gram is not None:
            parts = columns[:, self.classes][:, None]
            return parts.flatten(2, 3).mH @ (self.gram @ parts).flatten(2, 3)
        image = self._image(columns)
        return image.mH @ image

    def _image(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t r c"]:
        """`Phi_t C`, one product a scene: broadcast over t it would copy C for every block."""
        assert self.sensing is not None
        return (self.sensing.flatten(1, 2) @ columns).unflatten(1, (self.blocks, self.rows))

    def correlate(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c"]:
        """`C^H Phi_t^H y_t`."""
        return self.matched @ columns.conj()


def measure(scenes: SceneBatch) -> Measurement:
    """Sufficient statistics of the receiver's part of a batch, without a ridge."""
    snapshots, channel, codes = (
        x.to(torch.complex128) for x in (scenes.snapshots, scenes.channel, scenes.codes)
    )
    rows = codes.shape[1] * channel.shape[1]
    # In the precision of the scenes: what rounding leaves of a zero there is not interference.
    classes = element_classes(scenes.codes)
    small = rows >= channel.shape[-1]
    energy = snapshots.abs().square().sum((1, 2, 3))
    return Measurement(
        _class_grams(channel, codes, classes) if small else None,
        None if small else sensing_matrix(channel, codes),
        classes,
        matched_filter(snapshots, channel, codes),
        energy,
        torch.zeros_like(energy),
        rows,
        Panel(scenes.panel.positions.double(), scenes.panel.wavelength),
        scenes.scenario.wavefront,
    )


def _class_grams(channel: Tensor, codes: Tensor, classes: Tensor) -> Complex[Tensor, "b t c n n"]:
    """`Phi_t^H Phi_t` on each class: the product of `sensing_gram`, entry by entry."""
    antennas, weights = (x[:, :, classes].transpose(1, 2) for x in (channel, codes))
    return (antennas.mH @ antennas)[:, None] * (weights.mH @ weights)


def source_columns(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Complex[Tensor, "b n k"]:
    """`A`, the first K of `model_columns`; columns of inactive slots are zero."""
    azimuth, elevation, inverse = parameters.unbind(-1)
    panel, wavefront = measurement.panel, measurement.wavefront
    a = steering_vector(panel, azimuth, elevation, 1 / inverse, wavefront)
    return (a * active[..., None]).mT


def model_columns(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Complex[Tensor, "b n c"]:
    """`C = [A, dA]`, 4 K columns: A, then the three derivatives of each source in turn.

    Columns of inactive slots are zero.
    """
    azimuth, elevation, inverse = parameters.unbind(-1)
    a, da = steering_derivatives(
        measurement.panel, azimuth, elevation, 1 / inverse, measurement.wavefront
    )
    # d/d(1/r) = -r^2 d/dr
    scale = torch.ones_like(parameters)
    scale[..., 2] = -inverse.square().reciprocal()
    columns = torch.cat((a, (da * scale[..., None]).flatten(1, 2)), dim=1)
    mask = torch.cat((active, active.repeat_interleave(3, dim=1)), dim=1)
    return (columns * mask[..., None]).mT


@dataclass(frozen=True)
class Fit:
    """Linearisation at one set of coordinates.

    amplitudes (B, T, K); objective (B,), the least of `rss + ridge |x|^2`, and rss (B,), the
    residual alone, both infinite where the sources coincide to rounding; score (B, 3K);
    information (B, 3K, 3K). Entries of inactive slots are zero.
    """

    amplitudes: Tensor
    objective: Tensor
    rss: Tensor
    score: Tensor
    information: Tensor


def eliminate(
    inner: Complex[Tensor, "b t c c"],
    active: Bool[Tensor, "b k"],
    ridge: Float[Tensor, " b"] | None = None,
) -> tuple[Complex[Tensor, "b t k k"], Complex[Tensor, "b t d d"], Bool[Tensor, " b"]]:
    """Cholesky factor of `B^H B + ridge I`, Schur complement `D^H P D`, and where all blocks had
    them.

    A block whose sources coincide tells nothing of where they are: its complement is zero.
    """
    k = active.shape[1]
    added = (~active).to(inner.real.dtype)
    if ridge is not None:
        added = added + ridge[:, None]
    idle = torch.diag_embed(added.to(inner.dtype))
    factor, regular = regular_cholesky(inner[..., :k, :k] + idle[:, None])
    whitened = torch.linalg.solve_triangular(factor, inner[..., :k, k:], upper=False)
    schur = (inner[..., k:, k:] - whitened.mH @ whitened) * regular[..., None, None]
    return factor, schur, regular.all(1)


def fisher_core(
    schur: Complex[Tensor, "b t d d"], amplitudes: Complex[Tensor, "b t k"]
) -> Float[Tensor, "b d d"]:
    """`F = Re sum_t (conj(x_t) x_t^T) o (D_t^H P_t D_t)`, each amplitude for its 3 coordinates."""
    x = amplitudes.repeat_interleave(3, dim=2)
    return (x.conj()[..., :, None] * schur * x[..., None, :]).real.sum(1)


def linearise(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Fit:
    """Amplitudes, residual, score and information at `parameters`; see the head of this file."""
    k = active.shape[1]
    columns = model_columns(measurement, parameters, active)
    inner, seen = measurement.inner(columns), measurement.correlate(columns)[..., None]
    factor, schur, regular = eliminate(inner, active, measurement.ridge)
    amplitudes = torch.cholesky_solve(seen[..., :k, :], factor)
    explained = (seen[..., :k, :].conj() * amplitudes).real.sum((1, 2, 3))
    residual = (seen[..., k:, :] - inner[..., k:, :k] @ amplitudes)[..., 0]
    amplitudes = amplitudes[..., 0]
    weights = amplitudes.repeat_interleave(3, dim=2)
    objective = torch.where(regular, measurement.energy - explained, torch.inf)
    return Fit(
        amplitudes,
        objective,
        objective - measurement.ridge * amplitudes.abs().square().sum((1, 2)),
        (weights.conj() * residual).real.sum(1),
        fisher_core(schur, amplitudes),
    )
