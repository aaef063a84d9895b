"""Event files of a run, and what is said where TensorBoard is not installed."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from ris_pipeline import load_settings
from ris_pipeline._errors import InputError
from ris_pipeline.cli import main
from ris_pipeline.commands.train import train_with_progress
from ris_pipeline.learning import history_curve
from ris_pipeline.report.run_folder import RunFolder
from ris_pipeline.report.tensorboard import FOLDER, TensorBoard

SETTINGS = load_settings(
    "golden",
    [
        "training.epochs=2",
        "training.batches=2",
        "training.batch_size=4",
        "training.validation_scenes=4",
    ],
)


def test_event_files_hold_every_column(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer = train_with_progress(
        Console(quiet=True), SETTINGS, RunFolder(tmp_path), tensorboard=True
    )
    events = accumulator.EventAccumulator(str(tmp_path / FOLDER)).Reload()
    curve = history_curve(trainer.history)
    assert len(events.Tags()["scalars"]) == len(curve)
    for tag, column in (("loss/train", "train"), ("validation/nmse", "validation_nmse")):
        scalars = events.Scalars(tag)
        assert [scalar.step for scalar in scalars] == [1, 2]
        # Event files are in single precision.
        assert [s.value for s in scalars] == pytest.approx(curve[column].tolist(), rel=6e-8)


def test_without_tensorboard_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match="the extra `tensorboard` brings it"):
        TensorBoard(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["train", "--out", str(tmp_path / "run"), "--tensorboard"])
    assert stop.value.code == 2
    assert not (tmp_path / "run").exists()
