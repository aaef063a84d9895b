"""What the network is given: snapshots back-projected through the known channel onto the panel.

The network never has to learn the inversion of Phi. Per scene:

    x_t    = (Phi_t^H Phi_t + eps I)^-1 Phi_t^H y_t     regularised least squares (sample factor)
    z_t    = Phi_t^H y_t                                matched filter
    image  = real and imaginary parts of the leading principal x and z, each of unit mean power
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline.config import ModelConfig, Scenario
from ris_pipeline.learning.losses import Prediction, Truth
from ris_pipeline.learning.model import NetworkOutput
from ris_pipeline.localization import (
    matched_filter,
    regularised_least_squares,
    snr_regularisation,
)
from ris_pipeline.scene import (
    Panel,
    SceneBatch,
    covariance_factor,
    steering_matrix,
    steering_vector,
)
from ris_pipeline.spectral import LowRankCovariance, eigh, prepare_covariance


@dataclass(frozen=True)
class Features:
    """image (B, C, N_V, N_H) real; snr_db (B,); sample: back-projected snapshots as a factor."""

    image: Tensor
    snr_db: Tensor
    sample: LowRankCovariance


def feature_channels(config: ModelConfig) -> int:
    """Depth C of the image: two back-projections, real and imaginary parts."""
    return 4 * config.snapshot_channels


def principal_snapshots(
    snapshots: Complex[Tensor, "b t n"], count: int
) -> Complex[Tensor, "b count n"]:
    """The `count` strongest combinations of the T snapshots, strongest first; zeros beyond T.

    Their outer products sum to the best rank-`count` approximation of the sample covariance. The
    phase of an eigenvector is arbitrary: each is turned until its largest entry is real and
    positive. A single snapshot is returned as it is.
    """
    blocks = snapshots.shape[1]
    if blocks > 1:
        snapshots = eigh(snapshots @ snapshots.mH)[1].mH @ snapshots
        largest = snapshots.gather(-1, snapshots.abs().argmax(-1, keepdim=True))
        snapshots = snapshots * torch.sgn(largest).conj()
    kept = snapshots[:, :count]
    return torch.nn.functional.pad(kept, (0, 0, 0, count - kept.shape[1]))


def _unit_power(x: Complex[Tensor, "b c n"]) -> Tensor:
    power = x.abs().square().mean((1, 2), keepdim=True)
    return x * power.clamp_min(torch.finfo(power.dtype).tiny).rsqrt()


def make_features(scenes: SceneBatch, config: ModelConfig) -> Features:
    """Back-project a batch; everything here is known to the receiver."""
    received = scenes.snapshots, scenes.channel, scenes.codes
    matched = matched_filter(*received)
    eps = snr_regularisation(scenes.channel, scenes.codes, scenes.snr_db)
    projected = regularised_least_squares(*received, eps)
    count = config.snapshot_channels
    channels = torch.cat(
        [_unit_power(principal_snapshots(x, count)) for x in (projected, matched)], dim=1
    )
    n_h, n_v = scenes.scenario.panel
    image = torch.cat((channels.real, channels.imag), dim=1).unflatten(-1, (n_v, n_h))
    return Features(image, scenes.snr_db, LowRankCovariance(projected.mT))


def sector_grid(scenario: Scenario, panel: Panel, cells: tuple[int, int]) -> Complex[Tensor, "n g"]:
    """Steering vectors over the sector's cells, at the geometric mean distance."""
    limits = scenario.azimuth_deg, scenario.elevation_deg
    axes = [
        torch.linspace(low, high, count).deg2rad().to(panel.positions)
        for (low, high), count in zip(limits, cells, strict=True)
    ]
    azimuth, elevation = torch.meshgrid(*axes, indexing="ij")
    low, high = scenario.distance
    distance = torch.full_like(azimuth, (low * high) ** 0.5)
    return steering_vector(panel, azimuth, elevation, distance, scenario.wavefront).flatten(0, 1).mT


def make_truth(scenes: SceneBatch, grid: Complex[Tensor, "n g"]) -> Truth:
    """The targets of a batch."""
    sources = scenes.sources
    return Truth(
        LowRankCovariance(covariance_factor(scenes)),
        steering_matrix(scenes),
        sources.azimuth,
        sources.elevation,
        sources.distance,
        sources.active,
        sources.count,
        grid,
    )


def make_prediction(output: NetworkOutput, features: Features, beta: float) -> Prediction:
    """Join the network's output with the sample covariance, as inference does."""
    covariance = output.covariance()
    return Prediction(
        output.angle_factor,
        output.range_factor,
        output.azimuth,
        output.elevation,
        output.log_distance,
        covariance,
        prepare_covariance(covariance, features.sample, beta, features.snr_db),
    )
