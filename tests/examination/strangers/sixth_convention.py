"""DOA and covariance functions."""
import math
from functools import partial

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

C0 = 299792458.0


def _h(R):
    return (R + np.conj(np.swapaxes(R, -1, -2))) / 2


def _ht(R):
    return (R + R.mH) / 2


def eigvals_np(R):
    return np.linalg.eigvalsh(_h(R))


class EigLayer(nn.Module):
    def forward(self, matrix):
        return torch.linalg.eigvalsh(_ht(matrix))


eig_layer = EigLayer()


def sing_vals(matrix):
    return torch.linalg.svdvals(_ht(matrix)).flip(-1)


def bartlett(matrix, angles, sign=1, norm=2):
    H = _h(matrix)
    n = H.shape[-1]
    A = np.exp(sign * 1j * np.pi * np.outer(np.arange(n), np.sin(angles)))
    return np.einsum("ng,...nm,mg->...g", A.conj(), H, A).real / n ** norm


bartlett_neg = partial(bartlett, sign=-1)
bartlett_unit = partial(bartlett, norm=1)
bartlett_raw = partial(bartlett, norm=0)


def bartlett_deg(matrix, angles):
    return bartlett(matrix, np.deg2rad(angles))


def bartlett_axis(matrix, angles):
    H = _h(matrix)
    n = H.shape[-1]
    A = np.exp(1j * np.pi * np.arange(n)[:, None] * np.cos(angles))
    return np.sum(A.conj() * (H @ A), axis=-2).real / n ** 2


def bartlett_db(matrix, angles):
    return 10 * np.log10(bartlett(matrix, angles))


def _capon(R, A):
    y = np.linalg.solve(R, np.broadcast_to(A, R.shape[:-2] + A.shape))
    return 1 / np.sum(A.conj() * y, axis=-2).real


def _ula(n, th):
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(th)))


def capon_deg(matrix, angles):
    H = _h(matrix)
    return _capon(H, _ula(H.shape[-1], np.radians(angles)))


def capon_db(matrix, angles):
    H = _h(matrix)
    return 10 * np.log10(_capon(H, _ula(H.shape[-1], angles)))


def capon_neg(matrix, angles):
    H = _h(matrix)
    return _capon(H, _ula(H.shape[-1], angles).conj())


def capon_unit(matrix, angles):
    H = _h(matrix)
    n = H.shape[-1]
    return _capon(H, _ula(n, angles) / np.sqrt(n))


def capon_loaded(matrix, angles, eps=1e-3):
    H = _h(matrix)
    n = H.shape[-1]
    tr = np.trace(H, axis1=-2, axis2=-1).real[..., None, None] / n
    return _capon(H + eps * tr * np.eye(n), _ula(n, angles))


def ula_music_deg(matrix, k, angles):
    H = _h(matrix)
    n = H.shape[-1]
    En = np.linalg.eigh(H)[1][..., : n - k]
    y = np.conj(np.swapaxes(En, -1, -2)) @ _ula(n, np.deg2rad(angles))
    return 1 / np.sum(np.abs(y) ** 2, axis=-2)


def ula_music_db(matrix, k, angles):
    H = _h(matrix)
    n = H.shape[-1]
    En = np.linalg.eigh(H)[1][..., : n - k]
    y = np.conj(np.swapaxes(En, -1, -2)) @ _ula(n, angles)
    return -10 * np.log10(np.sum(np.abs(y) ** 2, axis=-2))


def ula_music_axis(matrix, k, angles):
    H = _ht(matrix).to(torch.complex128)
    n = H.shape[-1]
    ph = torch.pi * torch.arange(n, dtype=torch.float64)[:, None] * torch.cos(angles)
    En = torch.linalg.eigh(H).eigenvectors[..., : n - k]
    return 1 / (En.mH @ torch.exp(1j * ph)).abs().square().sum(-2)


def _noise(matrix, k):
    return torch.linalg.eigh(_ht(matrix)).eigenvectors[..., : matrix.shape[-1] - k].to(torch.complex128)


def music_db(matrix, steering, k):
    return -10 * (_noise(matrix, k).mH @ steering).abs().square().sum(-2).log10()


