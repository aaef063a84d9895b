"""The parts of a run that a checkpoint takes apart and puts together again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ris_pipeline._errors import InputError
from ris_pipeline.config import Settings
from ris_pipeline.learning.averaging import Weights, copy_weights
from ris_pipeline.learning.records import Counters, EpochRecord


def moments(optimiser: Optimizer) -> Weights:
    """The optimiser's state as named tensors, `place.name`; its own tensors, not copies."""
    return {
        f"{place}.{name}": torch.as_tensor(value)
        for place, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }


def load_moments(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take up copies of what `moments` gave; the groups stay the optimiser's own."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in copy_weights(tensors).items():
        place, name = key.split(".")
        state.setdefault(int(place), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def progress_of(counters: Counters) -> dict[str, Any]:
    """The counters and the history, as JSON."""
    return asdict(counters)


def read_progress(progress: Mapping[str, Any]) -> Counters:
    """What `progress_of` gave."""
    history = [EpochRecord(**record) for record in progress["history"]]
    return Counters(**{**progress, "history": history})


def resumed_settings(mine: Settings, saved: Settings) -> Settings:
    """The settings that a run goes on with: those of this run, in the units of the saved loss.

    Units measured on another machine may round differently; the run keeps its own.

    Raises:
        InputError: the saved run has other settings, the accumulation factor apart.
    """
    same = saved.training.replace(accumulation=mine.training.accumulation)
    kept = mine.replace(loss=mine.loss.replace(scales=saved.loss.scales))
    if saved.replace(training=same) != kept:
        raise InputError("checkpoint holds other settings: allowed are those of this run")
    return kept
