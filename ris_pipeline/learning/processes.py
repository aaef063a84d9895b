"""What each process takes of the scenes, and how their figures become one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ris_pipeline._replay import Recordings
from ris_pipeline.config import Settings
from ris_pipeline.learning.stored import stored_batches
from ris_pipeline.scene import SceneBatch, SceneSet, Split

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def _scene_set(
    settings: Settings, split: Split, size: int, dtype: torch.dtype, fabric: "Fabric"
) -> SceneSet:
    return SceneSet(settings.scenario, settings.seed, size, split, dtype, str(fabric.device))


def training_batches(
    settings: Settings,
    epoch: int,
    dtype: torch.dtype,
    fabric: "Fabric",
    recordings: Recordings | None = None,
) -> Iterator[SceneBatch]:
    """This process's share of every batch of an epoch (from 0): consecutive scenes, by rank.

    Args:
        recordings: draw them by replays.
    """
    training = settings.training
    if training.scene_folder is not None:
        yield from stored_batches(settings, epoch, fabric)
        return
    first = 0 if training.fixed_scenes else epoch * training.batches
    size = training.batch_size
    own = size // fabric.world_size
    scenes = _scene_set(settings, Split.TRAIN, (first + training.batches) * size, dtype, fabric)
    draw = scenes.scenes if recordings is None else scenes.replayed(recordings)
    for batch in range(first, first + training.batches):
        start = batch * size + fabric.global_rank * own
        yield draw(start, start + own)


def validation_batches(
    settings: Settings, dtype: torch.dtype, fabric: "Fabric"
) -> Iterator[tuple[SceneBatch, float]]:
    """This process's validation batches, each with its share of all validation scenes."""
    training = settings.training
    scenes = _scene_set(settings, Split.VALIDATION, training.validation_scenes, dtype, fabric)
    for number, batch in enumerate(scenes.batches(training.batch_size)):
        if number % fabric.world_size == fabric.global_rank:
            yield batch, batch.size / len(scenes)


def over_processes(
    fabric: "Fabric", sums: Mapping[str, Tensor], names: Sequence[str], how: str
) -> dict[str, float]:
    """Sums or means over the processes; one that saw nothing counts as zero."""
    zero = torch.zeros((), dtype=torch.float64, device=fabric.device)
    values = torch.stack([sums.get(name, zero).to(zero) for name in names])
    if fabric.world_size > 1:
        reduced = fabric.all_reduce(values, reduce_op=how)
        assert isinstance(reduced, Tensor)
        values = reduced
    return dict(zip(names, values.tolist(), strict=True))
