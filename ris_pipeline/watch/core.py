"""The watch itself: one line in any training loop.

    watch = Watch(model, optimizer, run="runs/mine")
    for epoch in range(epochs):
        for batch in batches:
            ...
            with watch.step(terms, weights):
                loss.backward(); optimizer.step(); optimizer.zero_grad()
        watch.epoch(train=mean, validation=value)

It reads and never writes: weights, gradients, random numbers, modes and hooks of others are left as
they are. A fault of its own is reported and ends the watch, never the training.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ris_pipeline._errors import InputError
from ris_pipeline._version import __version__
from ris_pipeline.watch._hooks import as_list, inner
from ris_pipeline.watch._seen import distributed
from ris_pipeline.watch.alarms import Alarm, kinds
from ris_pipeline.watch.bookkeeping import Average
from ris_pipeline.watch.journal import NAME, Journal
from ris_pipeline.watch.observers import Observers
from ris_pipeline.watch.options import Options
from ris_pipeline.watch.sampling import Sampling
from ris_pipeline.watch.spectral import Spectrum

_logger = logging.getLogger(__name__)


class _Nobody:
    """In the place of the observers of a model that they could not be made for."""

    batches = 0
    epoch_now = 1

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


class Watch:
    """Watches a training loop, and says what is wrong with it.

    Args:
        model: what is trained; wrapped or not.
        optimizer: one or several.
        run: folder for the journal `watch.jsonl`; none is kept without it.
        scheduler: one or several, and
        scaler: the GradScaler: without them those in memory that drive the optimisers are found.
        averages: averaged models (or dictionaries of parameters) by name, e.g. EMA.
        epochs: of the whole run, if known.
        clip: the threshold of the gradient clipping, if known.
        hinge: the term that opens the eigengap; by default the first with "gap" in its name.
        higher_is_better: of the validation, e.g. an accuracy.
        ignore: names of alarms that are not to be raised.
        sampling: how much time may be spent.
        log: called with every line; by default the lines go to the logger of this module, alarms
            as warnings.
        lines: also say `[DEBUG]`, `[OPT]`, `[GRAD]` and `Epoch`, not only alarms.

    Raises:
        InputError: no module, no optimiser, an unknown alarm, or a folder that cannot be written.
            Later calls never raise: what they cannot use ends the watch with a report.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        run: str | Path | None = None,
        *,
        scheduler: Any = None,
        scaler: Any = None,
        averages: Mapping[str, Average] | None = None,
        epochs: int | None = None,
        clip: float | None = None,
        hinge: str | None = None,
        higher_is_better: bool = False,
        ignore: Sequence[str] = (),
        sampling: Sampling | None = None,
        log: Callable[[str], None] | None = None,
        lines: bool = True,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model is a {type(model).__name__}: allowed is a torch module")
        optimisers = [inner(one) for one in as_list(optimizer)]
        if not optimisers:
            raise InputError("optimizer is empty: allowed is a torch optimiser, or several")
        unknown = [name for name in ignore if name not in kinds()]
        if unknown:
            raise InputError(f"ignore = {unknown[0]!r}: allowed are {', '.join(kinds())}")
        self.alarms: list[Alarm] = []
        self.ended: str | None = None
        self.journal = Journal(None if run is None else Path(run) / _journal_name())
        self._log, self._ignore = log, frozenset(ignore)
        options = Options(
            as_list(scheduler), scaler, averages or {}, epochs, clip, hinge, higher_is_better, lines
        )
        self._observers: Any = _Nobody()
        self._handles: list[Any] = []
        self._guarded(self._build)(model, optimisers, options, sampling or Sampling())

    def _build(
        self,
        model: nn.Module,
        optimisers: Sequence[Any],
        options: Options,
        sampling: Sampling,
    ) -> None:
        self._observers = Observers(
            model, optimisers, options, sampling, self.journal, self._tell, self._say
        )
        self._handles = self._observers.attach(self._guarded)
        self.journal.write(
            "start",
            version=__version__,
            torch=torch.__version__,
            parameters=sum(p.numel() for p in model.parameters()),
            optimisers=[type(o).__name__ for o in optimisers],
            epochs=options.epochs,
            higher_is_better=options.higher_is_better,
        )

    @contextmanager
    def step(
        self,
        terms: Tensor | Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
        **given: Any,
    ) -> Iterator[None]:
        """A batch: the backward pass, and the optimiser step if there is one, stand inside.

        Args:
            terms: the loss, or its terms by name, as tensors that the backward pass goes through.
            weights: of the terms in the loss, 1 where none are given.
            given: see `begin`.
        """
        self.begin(terms, weights, **given)
        try:
            yield
        except BaseException:
            self._observers.drop()
            raise
        self.end()

    def begin(
        self,
        terms: Tensor | Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
        *,
        loss: Tensor | None = None,
        batch: Any = None,
        covariance: Any = None,
        k: int | Tensor | None = None,
        eigenvalues: Tensor | None = None,
        gap: Tensor | None = None,
        subspace: Tensor | None = None,
        sources: int | Tensor | None = None,
    ) -> None:
        """What `step` does on entering, for loops that cannot use a `with`; ends an open batch.

        Args:
            terms: as in `step`.
            weights: as in `step`.
            loss: the sum, where it holds more than the terms.
            batch: inputs first and targets last, in any nesting; by default the inputs of all
                forward passes of the model since the last batch.
            covariance: (..., n, n), or factored, that the terms were computed from.
            k: order of the eigengap; an integer or (...).
            eigenvalues: (..., m) that the loop takes for its largest, descending.
            gap: (...) that the loop takes for lambda_k - lambda_{k+1}.
            subspace: (..., n, k) that the loop takes for the signal subspace.
            sources: the true number; an integer or (...).
        """
        spectrum = Spectrum(covariance, k, eigenvalues, gap, subspace, sources)
        self._guarded(self._observers.begin)(terms, weights, loss, batch, spectrum)

    def due(self) -> bool:
        """Whether the next batch will be looked at closely: then its terms need their graphs, which
        a replayed one (`replayed`) does not have."""
        said: list[bool] = []
        self._guarded(lambda: said.append(self._observers.due()))()
        return any(said)

    @contextmanager
    def replayed(
        self,
        arrived: Mapping[str, Tensor],
        followed: Collection[str],
        reached: Collection[Tensor],
    ) -> Iterator[None]:
        """A backward pass that no hook sees, after `begin`: replayed as a graph. The parameters get
        their gradients inside.

        Args:
            arrived: the gradients that came to the loss (`loss`) and to each term.
            followed: the terms that had a graph.
            reached: the parameters that get a gradient.
        """
        self._guarded(self._observers.replay_begins)(arrived, followed)
        yield
        self._guarded(self._observers.replay_ends)(reached)

    def end(self) -> None:
        """What `step` does on leaving."""
        self._guarded(self._observers.end)()

    def validation_batch(self, batch: Any) -> None:
        """A batch of the validation, where the model's own forward pass does not show it."""
        self._guarded(self._observers.validation_batch)(batch)

    def epoch(
        self,
        train: float | None = None,
        validation: float | None = None,
        best: float | None = None,
    ) -> None:
        """An epoch is over.

        Args:
            train: the training loss that the loop reports for it.
            validation: the validation figure that the loop reports for it.
            best: the best validation figure that the loop believes in.
        """
        self._guarded(self._observers.epoch)(train, validation, best)

    def close(self) -> None:
        """Take every hook off; the last line of the journal."""
        if self.ended is None:
            self._guarded(self._write_end)()
            self._detach(self.ended or "closed")

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _write_end(self) -> None:
        seen = self._observers
        seen.close()
        self.journal.write("end", epochs=seen.epochs_done, alarms=len(self.alarms))

    def _guarded(self, function: Callable[..., None]) -> Callable[..., None]:
        """The one boundary: what goes wrong inside is reported, ends the watch, goes no further."""

        def guarded(*arguments: Any, **named: Any) -> None:
            if self.ended is not None:
                return
            try:
                function(*arguments, **named)
            except Exception as error:  # noqa: BLE001  a watch must never end a training
                self._fail(error)

        return guarded

    def _fail(self, error: Exception) -> None:
        self._detach("fault")
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        line = f"[WATCH] ended by a fault of its own, the training goes on: {said}"
        try:
            self.journal.write("fault", error=said, step=self._observers.batches)
            self._say(line, logging.ERROR)
        except Exception:
            # The same boundary: the disk, or the user's `log`, may be what failed.
            _logger.exception(line)

    def _detach(self, why: str) -> None:
        self.ended = why
        self._observers.drop()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _tell(self, name: str, seen: str) -> None:
        """Raise an alarm, once for each name and cause."""
        raised = {alarm.name for alarm in self.alarms}
        if name in self._ignore | raised or not raised.isdisjoint(kinds()[name].after):
            return
        alarm = Alarm(name, seen, self._observers.epoch_now, self._observers.batches)
        self.alarms.append(alarm)
        self.journal.write("alarm", **alarm.record())
        self._say(alarm.line(), logging.WARNING)

    def _say(self, line: str, level: int = logging.INFO) -> None:
        if self._log is not None:
            self._log(line)
        else:
            _logger.log(level, line)


def _journal_name() -> str:
    rank = torch.distributed.get_rank() if distributed() else 0
    return f"watch.rank{rank}.jsonl" if rank else NAME
