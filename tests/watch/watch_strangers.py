"""More loops of people who never read our pages, into the lists of `watch_outsiders`."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import lr_scheduler
from watch_outsiders import BUGS, RUNS, Loop, Options, Run, healthy, net

from ris_pipeline.watch import Watch

__all__ = ["BUGS", "RUNS", "Run"]


# Schedules.


def below_the_epoch(make: Callable[[Any], Any], stepped: bool = True, epochs: int = 3) -> Run:
    """`scheduler.step()` is the last line of the epoch, below `watch.epoch()`."""

    def run(options: Options) -> Watch:
        loop = Loop(options, epochs=epochs)
        schedule = make(loop.optimizer)
        for _ in range(epochs):
            for x, y in loop.batches():
                loop.common(x, y)
            loop.watch.epoch()
            if stepped:
                schedule.step()
        loop.watch.close()
        return loop.watch

    return run


RUNS["cosine below the epoch"] = below_the_epoch(lambda o: lr_scheduler.CosineAnnealingLR(o, 3))
RUNS["decay below the epoch"] = below_the_epoch(lambda o: lr_scheduler.ExponentialLR(o, 0.9))
RUNS["decay below the only epoch"] = below_the_epoch(lambda o: lr_scheduler.StepLR(o, 1), epochs=1)
for _epochs in (1, 2):
    BUGS[f"schedule never stepped, {_epochs} epochs"] = (
        ("schedule-not-stepped",),
        below_the_epoch(lambda o: lr_scheduler.StepLR(o, 2), False, _epochs),
    )


def of_a_length(make: Callable[[Any], Any], by_step: bool = False, epochs: int = 4) -> Run:
    """A schedule of a length of its own under a stated number of epochs, of 12 steps each."""

    def run(options: Options) -> Watch:
        loop = Loop({**options, "epochs": epochs}, epochs=epochs)
        schedule = make(loop.optimizer)

        def batch(x: Tensor, y: Tensor) -> Tensor:
            loss = loop.common(x, y)
            if by_step:
                schedule.step()
            return loss

        return loop.run(batch, lambda epoch: None if by_step else schedule.step())

    return run


RUNS["half a cosine"] = of_a_length(lambda o: lr_scheduler.CosineAnnealingLR(o, 8))
RUNS["cosine of a longer run"] = of_a_length(lambda o: lr_scheduler.CosineAnnealingLR(o, 100))
RUNS["a milestone out of reach"] = of_a_length(lambda o: lr_scheduler.MultiStepLR(o, [2, 3, 9]))
RUNS["one cycle"] = of_a_length(lambda o: lr_scheduler.OneCycleLR(o, 1e-3, 48), by_step=True)
BUGS["milestones of steps, stepped by the epoch"] = (
    ("schedule-per-epoch",),
    of_a_length(lambda o: lr_scheduler.MultiStepLR(o, [30, 42])),
)


def at_the_head_of_an_epoch(options: Options) -> Watch:
    """Not before the first epoch, and not after the last."""
    loop = Loop(options)
    schedule = lr_scheduler.ExponentialLR(loop.optimizer, 0.9)
    for epoch in range(3):
        if epoch:
            schedule.step()
        for x, y in loop.batches():
            loop.common(x, y)
        loop.watch.epoch()
    loop.watch.close()
    return loop.watch


RUNS["schedule at the head of an epoch"] = at_the_head_of_an_epoch


@healthy
def head_first(options: Options) -> Watch:
    """The body rests at rate zero for two epochs, which its owner means."""
    model = net()
    groups = [{"params": model[0].parameters()}, {"params": model[3].parameters()}]
    optimizer = torch.optim.Adam(groups, 1e-3)
    rates = [lambda epoch: float(epoch >= 2), lambda epoch: 0.9**epoch]
    schedule = lr_scheduler.LambdaLR(optimizer, rates)
    loop = Loop({**options, "ignore": ["rate-zero"]}, model, optimizer, epochs=4)
    return loop.run(after_epoch=lambda epoch: schedule.step())


@healthy
def a_group_added_within_an_epoch(options: Options) -> Watch:
    model = net()
    model[0].requires_grad_(False)
    loop = Loop(options, model, torch.optim.Adam(model[3].parameters(), 1e-3))
    number = 0

    def batch(x: Tensor, y: Tensor) -> Tensor:
        nonlocal number
        number += 1
        if number == 18:
            model[0].requires_grad_(True)
            loop.optimizer.add_param_group({"params": list(model[0].parameters())})
        return loop.common(x, y)

    return loop.run(batch)


# Batches.


def fresh_points_and_a_border(border_last: bool) -> Run:
    """No loader: new points every step, and a border that stays where it is."""

    def run(options: Options) -> Watch:
        loop = Loop(options)
        border = torch.zeros(1, 6)

        def batch(x: Tensor, y: Tensor) -> Tensor:
            edge = None if border_last else loop.model(border)
            inside = loop.loss(loop.model(x), y)
            edge = loop.model(border) if edge is None else edge
            loss = inside + edge.square().mean()
            loop.optimizer.zero_grad()
            with loop.watch.step(loss):
                loss.backward()
                loop.optimizer.step()
            return loss

        return loop.run(batch)

    return run


def one_pair_again(options: Options) -> Watch:
    """Two forward passes a step, on the same two batches for ever, and a closure's own."""
    loop = Loop(options)
    (first, target), (second, _) = list(loop.batches())[:2]

    def batch(x: Tensor, y: Tensor) -> Tensor:
        loss = loop.loss(loop.model(first) - loop.model(second), target)
        loop.optimizer.zero_grad()
        with loop.watch.step(loss):
            loss.backward()
            loop.optimizer.step()
            loop.model(torch.randn(8, 6))
        return loss

    return loop.run(batch)


