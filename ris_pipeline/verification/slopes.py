"""Derivatives of what a matrix has, in closed form: the oracle of the laws about gradients.

For `f(R) = Re <W, y(R)>` and a Hermitian direction D the slope `Re <grad f, D>` is `Re <W, dy>`:

    hermitize          D
    eigenvalues        diag H,                       H = V^H D V
    projector on U_s   sum_{i <= k < j} v_i H_ij v_j^H / (l_i - l_j) + adjoint      (Kato, II-2.14)
    MUSIC              1/s = a^H (I - P) a
    MVDR               ds = s^2 a^H R^-1 D R^-1 a
    U U^H              D U^H + U D^H
    F F^H              D F^H + F D^H
    R^(1/2)            S dS + dS S = D                                          (Higham, (6.4))
    R^-1               -R^-1 D R^-1

and the second derivative of an eigenvalue is `2 sum_{j != i} |H_ij|^2 / (l_i - l_j)` (Kato,
II-2.36).
"""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._laws import adjoint
from ris_pipeline.verification.bounds import product_bound, separation
from ris_pipeline.verification.families import AVERAGES, ESTIMATES, FUNCTIONS, HERMITIZED, ULA
from ris_pipeline.verification.oracles import ula
from ris_pipeline.verification.problems import Problem
from ris_pipeline.verification.target import Claim, takes

SLOPES = (
    "hermitize",
    "eigenvalues",
    "singular_values",
    "eigengap",
    "eigengap_loss",
    "signal_subspace",
    "noise_subspace",
    "projector",
    "music_spectrum",
    "mvdr_spectrum",
    "bartlett_spectrum",
    "factor_eigengap_loss",
    "sample_covariance",
    *AVERAGES,
    *FUNCTIONS,
    *ULA,
)
"""Functions whose derivative is known here."""

CURVED = ("eigenvalues", "eigengap", "eigengap_loss", "factor_eigengap_loss")
"""Those whose second derivative is."""

LINEAR = (
    "hermitize",
    "bartlett_spectrum",
    "projector",
    "sample_covariance",
    "ula_bartlett",
    *AVERAGES,
)
"""Those whose derivative does not depend on the eigenvectors."""


