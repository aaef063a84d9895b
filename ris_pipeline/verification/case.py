"""A call of a function, answered by numbers in a row: what fixed cases compare."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline.verification.cause import Cause

Numbers = NDArray[np.complex128]
Run = Callable[[Callable[..., Any]], Numbers]


@dataclass(frozen=True)
class Case:
    """A call of a function of one name, answered by its numbers in a row.

    symptoms: what may be wrong with a function that is right where nothing is out of the way and
    wrong here, none where nothing is out of the way; where: that, in words; condition: relative
    error of the answer over that of the argument; eases: a mistake that does not show here;
    diagonal: of a diagonal matrix, which eases many.
    """

    run: Run
    symptoms: tuple[Cause, ...] = ()
    where: str = ""
    condition: float = 1.0
    eases: Cause | None = None
    diagonal: bool = False


SAME = float(np.sqrt(np.finfo(np.float64).eps))
"""Relative distance below which numbers are the same: half of the digits."""


def same(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether half of the digits agree."""
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=SAME, atol=SAME))


def row(answer: Any) -> Numbers:
    """An answer's numbers in a row, double precision."""
    tensor = answer if isinstance(answer, Tensor) else torch.from_numpy(np.asarray(answer))
    return np.asarray(tensor.detach().resolve_conj().to(torch.complex128).numpy()).ravel()
