"""Training seen from a terminal: a progress bar with the log lines above it."""

import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ris_pipeline._errors import InputError, RunFailed, check_choice, printable
from ris_pipeline._files import is_file
from ris_pipeline.config import Settings, load_settings, override_settings
from ris_pipeline.learning import Trainer, failures, health_alarms, load_checkpoint, make_fabric
from ris_pipeline.learning.averaging import Weights
from ris_pipeline.learning.stored import open_scenes
from ris_pipeline.report.run_folder import CHECKPOINT, RunFolder
from ris_pipeline.report.tensorboard import TensorBoard, check_tensorboard


class _ConsoleHandler(logging.Handler):
    """Log lines go out as they are: no markup (`[OPT]` is not a style), no wrapping."""

    def __init__(self, console: Console, every: int) -> None:
        super().__init__()
        self.console, self.every = console, every
        # Of the epoch under way: its step comes before its own line.
        self.epoch = 1

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        ends = line.startswith("Epoch")
        shown = self.epoch == 1 or record.levelno > logging.INFO
        if shown or (self.epoch % self.every == 0 and (ends or line.startswith("[OPT] step"))):
            try:
                self.console.print(line, markup=False, highlight=False, soft_wrap=True)
            except OSError:
                # A run goes on that nobody can read of; its files say the same.
                self.console = Console(quiet=True)
        self.epoch += ends


@contextmanager
def _log_to(console: Console, every: int) -> Iterator[None]:
    logger = logging.getLogger("ris_pipeline")
    handler, level = _ConsoleHandler(console, every), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _fabric(settings: Settings, accelerator: str, devices: int, hosts: int) -> Fabric:
    check_choice("accelerator", accelerator, ("cpu", "cuda", "auto"))
    try:
        fabric = make_fabric(settings.training.precision, accelerator, devices, hosts)
    except RuntimeError as error:
        raise InputError(f"accelerator = {accelerator!r}: {error}") from None
    fabric.launch()
    return fabric


def _write_epoch(trainer: Trainer, folder: RunFolder, events: TensorBoard | None) -> None:
    folder.write_epoch(trainer)
    if events is not None:
        events.write_epoch(trainer.history)


def _write_end(folder: RunFolder, trainer: Trainer, weights: Weights) -> None:
    n_h, n_v = trainer.settings.scenario.panel
    folder.write_loss_curve(trainer.history, f"Covariance network, {n_h} x {n_v}")
    folder.write_model(trainer.settings, weights)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def run_train(
    console: Console,
    out: Path,
    preset: str | None,
    overrides: Sequence[str],
    *,
    resume: bool,
    tensorboard: bool,
    **machine: Any,
) -> None:
    """What `ris-pipeline train` does; `machine` is of `train_with_progress`.

    Raises:
        InputError: a folder with a run that is not to be resumed, scenes that are not the run's,
            and as `train_with_progress`.
        RunFailed: as `train_with_progress`.
    """
    if tensorboard:
        check_tensorboard()
    going_on = resume and is_file(out / CHECKPOINT)
    settings = (
        override_settings(load_checkpoint(out / CHECKPOINT).settings, overrides)
        if going_on and preset is None
        else load_settings(preset or "small", overrides)
    )
    if settings.training.scene_folder is not None:
        open_scenes(settings)
    folder = RunFolder(out)
    with folder.held():
        if is_file(folder.checkpoint) and not resume:
            raise InputError(
                f"--out {str(out)!r} holds a checkpoint: add --resume, or name another"
            )
        if resume and not going_on:
            console.print(
                f"{printable(out)} holds no checkpoint: a new run", soft_wrap=True, highlight=False
            )
        trainer = train_with_progress(
            console, settings, folder=folder, resume=going_on, tensorboard=tensorboard, **machine
        )
    if trainer.fabric.is_global_zero:
        console.print(
            f"{printable(out)}: validation {trainer.history[-1].validation:.3f}",
            soft_wrap=True,
            highlight=False,
        )


def train_with_progress(
    console: Console,
    settings: Settings,
    folder: RunFolder | None = None,
    every: int = 1,
    resume: bool = False,
    accelerator: str = "cpu",
    devices: int = 1,
    hosts: int = 1,
    tensorboard: bool = False,
) -> Trainer:
    """Train under a progress bar; with a folder, write metrics, checkpoint and loss curve.

    Args:
        every: print the line of every so many epochs.
        devices, hosts: processes on each host, and hosts; the first of them prints and writes.
        tensorboard: also write the folder's event files.

    Raises:
        InputError: a folder or checkpoint that cannot be used, TensorBoard where there is none.
        RunFailed: what `Trainer.fit` and `failures` say; the epochs before are kept.
    """
    fabric = _fabric(settings, accelerator, devices, hosts)
    if not fabric.is_global_zero:
        console = Console(quiet=True)
    with _bar(console) as progress, _log_to(console, every):
        task = progress.add_task("training", total=None)
        trainer = Trainer(settings, fabric, lambda batch, loss: progress.advance(task))
        if folder is not None and resume:
            folder.restore(trainer)
        training = settings.training
        progress.update(
            task,
            total=training.epochs * training.batches,
            completed=len(trainer.history) * training.batches,
        )
        written = folder if fabric.is_global_zero else None
        if written is not None:
            trainer.start_watch(written.path)
        try:
            if written is None:
                trainer.fit()
            else:
                done = len(trainer.history)
                events = TensorBoard(written.path, done) if tensorboard else None
                with closing(events) if events else nullcontext():
                    trainer.fit(lambda trainer: _write_epoch(trainer, written, events))
        except KeyboardInterrupt:
            console.print(_kept(folder, trainer), highlight=False, soft_wrap=True)
            raise
    for alarm in health_alarms(trainer.history):
        console.print(f"[ALARM] {alarm}", markup=False, soft_wrap=True)
    # Every process takes part in the choice, one writes it.
    weights = trainer.best_weights()[1] if folder is not None else {}
    if written is not None:
        _write_end(written, trainer, weights)
    failed = failures(trainer.history)
    if failed:
        raise RunFailed(f"the run has failed: {'; '.join(failed)}")
    return trainer


def _kept(folder: RunFolder | None, trainer: Trainer) -> str:
    """What a run that is broken off leaves, and how to go on."""
    done = trainer.counters.epoch
    if folder is None or not is_file(folder.checkpoint):
        return "stopped: nothing is kept"
    total = trainer.settings.training.epochs
    command = f"`ris-pipeline train --out {shlex.quote(str(folder.path))} --resume`"
    return f"stopped: {done} of {total} epochs are kept: {command} goes on"