RUNS["border last"] = fresh_points_and_a_border(True)
RUNS["border first"] = fresh_points_and_a_border(False)
BUGS["one pair again"] = ("same-batch",), one_pair_again


# Terms.


class Variational(nn.Module):
    """The plain autoencoder: one forward pass gives the mean, the variance and the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = net(6, 8), net(4, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        drawn = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decoder(drawn), mean, log_variance


def variational(weight: float, annealed: bool = False) -> Run:
    """The divergence begins at its least and rises to a level of its own."""

    def run(options: Options) -> Watch:
        model = Variational()
        x = torch.tanh(torch.randn(120, 2) @ torch.randn(2, 6))
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        loop = Loop(options, model, optimizer, data=(x, x), epochs=10)
        number = 0

        def batch(x: Tensor, y: Tensor) -> Tensor:
            nonlocal number
            number += 1
            share = weight * min(1.0, number / 60) if annealed else weight
            picture, mean, log_variance = model(x)
            spread = 1 + log_variance - mean**2 - log_variance.exp()
            terms = {
                "picture": (picture - x).square().sum(1).mean(),
                "divergence": -0.5 * spread.sum(1).mean(),
            }
            loss = terms["picture"] + share * terms["divergence"]
            loop.optimizer.zero_grad()
            with loop.watch.step(terms, {"picture": 1.0, "divergence": share}):
                loss.backward()
                loop.optimizer.step()
            return loss

        for _ in range(10):
            losses = [batch(x, y).item() for x, y in loop.batches()]
            loop.watch.epoch(train=sum(losses) / len(losses))
        loop.watch.close()
        return loop.watch

    return run


RUNS["variational, a fifth"] = variational(0.2)
RUNS["variational"] = variational(1.0)
RUNS["variational, annealed"] = variational(1.0, annealed=True)


# Clipping, of all that `clip=` may be the threshold of.

THRESHOLD = 0.5
"""Below the norm over all gradients."""


def clipped(clip: Callable[[nn.Module], None]) -> Run:
    def run(options: Options) -> Watch:
        loop = Loop(options, clip=THRESHOLD)

        def batch(x: Tensor, y: Tensor) -> Tensor:
            loss = loop.loss(loop.model(x), y)
            loop.optimizer.zero_grad()
            with loop.watch.step(loss):
                loss.backward()
                clip(loop.model)
                loop.optimizer.step()
            return loss

        return loop.run(batch)

    return run


def each(model: nn.Module) -> None:
    for parameter in model.parameters():
        nn.utils.clip_grad_norm_(parameter, THRESHOLD)


def layers(model: nn.Module) -> None:
    for layer in model.children():
        nn.utils.clip_grad_norm_(layer.parameters(), THRESHOLD)


def adaptive(model: nn.Module, in_place: bool = True) -> None:
    """By the size of the weights; most gradients are left as they are."""
    for p in model.parameters():
        most = 10 * THRESHOLD * p.detach().norm().clamp(min=1e-3)
        new = p.grad * (most / p.grad.norm()).clamp(max=1.0)  # type: ignore[union-attr, operator]
        if in_place:
            p.grad.copy_(new)  # type: ignore[union-attr]
        else:
            p.grad = new


RUNS["clipped by value"] = clipped(
    lambda model: nn.utils.clip_grad_value_(model.parameters(), THRESHOLD)
)
RUNS["clipped by parameter"] = clipped(each)
RUNS["clipped by layer"] = clipped(layers)
RUNS["clipped in one layer"] = clipped(
    lambda model: nn.utils.clip_grad_value_(model[0].parameters(), THRESHOLD)  # type: ignore[index]
)
RUNS["clipped by the weights"] = clipped(adaptive)
RUNS["clipped by the weights, into new gradients"] = clipped(lambda model: adaptive(model, False))


@healthy
def clipped_by_hooks(options: Options) -> Watch:
    """Within the backward pass, entry by entry."""
    model = net()
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: gradient.clamp(-THRESHOLD, THRESHOLD))
    return Loop(options, model, clip=THRESHOLD).run()


class Clipping(torch.optim.SGD):
    """Clips within the step, copies of the gradients."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, lr)
        self.param_groups[0]["max_grad_norm"] = THRESHOLD

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            norm = nn.utils.get_total_norm([p.grad for p in group["params"]])
            share = (group["max_grad_norm"] / norm).clamp(max=1.0)
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * share * parameter.grad)


