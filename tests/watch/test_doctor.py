"""`ris-pipeline doctor`: the checklist of a run, from whatever it left behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from watch_bugs import BUGS
from watch_loops import plain
from watch_recipe import Recipe

from ris_pipeline import cli
from ris_pipeline._errors import InputError
from ris_pipeline.commands import doctor
from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer
from ris_pipeline.watch.doctor import checklist, read_run

BEFORE = """\
Epoch 001/030: train 0.216999  val 1.921642
Epoch 002/030: train 0.218567  val 1.921642
Epoch 030/030: train 0.217593  val 1.921642
"""
AFTER = """\
[DEBUG] total loss pre-backward = 0.806142
[OPT] batch=1 g_back=1.23e-02 g_head=2.45e-02 LRs=[2.00e-04, 8.00e-04]
[GRAD] no-grad count=0 (sample)=[]
[OPT] batch=2 g_back=1.15e-02 g_head=2.31e-02 LRs=[2.00e-04, 8.00e-04]
[OPT] step 12 / batch 12
Epoch 001/030: train 0.806  val 1.921
Epoch 002/030: train 0.723  val 1.789
Epoch 010/030: train 0.412  val 0.587
Epoch 030/030: train 0.198  val 0.187
"""


def wrong(path: Path) -> list[str]:
    return [check.name for check in checklist(read_run(path)) if check.verdict == "wrong"]


def test_the_log_of_the_post_mortem_before_and_after(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(BEFORE)
    assert wrong(path) == [
        "gradients are finite and above zero, none is missing",
        "the optimiser steps",
        "training loss falls",
        "validation loss falls",
    ]
    path.write_text(AFTER)
    assert wrong(path) == []
    path.write_text(AFTER.replace("count=0", "count=3").replace("1.15e-02", "nan"))
    assert wrong(path) == ["gradients are finite and above zero, none is missing"]


def run_cli(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", *arguments])
    return int(ended.value.code or 0)


def test_a_journal_with_an_alarm_is_code_1(tmp_path: Path, capsys) -> None:
    recipe = Recipe(watch={"run": tmp_path}, epochs=3)
    plain(recipe)
    assert run_cli(str(tmp_path)) == 0
    assert "✗" not in capsys.readouterr().out
    BUGS["no_step"].plant(recipe)
    plain(recipe)
    assert run_cli(str(tmp_path), "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["wrong"]
    (said,) = [c["said"] for c in report["checks"] if c["name"] == "no alarm: optimiser"]
    assert said.startswith("step-never")


def test_bad_input_is_code_2(tmp_path: Path, capsys) -> None:
    (tmp_path / "watch.jsonl").write_text("no journal\nat all\n")
    (tmp_path / "metrics.jsonl").write_text("[]\n")
    (tmp_path / "empty.log").write_text("")
    (tmp_path / "nothing").mkdir()
    for name in ("absent", "watch.jsonl", "metrics.jsonl", "empty.log", "nothing"):
        assert run_cli(str(tmp_path / name)) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_our_metrics_are_read_without_a_watch(tmp_path: Path) -> None:
    record = {"gradient_backbone": 1.0, "gradient_heads": 2.0, "rates": [1e-3], "step": 4}
    lines = [json.dumps({**record, "train": 1 / e, "validation": 2 / e}) for e in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert wrong(tmp_path) == []
    lines.append(json.dumps({**record, "train": float("nan"), "validation": 1.0}))
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert wrong(tmp_path) == ["training loss falls"]


ODD_LINES = [
    "LRs=[]",
    "LRs=[lr=2e-4]",
    "LRs=[2e-4, ]",
    "LRs=[1.2.3]",
    f"LRs=[{'9' * 5000}]",
    "Epoch 003/030: train 0.8.06  val 1.9",
    "Epoch 003/030: train ...  val ...",
    "Epoch 003/030: train .  val 1",
    f"Epoch 003/030: train {'9' * 5000}  val 1.9",
    f"[OPT] step {'9' * 5000} / batch 1",
    f"[GRAD] no-grad count={'9' * 5000}",
    "[DEBUG] total loss pre-backward = ..",
    "[OPT] batch=1 g_back=1.2.3 g_head=.e5",
]


@pytest.mark.parametrize("line", ODD_LINES, ids=lambda line: line[:30])
def test_a_log_with_numbers_that_are_none(line: str, tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(f"{line}\nEpoch 001/030: train 0.5  val 1.5\n")
    story = read_run(tmp_path / "run.log")
    assert 0.5 in story.train
    checklist(story)


ODD_RECORDS = [
    {"kind": "epoch", "step": "abc"},
    {"kind": "epoch", "step": 1.5},
    {"kind": "epoch", "step": True},
    {"kind": "step", "norms": 1},
    {"kind": "epoch", "rates": True},
    {"kind": "epoch", "epoch": []},
]


@pytest.mark.parametrize("record", ODD_RECORDS, ids=str)
def test_a_journal_with_records_that_are_none(record: dict, tmp_path: Path) -> None:
    lines = map(json.dumps, ({"kind": "start"}, record, {"kind": "end"}))
    (tmp_path / "watch.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match="line 2 is no record of a watch"):
        read_run(tmp_path)


def test_what_is_no_file_is_not_read(tmp_path: Path, capsys) -> None:
    for name in ("run.log", "watch.jsonl", "metrics.jsonl", "x.jsonl"):
        os.mkfifo(tmp_path / name)
        assert run_cli(str(tmp_path / name)) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "p.toml").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="it is a device"):
        load_settings(str(tmp_path / "p.toml"))


def test_the_installation(capsys) -> None:
    assert run_cli() == 0
    assert "double precision give the stored curve" in capsys.readouterr().out


DAMAGE: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda _: b"", "holds 0 epochs"),
    (lambda _: bytes(range(256)), "cannot be read"),
    (lambda data: data[: data.index(b"\n") + 1], "holds 0 epochs"),
    (lambda data: data.replace(b"validation", b"value", 1), "no column validation"),
    (lambda data: _second_cell(data, b"much"), "could not convert string to float"),
    (lambda data: _second_cell(data, b"nan"), "off by inf"),
    (lambda data: _second_cell(data, b"inf"), "off by inf"),
]


def _second_cell(data: bytes, value: bytes) -> bytes:
    header, first, *rest = data.split(b"\n")
    row, _, *cells = first.split(b",")
    return b"\n".join((header, b",".join((row, value, *cells)), *rest))


@pytest.fixture(scope="module")
def trained() -> SimpleNamespace:
    """The trainer of the golden curve when its epochs are done."""
    trainer = Trainer(load_settings("golden"))
    for _ in range(doctor.GOLDEN_EPOCHS):
        trainer.train_epoch()
    return SimpleNamespace(history=trainer.history, train_epoch=lambda: None)


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_a_damaged_golden_curve_is_said_in_a_line(
    damage: Callable[[bytes], bytes], said: str, trained, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(doctor, "Trainer", lambda settings: trained)
    damaged = tmp_path / "curve.csv"
    damaged.write_bytes(damage(doctor.GOLDEN.read_bytes()))
    monkeypatch.setattr(doctor, "GOLDEN", damaged)
    assert run_cli() == 1
    out = capsys.readouterr().out
    assert out.count("✗") == 1
    assert said in " ".join(out.split())


def test_a_run_of_one_epoch_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("Epoch 001/030: train 0.2  val 1.9\n")
    verdicts = {check.name: check.verdict for check in checklist(read_run(path))}
    assert verdicts["training loss falls"] == "unknown"
    with pytest.raises(InputError, match="no such file"):
        read_run(tmp_path / "absent")
