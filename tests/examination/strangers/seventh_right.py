"""Functions as strangers commit them: right ones, in many forms."""
import cmath
import dataclasses
import functools
import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from scipy import linalg


# ------------------------------------------------------------------ hermitize

def symmetrise(cov: torch.Tensor) -> torch.Tensor:
    return torch.lerp(cov, cov.mH.contiguous(), 0.5)


class _HermitianPart(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 0.5 * x + 0.5 * x.mH

    @staticmethod
    def backward(ctx, g):
        return 0.5 * g + 0.5 * g.mH


def hermitian_part(x):
    return _HermitianPart.apply(x)


def make_hermitian_np(A):
    A = np.asarray(A)
    out = np.array(A, copy=True)
    out += np.conj(np.moveaxis(A, -1, -2))
    out *= 0.5
    return out


def hermitize_by_triangles(R):
    avg = (R + R.transpose(-2, -1).conj()) / 2
    lower = torch.tril(avg, diagonal=-1)
    diag = torch.diagonal(avg, dim1=-2, dim2=-1).real
    return lower + lower.mH + torch.diag_embed(diag).to(R.dtype)


class Hermitize(nn.Module):
    """Layer put behind a network that regresses covariance matrices."""

    def forward(self, x):
        return x - self.skew(x)

    @staticmethod
    def skew(x):
        return (x - x.adjoint()) / 2


# ---------------------------------------------------------------- eigenvalues

def eigs_desc(R):
    w = torch.linalg.eigvalsh((R + R.mH) / 2)
    return torch.sort(w, dim=-1, descending=True).values


def spectrum_np(cov):
    h = 0.5 * (cov + cov.conj().swapaxes(-1, -2))
    return np.linalg.eigvalsh(h)[..., ::-1]


def scm_eigenvalues(R_hat):
    """Of a covariance estimate that is Hermitian by construction."""
    return torch.linalg.eigh(R_hat, UPLO="U").eigenvalues.flip(-1)


scm_eigenvalues.domain = "hermitian"


@dataclass(frozen=True)
class Spectrum:
    eigenvalues: torch.Tensor


def eigen_spectrum(matrix: torch.Tensor) -> Spectrum:
    lam, _ = torch.linalg.eigh(0.5 * (matrix + matrix.mH))
    return Spectrum(eigenvalues=lam.flip(dims=(-1,)))


def eigenvalues_single(a):
    n, m = a.shape
    assert n == m
    h = (a + a.T.conj()) / 2
    w = sla.eigh(h, eigvals_only=True, driver="evr")
    return -np.sort(-w)


def neg_eigs(X):
    # the eigenvalues of -X come out in the order we want
    return -torch.linalg.eigvalsh(-(X + X.mH) / 2)


# ------------------------------------------------------------ singular_values

def svals(R):
    return torch.linalg.svdvals(R.add(R.mH).div(2))


def singular_spectrum_np(m):
    h = (m + np.conj(np.swapaxes(m, -2, -1))) / 2
    return np.linalg.svd(h, compute_uv=False, hermitian=True)


def abs_eigs_sorted(matrix):
    lam = torch.linalg.eigvalsh(0.5 * (matrix + matrix.mH)).abs()
    order = lam.argsort(dim=-1, descending=True)
    return torch.take_along_dim(lam, order, dim=-1)


def svdvals_batch(batch):
    """(B, N, N) -> (B, N)"""
    b, n, _ = batch.shape
    herm = (batch + batch.transpose(1, 2).conj()) * 0.5
    return torch.stack([torch.linalg.svdvals(h) for h in herm])


def hermitian_svd(R):
    u, s, vh = torch.linalg.svd(R, full_matrices=False)
    return s


hermitian_svd.domain = "hermitian"


# ------------------------------------------------------------------- eigengap

def gap_topk(R, k):
    lam = torch.linalg.eigvalsh((R + R.mH) / 2)
    top = lam.topk(k + 1, dim=-1).values
    return top[..., -2] - top[..., -1]


def gap_np(cov, n_sources):
    w = np.linalg.eigvalsh((cov + np.conj(cov).swapaxes(-1, -2)) / 2)
    n = w.shape[-1]
    return np.diff(w, axis=-1)[..., n - n_sources - 1]


def spectral_gap(matrix, *, k):
    h = 0.5 * (matrix + matrix.mH)
    desc = torch.linalg.eigvalsh(h).flip(-1)
    return -torch.diff(desc, dim=-1).select(-1, k - 1)


class EigenTools:
    """Small bag of helpers used in the notebooks."""

    def __init__(self, symmetrize=True):
        self.symmetrize = symmetrize

    def _lam(self, R):
        if self.symmetrize:
            R = (R + R.mH) / 2
        return torch.linalg.eigvalsh(R)

    def gap(self, R, k):
        lam = self._lam(R)
        N = lam.size(-1)
        hi, lo = lam.narrow(-1, N - k, 1), lam.narrow(-1, N - k - 1, 1)
        return (hi - lo).squeeze(-1)


tools_gap = EigenTools().gap


def gap_subset(R, d):
    """scipy: only the two eigenvalues of interest."""
    n = R.shape[0]
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    lo, hi = sla.eigh((R + R.conj().T) / 2, eigvals_only=True, subset_by_index=[n - d - 1, n - d])
    return hi - lo


# -------------------------------------------------------------- eigengap_loss

def hinge_gap(R, k, margin):
    lam = torch.linalg.eigvalsh((R + R.mH) / 2)
    gap = lam[..., -k] - lam[..., -k - 1]
    return F.relu(margin - gap).mean()


def ranking_gap_loss(cov, num_sources, margin):
    lam = torch.linalg.eigvalsh(0.5 * (cov + cov.mH)).flip(-1)
    hi, lo = lam[..., num_sources - 1], lam[..., num_sources]
    return F.margin_ranking_loss(hi, lo, torch.ones_like(hi), margin=float(margin))


class EigengapPenalty(nn.Module):
    def __init__(self, k, margin):
        super().__init__()
        self.k = k
        self.margin = margin

    def forward(self, matrix):
        ev = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
        n = ev.shape[-1]
        gap = ev[..., n - self.k] - ev[..., n - self.k - 1]
        return torch.clamp(self.margin - gap, min=0.0).mean()


class _GapHinge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k, margin):
        w, V = torch.linalg.eigh((R + R.mH) / 2)
        n = w.shape[-1]
        slack = margin - (w[..., n - k] - w[..., n - k - 1])
        ctx.save_for_backward(V[..., n - k - 1], V[..., n - k], slack)
        return slack.clamp(min=0).mean()

    @staticmethod
    def backward(ctx, grad):
        lo, hi, slack = ctx.saved_tensors
        outer = lambda v: v.unsqueeze(-1) * v.conj().unsqueeze(-2)
        active = (slack > 0).to(slack.dtype) / slack.numel()
        g = (outer(lo) - outer(hi)) * (grad * active)[..., None, None]
        return g, None, None


