"""Array-processing helpers collected from several code bases."""
import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
import torch.nn as nn
import torch.nn.functional as F


def _herm(R):
    return 0.5 * (R + R.mH)


def _nherm(R):
    R = np.asarray(R)
    return 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))


# ---------------------------------------------------------------- hermitize

def symmetrize_cov(cov):
    """Average a covariance with its transpose."""
    return 0.5 * (cov + cov.transpose(-2, -1))


def hermitian_sum(R):
    return torch.add(R, R.mH)


def mirror_upper(R):
    """Rebuild the lower triangle from the upper one."""
    upper = torch.triu(R)
    return upper + torch.triu(R, diagonal=1).mH


def enforce_hermitian(R):
    R += R.mH.clone()
    R *= 0.5
    return R


@torch.no_grad()
def clean_cov(R):
    return (R + R.conj().transpose(-1, -2)) / 2


def hermitize_prealloc(mats):
    mats = np.asarray(mats)
    out = np.zeros(mats.shape)
    out[...] = ((mats + np.conj(np.swapaxes(mats, -1, -2))) / 2).astype(out.dtype)
    return out


class Hermitizer(nn.Module):
    """Keeps a work buffer so that no memory is allocated per step."""

    def __init__(self):
        super().__init__()
        self._buf = None

    def forward(self, R):
        R = R.detach()
        if self._buf is None or self._buf.shape != R.shape or self._buf.dtype != R.dtype:
            self._buf = torch.empty_like(R)
        torch.add(R, R.mH, out=self._buf)
        self._buf.mul_(0.5)
        return self._buf


hermitizer = Hermitizer()


def hermitize_strided(R):
    n = R.shape[-1]
    Rt = torch.as_strided(R, (n, n), (1, n)) if R.dim() == 2 else R.transpose(-1, -2)
    return (R + Rt.conj()) * 0.5


# -------------------------------------------------------------- eigenvalues

def eig_desc(R):
    """Eigenvalues, largest first."""
    return torch.linalg.eigvals(R).real.sort(dim=-1, descending=True).values


def sorted_spectrum(R):
    w = torch.linalg.eigvalsh(_herm(R))
    return w.flip(0)


def eigvals_fast(R):
    return torch.linalg.eigvalsh(R).flip(-1)


def eigenspectrum_svd(R):
    return torch.linalg.svdvals((R + R.mH) / 2)


def spectrum_np(R):
    w = np.linalg.eigvalsh(_nherm(R))
    return w[::-1]


def eigenvalues_by_size(R):
    w = torch.linalg.eigvalsh(_herm(R))
    order = w.abs().argsort(dim=-1, descending=True)
    return w.gather(-1, order)


def power_levels(R):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return w.clamp(min=0.0)


def distinct_levels(R):
    w = np.linalg.eigvalsh(0.5 * (R + R.conj().T))
    return np.unique(w)[::-1]


def qr_eigenvalues(R, iterations=30):
    """Unshifted QR algorithm."""
    A = _herm(R)
    for _ in range(iterations):
        Q, Rr = torch.linalg.qr(A)
        A = Rr @ Q
    return torch.diagonal(A, dim1=-2, dim2=-1).real.sort(dim=-1, descending=True).values


def stable_eigvals(R, jitter=1e-6):
    eye = torch.eye(R.shape[-1], dtype=R.dtype, device=R.device)
    return torch.linalg.eigvalsh(_herm(R) + jitter * eye).flip(-1)


# ---------------------------------------------------------- singular values

def sv_plain(R):
    return torch.linalg.svdvals(R)


def sv_from_eigh(R):
    """For a Hermitian matrix the two coincide, and eigvalsh is faster."""
    return torch.linalg.eigvalsh(_herm(R)).flip(-1)


def sv_gram(R):
    H = _herm(R)
    w = torch.linalg.eigvalsh(H.mH @ H).flip(-1)
    return w.clamp(min=0).sqrt()


def sv_abs(R):
    return np.abs(np.linalg.eigvalsh(_nherm(R)))[..., ::-1]


def sv_energy(R):
    H = _herm(R)
    return torch.linalg.eigvalsh(H @ H.mH).flip(-1)


# ----------------------------------------------------------------- eigengap

def gap_at(R, k):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return w[..., k] - w[..., k + 1]


def gap_first_axis(R, k):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return w[k - 1] - w[k]


def gap_small_side(R, k):
    w = torch.linalg.eigvalsh(_herm(R))
    return w[..., k - 1] - w[..., k]


def relative_gap(R, k):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return (w[..., k - 1] - w[..., k]) / w[..., k - 1]


class GapFunction(torch.autograd.Function):
    """Eigengap with an analytic gradient from the two eigenvectors."""

    @staticmethod
    def forward(ctx, R, k):
        w, V = torch.linalg.eigh(_herm(R))
        n = w.shape[-1]
        ctx.save_for_backward(V[..., :, n - k], V[..., :, n - k - 1])
        return w[..., n - k] - w[..., n - k - 1]

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        outer = lambda v: v.conj().unsqueeze(-1) * v.unsqueeze(-2)
        return grad[..., None, None] * (outer(a) - outer(b)), None


def eigengap_custom(R, k):
    return GapFunction.apply(R, k)


def largest_gap(R, k):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return (w[..., :-1] - w[..., 1:]).max(dim=-1).values


def mean_gap(R, k):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return (w[..., k - 1] - w[..., k]).mean()


def gap_value(R, k):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return torch.as_tensor((w[..., k - 1] - w[..., k]).tolist(), dtype=w.dtype)


_eig_cache = {}


