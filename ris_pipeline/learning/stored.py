"""Training on the scenes of a folder, in place of new ones in every batch.

Batch i of a run is in pass i // floor(scenes / batch size) over the folder; every pass shows each
scene once, in an order drawn from (seed, pass), and leaves out what no longer fills a batch.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ris_pipeline._errors import InputError, shown
from ris_pipeline.config import Settings, changed_settings
from ris_pipeline.data import SceneStore
from ris_pipeline.scene import SceneBatch, Split

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def check_scenes(settings: Settings) -> None:
    """Raise `InputError` for a `training.scene_folder` as `open_scenes`, or a damaged one."""
    if settings.training.scene_folder is not None:
        open_scenes(settings).verify()


def open_scenes(settings: Settings, device: str = "cpu") -> SceneStore:
    """The folder `training.scene_folder`; the sums of its files are not looked at.

    Raises:
        InputError: as `SceneStore`; scenes of another scenario or split, fewer than a batch, or
            double precision, which they do not have.
    """
    training = settings.training
    folder = Path(str(training.scene_folder))
    store, name = SceneStore(folder, device), f"training.scene_folder = {str(folder)!r}"
    differing = changed_settings(settings, settings.replace(scenario=store.scenario))
    if differing:
        told = (f"{key} = {shown(b)}, not {shown(a)}" for key, (a, b) in differing.items())
        raise InputError(f"{name} holds scenes of {'; '.join(told)}")
    if store.split is not Split.TRAIN:
        raise InputError(f"{name} holds {store.split.name.lower()} scenes: allowed are train")
    if store.size < training.batch_size:
        raise InputError(
            f"{name} holds {store.size} scenes: allowed is at least training.batch_size = "
            f"{training.batch_size}"
        )
    if training.precision == "64-true":
        raise InputError(f"{name} holds float32: training.precision = 64-true is not allowed")
    return store


def stored_batches(settings: Settings, epoch: int, fabric: "Fabric") -> Iterator[SceneBatch]:
    """This process's share of every batch of an epoch (from 0), consecutive by rank."""
    store = open_scenes(settings, str(fabric.device))
    training, size = settings.training, settings.training.batch_size
    own, turns = size // fabric.world_size, store.size // size
    order, done = torch.empty(0, dtype=torch.int64), -1
    for batch in range(epoch * training.batches, (epoch + 1) * training.batches):
        if batch // turns != done:
            done = batch // turns
            random = np.random.default_rng((settings.seed, done))
            order = torch.from_numpy(random.permutation(store.size))
        start = batch % turns * size + fabric.global_rank * own
        yield store.take(order[start : start + own])
