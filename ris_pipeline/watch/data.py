"""What is seen of the data: rows by a few of their entries, training against validation.

A row's mark is the bytes of 16 of its entries, at places spread evenly; rows that a set cannot tell
apart by their marks are no evidence.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.watch._seen import EVIDENCE, Tell, tensors_in

ENTRIES = 16
"""Entries of a row that are looked at."""

ROWS = 4096
"""Rows of an epoch that are kept, and as many of its validation."""

MOST = 0.95
"""Share of a batch that stands for all of it: the rest may be marks that coincide."""


@dataclass(frozen=True)
class Marks:
    """The marks of a batch's rows, of its inputs and of its targets."""

    inputs: tuple[bytes, ...]
    targets: tuple[bytes, ...] = ()


@dataclass
class _Pass:
    """One pass over the data."""

    batches: list[Marks] = field(default_factory=list)
    rows: int = 0

    def add(self, marks: Marks) -> None:
        if self.rows < ROWS:
            self.batches.append(marks)
            self.rows += len(marks.inputs)


def row_bytes(tensor: Tensor) -> tuple[bytes, ...]:
    """The mark of each row, the first axis being the batch."""
    value = tensor.detach()
    if value.ndim == 0 or value.numel() == 0:
        return ()
    value = torch.view_as_real(value) if value.is_complex() else value
    flat = value.reshape(len(value), -1)
    count = flat.shape[1]
    if count > ENTRIES:
        places = torch.linspace(0, count - 1, ENTRIES, dtype=torch.float64, device=flat.device)
        flat = flat[:, places.long()]
    if flat.dtype == torch.bfloat16:
        flat = flat.float()
    array = np.ascontiguousarray(flat.cpu().numpy())
    return tuple(row.tobytes() for row in array)


def marks_of(batch: Any) -> Marks:
    """Of `(inputs, ..., targets)`: the first tensor and the last, if there are two."""
    found = [t for t in tensors_in(batch) if t.ndim > 0]
    if not found:
        return Marks(())
    targets = row_bytes(found[-1]) if len(found) > 1 else ()
    inputs = row_bytes(found[0])
    return Marks(inputs, targets if len(targets) == len(inputs) else ())


def on_cpu(batch: Any) -> bool:
    """Whether no tensor of the batch lies on a device."""
    return all(tensor.device.type == "cpu" for tensor in tensors_in(batch))


def holds_nan(batch: Any) -> float:
    """Share of NaN in the floating-point tensors of a batch."""
    found = [t for t in tensors_in(batch) if t.is_floating_point() or t.is_complex()]
    total = sum(t.numel() for t in found)
    return sum(int(t.isnan().sum()) for t in found) / total if total else 0.0


class Data:
    """Raises the alarms of the family `data`, and those of validation data."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.training, self.validation = _Pass(), _Pass()
        # What the model was shown without gradients since the last batch.
        self.shown = _Pass()
        self.before: _Pass | None = None

    def batch_begins(self) -> None:
        """What was shown before it was no validation of the epoch, as of pseudo-labels."""
        self.shown = _Pass()

    def show(self, marks: Marks) -> None:
        """A pass without gradients saw these rows."""
        if marks.inputs:
            self.shown.add(marks)

    def train(self, marks: Marks) -> None:
        """A training step saw these rows."""
        if marks.inputs:
            self.training.add(marks)

    def validate(self, marks: Marks) -> None:
        """A batch of the validation has these rows."""
        if marks.inputs:
            self.validation.add(marks)

    def nan(self, share: float) -> None:
        """Of a batch that was looked at."""
        if share:
            self.tell("nan-inputs", f"{share:.1%} of a batch")

    def epoch(self, validated: bool) -> None:
        """At the end of an epoch; validated: a validation was reported."""
        batches = self.training.batches
        if len(batches) >= EVIDENCE:
            self._within(batches)
            if self.before is not None:
                self._between(self.before.batches, batches)
        for marks in self.shown.batches:
            self.validate(marks)
        if validated and batches and self.validation.batches:
            self._leak()
        self.before = self.training
        self.training, self.validation, self.shown = _Pass(), _Pass(), _Pass()

    def _within(self, batches: Sequence[Marks]) -> None:
        rows = {mark for batch in batches for mark in batch.inputs}
        if len(rows) == 1 and sum(len(batch.inputs) for batch in batches) > len(batches):
            self.tell("constant-inputs", f"one row in {len(batches)} batches")
        elif len({batch.inputs for batch in batches}) == 1:
            self.tell("same-batch", f"{len(batches)} steps on the same {len(rows)} rows")

    def _between(self, before: Sequence[Marks], now: Sequence[Marks]) -> None:
        orders = [[batch.inputs for batch in one] for one in (before, now)]
        varied = len(set(orders[1])) > 1
        if orders[0] == orders[1] and varied:
            self.tell("order-identical", f"{len(now)} batches as in the epoch before")
        targets = [_targets(one) for one in (before, now)]
        common = targets[0].keys() & targets[1].keys()
        moved = sum(targets[0][row] != targets[1][row] for row in common)
        sets = [Counter(t for batch in one for t in batch.targets) for one in (before, now)]
        same = sum((sets[0] & sets[1]).values()) >= MOST * max(1, sum(sets[1].values()))
        if len(common) >= EVIDENCE and moved >= 0.5 * len(common) and same:
            self.tell("labels-shuffled", f"{moved} of {len(common)} rows have another target now")

    def _leak(self) -> None:
        trained = Counter(row for batch in self.training.batches for row in batch.inputs)
        repeats = 1 - len(trained) / sum(trained.values())
        shares = [
            (sum(row in trained for row in batch.inputs), len(batch.inputs))
            for batch in self.validation.batches
        ]
        rows = sum(size for _, size in shares)
        known = sum(seen for seen, _ in shares)
        if repeats > 1 - MOST:
            # Marks that repeat in the training alone cannot tell a leak from chance.
            return
        if known >= MOST * rows:
            self.tell("validation-on-training", f"{known} of {rows} rows were trained on")
            return
        mixed = [(seen, size) for seen, size in shares if 0 < seen < MOST * size]
        leaked = sum(seen for seen, _ in mixed)
        if leaked >= 4 and leaked > max(0.02, repeats) * rows:
            self.tell("validation-overlap", f"{leaked} of {rows} rows were trained on")


def _targets(batches: Sequence[Marks]) -> dict[bytes, bytes]:
    """Target by row, of the rows that are told apart and met once."""
    pairs = [p for b in batches for p in zip(b.inputs, b.targets, strict=False)]
    counts = Counter(row for row, _ in pairs)
    return {row: target for row, target in pairs if counts[row] == 1}
