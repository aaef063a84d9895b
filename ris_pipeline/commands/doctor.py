"""`ris-pipeline doctor`: a run's checklist, or that of the installation."""

import csv
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from ris_pipeline._files import is_file, json_text
from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer, history_curve
from ris_pipeline.report.tables import prose
from ris_pipeline.watch.doctor import OK, UNKNOWN, WRONG, Check, as_json, checklist, read_run
from ris_pipeline.watch.journal import strict

GOLDEN = Path(__file__).parents[2] / "golden" / "curves" / "thirty_epochs.csv"
GOLDEN_EPOCHS = 2
GOLDEN_RTOL = 1e-6
"""That of `pytest golden`: another BLAS rounds differently, and 20 steps blow that up."""

FREE_DISK = 2**30
"""Bytes: a run of the reference preset keeps a few hundred megabytes."""

MARKS = {OK: "✓", WRONG: "✗", UNKNOWN: "·"}


def run_doctor(console: Console, run: Path | None, json_wanted: bool) -> bool:
    """Print the checklist; returns whether nothing is wrong.

    Raises:
        InputError: a run that cannot be read.
    """
    checks = installation() if run is None else checklist(read_run(run))
    report = as_json("" if run is None else str(run), checks)
    if json_wanted:
        console.print(
            json_text(strict(report), None), markup=False, highlight=False, soft_wrap=True
        )
    else:
        _print(console, checks)
    return not report["wrong"]


def _print(console: Console, checks: Sequence[Check]) -> None:
    for check in checks:
        said = f": {check.said}" if check.said else ""
        line = prose(f"{MARKS[check.verdict]} {check.name}{said}", hang="  ")
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def installation() -> list[Check]:
    """BLAS, threads, the golden curve in double precision, the GPU, the disk."""
    return [_blas(), _threads(), _golden(), _gpu(), _disk()]


def _blas() -> Check:
    found = [name for name in ("mkl", "openblas", "accelerate") if _built_with(name)]
    said = ", ".join(found) or "none that is known by name"
    return Check("torch has LAPACK", OK if torch._C.has_lapack else WRONG, f"BLAS: {said}")


def _built_with(name: str) -> bool:
    return name in torch.__config__.show().lower()


def _threads() -> Check:
    count = torch.get_num_threads()
    said = f"{count} of torch; OMP_WAIT_POLICY=PASSIVE lets them sleep while they wait"
    return Check("threads", OK, said)


def _golden() -> Check:
    name = f"{GOLDEN_EPOCHS} epochs in double precision give the stored curve"
    if not is_file(GOLDEN):
        return Check(name, UNKNOWN, "the curve comes with a clone, not with the package")
    trainer = Trainer(load_settings("golden"))
    for _ in range(GOLDEN_EPOCHS):
        trainer.train_epoch()
    curve = history_curve(trainer.history)
    try:
        stored = _stored(curve)
    except (OSError, ValueError, csv.Error) as error:
        return Check(name, WRONG, f"{GOLDEN} cannot be read: {error}")
    worst = max(_difference(values, stored[column]) for column, values in curve.items())
    good = worst <= GOLDEN_RTOL
    return Check(name, OK if good else WRONG, f"off by {worst:.1e} at most")


def _stored(columns: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """The first epochs of the golden curve.

    Raises:
        OSError, ValueError, csv.Error: no file, no text, no numbers, no such columns, too few rows.
    """
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))[:GOLDEN_EPOCHS]
    if len(rows) < GOLDEN_EPOCHS:
        raise ValueError(f"holds {len(rows)} epochs")
    absent = [column for column in columns if any(row.get(column) is None for row in rows)]
    if absent:
        raise ValueError(f"no column {', '.join(absent)}")
    return {column: np.array([float(row[column]) for row in rows]) for column in columns}


def _difference(values: NDArray[np.float64], stored: NDArray[np.float64]) -> float:
    """The largest relative difference; infinite where a number is none."""
    if not (np.isfinite(values).all() and np.isfinite(stored).all()):
        return math.inf
    least = np.finfo(float).tiny
    return float((np.abs(values - stored) / np.maximum(np.abs(stored), least)).max())


def _gpu() -> Check:
    if not torch.cuda.is_available():
        return Check("GPU", UNKNOWN, "none; a CPU will do for `small`")
    return Check("GPU", OK, torch.cuda.get_device_name(0))


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= FREE_DISK
    return Check("disk", OK if enough else WRONG, f"{free / 2**30:.1f} GiB free here")
