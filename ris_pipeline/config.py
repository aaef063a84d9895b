"""Settings: frozen, validated at construction, read from TOML.

A preset is one TOML file in `presets/`; `load_settings` reads it by name or by path and applies
`key=value` overrides. Angles are stored in degrees here, because people write this file, and become
radians at the door of `scene`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ris_pipeline._errors import InputError, check_choice

K_MAX = 5
"""Largest number of simultaneous sources; the localisation and learning rooms are sized by it."""

Wavefront = Literal["spherical", "fresnel", "plane"]
CodebookName = Literal["dft", "random", "hadamard", "mixed"]
PowerLaw = Literal["path_loss", "power_control"]

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Interval = tuple[float, float]


_M = TypeVar("_M", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed.

        Raises:
            InputError: a value outside its range.
        """
        return _validated(type(self), {**dict(self), **changes})


def _check_interval(name: str, interval: _Interval, low: float, high: float) -> None:
    if not low <= interval[0] <= interval[1] <= high:
        raise ValueError(
            f"{name} = {list(interval)}: allowed is {low} <= first <= second <= {high}"
        )


class PhaseAmplitude(_Frozen):
    """Phase-dependent reflection amplitude of a RIS element.

    `beta(t) = (1 - minimum) ((sin(t - offset_rad) + 1) / 2)^steepness + minimum`

    Source: S. Abeywickrama et al., "Intelligent Reflecting Surface: Practical Phase Shift Model and
    Beamforming Optimization", IEEE Trans. Commun. 68(9), 2020, eq. (5).
    """

    minimum: _Fraction = 0.2
    offset_rad: float = 1.35
    steepness: _NonNegative = 1.6


class Impairments(_Frozen):
    """What the panel does and the receiver does not know. All zero: a perfect panel."""

    position_jitter: _NonNegative = 0.0
    """Standard deviation of the in-plane element position, in wavelengths."""
    phase_error_deg: _NonNegative = 0.0
    """Standard deviation of the element phase."""
    gain_jitter_db: _NonNegative = 0.0
    """Standard deviation of the element amplitude."""
    dead_fraction: _Fraction = 0.0
    """Probability that an element does not reflect."""
    wavelength_offset: Annotated[float, Field(gt=-0.5, lt=0.5)] = 0.0
    """Relative offset of the true wavelength."""
    spacing_error: Annotated[float, Field(gt=-0.5, lt=0.5)] = 0.0
    """Relative offset of the true element spacing."""
    phase_amplitude: PhaseAmplitude | None = None
    fixed: bool = True
    """One panel for every scene (a miscalibrated panel) rather than a new draw per scene."""
    panel_seed: int = 0
    """Which panel, when it is fixed."""

    @property
    def perfect(self) -> bool:
        """Whether the panel is the one that the receiver believes in."""
        return self.model_copy(update={"fixed": True, "panel_seed": 0}) == Impairments()


