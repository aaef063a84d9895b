"""Wrong implementations that somebody really wrote, to be put in the place of the right ones.

Bugs 1 to 5 are those of a RIS localisation project whose network never learned (October 2025);
the variants are what the same mistake looks like in other hands. Each replacement has the
signature of the function whose name it is listed under in `target.PLACES`.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.learning.diagnostics import GroupNorm
from ris_pipeline.learning.epoch import EpochResult
from ris_pipeline.spectral import LowRankCovariance


@dataclass(frozen=True)
class KnownBug:
    """A wrong implementation.

    number: of the post-mortem, 1 to 5; replaces: a name in `target.PLACES`; story: what happened
    and why it was written that way.
    """

    name: str
    number: int
    replaces: str
    function: Callable[..., Any]
    story: str


def _dense(covariance: Tensor | LowRankCovariance) -> Tensor:
    if isinstance(covariance, LowRankCovariance):
        return covariance.dense()
    return covariance


def _half(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.mH)


def _pick(values: Tensor, index: int | Tensor) -> Tensor:
    place = torch.as_tensor(index, dtype=torch.int64).expand(values.shape[:-1])
    return values.gather(-1, place[..., None])[..., 0]


def _hinge_of(gap: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def hinge(covariance: Tensor, k: int | Tensor, margin: float | Tensor) -> Tensor:
        return torch.relu(margin - gap(covariance, k)).mean()

    return hinge


def gap_of_flipped_singular_values(covariance: Tensor, k: int | Tensor) -> Tensor:
    """Descending singular values flipped, then indexed as if still descending."""
    values = torch.linalg.svdvals(_half(_dense(covariance))).flip(-1)
    return _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)


def gap_of_ascending_eigenvalues(covariance: Tensor, k: int | Tensor) -> Tensor:
    """`eigvalsh` ascends; the code reads it as descending."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance)))
    return _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)


def gap_off_by_one(covariance: Tensor, k: int | Tensor) -> Tensor:
    """k read as an index from 0: `lambda_{k+1} - lambda_{k+2}`, the last one wrapped."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance))).flip(-1)
    n = values.shape[-1]
    index = torch.as_tensor(k)
    return _pick(values, index) - _pick(values, (index + 1).clamp_max(n - 1))


def gap_of_singular_values(covariance: Tensor, k: int | Tensor) -> Tensor:
    """Singular values taken for eigenvalues; right on semidefinite matrices only."""
    values = torch.linalg.svdvals(_half(_dense(covariance)))
    return _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)


def gap_without_hermitization(covariance: Tensor, k: int | Tensor) -> Tensor:
    """`eigvalsh` of the matrix as it is: the lower triangle decides, in silence."""
    values = torch.linalg.eigvalsh(_dense(covariance)).flip(-1)
    return _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)


def hinge_with_the_sign_swapped(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """`relu(gap - margin)`: descends by closing the gap."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance))).flip(-1)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return torch.relu(gap - margin).mean() + 0 * values.sum()