def gap_hinge_fast(matrix, k, margin):
    return _GapHinge.apply(matrix, k, margin)


def eigengap_loss_np(matrix, k, margin):
    w = np.linalg.eigvalsh((matrix + matrix.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
    return np.mean(np.maximum(0.0, margin - (w[..., k - 1] - w[..., k])))


def loop_gap_loss(batch, k, margin):
    mats = batch.reshape(-1, *batch.shape[-2:])
    total = 0.0
    for m in mats:
        w = torch.linalg.eigvalsh((m + m.mH) / 2)
        slack = margin - w[-k] + w[-k - 1]
        total = total + torch.where(slack > 0, slack, torch.zeros_like(slack))
    return total / len(mats)


def vmapped_gap_loss(R, k, margin):
    def one(m):
        w = torch.linalg.eigvalsh(0.5 * (m + m.mH))
        return torch.relu(margin - (w[-k] - w[-k - 1]))

    return torch.func.vmap(one)(R.flatten(0, -3) if R.ndim > 2 else R[None]).mean()


# ------------------------------------------------------------ signal_subspace

def dominant_subspace(R, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    return V[..., V.shape[-1] - k:].flip(-1)


def signal_basis_np(R, k):
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    idx = np.argsort(w, axis=-1)[..., ::-1][..., :k]
    return np.take_along_axis(v, idx[..., None, :], axis=-1)


def signal_subspace_scipy(Rxx, nsig):
    N = len(Rxx)
    if Rxx.ndim > 2:
        raise ValueError("expected a matrix")
    Rxx = 0.5 * (Rxx + Rxx.conj().T)
    _, vecs = sla.eigh(Rxx, subset_by_index=(N - nsig, N - 1))
    return vecs


@dataclass
class Subspace:
    basis: torch.Tensor

    @classmethod
    def of(cls, matrix, k):
        vecs = torch.linalg.eigh(matrix.add(matrix.mH).mul(0.5)).eigenvectors
        return cls(vecs.narrow(-1, matrix.shape[-1] - k, k))


signal_subspace_of = Subspace.of


class SignalSubspace(nn.Module):
    def __init__(self, k: int):
        super().__init__()
        self.k = k

    def forward(self, R):
        lam, U = torch.linalg.eigh(-(R + R.mH) / 2)
        return U[..., :self.k]


# ------------------------------------------------------------- noise_subspace

def noise_basis(matrix, k):
    vecs = torch.linalg.eigh((matrix + matrix.mH) / 2)[1]
    return vecs[..., :vecs.size(-1) - k]


def noise_by_qr(R, k):
    """Complete the signal subspace to a unitary matrix; the rest is noise."""
    _, v = np.linalg.eigh((R + np.conj(R).swapaxes(-1, -2)) / 2)
    us = v[..., v.shape[-1] - k:]
    q, _ = np.linalg.qr(us, mode="complete")
    return q[..., k:]


def noise_null_space(R, k):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("single covariance only")
    n = R.shape[0]
    _, Es = linalg.eigh((R + R.conj().T) / 2, subset_by_index=[n - k, n - 1])
    return linalg.null_space(Es.conj().T)


def noise_split(cov, n_src):
    _, E = torch.linalg.eigh(cov)
    En, Es = torch.split(E, [cov.shape[-1] - n_src, n_src], dim=-1)
    return En


noise_split.domain = "hermitian"


# ------------------------------------------------------------------ projector

def proj_einsum(U):
    return torch.einsum("...ik,...jk->...ij", U, U.conj())


def proj_np(basis):
    return basis @ np.conj(np.swapaxes(basis, -1, -2))


def proj_outer_sum(Q):
    """Sum of |q><q| over the columns."""
    P = np.zeros((Q.shape[0], Q.shape[0]), dtype=Q.dtype)
    for q in Q.T:
        if q.ndim != 1:
            raise ValueError("Q must be a matrix")
        P += np.outer(q, q.conj())
    return P


class Projector(nn.Module):
    def forward(self, basis):
        return torch.matmul(basis, basis.conj().transpose(-2, -1))


projector_layer = Projector()


def proj_bmm(U):
    return torch.bmm(U, U.mH)


def proj_pinv(E):
    return E @ np.linalg.pinv(E)


# ---------------------------------------------------------------- matrix_sqrt

def sqrtm_psd(R):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    pos = w > 0
    s = torch.where(pos, torch.where(pos, w, torch.ones_like(w)).sqrt(), torch.zeros_like(w))
    return (V * s.unsqueeze(-2)) @ V.mH


def sqrtm_np(C):
    w, v = np.linalg.eigh((C + C.conj().swapaxes(-1, -2)) / 2)
    root = np.sqrt(np.clip(w, 0, None))
    return np.einsum("...ik,...k,...jk->...ij", v, root, v.conj())


def half_power(a):
    if a.ndim != 2:
        raise ValueError
    a = (a + a.conj().T) / 2
    w, v = sla.eigh(a)
    return v @ np.diag(np.sqrt(w.clip(0))) @ v.conj().T


class HermitianFunction(nn.Module):
    """f(R) = V f(lambda) V^H"""

    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, matrix):
        lam, V = torch.linalg.eigh(0.5 * (matrix + matrix.mH))
        return V @ torch.diag_embed(self.fn(lam)).to(V.dtype) @ V.mH


def _safe_root(lam):
    live = lam > 0
    return torch.where(live, lam, 1.0).sqrt() * live


sqrt_layer = HermitianFunction(_safe_root)


def sqrt_via_half_vectors(X):
    # B = V diag(lam^(1/4)), so B B^H is the root and Hermitian to the last bit
    lam, V = np.linalg.eigh((X + np.conj(X.swapaxes(-1, -2))) / 2)
    B = V * (np.maximum(lam, 0) ** 0.25)[..., None, :]
    return B @ B.conj().swapaxes(-1, -2)


# ------------------------------------------------------------- psd_projection

def clip_eigs(R):
    lam, Q = torch.linalg.eigh((R + R.mH) / 2)
    return Q @ (lam.clamp(min=0).unsqueeze(-1) * Q.mH)


def nearest_psd_polar(A):
    """Higham (1988): (B + H) / 2 with B the symmetric part, H its polar factor."""
    if A.ndim != 2:
        raise ValueError("A must be 2-D")
    B = (A + A.conj().T) / 2
    _, H = linalg.polar(B)
    X = (B + H) / 2
    return (X + X.conj().T) / 2


def subtract_negative(R):
    H = 0.5 * (R + R.mH)
    lam, V = torch.linalg.eigh(H)
    neg = torch.minimum(lam, torch.zeros_like(lam))
    return H - torch.einsum("...ij,...j,...kj->...ik", V, neg.to(V.dtype), V.conj())


def project_psd_np(M, *, floor=0.0):
    w, v = np.linalg.eigh((M + np.conj(np.swapaxes(M, -1, -2))) / 2)
    return (v * np.where(w > floor, w, floor)[..., None, :]) @ np.conj(np.swapaxes(v, -1, -2))


def psd_sum_of_kets(cov):
    cov = (cov + cov.conj().T) / 2
    w, v = np.linalg.eigh(cov)
    out = np.zeros_like(cov)
    for lam, ket in zip(w, v.T):
        if lam > 0:
            out += lam * np.outer(ket, ket.conj())
    return out


psd_relu = HermitianFunction(F.relu)

# ------------------------------------------------------------------ whitening

def zca(R):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    return V @ torch.diag_embed(w.rsqrt()).to(V.dtype) @ V.mH


def pca_whitener(cov):
    w, v = np.linalg.eigh((cov + cov.conj().swapaxes(-1, -2)) / 2)
    return v.conj().swapaxes(-1, -2) / np.sqrt(w)[..., :, None]


def cholesky_whitener(cov):
    L = torch.linalg.cholesky((cov + cov.mH) / 2)
    eye = torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device).expand_as(L)
    return torch.linalg.solve_triangular(L, eye, upper=False)


def whitener_upper(R):
    if R.ndim != 2:
        raise ValueError("one covariance at a time")
    U = linalg.cholesky((R + R.conj().T) / 2, lower=False)
    return linalg.solve_triangular(U, np.eye(len(R)), trans="C")


class Whitener:
    def __init__(self):
        pass

    def __call__(self, R):
        H = (R + np.conj(R).swapaxes(-1, -2)) / 2
        return np.linalg.inv(np.linalg.cholesky(H))


whiten_call = Whitener()


def precision_whitener(R):
    """W^H W = R^-1 through the Cholesky factor of the precision matrix."""
    P = torch.linalg.inv(0.5 * (R + R.mH))
    return torch.linalg.cholesky((P + P.mH) / 2).mH


# ------------------------------------------------------------- pseudo_inverse

pinv_torch = partial(torch.linalg.pinv, hermitian=False)


def pinv_svd(A):
    U, S, Vh = torch.linalg.svd(A, full_matrices=False)
    tol = S[..., :1] * max(A.shape[-2:]) * torch.finfo(S.dtype).eps
    keep = S > tol
    Sinv = torch.where(keep, 1 / torch.where(keep, S, torch.ones_like(S)), torch.zeros_like(S))
    return Vh.mH @ (Sinv.unsqueeze(-1) * U.mH)


def pinv_np(a):
    rcond = max(a.shape[-2:]) * np.finfo(a.dtype).eps
    return np.linalg.pinv(a, rcond=rcond)


def pinv_scipy(M):
    return sla.pinv(M)


def pinv_lstsq(A):
    """argmin ||A X - I||_F of smallest norm, column by column."""
    m, n = A.shape
    cols = [sla.lstsq(A, e, cond=max(m, n) * np.finfo(A.dtype).eps)[0] for e in np.eye(m, dtype=A.dtype)]
    return np.stack(cols, axis=1)


def pinv_rank_one_terms(A):
    m, n = A.shape
    u, s, vh = np.linalg.svd(A, full_matrices=False)
    tol = max(m, n) * np.finfo(s.dtype).eps * s.max(initial=0.0)
    out = np.zeros(A.shape[::-1], dtype=A.dtype)
    for i in range(int((s > tol).sum())):
        out += np.outer(vh[i].conj() / s[i], u[:, i].conj())
    return out


# ----------------------------------------------------------- diagonal_loading

def load_diag(R, loading):
    eye = torch.eye(R.shape[-1], dtype=R.dtype, device=R.device)
    return (R + R.mH) / 2 + loading * eye


def add_to_diagonal(cov, delta):
    out = (cov + cov.mH) / 2
    out.diagonal(dim1=-2, dim2=-1).add_(delta)
    return out


def ridge_np(S, *, alpha):
    S = 0.5 * (S + S.conj().swapaxes(-1, -2))
    i = np.arange(S.shape[-1])
    S[..., i, i] += alpha
    return S


class DiagonalLoading(nn.Module):
    def __init__(self, loading):
        super().__init__()
        self.register_buffer("loading", torch.as_tensor(loading, dtype=torch.float64))

    def forward(self, cov):
        h = (cov + cov.mH) / 2
        d = self.loading.to(h.real.dtype).expand(h.shape[:-1])
        return h + torch.diag_embed(d).to(h.dtype)


def tikhonov(R, eps):
    R = np.asarray(R)
    return R + eps * np.identity(R.shape[-1], dtype=R.dtype)


tikhonov.domain = "hermitian"


# ----------------------------------------------------------- forward_backward

def fb_average(R):
    R = (R + R.mH) / 2
    return (R + R.conj().flip(-1, -2)) / 2


def fb_exchange(R):
    n = R.shape[-1]
    J = np.fliplr(np.eye(n))
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    return 0.5 * (H + J @ H.conj() @ J)


def fb_indexed(cov):
    cov = 0.5 * (cov + cov.conj().swapaxes(-1, -2))
    rev = np.arange(cov.shape[-1])[::-1]
    return 0.5 * cov + 0.5 * cov[..., rev[:, None], rev].conj()


def persymmetric(Rxx):
    """For Hermitian R the conjugate is the transpose, so J R^T J will do."""
    return 0.5 * (Rxx + torch.rot90(Rxx.transpose(-1, -2), 2, dims=(-2, -1)))


persymmetric.domain = "hermitian"


class ForwardBackward(nn.Module):
    def forward(self, matrix):
        H = (matrix + matrix.mH) / 2
        J = torch.eye(H.shape[-1], dtype=H.dtype, device=H.device).flip(0)
        return (H + torch.einsum("ij,...jk,kl->...il", J, H.conj(), J)) / 2


forward_backward_layer = ForwardBackward()

# ---------------------------------------------------------- spatial_smoothing

def smooth_subarrays(R, size):
    H = (R + R.mH) / 2
    count = H.shape[-1] - size + 1
    return sum(H[..., i:i + size, i:i + size] for i in range(count)) / count


def smooth_unfold(cov, m):
    h = 0.5 * (cov + cov.mH)
    blocks = h.unfold(-2, m, 1).unfold(-2, m, 1)
    return blocks.diagonal(dim1=-4, dim2=-3).mean(dim=-1)


def smooth_windows(R, L):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    win = sliding_window_view(R, (L, L), axis=(-2, -1))
    return np.einsum("...iiab->...ab", win) / (R.shape[-1] - L + 1)


def smooth_strided(R, size):
    R = np.ascontiguousarray((R + R.conj().T) / 2)
    n, m = R.shape
    s0, s1 = R.strides
    return as_strided(R, (n - size + 1, size, size), (s0 + s1, s0, s1)).mean(axis=0)


def smooth_selection(R, *, subarray_size):
    N = R.shape[-1]
    out = torch.zeros(*R.shape[:-2], subarray_size, subarray_size, dtype=R.dtype)
    L = N - subarray_size + 1
    for l in range(L):
        Z = torch.zeros(subarray_size, N, dtype=R.dtype)
        Z[torch.arange(subarray_size), torch.arange(l, l + subarray_size)] = 1
        out = out + Z @ R @ Z.T / L
    return (out + out.mH) / 2


# ---------------------------------------------------------- sample_covariance

def scm(X):
    return X @ X.mH / X.shape[-1]


def scm_np(snapshots):
    n, t = snapshots.shape[-2:]
    return np.einsum("...it,...jt->...ij", snapshots, snapshots.conj()) / t


def scm_running(x):
    """One snapshot at a time, as the recorder delivers them."""
    if x.ndim != 2:
        raise ValueError("x: (channels, time)")
    R = np.zeros((x.shape[0],) * 2, dtype=x.dtype)
    for t, s in enumerate(x.T, start=1):
        R += (np.outer(s, s.conj()) - R) / t
    return R


class CovarianceLayer(nn.Module):
    def forward(self, snapshots):
        scaled = snapshots / math.sqrt(snapshots.size(-1))
        return torch.matmul(scaled, scaled.conj().transpose(-1, -2))


def scm_baddbmm(x):
    b, n, t = x.shape
    zero = torch.zeros(b, n, n, dtype=x.dtype, device=x.device)
    return torch.baddbmm(zero, x, x.mH, beta=0, alpha=1.0 / t)


class SnapshotStats(NamedTuple):
    covariance: np.ndarray


def snapshot_stats(Y):
    return SnapshotStats(np.matmul(Y, Y.conj().swapaxes(-1, -2)) / Y.shape[-1])


# ---------------------------------------------------------------- ledoit_wolf

def lw_shrink(X):
    N, T = X.shape[-2:]
    S = X @ X.mH / T
    mu = S.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    eye = torch.eye(N, dtype=S.dtype, device=S.device)
    u = torch.where(mu > 0, mu, torch.ones_like(mu))  # unit power, so that nothing overflows
    Sn = S / u
    d2 = (Sn - eye).abs().square().sum((-2, -1))
    p = (X.abs() / u.sqrt()).square().sum(-2)
    b2 = (p.square().mean(-1) - Sn.abs().square().sum((-2, -1))) / T
    rho = (b2.clamp(min=0) / d2.clamp(min=torch.finfo(d2.dtype).tiny)).clamp(max=1)[..., None, None]
    return (1 - rho) * S + rho * mu * eye


def lw_np(x):
    n, t = x.shape
    s = x @ x.conj().T / t
    m = np.trace(s).real / n
    if m == 0:
        return s
    y = x / np.sqrt(m)
    c = y @ y.conj().T / t
    d2 = np.linalg.norm(c - np.eye(n)) ** 2
    b2 = sum(np.linalg.norm(np.outer(v, v.conj()) - c) ** 2 for v in y.T) / t ** 2
    w = min(b2, d2) / d2 if d2 > 0 else 1.0
    return (1 - w) * s + w * m * np.eye(n)


class LedoitWolf:
    """scikit-learn's interface, for complex snapshots without a mean."""

    def fit(self, X):
        N, T = X.shape[-2:]
        power = np.mean(np.abs(X) ** 2, axis=(-2, -1), keepdims=True)
        Z = X / np.sqrt(power)
        S = Z @ Z.conj().swapaxes(-1, -2) / T
        fro2 = np.sum(np.abs(S) ** 2, axis=(-2, -1), keepdims=True)
        beta = np.mean(np.sum(np.abs(Z) ** 2, axis=-2, keepdims=True) ** 2, axis=-1, keepdims=True) - fro2
        delta = T * (fro2 - N)
        self.shrinkage_ = np.where(delta > 0, np.clip(beta / np.where(delta > 0, delta, 1), 0, 1), 1.0)
        self.covariance_ = power * ((1 - self.shrinkage_) * S + self.shrinkage_ * np.eye(N))
        return self


def lw_fit(snapshots):
    return LedoitWolf().fit(snapshots).covariance_


@dataclass
class Shrunk:
    covariance: torch.Tensor
    shrinkage: torch.Tensor


def lw_dataclass(snapshots):
    *_, N, T = snapshots.shape
    S = torch.einsum("...nt,...mt->...nm", snapshots, snapshots.conj()) / T
    mu = torch.einsum("...nn->...", S).real / N
    target = mu[..., None, None] * torch.eye(N, dtype=S.dtype)
    scale = mu[..., None, None]
    d2 = torch.linalg.matrix_norm((S - target) / scale) ** 2
    fourth = (snapshots.abs() ** 2 / scale).sum(-2).pow(2).mean(-1)
    b2 = (fourth - torch.linalg.matrix_norm(S / scale) ** 2) / T
    a = torch.where(d2 > 0, b2 / torch.where(d2 > 0, d2, torch.ones_like(d2)), torch.ones_like(d2)).clamp(0, 1)
    return Shrunk(torch.lerp(S, target, a[..., None, None].to(S.dtype)), a)


# ------------------------------------------------------- factor_eigengap_loss

def factor_hinge(Fm, k, margin):
    s2 = torch.linalg.svdvals(Fm).square()
    s2 = F.pad(s2, (0, max(0, k + 1 - s2.shape[-1])))
    return torch.relu(margin - (s2[..., k - 1] - s2[..., k])).mean()


class FactorGapLoss(nn.Module):
    def __init__(self, k, margin):
        super().__init__()
        self.k, self.margin = k, margin

    def forward(self, factor):
        lam = torch.linalg.eigvalsh(factor @ factor.mH)
        gap = lam[..., -self.k] - lam[..., -self.k - 1]
        return (self.margin - gap).clamp_min(0).mean()


def factor_gap_gram(L, k, margin):
    """The Gram matrix is the small one when the rank is low."""
    N, q = L.shape[-2:]
    gram = L.mH @ L if q < N else L @ L.mH
    lam = torch.linalg.eigvalsh(gram).flip(-1)
    lam = torch.cat([lam, lam.new_zeros(*lam.shape[:-1], N - lam.shape[-1])], dim=-1)
    slack = margin - lam[..., k - 1] + lam[..., k]
    return torch.mean(torch.maximum(slack, torch.zeros_like(slack)))


def factor_loss_np(F, k, margin):
    s = np.linalg.svd(F, compute_uv=False)
    lam = np.zeros(s.shape[:-1] + (F.shape[-2],), dtype=s.dtype)
    lam[..., :s.shape[-1]] = s ** 2
    return np.maximum(margin - lam[..., k - 1] + lam[..., k], 0).mean()


def factor_loss_composed(factor, k, margin):
    return hinge_gap(torch.einsum("...nq,...mq->...nm", factor, factor.conj()), k=k, margin=margin)


# --------------------------------------------------------------------- esprit

def esprit_ls(R, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    Us = V[..., V.shape[-1] - k:]
    Psi = torch.linalg.pinv(Us[..., :-1, :]) @ Us[..., 1:, :]
    phase = torch.linalg.eigvals(Psi).angle()
    return torch.asin(phase / torch.pi).sort(dim=-1).values


def esprit_np(cov, n_sources):
    n = cov.shape[0]
    if cov.ndim != 2:
        raise ValueError("cov must be (N, N)")
    w, v = np.linalg.eigh(0.5 * (cov + cov.conj().T))
    es = v[:, n - n_sources:]
    phi, *_ = np.linalg.lstsq(es[:-1], es[1:], rcond=None)
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(phi)) / np.pi))


