"""Draw whole batches of scenes.

y[t, l] = H diag(c[t, l]) A g s[t] + n[t, l],     n ~ CN(0, noise_variance I)
SNR = mean |H diag(c) A g s|^2 / noise_variance   over all (t, l, m) of the scene
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ris_pipeline._arrays import own_tensors
from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._validation import check_indices, check_integer, check_shape
from ris_pipeline.config import Scenario
from ris_pipeline.scene._phasor import phasor
from ris_pipeline.scene._random import BLOCK, SceneRandom, Stream
from ris_pipeline.scene.array import Panel, ideal_panel, steering_vector
from ris_pipeline.scene.believed import BelievedPanel, believed_panel
from ris_pipeline.scene.channel import draw_channel
from ris_pipeline.scene.codebook import ris_codes
from ris_pipeline.scene.impairments import TruePanel, draw_panel
from ris_pipeline.scene.received import Received


@dataclass(frozen=True)
class Sources:
    """K_max source slots a scene; the first `count` are real, the others have zero gain.

    azimuth, elevation (B, K) rad; distance (B, K) m; gains (B, K) complex; symbols (B, K, T) of
    unit modulus; count (B,) int64.
    """

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    gains: Tensor
    symbols: Tensor
    count: Tensor

    def __post_init__(self) -> None:
        own_tensors(self)

    @property
    def active(self) -> Tensor:
        """(B, K) bool: which slots hold a source."""
        slots = torch.arange(self.azimuth.shape[1], device=self.count.device)
        return slots < self.count[:, None]

    @property
    def powers(self) -> Tensor:
        """(B, K): `|g s|^2` averaged over the blocks."""
        return (self.gains[..., None] * self.symbols).abs().square().mean(-1)


@dataclass(frozen=True, kw_only=True)
class SceneBatch(Received):
    """What was received, and the truth behind it.

    noise_variance and snr_db (B,); truth: the panel as it is, None where nobody knows it.
    """

    noise_variance: Tensor
    snr_db: Tensor
    sources: Sources
    truth: TruePanel | None = None


def sensing_matrix(
    channel: Complex[Tensor, "b m n"], codes: Complex[Tensor, "t l n"]
) -> Complex[Tensor, "b t lm n"]:
    """`Phi_t = [H diag(c[t,1]); ...; H diag(c[t,L])]`, rows of one code together."""
    phi = channel[:, None, None] * codes[:, :, None, :]
    return phi.flatten(2, 3)


def steering_matrix(scenes: SceneBatch) -> Complex[Tensor, "b n k"]:
    """`A` of the true source positions on the ideal panel, one column a slot."""
    sources = scenes.sources
    a = steering_vector(
        scenes.panel,
        sources.azimuth,
        sources.elevation,
        sources.distance,
        scenes.scenario.wavefront,
    )
    return a.mT


def covariance_factor(scenes: SceneBatch) -> Complex[Tensor, "b n k"]:
    """F with `F F^H = A diag(powers) A^H` scaled to trace N; columns of empty slots are zero."""
    powers = scenes.sources.powers
    weights = (scenes.panel.elements * powers / powers.sum(-1, keepdim=True)).sqrt()
    return steering_matrix(scenes) * weights[:, None, :]


def _directions(random: SceneRandom, scenario: Scenario) -> tuple[Tensor, Tensor]:
    """Azimuth and elevation (B, K), rad."""
    slots = scenario.sources[1]
    low, high = scenario.azimuth_deg
    azimuth = random.between(Stream.AZIMUTH, low, high - scenario.row_deg, slots)
    elevation = random.between(Stream.ELEVATION, *scenario.elevation_deg, slots)
    if scenario.separation_deg is not None:
        row = torch.arange(slots, dtype=azimuth.dtype, device=azimuth.device)
        azimuth = azimuth[:, :1] + row * scenario.separation_deg
        elevation = elevation[:, :1].expand(-1, slots).clone()
    return azimuth.deg2rad(), elevation.deg2rad()


def draw_sources(random: SceneRandom, scenario: Scenario) -> Sources:
    """Positions, gains and symbols of each scene."""
    low, high = scenario.sources
    count = random.integers(Stream.SOURCE_COUNT, low, high)
    azimuth, elevation = _directions(random, scenario)
    distance = random.between(Stream.DISTANCE, *scenario.distance, high)
    turn = 2 * math.pi
    path_phase = random.between(Stream.PATH_PHASE, 0.0, turn, high)
    symbol_phase = random.between(Stream.SYMBOL_PHASE, 0.0, turn, high, scenario.blocks)
    if scenario.power == "path_loss":
        amplitude = scenario.wavelength / (4 * math.pi * distance)
    else:
        amplitude = torch.ones_like(distance)
    amplitude = amplitude * (torch.arange(high, device=count.device) < count[:, None])
    return Sources(
        azimuth,
        elevation,
        distance,
        phasor(path_phase, amplitude),
        phasor(symbol_phase),
        count,
    )


def simulate(
    scenario: Scenario,
    seed: int,
    index: Tensor,
    dtype: torch.dtype = torch.float32,
) -> SceneBatch:
    """Scenes `index` (B,), integers, of `seed`, drawn on the device of `index`.

    Scene i of a seed is the same whatever batch it is drawn in: its random numbers to the bit, what
    is computed from them to the last digit (the body of a vectorised loop and its tail may round a
    product differently). `dtype` is the real dtype.

    Raises:
        InputError: an index that is no tensor of integers with one axis, a seed that is no integer,
            another dtype.
    """
    index = check_indices("index", index)
    check_choice("dtype", dtype, (torch.float32, torch.float64))
    seed = check_integer("seed", seed, -math.inf, math.inf)
    return draw_scenes(scenario, seed, index, dtype, surroundings(scenario, dtype, index.device))


@dataclass(frozen=True)
class Surroundings:
    """What all scenes of a scenario have in common: codes (T, L, N) as they are sent, the panel as
    it was meant, and as the receiver believes it to be."""

    codes: Tensor
    ideal: Panel
    believed: BelievedPanel


def surroundings(scenario: Scenario, dtype: torch.dtype, device: torch.device) -> Surroundings:
    """Of scenes in real `dtype`; made on the host."""
    return Surroundings(
        ris_codes(scenario, dtype.to_complex()).to(device),
        ideal_panel(scenario, dtype, device),
        believed_panel(scenario, dtype, device),
    )


def draw_scenes(
    scenario: Scenario, seed: int, index: Tensor, dtype: torch.dtype, common: Surroundings
) -> SceneBatch:
    """`simulate`, where its arguments have been checked; nothing is read or made on the host."""
    random = SceneRandom(seed, index, dtype)
    sources = draw_sources(random, scenario)
    channel = draw_channel(random, scenario, common.ideal)
    codes, believed = common.codes, common.believed
    truth = draw_panel(random, scenario, common.ideal)
    clean = _propagate(truth, scenario, sources, channel, codes)
    snr_db = random.between(Stream.SNR, *scenario.snr_db)
    signal_power: Float[Tensor, " b"] = torch.view_as_real(clean).square().mean((1, 2, 3, 4)) * 2
    noise_variance = signal_power * 10 ** (-snr_db / 10)
    noise = random.complex_normal(Stream.NOISE, *clean.shape[1:], variance=noise_variance)
    return SceneBatch(
        snapshots=clean.add_(noise),
        channel=channel,
        codes=believed.apply(codes),
        panel=believed.panel,
        scenario=scenario,
        noise_variance=noise_variance,
        snr_db=snr_db,
        sources=sources,
        truth=truth,
    )


def true_panel(
    scenario: Scenario, seed: int, index: Tensor, dtype: torch.dtype = torch.float32
) -> TruePanel:
    """The panel as it is in the scenes `index` (B,) of `seed`: the `truth` of `simulate`.

    Raises:
        InputError: indices that are no integers, or have other axes.
    """
    index = check_indices("index", index)
    return draw_panel(SceneRandom(seed, index, dtype), scenario)


def clean_snapshots(scenes: SceneBatch) -> Complex[Tensor, "b t l m"]:
    """`E y[t, l] = H diag(c'[t, l]) A' g s[t]`: what the panel as it is sends, without noise.

    Complex128, computed from the sources, the true panel, the channel and the codes of `scenes`;
    `c'` and `A'` are those of `impairments`.

    Raises:
        InputError: the true panel is not known.
    """
    if scenes.truth is None:
        raise InputError("scenes.truth is None: allowed is the true panel of simulated scenes")
    s = scenes.sources
    positions = {name: getattr(s, name).double() for name in ("azimuth", "elevation", "distance")}
    return _propagate(
        scenes.truth.double(),
        scenes.scenario,
        replace(s, gains=s.gains * s.active, **positions),
        scenes.channel.to(torch.complex128),
        _sent(scenes).to(torch.complex128),
    )


def _sent(scenes: SceneBatch) -> Complex[Tensor, "t l n"]:
    """The codes that were sent; to elements that the receiver believes dead, those of the scenario,
    since his own tell nothing of them."""
    believed, codes = believed_panel(scenes.scenario), scenes.codes
    if believed.response is None or bool((believed.response != 0).all()):
        return believed.remove(codes)
    wanted = ris_codes(scenes.scenario, codes.dtype).to(codes.device)
    check_shape("codes", codes, tuple(wanted.shape))
    dead = believed.response.to(codes) == 0
    return torch.where(dead, wanted, believed.remove(codes))


def _propagate(
    truth: TruePanel, scenario: Scenario, sources: Sources, channel: Tensor, codes: Tensor
) -> Complex[Tensor, "b t l m"]:
    a = steering_vector(
        truth.panel, sources.azimuth, sources.elevation, sources.distance, scenario.wavefront
    )
    # The product of float32 amplitudes is rounded before it meets a steering vector of float64.
    amplitudes = (sources.gains[..., None] * sources.symbols).mT.to(a.dtype)
    field = truth.response[:, None] * (amplitudes @ a)
    applied = truth.attenuate(codes)
    scenes, blocks, n = field.shape
    clean = channel.new_empty(scenes, blocks * codes.shape[1], channel.shape[1])
    rows = max(1, BLOCK // (codes.shape[0] * codes.shape[1] * n))
    for start in range(0, scenes, rows):
        part = slice(start, start + rows)
        reflected = (applied * field[part, :, None]).flatten(1, 2)
        torch.bmm(reflected, channel[part].mT, out=clean[part])
    return clean.unflatten(1, (blocks, -1))
