"""Joint refinement of all sources: variable projection with Levenberg-Marquardt steps in a box.

(F + mu diag F) step = s,     s, F: score and information of `linearisation`

All sources of a scene step together, each scene with its own damping.

Source: G. H. Golub and V. Pereyra, "Separable nonlinear least squares: the variable projection
method and its applications", Inverse Problems 19, 2003; K. Madsen, H. B. Nielsen, O. Tingleff,
"Methods for Non-Linear Least Squares Problems", 2004, section 3.2 (the damping).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline._replay import Recordings
from ris_pipeline.localization.cholesky import (
    blind_coordinates,
    invert_information,
    unit_diagonal,
)
from ris_pipeline.localization.coordinates import Domain, free_coordinates
from ris_pipeline.localization.least_squares.linearisation import Fit, linearise
from ris_pipeline.localization.levenberg_marquardt import (
    Objective,
    Rules,
    Slope,
    minimise,
)
from ris_pipeline.localization.measurement.noise import NoiseScale
from ris_pipeline.localization.measurement.statistics import Measurement

MAX_STEPS = 60
"""Steps before a scene is given up. Well separated sources take 5 to 10; a pair inside a beamwidth
at low SNR crawls along a valley and takes tens."""

FINAL_TOLERANCE = 1e-3
"""Converged when the full Gauss-Newton step is this part of a standard deviation: it adds 1e-6 to
the variance."""

STAGE_TOLERANCE = 0.1
"""The same between greedy stages, where the fit only has to clear the view for the next source."""


def _by_gain(damping: Tensor, ratio: Tensor) -> Tensor:
    """The less, the nearer the decrease is to the predicted one: `1 - (2 ratio - 1)^3`."""
    return damping * (1 - (2 * ratio.clamp(0, 1) - 1) ** 3).clamp_min(0.1)


_RULES = Rules(lighter=_by_gain, heavier=(2.0, 2.0), finish=False, most_steps=MAX_STEPS)


@dataclass(frozen=True)
class Refined:
    """Where the steps ended: parameters (B, K, 3), fit, held (B, K, 3) and converged (B,) masks."""

    parameters: Tensor
    fit: Fit
    held: Tensor
    converged: Tensor


@dataclass(frozen=True)
class _LeastSquares(Objective[Fit]):
    """The residual as a function of all coordinates of the active sources.

    noise: of its noise variance; tolerance: of `reached`.
    """

    measurement: Measurement
    active: Tensor
    noise: NoiseScale
    tolerance: float

    def take(self, keep: Tensor) -> "_LeastSquares":
        return replace(
            self,
            measurement=self.measurement.take(keep),
            active=self.active[keep],
            noise=self.noise.take(keep),
        )

    def expand(self, place: Float[Tensor, "b d"]) -> Fit:
        return linearise(self.measurement, place.unflatten(1, (-1, 3)), self.active)

    def reached(self, expansion: Fit, slope: Slope) -> Bool[Tensor, " b"]:
        """`step^T (2 F / sigma^2) step < tolerance^2`, undamped: its length in deviations."""
        score, newton = slope.score, slope.newton
        solved = (newton != 0).any(1) | (score == 0).all(1)
        noise = self.noise.variance(expansion.rss)
        return solved & (2 * (score * newton).sum(1) < self.tolerance**2 * noise)


def refine(
    measurement: Measurement,
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    domain: Domain,
    tolerance: float = FINAL_TOLERANCE,
    recordings: Recordings | None = None,
) -> Refined:
    """Least squares over all active sources at once, from `parameters`, inside `domain`.

    Args:
        parameters: azimuth (rad), elevation (rad), inverse distance (1/m); float64.
        tolerance: length of the remaining Gauss-Newton step in standard deviations.
        recordings: replay the steps, see `minimise`.
    """
    sources = active.shape[1]
    fixed = ~free_coordinates(domain, measurement.wavefront)
    noise = NoiseScale.of(measurement, active.sum(1), int((~fixed).sum()))
    objective = _LeastSquares(measurement, active, noise, tolerance)
    box = Domain(domain.lower.repeat(sources), domain.upper.repeat(sources))
    found = minimise(
        objective, parameters.flatten(1), box, fixed.repeat(sources), _RULES, recordings
    )
    return Refined(
        found.place.reshape_as(parameters),
        found.expansion,
        found.held.reshape_as(parameters),
        found.reached,
    )


def standard_deviations(
    refined: Refined, noise: Float[Tensor, " b"], free: Bool[Tensor, "3"]
) -> Float[Tensor, "b k 3"]:
    """Square roots of the diagonal of `(sigma^2 / 2) F^-1`, for (azimuth, elevation, 1/distance).

    A held coordinate has no deviation of its own (0: the border is where it is); one that the data
    say nothing about has an infinite one, wherever it ended.

    Args:
        free: coordinates that are unknown; of the others the deviation is 0.
    """
    fit, held = refined.fit, refined.held.flatten(1)
    unit, scale = unit_diagonal(fit.information, ~held, fit.whole)
    deviation = torch.where(held, 0.0, invert_information(unit, scale, noise))
    unknown = free.repeat(refined.parameters.shape[1])
    blind = blind_coordinates(*unit_diagonal(fit.information, unknown, fit.whole)) & unknown
    return torch.where(blind, torch.inf, deviation).reshape_as(refined.parameters)
