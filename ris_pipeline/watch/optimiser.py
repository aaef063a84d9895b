"""What is seen of the optimisers: gradients before a step, weights after it, the order of calls.

A hook on each parameter says that a backward pass reached it, hooks on each optimiser see its
steps. A norm is the 2-norm over all gradients of an optimiser.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ris_pipeline.watch._held import Held
from ris_pipeline.watch._hooks import scaler_in_memory
from ris_pipeline.watch._seen import EVIDENCE, Block, Streaks, Tell, listed, sample_of
from ris_pipeline.watch.clipping import Clipping

SKIPS = 10
"""Halvings after which a loss scale of 65536 is 64."""

ROUNDING = 1e-6
"""Share of the norm below which a gradient may be rounding alone, as of a bias that normalization
takes out again: a dozen times the rounding of float32."""

MOST_RATES = 2**16
"""Steps of an epoch whose rates are kept."""

MOST_GROUP = 256
"""Backward passes since the last step that are kept: there may never be one."""

KEPT = 1000
"""Figures of looks that are kept over an epoch's end."""

SAMPLE = 64
"""Entries of each parameter by which an update is measured."""


class Optimisers:
    """Raises the alarms of the family `optimiser` that concern single steps."""

    def __init__(
        self,
        tell: Tell,
        names: Mapping[int, str],
        optimisers: Sequence[Optimizer],
        scaler: Any,
        clipping: Clipping,
    ) -> None:
        self.clipping = clipping
        self.tell, self.names, self.scaler = tell, names, scaler
        self._searched = scaler is not None
        self.streaks = Streaks()
        several = len(optimisers) > 1
        self.held = [
            Held(o, f"optimiser {i}: " if several else "") for i, o in enumerate(optimisers)
        ]
        self.owner: dict[int, Held] = {}
        self.see_owners()
        self.touched: set[int] = set()
        self.zero: dict[int, int] = {}
        self.alive: set[int] = set()
        self.loss_scale: float | None = 1.0

    def see_owners(self) -> None:
        """Who holds which parameter now."""
        self.owner = {id(p): held for held in self.held for p in held.parameters}

    def reached(self, key: int) -> None:
        """A backward pass has brought a gradient to a parameter of this identity."""
        self.touched.add(key)
        held = self.owner.get(key)
        if held is not None:
            held.reached = held.fresh = True
            held.used = False

    def backward_begins(self, block: Block) -> None:
        """Before any gradient of this pass."""
        if block.looked:
            self.loss_scale = self._loss_scale(block)
        for held in self.held:
            held.fresh = False
            gradient = held.witness.grad if held.witness is not None else None
            close = block.looked or held.carried
            left = gradient is not None and (not close or bool(gradient.any()))
            if not left:
                held.group, held.carried = [], 0
                held.clean = True
            elif held.used and (block.looked or _taken_before(held)):
                held.clean = False
            held.group = [*held.group, block][-MOST_GROUP:]

    def _loss_scale(self, block: Block) -> float | None:
        """That of the GradScaler; None where a loss is scaled up by something unknown."""
        if self.scaler is None and max(block.scales(), default=1.0) > 2:
            if not self._searched:
                self.scaler, self._searched = scaler_in_memory(), True
            if self.scaler is None:
                return None
        return 1.0 if self.scaler is None else float(self.scaler.get_scale())

    def backward_ends(self, block: Block) -> None:
        """After all gradients of this pass."""
        for held in self.held:
            if not held.fresh:
                held.group.pop()
                continue
            held.pending += 1
            held.epoch_backwards += 1
            if held.witness is None:
                _choose_witness(held)
            # Steps that are skipped are seen also by a watch that has spent its time.
            if block.looked or held.pending in (SKIPS + 1, SKIPS + 2):
                norms = _norms(held.parameters)
                held.norm, held.left = _total(norms), held.state()
                self._after_backward(held, norms)

    def _after_backward(self, held: Held, norms: Mapping[int, float]) -> None:
        bad = [key for key, norm in norms.items() if not math.isfinite(norm)]
        scaled = self.scaler is not None or self.loss_scale is None
        if bad and not scaled:
            self._not_finite(held, bad, norms)
        skips = bool(bad) and held.pending > SKIPS
        if self.streaks.held(f"skips {held.label}", skips, 2):
            said = f"{held.label}{held.pending} backward passes without a step, the last not finite"
            self.tell("scaler-skips" if scaled else "steps-skipped", said)

    def _not_finite(self, held: Held, bad: Iterable[int], norms: Mapping[int, float]) -> None:
        names = [self.names.get(key, "not of the model") for key in bad]
        good = _total({k: v for k, v in norms.items() if math.isfinite(v)})
        self.tell(
            "gradient-not-finite",
            f"{held.label}{len(names)} of {len(norms)} gradients ({listed(names)}); the norm of "
            f"the others is {good:.2e}",
        )

    def before_step(self, held: Held, block: Block | None, looked: bool) -> None:
        """The optimiser is about to step, or has, where a closure brought the gradients."""
        held.rates.append([float(group["lr"]) for group in held.optimiser.param_groups])
        del held.rates[:-MOST_RATES]
        empty = all(p.grad is None for p in held.parameters)
        held.fed |= not empty
        if looked and not empty:
            norms = _norms(held.parameters)
            total = _total(norms)
            bad = [key for key, norm in norms.items() if not math.isfinite(norm)]
            if bad:
                self._not_finite(held, bad, norms)
            # At the optimum it is zero by right, and was so when the backward pass ended.
            empty = total == 0 and held.norm != 0
            at_rest = total == 0 and block is not None and float(block.total) == 0
            held.norms.append(total)
            if not empty and not at_rest:
                self.clipping.used(held, total, self.loss_scale)
                for key, norm in norms.items():
                    self.zero[key] = self.zero.get(key, 0) + 1 if norm == 0 else -(10**9)
                self.alive |= {key for key, norm in norms.items() if norm > ROUNDING * total}
        held.empty = empty
        if looked or empty or held.clean is False:
            self._order(held, block, empty)
        if looked:
            self._divided(held)
        self._carried(held)

    def _order(self, held: Held, block: Block | None, empty: bool) -> None:
        early = block is not None and "backward" not in block.events
        if self.streaks.held(f"early {held.label}", empty and early):
            self.tell("step-before-backward", f"{held.label}the step finds no gradient")
        cleared = empty and not early and held.reached
        if self.streaks.held(f"cleared {held.label}", cleared):
            self.tell("gradients-cleared-before-step", f"{held.label}the step finds no gradient")
        held.repeats += int(not empty and held.used and _taken_before(held))
        if held.repeats >= EVIDENCE:
            self.tell("step-twice", f"{held.label}{held.repeats} steps used old gradients")
        known = held.reached and held.clean is not None
        if known and self.streaks.held(f"left {held.label}", not held.clean):
            self.tell("gradients-not-cleared", f"{held.label}gradients of earlier steps are left")

    def _divided(self, held: Held) -> None:
        blocks = {block.number: block for block in held.group}
        scale = self.loss_scale
        if len(blocks) < 2 or scale is None:
            return
        # Different losses in one step are no accumulation.
        if len({tuple(sorted(block.arrived)) for block in blocks.values()}) > 1:
            return
        scales = [one for block in blocks.values() for one in block.scales()]
        whole = bool(scales) and all(abs(one / scale - 1) < 1e-3 for one in scales)
        if self.streaks.held(f"divided {held.label}", whole):
            self.tell(
                "accumulation-not-divided",
                f"{held.label}{len(blocks)} losses go into a step, each at full weight",
            )

    def _carried(self, held: Held) -> None:
        """Gradients of the epoch before, beside those of a whole step."""
        numbers = {block.number for block in held.group}
        old = sum(number <= held.carried for number in numbers)
        if numbers and not old:
            held.sizes.add(len(numbers))
        elif old and held.sizes == {len(numbers) - old}:
            self.tell(
                "gradients-left-over",
                f"{held.label}{old} batches of the epoch before go into its first step, beside "
                f"{len(numbers) - old} as in every other",
            )

    def after_step(self, held: Held) -> None:
        """The optimiser has stepped."""
        held.steps += 1
        held.epoch_steps += 1
        if held.before is not None:
            after = sample_of(held.parameters, SAMPLE)
            size = float(held.before.norm())
            if size and held.before.shape == after.shape and held.reached and not held.empty:
                held.ratios.append(float((after - held.before).norm()) / size)
                held.fastest = max(held.fastest, held.ratios[-1])
        held.before, held.norm, held.clean = None, None, None
        held.reached, held.used, held.pending = False, True, 0
        held.group, held.carried = [], 0
        _choose_witness(held)
        gradient = held.witness.grad if held.witness is not None else None
        held.taken = None if gradient is None else (gradient, gradient._version)
        held.spent = held.taken

    def note_weights(self, held: Held) -> None:
        """Keep a sample of the weights until the step is done."""
        held.before = sample_of(held.parameters, SAMPLE)

    def block_ends(self) -> None:
        """Gradients that were used: has somebody changed them since?"""
        for held in self.held:
            if held.spent is None or held.reached:
                continue
            gradient, version = held.spent
            changed = gradient._version > version and bool(gradient.any())
            if self.streaks.held(f"late {held.label}", changed):
                self.tell("clip-after-step", f"{held.label}gradients change after the step")
            held.spent = None

    def epoch(self) -> None:
        """At the end of an epoch."""
        self.see_owners()
        self.clipping.epoch(self.held)
        for held in self.held:
            held.carried = held.group[-1].number if held.group else 0
            held.epochs_without = 0 if held.epoch_steps else held.epochs_without + 1
            if held.epochs_without >= 2 and held.pending >= EVIDENCE:
                self.tell(
                    "step-never", f"{held.label}{held.pending} backward passes without a step"
                )

    def forget_epoch(self) -> None:
        """Start the counts of an epoch anew."""
        self.touched, self.alive, self.zero = set(), set(), {}
        for held in self.held:
            held.epoch_steps = held.epoch_backwards = 0
            held.fed = False
            held.rates, held.norms = [], []
            held.ratios = held.ratios[-KEPT:]
            held.clips = held.clips[-KEPT:]


