"""Gradients with NaN and infinity, and the losses of an epoch."""

import math
from typing import Any

import hypothesis.strategies as st
import torch
from torch import Tensor


class Parameters(list[Tensor]):
    """Parameters that print as their gradients."""

    def __repr__(self) -> str:
        grads = (None if p.grad is None else p.grad.tolist() for p in self)
        return f"parameters of gradients {', '.join(map(str, grads)) or 'none'}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@st.composite
def gradients(draw: st.DrawFn) -> list[Tensor]:
    """Parameters with gradients: finite ones, some with a NaN or an infinity, some with none."""
    parameters = Parameters()
    entry = st.floats(-1e3, 1e3, allow_nan=False)
    for kind in draw(
        st.lists(st.sampled_from(("finite", "nan", "inf", "absent")), min_size=0, max_size=6)
    ):
        size = draw(st.integers(1, 4))
        parameter = torch.zeros(size, dtype=torch.float64, requires_grad=True)
        if kind != "absent":
            grad = torch.tensor(
                draw(st.lists(entry, min_size=size, max_size=size)), dtype=torch.float64
            )
            if kind != "finite":
                grad[draw(st.integers(0, size - 1))] = math.nan if kind == "nan" else math.inf
            parameter.grad = grad
        parameters.append(parameter)
    return parameters


@st.composite
def loss_sequences(draw: st.DrawFn) -> tuple[list[float], int]:
    """Losses of the batches of an epoch, and an accumulation factor that may not divide them."""
    losses = draw(st.lists(st.integers(0, 1000).map(float), min_size=1, max_size=20))
    return losses, draw(st.integers(1, 8))
