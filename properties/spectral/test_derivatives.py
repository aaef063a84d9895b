"""Law: whatever a loss is built on passes the whole gradient on (`verification.slopes`)."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification import slopes
from ris_pipeline.verification.bounds import steering_slope_bound, steering_step
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.oracles import steering_at
from ris_pipeline.verification.problems import Size, fresh, problem
from ris_pipeline.verification.strategies import Domain, extent_of, some_panel
from ris_pipeline.verification.target import (
    TARGET,
    Claim,
    DoesNotApply,
    taken,
    takes,
    under_test,
)

SIZES = tuple(Size(n, batch, k=k) for n, k in ((4, 2), (5, 1)) for batch in ((), (2,)))
seeds = st.integers(0, 3)


@given(st.sampled_from(SIZES), seeds)
def test_the_slope_is_the_whole_slope(size: Size, seed: int) -> None:
    for name in under_test(slopes.SLOPES):
        given = fresh(problem(size))
        leaf = given.argument(name).clone().requires_grad_()
        answer = slopes.live(name, getattr(TARGET, name)(leaf, *given.more(name)))
        assert_true(f"{name} is attached", answer.requires_grad, "no gradient")
        direction, moved = slopes.ways(name, given, seed)
        weight = slopes.gaussian(moved.shape, seed + 100)
        (answer.to(torch.complex128) * torch.from_numpy(weight).conj()).sum().real.backward()
        assert leaf.grad is not None, f"no gradient: {name} is detached"
        slope = np.vdot(leaf.grad.resolve_conj().to(torch.complex128).numpy(), direction).real
        expected = np.vdot(weight, moved).real
        bound = slopes.slope_bound(name, given, weight)
        # Room for other ways to it than ours, through eigenvectors say.
        assert_within(f"slope of {name}", slope, expected, bound, recorded=False)


@given(st.sampled_from(SIZES), seeds)
def test_the_slope_by_the_steering_vectors(size: Size, seed: int) -> None:
    for name in under_test(("music_spectrum", "mvdr_spectrum", "bartlett_spectrum")):
        given = fresh(problem(size))
        leaf = given.steering_tensor().requires_grad_()
        answer = slopes.live(
            name, getattr(TARGET, name)(given.argument(name), *given.more(name, leaf))
        )
        assert_true(f"{name} is attached", answer.requires_grad, "no gradient")
        direction = slopes.gaussian(tuple(leaf.shape), seed)
        moved = slopes.moved_by_steering(name, given, direction)
        weight = np.asarray(slopes.gaussian(moved.shape, seed + 100).real)
        (answer * torch.from_numpy(weight)).sum().backward()
        assert leaf.grad is not None, f"no gradient: {name} is detached"
        slope = np.vdot(leaf.grad.resolve_conj().numpy(), direction).real
        bound = slopes.slope_bound(name, given, weight) * float(np.linalg.norm(direction))
        expected = float((weight * moved).sum())
        assert_within(f"slope of {name}", slope, expected, bound, recorded=False)


@given(seeds)
def test_a_simple_eigenvalue_has_its_slope_beside_equal_ones(seed: int) -> None:
    taken((Domain.REPEATED,))
    given = problem(Size(4, k=1))
    # On the diagonal, where they are equal to the last bit on every processor.
    values = np.array([5.0, 3.0, 1.0, 1.0])
    direction = slopes.direction("eigenvalues", given, seed)
    along = np.diagonal(direction).real
    for name in under_test(("eigenvalues", "singular_values", "eigengap", "eigengap_loss")):
        leaf = torch.from_numpy(np.diag(values).astype(complex)).requires_grad_()
        rest = {"eigengap": (1,), "eigengap_loss": (1, 10.0)}.get(name, ())
        answer = getattr(TARGET, name)(leaf, *rest).double()
        assert_true(f"{name} is attached", answer.requires_grad, "no gradient")
        (answer[0] - answer[1] if answer.ndim else answer).backward()
        assert leaf.grad is not None, f"no gradient: {name} is detached"
        slope = np.vdot(leaf.grad.resolve_conj().to(torch.complex128).numpy(), direction).real
        expected = float(along[0] - along[1]) * (-1 if name == "eigengap_loss" else 1)
        bound = slopes.simple_bound(values, 2.0)
        assert_within(f"slope of {name}", slope, expected, bound, recorded=False)


def _refuses_a_second(answer: torch.Tensor, leaf: torch.Tensor) -> bool:
    """Whether a slope cannot be differentiated at all: `once_differentiable` says so only where the
    gradient that comes in asks for its own."""
    incoming = torch.ones_like(answer, requires_grad=True)
    (slope,) = torch.autograd.grad(answer, leaf, incoming, create_graph=True)
    if not slope.requires_grad:
        # Cut off without a word.
        return False
    try:
        torch.autograd.grad(slope.abs().sum(), incoming)
    except RuntimeError:
        return True
    return False


@given(st.sampled_from(SIZES), seeds)
def test_the_second_derivative_is_kept_or_refused(size: Size, seed: int) -> None:
    for name in under_test(slopes.CURVED):
        given = fresh(problem(size))
        leaf = given.argument(name).clone().requires_grad_()
        answer = getattr(TARGET, name)(leaf, *given.more(name))
        direction = slopes.direction(name, given, seed)
        weight = np.asarray(slopes.gaussian(tuple(answer.shape), seed + 100).real)
        objective = (answer.double() * torch.from_numpy(weight)).sum()
        try:
            (slope,) = torch.autograd.grad(objective, leaf, create_graph=True)
            kept = slope.requires_grad or _refuses_a_second(answer, leaf)
            assert_true(f"{name} keeps its second derivative", kept, "constant")
            along = (slope.conj() * torch.from_numpy(direction)).sum().real
            (second,) = torch.autograd.grad(along, leaf)
        except RuntimeError as error:
            # Said openly, as by `once_differentiable`.
            if takes(Claim.SECOND_DERIVATIVE):
                raise
            raise DoesNotApply("needs a second derivative") from error
        got = np.vdot(second.resolve_conj().to(torch.complex128).numpy(), direction).real
        if not np.isfinite(got) and not takes(Claim.SECOND_DERIVATIVE):
            # NaN is no silence: that of eigenvectors at a tie of their own making.
            raise DoesNotApply("needs a second derivative")
        expected = float((weight * slopes.curved(name, given, direction)).sum())
        bound = slopes.slope_bound(name, given, weight) * given.drawn.n
        assert_within(f"curvature of {name}", got, expected, bound)


def _moved(where: tuple[float, float, float], axis: int, by: float) -> tuple[float, float, float]:
    azimuth, elevation, distance = (x + by * (i == axis) for i, x in enumerate(where))
    return azimuth, elevation, distance


@given(
    st.sampled_from(((0.25, -0.5, 3.0), (0.0, 0.0, 1.25), (-1.0, 0.75, 40.0))), st.integers(0, 2)
)
def test_the_slope_of_a_steering_vector(where: tuple[float, float, float], axis: int) -> None:
    panel = some_panel(torch.float64)
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in where]
    answer = TARGET.steering_vector(panel, *leaves)
    assert_true("steering_vector is attached", answer.requires_grad, "no gradient")
    weight = slopes.gaussian(tuple(answer.shape), axis)
    (answer * torch.from_numpy(weight).conj()).sum().real.backward()
    assert leaves[axis].grad is not None, "no gradient: steering_vector is detached"
    # The distance moves in parts of itself.
    unit = where[2] if axis == 2 else 1.0
    step = steering_step()
    ends = [
        steering_at(
            panel.positions.numpy(),
            _moved(where, axis, sign * step * unit),
            float(panel.wavelength),
        )
        for sign in (1, -1)
    ]
    expected = np.vdot(weight, (ends[0] - ends[1]) / (2 * step)).real
    slope = leaves[axis].grad
    assert slope is not None
    got = unit * slope.item()
    bound = steering_slope_bound(extent_of(panel), float(panel.wavelength))
    assert_within("slope", got, expected, bound * float(np.abs(weight).sum()))
