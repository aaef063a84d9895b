"""Number of signals by MDL and AIC."""

import math

import torch
from torch import Tensor

from ris_pipeline.spectral.model_order import eigenvalue_aic, eigenvalue_mdl, mdl
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug

known_bug = Catalogue()

_CONVENTIONS = "MDL has the half, AIC the two; the two formulas get mixed."


def _parameters(values: Tensor) -> Tensor:
    m = values.shape[-1]
    k = torch.arange(m, dtype=values.dtype)
    return k * (2 * m - k)


def _likelihood(values: Tensor, samples: int) -> Tensor:
    return eigenvalue_aic(values, samples) / 2 - _parameters(values)


@known_bug(
    "eigenvalue_mdl",
    Cause.ASCENDING,
    "The same mistake as the hinge's: the order of a decomposition taken for granted.",
)
def mdl_of_the_largest(eigenvalues: Tensor, samples: int) -> Tensor:
    """`eigvalsh` ascends: the noise is looked for among the signals."""
    tail = [eigenvalues.flip(-1)[..., k:] for k in range(eigenvalues.shape[-1])]
    likelihood = [x.shape[-1] * x.mean(-1).log() - x.log().sum(-1) for x in tail]
    counted = _parameters(eigenvalues) * math.log(samples) / 2
    return samples * torch.stack(likelihood, dim=-1) + counted


@known_bug("eigenvalue_mdl", Cause.HALF, _CONVENTIONS)
def mdl_without_half(eigenvalues: Tensor, samples: int) -> Tensor:
    """Parameters at `ln n` each."""
    return eigenvalue_mdl(eigenvalues, samples) + _parameters(eigenvalues) * math.log(samples) / 2


@known_bug("eigenvalue_mdl", Cause.REAL_PART, "From a textbook on real time series.")
def mdl_of_real_data(eigenvalues: Tensor, samples: int) -> Tensor:
    """The likelihood of real Gaussian data: half of that of complex ones."""
    return eigenvalue_mdl(eigenvalues, samples) - _likelihood(eigenvalues, samples) / 2


@known_bug("eigenvalue_mdl", Cause.OFF_BY_ONE, "There is always a source.")
def mdl_from_one(eigenvalues: Tensor, samples: int) -> Tensor:
    """Loops from k = 1: no signal cannot be said."""
    values = eigenvalue_mdl(eigenvalues, samples).roll(-1, -1)
    values[..., -1] = torch.inf
    return values


@known_bug("eigenvalue_aic", Cause.SCALE, "The exponent (m - k) n of the paper read as m - k.")
def aic_without_samples(eigenvalues: Tensor, samples: int) -> Tensor:
    """The exponent n of the likelihood left out."""
    parameters = 2 * _parameters(eigenvalues)
    return (eigenvalue_aic(eigenvalues, samples) - parameters) / samples + parameters


@known_bug("eigenvalue_aic", Cause.HALF, _CONVENTIONS)
def aic_with_half_the_likelihood(eigenvalues: Tensor, samples: int) -> Tensor:
    """`L + 2 p` in place of `2 L + 2 p`."""
    return eigenvalue_aic(eigenvalues, samples) - _likelihood(eigenvalues, samples)


@known_bug("eigenvalue_aic", Cause.SIGN, "The logarithm of a ratio, and which mean is on top.")
def aic_upside_down(eigenvalues: Tensor, samples: int) -> Tensor:
    """Arithmetic over geometric mean: the sign of the likelihood turned."""
    return eigenvalue_aic(eigenvalues, samples) - 4 * _likelihood(eigenvalues, samples)


@known_bug("eigenvalue_aic", Cause.LOADING_ADDED, "The usual guard of a logarithm.")
def aic_of_loaded_eigenvalues(eigenvalues: Tensor, samples: int) -> Tensor:
    """`log(l + 1e-6)`: with eigenvalues in watts the noise is the loading."""
    return eigenvalue_aic(eigenvalues + 1e-6, samples)


@known_bug("mdl", Cause.OVERWRITTEN, "Sorted in place, smallest first, for the running sums.")
def mdl_that_sorts_in_place(eigenvalues: Tensor, samples: int) -> Tensor:
    """The caller's eigenvalues ascend after the call."""
    answer = mdl(eigenvalues, samples)
    eigenvalues.copy_(eigenvalues.flip(-1))
    return answer


MODEL_ORDER_BUGS: tuple[KnownBug, ...] = (*known_bug,)
