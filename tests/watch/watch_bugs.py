"""Silent bugs of training loops, to be planted one at a time: name, alarm, what it does."""

import math
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from watch_recipe import FEATURES, MARGIN, K, N, Net, Recipe, Run, hinge_of

from ris_pipeline.spectral import eigengap, eigenvalues

ALL = ("plain", "accumulated", "lightning", "fabric")
OWN_ORDER = ("plain", "accumulated", "fabric")
"""Lightning's automatic optimisation keeps the order of calls itself."""


@dataclass(frozen=True)
class Bug:
    """alarm: the right one; number: of the post-mortem, or 0; loops: where it can be planted."""

    name: str
    alarm: str
    number: int
    loops: tuple[str, ...]
    plant: Callable[[Recipe], None]
    story: str


BUGS: dict[str, Bug] = {}


def bug(alarm: str, loops: tuple[str, ...] = ALL, number: int = 0) -> Callable[..., Any]:
    """Enter a planting function into the catalogue."""

    def enter(plant: Callable[[Recipe], None]) -> Callable[[Recipe], None]:
        story = (plant.__doc__ or "").strip()
        BUGS[plant.__name__] = Bug(plant.__name__, alarm, number, loops, plant, story)
        return plant

    return enter


def terms_changed(recipe: Recipe, change: Callable[..., dict[str, Tensor]]) -> None:
    """Terms as the recipe makes them, with some of them replaced."""
    right = recipe.terms

    def terms(covariance: Tensor, position: Tensor, batch: Any) -> dict[str, Tensor]:
        made = right(covariance, position, batch)
        return {**made, **change(made, covariance, position, batch)}

    recipe.terms = terms


def claims_changed(recipe: Recipe, change: Callable[[Tensor], dict[str, Any]]) -> None:
    """What the loop says of its covariance, with some of it replaced."""
    right = recipe.spectral
    recipe.spectral = lambda covariance, batch: {
        **right(covariance, batch),
        **change(covariance.detach()),
    }


def without_spectra(recipe: Recipe) -> None:
    """No decomposition, which would refuse a NaN."""
    recipe.hinge = lambda covariance: covariance.abs().mean()
    recipe.spectral = lambda covariance, batch: {}


def covariance_changed(recipe: Recipe, change: Callable[[Tensor], Tensor]) -> None:
    right = recipe.forward

    def forward(run: Run, batch: Any) -> tuple[Tensor, Tensor]:
        covariance, position = right(run, batch)
        return change(covariance), position

    recipe.forward = forward
    recipe.spectral = lambda covariance, batch: {"covariance": covariance, "k": K}


# Terms.


@bug("term-not-finite")
def logarithm_at_zero(recipe: Recipe) -> None:
    """A logarithm of a clamped difference."""
    without_spectra(recipe)
    terms_changed(recipe, lambda t, r, p, b: {"fit": t["fit"] + (t["fit"] * 0).log()})


@bug("term-detached")
def term_detached(recipe: Recipe) -> None:
    """`.detach()` left over from logging."""
    terms_changed(recipe, lambda t, r, p, b: {"eigengap": t["eigengap"].detach()})


@bug("term-detached")
def except_continue(recipe: Recipe) -> None:
    """`except: continue` around the term: a fresh zero is returned."""
    terms_changed(recipe, lambda t, r, p, b: {"eigengap": torch.zeros(())})


@bug("term-left-out")
def term_not_summed(recipe: Recipe) -> None:
    """Reported with the others, and not in the sum."""
    recipe.total = lambda terms: terms["fit"] + terms["nmse"]


@bug("term-constant")
def hinge_never_engages(recipe: Recipe) -> None:
    """A margin in other units than the gap: the hinge is zero from the first batch."""
    recipe.hinge = lambda covariance: hinge_of(eigenvalues(covariance), -1e3)


