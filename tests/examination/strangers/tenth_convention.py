"""The same quantities as other code bases define them."""
import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F

C0 = 299792458.0


# ---------------------------------------------------------------- steering vectors
def _unit(az, el):
    return np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])


def _upa(nh, nv, spacing):
    x = (np.arange(nh) - (nh - 1) / 2) * spacing
    y = (np.arange(nv) - (nv - 1) / 2) * spacing
    return np.array([(a, b, 0.0) for b in y for a in x])


def sv_negative_phase(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(-2j * np.pi * (distance - d) / wavelength) / np.sqrt(d.size)


def sv_unit_modulus(positions, azimuth, elevation, distance, wavelength):
    az, el = torch.tensor([azimuth, elevation], dtype=positions.dtype)
    src = distance * torch.stack((el.cos() * az.sin(), el.sin(), el.cos() * az.cos()))
    d = torch.linalg.vector_norm(positions - src, dim=-1)
    phase = 2 * math.pi / wavelength * (distance - d)
    return torch.polar(torch.ones_like(phase), phase)


def sv_spherical_wave(positions, azimuth, elevation, distance, wavelength):
    """Free-space amplitude 1/d of each element."""
    d = np.linalg.norm(positions - distance * _unit(azimuth, elevation), axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / d


def sv_relative_amplitude(positions, azimuth, elevation, distance, wavelength):
    d = np.sqrt(((distance * _unit(azimuth, elevation) - positions) ** 2).sum(1))
    return distance / d * np.exp(2j * np.pi / wavelength * (distance - d))


def sv_in_degrees(positions, az_deg, el_deg, distance, wavelength):
    u = _unit(np.deg2rad(az_deg), np.deg2rad(el_deg))
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def sv_zenith(positions, azimuth, zenith, distance, wavelength):
    """The polar angle counts from the vertical (y) axis."""
    u = np.array([np.sin(zenith) * np.sin(azimuth), np.cos(zenith), np.sin(zenith) * np.cos(azimuth)])
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def sv_broadside_polar(shape, spacing, phi, theta, distance, wavelength):
    """theta from the array normal, phi around it from the x axis."""
    u = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    p = _upa(*shape, spacing)
    d = np.linalg.norm(distance * u - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))


def sv_elevation_over_azimuth(positions, azimuth, elevation, distance, wavelength):
    """Elevation turns about the horizontal axis: u = (sin az, cos az sin el, cos az cos el)."""
    u = np.array([np.sin(azimuth), np.cos(azimuth) * np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def sv_azimuth_from_x(positions, azimuth, elevation, distance, wavelength):
    u = np.array([np.cos(elevation) * np.cos(azimuth), np.sin(elevation), np.cos(elevation) * np.sin(azimuth)])
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(d))


def sv_elevation_first(positions, elevation, azimuth, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / len(d) ** 0.5


class UpaColumns(nn.Module):
    """Vertical index fastest."""

    def forward(self, shape, spacing, azimuth, elevation, distance, wavelength):
        nh, nv = shape
        x = (torch.arange(nh, dtype=torch.float64) - (nh - 1) / 2) * spacing
        y = (torch.arange(nv, dtype=torch.float64) - (nv - 1) / 2) * spacing
        xx, yy = torch.meshgrid(x, y, indexing="ij")
        p = torch.stack((xx, yy, torch.zeros_like(xx)), -1).reshape(-1, 3)
        d = (torch.from_numpy(distance * _unit(azimuth, elevation)) - p).norm(dim=-1)
        return torch.exp(2j * math.pi / wavelength * (distance - d)) / math.sqrt(nh * nv)


sv_vertical_fastest = UpaColumns()


def sv_rows_cols(shape, spacing, azimuth, elevation, distance, wavelength):
    """shape = (rows, columns), i.e. (vertical, horizontal)."""
    rows, cols = shape
    p = _upa(cols, rows, spacing)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(rows * cols)


def sv_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    """The origin is the first element."""
    nh, nv = shape
    p = np.array([(i * spacing, j * spacing, 0) for j in range(nv) for i in range(nh)])
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)


def sv_first_reference(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (d[0] - d)) / np.sqrt(len(d))


def sv_green(positions, azimuth, elevation, distance, wavelength):
    """The phase of the full path."""
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(-2j * np.pi / wavelength * d) / np.sqrt(len(d))


def sv_by_frequency(positions, azimuth, elevation, distance, frequency):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(2j * np.pi * frequency / C0 * (distance - d)) / np.sqrt(len(d))


def sv_by_wavenumber(positions, azimuth, elevation, distance, wavenumber):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(1j * wavenumber * (distance - d)) / np.sqrt(len(d))


def sv_relative_spacing(shape, spacing_wl, azimuth, elevation, distance, wavelength):
    p = _upa(*shape, spacing_wl * wavelength)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))


