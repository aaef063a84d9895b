"""Functions that are right under a named convention."""
from dataclasses import dataclass
from functools import partial
import math
import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F

C0 = 299_792_458.0


# ---- steering vectors ---------------------------------------------------------
def _unit(az, el):
    return np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])


def sv_opposite(positions, azimuth, elevation, distance, wavelength):
    q = distance * _unit(azimuth, elevation)
    d = np.linalg.norm(q - positions, axis=-1)
    return np.exp(-2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def sv_unimodular(pos, az, el, r, lam):
    az, el, r = (torch.as_tensor(v, dtype=pos.dtype) for v in (az, el, r))
    q = r * torch.stack((el.cos() * az.sin(), el.sin(), el.cos() * az.cos()))
    d = torch.linalg.vector_norm(q - pos, dim=-1)
    return torch.exp(2j * math.pi / lam * (r - d))


def sv_path_loss(positions, azimuth, elevation, distance, wavelength):
    """Free-space amplitude 1/d of every element."""
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi * (distance - d) / wavelength) / d


def sv_relative_amplitude(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    gain = distance / d
    return gain * np.exp(2j * np.pi * (distance - d) / wavelength) / np.sqrt(d.size)


def sv_relative_amplitude_plain(p, az, el, r, lam):
    d = np.sqrt(((r * _unit(az, el) - p) ** 2).sum(-1))
    return (r / d) * np.exp(1j * 2 * np.pi / lam * (r - d))


def sv_degrees(positions, azimuth_deg, elevation_deg, distance, wavelength):
    u = _unit(np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg))
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / len(positions) ** 0.5


def sv_zenith(positions, azimuth, zenith, distance, wavelength):
    # zenith counted from the vertical (y) axis
    u = np.array([np.sin(zenith) * np.sin(azimuth), np.cos(zenith), np.sin(zenith) * np.cos(azimuth)])
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(positions.shape[0])


def sv_from_normal(positions, phi, theta, distance, wavelength):
    """theta from boresight (z), phi around it from the x axis."""
    u = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(positions.shape[0])