@bug("term-constant")
def hinge_of_noise_values(recipe: Recipe) -> None:
    """The gap of two eigenvalues that are both the loading: the hinge is the margin."""

    def hinge(covariance: Tensor) -> Tensor:
        values = eigenvalues(covariance)
        same = values[:, -1] - values[:, -1]
        return torch.relu(MARGIN - same).mean()

    recipe.hinge = hinge
    recipe.spectral = lambda covariance, batch: {}


@bug("term-dead")
def rounded_term(recipe: Recipe) -> None:
    """Rounded for a clean plot: the gradient of `round` is zero."""
    terms_changed(recipe, lambda t, r, p, b: {"nmse": (t["nmse"] * 1e4).round() / 1e4})


@bug("term-opposes")
def sign_turned(recipe: Recipe) -> None:
    """A score to be maximised, minimised."""
    recipe.weights = {**recipe.weights, "score": 6.0}
    terms_changed(recipe, lambda t, r, p, b: {"score": -(p - b[2]).abs().mean()})


@bug("term-opposes", number=1)
def hinge_against_all(recipe: Recipe) -> None:
    """The wrongly sorted hinge with a wide margin: it pushes the gap shut, against all others."""
    recipe.weights = {**recipe.weights, "eigengap": 5.0}
    recipe.hinge = lambda covariance: -hinge_of(eigenvalues(covariance), 30.0)
    recipe.spectral = lambda covariance, batch: {}


@bug("term-irrelevant")
def weight_in_other_units(recipe: Recipe) -> None:
    """A weight of 1e-9 from a run whose covariances had trace 1e9."""
    recipe.weights = {**recipe.weights, "eigengap": 1e-9}
    recipe.hinge = lambda covariance: hinge_of(eigenvalues(covariance), 100.0)


@bug("term-weight")
def weight_applied_twice(recipe: Recipe) -> None:
    """Inside the term and again in the sum."""
    recipe.hinge = lambda covariance: hinge_of(eigenvalues(covariance), 100.0)
    weights = recipe.weights
    recipe.total = lambda terms: (
        terms["fit"] + terms["nmse"] + weights["eigengap"] ** 2 * terms["eigengap"]
    )


# Spectral.


@bug("covariance-not-finite")
def trace_of_zero(recipe: Recipe) -> None:
    """Normalized by a trace that is zero."""
    covariance_changed(
        recipe, lambda r: r / (0 * r.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None])
    )
    recipe.hinge = lambda covariance: covariance.abs().mean()


@bug("covariance-not-hermitian", number=2)
def not_hermitian(recipe: Recipe) -> None:
    """The prediction is decomposed as it comes."""
    covariance_changed(recipe, lambda r: r + 0.1 * r.triu(1))


@bug("covariance-indefinite")
def noise_floor_subtracted(recipe: Recipe) -> None:
    """The noise power taken off, more than there is."""
    covariance_changed(recipe, lambda r: r - 0.5 * torch.eye(N))


@bug("eigenvalue-order", number=1)
def flipped_values(recipe: Recipe) -> None:
    """`svd` descends; flipped, and indexed as if it still did."""
    recipe.hinge = lambda covariance: hinge_of(torch.linalg.svdvals(covariance).flip(-1))
    claims_changed(recipe, lambda r: {"eigenvalues": torch.linalg.svdvals(r).flip(-1)})


@bug("hinge-direction", number=1)
def flipped_hinge(recipe: Recipe) -> None:
    """The same, seen by its gradient alone."""
    recipe.hinge = lambda covariance: hinge_of(torch.linalg.svdvals(covariance).flip(-1))
    recipe.spectral = lambda covariance, batch: {"covariance": covariance, "k": K}


@bug("hinge-direction")
def hinge_sign(recipe: Recipe) -> None:
    """`lambda_{k+1} - lambda_k`."""
    recipe.hinge = lambda covariance: torch.relu(MARGIN + eigengap(covariance, K)).mean()


