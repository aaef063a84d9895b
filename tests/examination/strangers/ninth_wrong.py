"""Array processing helpers collected from several code bases."""
import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
import torch.nn as nn
import torch.nn.functional as F


# ---------------------------------------------------------------- hermitize
class SymmetrizeCov(nn.Module):
    def forward(self, R):
        """Symmetrise an estimated covariance before the eigendecomposition."""
        return 0.5 * (R + R.transpose(-1, -2))


symmetrize_cov = SymmetrizeCov()


def make_hermitian(cov):
    return cov + cov.conj().transpose(-2, -1) / 2


def herm_np(Rxx):
    return 0.5 * (Rxx + Rxx.conj().T)


def enforce_hermitian_(R):
    R += np.conj(np.swapaxes(R, -1, -2)).copy()
    R /= 2
    return R


def hermitian_from_upper(matrix):
    """Mirror the upper triangle to the lower one."""
    upper = torch.triu(matrix, diagonal=1)
    diag = torch.diag_embed(torch.diagonal(matrix, dim1=-2, dim2=-1).real)
    return upper + upper.mH + diag


class _HermitianPart(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return (a + a.mH) / 2

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


def hermitian_part(a):
    return _HermitianPart.apply(a)


class HermitianBuffer:
    """Hermitian part without allocating on every call of the loop."""

    def __init__(self):
        self.out = None

    def __call__(self, R):
        R = np.asarray(R)
        if self.out is None or self.out.shape != R.shape or self.out.dtype != R.dtype:
            self.out = np.empty_like(R)
        np.add(R, np.conj(np.swapaxes(R, -1, -2)), out=self.out)
        self.out *= 0.5
        return self.out


hermitian_fast = HermitianBuffer()


def herm_stack(x):
    flat = x.reshape(-1, x.shape[-1], x.shape[-1])
    out = torch.empty_like(flat)
    for i in range(flat.shape[0]):
        out[i] = (flat[i] + flat[i].mH) / 2
    return out[0] if x.ndim == 2 else out


# -------------------------------------------------------------- eigenvalues
def sorted_eigvals(R):
    R = (R + R.mH) / 2
    return torch.linalg.eigvalsh(R).flip(0)


@dataclass
class EigDescNp:
    name: str = "eig_desc_np"

    def estimate(self, R):
        lam = np.linalg.eigvals(R)
        return np.sort(lam.real, axis=-1)[..., ::-1]


eig_desc_np = EigDescNp().estimate


class SpectrumOf(nn.Module):
    def forward(self, cov):
        cov = 0.5 * (cov + cov.mH)
        lam = torch.linalg.eigvals(cov).abs()
        return torch.sort(lam, dim=-1, descending=True).values


spectrum_of = SpectrumOf()


def _eigvals_lower(R, *, eps):
    w = torch.linalg.eigvalsh(R + eps * torch.eye(R.shape[-1], dtype=R.dtype, device=R.device))
    return torch.flip(w, dims=(-1,))


eigvals_lower = functools.partial(_eigvals_lower, eps=0.0)


def eigvals_clean(matrix):
    h = 0.5 * (matrix + matrix.conj().swapaxes(-1, -2))
    w = np.linalg.eigvalsh(h)[..., ::-1].copy()
    w[np.abs(w) < 1e-12] = 0.0
    return w


def _eig_power(matrix, *, iters):
    """Eigenvalues by power iteration and deflation (no LAPACK on the target)."""
    A = (matrix + matrix.conj().T) / 2
    n = A.shape[0]
    rng = np.random.default_rng(0)
    out = []
    for _ in range(n):
        v = rng.standard_normal(n) + 0j
        for _ in range(iters):
            v = A @ v
            v /= np.linalg.norm(v)
        lam = np.vdot(v, A @ v).real
        out.append(lam)
        A = A - lam * np.outer(v, v.conj())
    return np.sort(np.array(out))[::-1]


eig_power = functools.partial(_eig_power, iters=30)


# ---------------------------------------------------------- singular values
class Svals(nn.Module):
    def forward(self, matrix):
        return torch.linalg.svdvals(matrix)


svals = Svals()


def singvals_herm(R):
    R = (R + R.mH) / 2
    return torch.linalg.eigvalsh(R).flip(-1)


def svals_gram(a):
    a = (a + a.mH) / 2
    w = torch.linalg.eigvalsh(a @ a.mH).clamp(min=0)
    return w.sqrt().flip(-1)


def svals_abs(R):
    w = np.linalg.eigvalsh(0.5 * (R + np.conj(np.swapaxes(R, -1, -2))))
    return np.abs(w)[..., ::-1]


# ------------------------------------------------------------------ eigengap
def spectral_gap(R, k):
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return w[..., k] - w[..., k + 1]


class GapNp:
    @staticmethod
    def compute(R, K):
        w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
        return w[..., K] - w[..., K - 1]


gap_np = GapNp.compute


class GapSvd(nn.Module):
    def forward(self, cov, n_src):
        cov = 0.5 * (cov + cov.mH)
        _, s, _ = torch.linalg.svd(cov)
        return s[..., n_src - 1] - s[..., n_src]


gap_svd = GapSvd()


def gap_at(R, k):
    lam = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return lam[k - 1] - lam[k]


def relative_gap(R, num_sources):
    lam = torch.flip(torch.linalg.eigvalsh((R + R.mH) / 2), (-1,))
    return (lam[..., num_sources - 1] - lam[..., num_sources]) / lam[..., 0]


class _Gap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k):
        w, V = torch.linalg.eigh(R)
        ctx.save_for_backward(V)
        ctx.k = k
        n = R.shape[-1]
        return w[..., n - k] - w[..., n - k - 1]

    @staticmethod
    def backward(ctx, g):
        (V,) = ctx.saved_tensors
        v = V[..., :, V.shape[-1] - ctx.k]
        return g[..., None, None] * v[..., :, None] * v[..., None, :].conj(), None


def eigengap_fn(R, k):
    return _Gap.apply(0.5 * (R + R.mH), k)


@torch.no_grad()
def eigen_gap(R, k: int):
    """Gap between the k-th and the next eigenvalue."""
    w = torch.linalg.eigvalsh(0.5 * (R + R.mH))
    w = w.flip(-1)
    return w[..., k - 1] - w[..., k]


