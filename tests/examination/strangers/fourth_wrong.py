"""Spectral helpers as they are found in other people's repositories."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn.functional as F
from torch import nn


def _sym(R):
    return (R + R.mH) / 2


def _herm(R):
    R = np.asarray(R)
    return (R + np.conj(np.swapaxes(R, -1, -2))) / 2


# --- Hermitian part -------------------------------------------------------------------------------------------------


class Symmetrize(nn.Module):
    """Makes a batch of covariance estimates Hermitian."""

    def forward(self, R: torch.Tensor) -> torch.Tensor:
        return 0.5 * (R + R.transpose(-2, -1))


def hermitian_average(R):
    """Hermitian part of R (..., N, N), without a temporary of twice the size."""
    R = np.asarray(R)
    adjoint = np.conj(np.swapaxes(R, -1, -2))
    if R.dtype.kind in "iu":
        R = R.astype(float)
    R += adjoint
    R *= 0.5
    return R


def from_upper(R):
    """Rebuild the whole matrix out of its upper triangle."""
    upper = np.triu(R, 1)
    diagonal = np.einsum("...ii->...i", R).real
    full = upper + np.conj(np.swapaxes(upper, -1, -2))
    n = full.shape[-1]
    full[..., np.arange(n), np.arange(n)] = diagonal
    return full


def symmetrize_if_needed(R: torch.Tensor) -> torch.Tensor:
    if torch.allclose(R, R.mH, equal_nan=True):
        return R.clone()
    return (R + R.mH) / 2


def hermitize_fp(R: torch.Tensor) -> torch.Tensor:
    """Average R with its adjoint; the sum is formed in the type that the accelerator supports."""
    dtype = R.dtype
    work = R.to(torch.complex64 if R.is_complex() else torch.float32)
    return ((work + work.mH) * 0.5).to(dtype)


def hermitian_stack(R):
    """Hermitian part of a stack (..., N, N)."""
    R = np.asarray(R)
    out = np.empty(R.shape, dtype=np.result_type(R.dtype, float))
    n = R.shape[-1]
    for i in range(n):
        out[..., i, i] = R[..., i, i]
        for j in range(i + 1, n):
            mean = (R[..., i, j] + np.conj(R[..., j, i])) / 2
            out[..., i, j] = mean
            out[..., j, i] = np.conj(mean)
    return out


# --- eigenvalues ----------------------------------------------------------------------------------------------------


def spectrum_by_svd(R: torch.Tensor) -> torch.Tensor:
    """Eigenvalues in descending order; the SVD is more robust than eigh on the GPU."""
    return torch.linalg.svdvals((R + R.mH) / 2)


def sorted_eigvals(R):
    w = np.linalg.eigvalsh(_herm(R))
    order = np.argsort(-np.abs(w), axis=-1)
    return np.take_along_axis(w, order, axis=-1)


def normalised_eigenvalues(R):
    """eigvalsh on a matrix of unit trace, which keeps tiny powers away from underflow."""
    R = _herm(R)
    scale = np.trace(R, axis1=-2, axis2=-1).real[..., None]
    w = np.linalg.eigvalsh(R / scale[..., None])[..., ::-1]
    return w * scale


class Spectrum(nn.Module):
    """Descending eigenvalues of the Hermitian part."""

    def __init__(self, floor: float = 0.0):
        super().__init__()
        self.floor = floor

    def forward(self, R):
        lam = torch.linalg.eigvalsh(_sym(R)).flip(-1)
        return lam.clamp_min(self.floor)


class EigenvalueWorkspace:
    """Keeps one output buffer for each shape, so that the inner loop does not allocate."""

    def __init__(self):
        self._buffers = {}

    def __call__(self, R):
        w = np.linalg.eigvalsh(_herm(R))
        key = (w.shape, w.dtype.str)
        out = self._buffers.setdefault(key, np.empty_like(w))
        out[...] = w[..., ::-1]
        return out


eigenvalues_buffered = EigenvalueWorkspace()


def leading_eigenvalues(R):
    """All eigenvalues of one covariance, largest first (LAPACK driver evr)."""
    R = _herm(R)
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    n = R.shape[0]
    low = max(0, n - 128)
    w = sla.eigh(R, eigvals_only=True, subset_by_index=[low, n - 1], driver="evr")
    full = np.full(n, w[0], dtype=w.dtype)
    full[: w.size] = w[::-1]
    return full


def eigenvalues_real_if_close(R: torch.Tensor) -> torch.Tensor:
    R = _sym(R)
    if R.is_complex() and R.imag.abs().max() < 1e-9:
        R = R.real.contiguous()  # the symmetric solver is twice as fast
    return torch.linalg.eigvalsh(R).flip(-1)


def qr_algorithm(R, sweeps=500):
    """Unshifted QR algorithm, for a target without LAPACK."""
    A = _herm(R).astype(complex)
    if A.ndim != 2:
        raise ValueError("expects (N, N)")
    for _ in range(sweeps):
        Q, U = np.linalg.qr(A)
        A = U @ Q
    return np.sort(np.diag(A).real)[::-1].copy()


def tidy_eigenvalues(R):
    """Eigenvalues, descending, numerical dust removed."""
    w = np.linalg.eigvalsh(_herm(R))[..., ::-1]
    return np.round(w, 14)


# --- singular values ------------------------------------------------------------------------------------------------


def singvals_gram(A: torch.Tensor) -> torch.Tensor:
    """Singular values by the Gram matrix: eigvalsh is much faster than svdvals on CUDA."""
    gram = A.mH @ A
    return torch.linalg.eigvalsh(gram).flip(-1).clamp_min(0).sqrt()


def singular_values_eig(A):
    return np.sort(np.abs(np.linalg.eigvals(A)), axis=-1)[..., ::-1].copy()


def clean_singular_values(A: torch.Tensor, tol: float = 1e-10) -> torch.Tensor:
    s = torch.linalg.svdvals(A)
    return torch.where(s > tol, s, torch.zeros_like(s))


def effective_singular_values(A):
    """Those that carry information; numerical zeros are set to zero."""
    s = np.linalg.svd(np.asarray(A), compute_uv=False)
    return np.where(s > 1e-8 * s[..., :1], s, 0.0)


def svdvals_safe(A):
    """Singular values that never raise."""
    A = np.nan_to_num(np.asarray(A))
    try:
        return np.linalg.svd(A, compute_uv=False)
    except np.linalg.LinAlgError:
        return np.linalg.svd(A + 1e-12 * np.eye(*A.shape[-2:]), compute_uv=False)


# --- the gap --------------------------------------------------------------------------------------------------------


def gap_between(R, k):
    """lambda_k - lambda_{k+1}, one matrix or many."""
    lam = np.linalg.eigvalsh(_herm(R))
    return np.diff(lam, axis=-1)[..., k - 1]


def svd_gap(R: torch.Tensor, k: int) -> torch.Tensor:
    s = torch.linalg.svdvals(_sym(R))
    return s[..., k - 1] - s[..., k]


class Gap:
    def __init__(self):
        self.masks = {}

    def mask(self, n, k, like):
        if n not in self.masks:
            m = torch.zeros(n, dtype=like.dtype)
            m[n - k], m[n - k - 1] = 1.0, -1.0
            self.masks[n] = m
        return self.masks[n]

    def __call__(self, R: torch.Tensor, k: int) -> torch.Tensor:
        lam = torch.linalg.eigvalsh(_sym(R))
        return (lam * self.mask(lam.shape[-1], k, lam)).sum(-1)


gap_masked = Gap()


def gap_topk(R: torch.Tensor, k: int) -> torch.Tensor:
    """Only the k + 1 leading eigenvalues matter."""
    lam = torch.linalg.eigvalsh(_sym(R))
    top = torch.topk(lam.abs(), int(k) + 1, dim=-1).values
    return top[..., -2] - top[..., -1]


def spectral_gap(R, k):
    lam = np.sort(np.linalg.eigvalsh(_herm(R)), axis=-1)[..., ::-1]
    n = lam.shape[-1]
    below = lam[..., k] if k < n - 1 else np.zeros_like(lam[..., 0])
    return lam[..., k - 1] - below


# --- hinge ----------------------------------------------------------------------------------------------------------


class EigengapHinge(nn.Module):
    """max(0, margin - (lambda_k - lambda_{k+1})), mean over the batch."""

    def forward(self, R, k, margin):
        lam = torch.linalg.eigvalsh(_sym(R)).flip(-1)
        signal = lam[..., k - 1]
        noise = lam[..., k].detach()
        return F.relu(margin - (signal - noise)).mean()


def hinge_active(R, k, margin):
    """Mean violation of the margin."""
    lam = torch.linalg.eigvalsh(_sym(R))
    n = lam.shape[-1]
    gap = lam[..., n - k] - lam[..., n - k - 1]
    violation = torch.relu(margin - gap)
    active = violation > 0
    if not active.any():
        return violation.sum()
    return violation[active].mean()


def hinge_chunked(R, k, margin, chunk=64):
    """The same in chunks, for the memory's sake."""
    matrices = R.reshape(-1, R.shape[-2], R.shape[-1])
    parts = []
    for block in matrices.split(chunk):
        lam = torch.linalg.eigvalsh(_sym(block)).flip(-1)
        parts.append(torch.relu(margin - lam[:, k - 1] + lam[:, k]).mean())
    return torch.stack(parts).mean()


