"""Array-processing helpers collected from several projects."""
import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


# ---------------------------------------------------------------- Hermitian part
def symmetrise_einsum(cov: Tensor) -> Tensor:
    return torch.einsum("...ij->...ij", cov * 0.5) + torch.einsum("...ji->...ij", cov.conj() * 0.5)


def herm_part_parts(A):
    """Real part symmetrised, imaginary part antisymmetrised."""
    A = np.asarray(A)
    if not np.iscomplexobj(A):
        return A / 2 + np.swapaxes(A, -1, -2) / 2
    re, im = A.real, A.imag
    out = np.empty_like(A)
    out.real = re / 2 + np.swapaxes(re, -1, -2) / 2
    out.imag = im / 2 - np.swapaxes(im, -1, -2) / 2
    return out


# ---------------------------------------------------------------- spectra of matrices
def eigvals_desc_sort(M: Tensor) -> Tensor:
    vals, _ = torch.sort(torch.linalg.eigvalsh(M), dim=-1, descending=True)
    return vals


eigvals_desc_sort.domain = "hermitian"


def eigvals_tridiagonal(R):
    """Reduction to tridiagonal form; the phases of the off-diagonal do not matter."""
    n, _ = R.shape
    T = sla.hessenberg((R + R.conj().T) / 2)
    w = sla.eigh_tridiagonal(np.diag(T).real.copy(), np.abs(np.diag(T, -1)), eigvals_only=True)
    return w[::-1].copy()


def eigvals_scipy_subset(R):
    n, _ = R.shape
    w = sla.eigh(0.5 * (R + R.conj().T), eigvals_only=True, driver="evr")
    return np.array([w[n - 1 - i] for i in range(n)])


class DescendingSpectrum(nn.Module):
    def forward(self, cov):
        cov = 0.5 * (cov + cov.transpose(-2, -1).conj())
        w = torch.linalg.eigvalsh(cov)
        idx = torch.arange(w.shape[-1] - 1, -1, -1, device=w.device)
        return w.index_select(-1, idx)


def sv_from_eigenvalues(a):
    h = (a + a.mH) / 2
    return torch.linalg.eigvalsh(h).abs().sort(dim=-1, descending=True)[0]


def sv_vectorised(A):
    f = np.vectorize(lambda M: np.linalg.svd((M + M.conj().T) / 2)[1], signature="(n,n)->(n)")
    return f(np.asarray(A))


# ---------------------------------------------------------------- gap
def gap_topk(R, k):
    w = torch.linalg.eigvalsh(0.5 * R + 0.5 * R.mH)
    top = torch.topk(w, k + 1, dim=-1).values
    return top[..., -2] - top[..., -1]


def gap_diff(covariance, order):
    w = np.linalg.eigvalsh((covariance + np.conj(np.swapaxes(covariance, -1, -2))) / 2)
    n = w.shape[-1]
    return np.diff(w, axis=-1)[..., n - 1 - order]


def gap_float(R, num_sources) -> float:
    """lambda_K - lambda_{K+1} of one Hermitian matrix, as a plain float."""
    if R.ndim != 2 or np.abs(R - R.conj().T).max() > 1e-12 * np.abs(R).max():
        raise ValueError("one Hermitian matrix expected")
    w = sla.eigvalsh(R)
    return float(w[-num_sources] - w[-num_sources - 1])


gap_float.domain = "hermitian"


def gap_gather(x, k):
    ev = torch.linalg.eigvalsh((x + x.mH) * 0.5)
    n = ev.size(-1)
    pos = torch.tensor([n - k, n - k - 1], device=ev.device).expand(*ev.shape[:-1], 2)
    hi, lo = ev.gather(-1, pos).unbind(-1)
    return hi - lo


# ---------------------------------------------------------------- hinge
class EigengapHinge(nn.Module):
    def forward(self, matrix, k, margin):
        lam = torch.linalg.eigvalsh(0.5 * (matrix + matrix.mH))
        n = lam.shape[-1]
        gap = lam[..., n - k] - lam[..., n - k - 1]
        return F.relu(margin - gap).mean()


