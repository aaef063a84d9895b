"""The training loop: no spectral maths here, and no other source of randomness than the seed.

Every batch is drawn from `(seed, epoch, batch)`, so a run resumed from a checkpoint sees what the
uninterrupted run would have seen.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.func import functional_call

from ris_pipeline._errors import InputError, RunFailed
from ris_pipeline._replay import Same
from ris_pipeline.config import LossWeights
from ris_pipeline.learning.atoms import Atoms, OutputNotFinite, check_output, make_prediction
from ris_pipeline.learning.averaging import Weights, copy_weights, update_ema, update_swa
from ris_pipeline.learning.epoch import run_epoch
from ris_pipeline.learning.features import Features, Interference, make_features, make_truth
from ris_pipeline.learning.losses import (
    Prediction,
    Truth,
    active_terms,
    loss_terms,
    total_loss,
)
from ris_pipeline.learning.processes import over_processes, training_batches, validation_batches
from ris_pipeline.learning.records import EpochRecord, EpochSums, Unread, add_terms
from ris_pipeline.learning.replay import (
    LOSS,
    Learned,
    add_gradients,
    is_recordable,
    learn,
    norms_of,
)
from ris_pipeline.learning.run import Run
from ris_pipeline.learning.schedule import peak_rates, phase_weights, rate_scale
from ris_pipeline.learning.watching import diagnosis
from ris_pipeline.scene import SceneBatch
from ris_pipeline.watch.diagnostics import (
    GroupNorm,
    debug_line,
    epoch_line,
    gradient_line,
    gradient_norm,
    optimiser_line,
    step_line,
    without_gradient,
)

log = logging.getLogger(__name__)

_LOGGED_BATCHES = 3


class Trainer(Run):
    """Trains the covariance network of `settings`.

    Args:
        settings: the whole run.
        fabric: devices, precision and processes, from `make_fabric`; by default one CPU process at
            the precision of the settings.
        on_batch: called after every batch with (batches done in this epoch, loss as a detached
            tensor).
    """

    def fit(self, after_epoch: Callable[["Trainer"], None] | None = None) -> list[EpochRecord]:
        """Train until the last epoch, or until `patience` runs out; returns the history.

        Args:
            after_epoch: called with the trainer after every epoch, e.g. to save a checkpoint.

        Raises:
            RunFailed: the watch says that more epochs are wasted, with its diagnosis.
        """
        training = self.settings.training
        while self.counters.epoch < training.epochs and not self._out_of_patience():
            record = self.train_epoch()
            log.info(epoch_line(record.epoch, training.epochs, record.train, record.validation))
            if after_epoch is not None:
                after_epoch(self)
            self._stop_if_lost()
        self._end_watch()
        return self.history

    def _stop_if_lost(self) -> None:
        assert self.watch is not None
        said = diagnosis(self.watch, self.history)
        lost = torch.tensor(float(bool(said)), device=self.fabric.device)
        if over_processes(self.fabric, {"lost": lost}, ["lost"], "sum")["lost"]:
            self._end_watch()
            why = said or "another process says why"
            raise RunFailed(f"stopped after epoch {self.counters.epoch}\n{why}")

    def _out_of_patience(self) -> bool:
        patience = self.settings.training.patience
        return patience is not None and self.counters.epoch - self.counters.best_epoch >= patience

    def train_epoch(self) -> EpochRecord:
        """One pass over the training batches, then one over the validation scenes.

        Raises:
            InputError: the last epoch was broken off.
            RunFailed: the network's output is not finite.
        """
        self._check_between_epochs()
        if self.watch is None or self.watch.ended == "closed":
            self.start_watch()
        counters, training = self.counters, self.settings.training
        self._first_step = counters.step
        self._known = None
        weights, phase = phase_weights(self.settings, counters.epoch)
        sums, number = EpochSums(), iter(range(1, training.batches + 1))
        self.wrapped.train()
        result = run_epoch(
            training_batches(
                self.settings, counters.epoch, self.dtype, self.fabric, self.recordings
            ),
            lambda scenes, scale: self._backward(scenes, scale, weights, sums, next(number)),
            lambda: self._step(sums),
            training.accumulation,
        )
        log.info(step_line(counters.step, counters.batch))
        counters.epoch += 1
        self._average_weights()
        with self._said_where(f"in the validation of epoch {counters.epoch}"):
            validation, validation_terms = self.validate(self.ema)
        self._keep_best(validation)
        train = {"total": torch.as_tensor(result.mean, dtype=torch.float64)}
        if sums.terms is not None:
            train |= zip(active_terms(weights), sums.terms, strict=True)
        means = over_processes(self.fabric, train, list(train), "mean")
        record = EpochRecord(
            counters.epoch,
            means.pop("total"),
            validation,
            {name: value / result.batches for name, value in means.items()},
            validation_terms,
            self._rates(),
            sums.backbone / result.batches,
            sums.heads / result.batches,
            sums.non_finite,
            sums.skipped,
            counters.step,
            phase,
        )
        counters.history.append(record)
        if self.watch is not None:
            self.watch.epoch(record.train, validation, counters.best)
        self._first_step = None
        return record

    def validate(self, weights: Weights | None = None) -> tuple[float, dict[str, float]]:
        """Mean total loss, under the unscaled weights, and mean terms over the validation scenes.

        Args:
            weights: parameters to use in place of the current ones.
        """
        loss = self.settings.loss
        sums, names = None, [*active_terms(loss.weights), "total"]
        with torch.no_grad():
            for batch, share in validation_batches(self.settings, self.dtype, self.fabric):
                terms = loss_terms(*self._predict(batch, weights), loss)
                total = total_loss(terms, loss.weights)
                sums = add_terms(sums, [*terms.values(), total], share)
        named = {} if sums is None else dict(zip(names, sums, strict=True))
        means = over_processes(self.fabric, named, names, "sum")
        return means.pop("total"), means

    def predict(self, scenes: SceneBatch, weights: Weights | None = None) -> Prediction:
        """The network's prediction without gradients."""
        with torch.no_grad():
            return self._predict(scenes, weights)[0]

    def best_weights(self) -> tuple[str, Weights]:
        """Name and values of the weights with the lowest validation loss.

        Among `last`, the weights as they are; `best`, the EMA after the epoch with the lowest
        validation; and `swa`.
        """
        candidates: dict[str, Weights] = {"last": dict(self.network.named_parameters())}
        if self.swa:
            candidates["swa"] = self.swa
        losses = {name: self.validate(weights)[0] for name, weights in candidates.items()}
        if self.best:
            # Validated when it was kept.
            candidates["best"], losses["best"] = self.best, self.counters.best
        name = min(losses, key=lambda key: losses[key])
        return name, copy_weights(candidates[name])

    @contextmanager
    def _said_where(self, where: str) -> Iterator[None]:
        try:
            yield
        except OutputNotFinite as error:
            self._end_watch()
            raise RunFailed(f"{error} {where}") from None

    def _predict(
        self, scenes: SceneBatch, weights: Weights | None = None
    ) -> tuple[Prediction, Truth]:
        believed = self._believe(make_features(scenes, self.sector), weights)
        check_output(believed[-1])
        prediction = make_prediction(believed, self.settings.scenario.sources[1])
        return prediction, make_truth(scenes, self.sector)

    def _believe(self, features: Features, weights: Weights | None = None) -> list[Atoms]:
        believed: list[Atoms] = (
            self.wrapped(features)
            if weights is None
            else functional_call(self.network, weights, (features,))
        )
        if believed[-1].weight.dtype != self.dtype:
            raise InputError(
                f"fabric turns {self.dtype} into {believed[-1].weight.dtype}: "
                "allowed is a fabric of make_fabric"
            )
        return believed

    def _backward(
        self,
        scenes: SceneBatch,
        scale: float,
        weights: LossWeights,
        sums: EpochSums,
        number: int,
    ) -> Tensor:
        if self._replays(number):
            return self._replay(scenes, scale, weights, sums, number)
        # An earlier batch of the group is named first.
        self._read(sums)
        with self._said_where(self._place(number)):
            prediction, truth = self._predict(scenes)
        terms = loss_terms(prediction, truth, self.settings.loss, weights)
        loss = total_loss(terms, weights)
        # A loss that is only summed stays where it is: reading it would wait for the device.
        value = loss.detach().double()
        self.counters.batch += 1
        first_epoch = self.counters.epoch == 0
        if first_epoch and number == 1:
            log.info(debug_line(value.item()))
        if self.watch is not None:
            self.watch.begin(
                terms,
                weights.model_dump(),
                loss=loss,
                covariance=prediction.covariance,
                k=truth.count,
            )
        self.fabric.backward(scale * loss)
        self._watch_gradients(number if first_epoch else None, sums)
        sums.terms = add_terms(sums.terms, terms.values())
        self.on_batch(number, value)
        return value

    def _watch_gradients(self, number: int | None, sums: EpochSums) -> None:
        """Add this batch's gradient norms; log them when `number` is one of the first batches."""
        backbone = gradient_norm(self.network.backbone_parameters())
        heads = gradient_norm(self.network.head_parameters())
        sums.add_norms(backbone, heads)
        if number is not None and number <= _LOGGED_BATCHES:
            rates = [rate * self._scale() for rate in peak_rates(self.settings.training)]
            log.info(optimiser_line(number, backbone, heads, rates))
            if number < _LOGGED_BATCHES:
                log.info(gradient_line(without_gradient(self.network)))

    def _step(self, sums: EpochSums) -> None:
        """Clip and step; a non-finite gradient skips the step, and the skip is counted."""
        training, counters = self.settings.training, self.counters
        scale = self._scale()
        for group, rate in zip(
            self.optimiser.param_groups, peak_rates(self.settings.training), strict=True
        ):
            group["lr"] = rate * scale
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), training.clip_norm)
        (size,) = self._read(sums, norm.detach().double()[None])
        counters.step += 1
        if math.isfinite(size):
            self.optimiser.step()
            update_ema(
                self.ema, dict(self.network.named_parameters()), training.ema_decay, counters.step
            )
        else:
            sums.skipped += 1
            log.warning("[OPT] step %d skipped: non-finite gradient", counters.step)
        self.optimiser.zero_grad()

    def _place(self, number: int) -> str:
        return f"from batch {number} of epoch {self.counters.epoch + 1}"

    def _replays(self, number: int) -> bool:
        """Whether a batch (from 1) can be a replay: nobody looks into it, or logs its numbers."""
        if self.recordings is None or self.watch is None:
            return False
        logged = self.counters.epoch == 0 and number <= _LOGGED_BATCHES
        return is_recordable(self.settings) and not (logged or self.watch.due())

    def _replay(
        self,
        scenes: SceneBatch,
        scale: float,
        weights: LossWeights,
        sums: EpochSums,
        number: int,
    ) -> Tensor:
        """`_backward` as a replay, without waiting for the device."""
        assert self.watch is not None
        # The batch before must not hold on to its graph: what is recorded would join it.
        self.watch.end()
        learned = self._learned(scenes, scale, weights, number)
        terms, arrived, finite = learned.read()
        loss = terms.pop(LOSS)
        self.counters.batch += 1
        self.watch.begin(terms, weights.model_dump(), loss=loss)
        with self.watch.replayed(arrived, terms.keys(), learned.reached):
            add_gradients(learned.reached, learned.gradients)
        backbone = norms_of(self.network.backbone_parameters())
        heads = norms_of(self.network.head_parameters())
        figures = torch.cat((finite, torch.stack([*backbone, *heads])))
        sums.unread.append(Unread(number, figures, len(backbone)))
        sums.terms = add_terms(sums.terms, terms.values())
        self.on_batch(number, loss)
        return loss

    def _learned(
        self, scenes: SceneBatch, scale: float, weights: LossWeights, number: int
    ) -> Learned:
        assert self.recordings is not None
        if self._known is None:
            self._known = Interference.of(scenes.codes, self.sector)
        trained = tuple(p.requires_grad for p in self.network.parameters())
        given = Same(self), scenes, self._known, weights, scale, trained
        try:
            return self.recordings.of(_learn, *given).run()
        except (InputError, torch.linalg.LinAlgError):
            # Of numbers that are not finite. Not replayed, a batch says where they come from.
            with self._said_where(self._place(number)):
                self._predict(scenes)
            raise

    def _read(self, sums: EpochSums, *more: Tensor) -> list[float]:
        """What replayed batches have left unread, and more, which is returned: one wait."""
        figures = [*(one.figures for one in sums.unread), *more]
        values: list[float] = torch.cat(figures).tolist() if figures else []
        for one in sums.unread:
            (finite, *norms), values = values[: len(one.figures)], values[len(one.figures) :]
            with self._said_where(self._place(one.batch)):
                if not finite:
                    raise OutputNotFinite
            sums.add_norms(
                *(GroupNorm.of(x) for x in (norms[: one.backbone], norms[one.backbone :]))
            )
        sums.unread.clear()
        return values

    def _scale(self) -> float:
        # By epochs, so that an accumulation factor that changes leaves the schedule its length.
        counters = self.counters
        done = 0 if self._first_step is None else counters.step - self._first_step
        step = counters.epoch * self._steps_per_epoch + done
        return rate_scale(step, self.total_steps, self.settings.training.warmup)

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimiser.param_groups]

    def _keep_best(self, validation: float) -> None:
        counters = self.counters
        if validation < counters.best:
            counters.best, counters.best_epoch = validation, counters.epoch
            self.best = copy_weights(self.ema)

    def _average_weights(self) -> None:
        training, counters = self.settings.training, self.counters
        if counters.epoch <= (1 - training.swa_fraction) * training.epochs:
            return
        weights: Mapping[str, Tensor] = dict(self.network.named_parameters())
        if counters.swa_epochs == 0:
            self.swa = copy_weights(weights)
        else:
            update_swa(self.swa, weights, counters.swa_epochs)
        counters.swa_epochs += 1


def _learn(
    trainer: Same[Trainer],
    scenes: SceneBatch,
    known: Interference,
    weights: LossWeights,
    scale: float,
    trained: tuple[bool, ...],
) -> Learned:
    # No method: what is recorded would keep the trainer, which keeps it. `trained` is for the key.
    own = trainer.value
    given = scenes, known, own.sector, own.settings, weights, scale
    return learn(own._believe, own.network.parameters(), *given)
