"""Spectra of one scene, ready to draw."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.localization import (
    SteeringGrid,
    detection_spectrum,
    diffuse_ratio,
    grid_at,
    locate,
    locate_from_covariance,
    measure,
    whiten,
)
from ris_pipeline.report.figures import SpectrumView
from ris_pipeline.scene import SceneBatch
from ris_pipeline.spectral import LowRankCovariance, mvdr_spectrum, shrink, shrinkage_weight

_PLANES = 8
"""Distance planes; the picture shows the best of them for each direction."""

_STEP_DEG = 0.5


def _picture_grid(scenario: Scenario) -> tuple[SteeringGrid, Tensor, Tensor]:
    """Every direction at every plane, planes fastest; and the two axes in degrees."""
    azimuth, elevation = (
        torch.arange(low, high + _STEP_DEG / 2, _STEP_DEG)
        for low, high in (scenario.azimuth_deg, scenario.elevation_deg)
    )
    inverse = torch.linspace(1 / scenario.distance[1], 1 / scenario.distance[0], _PLANES)
    points = torch.meshgrid(elevation.deg2rad(), azimuth.deg2rad(), inverse, indexing="ij")
    el, az, rho = (x.flatten() for x in points)
    return grid_at(scenario, az, el, rho), azimuth, elevation


def _decibels(values: Tensor, rows: int) -> Tensor:
    return 10 * torch.log10(values.reshape(rows, -1, _PLANES).amax(-1))


def _true_sources(scenes: SceneBatch) -> tuple[NDArray[np.float64], list[str]]:
    sources, count = scenes.sources, int(scenes.sources.count[0])
    angles = torch.stack((sources.azimuth, sources.elevation), dim=-1)[0, :count].rad2deg()
    labels = [f"{distance:.1f} m" for distance in sources.distance[0, :count].tolist()]
    return angles.double().numpy(force=True), labels


def located_view(scenes: SceneBatch) -> SpectrumView:
    """The detection statistic of one scene, with what `locate` makes of it."""
    grid, azimuth, elevation = _picture_grid(scenes.scenario)
    data = measure(scenes)
    whitened = whiten(data, diffuse_ratio(data), torch.complex64)
    level = _decibels(detection_spectrum(whitened, grid)[0], len(elevation))
    found = locate(scenes)
    estimated = torch.stack((found.azimuth, found.elevation), -1)[0, : int(found.count[0])]
    true, labels = _true_sources(scenes)
    n_h, n_v = scenes.scenario.panel
    return SpectrumView(
        title=f"Whitened matched filter and located sources\n{n_h} x {n_v} elements, "
        f"{scenes.snr_db[0]:.0f} dB, best of {_PLANES} distances",
        azimuth=azimuth.double().numpy(),
        elevation=elevation.double().numpy(),
        level=level.double().numpy(force=True),
        true=true,
        estimated=estimated.rad2deg().numpy(force=True),
        labels=labels,
    )


def learned_view(predicted: LowRankCovariance, scenes: SceneBatch) -> SpectrumView:
    """The MVDR spectrum of a covariance that a network predicts, with its highest peaks."""
    grid, azimuth, elevation = _picture_grid(scenes.scenario)
    prepared = shrink(predicted, shrinkage_weight(scenes.snr_db))
    parts = [mvdr_spectrum(prepared, steering.mT)[0] for _, _, steering in grid.chunks()]
    level = _decibels(torch.cat(parts), len(elevation))
    true, labels = _true_sources(scenes)
    found = locate_from_covariance(prepared, scenes.scenario, scenes.sources.count, "mvdr")
    estimated = torch.stack((found.azimuth, found.elevation), -1)[0, : int(found.count[0])]
    n_h, n_v = scenes.scenario.panel
    return SpectrumView(
        title=f"MVDR spectrum of the learned covariance\n{n_h} x {n_v} elements, "
        f"{scenes.snr_db[0]:.0f} dB, best of {_PLANES} distances",
        azimuth=azimuth.double().numpy(),
        elevation=elevation.double().numpy(),
        level=level.double().numpy(force=True),
        true=true,
        estimated=estimated.rad2deg().double().numpy(force=True),
        labels=labels,
    )