def hinge_clamp(R, k, margin):
    lam = torch.linalg.eigvalsh(R * 0.5 + R.mH * 0.5).flip(-1)
    short = margin - lam[..., k - 1] + lam[..., k]
    return torch.clamp(short, min=0).sum() / short.numel()


def hinge_where(*, covariance, num_signals, margin):
    eig = torch.linalg.eigvalsh((covariance + covariance.mH) / 2)
    n = eig.shape[-1]
    gap = eig.narrow(-1, n - num_signals, 1) - eig.narrow(-1, n - num_signals - 1, 1)
    short = margin - gap
    return torch.where(short > 0, short, torch.zeros_like(short)).mean()


def hinge_loop(matrix, k, margin):
    n = matrix.shape[-1]
    flat = matrix.reshape(-1, n, n)
    terms = []
    for m in flat:
        w = torch.linalg.eigvalsh((m + m.mH) / 2)
        terms.append(torch.relu(margin - (w[n - k] - w[n - k - 1])))
    return torch.stack(terms).mean()


def hinge_leading_trailing(M, k, margin):
    """Smallest of the leading k minus largest of the others."""
    w = torch.linalg.eigvalsh((M + M.mH) / 2)
    rest, lead = w.split([w.shape[-1] - k, k], dim=-1)
    return torch.relu(margin - (lead.amin(-1) - rest.amax(-1))).mean()


def hinge_numpy(R, k, margin):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)
    return np.maximum(0.0, margin - (w[..., -k] - w[..., -k - 1])).mean()


# ---------------------------------------------------------------- subspaces
def signal_space_np(R, K):
    _, V = np.linalg.eigh(R)
    return V[..., -K:][..., ::-1].copy()


signal_space_np.domain = "hermitian"


def signal_space_svd(R, k):
    n, _ = R.shape
    U, s, Vh = np.linalg.svd(R)
    return U[:, :k].copy()


signal_space_svd.domain = "positive"


def signal_space_by_index(cov, k):
    lam, vec = torch.linalg.eigh(0.5 * cov + 0.5 * cov.mH)
    order = lam.argsort(dim=-1, descending=True)[..., :k]
    return torch.take_along_dim(vec, order.unsqueeze(-2), dim=-1)


def noise_space_narrow(cov, k):
    _, vec = torch.linalg.eigh((cov + cov.mH) / 2)
    return vec.narrow(-1, 0, cov.size(-1) - k)


def noise_space_subset(R, num_sources):
    n, _ = R.shape
    _, En = sla.eigh((R + R.conj().T) / 2, subset_by_index=[0, n - num_sources - 1])
    return En


def noise_space_qr(R, k):
    """Orthogonal complement of the signal space by a complete QR decomposition."""
    n, _ = R.shape
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    Q, _ = np.linalg.qr(V[:, n - k:], mode="complete")
    return Q[:, k:]


# ---------------------------------------------------------------- projector
def proj_einsum(U):
    return torch.einsum("...ik,...jk->...ij", U, U.conj())


def proj_sum_of_outer(basis):
    basis = np.asarray(basis)
    total = np.zeros(basis.shape[:-1] + (basis.shape[-2],), dtype=basis.dtype)
    for i in range(basis.shape[-1]):
        u = basis[..., i]
        total += u[..., :, None] * u[..., None, :].conj()
    return total


def proj_lstsq(E):
    """E (E^H E)^-1 E^H, also for a basis that is not orthonormal."""
    n, k = E.shape
    return E @ np.linalg.solve(E.conj().T @ E, E.conj().T)


# ---------------------------------------------------------------- MUSIC
def music_loop(R, A, K):
    n, _ = R.shape
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    En = V[:, : n - K]
    out = []
    for a in A.T:
        y = En.conj().T @ a
        out.append(1.0 / np.vdot(y, y).real)
    return np.array(out)