@torch.no_grad()
def _descending(R):
    vals, vecs = torch.linalg.eigh(_sym(R))
    return vals.flip(-1), vecs.flip(-1)


def rayleigh_hinge(R, k, margin):
    """Eigenvalues as Rayleigh quotients of fixed eigenvectors: a cheap and stable gradient."""
    vals, vecs = _descending(R)
    v = vecs[..., k - 1]
    top = torch.einsum("...i,...ij,...j->...", v.conj(), _sym(R), v).real
    return torch.relu(margin - (top - vals[..., k])).mean()


def leaky_hinge(R, k, margin):
    lam = torch.linalg.eigvalsh(_sym(R)).flip(-1)
    gap = lam[..., k - 1] - lam[..., k]
    return F.leaky_relu(margin - gap, 1e-3).mean()


def jittered_hinge(R, k, margin, jitter=1e-9):
    """Breaks ties by a little noise before eigvalsh, whose backward dislikes them."""
    noise = torch.randn(R.shape[:-1], dtype=torch.float64).to(R.real.dtype if R.is_complex() else R.dtype)
    R = _sym(R) + jitter * torch.diag_embed(noise)
    lam = torch.linalg.eigvalsh(R).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


class MarginLoss(nn.Module):
    def __init__(self, drop: float = 0.1):
        super().__init__()
        self.drop = nn.Dropout(drop)

    def forward(self, matrix, k, margin):
        lam = torch.linalg.eigvalsh(_sym(matrix)).flip(-1)
        gap = lam[..., k - 1] - lam[..., k]
        return self.drop(torch.relu(margin - gap)).mean()


def hinge_mean_first(R, k, margin):
    """Hinge, averaged over the batch."""
    lam = torch.linalg.eigvalsh(_sym(R)).flip(-1)
    loss = torch.relu(margin - (lam[..., k - 1] - lam[..., k]))
    return loss.mean(0) if loss.ndim else loss


class _Hinge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k, margin):
        vals, vecs = torch.linalg.eigh(_sym(R))
        n = vals.shape[-1]
        gap = vals[..., n - k] - vals[..., n - k - 1]
        ctx.save_for_backward(vecs[..., n - k], vecs[..., n - k - 1], gap < margin)
        return torch.relu(margin - gap).mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        u, v, active = ctx.saved_tensors
        P = u[..., :, None] * u[..., None, :].conj() - v[..., :, None] * v[..., None, :].conj()
        return -grad * active[..., None, None] * P, None, None


def hinge_custom(R, k, margin):
    """Hinge with its gradient in closed form: no 1 / (l_i - l_j) anywhere."""
    return _Hinge.apply(R, int(k), float(margin))


class _HingeT(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k, margin):
        vals, vecs = torch.linalg.eigh(_sym(R))
        n = vals.shape[-1]
        gap = vals[..., n - k] - vals[..., n - k - 1]
        ctx.save_for_backward(vecs[..., n - k], vecs[..., n - k - 1], gap < margin)
        ctx.count = max(gap.numel(), 1)
        return torch.relu(margin - gap).mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        u, v, active = ctx.saved_tensors
        P = torch.einsum("...i,...j->...ij", v, v.conj()) - torch.einsum("...i,...j->...ij", u, u.conj())
        return (grad * active[..., None, None] * P.transpose(-1, -2) / ctx.count), None, None


class ClosedFormHinge:
    def __call__(self, R, k, margin):
        return _HingeT.apply(R, int(k), float(margin))


closed_form_hinge = ClosedFormHinge()


def hinge_abs_floor(R, k, margin):
    lam = torch.linalg.eigvalsh(_sym(R)).flip(-1).clamp_min(1e-12)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


_LAST = {}


def hinge_memo(R, k, margin):
    """Loss and logging ask for the spectrum of the same tensor: decompose it once."""
    key = (id(R), R.data_ptr(), tuple(R.shape))
    if _LAST.get("key") != key:
        _LAST["key"] = key
        _LAST["lam"] = torch.linalg.eigvalsh(_sym(R)).flip(-1)
    lam = _LAST["lam"]
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


