"""Mistakes made with snapshots: sample covariances and their shrinkage."""

from collections.abc import Callable

import torch
from torch import Tensor

from ris_pipeline.spectral import ledoit_wolf, sample_covariance
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.named_mistakes import Named, cut_anew


def mean_power(matrix: Tensor) -> Tensor:
    """`tr R / N`, with two axes of one."""
    return matrix.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]


def identity(matrix: Tensor) -> Tensor:
    """As large as the matrix."""
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype)


def _centred(snapshots: Tensor) -> Tensor:
    return snapshots - snapshots.mean(-1, keepdim=True)


def _products(snapshots: Tensor) -> Tensor:
    return snapshots @ snapshots.mH


def _whole_blocks(snapshots: Tensor, size: int) -> Tensor:
    count = snapshots.shape[-1]
    return snapshots[..., : count - count % size] if count > size else snapshots


_BLOCKS = (5, 7, 8, 10, 12, 16, 20, 25, 30, 32, 50, 64, 100, 128)


SAMPLE_COVARIANCES: Named = (
    *(
        (
            Cause.CHUNK,
            f"It leaves out what does not fill {size} snapshots.",
            lambda x, size=size: sample_covariance(_whole_blocks(x, size)),
        )
        for size in _BLOCKS
    ),
    *(
        (
            Cause.LAST_GROUP,
            f"Blocks of {size} count alike, the last and shorter one too.",
            lambda x, size=size: _mean_of_blocks(x, size),
        )
        for size in _BLOCKS
    ),
    (
        Cause.AXES,
        "It reshapes X for X^T: other snapshots.",
        lambda x: sample_covariance(cut_anew(x).mT),
    ),
    (Cause.CONJUGATED, "It answers X X^T / T.", lambda x: x @ x.mT / x.shape[-1]),
    (Cause.SUM_FOR_MEAN, "It answers X X^H.", _products),
    (Cause.SCALE, "It divides by T - 1.", lambda x: _products(x) / (x.shape[-1] - 1)),
    (Cause.SCALE, "It divides by the number of rows.", lambda x: _products(x) / x.shape[-2]),
    (Cause.STATISTIC, "It subtracts the mean.", lambda x: _products(_centred(x)) / x.shape[-1]),
    (
        Cause.STATISTIC,
        "It subtracts the mean and divides by T - 1, as numpy.cov.",
        lambda x: _products(_centred(x)) / (x.shape[-1] - 1),
    ),
    (Cause.ROWS, "It answers X^H X / N.", lambda x: x.mH @ x / x.shape[-2]),
    *(
        (
            Cause.CHUNK,
            f"What does not fill {size} snapshots is in the divisor alone.",
            lambda x, size=size: _products(_whole_blocks(x, size)) / x.shape[-1],
        )
        for size in _BLOCKS
    ),
    (Cause.ROWS, "It answers X^H X / T.", lambda x: x.mH @ x / x.shape[-1]),
    (
        Cause.ROOT,
        "It answers a correlation, of unit diagonal.",
        lambda x: _products(x) / (x.norm(dim=-1)[..., None] * x.norm(dim=-1)[..., None, :]),
    ),
)


def _mean_of_blocks(snapshots: Tensor, size: int) -> Tensor:
    return torch.stack([sample_covariance(x) for x in snapshots.split(size, -1)]).mean(0)


def _shrunk(
    weight: Callable[[Tensor, Tensor, int], Tensor],
    level: Callable[[Tensor], Tensor] = mean_power,
    swapped: bool = False,
) -> Callable[[Tensor], Tensor]:
    """Ledoit and Wolf's estimate by another weight of error and distance, to another level."""

    def made(snapshots: Tensor) -> Tensor:
        sample, count = sample_covariance(snapshots), snapshots.shape[-1]
        target = level(sample) * identity(sample)
        distance = (sample - target).abs().square().sum((-2, -1))
        fourth = snapshots.abs().square().sum(-2).square().mean(-1)
        share = weight(fourth - sample.abs().square().sum((-2, -1)), distance, count)
        part = share[..., None, None]
        return (
            part * sample + (1 - part) * target if swapped else part * target + (1 - part) * sample
        )

    return made


def _usual(error: Tensor, distance: Tensor, count: int) -> Tensor:
    return (error / count / distance).clamp(0, 1)


def _of_the_batch(error: Tensor, distance: Tensor, count: int) -> Tensor:
    return (error.mean() / count / distance.mean()).clamp(0, 1).expand_as(error)


def _to_identity(snapshots: Tensor) -> Tensor:
    sample = sample_covariance(snapshots)
    level, eye = mean_power(sample), identity(sample)
    part = (ledoit_wolf(snapshots) - sample)[..., :1, 1:2] / -sample[..., :1, 1:2]
    return ledoit_wolf(snapshots) + part * (1 - level) * eye


SHRINKAGES: Named = (
    (
        Cause.STATISTIC,
        "It subtracts the mean.",
        lambda x: ledoit_wolf(x - x.mean(-1, keepdim=True)),
    ),
    (
        Cause.SCALE,
        "Its error is that of one snapshot.",
        _shrunk(lambda e, d, t: (e / d).clamp(0, 1)),
    ),
    (
        Cause.SCALE,
        "It divides the error by T^2.",
        _shrunk(lambda e, d, t: (e / t**2 / d).clamp(0, 1)),
    ),
    (Cause.RANGE, "Its weight may be more than one.", _shrunk(lambda e, d, t: e / t / d)),
    (Cause.SIGN, "It exchanges the weights.", _shrunk(_usual, swapped=True)),
    (Cause.SCALE, "It shrinks to the identity.", _shrunk(_usual, torch.ones_like)),
    (Cause.SCALE, "It shrinks to the identity, by our weight.", _to_identity),
    (
        Cause.SCALE,
        "It shrinks to tr R I.",
        _shrunk(_usual, lambda s: s.shape[-1] * mean_power(s)),
    ),
    (Cause.BATCH, "It takes one weight for the batch.", _shrunk(_of_the_batch)),
    (Cause.ZERO_TERM, "It does not shrink.", sample_covariance),
    (Cause.ROOT, "Its weight is a root.", _shrunk(lambda e, d, t: _usual(e, d, t).sqrt())),
)


SNAPSHOTS: dict[str, Named] = {
    "sample_covariance": SAMPLE_COVARIANCES,
    "ledoit_wolf": SHRINKAGES,
}
"""By the names of `target.places()`."""