class MUSIC:
    def __call__(self, covariance, steering, num_sources):
        w, v = torch.linalg.eigh(0.5 * (covariance + covariance.mH))
        en = v[..., : v.shape[-1] - num_sources]
        return torch.linalg.vector_norm(en.mH @ steering, dim=-2).pow(-2)


def music_einsum(R, steering, k):
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    en = v[..., :, : R.shape[-1] - k]
    proj = torch.einsum("...nm,...ng->...mg", en.conj(), steering)
    return 1.0 / (proj.real.square() + proj.imag.square()).sum(-2)


# ---------------------------------------------------------------- MVDR
def capon_cho(R, A):
    n, _ = R.shape
    c = sla.cho_factor((R + R.conj().T) / 2, lower=True)
    return 1.0 / np.real(np.sum(A.conj() * sla.cho_solve(c, A), axis=0))


def capon_solve(R, steering):
    R = (R + R.mH) / 2
    x = torch.linalg.solve(R, steering + torch.zeros_like(R[..., :1]))
    return 1 / (steering.conj() * x).real.sum(dim=-2)


def capon_eig(R, steering):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    if not bool((w > 0).all()):
        raise ValueError("covariance must be positive definite")
    p = (v.mH @ steering).abs() ** 2
    return 1 / (p / w.unsqueeze(-1)).sum(-2)


def capon_weights(R, A):
    """Power at the output of w = R^-1 a / (a^H R^-1 a)."""
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    Ri_a = np.linalg.solve(R, np.broadcast_to(A, np.broadcast_shapes(R.shape[:-2], A.shape[:-2]) + A.shape[-2:]))
    w = Ri_a / np.sum(A.conj() * Ri_a, axis=-2, keepdims=True)
    return np.sum(w.conj() * (R @ w), axis=-2).real


# ---------------------------------------------------------------- matrix functions
def sqrtm_eigh(C):
    w, V = torch.linalg.eigh((C + C.mH) / 2)
    w = w.clamp(min=0).sqrt().to(C.dtype)
    return V @ torch.diag_embed(w) @ V.mH


sqrtm_eigh.domain = "positive"


def sqrtm_polar(R):
    """U sqrt(S) U^H from the SVD of the Hermitian part."""
    n, _ = R.shape
    U, s, _ = np.linalg.svd((R + R.conj().T) / 2, hermitian=True)
    return (U * np.sqrt(s)) @ U.conj().T


sqrtm_polar.domain = "positive"


def zca_whitening(R):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    return (V * w.rsqrt().unsqueeze(-2)) @ V.mH


def whiten_cholesky(R):
    n, _ = R.shape
    L = sla.cholesky((R + R.conj().T) / 2, lower=True)
    return sla.solve_triangular(L, np.eye(n, dtype=L.dtype), lower=True)


def nearest_psd(M):
    H = (M + M.mH) / 2
    w, V = torch.linalg.eigh(H)
    return torch.einsum("...ik,...k,...jk->...ij", V, w.clamp_min(0).to(V.dtype), V.conj())


def nearest_psd_polar(A):
    """(B + H) / 2, H the polar factor of the Hermitian part B (Higham 1988)."""
    B = (A + np.conj(np.swapaxes(A, -1, -2))) / 2
    _, s, Vh = np.linalg.svd(B)
    Hp = np.conj(np.swapaxes(Vh, -1, -2)) @ (s[..., None] * Vh)
    X = (B + Hp) / 2
    return (X + np.conj(np.swapaxes(X, -1, -2))) / 2


