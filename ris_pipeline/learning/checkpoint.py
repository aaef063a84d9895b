"""Checkpoints: one sealed file of tensors, history and a page of settings and counters.

It is written whole, so a reader never meets the weights of one epoch with the counters of another,
and it is believed whole: a checksum, the page's schema, and numbers that are finite. A copy of the
page stands beside it, for people; nothing reads it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._files import json_text, write_text
from ris_pipeline._sealed import Sealed, read_sealed, write_sealed
from ris_pipeline._version import __version__
from ris_pipeline.config import Settings, parse_settings
from ris_pipeline.learning.page import History, Page, Progress, pack, parse_page, unpack
from ris_pipeline.learning.records import Counters

_KIND = "checkpoint"
_HISTORY = "history"

RUN = "weights", "ema", "swa", "best", "optimiser"
"""The groups of a run's tensors."""

MODEL = "model"
"""The one group of a model that travels."""


@dataclass(frozen=True)
class Checkpoint:
    """Named groups of tensors, float32 or float64; the settings of the run, and its counters."""

    tensors: dict[str, dict[str, Tensor]]
    settings: Settings
    progress: Counters = field(default_factory=Counters)


def save_checkpoint(path: Path, checkpoint: Checkpoint, page: bool = True) -> None:
    """Write `path` (`.safetensors`), then, with `page`, the copy of its page beside it.

    Raises:
        InputError: the folder cannot be written.
    """
    progress, history = pack(checkpoint.progress)
    arrays = {
        f"{group}/{name}": value.detach().numpy(force=True)
        for group, tensors in checkpoint.tensors.items()
        for name, value in tensors.items()
    }
    arrays |= {f"{_HISTORY}/{name}": value for name, value in vars(history).items()}
    told = _page(checkpoint.settings, progress).model_dump(mode="json")
    try:
        write_sealed(path, arrays, told)
    except InputError as error:
        raise InputError(f"{_KIND} {error}") from None
    if page:
        write_text(path.with_suffix(".json"), json_text(told))


def _page(settings: Settings, progress: Progress) -> Page:
    return Page(
        ris_pipeline=__version__,
        torch=torch.__version__,
        settings=settings.model_dump(mode="json"),
        progress=progress,
    )


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        InputError: no such file, not a checkpoint, or a damaged one.
    """
    sealed = read_sealed(path, _KIND)
    try:
        page = parse_page(sealed.json())
        settings = parse_settings(page.settings)
        history = History(*(_history(sealed, name) for name in ("numbers", "present", "counts")))
        tensors = _grouped(sealed)
        return Checkpoint(tensors, settings, unpack(page.progress, history))
    except ValueError as error:
        raise InputError(f"{_KIND} {str(path)!r} cannot be used: {error}") from None


def _history(sealed: Sealed, name: str) -> np.ndarray:
    key = f"{_HISTORY}/{name}"
    if key not in sealed.arrays:
        raise ValueError(f"{key} is missing")
    return sealed.arrays[key]


def _grouped(sealed: Sealed) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for group, name, tensor in _tensors(sealed):
        groups.setdefault(group, {})[name] = tensor
    if groups.keys() > {MODEL}:
        raise ValueError(f"it holds {', '.join(groups)}: allowed is a run or a model")
    return groups if groups.keys() == {MODEL} else {group: groups.get(group, {}) for group in RUN}


def _tensors(sealed: Sealed) -> Iterator[tuple[str, str, Tensor]]:
    for key, value in sealed.arrays.items():
        group, _, name = key.partition("/")
        if group == _HISTORY:
            continue
        if group not in (*RUN, MODEL):
            raise ValueError(f"{key!r} is no tensor of a checkpoint")
        if value.dtype not in (np.float32, np.float64):
            raise ValueError(f"{key!r} has dtype {value.dtype}: allowed are float32 and float64")
        if not np.isfinite(value).all():
            raise ValueError(f"{key!r} holds numbers that are not finite")
        yield group, name, torch.from_numpy(value)
