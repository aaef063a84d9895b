"""Panels, sources in front of them, and whole scenes."""

from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from torch import Tensor

from ris_pipeline.config import (
    CodebookName,
    Impairments,
    PowerLaw,
    Scenario,
    Wavefront,
)
from ris_pipeline.scene import SceneBatch, simulate
from ris_pipeline.verification.target import Claim, taken, takes

WAVEFRONTS: tuple[Wavefront, ...] = ("plane", "fresnel", "spherical")
REAL_DTYPES = (torch.float64, torch.float32)
NOISELESS_DB = 200.0
"""The noise is 1e-10 of the signal's amplitude: the highest SNR that a scenario may ask for."""


class InOneLine:
    """Printed by hypothesis as `repr` has it, where it would print every entry of every field."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class DrawnScenes(InOneLine, SceneBatch):
    """Scenes that print in one line."""

    def __repr__(self) -> str:
        s, snr = self.scenario, ", ".join(f"{x:.1f}" for x in self.snr_db.tolist())
        return (
            f"SceneBatch(sources {self.sources.count.tolist()}, {s.panel[0]} x {s.panel[1]} "
            f"elements, {s.antennas} antennas, {s.blocks} blocks of {s.codes} codes, "
            f"{s.wavefront}, SNR {snr} dB)"
        )


@dataclass(frozen=True)
class Setting(InOneLine):
    """A panel and one source: angles in radians and distance in metres, exact in `dtype`."""

    scenario: Scenario
    azimuth: float
    elevation: float
    distance: float
    dtype: torch.dtype

    @property
    def extent(self) -> float:
        """Distance of the corner elements from the centre, metres."""
        sides = np.subtract(self.scenario.panel, 1) / 2 * self.scenario.spacing
        return float(np.hypot(*sides)) * self.scenario.wavelength

    def where(self) -> tuple[Tensor, Tensor, Tensor]:
        """Azimuth, elevation and distance as tensors without axes."""
        numbers = (self.azimuth, self.elevation, self.distance)
        azimuth, elevation, distance = (torch.tensor(x, dtype=self.dtype) for x in numbers)
        return azimuth, elevation, distance

    def __repr__(self) -> str:
        s = self.scenario
        return (
            f"Setting({s.panel[0]} x {s.panel[1]} elements, spacing {s.spacing[0]:g} x "
            f"{s.spacing[1]:g} wavelengths of {s.wavelength:g} m, azimuth {self.azimuth:g}, "
            f"elevation {self.elevation:g}, distance {self.distance:g} m, {self.dtype})"
        )


@st.composite
def wavefronts(draw: st.DrawFn) -> Wavefront:
    """A wavefront that the target under test has."""
    return draw(st.sampled_from(taken(WAVEFRONTS)))


@st.composite
def settings_before_a_panel(
    draw: st.DrawFn, dtypes: tuple[torch.dtype, ...] = REAL_DTYPES
) -> Setting:
    """A panel of up to 4 x 4 elements; a source at 8 times its extent at least."""
    size = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    along, across = draw(st.sampled_from((0.5, 0.25))), draw(st.sampled_from((0.5, 1.0)))
    scenario = Scenario(
        panel=size,
        spacing=(along, across if takes(Claim.SPACINGS) else along),
        wavelength=draw(st.sampled_from((0.25, 1.0, 0.3))),
        sources=(1, 1),
    )
    # Sixteenths of a radian and eighths of the extent: exact in single precision.
    azimuth, elevation = (draw(st.integers(-19, 19)) / 16 for _ in range(2))
    multiple = draw(st.sampled_from((8, 16, 64, 1024)))
    setting = Setting(scenario, azimuth, elevation, 1.0, draw(st.sampled_from(taken(dtypes))))
    distance = float(np.float32(multiple * max(setting.extent, scenario.wavelength)))
    return Setting(scenario, azimuth, elevation, distance, setting.dtype)


@st.composite
def scenarios(
    draw: st.DrawFn,
    sources: tuple[int, int] = (1, 3),
    snr_db: tuple[float, float] = (-5.0, 20.0),
    wavefronts: tuple[Wavefront, ...] = WAVEFRONTS,
    impairments: tuple[Impairments, ...] = (Impairments(),),
) -> Scenario:
    """Tiny scenarios, every codebook, wavefront and power law among them; a perfect panel unless
    `impairments` says otherwise."""
    books: tuple[CodebookName, ...] = ("dft", "random", "hadamard", "mixed")
    laws: tuple[PowerLaw, ...] = ("power_control", "path_loss")
    panel = draw(st.sampled_from(((2, 2), (3, 2), (2, 3), (3, 3))))
    return Scenario(
        panel=panel,
        antennas=draw(st.integers(2, 4)),
        codes=draw(st.integers(4, 6)),
        blocks=draw(st.integers(1, 2)),
        codebook=draw(st.sampled_from(books)),
        phase_bits=draw(st.sampled_from((None, 3, 1))),
        power=draw(st.sampled_from(laws)),
        wavefront=draw(st.sampled_from(wavefronts)),
        sources=sources,
        snr_db=snr_db,
        impairments=draw(st.sampled_from(impairments)),
    )


@st.composite
def scene_batches(draw: st.DrawFn, /, **limits: Any) -> SceneBatch:
    """One or two scenes of a tiny scenario, in double precision; limits as in `scenarios`."""
    scenario = draw(scenarios(**limits))
    first, size = draw(st.integers(0, 2**16)), draw(st.integers(1, 2))
    scenes = simulate(scenario, 0, torch.arange(first, first + size), torch.float64)
    return DrawnScenes(**vars(scenes))
