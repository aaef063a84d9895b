"""What the watch writes down: one JSON object a line, appended and flushed, strict JSON.

A crash loses at most the line under way: the reader passes over a torn line where the file ends,
or where a later session took up again.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ris_pipeline._errors import InputError
from ris_pipeline._files import append_text, json_text, open_to_append, parse_json, read_bytes
from ris_pipeline.watch._held import Held
from ris_pipeline.watch._seen import Block

NAME = "watch.jsonl"
"""The journal's file in the folder of a run."""

Record = dict[str, Any]
"""One line; `kind` is start, step, epoch, alarm, fault or end."""


def strict(value: Any) -> Any:
    """The value with NaN and infinities as the strings `nan`, `inf`, `-inf`."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    return value


def number(value: Any) -> float | None:
    """A number of a record, `nan` and `inf` among them; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return float(value) if value in ("nan", "inf", "-inf") else None


def step_fields(block: Block, every: Sequence[Held]) -> Record:
    """Of a batch that was looked at; reads the device."""
    return {
        "step": block.number,
        "loss": float(block.total),
        "terms": {name: float(value) for name, value in block.values.items()},
        "events": block.events,
        "norms": [held.norms[-1] if held.norms else None for held in every],
    }


def epoch_fields(losses: Sequence[float], every: Sequence[Held]) -> Record:
    """Of an epoch with these losses of its batches."""
    return {
        "mean": sum(losses) / len(losses) if losses else None,
        "batches": len(losses),
        "step": max(held.steps for held in every),
        "rates": [float(g["lr"]) for held in every for g in held.optimiser.param_groups],
        "norms": [max(held.norms) if held.norms else None for held in every],
    }


class Journal:
    """Appends records to a file, or keeps none where there is no path.

    Args:
        path: the file; its folder is made.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_to_append(path) as file:
                text = path.read_bytes()
                if text and not text.endswith(b"\n"):
                    file.write(b"\n")
        except OSError as error:
            raise InputError(
                f"run = {str(path.parent)!r} cannot be written ({error.strerror}): "
                "allowed is a folder that this user can create or write"
            ) from None

    def write(self, kind: str, **fields: Any) -> None:
        """Append one record.

        Raises:
            InputError: it cannot be written.
        """
        if self.path is not None:
            line = json_text(strict({"kind": kind, **fields}), indent=None)
            # Opened anew, so that a fork or a copy of the model shares no file with us.
            append_text(self.path, line + "\n")


def read_journal(path: Path) -> list[Record]:
    """The records of a journal, oldest first; a torn line before a start or at the end is skipped.

    Raises:
        InputError: no such file, no record, or a line elsewhere that is no record.
    """
    lines = read_bytes(path, "journal").decode("utf-8", errors="replace").splitlines()
    records, torn = [], 0
    for place, line in enumerate(lines, start=1):
        record = _parse(line)
        if record is None:
            if torn:
                raise InputError(f"{str(path)!r} line {torn} is no record of a watch")
            torn = place
            continue
        if torn and record["kind"] != "start":
            raise InputError(f"{str(path)!r} line {torn} is no record of a watch")
        torn = 0
        records.append(record)
    if not records:
        raise InputError(f"{str(path)!r} holds no record of a watch")
    return records


def _parse(line: str) -> Record | None:
    try:
        record = parse_json(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and _is_record(record) else None


def _is_record(page: Record) -> bool:
    """Whether what everybody reads of a record is of the kind that is written."""
    lists = (page.get(key) for key in ("norms", "rates"))
    counts = (page.get(key) for key in ("step", "epoch"))
    return (
        isinstance(page.get("kind"), str)
        and all(value is None or isinstance(value, list) for value in lists)
        and all(value is None or type(value) is int for value in counts)
    )
