"""A verdict on the console: law by law, then the smallest counterexamples and the likely cause."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ris_pipeline.verification.laws import LawResult, Outcome
from ris_pipeline.verification.verify import Verdict, sentence, words

STYLES = {Outcome.HOLDS: "green", Outcome.FAILS: "bold red", Outcome.DOES_NOT_APPLY: "dim"}


def title(law: str) -> str:
    """`gap sign: the gap is never negative`."""
    file, _, test = law.partition("::")
    return f"{plain(file)}: {plain(test)}"


def plain(name: str) -> str:
    """A test's name as words."""
    return name.removeprefix("test_").replace("_", " ")


def print_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print one table a function."""
    for verdict in verdicts:
        console.print(_table(verdict))
        for result in verdict.laws:
            if result.outcome is Outcome.FAILS:
                _print_failure(console, result)
        console.print(Text(sentence(verdict), style="green" if verdict.holds else "bold red"))
        if not verdict.holds:
            console.print(_cause(verdict))
        console.print()


def _table(verdict: Verdict) -> Table:
    one = verdict.implementation
    table = Table(title=f"{one.label} as {one.name} ({one.how})", title_justify="left")
    table.add_column("law", ratio=3)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why", ratio=2)
    table.add_column("tried", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for result in verdict.laws:
        why = result.reason if result.outcome is Outcome.DOES_NOT_APPLY else ""
        if result.holds_on:
            why = f"holds on {words(result.holds_on)}"
        said = Text(result.outcome.value, style=STYLES[result.outcome])
        seconds = f"{result.seconds:.2f} s"
        table.add_row(title(result.law), said, why, str(result.examples), seconds)
    return table


def _print_failure(console: Console, result: LawResult) -> None:
    console.print(Text(title(result.law), style="bold"))
    lines = [result.reason]
    if result.counterexample:
        lines.append(f"smallest: {result.counterexample}")
    console.print(Padding(Text("\n".join(lines)), (0, 0, 0, 4)))


def _cause(verdict: Verdict) -> Text:
    if not verdict.causes:
        return Text("likely cause: unknown, no bug of the catalogue resembles it")
    first, *others = verdict.causes
    text = Text("likely cause: ")
    text.append(first.cause, style="bold")
    text.append(f" (fit {first.fit:.0%}: {_signs(first.pattern, first.numbers)}; {first.bug})\n")
    text.append(f"    {first.story}")
    for other in others:
        text.append(f"\n  or: {other.cause} (fit {other.fit:.0%})")
    return text


def _signs(pattern: float, numbers: float | None) -> str:
    said = f"laws {pattern:.0%}"
    return said if numbers is None else f"{said}, numbers {numbers:.0%}"
