"""Damped steps."""

import torch
from torch import Tensor

from ris_pipeline.localization.cholesky import regular_cholesky


def solve_damped(unit: Tensor, score: Tensor, damping: Tensor) -> Tensor:
    """Solve `(unit + damping I) step = score`; zero where that matrix is not positive definite."""
    eye = torch.eye(unit.shape[-1], dtype=unit.dtype, device=unit.device)
    factor, regular = regular_cholesky(unit + damping[:, None, None] * eye)
    step = torch.cholesky_solve(score[..., None], factor)[..., 0]
    return torch.where(regular[:, None], step, torch.zeros_like(step))
