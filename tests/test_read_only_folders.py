"""Every writer where it may not write: one line that names the file, and what was there stays.

Root writes anywhere, so that as root the attempt is made as nobody: without the rights of a
superuser, which a process gives up with its effective user, and gets back.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzz_readers import TASK, records
from kill_writers import WRITERS, Writer

from ris_pipeline._errors import InputError
from ris_pipeline._files import only_run_in
from ris_pipeline.config import Scenario
from ris_pipeline.data.estimates import write_csv, write_mat
from ris_pipeline.data.formats import write_arrays
from ris_pipeline.data.store import write_store
from ris_pipeline.evaluation import UnitStore
from ris_pipeline.localization import locate
from ris_pipeline.report.run_folder import RunFolder
from ris_pipeline.scene import SceneSet
from ris_pipeline.verification.golden import describe_curve, write_curve

pytestmark = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="rights of another kind")

# Reads its settings when it is first imported, which nobody may.
with suppress(ImportError):
    import distributed  # noqa: F401

NOBODY = 65534
SCENES = SceneSet(
    Scenario(panel=(2, 2), antennas=2, codes=4, codebook="random", sources=(1, 1)), 0, 2
)
FOUND = locate(SCENES.scenes(0, 2), 1)
CURVE = {"loss": np.ones(3)}
# Read while the installed packages may be: it holds their versions.
DESCRIBED = describe_curve(CURVE)


def hold(folder: Path) -> None:
    with only_run_in(folder):
        pass


def summary(folder: Path) -> None:
    RunFolder(folder).write_summary({"epochs": 1})


WRITES: dict[str, Callable[[Path], object]] = {
    **{writer.name.split()[0]: lambda f, w=writer: w.write(f, 2) for writer in WRITERS},
    "scene set": lambda f: write_store(f / "set", SCENES),
    "scene set, in a folder that is there": lambda f: write_store(f, SCENES),
    "estimates, CSV": lambda f: write_csv(f / "e.csv", FOUND),
    "estimates, MATLAB": lambda f: write_mat(f / "e.mat", FOUND),
    **{
        f"arrays, {name}": lambda f, n=name, v=version: write_arrays(f / n, {"x": np.ones(3)}, v)
        for name, version in (("a.npz", "5"), ("a.mat", "5"), ("b.mat", "7.3"))
    },
    "arrays, safetensors": lambda f: write_arrays(f / "a.safetensors", {"x": np.ones(3)}),
    "golden": lambda f: write_curve(f, "c", CURVE, DESCRIBED),
    "lock": hold,
    "summary": summary,
}


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder and its files may be read, by whoever this process is."""
    root = os.geteuid() == 0
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path, which nobody but its owner can look into.
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def refusal(write: Callable[[Path], object], folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        write(folder)
    line = str(caught.value)
    assert "\n" not in line
    assert str(folder) in line
    assert "cannot be written" in line or "cannot be made" in line
    return line


@pytest.mark.parametrize("name", WRITES)
def test_a_folder_that_may_only_be_read(name: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as elsewhere:
        # What is imported late may be where nobody can read it.
        WRITES[name](Path(elsewhere))
    with read_only(folder):
        refusal(WRITES[name], folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", WRITES)
def test_a_file_where_the_folder_should_be(name: str, folder: Path) -> None:
    file = folder / "file"
    file.write_text("in the way")
    refusal(WRITES[name], file)
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert file.read_text() == "in the way"


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.name.split()[0])
def test_what_was_written_before_stays(writer: Writer, folder: Path) -> None:
    writer.write(folder, 1)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert before
    with read_only(folder):
        refusal(lambda f: writer.write(f, 2), folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_unit_that_is_there_is_read_where_nothing_may_be_written(folder: Path) -> None:
    UnitStore(folder).save(TASK, records())
    with read_only(folder):
        assert torch.equal(
            torch.from_numpy(UnitStore(folder).load([TASK]).seconds),
            torch.from_numpy(records().seconds),
        )
