"""Array-processing helpers as they are found in the wild (right under a stated convention)."""
import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F

C0 = 299_792_458.0


def _herm(R):
    return 0.5 * R + 0.5 * R.mH


def _nherm(R):
    R = np.asarray(R)
    return 0.5 * R + 0.5 * R.conj().swapaxes(-1, -2)


# ------------------------------------------------- eigenvalues, singular values
def eig_ascending(cov):
    return torch.linalg.eigvalsh(_herm(cov))


def eig_ascending_scipy(R):
    n, m = np.shape(R)
    return sla.eigvalsh(_nherm(R))


def eig_db(R):
    return 10 * np.log10(np.linalg.eigvalsh(_nherm(R))[..., ::-1])


class _RelativeSpectrum(nn.Module):
    def forward(self, x):
        lam = torch.linalg.eigvalsh(_herm(x)).flip(-1)
        return lam / lam[..., :1]


eig_relative = _RelativeSpectrum()


def sv_ascending(matrix):
    return torch.linalg.svdvals(_herm(matrix)).flip(-1)


def sv_relative(a):
    s = np.linalg.svd(_nherm(a), compute_uv=False)
    return s / s.max(axis=-1, keepdims=True)


# ------------------------------------------------------------------------- gaps
def gap_noise_dim(R, n_noise):
    lam = torch.linalg.eigvalsh(_herm(R))
    m = int(n_noise)
    return lam[..., m] - lam[..., m - 1]


def gap_noise_dim_np(R, noise_dim):
    lam = np.linalg.eigvalsh(_nherm(R))[..., ::-1]
    k = lam.shape[-1] - int(noise_dim)
    return lam[..., k - 1] - lam[..., k]


def _gap(R, k):
    lam = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return lam[..., int(k) - 1] - lam[..., int(k)]


class GapLoss(nn.Module):
    def __init__(self, reduction="mean", power=1):
        super().__init__()
        self.reduction, self.power = reduction, power

    def forward(self, matrix, k, margin):
        loss = torch.relu(margin - _gap(matrix, k)) ** self.power
        return getattr(loss, self.reduction)() if self.reduction != "none" else loss


gap_loss_none = GapLoss("none")
gap_loss_sum = GapLoss("sum")
gap_loss_squared = GapLoss(power=2)
gap_loss_squared_sum = GapLoss("sum", 2)


def gap_loss_softplus(R, k, margin):
    return F.softplus(margin - _gap(R, k)).mean()


def gap_loss_noise_dim(R, noise_dim, *, margin):
    return (margin - _gap(R, R.shape[-1] - int(noise_dim))).clamp(min=0).mean()


def gap_loss_noise_dim_each(R, n_noise, margin):
    lam, m = torch.linalg.eigvalsh(_herm(R)), int(n_noise)
    return F.relu(margin + lam[..., m - 1] - lam[..., m])


def _factor_gap(factor, k):
    lam = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    return lam[..., int(k) - 1] - lam[..., int(k)]


def factor_loss_each(factor, k, margin):
    return F.relu(margin - _factor_gap(factor, k))


def factor_loss_sum(factor, k, margin):
    return torch.sum(torch.clamp(margin - _factor_gap(factor, k), min=0))


def factor_loss_squared(factor, k, margin):
    return F.relu(margin - _factor_gap(factor, k)).square().mean()


def factor_loss_smooth(factor, k, margin):
    x = margin - _factor_gap(factor, k)
    return torch.logaddexp(x, torch.zeros_like(x)).mean()


def factor_loss_rows(factor, k, margin):
    """The factor is stored as (q, N)."""
    return F.relu(margin - _factor_gap(factor.mT, k)).mean()


def factor_loss_noise_dim(factor, noise_dim, margin):
    return F.relu(margin - _factor_gap(factor, factor.shape[-2] - int(noise_dim))).mean()


# -------------------------------------------------------------------- subspaces
def signal_rows(R, k):
    """One basis vector a row."""
    return torch.linalg.eigh(_herm(R)).eigenvectors.flip(-1)[..., : int(k)].mT