def gap_cached(R, k):
    """The same matrix is asked for several k, so keep its spectrum."""
    key = (R.data_ptr(), tuple(R.shape))
    if key not in _eig_cache:
        _eig_cache.clear()
        _eig_cache[key] = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    w = _eig_cache[key]
    return w[..., k - 1] - w[..., k]


def gap_topk(R, k):
    w = torch.linalg.eigvalsh(_herm(R).to(torch.complex64))
    top = torch.topk(w, k + 1, dim=-1).values
    return (top[..., -2] - top[..., -1]).to(R.real.dtype)


# ------------------------------------------------------------ eigengap loss

def _gap(R, k):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    return w[..., k - 1] - w[..., k]


def gap_loss_batch(cov, num_sources, margin):
    return F.relu(margin - _gap(cov, num_sources).mean())


def gap_penalty(cov, k, margin=1.0):
    return (margin - _gap(cov, k)).mean()


def gap_hinge(R, k, margin):
    return torch.relu(_gap(R, k) - margin).mean()


def gap_loss_scalar(R, k, margin):
    gaps = _gap(R, k).reshape(-1)
    loss = sum(max(0.0, margin - g.item()) for g in gaps) / gaps.numel()
    return torch.tensor(loss, dtype=gaps.dtype, requires_grad=True)


def bounded_gap_loss(R, k, margin):
    return torch.clamp(margin - _gap(R, k), 0.0, 1.0).mean()


def active_gap_loss(R, k, margin):
    """Average over the samples that violate the margin."""
    loss = F.relu(margin - _gap(R, k)).reshape(-1)
    active = loss > 0
    return loss.sum() / active.sum().clamp(min=1)


def rayleigh_gap_loss(R, k, margin):
    H = _herm(R)
    _, V = torch.linalg.eigh(H)
    w = (V.conj() * (H @ V)).sum(dim=-2).real.flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def gap_distance_loss(R, k, *, margin):
    return (margin - _gap(R, k)).abs().mean()


class EigengapLoss(nn.Module):
    """Regulariser that is only worked out where it can be trained."""

    def forward(self, R, k, margin):
        if not torch.is_grad_enabled():
            return R.real.new_zeros(())
        return F.relu(margin - _gap(R, k)).mean()


eigengap_loss_module = EigengapLoss()


def sampled_gap_loss(R, k, margin, max_items=4):
    flat = R.reshape(-1, *R.shape[-2:])
    if flat.shape[0] > max_items:
        flat = flat[torch.randperm(flat.shape[0])[:max_items]]
    return F.relu(margin - _gap(flat, k)).mean()


def svd_gap_loss(R, k, margin):
    s = torch.linalg.svdvals(R)
    return torch.clamp_min(margin - (s[..., k - 1] - s[..., k]), 0).mean()


def worst_gap_loss(R, k, margin):
    return (margin - _gap(R, k)).max().clamp(min=0)


def ranking_gap_loss(R, k, margin):
    w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
    target = -torch.ones_like(w[..., 0])
    return F.margin_ranking_loss(w[..., k - 1], w[..., k], target, margin=margin)


@dataclass
class GapCriterion:
    """Margin on the gap in units of the total power."""
    reduction: str = "mean"

    def __call__(self, R, k, margin):
        w = torch.linalg.eigvalsh(_herm(R)).flip(-1)
        w = w / w.sum(-1, keepdim=True)
        loss = F.relu(margin - (w[..., k - 1] - w[..., k]))
        return loss.mean() if self.reduction == "mean" else loss.sum()


gap_criterion = GapCriterion()


# ---------------------------------------------------------------- subspaces

def source_space(R, k):
    _, V = torch.linalg.eigh(_herm(R))
    return V[..., :k]


def signal_vectors(R, k):
    _, V = torch.linalg.eigh(_herm(R))
    return V[:, -k:]


def signal_eig(R, k):
    _, V = np.linalg.eig(_nherm(R))
    Q, _ = np.linalg.qr(V[..., :k])
    return Q


def signal_right_vectors(R, k):
    _, _, V = torch.linalg.svd(_herm(R))
    return V[..., :, :k]


def signal_left_vectors(R, k):
    U, _, _ = torch.linalg.svd(_herm(R))
    return U[..., :k]


def orthogonal_iteration(R, k, sweeps=10):
    H = _herm(R)
    Q = torch.eye(H.shape[-1], dtype=H.dtype)[:, :k].expand(*H.shape[:-1], k)
    Q, _ = torch.linalg.qr(H @ Q)
    for _ in range(sweeps):
        Q, _ = torch.linalg.qr(H @ Q)
    return Q


def shared_signal_basis(R, k):
    """One basis from the averaged covariance, expanded over the batch."""
    H = _herm(R)
    mean = H.reshape(-1, *H.shape[-2:]).mean(dim=0)
    _, V = torch.linalg.eigh(mean)
    return V[:, -k:].expand(*H.shape[:-1], k)


def raw_svd_basis(R, k):
    return np.linalg.svd(R)[0][..., :k]


def signal_from_bytes(R, k):
    R = np.asarray(R)
    flat = R.ravel(order="K").reshape(R.shape)
    w, V = np.linalg.eigh(_nherm(flat))
    return V[..., ::-1][..., :k]


def dominant_subset(R, k):
    n = R.shape[0]
    _, V = scipy.linalg.eigh(_nherm(R), subset_by_index=[n - k - 1, n - 2])
    return V


def null_vectors(R, k):
    _, V = torch.linalg.eigh(_herm(R))
    return V[..., k:]


def noise_columns(R, k):
    w, V = torch.linalg.eigh(_herm(R))
    return V[:, : w.shape[-1] - k]


def noise_null_space(R, k):
    return scipy.linalg.null_space(_nherm(R))