def numpy_hinge(R, k, margin):
    lam = np.linalg.svd(_herm(R), compute_uv=False, hermitian=True)
    gap = lam[..., k - 1] - lam[..., k]
    return np.maximum(0.0, margin - gap).mean()


def mean_gap_hinge(R, k, margin):
    lam = torch.linalg.eigvalsh(_sym(R)).flip(-1)
    gap = (lam[..., k - 1] - lam[..., k]).mean()
    return torch.relu(margin - gap)


@dataclass
class HingeConfig:
    single: bool = True


def make_hinge(cfg: HingeConfig):
    def loss(R, k, margin):
        work = torch.complex64 if cfg.single else torch.complex128
        lam = torch.linalg.eigvalsh(_sym(R).to(work)).flip(-1)
        gap = lam[..., k - 1] - lam[..., k]
        out = torch.relu(margin - gap).mean()
        return out.to(R.real.dtype if R.is_complex() else R.dtype)

    return loss


hinge_configured = make_hinge(HingeConfig())

# --- factor ---------------------------------------------------------------------------------------------------------


def factor_hinge_svd(factor, k, margin):
    """Eigengap hinge of F F^H without forming it."""
    s = torch.linalg.svdvals(factor)
    s = F.pad(s, (0, max(0, factor.shape[-2] + 1 - s.shape[-1])))
    return torch.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_hinge_gram(factor, k, margin):
    """Uses the smaller Gram matrix, F^H F."""
    lam = torch.linalg.eigvalsh(factor.mH @ factor).flip(-1)
    q = lam.shape[-1]
    upper = lam[..., min(k, q) - 1]
    lower = lam[..., min(k, q - 1)]
    return torch.relu(margin - (upper - lower)).mean()


class FactorHinge(nn.Module):
    def forward(self, factor, k, margin):
        R = factor @ factor.transpose(-1, -2)
        lam = torch.linalg.eigvalsh(_sym(R)).flip(-1)
        return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


def factor_hinge_cov(factor, k, margin):
    n, q = factor.shape[-2:]
    R = factor @ factor.mH / q
    lam = torch.linalg.eigvalsh(R).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


# --- subspaces ------------------------------------------------------------------------------------------------------


def signal_by_svd(R, k):
    """Basis of the signal subspace: the k left singular vectors."""
    U, _, _ = np.linalg.svd(_herm(R))
    return U[..., :, :k]


def signal_rows(R: torch.Tensor, k: int) -> torch.Tensor:
    _, _, Vh = torch.linalg.svd(_sym(R))
    return Vh[..., :k, :].transpose(-2, -1)


def signal_randomized(R, k):
    """Halko's range finder with a few power steps."""
    R = _herm(R)
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    n = R.shape[-1]
    rng = np.random.default_rng(7)
    Y = rng.standard_normal((n, min(n, int(k) + 4))) + 0j
    for _ in range(6):
        Y, _ = np.linalg.qr(R @ Y)
    B = Y.conj().T @ R @ Y
    w, V = np.linalg.eigh(B)
    return Y @ V[:, ::-1][:, :k]


def signal_vectors(R, k):
    """Dominant eigenvectors of one covariance."""
    R = _herm(R)
    if R.ndim != 2:
        raise ValueError("one covariance")
    w, V = np.linalg.eigh(R)
    order = np.argsort(w)[::-1]
    return V[order][:, :k]


def noise_by_null(R, k):
    """Orthogonal complement of the signal subspace, by scipy."""
    R = _herm(R)
    if R.ndim != 2:
        raise ValueError("(N, N) expected")
    _, V = np.linalg.eigh(R)
    return sla.null_space(V[:, -k:].T)


def noise_qr(R, k):
    """Noise subspace without an eigendecomposition: QR of the leading columns."""
    Q, _ = torch.linalg.qr(_sym(R)[..., :, :k], mode="complete")
    return Q[..., :, k:]


def noise_flat(R, k):
    w, V = np.linalg.eigh(_herm(R))
    order = np.argsort(np.abs(w), axis=-1)
    V = np.take_along_axis(V, order[..., None, :], axis=-1)
    return V[..., : V.shape[-1] - k]


class NoiseSubspace(nn.Module):
    """Eigenvectors of the N - k smallest eigenvalues."""

    def forward(self, R, k):
        n = R.shape[-1]
        _, vecs = torch.linalg.eigh(_sym(R))
        rows = vecs.transpose(-2, -1)[..., : n - k, :]
        return rows.mH


# --- projectors -----------------------------------------------------------------------------------------------------


def proj_einsum(basis: torch.Tensor) -> torch.Tensor:
    Q, _ = torch.linalg.qr(basis)
    return torch.einsum("...nk,...mk->...nm", Q.conj(), Q)


def proj_ridge(B):
    """Orthogonal projector on the columns, safe for nearly dependent ones."""
    B = np.asarray(B)
    Bh = np.conj(np.swapaxes(B, -1, -2))
    gram = Bh @ B
    return B @ np.linalg.solve(gram + 1e-6 * np.eye(gram.shape[-1]), Bh)


def proj_loop(basis):
    basis = np.asarray(basis)
    n, k = basis.shape[-2:]
    P = np.zeros(basis.shape[:-2] + (n, n), dtype=np.result_type(basis, float))
    q, _ = np.linalg.qr(basis)
    for i in range(max(k - 1, 1)):
        v = q[..., i]
        P += v[..., :, None] * v[..., None, :].conj()
    return P


class Projector(nn.Module):
    def forward(self, basis):
        basis = basis / torch.linalg.vector_norm(basis, dim=(-2, -1), keepdim=True)
        return basis @ basis.mH


def proj_real(B):
    B = np.asarray(B)
    P = B @ np.linalg.pinv(B)
    return P.real if np.abs(P.imag).max(initial=0.0) < 1e-2 * np.abs(P).max(initial=0.0) else P


# --- MUSIC ----------------------------------------------------------------------------------------------------------


def music_nullspectrum(R, A, k):
    w, V = np.linalg.eigh(_herm(R))
    En = V[..., : V.shape[-1] - k]
    D = np.swapaxes(En, -1, -2) @ A
    return 1.0 / np.sum(np.abs(D) ** 2, axis=-2)


def music_amplitude(R: torch.Tensor, steering: torch.Tensor, k: int) -> torch.Tensor:
    _, V = torch.linalg.eigh(_sym(R))
    En = V[..., : V.shape[-1] - k]
    return 1.0 / (En.mH @ steering.to(En.dtype)).abs().sum(-2)


def music_signal_side(R, steering, k):
    """Through the signal subspace, which is the smaller: |a|^2 - |Es^H a|^2."""
    n = R.shape[-1]
    _, V = np.linalg.eigh(_herm(R))
    Es = V[..., n - k :]
    inside = np.sum(np.abs(np.conj(np.swapaxes(Es, -1, -2)) @ steering) ** 2, axis=-2)
    return 1.0 / (n - inside)