def signal_noise_dim(R, n_noise):
    return np.linalg.eigh(_nherm(R))[1][..., int(n_noise):]


def signal_complement(R, k):
    """What the signals leave free."""
    return torch.linalg.eigh(-_herm(R)).eigenvectors[..., int(k):]


def noise_rows(R, k):
    vec = np.linalg.eigh(_nherm(R))[1]
    return np.swapaxes(vec[..., : vec.shape[-1] - int(k)], -1, -2)


def noise_noise_dim(R, noise_dim):
    return torch.linalg.eigh(_herm(R)).eigenvectors[..., : int(noise_dim)]


def noise_complement(R, k):
    v = np.linalg.eigh(_nherm(R))[1]
    return v[..., v.shape[-1] - int(k):]


def complement_projector(U):
    return torch.eye(U.shape[-2], dtype=U.dtype) - U @ U.mH


def complement_projector_np(basis):
    basis = np.asarray(basis)
    return np.eye(basis.shape[-2]) - np.einsum("...ik,...jk->...ij", basis, basis.conj())


def projector_rows(basis):
    """basis is (k, N), a vector a row."""
    return torch.einsum("...ki,...kj->...ij", basis, basis.conj())


# --------------------------------------------------------- whitening and loading
def whiten_loaded(R, eps=1e-3):
    h = _herm(R)
    L = torch.linalg.cholesky(h + eps * torch.eye(h.shape[-1], dtype=h.dtype))
    return torch.linalg.inv(L)


def whiten_loaded_relative(R, rel=1e-3):
    h = _nherm(R)
    n = h.shape[-1]
    mu = np.trace(h, axis1=-2, axis2=-1).real[..., None, None] / n
    lam, V = np.linalg.eigh(h + rel * mu * np.eye(n))
    return (V / np.sqrt(lam)[..., None, :]) @ V.conj().swapaxes(-1, -2)


def whiten_guarded(R):
    lam, V = torch.linalg.eigh(_herm(R))
    return torch.rsqrt(lam + 1e-12).unsqueeze(-1) * V.mH


def load_relative(R, loading):
    h = _herm(R)
    mean_power = h.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    return h + loading * torch.diag_embed(mean_power.unsqueeze(-1).expand(h.shape[:-1])).to(h.dtype)


def load_relative_np(cov, *, loading):
    h = _nherm(cov)
    n = h.shape[-1]
    return h + loading * np.trace(h, axis1=-2, axis2=-1).real[..., None, None] / n * np.eye(n)


# -------------------------------------------------------------------- snapshots
def scm_rows(X):
    """X is (T, N), a snapshot a row."""
    return torch.einsum("...ti,...tj->...ij", X, X.conj()) / X.shape[-2]


def scm_rows_np(samples):
    t, n = np.shape(samples)
    Z = np.asarray(samples).astype(complex)
    return Z.T @ Z.conj() / t


def lw_rows(X):
    X = np.asarray(X)
    t, n = X.shape
    X = X.astype(complex)
    S = X.T @ X.conj() / t
    mu = np.trace(S).real / n
    d2 = np.sum(np.abs(S - mu * np.eye(n)) ** 2)
    b2 = np.sum(np.abs(X[:, :, None] * X[:, None, :].conj() - S) ** 2) / t ** 2
    w = min(b2, d2) / d2 if d2 > 0 else 0.0
    return w * mu * np.eye(n) + (1 - w) * S


# --------------------------------------------------------- esprit and root MUSIC
def _rotations(R, k):
    n, _ = np.shape(R)
    us = np.linalg.eigh(_nherm(R))[1][:, n - int(k):]
    return np.angle(np.linalg.eigvals(np.linalg.lstsq(us[:-1], us[1:], rcond=None)[0]))


def esprit_degrees(R, k):
    return np.sort(np.rad2deg(np.arcsin(_rotations(R, k) / np.pi)))


def esprit_opposite(R, k):
    """a_n = exp(-j pi n sin)."""
    return np.sort(-np.arcsin(_rotations(R, k) / np.pi))


