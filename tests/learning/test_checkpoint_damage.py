"""Whatever is done to a checkpoint, it is the one that was saved or one clear line."""

import json
import math
import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ris_pipeline import _sealed
from ris_pipeline._errors import InputError
from ris_pipeline._sealed import read_sealed, write_sealed
from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer, load_checkpoint, load_model, save_checkpoint
from ris_pipeline.learning import run as run_between_epochs
from ris_pipeline.learning.page import pack, unpack
from ris_pipeline.learning.records import Counters, EpochRecord

SETTINGS = load_settings(
    "golden",
    [
        "training.epochs=3",
        "training.batches=1",
        "training.batch_size=2",
        "training.validation_scenes=2",
        "training.swa_fraction=0.9",
    ],
)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    trainer = Trainer(SETTINGS)
    trainer.train_epoch()
    trainer.train_epoch()
    return trainer


@pytest.fixture
def saved(trainer: Trainer, tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, trainer.checkpoint())
    return path


def state(trainer: Trainer) -> dict[str, Any]:
    taken = trainer.checkpoint()
    tensors = {
        f"{g}/{n}": v.numpy().tobytes() for g, t in taken.tensors.items() for n, v in t.items()
    }
    return {"counters": taken.progress, "settings": taken.settings, **tensors}


def refused(path: Path, trainer: Trainer) -> str:
    """The one line; and the trainer is as it was."""
    before = state(trainer)
    with pytest.raises(InputError) as caught:
        trainer.restore(load_checkpoint(path))
    line = str(caught.value)
    assert line.startswith("checkpoint")
    assert "\n" not in line
    assert len(line) < 600
    assert state(trainer) == before
    return line