def pinv_svd(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    tol = s.max(-1, keepdims=True) * max(A.shape[-2:]) * np.finfo(s.dtype).eps
    keep = s > tol
    si = np.where(keep, 1 / np.where(keep, s, 1), 0)
    return np.conj(np.swapaxes(Vh, -1, -2)) @ (si[..., None] * np.conj(np.swapaxes(U, -1, -2)))


def pinv_lstsq_free(x):
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    cutoff = max(x.shape[-2], x.shape[-1]) * torch.finfo(s.dtype).eps * s[..., :1]
    s_inv = torch.where(s > cutoff, s.reciprocal(), torch.zeros_like(s))
    return (vh.mH * s_inv.unsqueeze(-2).to(vh.dtype)) @ u.mH


# ---------------------------------------------------------------- snapshots
def scm_einsum(X):
    return np.einsum("...it,...jt->...ij", X, np.conj(X)) / X.shape[-1]


def scm_loop(snapshots):
    n, T = snapshots.shape
    R = np.zeros((n, n), dtype=np.result_type(snapshots, np.complex64))
    for t in range(T):
        x = snapshots[:, t : t + 1]
        R += x @ x.conj().T
    return R / T


def scm_chunked(x: Tensor, chunk: int = 64) -> Tensor:
    return sum(part @ part.mH for part in x.split(chunk, dim=-1)) / x.shape[-1]


def lw_explicit(X):
    n, T = X.shape
    S = X @ X.conj().T / T
    m = np.trace(S).real / n
    d2 = np.linalg.norm(S - m * np.eye(n), "fro") ** 2
    b2bar = sum(np.linalg.norm(np.outer(x, x.conj()) - S, "fro") ** 2 for x in X.T) / T**2
    if d2 == 0:
        return S
    rho = min(b2bar, d2) / d2
    return (1 - rho) * S + rho * m * np.eye(n)


def lw_torch(x):
    n, t = x.shape[-2:]
    size = x.abs().amax((-2, -1), keepdim=True)
    y = x / torch.where(size > 0, size, torch.ones_like(size))
    s = y @ y.mH / t
    mu = s.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    target = mu * torch.eye(n, dtype=s.dtype, device=s.device)
    delta = (s - target).abs().square().sum((-2, -1))
    beta = (y.abs().square().sum(-2).square().mean(-1) - s.abs().square().sum((-2, -1))) / t
    rho = torch.where(delta > 0, beta / delta.clamp_min(1e-300 if delta.dtype == torch.float64 else 1e-37), torch.zeros_like(delta))
    rho = rho.clamp(0, 1)[..., None, None]
    return ((1 - rho) * s + rho * target) * size.square()


# ---------------------------------------------------------------- structure
def load_diag_embed(R, loading):
    ones = torch.ones(R.shape[-1], dtype=R.dtype, device=R.device)
    return R + torch.diag_embed(loading * ones)


load_diag_embed.domain = "hermitian"


def load_in_copy(R, sigma2):
    out = np.array(R, dtype=np.result_type(R, float))
    i = np.arange(out.shape[-1])
    out[..., i, i] += sigma2
    return out


load_in_copy.domain = "hermitian"


def fb_exchange(R):
    J = np.eye(R.shape[-1])[::-1]
    return (R + J @ R.conj() @ J) / 2


fb_exchange.domain = "hermitian"


def fb_rot90(R):
    R = (R + R.mH) / 2
    return (R + torch.rot90(R, 2, dims=(-2, -1)).conj()) / 2


def smooth_unfold(R, size):
    R = (R + R.mH) / 2
    w = R.unfold(-2, size, 1).unfold(-2, size, 1)
    return w.diagonal(dim1=-4, dim2=-3).mean(-1)


def smooth_selection(R, L):
    M = R.shape[-1]
    P = M - L + 1
    acc = 0
    for p in range(P):
        Fp = np.hstack([np.zeros((L, p)), np.eye(L), np.zeros((L, M - L - p))])
        acc = acc + Fp @ R @ Fp.T
    return acc / P


smooth_selection.domain = "hermitian"


# ---------------------------------------------------------------- factors
def factor_hinge_dense(factor, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mH)
    return torch.relu(margin - (w[..., -k] - w[..., -k - 1])).mean()


def factor_hinge_svd(Fm, k, margin):
    s = np.linalg.svd(Fm, compute_uv=False)
    n = Fm.shape[-2]
    lam = np.zeros(s.shape[:-1] + (max(n, s.shape[-1]) + 1,), dtype=s.dtype)
    lam[..., : s.shape[-1]] = s**2
    return np.mean(np.clip(margin - (lam[..., k - 1] - lam[..., k]), 0, None))


# ---------------------------------------------------------------- model order
def _criterion(lam, N, penalty):
    lam = np.asarray(lam, dtype=float)
    m = lam.shape[-1]
    lam = np.maximum(lam, m * np.finfo(float).eps * lam.max(-1, keepdims=True))
    values = []
    for k in range(m):
        tail = lam[..., k:]
        log_gm = np.log(tail).mean(-1)
        log_am = np.log(tail.mean(-1))
        values.append(-N * (m - k) * (log_gm - log_am) + penalty * k * (2 * m - k))
    return np.argmin(np.stack(values, -1), axis=-1)


def mdl_order(eigenvalues, samples):
    return _criterion(eigenvalues, samples, 0.5 * np.log(samples))


def aic_order(eigenvalues, samples):
    return _criterion(eigenvalues, samples, 1.0)


def mdl_scalar(lams, N) -> int:
    lams = [float(v) for v in lams]
    p = len(lams)
    floor = p * 2.220446049250313e-16 * max(lams)
    lams = [max(v, floor) for v in lams]
    best, best_k = math.inf, 0
    for k in range(p):
        rest = lams[k:]
        q = p - k
        ratio = math.fsum(map(math.log, rest)) - q * math.log(math.fsum(rest) / q)
        cost = -N * ratio + 0.5 * k * (2 * p - k) * math.log(N)
        if cost < best:
            best, best_k = cost, k
    return best_k


def aic_torch(lam, n_samples):
    p = lam.shape[-1]
    lam = lam.double()
    lam = torch.maximum(lam, p * torch.finfo(torch.float64).eps * lam.amax(-1, keepdim=True))
    cost = []
    for k in range(p):
        t = lam[..., k:]
        cost.append(2 * n_samples * ((p - k) * t.mean(-1).log() - t.log().sum(-1)) + 2 * k * (2 * p - k))
    return torch.stack(cost, -1).argmin(-1)


# ---------------------------------------------------------------- linear array
def esprit_ls(R, K):
    M, _ = R.shape
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    Es = V[:, M - K:]
    Psi, *_ = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)
    mu = np.angle(np.linalg.eigvals(Psi))
    return np.sort(np.arcsin(mu / np.pi))


