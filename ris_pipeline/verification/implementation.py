"""Somebody's functions by name: `package.module`, `module:object`, `module:function=name`."""

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline.verification.adapters import (
    CALL_ERRORS,
    PLACE,
    SIGNATURES,
    Backend,
    adapt,
    describe,
)
from ris_pipeline.verification.strategies import SEMIDEFINITE, WAVEFRONTS, Domain
from ris_pipeline.verification.target import PLACES

DOMAINS: dict[str, tuple[Any, ...]] = {
    "all": tuple(Domain),
    "positive": SEMIDEFINITE,
    "distinct": (Domain.POSITIVE, Domain.INDEFINITE),
    **{domain.name.lower(): (domain,) for domain in Domain if domain is not Domain.POSITIVE},
    **{wavefront: (wavefront,) for wavefront in WAVEFRONTS},
}
"""Domains by the name that a target states: families of spectra, or a wavefront."""

DOMAIN_WORDS = {
    "positive": "positive semidefinite matrices",
    "distinct": "matrices whose eigenvalues are all distinct",
    "indefinite": "indefinite matrices",
    "plane": "plane waves",
    "fresnel": "the Fresnel wavefront",
    "spherical": "the spherical wavefront",
}
"""Domains in words, where a verdict may find one that a function was not claimed for."""


def outside(domain: str) -> frozenset[Any]:
    """What a target of that domain does not take; several domains are separated by commas.

    Raises:
        InputError: an unknown domain.
    """
    chosen: set[Any] = set()
    for name in domain.split(","):
        check_choice("domain", name, DOMAINS)
        chosen |= set(DOMAINS[name])
    kinds = [kind for kind in (tuple(Domain), WAVEFRONTS) if chosen & set(kind)]
    return frozenset(value for kind in kinds for value in kind if value not in chosen)


@dataclass(frozen=True)
class Implementation:
    """One function under test.

    name: public name, or a name of `target.PLACES`; label: where it was found; function: called as
    ours is; how: it is called in turn; domain: stated, "" for none; assumed: the same, and what
    goes without saying; never: what it takes on no domain.
    """

    name: str
    label: str
    function: Callable[..., Any]
    how: str
    domain: str = ""
    assumed: str = ""
    never: frozenset[Any] = frozenset()

    def without(self, domain: str = "") -> frozenset[Any]:
        """What it does not take on a domain, by default on its own."""
        chosen = domain or self.assumed or self.domain
        return self.never | (outside(chosen) if chosen else frozenset())

    @property
    def place(self) -> str:
        """Its name in `target.PLACES`."""
        return PLACE.get(self.name, self.name)


@dataclass(frozen=True)
class Options:
    """What the user says of the functions; None and "" are found out, or read from attributes."""

    backend: Backend | None = None
    domain: str = ""
    batched: bool | None = None


SILENT = Options()
"""Nothing is said: everything is found out."""


def implementation(
    name: str, label: str, function: Callable[..., Any], options: Options = SILENT
) -> Implementation:
    """A function in the place of ours of that name.

    A function of this package, and one whose name is not public, is called as ours is. The others
    have the plain signature. Attributes `domain`, `backend` and `batched` of the function are what
    it states where the options are silent.

    Raises:
        InputError: an unknown name or domain, or a function that cannot be called so.
    """
    if name not in SIGNATURES:
        check_choice(label, name, sorted({*SIGNATURES, *PLACES}))
    domain = options.domain or str(getattr(function, "domain", ""))
    if domain:
        outside(domain)
    ours = getattr(function, "__module__", None) or ""
    if name not in SIGNATURES or (name in PLACES and ours.startswith("ris_pipeline.")):
        return Implementation(name, label, function, "as this package's", domain)
    backend = options.backend or getattr(function, "backend", None)
    batched = options.batched
    if batched is None:
        batched = getattr(function, "batched", None)
    try:
        adapted = adapt(name, function, backend, batched)
    except InputError as error:
        raise InputError(f"{label}: {error}") from error
    plain = Implementation(name, label, adapted, adapted.how, domain)
    if name != "steering_vector":
        return plain
    # One formula, and by default the exact one. As books write it, r - |p - q|, it keeps the digits
    # of single precision only, even in double precision.
    several = "wavefront" in _parameters(function)
    fronts = () if several or set(domain.split(",")) & set(WAVEFRONTS) else ("spherical",)
    assumed = ",".join((*filter(None, (domain,)), *fronts))
    return replace(plain, assumed=assumed, never=frozenset({torch.float64}))


def load(
    spec: str, name: str | None = None, options: Options = SILENT
) -> tuple[Implementation, ...]:
    """The functions that a spec names.

    Args:
        spec: `package.module` or `module:object`, whose attributes of known names are taken;
            `module:function=name`, or `module:function` where the function or `name` says which.
        name: the name that the function of the spec goes by.
        options: what the user says of them.

    Raises:
        InputError: no such module or attribute, nothing of a known name, or what `implementation`
            raises.
    """
    place, _, given = spec.partition("=")
    module_name, colon, path = place.partition(":")
    found = _attribute(_module(module_name), path, place) if colon else _module(module_name)
    name = given or name
    if name is None and callable(found) and not isinstance(found, type):
        own = getattr(found, "__name__", "")
        name = own if own in SIGNATURES else None
        if name is None and not _provided(found):
            raise InputError(
                f"{place}: which function is it? say {place}=NAME; NAME is one of "
                f"{', '.join(SIGNATURES)}"
            )
    if name is not None:
        if not callable(found):
            raise InputError(f"{place} is a {type(found).__name__}: expected is a function")
        return (implementation(name, place, found, options),)
    provided = _provided(found)
    if not provided:
        raise InputError(f"{place} provides none of {', '.join(SIGNATURES)}")
    return tuple(
        implementation(key, f"{place}{'.' if colon else ':'}{key}", function, options)
        for key, function in provided.items()
    )


def _module(name: str) -> ModuleType:
    # As `python -m` does: what lies in the current directory can be imported.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"target = {name!r}: expected is package.module or module:function")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError(f"target {name!r}: no module named {error.name!r}") from error
        raise InputError(f"target {name!r} cannot be imported: {error}") from error
    except (ImportError, SyntaxError, *CALL_ERRORS) as error:
        raise InputError(f"target {name!r} cannot be imported: {describe(error)}") from error


def _attribute(module: ModuleType, path: str, place: str) -> Any:
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            known = sorted(n for n in vars(module) if callable(getattr(module, n)) and n[0] != "_")
            raise InputError(
                f"{place}: no attribute {part!r}; {module.__name__} has {', '.join(known)}"
            )
        found = getattr(found, part)
    return found


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def _provided(holder: Any) -> dict[str, Callable[..., Any]]:
    """Attributes of public names, and those of other names that take what ours takes: a name such
    as `trace` or `angle` alone says little."""
    found = {name: getattr(holder, name, None) for name in SIGNATURES}
    for name, home in PLACES.items():
        module, _, attribute = home.partition(":")
        other = getattr(holder, name, None)
        if name not in found and callable(other):
            ours = getattr(importlib.import_module(module), attribute)
            if other is ours or _parameters(other) == _parameters(ours):
                found[name] = other
    return {name: function for name, function in found.items() if callable(function)}
