from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def _h(R):
    if isinstance(R, torch.Tensor):
        return (R + R.mH) / 2
    return (R + np.conj(np.swapaxes(R, -1, -2))) / 2


def eigvalsh_ascending(R):
    return np.linalg.eigvalsh(_h(R))


def eigenvalues_ascending_torch(cov: torch.Tensor):
    return torch.linalg.eigh(_h(cov)).eigenvalues


def svals_small_first(A):
    return np.sort(np.linalg.svd(_h(A), compute_uv=False), axis=-1)


def hinge_per_sample(R, k, margin):
    lam = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k]))


def hinge_sum(R, k, margin):
    lam = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).sum()


class SquaredHinge(nn.Module):
    def forward(self, R, k, margin):
        lam = torch.linalg.eigvalsh(_h(R)).flip(-1)
        return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).pow(2).mean()


def softplus_gap_loss(R, k, margin):
    lam = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return F.softplus(margin - (lam[..., k - 1] - lam[..., k])).mean()


def factor_hinge_sum(factor, k, margin):
    lam = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).sum()


def _music(R, A, k):
    _, v = np.linalg.eigh(_h(R))
    En = v[..., : R.shape[-1] - k]
    return 1 / (np.abs(En.conj().swapaxes(-1, -2) @ A) ** 2).sum(-2)


def music_db(R, A, k):
    return 10 * np.log10(_music(R, A, k))


def music_norm(R, A, k):
    p = _music(R, A, k)
    return p / p.max(-1, keepdims=True)


def music_norm_db(R, A, k):
    p = _music(R, A, k)
    return 10 * np.log10(p / p.max(axis=-1, keepdims=True))


def music_rows(R, A, k):
    _, v = torch.linalg.eigh(_h(R))
    En = v[..., : R.shape[-1] - k]
    return 1 / (A.conj() @ En).abs().square().sum(-1)


def music_guard(R, A, k):
    _, v = torch.linalg.eigh(_h(R))
    En = v[..., : R.shape[-1] - k]
    return 1 / ((En.mH @ A).abs().square().sum(-2) + 1e-12)


def _capon(R, A):
    return 1 / np.real((A.conj() * (np.linalg.inv(_h(R)) @ A)).sum(-2))


def capon_db(R, A):
    return 10 * np.log10(_capon(R, A))


def capon_max1(R, A):
    p = _capon(R, A)
    return p / p.max(-1, keepdims=True)


def capon_rows(R, A):
    X = torch.linalg.solve(_h(R), A.mT)
    return 1 / (A.mT.conj() * X).sum(-2).real


def capon_loaded(R, A):
    n = R.shape[-1]
    Rl = _h(R) + 1e-6 * torch.eye(n, dtype=R.dtype)
    return 1 / (A.conj() * torch.linalg.solve(Rl, A)).sum(-2).real


def _p(az, el, r):
    az, el, r = (torch.as_tensor(x, dtype=torch.float64) for x in (az, el, r))
    return r[..., None] * torch.stack((az.sin() * el.cos(), el.sin(), az.cos() * el.cos()), -1)


def _path(pos, p):
    return torch.linalg.vector_norm(p[..., None, :] - pos, dim=-1)


def a_minus(positions, azimuth, elevation, distance, wavelength):
    d = _path(positions, _p(azimuth, elevation, distance))
    return torch.exp(-2j * math.pi / wavelength * (distance[..., None] - d)) / positions.shape[-2] ** 0.5


def a_unit(positions, azimuth, elevation, distance, wavelength):
    d = _path(positions, _p(azimuth, elevation, distance))
    return torch.exp(2j * math.pi / wavelength * (distance[..., None] - d))


def a_deg(positions, azimuth_deg, elevation_deg, distance, wavelength):
    d = _path(positions, _p(torch.deg2rad(azimuth_deg), torch.deg2rad(elevation_deg), distance))
    return torch.exp(2j * math.pi / wavelength * (distance[..., None] - d)) / positions.shape[-2] ** 0.5


def a_absolute(positions, azimuth, elevation, distance, wavelength):
    d = _path(positions, _p(azimuth, elevation, distance))
    return torch.exp(-2j * math.pi / wavelength * d) / positions.shape[-2] ** 0.5


def a_first(positions, azimuth, elevation, distance, wavelength):
    d = _path(positions, _p(azimuth, elevation, distance))
    return torch.exp(2j * math.pi / wavelength * (d[..., :1] - d)) / positions.shape[-2] ** 0.5


def a_freq(positions, azimuth, elevation, distance, frequency):
    lam = 299792458.0 / frequency
    d = _path(positions, _p(azimuth, elevation, distance))
    return torch.exp(2j * math.pi / lam * (distance[..., None] - d)) / positions.shape[-2] ** 0.5


def a_deg_unit(positions, azimuth, elevation, distance, wavelength):
    az, el = np.deg2rad(azimuth), np.deg2rad(elevation)
    p = np.asarray(distance)[..., None] * np.stack([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)], -1)
    d = np.linalg.norm(p[..., None, :] - np.asarray(positions), axis=-1)
    return np.exp(2j * np.pi / wavelength * (np.asarray(distance)[..., None] - d))


