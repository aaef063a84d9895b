"""The same quantities under other people's conventions."""
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg as sla
import torch
from torch import nn
from torch.nn import functional as F

C0 = 299792458.0


# ---- steering from positions -----------------------------------------------------------------------------------

def _unit(az, el):
    az, el = torch.broadcast_tensors(torch.as_tensor(az, dtype=torch.float64), torch.as_tensor(el, dtype=torch.float64))
    return torch.stack([el.cos() * az.sin(), el.sin(), el.cos() * az.cos()], -1)


def _ranges(positions, u, r):
    r = torch.as_tensor(r, dtype=torch.float64)
    return torch.linalg.vector_norm((r[..., None] * u)[..., None, :] - positions, dim=-1), r[..., None]


def sv_engineering(positions, azimuth, elevation, distance, wavelength):
    """exp(+j w t) time dependence: the phase lags with the path."""
    d, r = _ranges(positions, _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi / wavelength * (d - r)) / math.sqrt(positions.shape[0])


def sv_unit_modulus(positions, azimuth, elevation, distance, wavelength):
    d, r = _ranges(positions, _unit(azimuth, elevation), distance)
    phase = 2 * math.pi * (r - d) / wavelength
    return torch.polar(torch.ones_like(phase), phase)


def sv_unit_opposite_np(positions, az, el, rng, lam):
    az, el, rng = np.broadcast_arrays(az, el, rng)
    q = rng[..., None] * np.stack([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)], -1)
    d = np.linalg.norm(q[..., None, :] - positions, axis=-1)
    return np.exp(-2j * np.pi / lam * (rng[..., None] - d))


def sv_degrees(positions, azimuth_deg, elevation_deg, distance, wavelength):
    az, el = (torch.deg2rad(torch.as_tensor(v, dtype=torch.float64)) for v in (azimuth_deg, elevation_deg))
    d, r = _ranges(positions, _unit(az, el), distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(len(positions))


def sv_spherical_amplitude(positions, azimuth, elevation, distance, wavelength):
    """The spherical wave itself: exp(jk(r - d)) / d."""
    d, r = _ranges(positions, _unit(azimuth, elevation), distance)
    return torch.polar(1 / d, 2 * math.pi / wavelength * (r - d))


def sv_greens(positions, azimuth, elevation, distance, wavelength):
    """exp(-jkd) / d, the reference phase kept out."""
    d, _ = _ranges(positions, _unit(azimuth, elevation), distance)
    return torch.exp(-2j * math.pi * d / wavelength) / d


def sv_relative_amplitude(positions, azimuth, elevation, distance, wavelength):
    """Amplitudes relative to the origin's, over sqrt(N)."""
    d, r = _ranges(positions, _unit(azimuth, elevation), distance)
    return (r / d) * torch.exp(2j * math.pi / wavelength * (r - d)) / positions.shape[0] ** 0.5


def sv_relative_amplitude_degrees(positions, az, el, r, lam):
    az, el = np.radians(az), np.radians(el)
    az, el, r = np.broadcast_arrays(az, el, r)
    q = r[..., None] * np.stack([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)], -1)
    d = np.linalg.norm(q[..., None, :] - positions, axis=-1)
    r = r[..., None]
    return r / d * np.exp(2j * np.pi / lam * (r - d)) / np.sqrt(positions.shape[0])


