"""Directions by a uniform linear array, and the number of signals as a number."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.localization.spectra.linear_array import (
    esprit,
    root_music,
    ula_bartlett,
    ula_music,
    ula_mvdr,
    ula_steering,
)
from ris_pipeline.spectral import (
    aic,
    eigenvalue_aic,
    eigenvalue_mdl,
    mdl,
    projector,
    signal_subspace,
)
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug
from ris_pipeline.verification.known_bugs.decompositions import ascending, correct, hermitian

known_bug = Catalogue()

_AXES = "Books measure from broadside, others from the axis."
_ORDER = "`eigh` ascends."
_SIGN = "The sign of the phase, or which antenna comes first."


def _angles(basis: Tensor) -> Tensor:
    shift = torch.linalg.pinv(basis[..., :-1, :]) @ basis[..., 1:, :]
    sines = torch.linalg.eigvals(shift).angle() / math.pi
    return sines.asin().sort(-1).values


@known_bug("esprit", Cause.ASCENDING, _ORDER)
def esprit_of_the_noise(matrix: Tensor, k: int) -> Tensor:
    """The first k columns of an ascending decomposition."""
    return _angles(ascending(matrix)[1][..., :k])


@known_bug("esprit", Cause.SIGN, _SIGN)
def esprit_mirrored(matrix: Tensor, k: int) -> Tensor:
    """The subarrays exchanged: every angle has the other sign."""
    return -esprit(matrix, k).flip(-1)


@known_bug("esprit", Cause.AXES, "A sine that looks like an angle.")
def esprit_without_arcsine(matrix: Tensor, k: int) -> Tensor:
    """The sine taken for the angle."""
    return esprit(matrix, k).sin()


@known_bug("esprit", Cause.UNSORTED, "Sorted on the test data.")
def esprit_of_an_unsorted_basis(matrix: Tensor, k: int) -> Tensor:
    """Angles in the order of the eigenvalues of a general matrix."""
    basis = correct(matrix)[1][..., :k]
    shift = torch.linalg.pinv(basis[..., :-1, :]) @ basis[..., 1:, :]
    return (torch.linalg.eigvals(shift).angle() / math.pi).asin()


@known_bug("root_music", Cause.SIGN, _SIGN)
def root_music_mirrored(matrix: Tensor, k: int) -> Tensor:
    """Coefficients in the other order: roots reflected."""
    return root_music(matrix.conj().resolve_conj(), k)


@known_bug("root_music", Cause.DEGREES, "For the plot.")
def root_music_in_degrees(matrix: Tensor, k: int) -> Tensor:
    """Degrees where radians are said."""
    return root_music(matrix, k).rad2deg()


@known_bug("root_music", Cause.OTHER_SUBSPACE, _ORDER)
def root_music_of_the_signal(matrix: Tensor, k: int) -> Tensor:
    """Signal and noise subspace exchanged: the roots of what is left of the array."""
    return root_music(-hermitian(matrix), k)


@known_bug("root_music", Cause.GUARD, "`numpy.roots` warns of a vanishing coefficient.")
def root_music_of_trimmed_sums(matrix: Tensor, k: int) -> Tensor:
    """Sums of diagonals below a hundredth are set to zero."""
    n = matrix.shape[-1]
    noise = torch.eye(n, dtype=matrix.dtype) - projector(signal_subspace(matrix, k))

    def one(form: Tensor) -> Tensor:
        sums = np.array([form.diagonal(lag).sum().item() for lag in range(n - 1, -n, -1)])
        roots = np.roots(np.where(np.abs(sums) < 1e-2, 0, sums))
        inside = sorted(roots[np.abs(roots) < 1], key=abs)[-k:]
        angles = np.zeros(k)
        angles[: len(inside)] = np.arcsin(np.angle(inside) / math.pi)
        return torch.from_numpy(np.sort(angles))

    answers = [one(form) for form in noise.reshape(-1, n, n)]
    return torch.stack(answers).reshape(*matrix.shape[:-2], k)


@known_bug("root_music", Cause.OFF_BY_ONE, "k counted from 0.")
def root_music_with_one_more(matrix: Tensor, k: int) -> Tensor:
    """A signal subspace of k + 1, of whose roots the last is dropped."""
    n = matrix.shape[-1]
    return root_music(matrix, min(k + 1, n - 1))[..., :k]


_Spectrum = Callable[..., Tensor]


def _cosines(angles: Tensor) -> Tensor:
    return math.pi / 2 - angles


@known_bug("ula_bartlett", Cause.SCALE, "|a|^2 is N, and |a|^4 is N^2.")
def bartlett_of_a_sum(matrix: Tensor, angles: Tensor) -> Tensor:
    """`a^H R a / N`: the norm of a forgotten once."""
    return ula_bartlett(matrix, angles) * matrix.shape[-1]


@known_bug("ula_bartlett", Cause.CONJUGATED, _SIGN)
def bartlett_mirrored(matrix: Tensor, angles: Tensor) -> Tensor:
    """`a^T R a*`."""
    return ula_bartlett(matrix, -angles)


@known_bug("ula_bartlett", Cause.HALF, "The upper triangle alone.")
def bartlett_without_the_middle(matrix: Tensor, angles: Tensor) -> Tensor:
    """Powers of the diagonal counted once, pairs of antennas once in place of twice."""
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).real.sum(-1, keepdim=True)
    return (ula_bartlett(matrix, angles) + diagonal / matrix.shape[-1] ** 2) / 2


@known_bug("ula_mvdr", Cause.DEGREES, "A grid in degrees, handed on twice.")
def mvdr_in_degrees(matrix: Tensor, angles: Tensor) -> Tensor:
    """Radians taken for degrees."""
    return ula_mvdr(matrix, torch.deg2rad(angles))


@known_bug("ula_mvdr", Cause.AXES, _AXES)
def mvdr_of_cosines(matrix: Tensor, angles: Tensor) -> Tensor:
    """Angles from the axis of the array."""
    return ula_mvdr(matrix, _cosines(angles))


@known_bug("ula_mvdr", Cause.LOADING_ADDED, "A guard against a singular matrix.")
def mvdr_loaded(matrix: Tensor, angles: Tensor) -> Tensor:
    """A loading of 1e-3 that nobody asked for."""
    return ula_mvdr(matrix + 1e-3 * torch.eye(matrix.shape[-1]), angles)


@known_bug("ula_mvdr", Cause.GUARD, "A cut-off against noise, of the size of the noise.")
def mvdr_by_a_truncated_inverse(matrix: Tensor, angles: Tensor) -> Tensor:
    """`pinv` with `rtol = 1e-3`: a strong source switches the noise off."""
    inverse = torch.linalg.pinv(hermitian(matrix), rtol=1e-3, hermitian=True)
    a = ula_steering(matrix.shape[-1], angles).to(matrix.dtype)
    return 1 / (a.conj() * (inverse @ a)).sum(-2).real


@known_bug("ula_music", Cause.GUARD, "Infinite peaks spoil a plot.")
def music_up_to_a_limit(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    """`clamp(max=1e3)`."""
    return ula_music(matrix, k, angles).clamp(max=1e3)


@known_bug("ula_music", Cause.DETACHED, "A subspace is no function that one differentiates.")
def music_of_a_detached_subspace(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    """A `detach` against the derivative of eigenvectors."""
    return ula_music(matrix.detach(), k, angles) + 0 * matrix.real.sum()


@known_bug("ula_mvdr", Cause.NOT_HERMITIAN, "`abs` against an imaginary part of rounding.")
def mvdr_of_a_modulus(matrix: Tensor, angles: Tensor) -> Tensor:
    """`1 / |a^H R^-1 a|` of the matrix as it is."""
    a = ula_steering(matrix.shape[-1], angles).to(matrix.dtype)
    return 1 / (a.conj() * torch.linalg.solve(matrix, a)).sum(-2).abs()


@known_bug("ula_music", Cause.AXES, _AXES)
def music_of_cosines(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    """`cos` for `sin`: angles from the axis of the array."""
    return ula_music(matrix, k, _cosines(angles))


@known_bug("ula_music", Cause.HALF, "k d with d in wavelengths.")
def music_at_a_whole_wavelength(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    """`2 pi n sin(theta)`: half a wavelength forgotten."""
    return ula_music(matrix, k, angles, 1.0)


@known_bug("ula_music", Cause.OFF_BY_ONE, "k counted from 0.")
def music_of_one_fewer(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    """`V[:, k - 1:]`: the weakest source counts as noise."""
    noise = correct(matrix)[1][..., k - 1 :]
    a = ula_steering(matrix.shape[-1], angles).to(noise.dtype)
    return (noise.mH @ a).abs().square().sum(-2).reciprocal()


@known_bug("mdl", Cause.ZERO_TERM, "The second term in another function.")
def mdl_without_penalty(eigenvalues: Tensor, samples: int) -> Tensor:
    """The likelihood alone: always the most."""
    m = eigenvalues.shape[-1]
    k = torch.arange(m, dtype=eigenvalues.dtype)
    penalty = k * (2 * m - k) * math.log(samples) / 2
    return (eigenvalue_mdl(eigenvalues, samples) - penalty).argmin(-1)


@known_bug("mdl", Cause.OFF_BY_ONE, "Arrays that begin at one.")
def mdl_counted_from_one(eigenvalues: Tensor, samples: int) -> Tensor:
    """`argmin + 1`, from MATLAB."""
    return mdl(eigenvalues, samples) + 1


@known_bug("mdl", Cause.SCALE, "MDL has the half logarithm, AIC the two.")
def mdl_by_aic(eigenvalues: Tensor, samples: int) -> Tensor:
    """The penalty of the other criterion."""
    return aic(eigenvalues, samples)


@known_bug("mdl", Cause.BATCH, "Sorted to be on the safe side, along the first axis.")
def mdl_sorted_over_the_batch(eigenvalues: Tensor, samples: int) -> Tensor:
    """A batch is taken for the spectrum."""
    return mdl(eigenvalues.sort(0, descending=True).values, samples)


@known_bug("aic", Cause.ASCENDING, _ORDER)
def aic_of_the_largest(eigenvalues: Tensor, samples: int) -> Tensor:
    """Arithmetic and geometric mean of the first m - k of a descending spectrum."""
    m = eigenvalues.shape[-1]
    tails = [eigenvalues[..., : m - k] for k in range(m)]
    levels = [x.shape[-1] * x.mean(-1).log() - x.log().sum(-1) for x in tails]
    k = torch.arange(m, dtype=eigenvalues.dtype)
    return (2 * samples * torch.stack(levels, -1) + 2 * k * (2 * m - k)).argmin(-1)


@known_bug("aic", Cause.REAL_PART, "A textbook on real time series.")
def aic_of_real_data(eigenvalues: Tensor, samples: int) -> Tensor:
    """`k (2 m - k + 1) / 2` parameters and half the likelihood: real time series."""
    m = eigenvalues.shape[-1]
    k = torch.arange(m, dtype=eigenvalues.dtype)
    complete = eigenvalue_aic(eigenvalues, samples) - 2 * k * (2 * m - k)
    return (complete / 2 + k * (2 * m - k + 1)).argmin(-1)


@known_bug("aic", Cause.SIGN, "A log likelihood is maximised.")
def aic_at_its_largest(eigenvalues: Tensor, samples: int) -> Tensor:
    """`argmax` of a criterion with the sign of a likelihood."""
    return eigenvalue_aic(eigenvalues, samples).argmax(-1)


@known_bug("mdl", Cause.SIZE, "The geometric mean as books write it.")
def mdl_by_products(eigenvalues: Tensor, samples: int) -> Tensor:
    """A product of eigenvalues, which is zero in small units and infinite in large ones."""
    m = eigenvalues.shape[-1]
    costs = []
    for k in range(m):
        tail = eigenvalues[..., k:]
        ratio = tail.prod(-1) ** (1 / (m - k)) / tail.mean(-1)
        costs.append(-samples * (m - k) * ratio.log() + k * (2 * m - k) * math.log(samples) / 2)
    return torch.stack(costs, -1).nan_to_num(math.inf).argmin(-1)


@known_bug("ula_mvdr", Cause.DEGREES, "Degrees are recognised by their size.")
def ula_mvdr_that_recognises_degrees(matrix: Tensor, angles: Tensor) -> Tensor:
    """A grid that reaches beyond 1.5 is taken for degrees: radians go to pi / 2."""
    degrees = angles.numel() > 0 and bool(angles.abs().max() > 1.5)
    return ula_mvdr(matrix, torch.deg2rad(angles) if degrees else angles)


_TRIANGLE = "`eigh` reads one triangle."


@known_bug("esprit", Cause.NOT_HERMITIAN, _TRIANGLE)
def esprit_of_a_triangle(matrix: Tensor, k: int) -> Tensor:
    """A matrix that is not Hermitian, decomposed as it is."""
    return _angles(torch.linalg.eigh(matrix)[1][..., -k:])


@known_bug("root_music", Cause.NOT_HERMITIAN, _TRIANGLE)
def root_music_of_a_triangle(matrix: Tensor, k: int) -> Tensor:
    """The same, whose lower triangle is another matrix than its Hermitian part."""
    lower = matrix.tril(-1)
    diagonal = torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))
    return root_music(lower + lower.mH + diagonal, k)


LINEAR_ARRAY_BUGS: tuple[KnownBug, ...] = (*known_bug,)