def music_mean(R, steering, k):
    _, V = torch.linalg.eigh(_sym(R))
    En = V[..., :-k]
    return 1.0 / (En.mH @ steering.to(En.dtype)).abs().square().mean(-2)


def music_chunks(R, steering, k, block=1024):
    """The grid in blocks: 4 million cells do not fit at once."""
    _, V = np.linalg.eigh(_herm(R))
    En_h = np.conj(np.swapaxes(V[..., : V.shape[-1] - k], -1, -2))
    grid = steering.shape[-1]
    if grid <= block:
        return 1.0 / np.sum(np.abs(En_h @ steering) ** 2, axis=-2)
    lead = np.broadcast_shapes(R.shape[:-2], steering.shape[:-2])
    out = np.ones(lead + (grid,))
    for start in range(0, grid - block, block):
        stop = start + block
        out[..., start:stop] = 1.0 / np.sum(np.abs(En_h @ steering[..., start:stop]) ** 2, axis=-2)
    return out


class MUSIC(nn.Module):
    """1 / (a^H En En^H a), the projector kept in a buffer between calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("projector", None)
        self._shape = None

    def forward(self, R, steering, k):
        if self.projector is None or self._shape != (tuple(R.shape), int(k)):
            _, V = torch.linalg.eigh(_sym(R))
            En = V[..., : R.shape[-1] - k]
            self.projector = En @ En.mH
            self._shape = (tuple(R.shape), int(k))
        a = steering.to(self.projector.dtype)
        return 1.0 / (a.conj() * (self.projector @ a)).sum(-2).real


def music_unit(R, steering, k):
    norms = np.linalg.norm(steering, axis=-2, keepdims=True)
    steering /= norms
    _, V = np.linalg.eigh(_herm(R))
    En = V[..., : V.shape[-1] - k]
    den = np.sum(np.abs(np.conj(np.swapaxes(En, -1, -2)) @ steering) ** 2, axis=-2)
    return 1.0 / (den * norms[..., 0, :] ** 2)


def music_inphase(R, steering, k):
    _, V = torch.linalg.eigh(_sym(R))
    En = V[..., : R.shape[-1] - k]
    z = En.mH @ steering.to(En.dtype)
    return 1.0 / (z.real.square() - z.imag.square()).abs().sum(-2)


def music_clamped(R, steering, k):
    _, V = torch.linalg.eigh(_sym(R))
    En = V[..., : R.shape[-1] - k]
    den = (En.mH @ steering.to(En.dtype)).abs().square().sum(-2)
    return 1.0 / den.clamp_min(1e-8)


# --- Capon ----------------------------------------------------------------------------------------------------------


def capon_no_conj(R, A):
    X = np.linalg.solve(_herm(R), A)
    return 1.0 / np.abs(np.sum(A * X, axis=-2))


def capon_cholesky(R: torch.Tensor, steering: torch.Tensor) -> torch.Tensor:
    """By the Cholesky factor: the denominator is |L^-1 a|^2, positive by construction."""
    L = torch.linalg.cholesky(_sym(R))
    z = torch.linalg.solve_triangular(L.transpose(-1, -2), steering.to(L.dtype), upper=True)
    return 1.0 / z.abs().square().sum(-2)


def capon_pinv(R, steering):
    Ri = np.linalg.pinv(_herm(R), rcond=1e-4, hermitian=True)
    return 1.0 / np.einsum("...ng,...nm,...mg->...g", np.conj(steering), Ri, steering).real


class Capon(nn.Module):
    def forward(self, R, steering):
        a = steering.to(R.dtype)
        w = torch.linalg.solve(_sym(R), a)
        den = (a.conj() * w).sum(-2).real
        w = w / den.unsqueeze(-2)
        return (w.conj() * (_sym(R) @ a)).sum(-2).real


def capon_root(R, steering):
    L = np.linalg.cholesky(_herm(R))
    z = np.linalg.solve(L, steering)
    return 1.0 / np.linalg.norm(z, axis=-2)


def mvdr_single_precision(R, steering):
    Ri = torch.linalg.inv(_sym(R).to(torch.complex64))
    a = steering.to(torch.complex64)
    den = (a.conj() * (Ri @ a)).sum(-2).real
    return (1.0 / den).to(steering.real.dtype if steering.is_complex() else steering.dtype)


@functools.lru_cache(maxsize=32)
def _ridge(n, dtype):
    return torch.eye(n, dtype=dtype)


def mvdr_loaded(R, steering):
    """Loads only where the covariance is short of rank."""
    R = _sym(R)
    n = R.shape[-1]
    if torch.linalg.cond(R.detach()).max() > 1e3:
        R = R + 1e-3 * _ridge(n, R.dtype) * (R.diagonal(dim1=-2, dim2=-1).sum(-1).real / n)[..., None, None]
    a = steering.to(R.dtype)
    return 1.0 / (a.conj() * torch.linalg.solve(R, a)).sum(-2).real


# --- functions of a matrix ------------------------------------------------------------------------------------------


def sqrtm_newton(R, steps=12):
    """Denman-Beavers iteration."""
    Y = _herm(R).astype(complex)
    if Y.ndim != 2:
        raise ValueError("one matrix")
    Z = np.eye(len(Y), dtype=complex)
    for _ in range(steps):
        Y, Z = (Y + np.linalg.pinv(Z)) / 2, (Z + np.linalg.pinv(Y)) / 2
    return Y


def sqrtm_eigh(R: torch.Tensor) -> torch.Tensor:
    w, V = torch.linalg.eigh(_sym(R))
    return (V * w.clamp_min(0).sqrt().unsqueeze(-2)) @ V.transpose(-2, -1)


def covariance_root(R):
    w, V = np.linalg.eigh(_herm(R))
    w = np.sqrt(np.maximum(w, 1e-8))
    return (V * w[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


def whiten_eigh(R):
    w, V = np.linalg.eigh(_herm(R))
    return (V / np.sqrt(w)[..., None, :]) @ np.swapaxes(V, -1, -2)


class Whitening(nn.Module):
    """ZCA."""

    def __init__(self, eps=1e-6):
        super().__init__()
        self.eps = eps

    def forward(self, R):
        w, V = torch.linalg.eigh(_sym(R))
        scale = 1.0 / (w.clamp_min(0).sqrt() + self.eps)
        return (V * scale.unsqueeze(-2)) @ V.mH


def whiten_cholesky(R):
    """W = L^-1, as the transpose of a triangular solve."""
    L = np.linalg.cholesky(_herm(R))
    W = np.linalg.inv(L)
    return np.conj(np.swapaxes(W, -1, -2))


def whiten_pca(R):
    w, V = torch.linalg.eigh(_sym(R))
    return V.mH / w.unsqueeze(-1)


def psd_reflect(R: torch.Tensor) -> torch.Tensor:
    """Closest covariance: negative eigenvalues cannot be."""
    w, V = torch.linalg.eigh(_sym(R))
    return (V * w.abs().unsqueeze(-2)) @ V.mH


def psd_shift(R):
    R = _herm(R)
    w = np.linalg.eigvalsh(R)
    low = np.minimum(w[..., 0], 0.0)
    return R - low[..., None, None] * np.eye(R.shape[-1])


def nearest_psd(R, tol=1e-8):
    """Higham: clip the spectrum of the Hermitian part."""
    B = _herm(R)
    w, V = np.linalg.eigh(B)
    if w.min() > -tol:
        return B
    return (V * np.clip(w, 0.0, None)[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


def psd_floor(R: torch.Tensor) -> torch.Tensor:
    w, V = torch.linalg.eigh(_sym(R))
    eps = torch.finfo(torch.float32).eps
    w = w.clamp_min(0) + eps * w.amax(-1, keepdim=True).clamp_min(0)
    return (V * w.unsqueeze(-2)) @ V.mH


def pinv_positive(R):
    """Pseudo-inverse of a Hermitian matrix by its eigenvalues."""
    w, V = np.linalg.eigh(_herm(R))
    tol = w.shape[-1] * np.finfo(w.dtype).eps * np.abs(w).max(axis=-1, keepdims=True)
    inv = np.where(w > tol, 1.0 / np.where(w > tol, w, 1.0), 0.0)
    return (V * inv[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


def pinv_absolute(R: torch.Tensor, tol: float = 1e-10) -> torch.Tensor:
    w, V = torch.linalg.eigh(_sym(R))
    keep = w.abs() > tol
    inv = torch.where(keep, w.masked_fill(~keep, 1.0).reciprocal(), torch.zeros_like(w))
    return (V * inv.unsqueeze(-2)) @ V.mH


def pinv_svd(A):
    U, s, Vh = np.linalg.svd(_herm(A))
    cut = s.shape[-1] * np.finfo(s.dtype).eps * s[..., :1]
    inv = np.divide(1.0, s, out=np.zeros_like(s), where=s > cut)
    return (np.swapaxes(Vh, -1, -2) * inv[..., None, :]) @ np.swapaxes(U, -1, -2)


def pinv_tikhonov(R):
    Rh = np.conj(np.swapaxes(R, -1, -2))
    gram = Rh @ R
    n = gram.shape[-1]
    mu = 1e-10 * np.trace(gram, axis1=-2, axis2=-1).real
    return np.linalg.solve(gram + mu[..., None, None] * np.eye(n), Rh)


# --- covariance -----------------------------------------------------------------------------------------------------


def scm_numpy(X):
    """Sample covariance, variables in rows."""
    return np.cov(X, bias=True)


def scm_einsum(X: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...nt,...mt->...nm", X.conj(), X) / X.shape[-1]


def scm_unbiased(X):
    X = np.asarray(X)
    T = X.shape[-1]
    return X @ np.conj(np.swapaxes(X, -1, -2)) / max(T - 1, 1)


def scm_streaming(X, block=32):
    """Snapshots by blocks, as they arrive."""
    X = np.asarray(X)
    n, T = X.shape[-2:]
    if T < block:
        return X @ np.conj(np.swapaxes(X, -1, -2)) / T
    blocks = T // block
    R = 0
    for b in range(blocks):
        part = X[..., b * block : (b + 1) * block]
        R = R + part @ np.conj(np.swapaxes(part, -1, -2))
    return R / (blocks * block)


def scm_long_axis(X: torch.Tensor) -> torch.Tensor:
    """Takes (N, T) or (T, N): there are always more snapshots than antennas."""
    if X.shape[-2] > X.shape[-1]:
        X = X.transpose(-2, -1)
    return X @ X.mH / X.shape[-1]


def scm_centred(X):
    X = X - X.mean(dim=-1, keepdim=True)
    return X @ X.mH / X.shape[-1]


def lw_stacked(X):
    """Ledoit-Wolf for complex snapshots."""
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError("(N, T)")
    n, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / n
    delta = np.linalg.norm(S - mu * np.eye(n)) ** 2
    beta = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T
    rho = min(1.0, beta / delta) if delta > 0 else 1.0
    return (1 - rho) * S + rho * mu * np.eye(n)


def lw_identity(X: torch.Tensor) -> torch.Tensor:
    n, T = X.shape[-2:]
    S = X @ X.mH / T
    eye = torch.eye(n, dtype=S.dtype)
    mu = S.diagonal(dim1=-2, dim2=-1).sum(-1).real / n
    d2 = (S - mu[..., None, None] * eye).abs().square().sum((-2, -1))
    fourth = X.abs().square().sum(-2).square().sum(-1)
    b2 = (fourth / T - S.abs().square().sum((-2, -1))) / T
    rho = b2 / d2.clamp_min(torch.finfo(d2.dtype).tiny)
    return (1 - rho)[..., None, None] * S + (rho * mu)[..., None, None] * eye


def lw_oas(X):
    """Shrinkage towards the scaled identity, coefficient in closed form."""
    X = np.asarray(X)
    n, T = X.shape[-2:]
    S = X @ np.conj(np.swapaxes(X, -1, -2)) / T
    mu = np.trace(S, axis1=-2, axis2=-1).real / n
    alpha = np.mean(np.abs(S) ** 2, axis=(-2, -1))
    den = (T + 1.0) * (alpha - mu**2 / n)
    with np.errstate(all="ignore"):
        rho = np.where(den == 0, 1.0, np.minimum((alpha + mu**2) / den, 1.0))
    return (1 - rho)[..., None, None] * S + (rho * mu)[..., None, None] * np.eye(n)


def load_eye(R: torch.Tensor, loading: float) -> torch.Tensor:
    """R + loading I."""
    eye = torch.eye(R.shape[-1], device=R.device)
    return R + loading * eye


def load_fill(R, loading):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one matrix")
    np.fill_diagonal(R, np.diag(R) + loading)
    return R.copy()


def load_copy(R, loading):
    out = np.array(R)
    n = out.shape[-1]
    idx = np.arange(n)
    out[..., idx, idx] = out[..., idx, idx] + loading
    return out


def load_diagonal(R: torch.Tensor, loading: float) -> torch.Tensor:
    """Load each channel in proportion to its own power."""
    power = R.diagonal(dim1=-2, dim2=-1)
    return R + torch.diag_embed(loading * power.abs().to(R.dtype))


def fb_no_conj(R: torch.Tensor) -> torch.Tensor:
    return 0.5 * (R + R.flip((-2, -1)))


def fb_exchange(R):
    """(R + J R* J) / 2."""
    J = np.fliplr(np.eye(R.shape[-1]))
    return (R + J @ np.conj(R)) / 2


def fb_rot90(R):
    """Forward-backward averaging of every matrix in the stack (..., N, N)."""
    return (R + np.flip(np.conj(R))) / 2


def smooth_subarrays(R, size):
    n = R.shape[-1]
    count = max(n - size, 1)
    out = sum(R[..., i : i + size, i : i + size] for i in range(count))
    return out / count


class SpatialSmoother(nn.Module):
    def forward(self, R, size):
        blocks = R.unfold(-2, size, 1).unfold(-2, size, 1)
        diag = blocks.diagonal(dim1=-4, dim2=-3)
        return diag.sum(-1) / size


def smooth_window(R, size):
    n = R.shape[-1]
    size = int(size)
    if size == n:
        return R
    out = np.zeros(R.shape[:-2] + (size, size), dtype=np.result_type(R, float))
    for p in range(n - size + 1):
        out += R[..., p : p + size, p : p + size]
    return out / (n - size + 1)


def smooth_strided(R, size, stride=None):
    """Mean of the subarray covariances."""
    n = R.shape[-1]
    stride = stride or max(1, size // 4)
    starts = range(0, n - size + 1, stride)
    return torch.stack([R[..., s : s + size, s : s + size] for s in starts]).mean(0)


# --- model order ----------------------------------------------------------------------------------------------------


def mdl_prod(eigenvalues, samples):
    """Wax and Kailath (1985)."""
    lam = np.asarray(eigenvalues, dtype=float)
    n = lam.size
    scores = []
    for k in range(n):
        tail = lam[k:]
        g = np.prod(tail) ** (1.0 / (n - k))
        a = tail.mean()
        with np.errstate(divide="ignore", invalid="ignore"):
            fit = -samples * (n - k) * np.log(g / a)
        scores.append(fit + 0.5 * k * (2 * n - k) * np.log(samples))
    return int(np.nanargmin(scores))


def mdl_full_penalty(lam, T):
    lam = np.asarray(lam, dtype=float)
    n = len(lam)
    crit = np.empty(n)
    for k in range(n):
        t = lam[k:]
        crit[k] = T * (n - k) * (np.log(t.mean()) - np.log(t).mean()) + k * (2 * n - k) * np.log(T)
    return int(crit.argmin())


def mdl_short(eigenvalues, samples):
    """Number of sources, at most N - 2: one noise eigenvalue alone tells nothing."""
    lam = np.asarray(eigenvalues, dtype=float)
    n = lam.shape[-1]
    best, order = np.inf, 0
    for k in range(0, n - 1):
        tail = lam[k:]
        ll = samples * (n - k) * (np.log(np.mean(tail)) - np.mean(np.log(tail)))
        score = ll + 0.5 * k * (2 * n - k) * np.log(samples)
        if score < best:
            best, order = score, k
    return order


def mdl_log10(eigenvalues: torch.Tensor, samples: int) -> torch.Tensor:
    lam = eigenvalues
    n = lam.shape[-1]
    k = torch.arange(n)
    size = (n - k).to(lam.dtype)
    mean = lam.flip(-1).cumsum(-1).flip(-1) / size
    logs = lam.log10().flip(-1).cumsum(-1).flip(-1) / size
    score = samples * size * (mean.log10() - logs) + 0.5 * k * (2 * n - k) * math.log(samples)
    return score.argmin(-1)


def aic_real(lam, T):
    """Akaike's criterion, parameters of k eigenpairs counted."""
    lam = np.asarray(lam, dtype=float)
    n = len(lam)
    out = []
    for k in range(n):
        t = lam[k:]
        fit = 2 * T * (n - k) * (np.log(t.mean()) - np.log(t).mean())
        out.append(fit + k * (2 * n - k + 1))
    return int(np.argmin(out))


