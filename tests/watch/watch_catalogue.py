"""What a silent bug of a training loop is, and how a recipe is changed to have one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from watch_recipe import K, Recipe, Run

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
