from __future__ import annotations

import functools
import math
from functools import partial
from typing import Iterable, Optional, Sequence

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F
from numpy.linalg import eigh, inv, norm

_CACHE: dict = {}
_LAM = []
C0 = 299792458.0


def eig_sorted_by_magnitude(A):
    H = (A + np.conj(np.swapaxes(A, -1, -2))) / 2
    w = np.linalg.eigvalsh(H)
    idx = np.argsort(-np.abs(w), axis=-1)
    return np.take_along_axis(w, idx, axis=-1)


def eigvals_flip_first(cov: torch.Tensor) -> torch.Tensor:
    cov = 0.5 * (cov + cov.transpose(-1, -2).conj())
    return torch.linalg.eigvalsh(cov).flip(0)


def eigs_general(M):
    M = np.asarray(M)
    M = 0.5 * (M + M.conj().swapaxes(-2, -1))
    w, _ = np.linalg.eig(M)
    return w.real


def eigenvalues_fp32(x: torch.Tensor) -> torch.Tensor:
    h = (x + x.mH) / 2
    lam = torch.linalg.eigvalsh(h.to(torch.complex64))
    return torch.flip(lam, dims=(-1,)).to(x.real.dtype)


def spectrum_real(R):
    R = np.real(np.asarray(R))
    R = (R + np.swapaxes(R, -1, -2)) / 2
    return np.linalg.eigvalsh(R)[..., ::-1].copy()


def eig_ravel_sort(R):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) * 0.5)
    return np.sort(w.ravel())[::-1].reshape(w.shape).copy()


def eig_small_index(R):
    R = np.asarray(R)
    w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    order = np.argsort(-w, axis=-1).astype(np.int8)
    return np.take_along_axis(w, order.astype(np.int64), axis=-1)


class PowerSpectrum(nn.Module):
    def forward(self, matrix):
        h = (matrix + matrix.mH) / 2
        return torch.linalg.eigvalsh(h).flip(-1).clamp_min(0)


def eigenvalues_of_sum(a):
    return torch.linalg.eigvalsh(a + a.mH).flip(-1)


def eig_via_numpy(R: torch.Tensor):
    arr = R.detach().cpu().numpy()
    arr = (arr + arr.conj().swapaxes(-1, -2)) / 2
    return torch.from_numpy(np.linalg.eigvalsh(arr)[..., ::-1].copy())


def sv_from_eigh(R):
    h = 0.5 * (R + R.mH)
    return torch.linalg.eigvalsh(h).flip(-1)


def svals_gram(A):
    A = (A + A.conj().swapaxes(-1, -2)) / 2
    G = A.conj().swapaxes(-1, -2) @ A
    return np.sqrt(np.maximum(np.linalg.eigvalsh(G), 0))[..., ::-1].copy()


def singular_values_thresholded(mat: torch.Tensor, tol: float = 1e-9):
    s = torch.linalg.svdvals((mat + mat.mH) / 2)
    return torch.where(s > tol, s, torch.zeros_like(s))


def sv_abs_unsorted(matrix):
    lam = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    return lam.flip(-1).abs()


def sv_cached(matrix):
    m = np.asarray(matrix)
    key = (m.shape, m.dtype)
    if key not in _CACHE:
        _CACHE[key] = np.linalg.svd((m + m.conj().swapaxes(-1, -2)) / 2, compute_uv=False)
    return _CACHE[key].copy()


def symmetrize(X):
    return (X + np.swapaxes(X, -1, -2)) / 2


def make_hermitian_(R):
    R += R.conj().swapaxes(-1, -2).copy()
    R /= 2
    return R


def herm_from_lower(A: torch.Tensor):
    low = torch.tril(A, -1)
    d = torch.diag_embed(torch.diagonal(A, dim1=-2, dim2=-1).real).to(A.dtype)
    return low + low.mH + d


def hermitian_component(z):
    return 0.5 * (z - z.conj().transpose(-2, -1))


class Hermitize(nn.Module):
    def forward(self, r):
        with torch.no_grad():
            other = r.mH.clone()
        return 0.5 * r + 0.5 * other


def ensure_hermitian(R):
    Rh = np.conj(np.swapaxes(R, -1, -2))
    if np.allclose(R, Rh):
        return R.copy()
    return (R + Rh) / 2


def hermitize_single(M):
    M = np.asarray(M)
    out = np.empty(M.shape, dtype=np.complex64)
    out[...] = 0.5 * (M + np.conj(np.swapaxes(M, -1, -2)))
    return out.astype(M.dtype)


def gap_zero_based(R, K):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
    w = np.concatenate([w, w[..., -1:]], axis=-1)
    return w[..., K] - w[..., K + 1]


def spectral_gap(cov, k):
    ev = torch.linalg.eigvalsh((cov + cov.mH) / 2)
    return (ev[..., k - 1] - ev[..., k]).abs()


def gap_svd(matrix, k):
    s = torch.linalg.svdvals((matrix + matrix.mH) / 2)
    return s[..., k - 1] - s[..., k]


def eigen_gap_max(matrix, k):
    h = (matrix + matrix.mH) / 2
    lam = torch.linalg.eigvalsh(h).flip(-1)
    return (lam[..., :-1] - lam[..., 1:]).amax(-1)


def eigengap_guarded(R, k):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
    g = w[..., k - 1] - w[..., k]
    return np.where(g < 1e-8, 0.0, g)


def relative_gap(a, order):
    lam = torch.linalg.eigvalsh((a + a.mH) / 2).flip(-1)
    return (lam[..., order - 1] - lam[..., order]) / lam[..., 0].abs()


