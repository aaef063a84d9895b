"""Pictures of curves: a mismatch, and the post-mortem's before and after."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ris_pipeline.verification.golden import ColumnMove, Curve

# Okabe and Ito's palette, distinct for colour-blind readers.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#777777"

_SHOWN = 6
"""Columns drawn of a mismatch; the text of the failure names all."""


def mismatch_figure(
    name: str, curve: Curve, stored: Curve, moves: Sequence[ColumnMove]
) -> Figure:
    """Stored and new curve of the columns that moved farthest, their difference below."""
    moved = sorted(
        (move for move in moves if move.first_epoch), key=lambda m: -m.largest_relative
    )[:_SHOWN]
    columns = min(3, len(moved))
    rows = math.ceil(len(moved) / columns)
    figure = Figure(figsize=(4.6 * columns, 4.2 * rows), layout="constrained")
    grid = figure.subplots(
        2 * rows, columns, squeeze=False, sharex="col", height_ratios=[3, 1] * rows
    )
    figure.suptitle(f"{name}: the curve has moved", fontweight="bold")
    for index, move in enumerate(moved):
        above, below = (grid[2 * (index // columns) + part][index % columns] for part in (0, 1))
        old, new = stored[move.column], np.asarray(curve[move.column])
        length = min(len(old), len(new))
        above.plot(np.arange(1, len(old) + 1), old, "-", color=_BLUE, linewidth=2.4, label="stored")
        above.plot(np.arange(1, len(new) + 1), new, "--", color=_ORANGE, label="this run")
        above.axvline(move.first_epoch, color=_GREY, linestyle=":", linewidth=1)
        above.set_title(f"{move.column}, from epoch {move.first_epoch}", fontsize=10)
        difference = np.abs(new[:length] - old[:length]) / np.maximum(np.abs(old[:length]), 1e-9)
        below.semilogy(np.arange(1, length + 1), np.maximum(difference, 1e-17), color=_ORANGE)
        below.set(xlabel="epoch", ylabel="relative")
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (above, below):
            axes.grid(visible=True, alpha=0.25)
    for axes in grid.flat[2 * len(moved) :] if rows == 1 else ():
        axes.set_visible(False)
    grid[0][0].legend()
    return figure
