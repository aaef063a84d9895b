"""What a function of a matrix takes and answers, and what it is asked to find that out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

PROBE_ORDER, PROBE_K, PROBE_STEERING = 5, 2, 3
# Axes of different lengths, the first shorter than k + 1: one taken for another does not fit.
PROBE_SNAPSHOTS, PROBE_SIZE = 7, 3
WIDE, NARROW = torch.complex128, torch.complex64


@dataclass(frozen=True)
class MatrixFunction:
    """A function whose first argument is a matrix (..., n, m).

    parameters: of the plain signature, `matrix` or `basis` first; core: the shape of the answer to
    one matrix, in terms of n, m, k and the number of steering vectors g; real: the answer is; mean:
    a batch is answered by the mean; truth: a right function, where one is at hand.
    """

    parameters: tuple[str, ...]
    core: Callable[[int, int, int, int], tuple[int, ...]]
    real: bool = True
    mean: bool = False
    truth: Callable[..., Tensor] | None = None

    def probe(self, batch: tuple[int, ...], dtype: torch.dtype = WIDE) -> dict[str, Any]:
        """Arguments of that batch: positive definite matrices, k = 2, a margin beyond any gap."""
        generator = np.random.default_rng(0)

        def draw(*shape: int) -> Any:
            return generator.standard_normal(shape) + 1j * generator.standard_normal(shape)

        factor = draw(*batch, PROBE_ORDER, PROBE_ORDER)
        matrix = factor @ factor.conj().swapaxes(-1, -2) + np.eye(PROBE_ORDER)
        basis = np.ascontiguousarray(np.linalg.qr(factor)[0][..., :PROBE_K])
        # Fewer than rows, so that one axis taken for the other does not fit.
        steering = np.ascontiguousarray(np.linalg.qr(draw(PROBE_ORDER, PROBE_STEERING))[0])
        tensors = {"matrix": matrix, "basis": basis, "steering": steering}
        tensors |= {"snapshots": draw(*batch, PROBE_ORDER, PROBE_SNAPSHOTS), "factor": factor}
        every: dict[str, Any] = {name: torch.from_numpy(x).to(dtype) for name, x in tensors.items()}
        every |= {"k": PROBE_K, "margin": 1e3, "size": PROBE_SIZE, "loading": 0.5}
        every |= {"angles": torch.linspace(-0.5, 0.75, PROBE_STEERING, dtype=torch.float64)}
        return {name: every[name] for name in self.parameters}

    def shape(self, given: Mapping[str, Any]) -> tuple[int, ...]:
        """The shape of a right answer."""
        *batch, n, m = given[self.parameters[0]].shape
        steering, k = (
            given.get("steering", given.get("angles")),
            given.get("k", given.get("size", 0)),
        )
        g = 0 if steering is None else steering.shape[-1]
        core = self.core(n, m, k if isinstance(k, int) else 0, g)
        return core if self.mean else (*batch, *core)