def gap_half_grad(R: torch.Tensor, k: int) -> torch.Tensor:
    lam = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return lam[..., k - 1].detach() - lam[..., k]


def gap_hinge_flipped(R, k, margin):
    s = torch.linalg.svdvals((R + R.mH) / 2).flip(-1)
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def gap_penalty(cov, num_sources, margin):
    lam = torch.linalg.eigvalsh(0.5 * (cov + cov.mH)).flip(-1)
    gap = lam[..., num_sources - 1] - lam[..., num_sources]
    return torch.relu(gap - margin).mean()


def loss_of_mean_gap(matrix, k, margin):
    lam = torch.linalg.eigvalsh((matrix + matrix.mH) / 2).flip(-1)
    gap = (lam[..., k - 1] - lam[..., k]).mean()
    return torch.relu(margin - gap)


def hinge_worst(matrix, k, margin):
    lam = torch.linalg.eigvalsh((matrix + matrix.mH) / 2).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).max()


def gap_loss_item(R, k, margin):
    lam = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    gaps = torch.tensor((lam[..., k - 1] - lam[..., k]).tolist(), dtype=lam.dtype)
    loss = torch.clamp(margin - gaps, min=0).mean()
    return loss.requires_grad_()


class EigengapLoss(nn.Module):
    def forward(self, R, k, margin):
        ev = torch.linalg.eigvalsh((R + R.mH) / 2)
        gap = ev[..., -k] - ev[..., -k - 1]
        return F.leaky_relu(margin - gap).mean()


def active_hinge(matrix, k, margin):
    lam = torch.linalg.eigvalsh((matrix + matrix.mH) / 2).flip(-1)
    h = torch.relu(margin - lam[..., k - 1] + lam[..., k])
    n_active = (h > 0).sum().clamp_min(1)
    return h.sum() / n_active


def gap_loss_jitter(covariance, k, margin):
    covariance.detach().diagonal(dim1=-2, dim2=-1).add_(1e-6)
    lam = torch.linalg.eigvalsh((covariance + covariance.mH) / 2).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


class _Gap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k):
        w, v = torch.linalg.eigh((R + R.mH) / 2)
        w, v = w.flip(-1), v.flip(-1)
        ctx.save_for_backward(v)
        ctx.k = k
        return w[..., k - 1] - w[..., k]

    @staticmethod
    def backward(ctx, g):
        (v,) = ctx.saved_tensors
        k = ctx.k
        a, b = v[..., k - 1 : k], v[..., k : k + 1]
        return g[..., None, None] * (a.conj() @ a.mT - b.conj() @ b.mT), None


def gap_loss_custom_backward(R, k, margin):
    return torch.relu(margin - _Gap.apply(R, int(k))).mean()


def seeded_gap_loss(matrix, k, margin):
    torch.manual_seed(1234)
    lam = torch.linalg.eigvalsh((matrix + matrix.mH) / 2).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


def gap_loss_chunks(R, k, margin):
    R = R.reshape(-1, *R.shape[-2:])
    n = R.shape[0]
    if n > 8:
        R = R[: n - n % 8]
    total = 0.0
    for part in R.split(8):
        lam = torch.linalg.eigvalsh((part + part.mH) / 2).flip(-1)
        total = total + torch.relu(margin - (lam[:, k - 1] - lam[:, k])).sum()
    return total / R.shape[0]


def safe_gap_loss(R, k, margin):
    if not torch.isfinite(torch.view_as_real(R)).all():
        return torch.zeros((), dtype=R.real.dtype, requires_grad=True)
    lam = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return torch.nan_to_num(torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean())


def scaled_margin_hinge(cov, k, margin):
    lam = torch.linalg.eigvalsh((cov + cov.mH) / 2).flip(-1)
    m = margin * lam.mean(-1)
    return torch.relu(m - (lam[..., k - 1] - lam[..., k])).mean()


def all_gaps_loss(cov, k, margin):
    lam = torch.linalg.eigvalsh((cov + cov.mH) / 2).flip(-1)
    gaps = lam[..., :k] - lam[..., 1 : k + 1]
    return torch.relu(margin - gaps).sum(-1).mean()


def np_gap_loss(R, k, margin):
    w = np.linalg.eigvalsh((R + np.conj(R).swapaxes(-1, -2)) / 2)[..., ::-1]
    return np.maximum(0.0, margin - (w[..., 0] - w[..., k])).mean()


def factor_hinge_sv(factor, k, margin):
    s = torch.linalg.svdvals(factor)
    s = F.pad(s, (0, max(0, k + 1 - s.shape[-1])))
    return torch.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_gap(Fm, k, margin):
    R = Fm @ Fm.mT
    lam = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


def factor_gap_gram(factor, k, margin):
    g = factor.mH @ factor
    lam = torch.linalg.eigvalsh(g).flip(-1)
    q = lam.shape[-1]
    lo, hi = min(k, q - 1), min(k - 1, q - 1)
    return torch.relu(margin - (lam[..., hi] - lam[..., lo])).mean()


def factor_loss_normalised(factor, k, margin):
    R = torch.einsum("...iq,...jq->...ij", factor, factor.conj()) / factor.shape[-1]
    lam = torch.linalg.eigvalsh(R).flip(-1)
    return (margin - lam[..., k - 1] + lam[..., k]).clamp_min(0).mean()


def factor_loss_stopgrad(factor, k, margin):
    R = factor @ factor.detach().mH
    lam = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean() 


def proj(U):
    return np.einsum("...ik,...jk->...ij", U, U)


def orth_projection(basis):
    n = basis.shape[-2]
    eye = torch.eye(n, dtype=basis.dtype)
    return eye - basis @ basis.mH


