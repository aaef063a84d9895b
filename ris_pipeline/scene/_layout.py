"""Arrays as people have them, told apart from arrays as they are wanted.

Nothing is guessed: what does not fit is refused, and where one usual change would make it fit, the
error names that change.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ris_pipeline._arrays import Array, to_tensor
from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_finite, check_positive

Lengths = Sequence[int | None]


def checked_layout(
    snapshots: Array,
    channel: Array,
    codes: Array,
    noise_variance: Array | float | None,
    elements: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """(B, T, L, M), (B, M, N), (T, L, N) of one complex dtype, and (B,) of its real one or None.

    Raises:
        InputError: see `Received.from_arrays`.
    """
    y = _complex("snapshots", snapshots, "y")
    h = _complex("channel", channel, "H")
    c = _complex("codes", codes, "c")
    if (y.ndim, h.ndim) == (3, 2):
        y, h = y[None], h[None]
    _check_axes("channel", h, ("scenes", "antennas", "elements"), (None, None, elements))
    _check_axes("codes", c, ("blocks", "codes", "elements"), (None, None, elements))
    wanted = h.shape[0], *c.shape[:2], h.shape[1]
    _check_axes("snapshots", y, ("scenes", "blocks", "codes", "antennas"), wanted)
    dtype = torch.promote_types(torch.promote_types(y.dtype, h.dtype), c.dtype)
    y, h, c = (x.to(dtype).resolve_conj() for x in (y, h, c))
    for name, value in (("snapshots", y), ("channel", h), ("codes", c)):
        check_finite(name, value)
    return y, h, c, _noise(noise_variance, y)


def _complex(name: str, value: Array, symbol: str) -> Tensor:
    tensor = to_tensor(name, value)
    if tensor.is_complex():
        return tensor
    dtype = str(tensor.dtype).removeprefix("torch.")
    raise InputError(
        f"{name} has dtype {dtype} and shape {tuple(tensor.shape)}: allowed are complex64 and "
        f"complex128{_complex_fix(tensor, symbol)}"
    )


def _complex_fix(tensor: Tensor, symbol: str) -> str:
    """What makes complex numbers of real ones, as far as the shape tells."""
    places = [axis for axis in (tensor.ndim - 1, 0) if tensor.ndim and tensor.shape[axis] == 2]
    if places:
        real, imaginary = (f"{symbol}[..., {i}]" if places[0] else f"{symbol}[{i}]" for i in (0, 1))
        return f"; real and imaginary parts along axis {places[0]} become {real} + 1j * {imaginary}"
    if symbol == "c":
        return "; phases in radians become exp(1j * c), real amplitudes c + 0j"
    return f"; amplitudes that are real become {symbol} + 0j"


def _check_axes(name: str, value: Tensor, axes: Sequence[str], lengths: Lengths) -> None:
    shape = tuple(value.shape)
    if len(shape) == len(lengths) and all(
        wanted in (None, length) and length > 0
        for wanted, length in zip(lengths, shape, strict=True)
    ):
        return
    wanted = ", ".join(
        axis if length is None else f"{length} {axis}"
        for axis, length in zip(axes, lengths, strict=True)
    )
    raise InputError(
        f"{name} has shape {shape}: allowed is ({wanted}){_axes_fix(name, shape, axes, lengths)}"
    )


def _axes_fix(name: str, shape: tuple[int, ...], axes: Sequence[str], lengths: Lengths) -> str:
    """The one usual change that would make a shape fit; nothing where there is none."""
    known = [length for length in lengths if length is not None]
    missing = [i for i, length in enumerate(lengths) if length in (None, 1)]
    if len(shape) == len(lengths) - 1 and missing:
        for i in missing:
            if _fits((*shape[:i], 1, *shape[i:]), lengths):
                colons = ":, " * i
                return f"; {name}[{colons}None] where there is one of {axes[i]}"
    if len(shape) == len(lengths) + 1 and 2 in (shape[-1], shape[0]):
        return "; real and imaginary parts become one complex number"
    if len(shape) == len(lengths) and 0 not in shape:
        orders = (
            order
            for order in itertools.permutations(range(len(shape)))
            if _fits(tuple(shape[i] for i in order), lengths)
        )
        order = next(orders, None)
        if order is not None:
            return f"; numpy.transpose({name}, {order}) has it, if these are its axes"
    if (
        len(shape) < len(lengths)
        and len(known) == len(lengths)
        and math.prod(shape) == math.prod(known)
    ):
        return f"; {name}.reshape({tuple(known)}) has it, if the last axis runs fastest"
    return ""


def _fits(shape: tuple[int, ...], lengths: Lengths) -> bool:
    return all(wanted in (None, length) for wanted, length in zip(lengths, shape, strict=True))


def _noise(value: Array | float | None, snapshots: Tensor) -> Tensor | None:
    if value is None:
        return None
    real, scenes = snapshots.real.dtype, snapshots.shape[0]
    given = (
        torch.tensor(value)
        if isinstance(value, int | float)
        else to_tensor("noise_variance", value)
    )
    if given.is_complex() or given.dtype == torch.bool or given.shape not in ((), (scenes,)):
        raise InputError(
            f"noise_variance is {given.dtype} of shape {tuple(given.shape)}: allowed are real "
            f"numbers, one or ({scenes},)"
        )
    # Of wide whole numbers torch knows neither sums nor an order.
    given = given if given.is_floating_point() else given.double()
    check_positive("noise_variance", given)
    return given.to(snapshots.device, real).expand(scenes).clone()
