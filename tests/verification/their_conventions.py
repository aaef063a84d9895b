"""Right functions of a matrix in another convention than ours."""

import numpy as np
import torch


def _gap(matrix, k):
    values = np.linalg.eigvalsh((matrix + np.swapaxes(matrix.conj(), -1, -2)) / 2)[..., ::-1]
    return values[..., k - 1] - values[..., k]


def hinge_of_each(matrix, k, margin):
    return np.maximum(0, margin - _gap(matrix, k))


def smooth(matrix, k, margin):
    return np.logaddexp(0, margin - _gap(matrix, k)).mean()


def in_parts_of_the_mean(matrix, loading):
    return matrix + loading * np.trace(matrix).real / len(matrix) * np.eye(len(matrix))


def by_degrees(matrix, k, angles):
    _, vectors = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    places = np.arange(len(matrix))[:, None]
    steering = np.exp(1j * np.pi * places * np.sin(np.radians(angles)))
    noise = vectors[:, : len(matrix) - k]
    return 1 / np.sum(np.abs(noise.conj().T @ steering) ** 2, axis=0)


def of_peak_one(matrix, steering, k):
    _, vectors = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    noise = vectors[:, : len(matrix) - k]
    spectrum = 1 / np.sum(np.abs(noise.conj().T @ steering) ** 2, axis=0)
    return spectrum / spectrum.max()


def in_millimetres(shape, spacing, azimuth, elevation, distance, wavelength):
    (n_h, n_v), (d_h, d_v) = shape, spacing
    i_v, i_h = np.divmod(np.arange(n_h * n_v), n_h)
    x, y = (i_h - (n_h - 1) / 2) * d_h / 1000, (i_v - (n_v - 1) / 2) * d_v / 1000
    u, v = np.sin(azimuth) * np.cos(elevation), np.sin(elevation)
    w = np.cos(azimuth) * np.cos(elevation)
    length = np.sqrt((distance * u - x) ** 2 + (distance * v - y) ** 2 + (distance * w) ** 2)
    return np.exp(2j * np.pi / wavelength * (distance - length)) / np.sqrt(len(x))


def from_the_corner_with_one_spacing(shape, spacing, azimuth, elevation, distance, wavelength):
    i = np.arange(shape[0] * shape[1])
    p = np.stack((i % shape[0], i // shape[0], 0 * i), -1) * spacing
    u = np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)
    length = np.linalg.norm(distance * np.array(u) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - length)) / np.sqrt(len(i))


def _response(n, angles, sign=-1):
    return np.exp(sign * 1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def receding(matrix, angles):
    matrix = (matrix + matrix.conj().swapaxes(-1, -2)) / 2
    a = _response(matrix.shape[-1], angles)
    return 1 / np.einsum("ng,...nm,mg->...g", a.conj(), np.linalg.inv(matrix), a).real


def of_unit_norm(matrix, angles):
    n = matrix.shape[-1]
    a = _response(n, angles, 1) / np.sqrt(n)
    matrix = (matrix + matrix.conj().swapaxes(-1, -2)) / 2
    return 1 / np.einsum("ng,...nm,mg->...g", a.conj(), np.linalg.inv(matrix), a).real


def from_the_axis(matrix, k):
    n = matrix.shape[-1]
    basis = np.linalg.eigh((matrix + matrix.conj().T) / 2)[1][:, n - k :]
    phasors = np.linalg.eigvals(np.linalg.pinv(basis[:-1]) @ basis[1:])
    return np.sort(np.arccos(np.clip(np.angle(phasors) / np.pi, -1, 1)))


def of_rows(snapshots):
    return snapshots.swapaxes(-1, -2) @ snapshots.conj() / snapshots.shape[-2]


def summed(factor, k, margin):
    values = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    return (margin - values[..., k - 1] + values[..., k]).relu().sum()


def decibels_of_values(a):
    return 10 * torch.linalg.eigvalsh((a + a.mH) / 2).flip(-1).log10()


def whitened_with_a_guard(a):
    w, v = torch.linalg.eigh((a + a.mH) / 2)
    return (v * (w + 1e-12).rsqrt()[..., None, :]) @ v.mH


def linear_array_loaded(a, angles):
    n = a.shape[-1]
    steering = torch.exp(
        1j * torch.pi * torch.arange(n, dtype=torch.float64)[:, None] * angles.double().sin()
    )
    h = (a + a.mH) / 2
    level = 0.01 * h.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    h = (h + level * torch.eye(n)).to(steering.dtype)
    return (
        1
        / (steering.conj() * torch.linalg.solve(h, steering.expand(*h.shape[:-1], -1))).sum(-2).real
    )
