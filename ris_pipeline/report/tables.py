"""Tables for people, as rich renderables: the caller decides where they are printed."""

from collections.abc import Sequence
from itertools import zip_longest
from textwrap import fill, wrap

from rich.text import Text

WIDTH = 80
"""Columns of a printed table: those of a terminal, a pipe and a mail."""

_GAP = "  "


def plain_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Text:
    """A table whose first column is text and whose other columns are numbers.

    Beyond `WIDTH` headings wrap to their columns and the first column to what is left; nothing is
    cut, and no line ends in blanks.
    """
    widths = _widths(header, rows)
    heading = _lines(header, widths)
    body = [line for row in rows for line in _lines(row, widths)]
    rule = "-" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    text = Text(no_wrap=True, overflow="ignore").append(f"{prose(title)}\n", style="bold")
    return text.append("\n".join([*heading, rule, *body, ""]))


def prose(text: str, hang: str = "") -> str:
    """Text as wide as a table, without blanks at the ends of lines; `hang` begins all but the
    first."""
    return fill(text, WIDTH, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)


def _widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, cells)) for cells in columns]
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= WIDTH:
        return widths
    widths = [max(_longest_word(name), *map(len, cells)) for name, *cells in columns]
    spare = WIDTH - sum(width + len(_GAP) for width in widths[1:])
    return [max(*map(_longest_word, columns[0]), min(widths[0], spare)), *widths[1:]]


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """A row, of several lines where a cell is wider than its column; cells stand at the bottom."""
    wrapped = [wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    upward = zip_longest(*(reversed(lines) for lines in wrapped), fillvalue="")
    return [
        _GAP.join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in reversed(list(upward))
    ]