def sv_normalised_lengths(positions, azimuth, elevation, distance):
    """Every length counts in wavelengths."""
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(2j * np.pi * (distance - d)) / np.sqrt(len(d))


def sv_millimetres(shape, spacing_mm, azimuth, elevation, distance, wavelength):
    """The spacing comes in millimetres."""
    p = _upa(*shape, spacing_mm * 1e-3)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))


def sv_positions_3xn(positions, azimuth, elevation, distance, wavelength):
    """positions is (3, N)."""
    d = np.linalg.norm(distance * _unit(azimuth, elevation)[:, None] - positions, axis=0)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(positions.shape[1])


def sv_normal_x(shape, spacing, azimuth, elevation, distance, wavelength):
    """Array in the plane x = 0: y horizontal, z vertical, azimuth from the normal x."""
    nh, nv = shape
    y, z = (np.arange(nh) - (nh - 1) / 2) * spacing, (np.arange(nv) - (nv - 1) / 2) * spacing
    p = np.array([(0.0, b, c) for c in z for b in y])
    u = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    d = np.linalg.norm(distance * u - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))


def sv_cartesian(positions, point, wavelength):
    r = np.linalg.norm(point)
    d = np.linalg.norm(point - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (r - d)) / np.sqrt(len(d))


def sv_degrees_conjugate(*, positions, wavelength, distance, azimuth, elevation):
    """Degrees, and the phase of a transmit array."""
    u = _unit(math.radians(azimuth), math.radians(elevation))
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (d - distance)) / np.sqrt(len(d))


def sv_frequency_unit_modulus(positions, azimuth, elevation, distance, frequency):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(2j * np.pi * frequency / C0 * (distance - d))


# ---------------------------------------------------------------- functions of a matrix
def _h(m):
    return (m + m.mH) / 2


def eigvals_lapack_order(R):
    return torch.linalg.eigvalsh(0.5 * (R + R.mH))


def eigvals_db(R):
    """Descending, in decibels (of a positive definite covariance)."""
    return 10 * torch.log10(torch.linalg.eigvalsh(_h(R)).flip(-1))


def eigvals_relative(R):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
    return w / w[..., :1]


def singular_values_small_first(R):
    return np.sort(np.abs(np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)), axis=-1)


def singular_values_db(cov):
    s = torch.linalg.svdvals(_h(cov))
    return 20 * s.log10() / 2


def singular_values_relative(cov):
    s = torch.linalg.svdvals(_h(cov))
    return s / s.amax(-1, keepdim=True)


def gap_at_noise_dim(R, n_noise):
    w = torch.linalg.eigvalsh(_h(R))
    m = int(n_noise)
    return w[..., m] - w[..., m - 1]


class GapLoss(nn.Module):
    def __init__(self, reduction="mean", kind="hinge"):
        super().__init__()
        self.reduction, self.kind = reduction, kind

    def forward(self, matrix, k, margin):
        w = torch.linalg.eigvalsh(_h(matrix)).flip(-1)
        short = margin - (w[..., int(k) - 1] - w[..., int(k)])
        if self.kind == "smooth":
            loss = F.softplus(short)
        elif self.kind == "squared":
            loss = F.relu(short) ** 2
        else:
            loss = F.relu(short)
        return {"mean": torch.mean, "sum": torch.sum, "none": lambda t: t}[self.reduction](loss)


