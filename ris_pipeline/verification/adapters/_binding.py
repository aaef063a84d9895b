"""Which of a function's own parameters takes what: by place or by keyword, in whatever order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature
from itertools import permutations
from typing import Any

import numpy as np
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters._strangers import parameters_of

ALSO_CALLED: Mapping[str, tuple[str, ...]] = {
    "matrix": ("r", "a", "x", "c", "cov", "covariance", "mat", "rxx", "rx", "r_hat", "cov_matrix"),
    "basis": ("u", "v", "e", "q", "us", "es", "en", "vectors"),
    "steering": ("a", "sv", "steer", "manifold", "steering_matrix", "steering_vectors", "vectors"),
    "k": ("order", "n_sources", "num_sources", "nsig", "n_signals", "num_signals", "rank", "d"),
    "margin": ("m", "delta", "tau", "min_gap", "target", "threshold", "gamma"),
    "point": ("p", "source", "src", "source_position", "target", "user", "position"),
    "positions": ("pos", "position", "q", "elements", "element_positions", "coordinates", "xyz"),
    "shape": ("panel", "size", "elements_shape"),
    "spacing": ("d", "spacings", "element_spacing"),
    "azimuth": ("az", "azi", "phi"),
    "elevation": ("el", "elev", "theta"),
    "distance": ("r", "range", "range_", "dist"),
    "wavelength": ("lam", "lambda_", "lamda", "lmbda", "wl", "frequency", "freq", "f", "fc", "k"),
    "angles": ("theta", "thetas", "angle", "doas", "grid", "theta_grid", "scan", "scan_angles"),
    "loading": ("delta", "eps", "epsilon", "load", "alpha", "sigma2", "gamma", "reg", "level"),
    "size": ("m", "l", "p", "subarray", "subarray_size", "sub_size", "length", "window"),
    "snapshots": ("x", "y", "data", "samples", "signals", "measurements"),
    "factor": ("f", "l", "a", "factors", "x"),
    "eigenvalues": ("lam", "lams", "values", "eigvals", "ev", "w", "s", "l", "evals"),
    "samples": ("snapshots", "n_snapshots", "num_snapshots", "n_samples", "t", "n", "count"),
    "losses": ("values", "batch_losses"),
    "accumulation": ("accum", "accum_steps", "accumulation_steps", "steps", "n_acc"),
}
"""What the field calls each plain parameter, in lower case; angles by the letters of the model."""

_UNITS = ("_deg", "_rad", "_degrees", "_radians", "_mm", "_m", "_hz", "_ghz", "_wl", "_lambda")
_OBJECTS = 16
"""Objects of a class that are kept, with what they were made of."""
MOST_TRIED = 120


@dataclass(frozen=True)
class Binding:
    """The plain parameters in a function's order, each with the keyword it goes by (None: place).

    Called as `binding(function, {plain name: value})`.
    """

    order: tuple[str, ...]
    keywords: tuple[str | None, ...]

    def __call__(self, function: Callable[..., Any], given: Mapping[str, Any], **more: Any) -> Any:
        """The function's answer to values by plain names."""
        pairs = list(zip(self.order, self.keywords, strict=True))
        placed = [given[name] for name, keyword in pairs if keyword is None]
        named = {keyword: given[name] for name, keyword in pairs if keyword is not None}
        return function(*placed, **named, **more)

    @property
    def natural(self) -> bool:
        """Whether everything goes by place."""
        return all(keyword is None for keyword in self.keywords)


def fits(name: str, own: str) -> bool:
    """Whether a function's own word stands for a plain parameter."""
    word = own.lower()
    for unit in _UNITS:
        word = word.removesuffix(unit)
    return word == name or word in ALSO_CALLED.get(name, ())


