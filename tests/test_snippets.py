"""Python and commands about own data, in the README and in docs/data.md, run as they stand."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from own_panels import SOURCE, WAVELENGTH, jittered_grid, measured, steering

from ris_pipeline.config import load_settings
from ris_pipeline.data import write_arrays, write_store
from ris_pipeline.scene import SceneSet

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
OWN = measured(jittered_grid())


def section(page: str, title: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0] if title else text


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.S)


README = section("README.md", "Your own measurements, your own panel")
SNIPPETS = [*blocks(README), *blocks(section("docs/data.md", ""))]
COMMANDS = [
    line.split(" # ")[0].strip()
    for text in (README, section("docs/data.md", ""))
    for line in text.splitlines()
    if line.startswith("    ris-pipeline ")
]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the snippets find there: own.npz, own.mat and a set of scenes."""
    monkeypatch.chdir(tmp_path)
    a = steering(OWN.positions, *SOURCE)
    covariance = (np.outer(a, a.conj()) + 0.01 * np.eye(len(a)))[None]
    named = {"snapshots": OWN.snapshots, "channel": OWN.channel, "codes": OWN.codes}
    panel = {"positions": OWN.positions, "wavelength": np.array(WAVELENGTH)}
    write_arrays(tmp_path / "own.mat", {**named, **panel})
    short = {"y": OWN.snapshots, "H": OWN.channel, "R": covariance}
    np.savez(tmp_path / "own.npz", **{**named, **panel, **short})  # type: ignore[arg-type]
    return tmp_path


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_runs(code: str, desk: Path) -> None:
    if "SceneStore" in code:
        write_store(desk / "scenes", SceneSet(load_settings("golden").scenario, 0, 70))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    if "locate" in code:
        assert "17.1" in run.stdout or "17.2" in run.stdout, run.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command: str, desk: Path) -> None:
    # As it stands, but for the number of scenes.
    words = shlex.split(command.replace("100000", "30"))
    run = subprocess.run(
        [sys.executable, "-c", "from ris_pipeline.cli import main; main()", *words[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert max(map(len, run.stdout.splitlines())) <= 80 or "--json" in words


def test_there_are_snippets_and_commands() -> None:
    assert len(SNIPPETS) == 4
    assert len(COMMANDS) == 10
