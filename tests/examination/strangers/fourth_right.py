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


def _adj(A):
    return np.conj(np.swapaxes(A, -1, -2))


def _np_herm(R):
    R = np.asarray(R)
    return (R + _adj(R)) / 2


def _t_herm(R):
    return (R + R.mH) / 2


def _one(R):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    return R


# --- Hermitian part -------------------------------------------------------------------------------------------------


class HermitianPart(nn.Module):
    def forward(self, x):
        return torch.lerp(x, x.mH.resolve_conj().contiguous(), 0.5) if x.is_complex() else x / 2 + x.mT / 2


def hermitian_part_loops(M):
    """Entry by entry, for one matrix."""
    M = _one(M)
    n = len(M)
    H = np.zeros((n, n), dtype=np.result_type(M.dtype, np.float32))
    for i in range(n):
        for j in range(i, n):
            H[i, j] = (M[i, j] + np.conj(M[j, i])) / 2
            H[j, i] = np.conj(H[i, j])
    return H


def herm(*, estimate):
    """Keyword only."""
    return 0.5 * (estimate + np.conjugate(np.moveaxis(estimate, -1, -2)))


@torch.jit.script
def hermitize_scripted(R: torch.Tensor) -> torch.Tensor:
    return 0.5 * R + 0.5 * R.transpose(-2, -1).conj()


# --- eigenvalues ----------------------------------------------------------------------------------------------------


def eigenvalues_driver(R):
    """LAPACK's MRRR, one matrix, descending."""
    return sla.eigvalsh(_np_herm(_one(R)), driver="evr")[::-1].copy()


def eigenvalues_negated(R: torch.Tensor) -> torch.Tensor:
    """Descending without a flip: the spectrum of -R, ascending, negated."""
    return -torch.linalg.eigvalsh(-_t_herm(R))


def eigenvalues_list(R):
    w = np.linalg.eigvalsh(_np_herm(_one(R)))
    return sorted((float(x) for x in w), reverse=True)


def spectrum_embedding(R):
    """Through the real symmetric embedding [[A, -B], [B, A]], whose spectrum is ours twice."""
    H = _np_herm(R)
    A, B = H.real, H.imag
    M = np.concatenate([np.concatenate([A, -B], -1), np.concatenate([B, A], -1)], -2)
    return np.linalg.eigvalsh(M)[..., ::2][..., ::-1]


class DescendingEigenvalues(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, covariance):
        return torch.linalg.eigvalsh(_t_herm(covariance)).sort(dim=-1, descending=True).values


def tridiagonal_eigenvalues(R):
    """Householder to tridiagonal form, then the real tridiagonal solver; one matrix."""
    A = _np_herm(_one(R))
    n = len(A)
    if n == 1:
        return A.real[0].copy()
    T = sla.hessenberg(A)
    diagonal = np.diag(T).real
    beside = np.abs(np.diag(T, -1))
    return sla.eigvalsh_tridiagonal(diagonal, beside)[::-1].copy()


# --- singular values ------------------------------------------------------------------------------------------------


def singular_values_scipy(A):
    return sla.svdvals(_one(A))


def singular_values_jordan_wielandt(A):
    """The positive half of the spectrum of [[0, A], [A^H, 0]]."""
    A = np.asarray(A)
    n = A.shape[-1]
    Z = np.zeros_like(A)
    top = np.concatenate([Z, A], -1)
    bottom = np.concatenate([_adj(A), Z], -1)
    w = np.linalg.eigvalsh(np.concatenate([top, bottom], -2))[..., n:]
    return np.maximum(w[..., ::-1], 0.0)


def singvals_full(matrix: torch.Tensor) -> torch.Tensor:
    _, S, _ = torch.linalg.svd(matrix, full_matrices=False)
    return S


# --- gap ------------------------------------------------------------------------------------------------------------


def gap_diff(covariance, n_sources):
    w = np.linalg.eigvalsh(_np_herm(covariance))
    return np.diff(w, axis=-1)[..., w.shape[-1] - n_sources - 1]


def gap_subset(R, k):
    """Only the two eigenvalues wanted are computed."""
    R = _np_herm(_one(R))
    n, k = len(R), int(k)
    low, high = sla.eigh(R, eigvals_only=True, subset_by_index=[n - k - 1, n - k])
    return high - low