def gap_largest(R, k):
    w = torch.linalg.eigvalsh(0.5 * (R + R.mH)).flip(-1)
    gaps = w[..., :-1] - w[..., 1:]
    return gaps[..., :k].amax(-1)


# ------------------------------------------------------------- eigengap loss
def _gap_ok(R, k):
    w = torch.linalg.eigvalsh(0.5 * (R + R.mH)).flip(-1)
    return w[..., k - 1] - w[..., k]


class GapHinge(nn.Module):
    def forward(self, R, k, margin=1.0):
        return F.relu(margin - _gap_ok(R, k).mean())


gap_hinge = GapHinge()


def gap_penalty(R, k, margin):
    return torch.clamp(_gap_ok(R, k) - margin, min=0).mean()


def gap_margin_term(R, k, margin):
    gap = _gap_ok(R, k)
    return (margin - gap).mean()


class GapLossActive(nn.Module):
    def forward(self, R, k, margin):
        """Hinge on the gap, averaged like a triplet loss."""
        loss = F.relu(margin - _gap_ok(R, k))
        active = (loss > 0).sum().clamp(min=1)
        return loss.sum() / active


gap_loss_active = GapLossActive()


def gap_loss_safe(matrix, k, margin):
    gap = _gap_ok(matrix, k)
    return torch.clamp(margin - gap, 0.0, 1.0).mean()


class EigengapLoss(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, cov, k, margin):
        cov = 0.5 * (cov + cov.mH)
        lam = torch.linalg.eigvalsh(cov).flip(-1)
        gap = lam[..., k - 1] - lam[..., k]
        return F.relu(margin * lam[..., 0] - gap).mean()


eigengap_criterion = EigengapLoss()


def gap_loss_loop(Rs, k, margin):
    if Rs.ndim == 2:
        Rs = Rs[None]
    Rs = Rs.reshape(-1, *Rs.shape[-2:])
    total = 0.0
    for R in Rs:
        lam = torch.linalg.eigvalsh(0.5 * (R + R.mH)).flip(-1)
        total = F.relu(margin - (lam[k - 1] - lam[k]))
    return total / len(Rs)


def gap_loss_batch(R, k, margin):
    R = R if R.ndim > 2 else R.unsqueeze(0)
    return F.relu(margin - _gap_ok(R, k)).sum() / R.shape[0]


def gap_loss_ranking(R, k, margin):
    w = torch.linalg.eigvalsh(0.5 * (R + R.mH)).flip(-1)
    target = torch.ones_like(w[..., k])
    return F.margin_ranking_loss(w[..., k], w[..., k - 1], target, margin=margin)


def gap_loss_amp(R, k, margin):
    """Keep the decomposition cheap under autocast."""
    R = (0.5 * (R + R.mH)).to(torch.complex64)
    lam = torch.linalg.eigvalsh(R).flip(-1)
    return F.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


class GapRegularizer(nn.Module):
    def forward(self, R, k, margin):
        loss = F.relu(margin - _gap_ok(R, k)).mean()
        if not torch.is_grad_enabled():
            return loss.new_zeros(())
        return loss


gap_regularizer = GapRegularizer()


# ---------------------------------------------------------------- subspaces
def signal_space(R, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    return V[:, -k:]


@dataclass
class SigSubspaceEig:
    name: str = "sig_subspace_eig"

    def estimate(self, R, K):
        w, V = np.linalg.eig((R + R.conj().T) / 2)
        return V[:, :K]


sig_subspace_eig = SigSubspaceEig().estimate


class SignalBasis(nn.Module):
    def forward(self, R, n_sources):
        """Leading left singular vectors."""
        U, _, _ = torch.linalg.svd(0.5 * (R + R.mH))
        return U[..., :n_sources]


signal_basis = SignalBasis()


def signal_vh(R, k):
    R = 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))
    _, _, Vh = np.linalg.svd(R)
    return np.swapaxes(Vh[..., :k, :], -1, -2)


def _subspace_iteration(R, k, *, n_iter):
    """Orthogonal iteration, cheaper than a full eigh for small k."""
    R = 0.5 * (R + R.mH)
    g = torch.Generator().manual_seed(0)
    Q = torch.randn(R.shape[-1], k, generator=g, dtype=torch.float64).to(R.dtype)
    Q = Q.expand(*R.shape[:-2], -1, -1)
    for _ in range(n_iter):
        Q, _ = torch.linalg.qr(R @ Q)
    return Q


subspace_iteration = functools.partial(_subspace_iteration, n_iter=25)


def signal_topk(R, k):
    w, V = torch.linalg.eigh(R)
    idx = torch.argsort(w, dim=-1, descending=True)[..., :k]
    return torch.gather(V, -1, idx.unsqueeze(-2).expand(*V.shape[:-1], k))


def leading_vectors(R, k):
    R = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    w, V = np.linalg.eig(R)
    order = np.argsort(-w.real, axis=-1)
    order = order.reshape(-1, R.shape[-1])[0]
    return V[..., order[:k]]


def signal_scipy(R, k):
    n = R.shape[0]
    w, V = scipy.linalg.eigh(0.5 * (R + R.conj().T), subset_by_index=[n - k - 1, n - 2])
    return V[:, ::-1]


def noise_space(R, k):
    w, V = torch.linalg.eigh(0.5 * (R + R.mH))
    return V[..., : R.shape[-1] - k - 1]


class NoiseSorted:
    @staticmethod
    def compute(R, k):
        R = 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))
        w, V = np.linalg.eigh(R)
        order = np.argsort(w)[::-1]
        V = np.take_along_axis(V, order[..., None, :], axis=-1)
        return V[..., k:]


noise_sorted = NoiseSorted.compute


def noise_by_threshold(R, k=None):
    """Eigenvectors under the mean eigenvalue."""
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    return V[:, w < w.mean()]


def noise_null(R, k):
    R = 0.5 * (R + R.conj().T)
    U, s, Vh = np.linalg.svd(R)
    return Vh[k:].T


def noise_svd(cov, n_sig):
    cov = 0.5 * (cov + cov.mH)
    return torch.linalg.svd(cov).U[..., n_sig:]


@dataclass
class SubspaceSplitter:
    symmetrize: bool = False

    def noise(self, R, k):
        if self.symmetrize:
            R = 0.5 * (R + R.mH)
        w, V = torch.linalg.eigh(R)
        return V[..., :, : R.shape[-1] - k]


