"""What a run is between two epochs, and what a checkpoint takes of it."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.config import Settings, check_training_memory
from ris_pipeline.learning.averaging import Weights, copy_weights
from ris_pipeline.learning.checkpoint import Checkpoint
from ris_pipeline.learning.features import Interference
from ris_pipeline.learning.ignorance import with_scales
from ris_pipeline.learning.model import CovarianceNetwork
from ris_pipeline.learning.precision import make_fabric
from ris_pipeline.learning.records import Counters, EpochRecord
from ris_pipeline.learning.replay import make_recordings
from ris_pipeline.learning.resume import (
    check_tensors,
    load_moments,
    moments,
    resumed_settings,
)
from ris_pipeline.learning.schedule import make_optimiser
from ris_pipeline.learning.sector import make_sector
from ris_pipeline.learning.stored import check_scenes
from ris_pipeline.learning.watching import make_watch
from ris_pipeline.watch import Watch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Run:
    """A run between two epochs; see `Trainer`, which takes the next one."""

    def __init__(
        self,
        settings: Settings,
        fabric: "Fabric | None" = None,
        on_batch: Callable[[int, Tensor], None] | None = None,
    ) -> None:
        training = settings.training
        check_training_memory(settings)
        check_scenes(settings)
        self.settings = with_scales(settings)
        self.fabric = fabric or make_fabric(training.precision)
        if training.batch_size % self.fabric.world_size:
            raise InputError(
                f"training.batch_size = {training.batch_size}: allowed are multiples of the "
                f"{self.fabric.world_size} processes"
            )
        self.on_batch = on_batch or (lambda batch, loss: None)
        self.watch: Watch | None = None
        self.dtype = torch.float64 if training.precision == "64-true" else torch.float32
        self.counters = Counters()
        # The step counter at the start of the epoch under way.
        self._first_step: int | None = None
        # Of the codes of the epoch under way.
        self._known: Interference | None = None
        self.sector = make_sector(settings.scenario, settings.model, self.dtype, self.fabric.device)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            network = CovarianceNetwork(settings.model, self.sector, settings.scenario.wavefront)
        network = network.to(self.dtype)
        self.network = network
        optimiser = make_optimiser(network, training, self.fabric.device.type == "cuda")
        self.wrapped, self.optimiser = self.fabric.setup(network, optimiser)
        self.recordings = make_recordings(self.fabric)
        self.ema: Weights = copy_weights(dict(network.named_parameters()))
        self.swa: Weights = {}
        self.best: Weights = {}

    @property
    def history(self) -> list[EpochRecord]:
        """One record an epoch, oldest first."""
        return self.counters.history

    @property
    def total_steps(self) -> int:
        """Optimiser steps of a whole run at the accumulation factor of the settings."""
        return self.settings.training.epochs * self._steps_per_epoch

    @property
    def _steps_per_epoch(self) -> int:
        return math.ceil(self.settings.training.batches / self.settings.training.accumulation)

    def start_watch(self, run: Path | None = None, **options: Any) -> Watch:
        """The watch that looks on until `fit` or `restore` ends it; where there is none, an epoch
        starts one without a journal.

        Args:
            run: folder for the journal.
            options: of `Watch`.
        """
        self._end_watch()
        training = self.settings.training
        self.watch = make_watch(self.network, self.optimiser, self.ema, training, run, **options)
        return self.watch

    def _end_watch(self) -> None:
        if self.watch is not None:
            self.watch.close()

    def checkpoint(self) -> Checkpoint:
        """A copy of everything that `restore` needs, and nothing random.

        Raises:
            InputError: in the middle of an epoch, which cannot be entered again.
        """
        self._check_between_epochs()
        tensors: dict[str, Weights] = {
            "weights": dict(self.network.named_parameters()),
            "ema": self.ema,
            "swa": self.swa,
            "best": self.best,
            "optimiser": moments(self.optimiser),
        }
        copies = {group: copy_weights(values) for group, values in tensors.items()}
        return Checkpoint(copies, self.settings, _copy(self.counters))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue where `checkpoint` was taken, at the accumulation factor of this trainer and for
        its epochs, where they are more.

        A new factor takes the rates to the same share of the run, and the counted steps go on. More
        epochs stretch the schedule: rates and phases go on as those of the longer run at this
        epoch, and the average over the last epochs begins anew.

        Raises:
            InputError: a checkpoint of other settings, or with tensors that are not this run's; the
                trainer is as it was.
        """
        settings = resumed_settings(self.settings, checkpoint.settings)
        check_tensors(self.network, self.optimiser, checkpoint)
        self.settings = settings
        # What was recorded has the units of the loss that were this run's.
        self.recordings = copy(self.recordings)
        tensors = checkpoint.tensors
        self.counters = _copy(checkpoint.progress)
        self._first_step = None
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(tensors["weights"][name])
        self.ema = self._copies(tensors["ema"])
        self.swa = self._copies(tensors.get("swa", {}))
        self.best = self._copies(tensors.get("best", {}))
        if settings.training.epochs > checkpoint.settings.training.epochs:
            self.swa, self.counters.swa_epochs = {}, 0
        load_moments(self.optimiser, tensors.get("optimiser", {}))
        # An epoch that was broken off leaves gradients behind.
        self.optimiser.zero_grad()
        # What it has seen is of the run that was left.
        self._end_watch()

    def _copies(self, weights: Weights) -> Weights:
        # In the memory layout of the parameters: another one sums in another order.
        mine = dict(self.network.named_parameters())
        return {name: mine[name].detach().clone().copy_(value) for name, value in weights.items()}

    def _check_between_epochs(self) -> None:
        if self._first_step is not None:
            raise InputError(
                f"epoch {self.counters.epoch + 1} was not finished: allowed is to restore "
                "a checkpoint"
            )


def _copy(counters: Counters) -> Counters:
    # Records are frozen; the list is not.
    return replace(counters, history=list(counters.history))
