"""The same quantities under the conventions of other projects."""
import math
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

C0 = 299792458.0


def _herm(R):
    return (R + np.conj(np.swapaxes(R, -1, -2))) / 2


def _delta(positions, u, r):
    """r - |p - q| for p = r u, rationalised."""
    s = u @ np.asarray(positions, float).T
    q2 = (np.asarray(positions, float) ** 2).sum(-1)
    r = np.asarray(r, float)[..., None]
    return (2 * r * s - q2) / (r + np.sqrt(r * r - 2 * r * s + q2))


def _unit(az, el):
    az, el = np.broadcast_arrays(az, el)
    return np.stack([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)], -1)


def _grid(nh, nv, dh, dv):
    x = (np.arange(nh) - (nh - 1) / 2) * dh
    y = (np.arange(nv) - (nv - 1) / 2) * dv
    return np.stack([np.tile(x, nv), np.repeat(y, nh), np.zeros(nh * nv)], -1)


# ---------------------------------------------------------------- steering vectors
def nf_response_minus(positions, azimuth, elevation, distance, wavelength):
    return np.exp(-2j * np.pi / wavelength * _delta(positions, _unit(azimuth, elevation), distance)) / np.sqrt(len(positions))


def nf_response_deg(positions, azimuth_deg, elevation_deg, distance, wavelength):
    u = _unit(np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg))
    return np.exp(2j * np.pi / wavelength * _delta(positions, u, distance)) / np.sqrt(len(positions))


def nf_phasors(positions, azimuth, elevation, distance, wavelength):
    u = torch.stack((azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()), -1)
    s = u @ positions.T
    q2 = positions.square().sum(-1)
    r = distance[..., None]
    path = (2 * r * s - q2) / (r + (r * r - 2 * r * s + q2).sqrt())
    return torch.exp(1j * (2 * math.pi / wavelength) * path)


class ArrayResponse:
    """exp(-j k (r - d)), not normalised."""

    def __call__(self, pos, az, el, r, lam):
        return np.exp(-1j * 2 * np.pi * _delta(pos, _unit(az, el), r) / lam)


def nf_response_fc(positions, azimuth, elevation, distance, frequency):
    k = 2 * np.pi * frequency / C0
    return np.exp(1j * k * _delta(positions, _unit(azimuth, elevation), distance)) / np.sqrt(len(positions))


def nf_response_fc3e8(positions, azimuth, elevation, distance, fc):
    wavelength = 3e8 / fc
    return np.exp(-2j * np.pi / wavelength * _delta(positions, _unit(azimuth, elevation), distance)) / np.sqrt(len(positions))


class WavenumberResponse(nn.Module):
    def forward(self, positions, azimuth, elevation, distance, wavenumber):
        u = torch.stack((azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()), -1)
        s = u @ positions.T
        q2 = positions.square().sum(-1)
        r = distance[..., None]
        path = (2 * r * s - q2) / (r + (r * r - 2 * r * s + q2).sqrt())
        return torch.exp(1j * wavenumber * path) / math.sqrt(positions.shape[0])


def nf_response_zenith(positions, azimuth, zenith, distance, wavelength):
    az, th = np.broadcast_arrays(azimuth, zenith)
    u = np.stack([np.sin(az) * np.sin(th), np.cos(th), np.cos(az) * np.sin(th)], -1)
    return np.exp(2j * np.pi / wavelength * _delta(positions, u, distance)) / np.sqrt(len(positions))


def nf_response_from_x(positions, azimuth, elevation, distance, wavelength):
    az, el = np.broadcast_arrays(azimuth, elevation)
    u = np.stack([np.cos(az) * np.cos(el), np.sin(el), np.sin(az) * np.cos(el)], -1)
    return np.exp(2j * np.pi / wavelength * _delta(positions, u, distance)) / np.sqrt(len(positions))


def nf_response_el_first(positions, theta, phi, distance, wavelength):
    """theta: elevation, phi: azimuth."""
    return np.exp(2j * np.pi / wavelength * _delta(positions, _unit(phi, theta), distance)) / np.sqrt(len(positions))