@bug("eigenvalues-wrong")
def values_of_another_scale(recipe: Recipe) -> None:
    """Eigenvalues of the matrix before it was scaled."""
    claims_changed(recipe, lambda r: {"eigenvalues": eigenvalues(r / N)})


@bug("gap-wrong")
def gap_off_by_one(recipe: Recipe) -> None:
    """`S[k] - S[k+1]`."""
    claims_changed(recipe, lambda r: {"gap": eigengap(r, K + 1)})


@bug("gap-wrong", number=1)
def gap_of_ascending_values(recipe: Recipe) -> None:
    """`eigvalsh` ascends and is indexed from the front."""
    claims_changed(
        recipe,
        lambda r: {"gap": (v := torch.linalg.eigvalsh(r))[:, K - 1] - v[:, K]},
    )


@bug("gradient-at-ties")
def through_eigenvectors(recipe: Recipe) -> None:
    """A term on the noise eigenvectors, whose eigenvalues are all the loading."""

    recipe.weights = {**recipe.weights, "noise": 1e-9}
    terms_changed(
        recipe,
        lambda t, r, p, b: {"noise": torch.linalg.eigh(r)[1][:, 0, 0].abs().mean()},
    )


@bug("order-k")
def fixed_k(recipe: Recipe) -> None:
    """k from the settings, not from the batch."""
    claims_changed(recipe, lambda r: {"k": K + 1, "gap": None, "subspace": None})


@bug("subspace-exchanged")
def noise_for_signal(recipe: Recipe) -> None:
    """The first k vectors of `eigh`."""
    claims_changed(recipe, lambda r: {"subspace": torch.linalg.eigh(r)[1][:, :, :K]})


# Bookkeeping.


@bug("epoch-loss", ("accumulated",), number=3)
def loss_in_the_step_block(recipe: Recipe) -> None:
    """`running += loss` inside the accumulation step."""
    recipe.report = lambda losses, steps: sum(losses[i] for i in steps) / len(losses)


@bug("epoch-loss", ("accumulated",), number=3)
def divided_by_the_steps(recipe: Recipe) -> None:
    """The counter of the steps stood nearer."""
    recipe.report = lambda losses, steps: sum(losses) / len(steps)


@bug("epoch-loss", OWN_ORDER)
def last_batch_only(recipe: Recipe) -> None:
    """A `+` lost."""
    recipe.report = lambda losses, steps: losses[-1]


@bug("epoch-loss", OWN_ORDER)
def sum_not_divided(recipe: Recipe) -> None:
    """The sum over the batches."""
    recipe.report = lambda losses, steps: sum(losses)


@bug("epoch-loss", ("accumulated",), number=3)
def remainder_dropped(recipe: Recipe) -> None:
    """The batches after the last full group are trained on and not counted."""
    recipe.train_rows, recipe.drop_remainder = 108, True
    recipe.report = lambda losses, steps: sum(losses[:24]) / 24


@bug("validation-constant")
def cached_validation(recipe: Recipe) -> None:
    """The validation of the first epoch, again and again."""
    seen: list[float] = []

    def report(value: float, epoch: int) -> float:
        seen.append(value)
        return seen[0] if len(seen) > 3 or epoch else value

    recipe.report_validation = report
    right = recipe.validation
    recipe.validation = lambda run: right(run)[:1]


