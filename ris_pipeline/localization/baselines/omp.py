"""Orthogonal matching pursuit."""

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.localization.baselines.run import Find, run_baseline
from ris_pipeline.localization.coordinates import on_border, search_domain
from ris_pipeline.localization.estimates import Estimates, status_of
from ris_pipeline.localization.grid_search.detection import (
    build_detector,
    grid_gains,
    grid_scores,
)
from ris_pipeline.localization.grid_search.grid import SteeringGrid, steering_grid
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.measurement.columns import source_columns
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.spectra.search import Positions
from ris_pipeline.scene import Received
from ris_pipeline.scene.believed import kept

OMP_DENSITY = 3.5
"""Grid points a beamwidth of `omp`, which has nothing but its grid."""


def _omp(scenes: Received, measurement: Measurement) -> Find:
    values = scenes.snapshots
    grid = _omp_grid(scenes.scenario, values.real.dtype, values.device)
    gains = grid.at_points(grid_gains(build_detector(grid, scenes.codes), measurement))
    domain = search_domain(scenes.scenario, values.device)

    def find(numbers: Int[Tensor, "n b"]) -> list[Positions]:
        # The first k sources are the same however many are asked for.
        path = domain.lower.repeat(measurement.scenes, 0, 1)
        for _ in range(int(numbers.max()) if numbers.numel() else 0):
            where = _strongest(grid, _matched_residual(measurement, path), gains)
            path = torch.cat((path, grid.coordinates(where)[:, None]), dim=1)
        return [_first(path, number) for number in numbers]

    def _first(path: Tensor, number: Int[Tensor, " b"]) -> Positions:
        path = path[:, : int(number.max()) if number.numel() else 0]
        found = torch.arange(path.shape[1], device=number.device) < number[:, None]
        edge = on_border(path, domain, measurement.wavefront)
        return Positions(path, found, status_of(edge, resolved=found))

    return find


def _matched_residual(
    measurement: Measurement, parameters: Float[Tensor, "b k 3"]
) -> Complex[Tensor, "b t n"]:
    """`Phi_t^H P_t y_t`, P_t the projection that removes the sources found."""
    if parameters.shape[1] == 0:
        return measurement.matched
    active = torch.ones(parameters.shape[:2], dtype=torch.bool, device=parameters.device)
    a = source_columns(measurement, parameters, active)
    amplitudes = linearise(measurement, parameters, active).amplitudes
    return measurement.matched - (measurement.normal(a) @ amplitudes[..., None])[..., 0]


def _strongest(
    grid: SteeringGrid, residual: Complex[Tensor, "b t n"], gains: Float[Tensor, "b t h"]
) -> Int[Tensor, " b"]:
    return grid_scores(grid, residual[:, :, None], gains).argmax(1)


@kept
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
