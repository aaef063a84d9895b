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

OPPOSES = -0.3
"""Cosine below which two gradients count as opposed. Gradients of unrelated terms in d dimensions
have cosines of about 1/sqrt(d); 0.3 is three of that at a hundred."""

WEIGHT_RTOL = 2e-2
"""Two roundings of bfloat16, 2^-7 each, and a little."""


@dataclass
class _History:
    """What is kept of one term: values for constancy, directions for opposition."""

    last: float | None = None
    same: int = 0
    was_alive: bool = False
    uphill: list[bool] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


class Terms:
    """Raises the alarms of the family `terms`."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.streaks = Streaks()
        self.history: dict[str, _History] = {}
        self._directions: dict[str, Tensor] = {}

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
    ) -> dict[str, Tensor]:
        """The gradient of each term at the anchors, as one real vector in double precision."""
        directions = {}
        for name, term in live.items():
            parts = gradients_at(term, anchors)
            if all(part is None for part in parts):
                continue
            pairs = zip(parts, anchors, strict=True)
            kept = [torch.zeros_like(a) if part is None else part for part, a in pairs]
            directions[name] = torch.cat([_flat(part) for part in kept])
            dead = not bool(directions[name].any()) and block.values[name].item() != 0
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
        for name, term in active.items():
            left_out = term.requires_grad and name not in reached and bool(reached)
            if self.streaks.held(f"left out {name}", left_out):
                self.tell("term-left-out", f"no gradient arrives at term {name!r}")
        if block.looked and block.backwards == 1:
            coefficients = {n: g[0].item() for n, g in block.arrived.items() if len(g) == 1}
            self._weights(block, coefficients)
            self._compare(block, coefficients)

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

    def _compare(self, block: Block, coefficients: dict[str, float]) -> None:
        """How each weighted gradient stands to the sum of the others."""
        weighted = {
            name: coefficients[name] * vector
            for name, vector in self._directions.items()
            if name in coefficients
        }
        if len(weighted) < 2 or not all(bool(v.isfinite().all()) for v in weighted.values()):
            return
        total = torch.stack(list(weighted.values())).sum(0)
        size = sum(float(v.norm()) for v in weighted.values())
        for name, vector in weighted.items():
            history, others = self.history[name], total - vector
            product = float(vector.norm() * others.norm())
            cosine = float(vector @ others) / product if product else 0.0
            history.shares.append(float(vector.norm()) / size if size else 1.0)
            history.cosines.append(cosine)
            history.uphill.append(cosine < OPPOSES and float(total @ others) < 0)
            scale = abs(coefficients[name]) or 1.0
            history.others.append(
                sum(coefficients[n] / scale * block.values[n].item() for n in weighted if n != name)
            )
            self._judge(name, history)

    def _judge(self, name: str, history: _History) -> None:
        shares = history.shares[-LOOKS:]
        # A term that has come to rest, a satisfied hinge or a solved one, has no gradient to weigh.
        small = [0 < share < NEVER_WEIGHS for share in shares]
        if len(shares) == LOOKS and all(small):
            self.tell("term-irrelevant", f"term {name!r} is {max(shares):.1e} of the gradient")
        looks = len(history.uphill)
        if looks < LOOKS or sum(history.uphill) < 0.9 * looks:
            return
        half = looks // 2
        before = sum(history.others[:half]) / half
        after = sum(history.others[-half:]) / half
        if after >= before:
            cosine = sorted(history.cosines)[looks // 2]
            share = sorted(history.shares)[looks // 2]
            self.tell(
                "term-opposes",
                f"term {name!r} points against the sum of the others (cosine {cosine:.2f}) with "
                f"{share:.0%} of the gradient, and they rise",
            )

    def blind(self, blocks: int, with_graph: bool, gradients: bool) -> None:
        """At the end of an epoch: no term had a graph, and no parameter got a gradient."""
        if blocks >= EVIDENCE and not with_graph and not gradients:
            self.tell("term-detached", "the loss has no graph and no parameter gets a gradient")


def _flat(gradient: Tensor) -> Tensor:
    real = torch.view_as_real(gradient) if gradient.is_complex() else gradient
    return real.detach().reshape(-1).to("cpu", torch.float64)
