"""The watch as a callback of Fabric.

fabric = Fabric(callbacks=[WatchCallback(run="runs/mine")])
model, optimizer = fabric.setup(model, optimizer)
fabric.call("on_train_start", model=model, optimizer=optimizer)
...
    fabric.call("on_before_backward", terms=terms, weights=weights)
    fabric.backward(loss); optimizer.step(); optimizer.zero_grad()
    fabric.call("on_train_batch_end")
fabric.call("on_train_epoch_end", train=mean, validation=value)
fabric.call("on_train_end")
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ris_pipeline.watch.core import Watch


class WatchCallback:
    """Passes the calls of a loop on to a `Watch`.

    Args:
        run: folder for the journal.
        options: of `Watch`.
    """

    def __init__(self, run: str | Path | None = None, **options: Any) -> None:
        self.run, self.options = run, options
        self.watch: Watch | None = None

    def on_train_start(self, model: nn.Module, optimizer: Any, **options: Any) -> None:
        """Begin to watch; options: of `Watch`, for what is made after Fabric."""
        self.watch = Watch(model, optimizer, self.run, **{**self.options, **options})

    def on_before_backward(
        self,
        terms: Tensor | Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
        **given: Any,
    ) -> None:
        """A backward pass begins; arguments as of `Watch.begin`."""
        if self.watch is not None:
            self.watch.end()
            self.watch.begin(terms, weights, **given)

    def on_train_batch_end(self) -> None:
        """The batch is over."""
        if self.watch is not None:
            self.watch.end()

    def on_train_epoch_end(
        self,
        train: float | None = None,
        validation: float | None = None,
        best: float | None = None,
    ) -> None:
        """The epoch is over, with what is reported for it."""
        if self.watch is not None:
            self.watch.epoch(train, validation, best)

    def on_train_end(self) -> None:
        """Take the hooks off."""
        if self.watch is not None:
            self.watch.close()