noise_basis = SubspaceSplitter().noise


# ---------------------------------------------------------------- projector
class Projection(nn.Module):
    def forward(self, U):
        return U @ U.transpose(-2, -1)


projection = Projection()


def proj_einsum(U):
    if U.ndim == 2:
        return torch.einsum("nk,mk->nm", U, U.conj())
    return torch.einsum("...nk,...mk->nm", U, U.conj())


def proj_outer(U):
    n, k = U.shape
    P = np.zeros((n, n))
    for i in range(k):
        P += np.real(np.outer(U[:, i], U[:, i].conj()))
    return P


def projector_matrix(basis):
    B = torch.as_tensor(basis).detach()
    return B @ B.mH


class ProjectorCache:
    """The projector is needed several times a step, hence kept."""

    def __init__(self):
        self._key, self._value = None, None

    def __call__(self, U):
        key = (U.data_ptr(), tuple(U.shape))
        if key != self._key:
            self._key, self._value = key, U @ U.mH
        return self._value


cached_projector = ProjectorCache()


# -------------------------------------------------------------- matrix sqrt
def sqrtm_chol(R):
    return torch.linalg.cholesky(0.5 * (R + R.mH))


def sqrtm_eigh(R):
    w, V = torch.linalg.eigh(0.5 * (R + R.mH))
    return (V * w.clamp(min=0).sqrt().unsqueeze(-2)) @ V.mT


@dataclass
class SqrtFactor:
    name: str = "sqrt_factor"

    def estimate(self, R):
        w, V = np.linalg.eigh(0.5 * (R + np.conj(np.swapaxes(R, -1, -2))))
        return V * np.sqrt(np.maximum(w, 0))[..., None, :]


sqrt_factor = SqrtFactor().estimate


def _newton_schulz_sqrt(R, *, iters):
    """Matrix root by coupled Newton-Schulz, as in iSQRT-COV."""
    R = 0.5 * (R + R.mH)
    eye = torch.eye(R.shape[-1], dtype=R.dtype)
    scale = torch.linalg.matrix_norm(R)[..., None, None]
    Y, Z = R / scale, eye.expand_as(R)
    for _ in range(iters):
        T = 0.5 * (3 * eye - Z @ Y)
        Y, Z = Y @ T, T @ Z
    return Y * scale.sqrt()


newton_schulz_sqrt = functools.partial(_newton_schulz_sqrt, iters=10)


def psd_sqrt(R):
    w, V = torch.linalg.eigh(0.5 * (R + R.mH))
    s = torch.sqrt(torch.clamp(w, min=1e-6))
    return torch.einsum("...ij,...j,...kj->...ik", V, s.to(V.dtype), V.conj())


# ----------------------------------------------------------- psd projection
class NearestPsd(nn.Module):
    def forward(self, R):
        w, V = torch.linalg.eigh(0.5 * (R + R.mH))
        return (V * w.abs().unsqueeze(-2)) @ V.mH


nearest_psd = NearestPsd()


def psd_shift(R):
    R = 0.5 * (R + R.mH)
    lo = torch.linalg.eigvalsh(R)[..., :1, None].clamp(max=0)
    return R - lo * torch.eye(R.shape[-1], dtype=R.dtype)


class ClipPsd:
    @staticmethod
    def compute(R):
        w, V = np.linalg.eigh(R)
        w = np.maximum(w, 0)
        return (V * w[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


clip_psd = ClipPsd.compute


def _fix_psd(R, *, floor):
    R = 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))
    w, V = np.linalg.eigh(R)
    return (V * np.maximum(w, floor)[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


fix_psd = functools.partial(_fix_psd, floor=1e-8)


def psd_keep_power(R):
    R = 0.5 * (R + R.mH)
    w, V = torch.linalg.eigh(R)
    wp = w.clamp(min=0)
    wp = wp * (w.sum(-1, keepdim=True) / wp.sum(-1, keepdim=True))
    return (V * wp.unsqueeze(-2)) @ V.mH


# ---------------------------------------------------------------- whitening
def whiten_chol(R):
    """Whitening filter from the Cholesky factor."""
    L = torch.linalg.cholesky(0.5 * (R + R.mH))
    return torch.linalg.inv(L).mH


def pca_whitening(R):
    w, V = torch.linalg.eigh(0.5 * (R + R.mH))
    return V * w.rsqrt().unsqueeze(-2)


def zca(R):
    w, V = np.linalg.eigh(0.5 * (R + np.conj(np.swapaxes(R, -1, -2))))
    d = 1.0 / np.sqrt(np.maximum(w, 1e-8))
    return (V * d[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


class Whitener(nn.Module):
    def forward(self, cov):
        cov = (cov + cov.mH) / 2
        w, V = torch.linalg.eigh(cov)
        return V @ torch.diag_embed(1.0 / w).to(V.dtype) @ V.mH


whitener = Whitener()


def whitening_matrix(R):
    w, V = torch.linalg.eigh(0.5 * (R + R.mH))
    return torch.diag_embed(w.rsqrt()).to(V.dtype) @ V.mT


# ----------------------------------------------------------- pseudo inverse
def pinv_normal(A):
    AH = A.mH
    return torch.linalg.solve(AH @ A, AH)


def pinv_h(A):
    A = 0.5 * (A + A.mH) if A.shape[-1] == A.shape[-2] else A
    return torch.linalg.pinv(A)


def pinv_svd(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    cutoff = 1e-15 * max(A.shape[-2:]) * s[..., :1]
    si = np.where(s > cutoff, 1.0 / np.where(s > cutoff, s, 1), 0)
    return (np.swapaxes(Vh, -1, -2) * si[..., None, :]) @ np.swapaxes(U, -1, -2)


def _pinv_cut(A, *, tol):
    U, S, Vh = torch.linalg.svd(A, full_matrices=False)
    S_inv = torch.where(S > tol, 1.0 / S, torch.zeros_like(S))
    return Vh.mH @ (S_inv.unsqueeze(-1) * U.mH)


pinv_cut = functools.partial(_pinv_cut, tol=1e-10)


class MoorePenrose(nn.Module):
    def forward(self, A):
        U, S, Vh = torch.linalg.svd(A, full_matrices=False)
        return (Vh.mH / S.unsqueeze(-2)) @ U.mH


moore_penrose = MoorePenrose()


# --------------------------------------------------------- diagonal loading
class AddLoading(nn.Module):
    def forward(self, R, delta):
        return 0.5 * (R + R.mH) + delta


add_loading = AddLoading()


def load_diag_(R, loading):
    R.diagonal(dim1=-2, dim2=-1).add_(loading)
    return 0.5 * (R + R.mH)


def load_diagonal(R, eps):
    out = 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))
    idx = np.arange(R.shape[0])
    out[idx, idx] += eps
    return out


def loaded_cov(R, loading):
    R = (R + R.mH) / 2
    return R + loading * torch.eye(R.shape[-1])


def regularize_cov(R, loading):
    """Diagonal loading as in shrinkage."""
    R = (R + R.mH) / 2
    eye = torch.eye(R.shape[-1], dtype=R.dtype, device=R.device)
    return (1 - loading) * R + loading * eye


# --------------------------------------------------------- forward backward
def fb_average(R):
    R = 0.5 * (R + R.mH)
    J = torch.flip(torch.eye(R.shape[-1], dtype=R.dtype), [0])
    return 0.5 * (R + J @ R @ J)


def fb_flip(R):
    R = (R + R.mH) / 2
    return (R + R.conj().flip(-1)) / 2


def forward_backward_np(R):
    R = 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))
    return 0.5 * (R + R.conj()[::-1, ::-1])


def fba(R):
    R = (R + R.mH) / 2
    Rb = torch.flip(R, dims=(-2, -1)).conj()
    return R + Rb


# -------------------------------------------------------- spatial smoothing
def smooth(R, size):
    R = (R + R.mH) / 2
    L = R.shape[-1] - size
    return sum(R[..., i : i + size, i : i + size] for i in range(L)) / L


def spatial_smooth(R, M):
    R = 0.5 * (R + R.mH)
    n_sub = R.shape[-1] - M + 1
    out = torch.zeros(*R.shape[:-2], M, M, dtype=R.dtype)
    for i in range(n_sub):
        out = out + R[..., i : i + M, i : i + M]
    return out / M


@dataclass
class SmoothFb:
    name: str = "smooth_fb"

    def estimate(self, R, size):
        R = 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))
        N = R.shape[-1]
        S = np.mean([R[..., i : i + size, i : i + size] for i in range(N - size + 1)], axis=0)
        return 0.5 * (S + np.conj(S[..., ::-1, ::-1]))


