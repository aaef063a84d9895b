"""Training on a folder of scenes: every scene once a pass, by rank, and the same when resumed."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ris_pipeline import InputError, load_settings
from ris_pipeline.cli import main
from ris_pipeline.config import Settings
from ris_pipeline.data import write_store
from ris_pipeline.learning import Trainer
from ris_pipeline.learning.processes import training_batches
from ris_pipeline.scene import SceneSet, Split

TINY = ["training.precision=32-true", "training.epochs=2", "training.batches=3"]
TINY += ["training.batch_size=8", "training.validation_scenes=8"]
SCENARIO = load_settings("golden").scenario


def settings_for(folder: Path, *overrides: str) -> Settings:
    return load_settings("golden", [*TINY, f'training.scene_folder="{folder}"', *overrides])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """35 scenes: four batches of eight, and three that fill none."""
    made = tmp_path_factory.mktemp("scenes") / "2024"
    write_store(made, SceneSet(SCENARIO, 5, 35), shard=10)
    return made


def fabric(rank: int = 0, world: int = 1) -> Any:
    return SimpleNamespace(device="cpu", global_rank=rank, world_size=world)


def seen(settings: Settings, epoch: int, *of: int) -> list[torch.Tensor]:
    """The SNR of every scene, which tells it apart, batch by batch."""
    return [b.snr_db for b in training_batches(settings, epoch, torch.float32, fabric(*of))]


def test_every_scene_comes_once_a_pass_in_an_order_of_its_own(folder: Path) -> None:
    settings = settings_for(folder)
    batches = [batch for epoch in range(4) for batch in seen(settings, epoch)]
    assert [len(batch) for batch in batches] == [8] * 12
    there = {float(x) for x in SceneSet(SCENARIO, 5, 35).scenes(0, 35).snr_db}
    passes = [torch.cat(batches[i : i + 4]).tolist() for i in (0, 4, 8)]
    for one in passes:
        assert len(set(one)) == 32
        assert set(one) <= there
    assert passes[0] != passes[1] != passes[2]
    other = seen(settings_for(folder, "seed=9"), 0)
    assert not torch.equal(torch.cat(other), torch.cat(batches[:3]))


def test_processes_share_every_batch(folder: Path) -> None:
    settings = settings_for(folder)
    whole, first, second = seen(settings, 1), seen(settings, 1, 0, 2), seen(settings, 1, 1, 2)
    for batch, *halves in zip(whole, first, second, strict=True):
        assert torch.equal(batch, torch.cat(halves))


def test_a_resumed_run_is_the_run(folder: Path) -> None:
    settings = settings_for(folder)
    through = Trainer(settings)
    through.fit()
    first = Trainer(settings)
    first.train_epoch()
    second = Trainer(settings)
    second.restore(first.checkpoint())
    second.fit()
    assert [r.train for r in through.history] == [r.train for r in second.history]
    fresh = Trainer(load_settings("golden", TINY))
    assert fresh.train_epoch().train != through.history[0].train
    with pytest.raises(InputError, match=r"training\.scene_folder = "):
        Trainer(load_settings("golden", TINY)).restore(first.checkpoint())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scenario.antennas=5", "scenes of scenario.antennas = 4, not 5"),
        ("training.batch_size=64", "holds 35 scenes: allowed is at least training.batch_size = 64"),
        ("training.precision=64-true", "training.precision = 64-true is not allowed"),
    ],
)
def test_scenes_that_are_not_the_runs(folder: Path, override: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        seen(settings_for(folder, override), 0)
    assert message in str(refused.value)


def test_scenes_of_another_split_and_fixed_ones_are_refused(tmp_path: Path) -> None:
    write_store(tmp_path / "s", SceneSet(SCENARIO, 5, 10, Split.TEST))
    with pytest.raises(InputError, match="holds test scenes: allowed are train"):
        seen(settings_for(tmp_path / "s"), 0)
    with pytest.raises(InputError, match="fixed_scenes and scene_folder: allowed is one"):
        settings_for(tmp_path / "s", "training.fixed_scenes=true")


def test_nothing_is_trained_on_a_damaged_folder(folder: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(folder, tmp_path / "damaged")
    shard = tmp_path / "damaged" / "00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="another checksum than the manifest"):
        Trainer(settings_for(tmp_path / "damaged"))
    words = ["train", "--preset", "golden", *(w for s in TINY for w in ("--set", s)), "--out"]
    assert run(*words, str(tmp_path / "out"), "--scenes", str(tmp_path / "damaged")) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return int(stop.value.code or 0)


def test_the_command_line_trains_on_a_folder_and_goes_on(
    folder: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `folder` has a name that TOML would take for a number.
    monkeypatch.chdir(folder.parent)
    words = ["train", "--preset", "golden", *(w for s in TINY for w in ("--set", s)), "--out"]
    assert run(*words, str(tmp_path / "bad"), "--scenes", "nowhere") == 2
    assert "holds no manifest.json" in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()
    out = str(tmp_path / "run")
    assert run(*words, out, "--scenes", folder.name) == 0
    capsys.readouterr()
    assert run("train", "--out", out, "--resume", "--set", "training.epochs=3") == 0
    assert "Epoch 003/003" in capsys.readouterr().out