class Scenario(_Frozen):
    """What is measured: geometry, codes, sources and noise."""

    wavelength: _Positive = 0.3
    """Metres."""
    panel: tuple[_Count, _Count] = (12, 12)
    """Elements, horizontal then vertical."""
    spacing: tuple[_Positive, _Positive] = (0.5, 0.5)
    """Element spacing in wavelengths, horizontal then vertical."""
    antennas: _Count = 16
    """Base-station antennas, a uniform linear array at half a wavelength."""
    blocks: _Count = 1
    codes: _Count = 16
    """RIS codes within one coherence block."""
    codebook: CodebookName = "dft"
    dft_shape: tuple[_Count, _Count] = (8, 8)
    codebook_seed: int = 0
    phase_bits: Annotated[int, Field(ge=1, le=16)] | None = 3
    """Quantisation of the code phases; absent means none."""
    rician_k: _Interval = (0.5, 10.0)
    """Rician K-factor, linear, uniform."""
    sources: tuple[int, int] = (1, K_MAX)
    """Fewest and most sources of a scene, uniform."""
    azimuth_deg: _Interval = (-60.0, 60.0)
    elevation_deg: _Interval = (-30.0, 30.0)
    separation_deg: _Positive | None = None
    """Azimuth between neighbours of a row of sources at one elevation; absent: independent ones."""
    distance: _Interval = (0.5, 10.0)
    """Metres, uniform."""
    snr_db: _Interval = (-5.0, 20.0)
    power: PowerLaw = "path_loss"
    wavefront: Wavefront = "spherical"
    impairments: Impairments = Impairments()
    panel_file: str | None = None
    """A calibrated panel (`ris-pipeline calibrate`) that the receiver believes in; absent: the
    ideal one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_interval("rician_k", self.rician_k, 0, 1e6)
        _check_interval("sources", self.sources, 1, K_MAX)
        _check_interval("azimuth_deg", self.azimuth_deg, -89, 89)
        _check_interval("elevation_deg", self.elevation_deg, -89, 89)
        _check_interval("distance", self.distance, 1e-3 * self.wavelength, 1e6 * self.wavelength)
        _check_interval("snr_db", self.snr_db, -100, 200)
        if self.sources[1] >= self.elements:
            raise ValueError(
                f"sources = {list(self.sources)}: allowed are fewer sources than the "
                f"{self.elements} elements"
            )
        room = self.azimuth_deg[1] - self.azimuth_deg[0]
        if self.separation_deg is not None and self.row_deg > room:
            raise ValueError(
                f"separation_deg = {self.separation_deg}: allowed is a row of "
                f"{self.sources[1]} sources within azimuth_deg = {list(self.azimuth_deg)}"
            )
        return self

    @property
    def row_deg(self) -> float:
        """Azimuth from the first to the last of a row of sources."""
        return (self.sources[1] - 1) * (self.separation_deg or 0.0)

    @property
    def elements(self) -> int:
        """Number of panel elements N."""
        return self.panel[0] * self.panel[1]


class ModelConfig(_Frozen):
    """Shape of the covariance network."""

    stages: _Count = 3
    """Unrolled stages: each later one sees what the data say of the answer before it."""
    width: _Count = 48
    conv_blocks: _Count = 2
    cells: tuple[_Count, _Count] = (16, 10)
    """Direction cells over the sector, along azimuth then elevation: three a beamwidth."""
    depths: _Count = 4
    """Distances at which the filter is shown, and that an answer mixes."""
    atoms: _Count = 16
    """Steering vectors of the predicted covariance, and so its rank."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        most = self.cells[0] * self.cells[1]
        if self.atoms > most:
            raise ValueError(f"atoms = {self.atoms}: allowed are at most the {most} cells")
        return self


class LossWeights(_Frozen):
    """Weight of each loss term; zero switches a term off."""

    nmse: _NonNegative = 1.0
    stages: _NonNegative = 0.5
    cells: _NonNegative = 0.1
    eigengap: _NonNegative = 0.02
    subspace_margin: _NonNegative = 0.02
    angle: _NonNegative = 0.05
    distance: _NonNegative = 0.01
    chamfer: _NonNegative = 0.05
    alignment: _NonNegative = 0.05
    peak_contrast: _NonNegative = 0.02


class LossConfig(_Frozen):
    """Weights and shape parameters of the loss."""

    weights: LossWeights = LossWeights()
    scales: dict[str, _Positive] | None = None
    """Value of each term for the best answer that ignores the data; absent: measured at the start
    of training."""
    diagonal_weight: _NonNegative = 1.0
    off_diagonal_weight: _NonNegative = 1.0
    gap_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Eigengap margin, as a fraction of the true covariance's own gap."""
    power_margin: _Fraction = 0.95
    """Fraction of the trace that the K leading eigenvalues should hold."""
    huber_angle_deg: _Positive = 15.0
    huber_log_distance: _Positive = 0.3

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scales is not None and self.scales.keys() != LossWeights.model_fields.keys():
            raise ValueError(
                f"scales names {', '.join(self.scales)}: allowed are "
                f"{', '.join(LossWeights.model_fields)}"
            )
        return self


Phase = Literal["geometry", "joint", "refine"]


