"""The demonstration: train, locate, show. Every number is computed when it is asked for."""

import time
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from ris_pipeline._validation import check_range
from ris_pipeline._version import __version__
from ris_pipeline.config import Scenario, Settings, load_settings
from ris_pipeline.localization import (
    GATE_DEG,
    Accuracy,
    accuracy,
    locate,
    source_errors,
    steering_grid,
)
from ris_pipeline.report.console import train_with_progress
from ris_pipeline.report.figures import save_figure, spectrum_figure
from ris_pipeline.report.run_folder import RunFolder
from ris_pipeline.report.tables import plain_table
from ris_pipeline.report.views import learned_view, located_view
from ris_pipeline.scene import SceneBatch, SceneSet, Split

SNR_DB = (-5.0, 0.0, 10.0, 20.0)
_BATCH = 25
_LARGEST = 3


def demo_scenario() -> Scenario:
    """The reference scenario with one to three sources of equal power."""
    reference = load_settings("reference").scenario
    return reference.replace(sources=(1, _LARGEST), power="power_control")


def accuracy_by_snr(
    console: Console, scenario: Scenario, seed: int, scenes: int
) -> dict[float, Accuracy]:
    """Locate unseen scenes at each SNR, number of sources unknown, and compare with the bound."""
    grid = steering_grid(scenario)
    results = {}
    for snr in SNR_DB:
        at_snr = SceneSet(scenario.replace(snr_db=(snr, snr)), seed, scenes, Split.TEST)
        errors = []
        batches = at_snr.batches(_BATCH)
        for batch in track(
            batches,
            f"locating, {snr:g} dB",
            total=-(-scenes // _BATCH),
            console=console,
            transient=True,
        ):
            errors.append(source_errors(batch, locate(batch, grid=grid)))
        results[snr] = accuracy(errors)
    return results


def _print_accuracy(console: Console, results: dict[float, Accuracy]) -> None:
    header = ("SNR", "azimuth, deg", "elevation, deg", "distance, m", "found", "K right")
    rows = []
    for snr, result in results.items():
        cells = [
            f"{rmse:.3f}/{bound:.3f} = {ratio:.2f}"
            for rmse, bound, ratio in zip(result.rmse, result.bound, result.ratio, strict=True)
        ]
        shares = (f"{100 * share:.0f} %" for share in (result.detected, result.number_right))
        rows.append((f"{snr:g} dB", *cells, *shares))
    title = "RMSE / square root of the Cramer-Rao bound = ratio"
    console.print(plain_table(title, header, rows))
    console.print(
        f"found: within {GATE_DEG:g} deg of a true source. RMSE and bound: over the sources found "
        f"whose own bound on both angles is below {GATE_DEG:g} deg. A ratio below 1 in distance "
        "is the scenario's own limit on distance, which the bound does not know of.",
        highlight=False,
    )


def _scene_to_show(settings_scenario: Scenario, seed: int, snr: float) -> SceneBatch:
    """The first unseen scene with the most sources."""
    high = settings_scenario.sources[1]
    scenario = settings_scenario.replace(snr_db=(snr, snr), sources=(high, high))
    return SceneSet(scenario, seed, 1, Split.TEST).scenes(0, 1)


def run_demo(console: Console, out: Path, settings: Settings, scenes: int) -> None:
    """Train the network of `settings`, locate `scenes` reference scenes at each SNR, write `out`.

    Raises:
        InputError: a folder that cannot be written, or fewer than one scene.
    """
    check_range("scenes", scenes, 1, 10**6)
    folder, start = RunFolder(out), time.perf_counter()
    console.print("[bold]1. Train the covariance network on small scenes[/bold]")
    trainer = train_with_progress(console, settings, folder)
    name, weights = trainer.best_weights()
    trained = time.perf_counter()
    console.print("[bold]2. Locate the sources of unseen reference scenes[/bold]")
    scenario = demo_scenario()
    results = accuracy_by_snr(console, scenario, settings.seed, scenes)
    _print_accuracy(console, results)
    located = time.perf_counter()
    views = [
        located_view(_scene_to_show(scenario, settings.seed, 10.0)),
        learned_view(trainer, weights, _scene_to_show(settings.scenario, settings.seed, 15.0)),
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
                history[0].validation_terms["nmse_prediction"],
                history[-1].validation_terms["nmse_prediction"],
            ],
            "best_weights": name,
            "accuracy": {f"{snr:g} dB": asdict(result) for snr, result in results.items()},
            "seconds": {"train": trained - start, "locate": located - trained},
        }
    )
    files = ", ".join(sorted(path.name for path in folder.path.iterdir()))
    console.print(f"[bold]3. Written to {folder.path}[/bold]: {files}")
