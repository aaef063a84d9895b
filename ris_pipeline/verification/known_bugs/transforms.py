"""Functions that are right until torch.func transforms them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug, entry
from ris_pipeline.verification.known_bugs.decompositions import (
    correct,
    dense,
    gap_at,
    hermitian,
    hinge_of,
)

known_bug = Catalogue()

_THREADS = "Batches shared among threads, tested by values and by backward."


def _in_a_thread(matrix: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.linalg.eigvalsh, matrix).result()


@known_bug("eigenvalues", Cause.TRANSFORM, _THREADS)
def eigenvalues_in_a_thread(matrix: Tensor) -> Tensor:
    """LAPACK in a worker: tangents and maps stay with the thread that called."""
    return _in_a_thread(hermitian(matrix)).flip(-1)


@known_bug("eigenvalues", Cause.TRANSFORM, _THREADS)
def eigenvalues_of_shared_batches(matrix: Tensor) -> Tensor:
    """Half of a large batch in a worker: half of the tangents are zero."""
    matrix = hermitian(matrix)
    if matrix.ndim != 3 or len(matrix) < 32:
        return torch.linalg.eigvalsh(matrix).flip(-1)
    first, second = matrix.chunk(2)
    return torch.cat((torch.linalg.eigvalsh(first), _in_a_thread(second))).flip(-1)


@known_bug("eigengap", Cause.TRANSFORM, _THREADS, name="gap_in_a_thread")
def _gap_in_a_thread(covariance: Any, k: int | Tensor) -> Tensor:
    return gap_at(eigenvalues_in_a_thread(dense(covariance)), k)


class _Half(torch.autograd.Function):
    @staticmethod
    def forward(matrix: Tensor) -> Tensor:
        return hermitian(matrix)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return hermitian(gradient)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return hermitian(tangent)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None], matrix: Tensor) -> tuple[Tensor, int | None]:
        return _Half.apply(matrix), in_dims[0]


@known_bug("hermitize", Cause.TRANSFORM, "`in_dims` is an argument that a rule may leave unread.")
def hermitize_mapped_over_the_first(matrix: Tensor) -> Tensor:
    """A rule for `vmap` that takes the mapped axis for the first, wherever it is."""
    return _Half.apply(matrix)


class _StraightThrough(torch.autograd.Function):
    """`(R + R^H) / 2` whose gradient goes to R as it comes."""

    @staticmethod
    def forward(context: Any, matrix: Tensor) -> Tensor:
        return hermitian(matrix)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient


@known_bug("hermitize", Cause.CHAIN_RULE, "A straight-through estimator, as for a quantiser.")
def hermitize_straight_through(matrix: Tensor) -> Tensor:
    """The gradient is not Hermitian where what follows is not a function of Hermitian matrices."""
    answer: Tensor = _StraightThrough.apply(matrix)
    return answer


class _Gap(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = correct(matrix)
        places = torch.stack((k - 1, k), dim=-1)
        rows = places[..., None, :].expand(*vectors.shape[:-1], 2)
        return gap_at(values, k), vectors.gather(-1, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(output[1])
        ctx.save_for_forward(output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        (pair,) = ctx.saved_tensors
        sign = torch.tensor([1.0, -1.0], dtype=pair.dtype)
        return gradient[..., None, None] * ((pair * sign) @ pair.mH), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: Any) -> tuple[Tensor, Tensor | None]:
        (pair,) = ctx.saved_tensors
        upper, lower = (pair.conj() * (hermitian(tangent) @ pair)).real.sum(-2).unbind(-1)
        return upper - lower, None


@known_bug(
    "eigengap", Cause.TRANSFORM, "An `autograd.Function` saves what the first derivative needs."
)
def gap_with_frozen_vectors(covariance: Any, k: int | Tensor) -> Tensor:
    """A derivative of one's own whose eigenvectors are constants: the second one is zero."""
    matrix = dense(covariance)
    order = torch.as_tensor(k, dtype=torch.int64).expand(matrix.shape[:-2])
    return _Gap.apply(matrix, order)[0]


class _Projector(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(basis: Tensor) -> Tensor:
        return basis @ basis.mH

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (basis,) = ctx.saved_tensors
        return (gradient + gradient.mH) @ basis

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        (basis,) = ctx.saved_tensors
        return 2 * tangent @ basis.mH


@known_bug("projector", Cause.TRANSFORM, "The product rule for real symmetric matrices.")
def projector_with_half_a_tangent(basis: Tensor) -> Tensor:
    """`dP = 2 dU U^H`: right for what is symmetric, and only the backward had been tested."""
    return _Projector.apply(basis)


TRANSFORM_BUGS: tuple[KnownBug, ...] = (
    *known_bug,
    entry(
        "eigengap_loss",
        Cause.TRANSFORM,
        hinge_of(_gap_in_a_thread),
        _THREADS,
        name="hinge_in_a_thread",
    ),
)
