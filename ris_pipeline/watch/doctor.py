"""The post-mortem's checklist over a run: from a watch's journal, our metrics, or a text log."""

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ris_pipeline._errors import InputError
from ris_pipeline._files import is_file, is_folder, read_bytes, read_text
from ris_pipeline.watch.alarms import kinds
from ris_pipeline.watch.journal import NAME, Record, number, read_journal

METRICS = "metrics.jsonl"
"""What our trainer writes without a watch."""

FEWEST = 3
"""Epochs from which a loss that has not fallen is wrong; fewer may be noise."""

FALLS = 1e-2
"""Relative fall that counts: the post-mortem's flat losses moved by 0.7 %."""

OK, WRONG, UNKNOWN = "ok", "wrong", "unknown"

NUMBER = r"[-+]?(?:nan|inf|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
"""What `float` takes."""

COUNT = r"\d{1,18}(?!\d)"
"""What `int` takes, of any count there is."""


@dataclass(frozen=True)
class Check:
    """One line of the checklist; verdict: ok, wrong or unknown; said: what was seen, or to do."""

    name: str
    verdict: str
    said: str


@dataclass
class Story:
    """What is known of a run; None where nothing was written about it.

    norms: of gradients, one list for each group; idle: parameters without a gradient.
    """

    first_loss: float | None = None
    norms: list[float] | None = None
    idle: int | None = None
    steps: int | None = None
    rates: list[float] | None = None
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    alarms: list[Record] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    watched: bool = False
    ended: bool = False
    higher_is_better: bool = False


def read_run(path: Path) -> Story:
    """A run's folder, or one of its files.

    Raises:
        InputError: nothing there that can be read.
    """
    if is_folder(path):
        journals = sorted(path.glob("watch*.jsonl"))
        if journals:
            return story_of([r for journal in journals for r in read_journal(journal)])
        if is_file(path / METRICS):
            return read_run(path / METRICS)
        raise InputError(f"RUN {str(path)!r} holds neither {NAME} nor {METRICS}")
    if not os.path.lexists(path):
        raise InputError(f"RUN {str(path)!r}: no such file or folder")
    if path.suffix != ".jsonl":
        return _story_of_log(path)
    return _story_of_metrics(path) if path.name == METRICS else story_of(read_journal(path))


def story_of(records: Sequence[Record]) -> Story:
    """Of a watch's records."""
    story = Story(watched=True, norms=[], rates=[], steps=0, idle=0)
    assert story.norms is not None
    assert story.rates is not None
    for record in records:
        kind = record["kind"]
        if kind == "step" and story.first_loss is None:
            story.first_loss = number(record.get("loss"))
        if kind in ("step", "epoch"):
            norms = [number(norm) for norm in record.get("norms") or ()]
            story.norms += [norm for norm in norms if norm is not None]
        if kind == "epoch":
            _add_epoch(story, record)
            story.steps = max(story.steps or 0, record.get("step") or 0)
            rates = [number(rate) for rate in record.get("rates") or ()]
            story.rates += [rate for rate in rates if rate is not None]
        elif kind == "alarm":
            story.alarms.append(record)
        elif kind == "start":
            story.higher_is_better = bool(record.get("higher_is_better"))
        story.ended = kind == "end"
        if kind == "fault":
            story.faults.append(str(record.get("error")))
    return story


def _add_epoch(story: Story, record: Record) -> None:
    for name in ("train", "validation"):
        value = number(record.get(name))
        if value is not None:
            getattr(story, name).append(value)


def _story_of_metrics(path: Path) -> Story:
    story = Story(norms=[], rates=[], steps=0)
    try:
        lines = read_text(path, "metrics").splitlines()
        # Metrics of version 0.2 and before write NaN as Python's json does.
        records = [json.loads(line) for line in lines]
        for record in records:
            _add_epoch(story, record)
            story.norms = [float(record[f"gradient_{group}"]) for group in ("backbone", "heads")]
            story.rates, story.steps = list(map(float, record["rates"])), int(record["step"])
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ):
        raise InputError(f"{str(path)!r} holds no metrics of a run") from None
    if not records:
        raise InputError(f"{str(path)!r} holds no epoch")
    return story


def _story_of_log(path: Path) -> Story:
    text = read_bytes(path, "RUN").decode("utf-8", errors="replace")
    story = Story()
    for train, validation in re.findall(
        rf"^.*Epoch.*train ({NUMBER})\s+val ({NUMBER})", text, re.M
    ):
        story.train.append(float(train))
        story.validation.append(float(validation))
    if not story.train:
        raise InputError(f"{str(path)!r} holds no line `Epoch 001/030: train 0.8  val 1.9`")
    first = re.search(rf"\[DEBUG\] total loss pre-backward = ({NUMBER})", text)
    story.first_loss = float(first[1]) if first else None
    norms = re.findall(rf"g_(?:back|head)=({NUMBER})", text)
    story.norms = [float(norm) for norm in norms] or None
    idle = re.findall(rf"no-grad count=({COUNT})", text)
    story.idle = max(map(int, idle)) if idle else None
    steps = re.findall(rf"\[OPT\] step ({COUNT})", text)
    story.steps = max(map(int, steps)) if steps else None
    rates = re.search(rf"LRs=\[({NUMBER}(?:, *{NUMBER})*)\]", text)
    story.rates = [float(rate) for rate in rates[1].split(",")] if rates else None
    return story


