"""What a checkpoint says beside its weights: a page of JSON, and the history as arrays.

A record of the history is 26 numbers, a mask of those that it has, and five counts: 274 bytes an
epoch, where JSON takes ten times as many.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ris_pipeline.learning.losses import TERMS
from ris_pipeline.learning.records import Counters, EpochRecord

_NUMBERS = "train", "validation", "gradient_backbone", "gradient_heads"
_COUNTS = "epoch", "non_finite", "skipped_steps", "step"
_RATES = 2

_COLUMNS = len(_NUMBERS) + _RATES + 2 * len(TERMS)

Whole = Annotated[int, Field(ge=0, lt=2**63)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Progress(_Strict):
    """The counters, the history apart; best: None before the first epoch; phases: names that the
    history counts."""

    epoch: Whole = 0
    batch: Whole = 0
    step: Whole = 0
    swa_epochs: Whole = 0
    best: float | None = None
    best_epoch: Whole = 0
    phases: list[str] = []


class Page(_Strict):
    """The JSON of a checkpoint; settings as `parse_settings` takes them.

    format: 3; up to 2 the network saw its plain filter in the units of the snapshots, so that its
    weights mean something else.
    """

    format: Literal[3] = 3
    ris_pipeline: str
    torch: str
    settings: dict[str, Any]
    progress: Progress


def parse_page(tree: Any) -> Page:
    """The page of a JSON value.

    Raises:
        ValueError: in one line, what is wrong with it.
    """
    try:
        return Page.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the page"
        raise ValueError(f"{key} = {first['input']!r:.60}: {first['msg']}") from None


@dataclass(frozen=True)
class History:
    """Records as arrays of E rows: numbers (E, 26) float64, present (E, 26) bool, counts (E, 5)
    int64, the last one an index to the names of phases."""

    numbers: NDArray[Any]
    present: NDArray[Any]
    counts: NDArray[Any]


def pack(counters: Counters) -> tuple[Progress, History]:
    """Counters and their history in the form that is stored."""
    history = counters.history
    phases = list(dict.fromkeys(record.phase for record in history))
    rows = [_row(record) for record in history]
    numbers = np.array(rows, dtype=np.float64).reshape(-1, _COLUMNS)
    present = np.array([[x is not None for x in row] for row in rows], bool)
    counts = [[*(getattr(r, n) for n in _COUNTS), phases.index(r.phase)] for r in history]
    progress = Progress(
        epoch=counters.epoch,
        batch=counters.batch,
        step=counters.step,
        swa_epochs=counters.swa_epochs,
        best=counters.best if np.isfinite(counters.best) else None,
        best_epoch=counters.best_epoch,
        phases=phases,
    )
    whole = np.array(counts, dtype=np.int64).reshape(-1, len(_COUNTS) + 1)
    return progress, History(numbers, present.reshape(numbers.shape), whole)


def _row(record: EpochRecord) -> list[float | None]:
    terms = [split.get(t) for split in (record.terms, record.validation_terms) for t in TERMS]
    return [*(getattr(record, name) for name in _NUMBERS), *record.rates, *terms]


def unpack(progress: Progress, history: History) -> Counters:
    """The inverse of `pack`.

    Raises:
        ValueError: what does not belong together.
    """
    _check_arrays(history, progress)
    records = [
        _record(list(map(float, numbers)), list(map(bool, present)), counts, progress.phases)
        for numbers, present, counts in zip(
            history.numbers, history.present, history.counts.tolist(), strict=True
        )
    ]
    best = float("inf") if progress.best is None else progress.best
    told = progress.model_dump(exclude={"best", "phases"})
    counters = Counters(**told, best=best, history=records)
    _check_counters(counters)
    return counters


def _record(
    numbers: list[float], present: list[bool], counts: list[int], phases: list[str]
) -> EpochRecord:
    first, last = len(_NUMBERS), len(_NUMBERS) + _RATES
    train, validation = (
        {
            name: value
            for name, value, there in zip(TERMS, numbers[at:], present[at:], strict=False)
            if there
        }
        for at in (last, last + len(TERMS))
    )
    values = [*numbers[:first], *counts]
    named: dict[str, Any] = dict(zip((*_NUMBERS, *_COUNTS), values, strict=False))
    return EpochRecord(
        **named,
        rates=numbers[first:last],
        terms=train,
        validation_terms=validation,
        phase=phases[counts[-1]],
    )


def _check_arrays(history: History, progress: Progress) -> None:
    epochs = progress.epoch
    for name, width, dtype in (
        ("numbers", _COLUMNS, np.float64),
        ("present", _COLUMNS, np.bool_),
        ("counts", len(_COUNTS) + 1, np.int64),
    ):
        value = getattr(history, name)
        if value.shape != (epochs, width) or value.dtype != dtype:
            raise ValueError(
                f"history/{name} is {value.dtype} of shape {value.shape}: allowed is "
                f"{np.dtype(dtype)} of shape {(epochs, width)}, a row an epoch"
            )
    if not history.present[:, : len(_NUMBERS) + _RATES].all():
        raise ValueError("history/present leaves out a loss, a norm or a rate")
    places = history.counts[:, -1]
    if ((places < 0) | (places >= len(progress.phases))).any():
        raise ValueError(f"history/counts names a phase beyond the {len(progress.phases)} named")


def _check_counters(counters: Counters) -> None:
    records, epochs = counters.history, counters.epoch
    if [record.epoch for record in records] != list(range(1, epochs + 1)):
        raise ValueError(f"history: its epochs are not 1..{epochs}")
    steps = [0, *(record.step for record in records)]
    if any(b <= a for a, b in pairwise(steps)) or steps[-1] != counters.step:
        raise ValueError(f"history: its steps do not rise to step = {counters.step}")
    if max(counters.swa_epochs, counters.best_epoch) > epochs:
        raise ValueError(f"swa_epochs or best_epoch is beyond epoch = {epochs}")
    if bool(counters.best_epoch) != bool(np.isfinite(counters.best)):
        raise ValueError(f"best = {counters.best} does not go with its epoch")
    if counters.best_epoch and records[counters.best_epoch - 1].validation != counters.best:
        raise ValueError(f"best = {counters.best} is not the loss of epoch {counters.best_epoch}")
