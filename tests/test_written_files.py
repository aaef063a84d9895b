"""What a file that is written does to what is there: files of the user, links, devices, others at
the same time."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ris_pipeline._errors import InputError
from ris_pipeline._files import LOCK, append_text, only_run_in, whole_file, write_text
from ris_pipeline.data import write_arrays
from ris_pipeline.report.figures import save_figure
from ris_pipeline.watch.journal import Journal


@pytest.fixture(params=["FIFO", "device", "socket", "circle"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is there and no file to be written."""
    path = tmp_path / "here"
    match request.param:
        case "FIFO":
            os.mkfifo(path)
        case "device":
            try:
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            except OSError:
                pytest.skip("a user makes no device")
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                os.chdir(tmp_path)
                made.bind("here")
        case "circle":
            path.symlink_to("there")
            (tmp_path / "there").symlink_to("here")
    return path


WRITES: dict[str, Callable[[Path], object]] = {
    "whole": lambda path: write_text(path, "x"),
    "appended": lambda path: append_text(path, "x"),
    "journal": Journal,
    "figure": lambda path: save_figure(Figure((1, 1)), path),
    "table": lambda path: write_arrays(path.with_suffix(".npz"), {"x": np.ones(3)}),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_not_replaced(
    name: str, linked: bool, special: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out.npz" if linked or name == "table" else special
    if path != special:
        path.symlink_to(special)
    before = {entry: entry.lstat() for entry in tmp_path.iterdir()}
    with pytest.raises(InputError, match="cannot be written"):
        WRITES[name](path)
    assert {e: stat.S_IFMT(e.lstat().st_mode) for e in tmp_path.iterdir()} == {
        entry: stat.S_IFMT(found.st_mode) for entry, found in before.items()
    }


def test_a_lock_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(InputError, match="it is a FIFO"), only_run_in(tmp_path):
        pass


def test_links_are_written_through_and_a_mode_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file, link = tmp_path / "folder" / "file", tmp_path / "link"
    link.symlink_to("folder/file")
    write_text(link, "new")
    assert (link.is_symlink(), file.read_text()) == (True, "new")
    file.chmod(0o640)
    write_text(link, "newer")
    assert (link.is_symlink(), file.read_text()) == (True, "newer")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_a_name_as_long_as_any_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 255), "x")
    with pytest.raises(InputError, match="File name too long"):
        write_text(tmp_path / ("x" * 256), "x")


def test_writers_at_once_do_not_mix_and_no_file_of_a_user_is_taken(tmp_path: Path) -> None:
    path, own = tmp_path / "x.csv", tmp_path / "x.csv.partial"
    own.write_text("mine")
    with whole_file(path) as one, whole_file(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert own.read_text() == "mine"
    assert {entry.name for entry in tmp_path.iterdir()} == {"x.csv", "x.csv.partial"}


def test_what_a_killed_writer_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    names = [f".{digit * 16}.partial" for digit in "01"] + ["x.partial", ".x.partial"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    os.utime(tmp_path / names[1])
    with only_run_in(tmp_path):
        pass
    assert {entry.name for entry in tmp_path.iterdir()} == set(names[1:])