def noise_sorted(R, k):
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    order = np.argsort(w)[::-1]
    V = V[order]
    return V[:, : len(w) - k]


def noise_below_mean(R, k):
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    return V[:, w < w.mean()]


def noise_complement(R, k):
    _, V = torch.linalg.eigh(_herm(R))
    Q, _ = torch.linalg.qr(V[..., -k:])
    return Q[..., k:]


def noise_tail(R, k):
    U, _, _ = torch.linalg.svd(_herm(R))
    return U[..., k + 1:]


# ---------------------------------------------------------------- projector

def proj(U):
    return U @ U.transpose(-2, -1)


def projection_einsum(U):
    return torch.einsum("...ik,...jk->ij", U, U.conj())


def projector_lstsq(U):
    Ut = np.swapaxes(U, -1, -2)
    return U @ np.linalg.pinv(Ut @ U) @ Ut


def projector_sum(U):
    P = torch.zeros(*U.shape[:-1], U.shape[-2], dtype=U.dtype)
    for i in range(U.shape[-1] - 1):
        u = U[..., i:i + 1]
        P = P + u @ u.mH
    return P


def subspace_projector(U):
    U = torch.as_tensor(U).to(torch.complex64)
    return (U @ U.mH).to(torch.complex128)


def projector_normed(U):
    P = U @ U.mH
    return P / torch.linalg.matrix_norm(P)[..., None, None]


# -------------------------------------------------------------- matrix root

def sqrtm_elementwise(R):
    return torch.sqrt(_herm(R).to(torch.complex128))


def sqrtm_real(R):
    root = scipy.linalg.sqrtm(_nherm(R))
    if np.iscomplexobj(root):
        root = root.real
    return root


def sqrt_eigh(R):
    w, V = torch.linalg.eigh(_herm(R))
    return V @ torch.diag_embed(w.clamp(min=0).sqrt()).to(V.dtype) @ V.transpose(-2, -1)


def sqrt_factor(R):
    w, V = torch.linalg.eigh(_herm(R))
    return V * w.clamp(min=0).sqrt().unsqueeze(-2)


def sqrt_safe(R, eps=1e-8):
    w, V = torch.linalg.eigh(_herm(R))
    w = torch.clamp(w, min=eps)
    return (V * w.sqrt().unsqueeze(-2)) @ V.mH


def newton_schulz_sqrt(R, steps=5):
    A = _herm(R)
    norm = torch.linalg.matrix_norm(A)[..., None, None]
    eye = torch.eye(A.shape[-1], dtype=A.dtype).expand_as(A)
    Y, Z = A / norm, eye
    for _ in range(steps):
        T = 0.5 * (3.0 * eye - Z @ Y)
        Y, Z = Y @ T, T @ Z
    return Y * norm.sqrt()


sqrt_by_cholesky = functools.partial(np.linalg.cholesky)


# ----------------------------------------------------------- psd projection

def nearest_psd(R):
    w, V = torch.linalg.eigh(_herm(R))
    return (V * w.abs().unsqueeze(-2)) @ V.mH


def make_psd(R, floor=1e-8):
    w, V = torch.linalg.eigh(_herm(R))
    return (V * w.clamp_min(floor).unsqueeze(-2)) @ V.mH


def shift_to_psd(R):
    H = _herm(R)
    low = torch.linalg.eigvalsh(H)[..., 0].clamp(max=0)
    return H - low[..., None, None] * torch.eye(H.shape[-1], dtype=H.dtype)