def gap_topk(R, k):
    lam = torch.linalg.eigvalsh(_t_herm(R)).topk(int(k) + 1, dim=-1).values
    return lam[..., -2] - lam[..., -1]


# --- hinge ----------------------------------------------------------------------------------------------------------


class GapLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, R, k, margin):
        ascending = torch.linalg.eigvalsh(_t_herm(R))
        n = ascending.size(-1)
        gap = ascending.select(-1, n - int(k)) - ascending.select(-1, n - int(k) - 1)
        return self.relu(margin - gap).mean()


def hinge_float(R, k, margin):
    """numpy; a float."""
    w = np.linalg.eigvalsh(_np_herm(R))
    n = w.shape[-1]
    gap = w[..., n - k] - w[..., n - k - 1]
    return float(np.mean(np.maximum(margin - gap, 0)))


def hinge_margin_ranking(R, k, margin):
    lam = torch.linalg.eigvalsh(_t_herm(R)).flip(-1)
    up, low = lam[..., k - 1], lam[..., k]
    return F.margin_ranking_loss(up, low, torch.ones_like(up), margin=float(margin))


def hinge_keywords(*, threshold, order, matrix):
    lam = torch.linalg.eigvalsh(_t_herm(matrix)).flip(-1)
    short = threshold - (lam[..., order - 1] - lam[..., order])
    return torch.where(short > 0, short, torch.zeros_like(short)).mean()


def hinge_split(R, k, margin):
    """Weights the last, shorter block as it has to be."""
    M = _t_herm(R)
    M = M.reshape(-1, M.shape[-2], M.shape[-1])
    total = 0
    for block in M.split(48):
        lam = torch.linalg.eigvalsh(block).flip(-1)
        total = total + torch.clamp(margin - lam[:, k - 1] + lam[:, k], min=0).sum()
    return total / M.shape[0]


@dataclass(frozen=True)
class Hinge:
    """Calls like a function."""

    reduction: str = "mean"

    def __call__(self, R, k, margin):
        lam = torch.linalg.eigvalsh(_t_herm(R))
        lam = torch.flip(lam, dims=(-1,))
        gap = lam.narrow(-1, int(k) - 1, 1) - lam.narrow(-1, int(k), 1)
        loss = F.relu(margin - gap.squeeze(-1))
        return getattr(torch, self.reduction)(loss)


hinge_dataclass = Hinge()


def _hinge_any(R, k, margin, power=1):
    lam = torch.linalg.eigvalsh(_t_herm(R)).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).pow(power).mean()


hinge_partial = functools.partial(_hinge_any, power=1)


@torch.jit.script
def hinge_scripted(R: torch.Tensor, k: int, margin: float) -> torch.Tensor:
    H = 0.5 * (R + R.transpose(-2, -1).conj())
    lam = torch.linalg.eigvalsh(H)
    n = lam.size(-1)
    gap = lam.select(-1, n - k) - lam.select(-1, n - k - 1)
    return torch.relu(margin - gap).mean()


# --- factor ---------------------------------------------------------------------------------------------------------


def _no_autocast(f):
    """A product stays in its own precision."""

    @functools.wraps(f)
    def g(*args, **kwargs):
        with torch.autocast("cpu", enabled=False):
            return f(*args, **kwargs)

    return g


@_no_autocast
def factor_hinge(factor, k, margin):
    lam = torch.linalg.eigvalsh(factor @ factor.mH).flip(-1)
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


@_no_autocast
def factor_hinge_small(F_, k, margin):
    """The smaller of both Gram matrices, its spectrum filled up by zeros."""
    n, q = F_.shape[-2:]
    gram = F_ @ F_.mH if n <= q else F_.mH @ F_
    lam = torch.linalg.eigvalsh(gram).flip(-1)
    if q < n:
        lam = F.pad(lam, (0, n - q))
    return torch.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


# --- subspaces ------------------------------------------------------------------------------------------------------


def dominant_subspace(R, k):
    """scipy computes the k leading eigenvectors only."""
    R = _np_herm(_one(R))
    n = len(R)
    return sla.eigh(R, subset_by_index=[n - int(k), n - 1])[1]


