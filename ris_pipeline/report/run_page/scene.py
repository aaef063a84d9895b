"""Pictures of one scene and of errors: spectra, ellipses, eigenvalues, RMSE beside the bound."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ris_pipeline.report.figures import SpectrumView, draw_spectrum
from ris_pipeline.report.run_page.record import AXES, Accuracy
from ris_pipeline.report.run_page.vector import (
    INK,
    LINE,
    MUTED,
    SIZE,
    Picture,
    colour,
    log_scale,
    picture,
)

_REACH = math.sqrt(-2 * math.log(0.05))
"""Axes of an ellipse that holds 95 % of a Gaussian in the plane, in standard deviations."""

EIGENVALUE_FLOOR = 1e-3
"""Smallest eigenvalue drawn, of a trace of N: a covariance of low rank has zeros."""

_PROFILE = 12
"""Eigenvalues shown."""


@dataclass(frozen=True)
class Scatter:
    """Errors of one source over draws of the noise.

    error: (draws, 2) of azimuth and elevation, deg, of the draws in which it was found; bound:
    (2, 2) Cramer-Rao bound on their covariance, deg^2; draws: how many there were; place: azimuth
    (deg), elevation (deg), distance (m).
    """

    error: NDArray[np.float64]
    bound: NDArray[np.float64]
    draws: int
    place: tuple[float, float, float]


@dataclass(frozen=True)
class Profile:
    """Eigenvalues of a covariance of trace N, in descending order."""

    name: str
    eigenvalues: NDArray[np.float64]


def spectrum_picture(view: SpectrumView) -> Picture:
    """One spectrum with true sources as rings and estimates as crosses."""
    figure = Figure(figsize=(SIZE[0], 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=False)
    draw_spectrum(figure, axes, view, legend=False)
    axes.set_title("")
    said = " ".join(view.title.split("\n")[0].split())
    rest = " ".join(view.title.split("\n")[1:])
    caption = f"{said}: {rest}. Rings are true sources with their distance, crosses estimates."
    return picture(figure, said, caption)


def scatter_picture(scatter: Scatter, place: int) -> Picture:
    """Errors with the ellipse of their covariance, and that of the bound."""
    figure = Figure(figsize=(SIZE[0], 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*scatter.error.T, ".", color=colour(place), markersize=4, alpha=0.6)
    _ellipse(axes, scatter.bound, INK, "--", "bound, 95 %")
    found = len(scatter.error)
    spread = ""
    if found > 2:
        covariance = scatter.error.T @ scatter.error / found
        _ellipse(axes, covariance, colour(place), "-", "errors, 95 %")
        ratio = np.sqrt(np.diag(covariance) / np.diag(scatter.bound))
        spread = f" RMSE over root bound {ratio[0]:.2f} in azimuth, {ratio[1]:.2f} in elevation."
        spread += " Those found are a selection." if found < scatter.draws else ""
    axes.axhline(0, color=LINE, linewidth=1)
    axes.axvline(0, color=LINE, linewidth=1)
    axes.set(xlabel="azimuth error (deg)", ylabel="elevation error (deg)")
    figure.legend(loc="outside lower center", ncols=2)
    azimuth, elevation, distance = scatter.place
    title = f"Errors of the source at {azimuth:.1f} deg, {elevation:.1f} deg, {distance:.2f} m"
    caption = (
        f"{title}, by maximum likelihood: found within 2 deg in {found} of {scatter.draws} draws "
        f"of the noise.{spread}"
    )
    return picture(figure, title, caption)


def _ellipse(axes: Axes, covariance: NDArray[np.float64], ink: str, style: str, label: str) -> None:
    """`{S^(1/2) u}`, S the covariance, u on the circle that holds 95 %."""
    turn = np.linspace(0, 2 * np.pi, 121)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(min=0))
    axes.plot(
        *(_REACH * root @ np.stack((np.cos(turn), np.sin(turn)))),
        style,
        color=ink,
        label=label,
    )


def profile_picture(profiles: Sequence[Profile], order: int) -> Picture:
    """Eigenvalue profiles; the gap between the order-th and the next is marked."""
    figure = Figure(figsize=(SIZE[0], 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(order, order + 1, color=LINE, alpha=0.7, linewidth=0)
    gaps = []
    for place, profile in enumerate(profiles):
        values = profile.eigenvalues[:_PROFILE]
        where = np.arange(1, len(values) + 1)
        axes.plot(
            where,
            values.clip(min=EIGENVALUE_FLOOR),
            ("o-", "s--", "^:", "d-.")[place % 4],
            color=colour(place),
            label=profile.name,
            markersize=4.5,
        )
        if order < len(values):
            gaps.append(f"{profile.name} {values[order - 1] - values[order]:.3g}")
    log_scale(axes)
    axes.set(xlabel="order, descending", ylabel="eigenvalue (trace N)")
    axes.set_xticks(range(1, _PROFILE + 1))
    axes.text(
        order + 0.5, 1.01, "gap", ha="center", color=MUTED, transform=axes.get_xaxis_transform()
    )
    figure.legend(loc="outside lower center", ncols=2)
    caption = (
        f"Eigenvalues of R, the gap of order K = {order} shaded: {'; '.join(gaps) or 'none'}. "
        f"What is below {EIGENVALUE_FLOOR:g} is drawn there."
    )
    return picture(figure, "Eigenvalue profile", caption)


def accuracy_pictures(table: str, curves: Sequence[Accuracy]) -> list[Picture]:
    """RMSE with its bound for each coordinate, then the normalized error and the part found."""
    drawn = [_rmse(table, curves, axis, unit) for axis, unit in AXES]
    found = [curve for curve in drawn if curve is not None]
    return [*found, _normalized(table, curves), _detected(table, curves)]


def _frame(table: str, curves: Sequence[Accuracy], ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(SIZE[0], 3.2 + 0.17 * len(curves)), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=table, ylabel=ylabel)
    axes.set_xticks(range(len(curves[0].value)), curves[0].value)
    return figure, axes


def _draw(axes: Axes, place: int, curve: Accuracy, values: NDArray[np.float64]) -> None:
    marker = "os^Dv<"[place % 6]
    axes.plot(
        values, "-", marker=marker, markersize=4.5, color=colour(place), label=curve.name, alpha=0.9
    )


def _rmse(table: str, curves: Sequence[Accuracy], axis: str, unit: str) -> Picture | None:
    if not any(np.isfinite(curve.rmse[axis]).any() for curve in curves):
        return None
    figure, axes = _frame(table, curves, f"{axis} RMSE ({unit})")
    for place, curve in enumerate(curves):
        _draw(axes, place, curve, curve.rmse[axis])
        axes.plot(curve.bound[axis], "--", color=colour(place), linewidth=1)
    axes.plot([], [], "--", color=INK, linewidth=1, label="root bound, of the same sources")
    log_scale(axes)
    figure.legend(loc="outside lower center")
    caption = (
        f"RMSE of the {axis} over {table}, of the sources found, and the root of the Cramer-Rao "
        "bound of the same sources."
    )
    return picture(figure, f"RMSE of the {axis}", caption)


def _normalized(table: str, curves: Sequence[Accuracy]) -> Picture:
    """Mean over the coordinates that there are, in squares."""
    figure, axes = _frame(table, curves, "error / its root bound, rms")
    for place, curve in enumerate(curves):
        squares = np.stack([curve.normalized[axis] for axis, _ in AXES]) ** 2
        there = np.isfinite(squares)
        total = np.where(there, squares, 0).sum(0)
        count = there.sum(0)
        mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
        _draw(axes, place, curve, np.sqrt(mean))
    axes.axhline(1, color=INK, linestyle="--", linewidth=1)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center")
    caption = (
        f"Each error over the root of its own bound, rms over sources and coordinates, over "
        f"{table}: 1 is the bound. Where many sources are missed those found are a selection."
    )
    return picture(figure, "Normalized error", caption)


def _detected(table: str, curves: Sequence[Accuracy]) -> Picture:
    figure, axes = _frame(table, curves, "part of the sources found")
    for place, curve in enumerate(curves):
        _draw(axes, place, curve, curve.detected)
    axes.set_ylim(-0.03, 1.03)
    figure.legend(loc="outside lower center")
    return picture(figure, "Sources found", f"Part of the sources found within 2 deg over {table}.")