def _norms(parameters: Iterable[Tensor]) -> dict[int, float]:
    """The norm of each gradient, by the identity of its parameter."""
    held = [p for p in parameters if p.grad is not None and p.grad.numel()]
    if not held:
        return {}
    gradients = [_dense(p.grad) for p in held if p.grad is not None]
    # In double precision the square of a finite float32 gradient cannot overflow.
    norms = torch.stack([torch.linalg.vector_norm(g, dtype=torch.float64) for g in gradients])
    return {id(p): norm for p, norm in zip(held, norms.tolist(), strict=True)}


def _dense(gradient: Tensor) -> Tensor:
    entries = gradient.coalesce().values() if gradient.is_sparse else gradient.detach()
    return torch.view_as_real(entries) if entries.is_complex() else entries


def _total(norms: Mapping[int, float]) -> float:
    return math.hypot(*norms.values())


def _choose_witness(held: Held) -> None:
    """The smallest parameter with a live gradient."""
    if held.witness is not None and held.witness.grad is not None:
        return
    with_gradient = [p for p in held.parameters if p.grad is not None and not p.grad.is_sparse]
    for parameter in sorted(with_gradient, key=lambda p: p.numel()):
        if parameter.grad is not None and bool(parameter.grad.any()):
            held.witness = parameter
            return


def _taken_before(held: Held) -> bool:
    """Whether the gradient is the one of the last step: hooks do not see one set by hand."""
    gradient = held.witness.grad if held.witness is not None else None
    if held.taken is None or gradient is None:
        return False
    return gradient is held.taken[0] and gradient._version == held.taken[1]
