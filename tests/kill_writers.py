"""Every writer, killed with SIGKILL at random: what was finished is there, whole.

    python tests/kill_writers.py [KILLS OF EACH WRITER] [SEED]

A fork writes 1, 2, 3, ... and says each number after it is written; the file then holds the last
number that was said, or the one under way.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from fuzz_readers import TASK, checkpoint, records
from matplotlib.figure import Figure

from ris_pipeline._files import append_text, json_text, parse_json, write_text
from ris_pipeline._sealed import read_sealed, write_sealed
from ris_pipeline.evaluation import UnitStore
from ris_pipeline.learning import load_checkpoint, save_checkpoint
from ris_pipeline.report.figures import save_figure
from ris_pipeline.report.run_folder import RunFolder
from ris_pipeline.scene.array import Panel
from ris_pipeline.scene.believed import BelievedPanel, load_panel, save_panel
from ris_pipeline.watch.journal import Journal, read_journal


@dataclass(frozen=True)
class Writer:
    """Writes a number into a folder, and reads it again."""

    name: str
    write: Callable[[Path, int], object]
    read: Callable[[Path], int]


def write_checkpoint(folder: Path, number: int) -> None:
    taken = checkpoint()
    for tensors in taken.tensors.values():
        tensors["a"] = torch.full((20_000,), float(number))
    save_checkpoint(folder / "c.safetensors", taken)


def read_checkpoint(folder: Path) -> int:
    told = load_checkpoint(folder / "c.safetensors").tensors
    (number,) = {float(value) for group in ("weights", "ema", "best") for value in told[group]["a"]}
    return int(number)


def write_unit(folder: Path, number: int) -> None:
    UnitStore(folder).save(TASK, replace(records(), seconds=np.full(1, float(number))))


def write_panel(folder: Path, number: int) -> None:
    positions = torch.full((6, 3), float(number), dtype=torch.float64)
    panel = BelievedPanel(Panel(positions, 0.3), torch.ones(6, dtype=torch.complex128))
    save_panel(folder / "p.safetensors", panel)


def write_metrics(folder: Path, number: int) -> None:
    history = checkpoint().progress.history
    rows = [replace(history[0], epoch=epoch) for epoch in range(1, number + 1)]
    run = RUNS.setdefault(folder, RunFolder(folder))
    run._write_metrics(rows)


RUNS: dict[Path, RunFolder] = {}


def last_line(path: Path) -> int:
    """Every line but one that is torn is whole, and they count up."""
    lines = path.read_text().split("\n")[:-1]
    numbers = [parse_json(line)["epoch"] for line in lines]
    assert numbers == list(range(1, len(numbers) + 1)), numbers
    return len(numbers)


def read_png(folder: Path) -> int:
    data = (folder / "f.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert data.endswith(b"IEND\xaeB`\x82")
    return -1


def write_png(folder: Path, number: int) -> None:
    save_figure(Figure((1, 1)), folder / "f.png")


def in_text(name: str) -> Callable[[Path], int]:
    def read(folder: Path) -> int:
        (number,) = set(parse_json((folder / name).read_text()))
        return int(number)

    return read


WRITERS = (
    Writer(
        "text (metrics, plan, tables, summary, golden page, preset)",
        lambda f, n: write_text(f / "t.json", json_text([n] * 20_000)),
        in_text("t.json"),
    ),
    Writer(
        "sealed",
        lambda f, n: write_sealed(f / "s", {"x": np.full(50_000, n)}, n),
        lambda f: read_sealed(f / "s", "file").json(),
    ),
    Writer("checkpoint", write_checkpoint, read_checkpoint),
    Writer("unit", write_unit, lambda f: int(UnitStore(f).load([TASK]).seconds[0])),
    Writer(
        "panel",
        write_panel,
        lambda f: int(load_panel(f / "p.safetensors").panel.positions.unique().item()),
    ),
    Writer(
        "appended lines",
        lambda f, n: append_text(f / "a", json_text({"epoch": n}, None) + "\n"),
        lambda f: last_line(f / "a"),
    ),
    Writer("metrics", write_metrics, lambda f: last_line(f / "metrics.jsonl")),
    Writer(
        "journal",
        lambda f, n: Journal(f / "watch.jsonl").write("step", number=n),
        lambda f: read_journal(f / "watch.jsonl")[-1]["number"],
    ),
    Writer("figure", write_png, read_png),
)


def fork(writer: Writer, folder: Path) -> tuple[int, int]:
    """Process and the pipe of a fork that writes."""
    reader, pipe = os.pipe()
    process = os.fork()
    if process:
        os.close(pipe)
        return process, reader
    number = 0
    while True:
        number += 1
        writer.write(folder, number)
        os.write(pipe, b"%d\n" % number)


def kill(writer: Writer, draw: random.Random) -> int:
    """The last number that was said before a kill."""
    with tempfile.TemporaryDirectory() as name:
        process, pipe = fork(writer, Path(name))
        said = os.read(pipe, 100)
        time.sleep(draw.uniform(0, 0.03))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        while more := os.read(pipe, 65536):
            said += more
        os.close(pipe)
        number, found = int(said.split()[-1]), writer.read(Path(name))
        assert found in (-1, number, number + 1), f"{writer.name}: {found} after {number}"
        return number


def main(kills: int, seed: int) -> int:
    draw = random.Random(seed)
    for writer in WRITERS:
        written = sum(kill(writer, draw) for _ in range(kills))
        sys.stdout.write(f"{writer.name}: {kills} kills, {written} files, every one whole\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(given[0] if given else 20, given[1] if len(given) > 1 else 0))
