"""Normalisation, loading, shrinkage, blends, subspaces, spectra: dense and factored."""

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
from ris_pipeline.spectral.eigengap import signal_power_hinge
from ris_pipeline.spectral.hermitian import eigh
from ris_pipeline.spectral.spectra import bartlett_spectrum, mvdr_spectrum
from ris_pipeline.spectral.subspaces import signal_subspace, soft_alignment
from ris_pipeline.verification.known_bugs._entry import KnownBug, known_bug


def _dense(matrix: Any) -> Tensor:
    return matrix.dense() if isinstance(matrix, LowRankCovariance) else matrix


def normalized_to_one(matrix: Any) -> Any:
    """`R / tr R`: the n forgotten."""
    normal = normalize_trace(matrix)
    n = order_of(matrix)
    if isinstance(normal, LowRankCovariance):
        return normal.scaled(torch.full_like(normal.trace(), 1 / n))
    return normal / n


def normalized_without_floor(matrix: Any) -> Any:
    """Division by a trace that may be zero."""
    if isinstance(matrix, LowRankCovariance):
        return normalize_trace(matrix)
    return matrix * (matrix.shape[-1] / trace(matrix))[..., None, None]


def loading_on_every_entry(matrix: Any, loading: Any) -> Any:
    """`R + delta`: broadcasting in place of an identity."""
    if isinstance(matrix, LowRankCovariance):
        return LowRankCovariance(matrix.factor + loading, matrix.loading)
    return matrix + loading


def shrunk_to_the_trace(matrix: Any, weight: Any) -> Any:
    """`a tr R I` in place of `a (tr R / n) I`."""
    total = trace(matrix)
    return add_loading(shrink(matrix, weight), weight * total)


def shrunk_without_loading(matrix: Any, weight: Any) -> Any:
    """`(1 - a) R` only."""
    total = trace(matrix)
    scale = (1 - torch.as_tensor(weight)).to(total).expand_as(total)
    if isinstance(matrix, LowRankCovariance):
        return matrix.scaled(scale)
    return matrix * scale[..., None, None]


def weight_rising_with_snr(snr_db: Tensor, base: float = 1e-2) -> Tensor:
    """`10^(+snr / 20)`: the sign of the exponent."""
    return shrinkage_weight(-snr_db, base)


def blended_without_normalisation(first: Any, second: Any, beta: float) -> Any:
    """Two scales blended: the louder one wins."""
    if isinstance(first, LowRankCovariance):
        return blend(second, first, beta)
    return (1 - beta) * first + beta * second


def prepared_before_shrinkage(first: Any, second: Any, beta: float, snr_db: Tensor) -> Any:
    """Training saw the shrunk covariance, inference the blended one."""
    return blend(first, second, beta)


def nmse_of_the_root(first: Any, second: Any, *weights: Any) -> Tensor:
    """`|R - T| / |T|`: the square forgotten in one of the two forms."""
    value = nmse(first, second, *weights)
    return value.sqrt() if isinstance(first, LowRankCovariance) else value


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
    """The Gram matrix of a detached copy: half of the gradient."""

    def gram(self) -> Tensor:
        """One of two factors detached."""
        return self.factor.detach().mH @ self.factor

    def _without_loading(self, places: Tensor) -> Tensor:
        """By roots of the Gram eigenvalues, whose slope is infinite at zero."""
        return super()._without_loading(places).sqrt().square()


def signal_of_the_smallest(matrix: Any, k: int) -> Tensor:
    """`eigh` ascends, and the first k columns are the smallest."""
    return eigh(_dense(matrix))[1].flip(-1)[..., :k]


def signal_of_one_more(matrix: Any, k: int) -> Tensor:
    """k counted from zero: k + 1 columns."""
    return eigh(_dense(matrix))[1][..., : k + 1]


def signal_not_normalised(matrix: Any, k: int) -> Tensor:
    """Columns scaled by their eigenvalues, `U sqrt(L)`."""
    values, vectors = eigh(_dense(matrix))
    return vectors[..., :k] * values[..., None, :k].abs().sqrt().to(vectors.dtype)


def noise_of_the_largest(matrix: Tensor, k: int) -> Tensor:
    """The n - k largest in place of the smallest."""
    return eigh(matrix)[1][..., : matrix.shape[-1] - k]


def projector_by_transpose(basis: Tensor) -> Tensor:
    """`U U^T`: the conjugate forgotten."""
    return basis @ basis.mT


def projector_on_noise(basis: Tensor) -> Tensor:
    """`I - U U^H` in place of `U U^H`."""
    eye = torch.eye(basis.shape[-2], dtype=basis.dtype)
    return eye - basis @ basis.mH


