"""Healthy runs of many kinds: models, optimisers, precisions, schedules. No alarm is due."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.checkpoint import checkpoint
from watch_recipe import Recipe

from ris_pipeline.watch import Watch

Healthy = Callable[[dict[str, Any]], Watch]
RUNS: dict[str, Healthy] = {}
EPOCHS = 3


def healthy(run: Healthy) -> Healthy:
    RUNS[run.__name__] = run
    return run


class Data:
    """Rows with a target that can be learned, a split, and a fresh order every epoch."""

    def __init__(self, x: Tensor, y: Tensor, size: int = 8, kept: int = 24) -> None:
        self.x, self.y, self.size, self.kept = x, y, size, kept

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(self.x) - self.kept).split(self.size):
            yield self.x[rows], self.y[rows]

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.arange(len(self.x) - self.kept, len(self.x)).split(self.size):
            yield self.x[rows], self.y[rows]


def regression(rows: int = 120, features: int = 6, size: int = 8, dtype: Any = None) -> Data:
    x = torch.randn(rows, features, dtype=dtype)
    return Data(x, x @ torch.randn(features, 1, dtype=dtype) + 0.1, size)


def classes(rows: int = 120, features: int = 6) -> Data:
    x = torch.randn(rows, features)
    return Data(x, (x @ torch.randn(features, 3)).argmax(-1))


def images(rows: int = 120) -> Data:
    x = torch.randn(rows, 1, 8, 8)
    return Data(x, (x[:, 0, :4].mean((1, 2)) > x[:, 0, 4:].mean((1, 2))).long())


def tokens(rows: int = 120) -> Data:
    x = torch.randint(0, 9, (rows, 12))
    return Data(x, x.roll(1, 1))


def mlp(features: int = 6, out: int = 1, width: int = 16, dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, out)
    )


def loop(
    watched: dict[str, Any],
    model: nn.Module,
    optimizer: Any,
    data: Data,
    loss_of: Callable[[Tensor, Tensor], Tensor] = F.mse_loss,
    scheduler: Any = None,
    by_batch: bool = False,
    accumulation: int = 1,
    clip: float | None = None,
    closure: bool = False,
    none: bool = True,
    weighted: bool = False,
    value_of: Callable[[Tensor, Tensor], Tensor] | None = None,
    after_step: Callable[[], None] = lambda: None,
    penalty: Callable[[], Tensor] | None = None,
    autocast: torch.dtype | None = None,
    scaler: Any = None,
    call: Callable[[Tensor], Tensor] | None = None,
    **options: Any,
) -> Watch:
    """A loop with everything that people do to one."""
    call = call or model
    given = {"scheduler": scheduler, "scaler": scaler, **options}
    watch = Watch(model, optimizer, log=lambda line: None, **{**given, **watched})
    for _ in range(EPOCHS):
        model.train()
        total, rows, sizes = 0.0, 0, []
        batches = list(data.epoch())
        for number, (x, y) in enumerate(batches):
            with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=bool(autocast)):
                output = call(x)
                terms = {"data": loss_of(output.float() if autocast else output, y)}
            if penalty is not None:
                terms["penalty"] = penalty()
            loss = sum(terms.values(), torch.zeros(()))
            with watch.step(terms, batch=(x, y)):
                if closure:

                    def again(x: Tensor = x, y: Tensor = y) -> Tensor:
                        optimizer.zero_grad()
                        value = loss_of(model(x), y)
                        value.backward()
                        return value

                    optimizer.step(again)
                else:
                    left = len(batches) - number // accumulation * accumulation
                    scaled = loss / min(accumulation, left)
                    (scaler.scale(scaled) if scaler else scaled).backward()
                    if (number + 1) % accumulation == 0 or number + 1 == len(batches):
                        if clip is not None:
                            if scaler:
                                scaler.unscale_(optimizer)
                            nn.utils.clip_grad_norm_(model.parameters(), clip)
                        if scaler:
                            scaler.step(optimizer)
                            scaler.update()
                        else:
                            optimizer.step()
                        optimizer.zero_grad(set_to_none=none)
                        after_step()
            if by_batch and scheduler is not None:
                scheduler.step()
            total += loss.item() * (len(x) if weighted else 1)
            rows += len(x) if weighted else 1
            sizes.append(len(x))
        value = evaluate(model, data, value_of or loss_of, call)
        if scheduler is not None and not by_batch:
            plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
            scheduler.step(value) if plateau else scheduler.step()
        watch.epoch(train=total / rows, validation=value)
    watch.close()
    return watch


def evaluate(model: nn.Module, data: Data, value_of: Any, call: Any) -> float:
    model.eval()
    with torch.no_grad():
        values = [value_of(call(x), y).item() * len(x) for x, y in data.validation()]
    return sum(values) / data.kept


def accuracy(output: Tensor, y: Tensor) -> Tensor:
    return (output.argmax(-1) == y).float().mean()


# Optimisers.


def by_optimiser(name: str, make: Callable[..., Any], **more: Any) -> None:
    def run(watched: dict[str, Any]) -> Watch:
        model = mlp()
        return loop(watched, model, make(model.parameters()), regression(), **more)

    run.__name__ = f"optimiser_{name}"
    healthy(run)


by_optimiser("sgd", lambda p: optim.SGD(p, lr=0.05))
by_optimiser("momentum", lambda p: optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True))
by_optimiser("adam", lambda p: optim.Adam(p, lr=1e-2))
by_optimiser("adam_single", lambda p: optim.Adam(p, lr=1e-2, foreach=False, amsgrad=True))
by_optimiser("adamw_fused", lambda p: optim.AdamW(p, lr=1e-2, fused=True))
by_optimiser("rmsprop", lambda p: optim.RMSprop(p, lr=1e-3))
by_optimiser("adagrad", lambda p: optim.Adagrad(p, lr=1e-2))
by_optimiser("nadam", lambda p: optim.NAdam(p, lr=1e-3))
by_optimiser("adamax", lambda p: optim.Adamax(p, lr=1e-3))
by_optimiser("lbfgs", lambda p: optim.LBFGS(p, lr=0.1, max_iter=4), closure=True)
by_optimiser("sgd_closure", lambda p: optim.SGD(p, lr=0.05), closure=True)
by_optimiser("zeros_not_none", lambda p: optim.AdamW(p, lr=1e-2), none=False)
by_optimiser("clipped", lambda p: optim.SGD(p, lr=0.05), clip=1.0)
by_optimiser("accumulated", lambda p: optim.AdamW(p, lr=1e-2), accumulation=5)
by_optimiser("sample_mean", lambda p: optim.AdamW(p, lr=1e-2), weighted=True)


# Schedules.


def by_schedule(name: str, make: Callable[..., Any], by_batch: bool = False) -> None:
    def run(watched: dict[str, Any]) -> Watch:
        model = mlp()
        optimizer = optim.AdamW(model.parameters(), lr=1e-2)
        schedule = make(optimizer)
        return loop(watched, model, optimizer, regression(), scheduler=schedule, by_batch=by_batch)

    run.__name__ = f"schedule_{name}"
    healthy(run)


by_schedule("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS))
by_schedule("cosine_steps", lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * 12), by_batch=True)
by_schedule(
    "one_cycle",
    lambda o: lr_scheduler.OneCycleLR(o, 1e-2, total_steps=EPOCHS * 12 + 1),
    by_batch=True,
)
by_schedule("step", lambda o: lr_scheduler.StepLR(o, 2, 0.5))
by_schedule("plateau", lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1))
by_schedule(
    "warm_up", lambda o: lr_scheduler.LambdaLR(o, lambda s: min(1.0, s / 10)), by_batch=True
)
by_schedule("restarts", lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 6), by_batch=True)
by_schedule("exponential", lambda o: lr_scheduler.ExponentialLR(o, 0.5))


# Precisions.


@healthy
def double_precision(watched: dict[str, Any]) -> Watch:
    model = mlp().double()
    data = regression(dtype=torch.float64)
    return loop(watched, model, optim.AdamW(model.parameters(), lr=1e-2), data)


@healthy
def bfloat16_autocast(watched: dict[str, Any]) -> Watch:
    model = mlp()
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    return loop(watched, model, optimizer, regression(), autocast=torch.bfloat16)


@healthy
def bfloat16_weights(watched: dict[str, Any]) -> Watch:
    model = mlp().bfloat16()
    data = regression(dtype=torch.bfloat16)
    return loop(watched, model, optim.SGD(model.parameters(), lr=0.1), data)


@healthy
def scaled_and_accumulated(watched: dict[str, Any]) -> Watch:
    model = mlp(dropout=0.1)
    scaler = torch.amp.GradScaler("cpu")
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    more: dict[str, Any] = {
        "autocast": torch.bfloat16,
        "clip": 1.0,
        "accumulation": 2,
        "none": False,
    }
    return loop(watched, model, optimizer, regression(), scaler=scaler, **more)


@healthy
def complex_weights(watched: dict[str, Any]) -> Watch:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(6, 4, dtype=torch.complex64) * 0.3)

        def forward(self, x: Tensor) -> Tensor:
            return (x.to(torch.complex64) @ self.w).abs().sum(-1, keepdim=True)

    model = Net()
    data = regression()
    data.y = data.y.abs()
    return loop(watched, model, optim.Adam(model.parameters(), lr=1e-2), data)


# Models.


@healthy
def convolutions_with_normalization(watched: dict[str, Any]) -> Watch:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2)
    )
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    return loop(watched, model, optimizer, images(), F.cross_entropy, value_of=accuracy)


@healthy
def recurrent(watched: dict[str, Any]) -> Watch:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru = nn.Embedding(9, 8), nn.GRU(8, 16, batch_first=True)
            self.out = nn.Linear(16, 9)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.gru(self.embed(x))[0]).transpose(1, 2)

    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    return loop(watched, model, optimizer, tokens(), F.cross_entropy, clip=1.0)


class Decoder(nn.Module):
    """A transformer block with tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(9, 16), nn.Embedding(12, 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, 9, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        held = self.embed(x) + self.place(torch.arange(x.shape[1]))
        return self.head(self.block(held)).transpose(1, 2)


@healthy
def transformer_with_tied_weights(watched: dict[str, Any]) -> Watch:
    model = Decoder()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    return loop(watched, model, optimizer, tokens(), F.cross_entropy, clip=1.0)


@healthy
def activations_recomputed(watched: dict[str, Any]) -> Watch:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.out = mlp(6, 16, dropout=0.1), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(checkpoint(self.body, x, use_reentrant=False))

    model = Net()
    return loop(watched, model, optim.AdamW(model.parameters(), lr=1e-2), regression())


@healthy
def low_rank_adapter(watched: dict[str, Any]) -> Watch:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = nn.Linear(6, 1).requires_grad_(False)
            self.down, self.up = nn.Linear(6, 2, bias=False), nn.Linear(2, 1, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.up(self.down(x))

    model = Net()
    live = [p for p in model.parameters() if p.requires_grad]
    return loop(watched, model, optim.AdamW(live, lr=1e-2), regression())


@healthy
def logistic_regression_from_zero(watched: dict[str, Any]) -> Watch:
    model = nn.Linear(6, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    return loop(watched, model, optimizer, classes(), F.cross_entropy, value_of=accuracy)


@healthy
def penalties_on_the_weights(watched: dict[str, Any]) -> Watch:
    model = mlp()

    def penalty() -> Tensor:
        parts = [1e-2 * p.abs().sum() + 1e-3 * p.square().sum() for p in model.parameters()]
        return sum(parts, torch.zeros(()))

    return loop(
        watched, model, optim.Adam(model.parameters(), lr=1e-2), regression(), penalty=penalty
    )


@healthy
def ema_of_the_weights(watched: dict[str, Any]) -> Watch:
    model = mlp()
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)

    def after() -> None:
        ema.update_parameters(model)

    return loop(watched, model, optimizer, regression(), after_step=after, averages={"ema": ema})


@healthy
def compiled(watched: dict[str, Any]) -> Watch:
    model = mlp(dropout=0.1)
    fast = torch.compile(model, backend="aot_eager")
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    return loop(watched, fast, optimizer, regression())  # type: ignore[arg-type]


@healthy
def compiled_after_the_watch(watched: dict[str, Any]) -> Watch:
    model = mlp(dropout=0.1)
    fast = torch.compile(model, backend="aot_eager", fullgraph=True)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    return loop(watched, model, optimizer, regression(), call=fast)


# Loops of another kind.


@healthy
def variational(watched: dict[str, Any]) -> Watch:
    encoder, decoder = nn.Linear(6, 4), nn.Linear(2, 6)
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    x = torch.randn(120, 2) @ torch.randn(2, 6)
    data = Data(x, x)
    watch = Watch(model, optimizer, log=lambda line: None, **watched)
    for _ in range(EPOCHS):
        values = []
        for batch, _target in data.epoch():
            mean, spread = encoder(batch).chunk(2, -1)
            code = mean + torch.randn_like(mean) * (0.5 * spread).exp()
            fit = (decoder(code) - batch).square().sum(-1).mean()
            kl = -0.5 * (1 + spread - mean.square() - spread.exp()).sum(-1).mean()
            with watch.step({"fit": fit, "kl": kl}, {"fit": 1.0, "kl": 0.5}, batch=batch):
                optimizer.zero_grad()
                (fit + 0.5 * kl).backward()
                optimizer.step()
            values.append((fit + 0.5 * kl).item())
        watch.epoch(train=sum(values) / len(values))
    watch.close()
    return watch


@healthy
def adversarial(watched: dict[str, Any]) -> Watch:
    maker, judge = mlp(4, 6), mlp(6, 1)
    first, second = optim.Adam(maker.parameters(), lr=2e-3), optim.Adam(judge.parameters(), lr=2e-3)
    model = nn.ModuleList([maker, judge])
    x = torch.randn(120, 6) + 1
    watch = Watch(model, [first, second], log=lambda line: None, **watched)
    for _ in range(EPOCHS):
        for real, _target in Data(x, x).epoch():
            fake = maker(torch.randn(len(real), 4))
            second.zero_grad()
            seen = F.softplus(-judge(real)).mean() + F.softplus(judge(fake.detach())).mean()
            with watch.step({"judge": seen}, batch=real):
                seen.backward()
                second.step()
            first.zero_grad()
            made = F.softplus(-judge(fake)).mean()
            with watch.step({"maker": made}, batch=real):
                made.backward()
                first.step()
        watch.epoch()
    watch.close()
    return watch


@healthy
def averaged_at_the_end(watched: dict[str, Any]) -> Watch:
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.02)
    swa = AveragedModel(model)
    data = regression()
    watch = Watch(model, optimizer, averages={"swa": swa}, log=lambda line: None, **watched)
    for epoch in range(EPOCHS + 2):
        model.train()
        values = []
        for x, y in data.epoch():
            loss = F.mse_loss(model(x), y)
            with watch.step(loss, batch=(x, y)):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            values.append(loss.item())
        if epoch >= 2:
            swa.update_parameters(model)
            update_bn((x for x, _ in data.epoch()), swa)
        value = evaluate(model, data, F.mse_loss, model)
        watch.epoch(train=sum(values) / len(values), validation=value)
    watch.close()
    return watch


@healthy
def no_validation_and_no_figures(watched: dict[str, Any]) -> Watch:
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    watch = Watch(model, optimizer, log=lambda line: None, **watched)
    data = regression()
    for _ in range(EPOCHS):
        for x, y in data.epoch():
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            with watch.step(loss):
                loss.backward()
                optimizer.step()
        watch.epoch()
    watch.close()
    return watch


@healthy
def training_evaluated_too(watched: dict[str, Any]) -> Watch:
    model = mlp(dropout=0.2)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    watch = Watch(model, optimizer, log=lambda line: None, **watched)
    data = regression()
    for _ in range(EPOCHS):
        model.train()
        values = []
        for x, y in data.epoch():
            loss = F.mse_loss(model(x), y)
            with watch.step(loss, batch=(x, y)):
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            values.append(loss.item())
        model.eval()
        with torch.no_grad():
            for rows in torch.arange(96).split(8):
                model(data.x[rows])
        value = evaluate(model, data, F.mse_loss, model)
        watch.epoch(train=sum(values) / len(values), validation=value)
    watch.close()
    return watch


# The recipe of the catalogue itself, in its four loops.


def recipes() -> dict[str, Recipe]:
    """Of several seeds, sizes and rates."""
    made = {}
    for seed, (first, last) in enumerate(pairwise((4, 6, 8, 12))):
        made[f"seed {seed}"] = Recipe(seed=seed + 1, size=first * 2, rate=1e-3 * last)
    made["remainder"] = Recipe(train_rows=100, seed=9)
    return made
