"""Gradients with NaN and infinity, and the losses of an epoch."""

import math
from typing import Any

import hypothesis.strategies as st
import torch
from torch import Tensor

GRADIENT_DTYPES = (torch.float64, torch.float32, torch.complex64)
GRADIENT_SCALES = (1.0, 1e-6, 1e25)
"""The last one is finite in float32, its square is not."""


class Parameters(list[Tensor]):
    """Parameters that print as their gradients."""

    def __repr__(self) -> str:
        grads = (None if p.grad is None else p.grad.tolist() for p in self)
        return f"parameters of gradients {', '.join(map(str, grads)) or 'none'}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@st.composite
def gradients(draw: st.DrawFn) -> list[Tensor]:
    """Parameters with gradients: finite ones, some with a NaN or an infinity, some with none.

    Rows and columns of either precision, some complex, some lying columns first, some empty.
    """
    parameters = Parameters()
    kinds = st.sampled_from(("finite", "nan", "inf", "absent"))
    for kind in draw(st.lists(kinds, min_size=0, max_size=6)):
        rows, columns = draw(st.integers(1, 2)), draw(st.integers(0, 3))
        dtype = draw(st.sampled_from(GRADIENT_DTYPES))
        parameter = torch.zeros(rows, columns, dtype=dtype, requires_grad=True)
        if kind != "absent":
            parameter.grad = _gradient(draw, parameter, kind)
        parameters.append(parameter)
    return parameters


def _gradient(draw: st.DrawFn, like: Tensor, kind: str) -> Tensor:
    count = like.numel()
    # Thousandths of whole numbers: round, and exact in no precision.
    entries = draw(st.lists(st.integers(-999, 999), min_size=count, max_size=count))
    scale = draw(st.sampled_from(GRADIENT_SCALES))
    grad = torch.tensor(entries, dtype=torch.float64).to(like.dtype) * (scale / 1000)
    if kind != "finite" and count:
        grad[draw(st.integers(0, count - 1))] = math.nan if kind == "nan" else math.inf
    grad = grad.reshape(like.shape)
    return grad.mT.contiguous().mT if draw(st.booleans()) else grad


@st.composite
def loss_sequences(draw: st.DrawFn) -> tuple[list[float], int]:
    """Losses of the batches of an epoch, and an accumulation factor that may not divide them.

    Thirds are not exact, so the order of a sum shows.
    """
    losses = draw(st.lists(st.integers(0, 1000).map(lambda n: n / 3), min_size=1, max_size=20))
    return losses, draw(st.integers(1, 8))
