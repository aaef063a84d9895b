"""Pictures. Each function returns a figure; `save_figure` writes it at once or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ris_pipeline._files import whole_file

# Okabe and Ito's palette, distinct for colour-blind readers.
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"


@dataclass(frozen=True, kw_only=True)
class SpectrumView:
    """A spectrum over azimuth and elevation with sources marked; angles in degrees, level in dB.

    level: (elevations, azimuths); true, estimated: (K, 2) azimuth and elevation; labels: one text
    for each true source.
    """

    title: str
    azimuth: NDArray[np.float64]
    elevation: NDArray[np.float64]
    level: NDArray[np.float64]
    true: NDArray[np.float64]
    estimated: NDArray[np.float64]
    labels: Sequence[str] = ()
    floor_db: float = -25.0


def loss_curve(
    train: Sequence[float],
    validation: Sequence[float],
    covariance: Sequence[float] | None = None,
    title: str = "Training",
) -> Figure:
    """Train and validation loss over epochs, with the validation NMSE of R beside them."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = np.arange(1, len(train) + 1)
    axes.plot(epochs, train, "o-", color=_BLUE, label="train, total loss", markersize=4)
    axes.plot(epochs, validation, "s-", color=_ORANGE, label="validation, total loss", markersize=4)
    if covariance is not None:
        axes.plot(
            epochs, covariance, "^--", color=_GREEN, label="validation, NMSE of R", markersize=4
        )
    axes.set(xlabel="epoch", ylabel="loss (dimensionless)", title=title)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    return figure


def spectrum_figure(views: Sequence[SpectrumView]) -> Figure:
    """Spectra side by side, true sources as rings and estimates as crosses."""
    figure = Figure(figsize=(6.8 * len(views), 4.6), layout="constrained")
    for axes, view in zip(figure.subplots(1, len(views), squeeze=False)[0], views, strict=True):
        draw_spectrum(figure, axes, view)
    return figure


def draw_spectrum(figure: Figure, axes: Axes, view: SpectrumView, legend: bool = True) -> None:
    """One spectrum with its colour bar; the level is pixels also where the rest is lines."""
    level = np.clip(view.level - view.level.max(), view.floor_db, 0)
    mesh = axes.pcolormesh(
        view.azimuth, view.elevation, level, cmap="viridis", shading="nearest", rasterized=True
    )
    figure.colorbar(mesh, ax=axes, label="level below the peak (dB)")
    axes.plot(
        *view.true.T,
        "o",
        markersize=15,
        markerfacecolor="none",
        markeredgecolor="white",
        markeredgewidth=2,
        label="true",
    )
    axes.plot(
        *view.estimated.T,
        "x",
        markersize=9,
        markeredgecolor=_ORANGE,
        markeredgewidth=2.5,
        markerfacecolor="none",
        label="estimated",
    )
    # A label stands on the side where there is room.
    middle = (view.azimuth[0] + view.azimuth[-1]) / 2
    for (azimuth, elevation), label in zip(view.true, view.labels, strict=False):
        side = -1 if azimuth > middle else 1
        axes.annotate(
            label,
            (azimuth, elevation),
            xytext=(11 * side, 9),
            textcoords="offset points",
            ha="right" if side < 0 else "left",
            color="white",
            fontsize=9,
            bbox={"facecolor": "#00000080", "edgecolor": "none", "pad": 1},
        )
    axes.set(xlabel="azimuth (deg)", ylabel="elevation (deg)", title=view.title)
    if legend:
        axes.legend(loc="lower left", facecolor="#404040", labelcolor="white", framealpha=0.9)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG.

    Raises:
        InputError: the folder cannot be written.
    """
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