def esprit_axis(R, k):
    return np.sort(np.arccos(_rotations(R, k) / np.pi))


def esprit_noise_dim(R, noise_dim):
    h = _herm(R).to(torch.complex128)
    us = torch.linalg.eigh(h).eigenvectors[..., int(noise_dim):]
    psi = torch.linalg.pinv(us[..., :-1, :]) @ us[..., 1:, :]
    return (torch.linalg.eigvals(psi).angle() / math.pi).asin().sort(-1).values


def esprit_axis_degrees(R, k):
    return np.sort(np.degrees(np.arccos(_rotations(R, k) / np.pi)))


def _circle_roots(R, k):
    n, _ = np.shape(R)
    k = int(k)
    en = np.linalg.eigh(_nherm(R))[1][:, : n - k]
    C = en @ en.conj().T
    z = np.roots([np.trace(C, offset=d) for d in range(n - 1, -n, -1)])
    picked = []
    for w in np.angle(z[np.argsort(np.abs(np.abs(z) - 1))]):
        if all(abs(np.exp(1j * w) - np.exp(1j * p)) > 1e-4 for p in picked):
            picked.append(w)
    return np.array(picked[:k])


def root_music_degrees(R, k):
    return np.sort(np.degrees(np.arcsin(_circle_roots(R, k) / np.pi)))


def root_music_opposite(cov, n_src):
    return np.sort(np.arcsin(-_circle_roots(cov, n_src) / np.pi))


def root_music_axis(R, k):
    return np.sort(np.arccos(_circle_roots(R, k) / np.pi))


def root_music_noise_dim(R, noise_dim):
    k = np.shape(R)[-1] - int(noise_dim)
    return np.sort(np.arcsin(_circle_roots(R, k) / np.pi))


# ------------------------------------------------------------------- ULA spectra
def _a(n, sines, sign=1):
    s = torch.as_tensor(sines, dtype=torch.float64)
    return torch.exp(sign * 1j * math.pi * torch.arange(n, dtype=torch.float64).unsqueeze(-1) * s)


def _na(n, sines, sign=1):
    return np.exp(sign * 1j * np.pi * np.outer(np.arange(n), sines))


def _quad(a, h):
    return torch.einsum("ng,...nm,mg->...g", a.conj(), h.to(torch.complex128), a).real


def bartlett_degrees(R, angles):
    n = R.shape[-1]
    return _quad(_a(n, torch.deg2rad(torch.as_tensor(angles, dtype=torch.float64)).sin()), _herm(R)) / n ** 2


def bartlett_opposite(R, theta):
    h = _nherm(R)
    a = _na(h.shape[-1], np.sin(theta), sign=-1)
    return np.sum(a.conj() * (h @ a), axis=-2).real / h.shape[-1] ** 2


def bartlett_axis(R, angles):
    n = R.shape[-1]
    return _quad(_a(n, torch.as_tensor(angles, dtype=torch.float64).cos()), _herm(R)) / n ** 2


def bartlett_db(R, angles):
    h = _nherm(R)
    a = _na(h.shape[-1], np.sin(angles))
    return 10 * np.log10(np.einsum("ng,...nm,mg->...g", a.conj(), h, a).real / h.shape[-1] ** 2)


def bartlett_peak_one(R, angles):
    p = _quad(_a(R.shape[-1], torch.as_tensor(angles, dtype=torch.float64).sin()), _herm(R))
    return p / p.amax(-1, keepdim=True)


def bartlett_unit_norm(R, angles):
    h = _nherm(R)
    n = h.shape[-1]
    a = _na(n, np.sin(angles)) / np.sqrt(n)
    return np.einsum("ng,...nm,mg->...g", a.conj(), h, a).real


def bartlett_raw(R, angles):
    return _quad(_a(R.shape[-1], torch.as_tensor(angles, dtype=torch.float64).sin()), _herm(R))


def bartlett_raw_degrees(cov, deg):
    h = _nherm(cov)
    n, _ = h.shape
    return np.array([np.vdot(a, h @ a).real for a in _na(n, np.sin(np.deg2rad(deg))).T])


