"""Truths of scenes, and what a network might say of them.

A file of its own, not exported by the package: it imports the learning room, which most who draw a
matrix have no use for.
"""

from dataclasses import dataclass
from functools import cache

import hypothesis.strategies as st
import torch
from torch import Tensor

from ris_pipeline.config import ModelConfig, Scenario
from ris_pipeline.learning.features import make_truth
from ris_pipeline.learning.losses import Prediction, Truth
from ris_pipeline.learning.sector import Sector, make_sector
from ris_pipeline.scene import simulate
from ris_pipeline.spectral import LowRankCovariance, normalize_trace
from ris_pipeline.verification.strategies.scenes import InOneLine


@dataclass(frozen=True, repr=False)
class DrawnTruth(InOneLine, Truth):
    """A truth that prints in one line."""

    def __repr__(self) -> str:
        where = (x[0, : self.count[0]].tolist() for x in (self.azimuth, self.elevation))
        azimuth, elevation = (", ".join(f"{x:.3f}" for x in angles) for angles in where)
        return (
            f"Truth(sources {self.count.tolist()}, the first scene's at azimuth {azimuth}, "
            f"elevation {elevation})"
        )


@dataclass(frozen=True, repr=False)
class DrawnPrediction(InOneLine, Prediction):
    """A prediction that prints in one line."""

    def __repr__(self) -> str:
        azimuth, elevation = (
            ", ".join(f"{x:.3f}" for x in angles[0].tolist())
            for angles in (self.azimuth, self.elevation)
        )
        return (
            f"Prediction({self.azimuth.shape[0]} scenes, the first at azimuth {azimuth}, "
            f"elevation {elevation})"
        )


TRUTHS = Scenario(panel=(3, 3), antennas=2, codes=4, sources=(1, 3))
"""The scenario of `truths`."""
SLOTS = 3
ATOMS = 6


@cache
def _sector() -> Sector:
    return make_sector(TRUTHS, ModelConfig(cells=(5, 3), depths=2, atoms=ATOMS), torch.float64)


@st.composite
def truths(draw: st.DrawFn) -> Truth:
    """The truth about one to three scenes of up to three sources."""
    first, size = draw(st.integers(0, 2**16)), draw(st.integers(1, 3))
    scenes = simulate(TRUTHS, 0, torch.arange(first, first + size), torch.float64)
    return DrawnTruth(**vars(make_truth(scenes, _sector())))


@st.composite
def predictions(draw: st.DrawFn, truth: Truth) -> Prediction:
    """A network's answer, wrong in every way; its tensors are leaves that take gradients."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    size, n = truth.steering.shape[:2]

    def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(*shape, dtype=dtype, generator=generator)

    stages = []
    for _ in range(2):
        drawn = normalize_trace(LowRankCovariance(normal(size, n, ATOMS, dtype=torch.complex128)))
        assert isinstance(drawn, LowRankCovariance)
        stages.append(LowRankCovariance(drawn.factor.requires_grad_()))
    cells = normal(size, truth.cells.shape[1]).log_softmax(1)
    share = normal(size, ATOMS).softmax(1)
    angles = (normal(size, count) for count in (ATOMS, ATOMS, SLOTS, SLOTS, SLOTS))
    return DrawnPrediction(tuple(stages), *(x.requires_grad_() for x in (cells, share, *angles)))


def leaves(prediction: Prediction) -> list[Tensor]:
    """Every tensor of a prediction."""
    named = {name: value for name, value in vars(prediction).items() if name != "stages"}
    return [*(stage.factor for stage in prediction.stages), *named.values()]


def perfect_prediction(truth: Truth) -> Prediction:
    """The truth as a prediction: an atom a source, empty slots repeating the first one."""
    azimuth, elevation, distance = (
        torch.where(truth.active, x, x[:, :1])
        for x in (truth.azimuth, truth.elevation, truth.distance)
    )
    power = truth.covariance.factor.abs().square().sum(1)
    return Prediction(
        (truth.covariance, truth.covariance),
        truth.cells.clamp_min(torch.finfo(truth.cells.dtype).tiny).log(),
        power / power.sum(1, keepdim=True),
        azimuth,
        elevation,
        azimuth,
        elevation,
        distance.log(),
    )
