"""Scene sets on disk: the same scenes as simulated, whole or not there, gone on with, checked."""

import json
import os
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from ris_pipeline import InputError, load_settings
from ris_pipeline.cli import main
from ris_pipeline.data import SceneStore, store, write_store
from ris_pipeline.localization import cramer_rao_bound, locate
from ris_pipeline.scene import SceneBatch, SceneSet, Split

SCENARIO = load_settings("golden").scenario
SET = SceneSet(SCENARIO, 3, 23, Split.VALIDATION)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_store(tmp_path / "set", SET, shard=5)
    return tmp_path / "set"


def assert_same(one: SceneBatch, other: SceneBatch) -> None:
    for part in ("snapshots", "channel", "codes", "noise_variance", "snr_db"):
        # The body of a vectorised loop and its tail may round a product differently.
        assert torch.allclose(getattr(one, part), getattr(other, part), rtol=1e-5, atol=1e-6)
    for field in fields(one.sources):
        mine, theirs = (getattr(x.sources, field.name) for x in (one, other))
        assert torch.allclose(mine, theirs, rtol=1e-6)
    assert torch.equal(one.panel.positions, other.panel.positions)
    assert one.scenario == other.scenario
    assert one.truth is not None
    assert other.truth is not None
    assert torch.equal(one.truth.panel.positions, other.truth.panel.positions)
    assert torch.equal(one.truth.response, other.truth.response)


def test_scenes_are_those_that_were_simulated(folder: Path) -> None:
    opened = SceneStore(folder)
    assert len(opened) == 23
    assert (opened.seed, opened.split, opened.scenario) == (3, Split.VALIDATION, SCENARIO)
    assert_same(opened.scenes(3, 17), SET.scenes(3, 17))
    for mine, theirs in zip(opened.batches(6), SET.batches(6), strict=True):
        assert_same(mine, theirs)
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"{i:05d}.safetensors" for i in range(5)),
        "manifest.json",
    ]


def test_panels_drawn_per_scene_come_back_too(tmp_path: Path) -> None:
    drawn = SCENARIO.replace(impairments={"phase_error_deg": 20.0, "fixed": False})
    scenes = SceneSet(drawn, 0, 4)
    assert_same(write_store(tmp_path / "s", scenes).scenes(0, 4), scenes.scenes(0, 4))


def test_any_order_and_every_scene_once(folder: Path) -> None:
    opened = SceneStore(folder)
    index = torch.tensor([22, 0, 7, 7, 13])
    taken = opened.take(index)
    each = [opened.scenes(i, i + 1) for i in index.tolist()]
    assert torch.equal(taken.snapshots, torch.cat([x.snapshots for x in each]))
    first = [batch.snr_db for batch in opened.shuffled(4, seed=1)]
    assert [len(x) for x in first] == [4, 4, 4, 4, 4, 3]
    assert torch.equal(torch.cat(first).sort().values, opened.scenes(0, 23).snr_db.sort().values)
    again = torch.cat([batch.snr_db for batch in opened.shuffled(4, seed=1)])
    assert torch.equal(torch.cat(first), again)
    other = torch.cat([batch.snr_db for batch in opened.shuffled(4, seed=2)])
    assert not torch.equal(again, other)
    assert opened.take(torch.empty(0, dtype=torch.int64)).size == 0


@pytest.mark.parametrize("advice", [store._FORGET, None])
def test_what_was_read_outlives_its_map(
    advice: int | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_FORGET", advice)
    monkeypatch.setattr(store, "_OPEN", 1)
    opened = SceneStore(folder)
    batch = opened.take(torch.tensor([22, 0, 7]))
    assert len(opened._open) == (advice is not None)
    batch.snapshots.add_(1)
    assert_same(opened.scenes(0, 23), SET.scenes(0, 23))


def test_estimators_and_bounds_take_them(folder: Path) -> None:
    scenes = SceneStore(folder).scenes(0, 2)
    assert locate(scenes).count.shape == (2,)
    assert cramer_rao_bound(scenes).shape[0] == 2


def test_a_run_that_was_cut_off_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(whole["manifest.json"])
    manifest["shards"] = manifest["shards"][:3]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    # Cut off after the shard was written, and in the middle of the one after it.
    half = (folder / "00004.safetensors").rename(folder / f".{'0' * 16}.partial")
    os.utime(half, (0, 0))
    with pytest.raises(InputError, match="lacks 2 of 5 shards"):
        SceneStore(folder)
    made: list[int] = []
    scenes = SceneSet.scenes

    def noted(self: SceneSet, start: int, stop: int) -> SceneBatch:
        made.append(start)
        return scenes(self, start, stop)

    monkeypatch.setattr(SceneSet, "scenes", noted)
    write_store(folder, SET, shard=5)
    assert made == [15, 20]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_a_shard_that_was_damaged_is_made_again(folder: Path) -> None:
    path = folder / "00001.safetensors"
    right = path.read_bytes()
    path.write_bytes(right[:-1] + b"?")
    opened = SceneStore(folder)
    with pytest.raises(InputError, match="another checksum than the manifest"):
        opened.verify()
    write_store(folder, SET, shard=5).verify()
    assert path.read_bytes() == right


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (SceneSet(SCENARIO, 4, 23, Split.VALIDATION), "its seed is 3, not 4"),
        (SceneSet(SCENARIO, 3, 24, Split.VALIDATION), "its size is 23, not 24"),
        (SceneSet(SCENARIO, 3, 23, Split.TEST), "its split is 'validation', not 'test'"),
        (SceneSet(SCENARIO.replace(antennas=3), 3, 23, Split.VALIDATION), "its scenario is"),
    ],
)
def test_another_set_is_not_mixed_in(folder: Path, other: SceneSet, message: str) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(InputError) as refused:
        write_store(folder, other, shard=5)
    assert message in str(refused.value)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def damage_format(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 9}))


