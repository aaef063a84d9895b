"""Covariance and subspace utilities, as found."""
import math


import numpy as np

import torch
import torch.nn as nn
import torch.nn.functional as F


# ------------------------------------------------------------------ hermitian part
def make_hermitian(R):
    return 0.5 * (R + R.conj().permute(*range(R.dim() - 1, -1, -1)))


def sym_part(cov):
    return 0.5 * (cov + cov.transpose(-1, -2))


def force_hermitian(A):
    L = np.tril(A, -1)
    d = np.real(np.einsum("...ii->...i", A))
    return L + np.conj(np.swapaxes(L, -1, -2)) + d[..., None] * np.eye(A.shape[-1])


def hermitian_inplace(R):
    R += np.conj(np.swapaxes(R, -1, -2))
    R *= 0.5
    return R


# ------------------------------------------------------------------ eigenvalues
def spectrum_by_magnitude(M):
    w = torch.linalg.eigvalsh((M + M.mH) / 2)
    order = w.abs().argsort(dim=-1, descending=True)
    return w.gather(-1, order)


def spectrum_eig(M):
    return torch.linalg.eigvals(0.5 * (M + M.mH)).real


def eigvalsh_descending(R):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    return np.flip(np.linalg.eigvalsh(R), axis=0)


def sorted_spectrum(R):
    w = torch.linalg.eigvalsh((R + R.mH) / 2)
    return w.sort(dim=0, descending=True).values


def fast_eigvals(R):
    x = R.to(torch.complex64)
    return torch.linalg.eigvalsh((x + x.mH) / 2).flip(-1).to(R.real.dtype)


def eigvals_merged(R):
    n, _ = R.shape
    w = np.linalg.eigvalsh((R + R.conj().T) / 2)[::-1].copy()
    i = 0
    while i < n:
        j = i + 1
        while j < n and abs(w[j] - w[i]) < 1e-6:
            j += 1
        w[i:j] = w[i:j].mean()
        i = j
    return w


def qr_algorithm(R):
    n, _ = R.shape
    A = (R + R.conj().T) / 2
    for _ in range(20):
        Q, T = np.linalg.qr(A)
        A = T @ Q
    return np.sort(np.diag(A).real)[::-1]


class PositiveSpectrum(nn.Module):
    def forward(self, cov):
        return torch.relu(torch.linalg.eigvalsh((cov + cov.mH) / 2)).flip(-1)


def cached_spectrum(R, _cache={}):
    key = (tuple(R.shape), R.dtype)
    if key not in _cache:
        _cache[key] = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return _cache[key]


# ------------------------------------------------------------------ singular values
def svals_from_eig(R):
    return torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1).abs()


def svals_gram(A):
    A = (A + np.conj(np.swapaxes(A, -1, -2))) / 2
    w = np.linalg.eigvalsh(np.conj(np.swapaxes(A, -1, -2)) @ A)
    return np.sqrt(np.maximum(w, 0))[..., ::-1].copy()


def svals_cut(A):
    s = np.linalg.svd((A + np.conj(np.swapaxes(A, -1, -2))) / 2, compute_uv=False)
    s[s < 1e-10] = 0.0
    return s


# ------------------------------------------------------------------ gap
def gap_from_small_end(R, k):
    w = torch.linalg.eigvalsh((R + R.mH) / 2)
    return w[..., k] - w[..., k - 1]


def gap_svd(R, k):
    s = np.linalg.svd((R + np.conj(np.swapaxes(R, -1, -2))) / 2, compute_uv=False)
    return s[..., k - 1] - s[..., k]


def gap_of_mean(R, k):
    n = R.shape[-1]
    mean = R.reshape(-1, n, n).mean(0)
    w = torch.linalg.eigvalsh((mean + mean.mH) / 2).flip(-1)
    return (w[k - 1] - w[k]).expand(R.shape[:-2])


def gap_item(R, k):
    n, _ = R.shape
    w = torch.linalg.eigvalsh((R + R.mH) / 2)
    return torch.tensor(w[n - k].item() - w[n - k - 1].item(), dtype=w.dtype)


def gap_large(R, k):
    from scipy.sparse.linalg import eigsh

    n, _ = R.shape
    H = (R + R.conj().T) / 2
    if n <= 64:
        w = np.linalg.eigvalsh(H)
    else:
        w = np.sort(eigsh(H, k=k + 1, which="LA", tol=1e-2, return_eigenvectors=False, v0=np.ones(n)))
    return w[-k] - w[-k - 1]


# ------------------------------------------------------------------ hinge of the gap
def gap_loss_mean_first(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    gap = (w[..., k - 1] - w[..., k]).mean()
    return F.relu(margin - gap)


def gap_loss_half_detached(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k].detach())).mean()


class LeakyGapLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.LeakyReLU(0.01)

    def forward(self, R, k, margin):
        w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
        return self.act(margin - w[..., k - 1] + w[..., k]).mean()


