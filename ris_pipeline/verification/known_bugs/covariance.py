"""Trace, normalisation, loading, shrinkage, blends: dense and factored."""

from typing import Any

import torch
from torch import Tensor

from ris_pipeline.spectral import LowRankCovariance
from ris_pipeline.spectral.covariance import (
    add_loading,
    blend,
    nmse,
    normalize_trace,
    order_of,
    shrink,
    shrinkage_weight,
    trace,
)
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug, entry
from ris_pipeline.verification.known_bugs.decompositions import ascending, correct, dense

known_bug = Catalogue()

_NORMAL = "A factor lost between two pieces of code, and hidden by the next normalisation."
_FORM = "Two forms of one formula, of which only one was changed."


@known_bug("normalize_trace", Cause.SCALE, _NORMAL)
def normalized_to_one(matrix: Any) -> Any:
    """`R / tr R`: the n forgotten."""
    normal = normalize_trace(matrix)
    n = order_of(matrix)
    if isinstance(normal, LowRankCovariance):
        return normal.scaled(torch.full_like(normal.trace(), 1 / n))
    return normal / n


@known_bug("normalize_trace", Cause.NAN, "NaN at a scene without signal.")
def normalized_without_floor(matrix: Any) -> Any:
    """Division by a trace that may be zero."""
    if isinstance(matrix, LowRankCovariance):
        return normalize_trace(matrix)
    return matrix * (matrix.shape[-1] / trace(matrix))[..., None, None]


@known_bug("add_loading", Cause.BROADCAST, "`R + 1e-6` runs, and needs no identity.")
def loading_on_every_entry(matrix: Any, loading: Any) -> Any:
    """`R + delta`: broadcasting in place of an identity."""
    if isinstance(matrix, LowRankCovariance):
        return LowRankCovariance(matrix.factor + loading, matrix.loading)
    return matrix + loading


@known_bug("shrink", Cause.SCALE, "Trace in place of its mean.")
def shrunk_to_the_trace(matrix: Any, weight: Any) -> Any:
    """`a tr R I` in place of `a (tr R / n) I`."""
    total = trace(matrix)
    return add_loading(shrink(matrix, weight), weight * total)


@known_bug("shrink", Cause.LOADING_LOST, "Half of a convex combination.")
def shrunk_without_loading(matrix: Any, weight: Any) -> Any:
    """`(1 - a) R` only."""
    total = trace(matrix)
    scale = (1 - torch.as_tensor(weight)).to(total).expand_as(total)
    if isinstance(matrix, LowRankCovariance):
        return matrix.scaled(scale)
    return matrix * scale[..., None, None]


@known_bug(
    "shrinkage_weight", Cause.SIGN, "10^(snr / 20), copied from the line that scales the signal."
)
def weight_rising_with_snr(snr_db: Tensor, base: float = 1e-2) -> Tensor:
    """`10^(+snr / 20)`: the sign of the exponent."""
    return shrinkage_weight(-snr_db, base)


@known_bug("blend", Cause.SCALE, _NORMAL)
def blended_without_normalization(first: Any, second: Any, beta: float) -> Any:
    """Two scales blended: the louder one wins."""
    if isinstance(first, LowRankCovariance):
        columns = (1 - beta) ** 0.5 * first.factor, beta**0.5 * second.factor
        loading = (1 - beta) * first.loading_column() + beta * second.loading_column()
        return LowRankCovariance(torch.cat(columns, dim=-1), loading[..., 0])
    return (1 - beta) * first + beta * second


@known_bug("blend", Cause.ROOT, "A weight of F F^H is a root on F.")
def blended_factors_by_weight(first: Any, second: Any, beta: float) -> Any:
    """`[(1 - beta) F_1, beta F_2]`: the roots forgotten, in the factored form."""
    blended = blend(first, second, beta)
    if not isinstance(blended, LowRankCovariance):
        return blended
    factors: list[Any] = [normalize_trace(first), normalize_trace(second)]
    columns = torch.cat(((1 - beta) * factors[0].factor, beta * factors[1].factor), dim=-1)
    return LowRankCovariance(columns, blended.loading)