def hinge_summed(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """Sum over the batch in place of the mean."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance))).flip(-1)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return torch.relu(margin - gap).sum()


def hinge_without_relu(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """`mean(margin - gap)`: pulls on gaps that are open already."""
    values = torch.linalg.eigvalsh(_half(_dense(covariance))).flip(-1)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return (margin - gap).mean()


def hinge_detached(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """Eigenvalues taken from `.detach()`: the value is right, the gradient is zero."""
    matrix = _dense(covariance)
    values = torch.linalg.eigvalsh(_half(matrix.detach())).flip(-1)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return torch.relu(margin - gap).mean() + 0 * matrix.abs().sum()


def hinge_through_eigenvectors(covariance: Tensor, k: int | Tensor, margin: Any) -> Tensor:
    """`lambda_i = v_i^H A v_i` with differentiated eigenvectors: NaN gradients at ties."""
    matrix = _half(_dense(covariance))
    vectors = torch.linalg.eigh(matrix)[1].flip(-1)
    values = (vectors.conj() * (matrix @ vectors)).real.sum(-2)
    gap = _pick(values, torch.as_tensor(k) - 1) - _pick(values, k)
    return torch.relu(margin - gap).mean()


def hermitize_nothing(matrix: Tensor) -> Tensor:
    """No hermitization at all."""
    return matrix


def hermitize_by_transpose(matrix: Tensor) -> Tensor:
    """`(A + A^T) / 2`: the conjugate forgotten."""
    return 0.5 * (matrix + matrix.mT)


def hermitize_without_half(matrix: Tensor) -> Tensor:
    """`A + A^H`: the half forgotten; doubles the spectrum."""
    return matrix + matrix.mH


def hermitize_by_triangle(matrix: Tensor) -> Tensor:
    """The lower triangle mirrored: Hermitian, but not the nearest."""
    lower = matrix.tril(-1)
    return lower + lower.mH + torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1).real)


def hermitize_and_load(matrix: Tensor) -> Tensor:
    """`(A + A^H) / 2 + 1e-4 I`: a loading slipped in, large beside a small matrix."""
    return _half(matrix) + 1e-4 * torch.eye(matrix.shape[-1], dtype=matrix.dtype)


def singular_values_ascending(matrix: Tensor) -> Tensor:
    """`svdvals` flipped."""
    return torch.linalg.svdvals(_half(matrix)).flip(-1)


def singular_values_signed(matrix: Tensor) -> Tensor:
    """Eigenvalues returned as singular values: negative ones on indefinite matrices."""
    return torch.linalg.eigvalsh(_half(matrix)).flip(-1)


def singular_values_unhermitized(matrix: Tensor) -> Tensor:
    """`svdvals` of the matrix as it is."""
    return torch.linalg.svdvals(matrix)


def eigenvalues_ascending(matrix: Tensor) -> Tensor:
    """`eigvalsh` as it comes."""
    return torch.linalg.eigvalsh(_half(matrix))


def eigenvalues_as_magnitudes(matrix: Tensor) -> Tensor:
    """Singular values returned as eigenvalues."""
    return torch.linalg.svdvals(_half(matrix))


def epoch_loss_in_the_step_block(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """`running += loss` inside the accumulation step: most batches are not counted."""
    items = list(batches)
    running, steps = 0.0, 0
    for number, batch in enumerate(items, start=1):
        start = (number - 1) // accumulation * accumulation
        loss = backward(batch, 1 / min(accumulation, len(items) - start))
        if number % accumulation == 0 or number == len(items):
            step()
            steps += 1
            running += loss
    return EpochResult(running / len(items), len(items), steps)


def epoch_drops_the_last_group(
    batches: Iterable[Any],
    backward: Callable[[Any, float], float],
    step: Callable[[], None],
    accumulation: int = 1,
) -> EpochResult:
    """No step after the last, partial group, and its gradients weighed as if it were full."""
    total, count, steps = 0.0, 0, 0
    for number, batch in enumerate(batches, start=1):
        total += backward(batch, 1 / accumulation)
        count += 1
        if number % accumulation == 0:
            step()
            steps += 1
    return EpochResult(total / count, count, steps)


def norm_poisoned(parameters: Iterable[Tensor]) -> GroupNorm:
    """One NaN makes the norm of the whole group NaN."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return GroupNorm(0.0, 0)
    return GroupNorm(math.sqrt(sum(g.square().sum().item() for g in grads)), 0)


def norm_hiding_what_it_left_out(parameters: Iterable[Tensor]) -> GroupNorm:
    """`nan_to_num` on the gradients: a finite figure that hides the fault."""
    grads = [p.grad for p in parameters if p.grad is not None]
    squares = (g.nan_to_num(0.0, 0.0, 0.0).square().sum().item() for g in grads)
    return GroupNorm(math.sqrt(sum(squares)), 0)


def no_log_line(*_: Any) -> str:
    """No diagnostics: nobody could tell whether the optimiser stepped."""
    return ""


_SORTED = "A descending spectrum flipped, or an ascending one left alone, and indexed as the other."
_HERMITIAN = (
    "A covariance that rounding or a network had made not quite Hermitian went in as it was."
)
_EPOCH = "The running loss moved into the block of the optimiser step during a clean-up."
_NORM = "One non-finite gradient made the logged norm of its whole group useless."
_BLIND = "Nothing was logged, so nobody saw that nothing was learned."


def _bug(number: int, replaces: str, function: Callable[..., Any], story: str) -> KnownBug:
    return KnownBug(function.__name__.strip("_"), number, replaces, function, story)


def _hinge_bug(number: int, gap: Callable[..., Tensor], story: str) -> KnownBug:
    name = gap.__name__.replace("gap", "hinge", 1)
    return KnownBug(name, number, "eigengap_hinge", _hinge_of(gap), story)


KNOWN_BUGS: tuple[KnownBug, ...] = (
    _hinge_bug(1, gap_of_flipped_singular_values, _SORTED),
    _bug(1, "eigengap", gap_of_flipped_singular_values, _SORTED),
    _hinge_bug(1, gap_of_ascending_eigenvalues, _SORTED),
    _bug(1, "eigengap", gap_of_ascending_eigenvalues, _SORTED),
    _bug(1, "eigengap", gap_off_by_one, "k counted from 0 in one place and from 1 in the other."),
    _hinge_bug(1, gap_off_by_one, "k counted from 0 in one place and from 1 in the other."),
    _bug(1, "eigengap", gap_of_singular_values, "Right for a covariance, wrong for an estimate."),
    _bug(1, "eigengap_hinge", hinge_with_the_sign_swapped, "Margin and gap the wrong way round."),
    _bug(1, "eigengap_hinge", hinge_summed, "The gradient grows with the batch."),
    _bug(1, "eigengap_hinge", hinge_without_relu, "The hinge never rests."),
    _bug(1, "eigengap_hinge", hinge_detached, "A detach for speed, and a silent constant."),
    _bug(1, "eigengap_hinge", hinge_through_eigenvectors, "Gradients that divide by gaps."),
    _bug(1, "singular_values", singular_values_ascending, _SORTED),
    _bug(1, "singular_values", singular_values_signed, "Right for a semidefinite matrix only."),
    _bug(1, "eigenvalues", eigenvalues_ascending, _SORTED),
    _bug(1, "eigenvalues", eigenvalues_as_magnitudes, "Right for a semidefinite matrix only."),
    _hinge_bug(2, gap_without_hermitization, _HERMITIAN),
    _bug(2, "eigengap", gap_without_hermitization, _HERMITIAN),
    _bug(2, "singular_values", singular_values_unhermitized, _HERMITIAN),
    _bug(2, "hermitize", hermitize_nothing, _HERMITIAN),
    _bug(2, "hermitize", hermitize_by_transpose, "Real test matrices do not show it."),
    _bug(2, "hermitize", hermitize_without_half, "Twice the trace, hidden by normalisation."),
    _bug(2, "hermitize", hermitize_by_triangle, "What a LAPACK routine reads, not the mean."),
    _bug(2, "hermitize", hermitize_and_load, "The loading came in with the hermitization."),
    _bug(3, "run_epoch", epoch_loss_in_the_step_block, _EPOCH),
    _bug(3, "run_epoch", epoch_drops_the_last_group, "Shows where the factor does not divide."),
    _bug(4, "group_gradient_norm", norm_poisoned, _NORM),
    _bug(4, "group_gradient_norm", norm_hiding_what_it_left_out, _NORM),
    *(
        KnownBug(f"no_{line}", 5, line, no_log_line, _BLIND)
        for line in ("debug_line", "optimiser_line", "gradient_line", "step_line", "epoch_line")
    ),
)
"""The catalogue, by number."""
