"""The parts of a run that a checkpoint takes apart and puts together again."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ris_pipeline._errors import InputError, shown
from ris_pipeline.config import Settings, changed_settings
from ris_pipeline.learning.averaging import Weights, copy_weights
from ris_pipeline.learning.checkpoint import Checkpoint

_MOMENTS = "step", "exp_avg", "exp_avg_sq"
"""What AdamW keeps of a parameter that has had a gradient."""


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
    places = [p for group in optimiser.param_groups for p in group["params"]]
    for key, value in copy_weights(tensors).items():
        place, name = key.split(".")
        if value.ndim:
            # In the memory layout of the parameter: a fused optimiser takes no other.
            value = torch.empty_like(places[int(place)], requires_grad=False).copy_(value)
        state.setdefault(int(place), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def check_tensors(network: nn.Module, optimiser: Optimizer, checkpoint: Checkpoint) -> None:
    """Raise `InputError` unless every tensor of a checkpoint is one that this run could have saved:
    its name, shape and dtype, and a group where the counters say that there is one."""
    parameters = dict(network.named_parameters())
    progress = checkpoint.progress
    for group, there in (
        ("weights", True),
        ("ema", True),
        ("swa", progress.swa_epochs > 0),
        ("best", progress.best_epoch > 0),
    ):
        _check_group(group, checkpoint.tensors.get(group, {}), parameters if there else {})
    _check_moments(optimiser, checkpoint.tensors.get("optimiser", {}))


def _check_group(group: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name in sorted(tensors.keys() ^ expected.keys()):
        state = "missing" if name in expected else "no weight of this network"
        raise InputError(f"checkpoint: {group}/{name} is {state}")
    for name, wanted in expected.items():
        _check_like(f"{group}/{name}", tensors[name], wanted)


def _check_like(key: str, value: Tensor, wanted: Tensor) -> None:
    if (value.shape, value.dtype) != (wanted.shape, wanted.dtype):
        raise InputError(
            f"checkpoint: {key} is {value.dtype} of shape {tuple(value.shape)}: allowed is "
            f"{wanted.dtype} of shape {tuple(wanted.shape)}"
        )


def _check_moments(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    places = [p for group in optimiser.param_groups for p in group["params"]]
    seen: dict[int, set[str]] = {}
    for key, value in tensors.items():
        place, _, name = key.partition(".")
        if not (place.isdecimal() and int(place) < len(places) and name in _MOMENTS):
            raise InputError(f"checkpoint: optimiser/{key} is no state of this optimiser")
        step = name == _MOMENTS[0]
        wanted = torch.zeros(()) if step else places[int(place)]
        _check_like(f"optimiser/{key}", value, wanted)
        seen.setdefault(int(place), set()).add(name)
    for number, names in seen.items():
        for name in sorted(set(_MOMENTS) - names):
            raise InputError(f"checkpoint: optimiser/{number}.{name} is missing")


_MAY_CHANGE = "training.accumulation", "training.epochs", "loss.scales"


def resumed_settings(mine: Settings, saved: Settings) -> Settings:
    """The settings that a run goes on with: those of this run, in the units of the saved loss.

    Units measured on another machine may round differently; the run keeps its own.

    Raises:
        InputError: the saved run has other settings, named with both values; the accumulation
            factor may differ, and the epochs may be more.
    """
    differing = changed_settings(saved, mine)
    fewer = mine.training.epochs < saved.training.epochs
    told = [
        f"{key} = {shown(old)}, not {shown(new)}"
        for key, (old, new) in differing.items()
        if not key.startswith(_MAY_CHANGE) or (fewer and key == "training.epochs")
    ]
    if told:
        raise InputError(
            f"checkpoint holds other settings: {'; '.join(told)}; allowed to change are "
            "training.accumulation and, to more, training.epochs"
        )
    return mine.replace(loss=mine.loss.replace(scales=saved.loss.scales))