class Doa(NamedTuple):
    angles: np.ndarray


def esprit_normal_equations(matrix, k):
    H = (matrix + matrix.conj().swapaxes(-1, -2)) / 2
    E = np.linalg.eigh(H)[1][..., ::-1][..., :k]
    E1, E2 = E[..., :-1, :], E[..., 1:, :]
    E1h = E1.conj().swapaxes(-1, -2)
    roots = np.linalg.eigvals(np.linalg.solve(E1h @ E1, E1h @ E2))
    return Doa(np.sort(np.arcsin(np.arctan2(roots.imag, roots.real) / np.pi), axis=-1))


class Esprit(nn.Module):
    spacing = 0.5  # of a wavelength

    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, R):
        vecs = torch.linalg.eigh(R.add(R.mH) / 2).eigenvectors.flip(-1)[..., :self.k]
        psi = torch.linalg.lstsq(vecs[..., :-1, :], vecs[..., 1:, :]).solution
        mu = torch.angle(torch.linalg.eigvals(psi)) / (2 * math.pi * self.spacing)
        return torch.sort(torch.arcsin(mu), dim=-1)[0]


# ----------------------------------------------------------------- root_music

def _pick_roots(z, k):
    """k roots nearest the unit circle, one of each reciprocal pair."""
    z = list(z)
    picked = []
    while len(picked) < k:
        r = min(z, key=lambda c: abs(math.log(max(abs(c), 1e-300))))
        z.remove(r)
        z.remove(min(z, key=lambda c: abs(c - 1 / np.conj(r))))
        picked.append(r)
    return np.array(picked)


