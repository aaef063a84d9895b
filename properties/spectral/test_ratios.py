"""Law: a ratio of powers is the same at any power, from 1e-30 to 1e30 W in single precision.

    f(2^e R) = f(R)    and    2^e grad f (2^e R) = grad f (R)

A two-hop link leaves 1e-22 W: squares of that are zero in single precision, guards of 1e-12 are all
there is, and a quotient whose slope is taken by hand overflows. Powers of two round nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ris_pipeline.spectral import LowRankCovariance
from ris_pipeline.verification.bounds import condition_number, product_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.problems import Size, problem
from ris_pipeline.verification.target import TARGET, under_test

EXPONENTS = (-100, -74, -40, 40, 74, 100)
"""2^100 is 1.3e30, and 2^-74 W is 5e-23 W."""


@dataclass(frozen=True)
class Pair:
    """Two covariances of a leaf (2, 2, n, q), their factors, in one of two forms."""

    factored: bool

    def of(self, leaf: Tensor) -> tuple[Any, Any]:
        """The two."""
        return self._form(leaf[0]), self._form(leaf[1])

    def _form(self, x: Tensor) -> Any:
        return LowRankCovariance(x) if self.factored else x

    def leaf(self) -> Tensor:
        """Matrices of two kinds, or their factors, in single precision."""
        drawn = problem(Size(4, (2, 2), k=2)).drawn.matrix
        return (torch.linalg.cholesky(drawn) if self.factored else drawn).to(torch.complex64)


def _dense(covariance: Any) -> Tensor:
    return covariance if isinstance(covariance, Tensor) else covariance.dense()


Ratio = Callable[[Any, Any], Tensor]
RATIOS: dict[str, Ratio] = {
    "nmse": lambda r, t: TARGET.nmse(r, t),
    "normalize_trace": lambda r, t: _dense(TARGET.normalize_trace(r)),
    "blend": lambda r, t: _dense(TARGET.blend(r, t, 0.25)),
    "signal_power_hinge": lambda r, t: TARGET.signal_power_hinge(r, 2, 0.99),
}
FACTORED: dict[str, Ratio] = {
    "soft_alignment": lambda r, t: TARGET.soft_alignment(r, torch.eye(4, dtype=r.factor.dtype)),
    "prepare_covariance": lambda r, t: TARGET.prepare_covariance(
        r, t, 0.25, torch.tensor(10.0)
    ).dense(),
}


def _slope(ratio: Ratio, pair: Pair, leaf: Tensor) -> tuple[Tensor, Tensor]:
    """The answer, and the gradient of its weighted sum."""
    live = leaf.clone().requires_grad_()
    answer = ratio(*pair.of(live))
    parts = torch.view_as_real(answer.resolve_conj()) if answer.is_complex() else answer
    # Unequal weights: a plain sum may be constant, as a trace is.
    weights = torch.linspace(0.5, 1.5, parts.numel()).reshape(parts.shape)
    (gradient,) = torch.autograd.grad((parts * weights).sum(), live)
    return answer.detach(), gradient


def _invariant(name: str, ratio: Ratio, pair: Pair, exponent: int) -> None:
    leaf = pair.leaf()
    root = 2.0 ** (exponent // 2 if pair.factored else exponent)
    values = problem(Size(4, (2, 2), k=2)).drawn.values
    expected, slope = _slope(ratio, pair, leaf)
    got, scaled = _slope(ratio, pair, root * leaf)
    # A ratio is as well determined as the matrix under it is conditioned, its slope by one more.
    bound = product_bound(1.0, 8, torch.complex64) * condition_number(values) ** 2
    size = float(expected.abs().max().clamp_min(1.0))
    assert_within(f"{name} at 2^e", got.numpy(), expected.numpy(), bound * size, recorded=False)
    size = float(slope.abs().max())
    close = f"slope of {name} at 2^e"
    assert_within(close, (root * scaled).numpy(), slope.numpy(), bound * size, recorded=False)


@given(st.sampled_from(EXPONENTS), st.booleans())
def test_a_ratio_does_not_depend_on_the_power(exponent: int, factored: bool) -> None:
    for name in under_test(tuple(RATIOS)):
        _invariant(name, RATIOS[name], Pair(factored), exponent)


@given(st.sampled_from(EXPONENTS))
def test_a_ratio_of_factors_does_not_depend_on_the_power(exponent: int) -> None:
    for name in under_test(tuple(FACTORED)):
        _invariant(name, FACTORED[name], Pair(True), exponent)