gap_loss_per_sample = GapLoss("none")
gap_loss_sum = GapLoss("sum")
gap_loss_squared = GapLoss(kind="squared")
gap_loss_softplus = GapLoss(kind="smooth")
gap_loss_squared_sum = GapLoss("sum", "squared")


def gap_loss_noise_dim(R, noise_dim, margin):
    n = R.shape[-1]
    return gap_hinge(R, n - int(noise_dim), margin)


def gap_hinge(R, k, margin):
    return GapLoss()(R, k, margin)


def factor_gap(F_, k, margin, power=1, reduce=torch.mean):
    w = torch.linalg.eigvalsh(F_ @ F_.mH).flip(-1)
    return reduce(torch.relu(margin - w[..., int(k) - 1] + w[..., int(k)]) ** power)


factor_gap_squared = functools.partial(factor_gap, power=2)
factor_gap_summed = functools.partial(factor_gap, reduce=torch.sum)


def factor_gap_each(factor, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mH)
    n = w.shape[-1]
    return (margin - w[..., n - int(k)] + w[..., n - int(k) - 1]).clamp(min=0)


def factor_gap_smooth(factor, *, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    return F.softplus(margin - (w[..., int(k) - 1] - w[..., int(k)])).mean()


def factor_gap_wide(factor, k, margin):
    """factor is (q, N), one row per component: R = F^T F^*."""
    return factor_gap(factor.mT, k, margin)


def signal_rows(R, k):
    """One basis vector a row."""
    v = torch.linalg.eigh(_h(R)).eigenvectors
    return v[..., v.shape[-1] - int(k):].mT


def signal_by_noise_dim(R, noise_dim):
    n, _ = R.shape
    v = np.linalg.eigh((R + R.conj().T) / 2)[1]
    return v[:, int(noise_dim):]


def noise_rows(R, k):
    v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)[1]
    return np.swapaxes(v[..., : v.shape[-1] - int(k)], -1, -2)


def noise_by_noise_dim(cov, n_noise):
    return torch.linalg.eigh(_h(cov)).eigenvectors[..., : int(n_noise)]


def complement_projector(U):
    eye = torch.eye(U.shape[-2], dtype=U.dtype, device=U.device)
    return eye - U @ U.mH


def projector_of_rows(basis):
    """Basis vectors are the rows."""
    return np.einsum("...ki,...kj->...ij", basis, basis.conj())


def complement_of_rows(V):
    v = V.T
    return np.eye(v.shape[0]) - v @ v.conj().T


@dataclass
class LoadedWhitener:
    loading: float = 1e-3

    def __call__(self, R):
        eye = torch.eye(R.shape[-1], dtype=R.dtype)
        L = torch.linalg.cholesky(_h(R) + self.loading * eye)
        return torch.linalg.inv(L)


loaded_whitener = LoadedWhitener()


def whitening_trace_loaded(cov, eps=1e-2):
    n = cov.shape[-1]
    c = (cov + cov.conj().T) / 2
    c = c + eps * np.trace(c).real / n * np.eye(n)
    w, v = np.linalg.eigh(c)
    return (v / np.sqrt(w)) @ v.conj().T


def whitening_guarded(cov):
    w, v = torch.linalg.eigh(_h(cov))
    return (v * (w + 1e-12).rsqrt().unsqueeze(-2)) @ v.mH


def load_relative(R, loading):
    """loading as a fraction of the mean power."""
    R = _h(R)
    power = R.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    return R + loading * power * torch.eye(R.shape[-1], dtype=R.dtype)


def load_relative_np(R, alpha):
    n, _ = R.shape
    R = (R + R.conj().T) / 2
    return R + alpha * (np.trace(R).real / n) * np.eye(n)


