"""Pictures of an evaluation: curves over one property, heat maps over two, estimators compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from ris_pipeline.evaluation import Row
from ris_pipeline.evaluation.plan import Series
from ris_pipeline.evaluation.results import Compared

# Okabe and Ito's palette, distinct for colour-blind readers; markers tell the same apart in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dv<>"
_FLOOR = 0.02
"""Floor of the axis of false alarms, below which it is linear: a count of 0 is to be seen."""


@dataclass(frozen=True)
class Curve:
    """The rows of one series: value, second value (or empty), statistics."""

    series: Series
    rows: Sequence[tuple[str, str, Row]]

    @property
    def name(self) -> str:
        """For the legend."""
        return f"{self.series.estimator.replace('_', ' ')}, K {self.series.number}"

    def column(self, name: str) -> NDArray[np.float64]:
        """One statistic along the rows."""
        return np.array([row[name] for _, _, row in self.rows], dtype=np.float64)


@dataclass(frozen=True)
class _Style:
    """A colour and marker an estimator, filled and solid where it knows the number."""

    colour: str
    marker: str
    known: bool
    shift: float

    def draw(
        self,
        axes: Axes,
        value: NDArray[np.float64],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        label: str = "",
    ) -> None:
        """Curve with its intervals, moved aside a little so that equal ones stay visible."""
        place = np.arange(len(value)) + self.shift
        reach = np.nan_to_num(np.stack((value - low, high - value)).clip(min=0))
        axes.errorbar(
            place,
            value,
            yerr=reach,
            color=self.colour,
            marker=self.marker,
            markersize=5,
            markerfacecolor=self.colour if self.known else "white",
            linestyle="-" if self.known else ":",
            linewidth=1.2,
            elinewidth=0.9,
            label=label or None,
        )


def _styles(curves: Sequence[Curve]) -> list[_Style]:
    names = list(dict.fromkeys(curve.series.estimator for curve in curves))
    middle, step = (len(curves) - 1) / 2, min(0.08, 0.5 / len(curves))
    return [
        _Style(
            _COLOURS[names.index(c.series.estimator) % len(_COLOURS)],
            _MARKERS[names.index(c.series.estimator) % len(_MARKERS)],
            c.series.known,
            (place - middle) * step,
        )
        for place, c in enumerate(curves)
    ]


def curves_figure(title: str, axis: str, curves: Sequence[Curve]) -> Figure:
    """Part found, azimuth and distance error beside the bound; where the rows are about whole
    scenes also GOSPA, part with the right number, false alarms. Bars are 95 % intervals."""
    of_scenes = any(np.isfinite(curve.column("gospa_deg")).any() for curve in curves)
    figure = Figure(figsize=(15, 9 if of_scenes else 5.2), layout="constrained")
    axes = figure.subplots(2 if of_scenes else 1, 3).ravel()
    labels = [value for value, _, _ in curves[0].rows]
    for panel in axes:
        panel.set_xlabel(axis)
        panel.set_xticks(range(len(labels)), labels)
        panel.set_xlim(-0.5, len(labels) - 0.5)
        panel.grid(visible=True, which="major", alpha=0.25)
    styled = list(zip(curves, _styles(curves), strict=True))
    for curve, style in styled:
        _draw(axes[0], curve, style, "detected", curve.name)
    axes[0].set(title="sources found within 2 deg", ylim=(-0.03, 1.03))
    _draw_errors(axes[1], styled, "azimuth", "deg")
    _draw_errors(axes[2], styled, "distance", "m")
    if of_scenes:
        _draw_scenes(axes[3:], styled)
    figure.legend(loc="outside lower center", ncols=min(4, len(curves)), fontsize=9)
    figure.suptitle(title.replace("_", " "))
    return figure


def _draw_errors(panel: Axes, styled: Sequence[tuple[Curve, _Style]], name: str, unit: str) -> None:
    """RMSE of each series and the bound of the first: the others' differ in which sources they
    resolve, no more."""
    for curve, style in styled:
        bound = curve.column(f"{name}_bound_{unit}")
        low, high = (curve.column(f"{name}_ratio_{end}") * bound for end in ("low", "high"))
        style.draw(panel, curve.column(f"{name}_rmse_{unit}"), low, high)
    first = styled[0][0]
    panel.plot(first.column(f"{name}_bound_{unit}"), "k--", marker="_", linewidth=1)
    panel.set_title(f"{name} RMSE ({unit}) of resolved sources")
    shown = any(np.isfinite(line.get_ydata()).any() for line in panel.lines)
    text = f"dashed: root bound of {first.name}'s" if shown else "no resolved source"
    panel.text(0.98, 0.97, text, ha="right", va="top", fontsize=8, transform=panel.transAxes)
    if any(np.nanmax(line.get_ydata(), initial=0.0) > 0 for line in panel.lines):
        panel.set_yscale("log")
        panel.margins(y=0.12)
        # 0.05, 0.1, 0.2 say more than powers of ten where there is one decade or two.
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_scenes(panels: Sequence[Axes], styled: Sequence[tuple[Curve, _Style]]) -> None:
    metric, right, false = panels
    for curve, style in styled:
        _draw(metric, curve, style, "gospa_deg")
        _draw(false, curve, style, "false_alarms")
        if not curve.series.known:
            _draw(right, curve, style, "right_number")
    metric.set_title("mean GOSPA (deg)")
    metric.set_ylim(bottom=0)
    right.set(title="scenes with the right number of sources", ylim=(-0.03, 1.03))
    if not right.lines:
        right.text(0.5, 0.5, "known to all", ha="center", transform=right.transAxes)
    false.set_title("false alarms a scene")
    false.set_yscale("symlog", linthresh=_FLOOR)
    false.set_ylim(bottom=0)
    false.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw(axes: Axes, curve: Curve, style: _Style, name: str, label: str = "") -> None:
    value, low, high = (curve.column(name + end) for end in ("", "_low", "_high"))
    style.draw(axes, value, low, high, label)


def heat_map_figure(title: str, axis: str, curves: Sequence[Curve]) -> Figure:
    """Part found, azimuth RMSE over root bound and GOSPA, a row of maps for each series."""
    figure = Figure(figsize=(16, 0.8 + 3.4 * len(curves)), layout="constrained")
    panels = figure.subplots(len(curves), 3, squeeze=False)
    measures = (
        ("detected", "found within 2 deg", (0.0, 1.0)),
        ("azimuth_ratio", "azimuth RMSE / root bound", (0.5, 2.0)),
        ("gospa_deg", "mean GOSPA (deg)", (0.0, 3.0)),
    )
    for line, curve in zip(panels, curves, strict=True):
        for axes, (name, label, limits) in zip(line, measures, strict=True):
            _map(axes, curve, name, limits)
            axes.set_title(f"{label}\n{curve.name}", fontsize=10)
            axes.set_ylabel(axis.split(" x ")[0])
            axes.set_xlabel(axis.split(" x ")[-1])
    figure.suptitle(title.replace("_", " "))
    return figure


def _map(axes: Axes, curve: Curve, name: str, limits: tuple[float, float]) -> None:
    rows = list(dict.fromkeys(value for value, _, _ in curve.rows))
    columns = list(dict.fromkeys(second for _, second, _ in curve.rows))
    level = curve.column(name).reshape(len(rows), len(columns))
    axes.set_facecolor("#D0D0D0")
    mesh = axes.imshow(
        level, origin="lower", cmap="cividis", vmin=limits[0], vmax=limits[1], aspect="auto"
    )
    for (i, j), value in np.ndenumerate(level):
        text = "none" if np.isnan(value) else f"{value:.2f}"
        dark = value < sum(limits) / 2
        axes.text(j, i, text, ha="center", va="center", color="w" if dark else "k", fontsize=8)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.figure.colorbar(mesh, ax=axes, extend="max" if limits[1] > 1 else "neither")


def comparison_figure(lines: Sequence[Compared]) -> Figure:
    """The reference against every other estimator, cell by cell: difference in sources found and
    ratio of GOSPA, with paired 95 % intervals; on the right of 0, left of 1, the reference leads.
    """
    cells = list(dict.fromkeys((line.table, line.label) for line in lines))
    others = list(dict.fromkeys(line.series for line in lines))
    figure = Figure(figsize=(12, 2.2 + 0.24 * len(cells)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(series.estimator for series in others))
    step = min(0.12, 0.7 / len(others))
    for order, series in enumerate(others):
        mine = [line for line in lines if line.series == series]
        colour = _COLOURS[(1 + names.index(series.estimator)) % len(_COLOURS)]
        place = np.array([cells.index((n.table, n.label)) for n in mine], dtype=float)
        place += (order - (len(others) - 1) / 2) * step
        for panel, name in zip(panels, ("detected_difference", "gospa_ratio"), strict=True):
            value, low, high = (
                np.array([n.row[name + end] for n in mine]) for end in ("", "_low", "_high")
            )
            panel.errorbar(
                value,
                place,
                xerr=np.nan_to_num(np.stack((value - low, high - value)).clip(min=0)),
                color=colour,
                marker=_MARKERS[(1 + names.index(series.estimator)) % len(_MARKERS)],
                markersize=4,
                markerfacecolor=colour if series.known else "white",
                linestyle="none",
                elinewidth=1,
                label=f"{series.estimator.replace('_', ' ')}, K {series.number}",
            )
    labels = [f"{table.replace('_', ' ')}: {label}" for table, label in cells]
    panels[0].set_yticks(range(len(cells)), labels, fontsize=8)
    panels[0].set_ylim(len(cells) - 0.5, -0.5)
    for panel, name, equal in zip(
        panels,
        ("part found: maximum likelihood less the other", "GOSPA: maximum likelihood / the other"),
        (0, 1),
        strict=True,
    ):
        panel.axvline(equal, color="k", linewidth=0.8)
        panel.set_xlabel(name)
        panel.grid(visible=True, alpha=0.25)
    handles, texts = panels[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=min(3, len(others)), fontsize=9)
    return figure
