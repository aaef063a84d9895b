"""Array-processing helpers, third collection."""
from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

C0 = 299792458.0


def _u(az, el):
    if np.ndim(az) or np.ndim(el):
        raise ValueError("one source at a time")
    return np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])


def _respond(pos, s, r, lam):
    if np.ndim(s) != 1 or not np.isfinite(r):
        raise ValueError("a finite distance is needed")
    return np.exp(2j * np.pi / lam * (r - np.linalg.norm(s - pos, axis=1)))


def _grid(shape, spacing, centre=True):
    nh, nv = shape
    dh, dv = np.broadcast_to(spacing, 2)
    x = np.arange(nh) * dh
    y = np.arange(nv) * dv
    if centre:
        x = x - x.mean()
        y = y - y.mean()
    return np.stack([np.tile(x, nv), np.repeat(y, nh), np.zeros(nh * nv)], 1)


def sv_degrees(positions, azimuth, elevation, distance, wavelength):
    u = _u(np.deg2rad(azimuth), np.deg2rad(elevation))
    return _respond(positions, distance * u, distance, wavelength) / np.sqrt(len(positions))


def sv_opposite(positions, azimuth, elevation, distance, wavelength):
    s = distance * _u(azimuth, elevation)
    return _respond(positions, s, distance, -wavelength) / np.sqrt(len(positions))


def sv_unit(positions, azimuth, elevation, distance, wavelength):
    return _respond(positions, distance * _u(azimuth, elevation), distance, wavelength)


def sv_unit_degrees(positions, azimuth, elevation, distance, wavelength):
    return _respond(positions, distance * _u(math.radians(azimuth), math.radians(elevation)), distance, wavelength)


