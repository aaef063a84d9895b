"""Calibrate a simulated panel, write it, and show what it is worth on unseen scenes."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from ris_pipeline._errors import InputError, printable
from ris_pipeline._files import check_output
from ris_pipeline._validation import check_range
from ris_pipeline.config import Scenario
from ris_pipeline.learning.calibration import calibrate, calibrated, self_calibrate
from ris_pipeline.localization import (
    Estimates,
    cramer_rao_bound,
    estimation_errors,
    locate,
    summarise,
)
from ris_pipeline.report.tables import plain_table
from ris_pipeline.scene import (
    BelievedPanel,
    SceneBatch,
    SceneSet,
    Split,
    direction_cosines,
    save_panel,
)


def _positions(azimuth: Tensor, elevation: Tensor, distance: Tensor) -> Tensor:
    return direction_cosines(azimuth, elevation) * distance[..., None]


def median_position_error(estimates: Estimates, scenes: SceneBatch) -> float:
    """Median over the sources of the distance (m) to their estimates, infinite without one."""
    match = estimation_errors(estimates, scenes).match
    taken = (
        x.double().gather(1, match.clamp_min(0))
        for x in (estimates.azimuth, estimates.elevation, estimates.distance)
    )
    sources = scenes.sources
    true = (x.double() for x in (sources.azimuth, sources.elevation, sources.distance))
    error = torch.linalg.vector_norm(_positions(*taken) - _positions(*true), dim=-1)
    error = torch.where(match >= 0, error, torch.inf)
    return float(error[sources.active].median())


def _rows(test: SceneBatch, panels: dict[str, BelievedPanel]) -> Sequence[Sequence[str]]:
    bound = cramer_rao_bound(calibrated(test, panels["true"]))
    snr, rows = float(test.snr_db.mean()), []
    for name, believed in panels.items():
        scenes = calibrated(test, believed)
        found = locate(scenes, scenes.sources.count)
        result = summarise(found, scenes, snr, bound)
        error = median_position_error(found, scenes)
        ratios = (f"{ratio:.2f}" for ratio in result.normalized)
        rows.append([name, f"{error:.3f}", *ratios, f"{100 * result.detected:.0f} %"])
    return rows


def run_calibrate(
    console: Console, out: Path, scenario: Scenario, seed: int, scenes: int, blind: bool, test: int
) -> None:
    """Estimate the panel of a scenario from `scenes` of it, write `out`, compare on `test` others.

    Raises:
        InputError: a panel drawn per scene, fewer than one scene, a file that cannot be written.
    """
    if not scenario.impairments.fixed:
        raise InputError("scenario.impairments.fixed = False: allowed is one panel for all scenes")
    check_range("scenes", scenes, 1, 10**6)
    check_output("--out", out, (".safetensors",))
    ideal = scenario.replace(panel_file=None)
    training = SceneSet(ideal, seed, scenes, Split.TRAIN).scenes(0, scenes)
    found = self_calibrate(training, training.sources.count) if blind else calibrate(training)
    save_panel(out, found.believed)
    console.print(
        f"{printable(out)}: residual over noise {found.costs[0]:.3f} -> {found.costs[-1]:.3f} in "
        f"{len(found.costs)} steps",
        highlight=False,
    )
    if test < 1:
        return
    batch = SceneSet(ideal, seed, test, Split.TEST).scenes(0, test)
    truth = batch.truth
    assert truth is not None
    panels = {
        "ideal, assumed": BelievedPanel(batch.panel),
        "calibrated": found.believed,
        "true": BelievedPanel(truth.panel, truth.response[0]),
    }
    header = ("panel", "median position error, m", "azimuth", "elevation", "distance", "found")
    title = "Error over the root bound of the true panel, rms, number of sources known"
    console.print(plain_table(title, header, _rows(batch, panels)))
