"""Loops of people who never read our pages: other styles, and bugs that hide in them.

A loop is a function of the options of `Watch`. `RUNS` are healthy; `BUGS` holds, beside the loop,
the alarms of which one must name it.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.optim.swa_utils import AveragedModel

from ris_pipeline.watch import Watch

Options = dict[str, Any]
Run = Callable[[Options], Watch]
RUNS: dict[str, Run] = {}
BUGS: dict[str, tuple[tuple[str, ...], Run]] = {}


def healthy(run: Run) -> Run:
    RUNS[run.__name__] = run
    return run


def bug(*alarms: str) -> Callable[[Run], Run]:
    def enter(run: Run) -> Run:
        BUGS[run.__name__] = alarms, run
        return run

    return enter


def net(inputs: int = 6, outputs: int = 1, dropout: float = 0.0) -> nn.Sequential:
    layers = nn.Linear(inputs, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, outputs)
    return nn.Sequential(*layers)


class Loop:
    """A small regression, and what of a loop all styles share.

    batch: does everything from the loss on and returns the loss; by default in the common order.
    """

    def __init__(
        self,
        options: Options,
        model: nn.Module | None = None,
        optimizer: Any = None,
        epochs: int = 3,
        validated: nn.Module | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = F.mse_loss,
        data: tuple[Tensor, Tensor] | None = None,
        **more: Any,
    ) -> None:
        x = torch.randn(120, 6)
        self.x, self.y = data or (x, x @ torch.randn(6, 1) + 0.1 * torch.randn(120, 1))
        self.model = model or net()
        self.optimizer = optimizer or torch.optim.Adam(self.model.parameters(), 1e-3)
        self.validated, self.loss, self.epochs = validated or self.model, loss, epochs
        self.watch = Watch(self.model, self.optimizer, **{**options, **more})

    def batches(self, size: int = 8) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(96).split(size):
            yield self.x[rows], self.y[rows]

    def common(self, x: Tensor, y: Tensor) -> Tensor:
        loss = self.loss(self.model(x), y)
        self.optimizer.zero_grad()
        with self.watch.step(loss):
            loss.backward()
            self.optimizer.step()
        return loss

    def validation(self) -> float:
        was = self.validated.training
        self.validated.eval()
        with torch.no_grad():
            value = self.loss(self.validated(self.x[96:]), self.y[96:]).item()
        self.validated.train(was)
        return value

    def run(
        self,
        batch: Callable[[Tensor, Tensor], Tensor | None] | None = None,
        after_epoch: Callable[[int], None] = lambda epoch: None,
    ) -> Watch:
        batch = batch or self.common
        for epoch in range(self.epochs):
            self.model.train()
            losses = [loss.item() for x, y in self.batches() if (loss := batch(x, y)) is not None]
            value = self.validation()
            after_epoch(epoch)
            self.watch.epoch(train=sum(losses) / len(losses), validation=value)
        self.watch.close()
        return self.watch


def clearing(how: str, accumulation: int) -> Run:
    """Gradients are cleared in one of the ways that people know; the last group is partial."""

    def run(options: Options) -> Watch:
        loop = Loop(options)
        number = 0

        def clear() -> None:
            if how == "model":
                loop.model.zero_grad()
            elif how == "by hand":
                for parameter in loop.model.parameters():
                    parameter.grad = None
            else:
                loop.optimizer.zero_grad(set_to_none=how != "zeros")

        def batch(x: Tensor, y: Tensor) -> Tensor:
            nonlocal number
            place, number = number % 12, number + 1
            if how in ("before", "zeros") and place % accumulation == 0:
                clear()
            loss = loop.loss(loop.model(x), y)
            with loop.watch.step(loss):
                (loss / min(accumulation, 12 - place // accumulation * accumulation)).backward()
                if (place + 1) % accumulation == 0 or place == 11:
                    loop.optimizer.step()
                    if how not in ("before", "zeros"):
                        clear()
            return loss

        return loop.run(batch)

    return run


for _how in ("before", "after", "zeros", "model", "by hand"):
    for _factor in (1, 5):
        RUNS[f"cleared {_how}, {_factor} batches a step"] = clearing(_how, _factor)


def gan(options: Options, critics: int = 1, bug_of: str = "") -> Watch:
    """A generator and a critic, each with its optimiser and its block."""
    generator, critic = net(4, 6), net(6, 1)
    both = nn.ModuleDict({"generator": generator, "critic": critic})
    mine = both if bug_of == "overlap" else generator
    first = torch.optim.Adam(mine.parameters(), 1e-3)
    second = torch.optim.Adam(critic.parameters(), 1e-3)
    real = torch.randn(120, 6)
    watch = Watch(both, [second, first], **options)
    for _ in range(3):
        for number, rows in enumerate(torch.randperm(120).split(8)):
            fake = generator(torch.randn(len(rows), 4))
            second.zero_grad()
            terms = {
                "real": F.softplus(-critic(real[rows])).mean(),
                "fake": F.softplus(critic(fake.detach())).mean(),
            }
            with watch.step(terms):
                (terms["real"] + terms["fake"]).backward()
                second.step()
            if number % critics:
                continue
            first.zero_grad()
            made = generator(torch.randn(len(rows), 4))
            loss = F.softplus(-critic(made.detach() if bug_of == "detached" else made)).mean()
            with watch.step({"generator": loss}):
                loss.backward()
                (second if bug_of == "other step" else first).step()
        watch.epoch()
    watch.close()
    return watch


RUNS["gan"] = gan
RUNS["gan of three critics"] = lambda options: gan(options, 3)
BUGS["gan, one set of parameters twice"] = (
    ("parameters-held-twice",),
    lambda options: gan(options, bug_of="overlap"),
)
BUGS["gan, generator detached"] = ("no-gradient",), lambda o: gan(o, bug_of="detached")
BUGS["gan, the other optimiser steps"] = ("step-never",), lambda o: gan(o, bug_of="other step")


def by_autograd_grad(options: Options, assigned: bool = True) -> Watch:
    """No backward pass: gradients are asked for and set by hand."""
    loop = Loop(options)

    def batch(x: Tensor, y: Tensor) -> Tensor:
        loss = loop.loss(loop.model(x), y)
        with loop.watch.step(loss):
            parameters = list(loop.model.parameters())
            for parameter, gradient in zip(
                parameters, torch.autograd.grad(loss, parameters), strict=True
            ):
                if assigned:
                    parameter.grad = gradient
            loop.optimizer.step()
        return loss

    return loop.run(batch)


RUNS["by autograd.grad"] = by_autograd_grad
BUGS["by autograd.grad, not assigned"] = ("no-gradient",), lambda o: by_autograd_grad(o, False)


@healthy
def by_functional_gradients(options: Options) -> Watch:
    loop = Loop(options)

    def loss_of(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loop.loss(functional_call(loop.model, weights, (x,)), y)

    def batch(x: Tensor, y: Tensor) -> Tensor:
        weights = {name: p.detach() for name, p in loop.model.named_parameters()}
        gradients, loss = grad_and_value(loss_of)(weights, x, y)
        with loop.watch.step(loss, batch=(x, y)):
            for name, parameter in loop.model.named_parameters():
                parameter.grad = gradients[name].detach()
            loop.optimizer.step()
        return loss

    return loop.run(batch)


@healthy
def learning_to_learn(options: Options) -> Watch:
    """A step inside of the step (MAML), through `functional_call`."""
    loop = Loop(options)

    def batch(x: Tensor, y: Tensor) -> Tensor:
        weights = dict(loop.model.named_parameters())
        inner = loop.loss(functional_call(loop.model, weights, (x[:4],)), y[:4])  # type: ignore[arg-type]
        slopes = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
        fast = {n: p - 0.1 * g for (n, p), g in zip(weights.items(), slopes, strict=True)}
        loss = loop.loss(functional_call(loop.model, fast, (x[4:],)), y[4:])
        loop.optimizer.zero_grad()
        with loop.watch.step(loss):
            loss.backward()
            loop.optimizer.step()
        return loss

    return loop.run(batch)


class Lion(torch.optim.Optimizer):
    """Somebody's own optimiser."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                momentum = self.state[parameter].setdefault("m", torch.zeros_like(parameter))
                parameter.sub_(group["lr"] * (0.9 * momentum + 0.1 * parameter.grad).sign())
                momentum.lerp_(parameter.grad, 0.01)


