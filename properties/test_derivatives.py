"""Law: whatever a loss is built on passes the whole gradient on.

For `f(R) = Re <W, y(R)>` and a Hermitian direction D the slope `Re <grad f, D>` is `Re <W, dy>`:

    hermitize          D
    eigenvalues        diag H,                       H = V^H D V
    projector on U_s   sum_{i <= k < j} v_i H_ij v_j^H / (l_i - l_j) + adjoint      (Kato, II-2.14)
    MUSIC              1/s = a^H (I - P) a
    MVDR               ds = s^2 a^H R^-1 D R^-1 a
    U U^H              D U^H + U D^H

and the second derivative of an eigenvalue is `2 sum_{j != i} |H_ij|^2 / (l_i - l_j)` (Kato,
II-2.36).
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ris_pipeline.verification.bounds import (
    product_bound,
    separation,
    steering_slope_bound,
    steering_step,
)
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.oracles import steering_at
from ris_pipeline.verification.problems import Problem, Size, fresh, problem
from ris_pipeline.verification.strategies import extent_of, some_panel
from ris_pipeline.verification.target import TARGET, Claim, DoesNotApply, takes, under_test

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
)
CURVED = ("eigenvalues", "eigengap", "eigengap_loss")
SIZES = tuple(Size(n, batch, k=k) for n, k in ((4, 2), (5, 1)) for batch in ((), (2,)))
seeds = st.integers(0, 3)


def _adjoint(matrix: np.ndarray) -> np.ndarray:
    return matrix.conj().swapaxes(-1, -2)


def _gaussian(shape: tuple[int, ...], seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    parts = [generator.standard_normal(shape) for _ in range(2)]
    return np.asarray(parts[0] + 1j * parts[1])


def _direction(name: str, given: Problem, seed: int) -> np.ndarray:
    shape = tuple(given.argument(name).shape)
    drawn = _gaussian(shape, seed)
    direction = drawn if name == "projector" else drawn + _adjoint(drawn)
    return np.asarray(direction / np.linalg.norm(direction))


def _moved(name: str, given: Problem, direction: np.ndarray) -> np.ndarray:
    """The derivative of the comparable answer along a direction."""
    vectors, values, k, a = given.vectors, given.drawn.values, given.k, given.steering
    if name == "projector":
        basis = vectors[..., :k]
        return np.asarray(direction @ _adjoint(basis) + basis @ _adjoint(direction))
    inner = _adjoint(vectors) @ direction @ vectors
    diagonal = np.diagonal(inner, axis1=-2, axis2=-1).real
    gap = diagonal[..., k - 1] - diagonal[..., min(k, values.shape[-1] - 1)]
    match name:
        case "hermitize":
            return direction
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


def _projector_moved(
    vectors: np.ndarray, values: np.ndarray, inner: np.ndarray, k: int
) -> np.ndarray:
    across = np.zeros_like(inner)
    distance = values[..., :k, None] - values[..., None, k:]
    across[..., :k, k:] = inner[..., :k, k:] / distance
    return vectors @ (across + _adjoint(across)) @ _adjoint(vectors)


def _live(name: str, answer: Tensor) -> Tensor:
    """The comparable answer, as `problems.comparable`, with its graph."""
    if name.endswith("_subspace"):
        return answer @ answer.mH
    return answer.reciprocal() if name == "music_spectrum" else answer


LINEAR = ("hermitize", "bartlett_spectrum", "projector")


def _bound(name: str, given: Problem, weight: np.ndarray) -> float:
    """`c n eps (1 + ||R|| / separation)^2 |W|`, without the condition where y is linear.

    Eigenvectors turn by `n eps ||R|| / separation`, and what is made of them is divided by a
    separation once more.
    """
    values, n = given.drawn.values, given.drawn.n
    nearest = min(float(separation(values, place).min()) for place in range(n))
    condition = 1.0 if name in LINEAR else 1 + float(values.max()) / nearest
    return float(product_bound(np.linalg.norm(weight), n, torch.complex128)) * condition**2


@given(st.sampled_from(SIZES), seeds)
def test_the_slope_is_the_whole_slope(size: Size, seed: int) -> None:
    for name in under_test(SLOPES):
        given = fresh(problem(size))
        leaf = given.argument(name).clone().requires_grad_()
        answer = _live(name, getattr(TARGET, name)(leaf, *given.more(name)))
        assert_true(f"{name} is attached", answer.requires_grad, "no gradient")
        direction = _direction(name, given, seed)
        moved = _moved(name, given, direction)
        weight = _gaussian(moved.shape, seed + 100)
        (answer.cdouble() * torch.from_numpy(weight).conj()).sum().real.backward()
        assert leaf.grad is not None, f"no gradient: {name} is detached"
        slope = np.vdot(leaf.grad.resolve_conj().cdouble().numpy(), direction).real
        expected = np.vdot(weight, moved).real
        assert_within(f"slope of {name}", slope, expected, _bound(name, given, weight))


@given(st.sampled_from(SIZES), seeds)
def test_the_second_derivative_is_kept_or_refused(size: Size, seed: int) -> None:
    for name in under_test(CURVED):
        given = fresh(problem(size))
        leaf = given.argument(name).clone().requires_grad_()
        answer = getattr(TARGET, name)(leaf, *given.more(name))
        direction = _direction(name, given, seed)
        weight = np.asarray(_gaussian(tuple(answer.shape), seed + 100).real)
        objective = (answer.double() * torch.from_numpy(weight)).sum()
        try:
            (slope,) = torch.autograd.grad(objective, leaf, create_graph=True)
            assert_true(f"{name} keeps its second derivative", slope.requires_grad, "constant")
            along = (slope.conj() * torch.from_numpy(direction)).sum().real
            (second,) = torch.autograd.grad(along, leaf)
        except RuntimeError as error:
            # Said openly, as by `once_differentiable`.
            if takes(Claim.SECOND_DERIVATIVE):
                raise
            raise DoesNotApply("needs a second derivative") from error
        got = np.vdot(second.resolve_conj().cdouble().numpy(), direction).real
        if not np.isfinite(got) and not takes(Claim.SECOND_DERIVATIVE):
            # NaN is no silence: that of eigenvectors at a tie of their own making.
            raise DoesNotApply("needs a second derivative")
        expected = float((weight * _curved(name, given, direction)).sum())
        bound = _bound(name, given, weight) * given.drawn.n
        assert_within(f"curvature of {name}", got, expected, bound)


def _curved(name: str, given: Problem, direction: np.ndarray) -> np.ndarray:
    vectors, values, k = given.vectors, given.drawn.values, given.k
    inner = np.abs(_adjoint(vectors) @ direction @ vectors) ** 2
    distance = values[..., :, None] - values[..., None, :]
    with np.errstate(divide="ignore"):
        terms = np.where(distance == 0, 0.0, inner / distance)
    curvature = 2 * terms.sum(axis=-1)
    if name == "eigenvalues":
        return np.asarray(curvature)
    gap = curvature[..., k - 1] - curvature[..., k]
    return np.asarray(gap if name == "eigengap" else -gap.mean())


@given(
    st.sampled_from(((0.25, -0.5, 3.0), (0.0, 0.0, 1.25), (-1.0, 0.75, 40.0))), st.integers(0, 2)
)
def test_the_slope_of_a_steering_vector(where: tuple[float, float, float], axis: int) -> None:
    panel = some_panel(torch.float64)
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in where]
    answer = TARGET.steering_vector(panel, *leaves)
    assert_true("steering_vector is attached", answer.requires_grad, "no gradient")
    weight = _gaussian(tuple(answer.shape), axis)
    (answer * torch.from_numpy(weight).conj()).sum().real.backward()
    assert leaves[axis].grad is not None, "no gradient: steering_vector is detached"
    # The distance moves in parts of itself.
    unit = where[2] if axis == 2 else 1.0
    step = steering_step()
    ends = [
        steering_at(
            panel.positions.numpy(),
            tuple(x + sign * step * unit * (i == axis) for i, x in enumerate(where)),
            float(panel.wavelength),
        )
        for sign in (1, -1)
    ]
    expected = np.vdot(weight, (ends[0] - ends[1]) / (2 * step)).real
    got = unit * leaves[axis].grad.item()
    bound = steering_slope_bound(extent_of(panel), float(panel.wavelength))
    assert_within("slope", got, expected, bound * float(np.abs(weight).sum()))
