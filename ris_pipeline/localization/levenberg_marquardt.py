"""Levenberg-Marquardt steps in a box, for many minima at once.

(F + mu diag F) step = s,     s = -1/2 df / dtheta,  F ~ 1/2 d2f / dtheta2

Coordinates at the border of the box whose slope points outwards are held there; a step that crosses
the border stops at it. Every minimum has its own damping mu; those that are reached leave.

Source: K. Madsen, H. B. Nielsen, O. Tingleff, "Methods for Non-Linear Least Squares Problems",
2004, section 3.2.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline._recorder import overwrite
from ris_pipeline._replay import Recordings, filled, size_of, split, tensors_of
from ris_pipeline.localization.cholesky import regular_cholesky, solve_factored, unit_diagonal
from ris_pipeline.localization.coordinates import Domain

_FIRST_DAMPING = 1e-2
_DAMPING_LIMIT = 1e12
_STAYING = 2 / 3
"""Part of the scenes still moving from which on the others stay too: to copy the data of those that
move costs as much as a step."""

Expanded = TypeVar("Expanded", bound="Expansion")


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """f to second order: objective f (*batch), score (*batch, D), information F (*batch, D, D)."""

    objective: Tensor
    score: Tensor
    information: Tensor

    def map(self: Expanded, change: Callable[[Tensor], Tensor]) -> Expanded:
        """The same with every tensor changed."""
        return type(self)(**{f.name: change(getattr(self, f.name)) for f in fields(self)})

    def where(self: Expanded, chosen: Bool[Tensor, "*batch"], other: Expanded) -> Expanded:
        """These where `chosen`, elsewhere those of `other`."""

        def pick(name: str) -> Tensor:
            mine, theirs = getattr(self, name), getattr(other, name)
            mask = chosen.reshape(*chosen.shape, *[1] * (mine.ndim - chosen.ndim))
            return torch.where(mask, mine, theirs)

        return type(self)(**{f.name: pick(f.name) for f in fields(self)})

    def put(self: Expanded, index: Tensor, part: Expanded) -> None:
        """Write the scenes `index`, in place."""
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(part, field.name)


@dataclass(frozen=True, kw_only=True)
class Slope:
    """Score of the coordinates that may move, and the steps it asks for, all in the scale in which
    the information has a unit diagonal.

    score, scale (*batch, D); step (*batch, D), `(unit + damping I)^-1 score`; newton (*batch, D),
    the same without damping but for rounding's; both zero where that matrix is not definite; flat
    (*batch,): every coordinate that may move has a score of zero.
    """

    score: Tensor
    scale: Tensor
    step: Tensor
    newton: Tensor
    flat: Tensor


def _solve(unit: Tensor, damping: Tensor, score: Tensor) -> Float[Tensor, "two *batch d"]:
    damped = unit.expand(2, *unit.shape).clone()
    damped.diagonal(dim1=-2, dim2=-1).add_(damping[..., None])
    factor, regular = regular_cholesky(damped)
    step = solve_factored(score.expand(2, *score.shape)[..., None], factor)[..., 0]
    return step.where(regular[..., None], torch.zeros_like(step))


def slope_of(
    expansion: Expansion,
    held: Bool[Tensor, "*batch d"],
    damping: Float[Tensor, "*batch"] | None = None,
) -> Slope:
    """The slope in the coordinates that are not held, its step undamped where nothing is told."""
    unit, scale = unit_diagonal(expansion.information, ~held)
    free_score = torch.where(held, 0.0, expansion.score)
    score = free_score * scale
    rounding = torch.full_like(
        expansion.objective, unit.shape[-1] * torch.finfo(unit.dtype).eps, dtype=unit.dtype
    )
    dampings = torch.stack((rounding, rounding if damping is None else damping))
    newton, step = _solve(unit, dampings, score)
    return Slope(
        score=score,
        scale=scale,
        step=step,
        newton=newton,
        flat=(free_score == 0).all(-1),
    )


class Objective(ABC, Generic[Expanded]):
    """What is minimised, for a batch of scenes."""

    @abstractmethod
    def take(self, keep: Tensor) -> "Objective[Expanded]":
        """Some of the scenes."""

    @abstractmethod
    def expand(self, place: Float[Tensor, "*batch d"]) -> Expanded:
        """f to second order around a place."""

    @abstractmethod
    def reached(self, expansion: Expanded, slope: Slope) -> Bool[Tensor, "*batch"]:
        """Where the minimum is so near that no more steps are wanted."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the damping moves, and when to stop.

    lighter: the damping after a step that was taken, of the damping and the ratio of the decrease
    to the predicted one; heavier: its factor after the first step that was not, and the factor of
    that factor after each further one; finish: whether the last, undamped step is taken as well.
    """

    lighter: Callable[[Tensor, Tensor], Tensor]
    heavier: tuple[float, float]
    finish: bool
    most_steps: int


@dataclass(frozen=True)
class Minimum(Generic[Expanded]):
    """Where the steps ended: place and held (*batch, D), the expansion there, reached (*batch,)."""

    place: Tensor
    expansion: Expanded
    held: Tensor
    reached: Tensor


@dataclass
class _Moving(Generic[Expanded]):
    """The scenes still moving: which they are, place, expansion, damping, the factor by which it
    grows, and which minima are reached."""

    index: Tensor
    objective: Objective[Expanded]
    place: Tensor
    expansion: Expanded
    damping: Tensor
    growth: Tensor
    reached: Tensor

    @classmethod
    def start(
        cls, objective: Objective[Expanded], place: Tensor, expansion: Expanded, rules: Rules
    ) -> "_Moving[Expanded]":
        """All scenes, none of which has moved."""
        damping = torch.full_like(expansion.objective, _FIRST_DAMPING)
        growth = torch.full_like(damping, rules.heavier[0])
        reached = torch.zeros_like(damping, dtype=torch.bool)
        scenes = torch.arange(place.shape[0], device=place.device)
        return cls(scenes, objective, place, expansion, damping, growth, reached)

    def changing(self) -> list[Tensor]:
        """What a step changes."""
        return tensors_of((self.place, self.expansion, self.damping, self.growth, self.reached))

    def take(self, keep: Tensor) -> "_Moving[Expanded]":
        return _Moving(
            self.index[keep],
            self.objective.take(keep),
            self.place[keep],
            self.expansion.map(lambda value: value[keep]),
            self.damping[keep],
            self.growth[keep],
            self.reached[keep],
        )


class _Ended(Generic[Expanded]):
    """Where every scene is, those that have left too."""

    def __init__(self, moving: _Moving[Expanded]) -> None:
        self.place, self.reached = moving.place.clone(), moving.reached.clone()
        self.expansion = moving.expansion.map(torch.clone)

    def store(self, moving: _Moving[Expanded], count: int | None = None) -> None:
        """The first `count` scenes, by default all."""
        index = moving.index[:count]
        self.place[index], self.reached[index] = moving.place[:count], moving.reached[:count]
        self.expansion.put(index, moving.expansion.map(lambda value: value[:count]))


def _held(place: Tensor, score: Tensor, box: Domain, fixed: Tensor) -> Bool[Tensor, "*batch d"]:
    outward = (place <= box.lower) & (score < 0)
    return outward | ((place >= box.upper) & (score > 0)) | fixed


def minimise(
    objective: Objective[Expanded],
    start: Float[Tensor, "*batch d"],
    box: Domain,
    fixed: Bool[Tensor, " d"],
    rules: Rules,
    recordings: Recordings | None = None,
) -> Minimum[Expanded]:
    """The minimum of f next to each start, inside a box.

    Args:
        box: lower and upper (D,).
        fixed: coordinates that do not move.
        recordings: replay the steps as a whole, see `_walk_replayed`.
    """
    place = torch.clamp(start, box.lower, box.upper)
    if recordings is None:
        moving = _Moving.start(objective, place, objective.expand(place), rules)
        ended = _Ended(moving)
        _walk(moving, ended, box, fixed, rules)
    else:
        with recordings.alone:
            scenes = torch.arange(place.shape[0], device=place.device)
            expansion = recordings.of_rows(
                _expand, scenes, lambda some: (objective.take(some), place[some])
            )
            moving = _Moving.start(objective, place, expansion, rules)
            ended = _Ended(moving)
            for some in split(scenes):
                _walk_replayed(moving.take(some), ended, box, fixed, rules, recordings)
    held = _held(ended.place, ended.expansion.score, box, fixed)
    return Minimum(ended.place, ended.expansion, held, ended.reached)


def _walk(
    moving: _Moving[Expanded], ended: _Ended[Expanded], box: Domain, fixed: Tensor, rules: Rules
) -> None:
    for _ in range(rules.most_steps):
        near, slope, going = _judge(moving, box, fixed, rules)
        kept = torch.nonzero(going)[:, 0]
        if kept.numel() <= _STAYING * going.numel():
            ended.store(moving)
            moving, slope, near = moving.take(kept), _taken(slope, kept), near[kept]
        if moving.index.numel() == 0:
            break
        _advance(moving, slope, box, near, rules)
    ended.store(moving)


def _walk_replayed(
    moving: _Moving[Expanded],
    ended: _Ended[Expanded],
    box: Domain,
    fixed: Tensor,
    rules: Rules,
    recordings: Recordings,
) -> None:
    """The same by replays of one recorded step: the scenes are filled up to one of `SIZES`, and
    those that have left stay until a smaller one holds the rest."""
    steps = 0
    while (count := moving.index.numel()) > 0:
        rows = filled(torch.arange(count, device=moving.index.device))
        size = left = rows.shape[0]
        real = torch.arange(size, device=rows.device) < count
        step = recordings.of(_step, moving.take(rows), real, box, fixed, rules)
        while left and size_of(left) == size and steps < rules.most_steps:
            going, number = step.run()
            left, steps = int(number), steps + 1
        held: _Moving[Expanded] = step.inputs[0]
        ended.store(held, count)
        if steps == rules.most_steps:
            break
        moving = held.take(torch.nonzero(going)[:, 0])


def _expand(objective: Objective[Expanded], place: Tensor) -> Expanded:
    return objective.expand(place)


def _step(
    moving: _Moving[Expanded], real: Tensor, box: Domain, fixed: Tensor, rules: Rules
) -> tuple[Bool[Tensor, " b"], Tensor]:
    """One step in place; which scenes took it, and how many."""
    new = replace(moving)
    near, slope, going = _judge(new, box, fixed, rules)
    going = going & real
    _advance(new, slope, box, near, rules, going)
    overwrite(moving.changing(), new.changing())
    return going, going.sum()


def _judge(
    moving: _Moving[Expanded], box: Domain, fixed: Tensor, rules: Rules
) -> tuple[Bool[Tensor, " b"], Slope, Bool[Tensor, " b"]]:
    """Minima that had been reached before, the slopes, and which scenes go on; those that have been
    reached now are marked."""
    near = moving.reached
    held = _held(moving.place, moving.expansion.score, box, fixed)
    slope = slope_of(moving.expansion, held, moving.damping)
    found = near | moving.objective.reached(moving.expansion, slope)
    moving.reached = found
    return near, slope, ~(near if rules.finish else found) & (moving.damping < _DAMPING_LIMIT)


def _taken(slope: Slope, keep: Tensor) -> Slope:
    return Slope(**{f.name: getattr(slope, f.name)[keep] for f in fields(slope)})


def _advance(
    moving: _Moving[Expanded],
    slope: Slope,
    box: Domain,
    near: Tensor,
    rules: Rules,
    going: Tensor | None = None,
) -> None:
    """One step of every scene, in place.

    near: minima that had been reached before; what has been reached just now moves once more where
    the rules want the last step. going: the scenes that move, by default all.
    """
    last = moving.reached & ~near
    step = slope.step
    if rules.finish:
        step = torch.where(last[..., None], slope.newton, step)
    trial = torch.clamp(moving.place + step * slope.scale, box.lower, box.upper)
    new, old = moving.objective.expand(trial), moving.expansion
    moved = trial - moving.place
    bent = (moved * (old.information @ moved[..., None])[..., 0]).sum(-1)
    predicted = (2 * old.score * moved).sum(-1) - bent
    decrease = old.objective - new.objective
    better = (decrease > 0) & ~moving.reached
    if rules.finish:
        better = better | last
    if going is not None:
        better = better & going
    # A step cut at the border may predict no decrease; the ratio then says nothing: damp as at 0.
    ratio = torch.where(predicted > 0, decrease / predicted, torch.zeros_like(predicted))
    lighter = rules.lighter(moving.damping, ratio)
    moving.damping = torch.where(better, lighter, moving.damping * moving.growth)
    moving.growth = torch.where(better, rules.heavier[0], moving.growth * rules.heavier[1])
    moving.place = torch.where(better[..., None], trial, moving.place)
    moving.expansion = new.where(better, old)
