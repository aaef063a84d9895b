"""Textbook formulas of the functions of a matrix, as they are written in torch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def hermitian_part(matrix: Tensor) -> Tensor:
    """`(R + R^H) / 2`."""
    return (matrix + matrix.mH) / 2


def by_magnitude(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues by ascending magnitude and their vectors: what an SVD has in place of them."""
    values, vectors = torch.linalg.eigh(matrix)
    order = values.abs().argsort(-1)
    return values.gather(-1, order), taken(vectors, order)


def in_no_order(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors as a solver of general matrices has them."""
    values, vectors = torch.linalg.eig(matrix)
    return values.real, vectors


def taken(vectors: Tensor, order: Tensor) -> Tensor:
    """Columns in another order."""
    return vectors.gather(-1, order[..., None, :].expand(vectors.shape))


def eye(size: int) -> Tensor:
    """The identity."""
    return torch.eye(size, dtype=torch.complex128)


def exchange(size: int) -> Tensor:
    """J, ones on the other diagonal."""
    return eye(size).flip(0)


def spread(values: Tensor) -> Tensor:
    """A diagonal matrix."""
    return torch.diag_embed(values)


def _half_sum(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mH) / 2


def _half_sum_of_parts(matrix: Tensor) -> Tensor:
    real = (matrix.real + matrix.real.mT) / 2
    imaginary = (matrix.imag - matrix.imag.mT) / 2
    return real + 1j * imaginary


def _transposed(matrix: Tensor) -> Tensor:
    return 0.5 * matrix + 0.5 * matrix.conj().mT


def _less_skew(matrix: Tensor) -> Tensor:
    return matrix - (matrix - matrix.mH) / 2


def _of_triangles(matrix: Tensor) -> Tensor:
    lower = (matrix.tril(-1) + matrix.triu(1).mH) / 2
    diagonal = spread(matrix.diagonal(dim1=-2, dim2=-1).real)
    return lower + lower.mH + diagonal


def _descending(matrix: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(hermitian_part(matrix)).flip(-1)


def _sorted(matrix: Tensor) -> Tensor:
    values, _ = torch.linalg.eigh(hermitian_part(matrix))
    return values.sort(dim=-1, descending=True).values


def _quotients(matrix: Tensor) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return (vectors.conj() * (hermitian_part(matrix) @ vectors)).sum(-2).real.flip(-1)


def _magnitudes(matrix: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(hermitian_part(matrix)).abs().sort(-1, descending=True).values


def _of_square(matrix: Tensor) -> Tensor:
    part = hermitian_part(matrix)
    return torch.linalg.eigvalsh(part @ part.mH).clamp_min(0).sqrt().flip(-1)


def _gap(matrix: Tensor, k: int) -> Tensor:
    values = torch.linalg.eigvalsh(hermitian_part(matrix)).flip(-1)
    return values[..., k - 1] - values[..., k]


def _gap_from_below(matrix: Tensor, k: int) -> Tensor:
    values = torch.linalg.eigvalsh(hermitian_part(matrix))
    n = matrix.shape[-1]
    return values[..., n - k] - values[..., n - k - 1]


def _gap_of_parts(matrix: Tensor, k: int) -> Tensor:
    values = torch.linalg.eigvalsh(hermitian_part(matrix)).flip(-1)
    return values[..., :k].amin(-1) - values[..., k:].amax(-1)


def _gap_by_differences(matrix: Tensor, k: int) -> Tensor:
    values = torch.linalg.eigvalsh(hermitian_part(matrix)).flip(-1)
    return -values.diff(dim=-1)[..., k - 1]


def _gap_from_the_end(matrix: Tensor, k: int) -> Tensor:
    values = torch.linalg.eigvalsh(hermitian_part(matrix))
    return values[..., -k] - values[..., -k - 1]


def _hinge(matrix: Tensor, k: int, margin: float) -> Tensor:
    values = torch.linalg.eigvalsh(hermitian_part(matrix)).flip(-1)
    return torch.relu(margin - (values[..., k - 1] - values[..., k])).mean()


def _hinge_from_below(matrix: Tensor, k: int, margin: float) -> Tensor:
    values = torch.linalg.eigvalsh(hermitian_part(matrix))
    gap = values[..., -k] - values[..., -k - 1]
    return (margin - gap).clamp_min(0).sum() / gap.numel()


def _first_columns(matrix: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return vectors.flip(-1)[..., :k]


def _last_columns(matrix: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return vectors[..., -k:]


def _picked_columns(matrix: Tensor, k: int) -> Tensor:
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return taken(vectors, values.argsort(-1, descending=True))[..., :k]


def _rest_of_columns(matrix: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return vectors.flip(-1)[..., k:]


def _least_columns(matrix: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    n = matrix.shape[-1]
    return vectors[..., : n - k]


def _picked_rest(matrix: Tensor, k: int) -> Tensor:
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return taken(vectors, values.argsort(-1, descending=True))[..., k:]


def _products(basis: Tensor) -> Tensor:
    return basis @ basis.mH


def _sum_of_products(basis: Tensor) -> Tensor:
    return (basis[..., :, None, :] * basis.conj()[..., None, :, :]).sum(-1)


def _by_gram(basis: Tensor) -> Tensor:
    return basis @ torch.linalg.inv(basis.mH @ basis) @ basis.mH


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mH


def _root_by_diagonal(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return vectors @ spread(values.clamp_min(0).sqrt()).to(vectors.dtype) @ vectors.mH


def _positive_part(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return (vectors * values.clamp_min(0)[..., None, :]) @ vectors.mH


def _half_of_magnitudes(matrix: Tensor) -> Tensor:
    part = hermitian_part(matrix)
    values, vectors = torch.linalg.eigh(part)
    return (part + (vectors * values.abs()[..., None, :]) @ vectors.mH) / 2


def _whitened(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return (vectors / values.sqrt()[..., None, :]) @ vectors.mH


def _whitened_by_components(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return (vectors * values.rsqrt()[..., None, :]).mH


def _whitened_by_factor(matrix: Tensor) -> Tensor:
    return torch.linalg.inv(torch.linalg.cholesky(hermitian_part(matrix)))


def _of_singular_triplets(matrix: Tensor) -> Tensor:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    cut = values[..., :1] * 1e-13
    inverse = torch.where(values > cut, 1 / values, 0.0)
    return (right.mH * inverse[..., None, :]) @ left.mH


def _by_normal_equations(matrix: Tensor) -> Tensor:
    wide = matrix.shape[-1] > matrix.shape[-2]
    tall = matrix.mH if wide else matrix
    inverse = torch.linalg.inv(tall.mH @ tall) @ tall.mH
    return inverse.mH if wide else inverse


def _loaded(matrix: Tensor, loading: float) -> Tensor:
    return matrix + loading * eye(matrix.shape[-1])


def _loaded_diagonal(matrix: Tensor, loading: float) -> Tensor:
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    return matrix - spread(diagonal) + spread(diagonal + loading)


def _averaged(matrix: Tensor) -> Tensor:
    return (matrix + matrix.conj().flip(-1, -2)) / 2


def _averaged_by_exchange(matrix: Tensor) -> Tensor:
    flip = exchange(matrix.shape[-1])
    return 0.5 * (matrix + flip @ matrix.conj() @ flip)


def _smoothed(matrix: Tensor, size: int) -> Any:
    starts = matrix.shape[-1] - size + 1
    return sum(matrix[..., i : i + size, i : i + size] for i in range(starts)) / starts


def _smoothed_to_the_end(matrix: Tensor, size: int) -> Tensor:
    n = matrix.shape[-1]
    total = torch.zeros_like(matrix[..., :size, :size])
    for start in range(n - size + 1):
        total = total + matrix[..., start : start + size, start : start + size]
    return total / (n - size + 1)


def _smoothed_by_diagonals(matrix: Tensor, size: int) -> Tensor:
    n = matrix.shape[-1]
    rows = []
    for i in range(size):
        runs: list[Any] = [
            sum(matrix[..., i + m, j + m] for m in range(n - size + 1)) / (n - size + 1)
            for j in range(size)
        ]
        rows.append(torch.stack(runs, -1))
    return torch.stack(rows, -2)


Form = Callable[..., Any]

MATRIX_FORMS: dict[str, tuple[Form, ...]] = {
    "hermitize": (_half_sum, _transposed, _less_skew, _half_sum_of_parts, _of_triangles),
    "eigenvalues": (_descending, _sorted, _quotients),
    "singular_values": (_magnitudes, _of_square),
    "eigengap": (_gap, _gap_from_below, _gap_of_parts, _gap_by_differences, _gap_from_the_end),
    "eigengap_loss": (_hinge, _hinge_from_below),
    "signal_subspace": (_first_columns, _last_columns, _picked_columns),
    "noise_subspace": (_rest_of_columns, _least_columns, _picked_rest),
    "projector": (_products, _sum_of_products, _by_gram),
    "matrix_sqrt": (_root, _root_by_diagonal),
    "psd_projection": (_positive_part, _half_of_magnitudes),
    "whitening": (_whitened, _whitened_by_components, _whitened_by_factor),
    "pseudo_inverse": (_of_singular_triplets, _by_normal_equations),
    "add_loading": (_loaded, _loaded_diagonal),
    "forward_backward": (_averaged, _averaged_by_exchange),
    "spatial_smoothing": (_smoothed, _smoothed_to_the_end, _smoothed_by_diagonals),
}
"""By the names of `target.places()`."""
