"""Whether a process that works for long grows or slows down.

    python tests/soak/soak.py localize [SCENES]        200,000 by default
    python tests/soak/soak.py train [STEPS]            2,000 by default

The run is cut into tenths. Memory is the resident set of the process after the allocator has given
back what is free, time its own processor's, which other processes do not count in; the first tenth
warms up, and growth is that of the last tenth over the second. Times are the least of a batch in
each tenth: what a machine adds only makes them longer.

What is free stays with the process as far as the allocator likes: over 20,000 scenes the resident
set went up and down by 1 %, while what was in use (`mallinfo2`) was the same to 1 kB in 117 MB.
Given back, it grew by 0.03 %; a run fails at `LIMIT`.
"""

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ris_pipeline.config import Scenario, load_settings
from ris_pipeline.learning import Trainer
from ris_pipeline.localization import locate
from ris_pipeline.scene import simulate

TENTHS = 10
LIMIT = 0.01
"""Of the growth of memory: thirty times what a run of 20,000 scenes has of its own."""
SCENARIO = Scenario(
    panel=(4, 4), antennas=4, codes=4, codebook="random", sources=(1, 1), power="power_control"
)
BATCH = 500


@dataclass(frozen=True)
class Soaked:
    """Resident memory (MB) after each tenth, and the least seconds of a batch in it."""

    memory: list[float]
    seconds: list[float]

    @property
    def growth(self) -> float:
        """Of memory, last tenth over second."""
        return self.memory[-1] / self.memory[1] - 1

    @property
    def slowing(self) -> float:
        """Of a batch, last tenth over second."""
        return self.seconds[-1] / self.seconds[1] - 1


def resident() -> float:
    """Resident set of this process without what its allocator holds free, MB; Linux with glibc."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def soak(batches: int, work: Callable[[int], object]) -> Soaked:
    """`work(i)` for each batch."""
    memory, seconds = [], []
    for tenth in range(TENTHS):
        spent = []
        for i in range(tenth * batches // TENTHS, (tenth + 1) * batches // TENTHS):
            start = time.process_time()
            work(i)
            spent.append(time.process_time() - start)
        memory.append(resident())
        seconds.append(min(spent))
    return Soaked(memory, seconds)


def localize(scenes: int = 200_000, batch: int = BATCH) -> Soaked:
    """Small scenes, `batch` a call, the number unknown in every tenth call."""

    def work(i: int) -> object:
        part = simulate(SCENARIO, 0, torch.arange(i * batch, (i + 1) * batch))
        return locate(part, part.sources.count if i % 10 else None)

    return soak(scenes // batch, work)


def train(steps: int = 2_000) -> Soaked:
    """Epochs of ten steps on a panel of 6 x 6, without the second average of the weights that the
    last fifth of a run keeps: a third copy of them is no growth."""
    settings = load_settings(
        "small",
        ["scenario.panel=[6,6]", "training.batch_size=8", "training.batches=10"],
    )
    training = settings.training.replace(epochs=steps // 10, validation_scenes=8, swa_fraction=0.0)
    trainer = Trainer(settings.replace(training=training))
    return soak(steps // 10, lambda _: trainer.train_epoch())


def main(what: str, count: int | None) -> None:
    torch.set_num_threads(1)
    runs: dict[str, Callable[..., Soaked]] = {"localize": localize, "train": train}
    run = runs[what]
    seen = run() if count is None else run(count)
    for name, values in (("MB", seen.memory), ("s", seen.seconds)):
        sys.stdout.write(f"{name}: {' '.join(f'{value:.4g}' for value in values)}\n")
    sys.stdout.write(f"memory grows {seen.growth:.2%}, a batch slows {seen.slowing:.1%}\n")
    if seen.growth > LIMIT:
        sys.exit(f"memory grows {seen.growth:.2%}: allowed is {LIMIT:.0%}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