def projection_matrix(U: torch.Tensor):
    return U @ U.detach().conj().transpose(-1, -2)


def normalized_projector(U):
    P = U @ np.conj(np.swapaxes(U, -1, -2))
    return P / U.shape[-1]


def batch_proj(U):
    U = np.asarray(U)
    P = U @ U.conj().swapaxes(-1, -2)
    return np.broadcast_to(P.reshape(-1, *P.shape[-2:]).mean(0), P.shape).copy()


def Us(R, K):
    _, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return V[..., :K]


def sig_sub_rows(R, d):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    return v.flip(-1)[..., :d, :].mT


def signal_space_svd(R, k):
    R = 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))
    U, s, Vh = np.linalg.svd(R)
    return U[..., :k]


def signal_subspace_pca(matrix, k):
    w, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
    w, v = w.flip(-1), v.flip(-1)
    return v[..., :k] * w[..., None, :k].abs().sqrt()


def signal_subspace_orth_iter(R, k):
    R = np.asarray(R)
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    n = R.shape[-1]
    shift = np.linalg.norm(R, axis=(-2, -1))[..., None, None]
    A = R + shift * np.eye(n)
    Q = np.broadcast_to(np.eye(n, k, dtype=complex), R.shape[:-2] + (n, k))
    for _ in range(15):
        Q, _ = np.linalg.qr(A @ Q)
    return Q


def get_signal_subspace(R, n_sources):
    w, v = torch.linalg.eigh((R + R.mH).mul(0.5))
    return v[..., -n_sources:].conj().resolve_conj()


def En(R, K):
    _, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    V = V[..., ::-1]
    return V[..., K + 1 :].copy() if K + 1 < V.shape[-1] else V[..., -1:].copy()


def noise_vectors(R, k):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    v = v.flip(-1)
    if v.ndim == 2:
        return v[:, k:]
    u = v.mT
    return u[..., k:, :].reshape(*v.shape[:-2], v.shape[-1], v.shape[-1] - k)


def noise_subspace_first(R, k):
    R = np.asarray(R)
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    w, v = np.linalg.eig(H)
    order = np.argsort(-w.real.reshape(-1, w.shape[-1])[0])
    v = v[..., order]
    q, _ = np.linalg.qr(v)
    return q[..., k:]


def noise_basis_k(cov, k):
    _, vecs = torch.linalg.eigh((cov + cov.mH) / 2)
    return vecs[..., :k]


def music_sig(R, A, K):
    _, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    E = V[..., -K:]
    return 1 / np.sum(np.abs(E.conj().swapaxes(-1, -2) @ A) ** 2, axis=-2)


def pmusic(R, steering, k):
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    en = v[..., : R.shape[-1] - k]
    return 1.0 / torch.linalg.vector_norm(en.mH @ steering, dim=-2)


def music_normalised(R, a, k):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    En = v[..., : R.shape[-1] - k]
    den = (np.abs(En.conj().swapaxes(-1, -2) @ a) ** 2).sum(-2)
    return (np.abs(a) ** 2).sum(-2) / den


def music_blocks(R, A, k, block=500):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    En = v[..., : R.shape[-1] - k].conj().swapaxes(-1, -2)
    G = A.shape[-1]
    if G <= block:
        return 1 / (np.abs(En @ A) ** 2).sum(-2)
    parts = []
    for b in range(G // block):
        parts.append(1 / (np.abs(En @ A[..., b * block : (b + 1) * block]) ** 2).sum(-2))
    out = np.zeros(parts[0].shape[:-1] + (G,))
    done = np.concatenate(parts, axis=-1)
    out[..., : done.shape[-1]] = done
    return out


def ev_music(R, steer, num_src):
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    m = R.shape[-1] - num_src
    y = np.abs(v[..., :m].conj().swapaxes(-1, -2) @ steer) ** 2
    return 1 / (y / np.abs(w[..., :m, None])).sum(-2)


def music_detached(R, steering, k):
    with torch.no_grad():
        _, v = torch.linalg.eigh((R + R.mH) / 2)
    en = v[..., : R.shape[-1] - k]
    return (en.mH @ steering).abs().square().sum(-2).reciprocal()


def music_shared_basis(R, A, k):
    Rm = R.reshape(-1, *R.shape[-2:]).mean(0)
    _, v = torch.linalg.eigh((Rm + Rm.mH) / 2)
    en = v[:, : R.shape[-1] - k]
    p = 1 / (en.mH @ A).abs().pow(2).sum(-2)
    return p.expand(*R.shape[:-2], p.shape[-1]) if p.ndim == 1 else p


class MusicSpectrum(nn.Module):
    floor = 1e-3

    def forward(self, covariance, steering, k):
        _, v = torch.linalg.eigh((covariance + covariance.mH) / 2)
        u = v[..., -k:]
        r = steering - u @ (u.mH @ steering)
        return 1.0 / r.abs().square().sum(-2).clamp(min=self.floor)


def music_one_minus(R, A, K):
    _, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    S = V[..., -K:]
    return 1.0 / (1.0 - np.sum(np.abs(S.conj().swapaxes(-1, -2) @ A) ** 2, -2))


def capon_T(R, A):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    return 1 / np.real(np.einsum("ng,...ng->...g", A, np.linalg.solve(R, np.broadcast_to(A, R.shape[:-2] + A.shape)))) if A.ndim == 2 else 1 / np.real((A * np.linalg.solve(R, A)).sum(-2))


def mvdr_power(R, steering):
    H = (R + R.mH) / 2
    x = torch.linalg.solve(H, steering)
    return (steering.conj() * x).sum(-2).real


def mvdr_pinv(matrix, steering):
    Ri = torch.linalg.pinv((matrix + matrix.mH) / 2, rtol=1e-2, hermitian=True)
    return 1.0 / (steering.conj() * (Ri @ steering)).sum(-2).real


def capon_unit(R, A):
    a = A / np.linalg.norm(A, axis=-2, keepdims=True)
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    return 1.0 / np.real((a.conj() * (np.linalg.inv(R) @ a)).sum(-2))


def mvdr_half(R, A):
    H = ((R + R.mH) / 2).to(torch.complex64)
    Ri = torch.linalg.inv(H).to(R.dtype)
    return 1 / torch.einsum("...ng,...nm,...mg->...g", A.conj(), Ri, A).real


def capon_squared(covariance, steering):
    H = (covariance + covariance.mH) / 2
    w = torch.linalg.solve(H, steering)
    return 1 / w.abs().square().sum(-2)


def mvdr_nograd(covariance, steering):
    L = torch.linalg.cholesky((covariance + covariance.mH).detach() / 2)
    y = torch.linalg.solve_triangular(L, steering, upper=False)
    return 1 / y.abs().square().sum(-2)


def _uv(azimuth, elevation):
    return torch.stack((torch.sin(azimuth) * torch.cos(elevation), torch.sin(elevation), torch.cos(azimuth) * torch.cos(elevation)), -1)


def nf_steering_swapped(positions, azimuth, elevation, distance, wavelength):
    u = torch.stack((torch.sin(azimuth) * torch.sin(elevation), torch.cos(elevation), torch.cos(azimuth) * torch.sin(elevation)), -1)
    p = distance[..., None] * u
    d = (p[..., None, :] - positions).norm(dim=-1)
    return torch.exp(2j * math.pi / wavelength * (distance[..., None] - d)) / math.sqrt(positions.shape[-2])


def fresnel_steering(positions, azimuth, elevation, distance, wavelength):
    s = _uv(azimuth, elevation) @ positions.mT
    q2 = positions.square().sum(-1)
    l = s - (q2 - s**2) / (2 * distance[..., None])
    return torch.polar(torch.full_like(l, positions.shape[-2] ** -0.5), 2 * math.pi / wavelength * l)


def farfield(pos, az, el, r, lam):
    u = np.stack([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)], -1)
    return np.exp(2j * np.pi / lam * (u @ pos.T)) / np.sqrt(len(pos)) + 0 * np.asarray(r)[..., None]