def damage_scenario(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "scenario": {"panel": 3}}))


def damage_all(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 1, "shards": []}')


def damage_shards(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace("00001.saf", "../../x.saf"))


def damage_header(folder: Path) -> None:
    path = folder / "00000.safetensors"
    path.write_bytes(path.read_bytes().replace(b'{"', b"??", 1))


DAMAGE = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "holds no manifest.json"),
    "no JSON": (lambda f: (f / "manifest.json").write_text("{"), "is no manifest"),
    "no object": (lambda f: (f / "manifest.json").write_text("[]"), "is no manifest"),
    "empty": (
        lambda f: (f / "manifest.json").write_text('{"format": 1, "shards": []}'),
        "is no manifest",
    ),
    "format": (damage_format, "has format 9: allowed is 1"),
    "shards": (damage_shards, "its shards are not numbered"),
    "scenario": (damage_scenario, "is no manifest"),
    "shard gone": (lambda f: (f / "00002.safetensors").unlink(), "allowed is a file of"),
    "shard short": (lambda f: (f / "00002.safetensors").write_bytes(b""), "allowed is a file of"),
    "header": (damage_header, "is no shard of this set"),
}


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "seed": ({"seed": 7.9}, "seed = 7.9"),
    "size": ({"size": 22.9}, "size = 22.9"),
    "size, a flag": ({"size": True}, "size = True"),
    "split": ({"split": 3}, "split = 3"),
    "shard 0": ({"shard": 0}, "shard = 0"),
    "shard 6": ({"shard": 6}, "00000.safetensors holds 5 scenes: allowed are 6"),
    "size 24": ({"size": 24}, "00004.safetensors holds 3 scenes: allowed are 4"),
    "size 3": ({"size": 3}, "00000.safetensors holds 5 scenes: allowed are 3"),
    "versions": ({"versions": [1]}, "versions = [1]"),
    "more": ({"sizes": 23}, "did you mean size?"),
    "entry": ({"shards": [{"file": "00000.safetensors"}]}, "shards.0.scenes"),
    "long": ({"split": "x" * 9000}, "split = 'xxx"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_a_manifest_is_as_it_was_written(change, message: str, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | change))
    for use in (SceneStore, lambda folder: write_store(folder, SET, shard=5)):
        with pytest.raises(InputError, match="is no manifest: ") as refused:
            use(folder)
        assert message in str(refused.value)
        assert len(str(refused.value)) < 1000


def test_one_writer_a_folder(tmp_path: Path) -> None:
    def meanwhile(_: int) -> None:
        with pytest.raises(InputError, match="in use by another run"):
            write_store(tmp_path / "set", SET, shard=5)

    write_store(tmp_path / "set", SET, shard=5, progress=meanwhile)
    assert not (tmp_path / "set" / ".lock").exists()


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_one_line(damage, message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(InputError) as refused:
        SceneStore(folder).scenes(0, 2)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_cannot_be_written(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        write_store(tmp_path / "file" / "set", SET)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("dear")
    with pytest.raises(InputError, match="holds other files"):
        write_store(tmp_path / "mine", SET)
    with pytest.raises(InputError, match="dtype = torch"):
        write_store(tmp_path / "d", SceneSet(SCENARIO, 0, 2, dtype=torch.float64))
    with pytest.raises(InputError, match="index holds 23"):
        SceneStore(folder).take(torch.tensor([23]))


def test_the_command_line_goes_on(tmp_path: Path, capsys) -> None:
    out = tmp_path / "set"
    arguments = ["simulate", str(out), "--preset", "golden", "--scenes", "7", "--shard", "3"]
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert not stop.value.code
        assert "7 scenes in 3 files" in capsys.readouterr().out
        (out / "00002.safetensors").unlink()
    with pytest.raises(SystemExit):
        main([*arguments, "--seed", "9"])
    assert capsys.readouterr().err.count("\n") == 1
