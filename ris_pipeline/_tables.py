"""Results that can be read: as a table, a dictionary, a data frame; and where they are printed.
Free of torch.

Angles in degrees, lengths in metres, sources counted from 0 as tensors are; slots without a source
have no row, and what is not known is None.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console

from ris_pipeline._errors import InputError

if TYPE_CHECKING:
    import pandas

Row: TypeAlias = dict[str, float | int | str | None]

SHOWN = 20
"""Rows of a `repr`; the rest is counted."""


def plain_console(**options: Any) -> Console:
    """A console that prints text as it is: `[b]` and `:x:` in what a user named are letters."""
    return Console(markup=False, emoji=False, **options)


class Tabular(ABC):
    """A result with one row a source."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """One dictionary a source, scene by scene; every one with the same keys."""

    @abstractmethod
    def columns(self) -> dict[str, str]:
        """Heading of every column of `repr`, and the keys of the rows it shows: "key" or
        "key+-key"."""

    def summary(self) -> str:
        """The line above the table."""
        return type(self).__name__

    def __repr__(self) -> str:
        rows = self.rows()
        cells = [[_cell(row, keys) for keys in self.columns().values()] for row in rows[:SHOWN]]
        lines = [self.summary(), *text_table(list(self.columns()), cells)]
        if len(rows) > SHOWN:
            lines.append(f"... {len(rows) - SHOWN} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """`rows` under one key; numbers, strings and None only, as JSON has them."""
        return {"sources": self.rows()}

    def to_dataframe(self) -> "pandas.DataFrame":
        """`rows` as a pandas data frame.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError("pandas is not installed: `pip install pandas` brings it") from None
        return pandas.DataFrame(self.rows())


def known(value: float) -> float | None:
    """A number, or None for NaN and infinity, which JSON does not have."""
    return float(value) if math.isfinite(value) else None


def _cell(row: Mapping[str, Any], keys: str) -> str:
    return "+-".join(_text(row[key]) for key in keys.split("+-"))


def _text(value: float | int | str | None) -> str:
    if value is None:
        return "?"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns two blanks apart, right-justified, without trailing blanks."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
