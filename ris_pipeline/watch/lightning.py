"""The watch as a callback of Lightning.

    trainer = Trainer(callbacks=[WatchCallback(run="runs/mine")])

`self.log("train_loss", ...)` and `self.log("val_loss", ...)` are the reported figures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.watch.core import Watch

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning import Callback
    except ModuleNotFoundError:
        raise InputError(
            "ris_pipeline.watch.lightning needs Lightning: pip install lightning"
        ) from None


class WatchCallback(Callback):
    """Watches `Trainer.fit`.

    Args:
        run: folder for the journal.
        train, validation: the logged figures that are reported for an epoch.
        options: of `Watch`.
    """

    def __init__(
        self,
        run: str | Path | None = None,
        train: str = "train_loss",
        validation: str = "val_loss",
        **options: Any,
    ) -> None:
        self.run, self.train, self.validation, self.options = run, train, validation, options
        self.watch: Watch | None = None
        self._batch: Any = None
        self._given: tuple[Any, ...] | None = None
        self._named: dict[str, Any] = {}
        self._epoch_due = False

    def terms(
        self,
        terms: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
        **given: Any,
    ) -> None:
        """Call it in `training_step` to have the terms watched; arguments as of `Watch.begin`."""
        self._given, self._named = (terms, weights), given

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        options = {"scheduler": schedulers, "epochs": trainer.max_epochs, **self.options}
        if (options["epochs"] or 0) < 1:
            options["epochs"] = None
        plugin = trainer.precision_plugin
        options.setdefault("scaler", getattr(plugin, "scaler", None))
        self.watch = Watch(pl_module, trainer.optimizers, self.run, **options)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """The figures of the last epoch are complete only now."""
        self._report(trainer)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the batch for the backward pass to come."""
        self._batch = batch

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """A backward pass begins."""
        if self.watch is None:
            return
        self.watch.end()
        given, self._given = self._given, None
        named, self._named = self._named, {}
        if given is None:
            self.watch.begin(loss, batch=self._batch)
        else:
            self.watch.begin(*given, **{"batch": self._batch, "loss": loss, **named})

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The batch is over."""
        if self.watch is not None:
            self.watch.end()
            self._epoch_due = True

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Show the batch, unless it belongs to the check before the training."""
        if self.watch is not None and not trainer.sanity_checking:
            self.watch.validation_batch(batch)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last epoch."""
        self._report(trainer)
        if self.watch is not None:
            self.watch.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The training was broken off."""
        if self.watch is not None:
            self.watch.close()

    def _report(self, trainer: Any) -> None:
        if self.watch is None or not self._epoch_due:
            return
        self._epoch_due = False
        metrics = trainer.callback_metrics
        best = getattr(trainer.checkpoint_callback, "best_model_score", None)
        monitored = getattr(trainer.checkpoint_callback, "monitor", None) == self.validation
        self.watch.epoch(
            train=_number(metrics.get(f"{self.train}_epoch", metrics.get(self.train))),
            validation=_number(metrics.get(self.validation)),
            best=_number(best) if monitored else None,
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
