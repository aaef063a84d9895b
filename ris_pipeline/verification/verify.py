"""Somebody's function against every law about it: what holds, where, and what is likely wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range
from ris_pipeline._version import __version__
from ris_pipeline.verification.diagnosis import Diagnosis, diagnose, stored_matrix
from ris_pipeline.verification.implementation import (
    DOMAIN_WORDS,
    SILENT,
    Implementation,
    Options,
    load,
)
from ris_pipeline.verification.laws import (
    Law,
    LawResult,
    Outcome,
    about,
    load_laws,
    run_law,
    thorough,
)

NARROWER = ("positive", "distinct", "plane", "fresnel")
"""Domains on which a function that fails is tried again, unless it states its own."""


@dataclass(frozen=True)
class Verdict:
    """What the laws say of one function.

    laws: those that are about it; holds_on: a domain on which no law fails although one fails
    beyond it, "" for none; causes: best first, none if all hold or nothing known fits.
    """

    implementation: Implementation
    laws: tuple[LawResult, ...]
    holds_on: str = ""
    causes: tuple[Diagnosis, ...] = ()

    @property
    def holds(self) -> bool:
        """No law fails, on the domain stated."""
        return not any(law.outcome is Outcome.FAILS for law in self.laws)

    def as_json(self) -> dict[str, Any]:
        """The verdict in plain values."""
        one = self.implementation
        return {
            "name": one.name,
            "label": one.label,
            "called": one.how,
            "domain": one.domain or None,
            "holds": self.holds,
            "holds_on": self.holds_on or None,
            "laws": [asdict(law) | {"holds_on": law.holds_on or None} for law in self.laws],
            "causes": [asdict(c) | {"fit": round(c.fit, 3)} for c in self.causes],
        }


def verify(
    spec: str, name: str | None = None, options: Options = SILENT, examples: int = 100
) -> tuple[Verdict, ...]:
    """The verdict on every function that a spec names, each alone in the place of ours.

    Args:
        spec, name, options: as `implementation.load`.
        examples: tried a law.

    Raises:
        InputError: as `implementation.load`; examples below 1.
    """
    check_range("examples", examples, 1, float("inf"))
    implementations = load(spec, name, options)
    laws = load_laws(thorough(examples))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tuple(judge(one, laws) for one in implementations)
    finally:
        torch.set_num_threads(threads)


def judge(implementation: Implementation, laws: dict[str, Law]) -> Verdict:
    """Run the laws about one function, those that fail on narrower domains too.

    Raises:
        InputError: no law applies, so there is nothing to say.
    """
    uses = stored_matrix().laws
    ran = [
        run_law(name, law, implementation)
        for name, law in laws.items()
        if about(uses, name, implementation.place)
    ]
    ran = [result for result in ran if result.outcome is not Outcome.NOT_ABOUT]
    if all(result.outcome is Outcome.DOES_NOT_APPLY for result in ran):
        raise InputError(
            f"{implementation.label}: no law applies to {implementation.name}"
            + (f" on domain {implementation.domain!r}" if implementation.domain else "")
        )
    red = [result.law for result in ran if result.outcome is Outcome.FAILS]
    if not red:
        return Verdict(implementation, tuple(ran))
    holding = {} if implementation.domain else _narrower(implementation, laws, red)
    found = [replace(r, holds_on=_first(holding, r.law)) for r in ran]
    whole = next((domain for domain, good in holding.items() if good == set(red)), "")
    return Verdict(implementation, tuple(found), whole, diagnose(implementation, ran))


def _narrower(
    implementation: Implementation, laws: dict[str, Law], red: Sequence[str]
) -> dict[str, set[str]]:
    """Domain -> those of the red laws that do not fail on it, where one of them holds."""
    holding = {}
    for domain in NARROWER:
        if implementation.without(domain) == implementation.without():
            continue
        results = [run_law(name, laws[name], implementation, domain) for name in red]
        if any(result.outcome is Outcome.HOLDS for result in results):
            holding[domain] = {r.law for r in results if r.outcome is not Outcome.FAILS}
    return holding


def _first(holding: dict[str, set[str]], law: str) -> str:
    return next((domain for domain, good in holding.items() if law in good), "")


def report_json(spec: str, verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """The verdicts on a spec, for machines."""
    listed = [verdict.as_json() for verdict in verdicts]
    return {
        "version": __version__,
        "target": spec,
        "holds": all(entry["holds"] for entry in listed),
        "functions": listed,
    }


def sentence(verdict: Verdict) -> str:
    """The verdict in one sentence."""
    one, failed = verdict.implementation, sum(r.outcome is Outcome.FAILS for r in verdict.laws)
    where = f" on {words(one.domain)}" if one.domain else ""
    if verdict.holds:
        return f"{one.label} holds as {one.name}{where}"
    said = f"{one.label} FAILS as {one.name}{where}: {failed} of {len(verdict.laws)} laws"
    if verdict.holds_on:
        said += f"; it holds on {words(verdict.holds_on)} only (state --domain {verdict.holds_on})"
    return said


def words(domain: str) -> str:
    """A domain in words."""
    return " and ".join(DOMAIN_WORDS.get(name, name) for name in domain.split(","))