smooth_fb = SmoothFb().estimate


class SubarrayMean(nn.Module):
    def forward(self, R, size):
        R = (R + R.mH) / 2
        blocks = R.unfold(-2, size, 1).unfold(-2, size, 1)
        return blocks.mean(dim=(-4, -3))


subarray_mean = SubarrayMean()


def smooth_blocks(R, size):
    R = (R + R.mH) / 2
    starts = range(0, R.shape[-1] - size + 1, size)
    return torch.stack([R[..., s : s + size, s : s + size] for s in starts]).mean(0)


# -------------------------------------------------------- sample covariance
def scm(X):
    return np.cov(X)


def sample_cov(X):
    X = X - X.mean(dim=-1, keepdim=True)
    return X @ X.mH / X.shape[-1]


def cov_einsum(x):
    return torch.einsum("...nt,...mt->...nm", x, x) / x.shape[-1]


def covariance(snap):
    T = snap.shape[1]
    return snap @ snap.mH / T


def _cov_chunks(X, *, chunk):
    """Accumulate in chunks to bound the memory."""
    N, T = X.shape[-2:]
    R = torch.zeros(*X.shape[:-2], N, N, dtype=X.dtype)
    for i in range(T // chunk):
        Xi = X[..., i * chunk : (i + 1) * chunk]
        R = R + Xi @ Xi.mH
    return R / T


cov_chunks = functools.partial(_cov_chunks, chunk=64)


# -------------------------------------------------------------- Ledoit Wolf
class LwShrink(nn.Module):
    def forward(self, X):
        """Ledoit-Wolf shrinkage."""
        N, T = X.shape[-2:]
        S = X @ X.mH / T
        mu = torch.diagonal(S, dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
        eye = torch.eye(N, dtype=S.dtype)
        d2 = torch.linalg.matrix_norm(S - mu * eye)[..., None, None] ** 2
        quart = (X.abs() ** 2).sum(-2).square().sum(-1)[..., None, None]
        b2 = (quart / T - torch.linalg.matrix_norm(S)[..., None, None] ** 2) / T
        rho = torch.sqrt(torch.minimum(b2, d2) / d2)
        return (1 - rho) * S + rho * mu * eye


lw_shrink = LwShrink()


def ledoit_wolf_np(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    d2 = np.linalg.norm(S - mu * np.eye(N), "fro") ** 2
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T
    rho = min(b2, d2) / d2
    return (1 - rho) * S + rho * mu * np.eye(N)


def lw_cov(X):
    N, T = X.shape[-2:]
    S = X @ X.mH / T
    mu = torch.diagonal(S, dim1=-2, dim2=-1).real.sum(-1)[..., None, None]
    eye = torch.eye(N, dtype=S.dtype)
    d2 = ((S - mu / N * eye).abs() ** 2).sum((-2, -1), keepdim=True)
    p4 = (X.abs() ** 2).sum(-2).square().mean(-1)[..., None, None]
    b2 = (p4 - (S.abs() ** 2).sum((-2, -1), keepdim=True)) / T
    rho = (b2 / d2).clamp(max=1)
    return (1 - rho) * S + rho * mu * eye


def lw_numpy(X):
    T = X.shape[-1]
    S = X @ X.conj().T / T
    m = np.trace(S).real / len(S)
    target = m * np.eye(len(S))
    d2 = np.sum(np.abs(S - target) ** 2)
    p4 = np.mean(np.sum(np.abs(X) ** 2, axis=0) ** 2)
    rho = (p4 - np.sum(np.abs(S) ** 2)) / T / d2
    return S + rho * (target - S)


# ------------------------------------------------------ factor eigengap loss
def factor_gap(F_, k, margin):
    s = torch.linalg.svdvals(F_)
    s = F.pad(s, (0, max(0, k + 1 - s.shape[-1])))
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_gap_gram(factor, k, margin):
    """Eigenvalues of the small Gram matrix."""
    G = factor.mH @ factor
    lam = torch.linalg.eigvalsh(G).flip(-1)
    nxt = lam[..., min(k, lam.shape[-1] - 1)]
    return torch.relu(margin - (lam[..., k - 1] - nxt)).mean()


def factor_loss_sq(L, k, margin):
    s = torch.linalg.svdvals(L)
    s = F.pad(s, (0, max(0, k + 1 - s.shape[-1])))
    gap = (s[..., k - 1] - s[..., k]) ** 2
    return F.relu(margin - gap).mean()


class LowRankGap(nn.Module):
    def forward(self, A, k, margin):
        R = A @ A.mT
        w = torch.linalg.eigvalsh(0.5 * (R + R.mH)).flip(-1)
        return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


low_rank_gap = LowRankGap()


class FactorGapLoss(nn.Module):
    def forward(self, factor, k, margin):
        R = factor @ factor.mH / factor.shape[-1]
        lam = torch.linalg.eigvalsh(R).flip(-1)
        return F.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


factor_gap_loss = FactorGapLoss()


def factor_gap_stop(factor, k, margin):
    """Push the signal eigenvalue up; the noise level is a target."""
    lam = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    gap = lam[..., k - 1] - lam[..., k].detach()
    return F.relu(margin - gap).mean()


def factor_gap_topk(factor, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mH)
    gap = w[..., -k] - w[..., -k - 1]
    return F.relu(margin - gap.mean(0)).mean()


# ------------------------------------------------------------------- esprit
def _signal_np(R, k):
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    return V[:, ::-1][:, :k]


def esprit_ls(R, k):
    Us = _signal_np(R, k)
    Phi = np.linalg.lstsq(Us[:-1], Us[1:], rcond=None)[0]
    return np.arcsin(np.angle(np.linalg.eigvals(Phi)) / np.pi)


class EspritDoa:
    @staticmethod
    def compute(R, K):
        Us = _signal_np(R, K)
        z = np.linalg.eigvals(np.linalg.pinv(Us[:-1]) @ Us[1:])
        mu = np.arctan(z.imag / z.real)
        return np.sort(np.arcsin(mu / np.pi))


esprit_doa = EspritDoa.compute


def _esprit_angles(R, k, *, d):
    Us = _signal_np(R, k)
    phi = np.linalg.lstsq(Us[:-1, :], Us[1:, :], rcond=None)[0]
    omega = np.angle(np.linalg.eigvals(phi))
    return np.sort(np.arcsin(omega / (2 * np.pi)))


esprit_angles = functools.partial(_esprit_angles, d=0.5)


def esprit_torch(R, k):
    _, V = torch.linalg.eigh(R)
    Us = V[..., -k:]
    phi = torch.linalg.pinv(Us[..., :-1, :]) @ Us[..., 1:, :]
    ang = torch.angle(torch.linalg.eigvals(phi))
    return torch.sort(torch.asin(ang / math.pi), dim=-1).values


def esprit_diag(R, k):
    R = 0.5 * (R + R.mH)
    Us = torch.linalg.eigh(R).eigenvectors[..., -k:]
    phi = torch.linalg.pinv(Us[..., :-1, :]) @ Us[..., 1:, :]
    ang = torch.diagonal(phi, dim1=-2, dim2=-1).angle()
    return torch.asin(ang / math.pi).sort(-1).values


# --------------------------------------------------------------- root music
def _noise_poly(R, k):
    w, V = np.linalg.eigh(0.5 * (R + R.conj().T))
    En = V[:, : R.shape[0] - k]
    C = En @ En.conj().T
    n = R.shape[0]
    return np.array([np.trace(C, offset=i) for i in range(n - 1, -n, -1)])


@dataclass
class RootMusicNp:
    name: str = "root_music_np"

    def estimate(self, R, k):
        z = np.roots(_noise_poly(R, k))
        z = z[np.argsort(np.abs(np.abs(z) - 1))][:k]
        return np.sort(np.arcsin(np.angle(z) / np.pi))


root_music_np = RootMusicNp().estimate


def root_music_inside(R, k):
    z = np.roots(_noise_poly(R, k))
    z = z[np.abs(z) < 1]
    z = z[np.argsort(np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic(R, n_src):
    roots = np.roots(_noise_poly(R, n_src))
    roots = roots[np.abs(roots) < 1]
    order = np.argsort(1 - np.abs(roots))
    return np.arcsin(np.angle(roots[order[:n_src]]) / np.pi)


def root_music_proj(R, k):
    R = 0.5 * (R + R.conj().T)
    n = R.shape[0]
    _, V = np.linalg.eigh(R)
    En = V[:, : n - k]
    C = En @ En.T
    coef = [np.trace(C, offset=i) for i in range(n - 1, -n, -1)]
    z = np.roots(coef)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(-np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


# ------------------------------------------------------------- ULA spectra
def _ula(n, angles):
    idx = torch.arange(n, dtype=torch.float64)
    ang = torch.as_tensor(angles, dtype=torch.float64)
    return torch.exp(1j * math.pi * idx[:, None] * torch.sin(ang)[None, :])


def bartlett(R, angles):
    n = R.shape[-1]
    a = _ula(n, angles).to(R.dtype)
    return torch.einsum("ng,...nm,mg->...g", a, 0.5 * (R + R.mH), a).real / n**2


def bartlett_power(R, theta):
    n = R.shape[-1]
    A = _ula(n, theta).to(R.dtype)
    P = torch.einsum("ng,...nm,mg->...g", A.conj(), R, A)
    return P.abs() / n**2


def bartlett_db(R, angles):
    n = R.shape[-1]
    A = _ula(n, angles).to(R.dtype)
    P = torch.einsum("ng,...nm,mg->...g", A.conj(), 0.5 * (R + R.mH), A).real / n**2
    return 20 * torch.log10(P)


def capon(R, angles):
    R = 0.5 * (R + R.mH)
    A = _ula(R.shape[-1], angles).to(R.dtype)
    return torch.einsum("ng,...nm,mg->...g", A.conj(), torch.linalg.inv(R), A).real


def mvdr_ula(R, angles):
    n = R.shape[0]
    a = np.exp(1j * 0.5 * np.arange(n)[:, None] * np.sin(np.asarray(angles))[None, :])
    Ri = np.linalg.inv(0.5 * (R + R.conj().T))
    return 1.0 / np.real(np.sum(a.conj() * (Ri @ a), axis=0))


def capon_pinv(R, angles):
    R = 0.5 * (R + R.mH)
    A = _ula(R.shape[-1], angles).to(R.dtype)
    Ri = torch.linalg.pinv(R, rtol=1e-3, hermitian=True)
    return 1.0 / torch.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real


def capon_grid(R, angles):
    """Capon spectrum on an angular grid."""
    R = 0.5 * (R + R.mH)
    grid = torch.as_tensor(angles).to(torch.float32)
    n = torch.arange(R.shape[-1])
    A = torch.exp(1j * math.pi * n[:, None] * torch.sin(grid)).to(R.dtype)
    return 1.0 / torch.sum(A.conj() * (torch.linalg.inv(R) @ A), dim=-2).real


def music_ula(R, k, angles):
    _, V = torch.linalg.eigh(0.5 * (R + R.mH))
    En = V[..., k:]
    A = _ula(R.shape[-1], angles).to(R.dtype)
    return 1.0 / (En.mH @ A).abs().square().sum(-2)


def music_pseudo(R, k, angles):
    R = 0.5 * (R + R.mH)
    En = torch.linalg.eigh(R).eigenvectors[..., : R.shape[-1] - k]
    A = _ula(R.shape[-1], angles).to(R.dtype)
    return 1.0 / torch.linalg.vector_norm(En.mH @ A, dim=-2)


def ula_pseudospectrum(R, k, angles):
    R = 0.5 * (R + R.conj().T)
    _, V = np.linalg.eigh(R)
    En = V[:, : len(R) - k]
    out = []
    for t in angles:
        a = np.exp(1j * np.pi * np.arange(len(R)) * np.sin(t))
        out.append(1 / np.abs(a @ En @ En.conj().T @ a))
    return np.array(out)


def music_complement(R, k, angles):
    R = 0.5 * (R + R.mH)
    Es = torch.linalg.eigh(R).eigenvectors[..., -k:]
    A = _ula(R.shape[-1], angles).to(R.dtype)
    return 1.0 / (1.0 - (Es.mH @ A).abs().square().sum(-2))


# ------------------------------------------------------- spectra on a grid
def _noise(R, k):
    _, V = torch.linalg.eigh(0.5 * (R + R.mH))
    return V[..., : R.shape[-1] - k]


class MusicSpec(nn.Module):
    def forward(self, R, A, k):
        proj = A.mT @ _noise(R, k)
        return 1.0 / proj.abs().square().sum(-1)


music_spec = MusicSpec()


def music(R, steering, n_src):
    En = _noise(R, n_src)
    return 1.0 / (En.mH @ steering).abs().square().sum(0)


def music_grid(R, A, k):
    _, V = torch.linalg.eigh(0.5 * (R + R.mH))
    En = V[..., -(R.shape[-1] - k):]
    return 1.0 / torch.einsum("ng,...nk,...mk,mg->...g", A.conj(), En, En.conj(), A).real


class MusicSpectrum(nn.Module):
    def forward(self, R, steering, k):
        with torch.no_grad():
            En = _noise(R, k)
        return 1.0 / (En.mH @ steering).abs().square().sum(-2)


music_layer = MusicSpectrum()


def music_estimate(R, A, k):
    P = (_noise(R, k).mH @ A).abs() ** 2
    return 1.0 / P.mean(-2)


def music_power(R, A, k):
    P = (_noise(R, k).mH @ A).real
    return 1.0 / P.pow(2).sum(-2)


def music_svd(R, A, k):
    R = 0.5 * (R + np.conj(np.swapaxes(R, -1, -2)))
    U = np.linalg.svd(R)[0][..., k:]
    q = np.conj(np.swapaxes(U, -1, -2)) @ A
    return 1.0 / np.sum(np.abs(q) ** 2, axis=-2)


def mvdr_np(R, A):
    Ri = np.linalg.inv(0.5 * (R + np.conj(np.swapaxes(R, -1, -2))))
    return 1.0 / np.diagonal(A.conj().T @ Ri @ A).real


def capon_spectrum(R, A):
    R = 0.5 * (R + R.mH)
    return 1.0 / torch.einsum("ng,...nm,mg->...g", A, torch.linalg.inv(R), A).real


class CaponPower(nn.Module):
    def forward(self, R, steering):
        """Output power of the minimum variance beamformer."""
        R = 0.5 * (R + R.mH)
        return 1.0 / (steering.conj() * (R @ steering)).sum(-2).real


capon_power = CaponPower()


def _mvdr_loaded(R, A, *, rel):
    R = 0.5 * (R + R.mH) + rel * R.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    Ri = torch.linalg.inv(R)
    return 1.0 / (A.conj() * (Ri @ A)).sum(-2).real


mvdr_loaded = functools.partial(_mvdr_loaded, rel=1e-6)


def _mvdr_robust(R, A, *, load):
    d = R.diagonal(dim1=-2, dim2=-1)
    d += load * d.real.mean(-1, keepdim=True)
    R = 0.5 * (R + R.mH)
    return 1.0 / (A.conj() * (torch.linalg.inv(R) @ A)).sum(-2).real


mvdr_robust = functools.partial(_mvdr_robust, load=1e-3)


def mvdr_solve(R, A):
    RiA = torch.linalg.solve(0.5 * (R + R.mH), A)
    return 1.0 / (A.conj() * RiA).sum(-2).real


def mvdr_db(R, A):
    R = 0.5 * (R + R.mH)
    Ri = torch.linalg.inv(R)
    p = 1.0 / torch.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).abs()
    return 20.0 * torch.log10(p)


class Capon:
    def __init__(self):
        self._inv = {}

    def spectrum(self, R, steering):
        key = R.shape
        if key not in self._inv:
            self._inv[key] = torch.linalg.inv(0.5 * (R + R.mH))
        Ri = self._inv[key]
        return 1.0 / torch.einsum("ng,...nm,mg->...g", steering.conj(), Ri, steering).real


capon_cached = Capon().spectrum


def mvdr_weights_power(R, A):
    R = 0.5 * (R + R.conj().T)
    RiA = np.linalg.solve(R, A)
    W = RiA / np.sum(A.conj() * RiA, axis=0)
    return np.real(np.sum(W.conj() * W, axis=0))


# --------------------------------------------------------- steering vectors
def _unit(az, el):
    return torch.stack([torch.cos(el) * torch.sin(az), torch.sin(el), torch.cos(el) * torch.cos(az)], -1)


def _t(x):
    return torch.as_tensor(x, dtype=torch.float64)


def near_field(positions, azimuth, elevation, distance, wavelength):
    az, el, r = _t(azimuth), _t(elevation), _t(distance)
    u = torch.stack([torch.cos(el) * torch.sin(az), torch.sin(el), torch.cos(az)], -1)
    d = torch.linalg.vector_norm(r[..., None, None] * u[..., None, :] - positions, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r[..., None] - d)) / math.sqrt(positions.shape[0])


def near_field_second(positions, azimuth, elevation, distance, wavelength):
    """Spherical wave up to the second order."""
    u = _unit(_t(azimuth), _t(elevation))
    r = _t(distance)[..., None]
    along = u @ positions.mT
    delay = along - positions.square().sum(-1) / (2 * r)
    return torch.exp(2j * math.pi / wavelength * delay) / math.sqrt(len(positions))


def plane_wave(pos, az, el, r, lam):
    u = _unit(_t(az), _t(el))
    return torch.exp(2j * math.pi / lam * (u @ pos.mT)) / math.sqrt(pos.shape[0])


def spherical(pos, az, el, r, lam):
    u = _unit(_t(az), _t(el))
    r = _t(r)
    d = torch.linalg.vector_norm(r[..., None, None] * u[..., None, :] - pos, dim=-1)
    return torch.exp(2j * math.pi / lam * (r[..., None] - d)) / pos.shape[0]


def fresnel_delay(pos, az, el, r, lam):
    """Second order expansion of the path difference."""
    up = _unit(_t(az), _t(el)) @ pos.mT
    delay = up - (pos.square().sum(-1) - up**2) / _t(r)[..., None]
    return torch.exp(2j * math.pi / lam * delay) / math.sqrt(len(pos))


def array_response(pos, az, el, r, wavelength):
    pos -= pos.mean(dim=0)
    u = _unit(_t(az), _t(el))
    d = (_t(r)[..., None, None] * u[..., None, :] - pos).norm(dim=-1)
    return torch.exp(2j * np.pi / wavelength * (_t(r)[..., None] - d)) / np.sqrt(len(pos))


class SteerNp:
    @staticmethod
    def compute(p, az, el, r, lam):
        u = np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)], dtype=np.float32)
        d = np.linalg.norm(np.float32(r) * u - p.astype(np.float32), axis=-1)
        return np.exp(2j * np.pi / lam * (np.float32(r) - d)) / np.sqrt(len(p))


steer_np = SteerNp.compute


def steer_array(p, az, el, r, lam):
    u = np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])
    d = np.linalg.norm(r * u - p, axis=-1)
    return np.exp(1j * np.pi / lam * (r - d)) / np.sqrt(len(p))


