"""Decompositions as somebody else's code does them, and what becomes of everything made of them.

One wrong decomposition spoils eigenvalues, gaps, hinges, subspaces and MUSIC alike; each of these
is an entry of its own, because a user may hand over any one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ris_pipeline._validation import check_finite
from ris_pipeline.spectral import LowRankCovariance
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import KnownBug, entry

Decomposition = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Values (..., n) and vectors as columns (..., n, n), in an order taken for descending."""


def dense(covariance: Any) -> Tensor:
    """The matrix, whichever form it comes in."""
    return covariance.dense() if isinstance(covariance, LowRankCovariance) else covariance


def hermitian(matrix: Tensor) -> Tensor:
    """`(A + A^H) / 2`."""
    return 0.5 * (matrix + matrix.mH)


def correct(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """What the bugs that err elsewhere start from."""
    values, vectors = torch.linalg.eigh(hermitian(matrix))
    return values.flip(-1), vectors.flip(-1)


def ascending(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`eigh` as it comes."""
    return torch.linalg.eigh(hermitian(matrix))


def flipped_svd(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A descending decomposition, flipped by somebody who took it for an ascending one."""
    vectors, values, _ = torch.linalg.svd(hermitian(matrix))
    return values.flip(-1), vectors.flip(-1)


def finite(matrix: Tensor) -> Tensor:
    """The matrix, if it is finite: on NaN `torch.linalg.eig` may take the process along."""
    check_finite("matrix", matrix)
    return matrix


def unsorted(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`eig` of a general matrix: in the order in which the QR iteration happened to converge."""
    values, vectors = torch.linalg.eig(hermitian(finite(matrix)))
    return values.real, vectors


def unhermitized(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`eigh` of the matrix as it is: the lower triangle decides, in silence."""
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(-1), vectors.flip(-1)


def by_magnitude(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The singular value decomposition: eigenvalues sorted by size, their signs gone."""
    vectors, values, _ = torch.linalg.svd(hermitian(matrix))
    return values, vectors


def conjugated(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`Vh.T` where it takes `Vh.T.conj()`."""
    values, vectors = correct(matrix)
    return values, vectors.conj().resolve_conj()


def rows_for_columns(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """`U, S, Vh = svd(A)`, and then columns of Vh."""
    _, values, adjoint = torch.linalg.svd(hermitian(matrix))
    return values, adjoint


def single(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """In complex64 whatever came in."""
    values, vectors = correct(matrix.to(torch.complex64))
    return values.to(matrix.real.dtype), vectors.to(matrix.dtype)


@dataclass(frozen=True)
class _Family:
    decompose: Decomposition
    cause: Cause
    number: int
    story: str


_FAMILIES = {
    "ascending": _Family(
        ascending,
        Cause.ASCENDING,
        1,
        "`eigh` ascends, `svd` descends, and the code was written with the other one in mind.",
    ),
    "unsorted": _Family(
        unsorted,
        Cause.UNSORTED,
        0,
        "`numpy.linalg.eig` in textbook MUSIC code, which often returns them sorted, and then not.",
    ),
    "unhermitized": _Family(
        unhermitized,
        Cause.NOT_HERMITIAN,
        2,
        "A covariance that rounding or a network had made not quite Hermitian went in as it was.",
    ),
    "by_magnitude": _Family(
        by_magnitude,
        Cause.SINGULAR_FOR_EIGEN,
        1,
        "The svd is said to be the stable one; right for a covariance, wrong for an estimate of "
        "one that rounding or subtraction has made indefinite.",
    ),
    "conjugated": _Family(
        conjugated,
        Cause.CONJUGATED,
        0,
        "`Vh.T` for the eigenvectors: right for real test matrices.",
    ),
    "rows_for_columns": _Family(
        rows_for_columns,
        Cause.ROWS,
        0,
        "`U, S, V = svd(A)` from MATLAB, where V holds columns; numpy and torch return V^H.",
    ),
    "single": _Family(
        single,
        Cause.SINGLE,
        0,
        "A cast for the graphics card, left in the code that runs in double precision.",
    ),
}


def place(values: Tensor, index: int | Tensor) -> Tensor:
    """`values[..., index]`, one index for each matrix."""
    at = torch.as_tensor(index, dtype=torch.int64).expand(values.shape[:-1])
    return values.gather(-1, at[..., None])[..., 0]


def gap_at(values: Tensor, k: int | Tensor) -> Tensor:
    """`values[k - 1] - values[k]`."""
    return place(values, torch.as_tensor(k) - 1) - place(values, k)


def hinge_of(gap: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The hinge on a gap that is wrong."""

    def hinge(covariance: Any, k: int | Tensor, margin: float | Tensor) -> Tensor:
        return torch.relu(margin - gap(covariance, k)).mean()

    return hinge


def music_of(noise: Callable[[Any, int], Tensor]) -> Callable[..., Tensor]:
    """MUSIC with a noise subspace that is wrong."""

    def music(covariance: Any, steering: Tensor, k: int) -> Tensor:
        power = (noise(covariance, k).mH @ steering).abs().square().sum(-2)
        return power.clamp_min(torch.finfo(power.dtype).tiny).reciprocal()

    return music


def _makers(decompose: Decomposition) -> dict[str, Callable[..., Tensor]]:
    """Each function of the suite that a decomposition is behind."""

    def eigenvalues(matrix: Tensor) -> Tensor:
        return decompose(matrix)[0]

    def eigengap(covariance: Any, k: int | Tensor) -> Tensor:
        return gap_at(decompose(dense(covariance))[0], k)

    def signal_subspace(covariance: Any, k: int) -> Tensor:
        return decompose(dense(covariance))[1][..., :k]

    def noise_subspace(covariance: Any, k: int) -> Tensor:
        return decompose(dense(covariance))[1][..., k:]

    return {
        "eigenvalues": eigenvalues,
        "singular_values": eigenvalues,
        "eigengap": eigengap,
        "eigengap_loss": hinge_of(eigengap),
        "signal_subspace": signal_subspace,
        "noise_subspace": noise_subspace,
        "music_spectrum": music_of(noise_subspace),
    }


_VALUES = ("eigenvalues", "eigengap", "eigengap_loss")
_VECTORS = ("signal_subspace", "noise_subspace", "music_spectrum")
_SPOILS = {
    "ascending": (*_VALUES, *_VECTORS),
    "unsorted": (*_VALUES, *_VECTORS),
    "unhermitized": (*_VALUES, *_VECTORS),
    "by_magnitude": (*_VALUES, *_VECTORS),
    "conjugated": _VECTORS,
    "rows_for_columns": _VECTORS,
    "single": ("eigenvalues", "signal_subspace"),
}
"""Which functions each family is an entry for."""


def _entries() -> list[KnownBug]:
    entries = []
    for name, family in _FAMILIES.items():
        makers = _makers(family.decompose)
        for replaces in _SPOILS[name]:
            entries.append(
                entry(
                    replaces,
                    family.cause,
                    makers[replaces],
                    family.story,
                    number=family.number,
                    name=f"{replaces}_{name}",
                )
            )
    return entries


DECOMPOSITION_BUGS: tuple[KnownBug, ...] = tuple(_entries())
