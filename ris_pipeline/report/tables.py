"""Tables for people, as rich renderables: the caller decides where they are printed."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table


def plain_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose other columns are numbers."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    for position, name in enumerate(header):
        table.add_column(name, justify="left" if position == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table