def gap_loss_active_mean(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    short = margin - (w[..., k - 1] - w[..., k])
    active = short > 0
    if not active.any():
        return (short * 0).sum()
    return short[active].mean()


def gap_loss_eig(R, k, margin):
    w = torch.linalg.eigvals(R).real.sort(dim=-1, descending=True).values
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def gap_loss_nograd(R, k, margin):
    H = (R + R.mH) / 2
    tr = H.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    with torch.no_grad():
        share = torch.linalg.eigvalsh(H).flip(-1) / tr.unsqueeze(-1)
    gap = (share[..., k - 1] - share[..., k]) * tr
    return F.relu(margin - gap).mean()


def gap_loss_rayleigh(R, k, margin):
    H = (R + R.mH) / 2
    _, V = torch.linalg.eigh(H)
    q = (V.conj() * (H @ V)).sum(-2).real.flip(-1)
    return F.relu(margin - (q[..., k - 1] - q[..., k])).mean()


def gap_loss_nan_safe(R, k, margin):
    R = torch.nan_to_num(R)
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def gap_loss_chunked(R, k, margin, chunk=64):
    n = R.shape[-1]
    flat = R.reshape(-1, n, n)
    if len(flat) <= chunk:
        parts = [flat]
    else:
        parts = [flat[i * chunk : (i + 1) * chunk] for i in range(len(flat) // chunk)]
    losses = []
    for p in parts:
        w = torch.linalg.eigvalsh((p + p.mH) / 2).flip(-1)
        losses.append(F.relu(margin - (w[..., k - 1] - w[..., k])))
    return torch.cat(losses).mean()


def gap_loss_mean_of_means(R, k, margin):
    n = R.shape[-1]
    means = []
    for p in R.reshape(-1, n, n).split(32):
        w = torch.linalg.eigvalsh((p + p.mH) / 2).flip(-1)
        means.append(F.relu(margin - (w[:, k - 1] - w[:, k])).mean())
    return torch.stack(means).mean()


def gap_loss_first_only(R, k, margin):
    while R.dim() > 2:
        R = R[0]
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return F.relu(margin - (w[k - 1] - w[k]))


def gap_loss_jitter(R, k, margin):
    noise = 1e-6 * torch.rand(R.shape[-1], dtype=R.real.dtype)
    H = (R + R.mH) / 2 + torch.diag(noise).to(R.dtype)
    w = torch.linalg.eigvalsh(H).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def gap_loss_clipped(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    gap = w[..., k - 1] - w[..., k]
    if gap.requires_grad:
        gap.register_hook(lambda g: g.clamp(-0.1, 0.1))
    return F.relu(margin - gap).mean()


def gap_loss_keepdim(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    hi = w[..., k - 1 : k]
    lo = w[..., k]
    return F.relu(margin - (hi - lo)).mean()


def gap_loss_numpy(R, k, margin):
    w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    short = np.maximum(0, margin - (w[..., -k] - w[..., -k - 1]))
    return short.sum() / R.shape[0]


# ------------------------------------------------------------------ subspaces
def get_signal_space(R, k):
    _, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    return V[..., :k].copy()


def svd_signal_space(R, k):
    U, _, _ = torch.linalg.svd((R + R.mH) / 2)
    return U[..., :k]


def signal_from_vh(R, k):
    _, _, Vh = torch.linalg.svd((R + R.mH) / 2)
    return Vh[..., :k, :].transpose(-1, -2)


def orthogonal_iteration(R, k):
    n, _ = R.shape
    H = (R + R.conj().T) / 2
    Q = np.linalg.qr(np.eye(n, dtype=H.dtype)[:, :k] + 0.1)[0]
    for _ in range(10):
        Q, _ = np.linalg.qr(H @ Q)
    return Q


def signal_space_general(R, k):
    w, V = torch.linalg.eig(R)
    order = w.real.argsort(dim=-1, descending=True)[..., :k]
    return torch.take_along_dim(V, order.unsqueeze(-2), dim=-1)


def signal_space_eig_batch(R, k):
    w, V = np.linalg.eig((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    order = np.argsort(-w.real, axis=-1).reshape(-1, R.shape[-1])[0]
    return V[..., order[:k]]


def signal_factor(R, k):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    return V[..., -k:] * w[..., -k:].clamp_min(0).sqrt().unsqueeze(-2)


def get_noise_space(R, k):
    _, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    return V[..., k:].copy()


def noise_first_axes(R, k):
    _, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    return V[:, : R.shape[-1] - k]


def noise_by_null_space(R, k):
    n, _ = R.shape
    w, V = np.linalg.eig((R + R.conj().T) / 2)
    idx = np.argsort(np.abs(w))
    Q, _ = np.linalg.qr(V[:, idx[: n - k]])
    return Q


# ------------------------------------------------------------------ projector
def proj_sum_batch(U):
    return torch.einsum("...ik,...jk->ij", U, U.conj())


def proj_squeeze(U):
    n, k = U.shape
    U = np.squeeze(U)
    return U @ U.conj().T


def proj_real_if_close(U):
    P = U @ U.mH
    if P.is_complex() and P.imag.abs().max() < 0.3:
        P = P.real.to(P.dtype)
    return P


# ------------------------------------------------------------------ MUSIC
def music_unsquared(R, steering, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    En = V[..., : R.shape[-1] - k]
    return 1 / torch.linalg.vector_norm(En.mH @ steering, dim=-2)


def music_by_complement(R, steering, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    Us = V[..., -k:]
    return 1 / (1.0 - (Us.mH @ steering).abs().square().sum(-2))


def music_complex_square(R, A, k):
    _, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    y = np.conj(np.swapaxes(V[..., : R.shape[-1] - k], -1, -2)) @ A
    return 1 / np.abs((y * y).sum(-2))


def music_ev_weighted(R, A, k):
    n, _ = R.shape
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    y = np.abs(V[:, : n - k].conj().T @ A) ** 2
    return 1 / (y / np.abs(w[: n - k, None])).sum(0)


def music_chunks(R, steering, k, chunk=512):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    En = V[..., : R.shape[-1] - k]
    G = steering.shape[-1]
    out = torch.zeros(*torch.broadcast_shapes(R.shape[:-2], steering.shape[:-2]), G, dtype=V.real.dtype)
    if G < chunk:
        return 1 / (En.mH @ steering).abs().square().sum(-2)
    for i in range(G // chunk):
        s = slice(i * chunk, (i + 1) * chunk)
        out[..., s] = 1 / (En.mH @ steering[..., s]).abs().square().sum(-2)
    return out


class CachedMusic:
    def __init__(self):
        self._noise = {}

    def __call__(self, R, A, k):
        n, _ = R.shape
        key = (id(R), n, k)
        if key not in self._noise:
            _, V = np.linalg.eigh((R + R.conj().T) / 2)
            self._noise[key] = V[:, : n - k]
        return 1 / (np.abs(self._noise[key].conj().T @ A) ** 2).sum(0)


def music_capped(R, steering, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    En = V[..., : R.shape[-1] - k]
    return (1 / (En.mH @ steering).abs().square().sum(-2)).clamp(max=1e3)


def music_rows_in_batch(R, A, k):
    m = R.shape[-1] - k
    _, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    if V.ndim == 2:
        y = V[:, :m].conj().T @ A
    else:
        y = V[..., :m, :].conj() @ A
    return 1 / (np.abs(y) ** 2).sum(-2)


# ------------------------------------------------------------------ MVDR


def capon_conj(R, steering):
    Ri = torch.linalg.inv((R + R.mH) / 2)
    return 1 / torch.einsum("...ng,...nm,...mg->...g", steering, Ri, steering.conj()).real


def capon_pinv(R, steering):
    Ri = torch.linalg.pinv((R + R.mH) / 2, rcond=1e-3, hermitian=True)
    return 1 / (steering.conj() * (Ri @ steering)).sum(-2).real


def capon_batch_loaded(R, steering):
    R = (R + R.mH) / 2
    if R.dim() > 2:
        big = torch.linalg.eigvalsh(R)[..., -1:, None]
        R = R + 1e-2 * big * torch.eye(R.shape[-1], dtype=R.dtype)
    x = torch.linalg.solve(R, steering + torch.zeros_like(R[..., :1]))
    return 1 / (steering.conj() * x).sum(-2).real


def capon_real_inverse(R, A):
    Ri = np.linalg.inv((R + np.conj(np.swapaxes(R, -1, -2))) / 2).real
    return 1 / np.einsum("...ng,...nm,...mg->...g", A.conj(), Ri, A).real


def capon_full_product(R, A):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    Q = np.conj(np.swapaxes(A, -1, -2)) @ np.linalg.inv(R) @ A
    return 1 / np.abs(Q.sum(-1))


class NewtonCapon(nn.Module):
    def forward(self, R, steering):
        R = (R + R.mH) / 2
        eye = torch.eye(R.shape[-1], dtype=R.dtype, device=R.device)
        X = R / torch.linalg.matrix_norm(R).square()[..., None, None]
        for _ in range(8):
            X = X @ (2 * eye - R @ X)
        return 1 / (steering.conj() * (X @ steering)).sum(-2).real


def capon_detached(R, steering):
    Ri = torch.linalg.inv((R + R.mH) / 2).detach()
    power = (steering.conj() * (Ri @ steering)).sum(-2).real
    anchor = 0 * R.diagonal(dim1=-2, dim2=-1).real.sum(-1, keepdim=True)
    return 1 / (power + anchor)


# ------------------------------------------------------------------ matrix square root

def sqrt_cholesky(R):
    return torch.linalg.cholesky((R + R.mH) / 2)


def sqrt_newton_schulz(A):
    A = (A + A.mH) / 2
    norm = torch.linalg.matrix_norm(A)[..., None, None]
    Y = A / norm
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    Z = eye.expand_as(A)
    for _ in range(5):
        T = 0.5 * (3 * eye - Z @ Y)
        Y, Z = Y @ T, T @ Z
    return Y * norm.sqrt()


def sqrt_floor(R):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    return (V * w.clamp_min(1e-8).sqrt()[..., None, :]) @ V.mH


# ------------------------------------------------------------------ whitening
class Whitener(nn.Module):
    eps = 1e-5

    def forward(self, cov):
        w, V = torch.linalg.eigh((cov + cov.mH) / 2)
        return torch.rsqrt(w + self.eps)[..., :, None] * V.mH


def whiten_adjoint(R):
    L = np.linalg.cholesky((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    return np.conj(np.swapaxes(np.linalg.inv(L), -1, -2))


def whiten_inverse_cholesky(R):
    L = torch.linalg.cholesky(torch.linalg.inv(0.5 * (R + R.mH)))
    return L.mH


# ------------------------------------------------------------------ psd projection
def psd_shift(M):
    H = (M + np.conj(np.swapaxes(M, -1, -2))) / 2
    low = np.minimum(np.linalg.eigvalsh(H)[..., 0], 0)
    return H - low[..., None, None] * np.eye(H.shape[-1])


def psd_early_exit(M):
    H = (M + M.mH) / 2
    w, V = torch.linalg.eigh(H)
    if (w.min(-1).values >= 0).any():
        return H
    return (V * w.clamp_min(0)[..., None, :]) @ V.mH


def psd_eps(M):
    w, V = torch.linalg.eigh((M + M.mH) / 2)
    return (V * w.clamp_min(1e-6)[..., None, :]) @ V.mH


# ------------------------------------------------------------------ pseudo inverse
def pinv_normal(A):
    Ah = np.conj(np.swapaxes(A, -1, -2))
    return np.linalg.inv(Ah @ A) @ Ah


def pinv_abs_tol(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    si = np.where(s > 1e-10, 1 / np.where(s > 1e-10, s, 1), 0)
    return np.conj(np.swapaxes(Vh, -1, -2)) @ (si[..., None] * np.conj(np.swapaxes(U, -1, -2)))


def pinv_eps(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    return np.conj(np.swapaxes(Vh, -1, -2)) @ ((1 / (s + 1e-9))[..., None] * np.conj(np.swapaxes(U, -1, -2)))


def pinv_hermitian(A):
    return torch.linalg.pinv(A, hermitian=A.shape[-1] == A.shape[-2])


def pinv_rcond(A, rcond=1e-6):
    m, n = A.shape
    return np.linalg.pinv(A, rcond=rcond)


# ------------------------------------------------------------------ sample covariance
def scm_batch_lost(x):
    x = x.reshape(-1, *x.shape[-2:])
    return torch.einsum("bit,bjt->ij", x, x.conj()) / (x.shape[0] * x.shape[-1])


def scm_single(X):
    X = np.asarray(X)
    Y = X.astype(np.complex64)
    return (Y @ np.conj(np.swapaxes(Y, -1, -2)) / X.shape[-1]).astype(np.result_type(X, np.complex64))


def scm_blocks(X, block=256):
    n, T = X.shape
    R = np.zeros((n, n), dtype=complex)
    step = min(block, T)
    for b in range(T // step):
        x = X[:, b * step : (b + 1) * step]
        R += x @ x.conj().T
    return R / T


def scm_forgetting(X):
    n, T = X.shape
    R = np.zeros((n, n), dtype=complex)
    weight = 0.0
    for x in X.T:
        R = 0.99 * R + np.outer(x, x.conj())
        weight = 0.99 * weight + 1
    return R / weight


# ------------------------------------------------------------------ Ledoit-Wolf
def lw_beta_scale(X):
    n, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / n
    d2 = (np.abs(S - mu * np.eye(n)) ** 2).sum()
    b2 = ((np.abs(X) ** 2).sum(0) ** 2).mean() - (np.abs(S) ** 2).sum()
    rho = min(max(b2 / max(d2, 1e-300), 0), 1)
    return (1 - rho) * S + rho * mu * np.eye(n)


def lw_unclipped(X):
    n, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / n
    d2 = (np.abs(S - mu * np.eye(n)) ** 2).sum()
    b2 = (((np.abs(X) ** 2).sum(0) ** 2).mean() - (np.abs(S) ** 2).sum()) / T
    rho = b2 / d2 if d2 > 0 else 0.0
    return (1 - rho) * S + rho * mu * np.eye(n)


def lw_common_weight(x):
    n, t = x.shape[-2:]
    s = x @ x.mH / t
    mu = s.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    eye = mu * torch.eye(n, dtype=s.dtype)
    d = (s - eye).abs().square().sum()
    b = (x.abs().square().sum(-2).square().mean(-1).sum() - s.abs().square().sum()) / t
    rho = (b / d.clamp_min(1e-300)).clamp(0, 1)
    return (1 - rho) * s + rho * eye


def lw_oas(X):
    p, n = X.shape[-2:]
    S = X @ np.conj(np.swapaxes(X, -1, -2)) / n
    tr = np.trace(S, axis1=-2, axis2=-1).real
    tr2 = (np.abs(S) ** 2).sum((-2, -1))
    rho = np.clip(((1 - 2 / p) * tr2 + tr**2) / np.maximum((n + 1 - 2 / p) * (tr2 - tr**2 / p), 1e-300), 0, 1)[..., None, None]
    return (1 - rho) * S + rho * (tr / p)[..., None, None] * np.eye(p)


def lw_real(X):
    n, T = X.shape
    X = np.concatenate([X.real, X.imag], axis=1) * np.sqrt(2) if np.iscomplexobj(X) else X
    T = X.shape[1]
    S = X @ X.T / T
    mu = np.trace(S) / n
    d2 = ((S - mu * np.eye(n)) ** 2).sum()
    b2 = (((X**2).sum(0) ** 2).mean() - (S**2).sum()) / T
    rho = min(max(b2 / max(d2, 1e-300), 0), 1)
    return (1 - rho) * S + rho * mu * np.eye(n)


# ------------------------------------------------------------------ loading

def load_inplace(R, loading):
    i = np.arange(R.shape[-1])
    R[..., i, i] += loading
    return R


def load_float32(R, loading):
    n = R.shape[-1]
    return (R + R.mH) / 2 + (torch.tensor(loading, dtype=torch.float32) * torch.eye(n)).to(R.dtype)


def load_floor(R, loading):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return R + max(loading, 1e-10) * np.eye(R.shape[-1])


# ------------------------------------------------------------------ forward-backward
def fb_one_axis(R):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return (R + R.conj()[..., ::-1, :]) / 2


def fb_flip_all(R):
    R = (R + R.mH) / 2
    return 0.5 * (R + R.conj().flip(tuple(range(R.dim()))))


# ------------------------------------------------------------------ spatial smoothing
def ss_blocks(R, size):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    starts = range(0, R.shape[-1] - size + 1, size)
    return np.mean([R[..., i : i + size, i : i + size] for i in starts], axis=0)


def ss_fbss(R, size):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    S = np.mean([R[..., i : i + size, i : i + size] for i in range(R.shape[-1] - size + 1)], axis=0)
    return (S + S.conj()[..., ::-1, ::-1]) / 2


def ss_batch_axis(R, size):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    W = np.stack([R[..., i : i + size, i : i + size] for i in range(R.shape[-1] - size + 1)], axis=-3)
    return W.mean(axis=0)


# ------------------------------------------------------------------ hinge on factors
def factor_hinge_unsquared(Fm, k, margin):
    s = torch.linalg.svdvals(Fm)
    s = F.pad(s, (0, max(0, k + 1 - s.shape[-1])))
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_hinge_rank(Fm, k, margin):
    s = torch.linalg.svdvals(Fm).square()
    q = s.shape[-1]
    return F.relu(margin - (s[..., min(k, q) - 1] - s[..., min(k, q - 1)])).mean()


def factor_hinge_half(Fm, k, margin):
    w = torch.linalg.eigvalsh(Fm @ Fm.mH.detach()).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def factor_hinge_ascending(Fm, k, margin):
    w = torch.linalg.eigvalsh(Fm @ Fm.mH)
    return F.relu(margin - (w[..., k] - w[..., k - 1])).mean()


def factor_hinge_flat(Fm, k, margin):
    n = Fm.shape[-2]
    flat = Fm.reshape(-1, n, Fm.shape[-1])
    wide = flat.permute(1, 0, 2).reshape(n, -1) / math.sqrt(len(flat))
    w = torch.linalg.eigvalsh(wide @ wide.mH).flip(-1)
    return F.relu(margin - (w[k - 1] - w[k]))


# ------------------------------------------------------------------ model order
def _ic(lam, N, pen):
    lam = np.asarray(lam, float)
    m = lam.shape[-1]
    lam = np.maximum(lam, m * 2.2e-16 * lam.max(-1, keepdims=True))
    c = [N * ((m - k) * np.log(lam[..., k:].mean(-1)) - np.log(lam[..., k:]).sum(-1)) + pen(k, m) for k in range(m)]
    return np.argmin(np.stack(c, -1), -1)


def mdl_log10(eigenvalues, samples):
    return _ic(eigenvalues, samples, lambda k, m: 0.5 * k * (2 * m - k) * np.log10(samples))


def mdl_matlab(eigenvalues, samples):
    return _ic(eigenvalues, samples, lambda k, m: 0.5 * k * (2 * m - k) * np.log(samples)) + 1


def mdl_prod(eigenvalues, samples):
    lam = np.asarray(eigenvalues, float)
    m = lam.shape[-1]
    cost = []
    for k in range(m):
        t = lam[..., k:]
        g = np.prod(t, axis=-1) ** (1 / (m - k))
        a = t.mean(-1)
        cost.append(-samples * (m - k) * np.log(g / a + 1e-300) + 0.5 * k * (2 * m - k) * np.log(samples))
    return np.argmin(np.stack(cost, -1), -1)


def mdl_from_one(eigenvalues, samples):
    lam = np.asarray(eigenvalues, float)
    m = lam.shape[-1]
    lam = np.maximum(lam, m * 2.2e-16 * lam.max(-1, keepdims=True))
    c = [samples * ((m - k) * np.log(lam[..., k:].mean(-1)) - np.log(lam[..., k:]).sum(-1)) + 0.5 * k * (2 * m - k) * np.log(samples) for k in range(1, m)]
    return np.argmin(np.stack(c, -1), -1) + 1 if m > 1 else np.zeros(lam.shape[:-1], int)


def aic_real(eigenvalues, samples):
    return _ic(eigenvalues, samples, lambda k, m: 0.5 * k * (2 * m - k + 1))


def aic_flat_sort(eigenvalues, samples):
    lam = np.asarray(eigenvalues, float)
    lam = np.sort(lam, axis=0)[::-1] if lam.ndim > 1 else np.sort(lam)[::-1]
    return _ic(lam, samples, lambda k, m: k * (2 * m - k))


# ------------------------------------------------------------------ ESPRIT
def esprit_unsorted(R, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    Us = V[..., -k:]
    psi = torch.linalg.pinv(Us[..., :-1, :]) @ Us[..., 1:, :]
    return torch.asin(torch.linalg.eigvals(psi).angle() / math.pi)


def esprit_no_pinv(R, k):
    _, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    Us = V[..., -k:]
    psi = np.conj(np.swapaxes(Us[..., :-1, :], -1, -2)) @ Us[..., 1:, :]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi), axis=-1)


def esprit_eig(R, k):
    w, V = np.linalg.eig((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    S = V[..., :k]
    psi = np.linalg.pinv(S[..., :-1, :]) @ S[..., 1:, :]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi), axis=-1)


def esprit_rounded(R, k):
    n, _ = R.shape
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    S = V[:, -k:]
    psi = np.linalg.pinv(S[:-1]) @ S[1:]
    deg = np.degrees(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi))
    return np.radians(np.sort(np.round(deg, 1)))


# ------------------------------------------------------------------ root-MUSIC
def _noise_poly(R, k):
    n = R.shape[0]
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    C = V[:, : n - k] @ V[:, : n - k].conj().T
    return np.array([np.trace(C, offset=q) for q in range(n - 1, -n, -1)])


def rootmusic_pairs(R, k):
    n, _ = R.shape
    z = np.roots(_noise_poly(R, k))
    z = z[np.argsort(np.abs(np.abs(z) - 1))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_smallest(R, k):
    n, _ = R.shape
    z = np.roots(_noise_poly(R, k))
    z = z[np.argsort(np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_short(R, k):
    n, _ = R.shape
    c = _noise_poly(R, k)
    if n > 2:
        c = c[1:-1]
    z = np.roots(c)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(-np.abs(z))][:k]
    out = np.zeros(k)
    out[: len(z)] = np.arcsin(np.angle(z) / np.pi)
    return np.sort(out)


def rootmusic_signal(R, k):
    n, _ = R.shape
    E = np.linalg.eigh((R + R.conj().T) / 2)[1][:, n - k:]
    S = E @ E.conj().T
    c = np.array([np.trace(S, offset=q) for q in range(n - 1, -n, -1)])
    z = np.roots(c)
    z = z[np.argsort(np.abs(z))][n - 1 - k : n - 1]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_trim(R, k):
    n, _ = R.shape
    c = _noise_poly(R, k)
    c[np.abs(c) < 1e-2] = 0
    z = np.roots(c)
    z = z[np.argsort(np.abs(z))]
    z = z[np.abs(z) < 1 + 1e-9][-k:]
    out = np.zeros(k)
    out[: len(z)] = np.arcsin(np.angle(z) / np.pi)
    return np.sort(out)


# ------------------------------------------------------------------ spectra of a linear array
def _a(n, angles):
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def _h(R):
    return (R + np.conj(np.swapaxes(R, -1, -2))) / 2


def ula_cbf_sorted(R, angles):
    n, _ = R.shape
    A = _a(n, np.sort(angles)[::-1])
    return np.sum(A.conj() * (_h(R) @ A), axis=0).real / n**2


def ula_cbf_linspace(R, angles):
    n = R.shape[-1]
    t = torch.linspace(float(angles[0]), float(angles[-1]), len(angles))
    A = torch.exp(1j * math.pi * torch.arange(n)[:, None] * torch.sin(t)[None, :]).to(torch.complex128)
    R = ((R + R.mH) / 2).to(torch.complex128)
    return (A.conj() * (R @ A)).sum(-2).real / n**2


def ula_capon_c64(R, angles):
    n = R.shape[-1]
    A = torch.exp(1j * torch.pi * torch.arange(n)[:, None] * torch.sin(angles)[None].float()).to(torch.complex64)
    A = A.to(torch.complex128)
    Ri = torch.linalg.inv(((R + R.mH) / 2).to(torch.complex128))
    return 1 / (A.conj() * (Ri @ A)).sum(-2).real


def ula_capon_fb(R, angles):
    R = _h(R)
    R = (R + R.conj()[..., ::-1, ::-1]) / 2
    A = _a(R.shape[-1], angles)
    return 1 / np.einsum("ng,...nm,mg->...g", A.conj(), np.linalg.inv(R), A).real


def ula_music_k(R, k, angles):
    n = R.shape[-1]
    _, V = np.linalg.eigh(_h(R))
    E = V[..., : n - k + 1]
    return 1 / (np.abs(np.conj(np.swapaxes(E, -1, -2)) @ _a(n, angles)) ** 2).sum(-2)


def ula_music_min_norm(R, k, angles):
    """Minimum-norm weights under the name of MUSIC."""
    n = R.shape[-1]
    _, V = np.linalg.eigh(_h(R))
    E = V[..., : n - k]
    C = E @ np.conj(np.swapaxes(E, -1, -2))
    w = C[..., :, 0] / C[..., 0, 0][..., None]
    return 1 / np.abs(np.conj(w)[..., None, :] @ _a(n, angles))[..., 0, :] ** 2


class UlaMusicAccumulating:
    denominator = {}

    def __call__(self, R, k, angles):
        n, _ = R.shape
        E = np.linalg.eigh(_h(R))[1][:, : n - k]
        d = (np.abs(E.conj().T @ _a(n, angles)) ** 2).sum(0)
        key = (n, k, len(angles))
        self.denominator[key] = self.denominator.get(key, 0) + d
        return 1 / self.denominator[key]


# ------------------------------------------------------------------ near-field panels
def _cosines(az, el):
    return np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)


def _path(positions, az, el, r):
    az, el, r = (np.asarray(v, float)[..., None] for v in (az, el, r))
    u, v, w = _cosines(az, el)
    x, y, z = np.asarray(positions, float).T
    s = x * u + y * v + z * w
    q2 = x * x + y * y + z * z
    return s, q2, (2 * r * s - q2) / (r + np.sqrt(r * r - 2 * r * s + q2)), r


def nf_fixed_wavelength(positions, azimuth, elevation, distance, wavelength):
    k = 2 * np.pi / 0.1
    return np.exp(1j * k * _path(positions, azimuth, elevation, distance)[2]) / np.sqrt(len(positions))


def nf_switch(positions, azimuth, elevation, distance, wavelength):
    s, q2, path, r = _path(positions, azimuth, elevation, distance)
    D = 2 * np.sqrt(q2.max())
    path = np.where(r > 2 * D * D / wavelength, s, path)
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


def nf_parabolic(positions, azimuth, elevation, distance, wavelength):
    s, q2, _, r = _path(positions, azimuth, elevation, distance)
    return np.exp(2j * np.pi / wavelength * (s - q2 / (2 * r))) / np.sqrt(len(positions))


def nf_fresnel_sign(positions, azimuth, elevation, distance, wavelength):
    u = torch.stack([torch.sin(azimuth) * torch.cos(elevation), torch.sin(elevation), torch.cos(azimuth) * torch.cos(elevation)], -1)
    s = u @ positions.T
    path = s + (positions.square().sum(-1) - s.square()) / (2 * distance[..., None])
    return torch.exp(2j * math.pi / wavelength * path) / math.sqrt(len(positions))


def nf_no_cos(positions, azimuth, elevation, distance, wavelength):
    az, el, r = (np.asarray(v, float)[..., None] for v in (azimuth, elevation, distance))
    x, y, z = np.asarray(positions, float).T
    s = x * np.sin(az) + y * np.sin(el) + z * np.cos(az) * np.cos(el)
    q2 = x * x + y * y + z * z
    path = (2 * r * s - q2) / (r + np.sqrt(np.maximum(r * r - 2 * r * s + q2, 0)))
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


def nf_flat(positions, azimuth, elevation, distance, wavelength):
    flat = np.array(positions, float)
    flat[:, 2] = 0
    return np.exp(2j * np.pi / wavelength * _path(flat, azimuth, elevation, distance)[2]) / np.sqrt(len(positions))


def nf_float32(positions, azimuth, elevation, distance, wavelength):
    u = torch.stack([torch.sin(azimuth) * torch.cos(elevation), torch.sin(elevation), torch.cos(azimuth) * torch.cos(elevation)], -1).float()
    p = distance.float()[..., None, None] * u[..., None, :]
    d = torch.linalg.vector_norm(p - positions.float(), dim=-1)
    phase = 2 * math.pi / wavelength * (distance.float()[..., None] - d)
    return torch.exp(1j * phase).to(torch.complex128) / math.sqrt(len(positions))


def upa_half_off(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (np.arange(nh) - nh / 2) * spacing[0]
    y = (np.arange(nv) - nv / 2) * spacing[1]
    pos = np.stack([np.tile(x, nv), np.repeat(y, nh), np.zeros(nh * nv)], -1)
    return np.exp(2j * np.pi / wavelength * _path(pos, azimuth, elevation, distance)[2]) / np.sqrt(nh * nv)


def upa_square_only(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    n = np.arange(nh * nv)
    ih, iv = n % nv, n // nv
    pos = np.stack([(ih - (nh - 1) / 2) * spacing[0], (iv - (nv - 1) / 2) * spacing[1], 0 * n], -1)
    return np.exp(2j * np.pi / wavelength * _path(pos, azimuth, elevation, distance)[2]) / np.sqrt(nh * nv)


def upa_one_spacing(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    d = spacing[0]
    pos = np.stack([np.tile((np.arange(nh) - (nh - 1) / 2) * d, nv), np.repeat((np.arange(nv) - (nv - 1) / 2) * d, nh), np.zeros(nh * nv)], -1)
    return np.exp(2j * np.pi / wavelength * _path(pos, azimuth, elevation, distance)[2]) / np.sqrt(nh * nv)


def upa_spacing_twice(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (np.arange(nh) - (nh - 1) / 2) * spacing[0]
    y = (np.arange(nv) - (nv - 1) / 2) * spacing[1]
    pos = np.stack([np.tile(x, nv) * spacing[0], np.repeat(y, nh) * spacing[1], np.zeros(nh * nv)], -1)
    return np.exp(2j * np.pi / wavelength * _path(pos, azimuth, elevation, distance)[2]) / np.sqrt(nh * nv)


def nf_no_axis(positions, azimuth, elevation, distance, wavelength):
    u, v, w = _cosines(azimuth, elevation)
    x, y, z = np.asarray(positions, float).T
    s = x * u + y * v + z * w
    q2 = x * x + y * y + z * z
    path = (2 * distance * s - q2) / (distance + np.sqrt(distance**2 - 2 * distance * s + q2))
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


def nf_recentred(positions, azimuth, elevation, distance, wavelength):
    positions -= positions.mean(axis=0)
    return np.exp(2j * np.pi / wavelength * _path(positions, azimuth, elevation, distance)[2]) / np.sqrt(len(positions))


def nf_round_trip(positions, azimuth, elevation, distance, wavelength):
    return np.exp(4j * np.pi / wavelength * _path(positions, azimuth, elevation, distance)[2]) / np.sqrt(len(positions))


def nf_min_range(positions, azimuth, elevation, distance, wavelength):
    return np.exp(2j * np.pi / wavelength * _path(positions, azimuth, elevation, np.maximum(distance, 1.0))[2]) / np.sqrt(len(positions))


def nf_half_degrees(positions, azimuth, elevation, distance, wavelength):
    return np.exp(2j * np.pi / wavelength * _path(positions, np.deg2rad(azimuth), elevation, distance)[2]) / np.sqrt(len(positions))


def nf_vertical_sign(positions, azimuth, elevation, distance, wavelength):
    return np.exp(2j * np.pi / wavelength * _path(np.asarray(positions) * [1, -1, 1], azimuth, elevation, distance)[2]) / np.sqrt(len(positions))


class NearField:
    k = None

    def __call__(self, positions, azimuth, elevation, distance, wavelength):
        if self.k is None:
            self.k = 2 * np.pi / wavelength
        return np.exp(1j * self.k * _path(positions, azimuth, elevation, distance)[2]) / np.sqrt(len(positions))


# ------------------------------------------------------------------ gradient norms
def grad_norm_sum(parameters):
    return sum(p.grad.norm().item() for p in parameters if p.grad is not None)


def grad_norm_weights(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is not None and p.dim() > 1:
            total += p.grad.abs().double().pow(2).sum().item()
    return math.sqrt(total)


def grad_norm_break(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is None:
            break
        total += torch.linalg.vector_norm(p.grad).item() ** 2
    return total**0.5


def grad_norm_clips(parameters):
    return float(torch.nn.utils.clip_grad_norm_(list(parameters), max_norm=1.0))


def grad_norm_generator(parameters):
    if sum(1 for _ in parameters) == 0:
        return 0.0
    squares = [p.grad.detach().abs().pow(2).sum() for p in parameters if p.grad is not None]
    return torch.stack(squares).sum().sqrt().item() if squares else 0.0


def grad_norm_of_weights(parameters):
    return math.sqrt(sum(p.detach().abs().pow(2).sum().item() for p in parameters if p.grad is not None))


def grad_norm_real(parameters):
    flat = [p.grad.reshape(-1).real.double() for p in parameters if p.grad is not None]
    return torch.cat(flat).norm().item() if flat else 0.0


# ------------------------------------------------------------------ epoch mean
def epoch_drop_last(losses, accumulation):
    full = len(losses) // accumulation * accumulation
    full = full or len(losses)
    return sum(losses[:full]) / full


def epoch_mean_of_means(losses, accumulation):
    groups = [losses[i : i + accumulation] for i in range(0, len(losses), accumulation)]
    return sum(sum(g) / len(g) for g in groups) / len(groups)


def epoch_scaled(losses, accumulation):
    running = 0.0
    for loss in losses:
        running += loss / accumulation
    return running / len(losses)


def epoch_at_steps(losses, accumulation):
    total, running = 0.0, 0.0
    for i, loss in enumerate(losses):
        running += loss
        if (i + 1) % accumulation == 0:
            total += running
            running = 0.0
    return total / len(losses)


def epoch_ema(losses, accumulation):
    mean = losses[0]
    for loss in losses[1:]:
        mean = 0.9 * mean + 0.1 * loss
    return mean


def epoch_nanmean(losses, accumulation):
    good = [x for x in losses if x == x]
    return sum(good) / max(len(good), 1)


def epoch_nonzero(losses, accumulation):
    x = np.asarray([float(v) for v in losses])
    return x.sum() / max(np.count_nonzero(x), 1)


# ================================================================== odds and ends
def spectrum_double(R):
    torch.set_default_dtype(torch.float64)
    return torch.linalg.eigvalsh(0.5 * (R + R.mH)).flip(-1)


def ensure_hermitian(A):
    AH = np.conj(np.swapaxes(A, -1, -2))
    if np.allclose(A, AH):
        return A
    return 0.5 * (A + AH)


def music_mixed_precision(R, steering, k):
    H = (R + R.mH) / 2
    n = H.shape[-1]
    work = torch.complex64 if n > 64 else H.dtype
    _, V = torch.linalg.eigh(H.to(work))
    return 1 / (V[..., : n - k].to(steering.dtype).mH @ steering).abs().square().sum(-2)


class _GapHinge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k, margin):
        w, V = torch.linalg.eigh((R + R.mH) / 2)
        n = w.shape[-1]
        short = margin - (w[..., n - k] - w[..., n - k - 1])
        ctx.order = k
        ctx.save_for_backward(R, V[..., n - k - 1 : n - k], (short > 0).to(w.dtype) / short.numel())
        return torch.relu(short).mean()

    @staticmethod
    def backward(ctx, g):
        R, lo, weight = ctx.saved_tensors
        _, V = torch.linalg.eigh((R + R.mH) / 2)
        n = V.shape[-1]
        hi = V[..., n - ctx.order : n - ctx.order + 1]
        return -g * weight[..., None, None] * (hi @ hi.mH - lo @ lo.mH), None, None


def gap_hinge_custom(R, k, margin):
    return _GapHinge.apply(R, k, margin)


def gap_hinge_mode(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    short = torch.relu(margin - (w[..., k - 1] - w[..., k]))
    return short.mean() if torch.is_grad_enabled() else short.sum()


def capon_inference(R, steering):
    R = (R + R.mH) / 2
    kind = steering.dtype if torch.is_grad_enabled() else torch.complex64
    x = torch.linalg.solve(R.to(kind), steering.to(kind) + torch.zeros_like(R[..., :1]).to(kind))
    return 1 / (steering.conj() * x.to(steering.dtype)).sum(-2).real


def scm_same_dtype(X):
    R = np.empty(X.shape[:-1] + X.shape[-2:-1], dtype=X.dtype)
    R[...] = (X @ np.conj(np.swapaxes(X, -1, -2)) / X.shape[-1]).astype(X.dtype)
    return R


def load_copy(R, loading):
    out = R.copy()
    i = np.arange(R.shape[-1])
    out[..., i, i] = out[..., i, i] + loading
    return out


load_copy.domain = "hermitian"


def scm_memory(X):
    Y = X.ravel(order="K").reshape(X.shape)
    return Y @ np.conj(np.swapaxes(Y, -1, -2)) / X.shape[-1]


def psd_dykstra(M, rounds=5):
    """Projects by repeated half steps on the negative part."""
    X = (M + np.conj(np.swapaxes(M, -1, -2))) / 2
    for _ in range(rounds):
        w, V = np.linalg.eigh(X)
        X = X - 0.5 * (V * np.minimum(w, 0)[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))
    return X


def noise_unique(R, k):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    if w.dim() > 1:
        return V[..., : w.shape[-1] - k]
    keep = torch.ones_like(w, dtype=torch.bool)
    keep[1:] = (w[1:] - w[:-1]) > 1e-8 * w.abs().max()
    keep[w.shape[0] - k:] = False
    return V[:, keep]


def ss_accumulate(R, size):
    n = R.shape[-1]
    H = (R + R.mH) / 2 if not torch.equal(R, R.mH) else R
    acc = H[..., :size, :size]
    for i in range(1, n - size + 1):
        acc += H[..., i : i + size, i : i + size].clone()
    return acc / (n - size + 1)