def signal_sorted(R, k):
    w, V = np.linalg.eigh(_np_herm(R))
    order = np.argsort(-w, axis=-1)[..., None, : int(k)]
    return np.take_along_axis(V, order, axis=-1)


class SignalSubspace(nn.Module):
    def forward(self, R, k):
        return torch.linalg.eigh(_t_herm(R)).eigenvectors[..., -int(k) :].clone()


def noise_complement(R, k):
    """Complement of the signal subspace, by a complete QR."""
    _, V = np.linalg.eigh(_np_herm(R))
    Q, _ = np.linalg.qr(V[..., V.shape[-1] - int(k) :], mode="complete")
    return Q[..., int(k) :]


def noise_null_space(R, k):
    R = _np_herm(_one(R))
    _, V = np.linalg.eigh(R)
    return sla.null_space(V[:, len(R) - int(k) :].conj().T)


def noise_vectors(covariance, num_sources):
    L, Q = torch.linalg.eigh(_t_herm(covariance))
    idx = L.argsort(-1)[..., : L.shape[-1] - int(num_sources)]
    return torch.take_along_dim(Q, idx.unsqueeze(-2), -1)


# --- projectors -----------------------------------------------------------------------------------------------------


def projection_qr(basis):
    Q, _ = np.linalg.qr(basis)
    return Q @ _adj(Q)


@_no_autocast
def projection_pinv(basis: torch.Tensor) -> torch.Tensor:
    return basis @ torch.linalg.pinv(basis)


def projection_orth(basis):
    Q = sla.orth(_one(basis))
    return np.einsum("ik,jk->ij", Q, Q.conj())


class OrthogonalProjector(nn.Module):
    def forward(self, basis):
        Q = torch.linalg.qr(basis).Q
        return (Q.unsqueeze(-2) * Q.conj().unsqueeze(-3)).sum(-1)


# --- MUSIC, Capon ---------------------------------------------------------------------------------------------------


def music_loop(R, steering, k):
    """As in the textbook: angle by angle."""
    R = _np_herm(_one(R))
    _, V = np.linalg.eigh(R)
    En = V[:, : len(R) - int(k)]
    out = np.empty(steering.shape[1])
    for g in range(steering.shape[1]):
        v = En.conj().T @ steering[:, g]
        out[g] = 1 / np.vdot(v, v).real
    return out


def music_einsum(R, steering, k):
    _, V = np.linalg.eigh(_np_herm(R))
    En = V[..., : V.shape[-1] - int(k)]
    y = np.einsum("...nm,...ng->...mg", En.conj(), steering)
    return 1 / (y.real**2 + y.imag**2).sum(-2)


class MusicSpectrum(nn.Module):
    def forward(self, covariance, steering, n_sources):
        with torch.autocast("cpu", enabled=False):
            vecs = torch.linalg.eigh(_t_herm(covariance)).eigenvectors
            En = vecs[..., : vecs.shape[-1] - int(n_sources)]
            dtype = torch.promote_types(En.dtype, steering.dtype)
            y = En.mH.to(dtype) @ steering.to(dtype)
            return y.abs().square().sum(-2).reciprocal()


def capon_cho(R, steering):
    c = sla.cho_factor(_np_herm(_one(R)), lower=True)
    X = sla.cho_solve(c, steering)
    return 1.0 / np.einsum("ng,ng->g", np.conj(steering), X).real


def capon_triangular(R: torch.Tensor, steering: torch.Tensor) -> torch.Tensor:
    L = torch.linalg.cholesky(_t_herm(R))
    dtype = torch.promote_types(L.dtype, steering.dtype)
    z = torch.linalg.solve_triangular(L.to(dtype), steering.to(dtype), upper=False)
    return 1.0 / z.abs().square().sum(-2)


def capon_weights(R, steering):
    """The power at the output of the weights, w^H R w."""
    R = _np_herm(R)
    X = np.linalg.solve(R, steering)
    den = np.sum(np.conj(steering) * X, axis=-2).real
    return 1.0 / den


# --- functions of a matrix ------------------------------------------------------------------------------------------


def root_by_svd(R):
    U, s, _ = np.linalg.svd(_np_herm(R))
    return (U * np.sqrt(s)[..., None, :]) @ _adj(U)