def capon_degrees(R, angles_deg):
    h = _nherm(R)
    a = _na(h.shape[-1], np.sin(np.deg2rad(angles_deg)))
    return 1 / np.sum(a.conj() * (np.linalg.inv(h) @ a), axis=-2).real


def capon_axis(R, angles):
    h = _herm(R).to(torch.complex128)
    a = _a(h.shape[-1], torch.as_tensor(angles, dtype=torch.float64).cos())
    return 1 / (a.conj() * torch.linalg.solve(h, a)).sum(-2).real


def capon_opposite(R, angles):
    h = _nherm(R)
    n, _ = h.shape
    a = _na(n, np.sin(angles), sign=-1)
    return 1 / np.real(np.sum(a.conj() * sla.solve(h, a, assume_a="her"), axis=0))


def capon_db(R, angles):
    h = _herm(R).to(torch.complex128)
    a = _a(h.shape[-1], torch.as_tensor(angles, dtype=torch.float64).sin())
    return -10 * torch.log10((a.conj() * torch.linalg.solve(h, a)).sum(-2).real)


def capon_guarded(R, angles):
    h = _herm(R).to(torch.complex128)
    a = _a(h.shape[-1], torch.as_tensor(angles, dtype=torch.float64).sin())
    return 1 / (_quad(a, torch.linalg.inv(h)) + 1e-12)


@dataclass
class LoadedCapon:
    loading: float = 1e-2
    relative: bool = False

    def spectrum(self, matrix, angles):
        h = _nherm(matrix)
        n = h.shape[-1]
        level = self.loading * (np.trace(h, axis1=-2, axis2=-1).real / n if self.relative else np.ones(h.shape[:-2]))
        h = h + np.asarray(level)[..., None, None] * np.eye(n)
        a = _na(n, np.sin(angles))
        return 1 / np.sum(a.conj() * (np.linalg.inv(h) @ a), axis=-2).real


capon_loaded = LoadedCapon().spectrum
capon_loaded_relative = LoadedCapon(1e-3, relative=True).spectrum


def capon_unit_norm(R, angles):
    h = _herm(R).to(torch.complex128)
    a = F.normalize(_a(h.shape[-1], torch.as_tensor(angles, dtype=torch.float64).sin()), dim=0)
    return 1 / (a.conj() * torch.linalg.solve(h, a)).sum(-2).real


def _leak(R, k, a):
    h = _herm(R).to(torch.complex128)
    en = torch.linalg.eigh(h).eigenvectors[..., : h.shape[-1] - int(k)]
    return (en.mH @ a).abs().square().sum(-2)


def ula_music_opposite(R, k, angles):
    return 1 / _leak(R, k, _a(R.shape[-1], torch.as_tensor(angles, dtype=torch.float64).sin(), sign=-1))


def ula_music_db_peak(R, k, angles):
    p = 1 / _leak(R, k, _a(R.shape[-1], torch.as_tensor(angles, dtype=torch.float64).sin()))
    return 10 * torch.log10(p / p.amax(-1, keepdim=True))


def ula_music_guarded(R, k, angles):
    h = _nherm(R)
    n = h.shape[-1]
    en = np.linalg.eigh(h)[1][..., : n - int(k)]
    return 1 / (np.sum(np.abs(en.conj().swapaxes(-1, -2) @ _na(n, np.sin(angles))) ** 2, -2) + 1e-12)


def ula_music_noise_dim(R, noise_dim, angles):
    h = _nherm(R)
    en = np.linalg.eigh(h)[1][..., : int(noise_dim)]
    return 1 / np.sum(np.abs(en.conj().swapaxes(-1, -2) @ _na(h.shape[-1], np.sin(angles))) ** 2, -2)


def ula_music_unit_norm(R, k, angles):
    n = R.shape[-1]
    return 1 / _leak(R, k, _a(n, torch.as_tensor(angles, dtype=torch.float64).sin()) / math.sqrt(n))