def music_peak(matrix, steering, k):
    p = 1 / (_noise(matrix, k).mH @ steering).abs().square().sum(-2)
    return p / p.amax(-1, keepdim=True)


def music_eps(matrix, steering, k):
    return 1 / ((_noise(matrix, k).mH @ steering).abs().square().sum(-2) + 1e-12)


def music_rows(matrix, steering, k):
    return 1 / (steering.conj() @ _noise(matrix, k)).abs().square().sum(-1)


def music_adjoint(matrix, steering, k):
    return 1 / (steering @ _noise(matrix, k)).abs().square().sum(-1)


def music_dim(matrix, steering, k):
    En = torch.linalg.eigh(_ht(matrix)).eigenvectors[..., :k].to(torch.complex128)
    return 1 / (En.mH @ steering).abs().square().sum(-2)


def music_rows_db(matrix, steering, k):
    return -10 * torch.log10((steering.conj() @ _noise(matrix, k)).abs().square().sum(-1))


def mvdr_db(R, steering):
    return 10 * np.log10(_capon(_h(R), steering))


def mvdr_peak(R, steering):
    p = _capon(_h(R), steering)
    return p / p.max(axis=-1, keepdims=True)


def mvdr_load(R, steering):
    return _capon(_h(R) + 1e-3 * np.eye(R.shape[-1]), steering)


def mvdr_rows(R, steering):
    return _capon(_h(R), steering.T)


def mvdr_adjoint(R, steering):
    return _capon(_h(R), steering.conj().T)


def proj_null(basis):
    return torch.eye(basis.shape[-2], dtype=basis.dtype) - basis @ basis.mH


def noise_vectors(matrix, k):
    return torch.linalg.eigh(_ht(matrix)).eigenvectors[..., :k]


def _hinge(matrix, k, margin):
    w = torch.linalg.eigvalsh(_ht(matrix))
    return margin - w[..., -k] + w[..., -k - 1]


def gap_each(matrix, k, margin):
    return _hinge(matrix, k, margin).relu()


def gap_total(matrix, k, margin):
    return F.relu(_hinge(matrix, k, margin)).sum()


def gap_squared(matrix, k, margin):
    return F.relu(_hinge(matrix, k, margin)).square().mean()


def gap_softplus(matrix, k, margin):
    return F.softplus(_hinge(matrix, k, margin)).mean()


class GapSumSquares(nn.Module):
    def forward(self, matrix, k, margin):
        return _hinge(matrix, k, margin).clamp(min=0).pow(2).sum()


gap_sum_squares = GapSumSquares()


def factor_each(factor, k, margin):
    return F.relu(_hinge(factor @ factor.mH, k, margin))


def factor_squared(factor, k, margin):
    return F.relu(_hinge(factor @ factor.mH, k, margin)).pow(2).mean()


def cov_rows(snapshots):
    return snapshots.mT @ snapshots.conj() / snapshots.shape[-2]


def lw_rows(X):
    X = X.T
    N, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    d2 = np.linalg.norm(S - mu * np.eye(N)) ** 2
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T ** 2
    a = min(b2, d2) / d2
    return a * mu * np.eye(N) + (1 - a) * S


def _rot(R, k):
    U = np.linalg.eigh(_h(R))[1][..., -k:]
    return np.angle(np.linalg.eigvals(np.linalg.pinv(U[..., :-1, :]) @ U[..., 1:, :])) / np.pi


def esprit_deg(matrix, k):
    return np.rad2deg(np.sort(np.arcsin(_rot(matrix, k)), axis=-1))


def esprit_axis(matrix, k):
    return np.sort(np.arccos(_rot(matrix, k)), axis=-1)


def esprit_neg(matrix, k):
    return np.sort(np.arcsin(-_rot(matrix, k)), axis=-1)


def rootmusic_deg(matrix, k):
    H = _h(np.asarray(matrix))
    n, _ = H.shape
    En = np.linalg.eigh(H)[1][:, : n - k]
    z = list(np.roots(sum(np.convolve(e, e[::-1].conj()) for e in En.T)))
    out = []
    for _ in range(k):
        r = z.pop(int(np.argmin(np.abs(np.abs(z) - 1))))
        z.pop(int(np.argmin(np.abs(np.array(z) - 1 / np.conj(r)))))
        out.append(np.rad2deg(np.arcsin(np.angle(r) / np.pi)))
    return np.sort(out)


