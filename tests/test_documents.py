"""Every command and every piece of Python in the README and the pages of `docs/`, run as it stands.

Long commands are given options that make them short; what cannot run in a test says why, below.
"""

import configparser
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from hypothesis import HealthCheck, settings
from own_panels import SOURCE, WAVELENGTH, jittered_grid, measured, steering

from ris_pipeline.cli import app, main
from ris_pipeline.config import load_settings
from ris_pipeline.data import write_arrays, write_store
from ris_pipeline.scene import SceneSet
from ris_pipeline.spectral import eigenvalues, hermitize

ROOT = Path(__file__).parents[1]
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "tests/README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
]
OURS = "ris-pipeline"
PROGRAMS = (
    OURS, "python", "pip", "pytest", "tox", "ruff", "mypy", "dask", "pre-commit", "tensorboard",
    "git", "bash", ".",
)  # fmt: skip

_FEW = ("training.epochs=1", "training.batches=1", "training.batch_size=4")
_SET = [w for s in (*_FEW, "training.validation_scenes=4") for w in ("--set", s)]
SHORTER = {
    "train": _SET,
    "overfit": ["--epochs", "1"],
    "tune": [*_SET, "--trials", "1"],
    "localize": ["--scenes", "4"],
    "calibrate": ["--preset", "golden", "--scenes", "8", "--test", "0"],
    "evaluate": ["--scenes", "1", "--estimators", "omp", "--number", "known", "--workers", "1"],
    "simulate": ["--scenes", "8"],
    "report": ["--draws", "0"],
    "verify": ["--examples", "1"],
}
"""What is added to a command so that it is done in seconds; the last of two options counts."""

CODES = {"overfit": (0, 1), "doctor": (0, 1)}
"""Exit codes of what judges: 64 scenes are not learned in one step, and a bad log is a bad log."""

FAILS = {"ris-pipeline verify mine.py:loss --as eigengap_loss": 1}
"""Commands that a page shows because they fail."""

BEFORE = {
    "docs/report.md": "ris-pipeline train --preset golden --out runs/mine",
    "docs/data.md": "ris-pipeline simulate scenes --split train",
}
"""What has been run by the readers of a page: they found it on another."""

PARSED = {
    "ris-pipeline demo": "a quarter of a minute, and tests/test_cli.py runs one",
    "ris-pipeline train --out runs/two --preset small --devices 2": (
        "another quarter, and tests/learning/test_distributed.py runs one"
    ),
    "ris-pipeline evaluate --out runs/big --battery original --scheduler tcp://HERE:8786": (
        "needs a cluster"
    ),
    "ris-pipeline evaluate --out runs/original --battery original": "36 cells, half a minute",
    "ris-pipeline evaluate --out runs/original --battery original --resume": "the same",
    "ris-pipeline verify package.module:function --as eigengap_loss": (
        "runs on two pages as mine.py and mended.py"
    ),
    "ris-pipeline report runs/one runs/two runs/snr --out page.html": "tests/report draws it",
    "ris-pipeline verify package.module": "tests/verification/test_target.py judges modules",
    "ris-pipeline verify path/to/file.py:function=eigengap_loss": "the same in another spelling",
}
"""Commands of ours that are not run but parsed, each with the reason."""