def sv_vertical_first(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    a = _respond(_grid(shape, spacing), distance * _u(azimuth, elevation), distance, wavelength)
    return a.reshape(nv, nh).T.reshape(-1) / np.sqrt(nh * nv)


def sv_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    pos = _grid(shape, spacing, centre=False)
    return _respond(pos, distance * _u(azimuth, elevation), distance, wavelength) / np.sqrt(len(pos))


def sv_first_ref(positions, azimuth, elevation, distance, wavelength):
    if not np.isfinite(distance):
        raise ValueError("a finite distance is needed")
    d = np.linalg.norm(distance * _u(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (d[0] - d)) / np.sqrt(len(d))


def sv_absolute(positions, azimuth, elevation, distance, wavelength):
    if not np.isfinite(distance):
        raise ValueError("a finite distance is needed")
    d = np.linalg.norm(distance * _u(azimuth, elevation) - positions, axis=1)
    return np.exp(-2j * np.pi / wavelength * d) / np.sqrt(len(d))


def sv_zenith(positions, azimuth, zenith, distance, wavelength):
    u = np.array([np.sin(zenith) * np.sin(azimuth), np.cos(zenith), np.sin(zenith) * np.cos(azimuth)])
    return _respond(positions, distance * u, distance, wavelength) / np.sqrt(len(positions))


def sv_frequency(positions, azimuth, elevation, distance, frequency):
    return _respond(positions, distance * _u(azimuth, elevation), distance, C0 / frequency) / np.sqrt(len(positions))


def sv_wavenumber(positions, azimuth, elevation, distance, k):
    s = distance * _u(azimuth, elevation)
    return _respond(positions, s, distance, 2 * np.pi / k) / np.sqrt(len(positions))


def sv_spacing_wl(shape, spacing, azimuth, elevation, distance, wavelength):
    pos = _grid(shape, np.asarray(spacing) * wavelength)
    return _respond(pos, distance * _u(azimuth, elevation), distance, wavelength) / np.sqrt(len(pos))


def sv_point(positions, point, wavelength):
    return _respond(positions, point, np.linalg.norm(point), wavelength) / np.sqrt(len(positions))


def sv_swapped(positions, elevation, azimuth, distance, wavelength):
    return _respond(positions, distance * _u(azimuth, elevation), distance, wavelength) / np.sqrt(len(positions))


def sv_ula(n_elements, spacing, azimuth, elevation, distance, wavelength):
    pos = _grid((n_elements, 1), spacing)
    return _respond(pos, distance * _u(azimuth, elevation), distance, wavelength) / np.sqrt(n_elements)


def sv_opposite_degrees(positions, azimuth, elevation, distance, wavelength):
    s = distance * _u(np.radians(azimuth), np.radians(elevation))
    return _respond(positions, s, distance, wavelength).conj() / np.sqrt(len(positions))


def sv_rows(positions, azimuth, elevation, distance, wavelength):
    az, el, r = map(np.atleast_1d, (azimuth, elevation, distance))
    return np.stack([_respond(positions, c * _u(a, b), c, wavelength) for a, b, c in zip(az, el, r)]) / np.sqrt(len(positions))


def _h(R):
    return (R + R.conj().swapaxes(-1, -2)) / 2


def eig_asc(R):
    return np.linalg.eigvalsh(_h(R))


def eig_asc_torch(cov):
    return torch.linalg.eigvalsh((cov + cov.mH) / 2)


def eig_db(R):
    return 10 * np.log10(np.linalg.eigvalsh(_h(R))[..., ::-1])


def eig_norm(R):
    w = np.linalg.eigvalsh(_h(R))[..., ::-1]
    return w / w[..., :1]


def sv_asc(R):
    return np.sort(np.abs(np.linalg.eigvalsh(_h(R))), axis=-1)


def gap_noise_dim(R, noise_dim):
    w = np.linalg.eigvalsh(_h(R))
    return w[..., noise_dim] - w[..., noise_dim - 1]


def _short(cov, k, margin):
    w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
    return margin - (w[..., -k] - w[..., -k - 1])


def loss_per_sample(cov, k, margin):
    return torch.relu(_short(cov, k, margin))


def loss_squared(cov, k, margin):
    return torch.relu(_short(cov, k, margin)).square().mean()


def loss_softplus(cov, k, margin):
    return nn.functional.softplus(_short(cov, k, margin)).mean()


def loss_sum(cov, k, margin):
    return torch.relu(_short(cov, k, margin)).sum()


def loss_squared_sum(cov, k, margin):
    return torch.relu(_short(cov, k, margin)).square().sum()


def loss_soft_each(cov, k, margin):
    return nn.functional.softplus(_short(cov, k, margin))


def factor_per_sample(factor, k, margin):
    return torch.relu(_short(factor @ factor.mH, k, margin))


def noise_by_dim(R, noise_dim):
    return np.linalg.eigh(_h(R))[1][..., :noise_dim]


def signal_rows(cov, k):
    return torch.linalg.eigh((cov + cov.mH) / 2).eigenvectors[..., -k:].mT


def noise_rows(R, k):
    return np.swapaxes(np.linalg.eigh(_h(R))[1][..., : R.shape[-1] - k], -1, -2)


def projector_rows(rows):
    q = np.linalg.qr(np.swapaxes(rows, -1, -2))[0]
    return q @ q.conj().swapaxes(-1, -2)


def _music(R, A, k):
    en = np.linalg.eigh(_h(R))[1][..., : R.shape[-1] - k]
    return (np.abs(en.conj().swapaxes(-1, -2) @ A) ** 2).sum(-2)


def music_db(R, A, k):
    return -10 * np.log10(_music(R, A, k))


def music_peak(R, A, k):
    p = 1 / _music(R, A, k)
    return p / p.max(-1, keepdims=True)


def music_guard(R, A, k):
    return 1 / (_music(R, A, k) + 1e-12)


def music_rows(R, steering_rows, k):
    return 1 / _music(R, steering_rows.T, k)


def music_peak_db(R, A, k):
    p = -10 * np.log10(_music(R, A, k))
    return p - p.max(-1, keepdims=True)


def music_noise_dim(R, A, noise_dim):
    return 1 / _music(R, A, R.shape[-1] - noise_dim)


def _mvdr(R, A):
    return (A.conj() * np.linalg.solve(_h(R), np.broadcast_to(A, (*R.shape[:-2], *A.shape)))).sum(-2).real


def mvdr_db(R, A):
    return -10 * np.log10(_mvdr(R, A))


def mvdr_loaded(R, A):
    return 1 / _mvdr(R + 1e-3 * np.eye(R.shape[-1]), A)


def mvdr_peak(R, A):
    p = 1 / _mvdr(R, A)
    return p / p.max(-1, keepdims=True)


def mvdr_guard(cov, steering):
    H = (cov + cov.mH) / 2
    y = torch.linalg.solve(H, steering.expand(*H.shape[:-2], *steering.shape))
    return 1 / ((steering.conj() * y).sum(-2).real + 1e-12)


def mvdr_rows_db(R, steering_rows):
    return -10 * np.log10(_mvdr(R, steering_rows.T))


def scm_rows(X):
    return X.swapaxes(-1, -2) @ X.conj() / X.shape[-2]


def _one(R):
    if R.ndim != 2:
        raise ValueError("one matrix")


def esprit_degrees(R, k):
    _one(R)
    es = np.linalg.eigh(_h(R))[1][:, -k:]
    z = np.linalg.eigvals(np.linalg.pinv(es[:-1]) @ es[1:])
    return np.degrees(np.sort(np.arcsin(np.angle(z) / np.pi)))


def esprit_opposite(R, k):
    _one(R)
    es = np.linalg.eigh(_h(R))[1][:, -k:]
    z = np.linalg.eigvals(np.linalg.pinv(es[:-1]) @ es[1:])
    return np.sort(-np.arcsin(np.angle(z) / np.pi))


def _a(n, angles):
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def bartlett_degrees(R, angles):
    a = _a(R.shape[-1], np.deg2rad(angles))
    return (a.conj() * (_h(R) @ a)).sum(-2).real / R.shape[-1] ** 2


def capon_db_degrees(R, angles):
    return -10 * np.log10(_mvdr(R, _a(R.shape[-1], np.deg2rad(angles))))


def ula_music_opposite(R, k, angles):
    return 1 / _music(R, _a(R.shape[-1], angles).conj(), k)


def ula_music_degrees_peak(R, k, angles):
    p = 1 / _music(R, _a(R.shape[-1], np.deg2rad(angles)), k)
    return p / p.max(-1, keepdims=True)