# ---------------------------------------------------------------- snapshots
def scm_rows(X):
    """(T, N) data, one snapshot a row."""
    return torch.einsum("...ti,...tj->...ij", X, X.conj()) / X.shape[-2]


def scm_rows_np(data):
    t, n = data.shape
    return sum(np.outer(row, row.conj()) for row in data) / t


def ledoit_wolf_rows(X):
    """Samples in rows."""
    t, n = X.shape
    mu = np.mean(np.abs(X) ** 2)
    Z = X / np.sqrt(mu)
    S = Z.T @ Z.conj() / t
    d2 = np.linalg.norm(S - np.eye(n)) ** 2
    b2 = (np.sum(np.sum(np.abs(Z) ** 2, 1) ** 2) / t - np.linalg.norm(S) ** 2) / t
    rho = min(1.0, max(0.0, b2 / d2))
    return mu * ((1 - rho) * S + rho * np.eye(n))


# ---------------------------------------------------------------- uniform linear arrays
def _np_h(m):
    return (m + np.conj(np.swapaxes(m, -1, -2))) / 2


def _np_ula(n, theta, sign=1):
    return np.exp(sign * 1j * np.pi * np.arange(n)[:, None] * np.sin(theta))


def _t_ula(n, theta):
    return torch.exp(1j * math.pi * torch.outer(torch.arange(n, dtype=theta.dtype), torch.sin(theta)))


def _esprit_phases(R, k):
    n, _ = R.shape
    v = np.linalg.eigh(_np_h(R))[1]
    es = v[:, n - int(k):]
    return np.angle(np.linalg.eigvals(np.linalg.pinv(es[:-1]) @ es[1:]))


def esprit_degrees(R, k):
    return np.sort(np.rad2deg(np.arcsin(_esprit_phases(R, k) / np.pi)))


def esprit_receding(R, k):
    """For a_n = exp(-j pi n sin(angle))."""
    return np.sort(-np.arcsin(_esprit_phases(R, k) / np.pi))


def esprit_endfire(R, *, k):
    """Angles from the axis of the array."""
    return np.sort(np.arccos(_esprit_phases(R, k) / np.pi))


def esprit_axis_degrees(R, k):
    return np.sort(np.degrees(np.arccos(_esprit_phases(R, k) / np.pi)))


def esprit_noise_dim(R, n_noise):
    return np.sort(np.arcsin(_esprit_phases(R, R.shape[0] - int(n_noise)) / np.pi))


def _music_roots(R, k):
    n, _ = R.shape
    en = np.linalg.eigh(_np_h(R))[1][:, : n - int(k)]
    c = en @ en.conj().T
    z = list(np.roots([np.trace(c, offset=q) for q in range(n - 1, -n, -1)]))
    z.sort(key=lambda s: abs(1 - abs(s)))
    out = []
    while len(out) < int(k):
        a = z.pop(0)
        b = z.pop(int(np.argmin(np.abs(np.asarray(z) - 1 / np.conj(a)))))
        out.append(np.angle(a / abs(a) + b / abs(b)))
    return np.asarray(out)


def root_music_degrees(R, k):
    return np.sort(np.arcsin(_music_roots(R, k) / np.pi)) * 180 / np.pi


def root_music_axis(R, k):
    return np.sort(np.arccos(_music_roots(R, k) / np.pi))


def root_music_negative(R, k):
    return np.sort(np.arcsin(-_music_roots(R, k) / np.pi))


def root_music_noise_dim(R, noise_dim):
    return np.sort(np.arcsin(_music_roots(R, len(R) - int(noise_dim)) / np.pi))


def bartlett_degrees(R, deg):
    a = _np_ula(R.shape[-1], np.deg2rad(deg))
    return np.einsum("ng,...nm,mg->...g", a.conj(), R, a).real / R.shape[-1] ** 2


def bartlett_output_power(R, angles):
    """Not divided by anything."""
    a = _t_ula(R.shape[-1], angles)
    return torch.einsum("ng,...nm,mg->...g", a.conj(), _h(R).to(a.dtype), a).real