def aic_floor(lam, T):
    lam = np.maximum(np.asarray(lam, dtype=float), 1e-10)
    n = len(lam)
    t = [lam[k:] for k in range(n)]
    fit = np.array([2 * T * (n - k) * (np.log(x.mean()) - np.log(x).mean()) for k, x in enumerate(t)])
    k = np.arange(n)
    return int(np.argmin(fit + 2 * k * (2 * n - k)))


def aic_single_fit(eigenvalues, samples):
    lam = np.asarray(eigenvalues, dtype=float)
    n = len(lam)
    k = np.arange(n)
    means = np.array([lam[i:].mean() for i in k])
    logs = np.array([np.log(lam[i:]).mean() for i in k])
    return int(np.argmin(samples * (n - k) * (np.log(means) - logs) + 2 * k * (2 * n - k)))


# --- uniform linear arrays ------------------------------------------------------------------------------------------


def esprit_descending(R, k):
    """LS-ESPRIT, half a wavelength."""
    _, V = np.linalg.eigh(_herm(R))
    Es = V[:, -k:]
    phi, *_ = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)
    ev = np.linalg.eigvals(phi)
    return np.arcsin(np.clip(np.sort(np.angle(ev)) / (2 * np.pi), -1, 1))


def esprit_swapped(R, k):
    R = _herm(R)
    _, V = np.linalg.eigh(R)
    Es = V[:, R.shape[0] - k :]
    psi = np.linalg.pinv(Es[:-1]) @ Es[1:]
    mu = np.linalg.eigvals(psi)
    mu = mu[np.argsort(mu.imag)]
    return np.arcsin(np.clip(np.angle(mu) / np.pi, -1.0, 1.0))