class Lookahead:
    """A wrapper that pulls the weights back every few steps; is no optimiser of torch."""

    def __init__(self, optimizer: torch.optim.Optimizer, every: int = 5, twice: int = 1) -> None:
        self.optimizer, self.every, self.twice, self.steps = optimizer, every, twice, 0
        self.slow = [p.detach().clone() for p in self._parameters()]

    def _parameters(self) -> Iterator[Tensor]:
        return (p for group in self.optimizer.param_groups for p in group["params"])

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        for _ in range(self.twice):
            self.optimizer.step()
        self.steps += 1
        if self.steps % self.every == 0:
            for slow, parameter in zip(self.slow, self._parameters(), strict=True):
                slow.lerp_(parameter, 0.5)
                parameter.copy_(slow)


def with_lion(options: Options, lr: float = 1e-3) -> Watch:
    model = net()
    return Loop(options, model, Lion(model.parameters(), lr)).run()


def with_lookahead(options: Options, twice: int = 1) -> Watch:
    model = net()
    adam = torch.optim.Adam(model.parameters(), 1e-2)
    return Loop(options, model, Lookahead(adam, twice=twice)).run()


RUNS["own optimiser"] = with_lion
RUNS["lookahead"] = with_lookahead
BUGS["own optimiser without a rate"] = ("rate-zero",), lambda options: with_lion(options, 0.0)
BUGS["a wrapper that steps twice"] = ("step-twice",), lambda options: with_lookahead(options, 2)