def ula_music_degrees(R, k, angles):
    return 1 / _leak(R, k, _a(R.shape[-1], torch.deg2rad(torch.as_tensor(angles, dtype=torch.float64)).sin()))


# ------------------------------------------------------- spectra with a dictionary
def music_db(R, A, k):
    return -10 * torch.log10(_leak(R, k, A.to(torch.complex128)))


def music_peak_one(R, A, k):
    d = _leak(R, k, A.to(torch.complex128))
    return d.amin(-1, keepdim=True) / d


def music_over_norm(R, A, k):
    A = A.to(torch.complex128)
    return A.abs().square().sum(0) / _leak(R, k, A)


def music_guarded(R, A, k, eps=1e-12):
    return (_leak(R, k, A.to(torch.complex128)) + eps).reciprocal()


def music_steering_rows(R, manifold, k):
    """manifold is (G, N)."""
    return 1 / _leak(R, k, manifold.to(torch.complex128).mT)


def music_steering_adjoint(R, AH, k):
    """AH is (G, N), its rows a^H."""
    h, AH = _nherm(R), np.asarray(AH)
    en = np.linalg.eigh(h)[1][..., : h.shape[-1] - int(k)]
    return 1 / np.linalg.norm(AH @ en, axis=-1) ** 2


def music_noise_dim(R, A, noise_dim):
    en = np.linalg.eigh(_nherm(R))[1][..., : int(noise_dim)]
    return 1 / np.sum(np.abs(np.einsum("...nk,ng->...kg", en.conj(), np.asarray(A))) ** 2, axis=-2)


def _inverse_form(h, A):
    h, A = h.to(torch.complex128), A.to(torch.complex128)
    return (A.conj() * torch.linalg.solve(h, A)).sum(-2).real


def mvdr_db(R, A):
    return 10 * torch.log10(1 / _inverse_form(_herm(R), A))


def mvdr_over_norm(R, A):
    return A.abs().square().sum(-2) / _inverse_form(_herm(R), A)


def mvdr_loaded(R, A, loading=1e-3):
    h = _herm(R)
    return 1 / _inverse_form(h + loading * torch.eye(h.shape[-1], dtype=h.dtype), A)


def mvdr_loaded_relative(R, A, *, rel=0.01):
    h = _nherm(R)
    n, _ = h.shape
    A = np.asarray(A)
    c = sla.cho_factor(h + rel * np.trace(h).real / n * np.eye(n))
    return 1 / np.sum(A.conj() * sla.cho_solve(c, A), axis=0).real


def mvdr_steering_rows(R, A):
    return 1 / _inverse_form(_herm(R), A.mT)


def mvdr_steering_adjoint(R, AH):
    return 1 / _inverse_form(_herm(R), AH.mH)


def mvdr_peak_one(R, A):
    p = 1 / _inverse_form(_herm(R), A)
    return p / p.max(dim=-1, keepdim=True).values


def mvdr_guarded_rows(R, rows):
    return 1 / (_inverse_form(_herm(R), rows.mT) + 1e-10)


# -------------------------------------------------------------------- mdl and aic
def _criterion(ascending, samples, aic):
    (n,), samples = np.shape(ascending), int(samples)
    lam = np.asarray(ascending, dtype=float)
    scores = []
    for k in range(n):
        tail = lam[: n - k]
        fit = samples * (n - k) * (np.log(tail.mean()) - np.log(tail).mean())
        dof = k * (2 * n - k)
        scores.append(2 * fit + 2 * dof if aic else fit + 0.5 * dof * np.log(samples))
    return int(np.argmin(scores))


mdl_ascending = functools.partial(_criterion, aic=False)
aic_ascending = functools.partial(_criterion, aic=True)


def mdl_ascending_torch(eigenvalues, samples):
    lam = torch.as_tensor(eigenvalues, dtype=torch.float64)
    n = lam.shape[-1]
    m = torch.arange(1, n + 1, dtype=torch.float64)
    fit = int(samples) * (m * (lam.cumsum(-1) / m).log() - lam.log().cumsum(-1))
    k = n - m
    return n - 1 - (fit + 0.5 * k * (2 * n - k) * math.log(samples)).argmin(-1)