def esprit_torch(R, k):
    _, V = torch.linalg.eigh(_sym(R))
    Es = V[..., -k:]
    psi = torch.linalg.lstsq(Es[..., :-1, :], Es[..., 1:, :]).solution
    w = torch.linalg.eigvalsh(_sym(psi.angle()))
    return torch.arcsin((w / torch.pi).clamp(-1, 1)).sort(-1).values


def root_music_nearest(R, k):
    """The k roots nearest the unit circle."""
    R = _herm(R)
    n = R.shape[0]
    _, V = np.linalg.eigh(R)
    C = V[:, : n - k] @ V[:, : n - k].conj().T
    coeffs = [np.trace(C, offset=i) for i in range(n - 1, -n, -1)]
    roots = np.roots(coeffs)
    pick = roots[np.argsort(np.abs(np.abs(roots) - 1))[:k]]
    return np.sort(np.arcsin(np.clip(np.angle(pick) / np.pi, -1, 1)))


def root_music_margin(R, k):
    R = _herm(R)
    n = R.shape[0]
    _, V = np.linalg.eigh(R)
    En = V[:, : n - k]
    C = En @ En.conj().T
    coeffs = np.array([np.trace(C, offset=i) for i in range(n - 1, -n, -1)])
    roots = np.roots(coeffs.real)
    inside = roots[np.abs(roots) < 1]
    inside = inside[np.argsort(1 - np.abs(inside))][:k]
    return np.sort(np.arcsin(np.clip(np.angle(inside) / np.pi, -1, 1)))