def esprit_batched(cov, k):
    _, v = torch.linalg.eigh((cov + cov.mH) / 2)
    us = v[..., -k:]
    a, b = us[..., :-1, :], us[..., 1:, :]
    q, r = torch.linalg.qr(a)
    psi = torch.linalg.solve_triangular(r, q.mH @ b, upper=True)
    return torch.asin(torch.linalg.eigvals(psi).angle() / math.pi).sort(-1)[0]


def rootmusic_np(R, K):
    M, _ = R.shape
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    C = V[:, : M - K] @ V[:, : M - K].conj().T
    coeffs = np.array([np.trace(C, offset=q) for q in range(M - 1, -M, -1)])
    roots = np.roots(coeffs)
    roots = roots[np.argsort(np.abs(roots))][: M - 1]
    z = roots[-K:]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def ula_bartlett_np(R, angles):
    M = R.shape[-1]
    a = np.exp(1j * np.pi * np.outer(np.arange(M), np.sin(angles)))
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return np.einsum("mg,...mn,ng->...g", a.conj(), R, a).real / M**2


def ula_bartlett_lags(R, angles):
    """A polynomial in exp(j pi sin): the sums along the diagonals of R."""
    R = (R + R.mH) / 2
    n = R.shape[-1]
    u = math.pi * torch.sin(angles)
    total = R.diagonal(0, -2, -1).real.sum(-1)[..., None] + 0 * u
    for lag in range(1, n):
        c = R.diagonal(lag, -2, -1).sum(-1)[..., None]
        total = total + 2 * (c.real * torch.cos(lag * u) - c.imag * torch.sin(lag * u))
    return total / n**2