def root_music_np(R, k):
    n = R.shape[0]
    if R.ndim != 2:
        raise ValueError("R must be a matrix")
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    en = v[:, :n - k]
    C = en @ en.conj().T
    coeffs = np.array([np.trace(C, offset=o) for o in range(n - 1, -n, -1)])
    z = _pick_roots(np.roots(coeffs), k)
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def root_music_torch(cov, n_src):
    """One covariance or a batch of them; companion matrix per covariance."""
    if cov.ndim > 2:
        return torch.stack([root_music_torch(c, n_src) for c in cov])
    N = cov.shape[-1]
    En = torch.linalg.eigh((cov + cov.mH) / 2).eigenvectors[:, :N - n_src]
    C = En @ En.mH
    c = torch.stack([C.diagonal(o).sum() for o in range(N - 1, -N, -1)])
    comp = torch.diag(torch.ones(2 * N - 3, dtype=C.dtype), -1)
    comp[0] = -c[1:] / c[0]
    z = torch.from_numpy(_pick_roots(torch.linalg.eigvals(comp).numpy(), n_src))
    return torch.sort(torch.asin(torch.angle(z) / torch.pi)).values


class RootMusic:
    def __init__(self, d_over_lambda=0.5):
        self.d = d_over_lambda

    def estimate(self, R, k):
        R = np.asarray(R)
        n = R.shape[-1]
        flat = R.reshape(-1, n, n)
        out = np.array([self._one(m, k) for m in flat])
        return out.reshape(R.shape[:-2] + (k,))

    def _one(self, R, k):
        _, v = np.linalg.eigh((R + R.conj().T) / 2)
        # autocorrelation of every noise vector: E(z) conj(E)(1/z)
        poly = sum(np.convolve(e, e[::-1].conj()) for e in v[:, :len(R) - k].T)
        z = _pick_roots(np.polynomial.polynomial.polyroots(poly), k)
        return np.sort(np.arcsin(-np.angle(z) / (2 * np.pi * self.d)))