def page_with(**changes: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda page, arrays: page.update(changes)


def progress_with(**changes: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda page, arrays: page["progress"].update(changes)


def array(name: str, make: Callable[[np.ndarray], Any]) -> Callable[[dict, dict], None]:
    def change(page: dict[str, Any], arrays: dict[str, Any]) -> None:
        if (value := make(arrays[name])) is None:
            del arrays[name]
        else:
            arrays[name] = value

    return change


def at(place: tuple[int, int], value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(old: np.ndarray) -> np.ndarray:
        new = old.copy()
        new[place] = value
        return new

    return change


WEIGHT = "weights/heads.0.1.bias"

DAMAGE = {
    "page a list": lambda page, arrays: page.clear(),
    "older format": page_with(format=2),
    "other format": page_with(format=4),
    "no settings": lambda page, arrays: page.pop("settings"),
    "settings a number": page_with(settings=7),
    "setting unknown": lambda page, arrays: page["settings"].update(other=1),
    "progress null": page_with(progress=None),
    "progress a list": page_with(progress=[]),
    "extra key": page_with(extra=1),
    "extra counter": progress_with(extra=1),
    "version a number": page_with(ris_pipeline=1),
    "epoch text": progress_with(epoch="2"),
    "epoch true": progress_with(epoch=True),
    "epoch real": progress_with(epoch=2.0),
    "epoch negative": progress_with(epoch=-2),
    "epoch huge": progress_with(epoch=10**40),
    "epoch ahead": progress_with(epoch=3),
    "step behind": progress_with(step=1),
    "best text": progress_with(best="0.5"),
    "best another": progress_with(best=0.5),
    "best lost": progress_with(best=None),
    "best epoch ahead": progress_with(best_epoch=3),
    "averages ahead": progress_with(swa_epochs=3),
    "no averages": progress_with(swa_epochs=0),
    "phases lost": progress_with(phases=[]),
    "history missing": array("history/numbers", lambda x: None),
    "history shorter": array("history/counts", lambda x: x[:1]),
    "history doubled": array("history/numbers", lambda x: np.concatenate([x, x])),
    "history of text": array("history/counts", lambda x: x.astype(np.float64)),
    "epochs repeated": array("history/counts", at((1, 0), 1)),
    "steps that fall": array("history/counts", at((1, 3), 0)),
    "phase beyond": array("history/counts", at((0, 4), 9)),
    "loss absent": array("history/present", at((0, 0), False)),
    "weight missing": array(WEIGHT, lambda x: None),
    "weight shorter": array(WEIGHT, lambda x: x[1:]),
    "weight in one row": array(WEIGHT, lambda x: x[None]),
    "weight single": array(WEIGHT, lambda x: x.astype(np.float32)),
    "weight whole": array(WEIGHT, lambda x: x.astype(np.int64)),
    "weight nan": array(WEIGHT, lambda x: x * math.nan),
    "weight infinite": array("ema/heads.0.1.bias", lambda x: x + math.inf),
    "moments of nobody": lambda page, arrays: arrays.update({"optimiser/999.step": np.zeros(())}),
    "moments of no name": lambda page, arrays: arrays.update({"optimiser/x": np.zeros(())}),
    "moment missing": array("optimiser/0.exp_avg", lambda x: None),
    "moment short": array("optimiser/0.exp_avg", lambda x: x[:0]),
    "weight of nobody": lambda page, arrays: arrays.update({"weights/x": np.zeros(1)}),
    "group of nobody": lambda page, arrays: arrays.update({"other/x": np.zeros(1)}),
    "run and model": lambda page, arrays: arrays.update({"model/x": np.zeros(1)}),
    "tensors gone": lambda page, arrays: arrays.clear(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_page_or_tensor_that_does_not_fit_is_refused(
    damage: str, saved: Path, trainer: Trainer
) -> None:
    sealed = read_sealed(saved, "checkpoint")
    page, arrays = sealed.json(), sealed.arrays
    DAMAGE[damage](page, arrays)
    write_sealed(saved, arrays, [1] if damage == "page a list" else page)
    refused(saved, trainer)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a checkpoint"),
        (b"half a file", "is not a checkpoint"),
        (b"\xff" * 100, "is not a checkpoint"),
        (b"\x02" + bytes(7) + b"{}", "carries no checksum"),
    ],
)
def test_bytes_that_are_no_checkpoint(
    data: bytes, said: str, tmp_path: Path, trainer: Trainer
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(data)
    assert said in refused(path, trainer)


def test_dtypes_nobody_knows_and_an_older_file(tmp_path: Path, trainer: Trainer) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_file({"weights/x": torch.zeros(4)}, path, metadata={"page": "{}"})
    assert "files of version 0.2 and before do not" in refused(path, trainer)
    header = {"page": "{}", "sha256": "0"}
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.complex64):
        save_file({"weights/x": torch.zeros(4).to(dtype)}, path, metadata=header)
        assert "has dtype" in refused(path, trainer)


def test_every_flipped_bit_and_every_cut_is_noticed(saved: Path, trainer: Trainer) -> None:
    raw, draw = saved.read_bytes(), random.Random(0)
    places = [draw.randrange(len(raw)) for _ in range(60)] + list(range(0, 3000, 60))
    for place in places:
        flipped = bytearray(raw)
        flipped[place] ^= 1 << draw.randrange(8)
        saved.write_bytes(flipped)
        with pytest.raises(InputError):
            load_checkpoint(saved)
    for length in (draw.randrange(len(raw)) for _ in range(20)):
        saved.write_bytes(raw[:length])
        with pytest.raises(InputError):
            load_checkpoint(saved)
    saved.write_bytes(raw)
    assert load_checkpoint(saved).progress == trainer.counters


def test_a_checksum_of_the_page_alone_would_be_found_out(
    saved: Path, monkeypatch: pytest.MonkeyPatch, trainer: Trainer
) -> None:
    monkeypatch.setattr(_sealed, "_digest", lambda page, arrays: str(hash(page)))
    save_checkpoint(saved, trainer.checkpoint())
    raw = bytearray(saved.read_bytes())
    raw[-3] ^= 1
    saved.write_bytes(raw)
    load_checkpoint(saved)


def test_a_restore_in_place_would_be_found_out(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = read_sealed(saved, "checkpoint")
    del sealed.arrays["optimiser/0.exp_avg"]
    write_sealed(saved, sealed.arrays, sealed.json())
    monkeypatch.setattr(run_between_epochs, "check_tensors", lambda *_: None)
    fresh = Trainer(SETTINGS)
    before = state(fresh)
    with suppress(RuntimeError, KeyError):
        fresh.restore(load_checkpoint(saved))
    assert state(fresh) != before


def test_a_checkpoint_is_readable_as_other_files_are(saved: Path) -> None:
    usual = saved.with_name("usual")
    usual.touch()
    assert saved.stat().st_mode == usual.stat().st_mode
    page = json.loads(saved.with_suffix(".json").read_text())
    assert page["progress"]["epoch"] == 2


def test_a_folder_or_a_file_without_permission(tmp_path: Path, trainer: Trainer) -> None:
    assert "cannot be read" in refused(tmp_path, trainer)
    assert "no such file" in refused(tmp_path / "absent", trainer)
    assert "cannot be read" in refused(tmp_path / ("x" * 300), trainer)
    locked = tmp_path / "locked"
    locked.touch(0o000)
    if not os.access(locked, os.R_OK):
        assert "cannot be read" in refused(locked, trainer)


def test_a_model_of_another_dtype_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is not a checkpoint"):
        load_model(path)


def record(epoch: int) -> EpochRecord:
    terms = {"nmse": 0.1 + epoch, "angle": math.nan} if epoch % 2 else {"nmse": 0.2}
    return EpochRecord(
        epoch, 0.5 / epoch, 1 / epoch, terms, {"nmse": 0.1}, [1e-3, 4e-3], 1.0, math.inf, 0, 1,
        epoch * 3, "joint" if epoch > 2 else "geometry",
    )  # fmt: skip


def counters(epochs: int) -> Counters:
    history = [record(epoch) for epoch in range(1, epochs + 1)]
    return Counters(epochs, epochs * 3, epochs * 3, 0, 1 / epochs, epochs, history)


def test_a_history_comes_back_as_it_was() -> None:
    for epochs in (1, 2, 5):
        told = counters(epochs)
        assert repr(unpack(*pack(told))) == repr(told)
    assert unpack(*pack(Counters())) == Counters()


def test_an_epoch_adds_less_than_300_bytes(trainer: Trainer, tmp_path: Path) -> None:
    taken, sizes = trainer.checkpoint(), []
    for epochs in (10, 1010):
        path = tmp_path / f"{epochs}.safetensors"
        save_checkpoint(path, replace(taken, progress=counters(epochs)))
        sizes.append((path.stat().st_size, path.with_suffix(".json").stat().st_size))
    assert sizes[1][0] - sizes[0][0] < 300 * 1000
    assert sizes[1][1] - sizes[0][1] < 100