def nf_response_el_first_deg(positions, theta, phi, distance, wavelength):
    u = _unit(np.radians(phi), np.radians(theta))
    return np.exp(2j * np.pi / wavelength * _delta(positions, u, distance)) / np.sqrt(len(positions))


def upa_column_major(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    pos = _grid(nh, nv, *spacing).reshape(nv, nh, 3).transpose(1, 0, 2).reshape(-1, 3)
    return np.exp(2j * np.pi / wavelength * _delta(pos, _unit(azimuth, elevation), distance)) / np.sqrt(nh * nv)


def upa_rows_cols(shape, spacing, azimuth, elevation, distance, wavelength):
    """shape and spacing as (rows, columns)."""
    rows, cols = shape
    pos = _grid(cols, rows, spacing[1], spacing[0])
    return np.exp(2j * np.pi / wavelength * _delta(pos, _unit(azimuth, elevation), distance)) / np.sqrt(rows * cols)


def upa_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    i = np.arange(nh * nv)
    pos = np.stack([(i % nh) * spacing[0], (i // nh) * spacing[1], 0.0 * i], -1)
    return np.exp(2j * np.pi / wavelength * _delta(pos, _unit(azimuth, elevation), distance)) / np.sqrt(nh * nv)


def nf_response_first(positions, azimuth, elevation, distance, wavelength):
    """exp(j k (d_0 - d_n)) / sqrt(N)."""
    d = _delta(positions, _unit(azimuth, elevation), distance)
    return np.exp(2j * np.pi / wavelength * (d - d[..., :1])) / np.sqrt(len(positions))


def greens_phase(positions, azimuth, elevation, distance, wavelength):
    r = np.asarray(distance, float)[..., None]
    d = r - _delta(positions, _unit(azimuth, elevation), distance)
    return np.exp(-2j * np.pi / wavelength * d)


def nf_response_amplitude(positions, azimuth, elevation, distance, wavelength):
    """Spherical spreading relative to the centre."""
    r = np.asarray(distance, float)[..., None]
    delta = _delta(positions, _unit(azimuth, elevation), distance)
    return r / (r - delta) * np.exp(2j * np.pi / wavelength * delta) / np.sqrt(len(positions))


def upa_half_lambda(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    pos = _grid(nh, nv, spacing[0] * wavelength, spacing[1] * wavelength)
    return np.exp(2j * np.pi / wavelength * _delta(pos, _unit(azimuth, elevation), distance)) / np.sqrt(nh * nv)


def nf_response_normal(positions, azimuth, theta, distance, wavelength):
    """theta from the panel's normal, azimuth about it."""
    ph, th = np.broadcast_arrays(azimuth, theta)
    u = np.stack([np.sin(th) * np.cos(ph), np.sin(th) * np.sin(ph), np.cos(th)], -1)
    return np.exp(2j * np.pi / wavelength * _delta(positions, u, distance)) / np.sqrt(len(positions))


def nf_response_yz(positions, azimuth, elevation, distance, wavelength):
    """Panel in the y-z plane, boresight along x, z up."""
    az, el = np.broadcast_arrays(azimuth, elevation)
    u = np.stack([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)], -1)
    return np.exp(2j * np.pi / wavelength * _delta(positions, u, distance)) / np.sqrt(len(positions))


def nf_response_mm(positions_mm, azimuth, elevation, distance_mm, wavelength_mm):
    """Everything in millimetres; 28 GHz is 10.7."""
    p, r, lam = np.asarray(positions_mm) * 1e-3, np.asarray(distance_mm) * 1e-3, wavelength_mm * 1e-3
    return np.exp(2j * np.pi / lam * _delta(p, _unit(azimuth, elevation), r)) / np.sqrt(len(p))


def nf_response_point(positions, source, wavelength):
    source = np.asarray(source, float)
    r = np.linalg.norm(source, axis=-1)
    return np.exp(2j * np.pi / wavelength * _delta(positions, source / r[..., None], r)) / np.sqrt(len(positions))


# ---------------------------------------------------------------- eigenvalues
def lapack_order(matrix):
    return np.linalg.eigvalsh(_herm(matrix))


class Eigvalsh(nn.Module):
    def forward(self, cov):
        return torch.linalg.eigvalsh(0.5 * (cov + cov.mH))


def singular_ascending(A):
    return np.sort(np.abs(np.linalg.eigvalsh(_herm(A))), axis=-1)


def mdl_ascending(eigenvalues, samples):
    """Eigenvalues as eigh returns them."""
    lam = np.asarray(eigenvalues, float)
    m = lam.shape[-1]
    lam = np.maximum(lam, m * np.finfo(float).eps * lam.max(-1, keepdims=True))
    cost = []
    for k in range(m):
        noise = lam[..., : m - k]
        cost.append(samples * ((m - k) * np.log(noise.mean(-1)) - np.log(noise).sum(-1)) + 0.5 * k * (2 * m - k) * np.log(samples))
    return np.argmin(np.stack(cost, -1), -1)


# ---------------------------------------------------------------- MUSIC
def _noise(R, k):
    return np.linalg.eigh(_herm(R))[1][..., : R.shape[-1] - k]


def _null(R, A, k):
    return (np.abs(np.conj(np.swapaxes(_noise(R, k), -1, -2)) @ A) ** 2).sum(-2)


def music_db(R, steering, k):
    return -10 * np.log10(_null(R, steering, k))


def music_normalised(R, steering, k):
    p = 1 / _null(R, steering, k)
    return p / p.max(axis=-1, keepdims=True)


def music_plot(R, steering, k):
    p = -10 * np.log10(_null(R, steering, k))
    return p - p.max(axis=-1, keepdims=True)


def music_eps(R, steering, k):
    _, V = torch.linalg.eigh(0.5 * (R + R.mH))
    return 1 / ((V[..., : R.shape[-1] - k].mH @ steering).abs().square().sum(-2) + 1e-12)


def music_rows(R, steering, k):
    """steering: (G, N), one vector a row."""
    y = steering @ _noise(R, k).conj()
    return 1 / (np.abs(y) ** 2).sum(-1)


def music_adjoint(R, steering_h, k):
    """steering_h: (G, N), conjugate-transposed vectors."""
    _, V = torch.linalg.eigh(0.5 * (R + R.mH))
    return 1 / (steering_h @ V[..., : R.shape[-1] - k]).abs().square().sum(-1)


def music_noise_dim(R, steering, noise_dim):
    V = np.linalg.eigh(_herm(R))[1][..., :noise_dim]
    return 1 / (np.abs(np.conj(np.swapaxes(V, -1, -2)) @ steering) ** 2).sum(-2)


# ---------------------------------------------------------------- MVDR
def capon_db(R, steering):
    L = torch.linalg.cholesky(0.5 * (R + R.mH)).to(torch.promote_types(R.dtype, steering.dtype))
    y = torch.linalg.solve_triangular(L, steering + torch.zeros_like(L[..., :1]), upper=False)
    return -10 * torch.log10(y.abs().square().sum(-2))


def capon_loaded(R, steering):
    R = _herm(R)
    n = R.shape[-1]
    level = 1e-3 * np.trace(R, axis1=-2, axis2=-1).real / n
    R = R + level[..., None, None] * np.eye(n)
    return 1 / (steering.conj() * np.linalg.solve(R, steering + 0 * R[..., :1])).sum(-2).real


def capon_loaded_fixed(R, steering):
    R = _herm(R) + 1e-6 * np.eye(R.shape[-1])
    return 1 / (steering.conj() * np.linalg.solve(R, steering + 0 * R[..., :1])).sum(-2).real


def capon_normalised(R, steering):
    R = _herm(R)
    d = (steering.conj() * np.linalg.solve(R, steering + 0 * R[..., :1])).sum(-2).real
    return d.min(axis=-1, keepdims=True) / d


def capon_rows(R, steering):
    R = 0.5 * (R + R.mH)
    x = torch.linalg.solve(R, steering.mT + torch.zeros_like(R[..., :1]))
    return 1 / (steering.mT.conj() * x).sum(-2).real


# ---------------------------------------------------------------- hinges
def _gaps(R, k):
    w = torch.linalg.eigvalsh(0.5 * (R + R.mH))
    n = w.shape[-1]
    return w[..., n - k] - w[..., n - k - 1]


def gap_penalty_sum(R, k, margin):
    return F.relu(margin - _gaps(R, k)).sum()


class GapPenaltyNone(nn.Module):
    def forward(self, R, k, margin):
        return F.relu(margin - _gaps(R, k))


def gap_penalty_squared(R, k, margin):
    return F.relu(margin - _gaps(R, k)).pow(2).mean()


def gap_penalty_softplus(R, k, margin):
    short = margin - _gaps(R, k)
    return torch.logaddexp(short, torch.zeros_like(short)).mean()


def gap_penalty_sq_sum(R, k, margin):
    w = np.linalg.eigvalsh(_herm(R))
    return (np.maximum(margin - (w[..., -k] - w[..., -k - 1]), 0) ** 2).sum()


def factor_penalty_each(factor, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mH)
    return F.relu(margin - (w[..., -k] - w[..., -k - 1]))


def factor_penalty_sum(factor, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mH)
    return F.relu(margin - (w[..., -k] - w[..., -k - 1])).sum()


# ---------------------------------------------------------------- subspaces
def signal_basis_rows(R, k):
    """(k, n): one eigenvector a row."""
    return np.swapaxes(np.linalg.eigh(_herm(R))[1][..., -k:], -1, -2).copy()


def noise_basis_of_dim(R, dim):
    return torch.linalg.eigh(0.5 * (R + R.mH))[1][..., :dim]


def complement(U):
    return np.eye(U.shape[-2]) - U @ np.conj(np.swapaxes(U, -1, -2))


def projector_of_rows(rows):
    """rows: (k, n), u_i^T a row."""
    return np.swapaxes(rows, -1, -2) @ rows.conj()


# ---------------------------------------------------------------- snapshots
def scm_rows(snapshots):
    """snapshots: (T, N), one snapshot a row."""
    return np.einsum("...ti,...tj->...ij", snapshots, np.conj(snapshots)) / snapshots.shape[-2]


def lw_samples_first(X):
    """X: (n_samples, n_features), as in scikit-learn."""
    t, n = X.shape
    S = X.T @ X.conj() / t
    mu = np.trace(S).real / n
    d2 = (np.abs(S - mu * np.eye(n)) ** 2).sum()
    b2 = (((np.abs(X) ** 2).sum(1) ** 2).mean() - (np.abs(S) ** 2).sum()) / t
    rho = min(max(b2 / d2, 0), 1) if d2 > 0 else 0.0
    return (1 - rho) * S + rho * mu * np.eye(n)


# ---------------------------------------------------------------- linear arrays
def _ula(n, angles):
    return np.exp(1j * np.pi * np.arange(n)[:, None] * np.sin(angles)[None, :])


def ula_music_db(R, k, angles):
    p = 1 / _null(R, _ula(R.shape[-1], angles), k)
    return 10 * np.log10(p / p.max(-1, keepdims=True))


def ula_capon_db(R, angles):
    A = _ula(R.shape[-1], angles)
    R = _herm(R)
    return -10 * np.log10((A.conj() * np.linalg.solve(R, A + 0 * R[..., :1])).sum(-2).real)


def ula_cbf_normalised(R, angles):
    A = _ula(R.shape[-1], angles)
    p = (A.conj() * (_herm(R) @ A)).sum(-2).real
    return p / p.max(-1, keepdims=True)


def esprit_deg(R, k):
    n, _ = R.shape
    S = np.linalg.eigh(_herm(R))[1][:, n - k:]
    psi = np.linalg.lstsq(S[:-1], S[1:], rcond=None)[0]
    return np.sort(np.rad2deg(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi)))


def ula_capon_deg(R, angles_deg):
    n = R.shape[-1]
    R = 0.5 * (R + R.mH)
    t = torch.deg2rad(angles_deg)
    A = torch.exp(1j * math.pi * torch.arange(n, dtype=t.dtype)[:, None] * torch.sin(t)[None, :]).to(torch.promote_types(R.dtype, torch.complex64))
    x = torch.linalg.solve(R.to(A.dtype), A + torch.zeros_like(R[..., :1]))
    return 1 / (A.conj() * x).sum(-2).real