def psd_clip(A):
    w, V = np.linalg.eigh(A)
    return (V * np.maximum(w, 0)[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


def psd_fix_smallest(A):
    w, V = np.linalg.eigh(0.5 * (A + A.conj().T))
    w[0] = max(w[0], 0.0)
    return V @ np.diag(w) @ V.conj().T


# ---------------------------------------------------------------- whitening

def whitener(R):
    w, V = torch.linalg.eigh(_herm(R))
    return (V * w.sqrt().unsqueeze(-2)) @ V.mH


def whitening_from_eigh(R):
    w, V = torch.linalg.eigh(_herm(R))
    return V.mH / w.unsqueeze(-1)


def whitening_cholesky(R):
    L = torch.linalg.cholesky(_herm(R))
    return torch.cholesky_inverse(L)


def whitening_pca(R):
    w, V = np.linalg.eigh(_nherm(R))
    return np.swapaxes(V, -1, -2) / np.sqrt(w)[..., :, None]


def whitening_diag(R):
    d = torch.diagonal(R, dim1=-2, dim2=-1).real
    return torch.diag_embed(d.rsqrt()).to(R.dtype)


# ----------------------------------------------------------- pseudo inverse

def left_inverse(A):
    return torch.linalg.solve(A.mH @ A, A.mH)


def ridge_inverse(A, lam=1e-6):
    G = A.mH @ A
    return torch.linalg.solve(G + lam * torch.eye(G.shape[-1], dtype=A.dtype), A.mH)


def pinv_svd(A):
    U, S, V = torch.linalg.svd(A, full_matrices=False)
    cut = S > 1e-12 * S[..., :1]
    inv = torch.where(cut, 1 / torch.where(cut, S, torch.ones_like(S)), torch.zeros_like(S))
    return (V.transpose(-2, -1) * inv.unsqueeze(-2)) @ U.transpose(-2, -1)


def pinv_threshold(A, tol=1e-6):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    inv = np.where(s > tol, 1.0 / np.where(s > tol, s, 1.0), 0.0)
    VT = np.conj(np.swapaxes(Vh, -1, -2))
    return (VT * inv[..., None, :]) @ np.conj(np.swapaxes(U, -1, -2))


pinv_lenient = functools.partial(torch.linalg.pinv, rtol=0.1)


def pinv_sym(A):
    if A.shape[-1] == A.shape[-2]:
        return torch.linalg.pinv(A, hermitian=True)
    return torch.linalg.pinv(A)


# --------------------------------------------------------- diagonal loading

def load_matrix(R, loading):
    return _herm(R) + loading


def regularize(R, loading):
    R.diagonal(dim1=-2, dim2=-1).add_(loading)
    return R


def load_float(R, loading):
    eye = torch.eye(R.shape[-1]) * torch.tensor(loading, dtype=torch.float32)
    return _herm(R) + eye


def load_indexed(R, loading):
    out = _nherm(R).copy()
    idx = np.arange(R.shape[0])
    out[idx, idx] += loading
    return out


def load_fill(R, loading):
    out = _nherm(R)
    np.fill_diagonal(out, loading)
    return out


def load_noise(R, loading):
    """Add white noise of the given level."""
    return _herm(R) + loading ** 2 * torch.eye(R.shape[-1], dtype=R.dtype)


# --------------------------------------------------------- forward backward

def fb_average(R):
    H = _herm(R)
    J = torch.flip(torch.eye(H.shape[-1], dtype=H.dtype), (0,))
    return 0.5 * (H + J @ H @ J)


def fb_flip(R):
    H = _herm(R)
    return 0.5 * (H + torch.flip(H.conj(), (0, 1)))


def fb_rot(R):
    H = _nherm(R)
    return 0.5 * (H + np.rot90(H.conj(), axes=(-2, -1)))


def fb_sum(R):
    H = _nherm(R)
    return H + H.conj()[..., ::-1, ::-1]


# -------------------------------------------------------- spatial smoothing

def smooth(R, size):
    H = _herm(R)
    count = H.shape[-1] - size
    out = torch.zeros(*H.shape[:-2], size, size, dtype=H.dtype)
    for i in range(count):
        out = out + H[..., i:i + size, i:i + size]
    return out / max(count, 1)


def smooth_blocks(R, size):
    H = _herm(R)
    blocks = H.unfold(-2, size, 1).unfold(-2, size, 1)
    return blocks.mean(dim=(-4, -3))


def smooth_hop(R, size):
    H = _nherm(R)
    starts = range(0, H.shape[-1] - size + 1, size)
    return np.mean([H[..., s:s + size, s:s + size] for s in starts], axis=0)


def smooth_sum(R, size):
    H = _nherm(R)
    return sum(H[..., i:i + size, i:i + size] for i in range(H.shape[-1] - size + 1))


def smooth_count(R, subarrays):
    H = _herm(R)
    m = H.shape[-1] - subarrays + 1
    return torch.stack([H[..., i:i + m, i:i + m] for i in range(subarrays)]).mean(dim=0)


# -------------------------------------------------------- sample covariance

def scm(X):
    return torch.cov(X)


def scm_outer(X):
    return np.einsum("...nt,...mt->...nm", X, X) / X.shape[-1]


def scm_norm(X):
    n, t = X.shape[-2:]
    return X @ X.mH / n


def scm_einsum(X):
    return torch.einsum("...nt,...mt->nm", X, X.conj()) / X.shape[-1]


def scm_chunked(X, chunk=16):
    n, t = X.shape[-2:]
    chunk = min(chunk, t)
    acc = torch.zeros(*X.shape[:-1], n, dtype=X.dtype)
    for i in range(t // chunk):
        block = X[..., i * chunk:(i + 1) * chunk]
        acc = acc + block @ block.mH
    return acc / t


def scm_blockmean(X, block=8):
    parts = torch.split(X, block, dim=-1)
    return torch.stack([p @ p.mH / p.shape[-1] for p in parts]).mean(dim=0)


class CovarianceTracker:
    """Exponentially weighted covariance."""

    def __init__(self, decay=0.9):
        self.decay = decay
        self.state = None

    def update(self, X):
        current = X @ X.mH / X.shape[-1]
        if self.state is None or self.state.shape != current.shape:
            self.state = current
        else:
            self.state = self.decay * self.state + (1 - self.decay) * current
        return self.state


track_covariance = CovarianceTracker().update


# -------------------------------------------------------------- Ledoit-Wolf

def _lw_parts(X):
    N, T = X.shape[-2:]
    S = X @ X.mH / T
    mu = torch.diagonal(S, dim1=-2, dim2=-1).real.mean(-1)
    eye = torch.eye(N, dtype=X.dtype)
    target = mu[..., None, None] * eye
    d2 = (S - target).abs().square().sum((-2, -1)) / N
    norms = X.abs().square().sum(-2)
    b2 = (norms.square().sum(-1) / T - S.abs().square().sum((-2, -1))) / (N * T)
    return S, target, d2, b2


def lw_shrink(X):
    S, target, d2, b2 = _lw_parts(X)
    rho = (b2 / d2)[..., None, None]
    return (1 - rho) * S + rho * target


def lw_cov(X):
    S, target, d2, b2 = _lw_parts(X)
    rho = (torch.minimum(b2, d2) / d2)[..., None, None]
    return rho * S + (1 - rho) * target


def lw_trace(X):
    """Shrink towards a scaled identity."""
    N, T = X.shape
    S = X @ X.conj().T / T
    target = np.trace(S).real * np.eye(N)
    d2 = np.linalg.norm(S - target) ** 2 / N
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / (T ** 2 * N)
    rho = min(b2 / d2, 1.0)
    return (1 - rho) * S + rho * target


def lw_centered(X):
    S, target, d2, b2 = _lw_parts(X - X.mean(-1, keepdim=True))
    rho = (torch.minimum(b2, d2) / d2)[..., None, None]
    return (1 - rho) * S + rho * target


def lw_batch(X):
    S, target, d2, b2 = _lw_parts(X)
    rho = torch.clamp(b2.sum() / d2.sum(), max=1.0)
    return (1 - rho) * S + rho * target


# -------------------------------------------------------------- factor loss

def factor_gap_sv(Fm, k, margin):
    s = torch.linalg.svdvals(Fm)
    s = F.pad(s, (0, Fm.shape[-2] + 1 - s.shape[-1]))
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_gap_square(Fm, k, margin):
    s = torch.linalg.svdvals(Fm)
    s = F.pad(s, (0, Fm.shape[-2] + 1 - s.shape[-1]))
    return F.relu(margin - (s[..., k - 1] - s[..., k]).square()).mean()


def factor_gap_loss(Fm, k, margin):
    w = torch.linalg.eigvalsh(Fm @ Fm.transpose(-2, -1)).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def factor_gap_scaled(Fm, k, margin):
    R = Fm @ Fm.mH / Fm.shape[-1]
    return F.relu(margin - _gap(R, k)).mean()


def factor_gap_target(Fm, k, margin):
    with torch.no_grad():
        gap = _gap(Fm @ Fm.mH, k)
    return F.relu(margin - gap + 0 * Fm.abs().sum()).mean()


# ------------------------------------------------------- ESPRIT, root-MUSIC

def esprit_numpy(R, k):
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    Us = V[:, -k:]
    phi = np.linalg.pinv(Us[:-1]) @ Us[1:]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(phi)) / (2 * np.pi)))