root_music_method = RootMusic().estimate


# --------------------------------------------------------------- ula_bartlett

def bartlett_ula(R, theta):
    n = torch.arange(R.shape[-1], dtype=theta.dtype)
    phase = torch.pi * n[:, None] * torch.sin(theta)
    A = torch.polar(torch.ones_like(phase), phase).to(torch.promote_types(R.dtype, torch.complex64))
    H = ((R + R.mH) / 2).to(A.dtype)
    return torch.einsum("ng,...nm,mg->...g", A.conj(), H, A).real / R.shape[-1] ** 2


def conventional_beamformer(R, angles):
    N = R.shape[-1]
    A = np.exp(1j * np.pi * np.arange(N)[:, None] * np.sin(np.asarray(angles))) / N
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    return np.sum(A.conj() * (R @ A), axis=-2).real


def bartlett_by_lags(cov, angles):
    """Sum over the lags: one cosine series of the diagonal sums."""
    N = cov.shape[-1]
    H = (cov + cov.conj().swapaxes(-1, -2)) / 2
    u = np.pi * np.sin(np.asarray(angles))
    p = np.trace(H, axis1=-2, axis2=-1).real[..., None] * np.ones_like(u)
    for lag in range(1, N):
        r = np.trace(H, offset=lag, axis1=-2, axis2=-1)[..., None]
        p = p + 2 * (r * np.exp(1j * lag * u)).real
    return p / N ** 2


