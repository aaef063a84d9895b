"""The demonstration: train, locate, show. Every number is computed when it is asked for."""

import math
import time
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path

import torch
from rich.console import Console

from ris_pipeline._errors import InputError, printable
from ris_pipeline._files import LOCK
from ris_pipeline._validation import check_range
from ris_pipeline._version import __version__
from ris_pipeline.commands.localize import compare, print_comparison
from ris_pipeline.commands.train import train_with_progress
from ris_pipeline.commands.views import learned_view, located_view
from ris_pipeline.config import Scenario, Settings, load_settings
from ris_pipeline.learning import load_model
from ris_pipeline.localization import DETECTION_ANGLE, SnrResult, locate, steering_grid, summarise
from ris_pipeline.report.figures import save_figure, spectrum_figure
from ris_pipeline.report.run_folder import RunFolder
from ris_pipeline.report.tables import plain_table, prose
from ris_pipeline.scene import SceneBatch, SceneSet, Split

SNR_DB = (-5.0, 0.0, 10.0, 20.0)
_LARGEST = 3

DEFAULT = "runs/demo"
"""Folder of the first demonstration."""


def demo_scenario() -> Scenario:
    """The reference scenario with one to three sources of equal power."""
    reference = load_settings("reference").scenario
    return reference.replace(sources=(1, _LARGEST), power="power_control")


def accuracy_by_snr(
    console: Console, scenario: Scenario, seed: int, scenes: int
) -> list[SnrResult]:
    """Locate unseen scenes at each SNR, number of sources unknown, and compare with the bound."""
    grid, results = steering_grid(scenario), []
    for snr in SNR_DB:
        at_snr = SceneSet(scenario.replace(snr_db=(snr, snr)), seed, scenes, Split.TEST)
        with console.status(f"locating the sources of {scenes} scenes at {snr:g} dB"):
            batch = at_snr.scenes(0, scenes)
            results.append(summarise(locate(batch, grid=grid), batch, snr))
    return results


def _print_accuracy(console: Console, results: list[SnrResult]) -> None:
    header = ("SNR", "found", "K right", "az", "el", "r", "az, deg", "el, deg", "r, m")
    rows = [
        (
            f"{result.snr_db:g} dB",
            *(f"{100 * share:.0f} %" for share in (result.detected, result.correct_number)),
            *(f"{value:.2f}" for value in result.normalized),
            *(f"{value:.3f}" for value in result.rmse),
        )
        for result in results
    ]
    title = "No network in it; az, el, r: each error over its own root bound, rms"
    console.print(plain_table(title, header, rows))
    said = (
        f"found: within {math.degrees(DETECTION_ANGLE):g} deg of a true source. 1 is the "
        "Cramer-Rao bound, which knows neither that choice nor the scenario's limits: where it "
        "exceeds them, at low SNR and for far distances, errors are below it. deg, m: RMSE."
    )
    console.print(prose(said), highlight=False, soft_wrap=True)


def _scene_to_show(settings_scenario: Scenario, seed: int, snr: float) -> SceneBatch:
    """The first unseen scene with the most sources."""
    high = settings_scenario.sources[1]
    scenario = settings_scenario.replace(snr_db=(snr, snr), sources=(high, high))
    return SceneSet(scenario, seed, 1, Split.TEST).scenes(0, 1)


def _is_taken(folder: Path) -> bool:
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.jsonl"))


def _fresh_folder(out: Path | None) -> RunFolder:
    """One without a run in it: what was trained is never written over."""
    if out is None:
        names = chain([DEFAULT], (f"{DEFAULT}-{place}" for place in count(2)))
        return RunFolder(next(path for path in map(Path, names) if not _is_taken(path)))
    if _is_taken(out):
        raise InputError(f"--out {str(out)!r} holds a run: allowed is a folder without one")
    return RunFolder(out)


def run_demo(console: Console, out: Path | None, settings: Settings, scenes: int) -> None:
    """Train the network of `settings`, locate `scenes` reference scenes at each SNR, write `out`.

    Args:
        out: the folder; by default the first of runs/demo, runs/demo-2, ... that holds no run.

    Raises:
        InputError: a folder that holds a run or cannot be written, or fewer than one scene.
    """
    check_range("scenes", scenes, 1, 10**6)
    folder = _fresh_folder(out)
    with folder.held():
        _demo(console, folder, settings, scenes)


def _demo(console: Console, folder: RunFolder, settings: Settings, scenes: int) -> None:
    start = time.perf_counter()
    console.print("1. Train the covariance network on small scenes", style="bold", highlight=False)
    trainer = train_with_progress(console, settings, folder)
    name, weights = trainer.best_weights()
    trained = time.perf_counter()
    console.print(
        "2. What the estimator does alone, on unseen reference scenes",
        style="bold",
        highlight=False,
    )
    scenario = demo_scenario()
    results = accuracy_by_snr(console, scenario, settings.seed, scenes)
    _print_accuracy(console, results)
    located = time.perf_counter()
    console.print(
        "3. What the network adds, on unseen scenes of its own panel", style="bold", highlight=False
    )
    unseen = SceneSet(settings.scenario, settings.seed, scenes, Split.TEST)
    with console.status(f"locating the sources of {scenes} scenes with and without the network"):
        comparison = compare(load_model(folder.path / "model.safetensors"), unseen)
    print_comparison(console, settings.scenario, comparison)
    shown = _scene_to_show(settings.scenario, settings.seed, 15.0)
    views = [
        located_view(_scene_to_show(scenario, settings.seed, 10.0)),
        learned_view(trainer.predict(shown, weights).covariance, shown),
    ]
    save_figure(spectrum_figure(views), folder.path / "spectrum.png")
    history = trainer.history
    folder.write_summary(
        {
            "ris_pipeline": __version__,
            "torch": torch.__version__,
            "seed": settings.seed,
            "train_loss": [history[0].train, history[-1].train],
            "validation_loss": [history[0].validation, history[-1].validation],
            "validation_nmse": [
                history[0].validation_terms["nmse"],
                history[-1].validation_terms["nmse"],
            ],
            "best_weights": name,
            "accuracy": {f"{r.snr_db:g} dB": asdict(r) for r in results},
            "learning": comparison.summary(),
            "seconds": {"train": trained - start, "locate": located - trained},
        }
    )
    files = ", ".join(sorted(p.name for p in folder.path.iterdir() if p.name != LOCK))
    console.print(
        f"4. Written to {printable(folder.path)}:", style="bold", highlight=False, soft_wrap=True
    )
    console.print(prose(files), highlight=False, soft_wrap=True)
