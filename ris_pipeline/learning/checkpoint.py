"""Checkpoints: tensors in safetensors, everything else in a JSON file beside it.

Both are written to a temporary name and moved into place, so a reader never meets half a file.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._version import __version__
from ris_pipeline.config import Settings, parse_settings


@dataclass(frozen=True)
class Checkpoint:
    """Named groups of tensors, the settings of the run, and its counters."""

    tensors: dict[str, dict[str, Tensor]]
    settings: Settings
    progress: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path` (`.safetensors`) and the JSON beside it.

    Raises:
        InputError: the folder cannot be written.
    """
    flat = {
        f"{group}/{name}": value.detach().cpu().contiguous()
        for group, tensors in checkpoint.tensors.items()
        for name, value in tensors.items()
    }
    page = {
        "ris_pipeline": __version__,
        "torch": torch.__version__,
        "settings": checkpoint.settings.model_dump(mode="json"),
        "progress": checkpoint.progress,
    }
    temporary = path.with_suffix(".partial")
    try:
        save_file(flat, temporary)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"checkpoint {str(path)!r} cannot be written: {error}") from None
    write_text(path.with_suffix(".json"), json.dumps(page, indent=1))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        InputError: no such file, or not a checkpoint.
    """
    try:
        flat = load_file(path)
        page = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        settings, progress = parse_settings(page["settings"]), page["progress"]
    except FileNotFoundError as error:
        raise InputError(f"checkpoint {str(path)!r}: no such file {error.filename!r}") from None
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise InputError(f"checkpoint {str(path)!r} is not a checkpoint: {error}") from None
    return Checkpoint(_grouped(flat), settings, progress)


def _grouped(flat: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in flat.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = value
    return groups


def write_text(path: Path, text: str) -> None:
    """Write a small text file at once or not at all.

    Raises:
        InputError: the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}") from None