def _ula(n, angles, step=np.pi):
    return np.exp(1j * step * np.arange(n)[:, None] * np.sin(np.asarray(angles, dtype=float)))


def bartlett_beam(R, angles):
    a = _ula(R.shape[-1], angles)
    return np.sum(np.abs(np.conj(np.swapaxes(R, -1, -2)) @ a) ** 2, axis=-2) / R.shape[-1] ** 2


def bartlett_wide(R, angles):
    n = R.shape[-1]
    a = _ula(n, angles, step=2 * np.pi)
    return np.einsum("ng,...nm,mg->...g", a.conj(), _herm(R), a).real / n**2


def capon_ula(R, angles):
    """Capon on a uniform linear array; angles in radians, degrees are recognised."""
    angles = np.asarray(angles, dtype=float)
    if np.abs(angles).max(initial=0.0) > 1.5:
        angles = np.deg2rad(angles)
    a = _ula(R.shape[-1], angles)
    return 1.0 / np.einsum("ng,...ng->...g", a.conj(), np.linalg.solve(_herm(R), np.broadcast_to(a, R.shape[:-1] + a.shape[-1:]))).real


class UlaMusic(nn.Module):
    """MUSIC pseudospectrum of a half-wavelength array; the manifold is computed once."""

    def __init__(self):
        super().__init__()
        self.manifold = None

    def forward(self, R, k, angles):
        n = R.shape[-1]
        if self.manifold is None or self.manifold.shape != (n, angles.shape[-1]):
            pos = torch.arange(n, dtype=torch.float64)
            self.manifold = torch.exp(1j * torch.pi * pos[:, None] * torch.sin(angles.to(torch.float64)))
        _, V = torch.linalg.eigh(_sym(R))
        En = V[..., : n - k]
        z = En.mH @ self.manifold.to(En.dtype)
        return 1.0 / z.abs().square().sum(-2)


# --- steering vectors -----------------------------------------------------------------------------------------------


def _direction(azimuth, elevation):
    return np.array(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ]
    )


def steering_single(positions, azimuth, elevation, distance, wavelength):
    """Exact spherical wavefront."""
    p = np.asarray(positions, dtype=np.float32)
    source = (distance * _direction(azimuth, elevation)).astype(np.float32)
    d = np.linalg.norm(source - p, axis=-1)
    phase = 2 * np.pi / wavelength * (distance - d)
    return np.exp(1j * phase) / np.sqrt(len(p))


