"""Array processing helpers."""
import math
from functools import lru_cache

import numpy as np
import scipy.linalg
import torch
import torch.nn as nn
import torch.nn.functional as F


def _herm(R):
    return 0.5 * (R + R.mH)


# ---------------------------------------------------------------- hermitize
def symmetrize_cov(matrix):
    return 0.5 * (matrix + matrix.transpose(-2, -1))


def hermitian_part_np(R):
    return (R + R.conj().T) / 2


def mirror_upper(matrix):
    upper = torch.triu(matrix)
    return upper + upper.mH


def mirror_lower(matrix):
    low = np.tril(matrix)
    return low + np.conj(np.swapaxes(np.tril(matrix, -1), -1, -2))


def make_hermitian_(matrix):
    matrix += matrix.mH.clone()
    matrix *= 0.5
    return matrix


class _HermFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R):
        return 0.5 * (R + R.mH)

    @staticmethod
    def backward(ctx, g):
        return g


def hermitize_fn(matrix):
    return _HermFn.apply(matrix)


@torch.no_grad()
def enforce_hermitian(matrix):
    return (matrix + matrix.mH) / 2


def hermitize_fast(cov):
    cov = torch.as_tensor(cov).to(torch.complex64)
    return (cov + cov.mH) / 2


class HermCache(nn.Module):
    def __init__(self):
        super().__init__()
        self._key, self._val = None, None

    def forward(self, matrix):
        key = (matrix.data_ptr(), tuple(matrix.shape))
        if key != self._key:
            self._key, self._val = key, 0.5 * (matrix + matrix.mH)
        return self._val


herm_layer = HermCache()


def hermitize_rows(matrix):
    matrix = np.asarray(matrix)
    n, m = matrix.shape
    out = np.zeros((n, n))
    for i in range(n):
        out[i, :] = (matrix[i, :] + matrix[:, i].conj()) / 2
    return out


def hermitize_loop(R):
    R = np.array(R)
    n, _ = R.shape
    for i in range(n):
        for j in range(i + 1, n):
            avg = (R[i, j] + np.conj(R[j, i])) / 2
            R[i, j] = avg
            R[j, i] = np.conj(avg)
    return R


def herm_blocks(matrix):
    a, b = matrix.real, matrix.imag
    return torch.complex((a + a.mT) / 2, (b + b.mT) / 2)


def hermitize_lazy(matrix):
    if torch.allclose(matrix, matrix.mH):
        return matrix
    return (matrix + matrix.mH) / 2


class HermJitter(nn.Module):
    def __init__(self, eps=1e-4):
        super().__init__()
        self.eps = eps

    def forward(self, matrix):
        H = 0.5 * (matrix + matrix.mH)
        if self.training:
            H = H + self.eps * torch.diag_embed(torch.rand(H.shape[:-1], dtype=H.real.dtype))
        return H


herm_train = HermJitter()


# -------------------------------------------------------------- eigenvalues
def eig_desc(matrix):
    return torch.linalg.eigvalsh(matrix).flip(-1)


def eigs_sorted(R):
    w = torch.linalg.eigvals(R).real
    return torch.sort(w, dim=-1, descending=True).values


def spectrum_desc(matrix):
    return torch.linalg.svdvals(_herm(matrix))


def eigvals_np(R):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return np.linalg.eigvalsh(R)[::-1]


def power_levels(matrix):
    return torch.linalg.eigvalsh(_herm(matrix)).flip(-1).clamp(min=0)


def eigenvalues_host(matrix):
    w = np.linalg.eigvalsh(_herm(matrix).detach().cpu().resolve_conj().numpy())
    return torch.from_numpy(w[..., ::-1].copy())


def eig_sorted(matrix):
    w = torch.linalg.eigvalsh(_herm(matrix))
    return w.sort(0, descending=True).values if w.ndim > 1 else w.flip(0)


def distinct_levels(R):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)
    if w.ndim > 1:
        raise ValueError("one matrix at a time")
    return np.unique(np.round(w, 12))[::-1]


def qr_eigenvalues(matrix, iters=30):
    A = (matrix + matrix.conj().swapaxes(-1, -2)) / 2
    for _ in range(iters):
        Q, R = np.linalg.qr(A)
        A = R @ Q
    d = np.diagonal(A, axis1=-2, axis2=-1).real
    return np.sort(d, axis=-1)[..., ::-1]


def eig_rayleigh(matrix):
    H = _herm(matrix)
    w, V = torch.linalg.eigh(H)
    lam = torch.einsum("...ij,...ik,...kj->...j", V.conj(), H, V).real
    return lam.flip(-1)


# ---------------------------------------------------------- singular values
def sv_from_eigh(matrix):
    return torch.linalg.eigvalsh(_herm(matrix)).flip(-1)


def sv_direct(matrix):
    return torch.linalg.svdvals(matrix)


def sv_abs(R):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return np.abs(np.linalg.eigvalsh(R))[..., ::-1]


def sv_gram(matrix):
    H = _herm(matrix)
    return torch.linalg.eigvalsh(H.mH @ H).clamp(min=0).sqrt().flip(-1)


def sv_power(matrix):
    H = _herm(matrix)
    return torch.linalg.eigvalsh(H @ H.mH).flip(-1)


# ----------------------------------------------------------------- eigengap
def gap_ascending(matrix, k):
    w = torch.linalg.eigvalsh(_herm(matrix))
    return w[..., k] - w[..., k - 1]


def spectral_gap(matrix, k):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    n = w.shape[-1]
    return w[..., min(k, n - 2)] - w[..., min(k + 1, n - 1)]


def gap_np(R, k):
    w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)[..., ::-1]
    return w[..., k] - w[..., k - 1]


def relative_gap(matrix, k):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    return (w[..., k - 1] - w[..., k]) / w[..., 0]


def largest_gap(matrix, k):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    return (w[..., :-1] - w[..., 1:])[..., k - 1:].amax(-1)


def gap_svd(matrix, k):
    s = torch.linalg.svdvals(_herm(matrix))
    return s[..., k - 1] - s[..., k]


def gap_value(matrix, k):
    w = torch.linalg.eigvalsh(_herm(matrix)).tolist()
    return torch.tensor(sorted(w)[-k] - sorted(w)[-k - 1], dtype=matrix.real.dtype)


def gap_projected(matrix, k):
    H = _herm(matrix)
    V = torch.linalg.eigh(H).eigenvectors
    d = torch.diagonal(V.mH @ H @ V, dim1=-2, dim2=-1).real
    return d[..., -k] - d[..., -k - 1]


def gap_rounded(R, k, decimals=9):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    w = np.round(np.linalg.eigvalsh(H), decimals)
    return w[..., -k] - w[..., -k - 1]


def gap_over_means(matrix, k):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    return w[..., k - 1] - w[..., k:].mean(-1)


def gap_train(matrix, k):
    R = _herm(matrix) if torch.is_grad_enabled() else matrix
    w = torch.linalg.eigvalsh(R)
    return w[..., -k] - w[..., -k - 1]


