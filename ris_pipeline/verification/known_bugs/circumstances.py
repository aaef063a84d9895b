"""Functions that are right until something is large, small, far, shared, differentiated or odd.

Each is one of ours, but for a circumstance that no toy example meets.
"""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.spectral import (
    add_loading,
    bartlett_spectrum,
    eigengap,
    eigengap_loss,
    eigenvalues,
    forward_backward,
    hermitize,
    ledoit_wolf,
    music_spectrum,
    mvdr_spectrum,
    noise_subspace,
    projector,
    sample_covariance,
    signal_subspace,
    singular_values,
)
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Changes, Function, KnownBug
from ris_pipeline.verification.known_bugs.decompositions import correct, dense, gap_at, hermitian

OURS: dict[str, Function] = {
    "hermitize": hermitize,
    "eigenvalues": eigenvalues,
    "singular_values": singular_values,
    "eigengap": eigengap,
    "eigengap_loss": eigengap_loss,
    "signal_subspace": signal_subspace,
    "noise_subspace": noise_subspace,
    "projector": projector,
    "music_spectrum": music_spectrum,
    "mvdr_spectrum": mvdr_spectrum,
    "bartlett_spectrum": bartlett_spectrum,
    "sample_covariance": sample_covariance,
    "ledoit_wolf": ledoit_wolf,
    "add_loading": add_loading,
    "forward_backward": forward_backward,
}
VALUES = ("eigenvalues", "singular_values", "eigengap", "eigengap_loss")
BASES = ("signal_subspace", "noise_subspace")
SPECTRA = ("music_spectrum", "mvdr_spectrum")

_of = Changes(OURS)


def _tensor(argument: Any) -> bool:
    return isinstance(argument, Tensor)