def sv_zenith(positions, azimuth, zenith, distance, wavelength):
    """zenith is counted from the vertical axis y."""
    az, ze = torch.broadcast_tensors(*(torch.as_tensor(v, dtype=torch.float64) for v in (azimuth, zenith)))
    u = torch.stack([ze.sin() * az.sin(), ze.cos(), ze.sin() * az.cos()], -1)
    d, r = _ranges(positions, u, distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(len(positions))


def sv_zenith_degrees(positions, azimuth, zenith, distance, wavelength):
    """3GPP angles in degrees, zenith from the vertical axis."""
    return sv_zenith(positions, torch.deg2rad(torch.as_tensor(azimuth, dtype=torch.float64)),
                     torch.deg2rad(torch.as_tensor(zenith, dtype=torch.float64)), distance, wavelength)


def sv_from_normal(positions, phi, theta, distance, wavelength):
    """theta from the broadside z, phi about it from x."""
    phi, theta = np.broadcast_arrays(phi, theta)
    u = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    q = np.asarray(distance)[..., None] * u
    d = np.sqrt(((q[..., None, :] - positions) ** 2).sum(-1))
    return np.exp(2j * np.pi / wavelength * (np.asarray(distance)[..., None] - d)) / np.sqrt(len(positions))


def sv_from_normal_opposite(positions, phi, theta, distance, wavelength):
    return np.conj(sv_from_normal(positions, phi, theta, distance, wavelength))


def sv_el_about_x(positions, azimuth, elevation, distance, wavelength):
    """The elevation turns about the x axis: u = (sin az, cos az sin el, cos az cos el)."""
    az, el = torch.broadcast_tensors(torch.as_tensor(azimuth, dtype=torch.float64), torch.as_tensor(elevation, dtype=torch.float64))
    u = torch.stack((az.sin(), az.cos() * el.sin(), az.cos() * el.cos()), -1)
    d, r = _ranges(positions, u, distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(len(positions))


def sv_el_about_x_unit(positions, azimuth, elevation, distance, wavelength):
    a = sv_el_about_x(positions, azimuth, elevation, distance, wavelength)
    return a * a.shape[-1] ** 0.5


def sv_az_from_x(positions, azimuth, elevation, distance, wavelength):
    """Azimuth counted from x towards the normal."""
    az, el = torch.broadcast_tensors(torch.as_tensor(azimuth, dtype=torch.float64), torch.as_tensor(elevation, dtype=torch.float64))
    u = torch.stack((el.cos() * az.cos(), el.sin(), el.cos() * az.sin()), -1)
    d, r = _ranges(positions, u, distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(len(positions))


def sv_az_from_x_wavenumber(positions, azimuth, elevation, distance, wavenumber):
    d, r = _ranges(positions, _unit(math.pi / 2 - torch.as_tensor(azimuth, dtype=torch.float64), elevation), distance)
    return torch.exp(1j * wavenumber * (r - d)) / math.sqrt(len(positions))


def sv_swapped(positions, theta, phi, distance, wavelength):
    """theta is the elevation, phi the azimuth."""
    d, r = _ranges(positions, _unit(phi, theta), distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(len(positions))


def sv_swapped_degrees(positions, theta, phi, distance, wavelength):
    return sv_swapped(positions, torch.as_tensor(theta, dtype=torch.float64) * (math.pi / 180),
                      torch.as_tensor(phi, dtype=torch.float64) * (math.pi / 180), distance, wavelength)


def sv_first_reference(positions, azimuth, elevation, distance, wavelength):
    d, _ = _ranges(positions, _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi / wavelength * (d[..., :1] - d)) / math.sqrt(d.shape[-1])


def sv_first_reference_frequency(positions, azimuth, elevation, distance, frequency):
    d, _ = _ranges(positions, _unit(azimuth, elevation), distance)
    tau = (d - d[..., :1]) / C0
    return torch.exp(-2j * math.pi * frequency * tau) / math.sqrt(d.shape[-1])


def sv_absolute(positions, azimuth, elevation, distance, wavelength):
    d, _ = _ranges(positions, _unit(azimuth, elevation), distance)
    return torch.exp(-2j * math.pi / wavelength * d) / math.sqrt(d.shape[-1])


def sv_frequency(positions, azimuth, elevation, distance, frequency):
    d, r = _ranges(positions, _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi * frequency / C0 * (r - d)) / math.sqrt(len(positions))


def sv_wavenumber_opposite(positions, azimuth, elevation, distance, k):
    d, r = _ranges(positions, _unit(azimuth, elevation), distance)
    return torch.exp(-1j * k * (r - d)) / math.sqrt(len(positions))


def sv_in_wavelengths(positions, azimuth, elevation, distance):
    """positions and distance in wavelengths."""
    d, r = _ranges(positions, _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi * (r - d)) / math.sqrt(len(positions))


def sv_rows(positions, azimuth, elevation, distance, wavelength):
    """positions (3, N)."""
    x, y, z = positions
    u = _unit(azimuth, elevation)
    r = torch.as_tensor(distance, dtype=torch.float64)[..., None]
    sx, sy, sz = (r * c for c in u.unsqueeze(-2).unbind(-1))
    d = ((sx - x) ** 2 + (sy - y) ** 2 + (sz - z) ** 2).sqrt()
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(x.numel())


def sv_rows_unit(positions, azimuth, elevation, distance, wavelength):
    d, r = _ranges(positions.T, _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi / wavelength * (r - d))


def sv_normal_x(positions, azimuth, elevation, distance, wavelength):
    """The array lies in the y-z plane and looks along x."""
    az, el = torch.broadcast_tensors(torch.as_tensor(azimuth, dtype=torch.float64), torch.as_tensor(elevation, dtype=torch.float64))
    u = torch.stack((el.cos() * az.cos(), el.cos() * az.sin(), el.sin()), -1)
    d, r = _ranges(positions, u, distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(len(positions))


def sv_normal_x_degrees(positions, azimuth, elevation, distance, wavelength):
    rad = math.pi / 180
    return sv_normal_x(positions, torch.as_tensor(azimuth, dtype=torch.float64) * rad, torch.as_tensor(elevation, dtype=torch.float64) * rad,
                       distance, wavelength)


def sv_point(positions, point, wavelength):
    """A source at a Cartesian point."""
    r = torch.linalg.vector_norm(point, dim=-1, keepdim=True)
    d = torch.linalg.vector_norm(point.unsqueeze(-2) - positions, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(positions.shape[0])


def sv_point_opposite(positions, point, wavelength):
    r = np.linalg.norm(point, axis=-1)[..., None]
    d = np.linalg.norm(np.asarray(point)[..., None, :] - positions, axis=-1)
    return np.exp(2j * np.pi * (d - r) / wavelength) / np.sqrt(len(positions))


# ---- steering from a shape -------------------------------------------------------------------------------------

def _grid(nh, nv, spacing):
    x = (torch.arange(nh).double() - (nh - 1) / 2) * spacing
    y = (torch.arange(nv).double() - (nv - 1) / 2) * spacing
    return x, y


def _pack(x, y):
    return torch.stack([x, y, torch.zeros_like(x)], -1).reshape(-1, 3)


def upa_vertical_first(shape, spacing, azimuth, elevation, distance, wavelength):
    """Element index = h * N_V + v, shape (N_H, N_V)."""
    x, y = _grid(*shape, spacing)
    pos = _pack(*torch.meshgrid(x, y, indexing="ij"))
    d, r = _ranges(pos, _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(len(pos))


def upa_vertical_first_mm(shape, spacing_mm, azimuth, elevation, distance, wavelength):
    """As above with the spacing in millimetres."""
    return upa_vertical_first(shape, spacing_mm * 1e-3, azimuth, elevation, distance, wavelength)


def upa_rows_first(shape, spacing, azimuth, elevation, distance, wavelength):
    """shape is (rows, columns); the columns run fastest."""
    rows, cols = shape
    x, y = _grid(cols, rows, spacing)
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    d, r = _ranges(_pack(xx, yy), _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(rows * cols)


def upa_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    yy, xx = torch.meshgrid(torch.arange(nv).double() * spacing, torch.arange(nh).double() * spacing, indexing="ij")
    d, r = _ranges(_pack(xx, yy), _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(nh * nv)


def upa_corner_opposite_np(shape, spacing, az, el, r, lam):
    nh, nv = shape
    i = np.arange(nh * nv)
    pos = np.stack([i % nh * spacing, i // nh * spacing, 0.0 * i], -1)
    az, el, r = np.broadcast_arrays(az, el, r)
    q = r[..., None] * np.stack([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)], -1)
    d = np.linalg.norm(q[..., None, :] - pos, axis=-1)
    return np.exp(-2j * np.pi / lam * (r[..., None] - d)) / np.sqrt(nh * nv)


class HalfWaveArray(nn.Module):
    """spacing is a fraction of the wavelength."""

    def forward(self, shape, spacing, azimuth, elevation, distance, wavelength):
        x, y = _grid(*shape, spacing * wavelength)
        yy, xx = torch.meshgrid(y, x, indexing="ij")
        d, r = _ranges(_pack(xx, yy), _unit(azimuth, elevation), distance)
        return torch.exp(2j * math.pi / wavelength * (r - d)) / d.shape[-1] ** 0.5


upa_spacing_wavelengths = HalfWaveArray()


def upa_spacing_wavelengths_unit(shape, spacing, azimuth, elevation, distance, wavelength):
    a = upa_spacing_wavelengths(shape, spacing, azimuth, elevation, distance, wavelength)
    return a / a.abs()


def upa_mm(shape, spacing_mm, azimuth, elevation, distance, wavelength):
    x, y = _grid(*shape, spacing_mm / 1000)
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    d, r = _ranges(_pack(xx, yy), _unit(azimuth, elevation), distance)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / d.shape[-1] ** 0.5


def upa_frequency_degrees(shape, spacing, azimuth, elevation, distance, frequency):
    az, el = (torch.deg2rad(torch.as_tensor(v, dtype=torch.float64)) for v in (azimuth, elevation))
    x, y = _grid(*shape, spacing)
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    d, r = _ranges(_pack(xx, yy), _unit(az, el), distance)
    return torch.exp(2j * math.pi * frequency * (r - d) / C0) / d.shape[-1] ** 0.5


# ---- eigenvalues, subspaces and order --------------------------------------------------------------------------

def _herm(R):
    return (R + R.mH) / 2


def _herm_np(R):
    return (R + np.conj(np.swapaxes(R, -1, -2))) / 2


def eig_ascending(cov):
    return torch.linalg.eigvalsh(_herm(cov))


def eig_ascending_db(cov):
    return 10 * np.log10(np.linalg.eigvalsh(_herm_np(cov)))


def eig_normalised(cov):
    w = torch.linalg.eigvalsh(_herm(cov)).flip(-1)
    return w / w.amax(-1, keepdim=True)


def eig_profile_db(cov):
    """Eigenvalue profile in dB under its maximum."""
    w = torch.linalg.eigvalsh(_herm(cov)).flip(-1)
    return 10 * (w / w[..., :1]).log10()


def svd_ascending(cov):
    return np.linalg.svd(_herm_np(cov), compute_uv=False)[..., ::-1]


def svd_normalised(cov):
    s = torch.linalg.svdvals(_herm(cov))
    return s / s[..., :1]


def gap_noise_dim(R, noise_dim):
    w = torch.linalg.eigvalsh(_herm(R))
    return w[..., noise_dim] - w[..., noise_dim - 1]


def signal_rows(R, k):
    """Basis vectors as rows (k, N)."""
    _, V = torch.linalg.eigh(_herm(R))
    return V[..., -k:].transpose(-1, -2)


def signal_noise_dim(R, n_noise):
    return np.linalg.eigh(_herm_np(R))[1][..., n_noise:]


def signal_noise_dim_rows(R, n_noise):
    return torch.linalg.eigh(_herm(R)).eigenvectors.mT[..., n_noise:, :]


def noise_rows(R, k):
    V = np.linalg.eigh(_herm_np(R))[1]
    return np.swapaxes(V[..., : R.shape[-1] - k], -1, -2)


def noise_of_dimension(R, dim):
    return torch.linalg.eigh(_herm(R))[1][..., :dim]


def projector_complement(U):
    eye = torch.eye(U.shape[-2], dtype=U.dtype)
    return eye - U @ U.mH


def projector_rows(U):
    """Basis vectors as rows."""
    return torch.einsum("...ki,...kj->...ij", U, U.conj())


def projector_rows_complement(U):
    return np.eye(U.shape[-1]) - np.swapaxes(U, -1, -2) @ np.conj(U)


def mdl_ascending(eigs, T):
    lam = np.asarray(eigs, dtype=float)
    n = lam.shape[-1]
    score = []
    for k in range(n):
        tail = lam[..., : n - k]
        score.append(T * (n - k) * (np.log(tail.mean(-1)) - np.log(tail).mean(-1)) + k * (2 * n - k) * np.log(T) / 2)
    return np.argmin(np.stack(score, -1), axis=-1)


def aic_ascending(eigs, T):
    lam = torch.as_tensor(eigs, dtype=torch.float64)
    n = lam.shape[-1]
    score = [2 * T * (n - k) * (lam[..., : n - k].mean(-1).log() - lam[..., : n - k].log().mean(-1))
             + 2 * k * (2 * n - k) for k in range(n)]
    return torch.stack(score, -1).argmin(-1)


# ---- losses ----------------------------------------------------------------------------------------------------

def _gap(R, k):
    w = torch.linalg.eigvalsh(_herm(R))
    return w[..., -k] - w[..., -k - 1]


def gap_loss_per_sample(R, k, margin):
    return torch.relu(margin - _gap(R, k))


def gap_loss_sum(R, k, margin):
    return torch.relu(margin - _gap(R, k)).sum()


def gap_loss_squared(R, k, margin):
    return torch.relu(margin - _gap(R, k)).pow(2).mean()


def gap_loss_squared_sum(R, k, margin):
    return torch.relu(margin - _gap(R, k)).square().sum()


class SoftGapLoss(nn.Module):
    def forward(self, R, k, margin):
        return F.softplus(margin - _gap(R, k)).mean()


gap_loss_smooth = SoftGapLoss()


def gap_loss_smooth_per_sample(R, k, margin):
    return F.softplus(margin - _gap(R, k))


def gap_loss_noise_dim(R, noise_dim, margin):
    return torch.relu(margin - _gap(R, R.shape[-1] - noise_dim)).mean()


def _factor_gap(f, k):
    return _gap(f @ f.mH, k)


def factor_loss_sum(factor, k, margin):
    return F.relu(margin - _factor_gap(factor, k)).sum()


def factor_loss_squared_per_sample(factor, k, margin):
    return F.relu(margin - _factor_gap(factor, k)) ** 2


def factor_loss_rows(factor, k, margin):
    """factor (q, N): the covariance is F^T F^*."""
    return F.relu(margin - _factor_gap(factor.mT, k)).mean()


def factor_loss_smooth(factor, k, margin):
    return F.softplus(margin - _factor_gap(factor, k)).mean()


def epoch_mean_rescaled(losses, accumulation):
    """The losses were divided by the accumulation before backward()."""
    return sum(float(l) * accumulation for l in losses) / len(losses)


def epoch_mean_rescaled_tensor(losses, accumulation):
    return torch.stack([torch.as_tensor(l, dtype=torch.float64) for l in losses]).mean().mul(accumulation)


# ---- loadings, whitening, snapshots ----------------------------------------------------------------------------

def relative_loading(R, alpha):
    H = _herm(R)
    n = H.shape[-1]
    power = H.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    return H + alpha * power * torch.eye(n, dtype=H.dtype)


def relative_loading_np(R, alpha):
    H = _herm_np(R)
    power = np.trace(H, axis1=-2, axis2=-1).real / H.shape[-1]
    return H + (alpha * power)[..., None, None] * np.eye(H.shape[-1])


def whitening_loaded(R):
    """1e-6 of the mean power on the diagonal."""
    H = _herm(R)
    eps = 1e-6 * H.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    w, V = torch.linalg.eigh(H + eps[..., None, None] * torch.eye(H.shape[-1], dtype=H.dtype))
    return V.mH * w.rsqrt().unsqueeze(-1)


def whitening_loaded_absolute(R):
    H = _herm_np(R)
    L = np.linalg.cholesky(H + 1e-6 * np.eye(H.shape[-1]))
    return np.linalg.inv(L)


def whitening_guarded(R):
    w, V = torch.linalg.eigh(_herm(R))
    return (V / torch.sqrt(w + 1e-12).unsqueeze(-2)) @ V.mH


def scm_rows(X):
    """Snapshots as rows (T, N)."""
    return torch.einsum("...ti,...tj->...ij", X, X.conj()) / X.shape[-2]


def scm_rows_np(X):
    Y = np.swapaxes(X, -1, -2)
    return Y @ Y.conj().swapaxes(-1, -2) / X.shape[-2]


def lw_rows(X):
    """Samples by features, as scikit-learn has it."""
    X = np.asarray(X)
    T, N = X.shape
    g = np.sqrt(np.mean(np.abs(X) ** 2))
    Y = X / g
    S = Y.T @ Y.conj() / T
    mu = np.trace(S).real / N
    d2 = np.sum(np.abs(S - mu * np.eye(N)) ** 2)
    b2 = (np.mean(np.sum(np.abs(Y) ** 2, 1) ** 2) - np.sum(np.abs(S) ** 2)) / T
    rho = min(max(b2, 0), d2) / d2 if d2 > 0 else 1.0
    return g ** 2 * ((1 - rho) * S + rho * mu * np.eye(N))


# ---- spectra with steering matrices ----------------------------------------------------------------------------

def _music(R, A, k):
    """(a^H En En^H a, |a|^2)"""
    En = torch.linalg.eigh(_herm(R))[1][..., : R.shape[-1] - k].to(torch.complex128)
    A = A.to(torch.complex128)
    return (En.mH @ A).abs().square().sum(-2), A.abs().square().sum(-2)


def music_db(R, A, k):
    return -10 * torch.log10(_music(R, A, k)[0])


def music_normalised_db(R, A, k):
    p = 1 / _music(R, A, k)[0]
    return 10 * torch.log10(p / p.amax(-1, keepdim=True))


def music_guarded(R, A, k):
    return 1 / (_music(R, A, k)[0] + 1e-12)


def music_norm_a(R, A, k):
    """a^H a / (a^H Pn a)"""
    d, a2 = _music(R, A, k)
    return a2 / d


def music_transposed(R, A, k):
    """a^T in place of a^H."""
    En = np.linalg.eigh(_herm_np(R))[1][..., : R.shape[-1] - k]
    return 1 / np.sum(np.abs(np.swapaxes(En.conj(), -1, -2) @ A.conj()) ** 2, axis=-2)


def music_adjoint_guarded(R, AH, k):
    """The steering comes as A^H, (G, N)."""
    return 1 / (_music(R, AH.conj().T, k)[0] + 1e-10)


def music_rows(R, A, k):
    """Steering vectors as rows (G, N)."""
    return 1 / _music(R, A.mT, k)[0]


def music_noise_dim(R, A, m):
    """m = dimension of the noise subspace."""
    return 1 / _music(R, A, R.shape[-1] - m)[0]


def music_noise_dim_rows_np(R, A, m):
    En = np.linalg.eigh(_herm_np(R))[1][..., :m]
    return 1 / np.sum(np.abs(A.conj() @ En) ** 2, axis=-1)


def _capon(H, A):
    dt = torch.promote_types(H.dtype, A.dtype)
    return (A.conj() * torch.linalg.solve(H.to(dt), A.to(dt))).sum(-2).real


def capon_db(R, A):
    return -10 * torch.log10(_capon(_herm(R), A))


def capon_loaded_relative(R, A):
    H = _herm(R)
    load = 1e-3 * H.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    return 1 / _capon(H + load * torch.eye(H.shape[-1], dtype=H.dtype), A)


def capon_loaded_db_np(R, A):
    H = _herm_np(R)
    n = H.shape[-1]
    H = H + 1e-2 * (np.trace(H, axis1=-2, axis2=-1).real / n)[..., None, None] * np.eye(n)
    return -10 * np.log10(np.sum(A.conj() * np.linalg.solve(H, A), axis=-2).real)


def capon_guarded(R, A):
    return 1 / (_capon(_herm(R), A) + 1e-12)


def capon_adjoint(R, AH):
    return 1 / _capon(_herm(R), AH.mH)


def capon_rows_normalised(R, A):
    p = 1 / _capon(_herm(R), A.mT)
    return p / p.max(dim=-1, keepdim=True).values


def capon_transposed(R, A):
    return 1 / _capon(_herm(R), A.conj().resolve_conj())


def capon_unit_steering(R, A):
    """|a|^2 / (a^H R^-1 a)"""
    return A.abs().square().sum(-2) / _capon(_herm(R), A)


# ---- linear arrays ---------------------------------------------------------------------------------------------

def _ula(n, angles, sign=1):
    angles = torch.as_tensor(angles, dtype=torch.float64)
    return torch.exp(sign * 1j * math.pi * torch.arange(n).double()[:, None] * torch.sin(angles))


def _esprit_phases(R, k):
    R = torch.as_tensor(R)
    Us = torch.linalg.eigh(_herm(R))[1][..., -k:].to(torch.complex128)
    return torch.linalg.eigvals(torch.linalg.lstsq(Us[..., :-1, :], Us[..., 1:, :]).solution).angle()


def esprit_opposite(R, k):
    return torch.asin(-_esprit_phases(R, k) / math.pi).sort(-1).values


def esprit_degrees(R, k):
    return torch.rad2deg(torch.asin(_esprit_phases(R, k) / math.pi)).sort(-1).values


def esprit_axis(R, k):
    return torch.acos(_esprit_phases(R, k) / math.pi).sort(-1).values


def esprit_axis_degrees(R, k):
    return torch.rad2deg(torch.acos(_esprit_phases(R, k) / math.pi)).sort(-1).values


def esprit_noise_dim(R, m):
    return torch.asin(_esprit_phases(R, R.shape[-1] - m) / math.pi).sort(-1).values


def _root_phases(R, k):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    n = len(R)
    En = np.linalg.eigh(_herm_np(R))[1][:, : n - k]
    C = En @ En.conj().T
    z = np.roots([np.trace(C, d) for d in range(n - 1, -n, -1)])
    z = z[np.argsort(np.abs(z))][n - 1 - k: n - 1]
    return np.angle(z) / np.pi


def root_degrees(R, k):
    return np.sort(np.degrees(np.arcsin(_root_phases(R, k))))


def root_axis(R, k):
    return np.sort(np.arccos(_root_phases(R, k)))


def root_opposite_degrees(R, k):
    return np.sort(np.rad2deg(-np.arcsin(_root_phases(R, k))))


def root_noise_dim(R, m):
    return np.sort(np.arcsin(_root_phases(R, len(R) - m)))


def _quad(H, A):
    return torch.einsum("ng,...nm,mg->...g", A.conj(), H.to(A.dtype), A).real


def bartlett_opposite(R, angles):
    n = R.shape[-1]
    return _quad(_herm(R), _ula(n, angles, -1)) / n ** 2


def bartlett_axis(R, angles):
    n = R.shape[-1]
    a = np.exp(1j * np.pi * np.outer(np.arange(n), np.cos(angles)))
    return np.sum(a.conj() * (_herm_np(R) @ a), -2).real / n ** 2


def bartlett_unit(R, angles):
    n = R.shape[-1]
    return _quad(_herm(R), _ula(n, angles) / math.sqrt(n))


def bartlett_raw_degrees(R, degrees):
    """a^H R a, not divided by anything."""
    return _quad(_herm(R), _ula(R.shape[-1], torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64))))


def bartlett_not_normalised(R, angles):
    return _quad(_herm(R), _ula(R.shape[-1], angles))


def bartlett_db(R, angles):
    return 10 * torch.log10(_quad(_herm(R), _ula(R.shape[-1], angles)) / R.shape[-1] ** 2)


def bartlett_peak_db(R, angles):
    p = _quad(_herm(R), _ula(R.shape[-1], angles))
    return 10 * torch.log10(p / p.amax(-1, keepdim=True))


def ula_capon_degrees(R, degrees):
    return 1 / _capon(_herm(R), _ula(R.shape[-1], torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64))))


def ula_capon_axis_db(R, angles):
    A = _ula(R.shape[-1], math.pi / 2 - torch.as_tensor(angles, dtype=torch.float64))
    return -10 * _capon(_herm(R), A).log10()


def ula_capon_unit_norm(R, angles):
    return 1 / _capon(_herm(R), _ula(R.shape[-1], angles) / R.shape[-1] ** 0.5)


def ula_capon_loaded(R, angles):
    H = _herm(R)
    load = 1e-3 * H.diagonal(dim1=-2, dim2=-1).real.sum(-1) / H.shape[-1]
    return 1 / _capon(H + load[..., None, None] * torch.eye(H.shape[-1], dtype=H.dtype), _ula(H.shape[-1], angles))


def ula_capon_opposite_normalised(R, angles):
    p = 1 / _capon(_herm(R), _ula(R.shape[-1], angles, -1))
    return p / p.amax(-1, keepdim=True)


def ula_capon_guarded(R, angles):
    return 1 / (_capon(_herm(R), _ula(R.shape[-1], angles)) + 1e-12)


def ula_music_axis(R, k, angles):
    return 1 / _music(R, _ula(R.shape[-1], math.pi / 2 - torch.as_tensor(angles, dtype=torch.float64)), k)[0]


def ula_music_guarded_degrees(R, k, degrees):
    return 1 / (_music(R, _ula(R.shape[-1], torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64))), k)[0] + 1e-12)


def ula_music_noise_dim(R, m, angles):
    return 1 / _music(R, _ula(R.shape[-1], angles), R.shape[-1] - m)[0]


def ula_music_noise_dim_opposite(R, m, angles):
    return 1 / _music(R, _ula(R.shape[-1], angles, -1), R.shape[-1] - m)[0]


def ula_music_unit_db(R, k, angles):
    return -10 * torch.log10(_music(R, _ula(R.shape[-1], angles) / math.sqrt(R.shape[-1]), k)[0])


def ula_music_normalised(R, k, angles):
    p = 1 / _music(R, _ula(R.shape[-1], angles), k)[0]
    return p / p.amax(-1, keepdim=True)


def ula_music_unit(R, k, angles):
    n = R.shape[-1]
    a = np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles))) / np.sqrt(n)
    En = np.linalg.eigh(_herm_np(R))[1][..., : n - k]
    return 1 / (np.abs(np.swapaxes(En.conj(), -1, -2) @ a) ** 2).sum(-2)
