"""Somebody's function against every law about it: what holds, where, and what is likely wrong."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import torch

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range
from ris_pipeline._version import __version__
from ris_pipeline.verification.adapters import PLACE, PLAIN, SIGNATURES, PlainSteering
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.conventions.search import find_conventions
from ris_pipeline.verification.diagnosis import diagnose
from ris_pipeline.verification.implementation import (
    DOMAIN_WORDS,
    FINITE,
    HERMITIAN,
    SILENT,
    Found,
    Implementation,
    Options,
    find,
    implementation,
)
from ris_pipeline.verification.laws import (
    Law,
    LawResult,
    Outcome,
    load_laws,
    run_law,
    thorough,
)
from ris_pipeline.verification.parallel import run_tasks
from ris_pipeline.verification.seen import Diagnosis
from ris_pipeline.verification.stored_matrix import stored_matrix
from ris_pipeline.verification.titles import law_named, title

NARROWER = (HERMITIAN, "positive", "distinct", "plane", "fresnel", FINITE)
"""Domains on which a function that fails is tried again, unless it states its own."""
SINGLE = "one matrix at a time"
ALIKE = 3
"""Conventions tried that agree on the fixed cases."""
FEW = 40
"""Examples a law where the question is only whether a function may be right."""

Report = Callable[[str, str], None]
"""Told "start" or "end", and of what: the import, a law."""


def _silent(event: str, what: str) -> None:
    pass


class Judgement(StrEnum):
    """What the laws come to."""

    HOLDS = "holds"
    FAILS = "fails"
    CONVENTION = "right under another convention"


@dataclass(frozen=True)
class Selection:
    """Laws left out, and laws that are expected to fail, with the reason."""

    skip: frozenset[str] = frozenset()
    expected: Mapping[str, str] = field(default_factory=dict)


ALL_LAWS = Selection()


@dataclass(frozen=True)
class Verdict:
    """What the laws say of one function.

    laws: those that are about it; holds_on: a domain, or `SINGLE`, on which no law fails although
    one fails beyond it, "" for none; causes: best first, none if all hold or nothing known fits;
    unstated: conventions under which every law holds, and that nobody stated.
    """

    implementation: Implementation
    laws: tuple[LawResult, ...]
    holds_on: str = ""
    causes: tuple[Diagnosis, ...] = ()
    unstated: tuple[str, ...] = ()

    @property
    def judgement(self) -> Judgement:
        """Whether a law fails on what is stated, or would if nothing had been found out."""
        if self.unstated:
            return Judgement.CONVENTION
        wrong = (Outcome.FAILS, Outcome.UNEXPECTED)
        return Judgement.FAILS if any(r.outcome in wrong for r in self.laws) else Judgement.HOLDS

    @property
    def holds(self) -> bool:
        """No law fails, on the domain and with the conventions stated."""
        return self.judgement is Judgement.HOLDS

    @property
    def adapter(self) -> str:
        """Lines of Python that turn the function into one of our conventions, "" for none."""
        one = self.implementation
        steering = one.function if isinstance(one.function, PlainSteering) else None
        plain = steering.plain if steering else PLAIN.get(one.name, ())
        return one.conventions.adapter(one.label, plain) if one.conventions.parts else ""

    def as_json(self) -> dict[str, Any]:
        """The verdict in plain values."""
        one = self.implementation
        return {
            "name": one.name,
            "label": one.label,
            "called": one.how,
            "domain": one.domain or None,
            "verdict": self.judgement.value,
            "holds": self.holds,
            "holds_on": self.holds_on or None,
            "conventions": list(one.conventions.names),
            "adapter": self.adapter or None,
            "laws": [asdict(law) | {"holds_on": law.holds_on or None} for law in self.laws],
            "causes": [asdict(c) | {"fit": round(c.fit, 3)} for c in self.causes],
        }


@dataclass(frozen=True)
class Judge:
    """How functions are judged: examples a law, laws chosen, processes at a time, who is told."""

    examples: int = 100
    selection: Selection = ALL_LAWS
    processes: int = 1
    report: Report = _silent

    def verdict(self, found: Found, options: Options = SILENT) -> Verdict:
        """The verdict on one function.

        Raises:
            InputError: it cannot be called, or no law applies, so there is nothing to say.
        """
        self.report("start", f"how {found.label} wants to be called")
        laws = self._laws(found.name)
        try:
            one = implementation(found.name, found.label, found.function, options)
        except InputError:
            other = self._convention(found, options)
            if other is None:
                raise
            return other
        results = self._run(one, laws)
        self._check_applies(one, results)
        verdict = Verdict(one, results)
        if verdict.judgement is not Judgement.FAILS:
            return verdict
        return self._explained(found, options, verdict)

    def _laws(self, name: str, *, shrink: bool = True) -> dict[str, Law]:
        place = PLACE.get(name, name)
        laws = load_laws(thorough(self.examples, shrink=shrink), stored_matrix().laws, place)
        skip = {law_named(text, laws) for text in self.selection.skip}
        for text in self.selection.expected:
            law_named(text, laws)
        return {law: test for law, test in laws.items() if law not in skip}

    def _run(self, one: Implementation, laws: Mapping[str, Law]) -> tuple[LawResult, ...]:
        names = list(laws)
        results = run_tasks(
            lambda law: run_law(law, laws[law], one),
            names,
            lambda law, signal: LawResult(law, Outcome.FAILS, f"the process ends with {signal}"),
            self.processes,
            lambda event, number: self.report(event, names[number]),
        )
        about = [r for r in results if r.outcome is not Outcome.NOT_ABOUT]
        return tuple(self._as_expected(result) for result in about)

    def _as_expected(self, result: LawResult) -> LawResult:
        expected = self.selection.expected
        reason = expected.get(result.law, expected.get(title(result.law)))
        if reason is None or result.outcome is Outcome.DOES_NOT_APPLY:
            return result
        fails = result.outcome is Outcome.FAILS
        outcome = Outcome.EXPECTED if fails else Outcome.UNEXPECTED
        return replace(result, outcome=outcome, reason=reason)

    @staticmethod
    def _check_applies(one: Implementation, results: Sequence[LawResult]) -> None:
        if all(result.outcome is Outcome.DOES_NOT_APPLY for result in results):
            where = f" on domain {one.domain!r}" if one.domain else ""
            raise InputError(f"{one.label}: no law applies to {one.name}{where}")

    def _explained(self, found: Found, options: Options, verdict: Verdict) -> Verdict:
        """Why it fails: a convention, a narrower domain, a known bug."""
        self.report("start", f"causes of {found.label}")
        causes = self._causes(verdict, but=())
        self.report("start", f"conventions of {found.label}")
        red = {r.law for r in verdict.laws if r.outcome is Outcome.FAILS}
        other = self._convention(found, options, red)
        if other is not None:
            return replace(other, causes=causes)
        if verdict.implementation.given is None or verdict.implementation.conventions.parts:
            return replace(verdict, causes=causes)
        self.report("start", f"where {found.label} holds")
        where = self._where(found, options, verdict)
        marked = tuple(
            replace(r, holds_on=where) if r.outcome is Outcome.FAILS else r for r in verdict.laws
        )
        return replace(verdict, laws=marked, holds_on=where, causes=causes)

    def _causes(self, verdict: Verdict, but: tuple[Cause, ...]) -> tuple[Diagnosis, ...]:
        (causes,) = run_tasks(
            lambda but: diagnose(verdict.implementation, verdict.laws, but),
            (but,),
            lambda _, signal: None,
            self.processes,
        )
        if causes is None and not but:
            # NaN ends the process in some of the solvers that functions call.
            return self._causes(verdict, but=(Cause.NAN_HIDDEN,))
        return causes or ()

    def _convention(
        self, found: Found, options: Options, red: Collection[str] = ()
    ) -> Verdict | None:
        """The verdict under conventions that make every law hold, if there are any.

        red: laws that fail without them, which are asked first.
        """
        said = options.of(found.function)
        if found.name not in SIGNATURES or said.conventions:
            return None
        # A smallest counterexample to a convention is nobody's business.
        unshrunk = self._laws(found.name, shrink=False)
        for conventions in find_conventions(found.name, found.function, said.backend, said.batched):
            try:
                one = implementation(found.name, found.label, found.function, options, conventions)
            except InputError:
                continue
            results: list[LawResult] = []
            for asked in (True, False):
                part = {law: test for law, test in unshrunk.items() if (law in red) is asked}
                results += self._run(one, part)
                if any(r.outcome in (Outcome.FAILS, Outcome.UNEXPECTED) for r in results):
                    break
            else:
                listed = {result.law: result for result in results}
                ordered = tuple(listed[law] for law in unshrunk if law in listed)
                return Verdict(one, ordered, unstated=conventions.names)
        return None

    def _where(self, found: Found, options: Options, verdict: Verdict) -> str:
        """The first narrower claim under which no law fails, "" for none."""
        one = verdict.implementation
        red = [r.law for r in verdict.laws if r.outcome is Outcome.FAILS]
        few = thorough(min(FEW, self.examples), shrink=False)
        quick = load_laws(few, stored_matrix().laws, one.place)
        ways: list[tuple[str, Implementation]] = []
        if not one.domain:
            ways = [(d, replace(one, domain=d)) for d in NARROWER if self._narrows(one, d)]
        if "batched" in one.how and (options.of(found.function).batched is None):
            single = replace(options, batched=False)
            ways.append((SINGLE, implementation(found.name, found.label, found.function, single)))

        def holds(number: int) -> bool:
            name, narrower = ways[number]
            domain = "" if name == SINGLE else name
            seen = set()
            for law in red:
                seen.add(run_law(law, quick[law], narrower, domain).outcome)
                if Outcome.FAILS in seen:
                    return False
            return Outcome.HOLDS in seen

        # By number: a way holds their function, which may not be sent to another process.
        numbers = range(len(ways))
        found_out = run_tasks(holds, numbers, lambda way, signal: False, self.processes)
        return next((way for (way, _), good in zip(ways, found_out, strict=True) if good), "")

    @staticmethod
    def _narrows(one: Implementation, domain: str) -> bool:
        try:
            return one.without(domain) != one.without()
        except InputError:
            return False


def verify(
    spec: str,
    name: str | None = None,
    options: Options = SILENT,
    examples: int = 100,
    *,
    selection: Selection = ALL_LAWS,
    processes: int = 1,
    report: Report = _silent,
) -> tuple[Verdict, ...]:
    """The verdict on every function that a spec names, each alone in the place of ours.

    Args:
        spec, name: as `implementation.find`.
        options: what the user says of the functions.
        examples: tried a law.
        selection: laws left out or expected to fail.
        processes: laws at a time.
        report: told what starts and ends.

    Raises:
        InputError: as `implementation.load`; examples below 1.
        Stopped: a function ended the process, or tried to.
    """
    check_range("examples", examples, 1, float("inf"))
    report("start", f"the import of {spec}")
    found = find(spec, name)
    judge = Judge(examples, selection, processes, report)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    verdicts = []
    try:
        for one in found:
            # What a function leaves behind is no other's affair.
            torch.set_num_threads(1)
            torch.set_default_dtype(dtype)
            verdicts.append(judge.verdict(one, options))
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
    return tuple(verdicts)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """0: all hold; 1: one fails; 3: one is right under a convention that nobody stated."""
    seen = {verdict.judgement for verdict in verdicts}
    if Judgement.FAILS in seen:
        return 1
    return 3 if Judgement.CONVENTION in seen else 0


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
    one, wrong = verdict.implementation, (Outcome.FAILS, Outcome.UNEXPECTED)
    failed = sum(r.outcome in wrong for r in verdict.laws)
    where = f" on {words(one.domain)}" if one.domain else ""
    named = ", ".join(one.conventions.names)
    match verdict.judgement:
        case Judgement.HOLDS:
            return f"{one.label} holds as {one.name}{where}" + (f", with: {named}" if named else "")
        case Judgement.CONVENTION:
            return (
                f"{one.label} is right as {one.name}{where} under another convention: {named} "
                + f"(state {' '.join(f'--convention {n!r}' for n in one.conventions.names)})"
            )
    said = f"{one.label} FAILS as {one.name}{where}: {failed} of {len(verdict.laws)} laws"
    if verdict.holds_on == SINGLE:
        return f"{said}; it holds one matrix at a time only (state --single)"
    if verdict.holds_on:
        said += f"; it holds on {words(verdict.holds_on)} only (state --domain {verdict.holds_on})"
    return said


def words(domain: str) -> str:
    """A domain in words."""
    return " and ".join(DOMAIN_WORDS.get(name, name) for name in domain.split(","))