class CurriculumPhase(_Frozen):
    """A span of training in which some weights are multiplied."""

    name: Phase
    until: Annotated[float, Field(gt=0, le=1)]
    """Fraction of the epochs at which the phase ends."""
    scale: dict[str, _NonNegative] = {}
    """Multipliers of the loss weights, by term; a term not named keeps its weight."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for term in self.scale:
            if term not in LossWeights.model_fields:
                raise ValueError(
                    f"scale names {term!r}: allowed are {', '.join(LossWeights.model_fields)}"
                )
        return self


class Training(_Frozen):
    """Optimiser, schedule and data volume."""

    epochs: _Count = 30
    batches: _Count = 60
    """Batches of an epoch; every epoch draws new scenes unless `fixed_scenes`."""
    batch_size: _Count = 128
    validation_scenes: _Count = 1024
    fixed_scenes: bool = False
    """Show the same scenes in every epoch (the overfit test)."""
    accumulation: _Count = 1
    lr_backbone: _Positive = 2e-4
    lr_heads: _Positive = 8e-4
    weight_decay: _NonNegative = 1e-4
    clip_norm: _Positive = 1.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Fraction of the optimiser steps over which the rates rise linearly."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    swa_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Last fraction of the epochs whose weights are averaged."""
    patience: _Count | None = None
    """Epochs without a better validation loss before training stops; absent means never."""
    curriculum: tuple[CurriculumPhase, ...] = ()
    precision: Literal["32-true", "64-true", "16-mixed", "bf16-mixed"] = "32-true"

    @model_validator(mode="after")
    def _check(self) -> Self:
        ends = [phase.until for phase in self.curriculum]
        if ends and (ends != sorted(set(ends)) or ends[-1] != 1.0):
            raise ValueError(f"curriculum ends at {ends}: allowed are rising values, the last 1.0")
        return self


class Settings(_Frozen):
    """Everything that defines a run."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    scenario: Scenario = Scenario()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: Training = Training()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.atoms < self.scenario.sources[1]:
            raise ValueError(
                f"model.atoms = {self.model.atoms}: allowed is at least "
                f"scenario.sources = {self.scenario.sources[1]}"
            )
        return self


_UNITS_OF = "scenario.", "model.cells", "model.depths"
"""Keys that the units of the loss depend on."""


def preset_names() -> list[str]:
    """Names of the presets that come with the package, sorted."""
    folder = resources.files("ris_pipeline") / "presets"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_settings(preset: str, overrides: Sequence[str] = ()) -> Settings:
    """Settings of a preset (by name, or the path of a TOML file) with `key=value` overrides.

    `key` is dotted (`scenario.snr_db`), `value` is TOML (`[0, 10]`, `"plane"`; a bare word is taken
    as a string). A preset's units of the loss are those of its scenario and cells: an override of
    these drops them, and they are measured anew.

    Raises:
        InputError: unknown preset or key, or a value outside its range.
    """
    tree = _read_toml(preset)
    if any(override.strip().startswith(_UNITS_OF) for override in overrides):
        tree.get("loss", {}).pop("scales", None)
    for override in overrides:
        _apply_override(tree, override)
    return parse_settings(tree)


def override_settings(settings: Settings, overrides: Sequence[str]) -> Settings:
    """Settings with overrides; otherwise as `load_settings`."""
    tree = settings.model_dump(mode="json")
    for override in overrides:
        _apply_override(tree, override)
    return parse_settings(tree)


def parse_settings(tree: Mapping[str, Any]) -> Settings:
    """Validate a nested mapping.

    Raises:
        InputError: one line naming the first offending key, its value and what is allowed.
    """
    return _validated(Settings, tree)


def _validated(model: type[_M], tree: Mapping[str, Any]) -> _M:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            allowed = _allowed_keys(model, first["loc"][:-1])
            raise InputError(f"{key}: no such setting; {allowed}") from None
        if first["type"] == "value_error":
            raise InputError(f"{key + ': ' if key else ''}{message}") from None
        raise InputError(f"{key} = {first['input']!r}: {message}") from None


def _allowed_keys(model: Any, path: Sequence[str | int]) -> str:
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    fields = getattr(model, "model_fields", None)
    return f"allowed are {', '.join(fields)}" if fields else "see config.py"


def _read_toml(preset: str) -> dict[str, Any]:
    path = Path(preset)
    if path.suffix == ".toml":
        if not path.is_file():
            raise InputError(f"preset {preset!r}: no such file")
        text = path.read_text(encoding="utf-8")
    else:
        check_choice("preset", preset, preset_names())
        folder = resources.files("ris_pipeline") / "presets"
        text = (folder / f"{preset}.toml").read_text(encoding="utf-8")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"preset {preset!r} is not TOML: {error}") from None


def parse_value(text: str) -> Any:
    """A TOML value; a bare word is taken as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"override {override!r}: allowed is key=value")
    value = parse_value(text)
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise InputError(f"override {override!r}: {parent} is a value, not a table")
    tree[leaf] = value
