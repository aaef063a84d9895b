"""Textbook formulas of the number of sources, the norm of gradients and the mean of an epoch."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.verification.textbook._matrix_forms import Form


def _smallest_mdl(eigenvalues: Tensor, samples: int) -> Tensor:
    m = eigenvalues.shape[-1]
    criteria = []
    for k in range(m):
        tail = eigenvalues[..., k:]
        ratio = tail.log().mean(-1) - tail.mean(-1).log()
        likelihood = -samples * (m - k) * ratio
        criteria.append(likelihood + 0.5 * k * (2 * m - k) * math.log(samples))
    return torch.stack(criteria, -1).argmin(-1)


def _mdl_by_sums(eigenvalues: Tensor, samples: int) -> Tensor:
    m = eigenvalues.shape[-1]
    k = torch.arange(m)
    sums = eigenvalues.flip(-1).cumsum(-1).flip(-1)
    logarithms = eigenvalues.log().flip(-1).cumsum(-1).flip(-1)
    likelihood = samples * ((m - k) * (sums / (m - k)).log() - logarithms)
    return (likelihood + k * (2 * m - k) * math.log(samples) / 2).argmin(-1)


def _smallest_aic(eigenvalues: Tensor, samples: int) -> Tensor:
    m = eigenvalues.shape[-1]
    criteria = []
    for k in range(m):
        tail = eigenvalues[..., k:]
        ratio = tail.log().mean(-1) - tail.mean(-1).log()
        likelihood = -samples * (m - k) * ratio
        criteria.append(2 * likelihood + 2 * k * (2 * m - k))
    return torch.stack(criteria, -1).argmin(-1)


def _aic_by_sums(eigenvalues: Tensor, samples: int) -> Tensor:
    m = eigenvalues.shape[-1]
    k = torch.arange(m)
    sums = eigenvalues.flip(-1).cumsum(-1).flip(-1)
    logarithms = eigenvalues.log().flip(-1).cumsum(-1).flip(-1)
    likelihood = samples * ((m - k) * (sums / (m - k)).log() - logarithms)
    return (likelihood + k * (2 * m - k)).argmin(-1)


def _norm_of_all(gradients: Sequence[Tensor]) -> Tensor:
    kept = [one.flatten() for one in gradients if one.isfinite().all()]
    return torch.linalg.vector_norm(torch.cat((torch.zeros(0), *kept)))


def _root_of_squares(gradients: Sequence[Tensor]) -> Any:
    total: Any = 0.0
    for one in gradients:
        if one.isfinite().all():
            total = total + (one.abs() ** 2).sum()
    return total**0.5


def _norm_of_norms(gradients: Sequence[Tensor]) -> Any:
    norms = [(one.abs() ** 2).sum() ** 0.5 for one in gradients if one.isfinite().all()]
    return sum(norm**2 for norm in norms) ** 0.5


def _running(losses: Sequence[float], accumulation: int) -> float:
    total, count = 0.0, 0
    for loss in losses:
        total = total + loss
        count = count + 1
    return total / count


def _by_steps(losses: Sequence[float], accumulation: int) -> float:
    total, count, group, size = 0.0, 0, 0.0, 0
    for i, loss in enumerate(losses):
        group = group + loss
        size = size + 1
        if (i + 1) % accumulation == 0 or i + 1 == len(losses):
            total = total + group
            count = count + size
            group, size = 0.0, 0
    return total / count


def _by_slices(losses: Sequence[float], accumulation: int) -> float:
    groups = [losses[i : i + accumulation] for i in range(0, len(losses), accumulation)]
    return sum(sum(group) for group in groups) / sum(len(group) for group in groups)


COUNTING_FORMS: dict[str, tuple[Form, ...]] = {
    "mdl": (_smallest_mdl, _mdl_by_sums),
    "aic": (_smallest_aic, _aic_by_sums),
    "gradient_norm": (_norm_of_all, _root_of_squares, _norm_of_norms),
    "run_epoch": (_running, _by_steps, _by_slices),
}
"""By the names of `target.places()`."""
