"""What is measured: geometry, codes, sources, noise, and what is wrong with the panel."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ris_pipeline.config._base import (
    Count,
    Fraction,
    Frozen,
    Integer,
    Interval,
    NonNegative,
    Positive,
    Real,
    Switch,
    check_interval,
)
from ris_pipeline.config._sizes import check_memory, scene_arrays

K_MAX = 5
"""Largest number of simultaneous sources; the localisation and learning rooms are sized by it."""

Wavefront = Literal["spherical", "fresnel", "plane"]
CodebookName = Literal["dft", "random", "hadamard", "mixed"]
PowerLaw = Literal["path_loss", "power_control"]
Position = tuple[Real, Real, Real]


class PhaseAmplitude(Frozen):
    """Phase-dependent reflection amplitude of a RIS element.

    `beta(t) = (1 - minimum) ((sin(t - offset_rad) + 1) / 2)^steepness + minimum`

    Source: S. Abeywickrama et al., "Intelligent Reflecting Surface: Practical Phase Shift Model and
    Beamforming Optimization", IEEE Trans. Commun. 68(9), 2020, eq. (5).
    """

    minimum: Fraction = 0.2
    offset_rad: Real = 1.35
    steepness: NonNegative = 1.6


class Impairments(Frozen):
    """What the panel does and the receiver does not know. All zero: a perfect panel."""

    position_jitter: NonNegative = 0.0
    """Standard deviation of the in-plane element position, in wavelengths."""
    phase_error_deg: NonNegative = 0.0
    """Standard deviation of the element phase."""
    gain_jitter_db: NonNegative = 0.0
    """Standard deviation of the element amplitude."""
    dead_fraction: Fraction = 0.0
    """Probability that an element does not reflect."""
    wavelength_offset: Annotated[Real, Field(gt=-0.5, lt=0.5)] = 0.0
    """Relative offset of the true wavelength."""
    spacing_error: Annotated[Real, Field(gt=-0.5, lt=0.5)] = 0.0
    """Relative offset of the true element spacing."""
    phase_amplitude: PhaseAmplitude | None = None
    fixed: Switch = True
    """One panel for every scene (a miscalibrated panel) rather than a new draw per scene."""
    panel_seed: Integer = 0
    """Which panel, when it is fixed."""

    @property
    def perfect(self) -> bool:
        """Whether the panel is the one that the receiver believes in."""
        return self.model_copy(update={"fixed": True, "panel_seed": 0}) == Impairments()


class Scenario(Frozen):
    """What is measured: geometry, codes, sources and noise."""

    wavelength: Positive = 0.3
    """Metres."""
    panel: tuple[Count, Count] = (12, 12)
    """Elements, horizontal then vertical."""
    spacing: tuple[Positive, Positive] = (0.5, 0.5)
    """Element spacing in wavelengths, horizontal then vertical."""
    antennas: Count = 16
    """Base-station antennas, a uniform linear array at half a wavelength."""
    blocks: Count = 1
    codes: Count = 16
    """RIS codes within one coherence block."""
    codebook: CodebookName = "dft"
    dft_shape: tuple[Count, Count] = (8, 8)
    codebook_seed: Integer = 0
    phase_bits: Annotated[Integer, Field(ge=1, le=16)] | None = 3
    """Quantization of the code phases; absent means none."""
    rician_k: Interval = (0.5, 10.0)
    """Rician K-factor, linear, uniform."""
    sources: tuple[Integer, Integer] = (1, K_MAX)
    """Fewest and most sources of a scene, uniform."""
    azimuth_deg: Interval = (-60.0, 60.0)
    elevation_deg: Interval = (-30.0, 30.0)
    separation_deg: Positive | None = None
    """Azimuth between neighbours of a row of sources at one elevation; absent: independent ones."""
    distance: Interval = (0.5, 10.0)
    """Metres, uniform."""
    snr_db: Interval = (-5.0, 20.0)
    power: PowerLaw = "path_loss"
    wavefront: Wavefront = "spherical"
    impairments: Impairments = Impairments()
    positions: tuple[Position, ...] | None = None
    """Elements where they are, in metres, around the origin, in the order of `panel`; absent: the
    even grid. Of elements on no grid `panel` is their number and one, and `spacing` means nothing;
    `own_scenario` tells."""
    panel_file: str | None = None
    """A calibrated panel (`ris-pipeline calibrate`) that the receiver believes in; absent: the
    ideal one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_interval("rician_k", self.rician_k, 0, 1e6)
        check_interval("sources", self.sources, 1, K_MAX)
        check_interval("azimuth_deg", self.azimuth_deg, -89, 89)
        check_interval("elevation_deg", self.elevation_deg, -89, 89)
        check_interval("distance", self.distance, 1e-3 * self.wavelength, 1e6 * self.wavelength)
        check_interval("snr_db", self.snr_db, -100, 200)
        self._check_positions()
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
        check_memory(scene_arrays(self))
        return self

    def _check_positions(self) -> None:
        if self.positions is None:
            return
        if self.panel_file is not None:
            raise ValueError("positions and panel_file: allowed is one of them")
        if len(self.positions) != self.elements:
            raise ValueError(
                f"positions has {len(self.positions)} elements: allowed are the "
                f"{self.panel[0]} x {self.panel[1]} of panel"
            )
        centre = tuple(sum(axis) / self.elements for axis in zip(*self.positions, strict=True))
        radius = max(math.dist(centre, place) for place in self.positions)
        if radius == 0 or math.hypot(*centre) > radius:
            raise ValueError(
                f"positions are within {radius:.4g} m of ({', '.join(f'{x:.4g}' for x in centre)}) "
                "m: allowed are elements apart from each other, around the origin: subtract their "
                "mean"
            )

    @property
    def row_deg(self) -> float:
        """Azimuth from the first to the last of a row of sources."""
        return (self.sources[1] - 1) * (self.separation_deg or 0.0)

    @property
    def elements(self) -> int:
        """Number of panel elements N."""
        return self.panel[0] * self.panel[1]