def bindings(function: Callable[..., Any], plain: Sequence[str]) -> Iterator[Binding]:
    """Ways to hand the plain parameters over, the likeliest first.

    A function that needs more than there are has none; parameters with defaults are filled only as
    far as they are needed.
    """
    own = parameters_of(function)
    by_place = Binding(tuple(plain), (None,) * len(plain))
    if own is None or any(p.kind is Parameter.VAR_POSITIONAL for p in own):
        yield by_place
        return
    slots = _slots([p for p in own if p.kind is not Parameter.VAR_KEYWORD], plain)
    if slots is None:
        return
    keywords = _keywords(slots)
    for order in _ranked(tuple(slot.name for slot in slots), tuple(plain)):
        yield Binding(order, keywords)


@cache
def _ranked(own: tuple[str, ...], plain: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Orders of the plain parameters, those that fit a function's own words first."""
    fit = {
        (name, word): fits(name, word) + (name == word.lower()) for name in plain for word in own
    }
    ranked = sorted(
        permutations(plain),
        key=lambda order: -sum(fit[pair] for pair in zip(order, own, strict=True)),
    )
    return ranked[:MOST_TRIED]


def _slots(own: Sequence[Parameter], plain: Sequence[str]) -> list[Parameter] | None:
    """The parameters to fill, in the function's order."""
    required = [p for p in own if p.default is Parameter.empty]
    missing = len(plain) - len(required)
    if missing < 0 or len(own) < len(plain):
        return None
    optional = [p for p in own if p.default is not Parameter.empty]
    # Those with a name that is known come first.
    optional.sort(key=lambda p: not any(fits(name, p.name) for name in plain))
    chosen = {p.name for p in (*required, *optional[:missing])}
    return [p for p in own if p.name in chosen]


def _keywords(slots: Sequence[Parameter]) -> tuple[str | None, ...]:
    """By place as far as places run without a gap, by keyword from there."""
    keywords: list[str | None] = []
    gap = False
    for slot in slots:
        gap = gap or slot.kind is Parameter.KEYWORD_ONLY or slot.default is not Parameter.empty
        by_name = gap and slot.kind is not Parameter.POSITIONAL_ONLY
        keywords.append(slot.name if by_name else None)
    return tuple(keywords)


def _identity(value: Any) -> Any:
    """What tells one argument from another; a tensor that asks for its gradient is itself alone."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            return id(value)
        value = value.resolve_conj().numpy()
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return repr(value)


def constructed(cls: type, plain: Sequence[str]) -> Callable[..., Any]:
    """A function of the plain parameters: what the constructor takes of them builds the object,
    the rest calls it.

    Raises:
        InputError: the constructor asks for something else.
    """
    own = parameters_of(cls) or ()
    named = {p.name: name for p in own for name in plain if fits(name, p.name)}
    asked = [p.name for p in own if p.default is Parameter.empty and p.name not in named]
    if asked and not any(p.kind is Parameter.VAR_POSITIONAL for p in own):
        raise InputError(f"{cls.__name__} cannot be made: it asks for {', '.join(asked)}")
    if not named:
        alone: Callable[..., Any] = cls()
        return alone
    rest = tuple(name for name in plain if name not in named.values())
    known: dict[tuple[Any, ...], tuple[Any, dict[str, Any]]] = {}

    def function(*values: Any) -> Any:
        given = dict(zip(plain, values, strict=True))
        settings = {keyword: given[name] for keyword, name in named.items()}
        # One object for the same settings: what it remembers of a call is in the next one's answer.
        key = tuple(map(_identity, settings.values()))
        if key not in known:
            if len(known) >= _OBJECTS:
                known.pop(next(iter(known)))
            known[key] = cls(**settings), settings
        made, _ = known[key]
        binding = next(bindings(made, rest), None)
        if binding is None:
            raise TypeError(f"{cls.__name__} cannot be called with {', '.join(rest)}")
        return binding(made, given)

    kind = Parameter.POSITIONAL_OR_KEYWORD
    function.__signature__ = Signature([Parameter(name, kind) for name in plain])  # type: ignore[attr-defined]
    function.__module__, function.__name__ = cls.__module__, cls.__name__
    return function