root_by_svd.domain = "positive"


@_no_autocast
def root_eigh(R: torch.Tensor) -> torch.Tensor:
    w, V = torch.linalg.eigh(_t_herm(R))
    return (V * w.clamp_min(0).sqrt().unsqueeze(-2)) @ V.mH


def whiten_by_cholesky(R):
    L = np.linalg.cholesky(_np_herm(_one(R)))
    return sla.solve_triangular(L, np.eye(len(L)), lower=True)


@_no_autocast
def whiten_zca(R: torch.Tensor) -> torch.Tensor:
    w, V = torch.linalg.eigh(_t_herm(R))
    return (V * w.rsqrt().unsqueeze(-2)) @ V.mH


def whiten_rows(R):
    w, V = np.linalg.eigh(_np_herm(R))
    return _adj(V) / np.sqrt(w)[..., :, None]


def psd_polar(R):
    """(H + |H|) / 2, Higham (1988)."""
    H = _np_herm(R)
    w, V = np.linalg.eigh(H)
    absolute = (V * np.abs(w)[..., None, :]) @ _adj(V)
    return (H + absolute) / 2


def psd_clip(R):
    w, V = np.linalg.eigh(_np_herm(R))
    P = (V * w.clip(0)[..., None, :]) @ _adj(V)
    return (P + _adj(P)) / 2


class PsdProjection(nn.Module):
    def forward(self, R):
        w, V = torch.linalg.eigh(_t_herm(R))
        with torch.autocast("cpu", enabled=False):
            return (V * torch.relu(w).unsqueeze(-2)) @ V.mH


def pinv_scipy(R):
    return sla.pinv(_one(R))


pinv_scipy.domain = "hermitian"


@_no_autocast
def pinv_hermitian(R: torch.Tensor) -> torch.Tensor:
    return torch.linalg.pinv(R, hermitian=True)


pinv_hermitian.domain = "hermitian"


# --- covariance -----------------------------------------------------------------------------------------------------


def scm_outer(snapshots):
    """Mean of outer products, snapshot by snapshot."""
    X = _one(snapshots)
    n, T = X.shape
    R = np.zeros((n, n), dtype=np.result_type(X.dtype, float))
    for x in X.T:
        R += np.outer(x, x.conj())
    return R / T


def scm_scaled(X):
    Y = np.asarray(X) / math.sqrt(np.shape(X)[-1])
    return Y @ _adj(Y)


@_no_autocast
def scm_torch(snapshots: torch.Tensor) -> torch.Tensor:
    return torch.matmul(snapshots, snapshots.mH) / snapshots.shape[-1]


def lw_loop(X):
    """Ledoit and Wolf (2004), zero mean, one set of snapshots."""
    X = _one(X)
    n, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / n
    eye = np.eye(n)
    d2 = np.linalg.norm(S - mu * eye) ** 2 / n
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / (n * T**2)
    if d2 == 0:
        return mu * eye + 0 * S
    rho = min(b2, d2) / d2
    return rho * mu * eye + (1 - rho) * S


def loaded(R, loading):
    return np.asarray(R) + loading * np.eye(np.shape(R)[-1])


def loaded_torch(covariance: torch.Tensor, delta: float) -> torch.Tensor:
    out = covariance.clone()
    out.diagonal(dim1=-2, dim2=-1).add_(delta)
    return out


def forward_backward_exchange(R):
    J = np.eye(np.shape(R)[-1])[::-1]
    return (R + J @ np.conj(R) @ J) / 2


def forward_backward_rot(R):
    return 0.5 * (R + torch.rot90(R, 2, (-2, -1)).conj())


def smooth_loop(R, size):
    n = R.shape[-1]
    size = int(size)
    total = 0
    for p in range(n - size + 1):
        total = total + R[..., p : p + size, p : p + size]
    return total / (n - size + 1)


def smooth_stack(R, size):
    m = R.shape[-1] - int(size) + 1
    return torch.stack([R[..., i : i + int(size), i : i + int(size)] for i in range(m)]).mean(0)


# --- model order ----------------------------------------------------------------------------------------------------