def sv_tilt_first(positions, azimuth, elevation, distance, wavelength):
    # elevation rotates about the horizontal (x) axis, azimuth is the cone angle
    u = np.array([np.sin(azimuth), np.cos(azimuth) * np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(positions.shape[0])


def sv_azimuth_from_x(positions, azimuth, elevation, distance, wavelength):
    ce = np.cos(elevation)
    q = distance * np.stack([ce * np.cos(azimuth), np.sin(elevation), ce * np.sin(azimuth)])
    d = np.linalg.norm(positions - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def sv_el_az(positions, elevation, azimuth, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def _upa(x, y, az, el, r, lam):
    qx, qy, qz = r * _unit(az, el)
    d = np.sqrt((qx - x) ** 2 + (qy - y) ** 2 + qz ** 2)
    return np.exp(2j * np.pi / lam * (r - d)) / np.sqrt(x.size)


def upa_vertical_first(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x, y = np.meshgrid((np.arange(nh) - (nh - 1) / 2) * spacing, (np.arange(nv) - (nv - 1) / 2) * spacing, indexing="ij")
    return _upa(x.ravel(), y.ravel(), azimuth, elevation, distance, wavelength)


def upa_rows_first(shape, spacing, azimuth, elevation, distance, wavelength):
    rows, cols = shape
    i, j = np.indices((rows, cols)).reshape(2, -1)
    return _upa((j - (cols - 1) / 2) * spacing, (i - (rows - 1) / 2) * spacing, azimuth, elevation, distance, wavelength)


def upa_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = np.tile(np.arange(nh), nv) * spacing
    y = np.repeat(np.arange(nv), nh) * spacing
    return _upa(x, y, azimuth, elevation, distance, wavelength)


def upa_half_wave(shape, spacing_wl, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    d = spacing_wl * wavelength
    y, x = np.meshgrid(d * (np.arange(nv) - (nv - 1) / 2), d * (np.arange(nh) - (nh - 1) / 2), indexing="ij")
    return _upa(x.ravel(), y.ravel(), azimuth, elevation, distance, wavelength)


def sv_first_reference(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (d[0] - d)) / np.sqrt(d.size)


class GreenFunction:
    @staticmethod
    def phase_only(positions, azimuth, elevation, distance, wavelength):
        d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
        return np.exp(-2j * np.pi * d / wavelength) / np.sqrt(d.size)

    @staticmethod
    def scalar(positions, azimuth, elevation, distance, wavelength):
        d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
        return np.exp(-2j * np.pi * d / wavelength) / d


sv_absolute = GreenFunction.phase_only
sv_absolute_green = GreenFunction.scalar


def sv_frequency(positions, azimuth, elevation, distance, frequency):
    k = 2 * np.pi * frequency / C0
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(1j * k * (distance - d)) / np.sqrt(d.size)


def sv_wavenumber(positions, azimuth, elevation, distance, wavenumber):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(1j * wavenumber * (distance - d)) / np.sqrt(d.size)


def sv_electrical(positions, azimuth, elevation, distance):
    """Positions and distance are given in wavelengths."""
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi * (distance - d)) / np.sqrt(d.size)


def sv_millimetres(positions_mm, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions_mm) * 1e-3
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(d.size)


def sv_coordinates_by_row(positions, azimuth, elevation, distance, wavelength):
    x, y, z = positions          # (3, N)
    ux, uy, uz = _unit(azimuth, elevation)
    d = np.sqrt((distance * ux - x) ** 2 + (distance * uy - y) ** 2 + (distance * uz - z) ** 2)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(x.size)


def sv_boresight_x(positions, azimuth, elevation, distance, wavelength):
    # array in the y-z plane
    u = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(d.size)


def sv_point(positions, point, wavelength):
    d = np.linalg.norm(point - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (np.linalg.norm(point) - d)) / np.sqrt(d.size)


def sv_point_opposite(positions, point, wavelength):
    r = torch.linalg.vector_norm(point)
    d = torch.cdist(positions[None], point[None, None])[0, :, 0]
    return torch.exp(2j * math.pi / wavelength * (d - r)) / math.sqrt(len(d))


def sv_degrees_unimodular(positions, azimuth, elevation, distance, wavelength):
    u = _unit(*np.radians((azimuth, elevation)))
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(1j * 2 * np.pi / wavelength * (distance - d))


# ---- functions of a matrix ------------------------------------------------------
def _h(R):
    return (R + R.mH) / 2 if isinstance(R, torch.Tensor) else (R + np.conj(np.swapaxes(R, -1, -2))) / 2


def eigs_ascending(cov):
    return torch.linalg.eigvalsh(_h(cov))


def eigs_ascending_scipy(R):
    n, _ = R.shape
    return sla.eigvalsh(_h(R))


def singular_ascending(matrix):
    return torch.linalg.svdvals(_h(matrix)).flip(-1)


def singular_sorted(A):
    return np.sort(np.abs(np.linalg.eigvalsh(_h(np.asarray(A)))), axis=-1)


def eigs_db(R):
    """Eigenvalue profile in dB."""
    return 10 * np.log10(np.linalg.eigvalsh(_h(R))[..., ::-1])


def eigs_relative(R):
    w = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return w / w[..., :1]


def mdl_ascending(eigs, samples):
    lam = np.asarray(eigs)[::-1]
    n, = lam.shape
    cost = []
    for k in range(n):
        noise = lam[k:]
        llr = samples * noise.size * (np.log(noise.mean()) - np.log(noise).mean())
        cost.append(llr + k * (2 * n - k) * np.log(samples) / 2)
    return int(np.argmin(cost))


def aic_ascending(w, num_snapshots):
    n, = w.shape
    m = np.arange(n, 0, -1)                       # noise dimension of k = 0, 1, ...
    am = (np.cumsum(w) / np.arange(1, n + 1))[::-1]
    gm = (np.cumsum(np.log(w)) / np.arange(1, n + 1))[::-1]
    k = n - m
    return int(np.argmin(2 * num_snapshots * m * (np.log(am) - gm) + 2 * k * (2 * n - k)))


def load_relative(cov, loading):
    H = _h(cov)
    mu = H.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    return H + loading * mu[..., None, None] * torch.eye(H.shape[-1], dtype=H.dtype)


def load_relative_np(R, *, factor=1e-3):
    n, _ = R.shape
    return _h(R) + factor * np.trace(R).real / n * np.eye(n)


def signal_by_noise_dim(R, noise_dim):
    _, V = torch.linalg.eigh(_h(R))
    return V[..., noise_dim:]


def noise_by_noise_dim(R, q):
    n, _ = R.shape
    return sla.eigh(_h(R), subset_by_index=[0, q - 1])[1]


def signal_rows(R, k):
    """The k principal eigenvectors, one a row."""
    _, V = np.linalg.eigh(_h(R))
    return np.swapaxes(V[..., -k:], -1, -2)


def noise_rows(cov, k):
    _, V = torch.linalg.eigh(_h(cov))
    return V[..., : V.shape[-1] - k].mT


def projector_complement(U):
    return torch.eye(U.shape[-2], dtype=U.dtype) - U @ U.mH


def projector_null(basis):
    P = np.einsum("...ik,...jk->...ij", basis, basis.conj())
    return np.eye(P.shape[-1]) - P


def projector_rows(B):
    """Rows of B span the subspace."""
    return B.mT @ B.conj()


def whiten_loaded(cov, loading=1e-3):
    H = _h(cov)
    w, V = torch.linalg.eigh(H + loading * torch.eye(H.shape[-1], dtype=H.dtype))
    return (V * w.rsqrt().unsqueeze(-2)) @ V.mH


def whiten_loaded_relative(R, alpha=1e-2):
    H = _h(R)
    n, _ = H.shape
    L = np.linalg.cholesky(H + alpha * np.trace(H).real / n * np.eye(n))
    return sla.solve_triangular(L, np.eye(n), lower=True)


def whiten_guarded(R):
    w, V = np.linalg.eigh(_h(R))
    return np.conj(np.swapaxes(V, -1, -2)) / (np.sqrt(w) + 1e-12)[..., :, None]


# ---- losses ------------------------------------------------------------------------
def _gap(R, k):
    w = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return w[..., k - 1] - w[..., k]


def gap_noise_dim(matrix, q):
    w = torch.linalg.eigvalsh(_h(matrix))
    return w[..., q] - w[..., q - 1]


def loss_per_sample(R, k, margin):
    return F.relu(margin - _gap(R, k))


def loss_sum(R, k, margin):
    return F.relu(margin - _gap(R, k)).sum()


class SquaredGapLoss(nn.Module):
    def forward(self, cov, k, margin):
        return F.relu(margin - _gap(cov, k)).square().mean()


loss_squared = SquaredGapLoss()


def loss_softplus(cov, k, margin):
    return F.softplus(margin - _gap(cov, k)).mean()


def loss_softplus_sum(cov, *, k, margin):
    return (-F.logsigmoid(_gap(cov, k) - margin)).sum()


def _factor_gap(Fm, k):
    s = torch.linalg.svdvals(Fm) ** 2
    s = F.pad(s, (0, Fm.shape[-2] - s.shape[-1]))
    return s[..., k - 1] - s[..., k]


def _reduced(reduction, factor, k, margin):
    return getattr(torch, reduction)(torch.relu(margin - _factor_gap(factor, k)))


factor_sum = partial(_reduced, "sum")


def factor_per_sample(factor, k, margin):
    return torch.relu(margin - _factor_gap(factor, k))


def factor_squared(factor, k, margin):
    return torch.relu(margin - _factor_gap(factor, k)).pow(2).mean()


def factor_soft(factor, k, margin):
    gap = _gap(factor @ factor.mH, k)
    return torch.logaddexp(margin - gap, torch.zeros_like(gap)).mean()


def factor_squared_per_sample(factor, k, margin):
    return torch.relu(margin - _factor_gap(factor, k)) ** 2


def epoch_unscaled(losses, accumulation):
    """The logged losses were loss / accumulation."""
    return accumulation * sum(float(v) for v in losses) / len(losses)


def epoch_unscaled_np(scaled_losses, steps_per_update):
    return float(np.mean(np.multiply([float(v) for v in scaled_losses], steps_per_update)))


# ---- snapshots ------------------------------------------------------------------
def scm_time_first(X):
    T, _ = X.shape
    return X.T @ X.conj() / T


def scm_time_first_torch(x):
    return torch.einsum("...tn,...tm->...nm", x, x.conj()) / x.shape[-2]


def lw_time_first(X):
    T, n = X.shape
    S = X.T @ X.conj() / T
    mu = np.trace(S).real / n
    d2 = np.linalg.norm(S / mu - np.eye(n)) ** 2
    b2 = (np.sum((np.sum(np.abs(X) ** 2, axis=1) / mu) ** 2) / T - np.linalg.norm(S / mu) ** 2) / T
    rho = min(b2, d2) / d2 if d2 > 0 else 1.0
    return (1 - rho) * S + rho * mu * np.eye(n)


# ---- spectra of any array -------------------------------------------------------
def _noise(R, k):
    _, V = (torch.linalg if isinstance(R, torch.Tensor) else np.linalg).eigh(_h(R))
    return V[..., : R.shape[-1] - k]


def _leak(R, A, k):
    """a^H En En^H a for every column a of A."""
    return (np.abs(np.conj(np.swapaxes(_noise(R, k), -1, -2)) @ A) ** 2).sum(-2)


def _power(R, A):
    H = _h(R)
    X = np.linalg.solve(H, np.broadcast_to(A, H.shape[:-2] + A.shape))
    return np.real(np.sum(A.conj() * X, axis=-2))


def music_db(R, steering, k):
    return -10 * np.log10(_leak(R, steering, k))


def music_peak_normalized(R, A, num_sources):
    p = 1 / _leak(R, A, num_sources)
    return p / p.max(axis=-1, keepdims=True)


def music_relative_leak(R, A, k):
    """The share of |a|^2 that falls in the noise subspace, inverted."""
    return np.sum(np.abs(A) ** 2, axis=0) / _leak(R, A, k)


class GuardedMusic(nn.Module):
    def __init__(self, eps=1e-12):
        super().__init__()
        self.eps = eps

    def forward(self, cov, steering, k):
        dt = torch.promote_types(cov.dtype, steering.dtype)
        y = _noise(cov, k).mH.to(dt) @ steering.to(dt)
        return 1 / (y.abs().square().sum(-2) + self.eps)


music_guarded = GuardedMusic()


def music_transposed(R, steering, k):
    # steering: one look direction a row
    E = _noise(R, k)
    return 1 / np.sum(np.abs(steering.conj() @ E) ** 2, axis=-1)


def music_adjoint(R, steering_h, k):
    # rows of steering_h are a^H
    return 1 / np.sum(np.abs(steering_h @ _noise(R, k)) ** 2, axis=-1)


def music_noise_dim(R, A, noise_dim):
    _, V = np.linalg.eigh(_h(R))
    return 1 / (np.abs(np.conj(np.swapaxes(V[..., :noise_dim], -1, -2)) @ A) ** 2).sum(-2)


def music_rows_db(R, grid, k):
    n, _ = R.shape
    P = _noise(R, k) @ _noise(R, k).conj().T
    return np.array([-10 * np.log10(np.vdot(a, P @ a).real) for a in grid])


def capon_peak_normalized(R, A):
    p = _power(R, A)
    return p.min(axis=-1, keepdims=True) / p


def capon_guarded(R, A):
    return 1.0 / (_power(R, A) + 1e-12)


def capon_loaded(cov, steering, loading=1e-2):
    H = _h(cov)
    dt = torch.promote_types(H.dtype, steering.dtype)
    H = (H + loading * torch.eye(H.shape[-1], dtype=H.dtype)).to(dt)
    A = steering.to(dt).expand(*H.shape[:-2], *steering.shape)
    return 1 / (A.conj() * torch.linalg.solve(H, A)).sum(-2).real


def capon_loaded_relative(R, A, *, delta=1e-3):
    n, _ = R.shape
    H = _h(R)
    return 1 / _power(H + delta * np.trace(H).real / n * np.eye(n), A)


def capon_db(R, steering):
    return -10 * np.log10(_power(R, steering))


def capon_transposed(R, steering):
    return 1 / _power(R, steering.T)


def capon_adjoint(cov, steering_h):
    H = _h(cov)
    dt = torch.promote_types(H.dtype, steering_h.dtype)
    inv = torch.linalg.inv(H).to(dt)
    B = steering_h.to(dt)
    return ((B @ inv) * B.conj()).sum(-1).real.reciprocal()


def capon_unit_steering(R, A):
    """Capon power per unit-norm steering vector: |a|^2 / (a^H R^-1 a)."""
    return np.linalg.norm(A, axis=0) ** 2 / _power(R, A)


# ---- uniform linear arrays --------------------------------------------------------
def _a(angles, n, sign=1, fn=np.sin):
    return np.exp(sign * 1j * np.pi * np.outer(np.arange(n), fn(angles)))


def _beam(R, A):
    return np.sum(A.conj() * (_h(R) @ A), axis=-2).real


def bartlett_degrees(R, angles_deg):
    n = R.shape[-1]
    return _beam(R, _a(np.deg2rad(angles_deg), n)) / n ** 2


def bartlett_plain_power(R, angles):
    return _beam(R, _a(angles, R.shape[-1]))


def bartlett_unit_norm(R, angles):
    n = R.shape[-1]
    return _beam(R, _a(angles, n) / np.sqrt(n))


def bartlett_db(R, theta):
    n = R.shape[-1]
    return 10 * np.log10(_beam(R, _a(theta, n)) / n ** 2)


def bartlett_opposite(cov, theta):
    n = cov.shape[-1]
    a = torch.exp(-1j * math.pi * torch.arange(n, dtype=theta.dtype)[:, None] * torch.sin(theta))
    H = _h(cov).to(torch.promote_types(cov.dtype, a.dtype))
    a = a.to(H.dtype)
    return (a.conj() * (H @ a)).sum(-2).real / n ** 2


def bartlett_axis(R, theta):
    n = R.shape[-1]
    return _beam(R, _a(theta, n, fn=np.cos)) / n ** 2


def bartlett_max(R, angles):
    p = _beam(R, _a(angles, R.shape[-1]))
    return p / np.max(p, axis=-1, keepdims=True)


def ula_capon_opposite(R, angles):
    return 1 / _power(R, _a(angles, R.shape[-1], sign=-1))


def ula_capon_degrees_db(R, angles):
    return 10 * np.log10(1 / _power(R, _a(np.radians(angles), R.shape[-1])))


def ula_capon_loaded(R, angles, loading=1e-2):
    H = _h(R)
    return 1 / _power(H + loading * np.eye(H.shape[-1]), _a(angles, H.shape[-1]))


def ula_capon_unit(R, angles):
    n = R.shape[-1]
    return 1 / _power(R, _a(angles, n) / np.sqrt(n))


def ula_capon_axis(R, theta):
    n, _ = R.shape
    Ri = np.linalg.inv(_h(R))
    return np.array([1 / np.vdot(a, Ri @ a).real for a in _a(theta, n, fn=np.cos).T])


def ula_music_guarded(R, k, angles):
    return 1 / (_leak(R, _a(angles, R.shape[-1]), k) + 1e-10)


def ula_music_unit(R, k, angles):
    n = R.shape[-1]
    return 1 / _leak(R, _a(angles, n) / np.sqrt(n), k)


def ula_music_noise_dim(R, noise_dim, angles):
    n = R.shape[-1]
    return 1 / _leak(R, _a(angles, n), n - noise_dim)


def ula_music_max(R, k, angles):
    leak = _leak(R, _a(angles, R.shape[-1]), k)
    return leak.min(axis=-1, keepdims=True) / leak


def ula_music_degrees(R, k, angles):
    return 1 / _leak(R, _a(np.deg2rad(angles), R.shape[-1]), k)


def _esprit_phase(R, k):
    n, _ = R.shape
    _, V = np.linalg.eigh(_h(R))
    Es = V[:, n - k:]
    return np.angle(np.linalg.eigvals(np.linalg.pinv(Es[:-1]) @ Es[1:]))


def esprit_degrees(R, k):
    return np.sort(np.degrees(np.arcsin(_esprit_phase(R, k) / np.pi)))


def esprit_axis(R, k):
    return np.sort(np.arccos(_esprit_phase(R, k) / np.pi))


def esprit_opposite(R, k):
    return np.sort(-np.arcsin(_esprit_phase(R, k) / np.pi))


def esprit_noise_dim(R, q):
    n, _ = R.shape
    return np.sort(np.arcsin(_esprit_phase(R, n - q) / np.pi))


@dataclass
class RootMusic:
    degrees: bool = False
    sign: int = 1

    def __call__(self, R, k):
        n, _ = R.shape
        E = _noise(R, k)
        C = E @ E.conj().T
        z = np.roots([np.trace(C, offset=d) for d in range(n - 1, -n, -1)])
        near = np.argsort(np.abs(np.log(np.abs(z))))[:2 * k]   # k mirror pairs
        phi = np.sort(np.angle(z[near])).reshape(k, 2).mean(axis=1)
        theta = np.sort(np.arcsin(self.sign * phi / np.pi))
        return np.degrees(theta) if self.degrees else theta


root_music_degrees = RootMusic(degrees=True)
root_music_opposite = RootMusic(sign=-1)


def root_music_axis(R, k):
    return np.arccos(np.sin(RootMusic()(R, k)))[::-1]


def root_music_noise_dim(R, noise_dim):
    return RootMusic()(R, len(R) - noise_dim)