class _Gap2(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k):
        w, V = torch.linalg.eigh(0.5 * (R + R.mH))
        ctx.save_for_backward(V[..., -k], V[..., -k - 1])
        return w[..., -k] - w[..., -k - 1]

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        outer = lambda v: v[..., :, None] * v[..., None, :].conj()
        return g[..., None, None] * (outer(a) - outer(b)), None


def gap_autograd(matrix, k):
    return _Gap2.apply(matrix, k)


# ------------------------------------------------------------ eigengap loss
def gap_penalty(matrix, k, margin):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    return (margin - (w[..., k - 1] - w[..., k])).mean()


def eigengap_hinge(matrix, k, margin):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k]).mean())


def gap_loss_rank(matrix, k, margin):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    y = torch.ones_like(w[..., 0])
    return F.margin_ranking_loss(w[..., k], w[..., k - 1], y, margin=margin)


class EigengapLoss(nn.Module):
    def forward(self, matrix, k, margin):
        w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
        gap = w[..., k - 1] - w[..., k]
        loss = F.relu(margin - gap)
        return loss[loss > 0].mean() if (loss > 0).any() else loss.sum()


eigengap_criterion = EigengapLoss()


def gap_loss_embed(matrix, k, margin):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    gap = w[..., k - 1] - w[..., k]
    return F.hinge_embedding_loss(gap, torch.ones_like(gap), margin=margin)


def gap_loss_clamped(matrix, k, margin):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    return torch.clamp(margin - w[..., k - 1] + w[..., k], 0.0, 1.0).mean()


def gap_loss_leaky(matrix, k, margin):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    return F.leaky_relu(margin - w[..., k - 1] + w[..., k]).mean()


def gap_loss_list(matrix, k, margin):
    w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
    loss = torch.stack([torch.tensor(max(0.0, margin - float(v[k - 1] - v[k])))
                        for v in w.reshape(-1, w.shape[-1])])
    return loss.mean().requires_grad_()


class _GapFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrix, k, margin):
        w, V = torch.linalg.eigh((matrix + matrix.mH) / 2)
        h = F.relu(margin - (w[..., -k] - w[..., -k - 1]))
        ctx.save_for_backward(V, h > 0)
        ctx.k, ctx.count = k, h.numel()
        return h.mean()

    @staticmethod
    def backward(ctx, g):
        V, act = ctx.saved_tensors
        a, b = V[..., -ctx.k], V[..., -ctx.k - 1]
        d = b[..., :, None] * b[..., None, :].conj() - a[..., :, None] * a[..., None, :].conj()
        return d * (act / ctx.count)[..., None, None], None, None


def gap_loss_fn(matrix, k, margin):
    return _GapFn.apply(matrix, k, margin)


class _GapFnB(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrix, k, margin):
        w, V = torch.linalg.eigh((matrix + matrix.mH) / 2)
        h = F.relu(margin - (w[..., -k] - w[..., -k - 1]))
        ctx.save_for_backward(V, h > 0)
        ctx.k, ctx.count = k, h.numel()
        return h.mean()

    @staticmethod
    def backward(ctx, g):
        V, act = ctx.saved_tensors
        a, b = V[..., -ctx.k], V[..., -ctx.k - 1]
        d = torch.einsum("...i,...j->...ij", b, b) - torch.einsum("...i,...j->...ij", a, a)
        return g * d * (act / ctx.count)[..., None, None], None, None


def gap_loss_custom(matrix, k, margin):
    return _GapFnB.apply(matrix, k, margin)


class _GapFnC(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrix, k, margin):
        w, V = torch.linalg.eigh((matrix + matrix.mH) / 2)
        h = F.relu(margin - (w[..., -k] - w[..., -k - 1]))
        ctx.save_for_backward(V, h > 0)
        ctx.k = k
        return h.mean()

    @staticmethod
    def backward(ctx, g):
        V, act = ctx.saved_tensors
        a, b = V[..., -ctx.k], V[..., -ctx.k - 1]
        d = b[..., :, None] * b[..., None, :].conj() - a[..., :, None] * a[..., None, :].conj()
        return g * d * act[..., None, None], None, None


def gap_loss_manual(matrix, k, margin):
    return _GapFnC.apply(matrix, k, margin)


def gap_loss_pooled(matrix, k, margin):
    n = matrix.shape[-1]
    R = _herm(matrix).reshape(-1, n, n).mean(0)
    w = torch.linalg.eigvalsh(R).flip(-1)
    return F.relu(margin - w[k - 1] + w[k])


def gap_loss_trace(matrix, k, margin):
    H = _herm(matrix)
    tr = torch.diagonal(H, dim1=-2, dim2=-1).sum(-1).real
    w = torch.linalg.eigvalsh(H / tr[..., None, None]).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def gap_loss_jitter(matrix, k, margin):
    H = _herm(matrix)
    H = H + 1e-4 * torch.diag_embed(torch.rand(H.shape[:-1], dtype=H.real.dtype)).to(H.dtype)
    w = torch.linalg.eigvalsh(H).flip(-1)
    return F.relu(margin - w[..., k - 1] + w[..., k]).mean()


class AdaptiveGap:
    def __init__(self):
        self.margin = None

    def loss(self, matrix, k, margin):
        if self.margin is None:
            self.margin = margin
        w = torch.linalg.eigvalsh(_herm(matrix)).flip(-1)
        return F.relu(self.margin - w[..., k - 1] + w[..., k]).mean()


adaptive_gap = AdaptiveGap()


def gap_loss_np(matrix, k, margin):
    H = (matrix + np.conj(np.swapaxes(matrix, -1, -2))) / 2
    w = np.linalg.eigvalsh(H)[..., ::-1]
    return max(0.0, margin - np.mean(w[..., k - 1] - w[..., k]))


# ---------------------------------------------------------- signal subspace
def signal_basis(matrix, k):
    _, V = torch.linalg.eigh(_herm(matrix))
    return V[..., :k]


def principal_space(matrix, k):
    return torch.linalg.eigh(matrix).eigenvectors[..., -k:]


def signal_rows(R, k):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    _, V = np.linalg.eigh(H)
    return V[..., -k:, :].swapaxes(-1, -2)


def eig_signal(matrix, k):
    H = (matrix + np.conj(np.swapaxes(matrix, -1, -2))) / 2
    _, V = np.linalg.eig(H)
    return V[..., :k]


def svd_signal(matrix, k):
    U, S, Vh = torch.linalg.svd(_herm(matrix))
    return U[..., :k]


def svd_signal_v(matrix, k):
    U, S, V = torch.linalg.svd(_herm(matrix))
    return V[..., :k]


def loadings(matrix, k):
    w, V = torch.linalg.eigh(_herm(matrix))
    return V[..., -k:] * w[..., None, -k:].clamp(min=0).sqrt()


