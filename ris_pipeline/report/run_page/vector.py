"""Figures as SVG inside a page: its colours are the page's, so one picture serves light and dark.

Matplotlib is given colours that stand for the page's (`INK`, `SERIES`, ...), and they are replaced
by the CSS variables of `page.html` when the picture is written.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

INK, MUTED, LINE, GROUND = "#010101", "#010102", "#010103", "#010104"
"""Text and bounds, axes, grid lines, the page behind."""

SERIES = tuple(f"#0102{place:02x}" for place in range(1, 7))
"""Colours of runs or estimators, in turn."""

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    GROUND: "var(--ground)",
    **{colour: f"var(--series-{place})" for place, colour in enumerate(SERIES)},
}

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ris_pipeline",
    # Names of runs are no formulas.
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}

SIZE = (4.6, 3.2)
"""Inches of a figure: a phone shows it as wide as it is meant, text of 10 points included."""


@dataclass(frozen=True)
class Picture:
    """An inline SVG with what it shows in words."""

    svg: str
    title: str
    caption: str


@contextmanager
def page_style() -> Iterator[None]:
    """Within it, figures are made in the colours that stand for the page's."""
    with mpl.rc_context(_STYLE):
        yield


def colour(place: int) -> str:
    """Of the series at a place."""
    return SERIES[place % len(SERIES)]


def log_scale(axes: Axes) -> None:
    """A logarithmic axis upwards; 0.05, 0.1, 0.2 say more than powers of ten over a decade."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 1e3 * low:
        axes.yaxis.set_major_locator(
            LogLocator(subs=(1, 2, 5) if high > 5 * low else (1, 1.5, 2, 3, 5, 7))
        )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def picture(figure: Figure, title: str, caption: str) -> Picture:
    """The figure, drawn. To be called within `page_style`."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return Picture(_inline(text.getvalue(), title), title, caption)


def _inline(text: str, title: str) -> str:
    """The `svg` element with a title and without what only a file of its own needs: name spaces,
    metadata, a style sheet that would reach the whole page, a size in points."""
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        for name in list(element.attrib):
            value = element.attrib.pop(name)
            element.attrib[_local(name)] = value
    for name in ("version", "width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", title)
    named = ElementTree.Element("title")
    named.text = title
    root.insert(0, named)
    drawn = ElementTree.tostring(root, encoding="unicode")
    for stand_in, variable in _VARIABLES.items():
        drawn = drawn.replace(stand_in, variable)
    return drawn


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def with_own_names(svg: str, key: str) -> str:
    """The picture with the names inside it made its own: several share a page."""
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'\bhref="#([^"]*)"', rf'href="#{key}-\1"', svg)
    return re.sub(r"url\(#([^)]*)\)", rf"url(#{key}-\1)", svg)