def a_rx(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(distance)[..., None] * np.stack([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], -1)
    d = np.linalg.norm(p[..., None, :] - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (d - np.asarray(distance)[..., None]))


def _grid(shape, spacing, vfirst=False, corner=False):
    nh, nv = shape
    ch, cv = (0, 0) if corner else ((nh - 1) / 2, (nv - 1) / 2)
    pts = [((h - ch) * spacing[0], (v - cv) * spacing[1], 0.0) for v in range(nv) for h in range(nh)]
    if vfirst:
        pts = [((h - ch) * spacing[0], (v - cv) * spacing[1], 0.0) for h in range(nh) for v in range(nv)]
    return torch.tensor(pts, dtype=torch.float64)


def _from_grid(q, az, el, r, lam):
    return torch.exp(2j * math.pi / lam * (r[..., None] - _path(q, _p(az, el, r)))) / q.shape[0] ** 0.5


def upa_vfirst(shape, spacing, azimuth, elevation, distance, wavelength):
    return _from_grid(_grid(shape, spacing, vfirst=True), azimuth, elevation, distance, wavelength)


def upa_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    return _from_grid(_grid(shape, spacing, corner=True), azimuth, elevation, distance, wavelength)


def upa_spacing_lambda(shape, spacing, azimuth, elevation, distance, wavelength):
    s = [x * wavelength for x in spacing]
    return _from_grid(_grid(shape, s), azimuth, elevation, distance, wavelength)


def a_zenith(positions, azimuth, theta, distance, wavelength):
    d = _path(positions, _p(azimuth, math.pi / 2 - theta, distance))
    return torch.exp(2j * math.pi / wavelength * (distance[..., None] - d)) / positions.shape[-2] ** 0.5


def scm_rows(X):
    return X.swapaxes(-1, -2) @ X.conj() / X.shape[-2]


def scm_rows_torch(X: torch.Tensor):
    return torch.einsum("...ti,...tj->...ij", X, X.conj()) / X.shape[-2]


def _lw(X):
    n, T = X.shape[-2:]
    S = X @ X.conj().swapaxes(-1, -2) / T
    mu = np.trace(S, axis1=-2, axis2=-1).real[..., None, None] / n
    d = (np.abs(S - mu * np.eye(n)) ** 2).sum((-2, -1), keepdims=True)
    b = (((np.abs(X) ** 2).sum(-2) ** 2).mean(-1)[..., None, None] - (np.abs(S) ** 2).sum((-2, -1), keepdims=True)) / T
    rho = np.clip(b / np.maximum(d, 1e-300), 0, 1)
    return (1 - rho) * S + rho * mu * np.eye(n)


def lw_rows(X):
    return _lw(np.swapaxes(X, -1, -2))


def _angles_esprit(R, k):
    _, v = np.linalg.eigh(_h(R))
    U = v[..., R.shape[-1] - k :]
    z = np.linalg.eigvals(np.linalg.pinv(U[..., :-1, :]) @ U[..., 1:, :])
    return np.sort(np.arcsin(np.clip(np.angle(z) / np.pi, -1, 1)), -1)


def esprit_deg(R, k):
    return np.rad2deg(_angles_esprit(R, k))


def esprit_minus(R, k):
    return -_angles_esprit(R, k)[..., ::-1]


def esprit_descending(R, k):
    return _angles_esprit(R, k)[..., ::-1].copy()


def _angles_root(R, k):
    n = R.shape[-1]
    _, v = np.linalg.eigh(_h(R))
    C = v[:, : n - k] @ v[:, : n - k].conj().T
    z = np.roots([np.trace(C, offset=l) for l in range(n - 1, -n, -1)])
    z = z[np.argsort(np.abs(z))][: n - 1][-k:]
    return np.sort(np.arcsin(np.clip(np.angle(z) / np.pi, -1, 1)))


def rootmusic_deg(R, k):
    return np.degrees(_angles_root(R, k))


def _a(n, th):
    return np.exp(1j * np.pi * np.arange(n)[:, None] * np.sin(np.asarray(th)))


def bartlett_deg(R, angles_deg):
    A = _a(R.shape[-1], np.deg2rad(angles_deg))
    return np.real((A.conj() * (_h(R) @ A)).sum(-2)) / R.shape[-1] ** 2


def bartlett_db(R, angles):
    A = _a(R.shape[-1], angles)
    return 10 * np.log10(np.real((A.conj() * (_h(R) @ A)).sum(-2)) / R.shape[-1] ** 2)


def bartlett_minus(R, angles):
    A = _a(R.shape[-1], angles).conj()
    return np.real((A.conj() * (_h(R) @ A)).sum(-2)) / R.shape[-1] ** 2


def ula_capon_deg(R, theta_deg):
    return _capon(R, _a(R.shape[-1], np.deg2rad(theta_deg)))


def ula_capon_norm(R, angles):
    p = _capon(R, _a(R.shape[-1], angles))
    return p / np.max(p, axis=-1, keepdims=True)


def ula_music_deg(R, k, angles):
    return _music(R, _a(R.shape[-1], np.deg2rad(angles)), k)


def ula_music_deg_db(R, k, angles):
    return 10 * np.log10(_music(R, _a(R.shape[-1], np.deg2rad(angles)), k))


def ula_music_minus(R, k, angles):
    return _music(R, _a(R.shape[-1], angles).conj(), k)


def whiten_columns(R):
    w, v = np.linalg.eigh(_h(R))
    return v / np.sqrt(w)[..., None, :]
