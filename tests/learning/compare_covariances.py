"""A learned covariance in the manner of NF-SubspaceNet, on the scenes of `small`, in as much time.

    python tests/learning/compare_covariances.py [SECONDS] [SCENES]

Its network sees the sample covariance of the back-projected snapshots, real and imaginary part of
an N by N image, and answers with a matrix K of which `K K^H + eps I` is the covariance: an
autoencoder of three 2 by 2 convolutions and their transposes with anti-rectifiers. What is fair
here is the same: scenes, SNR-regularised least squares for the back-projection, trace N, NMSE as
the loss, AdamW with a cosine rate. SECONDS are of CPU, by default the 1,428 of the shipped model.

Source: A. Gast, L. Le Magoarou, N. Shlezinger, "Near field localization via AI-aided subspace
methods", 2025 (arXiv 2504.00599); D. H. Shmuel et al., "SubspaceNet: deep learning-aided subspace
methods for DoA estimation", IEEE Trans. Veh. Technol. 2024.
"""

import sys
import time

import torch
from torch import Tensor, nn

from ris_pipeline.config import load_settings
from ris_pipeline.localization.measurement.back_projection import (
    regularised_least_squares,
    snr_regularisation,
)
from ris_pipeline.scene import SceneBatch, SceneSet, Split, covariance_factor

BATCH = 128
RATE = 1e-3
LOADING = 1e-3
WIDTHS = (16, 32, 64)
QUARTERS = 4


class AntiRectifier(nn.Module):
    """`[relu(x), relu(-x)]`: twice the channels, no sign is lost."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x.relu(), (-x).relu()), dim=1)


class CovarianceAutoencoder(nn.Module):
    """Sample covariance (B, N, N) in, covariance of trace N out."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 2
        for width in widths:
            layers += [nn.Conv2d(before, width, 2), AntiRectifier()]
            before = 2 * width
        for width in reversed(widths[:-1]):
            layers += [nn.ConvTranspose2d(before, width, 2), AntiRectifier()]
            before = 2 * width
        layers += [nn.ConvTranspose2d(before, 2, 2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, covariance: Tensor) -> Tensor:
        seen = torch.stack((covariance.real, covariance.imag), dim=1)
        real, imaginary = self.layers(seen).unbind(1)
        k = torch.complex(real, imaginary)
        n = k.shape[-1]
        eye = torch.eye(n, dtype=k.dtype, device=k.device)
        return scaled(k @ k.mH / n + LOADING * eye)


def scaled(covariance: Tensor) -> Tensor:
    """To trace N."""
    trace = covariance.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    return covariance * (covariance.shape[-1] / trace)[:, None, None]


def sample(scenes: SceneBatch) -> Tensor:
    eps = snr_regularisation(scenes.channel, scenes.codes, scenes.snr_db)
    x = regularised_least_squares(scenes.snapshots, scenes.channel, scenes.codes, eps)
    return scaled(x.mT @ x.conj())


def truth(scenes: SceneBatch) -> Tensor:
    factor = covariance_factor(scenes)
    return factor @ factor.mH


def errors(predicted: Tensor, true: Tensor) -> Tensor:
    """NMSE of each scene."""
    size = true.abs().square().sum((1, 2))
    return (predicted - true).abs().square().sum((1, 2)) / size


def train(network: nn.Module, batches: SceneSet, seconds: float) -> int:
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE)
    begin, steps = time.process_time(), 0
    while (spent := (time.process_time() - begin) / seconds) < 1:
        optimiser.param_groups[0]["lr"] = RATE * (1 + torch.cos(torch.tensor(torch.pi * spent))) / 2
        scenes = batches.scenes(steps * BATCH, (steps + 1) * BATCH)
        optimiser.zero_grad()
        errors(network(sample(scenes)), truth(scenes)).mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        steps += 1
    return steps


def main(seconds: float, scenes: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    settings = load_settings("small")
    network = CovarianceAutoencoder()
    size = sum(p.numel() for p in network.parameters())
    steps = train(network, SceneSet(settings.scenario, 0, 10**7, Split.TRAIN), seconds)
    unseen = SceneSet(settings.scenario, settings.seed, scenes, Split.VALIDATION)
    network.eval()
    found, naive, snr = [], [], []
    with torch.no_grad():
        for batch in unseen.batches(BATCH):
            found.append(errors(network(sample(batch)), truth(batch)))
            naive.append(errors(sample(batch), truth(batch)))
            snr.append(batch.snr_db)
    low, high = settings.scenario.snr_db
    quarter = ((torch.cat(snr) - low) / (high - low) * QUARTERS).long().clamp(0, QUARTERS - 1)
    sys.stdout.write(f"{size} parameters, {steps} steps of {BATCH} scenes\n")
    for name, parts in (("autoencoder", found), ("sample covariance", naive)):
        error = torch.cat(parts)
        by_snr = " ".join(f"{error[quarter == q].mean():.3f}" for q in range(QUARTERS))
        sys.stdout.write(f"NMSE of R, {name}: {error.mean():.3f} ({by_snr})\n")


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    main(given[0] if given else 1428.0, int(given[1]) if len(given) > 1 else 2048)
