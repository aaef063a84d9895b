"""The observers of all families behind one watch, and the hooks that feed them."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ris_pipeline.watch import lines
from ris_pipeline.watch._held import Held
from ris_pipeline.watch._hooks import (
    Hook,
    after_backward,
    check_terms,
    has_closure,
    is_dropout,
    make_block,
    mode_layers,
    parameter_names,
    schedulers_of,
)
from ris_pipeline.watch._seen import (
    LOSS,
    Block,
    NoGradientError,
    Streaks,
    Tell,
    distributed,
    tensors_in,
)
from ris_pipeline.watch.bookkeeping import Bookkeeping, Losses
from ris_pipeline.watch.clipping import Clipping
from ris_pipeline.watch.data import Data, Marks, holds_nan, marks_of, on_cpu
from ris_pipeline.watch.journal import Journal, epoch_fields, step_fields
from ris_pipeline.watch.optimiser import Optimisers
from ris_pipeline.watch.options import Options
from ris_pipeline.watch.parameters import Parameters
from ris_pipeline.watch.rates import Rates
from ris_pipeline.watch.sampling import Sampling
from ris_pipeline.watch.spectral import Spectral, Spectrum
from ris_pipeline.watch.terms import Terms

MOST_BLOCKS = 2**16
"""Batches since the last call of `epoch` that are kept: a loop may never call it."""

MOST_PARTS = 16
"""Outputs of parts of the model that are kept, and forward passes of a batch, the last ones."""

Guard = Callable[[Callable[..., None]], Callable[..., None]]


class Observers:
    """Takes what the loop calls and what the hooks see to the observers of each family."""

    def __init__(
        self,
        model: nn.Module,
        optimisers: Sequence[Optimizer],
        options: Options,
        sampling: Sampling,
        journal: Journal,
        tell: Tell,
        say: Callable[[str], None],
    ) -> None:
        self.batches = self.epochs_done = 0
        self._model, self._options = model, options
        self._sampling, self._journal = sampling, journal
        self._tell, self._say = tell, say
        names, clipping = parameter_names(model), Clipping(tell, options.clip)
        self._optimisers = Optimisers(tell, names, optimisers, options.scaler, clipping)
        self._parameters = Parameters(tell, model, self._optimisers)
        self._rates = Rates(tell, self._optimisers, options.epochs)
        self._terms = Terms(tell)
        self._spectral = Spectral(tell, options.hinge)
        self._data = Data(tell)
        self._books = Bookkeeping(tell, model, options.averages, options.higher_is_better)
        self._streaks = Streaks()
        self._layers = mode_layers(model)
        self._groups = lines.two_groups(model, optimisers)
        self._hooked: set[int] = set()
        self._block: Block | None = None
        self._open = self._in_backward = self._own = self._single_pass = False
        self._due: bool | None = None
        self._blocks: list[Block] = []
        self._whole = True
        self._validated_in: set[bool] = set()
        self._shown_in: set[bool] = set()
        self._calls: list[Any] = []
        self._outputs: list[Tensor] = []
        self._parts: list[Tensor] = []

    @property
    def epoch_now(self) -> int:
        """The epoch under way, or the one that has just ended, from 1."""
        return self.epochs_done + 1 if self._blocks or self._open else max(1, self.epochs_done)

    def attach(self, guard: Guard) -> list[Any]:
        """Put the hooks on; returns their handles."""
        model = self._model
        handles: list[Any] = [
            model.register_forward_pre_hook(Hook(guard(self._before_forward)), with_kwargs=True),
            model.register_forward_hook(Hook(guard(self._after_forward))),
        ]
        for child in model.children():
            handles.append(child.register_forward_hook(Hook(guard(self._after_child))))
        parameters: dict[int, Tensor] = {id(p): p for p in model.parameters()}
        for held in self._optimisers.held:
            parameters |= {id(p): p for p in held.parameters}
            before = guard(functools.partial(self._before_step, held))
            after = guard(functools.partial(self._after_step, held))
            handles += [
                held.optimiser.register_step_pre_hook(Hook(before)),
                held.optimiser.register_step_post_hook(Hook(after)),
            ]
        self._guard, self._watched, self._handles = guard, parameters, handles
        self._hook_parameters()
        return handles

    def _hook_parameters(self) -> None:
        """Those that require a gradient and have no hook yet: a frozen one may be set free."""
        for key, parameter in self._watched.items():
            if parameter.requires_grad and parameter.is_leaf and key not in self._hooked:
                self._hooked.add(key)
                reached = Hook(self._guard(functools.partial(self._reached, key)))
                self._handles.append(parameter.register_post_accumulate_grad_hook(reached))

    def begin(
        self,
        terms: Tensor | Mapping[str, Tensor],
        weights: Mapping[str, float] | None,
        loss: Tensor | None,
        batch: Any,
        spectrum: Spectrum,
    ) -> None:
        """A batch: see `Watch.begin`."""
        self._end_block()
        held, total = check_terms(terms)
        loss = total if loss is None else loss
        if self.batches == 0:
            self._start()
        self._rates.settle()
        self.batches += 1
        block = make_block(self.batches, self.due(), held, weights, loss)
        self._block, self._open, self._due = block, True, None
        self._shown_in = set()
        self._data.batch_begins()
        self._hook_terms(block)
        with self._sampling.spending():
            self._see_batch(block, batch)
            self._see_mode()
            if block.looked:
                self._parameters.look()
                self._look(block, spectrum)
        if self.batches == 1 and self._options.lines:
            self._say(lines.debug_line(float(block.total)))
        self._outputs, self._parts = [], []

    def due(self) -> bool:
        """Whether the next batch will be looked at closely."""
        self._due = self._sampling.due() if self._due is None else self._due
        return self._due

    def replay_begins(self, arrived: Mapping[str, Tensor], followed: Collection[str]) -> None:
        """See `Watch.replayed`."""
        block = self._block
        assert block is not None
        block.followed = frozenset(followed)
        block.arrived = {name: [gradient] for name, gradient in arrived.items()}
        self._backward_begins(block)

    def replay_ends(self, reached: Collection[Tensor]) -> None:
        """The gradients are where the optimisers find them."""
        for parameter in reached:
            self._optimisers.reached(id(parameter))
        self._backward_ended()

    def end(self) -> None:
        """The batch is over, and nothing was raised."""
        self._end_block()
        # Forward passes within it, as of a closure, are none of the next one's.
        self._calls = []

    def _end_block(self) -> None:
        block = self._block
        if block is None or not self._open:
            return
        with self._sampling.spending():
            self._terms.end(block)
            self._optimisers.block_ends()
            if block.looked:
                self._journal.write("step", **step_fields(block, self._optimisers.held))
        self._drop_block()
        self._blocks.append(block)
        if len(self._blocks) > MOST_BLOCKS:
            self._blocks, self._whole = self._blocks[MOST_BLOCKS // 2 :], False

    def drop(self) -> None:
        """The batch was broken off, or the watch has ended: hold on to nothing."""
        self._drop_block()
        self._outputs, self._parts, self._calls = [], [], []

    def validation_batch(self, batch: Any) -> None:
        """See `Watch.validation_batch`."""
        self._validated_in |= {layer.training for layer in self._layers}
        self._data.validate(marks_of(batch))

    def epoch(self, train: float | None, validation: float | None, best: float | None) -> None:
        """An epoch is over: see `Watch.epoch`."""
        self.end()
        values = [float(block.total) for block in self._blocks]
        with self._sampling.spending():
            moved = self._parameters.moved()
            self._check_values(values)
            self._optimisers.epoch()
            self._parameters.epoch(moved)
            self._rates.epoch(self.epochs_done + 1, len(self._blocks))
            # Each process knows its own losses only.
            if train is not None and self._whole and not distributed():
                self._books.train(float(train), Losses.of(values, self._blocks))
            if validation is not None:
                self._books.validation(float(validation), moved)
                if self._layers and self._validated_in | self._shown_in == {True}:
                    said = f"{len(self._layers)} layers in training mode"
                    self._tell("validating-in-train-mode", said)
            if best is not None:
                self._books.best(float(best))
            self._books.follow(moved)
            self._hook_parameters()
            self._data.epoch(validation is not None)
        self.epochs_done += 1
        self._write_epoch(train, validation, values)
        self._optimisers.forget_epoch()
        self._blocks, self._whole = [], True
        self._validated_in, self._shown_in = set(), set()

    def close(self) -> None:
        """The run is over."""
        self._rates.settle()

    # What the hooks call.

    def _before_forward(self, module: nn.Module, arguments: Any, named: Any) -> None:
        if torch.is_grad_enabled():
            self._calls.append((arguments, named))
            del self._calls[:-MOST_PARTS]
        else:
            self._see_validation(Marks(marks_of((arguments, named)).inputs))

    def _after_forward(self, module: nn.Module, arguments: Any, output: Any) -> None:
        if torch.is_grad_enabled():
            self._outputs = [t for t in tensors_in(output) if t.requires_grad]

    def _after_child(self, module: nn.Module, arguments: Any, output: Any) -> None:
        # For loops that call parts of a model, as a LightningModule does.
        if torch.is_grad_enabled():
            self._parts += [t for t in tensors_in(output) if t.requires_grad]
            del self._parts[:-MOST_PARTS]

    def _arrived(self, name: str, gradient: Tensor) -> None:
        block = self._block
        if block is None or self._own:
            return
        block.arrived.setdefault(name, []).append(gradient.detach().clone())
        if not self._in_backward:
            self._backward_begins(block)
            after_backward(self._guard(self._backward_ended))

    def _backward_begins(self, block: Block) -> None:
        self._in_backward = True
        block.events.append("backward")
        with self._sampling.spending():
            self._optimisers.backward_begins(block)

    def _backward_ended(self) -> None:
        self._in_backward = False
        block = self._block
        if block is None:
            return
        with self._sampling.spending():
            self._optimisers.backward_ends(block)
        first = block.number <= lines.LOGGED_BATCHES and block.backwards == 1
        if first and self._options.lines:
            for line in lines.gradient_lines(
                block.number, self._model, self._groups, self._optimisers
            ):
                self._say(line)

    def _reached(self, key: int, parameter: Tensor) -> None:
        self._optimisers.reached(key)

    def _before_step(self, held: Held, optimiser: Any, arguments: Any, named: Any) -> None:
        block = self._block
        looked = block is not None and block.looked
        with self._sampling.spending():
            if looked:
                self._optimisers.note_weights(held)
            if not has_closure(arguments, named):
                self._optimisers.before_step(held, block, looked)

    def _after_step(self, held: Held, optimiser: Any, arguments: Any, named: Any) -> None:
        block = self._block
        with self._sampling.spending():
            if has_closure(arguments, named):
                self._optimisers.before_step(held, block, block is not None and block.looked)
            self._optimisers.after_step(held)
        if block is not None:
            block.events.append("step")

    # Parts of the above.

    def _start(self) -> None:
        """Before the first batch: the loop has made all that it will use."""
        self._parameters.start()
        held = self._optimisers.held
        found = self._options.schedulers or schedulers_of([one.optimiser for one in held])
        self._rates.start(found)

    def _hook_terms(self, block: Block) -> None:
        terms = dict(block.terms)
        if block.loss is not None:
            terms[LOSS] = block.loss
        for name, term in terms.items():
            if term.requires_grad:
                arrived = self._guard(functools.partial(self._arrived, name))
                block.handles.append(term.register_hook(Hook(arrived)))

    def _see_batch(self, block: Block, batch: Any) -> None:
        seen, self._calls = self._calls if batch is None else [batch], []
        # Reading a device waits for it, so what lies there is read on looks only.
        if not seen or not (block.looked or on_cpu(seen)):
            return
        marks = [marks_of(one) for one in seen]
        block.rows = max(len(one.inputs) for one in marks) or None
        if batch is None:
            # The last argument of a forward pass is no target.
            marks = [Marks(tuple(row for one in marks for row in one.inputs))]
        self._data.train(marks[0])
        if block.looked:
            self._data.nan(holds_nan(seen))

    def _see_validation(self, marks: Marks) -> None:
        self._shown_in |= {layer.training for layer in self._layers}
        self._data.show(marks)

    def _see_mode(self) -> None:
        resting = not any(layer.training for layer in self._layers)
        resting &= not self._model.training or any(map(is_dropout, self._layers))
        if self._streaks.held("mode", bool(self._layers) and resting):
            self._tell("training-in-eval-mode", f"{len(self._layers)} layers in evaluation mode")

    def _look(self, block: Block, spectrum: Spectrum) -> None:
        """Gradients of the terms at the outputs and at the covariance, by passes of our own."""
        if self._single_pass:
            return
        self._own = True
        try:
            anchors = self._outputs or self._parts
            if spectrum.covariance is not None:
                self._spectral.begin(block, spectrum)
                anchors = anchors or [x for x in spectrum.leaves if x.requires_grad]
            self._terms.begin(block, anchors)
        except NoGradientError as error:
            self._single_pass = True
            self._journal.write("note", step=block.number, said=f"terms not compared: {error}")
        finally:
            self._own = False

    def _drop_block(self) -> None:
        if self._block is not None:
            self._block.let_go()
        self._open = self._in_backward = False

    def _check_values(self, values: Sequence[float]) -> None:
        graph = any(block.followed for block in self._blocks)
        # Gradients may be set by hand, as `torch.func` gives them.
        live = bool(self._optimisers.touched) or any(one.fed for one in self._optimisers.held)
        self._terms.epoch(values, graph, live)

    def _write_epoch(
        self, train: float | None, validation: float | None, values: Sequence[float]
    ) -> None:
        held = self._optimisers.held
        steps = max(one.steps for one in held)
        self._journal.write(
            "epoch",
            epoch=self.epochs_done,
            train=None if train is None else float(train),
            validation=None if validation is None else float(validation),
            **epoch_fields(values, held),
            looked=sum(block.looked for block in self._blocks),
        )
        if not self._options.lines:
            return
        self._say(lines.step_line(steps, self.batches))
        if train is not None and validation is not None:
            epochs = self._options.epochs or self.epochs_done
            figures = float(train), float(validation)
            self._say(lines.epoch_line(self.epochs_done, epochs, *figures))