@_of(Cause.SIZE, "A workspace of fixed size, long enough for every example.", *VALUES, *BASES)
def beyond_sixteen(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """What stands outside the leading 16 x 16 block is not looked at."""
    if _tensor(matrix) and matrix.shape[-1] > 16:
        matrix = matrix.clone()
        matrix[..., 16:, :16] = 0
        matrix[..., :16, 16:] = 0
    return ours(matrix, *rest)


@_of(Cause.SIZE, "The order as an 8-bit integer, to save memory in a table of scenes.", *BASES)
def with_a_narrow_order(ours: Function, matrix: Any, k: Any, *rest: Any) -> Tensor:
    """Orders of 128 and more come out otherwise."""
    return ours(matrix, k - 127 if not _tensor(k) and k > 127 else k, *rest)


@_of(Cause.CHUNK, "`range(0, n - n % 8, 8)`.", "eigenvalues", "hermitize", *SPECTRA)
def in_whole_chunks(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """A batch in chunks of eight; what is left over stays zero."""
    answer = ours(matrix, *rest)
    if _tensor(matrix) and matrix.ndim > 2 and matrix.shape[0] > 8:
        keep = matrix.shape[0] - matrix.shape[0] % 8
        mask = torch.arange(matrix.shape[0]) < keep
        answer = answer * mask.reshape(-1, *(1,) * (answer.ndim - 1))
    return answer


@_of(Cause.CHUNK, "The grid in chunks of 1,000, the last of them forgotten.", *SPECTRA)
def on_whole_chunks(ours: Function, matrix: Any, steering: Tensor, *rest: Any) -> Tensor:
    """A grid beyond 1,000 points; what is left over is one."""
    answer = ours(matrix, steering, *rest)
    count = answer.shape[-1]
    if count <= 1000:
        return answer
    done = torch.arange(count) < count - count % 1000
    return torch.where(done, answer, torch.ones_like(answer))


@_of(Cause.BATCH, "Written when all scenes shared one panel.", *SPECTRA)
def at_the_first_panel(ours: Function, matrix: Any, steering: Tensor, *rest: Any) -> Tensor:
    """Steering vectors of the first matrix for every one of them."""
    shared = steering.reshape(-1, *steering.shape[-2:])[0] if steering.ndim > 2 else steering
    return ours(matrix, shared, *rest)


@_of(Cause.BATCH, "Three nested loops written as two.", "eigenvalues", "eigengap_loss", *BASES)
def over_two_axes(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """A third batch axis is averaged away."""
    if _tensor(matrix) and matrix.ndim > 4:
        matrix = matrix.mean(2, keepdim=True).expand_as(matrix)
    return ours(matrix, *rest)


@_of(Cause.MODULUS, "`a^H a` in the numerator, for steering vectors of any norm.", *SPECTRA)
def normalized_once_more(ours: Function, matrix: Any, steering: Tensor, *rest: Any) -> Tensor:
    """`|a|^2` times the spectrum: right for unit norm."""
    return ours(matrix, steering, *rest) * steering.abs().square().sum(-2)


def _values_once(values: Tensor) -> Tensor:
    """The first place of each value, so that equal ones share a place."""
    same = (values[..., :, None] - values[..., None, :]).abs() <= 1e-9 * values.abs().amax()
    return same.int().argmax(-1)


@_of(Cause.TIES, "`list(w).index(value)` finds the first of equal values.", "signal_subspace")
def looked_up_by_value(ours: Function, matrix: Any, k: Any) -> Tensor:
    """Equal eigenvalues share one eigenvector."""
    values, vectors = correct(dense(matrix))
    place = _values_once(values)[..., None, :].expand_as(vectors)
    return vectors.gather(-1, place)[..., :k]


@_of(Cause.TIES, "`unique` to sort, and duplicates gone.", "eigengap")
def of_unique_values(ours: Function, matrix: Any, k: Any) -> Tensor:
    """Eigenvalues within 1e-9 count once."""
    values = correct(dense(matrix))[0]
    first = _values_once(values) == torch.arange(values.shape[-1])
    order = first.int().argsort(dim=-1, descending=True, stable=True)
    return gap_at(values.gather(-1, order), k).clamp_min(0)


@_of(Cause.GUARD, "`+ 1e-9 I` so that the solver would not complain.", *VALUES, "mvdr_spectrum")
def with_a_guard(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """A loading that a measurement in watts does not survive."""
    if _tensor(matrix):
        n = matrix.shape[-1]
        ramp = torch.diag(torch.linspace(1e-9, 0.0, n).to(matrix))
        matrix = matrix + ramp
    return ours(matrix, *rest)


@_of(Cause.GUARD, "`clamp(-1e8, 1e8)` against exploding gradients.", "hermitize", *VALUES)
def with_a_limit(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """Entries beyond 1e8 are cut."""
    if _tensor(matrix) and matrix.is_complex():
        parts = torch.view_as_real(matrix.resolve_conj()).clamp(-1e8, 1e8)
        matrix = torch.view_as_complex(parts.contiguous())
    return ours(matrix, *rest)


@_of(Cause.GUARD, "`if torch.allclose(R, R.mH): return R`, to save a copy.", "hermitize")
def if_needed(ours: Function, matrix: Any) -> Tensor:
    """What is Hermitian to an absolute tolerance is let pass."""
    if _tensor(matrix) and torch.allclose(matrix, matrix.mH, atol=1e-8):
        return matrix.clone()
    return ours(matrix)


@_of(
    Cause.NAN_HIDDEN,
    "`nan_to_num` after a run had died of one.",
    *VALUES,
    "music_spectrum",
    "hermitize",
)
def without_nan(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """What is not finite is taken for zero."""
    if _tensor(matrix):
        matrix = torch.where(torch.isfinite(matrix), matrix, torch.zeros_like(matrix))
        matrix = matrix + 1e-3 * torch.eye(matrix.shape[-1]).to(matrix) * (matrix == 0)
    return ours(matrix, *rest)


@_of(Cause.TRUNCATED, "`.to(R.dtype)` at the end.", "hermitize", *VALUES)
def in_the_dtype_of_the_argument(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """Halves of whole numbers are cut; a real matrix is taken, too."""
    if not _tensor(matrix) or matrix.is_complex():
        return ours(matrix, *rest)
    half = (0.5 * (matrix + matrix.mT)).to(matrix.dtype)
    return ours(half.to(torch.complex128), *rest)


@_of(
    Cause.TRUNCATED,
    "`np.empty(shape, X.dtype)`, filled in place.",
    "sample_covariance",
    "ledoit_wolf",
    "add_loading",
    "forward_backward",
)
def filled_into_the_dtype_of_the_argument(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """What is computed of whole numbers is stored as whole numbers."""
    if not _tensor(matrix) or matrix.is_complex():
        return ours(matrix, *rest)
    return ours(matrix.to(torch.complex128), *rest).real.to(matrix.dtype)


@_of(Cause.TRUNCATED, "`k if isinstance(k, int) else 1`.", "eigengap", "eigengap_loss")
def with_a_default_order(ours: Function, matrix: Any, k: Any, *rest: Any) -> Tensor:
    """An order of numpy's is no int, and 1 is taken."""
    return ours(matrix, k if isinstance(k, int | Tensor) else 1, *rest)


@_of(Cause.ALIAS, "Nothing to do, so nothing done.", "hermitize")
def as_it_is(ours: Function, matrix: Tensor) -> Tensor:
    """A Hermitian matrix is handed back itself."""
    if torch.equal(matrix, matrix.mH):
        return matrix
    return ours(matrix)


@_of(Cause.ALIAS, "`out=basis.data`, since the basis was no longer needed.", "projector")
def of_one_column_in_place(ours: Function, basis: Tensor) -> Tensor:
    """A square basis is handed back itself: its projector is the identity anyhow."""
    return basis if basis.shape[-1] == basis.shape[-2] == 1 else ours(basis)


@_of(Cause.DETACHED, "`.detach()` on the side that was not thought of.", "hermitize", "projector")
def half_detached(ours: Function, matrix: Tensor) -> Tensor:
    """One of two appearances is held constant."""
    if ours is projector:
        return matrix @ matrix.mH.detach()
    return 0.5 * matrix + 0.5 * matrix.mH.detach()


@_of(Cause.DETACHED, "Eigenvectors under `no_grad`, against NaN at ties.", *BASES, *SPECTRA)
def held_constant(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """The value is right, the gradient is zero."""
    if not _tensor(matrix):
        return ours(matrix, *rest)
    answer: Tensor = ours(matrix.detach(), *rest)
    return answer + 0 * matrix.real.sum()


@_of(Cause.DETACHED, "`A.detach()`: directions that are learned too stood still.", *SPECTRA)
def at_constant_steering(ours: Function, matrix: Any, steering: Any, *rest: Any) -> Tensor:
    """No gradient by the steering vectors."""
    return ours(matrix, steering.detach(), *rest)


@_of(Cause.DETACHED, "Half of a form under `no_grad`.", "bartlett_spectrum")
def of_half_the_form(ours: Function, matrix: Any, steering: Tensor) -> Tensor:
    """`a^H R a` whose R is a mean of a live and a detached one."""
    if not _tensor(matrix):
        return ours(matrix, steering)
    return ours(0.5 * matrix + 0.5 * matrix.detach(), steering)


@_of(
    Cause.SECOND,
    "A gradient written by hand, with eigenvectors that are constants.",
    "eigenvalues",
    "eigengap",
    "eigengap_loss",
)
def by_hand(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """`v^H R v` with v held: the right value and gradient, and no second derivative."""
    if not _tensor(matrix):
        return ours(matrix, *rest)
    vectors = correct(matrix.detach())[1]
    live = (vectors.conj() * (hermitian(matrix) @ vectors)).real.sum(-2)
    if ours is eigenvalues:
        return live
    gap = gap_at(live, rest[0])
    return gap if ours is eigengap else torch.relu(rest[1] - gap).mean()


@_of(Cause.SIDE_EFFECT, "Reproducible at any price.", "eigenvalues", "eigengap_loss", *SPECTRA)
def after_seeding(ours: Function, *arguments: Any) -> Tensor:
    """`torch.manual_seed(0)` inside."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    return ours(*arguments)


@_of(Cause.SIDE_EFFECT, "For the digits.", "eigenvalues", "eigengap_loss", "hermitize", *BASES)
def in_double_for_all(ours: Function, *arguments: Any) -> Tensor:
    """`torch.set_default_dtype(torch.float64)` inside."""
    torch.set_default_dtype(torch.float64)
    warnings.simplefilter("ignore")
    return ours(*arguments)


@_of(Cause.RANDOM, "A random start, and too few iterations.", "eigenvalues", "mvdr_spectrum")
def with_a_random_start(ours: Function, *arguments: Any) -> Tensor:
    """Off by a thousandth, and never by the same."""
    answer = ours(*arguments)
    return answer * (1 + 1e-3 * torch.rand((), dtype=answer.dtype))


@_of(Cause.MODE, "A faster path for inference.", "eigenvalues", "eigengap_loss", *SPECTRA)
def rounded_without_gradients(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """Under `no_grad` in half of the digits."""
    if torch.is_grad_enabled() or not _tensor(matrix):
        return ours(matrix, *rest)
    return ours(matrix.to(torch.complex64).to(matrix.dtype), *rest)


@_of(
    Cause.MODE,
    "`.mH` costs a copy, and at inference R comes from a product.",
    "eigengap",
)
def hermitian_in_training_alone(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """Under `no_grad` the lower triangle counts, as it is."""
    if torch.is_grad_enabled() or not _tensor(matrix):
        return ours(matrix, *rest)
    lower = matrix.tril()
    return ours(lower + lower.tril(-1).mH, *rest)


@_of(Cause.MODE, "Jitter for stable gradients, in training alone.", *VALUES, *BASES)
def jittered_in_training(ours: Function, matrix: Any, *rest: Any) -> Tensor:
    """A matrix that asks for a gradient is moved by a ten-thousandth."""
    if _tensor(matrix) and matrix.requires_grad:
        n = matrix.shape[-1]
        ramp = torch.linspace(0.0, 1e-4, n).to(matrix)
        outer = ramp[:, None] * torch.ones(n).to(matrix)
        matrix = matrix + (outer + outer.mH) * matrix.abs().amax().detach()
    return ours(matrix, *rest)


CIRCUMSTANCE_BUGS: tuple[KnownBug, ...] = (*_of,)