SKETCHES = {
    "# tests/test_laws.py\n": "the test_mine.py of five_minutes.md, which is run, as a decorator",
    "from ris_pipeline.watch import Watch\n\nwatch = Watch(model, optimizer": (
        "dots stand for the reader's own terms; tests/watch/watch_recipe.py runs such a loop"
    ),
}
"""Python that is compiled but not run, by how it begins, each with the reason."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text_of(page), flags=re.S | re.M)


def commands(page: str) -> list[str]:
    """Indented lines that begin with a program, one a command."""
    plain = re.sub(r"^```.*?^```", "", text_of(page), flags=re.S | re.M)
    lines = re.findall(r"^    (?:\$ )?(\S.*)$", plain, flags=re.M)
    told = [line.split(" # ")[0].strip() for line in lines if line.split()[0] in PROGRAMS]
    return [part.strip() for line in told for part in line.split(" && ")]


EVERY = [command for page in PAGES for command in commands(page)]
OF_OURS = [page for page in PAGES if any(c.startswith(f"{OURS} ") for c in commands(page))]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages find there: own measurements, own packages, a log."""
    monkeypatch.chdir(tmp_path)
    own = measured(jittered_grid())
    a = steering(own.positions, *SOURCE)
    covariance = (np.outer(a, a.conj()) + 0.01 * np.eye(len(a)))[None]
    named = {"snapshots": own.snapshots, "channel": own.channel, "codes": own.codes}
    panel = {"positions": own.positions, "wavelength": np.array(WAVELENGTH)}
    write_arrays(tmp_path / "own.mat", {**named, **panel})
    short = {"y": own.snapshots, "H": own.channel, "R": covariance}
    np.savez(tmp_path / "own.npz", **{**named, **panel, **short})  # type: ignore[arg-type]
    for name, code in THEIRS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
    return tmp_path


_LOSS = (
    "import torch\n\n\ndef loss(R, k, margin):\n"
    "    S = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)\n"
    "    return torch.relu(margin - (S[..., k - 1] - S[..., k])).mean()\n"
)
THEIRS = {
    "train.log": "Epoch 001/002: train 0.21  val 1.92\nEpoch 002/002: train 0.22  val 1.92\n",
    "package/module.py": (
        "import torch\n\n\ndef hermitize(R):\n    return (R + R.mH) / 2\n\n\n"
        "def spectrum(R, A, k):\n"
        "    U = torch.linalg.eigh((R + R.mH) / 2)[1][..., : R.shape[-1] - k]\n"
        "    return 1 / (U.mH @ A).abs().square().sum(-2)\n"
    ),
    "my_package.py": (
        f"{_LOSS}\n\nclass Curves:\n    total, angle = [1.0, 0.5], [0.2, 0.1]\n\n\n"
        "def train(epochs):\n    return Curves\n"
    ),
}


def run(command: str) -> tuple[int, list[str]]:
    """A command of ours, made short, and its words."""
    words = shlex.split(command)[1:]
    words += SHORTER.get(words[0], [])
    with pytest.raises(SystemExit) as stop:
        main(words)
    return int(stop.value.code or 0), words


@pytest.mark.slow
@pytest.mark.parametrize("page", OF_OURS)
def test_the_commands_of_a_page_run(page: str, desk: Path, capsys) -> None:
    for block in blocks(page):
        save(block, desk)
    if page in BEFORE:
        run(BEFORE[page])
    for command in commands(page):
        elsewhere = next(other for other in PAGES if command in commands(other)) != page
        if not command.startswith(f"{OURS} ") or command in PARSED or elsewhere:
            continue
        capsys.readouterr()
        code, words = run(command)
        out, err = capsys.readouterr()
        allowed = (FAILS[command],) if command in FAILS else CODES.get(words[0], (0,))
        assert code in allowed, (command, err)
        if "--json" not in words:
            wrong = [line for line in out.splitlines() if len(line) > 80 or line != line.rstrip()]
            assert not wrong, command


def test_a_command_that_is_wrong_is_seen(desk: Path) -> None:
    assert run(f"{OURS} locate own.mat --speed 3")[0] == 2


def save(code: str, desk: Path) -> str | None:
    """Where a block says which file it is, that file; its name."""
    named = re.match(r"# (\S+\.py)\n", code)
    if not named:
        return None
    (desk / named[1]).parent.mkdir(exist_ok=True)
    (desk / named[1]).write_text(code)
    return named[1]


