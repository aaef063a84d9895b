"""Pictures of training: losses, terms, gradient norms, rates; with and without a known bug."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ris_pipeline.report.run_page.record import Column, RunRecord
from ris_pipeline.report.run_page.vector import (
    MUTED,
    SIZE,
    Picture,
    colour,
    log_scale,
    picture,
)

_SMALL = (3.4, 2.5)
"""Inches of one of many alike."""

_MARKED = 12
"""Points up to which each is marked: of a single one there is no line to see."""

Line = tuple[str, int, str, Column]
"""Label (empty: none), place of the colour, line style, values."""


def line_picture(
    title: str,
    caption: str,
    lines: Sequence[Line],
    axes_names: tuple[str, str],
    log: bool = False,
    size: tuple[float, float] = SIZE,
    events: Sequence[tuple[int, float]] = (),
) -> Picture:
    """Values over epochs or steps, from 1; events: (place of the colour, epoch) of alarms."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    for name, place, style, values in lines:
        # Matplotlib leaves a label that begins with an underscore out of the legend.
        label = f" {name}" if name.startswith("_") else name
        marker = "o" if len(values) <= _MARKED else ""
        epochs = np.arange(1, len(values) + 1)
        axes.plot(
            epochs, values, style, marker=marker, markersize=3.5, color=colour(place), label=label
        )
    axes.set(xlabel=axes_names[0], ylabel=axes_names[1])
    _scale(axes, [values for *_, values in lines], log)
    for place, epoch in events:
        axes.plot(
            epoch,
            0.98,
            "v",
            color=colour(place),
            markersize=9,
            transform=axes.get_xaxis_transform(),
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if any(label for label, *_ in lines):
        figure.legend(loc="outside lower center", ncols=2)
    return picture(figure, title, caption)


def _scale(axes: Axes, values: Sequence[Column], log: bool) -> None:
    together = np.concatenate(values)
    finite = together[np.isfinite(together)]
    if not len(finite):
        axes.text(0.5, 0.5, "no finite value", ha="center", transform=axes.transAxes)
    elif log and finite.min() > 0:
        log_scale(axes)
    else:
        axes.set_ylim(min(0.0, float(finite.min())), 1.06 * float(finite.max()) or None)


def training_pictures(records: Sequence[RunRecord]) -> list[Picture]:
    """Losses, gradient norms and rates of the runs, one beside the other."""
    return [
        *_loss(records),
        *_of_columns(records, "gradient_", "Gradient norms", "2-norm, mean of the epoch", True),
        *_of_columns(records, "rate_", "Learning rates", "rate", False),
    ]


def _loss(records: Sequence[RunRecord]) -> list[Picture]:
    many = len(records) > 1
    lines: list[Line] = []
    for place, record in enumerate(records):
        for kind, style in (("train", ":"), ("validation", "-")):
            if kind in record.curve:
                label = f"{record.name}, {kind}" if many else kind
                lines.append((label, place, style, record.curve[kind]))
    if not lines:
        return []
    events = [
        (place, float(alarm["epoch"]))
        for place, record in enumerate(records)
        for alarm in record.alarms
        if isinstance(alarm.get("epoch"), int)
    ]
    marked = " A triangle marks the epoch of an alarm." if events else ""
    caption = f"Total loss over epochs, dotted in training, solid in validation.{marked}"
    return [line_picture("Loss", caption, lines, ("epoch", "total loss"), events=events)]


def _of_columns(
    records: Sequence[RunRecord], prefix: str, title: str, axis: str, log: bool
) -> list[Picture]:
    """The columns that begin so, a line style each."""
    names = dict.fromkeys(n for r in records for n in r.curve if n.startswith(prefix))
    many, lines = len(records) > 1, []
    for place, record in enumerate(records):
        for order, name in enumerate(names):
            if name in record.curve:
                group = name.removeprefix(prefix)
                label = f"{record.name}, {group}" if many else group
                style = ("-", "--", "-.", ":")[order % 4]
                lines.append((label, place, style, record.curve[name]))
    if not lines:
        return []
    caption = f"{title} of the parameter groups over epochs."
    return [line_picture(title, caption, lines, ("epoch", axis), log)]


def term_pictures(records: Sequence[RunRecord]) -> list[Picture]:
    """A small picture for each term of the loss, in training and validation."""
    terms = dict.fromkeys(
        name.removeprefix("validation_")
        for record in records
        for name in record.curve
        if name.startswith("validation_")
    )
    return [_term(term, records) for term in terms]


def _term(term: str, records: Sequence[RunRecord]) -> Picture:
    lines = [
        ("", place, style, record.curve[f"{kind}_{term}"])
        for place, record in enumerate(records)
        for kind, style in (("train", ":"), ("validation", "-"))
        if f"{kind}_{term}" in record.curve
    ]
    shown = term.replace("_", " ")
    caption = f"Term {shown}: dotted in training, solid in validation; 1 ignores the data."
    return line_picture(f"Term {shown}", caption, lines, ("epoch", shown), size=_SMALL)


_HEALTHY, _BROKEN = 0, 1

POST_MORTEM = (
    ("Bug 1, alone", "gap_alone_bug_1", "gap_alone", "validation", "epoch", "eigengap hinge"),
    ("Bug 1, among ten terms", "bug_1", "thirty_epochs", "validation_eigengap", "epoch",
     "eigengap hinge"),
    ("Bug 2", "dense_descent_bug_2", "dense_descent", "hinge_seen", "step", "hinge seen"),
    ("Bug 3", "bug_3", "thirty_epochs", "train", "epoch", "loss reported"),
    ("Bug 4", "poisoned_bug_4", "poisoned", "gradient_heads", "epoch", "g_head"),
)  # fmt: skip
"""Name, stored curve with the bug, curve without, column, and what the axes are called."""

_SAID = {
    "Bug 1, alone": "Singular values flipped: the validation loss does not move by a digit.",
    "Bug 1, among ten terms": "The flipped hinge stays where it was while the other terms learn.",
    "Bug 2": "Not hermitized: the reported hinge falls, the gap an estimator sees stays closed.",
    "Bug 3": "Summed in the step block: the same run, another loss reported.",
    "Bug 4": "One NaN hides the norm of its group; a cross marks an epoch that reads nan.",
    "Bug 5": "Lines that an epoch logs, of each kind: without them nothing of this could be seen.",
}

POST_MORTEM_CURVES = (
    *dict.fromkeys(name for entry in POST_MORTEM for name in entry[1:3]),
    "log_lines",
    "log_lines_bug_5",
)
"""Stored curves that the pictures are drawn from."""


def post_mortem_pictures(curves: Mapping[str, Mapping[str, Column]]) -> list[Picture]:
    """Each bug of the post-mortem, with it and without."""
    drawn = []
    for name, with_bug, without, column, x, y in POST_MORTEM:
        broken = curves[with_bug][column]
        healthy = curves[without][column][: len(broken)]
        lines: list[Line] = [
            ("without", _HEALTHY, "-", healthy),
            ("with the bug", _BROKEN, "--", broken),
        ]
        drawn.append(_with_crosses(name, lines, (x, y)))
    return [*drawn, _log_lines(curves)]


def _with_crosses(name: str, lines: Sequence[Line], axes_names: tuple[str, str]) -> Picture:
    """Where a value is not a number, there is a cross on the axis."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for label, place, style, values in lines:
        epochs = np.arange(1, len(values) + 1)
        marker = "o" if len(values) <= _MARKED else ""
        axes.plot(
            epochs, values, style, marker=marker, markersize=4, color=colour(place), label=label
        )
        lost = epochs[~np.isfinite(values)]
        axes.plot(
            lost, np.full(len(lost), 0.04), "x", color=colour(place), markersize=8,
            markeredgewidth=2, transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set(xlabel=axes_names[0], ylabel=axes_names[1])
    _scale(axes, [values for *_, values in lines], log=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2)
    return picture(figure, name, f"{name}. {_SAID[name]}")


def _log_lines(curves: Mapping[str, Mapping[str, Column]]) -> Picture:
    kinds = list(curves["log_lines"])
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for name, label, place, shift in (
        ("log_lines", "without", _HEALTHY, -0.2),
        ("log_lines_bug_5", "with the bug", _BROKEN, 0.2),
    ):
        counts = [curves[name][kind][0] for kind in kinds]
        where = np.arange(len(kinds)) + shift
        axes.bar(where, counts, 0.38, color=colour(place), label=label)
        for x, count in zip(where, counts, strict=True):
            axes.text(x, count, f"{count:g}", ha="center", va="bottom", color=MUTED)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(ylabel="lines of the first epoch")
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.15)
    figure.legend(loc="outside lower center", ncols=2)
    return picture(figure, "Bug 5", f"Bug 5. {_SAID['Bug 5']}")
