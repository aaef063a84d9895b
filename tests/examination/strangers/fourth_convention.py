"""Right, each under a convention of its own."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def _adj(A):
    return np.conj(np.swapaxes(A, -1, -2))


def _np_herm(R):
    R = np.asarray(R)
    return (R + _adj(R)) / 2


def _t_herm(R):
    return (R + R.mH) / 2


def _noise(R, k):
    R = _np_herm(R)
    _, V = np.linalg.eigh(R)
    return V[..., : R.shape[-1] - int(k)]


# --- spectra --------------------------------------------------------------------------------------------------------


def eigvals_ascending(R):
    return np.linalg.eigvalsh(_np_herm(R))


class AscendingSpectrum(nn.Module):
    def forward(self, R):
        return torch.linalg.eigvalsh(_t_herm(R))


def singvals_ascending(A: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svdvals(A).flip(-1)


def signal_as_rows(R, k):
    """k rows, one for each source."""
    _, V = np.linalg.eigh(_np_herm(R))
    return np.swapaxes(V[..., V.shape[-1] - int(k) :], -1, -2).copy()


def noise_by_dimension(R, noise_dim):
    """Basis of the `noise_dim` weakest eigenvectors."""
    _, V = np.linalg.eigh(_np_herm(R))
    return V[..., : int(noise_dim)].copy()


def complement_projector(basis):
    """I - P."""
    Q, _ = np.linalg.qr(basis)
    return np.eye(Q.shape[-2]) - Q @ _adj(Q)


def complement_projector_torch(basis: torch.Tensor) -> torch.Tensor:
    Q = torch.linalg.qr(basis).Q
    with torch.autocast("cpu", enabled=False):
        return torch.eye(Q.shape[-2], dtype=Q.dtype) - Q @ Q.mH


# --- hinge ----------------------------------------------------------------------------------------------------------


class SquaredHinge(nn.Module):
    def forward(self, R, k, margin):
        lam = torch.linalg.eigvalsh(_t_herm(R)).flip(-1)
        return F.relu(margin - (lam[..., k - 1] - lam[..., k])).square().mean()


def hinge_total(R, k, margin):
    lam = torch.linalg.eigvalsh(_t_herm(R)).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).sum()


def hinge_each(R, k, margin):
    lam = torch.linalg.eigvalsh(_t_herm(R)).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k]))


def hinge_softplus(R, k, margin):
    lam = torch.linalg.eigvalsh(_t_herm(R)).flip(-1)
    return F.softplus(margin - (lam[..., k - 1] - lam[..., k])).mean()


def hinge_squared_total(R, k, margin):
    lam = torch.linalg.eigvalsh(_t_herm(R)).flip(-1)
    return (torch.relu(margin - (lam[..., k - 1] - lam[..., k])) ** 2).sum()


def hinge_noise_dimension(R, noise_dim, margin):
    """The gap above the `noise_dim` smallest eigenvalues."""
    lam = torch.linalg.eigvalsh(_t_herm(R))
    gap = lam[..., noise_dim] - lam[..., noise_dim - 1]
    return torch.relu(margin - gap).mean()


def hinge_squared_each_numpy(R, k, margin):
    w = np.linalg.eigvalsh(_np_herm(R))
    n = w.shape[-1]
    return np.maximum(margin - (w[..., n - k] - w[..., n - k - 1]), 0.0) ** 2


def factor_hinge_total(factor, k, margin):
    with torch.autocast("cpu", enabled=False):
        lam = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).sum()


def factor_hinge_squared(factor, k, margin):
    with torch.autocast("cpu", enabled=False):
        lam = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).square().mean()


def gap_noise_dimension(R, noise_dim):
    w = np.linalg.eigvalsh(_np_herm(R))
    return w[..., noise_dim] - w[..., noise_dim - 1]


# --- MUSIC and Capon ------------------------------------------------------------------------------------------------


def music_db(R, steering, k):
    den = (np.abs(_adj(_noise(R, k)) @ steering) ** 2).sum(-2)
    return -10 * np.log10(den)


def music_peak_one(R, steering, k):
    P = 1 / (np.abs(_adj(_noise(R, k)) @ steering) ** 2).sum(-2)
    return P / P.max(-1, keepdims=True)


def music_peak_db(R, steering, k):
    P = 1 / (np.abs(_adj(_noise(R, k)) @ steering) ** 2).sum(-2)
    return 10 * np.log10(P / P.max(-1, keepdims=True))


def music_guarded(R, steering, k):
    return 1 / ((np.abs(_adj(_noise(R, k)) @ steering) ** 2).sum(-2) + 1e-12)


def music_rows(R, steering, k):
    """The manifold as (G, N), one direction a row."""
    return 1 / (np.abs(np.asarray(steering) @ np.conj(_noise(R, k))) ** 2).sum(-1)


def music_ratio(R, steering, k):
    """a^H a in the numerator, as in Stoica and Nehorai."""
    den = (np.abs(_adj(_noise(R, k)) @ steering) ** 2).sum(-2)
    return (np.abs(steering) ** 2).sum(-2) / den


def music_noise_dimension(R, steering, noise_dim):
    _, V = torch.linalg.eigh(_t_herm(R))
    En = V[..., : int(noise_dim)]
    dtype = torch.promote_types(En.dtype, steering.dtype)
    with torch.autocast("cpu", enabled=False):
        return (En.mH.to(dtype) @ steering.to(dtype)).abs().square().sum(-2).reciprocal()


def capon_db(R, steering):
    X = np.linalg.solve(_np_herm(R), steering)
    return -10 * np.log10(np.sum(np.conj(steering) * X, axis=-2).real)


def capon_loaded(R, steering):
    R = _np_herm(R)
    n = R.shape[-1]
    load = 1e-3 * np.trace(R, axis1=-2, axis2=-1).real / n
    X = np.linalg.solve(R + load[..., None, None] * np.eye(n), steering)
    return 1 / np.sum(np.conj(steering) * X, axis=-2).real


def capon_peak_one(R, steering):
    X = np.linalg.solve(_np_herm(R), steering)
    P = 1 / np.sum(np.conj(steering) * X, axis=-2).real
    return P / P.max(axis=-1, keepdims=True)


def capon_rows(R, steering):
    """steering (G, N)."""
    A = np.swapaxes(steering, -1, -2)
    X = np.linalg.solve(_np_herm(R), A)
    return 1 / np.sum(np.conj(A) * X, axis=-2).real


# --- snapshots ------------------------------------------------------------------------------------------------------


def scm_rows(X):
    """Snapshots as rows (T, N), as scikit-learn has them; R = E[x x^H]."""
    X = np.asarray(X)
    return np.swapaxes(X, -1, -2) @ np.conj(X) / X.shape[-2]


# --- uniform linear arrays ------------------------------------------------------------------------------------------


def _ula(n, angles, sign=1):
    return np.exp(sign * 1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def bartlett_degrees(R, angles):
    n = R.shape[-1]
    a = _ula(n, np.deg2rad(angles))
    return np.einsum("ng,...nm,mg->...g", a.conj(), _np_herm(R), a).real / n**2


def bartlett_negative(R, angles):
    n = R.shape[-1]
    a = _ula(n, angles, sign=-1)
    return np.einsum("ng,...nm,mg->...g", a.conj(), _np_herm(R), a).real / n**2


def bartlett_raw(R, angles):
    a = _ula(R.shape[-1], angles)
    return np.einsum("ng,...nm,mg->...g", a.conj(), _np_herm(R), a).real


def capon_endfire(R, angles):
    """Angles from the axis of the array."""
    n = R.shape[-1]
    a = np.exp(1j * np.pi * np.outer(np.arange(n), np.cos(angles)))
    return 1 / np.einsum("ng,...nm,mg->...g", a.conj(), np.linalg.inv(_np_herm(R)), a).real


def capon_degrees_db(R, angles):
    a = _ula(R.shape[-1], np.radians(angles))
    return -10 * np.log10(np.einsum("ng,...nm,mg->...g", a.conj(), np.linalg.inv(_np_herm(R)), a).real)


def ula_music_unit(R, k, angles):
    n = R.shape[-1]
    a = _ula(n, angles) / math.sqrt(n)
    return 1 / (np.abs(_adj(_noise(R, k)) @ a) ** 2).sum(-2)


def ula_music_degrees_negative(R, k, angles):
    a = _ula(R.shape[-1], np.deg2rad(angles), sign=-1)
    return 1 / (np.abs(_adj(_noise(R, k)) @ a) ** 2).sum(-2)


def esprit_degrees(R, k):
    R = _np_herm(R)
    if R.ndim != 2:
        raise ValueError("one matrix")
    Es = np.linalg.eigh(R)[1][:, len(R) - int(k) :]
    psi = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)[0]
    return np.sort(np.rad2deg(np.arcsin(np.clip(np.angle(np.linalg.eigvals(psi)) / np.pi, -1, 1))))


def esprit_negative(R, k):
    R = _np_herm(R)
    if R.ndim != 2:
        raise ValueError("one matrix")
    Es = np.linalg.eigh(R)[1][:, len(R) - int(k) :]
    psi = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)[0]
    return np.sort(np.arcsin(np.clip(-np.angle(np.linalg.eigvals(psi)) / np.pi, -1, 1)))


def root_music_degrees(R, k):
    R = _np_herm(R)
    if R.ndim != 2:
        raise ValueError("one matrix")
    n = len(R)
    En = _noise(R, k)
    C = En @ En.conj().T
    roots = np.roots([np.trace(C, offset=o) for o in range(n - 1, -n, -1)])
    best = roots[np.argsort(np.abs(roots))][: n - 1][-int(k) :]
    return np.sort(np.degrees(np.arcsin(np.clip(np.angle(best) / np.pi, -1, 1))))


# --- steering vectors -----------------------------------------------------------------------------------------------


def _u(az, el):
    return np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])


def steering_negative(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _u(azimuth, elevation) - p, axis=-1)
    return np.exp(-2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))


def steering_unit_modulus(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _u(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d))


def steering_degrees(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _u(np.deg2rad(azimuth), np.deg2rad(elevation)) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))


def steering_degrees_unit_modulus(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _u(np.deg2rad(azimuth), np.deg2rad(elevation)) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d))


def steering_zenith(positions, azimuth, zenith, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _u(azimuth, np.pi / 2 - zenith) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))


def steering_absolute(positions, azimuth, elevation, distance, wavelength):
    """exp(-j k |p - q|), free-space phase from the source."""
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _u(azimuth, elevation) - p, axis=-1)
    return np.exp(-2j * np.pi / wavelength * d) / np.sqrt(len(p))


def steering_wavenumber(positions, azimuth, elevation, distance, wavenumber):
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _u(azimuth, elevation) - p, axis=-1)
    return np.exp(1j * wavenumber * (distance - d)) / np.sqrt(len(p))


def steering_swapped(positions, elevation, azimuth, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _u(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))
