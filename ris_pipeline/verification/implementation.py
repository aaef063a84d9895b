"""Somebody's functions by name: `package.module`, `module:object`, `module:function=name`."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ris_pipeline._errors import CALL_ERRORS, InputError, check_choice
from ris_pipeline.verification.adapters import (
    PLACE,
    SIGNATURES,
    Backend,
    PlainMatrixFunction,
    PlainSteering,
    Stopped,
    TheirError,
    across,
    adapt,
    describe,
    parameters_of,
)
from ris_pipeline.verification.conventions import OURS, Conventions
from ris_pipeline.verification.conventions.search import find_conventions
from ris_pipeline.verification.strategies import SEMIDEFINITE, WAVEFRONTS, Domain
from ris_pipeline.verification.target import Claim, places

DOMAINS: dict[str, tuple[Any, ...]] = {
    "all": tuple(Domain),
    "positive": SEMIDEFINITE,
    "distinct": (Domain.POSITIVE, Domain.INDEFINITE),
    **{domain.name.lower(): (domain,) for domain in Domain if domain is not Domain.POSITIVE},
    **{wavefront: (wavefront,) for wavefront in WAVEFRONTS},
}
"""Domains by the name that a target states: families of spectra, or a wavefront."""

HERMITIAN = "hermitian"
"""The domain of what takes matrices for Hermitian as they are; it goes with any other."""

FINITE = "finite"
"""The domain of a norm of all gradients: none of them has a NaN or an infinity."""

DOMAIN_WORDS = {
    FINITE: "finite gradients",
    "positive": "positive semidefinite matrices",
    "distinct": "matrices whose eigenvalues are all distinct",
    "indefinite": "indefinite matrices",
    HERMITIAN: "Hermitian matrices",
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
    names = domain.split(",")
    for name in names:
        check_choice("domain", name, (HERMITIAN, FINITE, *DOMAINS))
        chosen |= set(DOMAINS.get(name, ()))
    kinds = [kind for kind in (tuple(Domain), WAVEFRONTS) if chosen & set(kind)]
    left: frozenset[Any] = frozenset(
        value for kind in kinds for value in kind if value not in chosen
    )
    # Semidefinite matrices are Hermitian.
    if {HERMITIAN, "positive"}.intersection(names):
        left |= {Claim.NOT_HERMITIAN}
    return left | ({Claim.NOT_FINITE} if FINITE in names else frozenset())


@dataclass(frozen=True)
class Implementation:
    """One function under test.

    name: public, or one of `target.places()`; label: where it was found; function: called as
    ours is; how: it is called in turn; domain: stated, "" for none; assumed: the same, and what
    goes without saying; never: what it takes on no domain; given: the function itself, where
    `function` is an adapter around it; options: what is said of it; conventions: in what it differs
    from ours.
    """

    name: str
    label: str
    function: Callable[..., Any]
    how: str
    domain: str = ""
    assumed: str = ""
    never: frozenset[Any] = frozenset()
    given: Callable[..., Any] | None = None
    options: "Options | None" = None
    conventions: Conventions = OURS

    def without(self, domain: str = "") -> frozenset[Any]:
        """What it does not take on a domain, by default on its own."""
        chosen = domain or self.assumed or self.domain
        return self.never | (outside(chosen) if chosen else frozenset())

    @property
    def place(self) -> str:
        """Its name in `target.places()`."""
        return PLACE.get(self.name, self.name)


@dataclass(frozen=True)
class Options:
    """What the user says of the functions; what is not said is found out, or read from attributes.

    conventions: names of those in which the functions differ from ours.
    """

    backend: Backend | None = None
    domain: str = ""
    batched: bool | None = None
    conventions: tuple[str, ...] = ()

    def of(self, function: Callable[..., Any]) -> "Options":
        """The same, completed by the attributes of a function."""
        batched = self.batched
        conventions = self.conventions or getattr(function, "conventions", ())
        if isinstance(conventions, str):
            conventions = (conventions,)
        return Options(
            self.backend or getattr(function, "backend", None),
            self.domain or str(getattr(function, "domain", "")),
            getattr(function, "batched", None) if batched is None else batched,
            tuple(conventions),
        )


SILENT = Options()
"""Nothing is said: everything is found out."""


def implementation(
    name: str,
    label: str,
    function: Callable[..., Any],
    options: Options = SILENT,
    conventions: Conventions | None = None,
) -> Implementation:
    """A function in the place of ours of that name.

    A function of this package, and one whose name is not public, is called as ours is. The others
    have the plain signature. Attributes `domain`, `backend`, `batched` and `conventions` of the
    function are what it states where the options are silent.

    conventions: in what it differs from ours; the stated ones where it is None.

    Raises:
        InputError: an unknown name, domain or convention, or a function that cannot be called so.
    """
    if name not in SIGNATURES:
        check_choice(label, name, sorted({*SIGNATURES, *places()}))
    said = options.of(function)
    if said.domain:
        outside(said.domain)
    ours = getattr(function, "__module__", None) or ""
    if name not in SIGNATURES or (name in places() and ours.startswith("ris_pipeline.")):
        return Implementation(name, label, function, "as this package's", said.domain)
    try:
        if conventions is None:
            conventions = _stated(name, function, said)
        adapted = adapt(name, function, said.backend, said.batched, conventions)
    except InputError as error:
        raise InputError(f"{label}: {error}") from error
    ours_alone = {Claim.PEAK, Claim.RANGE, Claim.SECOND_DERIVATIVE, Claim.TRANSFORM}
    never: set[Any] = {*ours_alone, *conventions.never}
    if isinstance(adapted, PlainMatrixFunction | PlainSteering):
        asked = {Claim.NOT_HERMITIAN, Claim.WHOLE, Claim.INFINITE, Claim.SPACINGS}
        never |= asked - adapted.claims
    plain = Implementation(
        name,
        label,
        adapted,
        adapted.how,
        said.domain,
        never=frozenset(never),
        given=function,
        options=said,
        conventions=conventions,
    )
    if name != "steering_vector":
        return plain
    # One formula, and by default the exact one. As books write it, r - |p - q|, it keeps the digits
    # of single precision only, even in double precision.
    several = "wavefront" in _parameters(function)
    fronts = () if several or set(said.domain.split(",")) & set(WAVEFRONTS) else ("spherical",)
    assumed = ",".join((*filter(None, (said.domain,)), *fronts))
    return replace(plain, assumed=assumed, never=frozenset({torch.float64, *never}))


def _stated(name: str, function: Callable[..., Any], said: Options) -> Conventions:
    """The conventions that are stated, with the constants that they have."""
    if not said.conventions:
        return OURS
    found = find_conventions(name, function, said.backend, said.batched, said.conventions)
    first = next(found, None)
    if first is None:
        raise InputError(f"it is not right with {', '.join(said.conventions)}")
    return first


@dataclass(frozen=True)
class Found:
    """A function of a spec, the public name that it goes by, and where it was found."""

    name: str
    label: str
    function: Callable[..., Any]


def load(
    spec: str, name: str | None = None, options: Options = SILENT
) -> tuple[Implementation, ...]:
    """The functions that a spec names, as `implementation` has them.

    Raises:
        InputError: as `find` and `implementation`.
    """
    found = find(spec, name)
    return tuple(implementation(one.name, one.label, one.function, options) for one in found)


SHORT = {"music": "ula_music", "mvdr": "ula_mvdr", "bartlett": "ula_bartlett"}
"""Names that are understood where they are asked for: spectra of a linear array by angle."""


def find(spec: str, name: str | None = None) -> tuple[Found, ...]:
    """The functions that a spec names.

    Args:
        spec: `package.module` or `path/to/file.py`, whose functions of known names are taken;
            `module:object` likewise; `module:function=name`, or `module:function` where the
            function or `name` says which. A class or a method is as good as a function.
        name: the name that the function of the spec goes by.

    Raises:
        InputError: no such module or attribute, or nothing of a known name.
    """
    place, _, given = spec.partition("=")
    module_name, path = _parts(place)
    module = _module(module_name)
    found = _attribute(module, path, place) if path else module
    name = given or name
    name = SHORT.get(name, name) if name is not None else None
    if name is None and callable(found):
        own = getattr(found, "__name__", "")
        name = own if own in SIGNATURES else None
        if name is None and not _provided(found):
            raise InputError(
                f"{place}: which function is it? say {place}=NAME; NAME is one of "
                f"{', '.join(SIGNATURES)}"
            )
    if name is not None:
        if name not in SIGNATURES:
            check_choice(place, name, sorted({*SIGNATURES, *places()}))
        if not callable(found):
            raise InputError(f"{place} is a {type(found).__name__}: expected is a function")
        return (Found(name, place, found),)
    provided = _provided(found)
    if not provided:
        raise InputError(
            f"{place} provides none of {', '.join(SIGNATURES)} itself; of another name, say "
            f"{module_name}:FUNCTION=NAME"
        )
    dot = "." if path else ":"
    return tuple(Found(key, f"{place}{dot}{key}", one) for key, one in provided.items())


def _parts(place: str) -> tuple[str, str]:
    """Module or file, and what is asked of it."""
    head, colon, path = place.rpartition(":")
    if not colon or path.endswith(".py") or "/" in path or "\\" in path:
        return place, ""
    return head, path


def _module(name: str) -> ModuleType:
    # As `python -m` does: what lies in the current directory can be imported.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if name.endswith(".py"):
        return _file(Path(name))
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"target = {name!r}: expected is package.module or module:function")
    return _imported(name, lambda: importlib.import_module(name))


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"target {str(path)!r}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"target {str(path)!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[path.stem] = module
    execute = spec.loader.exec_module
    _imported(path.stem, lambda: execute(module))
    return module


def _imported(name: str, load: Callable[[], Any]) -> Any:
    try:
        return across(load)
    except Stopped as error:
        raise InputError(f"target {name!r} cannot be imported: it raises {error}") from error
    except CALL_ERRORS as error:
        missing = error.__cause__
        lost = missing.name if isinstance(missing, ModuleNotFoundError) else None
        if lost is not None and (name == lost or name.startswith(f"{lost}.")):
            raise InputError(f"target {name!r}: no module named {lost!r}") from error
        said = str(error) if isinstance(error, TheirError) else describe(error)
        raise InputError(f"target {name!r} cannot be imported: {said}") from error


def _attribute(module: ModuleType, path: str, place: str) -> Any:
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            known = sorted(n for n in vars(module) if callable(getattr(module, n)) and n[0] != "_")
            raise InputError(
                f"{place}: no attribute {part!r}; {module.__name__} has {', '.join(known)}"
            )
        if isinstance(found, type) and inspect.isfunction(inspect.getattr_static(found, part)):
            # A method needs an object.
            found = across(found) if not isinstance(getattr(found, part), type) else found
        found = getattr(found, part)
    return found


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(p.name for p in parameters_of(function) or ())


def _provided(holder: Any) -> dict[str, Callable[..., Any]]:
    """Attributes of public names that are the holder's own, not imported from elsewhere.

    Of this package itself those of other names too, where they take what ours takes: a name such
    as `trace` or `angle` alone says little, and elsewhere it says nothing.
    """
    own_name = getattr(holder, "__name__", "") if isinstance(holder, ModuleType) else ""
    ours = own_name.startswith("ris_pipeline.")
    found = {name: getattr(holder, name, None) for name in SIGNATURES}
    if own_name and not ours:
        found = {n: f for n, f in found.items() if _stands_in(f, own_name)}
    for name, home in places().items() if ours else ():
        module, _, attribute = home.partition(":")
        other = getattr(holder, name, None)
        if name not in found and callable(other):
            original = getattr(importlib.import_module(module), attribute)
            if other is original or _parameters(other) == _parameters(original):
                found[name] = other
    return {name: function for name, function in found.items() if callable(function)}


def _stands_in(function: Any, module: str) -> bool:
    """Whether a module's attribute was made there, or in a part of the same package."""
    home = getattr(function, "__module__", None) or module
    return home == module or home.startswith(f"{module}.")