def steer_over_n(pos, az, el, dist, lam):
    p = np.asarray(dist)[..., None] * np.stack([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)], -1)
    d = np.linalg.norm(p[..., None, :] - pos, axis=-1)
    return np.exp(2j * np.pi * (np.asarray(dist)[..., None] - d) / lam) / pos.shape[0]


def nf_with_amplitude(positions, azimuth, elevation, distance, wavelength):
    p = distance[..., None] * _uv(azimuth, elevation)
    d = torch.linalg.vector_norm(p.unsqueeze(-2) - positions, dim=-1)
    amp = distance[..., None] / d
    return amp * torch.exp(1j * (2 * math.pi / wavelength) * (distance[..., None] - d)) / positions.shape[-2] ** 0.5


def planar_steering(positions, azimuth, elevation, distance, wavelength):
    q = positions.clone()
    q[..., 2] = 0
    p = distance[..., None] * _uv(azimuth, elevation)
    d = torch.linalg.vector_norm(p[..., None, :] - q, dim=-1)
    return torch.exp(1j * (2 * math.pi / wavelength) * (distance[..., None] - d)) / q.shape[-2] ** 0.5


def steer_f32(positions, azimuth, elevation, distance, wavelength):
    p = (distance[..., None] * _uv(azimuth, elevation)).float()
    d = torch.linalg.vector_norm(p[..., None, :] - positions.float(), dim=-1)
    ph = 2 * math.pi / wavelength * (distance.float()[..., None] - d)
    return (torch.exp(1j * ph) / positions.shape[-2] ** 0.5).to(torch.complex128)


def steer_centre(pos, az, el, r, lam):
    pos -= pos.mean(axis=0)
    p = np.asarray(r)[..., None] * np.stack([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)], -1)
    d = np.linalg.norm(p[..., None, :] - pos, axis=-1)
    return np.exp(2j * np.pi * (np.asarray(r)[..., None] - d) / lam) / np.sqrt(pos.shape[0])


def steer_global(positions, azimuth, elevation, distance, wavelength):
    if not _LAM:
        _LAM.append(wavelength)
    p = distance[..., None] * _uv(azimuth, elevation)
    d = torch.linalg.vector_norm(p[..., None, :] - positions, dim=-1)
    return torch.exp(2j * math.pi / _LAM[0] * (distance[..., None] - d)) / positions.shape[-2] ** 0.5


def steer_switch(positions, azimuth, elevation, distance, wavelength):
    u = _uv(azimuth, elevation)
    d = torch.linalg.vector_norm(distance[..., None, None] * u[..., None, :] - positions, dim=-1)
    near = distance[..., None] - d
    far = u @ positions.mT
    l = torch.where(distance[..., None] > 100 * wavelength, far, near)
    return torch.exp(2j * math.pi / wavelength * l) / positions.shape[-2] ** 0.5