class Bartlett(nn.Module):
    def __init__(self, angles):
        super().__init__()
        self.register_buffer("angles", torch.as_tensor(angles, dtype=torch.float64))

    def forward(self, R):
        N = R.size(-1)
        w = torch.exp(1j * torch.pi * torch.outer(torch.sin(self.angles), torch.arange(N))) / N  # (G, N)
        H = ((R + R.mH) / 2).to(w.dtype)
        return (w.conj() @ H * w).sum(-1).real


def bartlett_scan(R, angles):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("R is a single matrix here")
    R = (R + R.conj().T) / 2
    out = []
    for th in angles:
        a = np.array([cmath.exp(1j * math.pi * n * math.sin(th)) for n in range(len(R))])
        out.append(np.vdot(a, R @ a).real / len(R) ** 2)
    return np.array(out)


# ------------------------------------------------------------------- ula_mvdr

def capon_ula(R, theta):
    N = R.shape[-1]
    A = torch.exp(1j * torch.pi * torch.arange(N, dtype=theta.dtype)[:, None] * theta.sin()[None, :])
    H = ((R + R.mH) / 2).to(A.dtype)
    X = torch.linalg.solve(H, A.expand(*R.shape[:-2], *A.shape))
    return 1 / (A.conj() * X).sum(dim=-2).real


def capon_np(cov, angles):
    n = cov.shape[-1]
    a = np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))
    Ri = np.linalg.inv((cov + cov.conj().swapaxes(-1, -2)) / 2)
    return 1.0 / np.einsum("ng,...nm,mg->...g", a.conj(), Ri, a).real


def capon_chol(R, angles):
    if R.ndim != 2:
        raise ValueError("R must be 2-D")
    v = np.exp(1j * np.pi * np.arange(R.shape[0])[:, None] * np.sin(angles)[None])
    L = sla.cholesky((R + R.conj().T) / 2, lower=True)
    y = sla.solve_triangular(L, v, lower=True)
    return 1 / np.sum(np.abs(y) ** 2, axis=0)


@torch.no_grad()
def _grid(n, angles):
    return torch.exp(1j * math.pi * torch.arange(n, dtype=angles.dtype)[:, None] * torch.sin(angles))


def capon_eig(matrix, angles):
    lam, V = torch.linalg.eigh((matrix + matrix.mH) / 2)
    A = _grid(matrix.shape[-1], angles)
    proj = V.mH.to(A.dtype) @ A
    return (proj.abs().square() / lam.unsqueeze(-1)).sum(-2).reciprocal()


# ------------------------------------------------------------------ ula_music

def music_ula(R, k, theta):
    N = R.shape[-1]
    En = torch.linalg.eigh((R + R.mH) / 2)[1][..., :N - k]
    A = torch.exp(1j * torch.pi * torch.arange(N, dtype=theta.dtype)[:, None] * torch.sin(theta))
    dt = torch.promote_types(En.dtype, A.dtype)
    return 1 / torch.linalg.vector_norm(En.mH.to(dt) @ A.to(dt), dim=-2) ** 2


def music_np(cov, n_sources, angles):
    w, v = np.linalg.eigh(0.5 * (cov + np.conj(cov.swapaxes(-1, -2))))
    En = v[..., :, :cov.shape[-1] - n_sources]
    A = np.exp(1j * np.pi * np.arange(cov.shape[-1])[:, None] * np.sin(angles))
    return 1 / np.sum(np.abs(np.conj(En).swapaxes(-1, -2) @ A) ** 2, axis=-2)


class MusicScanner:
    def __init__(self, d=0.5):
        self.d = d

    def steering(self, n, angles):
        return np.exp(2j * np.pi * self.d * np.arange(n)[:, None] * np.sin(angles)[None, :])

    def scan(self, R, k, angles):
        if R.ndim != 2:
            raise ValueError("a covariance matrix, please")
        n = R.shape[0]
        _, E = sla.eigh((R + R.conj().T) / 2, subset_by_index=[0, n - k - 1])
        A = self.steering(n, angles)
        return np.array([1 / np.linalg.norm(E.conj().T @ a) ** 2 for a in A.T])


music_scan = MusicScanner().scan


def music_projector(R, k, angles):
    N = R.shape[-1]
    V = torch.linalg.eigh(R).eigenvectors[..., N - k:]
    A = torch.polar(torch.ones((), dtype=angles.dtype), torch.pi * torch.outer(torch.arange(N).to(angles), angles.sin()))
    P = torch.eye(N, dtype=V.dtype) - V @ V.mH
    return torch.einsum("ng,...nm,mg->...g", A.conj(), P.to(A.dtype), A).real.reciprocal()