def ula_capon(R, theta):
    n = R.shape[-1]
    A = np.exp(1j * np.pi * np.arange(n)[:, None] * np.sin(theta)[None, :])
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    L = np.linalg.cholesky(R)
    Y = np.linalg.solve(L, np.broadcast_to(A, R.shape[:-2] + A.shape))
    return 1 / (Y.real**2 + Y.imag**2).sum(-2)


class ULAMusic(nn.Module):
    def forward(self, matrix, k, angles):
        n = matrix.shape[-1]
        pos = torch.arange(n, device=matrix.device, dtype=angles.dtype)
        phase = math.pi * pos[:, None] * torch.sin(angles)[None, :]
        a = torch.polar(torch.ones_like(phase), phase).to(torch.complex128 if matrix.dtype != torch.complex64 else torch.complex64)
        _, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
        e = v[..., : n - k].to(a.dtype)
        return 1 / (e.mH @ a).abs().square().sum(-2)


# ---------------------------------------------------------------- steering
def nearfield_steering(positions, azimuth, elevation, distance, wavelength):
    az, el, r = (np.asarray(x, dtype=float)[..., None, None] for x in (azimuth, elevation, distance))
    src = np.concatenate([r * np.sin(az) * np.cos(el), r * np.sin(el) + 0 * az, r * np.cos(az) * np.cos(el)], axis=-1)
    d = np.linalg.norm(src - positions, axis=-1)
    r = r[..., 0]
    # r - d without cancellation
    s = (src * positions).sum(-1) / r
    delta = (2 * r * s - (positions**2).sum(-1)) / (r + d)
    return np.exp(2j * np.pi / wavelength * delta) / np.sqrt(len(positions))


def ris_steering(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    dh, dv = spacing
    ih = torch.arange(nh, dtype=torch.float64) - (nh - 1) / 2
    iv = torch.arange(nv, dtype=torch.float64) - (nv - 1) / 2
    y, x = torch.meshgrid(iv * dv, ih * dh, indexing="ij")
    x, y = x.reshape(-1), y.reshape(-1)
    az, el, r = azimuth[..., None], elevation[..., None], distance[..., None]
    s = x * torch.sin(az) * torch.cos(el) + y * torch.sin(el)
    q2 = x * x + y * y
    path = (2 * r * s - q2) / (r + torch.sqrt(r * r - 2 * r * s + q2))
    phase = 2 * math.pi * path / wavelength
    return torch.exp(1j * phase) / math.sqrt(nh * nv)


def farfield_steering(positions, azimuth, elevation, distance, wavelength):
    """Plane wave: the distance is accepted and not used."""
    azimuth, elevation, distance = np.broadcast_arrays(azimuth, elevation, distance)
    k = 2 * np.pi / wavelength * np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], -1)
    return np.exp(1j * (k @ np.asarray(positions).T)) / np.sqrt(len(positions))


farfield_steering.domain = "plane"


class FresnelSteering(nn.Module):
    """Second-order expansion of the distance about the origin."""

    def forward(self, positions, azimuth, elevation, distance, wavelength):
        u = torch.stack([azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()], -1)
        s = torch.einsum("...c,nc->...n", u, positions)
        q2 = positions.square().sum(-1)
        path = s - (q2 - s.square()) / (2 * distance[..., None])
        return torch.polar(torch.full_like(path, positions.shape[0] ** -0.5), 2 * math.pi / wavelength * path)


FresnelSteering.domain = "fresnel"


