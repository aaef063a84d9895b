"""Curves kept as CSV: a column a quantity, a row an epoch, the first column its index.

Free of torch.
"""

import csv
import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ris_pipeline._errors import InputError
from ris_pipeline._files import read_text

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")

_SHOWN = 40


def read_curve(path: Path, kind: str = "curve") -> dict[str, NDArray[np.float64]]:
    """The columns of a file, in their order; an empty cell is NaN, as pandas writes it.

    Raises:
        InputError: it cannot be read, or a cell, named by row and column, is no finite number.
    """
    named = f"{kind} {str(path)!r}"
    text = read_text(path, kind)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{named} is not CSV: {error}") from None
    if not text.endswith("\n") or len(lines) < 2:
        raise InputError(f"{named} is cut off: allowed are a header and rows, each with its end")
    header = lines[0]
    names = header[1:]
    if header[:1] != [""] or not names or not all(names) or len(set(names)) < len(names):
        raise InputError(
            f"{named} row 1: allowed is a header with an empty cell, then names, each once"
        )
    rows = [_row(named, place, names, cells) for place, cells in enumerate(lines[1:])]
    return dict(zip(names, np.array(rows).T, strict=True))


def _row(named: str, index: int, names: list[str], cells: list[str]) -> list[float]:
    place = f"{named} row {index + 2}"
    if len(cells) != len(names) + 1:
        raise InputError(f"{place} has {len(cells)} cells: allowed are {len(names) + 1}")
    if cells[0] != str(index):
        raise InputError(f"{place}, its index: {cells[0][:_SHOWN]!r} is not {index}")
    return [
        _number(f"{place}, column {name[:_SHOWN]!r}", cell)
        for name, cell in zip(names, cells[1:], strict=True)
    ]


def _number(place: str, cell: str) -> float:
    if cell == "":
        return float("nan")
    value = float(cell) if _NUMBER.fullmatch(cell) else float("inf")
    if value in (float("inf"), float("-inf")):
        raise InputError(f"{place}: {cell[:_SHOWN]!r} is not a finite number")
    return value