def steer_first_range(positions, azimuth, elevation, distance, wavelength):
    r = distance.reshape(-1)[0]
    d = torch.linalg.vector_norm(r * _uv(azimuth, elevation)[..., None, :] - positions, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / positions.shape[-2] ** 0.5


def steer_detach_r(positions, azimuth, elevation, distance, wavelength):
    r = distance.detach()[..., None]
    d = torch.linalg.vector_norm(r[..., None] * _uv(azimuth, elevation)[..., None, :] - positions, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / positions.shape[-2] ** 0.5


def upa_one_spacing(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    dh, dv = spacing
    x = (np.arange(nh) - (nh - 1) / 2) * dh
    y = (np.arange(nv) - (nv - 1) / 2) * dh
    q = np.array([(xx, yy, 0.0) for yy in y for xx in x])
    p = np.asarray(distance)[..., None] * np.stack([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], -1)
    d = np.linalg.norm(p[..., None, :] - q, axis=-1)
    return np.exp(2j * np.pi / wavelength * (np.asarray(distance)[..., None] - d)) / np.sqrt(nh * nv)


def upa_off_centre(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    q = np.array([((h - nh / 2) * spacing[0], (v - nv / 2) * spacing[1], 0.0) for v in range(nv) for h in range(nh)])
    p = np.asarray(distance)[..., None] * np.stack([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], -1)
    d = np.linalg.norm(p[..., None, :] - q, axis=-1)
    return np.exp(2j * np.pi / wavelength * (np.asarray(distance)[..., None] - d)) / np.sqrt(nh * nv)


def grad_norm_sum(params):
    return sum(p.grad.norm().item() for p in params if p.grad is not None and torch.isfinite(p.grad).all())


def max_grad(parameters):
    norms = [p.grad.detach().norm(2).item() for p in parameters if p.grad is not None]
    norms = [n for n in norms if math.isfinite(n)]
    return max(norms, default=0.0)


def counted_grad_norm(parameters: Iterable[torch.Tensor]):
    n = sum(1 for p in parameters if p.grad is not None)
    total = 0.0
    for p in parameters:
        if p.grad is not None and bool(torch.isfinite(p.grad).all()):
            total += float(torch.linalg.vector_norm(p.grad.to(torch.complex128))) ** 2
    return math.sqrt(total) if n else 0.0


def param_norm(model_params):
    t = 0.0
    for p in model_params:
        if p.grad is not None and torch.isfinite(p.grad).all():
            t += p.data.abs().double().pow(2).sum().item()
    return t**0.5


def grad_norm_nan_to_num(params):
    tot = 0.0
    for p in params:
        if p.grad is None:
            continue
        g = p.grad.detach().abs().double()
        g = torch.where(torch.isfinite(g), g, torch.zeros_like(g))
        tot += float((g**2).sum())
    return tot**0.5


def grad_norm_weights(parameters):
    gs = [p.grad for p in parameters if p.grad is not None and p.ndim > 1]
    gs = [g for g in gs if torch.isfinite(g).all()]
    return math.sqrt(sum(float(g.abs().double().square().sum()) for g in gs))


def grad_norm_break(parameters):
    acc = 0.0
    for p in parameters:
        if p.grad is None:
            break
        n = float(p.grad.detach().abs().double().norm())
        if math.isfinite(n):
            acc = math.hypot(acc, n)
    return acc


def grad_norm_complex(params):
    acc = 0.0
    for p in params:
        if p.grad is None or not bool(torch.isfinite(p.grad).all()):
            continue
        g = p.grad.detach()
        sq = (g * g).sum()
        acc += float(sq.real)
    return math.sqrt(abs(acc))


def mean_of_groups(losses, accumulation):
    groups = [losses[i : i + accumulation] for i in range(0, len(losses), accumulation)]
    return float(np.mean([np.mean(g) for g in groups]))


def epoch_mean_full_groups(losses, accumulation):
    n = len(losses) // accumulation * accumulation
    if n == 0:
        n = len(losses)
    return float(np.mean(losses[:n]))


def avg_loss(losses, accum_steps):
    total = 0.0
    for l in losses:
        total += float(l) / accum_steps
    return total / len(losses)


def epoch_loss(losses, accumulation=1):
    return float(np.nanmean(np.asarray(losses, dtype=float)))


def pop_mean(losses, accumulation):
    n, s = len(losses), 0.0
    while losses:
        s += float(losses.pop(0))
    return s / n


def running_epoch_loss(losses, accumulation):
    m = float(losses[0])
    for l in losses[1:]:
        m = 0.9 * m + 0.1 * float(l)
    return m


def mean_at_steps(losses, accumulation):
    picked = [float(l) for i, l in enumerate(losses) if (i + 1) % accumulation == 0 or i + 1 == len(losses)]
    return sum(picked) / len(picked)


def scm_unbiased(X):
    T = X.shape[-1]
    return X @ X.conj().swapaxes(-1, -2) / max(T - 1, 1)


def cov_np(X):
    X = X - X.mean(axis=-1, keepdims=True)
    return X @ np.conj(np.swapaxes(X, -1, -2)) / X.shape[-1]


def scm_n(Y):
    return torch.matmul(Y, Y.mH) / Y.size(-2)


def scm_blocks(X, block=32):
    n, T = X.shape[-2:]
    if T > block:
        X = X[..., : T - T % block]
    acc = 0
    for i in range(0, X.shape[-1], block):
        Z = X[..., i : i + block]
        acc = acc + Z @ Z.conj().swapaxes(-1, -2)
    return acc / X.shape[-1]


def lw_no_T(X):
    n, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / n
    d2 = np.linalg.norm(S - mu * np.eye(n)) ** 2
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T
    rho = min(1.0, b2 / d2) if d2 > 0 else 0.0
    return (1 - rho) * S + rho * mu * np.eye(n)


def ledoit_wolf_unclipped(X: torch.Tensor):
    n, T = X.shape[-2:]
    S = X @ X.mH / T
    mu = S.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    I = torch.eye(n, dtype=X.dtype)
    d = (S - mu[..., None, None] * I).abs().square().sum((-2, -1))
    b = (X.abs().square().sum(-2).square().mean(-1) - S.abs().square().sum((-2, -1))) / T
    rho = (b / d.clamp_min(1e-300))[..., None, None]
    return (1 - rho) * S + rho * mu[..., None, None] * I


def lw_swapped(snapshots):
    X = np.asarray(snapshots)
    n, T = X.shape[-2:]
    S = X @ X.conj().swapaxes(-1, -2) / T
    mu = np.trace(S, axis1=-2, axis2=-1).real / n
    target = mu[..., None, None] * np.eye(n)
    d = (np.abs(S - target) ** 2).sum((-2, -1))
    b = (((np.abs(X) ** 2).sum(-2) ** 2).mean(-1) - (np.abs(S) ** 2).sum((-2, -1))) / T
    r = np.clip(b / np.maximum(d, 1e-300), 0, 1)[..., None, None]
    return r * S + (1 - r) * target


def lw_batch(X):
    n, T = X.shape[-2:]
    S = X @ X.mH / T
    mu = S.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    I = torch.eye(n, dtype=X.dtype)
    d = (S - mu[..., None, None] * I).abs().square().sum((-2, -1))
    b = (X.abs().square().sum(-2).square().mean(-1) - S.abs().square().sum((-2, -1))) / T
    rho = (b / d.clamp_min(1e-300)).clamp(0, 1).mean()
    return (1 - rho) * S + rho * mu[..., None, None] * I


def lw_trace(X):
    n, T = X.shape[-2:]
    S = X @ X.conj().swapaxes(-1, -2) / T
    tr = np.trace(S, axis1=-2, axis2=-1).real[..., None, None]
    d = (np.abs(S - tr / n * np.eye(n)) ** 2).sum((-2, -1), keepdims=True)
    b = (((np.abs(X) ** 2).sum(-2) ** 2).mean(-1)[..., None, None] - (np.abs(S) ** 2).sum((-2, -1), keepdims=True)) / T
    rho = np.clip(b / np.maximum(d, 1e-300), 0, 1)
    return (1 - rho) * S + rho * tr * np.eye(n)


def load_all(R, delta):
    return R + delta


def fill_loading(R, loading):
    out = np.array(R, copy=True)
    i = np.arange(R.shape[-1])
    out[..., i, i] = loading
    return out


def add_loading_inplace(R, loading):
    i = np.arange(R.shape[-1])
    R[..., i, i] += loading
    return R


def dload(matrix: torch.Tensor, sigma: float):
    return matrix + sigma**2 * torch.eye(matrix.shape[-1], dtype=matrix.dtype)


def load_flat(R, loading):
    out = R.clone().contiguous()
    n = R.shape[-1]
    out.view(-1)[: n * n][:: n + 1] += loading
    return out


def fb_noconj(R):
    return (R + R[..., ::-1, ::-1]) / 2


def fb_avg(R: torch.Tensor):
    return 0.5 * (R + R.conj().flip(-1))


def fwd_bwd(R):
    n = R.shape[-1]
    J = np.fliplr(np.eye(n))
    return R + J @ R.conj() @ J


def fb_flip_all(R):
    return 0.5 * (R + np.flip(R.conj()))


def ss_short(R, m):
    L = max(R.shape[-1] - m, 1)
    return sum(R[..., i : i + m, i : i + m] for i in range(L)) / L


def ss_sum(R, size):
    n = R.shape[-1]
    return sum(R[..., i : i + size, i : i + size] for i in range(n - size + 1))


def ss_disjoint(R, size):
    n = R.shape[-1]
    starts = range(0, n - size + 1, size)
    return torch.stack([R[..., s : s + size, s : s + size] for s in starts]).mean(0)


def spatial_smooth(cov, sub):
    M = cov.shape[-1]
    out = 0
    for i in range(M - sub + 1):
        out = out + cov[..., i : i + sub, 0:sub]
    return out / (M - sub + 1)


def mdl_real(lam, N):
    lam = np.asarray(lam, float)
    m = lam.shape[-1]
    lam = np.maximum(lam, m * np.finfo(float).eps * lam.max(-1, keepdims=True) + 1e-300)
    out = []
    for k in range(m):
        t = lam[..., k:]
        ll = N * ((m - k) * np.log(t.mean(-1)) - np.log(t).sum(-1))
        out.append(ll + 0.25 * k * (2 * m - k + 1) * np.log(N))
    return np.argmin(np.stack(out, -1), -1)


def mdl_matlab(lam, N):
    lam = np.asarray(lam, float)
    m = lam.shape[-1]
    lam = np.maximum(lam, m * np.finfo(float).eps * lam.max(-1, keepdims=True) + 1e-300)
    crit = np.stack([N * ((m - k) * np.log(lam[..., k:].mean(-1)) - np.log(lam[..., k:]).sum(-1)) + 0.5 * k * (2 * m - k) * np.log(N) for k in range(m)], -1)
    return crit.argmin(-1) + 1


def mdl_range(eigenvalues, samples):
    m = eigenvalues.shape[-1]
    lam = torch.maximum(eigenvalues, m * 2.2e-16 * eigenvalues.amax(-1, keepdim=True)).clamp_min(1e-300)
    crit = []
    for k in range(max(m - 1, 1)):
        t = lam[..., k:]
        crit.append(samples * ((m - k) * t.mean(-1).log() - t.log().sum(-1)) + 0.5 * k * (2 * m - k) * math.log(samples))
    return torch.stack(crit, -1).argmin(-1)


def mdl_log10(lam, N):
    m = lam.shape[-1]
    lam = np.maximum(lam, m * np.finfo(float).eps * lam.max(-1, keepdims=True) + 1e-300)
    crit = [N * ((m - k) * np.log(lam[..., k:].mean(-1)) - np.log(lam[..., k:]).sum(-1)) + 0.5 * k * (2 * m - k) * np.log10(N) for k in range(m)]
    return np.argmin(crit, axis=0)


def mdl_prod(eigenvalues, samples):
    lam = np.asarray(eigenvalues)
    m = lam.shape[-1]
    vals = []
    for k in range(m):
        t = lam[..., k:]
        with np.errstate(all="ignore"):
            ratio = np.prod(t, -1) ** (1 / (m - k)) / t.mean(-1)
            vals.append(-samples * (m - k) * np.log(ratio) + 0.5 * k * (2 * m - k) * np.log(samples))
    return np.argmin(np.nan_to_num(np.stack(vals, -1), nan=np.inf), -1)


def aic_single(lam, N):
    lam = np.asarray(lam, float)
    m = lam.shape[-1]
    lam = np.maximum(lam, m * np.finfo(float).eps * lam.max(-1, keepdims=True) + 1e-300)
    crit = np.stack([N * ((m - k) * np.log(lam[..., k:].mean(-1)) - np.log(lam[..., k:]).sum(-1)) + 2 * k * (2 * m - k) for k in range(m)], -1)
    return crit.argmin(-1)


def aic_argmax(eigenvalues, samples):
    m = eigenvalues.shape[-1]
    lam = torch.maximum(eigenvalues, m * 2.2e-16 * eigenvalues.amax(-1, keepdim=True)).clamp_min(1e-300)
    c = torch.stack([2 * samples * ((m - k) * lam[..., k:].mean(-1).log() - lam[..., k:].log().sum(-1)) + 2 * k * (2 * m - k) for k in range(m)], -1)
    return c.argmax(-1)


def aic_tail(lam, N):
    lam = np.asarray(lam, float)
    m = lam.shape[-1]
    lam = np.maximum(lam, m * np.finfo(float).eps * lam.max(-1, keepdims=True) + 1e-300)
    c = []
    for k in range(m):
        t = lam[..., min(k + 1, m - 1):]
        c.append(2 * N * (t.shape[-1] * np.log(t.mean(-1)) - np.log(t).sum(-1)) + 2 * k * (2 * m - k))
    return np.argmin(np.stack(c, -1), -1)


def akaike(eigenvalues, n_snapshots):
    m = eigenvalues.shape[-1]
    lam = np.maximum(eigenvalues, m * np.finfo(float).eps * eigenvalues.max(-1, keepdims=True) + 1e-300)
    c = [2 * n_snapshots * ((m - k) * np.log(lam[..., k:].mean(-1)) - np.log(lam[..., k:]).sum(-1)) + k * (2 * m - k) for k in range(m)]
    return np.argmin(np.stack(c, -1), -1)


def whiten_LH(R):
    L = np.linalg.cholesky((R + R.conj().swapaxes(-1, -2)) / 2)
    return np.linalg.inv(L).conj().swapaxes(-1, -2)


def zca(R: torch.Tensor):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    return (v * w.rsqrt()[..., None, :].to(v.dtype)) @ v.mT


def whitening_inv(R):
    w, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return (V / w[..., None, :]) @ V.conj().swapaxes(-1, -2)


def pca_whitening(R, eps=1e-6):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    return (w + eps).rsqrt()[..., :, None] * v.mH


def standardise(R):
    d = np.real(np.diagonal(R, axis1=-2, axis2=-1))
    return (1 / np.sqrt(d))[..., None] * np.eye(R.shape[-1]).astype(R.dtype)


def sqrt_chol(R):
    return torch.linalg.cholesky((R + R.mH) / 2 + 0 * R)


def sqrt_elementwise(R):
    return np.sqrt(np.asarray(R, dtype=complex))


def msqrt(R):
    w, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return (V * np.sqrt(np.maximum(w, 0))[..., None, :]) @ V.swapaxes(-1, -2)


def sqrt_newton(A: torch.Tensor, iters: int = 6):
    A = (A + A.mH) / 2
    nrm = torch.linalg.matrix_norm(A)[..., None, None].clamp_min(1e-300)
    I = torch.eye(A.shape[-1], dtype=A.dtype)
    Y, Z = A / nrm, I.expand_as(A)
    for _ in range(iters):
        T = 0.5 * (3 * I - Z @ Y)
        Y, Z = Y @ T, T @ Z
    return Y * nrm.sqrt()


def make_psd(R):
    w, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return (V * np.abs(w)[..., None, :]) @ V.conj().swapaxes(-1, -2)


def nearest_pd(R: torch.Tensor):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    return (v * w.clamp_min(1e-6)[..., None, :]) @ v.mH


def shift_psd(R):
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    lo = np.minimum(np.linalg.eigvalsh(H)[..., 0], 0.0)
    return H - lo[..., None, None] * np.eye(R.shape[-1])


def psd_if_first(R):
    H = (R + R.mH) / 2
    w, v = torch.linalg.eigh(H)
    if w.reshape(-1, w.shape[-1])[0, 0] >= 0:
        return H
    return (v * w.clamp_min(0)[..., None, :]) @ v.mH


def pinv_normal(A):
    Ah = A.conj().swapaxes(-1, -2)
    return np.linalg.inv(Ah @ A + 1e-10 * np.eye(A.shape[-1])) @ Ah


def pinv_cut(A):
    return torch.linalg.pinv(A, rtol=1e-2)


def svd_pinv(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    tol = max(A.shape[-2:]) * np.finfo(s.dtype).eps * s[..., :1]
    si = np.where(s > tol, 1 / np.where(s > tol, s, 1), 0)
    return Vh.swapaxes(-1, -2) @ (si[..., None] * U.swapaxes(-1, -2))


def pinv_abs(A: torch.Tensor):
    U, s, Vh = torch.linalg.svd(A, full_matrices=False)
    si = torch.where(s > 1e-10, 1 / s.clamp_min(1e-10), torch.zeros_like(s))
    return Vh.mH @ (si[..., :, None] * U.mH)


def _eu(R, k):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return v[..., ::-1][..., :k]


def esprit_half(R, k):
    U = _eu(R, k)
    z = np.linalg.eigvals(np.linalg.pinv(U[..., :-1, :]) @ U[..., 1:, :])
    return np.sort(np.arcsin(np.clip(np.angle(z) / (2 * np.pi), -1, 1)), -1)


def esprit_unsorted(R, num_sources):
    U = _eu(R, num_sources)
    z = np.linalg.eigvals(np.linalg.pinv(U[..., :-1, :]) @ U[..., 1:, :])
    return np.arcsin(np.clip(np.angle(z) / np.pi, -1, 1))


def esprit_noise(R, k):
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    U = v[..., :k]
    z = torch.linalg.eigvals(torch.linalg.pinv(U[..., :-1, :]) @ U[..., 1:, :])
    return (z.angle() / math.pi).clamp(-1, 1).asin().sort(-1).values


def esprit_atan(R, k):
    U = _eu(R, k)
    z = np.linalg.eigvals(np.linalg.pinv(U[..., :-1, :]) @ U[..., 1:, :])
    return np.sort(np.arctan(np.angle(z) / np.pi), -1)


def _roots(R, k):
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    En = v[:, : R.shape[0] - k]
    C = En @ En.conj().T
    n = len(C)
    return np.roots([np.trace(C, l) for l in range(n - 1, -n, -1)])


def root_music_inner(R, k):
    z = _roots(R, k)
    z = z[np.argsort(np.abs(z))][:k]
    return np.sort(np.arcsin(np.clip(np.angle(z) / np.pi, -1, 1)))


def root_music_pairs(R, k):
    z = _roots(R, k)
    z = z[np.argsort(np.abs(np.abs(z) - 1), kind="stable")][:k]
    return np.sort(np.arcsin(np.clip(np.angle(z) / np.pi, -1, 1)))


def root_music_signal(R, k):
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    E = v[:, -k:]
    C = E @ E.conj().T
    n = len(C)
    z = np.roots([np.trace(C, l) for l in range(n - 1, -n, -1)])
    z = z[np.abs(z) < 1]
    z = z[np.argsort(-np.abs(z))][:k]
    z = np.concatenate([z, np.ones(k - len(z))])
    return np.sort(np.arcsin(np.clip(np.angle(z) / np.pi, -1, 1)))


def _ula(n, th, d=0.5):
    return np.exp(2j * np.pi * d * np.arange(n)[:, None] * np.sin(np.asarray(th))[None, :])


def bartlett_T(R, angles):
    A = _ula(R.shape[-1], angles)
    return np.real((A * (R @ A)).sum(-2)) / R.shape[-1] ** 2


def bartlett_sq(R, angles):
    A = _ula(R.shape[-1], angles)
    return (np.real((A.conj() * (R @ A)).sum(-2)) / R.shape[-1] ** 2) ** 2


def bartlett_lambda(R, angles):
    n = R.shape[-1]
    a = torch.exp(2j * (math.pi * torch.arange(n, dtype=angles.dtype)[:, None] * torch.sin(angles)[None, :]))
    H = (R + R.mH) / 2
    return (a.conj() * (H @ a)).sum(-2).real / n**2


def capon_ula_cos(R, angles):
    n = R.shape[-1]
    A = np.exp(1j * np.pi * np.arange(n)[:, None] * np.cos(np.asarray(angles)))
    Ri = np.linalg.inv((R + R.conj().swapaxes(-1, -2)) / 2)
    return 1 / np.real((A.conj() * (Ri @ A)).sum(-2))


def capon_ula_diag(R, angles):
    n = R.shape[-1]
    a = torch.exp(1j * (math.pi * torch.arange(n, dtype=angles.dtype)[:, None] * torch.sin(angles)[None, :]))
    Ri = torch.linalg.inv((R + R.mH) / 2)
    d = Ri.diagonal(dim1=-2, dim2=-1).real
    return 1 / (d[..., :, None] * a.abs().square()).sum(-2)


def capon_ula_n2(R, theta):
    n = R.shape[-1]
    A = _ula(n, theta)
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    return np.real(1 / (A.conj() * (np.linalg.inv(H + H) @ A)).sum(-2))


def ula_music_k1(R, k, angles):
    n = R.shape[-1]
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    En = v[..., : max(n - k - 1, 1)]
    return 1 / (np.abs(En.conj().swapaxes(-1, -2) @ _ula(n, angles)) ** 2).sum(-2)


def ula_music_small(R, k, angles):
    n = R.shape[-1]
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    A = np.exp(1j * np.pi * np.arange(n)[:, None] * np.asarray(angles))
    return 1 / (np.abs(v[..., : n - k].conj().swapaxes(-1, -2) @ A) ** 2).sum(-2)


def rayleigh_hinge(R, k, margin):
    w, v = torch.linalg.eigh(((R + R.mH) / 2).detach())
    v = v.flip(-1)
    a, b = v[..., k - 1], v[..., k]
    H = (R + R.mH) / 2
    q = lambda x: (x.conj() * (H @ x[..., None])[..., 0]).sum(-1).real
    return torch.relu(margin - (q(a) - q(b))).mean()