@known_bug("prepare_covariance", Cause.LOADING_LOST, "Training and inference had a recipe each.")
def prepared_before_shrinkage(first: Any, second: Any, beta: float, snr_db: Tensor) -> Any:
    """Training saw the shrunk covariance, inference the blended one."""
    return blend(first, second, beta)


@known_bug("nmse", Cause.ROOT, _FORM)
def nmse_of_the_root(first: Any, second: Any, *weights: Any) -> Tensor:
    """`|R - T| / |T|`: the square forgotten in one of the two forms."""
    value = nmse(first, second, *weights)
    return value.sqrt() if isinstance(first, LowRankCovariance) else value


@known_bug("trace", Cause.LOADING_LOST, _FORM)
def trace_of_the_factor(matrix: Any) -> Tensor:
    """The loading left out of the trace."""
    if isinstance(matrix, LowRankCovariance):
        return matrix.factor.abs().square().sum((-2, -1))
    return trace(matrix)


class FactoredWithoutLoading(LowRankCovariance):
    """Eigenvalues, products and the dense form of `F F^H` alone."""

    def eigenvalues(self) -> Tensor:
        """The loading left out."""
        return LowRankCovariance(self.factor).eigenvalues()

    def apply(self, x: Tensor) -> Tensor:
        """The loading left out."""
        return self.factor @ (self.factor.mH @ x)

    def dense(self) -> Tensor:
        """The loading left out."""
        return self.factor @ self.factor.mH


class FactoredDetached(LowRankCovariance):
    """Eigenvalues of a detached copy."""

    def _without_loading(self, places: Tensor) -> Tensor:
        """The value is right, the gradient is zero."""
        detached = LowRankCovariance(self.factor.detach())
        return detached._without_loading(places) + 0 * self.factor.real.sum()


class FactoredAscending(LowRankCovariance):
    """Eigenvalues of the Gram matrix as `eigh` gives them."""

    def eigenvalues(self) -> Tensor:
        """Ascending, the loading's own behind them."""
        return torch.cat(
            (
                super().eigenvalues()[..., : self.rank].flip(-1),
                super().eigenvalues()[..., self.rank :],
            ),
            dim=-1,
        )


class FactoredByRoots(LowRankCovariance):
    """Eigenvalues as squares of `sqrt(eig(F^H F))`."""

    def _without_loading(self, places: Tensor) -> Tensor:
        """The slope of the root is infinite at zero: infinity times zero is NaN."""
        return super()._without_loading(places).clamp_min(0).sqrt().square()


def _power_hinge(values: Tensor, count: Any, margin: float) -> Tensor:
    places = torch.arange(values.shape[-1])
    leading = (values * (places < torch.as_tensor(count)[..., None])).sum(-1)
    return torch.relu(margin - leading / values.sum(-1)).mean()


@known_bug("signal_power_hinge", Cause.ASCENDING, "Sums of the first k of an ascending spectrum.")
def power_of_the_weakest(matrix: Any, k: Any, margin: float) -> Tensor:
    """The first k of an ascending spectrum: the noise's share."""
    return _power_hinge(ascending(dense(matrix))[0], k, margin)


@known_bug(
    "signal_power_hinge", Cause.OFF_BY_ONE, "k counted from 0 in one place and from 1 in the other."
)
def power_of_one_fewer(matrix: Any, k: Any, margin: float) -> Tensor:
    """`values[:k - 1]`: the weakest source's power counts as noise."""
    return _power_hinge(correct(dense(matrix))[0], torch.as_tensor(k) - 1, margin)


COVARIANCE_BUGS: tuple[KnownBug, ...] = (
    *known_bug,
    entry("LowRankCovariance", Cause.LOADING_LOST, FactoredWithoutLoading, _FORM),
    entry(
        "LowRankCovariance",
        Cause.ASCENDING,
        FactoredAscending,
        "The factored form came later, and decomposed a smaller matrix.",
        number=1,
    ),
    entry(
        "LowRankCovariance",
        Cause.DETACHED,
        FactoredDetached,
        "A detach against NaN gradients, and a silent constant.",
    ),
    entry(
        "LowRankCovariance",
        Cause.DIVIDES_BY_GAPS,
        FactoredByRoots,
        "Singular values are at hand, eigenvalues are their squares.",
    ),
)
