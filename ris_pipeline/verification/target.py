"""What the properties test: a set of functions, looked up when they are called.

Looking up late lets `provide` put somebody else's function, or a known bug, in place of ours.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import Any, TypeVar
from unittest import SkipTest

from ris_pipeline._verified import VERIFIED

T = TypeVar("T")

_OTHERS = (
    "ris_pipeline.spectral.covariance:trace",
    "ris_pipeline.spectral.covariance:normalize_trace",
    "ris_pipeline.spectral.covariance:shrinkage_weight",
    "ris_pipeline.spectral.covariance:shrink",
    "ris_pipeline.spectral.covariance:blend",
    "ris_pipeline.spectral.covariance:prepare_covariance",
    "ris_pipeline.spectral.covariance:nmse",
    "ris_pipeline.spectral.low_rank:LowRankCovariance",
    "ris_pipeline.spectral.eigengap:signal_power_hinge",
    "ris_pipeline.spectral.subspaces:noise_projection",
    "ris_pipeline.spectral.subspaces:decomposition",
    "ris_pipeline.spectral.spectra:soft_music_spectrum",
    "ris_pipeline.spectral.subspaces:soft_alignment",
    "ris_pipeline.spectral.model_order:eigenvalue_mdl",
    "ris_pipeline.spectral.model_order:eigenvalue_aic",
    "ris_pipeline.spectral.spectra:bartlett_spectrum",
    "ris_pipeline.scene.array:ideal_panel",
    "ris_pipeline.scene.array:steering_derivatives",
    "ris_pipeline.scene.array:steering_second_derivatives",
    "ris_pipeline.scene.codebook:quantize_phase",
    "ris_pipeline.scene.codebook:dft_codebook",
    "ris_pipeline.scene.codebook:random_codebook",
    "ris_pipeline.scene.codebook:hadamard_codebook",
    "ris_pipeline.scene.simulate:simulate",
    "ris_pipeline.scene.simulate:covariance_factor",
    "ris_pipeline.localization.scoring.matching:match_sources",
    "ris_pipeline.localization.scoring.gospa:gospa_metric",
    "ris_pipeline.localization.maximum_likelihood.locate:locate",
    "ris_pipeline.localization.bounds.deterministic:cramer_rao_bound",
    "ris_pipeline.localization.bounds.stochastic:stochastic_cramer_rao_bound",
    "ris_pipeline.localization.bounds.misspecified:misspecified_cramer_rao_bound",
    "ris_pipeline.learning.losses:wrap_angle",
    "ris_pipeline.learning.losses:huber",
    "ris_pipeline.learning.losses:match_slots",
    "ris_pipeline.watch.diagnostics:debug_line",
    "ris_pipeline.watch.diagnostics:optimiser_line",
    "ris_pipeline.watch.diagnostics:gradient_line",
    "ris_pipeline.watch.diagnostics:step_line",
    "ris_pipeline.watch.diagnostics:epoch_line",
)
"""Functions under test that `verify` does not ask strangers for."""

PLACES = {
    place.partition(":")[2]: place
    for place in (*(one.place for one in VERIFIED.values()), *_OTHERS)
}
"""Where each function under test stands, as `module:attribute`; see `places`."""


@cache
def places() -> Mapping[str, str]:
    """`PLACES` and every loss term, by the name of its function."""
    terms = import_module("ris_pipeline.learning.losses").TERMS.values()
    return {**PLACES, **{t.__name__: f"{t.__module__}:{t.__name__}" for t in terms}}


class DoesNotApply(SkipTest):
    """A law asks for what the function under test does not claim to have, e.g. a gradient of numpy.

    Hypothesis and pytest take it for a skip.
    """


class Claim(StrEnum):
    """What a function may or may not take beyond plain matrices and plain numbers."""

    NOT_HERMITIAN = "matrices that are not Hermitian"
    ORDERS = "one k for each matrix"
    STEERING = "steering vectors for each matrix"
    EMPTY = "an empty batch"
    GRADIENT = "a gradient"
    SECOND_DERIVATIVE = "a second derivative"
    SCALE = "powers far from one"
    TRANSFORM = "transforms of torch.func"
    RANGE = "gradients whose squares overflow"
    NOT_FINITE = "gradients with NaN or infinity"
    WHOLE = "arrays of whole numbers"
    PEAK = "a spectrum that keeps its digits at a peak"
    INFINITE = "an infinite distance"
    SPACINGS = "a spacing for each axis"


@dataclass(frozen=True)
class Usage:
    """What a block under `provide` looked up.

    provided: the names that were put in place of ours; without: values that they do not take;
    looked_up: names asked for so far, ours among them.
    """

    provided: Mapping[str, Callable[..., Any]]
    without: frozenset[Any] = frozenset()
    looked_up: set[str] = field(default_factory=set)

    @property
    def applies(self) -> bool:
        """Whether a provided function was asked for: a law that asks for none says nothing."""
        return not self.looked_up.isdisjoint(self.provided)


_USAGE: ContextVar[Usage | None] = ContextVar("usage", default=None)


@contextmanager
def provide(
    functions: Mapping[str, Callable[..., Any]], without: Collection[Any] = ()
) -> Iterator[Usage]:
    """Inside the block `TARGET.name` is the given function where there is one, ours otherwise.

    Args:
        functions: by the names of `places()`, each called as ours is.
        without: values that the functions do not take (`Domain.INDEFINITE`, `"plane"`); `taken`
            leaves them out of what the strategies draw.

    Raises:
        KeyError: a name that is not in `places()`.
    """
    for name in functions:
        places()[name]
    usage = Usage(dict(functions), frozenset(without))
    token = _USAGE.set(usage)
    try:
        yield usage
    finally:
        _USAGE.reset(token)


def taken(options: Collection[T]) -> tuple[T, ...]:
    """The options that the functions under test take, to be drawn from.

    Raises:
        DoesNotApply: they take none.
    """
    usage = _USAGE.get()
    left = tuple(x for x in options if usage is None or x not in usage.without)
    if not left:
        raise DoesNotApply(f"needs {' or '.join(map(str, options))}")
    return left


def takes(option: Any) -> bool:
    """Whether the functions under test take that."""
    usage = _USAGE.get()
    return usage is None or option not in usage.without


def under_test(names: Collection[str]) -> tuple[str, ...]:
    """Those of the names that somebody provided; all of them where nobody provided anything."""
    usage = _USAGE.get()
    if usage is None or not usage.provided:
        return tuple(names)
    return tuple(name for name in names if name in usage.provided)


@dataclass(frozen=True)
class Target:
    """Functions by the names of `places()`, e.g. `Target().eigengap(matrix, 2)`."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in places():
            raise AttributeError(name)
        usage = _USAGE.get()
        if usage is not None:
            usage.looked_up.add(name)
            if name in usage.provided:
                return usage.provided[name]
        module, _, attribute = places()[name].partition(":")
        return getattr(import_module(module), attribute)


TARGET = Target()
"""The functions under test: this package's, or those of the enclosing `provide`."""