def gaussian(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Complex numbers, the same for a seed in every run."""
    generator = np.random.default_rng(seed)
    parts = [generator.standard_normal(shape) for _ in range(2)]
    return np.asarray(parts[0] + 1j * parts[1])


def direction(name: str, given: Problem, seed: int) -> np.ndarray:
    """A direction of unit norm for the function's first argument, Hermitian for a matrix.

    A basis moves so that it stays orthonormal: `U^H D + D^H U = 0`. `U U^H` and `U U^+` are one
    projector on orthonormal columns, and not beside them.
    """
    shape = tuple(given.argument(name).shape)
    drawn = gaussian(shape, seed)
    if name in ("factor_eigengap_loss", *ESTIMATES):
        along = drawn
    elif name == "projector":
        basis = given.vectors[..., : given.k]
        inner = adjoint(basis) @ drawn
        along = drawn - basis @ (inner + adjoint(inner)) / 2
    else:
        along = drawn + adjoint(drawn)
    return np.asarray(along / np.linalg.norm(along))


def ways(name: str, given: Problem, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A direction and the derivative of the answer along it.

    A function of the Hermitian part does not move along the skew part of a direction.
    """
    if name in HERMITIZED and takes(Claim.NOT_HERMITIAN):
        drawn = gaussian(tuple(given.argument(name).shape), seed)
        along = drawn / np.linalg.norm(drawn)
        return along, moved(name, given, (along + adjoint(along)) / 2)
    along = direction(name, given, seed)
    return along, moved(name, given, along)


def moved(name: str, given: Problem, direction: np.ndarray) -> np.ndarray:
    """The derivative of the comparable answer along a direction."""
    vectors, values, k, a = given.vectors, given.drawn.values, given.k, given.steering
    if name in ULA:
        seen = moved(
            ULA[name], replace(given, steering=ula(given.drawn.n, given.angles())), direction
        )
        return seen / given.drawn.n**2 if name == "ula_bartlett" else seen
    if name == "factor_eigengap_loss":
        return moved("eigengap_loss", given, _of_product(given.factor(), direction))
    if name == "sample_covariance":
        return _of_product(given.snapshots(), direction) / direction.shape[-1]
    if name in AVERAGES:
        return _averaged(name, given, direction)
    if name == "projector":
        basis = vectors[..., :k]
        return np.asarray(direction @ adjoint(basis) + basis @ adjoint(direction))
    inner = adjoint(vectors) @ direction @ vectors
    diagonal = np.diagonal(inner, axis1=-2, axis2=-1).real
    gap = diagonal[..., k - 1] - diagonal[..., min(k, values.shape[-1] - 1)]
    match name:
        case "hermitize" | "psd_projection":
            return direction
        case "matrix_sqrt":
            # S dS + dS S = D
            root = np.sqrt(values)
            sums = root[..., :, None] + root[..., None, :]
            return np.asarray(vectors @ (inner / sums) @ adjoint(vectors))
        case "pseudo_inverse" | "whitening":
            inverse = np.linalg.inv(given.drawn.exact)
            return np.asarray(-inverse @ direction @ inverse)
        case "eigenvalues" | "singular_values":
            return diagonal
        case "eigengap":
            return gap
        case "eigengap_loss":
            return np.asarray(-gap.mean())
        case "bartlett_spectrum":
            return (a.conj() * (direction @ a)).sum(axis=-2).real
        case "mvdr_spectrum":
            x = np.linalg.solve(given.drawn.exact, a)
            spectrum = 1 / (a.conj() * x).sum(axis=-2).real
            return spectrum**2 * (x.conj() * (direction @ x)).sum(axis=-2).real
    turned = _projector_moved(vectors, values, inner, k)
    if name == "signal_subspace":
        return turned
    return -turned if name == "noise_subspace" else -(a.conj() * (turned @ a)).sum(axis=-2).real


def _of_product(factor: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The derivative of `F F^H`."""
    half = direction @ adjoint(factor)
    return np.asarray(half + adjoint(half))


def _averaged(name: str, given: Problem, direction: np.ndarray) -> np.ndarray:
    """What becomes of a direction that a mean is taken of."""
    if name == "forward_backward":
        return np.asarray((direction + direction.conj()[..., ::-1, ::-1]) / 2)
    if name == "spatial_smoothing":
        blocks = [direction[..., w[:, None], w[None, :]] for w in given.windows()]
        return np.asarray(np.mean(blocks, axis=0))
    return direction


def moved_by_steering(name: str, given: Problem, direction: np.ndarray) -> np.ndarray:
    """The derivative of the comparable answer along a direction of the steering vectors."""
    a, noise = given.steering, given.vectors[..., given.k :]
    form: np.ndarray = given.drawn.exact
    if name == "mvdr_spectrum":
        form = np.linalg.inv(form)
    elif name == "music_spectrum":
        form = noise @ adjoint(noise)
    turned = 2 * (direction.conj() * (form @ a)).sum(axis=-2).real
    if name != "mvdr_spectrum":
        return np.asarray(turned)
    return np.asarray(-turned / (a.conj() * (form @ a)).sum(axis=-2).real ** 2)


def _projector_moved(
    vectors: np.ndarray, values: np.ndarray, inner: np.ndarray, k: int
) -> np.ndarray:
    across = np.zeros_like(inner)
    distance = values[..., :k, None] - values[..., None, k:]
    across[..., :k, k:] = inner[..., :k, k:] / distance
    return vectors @ (across + adjoint(across)) @ adjoint(vectors)


def live(name: str, answer: Tensor) -> Tensor:
    """The comparable answer, as `problems.comparable`, with its graph."""
    if name.endswith("_subspace"):
        return answer @ answer.mH
    if name == "whitening":
        return answer.mH @ answer
    return answer.reciprocal() if name in ("music_spectrum", "ula_music") else answer


def slope_bound(name: str, given: Problem, weight: np.ndarray) -> float:
    """`c n eps (1 + ||R|| / separation)^2 |W|`, without the condition where y is linear.

    Eigenvectors turn by `n eps ||R|| / separation`, and what is made of them is divided by a
    separation once more.
    """
    values, n = given.drawn.values, given.drawn.n
    nearest = min(float(separation(values, place).min()) for place in range(n))
    condition = 1.0 if name in LINEAR else 1 + float(values.max()) / nearest
    # The phases of a linear array are known to eps of their size.
    condition *= 1 + math.pi * n if name in ULA else 1.0
    return float(product_bound(float(np.linalg.norm(weight)), n, torch.complex128)) * condition**2


def simple_bound(values: np.ndarray, separation: float) -> float:
    """The same of a difference of two simple eigenvalues, so far from each other and the rest."""
    condition = 1 + float(np.abs(values).max()) / separation
    return float(product_bound(math.sqrt(2), len(values), torch.complex128)) * condition**2


def curved(name: str, given: Problem, direction: np.ndarray) -> np.ndarray:
    """The second derivative of the answer along a direction."""
    vectors, values, k = given.vectors, given.drawn.values, given.k
    # R(t) = (F + t D)(F + t D)^H has a second derivative of its own, 2 D D^H.
    bent = np.zeros_like(values)
    if name == "factor_eigengap_loss":
        bent = 2 * (np.abs(adjoint(vectors) @ direction) ** 2).sum(axis=-1)
        direction = _of_product(given.factor(), direction)
    inner = np.abs(adjoint(vectors) @ direction @ vectors) ** 2
    distance = values[..., :, None] - values[..., None, :]
    with np.errstate(divide="ignore"):
        terms = np.where(distance == 0, 0.0, inner / distance)
    curvature = 2 * terms.sum(axis=-1) + bent
    if name == "eigenvalues":
        return np.asarray(curvature)
    gap = curvature[..., k - 1] - curvature[..., k]
    return np.asarray(gap if name == "eigengap" else -gap.mean())
