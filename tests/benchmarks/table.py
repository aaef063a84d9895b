"""The table of figures: read, judged, written and shown."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).with_name("table.toml")
PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

SLACK = 1.5
"""A figure fails when it is this many times worse than the table says: two thirds of a ratio."""


@dataclass(frozen=True)
class Row:
    """A figure: what it measures, its unit, whether more is better, its target, what was stated."""

    name: str
    what: str
    unit: str
    more: bool
    target: float
    stated: float

    def holds(self, value: float) -> bool:
        """Whether a value measured now is no worse than the stated one, noise allowed for."""
        return value * SLACK >= self.stated if self.more else value <= self.stated * SLACK

    def reached(self, value: float) -> bool:
        """Whether a value reaches the target."""
        return value >= self.target if self.more else value <= self.target

    def verdict(self, value: float) -> str:
        """The same in a word."""
        return "reached" if self.reached(value) else "missed"

    def show(self, value: float) -> str:
        """The value with its unit."""
        digits = 0 if value >= 100 else 1
        return f"{value:,.{digits}f} {self.unit}"

    def goal(self) -> str:
        """The target in words."""
        word = "at least" if self.more else "at most"
        return f"{word} {self.target:g} {self.unit}"


def read() -> tuple[str, dict[str, Row]]:
    """The machine, and the rows by name."""
    tree = tomllib.loads(PATH.read_text())
    return tree["machine"], {row["name"]: Row(**row) for row in tree["row"]}


def write(machine: str, rows: dict[str, Row], values: dict[str, float]) -> None:
    """Store new values, in the file and on the page."""
    lines = [f'machine = "{machine}"']
    for row in rows.values():
        stated = values.get(row.name, row.stated)
        lines += [
            "",
            "[[row]]",
            f'name = "{row.name}"',
            f'what = "{row.what}"',
            f'unit = "{row.unit}"',
            f"more = {str(row.more).lower()}",
            f"target = {row.target:g}",
            f"stated = {float(f'{stated:.3g}'):g}",
        ]
    PATH.write_text("\n".join(lines) + "\n")
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{markdown()}{END}{rest.split(END)[1]}")


def markdown() -> str:
    """The stated figures as a table."""
    machine, rows = read()
    lines = ["| what | to reach | measured |", "|---|---|---|"]
    lines += [f"| {row.what} | {row.goal()} | {row.show(row.stated)} |" for row in rows.values()]
    return "\n".join(lines) + f"\n\nMeasured on {machine}.\n"
