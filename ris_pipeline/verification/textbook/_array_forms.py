"""Textbook formulas of snapshots, spectra, linear arrays and steering vectors, as written in
torch."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.verification.textbook._matrix_forms import Form, eye, hermitian_part


def numbers(count: int) -> Tensor:
    """`0, 1, .., count - 1`."""
    return torch.arange(count, dtype=torch.float64)


def _covariance(snapshots: Tensor) -> Tensor:
    return snapshots @ snapshots.mH / snapshots.shape[-1]


def _mean_of_products(snapshots: Tensor) -> Tensor:
    return (snapshots[..., :, None, :] * snapshots.conj()[..., None, :, :]).mean(-1)


def _sum_of_products(snapshots: Tensor) -> Any:
    count = snapshots.shape[-1]
    products = (snapshots[..., t : t + 1] @ snapshots[..., t : t + 1].mH for t in range(count))
    return sum(products) / count


def _shrunk(snapshots: Tensor) -> Tensor:
    n, count = snapshots.shape[-2], snapshots.shape[-1]
    sample = snapshots @ snapshots.mH / count
    level = sample.diagonal(dim1=-2, dim2=-1).real.sum(-1) / n
    target = level[..., None, None] * eye(n)
    distance = ((sample - target).abs() ** 2).sum((-2, -1)) / n
    fourth = ((snapshots.abs() ** 2).sum(-2) ** 2).sum(-1) / count
    error = (fourth - (sample.abs() ** 2).sum((-2, -1))) / count / n
    weight = (error / distance).clamp(0, 1)[..., None, None]
    return weight * target + (1 - weight) * sample


def _shrunk_by_a_loop(snapshots: Tensor) -> Tensor:
    n, count = snapshots.shape[-2], snapshots.shape[-1]
    sample = snapshots @ snapshots.mH / count
    level = sample.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    error: Any = 0.0
    for t in range(count):
        one = snapshots[..., t : t + 1] @ snapshots[..., t : t + 1].mH
        error = error + ((one - sample).abs() ** 2).sum((-2, -1))
    distance = ((sample - level * eye(n)).abs() ** 2).sum((-2, -1))
    weight = (error / count**2 / distance).clamp(max=1)[..., None, None]
    return (1 - weight) * sample + weight * level * eye(n)


def _shrunk_by_squares(snapshots: Tensor) -> Tensor:
    n, count = snapshots.shape[-2], snapshots.shape[-1]
    sample = snapshots @ snapshots.mH / count
    level = sample.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    squares = snapshots.abs() ** 2
    fourth = (squares @ squares.mT).real.sum((-2, -1)) / count
    error = (fourth - (sample.abs() ** 2).sum((-2, -1))) / count
    distance = (sample.abs() ** 2).sum((-2, -1)) - n * level[..., 0, 0] ** 2
    weight = (error / distance).clamp(0, 1)[..., None, None]
    return weight * level * eye(n) + (1 - weight) * sample


def _hinge_of_factor(factor: Tensor, k: int, margin: float) -> Tensor:
    values = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    return torch.relu(margin - (values[..., k - 1] - values[..., k])).mean()


def _hinge_of_singular_values(factor: Tensor, k: int, margin: float) -> Tensor:
    more = torch.zeros_like(factor[..., :1])
    values = torch.linalg.svdvals(torch.cat((factor, more), -1)) ** 2
    return (margin - values[..., k - 1] + values[..., k]).clamp_min(0).mean()


def _of_noise_vectors(matrix: Tensor, steering: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    noise = vectors[..., : matrix.shape[-1] - k]
    return 1 / ((noise.mH @ steering).abs() ** 2).sum(-2)


def _of_noise_projector(matrix: Tensor, steering: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    noise = vectors.flip(-1)[..., k:]
    projected = noise @ noise.mH @ steering
    return 1 / (steering.conj() * projected).sum(-2).real


def _of_noise_part(matrix: Tensor, steering: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    signal = vectors[..., -k:]
    return 1 / ((steering - signal @ (signal.mH @ steering)).abs() ** 2).sum(-2)


def _of_signal_vectors(matrix: Tensor, steering: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    signal = vectors[..., -k:]
    return 1 / ((steering.abs() ** 2).sum(-2) - ((signal.mH @ steering).abs() ** 2).sum(-2))


def _of_every_pair(matrix: Tensor, steering: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    noise = vectors.flip(-1)[..., k:]
    pairs = steering.mH @ noise @ noise.mH @ steering
    return 1 / pairs.diagonal(dim1=-2, dim2=-1).real


def _by_inverse(matrix: Tensor, steering: Tensor) -> Tensor:
    inverse = torch.linalg.inv(hermitian_part(matrix))
    return 1 / (steering.conj() * (inverse @ steering)).sum(-2).real


def _by_solving(matrix: Tensor, steering: Tensor) -> Tensor:
    solved = torch.linalg.solve(hermitian_part(matrix), steering)
    return 1 / (steering.conj() * solved).sum(-2).real


def _by_factor(matrix: Tensor, steering: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(hermitian_part(matrix))
    return 1 / (torch.linalg.solve(factor, steering).abs() ** 2).sum(-2)


def _by_weights(matrix: Tensor, steering: Tensor) -> Tensor:
    solved = torch.linalg.solve(hermitian_part(matrix), steering)
    weights = solved / (steering.conj() * solved).sum(-2)[..., None, :]
    return (weights.conj() * (hermitian_part(matrix) @ weights)).sum(-2).real


def _by_eigenvalues(matrix: Tensor, steering: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    return 1 / ((vectors.mH @ steering).abs() ** 2 / values[..., :, None]).sum(-2)


def _ula_power(matrix: Tensor, angles: Tensor) -> Tensor:
    n = matrix.shape[-1]
    steering = torch.exp(1j * math.pi * numbers(n)[:, None] * angles.sin())
    return (steering.conj() * (hermitian_part(matrix) @ steering)).sum(-2).real / n**2


def _ula_power_of_unit_vectors(matrix: Tensor, angles: Tensor) -> Tensor:
    n = matrix.shape[-1]
    phase = 2 * math.pi * 0.5 * numbers(n)[:, None] * angles.sin()
    steering = torch.exp(1j * phase) / math.sqrt(n)
    return (steering.conj() * (hermitian_part(matrix) @ steering)).sum(-2).real / n


def _ula_power_of_beams(matrix: Tensor, angles: Tensor) -> Tensor:
    n = matrix.shape[-1]
    steering = torch.exp(1j * math.pi * numbers(n)[:, None] * angles.sin())
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    beams = (vectors.mH @ steering).abs() ** 2
    return (values[..., :, None] * beams).sum(-2) / n**2


def _ula_power_of_root(matrix: Tensor, angles: Tensor) -> Tensor:
    n = matrix.shape[-1]
    steering = torch.exp(1j * math.pi * numbers(n)[:, None] * angles.sin())
    values, vectors = torch.linalg.eigh(hermitian_part(matrix))
    root = vectors * values.sqrt()[..., None, :]
    return ((root.mH @ steering).abs() ** 2).sum(-2) / n**2


def _ula_by_inverse(matrix: Tensor, angles: Tensor) -> Tensor:
    n = matrix.shape[-1]
    steering = torch.exp(1j * math.pi * numbers(n)[:, None] * angles.sin())
    inverse = torch.linalg.inv(hermitian_part(matrix))
    return 1 / (steering.conj() * (inverse @ steering)).sum(-2).real


def _ula_by_solving(matrix: Tensor, angles: Tensor) -> Tensor:
    phase = 2 * math.pi * 0.5 * numbers(matrix.shape[-1])[:, None] * angles.sin()
    steering = torch.exp(1j * phase)
    factor = torch.linalg.cholesky(hermitian_part(matrix))
    return 1 / (torch.linalg.solve(factor, steering).abs() ** 2).sum(-2)


def _ula_of_noise_vectors(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    n = matrix.shape[-1]
    steering = torch.exp(1j * math.pi * numbers(n)[:, None] * angles.sin())
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    noise = vectors[..., : n - k]
    return 1 / ((noise.mH @ steering).abs() ** 2).sum(-2)


def _ula_of_noise_projector(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    phase = 2 * math.pi * 0.5 * numbers(matrix.shape[-1])[:, None] * angles.sin()
    steering = torch.exp(1j * phase)
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    noise = vectors.flip(-1)[..., k:]
    return 1 / (steering.conj() * (noise @ noise.mH @ steering)).sum(-2).real


def _ula_of_signal(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    n = matrix.shape[-1]
    steering = torch.exp(1j * math.pi * numbers(n)[:, None] * angles.sin())
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    signal = vectors[..., -k:]
    return 1 / (n - ((signal.mH @ steering).abs() ** 2).sum(-2))


def _by_rotation(matrix: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    signal = vectors[..., -k:]
    first, second = signal[..., :-1, :], signal[..., 1:, :]
    turns = torch.linalg.inv(first.mH @ first) @ (first.mH @ second)
    phases = torch.angle(torch.linalg.eigvals(turns))
    return torch.asin((phases / math.pi).clamp(-1, 1)).sort(-1).values


def _by_rotation_with_spacing(matrix: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    signal = vectors.flip(-1)[..., :k]
    turns = torch.linalg.pinv(signal[..., :-1, :]) @ signal[..., 1:, :]
    phases = torch.angle(torch.linalg.eigvals(turns))
    return torch.asin((phases / (2 * math.pi * 0.5)).clamp(-1, 1)).sort(-1).values


def nearest_inside(roots: Any, k: int) -> Any:
    """The k roots nearest to the unit circle of those within."""
    inside = roots[np.abs(roots) < 1]
    return inside[np.argsort(-np.abs(inside))][:k]


def _by_roots(matrix: Tensor, k: int) -> Tensor:
    _, vectors = torch.linalg.eigh(hermitian_part(matrix))
    n = matrix.shape[-1]
    noise = vectors[..., : n - k]
    form = (noise @ noise.mH).numpy()
    coefficients = [np.trace(form, offset=lag) for lag in range(n - 1, -n, -1)]
    roots = nearest_inside(np.roots(coefficients), k)
    phases = torch.from_numpy(np.angle(roots))
    return torch.asin((phases / math.pi).clamp(-1, 1)).sort(-1).values


def _by_distance(
    positions: Tensor, azimuth: Tensor, elevation: Tensor, distance: Tensor, wavelength: float
) -> Tensor:
    across = torch.cos(elevation) * torch.sin(azimuth)
    up = torch.sin(elevation)
    ahead = torch.cos(elevation) * torch.cos(azimuth)
    place = distance[..., None] * torch.stack((across, up, ahead), -1)
    ways = ((place[..., None, :] - positions) ** 2).sum(-1).sqrt()
    phase = 2 * math.pi / wavelength * (distance[..., None] - ways)
    return torch.exp(1j * phase) / math.sqrt(positions.shape[0])


def _by_shape(
    shape: tuple[int, int],
    spacing: tuple[float, float],
    azimuth: Tensor,
    elevation: Tensor,
    distance: Tensor,
    wavelength: float,
) -> Tensor:
    columns, rows = shape
    index = numbers(columns * rows)
    x = (index % columns - (columns - 1) / 2) * spacing[0]
    y = (index // columns - (rows - 1) / 2) * spacing[1]
    source_x = distance * torch.cos(elevation) * torch.sin(azimuth)
    source_y = distance * torch.sin(elevation)
    source_z = distance * torch.cos(elevation) * torch.cos(azimuth)
    offset_x = source_x[..., None] - x
    offset_y = source_y[..., None] - y
    ways = (offset_x**2 + offset_y**2 + source_z[..., None] ** 2).sqrt()
    phase = 2 * math.pi * (distance[..., None] - ways) / wavelength
    return torch.exp(1j * phase) / math.sqrt(columns * rows)


def _by_grid(
    shape: tuple[int, int],
    spacing: tuple[float, float],
    azimuth: Tensor,
    elevation: Tensor,
    distance: Tensor,
    wavelength: float,
) -> Tensor:
    columns, rows = shape
    y, x = torch.meshgrid(numbers(rows), numbers(columns), indexing="ij")
    flat = torch.stack((x * spacing[0], y * spacing[1], 0 * x), -1).reshape(-1, 3)
    flat = flat - flat.mean(0)
    across = torch.cos(elevation) * torch.sin(azimuth)
    ahead = torch.cos(elevation) * torch.cos(azimuth)
    direction = torch.stack((across, torch.sin(elevation), ahead), -1)
    along = (direction[..., None, :] * flat).sum(-1)
    squares = (flat**2).sum(-1)
    ways = (distance[..., None] ** 2 - 2 * distance[..., None] * along + squares).sqrt()
    phase = 2 * math.pi * (distance[..., None] - ways) / wavelength
    return torch.exp(1j * phase) / math.sqrt(flat.shape[0])


ARRAY_FORMS: dict[str, tuple[Form, ...]] = {
    "sample_covariance": (_covariance, _mean_of_products, _sum_of_products),
    "ledoit_wolf": (_shrunk, _shrunk_by_a_loop, _shrunk_by_squares),
    "factor_eigengap_loss": (_hinge_of_factor, _hinge_of_singular_values),
    "music_spectrum": (
        _of_noise_vectors,
        _of_noise_projector,
        _of_noise_part,
        _of_signal_vectors,
        _of_every_pair,
    ),
    "mvdr_spectrum": (_by_inverse, _by_solving, _by_factor, _by_weights, _by_eigenvalues),
    "ula_bartlett": (
        _ula_power,
        _ula_power_of_unit_vectors,
        _ula_power_of_beams,
        _ula_power_of_root,
    ),
    "ula_mvdr": (_ula_by_inverse, _ula_by_solving),
    "ula_music": (_ula_of_noise_vectors, _ula_of_noise_projector, _ula_of_signal),
    "esprit": (_by_rotation, _by_rotation_with_spacing),
    "root_music": (_by_roots,),
    "steering_vector": (_by_distance, _by_shape, _by_grid),
}
"""By the names of `target.places()`."""