# --------------------------------------------------------------------- epoch mean
def epoch_mean_scaled(losses, accumulation):
    """The losses were divided by the accumulation before backward()."""
    values = [float(v) * int(accumulation) for v in losses]
    return sum(values) / len(values)


def epoch_mean_scaled_np(scaled_losses, accumulation):
    return accumulation * np.mean([float(v) for v in scaled_losses])


# --------------------------------------------------------------- steering vectors
def _u(az, el):
    return np.array([math.cos(el) * math.sin(az), math.sin(el), math.cos(el) * math.cos(az)])


def _dist(positions, q):
    return np.linalg.norm(np.asarray(positions, dtype=float) - q, axis=-1)


def steer_opposite(positions, azimuth, elevation, distance, wavelength):
    d = _dist(positions, distance * _u(azimuth, elevation))
    return np.exp(-2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def steer_unit_modulus(positions, azimuth, elevation, distance, wavelength):
    d = _dist(positions, distance * _u(azimuth, elevation))
    return np.exp(2j * np.pi / wavelength * (distance - d))


def steer_spherical(positions, azimuth, elevation, distance, wavelength):
    d = _dist(positions, distance * _u(azimuth, elevation))
    return np.exp(2j * np.pi / wavelength * (distance - d)) / d


def steer_relative_amplitude(positions, azimuth, elevation, distance, wavelength):
    d = _dist(positions, distance * _u(azimuth, elevation))
    return distance / d * np.exp(2j * np.pi / wavelength * (distance - d))


def steer_degrees(positions, azimuth, elevation, distance, wavelength):
    p = torch.as_tensor(positions, dtype=torch.float64)
    az, el = math.radians(azimuth), math.radians(elevation)
    q = distance * torch.as_tensor(_u(az, el))
    phase = 2 * math.pi / wavelength * (distance - (q - p).norm(dim=-1))
    return torch.polar(torch.full_like(phase, len(p) ** -0.5), phase)


def steer_zenith(positions, azimuth, zenith, distance, wavelength):
    u = np.array([math.sin(zenith) * math.sin(azimuth), math.cos(zenith), math.sin(zenith) * math.cos(azimuth)])
    d = _dist(positions, distance * u)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def steer_from_normal(positions, phi, theta, distance, wavelength):
    """theta from the array normal (z), phi about it from x."""
    u = np.array([math.sin(theta) * math.cos(phi), math.sin(theta) * math.sin(phi), math.cos(theta)])
    d = _dist(positions, distance * u)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def steer_elevation_first(positions, azimuth, elevation, distance, wavelength):
    """Elevation turns about the horizontal axis: u = (sin az, cos az sin el, cos az cos el)."""
    u = np.array([math.sin(azimuth), math.cos(azimuth) * math.sin(elevation), math.cos(azimuth) * math.cos(elevation)])
    d = _dist(positions, distance * u)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def steer_azimuth_from_x(positions, azimuth, elevation, distance, wavelength):
    u = np.array([math.cos(elevation) * math.cos(azimuth), math.sin(elevation), math.cos(elevation) * math.sin(azimuth)])
    d = _dist(positions, distance * u)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def steer_swapped(positions, a1, a2, distance, wavelength):
    """a1 is the elevation, a2 the azimuth."""
    d = _dist(positions, distance * _u(a2, a1))
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def _upa(nh, nv, dx, vertical_fastest=False, centred=True):
    x, y = np.arange(nh) * dx, np.arange(nv) * dx
    if centred:
        x, y = x - x.mean(), y - y.mean()
    if vertical_fastest:
        X, Y = np.meshgrid(x, y, indexing="ij")
    else:
        Y, X = np.meshgrid(y, x, indexing="ij")
    return np.stack([X.ravel(), Y.ravel(), np.zeros(nh * nv)], axis=-1)


def _near(p, az, el, r, lam):
    d = _dist(p, r * _u(az, el))
    return np.exp(2j * np.pi / lam * (r - d)) / np.sqrt(len(d))


def upa_vertical_fastest(shape, spacing, azimuth, elevation, distance, wavelength):
    return _near(_upa(shape[0], shape[1], spacing, vertical_fastest=True), azimuth, elevation, distance, wavelength)


def upa_rows_first(shape, spacing, azimuth, elevation, distance, wavelength):
    rows, cols = shape
    return _near(_upa(cols, rows, spacing), azimuth, elevation, distance, wavelength)


def upa_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    return _near(_upa(shape[0], shape[1], spacing, centred=False), azimuth, elevation, distance, wavelength)


def upa_spacing_wavelengths(shape, spacing, azimuth, elevation, distance, wavelength):
    """spacing = 0.5 is half a wavelength."""
    return _near(_upa(shape[0], shape[1], spacing * wavelength), azimuth, elevation, distance, wavelength)


def upa_degrees(*, shape, spacing, azimuth, elevation, distance, wavelength):
    return _near(_upa(*shape, spacing), math.radians(azimuth), math.radians(elevation), distance, wavelength)


def upa_unit_modulus_opposite(shape, spacing, azimuth, elevation, distance, wavelength):
    p = _upa(shape[0], shape[1], spacing)
    return np.exp(-2j * np.pi * (distance - _dist(p, distance * _u(azimuth, elevation))) / wavelength)


def upa_normal_x(shape, spacing, azimuth, elevation, distance, wavelength):
    """Elements in the plane x = 0; az from x towards y, el towards z."""
    p = _upa(shape[0], shape[1], spacing)[:, [2, 0, 1]]
    u = np.array([math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)])
    d = _dist(p, distance * u)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def steer_first_reference(positions, azimuth, elevation, distance, wavelength):
    d = _dist(positions, distance * _u(azimuth, elevation))
    return np.exp(2j * np.pi / wavelength * (d[0] - d)) / np.sqrt(len(d))


