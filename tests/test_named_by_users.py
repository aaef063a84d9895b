"""What a user named is shown as it is named: in errors, in what is printed, in commands to copy."""

import os
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ris_pipeline._errors import InputError, check_choice, printable
from ris_pipeline.cli import main
from ris_pipeline.commands.train import _kept

ODD = ["[bold]", "[red]a", ":smile:", "a b", "-x", "'\"$(touch gone)`", "\u00e9\u4e16", "a\x1b[31m"]
FEW = ["--preset", "golden", "--scenes", "2"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ODD)
def test_files_of_any_name(name: str, capsys) -> None:
    file, table = f"./{name}.npz", f"./{name}.csv"
    assert run(capsys, "simulate", file, *FEW) == (0, f"{printable(Path(file))}: 2 scenes\n", "")
    code, out, _ = run(capsys, "simulate", f"./{name}", *FEW)
    assert code == 0
    assert out.startswith(f"{printable(Path(name))}: 2 scenes in 1 files")
    code, out, _ = run(capsys, "locate", file, "--csv", table)
    assert code == 0
    assert out.startswith(f"{printable(Path(table))}: ")
    assert {path.name for path in Path().iterdir()} == {name, f"{name}.npz", f"{name}.csv"}


def test_a_run_of_any_name(capsys, tmp_path: Path) -> None:
    words = ["epochs=1", "batches=1", "batch_size=4", "validation_scenes=4"]
    settings = [word for text in words for word in ("--set", f"training.{text}")]
    out = tmp_path / "[b]x" / "[" / "x]"
    code, text, err = run(capsys, "train", "--preset", "golden", *settings, "--out", str(out))
    assert (code, err) == (0, "")
    assert f"{out}: validation " in text


@pytest.mark.parametrize("name", ODD)
def test_the_command_that_goes_on_is_one_for_a_shell(name: str, tmp_path: Path) -> None:
    (tmp_path / "c").touch()
    folder: Any = SimpleNamespace(path=tmp_path / name, checkpoint=tmp_path / "c")
    settings = SimpleNamespace(training=SimpleNamespace(epochs=9))
    trainer: Any = SimpleNamespace(counters=SimpleNamespace(epoch=2), settings=settings)
    said = _kept(folder, trainer)
    command = said[said.index("`") + 1 : said.rindex("`")]
    assert shlex.split(command) == [
        *("ris-pipeline", "train", "--out", str(tmp_path / name), "--resume")
    ]


LONG = "9" * 5000


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "x.npz", "--scenes", LONG],
        ["simulate", "x.npz", "--split", LONG],
        ["simulate", f"x.{LONG}"],
        ["simulate", "x.npz", "--set", f"seed={LONG}"],
        ["simulate", "x.npz", "--set", f"{LONG}=3"],
        ["simulate", "x.npz", "--preset", LONG],
        ["simulate", "x.npz", "--preset", f"{LONG}.toml"],
        ["simulate", "x.npz", "--preset", "a\nb\x1b[31m.toml"],
        ["simulate", "x.npz", f"--{LONG}"],
        ["simulate", f"{LONG}/x.npz", *FEW],
        ["locate", f"{LONG}.npz"],
        ["locate", "a\nb.npz"],
        ["locate", "x.npz", "--csv", f"{LONG}.csv"],
        ["doctor", LONG],
        ["report", LONG],
        ["train", "--out", LONG, "--resume"],
        ["train", "--out", "x", "--accelerator", LONG],
        ["simulate", "x.npz", "--set", f"scenario.panel_file={LONG}"],
        ["localize", "--model", f"{LONG}.safetensors"],
        ["localize", "--model", LONG],
        ["evaluate", "--out", "x", "--sweep", LONG],
        [LONG],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_what_is_quoted_is_cut_and_harmless(arguments: list[str], capsys) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err[:-1].isprintable()
    assert len(err) < 1000


@pytest.mark.parametrize(
    "value", [LONG, [LONG] * 99, 10**4000, 10**9999, "a\n\x1bb\u2028"], ids=lambda _: ""
)
def test_errors_are_one_line(value: Any) -> None:
    with pytest.raises(InputError) as refused:
        check_choice("x", value, ("a", "b"))
    said = str(refused.value)
    assert said.isprintable()
    assert said.endswith("allowed are a, b")
    assert len(said) < 200
    assert len(str(InputError("word " * 10_000))) < 1100


def test_names_that_are_no_text(capsys) -> None:
    name = os.fsdecode(b"a\xff.npz")
    code, out, _ = run(capsys, "simulate", name, *FEW)
    assert code == 0
    assert out.startswith("a\\udcff.npz")
