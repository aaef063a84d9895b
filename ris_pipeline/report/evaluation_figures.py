"""Pictures of an evaluation: curves over one property, heat maps over two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ris_pipeline.evaluation import Row

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dv<>"


@dataclass(frozen=True)
class Curve:
    """The rows of one series: value, second value (or empty), statistics."""

    name: str
    rows: Sequence[tuple[str, str, Row]]

    def column(self, name: str) -> NDArray[np.float64]:
        """One statistic along the rows."""
        return np.array([row[name] for _, _, row in self.rows], dtype=np.float64)


def curves_figure(title: str, axis: str, curves: Sequence[Curve]) -> Figure:
    """Part found, azimuth and distance error beside the bound, part with the right number."""
    figure = Figure(figsize=(12, 8.4), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for index, curve in enumerate(curves):
        labels = [value for value, _, _ in curve.rows]
        style: dict[str, Any] = {
            "color": _COLOURS[index % len(_COLOURS)],
            "marker": _MARKERS[index // len(_COLOURS) % len(_MARKERS)],
            "label": curve.name,
            "markersize": 5,
        }
        _draw_share(axes[0], labels, curve, "detected", style)
        for panel, name in ((axes[1], "azimuth_{}_deg"), (axes[2], "distance_{}_m")):
            panel.plot(labels, curve.column(name.format("rmse")), **style)
            bound = curve.column(name.format("bound"))
            panel.plot(labels, bound, "--", color=style["color"], linewidth=1)
        _draw_share(axes[3], labels, curve, "right_number", style)
    names = (
        "sources found within 2 deg",
        "azimuth RMSE (deg), resolved sources; dashed: root bound",
        "distance RMSE (m), resolved sources; dashed: root bound",
        "scenes with the right number of sources",
    )
    for panel, name in zip(axes, names, strict=True):
        panel.set(xlabel=axis, title=name)
        panel.grid(visible=True, which="both", alpha=0.25)
    for panel in axes[1:3]:
        if any(np.nanmax(line.get_ydata(), initial=0.0) > 0 for line in panel.lines):
            panel.set_yscale("log")
    for panel in (axes[0], axes[3]):
        panel.set_ylim(-0.03, 1.03)
    axes[0].legend(fontsize=8)
    figure.suptitle(title.replace("_", " "))
    return figure


def _draw_share(
    axes: Axes, labels: Sequence[str], curve: Curve, name: str, style: dict[str, Any]
) -> None:
    value, low, high = (curve.column(name + end) for end in ("", "_low", "_high"))
    axes.plot(labels, value, **style)
    axes.fill_between(labels, low, high, color=style["color"], alpha=0.15, linewidth=0)


def heat_map_figure(title: str, axis: str, curves: Sequence[Curve]) -> Figure:
    """Part found and azimuth RMSE over root bound, a column of maps for each series."""
    figure = Figure(figsize=(1.5 + 5 * len(curves), 7.5), layout="constrained")
    panels = figure.subplots(2, len(curves), squeeze=False)
    for column, curve in enumerate(curves):
        for line, (name, label, limits) in enumerate(
            (("detected", "found", (0, 1)), ("azimuth_ratio", "azimuth RMSE / bound", (0.5, 2)))
        ):
            axes = panels[line, column]
            rows, columns = (
                list(dict.fromkeys(row[place] for row in curve.rows)) for place in (0, 1)
            )
            level = curve.column(name).reshape(len(rows), len(columns))
            mesh = axes.imshow(
                level, origin="lower", cmap="cividis", vmin=limits[0], vmax=limits[1], aspect="auto"
            )
            for (i, j), value in np.ndenumerate(level):
                dark = value < sum(limits) / 2
                axes.text(
                    j,
                    i,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    color="white" if dark else "black",
                    fontsize=8,
                )
            axes.set_xticks(range(len(columns)), columns)
            axes.set_yticks(range(len(rows)), rows)
            axes.set(
                title=f"{label}: {curve.name}",
                xlabel=axis.split(" x ")[-1],
                ylabel=axis.split(" x ")[0],
            )
            figure.colorbar(mesh, ax=axes)
    figure.suptitle(title.replace("_", " "))
    return figure