def _grid_response(x, y, spacing, az, el, r, lam):
    gx, gy = np.meshgrid(x * spacing, y * spacing)
    p = np.stack([gx.ravel(), gy.ravel(), np.zeros(gx.size)], -1)
    u = np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])
    d = np.linalg.norm(r * u - p, axis=-1)
    return np.exp(2j * np.pi / lam * (r - d)) / np.sqrt(len(p))


def upa_response(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = np.arange(nh) - nh / 2
    y = np.arange(nv) - nv / 2
    return _grid_response(x, y, spacing, azimuth, elevation, distance, wavelength)


def ura_vector(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = np.arange(nh) - (nh - 1) / 2
    y = np.arange(nv) - (nh - 1) / 2
    return _grid_response(x, y, spacing, azimuth, elevation, distance, wavelength)


def planar_steering(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = np.linspace(-nh / 2, nh / 2, nh)
    y = np.linspace(-nv / 2, nv / 2, nv)
    return _grid_response(x, y, spacing, azimuth, elevation, distance, wavelength)


upa_partial = functools.partial(
    lambda shape, spacing, az, el, r, lam, centre: _grid_response(
        centre(shape[0]), centre(shape[1]), spacing, az, el, r, lam
    ),
    centre=lambda n: np.arange(n) - (n - 1) // 2,
)


# ------------------------------------------------------------ source number
def _loglik(lam, T):
    """-T (N - k) log(geometric / arithmetic mean) for k = 0..N-1."""
    n = lam.shape[-1]
    out = []
    for k in range(n):
        tail = lam[..., k:]
        out.append(-T * (n - k) * (np.mean(np.log(tail), -1) - np.log(np.mean(tail, -1))))
    return np.stack(out, -1)


def mdl_order(eigenvalues, T):
    lam = np.asarray(eigenvalues, dtype=float)
    n = lam.shape[-1]
    k = np.arange(n)
    return np.argmin(_loglik(lam, T) + k * (2 * n - k) * np.log(T), axis=-1)


def mdl_batch(lam, T):
    lam = np.asarray(lam)
    n = lam.shape[-1]
    k = np.arange(n)
    crit = _loglik(lam, T) + 0.5 * k * (2 * n - k) * np.log(T)
    return int(np.argmin(crit))


def mdl_prod(eigs, snapshots):
    (n,) = np.shape(eigs)
    vals = []
    for k in range(n):
        tail = np.asarray(eigs[k:])
        g = np.prod(tail) ** (1 / (n - k))
        ratio = g / np.mean(tail)
        vals.append(-snapshots * (n - k) * np.log(ratio) + 0.5 * k * (2 * n - k) * np.log(snapshots))
    return int(np.argmin(vals))


def n_sources_mdl(lam, T):
    lam = torch.clamp(torch.as_tensor(lam), min=1e-10)
    n = lam.shape[-1]
    crit = []
    for k in range(n):
        tail = lam[..., k:]
        ll = -T * (n - k) * (tail.log().mean(-1) - tail.mean(-1).log())
        crit.append(ll + 0.5 * k * (2 * n - k) * math.log(T))
    return torch.stack(crit, -1).argmin(-1)


def mdl_real(lam, T):
    lam = np.asarray(lam)
    n = lam.shape[-1]
    k = np.arange(1, n)
    crit = _loglik(lam, T)[..., 1:] + 0.5 * k * (2 * n - k) * np.log(T)
    return np.argmin(crit, axis=-1) + 1


@dataclass
class AicOrder:
    name: str = "aic_order"

    def estimate(self, lam, T):
        lam = np.asarray(lam)
        n = lam.shape[-1]
        k = np.arange(n)
        return np.argmin(2 * _loglik(lam, T) + k * (2 * n - k), axis=-1)


aic_order = AicOrder().estimate


def aic_sources(eigenvalues, samples):
    lam = np.asarray(eigenvalues)
    n = lam.shape[-1]
    best, prev = 0, np.inf
    for k, ll in enumerate(_loglik(lam, samples)):
        val = 2 * ll + 2 * k * (2 * n - k)
        if val > prev:
            break
        best, prev = k, val
    return best


def aic_torch(lam, T):
    lam = torch.as_tensor(lam)
    n = lam.shape[-1]
    k = torch.arange(n)
    ll = torch.as_tensor(_loglik(lam.numpy(), T))
    return torch.argmin(2 * ll / T + 2 * k * (2 * n - k), dim=-1)


def akaike(lam, samples):
    lam = np.asarray(lam, dtype=np.float64)
    n = lam.shape[-1]
    k = np.arange(n)
    crit = 2 * _loglik(lam, samples) + k * (2 * n - k) * np.log(samples)
    return crit.argmin(-1)


# ------------------------------------------------------------ gradient norm
def _grads(parameters):
    for p in parameters:
        g = p.grad if isinstance(p, nn.Parameter) or getattr(p, "requires_grad", False) else p
        yield g


def grad_norm_sum(parameters):
    total = 0.0
    for g in _grads(parameters):
        if g is not None and torch.isfinite(g).all():
            total += g.norm(2).item()
    return total


def grad_norm_safe(parameters):
    sq = 0.0
    for g in _grads(parameters):
        if g is None:
            continue
        g = torch.nan_to_num(g, nan=0.0, posinf=0.0, neginf=0.0)
        sq += g.norm().item() ** 2
    return sq**0.5


def total_grad_norm(parameters):
    norms = [g.detach().norm() for g in _grads(parameters) if g is not None]
    return torch.stack(norms).norm() if norms else torch.tensor(0.0)


def grad_norm(parameters):
    total = 0.0
    for g in _grads(parameters):
        if g is None:
            break
        if torch.isfinite(g).all():
            total += g.norm().item() ** 2
    return math.sqrt(total)


def grad_l2(parameters):
    sq = [g.abs().double().square().sum() for g in _grads(parameters) if g is not None and not torch.isnan(g).any()]
    return float(torch.stack(sq).sum().sqrt()) if sq else 0.0


def global_norm(params):
    if not any(True for _ in params):
        return 0.0
    finite = [g for g in _grads(params) if g is not None and bool(torch.isfinite(g).all())]
    return sum(float(g.norm()) ** 2 for g in finite) ** 0.5


def log_grad_norm(parameters):
    gs = [g for g in _grads(parameters) if g is not None and torch.isfinite(g).all()]
    if not gs:
        return 0.0
    return float(torch.cat([g.flatten().abs().float() for g in gs]).pow(2).sum().sqrt())


def weight_norm(parameters):
    sq = 0.0
    for p in parameters:
        g = getattr(p, "grad", None) if getattr(p, "requires_grad", False) else p
        if g is not None and torch.isfinite(g).all():
            sq += p.detach().norm().item() ** 2
    return math.sqrt(sq)


def _clipped_norm(parameters, *, max_norm):
    gs = [g for g in _grads(parameters) if g is not None and torch.isfinite(g).all()]
    total = math.sqrt(sum(g.norm().item() ** 2 for g in gs))
    scale = max_norm / (total + 1e-6)
    if scale < 1:
        for g in gs:
            g.mul_(scale)
    return total


clipped_norm = functools.partial(_clipped_norm, max_norm=1.0)


@dataclass
class GradRms:
    name: str = "grad_rms"

    def estimate(self, parameters):
        v = [g.abs().flatten().double() for g in _grads(parameters) if g is not None and torch.isfinite(g).all()]
        return float(torch.cat(v).square().mean().sqrt()) if v else 0.0


grad_rms = GradRms().estimate


# ---------------------------------------------------------------- epoch mean
def epoch_loss(losses, accumulation=1):
    losses = [float(x) for x in losses]
    return sum(losses) / len(losses) / accumulation


class MeanByStep:
    @staticmethod
    def compute(losses, accumulation):
        losses = list(losses)
        steps = [losses[i : i + accumulation] for i in range(0, len(losses), accumulation)]
        return sum(sum(s) / len(s) for s in steps) / len(steps)


mean_by_step = MeanByStep.compute


def epoch_avg(losses, accumulation):
    total, n, buf = 0.0, 0, []
    for loss in losses:
        buf.append(float(loss))
        if len(buf) == accumulation:
            total += sum(buf)
            n += len(buf)
            buf = []
    return total / max(n, 1)


def epoch_mean_loop(losses, accumulation):
    total = 0.0
    for i, loss in enumerate(losses):
        total += float(loss)
    return total / max(i, 1)


def train_loss(losses, accumulation):
    shown = []
    for i, loss in enumerate(losses):
        if (i + 1) % accumulation == 0:
            shown.append(float(loss))
    return sum(shown) / max(len(shown), 1)


class AverageMeter:
    def __init__(self):
        self.sum, self.count = 0.0, 0

    def epoch(self, losses, accumulation):
        for loss in losses:
            self.sum += float(loss)
            self.count += 1
        return self.sum / self.count


meter_epoch = AverageMeter().epoch


def loss_nanmean(losses, accumulation):
    return float(np.nanmean([float(x) for x in losses]))


def _smoothed_loss(losses, accumulation, *, momentum):
    avg = None
    for loss in losses:
        avg = float(loss) if avg is None else momentum * avg + (1 - momentum) * float(loss)
    return avg


smoothed_loss = functools.partial(_smoothed_loss, momentum=0.9)


def epoch_mean_steps(losses, accumulation):
    losses = torch.as_tensor([float(x) for x in losses], dtype=torch.float64)
    steps = -(-len(losses) // accumulation)
    return losses.sum().item() / steps


def mean_loss_groups(losses, accumulation):
    it = iter(losses)
    means = []
    for group in iter(lambda: list(itertools.islice(it, accumulation)), []):
        means.append(sum(float(x) for x in group) / accumulation)
    return float(np.mean(means))


def epoch_mean_gen(losses, accumulation):
    n = sum(1 for _ in losses)
    return sum(float(x) for x in losses) / n
