"""A data set is a scenario, a seed and a size; nothing is stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import torch

from ris_pipeline._validation import check_range
from ris_pipeline.config import Scenario
from ris_pipeline.scene.simulate import SceneBatch, simulate


class Split(IntEnum):
    """Disjoint families of scenes under one seed; the values are part of what a seed means."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True)
class SceneSet:
    """Scenes 0..size-1 of one split of a seed."""

    scenario: Scenario
    seed: int
    size: int
    split: Split = Split.TRAIN
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    def __len__(self) -> int:
        return self.size

    def scenes(self, start: int, stop: int) -> SceneBatch:
        """Scenes start..stop-1.

        Raises:
            InputError: outside 0..size.
        """
        check_range("start", start, 0, stop)
        check_range("stop", stop, start, self.size)
        index = torch.arange(start, stop, dtype=torch.int64, device=self.device)
        return simulate(self.scenario, (self.seed << 8) | self.split, index, self.dtype)

    def batches(self, batch_size: int) -> Iterator[SceneBatch]:
        """All scenes in order; the last batch may be smaller."""
        for start in range(0, self.size, batch_size):
            yield self.scenes(start, min(start + batch_size, self.size))
