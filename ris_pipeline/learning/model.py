"""The covariance network: unrolled stages that answer in cells and are answered by the likelihood.

    answer_1 = stage_1(image),   answer_s = answer_{s-1} + stage_s(image, hidden, look_again)

Every stage is a small convolutional net over the direction cells (a logit, offsets and a depth in
each); `atoms.py` turns an answer into R_pred and asks the data what they think of it.
"""

from collections.abc import Iterator
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ris_pipeline.config import ModelConfig, Wavefront
from ris_pipeline.learning.atoms import (
    ATOM_CHANNELS,
    Atoms,
    answer_channels,
    look_again,
    read_atoms,
)
from ris_pipeline.learning.features import Features, feature_channels
from ris_pipeline.learning.sector import Sector

# Weights are drawn in double precision, whatever the run computes in: vectorised samplers round
# differently from one CPU to the next, and float32 rounding of the start grows into another run.
_Conv2d = partial(nn.Conv2d, dtype=torch.float64)
_Norm = partial(nn.GroupNorm, 1, dtype=torch.float64)

_TIMID = 0.1
"""Scale of a head's first weights: the first answer is close to even."""


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _Norm(width)
        self.first, self.second = (_Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(nn.functional.gelu(self.first(self.norm(x))))


class _Body(nn.Module):
    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        width = config.width
        self.stem = _Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(config.conv_blocks)))
        self.place = nn.Parameter(0.02 * torch.randn(1, width, *config.cells, dtype=torch.float64))
        self.last = _Block(width)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.last(self.blocks(self.stem(x)) + self.place)
        return hidden


class _Head(nn.Sequential):
    def __init__(self, config: ModelConfig) -> None:
        last = _Conv2d(config.width, answer_channels(config.depths), 1)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            last.weight.mul_(_TIMID)
        super().__init__(_Norm(config.width), last)


class CovarianceNetwork(nn.Module):
    """See the module's page. Built in float64; cast it with `.to(dtype)`.

    Args:
        sector: cells that the answer is read in, in the dtype that the network will be cast to.
        wavefront: of the atoms.
    """

    def __init__(self, config: ModelConfig, sector: Sector, wavefront: Wavefront) -> None:
        super().__init__()
        self.atoms, self.sector, self.wavefront = config.atoms, sector, wavefront
        first = feature_channels(config)
        later = first + config.width + 3 * config.depths + ATOM_CHANNELS
        depths = [first, *(later for _ in range(config.stages - 1))]
        self.bodies = nn.ModuleList(_Body(config, channels) for channels in depths)
        self.heads = nn.ModuleList(_Head(config) for _ in depths)
        # Channels last: convolutions of few channels over few cells run a fifth faster.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload, unused-ignore]

    def forward(self, features: Features) -> list[Atoms]:
        """What each stage believes; the last is the answer."""
        answer: Tensor | float = 0.0
        believed: list[Atoms] = []
        x = features.image
        for body, head in zip(self.bodies, self.heads, strict=True):
            hidden = body(x)
            answer = answer + _wide(head(hidden), features)
            believed.append(
                read_atoms(answer, self.sector, self.atoms, features.data.panel, self.wavefront)
            )
            if len(believed) < len(self.bodies):
                seen = look_again(believed[-1], features, self.sector)
                x = torch.cat((features.image, _wide(hidden, features), seen), 1)
        return believed

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """The first optimiser group."""
        return self.bodies.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """The second optimiser group."""
        return self.heads.parameters()


def _wide(x: Float[Tensor, "b c p v"], features: Features) -> Float[Tensor, "b c p v"]:
    # Spectral maths has no half precision: mixed-precision activations leave it here.
    return x.to(features.image.dtype)