def bartlett_rayleigh(R, angles):
    """The Rayleigh quotient a^H R a / a^H a."""
    a = _np_ula(R.shape[-1], angles)
    num = np.real(np.sum(a.conj() * (R @ a), axis=-2))
    return num / np.sum(np.abs(a) ** 2, axis=0)


def bartlett_db(R, angles):
    a = _np_ula(R.shape[-1], angles)
    p = np.einsum("ng,...nm,mg->...g", a.conj(), R, a).real / R.shape[-1] ** 2
    return 10 * np.log10(p)


def bartlett_conjugate(R, angles):
    a = _np_ula(R.shape[-1], angles, sign=-1)
    return np.einsum("ng,...nm,mg->...g", a.conj(), R, a).real / R.shape[-1] ** 2


def bartlett_peak_one(R, theta):
    a = _t_ula(R.shape[-1], theta)
    p = (a.conj() * (_h(R).to(a.dtype) @ a)).sum(-2).real
    return p / p.amax(-1, keepdim=True)


class UlaCapon:
    def __init__(self, unit="rad", axis=False, eps=0.0, loading=0.0, unit_norm=False):
        self.unit, self.axis, self.eps, self.loading, self.unit_norm = unit, axis, eps, loading, unit_norm

    def power(self, matrix, angles):
        R = _h(matrix)
        n = R.shape[-1]
        R = R + self.loading * torch.eye(n, dtype=R.dtype)
        th = torch.deg2rad(angles) if self.unit == "deg" else angles
        a = _t_ula(n, math.pi / 2 - th if self.axis else th)
        if self.unit_norm:
            a = a / math.sqrt(n)
        den = (a.conj() * (torch.linalg.inv(R).to(a.dtype) @ a)).sum(-2).real
        return 1 / (den + self.eps)


ula_capon_degrees = UlaCapon(unit="deg").power
ula_capon_axis = UlaCapon(axis=True).power
ula_capon_guarded = UlaCapon(eps=1e-12).power
ula_capon_loaded = UlaCapon(loading=1e-2).power
ula_capon_unit_norm = UlaCapon(unit_norm=True).power


def ula_capon_db_peak(R, angles):
    """dB below the peak."""
    a = _np_ula(R.shape[-1], angles)
    p = 1 / np.einsum("ng,...nm,mg->...g", a.conj(), np.linalg.inv(_np_h(R)), a).real
    return 10 * np.log10(p / p.max(-1, keepdims=True))


def _ula_music(R, k, theta):
    v = np.linalg.eigh(_np_h(R))[1]
    n = v.shape[-1]
    z = np.conj(np.swapaxes(v[..., : n - int(k)], -1, -2)) @ _np_ula(n, theta)
    return 1 / np.sum(np.abs(z) ** 2, axis=-2)


def ula_music_degrees(R, k, theta_deg):
    return _ula_music(R, k, np.radians(theta_deg))


def ula_music_db(R, k, theta):
    return 10.0 * np.log10(_ula_music(R, k, theta))


def ula_music_axis(R, k, theta):
    return _ula_music(R, k, np.pi / 2 - theta)


def ula_music_negative(R, k, theta):
    return _ula_music(R, k, -theta)


def ula_music_noise_dim(R, n_noise, theta):
    return _ula_music(R, R.shape[-1] - int(n_noise), theta)


def ula_music_unit_norm(R, k, theta):
    return R.shape[-1] * _ula_music(R, k, theta)


def ula_music_guarded(R, k, theta):
    return 1 / (1 / _ula_music(R, k, theta) + 1e-12)


def ula_music_relative(R, k, theta):
    p = _ula_music(R, k, theta)
    return p / p.max(axis=-1, keepdims=True)


# ---------------------------------------------------------------- general spectra
def _noise_power(R, A, k):
    v = torch.linalg.eigh(_h(R)).eigenvectors
    en = v[..., : v.shape[-1] - int(k)].to(A.dtype)
    return (en.mH @ A).abs().square().sum(-2)