def checklist(story: Story) -> list[Check]:
    """The post-mortem's checklist, one line each."""
    return [
        _gradients(story),
        _first_loss(story),
        _steps(story),
        _rates(story),
        _falls("training loss falls", story.train),
        _falls("validation loss falls", story.validation, story.higher_is_better),
        *(_family(story, family) for family in ("terms", "spectral", "bookkeeping")),
        *(_family(story, family) for family in ("optimiser", "data")),
        _watch(story),
    ]


def _gradients(story: Story) -> Check:
    name = "gradients are finite and above zero, none is missing"
    if story.norms is None:
        said = "no [OPT] line: nobody can tell; add a watch, see docs/watch.md"
        return Check(name, WRONG, said)
    if not story.norms:
        return Check(name, UNKNOWN, "no step was looked at")
    bad = [norm for norm in story.norms if not math.isfinite(norm)]
    if bad or max(story.norms) == 0:
        said = f"{len(bad)} norms are not finite" if bad else "every norm is zero"
        return Check(name, WRONG, f"{said}: {kinds()['gradient-not-finite'].remedy}")
    if story.idle:
        remedy = kinds()["no-gradient"].remedy
        return Check(name, WRONG, f"{story.idle} parameters have no gradient: {remedy}")
    return Check(name, OK, f"{min(story.norms):.2e} to {max(story.norms):.2e}")


def _first_loss(story: Story) -> Check:
    name = "the first loss is finite and not zero"
    if story.first_loss is None:
        return Check(name, UNKNOWN, "no [DEBUG] line")
    good = math.isfinite(story.first_loss) and story.first_loss != 0
    return Check(name, OK if good else WRONG, f"{story.first_loss:.6g}")


def _steps(story: Story) -> Check:
    name = "the optimiser steps"
    if story.steps is None:
        return Check(name, WRONG, "no [OPT] step line: nobody can tell; add a watch")
    if story.steps == 0 and not story.train:
        return Check(name, UNKNOWN, "no epoch was finished")
    remedy = kinds()["step-never"].remedy
    return Check(
        name, OK if story.steps else WRONG, f"{story.steps} steps" if story.steps else remedy
    )


def _rates(story: Story) -> Check:
    name = "the rates are above zero"
    if not story.rates:
        return Check(name, UNKNOWN, "no rate was written")
    good = all(math.isfinite(rate) for rate in story.rates) and max(story.rates) > 0
    said = f"up to {max(story.rates):.2e}" if good else kinds()["rate-zero"].remedy
    return Check(name, OK if good else WRONG, said)


def _falls(name: str, values: Sequence[float], rises: bool = False) -> Check:
    if rises:
        name = "validation rises"
    if not values:
        return Check(name, UNKNOWN, "not reported")
    if not all(math.isfinite(value) for value in values):
        return Check(name, WRONG, "it is not finite")
    said = f"{values[0]:.6g} to {values[-1]:.6g} in {len(values)} epochs"
    if len(values) > 1 and len(set(values)) == 1:
        remedy = kinds()["validation-constant"].remedy
        return Check(name, WRONG, f"{values[0]:.6g} in every epoch: {remedy}")
    if len(values) < FEWEST:
        return Check(name, UNKNOWN, said)
    sign = -1 if rises else 1
    fell = min(sign * v for v in values[1:]) < sign * values[0] - FALLS * abs(values[0])
    return Check(name, OK if fell else WRONG, said)


def _family(story: Story, family: str) -> Check:
    name = f"no alarm: {family}"
    mine = [alarm for alarm in story.alarms if alarm.get("family") == family]
    if mine:
        said = "; ".join(f"{a.get('name')}: {a.get('seen')}. Try: {a.get('remedy')}" for a in mine)
        return Check(name, WRONG, said)
    return Check(name, OK if story.watched else UNKNOWN, "" if story.watched else "not watched")


def _watch(story: Story) -> Check:
    name = "the watch saw the run to its end"
    if story.faults:
        return Check(name, WRONG, story.faults[-1])
    if not story.watched:
        return Check(name, UNKNOWN, "not watched")
    said = "" if story.ended else "it is still running, or was broken off"
    return Check(name, OK if story.ended else UNKNOWN, said)


def as_json(run: str, checks: Sequence[Check]) -> dict[str, Any]:
    """`run`, `wrong` and the `checks`, as JSON."""
    return {
        "run": run,
        "wrong": any(check.verdict == WRONG for check in checks),
        "checks": [vars(check) for check in checks],
    }