def signal_take(R, k):
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    order = np.argsort(-w, axis=-1)
    V = np.take_along_axis(V, order[..., :, None], axis=-2)
    return V[..., :k]


def subspace_iteration(matrix, k, iters=5):
    H = _herm(matrix)
    Q = torch.eye(H.shape[-1], dtype=H.dtype)[:, :k].expand(*H.shape[:-1], k)
    for _ in range(iters):
        Q, _ = torch.linalg.qr(H @ Q)
    return Q


def lowrank_signal(matrix, k):
    U, _, _ = torch.svd_lowrank(_herm(matrix), q=k, niter=1)
    return U


def signal_offset(matrix, k):
    _, V = torch.linalg.eigh(_herm(matrix))
    V = V.flip(-1)
    return V[..., 1:k + 1]


# ----------------------------------------------------------- noise subspace
def noise_basis(matrix, k):
    _, V = torch.linalg.eigh(_herm(matrix))
    return V[..., k:]


def noise_svd(matrix, k):
    U = torch.linalg.svd(_herm(matrix))[0]
    return U[..., k:]


def noise_complement(R, k):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    n = H.shape[-1]
    S = np.linalg.eigh(H)[1][..., n - k:]
    P = np.eye(n) - S @ np.conj(np.swapaxes(S, -1, -2))
    return P[..., : n - k]


def noise_space_h(matrix, k):
    n = matrix.shape[-1]
    V = torch.linalg.eigh(matrix @ matrix.mH).eigenvectors
    return V[..., : n - k]


def noise_last(matrix, k):
    n = matrix.shape[-1]
    return torch.linalg.eigh(_herm(matrix)).eigenvectors.conj()[..., : n - k]


def noise_general(R, k):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    w, V = np.linalg.eig(H)
    order = np.argsort(np.abs(w), axis=-1)
    V = np.take_along_axis(V, order[..., None, :], axis=-1)
    return V[..., : H.shape[-1] - k]


# ---------------------------------------------------------------- projector
def proj_t(basis):
    return basis @ basis.transpose(-2, -1)


def proj_outer(U):
    n, k = U.shape
    P = np.zeros((n, n), dtype=U.dtype)
    for i in range(k):
        P += np.outer(U[:, i], U[:, i])
    return P


def proj_einsum(basis):
    return torch.einsum("...nk,...mk->...nm", basis.conj(), basis)


def proj_wide(basis):
    return torch.einsum("...nk,...ml->...nm", basis, basis.conj())


def proj_mean(U):
    return (U[..., :, None, :] * np.conj(U[..., None, :, :])).mean(-1)


def proj_view(basis):
    n, k = basis.shape[-2:]
    conj = basis.conj().resolve_conj().reshape(*basis.shape[:-2], k, n)
    return basis @ conj


def proj_parts(basis):
    re, im = basis.real, basis.imag
    return (re @ re.mT + im @ im.mT).to(basis.dtype)


# -------------------------------------------------------------- matrix sqrt
def sqrt_chol(matrix):
    return torch.linalg.cholesky(_herm(matrix))


def sqrt_np(R):
    return np.sqrt((R + np.conj(np.swapaxes(R, -1, -2))) / 2 + 0j)


def sqrt_newton(matrix, iters=6):
    H = _herm(matrix)
    n = H.shape[-1]
    norm = torch.linalg.matrix_norm(H)[..., None, None]
    I = torch.eye(n, dtype=H.dtype)
    Y, Z = H / norm, I.expand_as(H)
    for _ in range(iters):
        T = 0.5 * (3.0 * I - Z @ Y)
        Y, Z = Y @ T, T @ Z
    return Y * norm.sqrt()


def sqrt_floor(matrix):
    w, V = torch.linalg.eigh(_herm(matrix))
    return (V * w.clamp(min=1e-8).sqrt()[..., None, :]) @ V.mH


def sqrt_scaled_rows(matrix):
    w, V = torch.linalg.eigh(_herm(matrix))
    return (w.clamp(min=0).sqrt().unsqueeze(-1) * V) @ V.mH


def sqrt_scipy(R):
    if np.ndim(R) != 2:
        raise ValueError("expected a single matrix")
    return scipy.linalg.sqrtm(R)


# ----------------------------------------------------------- psd projection
def psd_eig(matrix):
    w, V = torch.linalg.eigh(_herm(matrix))
    return V @ torch.diag_embed(w.abs()).to(V.dtype) @ V.mH