def mdl_numpy(eigenvalues, samples):
    lam = np.asarray(eigenvalues, dtype=float)
    n = lam.size
    score = []
    for k in range(n):
        tail = lam[k:]
        fit = samples * (n - k) * (np.log(tail.mean()) - np.log(tail).mean())
        score.append(fit + 0.5 * k * (2 * n - k) * np.log(samples))
    return int(np.argmin(score))


mdl_numpy.batched = False


def aic_torch(eigenvalues, samples):
    lam = eigenvalues
    n = lam.shape[-1]
    k = torch.arange(n, dtype=lam.dtype)
    size = n - k
    tail_mean = lam.flip(-1).cumsum(-1).flip(-1) / size
    tail_log = lam.log().flip(-1).cumsum(-1).flip(-1) / size
    score = 2 * samples * size * (tail_mean.log() - tail_log) + 2 * k * (2 * n - k)
    return score.argmin(-1)


def aic_gm(lam, T):
    """Ratio of the geometric to the arithmetic mean, scaled so that nothing underflows."""
    lam = _vector(lam)
    n = len(lam)
    scores = []
    for k in range(n):
        t = lam[k:]
        a = t.mean()
        scores.append(-2 * T * np.sum(np.log(t / a)) + 2 * k * (2 * n - k))
    return int(np.argmin(scores))


def _vector(lam):
    lam = np.asarray(lam, dtype=float)
    if lam.ndim != 1:
        raise ValueError("the eigenvalues of one matrix")
    return lam


# --- uniform linear arrays ------------------------------------------------------------------------------------------


def esprit_ls(R, k):
    R = _np_herm(_one(R))
    n = len(R)
    Es = np.linalg.eigh(R)[1][:, n - int(k) :]
    psi = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)[0]
    return np.sort(np.arcsin(np.clip(np.angle(np.linalg.eigvals(psi)) / np.pi, -1, 1)))


def root_music_poly(R, k):
    R = _np_herm(_one(R))
    n = len(R)
    En = np.linalg.eigh(R)[1][:, : n - int(k)]
    C = En @ En.conj().T
    c = np.array([np.trace(C, offset=o) for o in range(-(n - 1), n)])
    roots = np.roots(c[::-1])
    inside = roots[np.argsort(np.abs(roots))][: n - 1]
    best = inside[-int(k) :]
    return np.sort(np.arcsin(np.clip(np.angle(best) / np.pi, -1, 1)))


def _manifold(n, angles):
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def bartlett_scan(R, angles):
    n = R.shape[-1]
    a = _manifold(n, angles)
    return np.einsum("ng,...nm,mg->...g", a.conj(), _np_herm(R), a).real / n**2


def capon_scan(R, angles):
    a = _manifold(R.shape[-1], angles)
    Ri = np.linalg.inv(_np_herm(R))
    return 1 / np.einsum("ng,...nm,mg->...g", a.conj(), Ri, a).real


def music_scan(R, k, angles):
    n = R.shape[-1]
    a = _manifold(n, angles)
    En = np.linalg.eigh(_np_herm(R))[1][..., : n - int(k)]
    return 1 / (np.abs(_adj(En) @ a) ** 2).sum(-2)


# --- steering vectors -----------------------------------------------------------------------------------------------


def near_field(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    u = np.array(
        [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)]
    )
    # r - |r u - p| without the cancellation of two large numbers
    along = p @ u
    square = np.sum(p * p, axis=-1)
    d = np.sqrt(distance**2 - 2 * distance * along + square)
    path = (2 * distance * along - square) / (distance + d)
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(p))


near_field.batched = False


# --- training -------------------------------------------------------------------------------------------------------


def global_norm(parameters):
    """Over the gradients that are finite throughout."""
    total = 0.0
    for p in parameters:
        if p.grad is None or not bool(torch.isfinite(p.grad).all()):
            continue
        g = p.grad.detach()
        g = g.to(torch.complex128 if g.is_complex() else torch.float64)
        total = math.hypot(total, float(torch.linalg.vector_norm(g)))
    return total


def stacked_norm(parameters):
    norms = [
        torch.linalg.vector_norm(p.grad.detach()).double()
        for p in parameters
        if p.grad is not None and torch.isfinite(torch.view_as_real(p.grad) if p.grad.is_complex() else p.grad).all()
    ]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros((), dtype=torch.float64)
