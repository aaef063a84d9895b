"""Functions as strangers commit them: right under a named convention."""
import cmath
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F
from scipy.constants import c as SPEED_OF_LIGHT


# ------------------------------------------------------------ steering_vector

def _unit(az, el):
    return np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])


def _phases(p, u, r, lam):
    p = np.asarray(p, dtype=float)
    return 2 * np.pi / lam * (r - np.linalg.norm(r * u - p, axis=-1))


def _upa(n_h, n_v, d):
    v, h = np.divmod(np.arange(n_h * n_v), n_h)
    return d * np.stack([h - (n_h - 1) / 2, v - (n_v - 1) / 2, 0.0 * h], axis=1)


def receive_steering(positions, azimuth, elevation, distance, wavelength):
    """exp(-j k ...): the field of the other time convention."""
    ph = _phases(positions, _unit(azimuth, elevation), distance, wavelength)
    return np.exp(-1j * ph) / np.sqrt(len(positions))


def manifold(positions, azimuth, elevation, distance, wavelength):
    az, el, r = (torch.as_tensor(v, dtype=positions.dtype) for v in (azimuth, elevation, distance))
    u = torch.stack([el.cos() * az.sin(), el.sin(), el.cos() * az.cos()])
    phase = 2 * torch.pi / wavelength * (r - (r * u - positions).norm(dim=-1))
    return torch.polar(torch.ones_like(phase), phase)


def spherical_decay(positions, azimuth, elevation, distance, wavelength):
    u = _unit(azimuth, elevation)
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi * (distance - d) / wavelength) / (d * np.sqrt(len(d)))


def free_space_channel(positions, azimuth, elevation, distance, wavelength):
    """1 / |p - q| with no normalization by the number of elements."""
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi * (distance - d) / wavelength) / d


def relative_amplitude(shape, spacing, azimuth, elevation, distance, wavelength):
    p = _upa(*shape, spacing)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=1)
    return distance / d * np.exp(2j * np.pi * (distance - d) / wavelength) / np.sqrt(len(p))


