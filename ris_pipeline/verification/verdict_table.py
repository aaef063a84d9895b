"""A verdict on the console: law by law, then the smallest counterexamples and the likely cause."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ris_pipeline.verification.laws import LawResult, Outcome
from ris_pipeline.verification.seen import Diagnosis
from ris_pipeline.verification.titles import title
from ris_pipeline.verification.verify import Judgement, Verdict, sentence

STYLES = {
    Outcome.HOLDS: "green",
    Outcome.FAILS: "bold red",
    Outcome.EXPECTED: "yellow",
    Outcome.UNEXPECTED: "bold red",
}
SENTENCES = {
    Judgement.HOLDS: "green",
    Judgement.FAILS: "bold red",
    Judgement.CONVENTION: "bold yellow",
}
SHOWN = 4
"""Failures printed in full; of the others the row of the table is enough."""


def print_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print one table a function."""
    for verdict in verdicts:
        one = verdict.implementation
        console.print(Text(f"{one.label} as {one.name} ({one.how})", style="bold"))
        console.print(_table(verdict))
        _print_left_out(console, verdict)
        failures = [r for r in verdict.laws if r.outcome is Outcome.FAILS]
        for result in failures[:SHOWN]:
            _print_failure(console, result)
        if len(failures) > SHOWN:
            console.print(f"and {len(failures) - SHOWN} more (--json has them all)")
        console.print(Text(sentence(verdict), style=SENTENCES[verdict.judgement]))
        if verdict.judgement is Judgement.FAILS:
            console.print(_cause(verdict))
        if verdict.judgement is Judgement.CONVENTION:
            _print_convention(console, verdict)
        console.print()


def _table(verdict: Verdict) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("law", ratio=1)
    table.add_column("verdict", no_wrap=True)
    table.add_column("tried", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for result in verdict.laws:
        if result.outcome is not Outcome.DOES_NOT_APPLY:
            said = Text(result.outcome.value, style=STYLES[result.outcome])
            seconds = f"{result.seconds:.2f} s"
            table.add_row(title(result.law), said, str(result.examples), seconds)
    return table


def _print_left_out(console: Console, verdict: Verdict) -> None:
    reasons = Counter(r.reason for r in verdict.laws if r.outcome is Outcome.DOES_NOT_APPLY)
    for reason, count in reasons.items():
        laws = "law does" if count == 1 else "laws do"
        console.print(Text(f"{count} {laws} not apply: {reason}", style="dim"))


def _print_failure(console: Console, result: LawResult) -> None:
    console.print(Text(title(result.law), style="bold"))
    lines = [result.reason]
    if result.counterexample:
        lines.append(f"smallest: {result.counterexample}")
    console.print(Padding(Text("\n".join(lines)), (0, 0, 0, 4)))


def _print_convention(console: Console, verdict: Verdict) -> None:
    console.print("If that is meant, state it, or call it as ours through")
    console.print(Padding(Text(verdict.adapter), (1, 0, 1, 4)), soft_wrap=True)
    if verdict.causes:
        console.print(f"If it is not meant: {verdict.causes[0].cause}")


def _cause(verdict: Verdict) -> Text:
    if not verdict.causes:
        return Text("no known cause: no bug of the catalogue resembles it")
    first, *others = verdict.causes
    text = Text("likely cause: ")
    text.append(first.cause, style="bold")
    text.append(f" ({'; '.join(_signs(first))})\n")
    text.append(f"    {first.story}")
    for other in others:
        text.append(f"\n  or: {other.cause} (fit {other.fit:.0%})")
    return text


def _signs(cause: Diagnosis) -> Iterator[str]:
    """What speaks for a cause."""
    yield f"fit {cause.fit:.0%}"
    if cause.pattern is not None:
        yield f"laws {cause.pattern:.0%}"
    if cause.numbers is not None:
        yield f"numbers {cause.numbers:.0%}"
    if cause.bug:
        yield cause.bug