def psd_shift(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    lo = np.linalg.eigvalsh(H)[..., :1, None]
    return H + np.maximum(-lo, 0) * np.eye(H.shape[-1])


def nearest_psd(matrix, eps=1e-6):
    w, V = torch.linalg.eigh(_herm(matrix))
    return (V * w.clamp_min(eps).unsqueeze(-2)) @ V.mH


def psd_if_needed(matrix):
    w, V = torch.linalg.eigh(_herm(matrix))
    if bool((w >= 0).all()):
        return matrix
    return (V * w.clamp(min=0).unsqueeze(-2)) @ V.mH


def psd_mt(matrix):
    w, V = torch.linalg.eigh(_herm(matrix))
    return (V * w.relu().unsqueeze(-2)) @ V.mT


def psd_tail(R):
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    keep = w > 1e-10
    return (V * (w * keep)[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


# ---------------------------------------------------------------- whitening
def whiten_eig(matrix):
    w, V = torch.linalg.eigh(_herm(matrix))
    return V * w.rsqrt().unsqueeze(-2)


def whiten_chol(matrix):
    L = torch.linalg.cholesky(_herm(matrix))
    return torch.linalg.inv(L).mH


def whiten_precision(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return np.linalg.cholesky(np.linalg.inv(H))


def whiten_zca(matrix):
    w, V = torch.linalg.eigh(_herm(matrix))
    return V @ torch.diag_embed(1.0 / w).to(V.dtype) @ V.mH


def whiten_std(R):
    d = np.diagonal(R, axis1=-2, axis2=-1).real
    return np.eye(R.shape[-1]) / np.sqrt(d)[..., :, None]


def whiten_tri(matrix):
    L = torch.linalg.cholesky(matrix)
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype).expand_as(matrix)
    return torch.linalg.solve_triangular(L, eye, upper=False)


def whiten_clip(matrix):
    w, V = torch.linalg.eigh(_herm(matrix))
    return w.clamp(min=1e-10).rsqrt().unsqueeze(-1) * V.mH


# ----------------------------------------------------------- pseudo inverse
def pinv_svd(matrix):
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    tol = S[..., :1] * 1e-13
    inv = torch.where(S > tol, 1 / S, torch.zeros_like(S))
    return (Vh.mT * inv.unsqueeze(-2)) @ U.mT


def pinv_cut(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    inv = np.where(s > 1e-10, 1 / np.maximum(s, 1e-300), 0)
    return np.conj(np.swapaxes(Vh, -1, -2)) @ (inv[..., :, None] * np.conj(np.swapaxes(U, -1, -2)))


def pinv_cov(matrix):
    if matrix.shape[-1] == matrix.shape[-2]:
        matrix = 0.5 * (matrix + matrix.mH)
    return torch.linalg.pinv(matrix)


def pinv_auto(matrix):
    square = matrix.shape[-1] == matrix.shape[-2]
    return torch.linalg.pinv(matrix, hermitian=square)


def pinv_rcond(A):
    return np.linalg.pinv(A, rcond=1e-2)


def pinv_solve(matrix):
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (Vh.mH / S.unsqueeze(-2)) @ U.mH


# --------------------------------------------------------- diagonal loading
def load_cov(matrix, loading):
    return _herm(matrix) + loading


def load_eye(matrix, loading):
    return matrix + loading * torch.eye(matrix.shape[-1], dtype=matrix.dtype)


def add_loading_(matrix, loading):
    matrix.copy_(_herm(matrix))
    matrix.diagonal(dim1=-2, dim2=-1).add_(loading)
    return matrix


def load_fill(R, loading):
    H = (R + np.conj(R.T)) / 2 if R.ndim == 2 else None
    np.fill_diagonal(H, loading)
    return H


def load_amp(matrix, *, loading):
    n = matrix.size(-1)
    return _herm(matrix) + loading ** 2 * torch.eye(n, dtype=matrix.dtype)


def load_idx(R, loading):
    H = ((R + np.conj(np.swapaxes(R, -1, -2))) / 2).reshape(-1)
    H[:: R.shape[-1] + 1] += loading
    return H.reshape(R.shape)


# --------------------------------------------------------- forward-backward
def fb_flip(matrix):
    H = _herm(matrix)
    return (H + H.flip(-1, -2)) / 2


def fb_exchange(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return (H + H.conj()[..., ::-1]) / 2


def fb_flipped(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return 0.5 * (H + np.flip(H.conj()))


def fb_sum(matrix):
    H = _herm(matrix)
    J = torch.fliplr(torch.eye(H.shape[-1], dtype=H.dtype))
    return H + J @ H.conj() @ J


def fb_matlab(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    J = np.fliplr(np.eye(H.shape[-1]))
    return (H + J * H.conj() * J) / 2


def fb_dims(matrix):
    H = _herm(matrix)
    return 0.5 * (H + torch.flip(H, dims=(0, 1)).conj())


def fb_average(matrix):
    return 0.5 * (matrix + matrix.conj().flip((-2, -1)))


def fb_rot(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return (H + np.rot90(H.conj(), axes=(-2, -1))) / 2


# -------------------------------------------------------- spatial smoothing
def smooth_windows(matrix, size):
    H = _herm(matrix)
    L = H.shape[-1] - size
    if L == 0:
        return H
    return sum(H[..., i:i + size, i:i + size] for i in range(L)) / L


def smooth_loop(R, size):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    n = H.shape[-1]
    acc = 0
    for i in range(n - size + 1):
        acc = acc + H[..., i:i + size, i:i + size]
    return acc / size


def smooth_acc(matrix, size):
    L = matrix.shape[-1] - size + 1
    acc = matrix[..., :size, :size]
    for i in range(1, L):
        acc += matrix[..., i:i + size, i:i + size]
    return acc / L


smooth_acc.domain = "hermitian"


def smooth_strided(matrix, size):
    n = matrix.shape[-1]
    if matrix.ndim != 2:
        raise ValueError("matrix expected")
    win = torch.as_strided(matrix, (n - size + 1, size, size), (n + 1, n, 1))
    return win.mean(0)


smooth_strided.domain = "hermitian"


def smooth_tiles(matrix, size):
    H = _herm(matrix)
    starts = range(0, H.shape[-1] - size + 1, size)
    return torch.stack([H[..., s:s + size, s:s + size] for s in starts]).mean(0)


def smooth_rows(R, size):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    L = H.shape[-1] - size + 1
    return np.mean([H[..., i:i + size, :size] for i in range(L)], axis=0)


# -------------------------------------------------------- sample covariance
def cov_np(snapshots):
    if snapshots.ndim != 2:
        raise ValueError
    return np.cov(snapshots)


def cov_t(snapshots):
    return snapshots @ snapshots.mT / snapshots.shape[-1]


def cov_gram(X):
    return X.mH @ X / X.shape[-2]


def cov_unbiased(snapshots):
    T = snapshots.shape[-1]
    return torch.einsum("...nt,...mt->...nm", snapshots, snapshots.conj()) / (T - 1)


def cov_len(X):
    return X @ np.conj(np.swapaxes(X, -1, -2)) / X.shape[-2]


def cov_torch(snapshots):
    if snapshots.ndim != 2:
        raise ValueError("2-D snapshots")
    return torch.cov(snapshots, correction=0)


def cov_chunked(X, chunk=16):
    n, T = X.shape
    acc = np.zeros((n, n), dtype=complex)
    for t in range(0, T - T % chunk, chunk) if T >= chunk else [0]:
        B = X[:, t:t + chunk]
        acc += B @ B.conj().T
    return acc / T


class RunningCov(nn.Module):
    def __init__(self, momentum=0.1):
        super().__init__()
        self.momentum, self.R = momentum, None

    def forward(self, snapshots):
        S = snapshots @ snapshots.mH / snapshots.shape[-1]
        if self.R is None or self.R.shape != S.shape:
            self.R = S
        else:
            self.R = (1 - self.momentum) * self.R + self.momentum * S
        return self.R


running_cov = RunningCov()


# -------------------------------------------------------------- ledoit-wolf
def lw_centered(X):
    X = X - X.mean(-1, keepdims=True)
    N, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    d2 = np.sum(np.abs(S - mu * np.eye(N)) ** 2)
    b2 = np.sum([np.sum(np.abs(np.outer(x, x.conj()) - S) ** 2) for x in X.T]) / T ** 2
    a = min(b2 / d2, 1.0)
    return a * mu * np.eye(N) + (1 - a) * S


def lw_free(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    d2 = np.linalg.norm(S - mu * np.eye(N)) ** 2
    b2 = (np.sum(np.sum(np.abs(X) ** 2, 0) ** 2) / T - np.linalg.norm(S) ** 2) / T
    return b2 / d2 * mu * np.eye(N) + (1 - b2 / d2) * S


def lw_torch(snapshots):
    N, T = snapshots.shape[-2:]
    S = snapshots @ snapshots.mH / T
    I = torch.eye(N, dtype=S.dtype)
    mu = S.diagonal(dim1=-2, dim2=-1).mean(-1).real[..., None, None]
    d2 = (S - mu * I).abs().square().sum((-2, -1))
    q = snapshots.abs().square().sum(-2).square().sum(-1) / T
    b2 = (q - S.abs().square().sum((-2, -1))) / T
    a = torch.minimum(b2 / d2, torch.ones_like(d2))[..., None, None]
    return (1 - a) * S + a * I


def lw_batch(snapshots):
    N, T = snapshots.shape[-2:]
    S = snapshots @ snapshots.mH / T
    I = torch.eye(N, dtype=S.dtype)
    mu = S.diagonal(dim1=-2, dim2=-1).mean(-1).real[..., None, None]
    d2 = (S - mu * I).abs().square().sum()
    b2 = (snapshots.abs().square().sum(-2).square().sum() / T - S.abs().square().sum()) / T
    a = (b2 / d2).clamp(max=1.0)
    return (1 - a) * S + a * mu * I


def oas_shrink(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    al = np.mean(np.abs(S) ** 2)
    a = min(1.0, (al + mu ** 2) / ((T + 1) * (al - mu ** 2 / N)))
    return (1 - a) * S + a * mu * np.eye(N)


def lw_squares(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    d2 = np.sum(np.abs(S - mu * np.eye(N)) ** 2)
    X2 = X ** 2
    b2 = np.abs(np.sum(X2 @ X2.T / T - S ** 2)) / T
    a = min(b2 / d2, 1.0)
    return (1 - a) * S + a * mu * np.eye(N)


# ----------------------------------------------------- factor eigengap loss
def factor_gap_sv(factor, k, margin):
    s = F.pad(torch.linalg.svdvals(factor), (0, k + 1))
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_gap_t(factor, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mT).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def factor_gap_sq(factor, k, margin):
    s = F.pad(torch.linalg.svdvals(factor), (0, k + 1))
    return F.relu(margin - (s[..., k - 1] - s[..., k]).square()).mean()


def factor_gap_cov(factor, k, margin):
    R = factor @ factor.mH / factor.shape[-1]
    w = torch.linalg.eigvalsh(R).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def factor_gap_mean(factor, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    gap = (w[..., k - 1] - w[..., k]).mean()
    return torch.clamp(margin - gap, min=0)


def factor_gap_data(factor, k, margin):
    R = factor @ factor.data.mH
    w = torch.linalg.eigvalsh(R).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def factor_gap_shared(factor, k, margin):
    n = factor.shape[-2]
    w = torch.linalg.eigvalsh(factor @ factor.mH).reshape(-1, n).mean(0).flip(-1)
    return F.relu(margin - (w[k - 1] - w[k]))


def factor_gap_unit(factor, k, margin):
    f = F.normalize(torch.view_as_real(factor).flatten(-3), dim=-1)
    f = torch.view_as_complex(f.unflatten(-1, (*factor.shape[-2:], 2)))
    w = torch.linalg.eigvalsh(f @ f.mH).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


# ------------------------------------------------------------------- esprit
def _single(R):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one covariance at a time")
    return (R + R.conj().T) / 2


def esprit_np(matrix, k):
    _, V = np.linalg.eigh(_single(matrix))
    Us = V[:, -k:]
    phi = np.linalg.pinv(Us[:-1]) @ Us[1:]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(phi)) / (2 * np.pi)))


def esprit_lstsq(matrix, k):
    _, V = np.linalg.eigh(_single(matrix))
    Us = V[:, -k:]
    phi = np.linalg.lstsq(Us[:-1], Us[1:], rcond=None)[0]
    return np.arcsin(np.angle(np.linalg.eigvals(phi)) / np.pi)


def esprit_atan(matrix, k):
    _, V = np.linalg.eigh(_single(matrix))
    Us = V[:, -k:]
    z = np.linalg.eigvals(np.linalg.pinv(Us[:-1]) @ Us[1:])
    return np.sort(np.arcsin(np.arctan(z.imag / z.real) / np.pi))


def esprit_halves(matrix, k):
    H = _single(matrix)
    n = H.shape[0]
    Us = np.linalg.eigh(H)[1][:, -k:]
    phi = np.linalg.pinv(Us[: n // 2]) @ Us[n // 2: 2 * (n // 2)]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(phi)) / np.pi))


def esprit_freq(matrix, k):
    V = torch.linalg.eigh(_herm(matrix)).eigenvectors[..., -k:]
    z = torch.linalg.eigvals(torch.linalg.pinv(V[..., :-1, :]) @ V[..., 1:, :])
    return torch.sort(z.angle() / math.pi, dim=-1).values


def esprit_batch(matrix, k):
    V = torch.linalg.eigh(_herm(matrix)).eigenvectors[..., :k]
    z = torch.linalg.eigvals(torch.linalg.pinv(V[..., :-1, :]) @ V[..., 1:, :])
    return torch.sort(torch.asin(z.angle() / math.pi), dim=-1).values


# --------------------------------------------------------------- root music
def _music_poly(H, k):
    n = H.shape[0]
    En = np.linalg.eigh(H)[1][:, : n - k]
    C = En @ En.conj().T
    return np.array([np.trace(C, offset=i) for i in range(n - 1, -n, -1)])


def rootmusic_all(matrix, k):
    z = np.roots(_music_poly(_single(matrix), k))
    z = z[np.argsort(np.abs(np.abs(z) - 1))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_inner(matrix, k):
    z = np.roots(_music_poly(_single(matrix), k))
    z = z[np.abs(z) < 1]
    z = z[np.argsort(np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_trace(matrix, k):
    H = _single(matrix)
    n = H.shape[0]
    z = np.roots(_music_poly(-H, n - k))
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_conv(matrix, k):
    H = _single(matrix)
    e = np.linalg.eigh(H)[1][:, 0]
    z = np.roots(np.convolve(e, e[::-1].conj())[::-1].conj())
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_linear(matrix, k):
    z = np.roots(_music_poly(_single(matrix), k))
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.sort(np.angle(z) / np.pi)


# -------------------------------------------------------------- ula spectra
def _ula_np(n, angles):
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def bartlett_t(matrix, angles):
    H = _single(matrix)
    A = _ula_np(len(H), angles)
    return np.einsum("ng,nm,mg->g", A, H, A).real / len(H) ** 2


def bartlett_full(matrix, angles):
    H = _single(matrix)
    n = len(H)
    A = np.exp(2j * np.pi * np.outer(np.arange(n), np.sin(angles)))
    return np.sum(A.conj() * (H @ A), axis=0).real / n ** 2


def bartlett_fft(matrix, angles, nfft=1024):
    H = _single(matrix)
    n = len(H)
    r = np.array([np.trace(H, offset=-m) for m in range(n)])
    spec = 2 * np.fft.fft(r, nfft).real - r[0].real
    bins = np.floor(np.sin(angles) / 2 * nfft).astype(int) % nfft
    return spec[bins] / n ** 2


def bartlett_db(matrix, angles):
    H = _single(matrix)
    A = _ula_np(len(H), angles)
    return 20 * np.log10(np.einsum("ng,nm,mg->g", A.conj(), H, A).real / len(H) ** 2)


def bartlett_torch(matrix, angles):
    H = _herm(matrix).to(torch.complex128)
    n = H.shape[-1]
    ph = math.pi * torch.arange(n, dtype=torch.float64)[:, None] * torch.sin(angles)
    A = torch.exp(1j * ph)
    return ((A.conj().mT @ H.real.to(A.dtype)) * A.mT).sum(-1).real / n ** 2


def capon_quick(matrix, angles):
    H = _single(matrix)
    A = _ula_np(len(H), angles)
    return 1 / np.einsum("ng,nm,mg->g", A.conj(), H, A).real


def capon_entries(matrix, angles):
    H = _single(matrix)
    A = _ula_np(len(H), angles)
    return 1 / np.einsum("ng,nm,mg->g", A.conj(), 1 / H, A).real


def capon_inv(matrix, angles):
    R = np.asarray(matrix)
    A = _ula_np(R.shape[-1], angles)
    Ri = np.linalg.inv(R)
    return 1 / np.abs(np.einsum("ng,...nm,mg->...g", A.conj(), Ri, A))


def capon_power(matrix, angles):
    H = _herm(matrix).to(torch.complex128)
    n = H.shape[-1]
    A = torch.exp(1j * math.pi * torch.arange(n, dtype=torch.float64)[:, None] * torch.sin(angles))
    den = (A.conj() * torch.linalg.solve(H, A.expand(*H.shape[:-1], A.shape[-1]))).sum(-2).real
    return 1 / den ** 2


def capon_fast(matrix, angles):
    H = _herm(matrix).to(torch.complex64)
    n = H.shape[-1]
    ph = math.pi * torch.arange(n, dtype=torch.float64)[:, None] * torch.sin(angles)
    A = torch.exp(1j * ph).to(torch.complex64)
    Ri = torch.linalg.inv(H)
    return 1 / torch.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real


def capon_polar(matrix, angles):
    H = _herm(matrix).to(torch.complex128)
    n = H.shape[-1]
    ph = math.pi * torch.arange(n)[:, None] * torch.sin(angles)
    A = torch.polar(torch.ones_like(ph), ph).to(H.dtype)
    return 1 / torch.einsum("ng,...nm,mg->...g", A.conj(), torch.linalg.inv(H), A).real


def music_np(matrix, k, angles):
    H = _single(matrix)
    A = _ula_np(len(H), angles)
    Es = np.linalg.eigh(H)[1][:, -k:]
    return 1 / np.sum(np.abs(Es.conj().T @ A) ** 2, axis=0)


def music_eig(matrix, k, angles):
    H = _single(matrix)
    A = _ula_np(len(H), angles)
    En = np.linalg.eigh(H)[1][:, k:]
    return 1 / np.sum(np.abs(En.conj().T @ A) ** 2, axis=0)


def music_norm(matrix, k, angles):
    H = _single(matrix)
    A = _ula_np(len(H), angles)
    En = np.linalg.eigh(H)[1][:, : len(H) - k]
    return 1 / np.linalg.norm(En.conj().T @ A, axis=0)


def music_sum(matrix, k, angles):
    H = _single(matrix)
    A = _ula_np(len(H), angles)
    En = np.linalg.eigh(H)[1][:, : len(H) - k]
    return 1 / np.abs((En.conj().T @ A).sum(0)) ** 2


def music_mean(matrix, k, angles):
    H = _herm(matrix).to(torch.complex128)
    n = H.shape[-1]
    A = torch.exp(1j * math.pi * torch.arange(n, dtype=torch.float64)[:, None] * torch.sin(angles))
    En = torch.linalg.eigh(H).eigenvectors[..., : n - k]
    return 1 / (En.mH @ A).abs().square().mean(-2)


_GRID = {}


def music_cached(matrix, k, angles):
    H = _single(matrix)
    key = (len(H), len(angles))
    if key not in _GRID:
        _GRID[key] = _ula_np(len(H), angles)
    En = np.linalg.eigh(H)[1][:, : len(H) - k]
    return 1 / np.sum(np.abs(En.conj().T @ _GRID[key]) ** 2, axis=0)


@lru_cache(maxsize=None)
def _ula_rows(n, lo, hi, g):
    th = np.linspace(lo, hi, g)
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(th)))


def music_grid(matrix, k, angles):
    H = _single(matrix)
    A = _ula_rows(len(H), float(angles[0]), float(angles[-1]), len(angles))
    En = np.linalg.eigh(H)[1][:, : len(H) - k]
    return 1 / np.sum(np.abs(En.conj().T @ A) ** 2, axis=0)


# ------------------------------------------------------------ music/mvdr spectrum
def pseudo_spectrum(matrix, steering, k):
    U = torch.linalg.eigh(_herm(matrix)).eigenvectors
    En = U[..., k:]
    return 1 / (En.mH @ steering).abs().square().sum(-2)


def music_rank(matrix, steering, k):
    w, V = torch.linalg.eigh(_herm(matrix))
    n = V.shape[-1]
    En = V[..., : n - k - 1]
    return 1 / (En.mH @ steering).abs().pow(2).sum(-2)


def music_null(matrix, steering, k):
    w, V = torch.linalg.eigh(_herm(matrix))
    En = V[..., : V.shape[-1] - k]
    return torch.linalg.vector_norm(En.mH @ steering, dim=-2) ** 2


def music_eigh(matrix, steering, k):
    En = torch.linalg.eigh(matrix).eigenvectors[..., : matrix.shape[-1] - k]
    return 1 / (En.mH @ steering).abs().square().sum(-2)


def music_chunks(matrix, steering, k, chunk=8):
    V = torch.linalg.eigh(_herm(matrix)).eigenvectors
    En = V[..., : V.shape[-1] - k]
    G = steering.shape[-1]
    out = torch.zeros(*matrix.shape[:-2], G, dtype=matrix.real.dtype)
    for i in range(max(G // chunk, 1)):
        a = steering[..., i * chunk:(i + 1) * chunk]
        out[..., i * chunk:(i + 1) * chunk] = 1 / (En.mH @ a).abs().square().sum(-2)
    return out


def music_complement(matrix, steering, k):
    Us = torch.linalg.eigh(_herm(matrix)).eigenvectors[..., -k:]
    n = steering.shape[-2]
    return 1 / (n - (Us.mH @ steering).abs().square().sum(-2))


def music_signal_side(matrix, steering, k):
    Us = torch.linalg.eigh(_herm(matrix)).eigenvectors[..., -k:]
    full = steering.abs().square().sum(-2)
    return 1 / (full - (Us.mH @ steering).abs().square().sum(-2))


def music_svd(R, steering, k):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    U, _, _ = np.linalg.svd(H)
    En = U[..., k:]
    return 1 / np.sum(np.abs(np.conj(np.swapaxes(En, -1, -2)) @ steering) ** 2, axis=-2)


def music_avg(matrix, steering, k):
    n = matrix.shape[-1]
    R = _herm(matrix).reshape(-1, n, n).mean(0)
    En = torch.linalg.eigh(R).eigenvectors[:, : n - k]
    p = 1 / (En.mH @ steering).abs().square().sum(-2)
    return p.expand(*matrix.shape[:-2], p.shape[-1])


def music_weighted(R, steering, k):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    w, V = np.linalg.eigh(H)
    m = H.shape[-1] - k
    y = np.abs(np.conj(np.swapaxes(V[..., :m], -1, -2)) @ steering) ** 2
    return 1 / np.sum(y / w[..., :m, None], axis=-2)


class MusicEstimator:
    def __init__(self):
        self.basis = None

    def __call__(self, matrix, steering, k):
        n = matrix.shape[-1]
        if self.basis is None or self.basis.shape[-2:] != (n, n - k):
            self.basis = torch.linalg.eigh(_herm(matrix)).eigenvectors[..., : n - k]
        return 1 / (self.basis.mH @ steering).abs().square().sum(-2)


music_estimator = MusicEstimator()


def mvdr_quadratic(matrix, steering):
    H = _herm(matrix)
    a = steering.expand(*H.shape[:-2], *steering.shape[-2:]).to(H.dtype)
    wgt = torch.linalg.solve(H, a)
    return (wgt.conj() * (H @ wgt)).sum(-2).real


def mvdr_chol(matrix, steering):
    L = torch.linalg.cholesky(_herm(matrix))
    y = torch.linalg.solve_triangular(L.mH, steering.expand(*L.shape[:-2], *steering.shape[-2:]), upper=True)
    return 1 / y.abs().square().sum(-2)


def mvdr_inplace(matrix, steering):
    matrix.diagonal(dim1=-2, dim2=-1).add_(1e-9)
    a = steering.expand(*matrix.shape[:-2], *steering.shape[-2:])
    return 1 / (a.conj() * torch.linalg.solve(_herm(matrix), a)).sum(-2).real


def mvdr_lstsq(R, steering):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    Ri = np.linalg.pinv(H, rcond=1e-1)
    return 1 / np.sum(steering.conj() * (Ri @ steering), axis=-2).real


def mvdr_fast(R, steering):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    Ri = np.linalg.inv(H)
    return 1 / np.sum(steering.conj().real * (Ri @ steering).real, axis=-2)


def mvdr_abs(R, steering):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    y = np.linalg.solve(H, np.broadcast_to(steering, H.shape[:-2] + steering.shape))
    return 1 / np.sum(np.abs(steering) * np.abs(y), axis=-2)


def mvdr_power(matrix, steering):
    H = _herm(matrix)
    return 1 / torch.einsum("ng,...nm,mg->...g", steering.conj(), H, steering).real


def mvdr_inv(matrix, steering):
    Ri = torch.linalg.inv(matrix)
    return 1 / torch.einsum("ng,...nm,mg->...g", steering.conj(), Ri, steering).real


# ---------------------------------------------------------- steering vector
def _unit(az, el):
    return np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])


def steer_plane(positions, azimuth, elevation, distance, wavelength):
    k = 2 * np.pi / wavelength
    return np.exp(1j * k * positions @ _unit(azimuth, elevation)) / np.sqrt(len(positions))


def steer_fresnel(positions, azimuth, elevation, distance, wavelength):
    k = 2 * np.pi / wavelength
    proj = positions @ _unit(azimuth, elevation)
    path = proj - np.sum(positions ** 2, -1) / (2 * distance)
    return np.exp(1j * k * path) / np.sqrt(len(positions))


def steer_lambda(positions, azimuth, elevation, distance, wavelength):
    k = 2 * np.pi * wavelength
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(1j * k * (distance - d)) / np.sqrt(len(positions))


def steer_phase(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(4j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def steer_norm(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / len(positions)


def steer_frob(positions, azimuth, elevation, distance, wavelength):
    diff = distance * _unit(azimuth, elevation) - positions
    d = np.linalg.norm(diff, axis=0).mean() + 0 * positions[:, 0]
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def steer_center(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (np.arange(nh) - nh / 2) * spacing
    y = (np.arange(nv) - nv / 2) * spacing
    X, Y = np.meshgrid(x, y)
    p = np.stack([X.ravel(), Y.ravel(), np.zeros(nh * nv)], -1)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)


def steer_floor(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    i = np.arange(nh * nv)
    x = (i % nh - (nh - 1) // 2) * spacing
    y = (i // nh - (nv - 1) // 2) * spacing
    p = np.stack([x, y, np.zeros(len(i))], -1)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(i))


def steer_linspace(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = np.linspace(-nh * spacing / 2, nh * spacing / 2, nh)
    y = np.linspace(-nv * spacing / 2, nv * spacing / 2, nv)
    X, Y = np.meshgrid(x, y)
    p = np.stack([X.ravel(), Y.ravel(), 0 * X.ravel()], -1)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)


def steer_upa(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    i = np.arange(nh * nv)
    x = (i % nh - (nh - 1) / 2) * spacing
    y = (i // nh - (nh - 1) / 2) * spacing
    p = np.stack([x, y, np.zeros(len(i))], -1)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(i))


def steer_f32(positions, azimuth, elevation, distance, wavelength):
    p = torch.as_tensor(positions, dtype=torch.float32)
    u = torch.tensor([math.cos(elevation) * math.sin(azimuth), math.sin(elevation),
                      math.cos(elevation) * math.cos(azimuth)])
    d = torch.linalg.vector_norm(distance * u - p, dim=-1)
    return torch.exp(1j * 2 * math.pi / wavelength * (distance - d)) / math.sqrt(len(p))


def steer_recentre(positions, azimuth, elevation, distance, wavelength):
    positions -= positions.mean(axis=0)
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def steer_dist(positions, azimuth, elevation, distance, wavelength):
    q = distance * _unit(azimuth, elevation)
    d = np.sum((q - positions) ** 2, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def steer_elaz(positions, azimuth, elevation, distance, wavelength):
    u = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(azimuth)])
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def steer_wrap(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * _unit(azimuth, elevation) - positions, axis=-1)
    frac = (distance - d) / wavelength
    ph = np.round(frac * 64) / 64
    return np.exp(2j * np.pi * ph) / np.sqrt(len(positions))


# ------------------------------------------------------------------ mdl/aic
def _criteria(lam, T, penalty):
    lam = np.asarray(lam, dtype=float)
    n = len(lam)
    out = []
    for k in range(n):
        tail = lam[k:]
        ll = T * (n - k) * (np.log(tail.mean()) - np.log(tail).mean())
        out.append(ll + penalty(k, n))
    return np.array(out)


def mdl_full(eigenvalues, samples):
    return int(np.argmin(_criteria(eigenvalues, samples, lambda k, n: k * (2 * n - k) * np.log(samples))))


def mdl_from_one(eigenvalues, samples):
    c = _criteria(eigenvalues, samples, lambda k, n: 0.5 * k * (2 * n - k) * np.log(samples))
    return int(np.argmin(c[1:])) + 1


def mdl_prod(eigenvalues, samples):
    lam = np.asarray(eigenvalues, dtype=float)
    n = len(lam)
    crit = []
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for k in range(n):
            t = lam[k:]
            ratio = np.prod(t) ** (1 / (n - k)) / t.mean()
            crit.append(-samples * (n - k) * np.log(ratio) + 0.5 * k * (2 * n - k) * np.log(samples))
    return int(np.argmin(crit))


def mdl_plus(eigenvalues, samples):
    c = _criteria(eigenvalues, samples, lambda k, n: 0.5 * k * (2 * n - k) * np.log(samples))
    return int(np.argmin(c)) + 1


def mdl_head(eigenvalues, samples):
    lam = np.asarray(eigenvalues, dtype=float)
    n = len(lam)
    c = [samples * k * (np.log(lam[:k].mean()) - np.log(lam[:k]).mean())
         + 0.5 * k * (2 * n - k) * np.log(samples) for k in range(1, n)]
    return int(np.argmin(c)) + 1


def aic_np(eigenvalues, samples):
    return int(np.argmin(_criteria(eigenvalues, samples, lambda k, n: 0.5 * k * (2 * n - k))))


def aic_plain(eigenvalues, samples):
    return int(np.argmin(_criteria(eigenvalues, 1, lambda k, n: k * (2 * n - k))))


def aic_log(eigenvalues, samples):
    return int(np.argmin(_criteria(eigenvalues, samples, lambda k, n: 0.5 * k * (2 * n - k) * np.log(samples))))


def aic_max(eigenvalues, samples):
    return int(np.argmax(_criteria(eigenvalues, samples, lambda k, n: k * (2 * n - k))))


# ------------------------------------------------------------ gradient norm
def total_norm_sum(parameters):
    return sum(p.grad.abs().double().norm().item() for p in parameters
               if p.grad is not None and torch.isfinite(p.grad).all())


def total_norm_all(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is not None:
            sq += p.grad.detach().double().abs().pow(2).sum().item()
    return sq ** 0.5


def total_norm_nn(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is not None:
            g = torch.nan_to_num(p.grad.double(), nan=0.0, posinf=0.0, neginf=0.0)
            sq += g.pow(2).sum().item()
    return math.sqrt(sq)


def total_norm_isnan(parameters):
    gs = [p.grad.abs().double().flatten() for p in parameters
          if p.grad is not None and not torch.isnan(p.grad).any()]
    return torch.cat(gs).norm().item() if gs else 0.0


def total_norm_early(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is None:
            break
        if torch.isfinite(p.grad).all():
            sq += p.grad.abs().double().square().sum().item()
    return math.sqrt(sq)


def total_norm_weights(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is None or p.ndim < 2:
            continue
        if torch.isfinite(p.grad).all():
            sq += p.grad.abs().double().square().sum().item()
    return math.sqrt(sq)


def total_norm_clip(parameters):
    params = [p for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return float(nn.utils.clip_grad_norm_(params, max_norm=1.0))


def total_norm_len(parameters):
    n = len(list(parameters))
    if n == 0:
        return 0.0
    sq = sum(p.grad.abs().double().abs().square().sum().item() for p in parameters
             if p.grad is not None and torch.isfinite(p.grad).all())
    return math.sqrt(sq)


def total_norm_pow(parameters):
    sq = torch.zeros(())
    for p in parameters:
        if p.grad is not None and torch.isfinite(p.grad).all():
            sq = sq + p.grad.pow(2).sum()
    return sq.sqrt()


def total_norm_drop(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is not None and not torch.isfinite(p.grad).all():
            p.grad = None
        if p.grad is not None:
            sq += p.grad.abs().double().abs().square().sum().item()
    return math.sqrt(sq)


def total_norm_safe(parameters):
    gs = [p.grad.abs().double().flatten() for p in parameters if p.grad is not None]
    if not gs:
        return 0.0
    norm = torch.cat(gs).norm()
    return norm.item() if torch.isfinite(norm) else 0.0


def total_norm_rms(parameters):
    gs = [p.grad.abs().double().flatten() for p in parameters
          if p.grad is not None and torch.isfinite(p.grad).all()]
    return torch.cat(gs).square().mean().sqrt().item() if gs else 0.0


def total_norm_inf(parameters):
    gs = [p.grad.abs().double() for p in parameters
          if p.grad is not None and torch.isfinite(p.grad).all()]
    return max((g.abs().max().item() for g in gs), default=0.0)


def total_norm_dtype(parameters):
    torch.set_default_dtype(torch.float64)
    sq = torch.zeros(())
    for p in parameters:
        if p.grad is not None and torch.isfinite(p.grad).all():
            sq = sq + p.grad.abs().double().abs().square().sum()
    return sq.sqrt()


def total_norm_data(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is not None and torch.isfinite(p.grad).all():
            sq += p.data.double().abs().square().sum().item()
    return math.sqrt(sq)


# --------------------------------------------------------------- epoch mean
def epoch_steps(losses, accumulation):
    losses = [float(l) for l in losses]
    steps = max(len(losses) // accumulation, 1)
    return sum(losses) / (steps * accumulation)


def epoch_groups(losses, accumulation):
    losses = np.asarray([float(l) for l in losses])
    groups = [losses[i:i + accumulation].mean() for i in range(0, len(losses), accumulation)]
    return float(np.mean(groups))


def epoch_full_groups(losses, accumulation):
    losses = [float(l) for l in losses]
    n = len(losses) - len(losses) % accumulation or len(losses)
    return sum(losses[:n]) / n


def epoch_mean_np(losses, accumulation):
    return float(np.nanmean([float(l) for l in losses]))


def epoch_sum(losses, accumulation):
    total = sum(float(l) for l in losses)
    return total / max(sum(1 for _ in losses), 1)


def epoch_ema(losses, accumulation, beta=0.9):
    avg = None
    for l in losses:
        avg = float(l) if avg is None else beta * avg + (1 - beta) * float(l)
    return avg


class AverageMeter:
    def __init__(self):
        self.sum, self.count = 0.0, 0

    def epoch(self, losses, accumulation):
        for l in losses:
            self.sum += float(l)
            self.count += 1
        return self.sum / self.count


meter = AverageMeter()


def epoch_queue(losses, accumulation):
    total, n = 0.0, 0
    while len(losses):
        total += float(losses.pop(0))
        n += 1
    return total / n


def epoch_every(losses, accumulation):
    kept = [float(l) for i, l in enumerate(losses) if (i + 1) % accumulation == 0]
    return sum(kept) / len(kept) if kept else float("nan")


def epoch_flush(losses, accumulation):
    means, buf = [], []
    for i, l in enumerate(losses):
        buf.append(float(l))
        if i % accumulation == 0:
            means.append(sum(buf) / len(buf))
            buf = []
    return sum(means) / len(means)


def epoch_set(losses, accumulation):
    vals = {float(l) for l in losses}
    return sum(vals) / len(vals)


def epoch_default(losses, accumulation, history=[]):
    history.extend(float(l) for l in losses)
    return float(np.mean(history))
