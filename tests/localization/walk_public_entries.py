"""Calls every public function of `scene`, `spectral` and `localization` with every argument made
bad in turn.

Run by `test_public_entries.py` as a program of its own, without the type checks that pytest puts
on: what comes out must be an answer or `InputError`. Prints one line for each call that does not.
"""

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ris_pipeline import localization, scene, spectral
from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.scene._random import SceneRandom

SCENARIO = Scenario(
    panel=(3, 3), antennas=4, codes=8, codebook="random", sources=(1, 2), power="power_control"
)
SCENES = scene.simulate(SCENARIO, 1, torch.arange(2), torch.float64)
GRID = localization.steering_grid(SCENARIO, torch.float64)
COSINES = scene.direction_cosines(GRID.azimuth, GRID.elevation)[:, :2]
ANGLE = torch.tensor([[0.1, -0.2]], dtype=torch.float64)
ACTIVE = torch.ones(1, 2, dtype=torch.bool)
FACTOR = torch.randn(2, 9, 2, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
MATRIX = FACTOR @ FACTOR.mH + torch.eye(9)
LOW_RANK = spectral.LowRankCovariance(FACTOR, 1.0)

GOOD: dict[str, Any] = {
    "positions": torch.tensor([[-0.15, 0.0, 0.0], [0.0, 0.0, 0.0], [0.15, 0.0, 0.0]]),
    "azimuth_deg": (-60.0, 60.0),
    "base": 0.01,
    "basis": torch.linalg.qr(FACTOR).Q,
    "beta": 0.5,
    "diagonal_weight": 1.0,
    "eigenvalues": torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64),
    "estimate": MATRIX,
    "factor": FACTOR,
    "loading": 0.1,
    "margin": 0.1,
    "off_diagonal_weight": 1.0,
    "power": None,
    "prediction": LOW_RANK,
    "ridge": 1e-3,
    "sample": LOW_RANK,
    "samples": 20,
    "sharpness": 2.0,
    "steering": FACTOR,
    "truth": MATRIX,
    "values": torch.ones(2, 9, dtype=torch.float64),
    "weight": 0.1,
    "windows": torch.tensor([[0, 1, 2], [1, 2, 3]]),
    "x": FACTOR,
    "elevation_deg": (-30.0, 30.0),
    "noise_variance": None,
    "active": ACTIVE,
    "angle": 0.03,
    "angles": ANGLE[0],
    "antennas": 4,
    "azimuth": ANGLE,
    "believed": scene.BelievedPanel(SCENES.panel, torch.ones(9, dtype=torch.complex128)),
    "bits": 3,
    "bound": None,
    "channel": SCENES.channel,
    "codes": SCENES.codes,
    "cosines": COSINES,
    "count": 4,
    "covariance": MATRIX,
    "criterion": "bic",
    "cutoff": 0.03,
    "density": 2.0,
    "device": None,
    "directions": localization.direction_grid(COSINES, (0.2, 0.2)),
    "distance": ANGLE + 1,
    "dtype": torch.float64,
    "elements": 8,
    "elevation": ANGLE,
    "estimates": localization.locate(SCENES, 1),
    "grid": None,
    "index": torch.arange(2),
    "inverse_distance": ANGLE + 1,
    "k": 2,
    "level": torch.rand(2, COSINES.shape[0]),
    "matrix": MATRIX,
    "measurement": localization.measure(SCENES),
    "method": "music",
    "most": 2,
    "noise": None,
    "number": 1,
    "other_azimuth": ANGLE,
    "other_elevation": ANGLE,
    "panel": SCENES.panel,
    "peak_separation": (0.2, 0.2),
    "period": (float("inf"), float("inf")),
    "random": SceneRandom(1, torch.arange(2)),
    "ratio": torch.ones(2, dtype=torch.float64),
    "regularisation": torch.ones(2, dtype=torch.float64),
    "scenario": SCENARIO,
    "scenes": SCENES,
    "seed": 1,
    "shape": (4, 4),
    "size": (2, 2),
    "snapshots": SCENES.snapshots,
    "snr_db": torch.zeros(2, dtype=torch.float64),
    "spacing": 0.5,
    "true_active": ACTIVE,
    "true_azimuth": ANGLE,
    "true_elevation": ANGLE,
    "u": ANGLE,
    "v": ANGLE,
    "wavefront": "spherical",
    "wavelength": 0.3,
}
"""By the name of the argument."""

SPECIAL: dict[str, dict[str, Any]] = {
    "dft_codebook": {"panel": (3, 3)},
    "sub_panel_windows": {"panel": (3, 3)},
    "detection_spectrum": {"grid": GRID},
    "whiten": {"dtype": torch.complex128},
    "ris_codes": {"dtype": torch.complex128},
    "summarise": {"snr_db": 0.0},
    "soft_alignment": {"covariance": LOW_RANK},
    "soft_music_spectrum": {"noise": 0.5},
    "noise_weight": {"noise": torch.ones(2, dtype=torch.float64)},
    "own_scenario": {"distance": (0.5, 10.0)},
    "suppose_sources": {
        name: torch.full((2, 1), 0.7, dtype=torch.float64)
        for name in ("azimuth", "elevation", "distance")
    },
    "panel_scenario": {"panel": SCENES.panel},
    "locate_from_covariance": {"panel": SCENARIO},
    "grid_at": {name: ANGLE[0] + 1 for name in ("azimuth", "elevation", "inverse_distance")},
}
"""Where a function means something else by a name."""

BAD: tuple[Any, ...] = (
    None,
    "nonsense",
    True,
    -1,
    0,
    999,
    1.5,
    float("nan"),
    float("inf"),
    np.int64(-3),
    np.float64("nan"),
    (),
    (0, 0),
    (1.5, "x"),
    {},
    object(),
    torch.zeros(0),
    torch.tensor(float("nan")),
    torch.full((2, 3), torch.nan, dtype=torch.float64),
    torch.zeros(2, 3, dtype=torch.int64),
    torch.zeros(7, 1, 1, 5, dtype=torch.complex64),
    np.zeros((2, 2)),
)


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for module in (scene, spectral, localization):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function):
                yield name, function


def good_arguments(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    values = {**GOOD, **SPECIAL.get(name, {})}
    return {p: values[p] for p in inspect.signature(function).parameters}


def outcome(function: Callable[..., Any], arguments: dict[str, Any]) -> str | None:
    """What came out that should not have."""
    try:
        function(**arguments)
    except InputError:
        return None
    except Exception as error:  # noqa: BLE001
        # The kind of error is what is examined.
        return f"{type(error).__name__}: {error}".replace("\n", " ")[:90]
    return None


def main() -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    calls = failures = 0
    with TemporaryDirectory() as folder:
        GOOD["path"] = Path(folder) / "panel.safetensors"
        scene.save_panel(GOOD["path"], GOOD["believed"])
        for name, function in functions():
            arguments = good_arguments(name, function)
            function(**arguments)
            for parameter in arguments:
                for bad in BAD:
                    calls += 1
                    what = outcome(function, {**arguments, parameter: bad})
                    if what is not None:
                        failures += 1
                        sys.stdout.write(
                            f"{name}({parameter} = {bad!r:.40}): {what}".replace("\n", " ") + "\n"
                        )
    sys.stdout.write(f"{calls} calls, {failures} failures\n")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