@healthy
def sharpness_aware(options: Options) -> Watch:
    """Two backward passes a step, the second at weights that were moved and are moved back."""
    loop = Loop(options)
    parameters = list(loop.model.parameters())

    def batch(x: Tensor, y: Tensor) -> Tensor:
        loss = loop.loss(loop.model(x), y)
        with loop.watch.step(loss):
            loss.backward()
            norm = torch.stack([p.grad.norm() for p in parameters]).norm()  # type: ignore[union-attr]
            moves = [0.05 * p.grad / norm for p in parameters]  # type: ignore[operator]
            torch._foreach_add_([p.data for p in parameters], moves)
            loop.optimizer.zero_grad()
            loop.loss(loop.model(x), y).backward()
            torch._foreach_sub_([p.data for p in parameters], moves)
            loop.optimizer.step()
            loop.optimizer.zero_grad()
        return loss

    return loop.run(batch)


@healthy
def penalty_on_the_gradient(options: Options) -> Watch:
    loop = Loop(options)

    def batch(x: Tensor, y: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        output = loop.model(x)
        (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
        terms = {"fit": loop.loss(output, y), "slope": (slope.norm(dim=1) - 1).square().mean()}
        loss = terms["fit"] + 0.1 * terms["slope"]
        with loop.watch.step(terms, {"fit": 1.0, "slope": 0.1}):
            loss.backward()
            loop.optimizer.step()
            loop.optimizer.zero_grad()
        return loss

    return loop.run(batch)


@healthy
def steps_within_the_backward_pass(options: Options) -> Watch:
    """One optimiser for each parameter, stepped by a hook as soon as its gradient is there."""
    model = net()
    each = {p: torch.optim.Adam([p], 1e-3) for p in model.parameters()}

    def step(parameter: Any) -> None:
        each[parameter].step()
        each[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    loop = Loop(options, model, list(each.values()))

    def batch(x: Tensor, y: Tensor) -> Tensor:
        loss = loop.loss(model(x), y)
        with loop.watch.step(loss):
            loss.backward()
        return loss

    return loop.run(batch)


@healthy
def gradients_projected(options: Options) -> Watch:
    """Each term has its own backward pass, and the gradients are joined by hand (PCGrad)."""
    loop = Loop(options)
    parameters = list(loop.model.parameters())

    def batch(x: Tensor, y: Tensor) -> Tensor:
        output = loop.model(x)
        terms = {"square": F.mse_loss(output, y), "absolute": F.l1_loss(output, y)}
        with loop.watch.step(terms):
            each = []
            for term in terms.values():
                loop.optimizer.zero_grad()
                term.backward(retain_graph=True)
                each.append([p.grad.clone() for p in parameters])  # type: ignore[union-attr]
            for parameter, first, second in zip(parameters, *each, strict=True):
                parameter.grad = first + second
            loop.optimizer.step()
            loop.optimizer.zero_grad()
        return terms["square"] + terms["absolute"]

    return loop.run(batch)


@healthy
def out_of_memory_now_and_then(options: Options) -> Watch:
    loop = Loop(options)
    number = 0

    def batch(x: Tensor, y: Tensor) -> Tensor | None:
        nonlocal number
        number += 1
        loss = loop.loss(loop.model(x), y)
        loop.optimizer.zero_grad()
        try:
            with loop.watch.step(loss):
                loss.backward()
                if number % 4 == 0:
                    raise RuntimeError("out of memory")
                loop.optimizer.step()
        except RuntimeError:
            return None
        return loss

    return loop.run(batch)


@healthy
def interrupted_and_gone_on(options: Options) -> Watch:
    loop = Loop(options, epochs=1)
    for _ in range(3):
        try:
            for number, (x, y) in enumerate(loop.batches()):
                loss = loop.loss(loop.model(x), y)
                with loop.watch.step(loss):
                    loss.backward()
                    if number == 5:
                        raise KeyboardInterrupt
                    loop.optimizer.step()
                    loop.optimizer.zero_grad()
        except KeyboardInterrupt:
            loop.optimizer.zero_grad()
        loop.watch.epoch(validation=loop.validation())
    return loop.run()


@healthy
def resumed_in_place(options: Options) -> Watch:
    loop = Loop(options, epochs=4)
    kept: list[Any] = []

    def after(epoch: int) -> None:
        if epoch == 0:
            kept.extend(copy.deepcopy(x.state_dict()) for x in (loop.model, loop.optimizer))
        elif epoch == 1:
            loop.model.load_state_dict(kept[0])
            loop.optimizer.load_state_dict(kept[1])

    return loop.run(after_epoch=after)


@healthy
def sparse_embedding_of_its_own(options: Options) -> Watch:
    x = torch.randint(0, 50, (120,))
    model = nn.Sequential(nn.Embedding(50, 8, sparse=True), nn.Linear(8, 1))
    both = (
        torch.optim.SparseAdam(model[0].parameters(), 1e-2),
        torch.optim.Adam(model[1].parameters(), 1e-2),
    )
    loop = Loop(options, model, list(both), data=(x, torch.randn(50, 1)[x]))

    def batch(x: Tensor, y: Tensor) -> Tensor:
        loss = loop.loss(model(x), y)
        model.zero_grad()
        with loop.watch.step(loss):
            loss.backward()
            for optimizer in both:
                optimizer.step()
        return loss

    return loop.run(batch)


def unfrozen(options: Options, added: bool = True) -> Watch:
    """The first layer is set free after an epoch, in a group of its own."""
    model = net()
    model[0].requires_grad_(False)
    optimizer = torch.optim.Adam(model[3].parameters(), 1e-3)

    def after(epoch: int) -> None:
        if epoch == 0:
            model[0].requires_grad_(True)
            if added:
                optimizer.add_param_group({"params": list(model[0].parameters()), "lr": 1e-4})

    return Loop(options, model, optimizer, epochs=4).run(after_epoch=after)


RUNS["unfrozen later"] = unfrozen
BUGS["unfrozen and not added"] = ("parameters-not-held",), lambda o: unfrozen(o, False)


@healthy
def averaged_late(options: Options) -> Watch:
    model = net()
    average = AveragedModel(model)
    loop = Loop(options, model, epochs=5, averages={"swa": average})

    def after(epoch: int) -> None:
        if epoch >= 2:
            average.update_parameters(model)

    return loop.run(after_epoch=after)


@healthy
def pseudo_labels(options: Options) -> Watch:
    """The model itself guesses targets, in training mode; its average is validated."""
    model = net(dropout=0.2)
    average = copy.deepcopy(model)
    loop = Loop(options, model, validated=average, averages={"ema": average})

    def batch(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            guess = model(x + 0.1 * torch.randn_like(x))
        loss = loop.loss(model(x), y) + 0.1 * loop.loss(model(x), guess)
        loop.optimizer.zero_grad()
        with loop.watch.step(loss):
            loss.backward()
            loop.optimizer.step()
        with torch.no_grad():
            for kept, parameter in zip(average.parameters(), model.parameters(), strict=True):
                kept.lerp_(parameter, 0.05)
        return loss

    return loop.run(batch)


class Contrast(nn.Module):
    """A momentum encoder inside of the model: its weights are moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.query = net(6, 4)
        self.key = copy.deepcopy(self.query).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            for kept, parameter in zip(self.key.parameters(), self.query.parameters(), strict=True):
                kept.lerp_(parameter, 0.01)
            keys = self.key(x + 0.1 * torch.randn_like(x))
        return 5 * F.cosine_similarity(self.query(x)[:, None], keys[None], dim=-1)


@healthy
def momentum_contrast(options: Options) -> Watch:
    def loss(output: Tensor, _: Tensor) -> Tensor:
        return F.cross_entropy(output, torch.arange(len(output)))

    model = Contrast()
    optimizer = torch.optim.Adam(model.query.parameters(), 1e-3)
    return Loop(options, model, optimizer, loss=loss).run()


@healthy
def support_vectors(options: Options) -> Watch:
    """A hinge that comes to rest, and a bias that walks on a lattice and comes back."""
    x = torch.randn(120, 6)
    model = nn.Linear(6, 1)

    def hinge(output: Tensor, y: Tensor) -> Tensor:
        return F.relu(1 - output * y).mean()

    data = x, (x @ torch.randn(6, 1)).sign()
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    return Loop(options, model, optimizer, epochs=8, loss=hinge, data=data).run()


@healthy
def to_the_optimum(options: Options) -> Watch:
    """Exact data, until loss and gradient are exactly zero."""
    x = torch.randn(120, 6)
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.2)
    return Loop(options, model, optimizer, epochs=30, data=(x, x @ torch.randn(6, 1))).run()


@healthy
def policy_gradient(options: Options) -> Watch:
    """Rollouts without gradients, a reward for a validation, and a bonus that has to yield."""
    model = net(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    watch = Watch(model, optimizer, higher_is_better=True, **options)
    for _ in range(4):
        rewards = 0.0
        for _ in range(12):
            state = torch.randn(16, 4)
            with torch.no_grad():
                action = torch.distributions.Categorical(logits=model(state)).sample()
            reward = (action == state[:, :3].argmax(1)).float()
            rewards += reward.mean().item() / 12
            policy = torch.distributions.Categorical(logits=model(state))
            advantage = reward - reward.mean()
            terms = {
                "policy": -(policy.log_prob(action) * advantage).mean(),
                "entropy": -policy.entropy().mean(),
            }
            with watch.step(terms, {"policy": 1.0, "entropy": 0.01}):
                (terms["policy"] + 0.01 * terms["entropy"]).backward()
                optimizer.step()
                optimizer.zero_grad()
        watch.epoch(validation=rewards)
    watch.close()
    return watch


def autoencoder(weight: float) -> Run:
    """A divergence from the prior that starts at its least and has to rise."""

    def run(options: Options) -> Watch:
        model = nn.ModuleList([nn.Linear(6, 4), nn.Linear(2, 6)])
        x = torch.randn(120, 2) @ torch.randn(2, 6)
        loop = Loop(options, model, torch.optim.Adam(model.parameters(), 1e-2), data=(x, x))
        for _ in range(6):
            for rows, _ in loop.batches():
                mean, log_variance = model[0](rows).chunk(2, 1)
                drawn = mean + torch.randn_like(mean) * (log_variance / 2).exp()
                terms = {
                    "data": F.mse_loss(model[1](drawn), rows),
                    "prior": -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean(),
                }
                loss = terms["data"] + weight * terms["prior"]
                loop.optimizer.zero_grad()
                with loop.watch.step(terms, {"data": 1.0, "prior": weight}):
                    loss.backward()
                    loop.optimizer.step()
            loop.watch.epoch()
        loop.watch.close()
        return loop.watch

    return run


RUNS["autoencoder"] = autoencoder(0.05)


@healthy
def restarts_by_fractions_of_an_epoch(options: Options) -> Watch:
    loop = Loop(options)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(loop.optimizer, 5)
    number = 0

    def batch(x: Tensor, y: Tensor) -> Tensor:
        nonlocal number
        loss = loop.common(x, y)
        schedule.step(number / 12)
        number += 1
        return loss

    return loop.run(batch)


@healthy
def two_watches(options: Options) -> Watch:
    loop = Loop(options)
    other = Watch(loop.model, loop.optimizer, **options)

    def batch(x: Tensor, y: Tensor) -> Tensor:
        with other.step(loop.loss(loop.model(x), y)):
            return loop.common(x, y)

    watch = loop.run(batch)
    assert other.alarms == []
    other.close()
    return watch


def changed_by_hand(change: Callable[[Sequence[Tensor]], None]) -> Run:
    def run(options: Options) -> Watch:
        loop = Loop(options)

        def batch(x: Tensor, y: Tensor) -> Tensor:
            loss = loop.loss(loop.model(x), y)
            loop.optimizer.zero_grad()
            with loop.watch.step(loss):
                loss.backward()
                change(list(loop.model.parameters()))
                loop.optimizer.step()
            return loss

        return loop.run(batch)

    return run


def centralise(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        if parameter.ndim > 1:
            parameter.grad = parameter.grad - parameter.grad.mean(1, keepdim=True)  # type: ignore[operator, union-attr]


def add_noise(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad.add_(1e-2 * torch.randn_like(parameter.grad))  # type: ignore[union-attr, arg-type]


RUNS["gradients centralised"] = changed_by_hand(centralise)
RUNS["noise on the gradients"] = changed_by_hand(add_noise)
RUNS["entries clipped"] = changed_by_hand(lambda p: nn.utils.clip_grad_value_(p, 0.5))


@bug("steps-skipped")
def a_guard_that_always_holds(options: Options) -> Watch:
    loop = Loop(options, epochs=2)
    loop.model[3].bias.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[index]

    def batch(x: Tensor, y: Tensor) -> Tensor:
        loss = loop.loss(loop.model(x), y)
        with loop.watch.step(loss):
            loss.backward()
            if math.isfinite(nn.utils.clip_grad_norm_(loop.model.parameters(), 1.0)):
                loop.optimizer.step()
            loop.optimizer.zero_grad()
        return loss

    return loop.run(batch)


@bug("validation-constant")
def a_copy_is_validated(options: Options) -> Watch:
    model = net()
    return Loop(options, model, validated=copy.deepcopy(model)).run()


@bug("accumulation-not-divided")
def accumulated_and_cleared_by_the_model(options: Options) -> Watch:
    loop = Loop(options)
    number = 0

    def batch(x: Tensor, y: Tensor) -> Tensor:
        nonlocal number
        number += 1
        loss = loop.loss(loop.model(x), y)
        with loop.watch.step(loss):
            loss.backward()
            if number % 3 == 0:
                loop.optimizer.step()
                loop.model.zero_grad()
        return loss

    return loop.run(batch)