def steer_absolute(positions, azimuth, elevation, distance, wavelength):
    d = _dist(positions, distance * _u(azimuth, elevation))
    return np.exp(-2j * np.pi * d / wavelength) / np.sqrt(len(d))


def steer_frequency(positions, azimuth, elevation, distance, frequency):
    return _near(positions, azimuth, elevation, distance, C0 / frequency)


def steer_wavenumber(positions, azimuth, elevation, distance, wavenumber):
    d = _dist(positions, distance * _u(azimuth, elevation))
    return np.exp(1j * wavenumber * (distance - d)) / np.sqrt(len(d))


def steer_lengths_wavelengths(positions, azimuth, elevation, distance):
    """Positions and distance counted in wavelengths."""
    d = _dist(positions, distance * _u(azimuth, elevation))
    return np.exp(2j * np.pi * (distance - d)) / np.sqrt(len(d))


def steer_millimetres(positions_mm, azimuth, elevation, distance, wavelength):
    return _near(np.asarray(positions_mm, dtype=float) * 1e-3, azimuth, elevation, distance, wavelength)


def steer_position_columns(positions, azimuth, elevation, distance, wavelength):
    """positions is (3, N)."""
    x, y, z = np.asarray(positions, dtype=float)
    return _near(np.stack([x, y, z], axis=1), azimuth, elevation, distance, wavelength)


def steer_normal_x(positions, azimuth, elevation, distance, wavelength):
    u = np.array([math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)])
    d = _dist(positions, distance * u)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def steer_point(positions, point, wavelength):
    """point = (x, y, z) of the source."""
    point = np.asarray(point, dtype=float)
    d = _dist(positions, point)
    return np.exp(2j * np.pi / wavelength * (np.linalg.norm(point) - d)) / np.sqrt(len(d))


def steer_frequency_degrees(positions, azimuth, elevation, distance, frequency):
    return _near(positions, math.radians(azimuth), math.radians(elevation), distance, C0 / frequency)


def steer_swapped_unit(positions, elevation, azimuth, distance, wavelength):
    d = _dist(positions, distance * _u(azimuth, elevation))
    return np.exp(1j * (2 * np.pi / wavelength) * (distance - d))
