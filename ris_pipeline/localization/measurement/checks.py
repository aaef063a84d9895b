"""What the receiver needs of a scene, checked once at the door."""

import math

import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import (
    check_complex,
    check_finite,
    check_positive,
    check_range,
    check_shape,
)
from ris_pipeline.scene import Received, SceneBatch

_ROUNDING = 1e-6
"""Of a number that went through float32."""


def check_measurement(snapshots: Tensor, channel: Tensor, codes: Tensor) -> None:
    """Raise `InputError` unless the three fit together as (B, T, L, M), (B, M, N), (T, L, N)."""
    for name, value, ndim in (
        ("snapshots", snapshots, 4),
        ("channel", channel, 3),
        ("codes", codes, 3),
    ):
        check_complex(name, value)
        if value.ndim != ndim:
            raise InputError(f"{name} has {value.ndim} axes: allowed are {ndim}")
        if value.dtype != snapshots.dtype or value.device != snapshots.device:
            raise InputError(
                f"{name} is {value.dtype} on {value.device}: allowed is what snapshots are, "
                f"{snapshots.dtype} on {snapshots.device}"
            )
    scenes, blocks, rows, antennas = snapshots.shape
    if 0 in snapshots.shape[1:]:
        raise InputError(
            f"snapshots has shape {tuple(snapshots.shape)}: allowed are axes of length 1 or more "
            "after the first"
        )
    check_shape("channel", channel, (scenes, antennas, None))
    check_shape("codes", codes, (blocks, rows, channel.shape[-1]))
    for name, value in (("snapshots", snapshots), ("channel", channel), ("codes", codes)):
        check_finite(name, value)


def check_scenes(scenes: Received) -> None:
    """Raise `InputError` unless the receiver's part of a batch is complete and consistent."""
    check_measurement(scenes.snapshots, scenes.channel, scenes.codes)
    check_shape("panel.positions", scenes.panel.positions, (scenes.channel.shape[-1], 3))
    check_finite("panel.positions", scenes.panel.positions)
    wavelength = scenes.panel.wavelength
    if scenes.panel.positions.ndim != 2 or isinstance(wavelength, Tensor):
        raise InputError("panel is drawn per scene: allowed is the one panel the receiver assumes")
    if not 0 < wavelength < math.inf:
        raise InputError(f"panel.wavelength = {wavelength}: allowed are positive numbers")


def check_wavelength(scenes: Received) -> None:
    """Raise `InputError` unless the panel has the wavelength of the scenario, by which the grid of
    a search is made."""
    mine, wanted = float(scenes.panel.wavelength), scenes.scenario.wavelength
    if not math.isclose(mine, wanted, rel_tol=_ROUNDING):
        raise InputError(f"panel.wavelength = {mine}: allowed is that of the scenario, {wanted}")


def check_no_gradient(scenes: Received) -> None:
    """Raise `InputError` where somebody follows the data: estimates have no gradient, and none is
    better than one that is cut in silence."""
    for name in ("snapshots", "channel", "codes"):
        if torch.is_grad_enabled() and getattr(scenes, name).requires_grad:
            raise InputError(
                f"{name} requires a gradient, which estimates do not have: allowed is "
                f"{name}.detach(), or torch.no_grad()"
            )


def check_truth(scenes: SceneBatch) -> None:
    """Raise `InputError` unless the noise variance and the sources are those of the scenes."""
    noise, sources = scenes.noise_variance, scenes.sources
    check_shape("noise_variance", noise, (scenes.size,))
    check_positive("noise_variance", noise)
    for name in ("azimuth", "elevation", "distance", "gains"):
        check_shape(f"sources.{name}", getattr(sources, name), (scenes.size, None))
    check_range("sources.count", sources.count, 0, sources.gains.shape[1])


def identifiable_sources(elements: int, blocks: int, rows: int) -> int:
    """Most sources K whose unknowns the measurement can hold; may be 0.

        K < rows,   K < elements   and   K (3 + 2 blocks) < 2 blocks rows

    A source has three coordinates and one complex amplitude a block; a block has `rows` = L M
    complex numbers. At equality the residual is zero whatever the coordinates, so strictly less.
    """
    fits = (2 * blocks * rows - 1) // (3 + 2 * blocks)
    return max(0, min(fits, rows - 1, elements - 1))


def check_number(number: int | Tensor | None, scenes: int, most: int) -> None:
    """Raise `InputError` unless `number` is None or 1..most, as one integer or one per scene."""
    if most < 1:
        raise InputError("snapshots hold too few numbers to locate one source")
    if number is None:
        return
    if isinstance(number, Tensor):
        if number.dtype not in (torch.int64, torch.int32) or number.shape != (scenes,):
            raise InputError(
                f"number is {number.dtype} of shape {tuple(number.shape)}: allowed are integers of "
                f"shape ({scenes},)"
            )
    elif isinstance(number, bool) or not isinstance(number, int):
        raise InputError(
            f"number = {number!r}: allowed are integers 1..{most}, one per scene, None"
        )
    check_range("number", number, 1, most)
