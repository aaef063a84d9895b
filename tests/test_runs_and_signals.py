"""One run a folder, no port for strangers, and whatever stops a run stops it in one line."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ris_pipeline import _files
from ris_pipeline._errors import InputError
from ris_pipeline._files import LOCK, append_text, only_run_in, parse_json, write_text
from ris_pipeline._sealed import write_sealed
from ris_pipeline.cli import main
from ris_pipeline.commands.train import _ConsoleHandler
from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer
from ris_pipeline.report.run_folder import RunFolder
from ris_pipeline.watch.journal import Journal, read_journal

SMALL = ["batches=1", "batch_size=2", "validation_scenes=2"]
TRAIN = [
    "train", "--preset", "golden", *(w for s in SMALL for w in ("--set", f"training.{s}"))
]  # fmt: skip
EVALUATE = [
    "evaluate", "--sweep", "snr", "--values", "0,2,4,6,8,10,12,14,16,18,20", "--estimators", "omp",
    "--number", "known", "--scenes", "5000", "--preset", "small",
]  # fmt: skip


# A job in the background of a shell is deaf to Ctrl-C, and so is what it starts.
OF_A_TERMINAL: dict[str, Any] = {
    "start_new_session": True,
    "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
}


def start(*words: str, **options) -> subprocess.Popen[str]:
    code = "import sys; from ris_pipeline.cli import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for(pattern: str, folder: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not any(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


HOLD = (
    "import sys, pathlib; from ris_pipeline._files import only_run_in\n"
    "with only_run_in(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def test_the_lock_is_held_by_one_and_dies_with_its_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="is in use by another run"), only_run_in(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with only_run_in(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_of_many_at_once_one_holds_the_folder(tmp_path: Path) -> None:
    inside, most, refused = 0, 0, 0

    def enter() -> None:
        nonlocal inside, most, refused
        for _ in range(200):
            try:
                with only_run_in(tmp_path):
                    inside += 1
                    most = max(most, inside)
                    inside -= 1
            except InputError:
                refused += 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not (tmp_path / LOCK).exists()


def test_a_lock_that_locks_nothing_would_be_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "_take", lambda file: None)
    with only_run_in(tmp_path), only_run_in(tmp_path):
        pass


def test_the_processes_of_one_training_are_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder(tmp_path).held():
        for name in ("RANK", "LOCAL_RANK"):
            with monkeypatch.context() as here:
                here.setenv(name, "1")
                with RunFolder(tmp_path).held():
                    pass
                here.setenv(name, "0")
                with pytest.raises(InputError, match="in use"), RunFolder(tmp_path).held():
                    pass


@pytest.mark.slow
def test_a_second_training_is_refused_and_the_first_is_stopped_by_sigterm(
    tmp_path: Path, capsys
) -> None:
    words = [*TRAIN, "--out", str(tmp_path), "--set", "training.epochs=10000"]
    first = start(*words)
    wait_for("checkpoint.json", tmp_path, first)
    for extra in ([], ["--resume"]):
        with pytest.raises(SystemExit) as second:
            main([*words, *extra])
        err = capsys.readouterr().err
        assert second.value.code == 2
        assert err.count("\n") == 1
        assert "is in use by another run" in err
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 143
    assert err == ""
    command = f"`ris-pipeline train --out {tmp_path} --resume`"
    assert f"10000 epochs are kept: {command} goes on" in out
    page = parse_json((tmp_path / "checkpoint.json").read_text())
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) - page["progress"]["epoch"] in (0, 1)


@pytest.mark.slow
def test_ctrl_c_with_two_workers_is_one_line_and_no_port_is_open(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    pytest.importorskip("dask.distributed")
    run = start(*EVALUATE, "--workers", "2", "--out", str(tmp_path), **OF_A_TERMINAL)
    wait_for("units/*.safetensors", tmp_path, run)
    family = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    open_at = {
        at.laddr.ip for p in family for at in p.net_connections("inet") if at.status == "LISTEN"
    }
    assert len(family) >= 3
    assert open_at <= {"127.0.0.1", "::1"}
    # As a terminal does: to the command and all its workers.
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "are kept: --resume goes on with the rest" in out
    assert err == ""
    left = psutil.wait_procs(family, timeout=60)[1]
    assert not [p for p in left if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", [["presets"], ["--help"], ["simulate", "--help"]])
def test_a_standard_output_that_takes_nothing(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ris_pipeline", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == ("error: standard output cannot be written: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_run_goes_on_that_nobody_can_read_of() -> None:
    with suppress(OSError), Path("/dev/full").open("w") as full:
        handler = _ConsoleHandler(Console(file=full), 1)
        for _ in range(2):
            handler.emit(logging.LogRecord("x", logging.INFO, "x", 1, "Epoch", (), None))
        assert handler.epoch == 3


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_NTASKS"])
@pytest.mark.parametrize("value", ["abc", "", "-1", "9" * 5000, "1.5"])
def test_a_rank_that_is_no_number(
    name: str, value: str, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        main([*TRAIN, "--out", "x"])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {name} = ")
    assert (err.count("\n"), len(err) < 200) == (1, True)


def test_ascii_terminals_and_folders_without_a_name() -> None:
    ascii_ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    told = start("train", "--out", "", env=ascii_).communicate(timeout=120)
    assert "allowed is a path" in told[1]
    assert told[1].count("\n") == 1
    wrong = start("train", "--out", "x", "--preset", "é→", env=ascii_)
    _, err = wrong.communicate(timeout=120)
    assert wrong.returncode == 2
    assert err.startswith("error: preset = ")


@pytest.fixture
def small_disk():
    """Files of at most 20,000 bytes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_file_that_does_not_fit_leaves_the_last_one(tmp_path: Path, small_disk: None) -> None:
    text, sealed, journal = (tmp_path / name for name in ("text", "sealed", "run/watch.jsonl"))
    write_text(text, "good")
    write_sealed(sealed, {}, "good")
    before = sealed.read_bytes()
    with pytest.raises(InputError, match="cannot be written: File too large"):
        write_text(text, "x" * 30_000)
    import numpy as np

    with pytest.raises(InputError, match="cannot be written: File too large"):
        write_sealed(sealed, {"x": np.zeros(10_000)}, "more")
    told = Journal(journal)
    told.write("start", text="x" * 15_000)
    with pytest.raises(InputError, match="cannot be written: File too large"):
        told.write("step", text="x" * 10_000)
    assert text.read_text() == "good"
    assert sealed.read_bytes() == before
    assert [record["kind"] for record in read_journal(journal)] == ["start"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "sealed", "text"]