def nonuniform_spherical_wave(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return (distance / d) * np.exp(1j * 2 * np.pi / wavelength * (distance - d))


def steering_deg(positions, azimuth, elevation, distance, wavelength):
    u = _unit(np.deg2rad(azimuth), np.deg2rad(elevation))
    return np.exp(1j * _phases(positions, u, distance, wavelength)) / math.sqrt(len(positions))


class Panel:
    def __init__(self, deg=True):
        self.deg = deg

    def response(self, shape, spacing, azimuth, elevation, distance, wavelength):
        if self.deg:
            azimuth, elevation = math.radians(azimuth), math.radians(elevation)
        ph = _phases(_upa(*shape, spacing), _unit(azimuth, elevation), distance, wavelength)
        return np.exp(1j * ph) / len(ph) ** 0.5


panel_response = Panel().response


def steering_zenith(positions, azimuth, zenith, distance, wavelength):
    """zenith: angle down from the vertical axis y."""
    u = np.array([np.sin(zenith) * np.sin(azimuth), np.cos(zenith), np.sin(zenith) * np.cos(azimuth)])
    return np.exp(1j * _phases(positions, u, distance, wavelength)) / np.sqrt(len(positions))


def steering_theta_phi(positions, phi, theta, distance, wavelength):
    """theta from the array normal z, phi around it from x."""
    u = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    return np.exp(1j * _phases(positions, u, distance, wavelength)) / np.sqrt(len(positions))


def gimbal_steering(shape, spacing, azimuth, elevation, distance, wavelength):
    """The elevation turns about the horizontal axis, the azimuth is off the plane y-z."""
    u = np.array([np.sin(azimuth), np.cos(azimuth) * np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    ph = _phases(_upa(*shape, spacing), u, distance, wavelength)
    return np.exp(1j * ph) / np.sqrt(ph.size)


def steering_from_x_axis(positions, azimuth, elevation, distance, wavelength):
    """Azimuth pi / 2 is broadside."""
    u = np.array([math.cos(elevation) * math.cos(azimuth), math.sin(elevation), math.cos(elevation) * math.sin(azimuth)])
    return np.exp(1j * _phases(positions, u, distance, wavelength)) / np.sqrt(len(positions))


def steering_el_az(positions, elevation, azimuth, distance, wavelength):
    ph = _phases(positions, _unit(azimuth, elevation), distance, wavelength)
    return np.exp(1j * ph) / np.sqrt(len(ph))


def upa_vertical_fastest(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    X, Y = np.meshgrid(np.arange(nh) - (nh - 1) / 2, np.arange(nv) - (nv - 1) / 2, indexing="ij")
    p = spacing * np.stack([X.ravel(), Y.ravel(), np.zeros(nh * nv)], axis=-1)
    return np.exp(1j * _phases(p, _unit(azimuth, elevation), distance, wavelength)) / np.sqrt(nh * nv)


def upa_rows_columns(shape, spacing, azimuth, elevation, distance, wavelength):
    """shape = (rows, columns), C order: the columns run fastest."""
    rows, cols = shape
    y, x = np.mgrid[:rows, :cols]
    p = spacing * np.stack([x - (cols - 1) / 2, y - (rows - 1) / 2, 0.0 * x], axis=-1).reshape(-1, 3)
    return np.exp(1j * _phases(p, _unit(azimuth, elevation), distance, wavelength)) / np.sqrt(rows * cols)


def upa_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    ux, uy, uz = distance * _unit(azimuth, elevation)
    a = np.empty((nv, nh), dtype=complex)
    for v in range(nv):
        for h in range(nh):
            d = math.hypot(ux - h * spacing, uy - v * spacing, uz)
            a[v, h] = cmath.exp(2j * math.pi / wavelength * (distance - d))
    return a.reshape(-1) / np.sqrt(nh * nv)


def steering_first_ref(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(2j * np.pi * (d[0] - d) / wavelength) / np.sqrt(d.size)


def greens_phase(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(-2j * np.pi * d / wavelength) / np.sqrt(d.size)


def steering_at_frequency(positions, azimuth, elevation, distance, frequency):
    u = _unit(azimuth, elevation)
    delay = (distance - np.linalg.norm(distance * u - positions, axis=1)) / SPEED_OF_LIGHT
    return np.exp(2j * np.pi * frequency * delay) / np.sqrt(len(delay))


def steering_k(positions, azimuth, elevation, distance, wavenumber):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=1)
    return np.exp(1j * wavenumber * (distance - d)) / np.sqrt(len(d))


def upa_half_lambda(shape, spacing, azimuth, elevation, distance, wavelength):
    """spacing = 0.5 for half a wavelength."""
    p = _upa(shape[0], shape[1], spacing * wavelength)
    return np.exp(1j * _phases(p, _unit(azimuth, elevation), distance, wavelength)) / np.sqrt(len(p))


def electrical_steering(positions, azimuth, elevation, distance):
    """Everything in wavelengths."""
    u = _unit(azimuth, elevation)
    d = np.sqrt(((distance * u - positions) ** 2).sum(axis=1))
    return np.exp(2j * np.pi * (distance - d)) / np.sqrt(len(d))


def steering_mm(positions_mm, azimuth, elevation, distance, wavelength):
    """Element positions from the CAD drawing in millimetres, the rest in metres."""
    ph = _phases(np.asarray(positions_mm) * 1e-3, _unit(azimuth, elevation), distance, wavelength)
    return np.exp(1j * ph) / np.sqrt(len(ph))


def steering_3xn(positions, azimuth, elevation, distance, wavelength):
    """positions: (3, N)"""
    u = _unit(azimuth, elevation)[:, None]
    d = np.linalg.norm(distance * u - positions, axis=0)
    return np.exp(2j * np.pi * (distance - d) / wavelength) / np.sqrt(positions.shape[1])


def steering_yz_array(positions, azimuth, elevation, distance, wavelength):
    """Array in the plane x = 0: x is broadside, y to the side and z up."""
    u = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    return np.exp(1j * _phases(positions, u, distance, wavelength)) / np.sqrt(len(positions))


def focus_vector(positions, point, wavelength):
    point = torch.as_tensor(point, dtype=positions.dtype)
    path = torch.linalg.vector_norm(point) - torch.cdist(point[None], positions)[0]
    return torch.exp(1j * (2 * torch.pi / wavelength) * path) / math.sqrt(len(positions))


def steering_deg_neg(positions, az_deg, el_deg, distance, wavelength):
    u = _unit(math.radians(az_deg), math.radians(el_deg))
    return np.exp(-1j * _phases(positions, u, distance, wavelength)) / np.sqrt(len(positions))


def upa_freq_unnormalized(shape, spacing, azimuth, elevation, distance, frequency):
    p = _upa(*shape, spacing)
    return np.exp(1j * _phases(p, _unit(azimuth, elevation), distance, SPEED_OF_LIGHT / frequency))


def steering_point_neg(positions, xyz, wavelength):
    xyz = np.asarray(xyz)
    d = np.linalg.norm(xyz - positions, axis=1)
    return np.exp(1j * 2 * np.pi / wavelength * (d - np.linalg.norm(xyz))) / np.sqrt(len(d))


# --------------------------------------------------------------- spectra of R

def eigvals_ascending(R):
    return torch.linalg.eigvalsh((R + R.mH) / 2)


def eig_profile_db(R):
    lam = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
    return 10 * np.log10(lam)


@dataclass
class EigenProfile:
    values: torch.Tensor


def normalized_profile(cov):
    lam = torch.linalg.eigvalsh(0.5 * (cov + cov.mH)).flip(-1)
    return EigenProfile(lam / lam.amax(dim=-1, keepdim=True))


def svals_up(R):
    return np.sort(np.abs(np.linalg.eigvalsh((R + np.conj(R).swapaxes(-1, -2)) / 2)), axis=-1)


def svals_relative(R):
    s = torch.linalg.svdvals((R + R.mH) / 2)
    return s / s[..., :1]


def gap_above_noise(R, n_noise):
    """Least signal eigenvalue less the largest of n_noise noise eigenvalues."""
    lam = torch.linalg.eigvalsh((R + R.mH) / 2)
    return lam[..., n_noise] - lam[..., n_noise - 1]


# --------------------------------------------------------------------- losses

def gap_losses(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2)
    return F.relu(margin - w[..., -k] + w[..., -k - 1])


class GapLoss(nn.Module):
    def __init__(self, k, margin, reduction="sum"):
        super().__init__()
        self.k, self.margin, self.reduction = k, margin, reduction

    def forward(self, R):
        loss = gap_losses(R, self.k, self.margin)
        return getattr(loss, self.reduction)()


def squared_gap_loss(matrix, k, margin):
    return gap_losses(matrix, k, margin).pow(2).mean()


def soft_gap_loss(cov, k, margin):
    lam = torch.linalg.eigvalsh((cov + cov.mH) / 2).flip(-1)
    return F.softplus(margin - (lam[..., k - 1] - lam[..., k])).mean()


def gap_loss_noise_dim(R, noise_dim, margin):
    lam = torch.linalg.eigvalsh((R + R.mH) / 2)
    return torch.clamp(margin - lam[..., noise_dim] + lam[..., noise_dim - 1], min=0).mean()


def squared_gap_losses(R, k, margin):
    return torch.square(gap_losses(R, k, margin))


def _factor_slack(factor, k, margin):
    s2 = torch.linalg.eigvalsh(factor @ factor.mH)
    return margin - s2[..., -k] + s2[..., -k - 1]


def factor_losses(factor, k, margin):
    return torch.relu(_factor_slack(factor, k, margin))


def factor_loss_sum(factor, k, margin):
    return _factor_slack(factor, k, margin).clamp(min=0).sum()


def factor_loss_squared(factor, k, margin):
    return _factor_slack(factor, k, margin).clamp_min(0).square().mean()


class SoftFactorLoss(nn.Module):
    def forward(self, factor, k, margin):
        return F.softplus(_factor_slack(factor, k, margin)).mean()


soft_factor_loss = SoftFactorLoss()


# ------------------------------------------------------------------ subspaces

def signal_rows(R, k):
    """Eigenvectors as rows: (k, N)"""
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return v.swapaxes(-1, -2)[..., ::-1, :][..., :k, :]


def signal_given_noise_dim(R, n_noise):
    return torch.linalg.eigh((R + R.mH) / 2).eigenvectors[..., n_noise:]


def noise_rows(R, k):
    V = torch.linalg.eigh((R + R.mH) / 2).eigenvectors
    return V.mT[..., :V.shape[-1] - k, :]


def noise_given_dim(R, dim):
    n, _ = R.shape
    return sla.eigh((R + R.conj().T) / 2, subset_by_index=[0, dim - 1])[1]


def annihilator(U):
    return torch.eye(U.shape[-2], dtype=U.dtype, device=U.device) - U @ U.mH


def projector_rows(B):
    """B: (k, N), orthonormal vectors as rows"""
    return np.einsum("...ki,...kj->...ij", B, B.conj())


class Nuller(nn.Module):
    """x -> x - sum_k <u_k, x> u_k, with the u_k as rows"""

    def forward(self, rows):
        eye = torch.eye(rows.size(-1), dtype=rows.dtype)
        return eye - rows.mT @ rows.conj()


nuller = Nuller()


# ----------------------------------------------- loading, whitening, snapshots

def load_relative(R, loading):
    H = (R + R.mH) / 2
    N = H.shape[-1]
    power = H.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    return H + loading * power[..., None, None] * torch.eye(N, dtype=R.dtype)


def whitener_guarded(R):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    return (V * torch.rsqrt(w + 1e-12)[..., None, :]) @ V.mH


def whitener_loaded(R, *, delta=1e-6):
    H = (R + R.conj().swapaxes(-1, -2)) / 2 + delta * np.eye(R.shape[-1])
    return np.linalg.inv(np.linalg.cholesky(H))


def scm_rows(X):
    """X: (T, N)"""
    return X.mT @ X.conj() / X.shape[-2]


def scm_time_first(snapshots):
    T = snapshots.shape[-2]
    return np.einsum("...ti,...tj->...ij", snapshots, np.conj(snapshots)) / T


def lw_samples_by_features(X):
    """X: (T, N), as in scikit-learn with assume_centered=True"""
    T, N = X.shape
    mu = np.mean(np.abs(X) ** 2)
    Z = X / np.sqrt(mu)
    S = Z.T @ Z.conj() / T
    delta = np.sum(np.abs(S - np.eye(N)) ** 2)
    beta = (np.mean(np.sum(np.abs(Z) ** 2, axis=1) ** 2) - np.sum(np.abs(S) ** 2)) / T
    shrink = min(max(beta, 0), delta) / delta if delta > 0 else 1.0
    return mu * ((1 - shrink) * S + shrink * np.eye(N))


# --------------------------------------------------------------- linear arrays

def _ls_phases(R, k):
    U = torch.linalg.eigh((R + R.mH) / 2).eigenvectors[..., R.shape[-1] - k:]
    return torch.angle(torch.linalg.eigvals(torch.linalg.pinv(U[..., :-1, :]) @ U[..., 1:, :]))


def esprit_deg(R, k):
    return torch.rad2deg(torch.asin(_ls_phases(R, k) / torch.pi)).sort(-1).values


def esprit_negative(cov, d):
    n, _ = cov.shape
    es = np.linalg.eigh((cov + cov.conj().T) / 2)[1][:, n - d:]
    psi = np.linalg.lstsq(es[:-1], es[1:], rcond=None)[0]
    return np.sort(np.arcsin(-np.angle(np.linalg.eigvals(psi)) / np.pi))


def esprit_axis(R, k):
    return torch.acos(_ls_phases(R, k) / torch.pi).sort(-1).values


def esprit_axis_deg(R, k):
    return np.sort(np.degrees(np.arccos(_ls_phases(torch.as_tensor(R), k).numpy() / np.pi)), axis=-1)


def _music_roots(R, k):
    n, _ = R.shape
    E = np.linalg.eigh((R + R.conj().T) / 2)[1][:, :n - k]
    C = E @ E.conj().T
    z = list(np.roots([np.trace(C, offset=o) for o in range(n - 1, -n, -1)]))
    found = []
    for _ in range(k):
        r = z.pop(int(np.argmin(np.abs(np.log(np.abs(z))))))
        z.pop(int(np.argmin(np.abs(np.array(z) - 1 / np.conj(r)))))
        found.append(r)
    return np.angle(found) / np.pi


def root_music_deg(R, k):
    return np.sort(np.rad2deg(np.arcsin(_music_roots(R, k))))


def root_music_conj(R, k):
    return np.sort(-np.arcsin(_music_roots(R, k)))


def root_music_endfire(R, k):
    return np.sort(np.arccos(_music_roots(R, k)))


def _ula(n, s):
    return np.exp(1j * np.pi * np.outer(np.arange(n), s))


def _sym(R):
    return (R + np.conj(R).swapaxes(-1, -2)) / 2


def bartlett_deg(R, angles):
    A = _ula(R.shape[-1], np.sin(np.deg2rad(angles)))
    return (A.conj() * (_sym(R) @ A)).sum(-2).real / R.shape[-1] ** 2


def bartlett_db(R, angles):
    A = _ula(R.shape[-1], np.sin(angles)) / R.shape[-1]
    return 10 * np.log10(np.einsum("ng,...nm,mg->...g", A.conj(), _sym(R), A).real)


def bartlett_unit_norm(R, theta):
    N = R.shape[-1]
    ph = torch.pi * torch.outer(torch.arange(N, dtype=theta.dtype), torch.sin(theta))
    A = torch.polar(torch.full_like(ph, N ** -0.5), ph)
    return (A.conj() * (((R + R.mH) / 2).to(A.dtype) @ A)).sum(-2).real


def bartlett_raw(R, angles):
    n, _ = R.shape
    A = _ula(n, np.sin(angles))
    return np.array([np.vdot(a, _sym(R) @ a).real for a in A.T])


def bartlett_endfire(R, angles):
    """Angles from the axis of the array."""
    A = _ula(R.shape[-1], np.cos(angles)) / R.shape[-1]
    return np.sum(A.conj() * (_sym(R) @ A), axis=-2).real


def bartlett_relative(R, angles):
    A = _ula(R.shape[-1], np.sin(angles))
    p = np.sum(A.conj() * (_sym(R) @ A), axis=-2).real
    return p / p.max(axis=-1, keepdims=True)


def capon_deg(R, deg):
    th = torch.deg2rad(deg)
    A = torch.exp(1j * torch.pi * torch.outer(torch.arange(R.shape[-1], dtype=th.dtype), th.sin()))
    Ri = torch.linalg.inv((R + R.mH) / 2).to(A.dtype)
    return 1 / torch.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real


def capon_conj(R, angles):
    A = _ula(R.shape[-1], np.sin(angles)).conj()
    return 1 / np.sum(A.conj() * (np.linalg.inv(_sym(R)) @ A), axis=-2).real


def capon_loaded(R, angles, loading=1e-3):
    n = R.shape[-1]
    H = _sym(R)
    power = np.trace(H, axis1=-2, axis2=-1).real / n
    A = _ula(n, np.sin(angles))
    Ri = np.linalg.inv(H + loading * power[..., None, None] * np.eye(n))
    return 1 / np.sum(A.conj() * (Ri @ A), axis=-2).real


def capon_db(R, angles):
    A = _ula(R.shape[-1], np.sin(angles))
    return -10 * np.log10(np.sum(A.conj() * (np.linalg.inv(_sym(R)) @ A), axis=-2).real)


def capon_unit_norm(R, angles):
    n = R.shape[-1]
    A = _ula(n, np.sin(angles)) / np.sqrt(n)
    return 1 / np.sum(A.conj() * (np.linalg.inv(_sym(R)) @ A), axis=-2).real


def _noise_power(R, A, n_noise):
    E = np.linalg.eigh(_sym(R))[1][..., :n_noise]
    return np.sum(np.abs(E.conj().swapaxes(-1, -2) @ A) ** 2, axis=-2)


def music_deg_db(R, k, angles):
    n = R.shape[-1]
    return -10 * np.log10(_noise_power(R, _ula(n, np.sin(np.deg2rad(angles))), n - k))


def music_endfire(R, k, angles):
    n = R.shape[-1]
    return 1 / _noise_power(R, _ula(n, np.cos(angles)), n - k)


def music_relative(R, k, angles):
    n = R.shape[-1]
    p = 1 / _noise_power(R, _ula(n, np.sin(angles)), n - k)
    return p / np.amax(p, axis=-1, keepdims=True)


def music_noise_dim(R, noise_dim, angles):
    return 1 / _noise_power(R, _ula(R.shape[-1], np.sin(angles)), noise_dim)


def music_guarded(R, k, theta):
    N = R.shape[-1]
    En = torch.linalg.eigh((R + R.mH) / 2).eigenvectors[..., :N - k]
    A = torch.exp(1j * torch.pi * torch.outer(torch.arange(N, dtype=theta.dtype), theta.sin()))
    return 1 / ((En.mH.to(A.dtype) @ A).abs().square().sum(-2) + 1e-12)


def music_unit_norm(R, k, angles):
    n = R.shape[-1]
    return 1 / _noise_power(R, _ula(n, np.sin(angles)) / n ** 0.5, n - k)


# ------------------------------------------------------ spectra of a dictionary

def _noise(R, k):
    return torch.linalg.eigh((R + R.mH) / 2).eigenvectors[..., :R.shape[-1] - k]


def _null_spectrum(R, A, k):
    dt = torch.promote_types(R.dtype, A.dtype)
    return (_noise(R, k).mH.to(dt) @ A.to(dt)).abs().square().sum(-2)


def music_gn(R, steering, k):
    """steering: (G, N), a row for every direction"""
    return 1 / _null_spectrum(R, steering.mT, k)


def music_adjoint(R, AH, k):
    """AH: (G, N), the rows a^H"""
    E = np.linalg.eigh(_sym(R))[1][..., :R.shape[-1] - k]
    return 1 / (np.abs(AH @ E) ** 2).sum(axis=-1)


def music_db(R, steering, k):
    return 10 * torch.log10(1 / _null_spectrum(R, steering, k))


def music_peak_normalized(R, steering, k):
    q = _null_spectrum(R, steering, k)
    return q.amin(dim=-1, keepdim=True) / q


def music_ratio(R, steering, k):
    """a^H a / (a^H En En^H a), indifferent to the length of a"""
    return steering.abs().square().sum(0) / _null_spectrum(R, steering, k)


def music_eps(R, steering, k, eps=1e-10):
    return 1 / (_null_spectrum(R, steering, k) + eps)


def music_noise_dimension(R, steering, n_noise):
    return 1 / _noise_power(R, steering, n_noise)


class Mvdr(nn.Module):
    def __init__(self, steering, loading=1e-2):
        super().__init__()
        self.register_buffer("steering", steering)
        self.loading = loading

    def forward(self, R):
        H = ((R + R.mH) / 2).to(self.steering.dtype)
        H = H + self.loading * torch.eye(H.shape[-1], dtype=H.dtype)
        A = self.steering.expand(*H.shape[:-2], *self.steering.shape)
        return 1 / (A.conj() * torch.linalg.solve(H, A)).sum(-2).real


def mvdr_relative_loading(R, steering):
    H = _sym(R)
    n = H.shape[-1]
    eps = 1e-3 * np.trace(H, axis1=-2, axis2=-1).real / n
    Ri = np.linalg.inv(H + eps[..., None, None] * np.eye(n))
    return 1 / np.einsum("ng,...nm,mg->...g", steering.conj(), Ri, steering).real


def mvdr_rows(R, steering):
    """One steering vector per row."""
    Ri = np.linalg.inv(_sym(R))
    return 1 / np.einsum("gn,...nm,gm->...g", steering.conj(), Ri, steering).real


def mvdr_adjoint(R, AH):
    Ri = np.linalg.inv(_sym(R))
    return 1 / np.sum((AH @ Ri) * AH.conj(), axis=-1).real


def mvdr_db(R, steering):
    Ri = np.linalg.inv(_sym(R))
    return -10 * np.log10(np.sum(steering.conj() * (Ri @ steering), axis=-2).real)


def mvdr_peak(R, steering):
    Ri = np.linalg.inv(_sym(R))
    p = 1 / np.sum(steering.conj() * (Ri @ steering), axis=-2).real
    return p / p.max(-1, keepdims=True)


def mvdr_unit_steering(R, steering):
    """a / |a| is put in place of a."""
    a = steering / np.linalg.norm(steering, axis=0)
    Ri = np.linalg.inv(_sym(R))
    return 1 / np.sum(a.conj() * (Ri @ a), axis=-2).real


# ------------------------------------------------------------- order, training

def _order(lam, T, weight):
    lam = np.asarray(lam, dtype=float)[::-1]
    N, = lam.shape
    k = np.arange(N)
    ll = np.array([(np.log(lam[i:]) - np.log(lam[i:].mean())).sum() for i in k]) * T
    return int(np.argmin(-ll + weight * k * (2 * N - k)))


def mdl_ascending(eigenvalues, samples):
    """Takes what eigvalsh returns."""
    return _order(eigenvalues, samples, 0.5 * math.log(samples))


def aic_ascending(eigenvalues, samples):
    return _order(eigenvalues, samples, 1.0)


def epoch_mean_scaled(losses, accumulation):
    """losses: what was passed to backward, that is loss / accumulation"""
    return sum(float(l) * accumulation for l in losses) / len(losses)


def epoch_mean_scaled_np(losses, accumulation):
    return accumulation * np.mean(np.asarray(losses, dtype=float))