@healthy
def clipped_by_the_optimiser(options: Options) -> Watch:
    model = net()
    return Loop(options, model, Clipping(model.parameters(), 0.1), clip=THRESHOLD).run()


@healthy
def clipped_in_one_of_two(options: Options) -> Watch:
    """The critic is clipped, the generator is not."""
    first, second = net(4, 6), net(6, 1)
    optimizers = [torch.optim.Adam(model.parameters(), 1e-3) for model in (first, second)]
    watch = Watch(nn.ModuleList([first, second]), optimizers, clip=THRESHOLD, **options)
    for _ in range(3):
        for rows in torch.randn(120, 6).split(8):
            fake = first(torch.randn(len(rows), 4))
            seen = 5 * (F.softplus(second(fake.detach())) + F.softplus(-second(rows))).mean()
            optimizers[1].zero_grad()
            with watch.step({"critic": seen}):
                seen.backward()
                nn.utils.clip_grad_norm_(second.parameters(), THRESHOLD)
                optimizers[1].step()
            made = 10 * F.softplus(-second(fake)).mean()
            optimizers[0].zero_grad()
            with watch.step({"generator": made}):
                made.backward()
                optimizers[0].step()
        watch.epoch()
    watch.close()
    return watch


# Accumulation over the end of an epoch of 12 batches.


def remainder(how: str, accumulation: int = 5) -> Run:
    """What becomes of the last batches, too few for a step."""

    def run(options: Options) -> Watch:
        loop = Loop(options)
        number = 0
        for _ in range(4):
            if how == "cleared":
                loop.optimizer.zero_grad(set_to_none=False)
            number = number if how == "carried on" else 0
            for x, y in loop.batches():
                number += 1
                loss = loop.loss(loop.model(x), y)
                with loop.watch.step(loss):
                    (loss / accumulation).backward()
                    if number % accumulation == 0:
                        loop.optimizer.step()
                        loop.optimizer.zero_grad()
            loop.watch.epoch()
            if how == "stepped below the epoch" and number % accumulation:
                loop.optimizer.step()
                loop.optimizer.zero_grad()
        loop.watch.close()
        return loop.watch

    return run


for _how in ("cleared", "carried on", "stepped below the epoch"):
    RUNS[f"remainder {_how}"] = remainder(_how)
for _factor in (5, 7):
    BUGS[f"remainder of {_factor} left"] = ("gradients-left-over",), remainder("left", _factor)