def tiny_trainer() -> Trainer:
    trainer = Trainer(load_settings("golden", [f"training.{s}" for s in [*SMALL, "epochs=9"]]))
    trainer.train_epoch()
    return trainer


def test_a_run_whose_disk_is_full_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    folder, trainer = RunFolder(tmp_path), tiny_trainer()
    folder.write_epoch(trainer)
    names = "checkpoint.safetensors", "checkpoint.json"
    before = [(tmp_path / name).read_bytes() for name in names]
    trainer.train_epoch()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            folder.write_epoch(trainer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert [(tmp_path / name).read_bytes() for name in names] == before
    resumed = tiny_trainer()
    RunFolder(tmp_path).restore(resumed)
    assert resumed.counters.epoch == 1


def test_metrics_are_appended_and_repaired(tmp_path: Path) -> None:
    folder, trainer = RunFolder(tmp_path), tiny_trainer()
    path = tmp_path / "metrics.jsonl"
    folder.write_epoch(trainer)
    number = path.stat().st_ino
    trainer.train_epoch()
    folder.write_epoch(trainer)
    whole = path.read_text()
    assert path.stat().st_ino == number
    assert [json.loads(line)["epoch"] for line in whole.splitlines()] == [1, 2]
    for damage in ("", whole[:-7], whole + "{", whole * 2, "x"):
        path.write_text(damage)
        (tmp_path / "checkpoint.json").write_text(damage)
        RunFolder(tmp_path).restore(tiny_trainer())
        assert path.read_text() == whole
        assert parse_json((tmp_path / "checkpoint.json").read_text())["progress"]["epoch"] == 2
    path.write_text(damage)
    trainer.train_epoch()
    folder.write_epoch(trainer)
    assert path.read_text().startswith(whole)


def test_a_folder_that_is_gone_or_in_the_way(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(InputError, match="cannot be written"):
        write_text(gone / "file", "x")
    with pytest.raises(InputError, match="cannot be written"):
        append_text(gone / "file", "x")
    told = Journal(gone / "watch.jsonl")
    told.write("start")
    (gone / "watch.jsonl").unlink()
    gone.rmdir()
    with pytest.raises(InputError, match="cannot be written"):
        told.write("step")
    (tmp_path / "file").mkdir()
    for write in (write_text, append_text):
        with pytest.raises(InputError, match="cannot be written: Is a directory"):
            write(tmp_path / "file", "x")
    with pytest.raises(InputError, match="cannot be written"), only_run_in(tmp_path / "absent"):
        pass


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "[1e999]", '{"a": 1, "a": 2}', "[" * 100_000, "", "{", "'a'"],
)
def test_strict_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
