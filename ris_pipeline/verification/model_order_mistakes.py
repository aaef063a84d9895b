"""Mistakes that are made with MDL and AIC."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ris_pipeline.spectral import eigenvalue_aic
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.named_mistakes import Named


def _criterion(
    combine: Callable[[Tensor, Tensor, int], Tensor],
) -> Callable[[Tensor, int], Tensor]:
    """The k of the smallest of another sum of the likelihood and k."""

    def made(values: Tensor, samples: int) -> Tensor:
        m = values.shape[-1]
        k = torch.arange(m, dtype=values.dtype)
        likelihood = eigenvalue_aic(values, samples) / 2 - k * (2 * m - k)
        return combine(likelihood, k, m).argmin(-1)

    return made


def _weighted(weight: Callable[[int], float]) -> Callable[[Tensor, int], Tensor]:
    """Another price of a parameter, by the number of samples."""
    return lambda values, samples: _criterion(
        lambda likelihood, k, m: likelihood + weight(samples) * k * (2 * m - k)
    )(values, samples)


def _weighted_from_one(price: Callable[[int], float]) -> Callable[[Tensor, int], Tensor]:
    return lambda values, samples: (
        1
        + _criterion(
            lambda likelihood, k, m: (likelihood + price(samples) * k * (2 * m - k))[..., 1:]
        )(values, samples)
    )


def _first_rise(price: Callable[[int], float]) -> Callable[[Tensor, int], Tensor]:
    def first(likelihood: Tensor, k: Tensor, m: int, samples: int) -> Tensor:
        rises = (likelihood + price(samples) * k * (2 * m - k)).diff(dim=-1) > 0
        end = torch.ones_like(rises[..., :1])
        # The criterion is then lowest at the place itself.
        place = torch.cat((rises, end), -1).int().argmax(-1, keepdim=True)
        return (k - place).abs()

    return lambda values, samples: _criterion(lambda x, k, m: first(x, k, m, samples))(
        values, samples
    )


def _numbers(price: Callable[[int], float]) -> Named:
    """Of a criterion with that price of a parameter."""
    right = _weighted(price)

    def less(values: Tensor, samples: int) -> Tensor:
        return _criterion(
            lambda likelihood, k, m: (likelihood + price(samples) * k * (2 * m - k))[
                ..., : max(1, m - 1)
            ]
        )(values, samples)

    def real(values: Tensor, samples: int) -> Tensor:
        return _criterion(
            lambda likelihood, k, m: likelihood + price(samples) * k * (2 * m - k + 1) / 2
        )(values, samples)

    def largest(values: Tensor, samples: int) -> Tensor:
        return _criterion(
            lambda likelihood, k, m: -(likelihood + price(samples) * k * (2 * m - k))
        )(values, samples)

    def later(values: Tensor, samples: int) -> Tensor:
        return _criterion(
            lambda likelihood, k, m: (
                torch.cat((likelihood[..., 1:], torch.zeros_like(likelihood[..., :1])), -1)
                + price(samples) * k * (2 * m - k)
            )
        )(values, samples)

    def priced_by(count: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
        return lambda values, samples: _criterion(
            lambda likelihood, k, m: likelihood + price(samples) * count(k, m)
        )(values, samples)

    return (
        (Cause.ZERO_TERM, "It has no penalty.", _weighted(lambda n: 0.0)),
        (Cause.HALF, "Its penalty is half of ours.", _weighted(lambda n: price(n) / 2)),
        (Cause.HALF, "Its penalty is twice ours.", _weighted(lambda n: 2 * price(n))),
        (Cause.LOGARITHM, "Its logarithm is decimal.", _weighted(lambda n: math.log10(n) / 2)),
        (Cause.LOGARITHM, "Its logarithm is binary.", _weighted(lambda n: math.log2(n) / 2)),
        (Cause.SCALE, "It answers AIC.", _weighted(lambda n: 1.0)),
        (Cause.SCALE, "It answers MDL.", _weighted(lambda n: math.log(n) / 2)),
        (Cause.REAL_PART, "It counts the parameters of real data.", real),
        (Cause.SIGN, "It takes the largest.", largest),
        (Cause.OFF_BY_ONE, "It answers k + 1.", lambda v, n: right(v, n) + 1),
        (Cause.OFF_BY_ONE, "It answers k - 1.", lambda v, n: right(v, n) - 1),
        (Cause.RANGE, "It never answers zero.", _weighted_from_one(price)),
        (Cause.UNCONVERGED, "It stops at the first rise.", _first_rise(price)),
        (Cause.OFF_BY_ONE, "It never asks for m - 1.", less),
        (Cause.OFF_BY_ONE, "Its tail begins one later.", later),
        (
            Cause.OFF_BY_ONE,
            "It counts k (2 m - k + 1).",
            priced_by(lambda k, m: k * (2 * m - k + 1)),
        ),
        (Cause.SCALE, "It counts k.", priced_by(lambda k, m: k)),
        (Cause.SCALE, "It counts 2 k m.", priced_by(lambda k, m: 2 * k * m)),
    )


MODEL_ORDERS: dict[str, Named] = {
    "mdl": _numbers(lambda n: math.log(n) / 2),
    "aic": _numbers(lambda n: 1.0),
}
"""By the names of `target.places()`."""
