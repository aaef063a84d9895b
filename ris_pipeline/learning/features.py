"""What the network is given: the scene's whitened matched filter over the sector's cells.

With W_t = Phi_t^H Phi_t, z_t = Phi_t^H y_t, and every element's field of power P = sigma^2 / eps
for a prior (`whitening.py`), over the cells' steering vectors a:

    x_t = (W_t + eps I)^-1 z_t,   V_t = (W_t + eps I)^-1 W_t
    ln(1 + mean_t |a^H x_t|^2 / (P a^H V_t a))            whitened filter, in units of its prior
    ln(1 + mean_t |a^H z_t|^2 / (sigma^2 a^H W_t a)) / 4  plain filter, in units of the noise
    a^H x, real and imaginary, of unit mean power         the leading combination of the x_t
    a^H V a                                               how much of the cell the codes let through
    SNR / 10 dB

The network never has to learn the inversion of Phi, nor the steering vector.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline.config import ModelConfig
from ris_pipeline.learning.losses import Truth
from ris_pipeline.learning.sector import Sector
from ris_pipeline.localization import measure, snr_regularisation, whiten
from ris_pipeline.localization.grid_search.detection import Detector, build_detector, grid_gains
from ris_pipeline.localization.measurement.back_projection import element_classes
from ris_pipeline.localization.measurement.measure import measure_classes
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.scene import SceneBatch, covariance_factor, steering_matrix
from ris_pipeline.spectral import LowRankCovariance, eigh

_RANGE = 4
"""Of the plain filter's logarithm, which reaches 8 where the other numbers stay near one: divided
by it the network learns faster (validation loss 0.233 instead of 0.247 after the `golden` run)."""

_LEAST_SEEN = 1e-3
"""Smallest `a^H V a` that is divided by: less of a cell than that nobody sees."""


@dataclass(frozen=True)
class Interference:
    """Which elements codes let interfere, as read off them: classes (C, N / C) of
    `element_classes`; pairs first, second (P,) and their table (G, 2 P) of a `Detector`."""

    classes: Tensor
    first: Tensor
    second: Tensor
    table: Tensor | None

    @classmethod
    def of(cls, codes: Complex[Tensor, "t l n"], sector: Sector) -> "Interference":
        """Of the codes of a batch."""
        found = build_detector(sector.grid, codes)
        return cls(element_classes(codes), found.first, found.second, found.table)


class Features:
    """One batch as the network sees it. No dataclass: Fabric would take it apart and copy it.

    image (B, C, cells_p, cells_v) real; data: the measurement in the dtype of the network;
    steering (N, G): of the cells; gain (B, G): `mean_t a^H W_t a / sigma^2`; noise (B,) sigma^2;
    power (B,): P.
    """

    def __init__(
        self,
        image: Tensor,
        data: Measurement,
        steering: Tensor,
        gain: Tensor,
        noise: Tensor,
        power: Tensor,
    ) -> None:
        self.image, self.data, self.steering = image, data, steering
        self.gain, self.noise, self.power = gain, noise, power


def feature_channels(config: ModelConfig) -> int:
    """Depth C of the image: five numbers a depth, and the SNR."""
    return 5 * config.depths + 1


def principal_snapshot(snapshots: Complex[Tensor, "b t n"]) -> Complex[Tensor, "b n"]:
    """The strongest combination of the T snapshots: their outer products' leading part.

    The phase of an eigenvector is arbitrary: it is turned until the largest entry is real and
    positive. A single snapshot is returned as it is. What is not finite, as through a channel of
    zero, stays that.
    """
    if snapshots.shape[1] == 1:
        return snapshots[:, 0]
    gram = snapshots @ snapshots.mH
    told = torch.isfinite(gram).all(-1).all(-1)[:, None, None]
    leading = eigh(torch.where(told, gram, 0.0))[1][..., :1].mH @ snapshots
    largest = leading.gather(-1, leading.abs().argmax(-1, keepdim=True))
    return (leading * torch.sgn(largest).conj())[:, 0]


def as_image(
    channels: Float[Tensor, "b c g"], shape: tuple[int, int]
) -> Float[Tensor, "b cd cells_p cells_v"]:
    """Values on the sector's grid as an image with one channel a depth."""
    return channels.unflatten(2, (*shape, -1)).permute(0, 1, 4, 2, 3).flatten(1, 2)


def make_features(
    scenes: SceneBatch, sector: Sector, known: Interference | None = None
) -> Features:
    """Everything here is known to the receiver; real tensors in the dtype of `sector`.

    Args:
        known: of the codes, where L M >= N: then no number is read.
    """
    grid, real = sector.grid, sector.p.dtype
    assert grid.steering is not None
    if known is None:
        measurement, detector = measure(scenes), build_detector(grid, scenes.codes)
    else:
        measurement = measure_classes(scenes, known.classes)
        detector = Detector(grid, known.first, known.second, known.table)
    eps = snr_regularisation(scenes.channel, scenes.codes, scenes.snr_db).double()
    white = whiten(measurement, eps, real.to_complex())
    noise = scenes.noise_variance.to(real)
    power = noise / eps.to(real)
    seen = grid_gains(detector, white).clamp_min(_LEAST_SEEN)
    gain = grid_gains(detector, measurement).to(real) / noise[:, None, None]
    gain = gain.clamp_min(torch.finfo(real).tiny)
    conjugate = grid.steering.conj().mT
    # A network has no use for normal equations in double precision.
    data = measurement.to(real.to_complex())
    plain = (data.matched @ conjugate).abs().square() / noise[:, None, None].square()
    white_power = (white.matched @ conjugate).abs().square() / power[:, None, None]
    leading = principal_snapshot(white.matched) @ conjugate
    level = leading.abs().square().mean(1, keepdim=True)
    unit = leading * level.clamp_min(torch.finfo(real).tiny).rsqrt()
    channels = (
        torch.log1p((plain / gain).mean(1)) / _RANGE,
        torch.log1p((white_power / seen).mean(1)),
        unit.real,
        unit.imag,
        seen.mean(1),
    )
    image = as_image(torch.stack(channels, 1), sector.shape)
    snr = (scenes.snr_db.to(real) / 10)[:, None, None, None].expand(-1, 1, *sector.shape)
    return Features(torch.cat((image, snr), 1), data, grid.steering.mT, gain.mean(1), noise, power)


def make_truth(scenes: SceneBatch, sector: Sector) -> Truth:
    """The targets of a batch."""
    sources = scenes.sources
    share = sources.powers / sources.powers.sum(-1, keepdim=True)
    cells = share.new_zeros(share.shape[0], sector.cells)
    cells = cells.scatter_add(1, sector.cell_of(sources.azimuth, sources.elevation), share)
    assert sector.grid.steering is not None
    depths = sector.depth.numel()
    return Truth(
        LowRankCovariance(covariance_factor(scenes)),
        steering_matrix(scenes),
        sources.azimuth,
        sources.elevation,
        sources.distance,
        sources.active,
        sources.count,
        cells,
        sector.grid.steering[depths // 2 :: depths].mT,
    )
