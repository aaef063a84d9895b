"""Orthogonal matching pursuit."""

from functools import lru_cache

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.localization.baselines.run import Find, run_baseline
from ris_pipeline.localization.coordinates import on_border, search_domain
from ris_pipeline.localization.estimates import Estimates, status_of
from ris_pipeline.localization.grid_search.detection import build_detector, grid_gains
from ris_pipeline.localization.grid_search.grid import SteeringGrid, steering_grid
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.measurement.columns import source_columns
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.spectra.search import Positions
from ris_pipeline.scene import Received

OMP_DENSITY = 3.5
"""Grid points a beamwidth of `omp`, which has nothing but its grid."""


def _omp(scenes: Received, measurement: Measurement) -> Find:
    values = scenes.snapshots
    grid = _omp_grid(scenes.scenario, values.real.dtype, values.device)
    gains = grid_gains(build_detector(grid, scenes.codes), measurement)
    domain = search_domain(scenes.scenario, values.device)

    def find(number: Int[Tensor, " b"]) -> Positions:
        slots = int(number.max()) if number.numel() else 0
        parameters = domain.lower.repeat(number.shape[0], slots, 1)
        found = torch.arange(slots, device=number.device) < number[:, None]
        for k in range(slots):
            residual = _matched_residual(measurement, parameters[:, :k], found[:, :k])
            parameters[:, k] = grid.coordinates(_strongest(grid, residual, gains))
        edge = on_border(parameters, domain, measurement.wavefront)
        return Positions(parameters, found, status_of(edge, resolved=found))

    return find


def _matched_residual(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"], active: Bool[Tensor, "b k"]
) -> Complex[Tensor, "b t n"]:
    """`Phi_t^H P_t y_t`, P_t the projection that removes the sources found."""
    if parameters.shape[1] == 0:
        return measurement.matched
    a = source_columns(measurement, parameters, active)
    amplitudes = linearise(measurement, parameters, active).amplitudes
    return measurement.matched - (measurement.normal(a) @ amplitudes[..., None])[..., 0]


def _strongest(
    grid: SteeringGrid, residual: Complex[Tensor, "b t n"], gains: Float[Tensor, "b t g"]
) -> Int[Tensor, " b"]:
    best = torch.full_like(gains[:, 0, 0], -1.0)
    where = torch.zeros_like(best, dtype=torch.int64)
    for start, stop, steering in grid.chunks():
        rows = residual.flatten(0, 1).to(steering.dtype).conj().resolve_conj()
        response = torch.view_as_real(rows @ steering.mT).square().sum(-1)
        score = response.unflatten(0, residual.shape[:2]) / gains[..., start:stop]
        top, index = score.sum(1).max(-1)
        where = torch.where(top > best, index + start, where)
        best = torch.maximum(top, best)
    return where


@lru_cache(maxsize=8)
def _omp_grid(scenario: Scenario, dtype: torch.dtype, device: torch.device) -> SteeringGrid:
    return steering_grid(scenario, dtype, device, OMP_DENSITY)


def omp(scenes: Received, number: int | Tensor | None = None) -> Estimates:
    """Orthogonal matching pursuit through Phi, on a grid of exact wavefronts; all blocks together.

        argmax over g of sum_t |(Phi_t a_g)^H P_t y_t|^2 / |Phi_t a_g|^2

    Raises:
        InputError: as `locate`.

    Sources: Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, Asilomar 1993; J. A. Tropp,
    A. C. Gilbert, M. J. Strauss, Signal Process. 86(3), 2006, for several blocks.
    """
    return run_baseline(_omp, scenes, number)
