"""What is seen of the loss terms: their values, their graphs, and their gradients side by side.

The gradients are taken at the outputs of the model (else at the covariance): the graph behind them,
compiled, hooked or recomputed as it may be, is left alone. A term that a step of gradient descent
on the sum drives uphill there is driven uphill by the weights too, to first order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ris_pipeline.watch._seen import EVIDENCE, LOOKS, Block, Streaks, Tell, gradients_at

NEVER_WEIGHS = 1e-5
"""Share of the gradient below which a term is irrelevant: one step in a hundred thousand."""

OPPOSES = 2.8
"""Standard deviations of a fair coin by which steps go uphill for the others more often than not:
8 looks of 8, or 34 of 48."""

YIELDS = 0.1
"""Share of a term's stated weight, or of its weighted value at the first look, up to which all
others are regularisers, meant to yield to it: an entropy bonus, a divergence from a prior. By the
value they begin at their least and rise to a level of their own, while this one does not."""

KEPT = 512
"""Looks at a term that are kept."""

WEIGHT_RTOL = 2e-2
"""Two roundings of bfloat16, 2^-7 each, and a little."""


@dataclass
class _History:
    """Of one term: its last value, how often it was the same, whether it was ever not zero."""

    last: float | None = None
    same: int = 0
    was_alive: bool = False


@dataclass
class _Standing:
    """Of one term at one output: how it stood to the others there, look by look.

    own, others: weighted values; light: the others began light, by their values.
    """

    uphill: list[bool] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    light: bool = False

    def value(self, own: float, others: float) -> None:
        """Enter the values of a look."""
        if not self.own:
            self.light = abs(others) <= YIELDS * own
        self.own.append(own)
        self.others.append(others)

    def yields(self) -> bool:
        """Whether the others are meant to yield, by the values."""
        return self.light and not _falls([-value for value in self.own], OPPOSES)

    def forget(self) -> None:
        """Keep the last `KEPT` looks."""
        for values in (self.uphill, self.cosines, self.shares, self.own, self.others):
            del values[:-KEPT]


class Terms:
    """Raises the alarms of the family `terms`."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.streaks = Streaks()
        self.history: dict[str, _History] = {}
        self.standings: dict[tuple[str, int], _Standing] = {}
        self._directions: dict[str, list[Tensor | None]] = {}
        self._entangled = False

    def begin(self, block: Block, anchors: Sequence[Tensor]) -> None:
        """Before the backward pass: graphs, and where the block is looked at, directions."""
        active = {n: t for n, t in block.terms.items() if block.weight(n) != 0}
        with_graph = {name for name, term in active.items() if term.requires_grad}
        for name in active:
            detached = name not in with_graph and bool(with_graph)
            if self.streaks.held(f"detached {name}", detached):
                self.tell("term-detached", f"term {name!r} has no graph")
        self._directions = {}
        if block.looked and anchors:
            live = {name: active[name] for name in sorted(with_graph)}
            self._directions = self._look(block, live, anchors)

    def _look(
        self, block: Block, live: dict[str, Tensor], anchors: Sequence[Tensor]
    ) -> dict[str, list[Tensor | None]]:
        """The gradient of each term at each anchor, as a real vector in double precision."""
        directions = {}
        self._entangled = False
        for name, term in live.items():
            others = [other for n, other in live.items() if n != name]
            parts = gradients_at(term, [*anchors, *others])
            self._entangled |= any(part is not None for part in parts[len(anchors) :])
            held = [None if p is None else _flat(p) for p in parts[: len(anchors)]]
            given = [part for part in held if part is not None]
            if not given:
                continue
            directions[name] = held
            still = not any(bool(part.any()) for part in given)
            dead = still and block.values[name].item() != 0
            if self.streaks.held(f"dead {name}", dead):
                self.tell("term-dead", f"term {name!r} is not zero and its gradient is")
        return directions

    def end(self, block: Block) -> None:
        """After the block: values, what the backward pass reached, and how directions stand."""
        for name, value in block.values.items():
            self._value(name, value, block)
        if not block.backwards:
            return
        active = {n: t for n, t in block.terms.items() if block.weight(n) != 0}
        reached = set(block.arrived)
        for name in active:
            left_out = name in block.followed and name not in reached and bool(reached)
            if self.streaks.held(f"left out {name}", left_out):
                self.tell("term-left-out", f"no gradient arrives at term {name!r}")
        if block.looked and block.backwards == 1:
            coefficients = {n: g[0].item() for n, g in block.arrived.items() if len(g) == 1}
            if self._entangled:
                # What arrives at a term includes what comes by way of another.
                coefficients = {n: block.weight(n) for n in coefficients}
            else:
                self._weights(block, coefficients)
            self._shares(coefficients)
            for place in range(max(map(len, self._directions.values()), default=0)):
                self._compare(block, coefficients, place)

    def _value(self, name: str, value: Tensor, block: Block) -> None:
        history = self.history.setdefault(name, _History())
        if not block.looked:
            # Read on looks only: reading a value waits for the device.
            return
        number = value.item()
        if not math.isfinite(number):
            self.tell("term-not-finite", f"{name!r} is {number}")
            return
        same = history.last is not None and history.last == number
        history.same = history.same + 1 if same else 0
        history.last = number
        history.was_alive |= number != 0
        satisfied = number == 0 and history.was_alive
        trained = block.weight(name) != 0 and bool(block.backwards)
        if history.same >= LOOKS - 1 and not satisfied and trained:
            self.tell("term-constant", f"term {name!r} is {number:.9g} at every step")

    def _weights(self, block: Block, coefficients: dict[str, float]) -> None:
        if block.weights is None:
            return
        ratios = {
            name: coefficients[name] / block.weights[name]
            for name in coefficients
            if block.weights.get(name)
        }
        if len(ratios) < 2:
            return
        middle = sorted(ratios.values())[len(ratios) // 2]
        for name, ratio in ratios.items():
            off = middle != 0 and abs(ratio / middle - 1) > WEIGHT_RTOL
            if self.streaks.held(f"weight {name}", off):
                self.tell(
                    "term-weight",
                    f"term {name!r} arrives with {ratio / middle:.3g} times its stated weight",
                )

    def _shares(self, coefficients: dict[str, float]) -> None:
        """The size of each weighted gradient among all, over all outputs."""
        sizes = {
            name: abs(coefficients[name])
            * sum(float(p.square().sum()) for p in parts if p is not None) ** 0.5
            for name, parts in self._directions.items()
            if name in coefficients
        }
        total = sum(sizes.values())
        for name, size in sizes.items():
            share = size / total if total else 1.0
            # A term that has come to rest, a satisfied hinge or a solved one, weighs nothing.
            if self.streaks.held(f"share {name}", 0 < share < NEVER_WEIGHS, LOOKS):
                self.tell("term-irrelevant", f"term {name!r} is {share:.1e} of the gradient")

    def _compare(self, block: Block, coefficients: dict[str, float], place: int) -> None:
        """How each weighted gradient stands to the sum of the others at one output."""
        weighted = {
            name: coefficients[name] * part
            for name, parts in self._directions.items()
            if name in coefficients and (part := parts[place]) is not None
        }
        if len(weighted) < 2 or not all(bool(v.isfinite().all()) for v in weighted.values()):
            return
        total = torch.stack(list(weighted.values())).sum(0)
        size = sum(float(v.norm()) for v in weighted.values())
        scale = max(abs(coefficients[name]) for name in weighted) or 1.0
        for name, vector in weighted.items():
            standing, others = self.standings.setdefault((name, place), _Standing()), total - vector
            product = float(vector.norm() * others.norm())
            cosine = float(vector @ others) / product if product else 0.0
            standing.shares.append(float(vector.norm()) / size if size else 0.0)
            standing.cosines.append(cosine)
            standing.uphill.append(float(total @ others) < 0)
            parts = {n: coefficients[n] / scale * block.values[n].item() for n in weighted}
            standing.value(parts[name], sum(parts.values()) - parts[name])
            standing.forget()
            heaviest = max(abs(block.weight(n)) for n in weighted if n != name)
            self._judge(name, standing, heaviest <= YIELDS * abs(block.weight(name)))

    def _judge(self, name: str, standing: _Standing, yields: bool) -> None:
        looks = len(standing.uphill)
        surplus = sum(standing.uphill) - looks / 2
        uphill = looks >= LOOKS and surplus >= OPPOSES * (looks / 4) ** 0.5
        if uphill and not (yields or standing.yields() or _falls(standing.others)):
            cosine = sorted(standing.cosines)[looks // 2]
            share = sorted(standing.shares)[looks // 2]
            self.tell(
                "term-opposes",
                f"term {name!r} points against the sum of the others (cosine {cosine:.2f}) with "
                f"{share:.0%} of the gradient, and they do not fall",
            )

    def epoch(self, losses: Sequence[float], with_graph: bool, gradients: bool) -> None:
        """At the end of an epoch: its losses; whether some term had a graph, and some parameter got
        a gradient."""
        bad = sum(not math.isfinite(loss) for loss in losses)
        if bad:
            self.tell("term-not-finite", f"the loss of {bad} of {len(losses)} batches")
        if len(losses) >= EVIDENCE and not with_graph and not gradients:
            self.tell("term-detached", "the loss has no graph and no parameter gets a gradient")


def _flat(gradient: Tensor) -> Tensor:
    real = torch.view_as_real(gradient) if gradient.is_complex() else gradient
    return real.detach().reshape(-1).to("cpu", torch.float64)


def _falls(values: Sequence[float], errors: float = 1.0) -> bool:
    """Whether the second half is below the first, by more standard errors of their means."""
    half = len(values) // 2
    first, last = torch.tensor(values[:half]), torch.tensor(values[-half:])
    error = float((first.var() + last.var()) / half) ** 0.5
    return float(first.mean() - last.mean()) > errors * error
