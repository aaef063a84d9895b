"""Checkpoints: one safetensors file, everything that is no tensor as JSON in its header.

It is written whole, so a reader never meets the weights of one epoch with the counters of another.
A copy of the JSON stands beside it, for people; nothing reads it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._files import whole_file, write_text
from ris_pipeline._version import __version__
from ris_pipeline.config import Settings, parse_settings

_PAGE = "page"


@dataclass(frozen=True)
class Checkpoint:
    """Named groups of tensors, the settings of the run, and its counters."""

    tensors: dict[str, dict[str, Tensor]]
    settings: Settings
    progress: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint, page: bool = True) -> None:
    """Write `path` (`.safetensors`), then, with `page`, the copy of its JSON beside it.

    Raises:
        InputError: the folder cannot be written.
    """
    flat = {
        f"{group}/{name}": value.detach().cpu().contiguous()
        for group, tensors in checkpoint.tensors.items()
        for name, value in tensors.items()
    }
    header = {
        "ris_pipeline": __version__,
        "torch": torch.__version__,
        "settings": checkpoint.settings.model_dump(mode="json"),
        "progress": checkpoint.progress,
    }
    try:
        with whole_file(path) as temporary:
            save_file(flat, temporary, metadata={_PAGE: json.dumps(header)})
    except (InputError, SafetensorError) as error:
        raise InputError(f"checkpoint {error}") from None
    if page:
        write_text(path.with_suffix(".json"), json.dumps(header, indent=1))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        InputError: no such file, or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            page = json.loads((file.metadata() or {})[_PAGE])
        settings, progress = parse_settings(page["settings"]), page["progress"]
    except FileNotFoundError:
        raise InputError(f"checkpoint {str(path)!r}: no such file") from None
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise InputError(f"checkpoint {str(path)!r} is not a checkpoint: {error}") from None
    return Checkpoint(_grouped(flat), settings, progress)


def _grouped(flat: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in flat.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = value
    return groups