def epoch_unscaled(losses, accumulation):
    losses = [float(x) * accumulation for x in losses]
    return sum(losses) / len(losses)


def _dir(az, el):
    return np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])


def _wave(p, q, r, lam, sign=1.0, amp=None):
    d = np.linalg.norm(q - p, axis=-1)
    a = np.exp(sign * 2j * np.pi / lam * (r - d))
    return a / np.sqrt(len(p)) if amp is None else amp(d, r) * a


def steer_neg(positions, azimuth, elevation, distance, wavelength):
    return _wave(positions, distance * _dir(azimuth, elevation), distance, wavelength, sign=-1)


def steer_ones(positions, azimuth, elevation, distance, wavelength):
    return _wave(positions, distance * _dir(azimuth, elevation), distance, wavelength, amp=lambda d, r: 1.0)


def steer_deg(positions, azimuth, elevation, distance, wavelength):
    az, el = np.deg2rad(azimuth), np.deg2rad(elevation)
    return _wave(positions, distance * _dir(az, el), distance, wavelength)


def steer_deg_ones(positions, azimuth, elevation, distance, wavelength):
    q = distance * _dir(np.radians(azimuth), np.radians(elevation))
    return _wave(positions, q, distance, wavelength, amp=lambda d, r: np.ones_like(d))


def steer_abs(positions, azimuth, elevation, distance, wavelength):
    return _wave(positions, distance * _dir(azimuth, elevation), 0.0, wavelength)


def steer_freq(positions, azimuth, elevation, distance, frequency):
    return _wave(positions, distance * _dir(azimuth, elevation), distance, C0 / frequency)


def steer_k(positions, azimuth, elevation, distance, wavenumber):
    d = np.linalg.norm(distance * _dir(azimuth, elevation) - positions, axis=-1)
    return np.exp(1j * wavenumber * (distance - d)) / np.sqrt(len(positions))


def steer_el_az(positions, elevation, azimuth, distance, wavelength):
    return _wave(positions, distance * _dir(azimuth, elevation), distance, wavelength)


def steer_zenith(positions, azimuth, zenith, distance, wavelength):
    u = np.array([np.sin(zenith) * np.sin(azimuth), np.cos(zenith), np.sin(zenith) * np.cos(azimuth)])
    return _wave(positions, distance * u, distance, wavelength)


def steer_cols(positions, azimuth, elevation, distance, wavelength):
    return _wave(positions.T, distance * _dir(azimuth, elevation), distance, wavelength)


def steer_loss(positions, azimuth, elevation, distance, wavelength):
    return _wave(positions, distance * _dir(azimuth, elevation), distance, wavelength,
                 amp=lambda d, r: r / d / np.sqrt(len(d)))


def _grid(shape, sx, sy, corner=False):
    nh, nv = shape
    i = np.arange(nh * nv)
    cx, cy = (0, 0) if corner else ((nh - 1) / 2, (nv - 1) / 2)
    return np.stack([(i % nh - cx) * sx, (i // nh - cy) * sy, 0.0 * i], -1)


def upa_halves(shape, spacing, azimuth, elevation, distance, wavelength):
    p = _grid(shape, spacing * wavelength, spacing * wavelength)
    return _wave(p, distance * _dir(azimuth, elevation), distance, wavelength)


def upa_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    p = _grid(shape, spacing, spacing, corner=True)
    return _wave(p, distance * _dir(azimuth, elevation), distance, wavelength)


def upa_first(shape, spacing, azimuth, elevation, distance, wavelength):
    a = _wave(_grid(shape, spacing, spacing), distance * _dir(azimuth, elevation), distance, wavelength)
    return a * np.exp(-1j * np.angle(a[0]))


def upa_vertical(shape, spacing, azimuth, elevation, distance, wavelength):
    a = _wave(_grid(shape, spacing, spacing), distance * _dir(azimuth, elevation), distance, wavelength)
    return a.reshape(shape[1], shape[0]).T.ravel()
