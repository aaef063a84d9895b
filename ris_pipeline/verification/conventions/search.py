"""Under which named conventions a function is right, if it is under any."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

from ris_pipeline._errors import CALL_ERRORS, InputError, check_choice
from ris_pipeline.verification.adapters import PLACE, Adapted, PlainSteering, adapt
from ris_pipeline.verification.adapters._calling import Backend
from ris_pipeline.verification.conventions._entry import Convention, Conventions
from ris_pipeline.verification.conventions._fitted import FITTED, fitted
from ris_pipeline.verification.conventions._matrices import MATRICES
from ris_pipeline.verification.conventions._steering import STEERING
from ris_pipeline.verification.fixed_cases import answer, plain_cases, same_numbers
from ris_pipeline.verification.target import TARGET, Claim, DoesNotApply, provide

EVERY: tuple[Convention, ...] = (*STEERING, *MATRICES)
SIMPLE = 12
"""Fixed cases that a function has to answer as ours does."""
MOST = 3
"""Conventions at a time."""

Adapt = Callable[[Conventions], Adapted | None]


def convention_names(name: str) -> tuple[str, ...]:
    """The conventions that go with a public name."""
    of = {one.name for one in EVERY if name in one.of}
    of |= {said for said, names in FITTED.items() if name in names}
    return tuple(sorted(of))


def find_conventions(
    name: str,
    function: Callable[..., object],
    backend: Backend | None = None,
    batched: bool | None = None,
    stated: Sequence[str] = (),
) -> Iterator[Conventions]:
    """Conventions under which the function answers the fixed cases as ours does, fewest first.

    stated: just these.

    Raises:
        InputError: a stated name that does not go with the function.
    """
    for one in stated:
        check_choice("convention", one, convention_names(name))

    def adapted(conventions: Conventions) -> Adapted | None:
        try:
            return adapt(name, function, backend, batched, conventions)
        except InputError:
            return None

    every = [one for one in EVERY if name in one.of and (not stated or one.name in stated)]
    tried = _of_steering if name == "steering_vector" else _of_matrices
    for conventions, function_as_ours in tried(name, every, adapted):
        wanted = not stated or conventions.names == tuple(sorted(stated))
        if wanted and conventions.parts and matches(name, function_as_ours):
            yield conventions


def matches(name: str, function: Adapted) -> bool:
    """Whether a function answers the simplest fixed cases that it takes as ours does.

    The simplest only: what goes wrong in the others is for the laws to say.
    """
    ours, seen = getattr(TARGET, PLACE.get(name, name)), 0
    without: set[object] = {*Claim}.difference(getattr(function, "claims", Claim))
    if not getattr(function, "wavefront", True):
        without.update(("plane", "fresnel"))
    with provide({}, without):
        for case in plain_cases(PLACE.get(name, name)):
            if seen == SIMPLE:
                break
            try:
                theirs = answer(case, function)
            except DoesNotApply:
                continue
            seen += 1
            if theirs is None or not same_numbers(theirs, answer(case, ours)):
                return False
    return seen > 0


def _combined(every: Sequence[Convention], most: int) -> Iterator[tuple[Convention, ...]]:
    """Up to so many, at most one of a group, fewest first."""
    for size in range(most + 1):
        for parts in combinations(every, size):
            groups = [part.group or part.name for part in parts]
            if len(set(groups)) == size:
                yield parts


def _of_matrices(
    name: str, every: Sequence[Convention], adapted: Adapt
) -> Iterator[tuple[Conventions, Adapted]]:
    later = []
    for parts in _combined(every, MOST):
        one = adapted(Conventions(parts))
        if one is None:
            continue
        yield Conventions(parts), one
        if len(parts) < MOST:
            later.append((parts, one))
    for parts, one in later:
        try:
            more = list(fitted(name, one))
        except (*CALL_ERRORS, DoesNotApply):
            continue
        for extra in more:
            whole = Conventions((*parts, extra))
            other = adapted(whole)
            if other is not None:
                yield whole, other


def _of_steering(
    name: str, every: Sequence[Convention], adapted: Adapt
) -> Iterator[tuple[Conventions, Adapted]]:
    """Conventions of the answer alone need no new probe, so all of them are tried at once."""
    asked = list(_combined([one for one in every if one.changes_arguments], 2))
    said = list(_combined([one for one in every if not one.changes_arguments], MOST))
    bases: dict[tuple[Convention, ...], Adapted | None] = {}
    for size in range(1, MOST + 1):
        for parts, more in product(asked, said):
            groups = [part.group for part in (*parts, *more)]
            if len(groups) != size or len(set(groups)) != size:
                continue
            if parts not in bases:
                bases[parts] = adapted(Conventions(parts))
            one = bases[parts]
            if isinstance(one, PlainSteering):
                whole = Conventions((*parts, *more))
                yield whole, replace(one, conventions=whole)


__all__ = ["EVERY", "convention_names", "find_conventions", "matches"]
