"""MVDR and MUSIC over a grid of exact wavefronts whose steering vectors are kept."""

import textbook
import torch
from problems import complex_normal
from torch import Tensor

from ris_pipeline.config import load_settings
from ris_pipeline.scene import ideal_panel, steering_vector
from ris_pipeline.spectral import LowRankCovariance, music_spectrum, mvdr_spectrum

N, Q, K, LOADING = 144, 26, 3, 0.1
POINTS = 50, 26, 10
"""Azimuth, elevation, distance: 13,000."""


def _steering() -> Tensor:
    """(G, N), one point a row, as the search grid keeps them."""
    scenario = load_settings("reference").scenario
    limits = scenario.azimuth_deg, scenario.elevation_deg
    axes = [torch.linspace(*x, n).deg2rad() for x, n in zip(limits, POINTS[:2], strict=True)]
    near, far = scenario.distance
    inverse = torch.linspace(1 / far, 1 / near, POINTS[2])
    azimuth, elevation, s = (x.flatten() for x in torch.meshgrid(*axes, inverse, indexing="ij"))
    return steering_vector(ideal_panel(scenario), azimuth, elevation, 1 / s)


def bench_spectra(pairs, figure) -> None:
    steering = _steering().mT
    chosen = torch.tensor((1000, 6500, 12000))
    # Three sources ten thousand times above a background of unit power spread over 23 columns.
    background = complex_normal(N, Q - K, seed=0) / Q**0.5
    factor = torch.cat((100 * steering[:, chosen], background), dim=-1)
    covariance = LowRankCovariance(factor, LOADING)
    dense = covariance.dense()

    def subject() -> tuple[Tensor, Tensor]:
        return mvdr_spectrum(covariance, steering), music_spectrum(covariance, steering, K)

    def baseline() -> tuple[Tensor, Tensor]:
        return textbook.spectra(dense, steering, K)

    exact = textbook.spectra(dense.to(torch.complex128), steering.to(torch.complex128), K)
    condition = float(torch.linalg.cond(dense))
    for own, expected in zip(subject(), exact, strict=True):
        error = (own / expected - 1).abs()
        error[chosen] = 0.0
        assert error.max() < condition * torch.finfo(torch.float32).eps
        assert set(own.topk(K).indices.tolist()) == set(chosen.tolist())
    ratio, seconds = pairs(subject, baseline, rounds=30)
    figure("spectra", seconds * 1e3)
    figure("spectra_against_dense", ratio)
