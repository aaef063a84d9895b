"""A training small enough to run whole in a test, in pieces that a bug can replace one by one.

From 12 numbers a network predicts a factor F (6 x 3) of a covariance with two sources, and a
position. All is drawn from a seed.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ris_pipeline.spectral import eigengap, eigenvalues, signal_subspace

N, K, FEATURES = 6, 2, 12
MARGIN = 3.0


class Net(nn.Module):
    """Backbone with dropout, two heads."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(FEATURES, width), nn.Tanh(), nn.Dropout(0.05), nn.Linear(width, width)
        )
        self.factor = nn.Linear(width, 2 * N * 3)
        self.position = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.tanh(self.backbone(x))
        return self.factor(hidden), self.position(hidden)


def covariance_of(factor: Tensor) -> Tensor:
    parts = factor.float().reshape(-1, N, 3, 2)
    held = torch.view_as_complex(parts.contiguous())
    return held @ held.mH + 0.01 * torch.eye(N)


def hinge_of(values: Tensor, margin: float = MARGIN) -> Tensor:
    return torch.relu(margin - (values[:, K - 1] - values[:, K])).mean()


@dataclass
class Run:
    """What a loop holds."""

    model: nn.Module
    optimizer: Any
    x: Tensor
    y: Tensor
    true: Tensor
    ema: dict[str, Tensor]
    scheduler: Any = None
    scaler: Any = None
    best: float = float("inf")
    backward: Callable[[Tensor], None] = lambda loss: loss.backward()
    extra: dict[str, Any] = field(default_factory=dict)

    def weights(self) -> dict[str, Tensor]:
        inner = getattr(self.model, "module", self.model)
        return {n: p for n, p in inner.named_parameters() if "_forward" not in n}


@dataclass
class Recipe:
    """Every piece is an attribute; a bug replaces one."""

    epochs: int = 2
    size: int = 8
    train_rows: int = 96
    validation_rows: int = 24
    accumulation: int = 1
    rate: float = 3e-3
    clip_norm: float = 10.0
    seed: int = 0
    drop_remainder: bool = False
    order: tuple[str, ...] = ("backward", "clip", "step", "clear")
    weights: dict[str, float] = field(
        default_factory=lambda: {"fit": 1.0, "nmse": 1.0, "eigengap": 0.3}
    )
    watch: dict[str, Any] = field(default_factory=dict)
    say_scheduler: bool = False

    make_model: Callable[[], nn.Module] = Net
    held: Callable[[nn.Module], Any] = lambda model: list(model.parameters())
    make_optimizer: Callable[..., Any] = lambda params, rate: torch.optim.AdamW(params, lr=rate)
    make_scheduler: Callable[[Any], Any] = lambda optimizer: None
    prepared: Callable[[Run], None] = lambda run: None
    before_batch: Callable[[Run, int], None] = lambda run, number: None

    def setup(self) -> Run:
        torch.manual_seed(self.seed)
        model = self.make_model()
        optimizer = self.make_optimizer(self.held(model), self.rate)
        rows = self.train_rows + self.validation_rows
        x = torch.randn(rows, FEATURES)
        mixing = torch.randn(FEATURES, 2 * N * K) / FEATURES**0.5
        held = torch.view_as_complex((x @ mixing).reshape(rows, N, K, 2))
        y = x @ torch.randn(FEATURES, 2) / FEATURES**0.5
        ema = {name: p.detach().clone() for name, p in model.named_parameters()}
        run = Run(model, optimizer, x, y, held @ held.mH, ema, self.make_scheduler(optimizer))
        self.prepared(run)
        return run

    def indices(self, run: Run, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        return torch.randperm(self.train_rows, generator=generator)

    def batch(self, run: Run, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        return run.x[rows], run.true[rows], run.y[rows]

    def batches(self, run: Run, epoch: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        return [self.batch(run, rows, epoch) for rows in self.indices(run, epoch).split(self.size)]

    def validation(self, run: Run) -> list[tuple[Tensor, Tensor, Tensor]]:
        rows = torch.arange(self.train_rows, len(run.x))
        return [(run.x[r], run.true[r], run.y[r]) for r in rows.split(self.size)]

    def forward(self, run: Run, batch: Any) -> tuple[Tensor, Tensor]:
        factor, position = run.model(batch[0])
        return covariance_of(factor), position.float()

    def terms(self, covariance: Tensor, position: Tensor, batch: Any) -> dict[str, Tensor]:
        _, true, y = batch
        error = (covariance - true).abs().square().sum((-2, -1))
        return {
            "fit": (position - y).square().mean(),
            "nmse": (error / true.abs().square().sum((-2, -1))).mean(),
            "eigengap": self.hinge(covariance),
        }

    def hinge(self, covariance: Tensor) -> Tensor:
        return hinge_of(eigenvalues(covariance))

    def spectral(self, covariance: Tensor, batch: Any) -> dict[str, Any]:
        return {
            "covariance": covariance,
            "k": K,
            "eigenvalues": eigenvalues(covariance.detach()),
            "gap": eigengap(covariance.detach(), K),
            "subspace": signal_subspace(covariance.detach(), K),
            "sources": K,
        }

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        return sum((self.weights[name] * term for name, term in terms.items()), torch.zeros(()))

    def divide(self, loss: Tensor, group: int) -> Tensor:
        return loss / group if group > 1 else loss

    def clip(self, run: Run) -> None:
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), self.clip_norm)

    def step(self, run: Run) -> None:
        run.optimizer.step()

    def clear(self, run: Run) -> None:
        run.optimizer.zero_grad()

    def average(self, run: Run) -> None:
        with torch.no_grad():
            for name, value in run.ema.items():
                value.lerp_(run.weights()[name], 0.1)

    def after_batch(self, run: Run) -> None:
        pass

    def after_epoch(self, run: Run) -> None:
        if run.scheduler is not None:
            run.scheduler.step()

    def train_mode(self, run: Run) -> None:
        run.model.train()

    def validation_mode(self, run: Run) -> None:
        run.model.eval()

    def report(self, losses: list[float], steps: list[int]) -> float:
        return sum(losses) / len(losses)

    def report_validation(self, value: float, epoch: int) -> float:
        return value

    def better(self, value: float, best: float) -> bool:
        return value < best

    def validate(self, run: Run, epoch: int) -> float:
        self.validation_mode(run)
        values = []
        with torch.no_grad():
            for batch in self.validation(run):
                terms = self.terms(*self.forward(run, batch), batch)
                values.append(self.total(terms).item())
        return self.report_validation(sum(values) / len(values), epoch)

    def changed(self, **pieces: Any) -> "Recipe":
        new = deepcopy(self)
        for name, piece in pieces.items():
            setattr(new, name, piece)
        return new
