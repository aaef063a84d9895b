"""Small runs of every kind, made once."""

from pathlib import Path

import pytest
from rich.console import Console

from ris_pipeline import load_settings
from ris_pipeline.commands.evaluate import run_evaluation
from ris_pipeline.commands.report import run_report
from ris_pipeline.commands.train import train_with_progress
from ris_pipeline.evaluation import sweep
from ris_pipeline.evaluation.plan import Evaluation, make_series
from ris_pipeline.report.run_folder import RunFolder

_TINY = (
    "training.epochs=2",
    "training.batches=3",
    "training.batch_size=8",
    "training.validation_scenes=8",
)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two trainings, `one` and `<two> & sons`, and an evaluation, `snr`."""
    folder, console = tmp_path_factory.mktemp("runs"), Console(quiet=True)
    for seed, name in enumerate(("one", "<two> & sons")):
        settings = load_settings("golden", [*_TINY, f"seed={seed}"])
        train_with_progress(console, settings, RunFolder(folder / name))
    tables = (sweep("snr", load_settings("golden").scenario, [10.0, 20.0]),)
    series = make_series(["maximum_likelihood"], ["known"])
    run_evaluation(console, folder / "snr", Evaluation(tables, series, 0, 6), workers=1)
    return folder


@pytest.fixture(scope="session")
def page(runs: Path) -> Path:
    """The page of all three."""
    out = runs / "page.html"
    folders = [runs / name for name in ("one", "<two> & sons", "snr")]
    run_report(Console(quiet=True), folders, out, draws=12)
    return out