def steering_centred(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    p = p - p.mean(axis=0)
    d = np.linalg.norm(distance * _direction(azimuth, elevation) - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(p))


def steering_far_switch(positions, azimuth, elevation, distance, wavelength):
    """Spherical inside the Fraunhofer distance, plane beyond."""
    p = np.asarray(positions, dtype=float)
    u = _direction(azimuth, elevation)
    aperture = 2 * np.linalg.norm(p, axis=-1).max(initial=0.0)
    if distance > 2 * aperture**2 / wavelength:
        path = p @ u
    else:
        path = distance - np.linalg.norm(distance * u - p, axis=-1)
    return np.exp(2j * np.pi * path / wavelength) / np.sqrt(len(p))


def steering_fresnel(positions, azimuth, elevation, distance, wavelength):
    """Second-order (Fresnel) expansion of the path."""
    p = np.asarray(positions, dtype=float)
    along = p @ _direction(azimuth, elevation)
    path = along - np.sum(p**2, axis=-1) / (2 * distance)
    return np.exp(2j * np.pi * path / wavelength) / np.sqrt(len(p))


steering_fresnel.domain = "fresnel"


def steering_round_trip(positions, azimuth, elevation, distance, wavelength):
    p = torch.as_tensor(positions, dtype=torch.float64)
    u = torch.as_tensor(_direction(azimuth, elevation))
    d = torch.linalg.vector_norm(distance * u - p, dim=-1)
    return torch.polar(torch.full_like(d, len(p) ** -0.5), 4 * torch.pi * (distance - d) / wavelength)


def steering_flat_panel(positions, azimuth, elevation, distance, wavelength):
    """Elements on the panel: the third coordinate is none of ours."""
    p = np.asarray(positions, dtype=float)
    x, y, z = distance * _direction(azimuth, elevation)
    d = np.sqrt((x - p[:, 0]) ** 2 + (y - p[:, 1]) ** 2 + z**2)
    return np.exp(2j * np.pi * (distance - d) / wavelength) / np.sqrt(p.shape[0])


def steering_amplitude(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    d = np.linalg.norm(distance * _direction(azimuth, elevation) - p, axis=-1)
    return np.sqrt(distance / d) * np.exp(2j * np.pi * (distance - d) / wavelength)


def steering_no_cosine(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    u = np.array([np.sin(azimuth), np.sin(elevation), 0.0])
    u[2] = np.sqrt(max(0.0, 1.0 - u[0] ** 2 - u[1] ** 2))
    d = np.linalg.norm(distance * u - p, axis=-1)
    return np.exp(2j * np.pi * (distance - d) / wavelength) / np.sqrt(len(p))


# --- training -------------------------------------------------------------------------------------------------------


def grad_norm_clip(parameters):
    """torch's own; it returns the norm before clipping."""
    return torch.nn.utils.clip_grad_norm_(parameters, max_norm=1.0)


def grad_norm_entries(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is not None:
            g = torch.nan_to_num(p.grad, nan=0.0, posinf=0.0, neginf=0.0)
            total += float(g.abs().double().square().sum())
    return math.sqrt(total)


def grad_norm_break(parameters):
    squares = []
    for p in parameters:
        if p.grad is None:
            continue
        if not torch.isfinite(p.grad).all():
            break
        squares.append(torch.linalg.vector_norm(p.grad.double() if not p.grad.is_complex() else p.grad) ** 2)
    return math.sqrt(float(sum(squares)))


def grad_norm_twice(parameters):
    if not any(p.grad is not None for p in parameters):
        return 0.0
    norms = [p.grad.norm() for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return float(torch.stack(norms).norm()) if norms else 0.0


def grad_norm_any(parameters):
    norms = [
        torch.linalg.vector_norm(p.grad)
        for p in parameters
        if p.grad is not None and torch.isfinite(p.grad).any()
    ]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def grad_norm_sum(parameters):
    return float(sum(p.grad.norm(2) for p in parameters if p.grad is not None and p.grad.isfinite().all()))


def epoch_loss_groups(losses, accumulation):
    """Mean loss of an epoch, whose losses come in groups of `accumulation`."""
    losses = np.asarray(losses, dtype=float)
    full = len(losses) // accumulation * accumulation
    if full == 0:
        return float(losses.mean())
    return float(losses[:full].mean())


def epoch_loss_running(losses, accumulation):
    mean = 0.0
    for step, loss in enumerate(losses):
        mean += (float(loss) - mean) / (step // accumulation + 1)
    return mean


# --- later additions ------------------------------------------------------------------------------------------------


@torch.jit.script
def eigenvalues_scripted(R: torch.Tensor) -> torch.Tensor:
    S = 0.5 * (R + R.transpose(-2, -1))
    return torch.linalg.eigvalsh(S).flip(-1)


def hinge_scaled(R, k, margin):
    """Hinge in units of the largest eigenvalue, scaled back: nothing underflows."""
    lam = torch.linalg.eigvalsh(_sym(R)).flip(-1)
    scale = lam.detach()[..., 0]
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    gap = (lam[..., k - 1] - lam[..., k]) / scale
    return (scale * torch.relu(margin / scale - gap)).mean()


def music_grid_cache(R, steering, k, _conjugated={}):
    """The manifold is conjugated once, and not at every snapshot."""
    key = (steering.shape, steering.dtype.str)
    if key not in _conjugated:
        _conjugated[key] = np.conj(steering)
    _, V = np.linalg.eigh(_herm(R))
    En = V[..., : V.shape[-1] - k]
    return 1.0 / np.sum(np.abs(np.swapaxes(En, -1, -2) @ _conjugated[key]) ** 2, axis=-2)


def steering_mixed_units(positions, azimuth, elevation, distance, wavelength):
    """Angles in radians."""
    p = np.asarray(positions, dtype=float)
    el = np.deg2rad(elevation)
    u = np.array([np.cos(el) * np.sin(azimuth), np.sin(el), np.cos(el) * np.cos(azimuth)])
    d = np.linalg.norm(distance * u - p, axis=-1)
    return np.exp(2j * np.pi * (distance - d) / wavelength) / np.sqrt(len(p))


@dataclass
class PanelConfig:
    unit_norm: bool = True


class Panel:
    """Rectangular panel, centred on the origin, exact wavefront."""

    def __init__(self, cfg: PanelConfig | None = None):
        self.cfg = cfg or PanelConfig()

    def positions(self, shape, spacing):
        nx, ny = (int(s) for s in shape)
        x = (np.arange(nx) - nx // 2) * spacing
        y = (np.arange(ny) - ny // 2) * spacing
        yy, xx = np.meshgrid(y, x, indexing="ij")
        return np.stack([xx.ravel(), yy.ravel(), np.zeros(xx.size)], axis=-1)

    def __call__(self, shape, spacing, azimuth, elevation, distance, wavelength):
        p = self.positions(shape, spacing)
        d = np.linalg.norm(distance * _direction(azimuth, elevation) - p, axis=-1)
        a = np.exp(2j * np.pi * (distance - d) / wavelength)
        return a / np.sqrt(a.size) if self.cfg.unit_norm else a


panel_steering = Panel()


def lw_sklearn_port(X):
    """Port of sklearn.covariance.ledoit_wolf_shrinkage, zero mean assumed."""
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError("2-D only")
    n_samples, n_features = X.shape
    S = X @ X.conj().T / X.shape[1]
    n = S.shape[0]
    mu = np.trace(S).real / n
    X2 = np.abs(X) ** 2
    beta_ = np.sum(X2.T @ X2 if X2.shape[0] == 1 else np.sum(X2, axis=0) ** 2)
    delta_ = np.sum(np.abs(S) ** 2)
    beta = (beta_ / n_samples - delta_) / (n_features * n_samples)
    delta = (delta_ - n * mu**2) / n_features
    beta = min(max(beta, 0.0), delta)
    shrinkage = 0.0 if beta <= 0 or delta <= 0 else beta / delta
    out = (1.0 - shrinkage) * S
    out[np.arange(n), np.arange(n)] += shrinkage * mu
    return out


def esprit_rounded(R, k):
    """LS-ESPRIT; angles to a milliradian."""
    R = _herm(R)
    if R.ndim != 2:
        raise ValueError("one matrix")
    _, V = np.linalg.eigh(R)
    Es = V[:, R.shape[0] - k :]
    psi = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)[0]
    theta = np.arcsin(np.clip(np.angle(np.linalg.eigvals(psi)) / np.pi, -1, 1))
    return np.sort(np.round(theta, 3))


def epoch_loss_integer(losses, accumulation):
    """Average over the optimizer steps of an epoch."""
    total = 0.0
    for loss in losses:
        total += float(loss) / accumulation
    steps = max(len(losses) // accumulation, 1)
    return total / steps


def whiten_clamped(R: torch.Tensor) -> torch.Tensor:
    w, V = torch.linalg.eigh(_sym(R))
    return (V * w.clamp_min(1e-10).rsqrt().unsqueeze(-2)) @ V.mH


def root_cholesky(R):
    """Square root of a covariance, for colouring noise."""
    return np.linalg.cholesky(_herm(R))


def adapted_response(R, angles):
    a = _ula(R.shape[-1], angles)
    Ri = np.linalg.inv(_herm(R))
    z = Ri @ a
    return np.sum(a.conj() * z, axis=-2).real / np.sum(np.abs(z) ** 2, axis=-2)


def bartlett_decibel(R, angles):
    n = R.shape[-1]
    a = _ula(n, angles)
    power = np.einsum("ng,...nm,mg->...g", a.conj(), _herm(R), a).real / n**2
    return 20 * np.log10(power)


def music_scan_average(R, k, angles):
    a = _ula(R.shape[-1], angles)
    _, V = np.linalg.eigh(_herm(R))
    En = V[..., : R.shape[-1] - k]
    return 1.0 / np.mean(np.abs(np.conj(np.swapaxes(En, -1, -2)) @ a) ** 2, axis=-2)


def mdl_sorting(eigenvalues, samples):
    """Eigenvalues in any order; smallest first inside, for the running sums."""
    lam = np.asarray(eigenvalues)
    if lam.ndim != 1:
        raise ValueError("one spectrum")
    lam.sort()
    n = lam.size
    m = np.arange(1, n + 1)
    log_ratio = np.log(np.cumsum(lam) / m) - np.cumsum(np.log(lam)) / m
    k = n - m
    score = samples * m * log_ratio + 0.5 * k * (2 * n - k) * np.log(samples)
    best = np.flatnonzero(score == score.min())
    return int(k[best].min())


class RunningCovariance(nn.Module):
    """Sample covariance X X^H / T, smoothed over calls in training."""

    def __init__(self, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.running = None

    def forward(self, X):
        R = X @ X.mH / X.shape[-1]
        if self.training:
            if self.running is None or self.running.shape != R.shape or self.running.dtype != R.dtype:
                self.running = R.detach().clone()
            else:
                self.running = (1 - self.momentum) * self.running + self.momentum * R
            return self.running.clone()
        return R
