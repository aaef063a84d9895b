"""A data set is a scenario, a seed and a size; nothing is stored."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from ris_pipeline._replay import Recordings, each_tensor
from ris_pipeline._validation import check_integer
from ris_pipeline.config import Scenario
from ris_pipeline.scene.simulate import SceneBatch, draw_scenes, simulate, surroundings


class Split(IntEnum):
    """Disjoint families of scenes under one seed; the values are part of what a seed means."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True)
class SceneSet:
    """Scenes 0..size-1 of one split of a seed.

    Raises:
        InputError: a seed that is no integer, or a size that is none of at least 0.
    """

    scenario: Scenario
    seed: int
    size: int
    split: Split = Split.TRAIN
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_integer("seed", self.seed, -math.inf, math.inf))
        object.__setattr__(self, "size", check_integer("size", self.size, 0, math.inf))

    def __len__(self) -> int:
        return self.size

    def scenes(self, start: int, stop: int) -> SceneBatch:
        """Scenes start..stop-1.

        Raises:
            InputError: outside 0..size.
        """
        index = self._index(start, stop)
        return simulate(self.scenario, self._own_seed, index, self.dtype)

    def replayed(self, recordings: Recordings) -> Callable[[int, int], SceneBatch]:
        """`scenes`, to the bit, drawn as a whole: on a GPU its 650 operations take longer to call
        than to compute. What all scenes have in common is made once, here."""
        device = torch.device(self.device)
        common = surroundings(self.scenario, self.dtype, device)

        def scenes(start: int, stop: int) -> SceneBatch:
            given = self.scenario, self._own_seed, self._index(start, stop), self.dtype, common
            # The next ones are drawn into the same memory.
            return each_tensor(recordings.of(draw_scenes, *given).run(), torch.clone)

        return scenes

    @property
    def _own_seed(self) -> int:
        return (self.seed << 8) | self.split

    def _index(self, start: int, stop: int) -> Tensor:
        stop = check_integer("stop", stop, 0, self.size)
        start = check_integer("start", start, 0, stop)
        return torch.arange(start, stop, dtype=torch.int64, device=self.device)

    def batches(self, batch_size: int) -> Iterator[SceneBatch]:
        """All scenes in order; the last batch may be smaller.

        Raises:
            InputError: a batch size that is no integer of at least 1.
        """
        step = check_integer("batch_size", batch_size, 1, math.inf)
        starts = range(0, self.size, step)
        return (self.scenes(start, min(start + step, self.size)) for start in starts)