BLOCKS = [(page, place) for page in PAGES for place in range(len(blocks(page)))]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "place"), BLOCKS)
def test_the_python_of_a_page_runs(page: str, place: int, desk: Path, untyped, capsys) -> None:
    code = blocks(page)[place]
    if code.startswith(tuple(SKETCHES)):
        compile(code, page, "exec")
        return
    for block in blocks(page):
        name = save(block, desk)
    name = save(code, desk)
    if name and Path(name).name.startswith("test_"):
        words = ["-q", "--update", "--hypothesis-profile=laws-fast", "-p", "no:cacheprovider", name]
        environment = {**os.environ, "PYTHONPATH": f"{desk}{os.pathsep}{ROOT}", "CI": ""}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False,
            env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
        return
    if "SceneStore" in code:
        write_store(desk / "scenes", SceneSet(load_settings("golden").scenario, 0, 70))
    space: dict[str, Any] = {"torch": torch, "hermitize": hermitize, "my_eigenvalues": eigenvalues}
    with untyped():
        exec(compile(code, page, "exec"), space)
    few = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    for name, value in space.items():
        if name.startswith("test_"):
            few(value)()
    if "own" in code:
        out = capsys.readouterr().out
        assert "17.1" in out or "17.2" in out, out


def test_what_is_not_run_is_still_there_and_parsed() -> None:
    group = typer.main.get_command(app)
    for command, reason in {**PARSED, **FAILS}.items():
        assert command in EVERY, f"{command} is on no page"
        assert reason
        name, *words = shlex.split(command)[1:]
        group.commands[name].make_context(name, words)  # type: ignore[attr-defined]
    every_block = [block for page in PAGES for block in blocks(page)]
    for start in SKETCHES:
        assert any(block.startswith(start) for block in every_block)
    assert set(SHORTER) <= {shlex.split(c)[1] for c in EVERY if c.startswith(f"{OURS} ")}


def test_other_programs_are_asked_for_what_there_is() -> None:
    """Installing, the whole of tox and of pytest, and a server are not for a test to run: that
    the extras, environments, files and modules that they name exist is."""
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    for command in EVERY:
        for extra in re.findall(r"(?:ris-pipeline|\.)\[(\w+)\]", command):
            assert extra in project["optional-dependencies"], command
        for name in re.findall(r"^tox -e (\w+)", command):
            assert f"testenv:{name}" in tox, command
        for module in re.findall(r"^python -m (ris_pipeline[\w.]+)", command):
            assert find_spec(module), command
        for file in re.findall(r"^(?:python|bash) ([\w./]+)(?= |$)", command):
            assert (ROOT / file).is_file(), command
        for folder in re.findall(r"^pytest (\w+)(?= |$)", command):
            assert (ROOT / folder).is_dir(), command


def test_what_tox_leaves_out_runs_every_night() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    assert '-m "not nightly"' in tox["testenv:tests"]["commands"]
    assert '--all-shapes -m "slow or nightly or no_shapes"' in tox["testenv:nightly"]["commands"]
    scheduled = text_of(".github/workflows/scheduled.yml")
    assert {"- run: tox -e nightly", "- run: tox -e kill"} <= set(
        map(str.strip, scheduled.split("\n"))
    )


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text_of(page)):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_a_package_index_shows_no_link_that_leads_nowhere() -> None:
    hook = tomllib.loads(text_of("pyproject.toml"))["tool"]["hatch"]["metadata"]["hooks"]
    shown = text_of("README.md")
    for change in hook["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(change["pattern"], change["replacement"], shown)
    assert not re.findall(r"\]\((?!https?:)", shown)
    assert "![" not in shown
    assert "`docs/data.md`" in shown
    assert "a page (`docs/report.md`)" in shown


def test_the_citation_has_the_version_of_the_package() -> None:
    from ris_pipeline import __version__

    assert f"\nversion: {__version__}\n" in text_of("CITATION.cff")
    assert f"## {__version__} - " in text_of("CHANGELOG.md")
