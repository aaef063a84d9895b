"""The covariance network: back-projected image in, covariance factors and coarse sources out.

image (B, C, N_V, N_H) -> conv stem -> N tokens + SNR token -> transformer encoder
    -> angle factor A_a (B, N, q_a), range factor A_r (B, N, q_r)
    -> S slots: azimuth and elevation by soft-argmax over a coarse grid, log distance

R_pred = A_a A_a^H + w A_r A_r^H
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from ris_pipeline.config import ModelConfig, Scenario
from ris_pipeline.spectral import LowRankCovariance

# Weights are drawn in double precision, whatever the run computes in: vectorised samplers round
# differently from one CPU to the next, and float32 rounding of the start grows into another run.
_Linear = partial(nn.Linear, dtype=torch.float64)
_Conv2d = partial(nn.Conv2d, kernel_size=3, padding=1, dtype=torch.float64)
_LayerNorm = partial(nn.LayerNorm, dtype=torch.float64)


class NetworkOutput(NamedTuple):
    """angle_factor (B, N, q_a), range_factor (B, N, q_r) complex; azimuth, elevation (rad) and
    log_distance (ln m): (B, S)."""

    angle_factor: Tensor
    range_factor: Tensor
    azimuth: Tensor
    elevation: Tensor
    log_distance: Tensor
    range_weight: float

    def covariance(self) -> LowRankCovariance:
        """`A_a A_a^H + w A_r A_r^H` as one factor."""
        scaled = math.sqrt(self.range_weight) * self.range_factor
        return LowRankCovariance(torch.cat((self.angle_factor, scaled), dim=-1))


class _ConvBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width, dtype=torch.float64)
        self.first = _Conv2d(width, width)
        self.second = _Conv2d(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.gelu(self.first(self.norm(x)))
        return x + self.second(y)


class _Backbone(nn.Module):
    def __init__(self, config: ModelConfig, scenario: Scenario, channels: int) -> None:
        super().__init__()
        width = config.width
        self.stem = _Conv2d(channels, width)
        self.blocks = nn.Sequential(*(_ConvBlock(width) for _ in range(config.conv_blocks)))
        self.position = nn.Parameter(
            0.02 * torch.randn(1, scenario.elements, width, dtype=torch.float64)
        )
        self.snr = _Linear(1, width)
        layer = nn.TransformerEncoderLayer(
            width,
            config.heads,
            2 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
            dtype=torch.float64,
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.attention_blocks, _LayerNorm(width), enable_nested_tensor=False
        )

    def forward(self, image: Tensor, snr_db: Tensor) -> Tensor:
        tokens = self.blocks(self.stem(image)).flatten(2).mT + self.position
        context = self.snr(snr_db[:, None, None] / 10)
        return self.encoder(torch.cat((context, tokens), dim=1))


class _SlotHead(nn.Module):
    """Sources read from the tokens by learned queries, angles by soft-argmax over a grid."""

    def __init__(self, config: ModelConfig, scenario: Scenario) -> None:
        super().__init__()
        width, (cells_h, cells_v) = config.width, config.angle_grid
        self.query = nn.Parameter(torch.randn(1, config.slots, width, dtype=torch.float64))
        self.attention = nn.MultiheadAttention(
            width, config.heads, batch_first=True, dtype=torch.float64
        )
        self.mix = nn.Sequential(_LayerNorm(width), _Linear(width, width), nn.GELU())
        self.azimuth = _Linear(width, cells_h)
        self.elevation = _Linear(width, cells_v)
        self.distance = _Linear(width, 1)
        self.register_buffer("azimuth_cells", _cells(scenario.azimuth_deg, cells_h))
        self.register_buffer("elevation_cells", _cells(scenario.elevation_deg, cells_v))
        self.log_limits = math.log(scenario.distance[0]), math.log(scenario.distance[1])

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query = self.query.expand(tokens.shape[0], -1, -1)
        slots = query + self.attention(query, tokens, tokens, need_weights=False)[0]
        slots = slots + self.mix(slots)
        azimuth = self.azimuth(slots).softmax(-1) @ self.azimuth_cells
        elevation = self.elevation(slots).softmax(-1) @ self.elevation_cells
        low, high = self.log_limits
        log_distance = low + (high - low) * self.distance(slots)[..., 0].sigmoid()
        return azimuth, elevation, log_distance


def _cells(limits_deg: tuple[float, float], count: int) -> Tensor:
    return torch.linspace(limits_deg[0], limits_deg[1], count, dtype=torch.float64).deg2rad()


class CovarianceNetwork(nn.Module):
    """See the module's page; `channels` is the depth of the feature image.

    Built in float64; cast it with `.to(dtype)`.
    """

    def __init__(self, config: ModelConfig, scenario: Scenario, channels: int) -> None:
        super().__init__()
        self.range_weight = config.range_weight
        self.backbone = _Backbone(config, scenario, channels)
        self.angle_head = _Linear(config.width, 2 * config.angle_rank)
        self.range_head = _Linear(config.width, 2 * config.range_rank)
        self.slot_head = _SlotHead(config, scenario)

    def forward(
        self, image: Float[Tensor, "b c v h"], snr_db: Float[Tensor, " b"]
    ) -> NetworkOutput:
        """Factors and sources for a batch of feature images; `snr_db` in dB."""
        tokens = self.backbone(image, snr_db)
        elements = tokens[:, 1:]
        azimuth, elevation, log_distance = self.slot_head(tokens)
        return NetworkOutput(
            _as_complex(self.angle_head(elements)),
            _as_complex(self.range_head(elements)),
            azimuth,
            elevation,
            log_distance,
            self.range_weight,
        )

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """The first optimiser group."""
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """The second optimiser group."""
        for head in (self.angle_head, self.range_head, self.slot_head):
            yield from head.parameters()


def _as_complex(pairs: Float[Tensor, "b n q2"]) -> Complex[Tensor, "b n q"]:
    # Spectral maths has no half precision: mixed-precision activations leave it here.
    wide = pairs if pairs.dtype == torch.float64 else pairs.float()
    return torch.view_as_complex(wide.unflatten(-1, (-1, 2)).contiguous())