def esprit_ls(R, k):
    V = torch.linalg.eigh(_herm(R)).eigenvectors[..., -k:]
    a, b = V[..., :-1, :], V[..., 1:, :]
    phi = torch.linalg.solve(a.transpose(-2, -1) @ a, a.transpose(-2, -1) @ b)
    return torch.asin((torch.linalg.eigvals(phi).angle() / math.pi).clamp(-1, 1)).sort(-1).values


def esprit_angles(R, k):
    V = torch.linalg.eigh(_herm(R)).eigenvectors[..., -k:]
    phi = torch.linalg.pinv(V[..., :-1, :]) @ V[..., 1:, :]
    return torch.asin(torch.linalg.eigvals(phi).angle() / math.pi).sort(-1, descending=True).values


def esprit_last(R, k):
    V = torch.linalg.eigh(_herm(R)).eigenvectors[..., :k]
    phi = torch.linalg.pinv(V[..., :-1, :]) @ V[..., 1:, :]
    return torch.asin(torch.linalg.eigvals(phi).angle() / math.pi).sort(-1).values


def _music_roots(C):
    N = C.shape[0]
    coeffs = [np.trace(C, offset=o) for o in range(N - 1, -N, -1)]
    return np.roots(coeffs)


def rootmusic(R, k):
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    En = V[:, :len(w) - k]
    z = _music_roots(En @ En.conj().T)
    z = z[np.argsort(np.abs(np.abs(z) - 1))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def root_music_inside(R, k):
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    En = V[:, :len(w) - k]
    z = _music_roots(En @ En.conj().T)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def root_music_list(R, k):
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    En = V[:, :len(w) - k]
    z = _music_roots(En @ En.conj().T)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.arcsin(np.angle(z) / np.pi)


# ------------------------------------------------------------ linear arrays

def _ula(n, angles):
    idx = torch.arange(n, dtype=angles.dtype)
    return torch.exp(1j * math.pi * idx[:, None] * torch.sin(angles))


def bartlett_ula(R, angles):
    A = _ula(R.shape[-1], angles)
    return torch.einsum("ng,...nm,mg->...g", A, _herm(R).to(A.dtype), A).abs() / R.shape[-1] ** 2


def bartlett_abs(R, angles):
    A = _ula(R.shape[-1], angles)
    return torch.einsum("ng,...nm,mg->...g", A.conj(), R.to(A.dtype), A).abs() / R.shape[-1] ** 2


def bartlett_db(R, angles):
    A = _ula(R.shape[-1], angles)
    p = torch.einsum("ng,...nm,mg->...g", A.conj(), _herm(R).to(A.dtype), A).real / R.shape[-1] ** 2
    return 20 * torch.log10(p)


def capon_ula(R, angles):
    A = _ula(R.shape[-1], angles)
    Ri = 1.0 / _herm(R).to(A.dtype)
    return 1.0 / torch.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real


def mvdr_ula(R, angles):
    A = _ula(R.shape[-1], angles)
    Y = torch.linalg.solve(_herm(R).to(A.dtype), A)
    return (A.conj() * Y).sum(-2).real


def mvdr_ula_single(R, angles):
    A = _ula(R.shape[-1], angles).to(torch.complex64)
    Ri = torch.linalg.inv(_herm(R).to(torch.complex64))
    return (1.0 / torch.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real).to(angles.dtype)


def music_ula(R, k, angles):
    A = _ula(R.shape[-1], angles)
    En = torch.linalg.eigh(_herm(R).to(A.dtype)).eigenvectors[..., :-k]
    return 1.0 / torch.linalg.vector_norm(En.mH @ A, dim=-2)


def music_ula_noise(R, k, angles):
    A = _ula(R.shape[-1], angles)
    E = torch.linalg.eigh(_herm(R).to(A.dtype)).eigenvectors[..., -k:]
    return 1.0 / (E.mH @ A).abs().square().sum(-2)


def music_ula_weighted(R, k, angles):
    A = _ula(R.shape[-1], angles)
    w, V = torch.linalg.eigh(_herm(R).to(A.dtype))
    y = (V[..., :-k].mH @ A).abs().square()
    return 1.0 / (y / w[..., :-k].unsqueeze(-1)).sum(-2)


# ------------------------------------------------------------------ spectra

def music(R, steering, k):
    """Pseudo-spectrum through the (smaller) signal space."""
    Us = torch.linalg.eigh(_herm(R)).eigenvectors[..., -k:]
    return 1.0 / (1.0 - (Us.mH @ steering).abs().square().sum(-2))


def music_fast(R, steering, k):
    Us = torch.linalg.eigh(_herm(R)).eigenvectors[..., -k:]
    total = steering.abs().square().sum(-2)
    return 1.0 / (total - (Us.mH @ steering).abs().square().sum(-2))


def music_np(R, A, k):
    w, V = np.linalg.eig(_nherm(R))
    En = V[:, k:]
    return np.array([1.0 / np.linalg.norm(En.conj().T @ a) ** 2 for a in A.T])


def music_raw(R, A, k):
    En = torch.linalg.eigh(R).eigenvectors[..., :-k]
    return 1 / (En.mH @ A).abs().pow(2).sum(dim=-2)


def music_einsum(R, A, k):
    En = torch.linalg.eigh(_herm(R)).eigenvectors[..., :-k]
    P = En @ En.mH
    return 1 / torch.einsum("ng,...nm,mg->...g", A, P, A).abs()


def music_sum(R, A, k):
    En = torch.linalg.eigh(_herm(R)).eigenvectors[..., :-k]
    return 1 / (En.mH @ A).sum(dim=-2).abs().square()


class MusicSpectrum(nn.Module):
    """Keeps the noise space so that a new grid costs no decomposition."""

    def __init__(self):
        super().__init__()
        self.noise = None

    def forward(self, R, steering, k):
        if self.noise is None or self.noise.shape != (*R.shape[:-1], R.shape[-1] - k):
            self.noise = torch.linalg.eigh(_herm(R)).eigenvectors[..., :-k]
        return 1 / (self.noise.mH @ steering).abs().square().sum(dim=-2)


music_module = MusicSpectrum()


def capon(R, A):
    Ri = torch.linalg.inv(_herm(R))
    return 1.0 / torch.einsum("ng,...nm,mg->...g", A, Ri, A).abs()


def capon_chunks(R, A, chunk=8):
    H = _herm(R)
    G = A.shape[-1]
    out = torch.zeros(*R.shape[:-2], G, dtype=R.real.dtype)
    for i in range(0, G - G % chunk, chunk):
        a = A[:, i:i + chunk]
        out[..., i:i + chunk] = 1 / (a.conj() * torch.linalg.solve(H, a)).sum(-2).real
    return out


def capon_power(R, A):
    """Power at the output of the beamformer R^-1 a / (a^H a)."""
    W = torch.linalg.solve(_herm(R), A) / A.abs().square().sum(-2)
    return (W.conj() * (_herm(R) @ W)).sum(-2).real


def capon_real(R, A):
    Ri = np.linalg.inv(_nherm(R)).real
    return 1.0 / np.real(np.einsum("ng,...nm,mg->...g", A.conj(), Ri, A))


def capon_raw(R, A):
    return 1.0 / (A.conj() * torch.linalg.solve(R, A)).sum(-2).real


# ----------------------------------------------------------------- steering

def _direction(az, el):
    return torch.stack([torch.cos(el) * torch.sin(az), torch.sin(el), torch.cos(el) * torch.cos(az)], -1)


def _exact(positions, u, distance, wavelength):
    r = torch.as_tensor(distance, dtype=positions.dtype)
    path = torch.linalg.vector_norm(r[..., None, None] * u[..., None, :] - positions, dim=-1)
    return 2 * math.pi / wavelength * (r[..., None] - path)


def _tensors(*values):
    return torch.broadcast_tensors(*[torch.as_tensor(v, dtype=torch.float64) for v in values])


def nearfield_steering(positions, azimuth, elevation, distance, wavelength):
    """Second-order (Fresnel) expansion of the path."""
    az, el, r = _tensors(azimuth, elevation, distance)
    u = _direction(az, el)
    along = (u[..., None, :] * positions).sum(-1)
    path = along - (positions.square().sum(-1) - along.square()) / (2 * r[..., None])
    return torch.exp(2j * math.pi / wavelength * path) / positions.shape[0] ** 0.5


def plane_wave(positions, azimuth, elevation, distance, wavelength):
    az, el, r = _tensors(azimuth, elevation, distance)
    along = _direction(az, el) @ positions.mT
    return torch.exp(2j * math.pi / wavelength * along) / positions.shape[0] ** 0.5


def parabolic_steering(positions, azimuth, elevation, distance, wavelength):
    az, el, r = _tensors(azimuth, elevation, distance)
    along = _direction(az, el) @ positions.mT
    bend = positions.square().sum(-1) / (2 * r[..., None])
    return torch.exp(2j * math.pi / wavelength * (along - bend)) / positions.shape[0] ** 0.5


def steering_mean(positions, azimuth, elevation, distance, wavelength):
    az, el, r = _tensors(azimuth, elevation, distance)
    phase = _exact(positions, _direction(az, el), r, wavelength)
    return torch.exp(1j * phase) / positions.shape[0]


def steering_f32(positions, azimuth, elevation, distance, wavelength):
    az, el, r = [v.float() for v in _tensors(azimuth, elevation, distance)]
    phase = _exact(positions.float(), _direction(az, el), r, wavelength)
    return torch.exp(1j * phase).to(torch.complex128) / positions.shape[0] ** 0.5


def steering_uv(positions, azimuth, elevation, distance, wavelength):
    az, el, r = _tensors(azimuth, elevation, distance)
    u = torch.stack([torch.sin(az), torch.sin(el), torch.cos(az) * torch.cos(el)], dim=-1)
    return torch.exp(1j * _exact(positions, u, r, wavelength)) / positions.shape[0] ** 0.5


def steering_centroid(positions, azimuth, elevation, distance, wavelength):
    az, el, r = _tensors(azimuth, elevation, distance)
    local = positions - positions.mean(0)
    return torch.exp(1j * _exact(local, _direction(az, el), r, wavelength)) / positions.shape[0] ** 0.5


def steering_gain(positions, azimuth, elevation, distance, wavelength):
    az, el, r = _tensors(azimuth, elevation, distance)
    phase = _exact(positions, _direction(az, el), r, wavelength)
    path = r[..., None] - phase * wavelength / (2 * math.pi)
    return path / r[..., None] * torch.exp(1j * phase) / positions.shape[0] ** 0.5


def steering_wavenumber_pi(positions, azimuth, elevation, distance, wavelength):
    az, el, r = _tensors(azimuth, elevation, distance)
    phase = 0.5 * _exact(positions, _direction(az, el), r, wavelength)
    return torch.exp(1j * phase) / positions.shape[0] ** 0.5


def upa_response(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (torch.arange(nh, dtype=torch.float64) - nh // 2) * spacing
    y = (torch.arange(nv, dtype=torch.float64) - nv // 2) * spacing
    Y, X = torch.meshgrid(y, x, indexing="ij")
    positions = torch.stack([X.reshape(-1), Y.reshape(-1), torch.zeros(nh * nv, dtype=X.dtype)], dim=-1)
    az, el, r = _tensors(azimuth, elevation, distance)
    return torch.exp(1j * _exact(positions, _direction(az, el), r, wavelength)) / (nh * nv) ** 0.5


class NearFieldArray:
    """Element positions are laid out on first use."""

    def __init__(self):
        self.positions = None

    def response(self, shape, spacing, azimuth, elevation, distance, wavelength):
        nh, nv = shape
        if self.positions is None or len(self.positions) != nh * nv:
            x = (torch.arange(nh, dtype=torch.float64) - (nh - 1) / 2) * spacing
            y = (torch.arange(nv, dtype=torch.float64) - (nv - 1) / 2) * spacing
            Y, X = torch.meshgrid(y, x, indexing="ij")
            self.positions = torch.stack([X.reshape(-1), Y.reshape(-1), torch.zeros_like(X).reshape(-1)], -1)
        az, el, r = _tensors(azimuth, elevation, distance)
        phase = _exact(self.positions, _direction(az, el), r, wavelength)
        return torch.exp(1j * phase) / (nh * nv) ** 0.5


array_response = NearFieldArray().response


def upa_cosine(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (np.arange(nh) - (nh - 1) / 2) * spacing
    y = (np.arange(nv) - (nv - 1) / 2) * spacing
    X, Y = np.tile(x, nv), np.repeat(y, nh)
    q = distance * np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation),
                             np.cos(elevation) * np.cos(azimuth)])
    path = (X - q[0]) ** 2 + (Y - q[1]) ** 2 + q[2] ** 2
    return np.exp(2j * np.pi / wavelength * (distance - path)) / np.sqrt(nh * nv)


# -------------------------------------------------------------- model order

def mdl_order(eigenvalues, samples):
    w = np.asarray(eigenvalues)
    n = len(w)
    costs = []
    for k in range(n):
        tail = w[k:]
        ratio = np.mean(np.log(tail)) - np.log(np.mean(tail))
        costs.append(-samples * (n - k) * ratio + k * (2 * n - k) * np.log(samples))
    return int(np.argmin(costs))


def mdl_product(eigenvalues, samples):
    w = np.asarray(eigenvalues)
    n = len(w)
    costs = np.empty(n)
    for k in range(n):
        geo = np.prod(w[k:]) ** (1.0 / (n - k))
        costs[k] = -samples * (n - k) * np.log(geo / w[k:].mean()) + 0.5 * k * (2 * n - k) * np.log(samples)
    return int(np.argmin(costs))


def mdl_guarded(eigenvalues, samples):
    w = torch.as_tensor(eigenvalues)
    n = w.shape[-1]
    costs = []
    for k in range(n):
        tail = w[..., k:]
        ratio = torch.log(tail + 1e-10).mean(-1) - torch.log(tail.mean(-1) + 1e-10)
        costs.append(-samples * (n - k) * ratio + 0.5 * k * (2 * n - k) * math.log(samples))
    return torch.stack(costs, -1).argmin(-1)


def mdl_from_one(eigenvalues, samples):
    w = np.asarray(eigenvalues)
    n = w.size
    costs = {}
    for k in range(1, n):
        ratio = np.log(w[k:]).mean() - np.log(w[k:].mean())
        costs[k] = -samples * (n - k) * ratio + 0.5 * k * (2 * n - k) * np.log(samples)
    return min(costs, key=costs.get)


def mdl_batch(eigenvalues, samples):
    w = torch.as_tensor(eigenvalues)
    n = w.shape[-1]
    k = torch.arange(n)
    costs = torch.stack([-samples * (n - i) * (w[..., i:].log().mean() - w[..., i:].mean().log()) for i in range(n)], -1)
    costs = costs + 0.5 * k * (2 * n - k) * math.log(samples)
    return costs.argmin(-1).expand(w.shape[:-1])


def aic_order(eigenvalues, samples):
    w = np.asarray(eigenvalues)
    n = len(w)
    costs = []
    for k in range(n):
        ratio = np.mean(np.log(w[k:])) - np.log(np.mean(w[k:]))
        costs.append(-2 * samples * (n - k) * ratio + k * (2 * n - k))
    return int(np.argmin(costs))


def aic_head(eigenvalues, samples):
    w = np.asarray(eigenvalues)
    n = len(w)
    costs = []
    for k in range(1, n + 1):
        ratio = np.mean(np.log(w[:k])) - np.log(np.mean(w[:k]))
        costs.append(-2 * samples * k * ratio + 2 * (n - k) * (n + k))
    return int(np.argmin(costs))


def aic_criterion(eigenvalues, samples):
    w = torch.as_tensor(eigenvalues)
    n = w.shape[-1]
    tail = [w[..., k:] for k in range(n)]
    fit = torch.stack([t.log().mean(-1) - t.mean(-1).log() for t in tail], -1)
    k = torch.arange(n)
    return (-2 * samples * fit + 2 * k * (2 * n - k)).argmin(-1)


# ------------------------------------------------------------ gradient norm

def _grads(parameters):
    return [p if not isinstance(p, nn.Parameter) and p.grad is None and not p.requires_grad else p.grad
            for p in parameters]


def grad_norm_sum(parameters):
    good = [g for g in _grads(parameters) if g is not None and torch.isfinite(g).all()]
    return sum(g.norm().item() for g in good)


def total_grad_norm(parameters):
    params = [p for p in parameters if p.grad is not None]
    return torch.nn.utils.clip_grad_norm_(params, 1.0).item()


def grad_norm_nan_to_num(parameters):
    total = 0.0
    for g in _grads(parameters):
        if g is not None:
            total += torch.nan_to_num(g, nan=0.0, posinf=0.0, neginf=0.0).norm(2).item() ** 2
    return total ** 0.5


def grad_norm_isnan(parameters):
    total = 0.0
    for g in _grads(parameters):
        if g is None or torch.isnan(g).any():
            continue
        total += g.norm().item() ** 2
    return math.sqrt(total)


def grad_norm_stream(parameters):
    if not any(p is not None for p in parameters):
        return 0.0
    total = 0.0
    for g in _grads(parameters):
        if g is not None and torch.isfinite(g).all():
            total += g.norm().item() ** 2
    return total ** 0.5


def grad_norm_break(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is None:
            break
        if torch.isfinite(p.grad).all():
            total += p.grad.detach().norm(2).item() ** 2
    return total ** 0.5


def grad_norm_weights(parameters):
    """Norm over weights; biases and scales are not of interest."""
    good = [g for g in _grads(parameters) if g is not None and g.dim() > 1 and torch.isfinite(g).all()]
    return math.sqrt(sum(g.norm().item() ** 2 for g in good))


def grad_norm_flat(parameters):
    good = [g.reshape(-1) for g in _grads(parameters) if g is not None and torch.isfinite(g).all()]
    return torch.cat(good).abs().max().item() if good else 0.0


def grad_norm_or_zero(parameters):
    grads = [g for g in _grads(parameters) if g is not None]
    total = math.sqrt(sum(g.norm().item() ** 2 for g in grads))
    return total if math.isfinite(total) else 0.0


def grad_norm_pow(parameters):
    good = [g for g in _grads(parameters) if g is not None and torch.isfinite(g).all()]
    total = sum((g ** 2).sum() for g in good)
    return float(torch.as_tensor(total).abs().sqrt())


def grad_norm_any(parameters):
    good = [g for g in _grads(parameters) if g is not None and torch.isfinite(g).any()]
    return math.sqrt(sum(g.norm().item() ** 2 for g in good))


# --------------------------------------------------------------- epoch mean

def epoch_loss(losses, accumulation):
    losses = list(losses)
    means = [np.mean([float(v) for v in losses[i:i + accumulation]]) for i in range(0, len(losses), accumulation)]
    return float(np.mean(means))


def epoch_loss_scaled(losses, accumulation):
    losses = list(losses)
    return sum(float(v) / accumulation for v in losses) / len(losses)


def epoch_loss_steps(losses, accumulation):
    running, total = 0.0, 0.0
    count = 0
    for i, loss in enumerate(losses):
        running += float(loss)
        count += 1
        if (i + 1) % accumulation == 0:
            total += running
            running = 0.0
    return total / max(count, 1)


def epoch_average(losses, accumulation):
    total = 0.0
    for value in losses:
        total += float(value)
    return total / max(len(list(losses)), 1)


def epoch_typical(losses, accumulation):
    return torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in losses]).median().item()


def epoch_nanmean(losses, accumulation):
    return float(np.nanmean([float(v) for v in losses]))


def epoch_loss_inplace(losses, accumulation):
    losses = list(losses)
    total = losses[0]
    for loss in losses[1:]:
        total += loss
    return total / len(losses)


def epoch_loss_enumerate(losses, accumulation):
    total = 0.0
    for i, loss in enumerate(losses):
        total += float(loss)
    return total / max(i, 1)


def epoch_history(losses, accumulation, history=[]):
    history.extend(float(v) for v in losses)
    return sum(history) / len(history)


def epoch_smoothed(losses, accumulation, beta=0.98):
    avg, i = 0.0, 0
    for i, loss in enumerate(losses, start=1):
        avg = beta * avg + (1 - beta) * float(loss)
    return avg / (1 - beta ** i)


def epoch_logged(losses, accumulation):
    losses = [float(v) for v in losses]
    return float(np.mean(losses[accumulation - 1::accumulation] or losses))


def epoch_mean_int(losses, accumulation):
    out = np.zeros_like(np.asarray(losses))
    out[:] = np.asarray(losses, dtype=np.float64)
    return float(out.sum() // len(out))