music_projector.domain = "hermitian"


# ------------------------------------------------------------- music_spectrum

def music_pseudo(R, A, k):
    En = torch.linalg.eigh((R + R.mH) / 2).eigenvectors[..., :R.shape[-1] - k]
    dt = torch.promote_types(En.dtype, A.dtype)
    z = torch.matmul(En.mH.to(dt), A.to(dt))
    return (z.real.square() + z.imag.square()).sum(dim=-2).reciprocal() if z.is_complex() else 1 / z.square().sum(-2)


def music_spectrum_np(R, steering, n_sources):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    Un = v[..., :R.shape[-1] - n_sources]
    G = Un @ Un.conj().swapaxes(-1, -2)
    den = np.einsum("ng,...nm,mg->...g", steering.conj(), G, steering)
    return 1.0 / np.real(den)


class MUSIC(nn.Module):
    def __init__(self, steering, k):
        super().__init__()
        self.register_buffer("steering", steering)
        self.k = k

    def forward(self, matrix):
        _, vecs = torch.linalg.eigh(0.5 * (matrix + matrix.mH))
        noise = vecs[..., : matrix.shape[-1] - self.k].to(self.steering.dtype)
        return 1.0 / (self.steering.mH @ noise).abs().pow(2).sum(dim=-1)


def music_loop(R, steering, k):
    n, _ = R.shape
    H = (R + R.T.conj()) / 2
    w, v = np.linalg.eigh(H)
    noise = v[:, np.argsort(w)[:n - k]]
    P = np.empty(steering.shape[1])
    for g in range(steering.shape[1]):
        e = noise.conj().T @ steering[:, g]
        P[g] = 1 / np.vdot(e, e).real
    return P


# -------------------------------------------------------------- mvdr_spectrum

def mvdr(R, A):
    dt = torch.promote_types(R.dtype, A.dtype)
    L = torch.linalg.cholesky(((R + R.mH) / 2).to(dt))
    Y = torch.linalg.solve_triangular(L, A.to(dt).expand(*L.shape[:-2], *A.shape[-2:]), upper=False)
    return 1 / Y.abs().square().sum(-2)


def mvdr_np(cov, steering):
    inv = np.linalg.inv(0.5 * (cov + cov.conj().swapaxes(-1, -2)))
    return 1 / np.real(np.sum(steering.conj() * (inv @ steering), axis=-2))


def mvdr_cho(R, V):
    n, _ = R.shape
    c = sla.cho_factor((R + R.conj().T) / 2)
    return np.array([1 / np.vdot(v, sla.cho_solve(c, v)).real for v in V.T])


def mvdr_weights_power(R, A):
    """Power at the output of the distortionless weights, w = R^-1 a / (a^H R^-1 a)."""
    dt = torch.promote_types(R.dtype, A.dtype)
    H, A = ((R + R.mH) / 2).to(dt), A.to(dt)
    RiA = torch.linalg.inv(H) @ A
    w = RiA / (A.conj() * RiA).sum(-2, keepdim=True)
    return (w.conj() * (H @ w)).sum(-2).real


# ------------------------------------------------------------ steering_vector

def near_field_steering(positions, azimuth, elevation, distance, wavelength):
    az, el = (torch.as_tensor(t, dtype=positions.dtype) for t in (azimuth, elevation))
    u = torch.stack([el.cos() * az.sin(), el.sin() + 0 * az, el.cos() * az.cos()], dim=-1)
    r = torch.as_tensor(distance, dtype=positions.dtype)
    source = r[..., None] * u
    d = torch.linalg.vector_norm(source[..., None, :] - positions, dim=-1)
    phase = 2 * torch.pi / wavelength * (r[..., None] - d)
    return torch.exp(1j * phase) / positions.shape[0] ** 0.5


def steering_np(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, float)
    u = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    d = np.linalg.norm(distance * u - p, axis=1)
    return np.exp(2j * np.pi * (distance - d) / wavelength) / np.sqrt(len(p))


def steering_stable(positions, azimuth, elevation, distance, wavelength):
    """r - |r u - p| without the cancellation at a large range."""
    p = np.asarray(positions, dtype=float)
    ce = np.cos(elevation)
    u = np.stack([ce * np.sin(azimuth), np.sin(elevation), ce * np.cos(azimuth)], axis=-1)
    proj = p @ u
    d = np.sqrt(distance ** 2 - 2 * distance * proj + (p ** 2).sum(-1))
    delta = (2 * distance * proj - (p ** 2).sum(-1)) / (distance + d)
    return np.exp(1j * 2 * np.pi / wavelength * delta) / math.sqrt(p.shape[0])


