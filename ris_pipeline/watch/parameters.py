"""What is seen of the parameters: who holds them, what moves, what is frozen or shared."""

import math
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ris_pipeline.watch._held import Held
from ris_pipeline.watch._seen import EVIDENCE, MOVED, Tell, listed, sample_of, samples_of
from ris_pipeline.watch.optimiser import Optimisers

RATIO_RANGE = (1e-7, 0.1)
"""Of |update| / |weights|: the rounding of float32, 2^-24, and a tenth of the weights a step."""

RATIO_LOOKS = 10
"""Looks in a row beyond the range. Weights that start at zero and go straight are below a tenth
from the eleventh step on."""

GROWN = 10.0
"""Times the weights' start, from which a start of any use has been thrown away."""

SAMPLE = 256
"""Entries of a parameter by which it is seen to move."""

FEW = 8
"""A parameter of fewer entries may move and come back, on a lattice: it is looked at between."""


class Parameters:
    """Raises the alarms of the family `optimiser` that concern whole epochs."""

    def __init__(self, tell: Tell, model: nn.Module, optimisers: Optimisers) -> None:
        self.tell, self.model, self.optimisers = tell, model, optimisers
        self.named = dict(model.named_parameters())
        self.live = {name for name, p in self.named.items() if p.requires_grad}
        self.samples = self.initial = self._samples()
        self.first = self._size()
        self.due: set[int] = set()
        self.few = {n: p for n, p in self.named.items() if p.numel() < FEW}
        self.seen: Mapping[str, Tensor] = {}
        self.moving: set[str] = set()

    def start(self) -> None:
        """Before the first step: what can be said of the lists alone."""
        self.due = self._due()
        counts = Counter(id(p) for held in self.optimisers.held for p in held.parameters)
        twice = [self.optimisers.names.get(key, "?") for key, n in counts.items() if n > 1]
        if twice:
            self.tell("parameters-held-twice", listed(twice))
        for held in self.optimisers.held:
            for place, group in enumerate(held.optimiser.param_groups):
                if group["params"] and not any(p.requires_grad for p in group["params"]):
                    self.tell("frozen", f"{held.label}no parameter of group {place} is trainable")
        self._shared()

    def _shared(self) -> None:
        places: dict[tuple[int, tuple[int, ...]], str] = {}
        for name, parameter in self.named.items():
            if not parameter.numel() or parameter.device.type == "meta":
                continue
            key = parameter.data_ptr(), tuple(parameter.shape)
            if key in places:
                self.tell("shared", f"{places[key]} and {name} are one piece of memory")
            places[key] = name
        for name, module in self.model.named_modules():
            if isinstance(module, nn.ModuleList | nn.Sequential):
                held = [m for m in module if any(True for _ in m.parameters())]
                if len({id(m) for m in held}) < len(held):
                    self.tell("shared", f"{name or 'the model'} holds one layer several times")

    def epoch(self, moved: float) -> None:
        """At the end of an epoch; moved: the relative change of all weights in it."""
        self._held()
        self._frozen()
        samples = self._samples()
        for held in self.optimisers.held:
            if held.epoch_backwards >= EVIDENCE:
                self._gradients(held)
            if held.epoch_steps >= EVIDENCE:
                self._starved(held)
                self._still(held, samples, moved)
                self._ratio(held)
        self.samples = samples
        self.due = self._due()
        self.moving = set()

    def look(self) -> None:
        """Between two steps: which of the small parameters have moved."""
        now = samples_of(self.few, SAMPLE)
        self.moving |= {n for n, s in self.seen.items() if not torch.equal(s, now[n])}
        self.seen = now

    def _due(self) -> set[int]:
        """What is to get gradients in the epoch that begins: held, and trainable."""
        held = (p for one in self.optimisers.held for p in one.parameters)
        return {id(p) for p in held if p.requires_grad}

    def moved(self) -> float:
        """|change| / |weights| since the last call of `epoch`, over samples of all weights."""
        now = self._samples()
        change = sum(float((now[n] - s).square().sum()) for n, s in self.samples.items())
        size = sum(float(s.square().sum()) for s in self.samples.values())
        return (change / size) ** 0.5 if size else 0.0

    def _size(self) -> float:
        return sum(float(s.square().sum()) for s in self._samples().values()) ** 0.5

    def _samples(self) -> Mapping[str, Tensor]:
        return samples_of(self.named, SAMPLE)

    def _held(self) -> None:
        owner, touched = self.optimisers.owner, self.optimisers.touched
        loose = {n: p for n, p in self.named.items() if p.requires_grad and id(p) not in owner}
        idle = [
            p
            for held in self.optimisers.held
            for p in held.parameters
            if id(p) not in self.optimisers.names and id(p) not in touched
        ]
        shapes = {tuple(p.shape) for p in idle}
        stale = [name for name, p in loose.items() if tuple(p.shape) in shapes]
        reached = {n for n, p in loose.items() if id(p) in touched or p.grad is not None}
        missed = [name for name in loose if name in reached and name not in stale]
        if stale:
            self.tell(
                "parameters-of-old-module",
                f"{len(idle)} held parameters are not of the model, in the place of "
                f"{listed(stale)}",
            )
        if missed:
            self.tell("parameters-not-held", listed(missed))

    def _frozen(self) -> None:
        now = {name for name, p in self.named.items() if p.requires_grad}
        lost = sorted(self.live - now)
        if lost:
            self.tell("frozen", f"{listed(lost)} stopped requiring a gradient")
        self.live |= now

    def _gradients(self, held: Held) -> None:
        seen = self.optimisers
        due = [p for p in held.parameters if p.requires_grad and id(p) in self.due]
        names = {id(p): seen.names.get(id(p)) for p in due}
        without = [n for key, n in names.items() if n is not None and key not in seen.touched]
        if without and len(without) < len(names):
            self.tell("no-gradient", f"{len(without)} parameters: {listed(without)}")
        zero = [n for key, n in names.items() if n and seen.zero.get(key, 0) >= EVIDENCE]
        if zero:
            self.tell("gradient-zero", f"{len(zero)} parameters: {listed(zero)}")

    def _starved(self, held: Held) -> None:
        """All of an optimiser's parameters are left out, though it steps."""
        seen = self.optimisers
        known = all(id(p) in seen.names and id(p) not in seen.touched for p in held.parameters)
        if known and not held.fed:
            said = f"none of its {len(held.parameters)} parameters in {held.epoch_steps} steps"
            self.tell("no-gradient", held.label + said)

    def _still(self, held: Held, samples: Mapping[str, Tensor], moved: float) -> None:
        # A schedule may have set another rate since the last step.
        rates = {
            id(p): max(rates)
            for group, rates in zip(held.optimiser.param_groups, held.group_rates, strict=False)
            for p in group["params"]
        }
        still = [
            name
            for name, p in self.named.items()
            if rates.get(id(p), 0) > 0
            and id(p) in self.optimisers.alive
            and torch.equal(samples[name], self.samples[name])
            # Others move, or it never has: else the run may have come to its end.
            and (moved > MOVED or self._never_moved(name, samples))
            and _sampled_gradient(p)
        ]
        still = [name for name in still if name not in self.moving]
        if still:
            self.tell("weights-still", f"{len(still)} parameters with a gradient: {listed(still)}")

    def _never_moved(self, name: str, samples: Mapping[str, Tensor]) -> bool:
        return torch.equal(samples[name], self.initial[name])

    def _ratio(self, held: Held) -> None:
        ratios = [ratio for ratio in held.ratios[-RATIO_LOOKS:] if math.isfinite(ratio)]
        low, high = RATIO_RANGE
        moving = max(rate for rates in held.rates for rate in rates) > 0
        thrown = min(ratios, default=0) > high and self._size() > GROWN * self.first > 0
        # A run that has come to its end, or to the optimum, stands still by right.
        beyond = thrown or held.fastest < low
        if len(ratios) == RATIO_LOOKS and moving and beyond:
            middle = sorted(ratios)[RATIO_LOOKS // 2]
            self.tell("update-ratio", f"{held.label}|update| / |weights| is {middle:.1e}")


def _sampled_gradient(parameter: Tensor) -> bool:
    """Whether the sampled entries had a gradient: rows of an embedding may have had none."""
    return (
        parameter.numel() <= SAMPLE
        or parameter.grad is None
        or bool(sample_of([parameter.grad], SAMPLE).any())
    )
