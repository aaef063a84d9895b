"""Gradients with NaN and infinity, and the losses of an epoch."""

import math
from typing import Any

import hypothesis.strategies as st
import torch
from torch import Tensor

from ris_pipeline.verification.target import Claim, takes

GRADIENT_DTYPES = (torch.float64, torch.float32, torch.complex64, torch.complex128, torch.float16)
GRADIENT_SCALES = (1.0, 1e-3, 300.0, 1e25)
"""The square of the third overflows half precision, that of the last one single."""


class Parameters(list[Tensor]):
    """Parameters that print as their gradients."""

    def __repr__(self) -> str:
        grads = (None if p.grad is None else p.grad.tolist() for p in self)
        return f"parameters of gradients {', '.join(map(str, grads)) or 'none'}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


def _shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """Of weights, biases and scalars; few of them empty."""
    return st.one_of(
        st.tuples(st.integers(1, 2), st.integers(1, 3)),
        st.tuples(st.sampled_from((2, 3, 1, 5, 0, 40))),
        st.just(()),
    )


@st.composite
def gradients(draw: st.DrawFn) -> list[Tensor]:
    """Parameters with gradients: finite ones, some with a NaN or an infinity, some with none.

    Weights, biases and scalars, in several precisions, some complex, some lying columns first,
    some empty. Two finite gradients come first in most draws: a maximum or a sum is no norm of one
    number.
    """
    parameters = Parameters()
    known = _KINDS if takes(Claim.NOT_FINITE) else ("finite", "absent")
    kinds = draw(
        st.one_of(
            st.lists(st.sampled_from(known), max_size=4).map(lambda more: ["finite"] * 2 + more),
            st.lists(st.sampled_from(known), max_size=5),
            st.sampled_from(
                (
                    ["finite"] * 14,
                    ["absent", "finite", "finite"],
                    ["finite", "absent", known[-2], "finite"],
                )
            ),
        )
    )
    for kind in kinds:
        dtype = draw(st.sampled_from(GRADIENT_DTYPES))
        parameter = torch.zeros(draw(_shapes()), dtype=dtype, requires_grad=True)
        if kind != "absent":
            parameter.grad = _gradient(draw, parameter, kind)
        parameters.append(parameter)
    return parameters


_KINDS = ("finite", "nan", "inf", "-inf", "absent")


def _gradient(draw: st.DrawFn, like: Tensor, kind: str) -> Tensor:
    count = like.numel()
    # Thousandths of whole numbers: round, and exact in no precision; a ramp, so that no draw is
    # zero throughout.
    first, step = draw(st.integers(1, 999)), draw(st.integers(-99, 99))
    entries = torch.arange(count, dtype=torch.float64) * step + first
    if like.is_complex():
        entries = entries + 1j * draw(st.sampled_from((1.0, -0.5))) * entries.flip(0)
    scales = GRADIENT_SCALES if takes(Claim.RANGE) else GRADIENT_SCALES[:-1]
    grad = (entries * (draw(st.sampled_from(scales)) / 1000)).to(like.dtype)
    if kind != "finite" and count:
        grad[draw(st.integers(0, count - 1))] = float(kind)
    grad = grad.reshape(like.shape)
    flip = grad.ndim == 2 and draw(st.booleans())
    return grad.mT.contiguous().mT if flip else grad


LENGTHS = (1, 2, 3, 5, 7, 12, 20, 37, 150)


@st.composite
def loss_sequences(draw: st.DrawFn) -> tuple[list[float], int]:
    """Losses of the batches of an epoch, and an accumulation factor that may not divide them.

    Of either sign and any size, some with one of zero. Thirds are not exact, so the order of a sum
    shows.
    """
    count = draw(st.sampled_from(LENGTHS))
    scale = draw(st.sampled_from((1.0, 1e-9, 1e12)))
    thirds = st.integers(-300, 1000).map(lambda n: scale * n / 3)
    losses = draw(st.lists(thirds, min_size=count, max_size=count))
    if draw(st.booleans()):
        losses[draw(st.integers(0, count - 1))] = 0.0
    return losses, draw(st.integers(1, 8))


@st.composite
def broken_loss_sequences(draw: st.DrawFn) -> tuple[list[float], int]:
    """The same with one loss that is no finite number."""
    losses, accumulation = draw(loss_sequences())
    place = draw(st.integers(0, len(losses) - 1))
    losses[place] = draw(st.sampled_from((math.nan, math.inf, -math.inf)))
    return losses, accumulation