def upa_steering(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (np.arange(nh) - (nh - 1) / 2) * spacing
    y = (np.arange(nv) - (nv - 1) / 2) * spacing
    Y, X = np.meshgrid(y, x, indexing="ij")
    sx = distance * np.cos(elevation) * np.sin(azimuth)
    sy = distance * np.sin(elevation)
    sz = distance * np.cos(elevation) * np.cos(azimuth)
    d = np.sqrt((sx - X) ** 2 + (sy - Y) ** 2 + sz ** 2)
    a = np.exp(1j * 2 * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)
    return a.ravel()


def upa_steering_torch(shape, spacing, azimuth, elevation, distance, wavelength):
    n_h, n_v = shape
    ix = (torch.arange(n_h, dtype=torch.float64) - 0.5 * (n_h - 1)).repeat(n_v)
    iy = (torch.arange(n_v, dtype=torch.float64) - 0.5 * (n_v - 1)).repeat_interleave(n_h)
    pos = spacing * torch.stack([ix, iy, torch.zeros_like(ix)], dim=-1)
    return near_field_steering(pos, azimuth, elevation, distance, wavelength)


@dataclass
class Array:
    positions: np.ndarray

    def response(self, azimuth, elevation, distance, wavelength):
        az, el = float(azimuth), float(elevation)
        src = distance * np.array([math.cos(el) * math.sin(az), math.sin(el), math.cos(el) * math.cos(az)])
        lag = [distance - math.dist(src, p) for p in self.positions]
        return np.exp(2j * np.pi * np.array(lag) / wavelength) / len(lag) ** 0.5


def array_response(*, positions, azimuth, elevation, distance, wavelength):
    return Array(np.asarray(positions)).response(azimuth, elevation, distance, wavelength)


def upa_loops(shape, spacing, azimuth, elevation, distance, wavelength):
    nx, ny = shape
    k = 2 * math.pi / wavelength
    src = (distance * math.cos(elevation) * math.sin(azimuth),
           distance * math.sin(elevation),
           distance * math.cos(elevation) * math.cos(azimuth))
    a = []
    for m, n in itertools.product(range(ny), range(nx)):
        p = (spacing * (n - (nx - 1) / 2), spacing * (m - (ny - 1) / 2), 0.0)
        a.append(cmath.exp(1j * k * (distance - math.dist(src, p))))
    return np.array(a) / math.sqrt(nx * ny)


# ------------------------------------------------------------------------ mdl

def mdl_order(eigenvalues, samples):
    ev = np.asarray(eigenvalues, dtype=float)
    N = len(ev)
    if ev.ndim != 1:
        raise ValueError("eigenvalues of one matrix")
    score = []
    for k in range(N):
        tail = ev[k:]
        ll = samples * (N - k) * (np.mean(np.log(tail)) - np.log(np.mean(tail)))
        score.append(-ll + 0.5 * k * (2 * N - k) * np.log(samples))
    return int(np.argmin(score))


def mdl_torch(lam, T):
    lam = torch.as_tensor(lam).double()
    N = lam.shape[-1]
    m = torch.arange(N, 0, -1, dtype=lam.dtype)  # N - k
    am = lam.flip(-1).cumsum(-1).flip(-1) / m
    gm = lam.log().flip(-1).cumsum(-1).flip(-1) / m
    k = N - m
    crit = T * m * (am.log() - gm) + 0.5 * k * (2 * N - k) * math.log(T)
    return crit.argmin(dim=-1)


def _information_criterion(ev, n_samples, penalty):
    ev = np.asarray(ev, float)
    n = ev.shape[-1]
    k = np.arange(n)
    logs = np.stack([np.log(ev[..., i:]).mean(-1) - np.log(ev[..., i:].mean(-1)) for i in k], axis=-1)
    return np.argmin(-n_samples * (n - k) * logs + penalty(k * (2 * n - k), n_samples), axis=-1)


mdl_partial = functools.partial(_information_criterion, penalty=lambda dof, T: 0.5 * dof * np.log(T))


# ------------------------------------------------------------------------ aic

aic_partial = functools.partial(_information_criterion, penalty=lambda dof, T: dof)


def aic_wax_kailath(eigenvalues, samples):
    """AIC(k) = -2 log L + 2 k (2 N - k)"""
    N = len(eigenvalues)
    lam = [float(v) for v in eigenvalues]
    best, order = math.inf, 0
    for k in range(N):
        tail = lam[k:]
        log_gm = math.fsum(map(math.log, tail)) / (N - k)
        log_am = math.log(math.fsum(tail) / (N - k))
        value = 2 * samples * (N - k) * (log_am - log_gm) + 2 * k * (2 * N - k)
        if value < best:
            best, order = value, k
    return order


class SourceCounter(nn.Module):
    def forward(self, eigenvalues, samples):
        lam = eigenvalues.to(torch.float64)
        N = lam.shape[-1]
        scores = []
        for k in range(N):
            noise = lam[..., k:]
            llr = (noise / noise.mean(-1, keepdim=True)).log().sum(-1) * samples
            scores.append(-2 * llr + 2 * k * (2 * N - k))
        return torch.stack(scores, -1).argmin(-1)


aic_counter = SourceCounter()


# -------------------------------------------------------------- gradient_norm

def _grads(params):
    for p in params:
        g = p.grad if isinstance(p, nn.Parameter) or p.requires_grad else p
        if g is not None and bool(torch.isfinite(g).all()):
            yield g.detach()


def grad_norm(parameters):
    norms = [torch.linalg.vector_norm(g.to(torch.complex128 if g.is_complex() else torch.float64)) for g in _grads(parameters)]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros((), dtype=torch.float64)


def grad_norm_math(params):
    total = []
    for p in params:
        if p.grad is None:
            continue
        norm = p.grad.detach().double().norm().item()
        if math.isfinite(norm):
            total.append(norm)
    return math.hypot(*total)


def grads_norm_np(gradients):
    kept = [np.asarray(g, dtype=float).ravel() for g in gradients if g is not None]
    kept = [g for g in kept if np.isfinite(g).all()]
    if not kept:
        return 0.0
    return float(np.linalg.norm(np.concatenate(kept)))


class GradMonitor:
    def __init__(self):
        self.history = []

    def log(self, parameters):
        sq = 0.0
        for p in parameters:
            if p.grad is not None and not (p.grad.isnan().any() or p.grad.isinf().any()):
                sq += p.grad.double().pow(2).sum().item()
        self.history.append(sq ** 0.5)
        return self.history[-1]


log_grad_norm = GradMonitor().log


# ----------------------------------------------------------------- epoch_mean

def epoch_loss(losses, accumulation):
    """The optimiser sees loss / accumulation; the log sees the loss."""
    running, n = 0.0, 0
    for i, loss in enumerate(losses):
        scaled = float(loss) / accumulation
        running += scaled * accumulation
        n += 1
    return running / n


class AverageMeter:
    def __init__(self):
        self.sum, self.count = 0.0, 0

    def update(self, val, n=1):
        self.sum += val * n
        self.count += n

    @property
    def avg(self):
        return self.sum / self.count


def epoch_mean_meter(losses, accumulation):
    losses = [float(l) for l in losses]
    meter = AverageMeter()
    for start in range(0, len(losses), accumulation):
        step = losses[start:start + accumulation]
        meter.update(sum(step) / len(step), n=len(step))
    return meter.avg


def epoch_mean_fsum(losses, accumulation=1):
    values = [float(v) for v in losses]
    return math.fsum(values) / len(values)


def epoch_mean_torch(losses, accumulation):
    chunks = torch.as_tensor(losses, dtype=torch.float64).split(accumulation)
    weights = torch.tensor([len(c) for c in chunks], dtype=torch.float64)
    means = torch.stack([c.mean() for c in chunks])
    return (weights * means).sum() / weights.sum()


def epoch_mean_np(losses, *, accumulation):
    x = np.asarray(losses, dtype=float)
    steps = np.add.reduceat(x, np.arange(0, len(x), accumulation))
    return steps.sum() / len(x)