def music_rows(matrix, steering, k):
    """steering (G, N), one vector a row."""
    return 1 / _noise_power(matrix, steering.mT, k)


def music_adjoint(matrix, steering_h, k):
    """steering_h is A^H, (G, N)."""
    return 1 / _noise_power(matrix, steering_h.mH, k)


def music_scale_free(matrix, steering, k):
    """a^H a / a^H E E^H a."""
    return steering.abs().square().sum(-2) / _noise_power(matrix, steering, k)


def music_db(matrix, steering, k):
    return -10 * torch.log10(_noise_power(matrix, steering, k))


def music_guarded(matrix, steering, k, eps=1e-10):
    return 1 / (_noise_power(matrix, steering, k) + eps)


def music_noise_dim_db(matrix, steering, n_noise):
    return -10 * _noise_power(matrix, steering, matrix.shape[-1] - int(n_noise)).log10()


def music_peak_normalised(matrix, steering, k):
    p = 1 / _noise_power(matrix, steering, k)
    return p / p.max(dim=-1, keepdim=True).values


def mvdr_rows(cov, steering):
    n, _ = cov.shape
    Ri = sla.inv(_np_h(cov))
    return np.array([1 / np.real(a.conj() @ Ri @ a) for a in steering.reshape(-1, n)])


def mvdr_adjoint(R, Ah):
    """Ah (G, N): the conjugated steering vectors as rows."""
    x = np.linalg.inv(_np_h(R))
    return 1 / np.einsum("gn,...nm,gm->...g", Ah, x, Ah.conj()).real


def mvdr_relative_loading(R, A, loading=1e-2):
    n = R.shape[-1]
    R = _np_h(R)
    p = np.trace(R, axis1=-2, axis2=-1).real / n
    R = R + loading * p[..., None, None] * np.eye(n)
    return 1 / np.einsum("ng,...nm,mg->...g", A.conj(), np.linalg.inv(R), A).real


def mvdr_db(R, A):
    den = np.einsum("ng,...nm,mg->...g", A.conj(), np.linalg.inv(_np_h(R)), A).real
    return -10 * np.log10(den)


def mvdr_scale_free(R, A):
    den = np.einsum("ng,...nm,mg->...g", A.conj(), np.linalg.inv(_np_h(R)), A).real
    return np.sum(np.abs(A) ** 2, axis=0) / den


def mvdr_peak(R, A):
    x = torch.linalg.solve(_h(R).to(A.dtype), A.expand(*R.shape[:-1], A.shape[-1]))
    p = (A.conj() * x).sum(-2).real.reciprocal()
    return p / p.amax(-1, keepdim=True)


# ---------------------------------------------------------------- model order, training
def _criterion(lam, samples, penalty):
    n, t = lam.shape[-1], float(samples)
    c = []
    for k in range(n):
        tail = lam[..., : n - k]
        c.append(t * (n - k) * (np.log(tail.mean(-1)) - np.log(tail).mean(-1)) + penalty * k * (2 * n - k))
    return np.argmin(np.array(c), axis=0)


def mdl_ascending(eigenvalues, samples):
    return _criterion(np.asarray(eigenvalues), samples, 0.5 * math.log(samples))


def aic_ascending(eigenvalues, samples):
    return _criterion(np.asarray(eigenvalues), samples, 1.0)


def mdl_noise_count(eigenvalues, samples):
    """Answers the dimension of the noise subspace."""
    lam = np.asarray(eigenvalues)[..., ::-1]
    return lam.shape[-1] - _criterion(lam, samples, 0.5 * math.log(samples))


def epoch_mean_of_scaled(losses, accumulation):
    """The losses were divided by the accumulation for backward()."""
    return accumulation * sum(float(v) for v in losses) / len(losses)


def epoch_mean_unscale_each(scaled_losses, accum):
    return float(np.mean([float(v) * accum for v in scaled_losses]))