def run_rows(run: Run, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return run.x[rows], run.true[rows], run.y[rows]


@bug("validation-on-training")
def validated_on_training(recipe: Recipe) -> None:
    """The training loader twice."""
    recipe.validation = lambda run: [
        (run.x[r], run.true[r], run.y[r]) for r in torch.arange(24).split(8)
    ]


@bug("validation-overlap")
def overlapping_split(recipe: Recipe) -> None:
    """Indices split after some were duplicated."""

    def mixed(run: Run) -> list[tuple[Tensor, Tensor, Tensor]]:
        order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
        rows = torch.arange(recipe.train_rows - 8, recipe.train_rows + 16)[order].split(8)
        return [run_rows(run, r) for r in rows]

    recipe.validation = mixed


@bug("training-in-eval-mode")
def never_back_to_training(recipe: Recipe) -> None:
    """`model.eval()` for the validation, and nothing after it."""
    right = recipe.train_mode
    epochs: list[int] = []

    def train_mode(run: Run) -> None:
        epochs.append(0)
        if len(epochs) == 1:
            right(run)
        else:
            run.model.eval()

    recipe.train_mode = train_mode


@bug("validating-in-train-mode")
def no_eval(recipe: Recipe) -> None:
    """No `model.eval()`."""
    recipe.validation_mode = lambda run: run.model.train()  # type: ignore[assignment]


@bug("average-not-following")
def average_forgotten(recipe: Recipe) -> None:
    """The update is not called."""
    recipe.average = lambda run: None


@bug("average-not-following")
def average_of_an_old_module(recipe: Recipe) -> None:
    """The average follows a module that was replaced."""
    old = {n: p.detach() * 4 + 1 for n, p in Net().named_parameters()}

    def average(run: Run) -> None:
        for name, value in run.ema.items():
            value.lerp_(old[name], 0.1)

    recipe.average = average


@bug("best-not-best")
def comparison_turned(recipe: Recipe) -> None:
    """`>` for `<`."""
    recipe.better = lambda value, best: value > best or math.isinf(best)
    recipe.report_validation = lambda value, epoch: value / (1 + epoch)


# Optimiser.


@bug("parameters-not-held")
def part_of_the_model(recipe: Recipe) -> None:
    """The optimiser was made from the backbone and one head."""
    recipe.held = lambda model: [
        p for name, p in model.named_parameters() if not name.startswith("position")
    ]


@bug("parameters-held-twice", ("plain", "accumulated"))
def overlapping_groups(recipe: Recipe) -> None:
    """Backbone and everything."""

    def make(params: Any, rate: float) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.optim.AdamW([*params, params[0]], lr=rate)

    recipe.make_optimizer = make


@bug("parameters-of-old-module")
def head_replaced(recipe: Recipe) -> None:
    """A new head after the optimiser was made."""

    def prepared(run: Run) -> None:
        run.model.position = nn.Linear(16, 2)
        run.ema = {n: p.detach().clone() for n, p in run.model.named_parameters()}

    recipe.prepared = prepared


class WithUnused(Net):
    """A layer that the forward pass does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(4, 4)


@bug("no-gradient", number=5)
def unused_layer(recipe: Recipe) -> None:
    """A layer that is made and not called."""
    recipe.make_model = WithUnused


class WithDeadBranch(Net):
    """A branch whose units are off for every input."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Linear(FEATURES, 2)
        with torch.no_grad():
            self.branch.bias.fill_(-100.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        factor, position = super().forward(x)
        return factor, position + torch.relu(self.branch(x))


@bug("gradient-zero")
def dead_units(recipe: Recipe) -> None:
    """A bias of -100 before a ReLU."""
    recipe.make_model = WithDeadBranch


@bug("gradient-not-finite", ("plain", "lightning", "fabric"), number=4)
def poisoned_gradient(recipe: Recipe) -> None:
    """A NaN in the gradient of one bias in every fourth batch."""
    without_spectra(recipe)
    recipe.prepared = partial(poison, math.nan, 4)


@bug("scaler-skips", ("accumulated",), number=4)
def skipped_for_ever(recipe: Recipe) -> None:
    """The same in every batch, under a loss scale: no step is ever taken."""
    recipe.prepared = partial(poison, math.nan, 1)


def poison(value: float, period: int, run: Run) -> None:
    calls = [0]

    def hook(gradient: Tensor) -> Tensor:
        calls[0] += 1
        return torch.full_like(gradient, value) if calls[0] % period == 0 else gradient

    run.model.position.bias.register_hook(hook)  # type: ignore[union-attr, operator]


@bug("step-never", OWN_ORDER, number=5)
def no_step(recipe: Recipe) -> None:
    """`optimizer.step()` under a condition that never holds."""
    recipe.order = ("backward", "clip", "clear")


@bug("step-twice", ("plain", "fabric"))
def two_steps(recipe: Recipe) -> None:
    """`step()` in the loop and in a helper."""
    recipe.order = ("backward", "clip", "step", "step", "clear")


@bug("step-before-backward", ("plain", "fabric"))
def step_first(recipe: Recipe) -> None:
    """Clear, step, backward."""
    recipe.order = ("clear", "step", "backward")


@bug("gradients-cleared-before-step", ("plain", "fabric"))
def cleared_before_the_step(recipe: Recipe) -> None:
    """Backward, clear, step."""
    recipe.order = ("backward", "clear", "step")


@bug("gradients-cleared-before-step", ("plain", "fabric"))
def zeroed_before_the_step(recipe: Recipe) -> None:
    """The same with zeros for None."""
    recipe.order = ("backward", "clear", "step")
    recipe.clear = lambda run: run.optimizer.zero_grad(set_to_none=False)


@bug("gradients-not-cleared", OWN_ORDER)
def never_cleared(recipe: Recipe) -> None:
    """No `zero_grad()`."""
    recipe.order = ("backward", "clip", "step")


@bug("gradients-not-cleared", ("plain", "fabric"))
def another_optimiser_cleared(recipe: Recipe) -> None:
    """`zero_grad()` of another module."""
    other = Net()
    recipe.clear = lambda run: other.zero_grad()


@bug("accumulation-not-divided", ("accumulated",))
def not_divided(recipe: Recipe) -> None:
    """The loss is not divided by the number of batches."""
    recipe.divide = lambda loss, group: loss


@bug("clip-after-step", ("plain", "fabric"))
def clipped_too_late(recipe: Recipe) -> None:
    """The clipping below the step."""
    recipe.order = ("backward", "step", "clip", "clear")
    recipe.clip_norm = 0.1


@bug("clip-always-active")
def clipped_to_nothing(recipe: Recipe) -> None:
    """A threshold of 1e-4."""
    recipe.clip_norm = 1e-4


@bug("clip-never-active")
def clip_out_of_reach(recipe: Recipe) -> None:
    """A threshold of 1e6."""
    recipe.clip_norm = 1e6
    recipe.watch = {**recipe.watch, "clip": 1e6}


@bug("rate-zero", number=5)
def no_rate(recipe: Recipe) -> None:
    """A schedule that is over before it began."""
    recipe.rate = 0.0


@bug("rate-zero")
def head_without_a_rate(recipe: Recipe) -> None:
    """`epoch // epochs` for `epoch / epochs` in the rate of one group."""
    recipe.make_optimizer = lambda params, rate: torch.optim.AdamW(
        [{"params": params[:4], "lr": rate}, {"params": params[4:], "lr": 1 // 30}]
    )


@bug("rate-collapsed", OWN_ORDER)
def decayed_by_batch(recipe: Recipe) -> None:
    """A decay meant for epochs, stepped by the batch."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.4)
    recipe.after_batch = lambda run: quietly(run.scheduler.step)
    recipe.after_epoch = lambda run: None


def quietly(call: Callable[[], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call()


@bug("schedule-not-stepped", OWN_ORDER)
def schedule_forgotten(recipe: Recipe) -> None:
    """No `scheduler.step()`."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 2)
    recipe.say_scheduler = True
    recipe.after_epoch = lambda run: None


@bug("schedule-per-batch", OWN_ORDER)
def schedule_by_batch(recipe: Recipe) -> None:
    """A cosine over ten epochs, stepped by the batch."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10)
    recipe.say_scheduler = True
    recipe.after_batch = lambda run: quietly(run.scheduler.step)
    recipe.after_epoch = lambda run: None


@bug("schedule-per-batch", ("plain", "fabric"))
def steps_by_batch(recipe: Recipe) -> None:
    """A decay every five epochs, stepped by the batch."""
    recipe.make_scheduler = lambda o: torch.optim.lr_scheduler.StepLR(o, 5, 0.5)
    recipe.say_scheduler = True
    recipe.after_batch = lambda run: quietly(run.scheduler.step)
    recipe.after_epoch = lambda run: None


@bug("weights-still")
def weights_restored(recipe: Recipe) -> None:
    """A head loaded from a checkpoint after every step."""

    def prepared(run: Run) -> None:
        run.extra["head"] = deepcopy(run.model.position.state_dict())  # type: ignore[union-attr]

    recipe.prepared = prepared
    recipe.after_batch = lambda run: run.model.position.load_state_dict(run.extra["head"])  # type: ignore[union-attr]


@bug("update-ratio")
def rate_far_too_large(recipe: Recipe) -> None:
    """A rate of 30."""
    recipe.rate = 30.0


@bug("update-ratio")
def rate_far_too_small(recipe: Recipe) -> None:
    """A rate of 1e-10."""
    recipe.rate = 1e-10


@bug("frozen")
def frozen_on_the_way(recipe: Recipe) -> None:
    """`requires_grad_(False)` for a picture, and never back."""

    def before(run: Run, number: int) -> None:
        if number == 7:
            run.model.position.requires_grad_(False)

    recipe.before_batch = before


@bug("frozen")
def frozen_group(recipe: Recipe) -> None:
    """A group with a rate of its own that was frozen in an earlier experiment."""

    def make(params: Any, rate: float) -> Any:
        for p in params[:4]:
            p.requires_grad_(False)
        return torch.optim.AdamW([{"params": params[:4]}, {"params": params[4:]}], lr=rate)

    recipe.make_optimizer = make


class WithRepeats(Net):
    """`[layer] * n`."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Sequential(*([nn.Linear(FEATURES, FEATURES)] * 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x + self.more(x))


@bug("shared")
def one_layer_three_times(recipe: Recipe) -> None:
    """`[layer] * 3`."""
    recipe.make_model = WithRepeats


@bug("shared")
def one_piece_of_memory(recipe: Recipe) -> None:
    """`.data = other.data` to start from the same weights."""

    def prepared(run: Run) -> None:
        first, last = run.model.backbone[3], nn.Linear(16, 16)  # type: ignore[index]
        run.model.extra = last
        last.weight.data = first.weight.data  # type: ignore[union-attr]

    recipe.prepared = prepared


# Data.


@bug("same-batch")
def first_batch_again(recipe: Recipe) -> None:
    """`next(iter(loader))` inside the loop."""
    right = recipe.batches
    recipe.batches = lambda run, epoch: [right(run, 0)[0]] * 12


@bug("labels-shuffled")
def shuffled_apart(recipe: Recipe) -> None:
    """Inputs and targets drawn by two permutations."""

    def batch(run: Run, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(77 + epoch)
        apart = torch.randperm(recipe.train_rows, generator=generator)[rows]
        return run.x[rows], run.true[apart], run.y[apart]

    recipe.batch = batch


@bug("constant-inputs")
def empty_buffer(recipe: Recipe) -> None:
    """A buffer that is not filled."""
    recipe.batch = lambda run, rows, epoch: (
        torch.zeros(len(rows), FEATURES),
        run.true[rows],
        run.y[rows],
    )


@bug("order-identical")
def not_shuffled(recipe: Recipe) -> None:
    """A sampler that is never told the epoch."""
    right = recipe.indices
    recipe.indices = lambda run, epoch: right(run, 0)


@bug("nan-inputs")
def missing_values(recipe: Recipe) -> None:
    """A few missing values."""

    def prepared(run: Run) -> None:
        run.x[::10, 3] = math.nan

    without_spectra(recipe)
    recipe.prepared = prepared
