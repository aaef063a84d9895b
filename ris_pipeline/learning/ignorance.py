"""What each loss term is worth to somebody who does not look at the data.

    scale_i = mean over scenes of term_i(c, truth),    c the best constant answer

c is free in everything that a prediction has: the power of each beam of the sector (one atom a
beam, at the middle depth; least `nmse`), the probability of each cell (least `cells`), and the
places of the sources (least `angle` and `distance`). The four do not share a parameter, so one
descent finds them all. One answer for all terms and not each term's own best: a single beam, say,
has the whole trace in one eigenvalue and no `subspace_margin` at all, and knows nothing.
"""

import torch
from torch import nn

from ris_pipeline.config import Settings
from ris_pipeline.learning.features import make_truth
from ris_pipeline.learning.losses import TERMS, Prediction, Truth
from ris_pipeline.learning.sector import Sector, make_sector
from ris_pipeline.localization import beamwidths
from ris_pipeline.scene import SceneSet, Split
from ris_pipeline.spectral import LowRankCovariance

_SCENES = 512
_STEPS = 150
_RATE = 0.1
_FITTED = "nmse", "cells", "angle", "distance"


class _Constant(nn.Module):
    """One answer to every scene."""

    def __init__(self, settings: Settings, sector: Sector, truth: Truth) -> None:
        super().__init__()
        scenario, real = settings.scenario, sector.p.dtype
        # As fine as the panel resolves: a finer one has the same covariances.
        beams = [
            max(1, min(cells, round(2 * half * cells / width)))
            for cells, half, width in zip(
                sector.shape, sector.half[:2], beamwidths(scenario), strict=True
            )
        ]
        coarse = settings.model.replace(
            cells=(beams[0], beams[1]),
            depths=1,
            atoms=min(settings.model.atoms, beams[0] * beams[1]),
        )
        self.beams = make_sector(scenario, coarse, real)
        slots = scenario.sources[1]
        spread = torch.linspace(-0.5, 0.5, slots, dtype=real)
        self.power = nn.Parameter(torch.zeros(self.beams.cells, dtype=real))
        self.cells = nn.Parameter(torch.zeros(sector.cells, dtype=real))
        self.azimuth, self.elevation = (
            nn.Parameter(angle.mean() + spread * angle.std())
            for angle in (truth.azimuth, truth.elevation)
        )
        self.depth = nn.Parameter(truth.distance.log().mean().expand(slots).clone())

    def forward(self, size: int) -> Prediction:
        share, grid = self.power.softmax(0), self.beams.grid
        assert grid.steering is not None
        factor = grid.steering.mT * (grid.panel.elements * share).sqrt()
        covariance = LowRankCovariance(factor.expand(size, -1, -1))
        whole = share, torch.asin(self.beams.p), torch.asin(self.beams.v)
        atoms = [x.expand(size, -1) for x in whole]
        slots = [x.expand(size, -1) for x in (self.azimuth, self.elevation, self.depth)]
        cells = self.cells.log_softmax(0).expand(size, -1)
        return Prediction((covariance,), cells, *atoms, *slots)


def _best_constant(settings: Settings, sector: Sector, truth: Truth) -> Prediction:
    constant = _Constant(settings, sector, truth)
    optimiser = torch.optim.Adam(constant.parameters(), lr=_RATE)
    size = truth.count.shape[0]
    for step in range(_STEPS):
        optimiser.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        answer = constant(size)
        loss = torch.stack([TERMS[name](answer, truth, settings.loss) for name in _FITTED]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    best: Prediction = constant(size)
    return best


def measure_scales(settings: Settings) -> dict[str, float]:
    """The scales of a run's scenario, on its first 512 training scenes, in double precision."""
    sector = make_sector(settings.scenario, settings.model, torch.float64)
    scenes = SceneSet(settings.scenario, settings.seed, _SCENES, Split.TRAIN, torch.float64)
    truth = make_truth(scenes.scenes(0, _SCENES), sector)
    best = _best_constant(settings, sector, truth)
    return {name: term(best, truth, settings.loss).item() for name, term in TERMS.items()}


def with_scales(settings: Settings) -> Settings:
    """The settings with the units of their loss terms, measured where they are absent."""
    if settings.loss.scales is not None:
        return settings
    return settings.replace(loss=settings.loss.replace(scales=measure_scales(settings)))
