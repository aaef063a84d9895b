"""What the command line says of itself: help, completion, names, tables."""

import os
import subprocess
import sys

import pytest

from ris_pipeline._verified import PAGE, VERIFIED, render
from ris_pipeline.cli import _options, main
from ris_pipeline.config import preset_names
from ris_pipeline.evaluation import SWEEPS
from ris_pipeline.evaluation.estimators import ESTIMATORS
from ris_pipeline.report.tables import WIDTH, plain_table
from ris_pipeline.verification.implementation import DOMAINS, HERMITIAN

COMMANDS = (
    "demo", "train", "overfit", "tune", "scales", "presets", "localize", "locate", "simulate",
    "calibrate", "evaluate", "verify", "doctor", "report",
)  # fmt: skip


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    return out


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_names_are_those_of_the_rooms_behind() -> None:
    assert tuple(SWEEPS) == _options.SWEEPS
    assert tuple(ESTIMATORS) == _options.ESTIMATORS
    assert (HERMITIAN, *DOMAINS) == _options.DOMAINS


def test_the_page_on_verification_lists_what_is_verified() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert render(page) == page


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_lists_every_command_whole(flag: str, capsys) -> None:
    text = said(capsys, flag)
    listed = text.split("Commands:")[1]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ")][:-1] == [
        *COMMANDS
    ]
    assert "..." not in listed


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits(command: str, capsys) -> None:
    text = said(capsys, command, "-h")
    assert text == said(capsys, command, "--help")
    for line in text.splitlines():
        assert len(line) <= WIDTH
        assert line == line.rstrip()


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("evaluate", (*SWEEPS, *ESTIMATORS, *preset_names(), "original")),
        ("locate", (*ESTIMATORS, *_options.METHODS)),
        ("train", preset_names()),
        ("verify", (*VERIFIED, *DOMAINS)),
    ],
)
def test_the_help_lists_the_names(command: str, names: tuple[str, ...], capsys) -> None:
    words = said(capsys, command, "-h").replace(",", " ").replace(".", " ").replace(";", " ")
    assert set(names) <= set(words.split())


def test_the_help_is_fast_because_it_loads_neither_torch_nor_rich() -> None:
    code = (
        "import sys\nfrom ris_pipeline.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(', '.join({'torch', 'numpy', 'scipy', 'rich.table'} & set(sys.modules)) or None)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_python_m_is_the_command() -> None:
    done = python("-m", "ris_pipeline", "presets")
    assert done.stdout.split() == preset_names()
    assert python("-m", "ris_pipeline", "huge").returncode == 2


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ris-pipeline eva", ["evaluate"]),
        ("ris-pipeline evaluate --sweep co", ["codes", "codebook"]),
        ("ris-pipeline train --preset s", ["small"]),
        ("ris-pipeline verify x --as ula_m", ["ula_mvdr", "ula_music"]),
        ("ris-pipeline locate --estimator m", [n for n in ESTIMATORS if n.startswith("m")]),
    ],
)
def test_a_shell_completes_names(typed: str, offered: list[str]) -> None:
    code = "from ris_pipeline.cli import main; main()"
    asked = {"_RIS_PIPELINE_COMPLETE": "complete_bash", "COMP_WORDS": typed}
    done = python("-c", code, **asked, COMP_CWORD=str(len(typed.split()) - 1))
    assert done.stdout.split() == offered


def test_a_table_is_narrow_whole_and_without_trailing_blanks() -> None:
    words = [["error over sources at 10 dB", "modified_music", *["12.34"] * 5, "+0.123", "5 x -10"]]
    header = ("separation of two (deg)", "estimator", *["a b word"] * 5, "least lead", "in cell")
    lines = plain_table("title", header, words).plain.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert all(line == line.rstrip() for line in lines)
    text = " ".join(lines)
    for word in (" ".join(words[0]) + " " + " ".join(header)).split():
        assert word in text


def test_a_long_title_wraps_between_words() -> None:
    title = " ".join(["word"] * 30)
    lines = plain_table(title, ("a", "b"), [["x", "1"]]).plain.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert all(line == line.rstrip() for line in lines)
    assert " ".join(lines).startswith(title)


def test_a_column_of_numbers_is_never_cut() -> None:
    wide = ["x" * 90, "1.25", "2.5"]
    assert "x" * 90 in plain_table("", ("name", "a", "b"), [wide]).plain