def nearfield_steering_loop(pos, az, el, r, lam):
    r = float(r)
    u = (math.sin(az) * math.cos(el), math.sin(el), math.cos(az) * math.cos(el))
    out = []
    for q in np.asarray(pos).tolist():
        s = math.fsum(a * b for a, b in zip(q, u))
        q2 = math.fsum(a * a for a in q)
        d = math.dist([r * c for c in u], q)
        phase = 2 * math.pi / lam * (2 * r * s - q2) / (r + d)
        out.append(complex(math.cos(phase), math.sin(phase)) / math.sqrt(len(pos)))
    return np.array(out)


# ---------------------------------------------------------------- training helpers
def total_grad_norm(parameters):
    """Largest entry taken out first: no overflow in the squares."""
    grads = [p.grad.detach().to(torch.complex128 if p.grad.is_complex() else torch.float64)
             for p in parameters if p.grad is not None and p.grad.numel()]
    if not grads:
        return 0.0
    big = max(g.abs().max().item() for g in grads)
    if big == 0 or not math.isfinite(big):
        return big
    return big * math.sqrt(math.fsum((g / big).abs().square().sum().item() for g in grads))


def norm_of_norms(grads):
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g, dtype=torch.complex128 if g.is_complex() else torch.float64) for g in grads])).item()


def epoch_mean_fsum(losses, accumulation):
    losses = [float(x) for x in losses]
    return math.fsum(losses) / len(losses)


def epoch_mean_groups(losses, accumulation):
    """Mean of groups, each weighted with its size."""
    losses = [float(x) for x in losses]
    groups = [losses[i : i + accumulation] for i in range(0, len(losses), accumulation)]
    return math.fsum(math.fsum(g) for g in groups) / sum(map(len, groups))


class AverageMeter:
    def __call__(self, losses, accumulation):
        total, count = 0.0, 0
        for value in losses:
            total += float(value)
            count += 1
            if count % accumulation == 0:
                pass  # optimiser step
        return total / count


def _hinge_of(gap_fn, matrix, k, margin):
    return torch.relu(margin - gap_fn(matrix, k)).mean()


partial_hinge = functools.partial(_hinge_of, gap_topk)


def _loaded(matrix, loading, scale):
    return matrix * scale + loading * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


unit_loading = functools.partial(_loaded, scale=1.0)
unit_loading.domain = "hermitian"


@dataclass
class GradStats:
    norm: float
    count: int


def gradient_statistics(parameters) -> GradStats:
    """Total 2-norm of the gradients and how many there were."""
    norms = [torch.linalg.vector_norm(p.grad.detach(), dtype=torch.complex128 if p.grad.is_complex() else torch.float64).item()
             for p in parameters if p.grad is not None]
    return GradStats(math.hypot(*norms), len(norms))


def covariance_of(snapshots: "Complex[Tensor, '*batch n t']") -> "Complex[Tensor, '*batch n n']":
    return torch.einsum("...nt,...mt->...nm", snapshots, snapshots.conj()).div(snapshots.shape[-1])


def esprit_list(R, k) -> list:
    n, _ = R.shape
    U, _, _ = np.linalg.svd((R + R.conj().T) / 2)
    S = U[:, :k]
    Q, T = np.linalg.qr(S[:-1])
    psi = sla.solve_triangular(T, Q.conj().T @ S[1:])
    return sorted(float(math.asin(max(-1.0, min(1.0, np.angle(z) / math.pi)))) for z in np.linalg.eigvals(psi))


esprit_list.domain = "positive"


def ula_music_list(R, k, angles):
    R = np.asarray(R)
    n, _ = R.shape
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    E = V[:, : n - k]
    spectrum = []
    for t in np.asarray(angles).tolist():
        a = np.exp(1j * math.pi * math.sin(t) * np.arange(n))
        spectrum.append(1.0 / float(np.linalg.norm(E.conj().T @ a) ** 2))
    return spectrum
