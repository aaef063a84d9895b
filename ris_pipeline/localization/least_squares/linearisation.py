"""The linearised model that refinement and bound share: amplitudes eliminated, coordinates kept.

y_t = B_t x_t + n_t,   B_t = Phi_t A(theta),   theta_k = (azimuth, elevation, 1 / distance)

amplitudes   x_t = B_t^+ y_t
residual     rss = sum_t |P_t y_t|^2,   P_t = I - B_t B_t^+
score        s = Re sum_t conj(x_t) o D_t^H P_t y_t = -1/2 d rss / d theta
information  F = Re sum_t (conj(x_t) x_t^T) o (D_t^H P_t D_t),   D_t = Phi_t dA / d theta

F is J^H J of Kaufman's Jacobian J = -P_t D_t diag(x_t), and 2 F / sigma^2 at the true amplitudes is
the deterministic Fisher information: one definition serves both.

B_t and D_t themselves are not needed, see `statistics`.

Source: L. Kaufman, "A variable projection method for solving separable nonlinear least squares
problems", BIT 15, 1975. P. Stoica and A. Nehorai, "MUSIC, maximum likelihood, and Cramer-Rao
bound", IEEE Trans. ASSP 37(5), 1989, eq. (4.1).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from ris_pipeline.localization.cholesky import regular_cholesky, solve_factored
from ris_pipeline.localization.levenberg_marquardt import Expansion
from ris_pipeline.localization.measurement.columns import model_columns, of_source
from ris_pipeline.localization.measurement.statistics import Measurement


@dataclass(frozen=True, kw_only=True)
class Fit(Expansion):
    """Linearisation at one set of coordinates.

    objective (B,), the least of `rss + ridge |x|^2`, and rss (B,), the residual alone, both
    infinite where the sources coincide to rounding; score (B, 3K); information (B, 3K, 3K);
    amplitudes (B, T, K); whole (B, 3K), the diagonal of the information that known amplitudes would
    leave. Entries of inactive slots are zero.
    """

    amplitudes: Tensor
    rss: Tensor
    whole: Tensor


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
    x = of_source(amplitudes)
    return (x.conj()[..., :, None] * schur * x[..., None, :]).real.sum(1)


def known_amplitude_information(
    inner: Complex[Tensor, "b t d d"], amplitudes: Complex[Tensor, "b t k"]
) -> Float[Tensor, "b d"]:
    """Diagonal of `Re sum_t (conj(x_t) x_t^T) o (D_t^H D_t)`: what there is to be known before the
    amplitudes take their part."""
    power = of_source(amplitudes).abs().square()
    return (power * inner.diagonal(dim1=-2, dim2=-1).real).sum(1)


def linearise(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Fit:
    """Amplitudes, residual, score and information at `parameters`; see the head of this file."""
    k = active.shape[1]
    columns = model_columns(measurement, parameters, active)
    inner, seen = measurement.inner(columns), measurement.correlate(columns)[..., None]
    factor, schur, regular = eliminate(inner, active, measurement.ridge)
    amplitudes = solve_factored(seen[..., :k, :], factor)
    explained = (seen[..., :k, :].conj() * amplitudes).real.sum((1, 2, 3))
    residual = (seen[..., k:, :] - inner[..., k:, :k] @ amplitudes)[..., 0]
    amplitudes = amplitudes[..., 0]
    objective = torch.where(regular, measurement.energy - explained, torch.inf)
    return Fit(
        objective=objective,
        score=(of_source(amplitudes).conj() * residual).real.sum(1),
        information=fisher_core(schur, amplitudes),
        amplitudes=amplitudes,
        rss=objective - measurement.ridge * amplitudes.abs().square().sum((1, 2)),
        whole=known_amplitude_information(inner[..., k:, k:], amplitudes),
    )