def projection_on_signal(basis: Tensor, x: Tensor) -> Tensor:
    """`|U^H x|^2`: the part that lies in the subspace."""
    return (basis.mH @ x).abs().square().sum(-2)


def alignment_without_ridge(matrix: Any, steering: Tensor, ridge: float = 1e-3) -> Tensor:
    """A ridge that is not relative to the power."""
    return soft_alignment(matrix, steering, ridge * 100)


def bartlett_by_transpose(matrix: Any, steering: Tensor) -> Tensor:
    """`a^T R a^*`: the conjugate on the wrong side."""
    return bartlett_spectrum(_dense(matrix), steering.conj().resolve_conj())


def bartlett_of_the_factor(matrix: Any, steering: Tensor) -> Tensor:
    """The loading left out of the factored form."""
    if isinstance(matrix, LowRankCovariance):
        return bartlett_spectrum(LowRankCovariance(matrix.factor), steering)
    return bartlett_spectrum(matrix, steering)


def mvdr_upside_down(matrix: Any, steering: Tensor) -> Tensor:
    """`a^H R^-1 a`: the reciprocal forgotten."""
    return mvdr_spectrum(matrix, steering).reciprocal()


def mvdr_without_inverse(matrix: Any, steering: Tensor) -> Tensor:
    """`1 / (a^H R a)`."""
    return bartlett_spectrum(matrix, steering).reciprocal()


def music_on_signal(matrix: Any, steering: Tensor, k: int) -> Tensor:
    """`1 / |U_s^H a|^2`: the other subspace, valleys for peaks."""
    inside = (signal_subspace(matrix, k).mH @ steering).abs().square().sum(-2)
    return inside.clamp_min(torch.finfo(inside.dtype).tiny).reciprocal()


def power_of_one_fewer(matrix: Any, k: Any, margin: float) -> Tensor:
    """k read from zero: the share of other eigenvalues."""
    return signal_power_hinge(matrix, order_of(matrix) - k, margin)


_NORMAL = "A factor lost between two pieces of code, and hidden by the next normalisation."
_ORDER = "Eigenvectors read in the order of the other library."
_FORM = "Two forms of one formula, of which only one was changed."

COVARIANCE_BUGS: tuple[KnownBug, ...] = (
    known_bug(0, "normalize_trace", normalized_to_one, _NORMAL),
    known_bug(0, "normalize_trace", normalized_without_floor, "NaN at a scene without signal."),
    known_bug(0, "add_loading", loading_on_every_entry, "Broadcasting needs no identity."),
    known_bug(0, "shrink", shrunk_to_the_trace, "Trace in place of mean."),
    known_bug(0, "shrink", shrunk_without_loading, "Half of a convex combination."),
    known_bug(0, "shrinkage_weight", weight_rising_with_snr, "dB of noise or of signal."),
    known_bug(0, "blend", blended_without_normalisation, _NORMAL),
    known_bug(0, "prepare_covariance", prepared_before_shrinkage, "Two call sites, two recipes."),
    known_bug(0, "nmse", nmse_of_the_root, _FORM),
    known_bug(0, "trace", trace_of_the_factor, _FORM),
    known_bug(0, "LowRankCovariance", FactoredWithoutLoading, _FORM),
    known_bug(0, "LowRankCovariance", FactoredDetached, "A detach for speed; roots at zero."),
    known_bug(0, "signal_subspace", signal_of_the_smallest, _ORDER),
    known_bug(0, "signal_subspace", signal_of_one_more, "k counted from 0 and from 1."),
    known_bug(0, "signal_subspace", signal_not_normalised, "Principal components, not a basis."),
    known_bug(0, "noise_subspace", noise_of_the_largest, _ORDER),
    known_bug(0, "projector", projector_by_transpose, "Real test matrices do not show it."),
    known_bug(0, "projector", projector_on_noise, "Which of the two projectors is meant."),
    known_bug(0, "noise_projection", projection_on_signal, "Which of the two is meant."),
    known_bug(0, "soft_alignment", alignment_without_ridge, "A constant tuned at another scale."),
    known_bug(0, "bartlett_spectrum", bartlett_by_transpose, "einsum without a conjugate."),
    known_bug(0, "bartlett_spectrum", bartlett_of_the_factor, _FORM),
    known_bug(0, "mvdr_spectrum", mvdr_upside_down, "The reciprocal left to the plot."),
    known_bug(0, "mvdr_spectrum", mvdr_without_inverse, "A solve dropped as too slow."),
    known_bug(0, "music_spectrum", music_on_signal, "Projector on noise or on signal."),
    known_bug(0, "signal_power_hinge", power_of_one_fewer, "Order from the wrong end."),
)
