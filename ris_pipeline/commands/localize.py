"""A trained network and least squares on scenes of one's choice, printed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from rich.console import Console
from torch import Tensor

from ris_pipeline._validation import check_range
from ris_pipeline.config import Scenario
from ris_pipeline.learning.inference import CovarianceModel, Localised, Verdict, localise
from ris_pipeline.localization import Errors, estimation_errors, steering_grid
from ris_pipeline.report.tables import plain_table, prose
from ris_pipeline.scene import SceneBatch, SceneSet, Split, covariance_factor
from ris_pipeline.spectral import LowRankCovariance, nmse

_AT_ONCE = 256
_SHOWN = 4
"""Scenes whose sources are listed; the tables are over all of them."""

_QUARTERS = 4


def _localised(
    model: CovarianceModel, scenes: SceneSet, number: int | None
) -> Iterator[tuple[SceneBatch, Localised]]:
    grid = steering_grid(scenes.scenario)
    for batch in scenes.batches(_AT_ONCE):
        yield batch, localise(model, batch, number, grid)


def _print_scene(console: Console, batch: SceneBatch, found: Localised, index: int) -> None:
    estimates, sources = found.estimates, batch.sources
    verdict = Verdict(int(found.verdict[index])).name.lower().replace("_", " ")
    console.print(
        f"scene {index}: {batch.snr_db[index]:.1f} dB, prediction {verdict}, "
        f"{100 * found.beta[index]:.0f} % least squares",
        highlight=False,
    )
    for label, who, count in (
        ("located", estimates, estimates.count),
        ("true", sources, sources.count),
    ):
        for k in range(int(count[index])):
            azimuth, elevation = (
                math.degrees(float(x[index, k])) for x in (who.azimuth, who.elevation)
            )
            console.print(
                f"  {label:8} azimuth {azimuth:7.2f} deg, elevation {elevation:7.2f} deg, "
                f"distance {float(who.distance[index, k]):6.2f} m",
                highlight=False,
            )


def _covariance_errors(batch: SceneBatch, found: Localised) -> Tensor:
    """NMSE of R (3, B): the network alone, least squares alone, together."""
    truth = LowRankCovariance(covariance_factor(batch).to(torch.complex128))
    return torch.stack([nmse(r, truth) for r in (found.learned, found.fitted, found.covariance)])


def _print_covariances(console: Console, scenario: Scenario, error: Tensor, snr: Tensor) -> None:
    low, high = scenario.snr_db
    width = max(high - low, 1e-9) / _QUARTERS
    quarter = ((snr - low) / width).floor().clamp(0, _QUARTERS - 1)
    present = [q for q in range(_QUARTERS) if bool((quarter == q).any())]
    names = "network alone", "least squares alone", "together"
    rows = [
        [name, f"{e.mean():.4f}", *(f"{e[quarter == q].mean():.4f}" for q in present)]
        for name, e in zip(names, error, strict=True)
    ]
    header = [f"{low + q * width:g}..{low + (q + 1) * width:g} dB" for q in present]
    console.print(plain_table("NMSE of the covariance", ("", "all", *header), rows))


def _source_row(name: str, errors: list[Errors], chosen: Tensor) -> list[str]:
    active = torch.cat([e.active for e in errors])
    square = torch.cat([e.error for e in errors])[chosen].square().mean(0).sqrt()
    detected = torch.cat([e.detected for e in errors])
    correct = torch.cat([e.correct_number for e in errors]).double().mean()
    azimuth, elevation = (f"{math.degrees(float(square[i])):.3f}" for i in (0, 1))
    rate = float(detected.sum() / active.sum())
    return [
        name,
        azimuth,
        elevation,
        f"{float(square[2]):.3f}",
        f"{100 * rate:.1f} %",
        f"{100 * float(correct):.1f} %",
    ]


def _print_sources(console: Console, mine: list[Errors], alone: list[Errors]) -> None:
    both = torch.cat([a.detected & b.detected for a, b in zip(mine, alone, strict=True)])
    header = ("", "azimuth, deg", "elevation, deg", "distance, m", "found", "K right")
    rows = [_source_row("localize", mine, both), _source_row("locate", alone, both)]
    console.print(plain_table("RMSE over the sources that both found within 2 deg", header, rows))


@dataclass
class Comparison:
    """Scenes located with the network and without, batch by batch.

    errors: NMSE of R (3, B): the network alone, least squares alone, together; mine, alone: errors
    of `localise` and of `locate`; taken: scenes in which the network's start gave the better fit.
    """

    errors: list[Tensor] = field(default_factory=list)
    snr: list[Tensor] = field(default_factory=list)
    verdicts: list[Tensor] = field(default_factory=list)
    mine: list[Errors] = field(default_factory=list)
    alone: list[Errors] = field(default_factory=list)
    taken: int = 0

    def add(self, batch: SceneBatch, found: Localised) -> None:
        """Count a batch."""
        self.errors.append(_covariance_errors(batch, found))
        self.snr.append(batch.snr_db)
        self.verdicts.append(found.verdict)
        self.mine.append(estimation_errors(found.estimates, batch))
        self.alone.append(estimation_errors(found.located, batch))
        self.taken += int(found.taken.sum())

    def summary(self) -> dict[str, object]:
        """For `summary.json`: mean NMSE of R, and what was found with the network and without."""
        network, fitted, together = torch.cat(self.errors, 1).mean(1).tolist()
        nmse_of = {"network_alone": network, "least_squares_alone": fitted, "together": together}
        found = {
            name: float(
                torch.cat([e.detected for e in errors]).sum()
                / torch.cat([e.active for e in errors]).sum()
            )
            for name, errors in (("localize", self.mine), ("locate", self.alone))
        }
        scenes = len(torch.cat(self.snr))
        return {"scenes": scenes, "nmse": nmse_of, "found": found, "start_taken": self.taken}


def compare(model: CovarianceModel, scenes: SceneSet) -> Comparison:
    """Locate all scenes, their number of sources unknown, with the network and without."""
    comparison = Comparison()
    for batch, found in _localised(model, scenes, None):
        comparison.add(batch, found)
    return comparison


def print_comparison(console: Console, scenario: Scenario, comparison: Comparison) -> None:
    """The tables of covariance and sources, with the network and without."""
    snr = torch.cat(comparison.snr)
    _print_covariances(console, scenario, torch.cat(comparison.errors, 1), snr)
    _print_sources(console, comparison.mine, comparison.alone)
    counts = torch.cat(comparison.verdicts).bincount(minlength=len(Verdict)).tolist()
    fallen = ", ".join(
        f"{counts[v]} {v.name.lower().replace('_', ' ')}" for v in Verdict if v != Verdict.USED
    )
    said = (
        f"{len(snr)} scenes: the network's start gave the better fit in {comparison.taken}; left "
        f"to least squares alone: {fallen}"
    )
    console.print(prose(said), highlight=False, soft_wrap=True)


def run_localize(
    console: Console,
    model: CovarianceModel,
    scenario: Scenario,
    seed: int,
    scenes: int,
    split: Split,
    number: int | None,
) -> None:
    """Localise `scenes` of a scenario and print what came of it.

    Raises:
        InputError: a scenario that the model was not trained for, fewer than one scene.
    """
    check_range("scenes", scenes, 1, 10**7)
    comparison = Comparison()
    for batch, found in _localised(model, SceneSet(scenario, seed, scenes, split), number):
        if not comparison.snr:
            for index in range(min(_SHOWN, batch.size)):
                _print_scene(console, batch, found, index)
        comparison.add(batch, found)
    print_comparison(console, scenario, comparison)
