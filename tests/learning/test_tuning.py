"""The search of settings: shared, resumable, and its result is a preset."""

import io
import os
import re
import resource
from pathlib import Path

import pytest
from rich.console import Console

from ris_pipeline._errors import InputError
from ris_pipeline.commands.tune import run_tune
from ris_pipeline.config import load_settings
from ris_pipeline.learning.tuning import HEADS_TIMES, open_study, preset_text, tune, write_preset

TINY = (
    "training.epochs=1",
    "training.batches=1",
    "training.batch_size=4",
    "training.validation_scenes=4",
)


@pytest.mark.parametrize("name", ["golden", "reference", "small"])
def test_a_preset_that_is_written_is_the_preset_that_is_read(name: str, tmp_path: Path) -> None:
    settings = load_settings(
        name, ["scenario.phase_bits=2", "scenario.impairments.dead_fraction=0.1"]
    )
    write_preset(tmp_path / "mine.toml", settings)
    assert load_settings(str(tmp_path / "mine.toml")) == settings
    assert preset_text(settings).startswith("seed = ")


def test_a_search_is_continued_and_its_best_is_a_preset(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings, path = load_settings("golden", TINY), tmp_path / "study.log"
    first = tune(settings, path, 1)
    second = tune(settings, path, 1)
    assert second[1] <= first[1]
    best = second[0].training
    assert best.lr_heads == pytest.approx(HEADS_TIMES * best.lr_backbone)
    with pytest.raises(InputError, match="is of other settings"):
        tune(settings.replace(seed=1), path, 1)
    with pytest.raises(InputError, match="trials = 0"):
        tune(settings, path, 0)


def test_a_trial_is_a_line_and_fits_a_terminal(tmp_path: Path, capfd) -> None:
    pytest.importorskip("optuna")
    text = io.StringIO()
    console = Console(file=text, width=80)
    run_tune(console, tmp_path / "s", tmp_path / "p.toml", load_settings("golden", TINY), 2)
    first, second, last = text.getvalue().splitlines()
    assert re.fullmatch(r"trial 0: (\d\.\d{4}), the best is \1 of trial 0", first)
    assert re.fullmatch(r"trial 1: \d\.\d{4}, the best is \d\.\d{4} of trial [01]", second)
    assert "validation NMSE" in last
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("room", [10, 200, 1000])
def test_a_disk_that_fills_up_leaves_a_study_that_goes_on(room: int, tmp_path: Path, capfd) -> None:
    pytest.importorskip("optuna")
    settings, path = load_settings("golden", TINY), tmp_path / "s"
    open_study(path, settings)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, old[1]))
    try:
        with pytest.raises(InputError, match="cannot be written: File too large"):
            run_tune(Console(quiet=True), path, tmp_path / "p.toml", settings, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes().endswith(b"\n")
    tune(settings, path, 1)


def test_a_study_that_is_no_file(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    os.mkfifo(tmp_path / "s")
    with pytest.raises(InputError, match="it is a FIFO"):
        open_study(tmp_path / "s", load_settings("golden", TINY))
