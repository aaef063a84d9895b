"""Pictures of curves: a mismatch, and the post-mortem's before and after."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ris_pipeline.verification.golden import CURVE_ATOL, CURVE_RTOL, ColumnMove, Curve

# Okabe and Ito's palette, distinct for colour-blind readers.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#777777"

_SHOWN = 6
"""Columns drawn of a mismatch; the text of the failure names all."""


def mismatch_figure(name: str, curve: Curve, stored: Curve, moves: Sequence[ColumnMove]) -> Figure:
    """Stored and new curve of the columns that moved farthest, their difference below."""
    moved = sorted((move for move in moves if move.first_row), key=lambda m: -m.largest_relative)[
        :_SHOWN
    ]
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
        above.axvline(move.first_row, color=_GREY, linestyle=":", linewidth=1)
        above.set_title(f"{move.column}, from row {move.first_row}", fontsize=10)
        # Of what is not finite there is no difference to draw.
        with np.errstate(invalid="ignore"):
            off = np.abs(new[:length] - old[:length])
            difference = off / np.maximum(np.abs(old[:length]), CURVE_ATOL)
        floor = 1e-3 * CURVE_RTOL
        below.semilogy(np.arange(1, length + 1), np.maximum(difference, floor), color=_ORANGE)
        below.axhline(CURVE_RTOL, color=_GREY, linewidth=1, label="allowed")
        below.set(xlabel="row", ylabel="relative\ndifference")
        below.set_ylim(bottom=floor)
        below.tick_params(labelbottom=True)
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (above, below):
            axes.grid(visible=True, alpha=0.25)
    for index in range(len(moved), rows * columns):
        for part in (0, 1):
            grid[2 * (index // columns) + part][index % columns].set_visible(False)
    grid[0][0].legend()
    grid[1][0].legend(fontsize=8, loc="lower right")
    return figure


def post_mortem_figure(curves: Mapping[str, Curve], log: Sequence[str]) -> Figure:
    """Six panels, one a bug and a second for the first: with the bug in orange, without in blue.

    Args:
        curves: the stored curves by name.
        log: what the first epoch of a healthy run says.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(15, 8.4), layout=layout)
    figure.suptitle("Orange: with the bug.  Blue: without.", fontsize=11.5, color="#444444")
    panels = figure.subplots(2, 3)
    _gap_alone(panels[0, 0], curves)
    _gap_term(panels[0, 1], curves)
    _dense_descent(panels[0, 2], curves)
    _epoch_loss(panels[1, 0], curves)
    _gradient_norm(panels[1, 1], curves)
    _log(panels[1, 2], log)
    for axes in panels.flat[:5]:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _line(axes: Axes, values: NDArray[Any], label: str, color: str, style: str = "-") -> None:
    marker = "o" if len(values) <= 12 else ""
    epochs = np.arange(1, len(values) + 1)
    axes.plot(epochs, values, style, marker=marker, color=color, label=label, markersize=4.5)


def _title(axes: Axes, bug: str, text: str) -> None:
    axes.set_title(f"{bug}: {text}", loc="left", fontsize=11.5, fontweight="bold", pad=10)


def _gap_alone(axes: Axes, curves: Mapping[str, Curve]) -> None:
    broken, healthy = curves["gap_alone_bug_1"], curves["gap_alone"]
    _line(axes, broken["train"], "train, flipped", _ORANGE, ":")
    _line(axes, broken["validation"], "validation, flipped", _ORANGE)
    _line(axes, healthy["train"], "train", _BLUE, ":")
    _line(axes, healthy["validation"], "validation", _BLUE)
    flat = broken["validation"][-1]
    axes.annotate(
        f"validation {flat:.6f} in every epoch",
        (len(broken["validation"]) / 2, flat),
        xytext=(0, -34),
        textcoords="offset points",
        ha="center",
        color=_ORANGE,
        arrowprops={"arrowstyle": "-", "color": _ORANGE, "lw": 0.8},
    )
    axes.set(xlabel="epoch", ylabel="eigengap hinge")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8.5, loc="center right", frameon=False)
    _title(axes, "Bug 1", "flipped singular values, term alone")


def _gap_term(axes: Axes, curves: Mapping[str, Curve]) -> None:
    broken, healthy = (curves[n]["validation_eigengap"] for n in ("bug_1", "thirty_epochs"))
    _line(axes, broken, "flipped", _ORANGE)
    _line(axes, healthy[: len(broken)], "descending", _BLUE)
    axes.set(xlabel="epoch", ylabel="eigengap hinge, validation")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8.5, loc="center right", frameon=False)
    _title(axes, "Bug 1", "the same among ten healthy terms")


def _dense_descent(axes: Axes, curves: Mapping[str, Curve]) -> None:
    broken, healthy = curves["dense_descent_bug_2"], curves["dense_descent"]
    _line(axes, broken["hinge"], "reported, not hermitized", _ORANGE, ":")
    _line(axes, broken["hinge_seen"], "seen by the estimator, not hermitized", _ORANGE)
    _line(axes, healthy["hinge_seen"], "reported and seen, hermitized first", _BLUE)
    axes.set(xlabel="step", ylabel="eigengap hinge")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8.5, frameon=False)
    _title(axes, "Bug 2", "the loss is zero, the gap not open")


def _epoch_loss(axes: Axes, curves: Mapping[str, Curve]) -> None:
    broken, healthy = curves["bug_3"], curves["thirty_epochs"]
    count = len(broken["train"])
    _line(axes, healthy["validation"][:count], "validation, of both", _GREY, "--")
    _line(axes, healthy["train"][:count], "train, every batch counted", _BLUE)
    _line(axes, broken["train"], "train, summed in the step block", _ORANGE)
    axes.set(xlabel="epoch", ylabel="total loss")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8.5, frameon=False)
    _title(axes, "Bug 3", "the same run, another loss reported")


def _gradient_norm(axes: Axes, curves: Mapping[str, Curve]) -> None:
    broken, healthy = (curves[n]["gradient_heads"] for n in ("poisoned_bug_4", "poisoned"))
    _line(axes, healthy, "finite gradients only", _BLUE)
    _line(axes, broken, "all gradients", _ORANGE)
    floor = 0.55 * float(np.nanmin(healthy))
    for index in np.flatnonzero(np.isnan(broken)).tolist():
        axes.plot(index + 1, floor, "x", color=_ORANGE, markersize=9, markeredgewidth=2)
        axes.text(index + 1, 0.9 * floor, "nan", ha="center", va="top", color=_ORANGE)
    axes.set(xlabel="epoch", ylabel="g_head, mean of the epoch")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8.5, frameon=False)
    _title(axes, "Bug 4", "one NaN hides the norm of its group")


def _log(axes: Axes, log: Sequence[str]) -> None:
    axes.axis("off")
    _title(axes, "Bug 5", "what there was to read of an epoch")
    style: dict[str, Any] = {
        "family": "monospace",
        "fontsize": 7.6,
        "va": "top",
        "transform": axes.transAxes,
    }
    axes.text(0, 0.97, "before", color=_ORANGE, fontsize=10, va="top", transform=axes.transAxes)
    axes.text(0, 0.89, log[-1], color="#333333", **style)
    axes.text(0, 0.74, "after", color=_BLUE, fontsize=10, va="top", transform=axes.transAxes)
    axes.text(0, 0.66, "\n".join(log), color="#333333", linespacing=1.7, **style)
