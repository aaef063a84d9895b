"""How fast random batches come out of a scene set on disk, in how much memory, and how fast a
network takes them.

    python tests/data/measure_store.py FOLDER [PRESET] [STEPS]

FOLDER as from `ris-pipeline simulate FOLDER --preset PRESET --split train`. Peak memory is that of
the reading process: this one reads before it trains, and reports in between. A training step makes
its own scenes; what making them takes is measured beside it and taken off.
"""

import resource
import sys
import time
from pathlib import Path

import torch

from ris_pipeline.config import load_settings
from ris_pipeline.data import SceneStore
from ris_pipeline.learning import Trainer
from ris_pipeline.scene import SceneSet


def read(folder: Path, batch: int) -> float:
    """Scenes/s of one pass in random order."""
    store = SceneStore(folder)
    start = time.perf_counter()
    taken = sum(scenes.size for scenes in store.shuffled(batch, seed=0))
    assert taken == len(store)
    return taken / (time.perf_counter() - start)


def train(preset: str, steps: int) -> float:
    """Scenes/s of the network: features, forward, backward, optimiser, without the simulation."""
    settings = load_settings(preset)
    batch = settings.training.batch_size
    training = settings.training.replace(epochs=2, batches=steps, validation_scenes=batch)
    trainer = Trainer(settings.replace(training=training))
    # Without the validation, which is no part of a step.
    trainer.validate = lambda weights=None: (1.0, {})  # type: ignore[method-assign]
    trainer.train_epoch()
    start = time.perf_counter()
    trainer.train_epoch()
    whole = time.perf_counter() - start
    scenes = SceneSet(settings.scenario, 0, batch * steps)
    start = time.perf_counter()
    for _ in scenes.batches(batch):
        pass
    return batch * steps / (whole - (time.perf_counter() - start))


def main(folder: Path, preset: str, steps: int) -> None:
    torch.set_num_threads(1)
    batch = load_settings(preset).training.batch_size
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    speed = read(folder, batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    eaten = train(preset, steps)
    sys.stdout.write(
        f"store: {speed:.0f} scenes/s in random batches of {batch}; {peak:.0f} MB resident at "
        f"most, {before:.0f} MB before reading\n"
        f"network: {eaten:.0f} scenes/s; the store is {speed / eaten:.1f} times as fast\n"
    )


if __name__ == "__main__":
    steps = int((sys.argv[3:] or ["4"])[0])
    main(Path(sys.argv[1]), (sys.argv[2:] or ["reference"])[0], steps)
