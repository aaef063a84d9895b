"""A run that is killed at random times and resumed is the run that nothing happened to.

    python tests/learning/kill_nine.py [KILLS] [SEED]

Each process is a fork that has everything imported, runs `ris-pipeline train`, and is sent SIGKILL
at a random time within one of its first epochs, from its very start on. At the end every file but
the watch's journal must be the same to the byte.
"""

import os
import random
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import ris_pipeline.commands.train  # noqa: F401  before the forks
from ris_pipeline.cli import main as command

SETTINGS = {
    "batches": 2,
    "batch_size": 4,
    "validation_scenes": 8,
    "accumulation": 1,
    "swa_fraction": 0.5,
}
MOST = 3
"""Epochs that a process may finish before it is killed."""

SAME = "metrics.jsonl", "checkpoint.safetensors", "checkpoint.json", "model.safetensors"


def start(folder: Path, epochs: int) -> int:
    """The process of a training that begins or goes on in the folder."""
    process = os.fork()
    if process:
        return process
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    warnings.simplefilter("ignore")
    words = ["train", "--preset", "golden", "--out", str(folder)]
    for name, value in {**SETTINGS, "epochs": epochs}.items():
        words += ["--set", f"training.{name}={value}"]
    if (folder / "checkpoint.safetensors").exists():
        words.append("--resume")
    try:
        command(words)
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(0)


def epochs_done(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def running(process: int) -> bool:
    return os.waitpid(process, os.WNOHANG)[0] == 0


def kill(process: int, folder: Path, epochs: int, seconds: float) -> bool:
    """SIGKILL so many seconds after so many more epochs; False where the process ended before."""
    target = epochs_done(folder) + epochs
    while epochs_done(folder) < target:
        if not running(process):
            return False
        time.sleep(0.01)
    time.sleep(seconds)
    if not running(process):
        return False
    os.kill(process, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def main(kills: int, seed: int) -> int:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        whole, broken = Path(name) / "whole", Path(name) / "broken"
        # A kill takes two or three epochs, half of those that it may.
        epochs = min(40, 6 + 3 * kills)
        begin = time.monotonic()
        os.waitpid(start(whole, epochs), 0)
        epoch = (time.monotonic() - begin) / epochs
        at: list[int] = []
        while len(at) < kills:
            seconds = draw.uniform(0.0, 1.5 * epoch)
            if not kill(start(broken, epochs), broken, draw.randint(0, MOST), seconds):
                break
            at.append(epochs_done(broken))
        killed = len(at)
        code = (
            os.waitstatus_to_exitcode(os.waitpid(start(broken, epochs), 0)[1])
            if killed == kills
            else 1
        )
        differ = [x for x in SAME if (whole / x).read_bytes() != (broken / x).read_bytes()]
    sys.stdout.write(f"killed {killed} times, after epochs {at} of {epochs}\n")
    sys.stdout.write(f"last exit code {code}; files that differ: {differ or 'none'}\n")
    return int(bool(differ) or code != 0 or killed < kills)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(given[0] if given else 20, given[1] if len(given) > 1 else 0))
