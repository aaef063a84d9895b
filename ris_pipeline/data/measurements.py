"""What a file of measurements holds, by name; docs/data.md says it to those who write one.

snapshots (B, T, L, M), channel (B, M, N), codes (T, L, N)      complex
or covariance (B, N, N)                                        complex, and no snapshots
positions (N, 3), wavelength                                   metres
noise_variance (B,)                                            optional
azimuth_deg (2,), elevation_deg (2,), distance (2,), wavefront optional: limits of the search
true_azimuth_deg, true_elevation_deg, true_distance (B, K), true_count (B,), snr_db (B,)
                                                               optional: not read
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline._arrays import to_tensor
from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.data.formats import Arrays, read_arrays, write_arrays
from ris_pipeline.scene import Received, SceneBatch, own_scenario

MEASURED = "snapshots", "channel", "codes"
PANEL = "positions", "wavelength"
LIMITS = "azimuth_deg", "elevation_deg", "distance", "wavefront"
TRUTH = "true_azimuth_deg", "true_elevation_deg", "true_distance", "true_count", "snr_db"
NAMES = *MEASURED, "covariance", *PANEL, "noise_variance", *LIMITS, *TRUTH

_ALIASES = {
    "snapshots": ("y", "Y", "x", "X", "data", "measurements", "received"),
    "channel": ("H", "h", "G"),
    "codes": ("c", "C", "codebook", "phases", "Phi", "phi", "theta"),
    "covariance": ("R", "Rxx", "Ryy", "cov"),
    "positions": ("q", "Q", "pos", "elements", "coordinates", "xyz"),
    "wavelength": ("lambda", "lam", "wl"),
}
"""What people call them: named in the error, never taken for them."""


_LISTED = 20
"""Names of a file that an error lists."""


@dataclass(frozen=True)
class OwnCovariance:
    """covariance (B, N, N) and the panel it is of, as `locate_from_covariance` takes them."""

    covariance: Tensor
    scenario: Scenario


def read_measurements(path: Path) -> Received | OwnCovariance:
    """Measurements, or a covariance, from a file.

    Raises:
        InputError: as `read_arrays`; names that are missing or misspelt; arrays that
            `Received.from_arrays` refuses.
    """
    arrays = read_arrays(path)
    try:
        _check_names(arrays)
        matlab = path.suffix == ".mat"
        if "covariance" in arrays:
            return _covariance(arrays)
        return _received(arrays, matlab)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from None


def _check_names(arrays: Arrays) -> None:
    wanted = (*(("covariance",) if "covariance" in arrays else MEASURED), *PANEL)
    missing = [name for name in wanted if name not in arrays]
    if missing:
        name = missing[0]
        likely = [alias for alias in _ALIASES[name] if alias in arrays]
        likely += get_close_matches(name, [x for x in arrays if x not in NAMES], 1, 0.6)
        fix = f"; {likely[0]} has to be called {name}, if it is that" if likely else ""
        names = sorted(arrays)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        held = f"{', '.join(names[:_LISTED])}{more}" if names else "nothing"
        raise InputError(f"{name} is missing: the file holds {held}{fix}")
    if "covariance" in arrays and any(name in arrays for name in MEASURED):
        raise InputError("covariance and snapshots: allowed is one of them")
    for name in arrays:
        close = get_close_matches(name, NAMES, 1, 0.8)
        if name not in NAMES and close:
            raise InputError(f"{name}: no such name; did you mean {close[0]}?")


def _received(arrays: Arrays, matlab: bool) -> Received:
    y, h, c = (arrays[name] for name in MEASURED)
    if matlab:
        y = _with_axes(y, 3 if h.ndim == 2 else 4)
    noise = arrays.get("noise_variance")
    return Received.from_arrays(
        y,
        h,
        c,
        positions=arrays["positions"],
        wavelength=_number("wavelength", arrays["wavelength"]),
        noise_variance=None if noise is None else noise.reshape(() if noise.size == 1 else -1),
        **_limits(arrays),
    )


def _covariance(arrays: Arrays) -> OwnCovariance:
    scenario = own_scenario(
        arrays["positions"], _number("wavelength", arrays["wavelength"]), **_limits(arrays)
    )
    covariance = to_tensor("covariance", arrays["covariance"])
    return OwnCovariance(covariance[None] if covariance.ndim == 2 else covariance, scenario)


def _with_axes(value: NDArray[Any], axes: int) -> NDArray[Any]:
    """MATLAB's own rule: axes of length one at the end are not stored."""
    return value.reshape(*value.shape, *(1,) * (axes - value.ndim))


def _number(name: str, value: NDArray[Any]) -> float:
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise InputError(
            f"{name} has dtype {value.dtype} and shape {value.shape}: allowed is one real number"
        )
    return float(value.reshape(())[()])


def _limits(arrays: Arrays) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name in LIMITS:
        value = arrays.get(name)
        if value is None:
            continue
        if name == "wavefront":
            if value.dtype.kind != "U" or value.size != 1:
                raise InputError(f"{name} has dtype {value.dtype}: allowed is one word")
            limits[name] = str(value.reshape(())[()])
        elif value.size == 2 and value.dtype.kind in "iuf":
            low, high = value.reshape(-1).tolist()
            limits[name] = float(low), float(high)
        else:
            raise InputError(
                f"{name} has dtype {value.dtype} and shape {value.shape}: allowed are two real "
                "numbers"
            )
    return limits


def scene_arrays(parts: Sequence[SceneBatch]) -> Arrays:
    """The arrays of a file of simulated scenes: what the receiver has, and the truth."""
    first = parts[0]
    scenario = first.scenario

    def joined(values: Sequence[Tensor]) -> NDArray[Any]:
        return torch.cat(list(values)).numpy(force=True)

    def true(name: str, turn: bool) -> NDArray[Any]:
        values = joined([getattr(p.sources, name).double() for p in parts])
        active = joined([p.sources.active for p in parts])
        return np.where(active, np.rad2deg(values) if turn else values, np.nan)

    return {
        "snapshots": joined([p.snapshots for p in parts]),
        "channel": joined([p.channel for p in parts]),
        "codes": first.codes.numpy(force=True),
        "positions": first.panel.positions.double().numpy(force=True),
        "wavelength": np.array(scenario.wavelength),
        "noise_variance": joined([p.noise_variance for p in parts]),
        "azimuth_deg": np.array(scenario.azimuth_deg),
        "elevation_deg": np.array(scenario.elevation_deg),
        "distance": np.array(scenario.distance),
        "wavefront": np.array(scenario.wavefront),
        "true_azimuth_deg": true("azimuth", True),
        "true_elevation_deg": true("elevation", True),
        "true_distance": true("distance", False),
        "true_count": joined([p.sources.count for p in parts]),
        "snr_db": joined([p.snr_db for p in parts]),
    }


def write_scenes(path: Path, parts: Sequence[SceneBatch], matlab: str = "5") -> None:
    """Write scenes of one scenario to one file.

    Raises:
        InputError: as `write_arrays`.
    """
    write_arrays(path, scene_arrays(parts), matlab)
