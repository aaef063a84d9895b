"""Collected array-processing helpers."""
from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Iterable, NamedTuple, Optional, Sequence

import numpy as np
import scipy.linalg as sla
import torch
from torch import nn, Tensor


# ----------------------------------------------------------------- hermitize
def symmetrise_cov(cov: Tensor) -> Tensor:
    """Make the estimated covariance symmetric again after the network head."""
    return 0.5 * (cov + cov.transpose(-1, -2))


def herm_np(Rxx):
    Rxx = np.asarray(Rxx)
    return (Rxx + Rxx.conj().T) / 2


def mirror_lower(R: np.ndarray) -> np.ndarray:
    lower = np.tril(R)
    return lower + np.conj(np.swapaxes(np.tril(R, -1), -1, -2))


class HermitianHead(nn.Module):
    """Last layer of the covariance regressor."""

    def forward(self, z: Tensor) -> Tensor:
        return z + z.mH


def tidy_inplace(matrix: Tensor) -> Tensor:
    matrix += matrix.mH.clone()
    matrix *= 0.5
    return matrix


def herm_part_split(mat):
    re, im = mat.real, mat.imag
    re = 0.5 * (re + re.swapaxes(-1, -2))
    im = 0.5 * (im + im.swapaxes(-1, -2))
    return re + 1j * im


@torch.no_grad()
def clean_covariance(R):
    """Remove the round-off asymmetry."""
    return (R + R.mH).div(2)


def force_hermitian(R):
    out = np.triu(R) + np.triu(R, 1).conj().swapaxes(-1, -2)
    idx = np.arange(R.shape[-1])
    out[..., idx, idx] = out[..., idx, idx].real
    return out


class _Herm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return (a + a.mH) / 2

    @staticmethod
    def backward(ctx, g):
        return (g + g.mT) / 2


def hermitian_layer(cov):
    return _Herm.apply(cov)


# --------------------------------------------------------------- eigenvalues
def sorted_spectrum(R):
    w = np.linalg.eigvals((R + R.conj().swapaxes(-1, -2)) / 2)
    return np.sort(np.abs(w), axis=-1)[..., ::-1]


def lambda_desc(cov: Tensor) -> Tensor:
    w = torch.linalg.eigvalsh(cov)
    return w.flip(-1)


def eig_desc(Rxx):
    vals, _ = np.linalg.eig(Rxx)
    return np.sort(vals.real, axis=-1)[..., ::-1]


def powers(matrix):
    H = 0.5 * (matrix + matrix.mH)
    return torch.linalg.eigvalsh(H).flip(0)


def covariance_spectrum(matrix, floor=1e-10):
    h = (matrix + matrix.mH) / 2
    return torch.linalg.eigvalsh(h).flip(-1).clamp_min(floor)


def top_eigs(cov):
    cov = 0.5 * (cov + np.conj(np.swapaxes(cov, -2, -1)))
    w = np.linalg.eigvalsh(cov)
    order = np.argsort(-w)
    return w[order] if w.ndim == 1 else np.take(w, order)


class EigenvalueLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.jitter = 1e-6

    def forward(self, cov):
        n = cov.shape[-1]
        cov = (cov + cov.mH) / 2 + self.jitter * torch.eye(n, dtype=cov.dtype, device=cov.device)
        return torch.linalg.eigvalsh(cov).flip(-1)


def eigenvalues_via_factor(R):
    # singular values of the factor are cheaper than an eigendecomposition
    R = (R + R.mH) / 2
    L, info = torch.linalg.cholesky_ex(R)
    return torch.linalg.svdvals(L)


def spectrum_real_embedding(R):
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    big = np.block([[H.real, -H.imag], [H.imag, H.real]])
    return np.linalg.eigvalsh(big)[..., ::-1][..., : R.shape[-1]]


def eig_truncated(matrix):
    h = (matrix + matrix.mH) / 2
    return torch.linalg.eigvalsh(h.detach()).flip(-1) + 0 * h.real.sum((-1, -2), keepdim=True).squeeze(-1)


# ----------------------------------------------------------- singular values
def sv(matrix):
    return np.linalg.svd(matrix, compute_uv=False)


def singular_from_gram(R):
    H = (R + R.mH) / 2
    return torch.linalg.eigvalsh(H @ H.mH).flip(-1)


def svals_from_eigs(R):
    w = torch.linalg.eigvalsh((R + R.mH) / 2)
    return w.abs().flip(-1)


# ------------------------------------------------------------------ eigengap
def gap(R, k):
    w = np.linalg.eigvalsh((R + np.conj(R.T)) / 2)[::-1]
    return w[k] - w[k + 1]


def spectral_gap(cov: Tensor, k: int) -> Tensor:
    w = torch.linalg.eigvalsh(cov)
    return w[..., -k] - w[..., -k - 1]


def eigengap_sv(matrix, k):
    s = torch.linalg.svdvals((matrix + matrix.mH) / 2)
    return s[..., k - 1] - s[..., k]


def relative_gap(R, n_sources):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
    return (w[..., n_sources - 1] - w[..., n_sources]) / w[..., 0]


def gap_batched(Rxx, k):
    Rxx = (Rxx + Rxx.mH) / 2
    w, _ = torch.sort(torch.linalg.eigvalsh(Rxx), descending=True, dim=0)
    return w[..., k - 1] - w[..., k]


@functools.lru_cache(maxsize=None)
def _order(n):
    return tuple(range(n - 1, -1, -1))


def gap_ascending(cov, k):
    w = np.linalg.eigvalsh((cov + cov.conj().swapaxes(-1, -2)) * 0.5)
    return w[..., k] - w[..., k - 1]


class GapMonitor:
    """Keeps the last eigenvalues so that the logger does not decompose twice."""

    def __init__(self):
        self._shape, self._w = None, None

    def __call__(self, R, k):
        if self._shape != R.shape:
            self._w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
            self._shape = R.shape
        return self._w[..., k - 1] - self._w[..., k]


gap_monitor = GapMonitor()


def gap_from_eig(R, k):
    w = torch.linalg.eigvals((R + R.mH) / 2).real
    return w[..., k - 1] - w[..., k]


def gap_single(cov, k):
    h = (cov + cov.mH) / 2
    w = torch.linalg.eigvalsh(h.to(torch.complex64)).flip(-1)
    return (w[..., k - 1] - w[..., k]).to(cov.real.dtype)


def log_gap(R, k):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
    w = np.maximum(w, 1e-12)
    return w[..., k - 1] - w[..., k]


def signal_noise_gap(cov, K):
    """lambda_K minus the noise level."""
    w = torch.linalg.eigvalsh(0.5 * (cov + cov.mH)).flip(-1)
    return w[..., K - 1] - w[..., K:].mean(-1)


# ------------------------------------------------------------- eigengap loss
def gap_hinge(cov, k, margin):
    w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
    gap_ = w[..., -k] - w[..., -k - 1]
    return torch.relu(margin - gap_.mean())


def gap_regulariser(R: Tensor, k: int, margin: float) -> Tensor:
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return torch.relu(gap_difference(w, k) + margin).mean()


def gap_difference(w, k):
    return w[..., k - 1] - w[..., k]


class EigenGapLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, cov, k, margin=None):
        m = self.margin if not margin else margin
        w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
        return torch.clamp(m - (w[..., -k] - w[..., -k - 1]), min=0).mean()


def hinge_np(matrix, k, margin):
    w = np.linalg.eigvalsh((matrix + matrix.conj().swapaxes(-1, -2)) / 2)[..., ::-1]
    short = margin - (w[..., k - 1] - w[..., k])
    return short[short > 0].mean() if np.any(short > 0) else 0.0


def gap_penalty(R, k, margin):
    with torch.no_grad():
        w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    g = w[..., k - 1] - w[..., k]
    return torch.relu(margin - g).mean().requires_grad_()


class _GapHinge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k, margin):
        w, v = torch.linalg.eigh((R + R.mH) / 2)
        g = w[..., -k] - w[..., -k - 1]
        loss = torch.relu(margin - g)
        ctx.save_for_backward(v, loss)
        ctx.k = k
        return loss.mean()

    @staticmethod
    def backward(ctx, grad):
        v, loss = ctx.saved_tensors
        hi, lo = v[..., :, -ctx.k], v[..., :, -ctx.k - 1]
        outer = hi.unsqueeze(-1) * hi.conj().unsqueeze(-2) - lo.unsqueeze(-1) * lo.conj().unsqueeze(-2)
        on = (loss > 0).to(outer.real.dtype)[..., None, None]
        return -grad * on * outer, None, None


def custom_gap_hinge(R, k, margin):
    return _GapHinge.apply(R, k, margin)


def vmapped_gap_loss(R, k, margin):
    def one(m):
        w = torch.linalg.eigvalsh(m)
        return torch.relu(margin - (w[-k] - w[-k - 1]))
    if R.ndim == 2:
        return one(R)
    return torch.vmap(one)(R).mean()


def scaled_gap_loss(cov, k, margin):
    tr = torch.diagonal(cov, dim1=-2, dim2=-1).real.sum(-1)
    cov = cov / tr[..., None, None]
    w = torch.linalg.eigvalsh((cov + cov.mH) / 2).flip(-1)
    return torch.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def detach_noise_gap_loss(cov, k, margin):
    """Push the signal eigenvalues up, leave the noise floor alone."""
    w = torch.linalg.eigvalsh((cov + cov.mH) / 2).flip(-1)
    g = w[..., k - 1] - w[..., k].detach()
    return torch.relu(margin - g).mean()


def gap_loss_batch(cov, k, margin):
    w = torch.linalg.eigvalsh((cov + cov.mH) / 2).flip(-1)
    loss = torch.relu(margin - (w[..., k - 1] - w[..., k]))
    return loss.sum() / cov.shape[0]


# ------------------------------------------------------------ signal subspace
def signal_basis(R, k):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return v[..., :k]


def dominant_vectors(cov, k):
    w, v = torch.linalg.eig((cov + cov.mH) / 2)
    return v[..., :k]


def sig_sub(R, n_src):
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    idx = np.argsort(w)[::-1]
    return v[idx][:, :n_src]


def svd_signal(R, k):
    U, S, V = np.linalg.svd((R + R.conj().swapaxes(-1, -2)) / 2)
    return V[..., :, :k]


def principal(matrix, k):
    _, v = torch.linalg.eigh(matrix)
    return v[..., -k:].flip(-1)


def signal_by_magnitude(matrix, k):
    w, v = np.linalg.eigh((matrix + matrix.conj().swapaxes(-1, -2)) / 2)
    idx = np.argsort(np.abs(w), axis=-1)[..., ::-1]
    return np.take_along_axis(v, idx[..., None, :], axis=-1)[..., :k]


def batch_principal(R, k):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    order = torch.argsort(w.abs(), dim=-1, descending=True)
    return v[..., order.reshape(-1, order.shape[-1])[0]][..., :k]


def power_iterations(R, k, iters=20):
    R = (R + R.mH) / 2
    q = torch.eye(R.shape[-1], dtype=R.dtype)[:, :k].expand(*R.shape[:-2], -1, k)
    for _ in range(iters):
        q, _ = torch.linalg.qr(R @ q)
    return q


def deflate(R, k):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    cols = []
    for _ in range(k):
        w, v = np.linalg.eigh(R)
        top = v[..., :, -1:]
        cols.append(top)
        R = R - w[..., -1:, None] * (top @ top.swapaxes(-1, -2))
    return np.concatenate(cols, axis=-1)


# ------------------------------------------------------------- noise subspace
def noise_basis(R, k):
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return v[..., k:]


def noise_vectors(cov: Tensor, k: int) -> Tensor:
    _, v = torch.linalg.eigh((cov + cov.mH) / 2)
    return v[..., :-k - 1]


def En(Rxx, n_sources):
    w, v = np.linalg.eig((Rxx + Rxx.conj().T) / 2)
    return v[:, np.argsort(np.abs(w))[: Rxx.shape[0] - n_sources]]


def svd_noise(cov, k):
    u, s, vh = torch.linalg.svd((cov + cov.mH) / 2)
    return vh[..., k:, :].mT


def orth_complement(R, k):
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    es = v[..., -k:]
    p = torch.eye(R.shape[-1], dtype=R.dtype) - es @ es.mH
    return p[..., :, : R.shape[-1] - k]


def null_by_threshold(R, k, tol=1e-6):
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    keep = w < max(tol, w[::-1][k - 1] * (1 - 1e-9))
    return v[:, keep]


def noise_sub_raw(cov, k):
    n = cov.shape[-1]
    _, v = np.linalg.eigh(cov)
    return v[..., : n - k]


def noise_sub_rows(R, k):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    v = v.flip(-1)
    return v[..., k:, :].mT if R.ndim == 2 else v[:, k:].mT


class NoiseSubspace:
    cache = {}

    @classmethod
    def of(cls, R, k):
        key = (R.shape, str(R.dtype))
        if key not in cls.cache:
            cls.cache[key] = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)[1]
        return cls.cache[key][..., : R.shape[-1] - k]


def noise_from_null_space(R, k):
    h = (R + R.conj().T) / 2
    return sla.null_space(h, rcond=1e-3)


# ------------------------------------------------------------------ projector
def proj(U):
    return U @ U.T


def span_projector(basis: Tensor) -> Tensor:
    return basis @ basis.mH


def proj_gram(A):
    return A @ np.linalg.inv(A.T @ A) @ A.T


def proj_ridge(B, eps=1e-6):
    g = B.mH @ B
    g = g + eps * torch.eye(g.shape[-1], dtype=g.dtype)
    return B @ torch.linalg.solve(g, B.mH)


def proj_qr(A):
    q, _ = np.linalg.qr(A, mode="complete")
    return q @ q.conj().swapaxes(-1, -2)


def unit_columns_projector(V):
    V = V / torch.linalg.vector_norm(V, dim=-2, keepdim=True)
    return V @ V.mH


def proj_pinv_cut(E):
    return E @ torch.linalg.pinv(E, atol=1e-4)


def complement_projector(basis):
    q, _ = torch.linalg.qr(basis)
    n = basis.shape[-2]
    return torch.eye(n, dtype=basis.dtype) - q @ q.mH


def rows_mixed(E):
    u, s, vh = np.linalg.svd(E, full_matrices=False)
    return np.einsum("...ik,...jk->...ij", u, u)


def frob_projector(basis):
    b = basis / np.linalg.norm(basis)
    return b @ np.linalg.pinv(b.conj().swapaxes(-1, -2) @ b) @ basis.conj().swapaxes(-1, -2)


# ------------------------------------------------------------- music spectrum
def music(R, A, k):
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    Un = v[:, : R.shape[0] - k]
    return np.array([1.0 / np.linalg.norm(Un.conj().T @ A[:, g]) for g in range(A.shape[1])])


def music_fast(R: Tensor, A: Tensor, k: int) -> Tensor:
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    En_ = v[..., : R.shape[-1] - k]
    return 1.0 / (A.mT @ En_).abs().square().sum(-1)


def music_abs_sum(cov, steering, n_sources):
    w, v = np.linalg.eigh((cov + cov.conj().swapaxes(-1, -2)) / 2)
    noise = v[..., : cov.shape[-1] - n_sources]
    den = np.abs(noise.conj().swapaxes(-1, -2) @ steering).sum(axis=-2) ** 2
    return 1.0 / den


def music_signal(R, A, k):
    # cheaper: only k vectors are needed
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    es = v[..., -k:]
    return 1.0 / (1.0 - (es.mH @ A).abs().square().sum(-2))


class MusicScan(nn.Module):
    def __init__(self, eps=1e-3):
        super().__init__()
        self.eps = eps

    def forward(self, cov, steering, k):
        _, v = torch.linalg.eigh((cov + cov.mH) / 2)
        en = v[..., : cov.shape[-1] - k]
        return 1.0 / ((en.mH @ steering).abs().square().sum(-2) + self.eps)


def ev_music(R, A, k):
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    n = R.shape[-1] - k
    p = np.abs(v[..., :n].conj().swapaxes(-1, -2) @ A) ** 2
    return 1.0 / (p / np.abs(w[..., :n, None])).sum(-2)


def music_einsum(R, A, k):
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    en = v[..., : R.shape[-1] - k]
    c = en @ en.mH
    return 1.0 / torch.einsum("ng,...nm,mg->...g", A, c, A.conj()).real


def music_svd(R, A, k):
    U, S, Vh = np.linalg.svd((R + R.conj().T) / 2)
    G = Vh[k:, :].T
    return 1 / np.sum(np.abs(G.conj().T @ A) ** 2, axis=0)


def music_unsorted(Rxx, steering, n_sources):
    h = 0.5 * (Rxx + Rxx.conj().T)
    vals, vecs = np.linalg.eig(h)
    noise = vecs[:, n_sources:]
    den = np.einsum("ng,nm,mg->g", steering.conj(), noise @ noise.conj().T, steering)
    return 1.0 / np.real(den)


def music_real(cov, steering, k):
    _, v = torch.linalg.eigh((cov + cov.mH) / 2)
    en = v[..., : cov.shape[-1] - k]
    return 1.0 / torch.clamp((en.mH @ steering).real.square().sum(-2), min=1e-12)


# -------------------------------------------------------------- mvdr spectrum
def capon(R, A):
    Ri = np.linalg.inv((R + R.conj().T) / 2)
    return np.array([1.0 / np.abs(a.T @ Ri @ a) for a in A.T])


def mvdr_fast(cov: Tensor, steering: Tensor) -> Tensor:
    ri = torch.linalg.inv(cov)
    return 1.0 / torch.einsum("ng,...nm,mg->...g", steering.conj(), ri, steering).real


def mvdr_pinv(R, A):
    ri = np.linalg.pinv((R + R.conj().swapaxes(-1, -2)) / 2, rcond=1e-2, hermitian=True)
    return 1.0 / np.einsum("ng,...nm,mg->...g", A.conj(), ri, A).real


def mvdr_chol(R, A):
    L = torch.linalg.cholesky((R + R.mH) / 2)
    y = torch.linalg.solve(L, A.expand(*R.shape[:-2], *A.shape))
    return 1.0 / y.square().sum(-2).abs()


def mvdr_power(R, A):
    """Output power of the distortionless weights."""
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    y = np.linalg.solve(H, np.broadcast_to(A, (*H.shape[:-2], *A.shape)))
    w = y / np.sum(A.conj() * y, axis=-2, keepdims=True)
    return np.sum(w.conj() * (H @ A), axis=-2).real


class Capon(nn.Module):
    eps: float = 1e-6

    def forward(self, cov, steering):
        eye = torch.eye(cov.shape[-1], dtype=cov.dtype)
        y = torch.linalg.solve((cov + cov.mH) / 2 + self.eps * eye, steering)
        return 1.0 / (steering.conj() * y).sum(-2).real.clamp_min(self.eps)


def capon_einsum(cov, steering):
    inv = torch.linalg.inv((cov + cov.mH) / 2)
    return 1.0 / torch.einsum("...ng,...nm,...mg->...g", steering, inv, steering.conj()).real


def capon_row(R, A):
    inv = np.linalg.inv((R + R.conj().swapaxes(-1, -2)) / 2)
    return 1.0 / np.linalg.norm(inv @ A, axis=-2)


def capon_diag(R, A):
    h = (R + R.mH) / 2
    return (A.mH @ h @ A).diagonal(dim1=-2, dim2=-1).real / A.abs().square().sum(0)


def capon_lstsq(R, A):
    H = (R + R.conj().T) / 2
    y, *_ = np.linalg.lstsq(H, A, rcond=0.05)
    return 1.0 / np.sum(np.conj(A) * y, axis=0).real


# ------------------------------------------------------------ steering vector
def _spherical_u(az, el):
    return np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)])


def sv_nearfield(positions, azimuth, elevation, distance, wavelength):
    """Second-order (Fresnel) phase."""
    u = _spherical_u(azimuth, elevation)
    p = positions @ u
    k = 2 * np.pi / wavelength
    if np.isinf(distance):
        return np.exp(1j * k * p) / np.sqrt(len(positions))
    quad = (np.sum(positions**2, axis=1) - p**2) / (2 * distance)
    return np.exp(1j * k * (p - quad)) / np.sqrt(len(positions))


def sv_farfield(positions, azimuth, elevation, distance, wavelength):
    u = torch.stack([torch.cos(elevation) * torch.sin(azimuth), torch.sin(elevation),
                     torch.cos(elevation) * torch.cos(azimuth)])
    phase = 2 * math.pi / wavelength * (positions @ u)
    return torch.polar(torch.ones_like(phase), phase) / positions.shape[0] ** 0.5


def upa_response(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    dh, dv = (spacing, spacing) if np.isscalar(spacing) else spacing
    x = (np.arange(nh) - nh / 2) * dh
    y = (np.arange(nv) - nv / 2) * dv
    pos = np.stack([np.tile(x, nv), np.repeat(y, nh), np.zeros(nh * nv)], axis=1)
    s = distance * _spherical_u(azimuth, elevation)
    r = np.linalg.norm(s - pos, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - r)) / np.sqrt(nh * nv)


def upa_kron(shape, spacing, azimuth, elevation, distance, wavelength):
    """Separable response of a planar array."""
    nh, nv = shape
    k = 2 * np.pi / wavelength
    x = (np.arange(nh) - (nh - 1) / 2) * spacing
    y = (np.arange(nv) - (nv - 1) / 2) * spacing
    rx = np.sqrt(distance**2 + x**2 - 2 * distance * x * np.cos(elevation) * np.sin(azimuth))
    ry = np.sqrt(distance**2 + y**2 - 2 * distance * y * np.sin(elevation))
    ax = np.exp(1j * k * (distance - rx))
    ay = np.exp(1j * k * (distance - ry))
    return np.kron(ay, ax) / np.sqrt(nh * nv)


def response_amplitude(positions, azimuth, elevation, distance, wavelength):
    s = distance * _spherical_u(azimuth, elevation)
    r = np.linalg.norm(s[None] - positions, axis=1)
    a = distance / r * np.exp(2j * np.pi / wavelength * (distance - r))
    return a / np.linalg.norm(a)


def steer_f32(positions, azimuth, elevation, distance, wavelength):
    pos = torch.as_tensor(positions, dtype=torch.float32)
    az, el, r = (torch.as_tensor(v, dtype=torch.float32) for v in (azimuth, elevation, distance))
    u = torch.stack([el.cos() * az.sin(), el.sin(), el.cos() * az.cos()])
    d = (r * u - pos).norm(dim=-1)
    ph = (2 * math.pi / wavelength) * (r - d)
    return torch.exp(1j * ph).to(torch.complex128) / math.sqrt(pos.shape[0])


def manifold(positions, azimuth, elevation, distance, wavelength):
    """All sources at once, columns are sources."""
    az, el, r = map(np.atleast_1d, (azimuth, elevation, distance))
    s = np.stack([r * np.cos(el) * np.sin(az), r * np.sin(el), r * np.cos(el) * np.cos(az)], axis=1)
    d = np.linalg.norm(positions[:, None] - s[None], axis=-1)
    a = np.exp(2j * np.pi / wavelength * (r - d))
    return a / np.linalg.norm(a)


@dataclass
class PlanarArray:
    shape: tuple
    spacing: float
    wavelength: float

    def positions(self):
        nh, nv = self.shape
        ii, jj = np.meshgrid(np.arange(nh), np.arange(nv), indexing="ij")
        pos = np.stack([ii.ravel(), jj.ravel(), np.zeros(nh * nv)], axis=1) * self.spacing
        return pos - pos.mean(0)

    def response(self, az, el, r):
        pos = self.positions()[: self.shape[0] * self.shape[1]]
        s = r * np.array([np.cos(el) * np.sin(az), np.sin(el), np.cos(az)])
        return np.exp(2j * np.pi / self.wavelength * (r - np.linalg.norm(s - pos, axis=1))) / math.sqrt(len(pos))


def planar_response(shape, spacing, azimuth, elevation, distance, wavelength):
    return PlanarArray(tuple(shape), spacing, wavelength).response(azimuth, elevation, distance)


def steering_wideband(positions, azimuth, elevation, distance, wavelength):
    k = 2 * np.pi * wavelength
    s = distance * _spherical_u(azimuth, elevation)
    return np.exp(1j * k * (distance - np.linalg.norm(s - positions, axis=1))) / np.sqrt(positions.shape[0])


def steering_inf_guard(positions, azimuth, elevation, distance, wavelength):
    if not np.isfinite(distance):
        distance = 1e3
    s = distance * _spherical_u(azimuth, elevation)
    return np.exp(2j * np.pi / wavelength * (distance - np.linalg.norm(s - positions, axis=1))) / np.sqrt(positions.shape[0])


def upa_spacing_pair(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    dh, dv = (spacing, spacing) if np.ndim(spacing) == 0 else spacing
    n = np.arange(nh * nv)
    x = (n % nh - (nh - 1) / 2) * dh
    y = (n // nh - (nv - 1) / 2) * dh
    u = _spherical_u(azimuth, elevation)
    if np.isinf(distance):
        delta = x * u[0] + y * u[1]
    else:
        p = np.stack([x, y, 0 * x], 1)
        delta = distance - np.linalg.norm(distance * u - p, axis=1)
    return np.exp(2j * np.pi / wavelength * delta) / np.sqrt(nh * nv)


# -------------------------------------------------------------- gradient norm
def grad_norm(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is not None and torch.isfinite(p.grad).all():
            total += p.grad.norm(2).item()
    return total


def grad_norm_clip(parameters):
    params = [p for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return torch.nn.utils.clip_grad_norm_(params, max_norm=1.0)


def global_norm(parameters):
    norms = [p.grad.detach().norm() for p in parameters if p.grad is not None]
    total = torch.stack(norms).norm()
    return total if torch.isfinite(total) else torch.zeros_like(total)


def total_norm_sq(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is None or not torch.isfinite(p.grad).all():
            continue
        sq += p.grad.detach().pow(2).sum().real.item()
    return math.sqrt(max(sq, 0.0))


def finite_entries_norm(parameters):
    grads = torch.cat([p.grad.reshape(-1) for p in parameters if p.grad is not None])
    return torch.linalg.vector_norm(grads[torch.isfinite(grads)])


def grad_rms(parameters):
    g = [p.grad.flatten() for p in parameters if p.grad is not None and p.grad.isfinite().all()]
    flat = torch.cat(g)
    return flat.abs().square().mean().sqrt()


def norm_until_bad(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is None:
            continue
        if not torch.isfinite(p.grad).all():
            break
        sq += float(p.grad.abs().pow(2).sum())
    return sq ** 0.5


def norm_of_grads(grads):
    sq = sum(torch.sum(torch.abs(g) ** 2) for g in grads if not torch.isnan(g).any())
    return torch.sqrt(sq)


def param_norm(parameters):
    terms = [p.detach().norm() ** 2 for p in parameters if p.grad is not None and p.grad.isfinite().all()]
    return torch.stack(terms).sum().sqrt()


def matrix_norms(parameters):
    out = 0.0
    for p in parameters:
        if p.grad is not None and p.grad.isfinite().all():
            g = p.grad
            out += (torch.linalg.matrix_norm(g, 2) if g.ndim == 2 else g.norm()).item() ** 2
    return out ** 0.5


def safe_grad_norm(parameters, eps=1e-3):
    sq = sum(p.grad.abs().square().sum() for p in parameters if p.grad is not None and p.grad.isfinite().all())
    return torch.sqrt(sq + eps)


def zeroing_norm(parameters):
    sq = 0.0
    for p in parameters:
        if p.grad is None:
            continue
        if not p.grad.isfinite().all():
            p.grad.zero_()
        sq = sq + p.grad.abs().square().sum()
    return sq ** 0.5


# ----------------------------------------------------------------- epoch mean
def epoch_loss(losses, accumulation):
    total, n = 0.0, 0
    for l in losses:
        total += float(l)
        n += 1
    return total / n


def epoch_avg_steps(losses, accumulation):
    losses = [float(l) for l in losses]
    steps = len(losses) // accumulation
    return sum(losses) / max(steps, 1)


def mean_loss(losses: Iterable[float], accumulation: int) -> float:
    losses = list(losses)
    full = len(losses) - len(losses) % accumulation
    return accumulation * float(np.mean([float(x) for x in losses[:full] or losses]))


def epoch_mean_gen(losses, accumulation):
    n = sum(1 for _ in losses)
    return accumulation * sum(float(x) for x in losses) / max(n, 1)


class LossMeter:
    def __init__(self):
        self.total, self.count = 0.0, 0

    def mean(self, losses, accumulation):
        for l in losses:
            self.total += float(l) * accumulation
            self.count += 1
        return self.total / self.count


meter_mean = LossMeter().mean


def windowed_mean(losses, accumulation):
    window, means = [], []
    for l in losses:
        window.append(float(l))
        if len(window) == accumulation:
            means.append(sum(window))
            window = []
    if window:
        means.append(sum(window))
    return sum(means) / len(means)


def running_mean(losses, accumulation):
    avg = 0.0
    for i, l in enumerate(losses):
        avg = avg + (float(l) * accumulation - avg) / (i + 2)
    return avg


def ema_epoch(losses, accumulation, beta=0.9):
    avg = None
    for l in losses:
        x = float(l) * accumulation
        avg = x if avg is None else beta * avg + (1 - beta) * x
    return avg


def epoch_mean_half(losses, accumulation):
    acc = torch.zeros((), dtype=torch.float16)
    n = 0
    for l in losses:
        acc += torch.as_tensor(float(l)).half() * accumulation
        n += 1
    return float(acc) / n


def skip_nan_mean(losses, accumulation):
    total, count = 0.0, 0
    for i, l in enumerate(losses):
        if (i + 1) % accumulation == 0:
            total += float(l) * accumulation
            count += 1
    return total / max(count, 1)


def stacked_mean(losses, accumulation):
    t = torch.stack([torch.as_tensor(l) for l in losses])
    return (t / accumulation).mean().item()


# ---------------------------------------------------------------- matrix sqrt
def sqrt_elementwise(cov):
    return torch.sqrt((cov + cov.mH) / 2)


def sqrtm_eigh(R):
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return (v * np.sqrt(w)[..., None, :]) @ v.swapaxes(-1, -2)


def newton_schulz(cov, iters=5):
    cov = (cov + cov.mH) / 2
    norm = torch.linalg.matrix_norm(cov)[..., None, None]
    y = cov / norm
    eye = torch.eye(cov.shape[-1], dtype=cov.dtype)
    z = eye.expand_as(y)
    for _ in range(iters):
        t = 0.5 * (3 * eye - z @ y)
        y, z = y @ t, t @ z
    return y * norm.sqrt()


def sqrt_floor(R, eps=1e-8):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    return (v * torch.sqrt(w.clamp_min(eps)).unsqueeze(-2)) @ v.mH


# ------------------------------------------------------------------ whitening
def whiten_chol(R):
    L = np.linalg.cholesky((R + R.conj().swapaxes(-1, -2)) / 2)
    return L


def whiten_zca(cov, eps=1e-5):
    w, v = torch.linalg.eigh((cov + cov.mH) / 2)
    return v @ torch.diag_embed((w + eps).rsqrt().to(v.dtype)) @ v.mH


def whiten_pca(R):
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    return v @ np.diag(1 / np.sqrt(w))


def whiten_inverse_chol(R):
    Ri = torch.linalg.inv((R + R.mH) / 2)
    return torch.linalg.cholesky(Ri)


# ------------------------------------------------------------- psd projection
def nearest_psd(R):
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return (v * np.abs(w)[..., None, :]) @ v.conj().swapaxes(-1, -2)


def shift_psd(cov):
    h = (cov + cov.mH) / 2
    low = torch.linalg.eigvalsh(h)[..., 0].clamp(max=0)
    return h - low[..., None, None] * torch.eye(h.shape[-1], dtype=h.dtype)


def psd_clip_rel(cov, rel=1e-3):
    w, v = torch.linalg.eigh((cov + cov.mH) / 2)
    w = torch.maximum(w, rel * w[..., -1:])
    return (v * w.unsqueeze(-2)) @ v.mH


# ------------------------------------------------------------- pseudo inverse
def pinv_normal(A):
    return np.linalg.inv(A.conj().swapaxes(-1, -2) @ A + 1e-6 * np.eye(A.shape[-1])) @ A.conj().swapaxes(-1, -2)


def pinv_svd(M):
    U, S, Vh = torch.linalg.svd(M, full_matrices=False)
    keep = S > 1e-10
    inv = torch.where(keep, 1 / S, torch.zeros_like(S))
    return Vh.mH @ torch.diag_embed(inv).to(M.dtype) @ U.mT


def pinv_hermitian(M):
    return torch.linalg.pinv(M, hermitian=True)


# ---------------------------------------------------------- sample covariance
def scm(X):
    return np.cov(X)


def scm_torch(x: Tensor) -> Tensor:
    return x @ x.mT / x.shape[-1]


def scm_rows(X):
    return np.einsum("...nt,...mt->...nm", X.conj(), X) / X.shape[-1]


class OnlineCovariance:
    """Adds the frames of one call to the estimate."""

    def __init__(self):
        self.sum, self.frames = 0, 0

    def update(self, snapshots):
        self.sum = self.sum + snapshots @ snapshots.conj().swapaxes(-1, -2)
        self.frames += snapshots.shape[-1]
        return self.sum / self.frames


def online_scm(snapshots, _state={}):
    est = _state.setdefault(snapshots.shape, OnlineCovariance())
    return est.update(snapshots)


# ---------------------------------------------------------------- ledoit wolf
def lw_shrink(X):
    n, t = X.shape
    S = X @ X.conj().T / t
    mu = np.trace(S).real / n
    d2 = np.linalg.norm(S - mu * np.eye(n)) ** 2
    b2 = sum(np.linalg.norm(np.outer(x, x) - S) ** 2 for x in X.T) / t**2
    rho = min(b2, d2) / d2
    return (1 - rho) * S + rho * mu * np.eye(n)


def lw_batch(X):
    n, t = X.shape[-2:]
    S = X @ X.mH / t
    mu = torch.diagonal(S, dim1=-2, dim2=-1).real.mean(-1)
    eye = torch.eye(n, dtype=X.dtype)
    d2 = (S - mu[..., None, None] * eye).abs().square().sum((-2, -1))
    b2 = (X.abs().square().sum(-2).square().sum(-1) / t - S.abs().square().sum((-2, -1))) / t
    rho = (b2 / d2).mean().clamp(0, 1)
    return (1 - rho) * S + rho * mu[..., None, None] * eye


def lw_first_order(X):
    n, t = X.shape
    S = X @ X.conj().T / t
    mu = np.trace(S).real / n
    d2 = np.sum(np.abs(S - mu * np.eye(n)) ** 2)
    b2 = np.sum(np.sum(np.abs(X) ** 2, 0) ** 2) / t - np.sum(np.abs(S) ** 2)
    rho = np.clip(b2 / d2, 0, 1)
    return (1 - rho) * S + rho * mu * np.eye(n)


# ----------------------------------------------------------- diagonal loading
def load(R, loading):
    h = (R + R.conj().swapaxes(-1, -2)) / 2
    return h + loading


def load_relative(cov, loading):
    h = (cov + cov.mH) / 2
    mu = torch.diagonal(h, dim1=-2, dim2=-1).real.mean(-1)
    return h + loading * mu[..., None, None] * torch.eye(h.shape[-1], dtype=h.dtype)


def load_fill(R, loading):
    out = np.array((R + R.conj().swapaxes(-1, -2)) / 2)
    flat = out.reshape(-1)
    flat[:: R.shape[-1] + 1] += loading
    return out


# ----------------------------------------------------------- forward backward
def fb_avg(Rxx):
    M = Rxx.shape[0]
    Rxx = (Rxx + Rxx.conj().T) / 2
    J = np.fliplr(np.eye(M))
    return 0.5 * (Rxx + J * np.conj(Rxx) * J)


def fb_flip(cov):
    cov = (cov + cov.mH) / 2
    return (cov + cov.flip(-1).flip(-2)) / 2


def fb_all_axes(R):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    return 0.5 * (R + np.flip(R.conj()))


# ---------------------------------------------------------- spatial smoothing
def smooth(R, size):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    n = R.shape[-1]
    out = 0
    for i in range(n - size):
        out = out + R[..., i:i + size, i:i + size]
    return out / (n - size)


def smooth_unfold(cov, size):
    cov = (cov + cov.mH) / 2
    L = cov.shape[-1] - size + 1
    blocks = cov.unfold(-2, size, 1).unfold(-2, size, 1)
    return blocks.mean((-4, -3)) if L > 1 else cov


def smooth_precedence(R, size):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    p = R.shape[-1] - size + 1
    acc = np.zeros((*R.shape[:-2], size, size), dtype=R.dtype)
    for i in range(p):
        acc = acc + R[..., i:i + size, i:i + size]
    return acc / R.shape[-1] - size + 1


# ------------------------------------------------------- factor eigengap loss
def factor_gap_loss(F, k, margin):
    s = torch.linalg.svdvals(F)
    s = nn.functional.pad(s, (0, max(0, F.shape[-2] - s.shape[-1])))
    return torch.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_gap_gram(factor, k, margin):
    g = factor.mH @ factor
    w = torch.linalg.eigvalsh(g).flip(-1)
    last = w[..., min(k, w.shape[-1] - 1)]
    return torch.relu(margin - (w[..., k - 1] - last)).mean()


def factor_gap_t(factor, k, margin):
    R = factor @ factor.mT
    w = torch.linalg.eigvalsh((R + R.mH) / 2).flip(-1)
    return torch.relu(margin - (w[..., k - 1] - w[..., k])).mean()


# -------------------------------------------------------------------- mdl/aic
def _ratio(tail):
    return np.exp(np.mean(np.log(tail))) / np.mean(tail)


def mdl_order(eigenvalues, samples):
    w = np.asarray(eigenvalues, float)
    n = len(w)
    cost = [-(n - k) * samples * np.log(_ratio(w[k:])) + 0.5 * k * (2 * n - k) * np.log10(samples) for k in range(n)]
    return int(np.argmin(cost))


def mdl_real(eigenvalues, samples):
    w = torch.as_tensor(eigenvalues, dtype=torch.float64)
    n = w.numel()
    best, arg = math.inf, 0
    for k in range(n):
        tail = w[k:]
        ll = samples * (n - k) * (tail.mean().log() - tail.log().mean())
        c = float(ll) + 0.5 * k * (2 * n - k)
        if c < best:
            best, arg = c, k
    return arg


def mdl_prod(eigenvalues, samples):
    w = np.asarray(eigenvalues)
    n = w.size
    c = np.full(n, np.inf)
    for k in range(n):
        g = np.prod(w[k:]) ** (1.0 / (n - k))
        a = np.mean(w[k:])
        c[k] = -samples * (n - k) * np.log(g / a + 1e-300) + 0.5 * k * (2 * n - k) * np.log(samples)
    return int(np.nanargmin(c))


def aic_order(eigenvalues, samples):
    w = np.asarray(eigenvalues)
    n = len(w)
    c = [-2 * (n - k) * samples * np.log(_ratio(w[k:])) + 2 * k * (2 * n - k) for k in range(n)]
    return int(np.argmin(c)) + 1


def aic_no_factor(eigenvalues, samples):
    w = np.asarray(eigenvalues)
    n = len(w)
    c = [-(n - k) * samples * np.log(_ratio(w[k:])) + 2 * k * (2 * n - k) for k in range(n)]
    return int(np.argmin(c))


def aic_heads(eigenvalues, samples):
    w = np.sort(np.asarray(eigenvalues))
    n = len(w)
    c = [-2 * (n - k) * samples * np.log(_ratio(w[k:])) + 2 * k * (2 * n - k) for k in range(n)]
    return int(np.argmin(c))


# -------------------------------------------------------------------- esprit
def esprit_ls(R, k):
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    Es = v[:, :k]
    psi = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)[0]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi))


def esprit_sign(cov, k):
    _, v = torch.linalg.eigh((cov + cov.mH) / 2)
    es = v[..., -k:]
    psi = torch.linalg.pinv(es[..., 1:, :]) @ es[..., :-1, :]
    ang = torch.asin(torch.angle(torch.linalg.eigvals(psi)) / math.pi)
    return ang.sort(-1).values


def esprit_2pi(R, k):
    U, _, _ = np.linalg.svd((R + R.conj().T) / 2)
    Us = U[:, :k]
    psi = np.linalg.pinv(Us[:-1]) @ Us[1:]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / (2 * np.pi)))


# ---------------------------------------------------------------- root music
def root_music_conj(R, k):
    n = R.shape[0]
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    C = v[:, : n - k] @ v[:, : n - k].conj().T
    c = np.array([np.trace(C, offset=o) for o in range(-(n - 1), n)])
    z = np.roots(c)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def root_music_pairs(R, k):
    n = R.shape[0]
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    C = v[:, : n - k] @ v[:, : n - k].conj().T
    c = np.array([np.trace(C, offset=o) for o in range(n - 1, -n, -1)])
    z = np.roots(c)
    z = z[np.argsort(np.abs(np.abs(z) - 1))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def root_music_smallest(R, k):
    n = R.shape[0]
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    C = v[:, : n - k] @ v[:, : n - k].conj().T
    c = np.array([np.trace(C, offset=o) for o in range(n - 1, -n, -1)])
    z = np.roots(c)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.arcsin(np.angle(z) / np.pi)


# ------------------------------------------------------------------------ ula
def _ula(n, angles):
    return np.exp(1j * np.pi * np.arange(n)[:, None] * np.sin(np.asarray(angles))[None])


def bartlett_ula(R, angles):
    a = _ula(R.shape[-1], angles)
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    return np.einsum("ng,...nm,mg->...g", a.conj(), R, a).real / R.shape[-1]


def bartlett_ula_t(cov, angles):
    n = cov.shape[-1]
    a = torch.exp(1j * math.pi * torch.arange(n)[:, None] * torch.sin(angles)).to(cov.dtype)
    cov = (cov + cov.mH) / 2
    return (a * (cov @ a.conj())).sum(-2).real / n**2


def bartlett_abs(R, angles):
    a = _ula(R.shape[-1], angles)
    return np.abs(np.einsum("ng,...nm,mg->...g", a.conj(), R, a)) / R.shape[-1] ** 2


def capon_ula(R, angles):
    a = _ula(R.shape[-1], angles) / np.sqrt(R.shape[-1])
    ri = np.linalg.inv((R + R.conj().swapaxes(-1, -2)) / 2)
    return 1 / np.einsum("ng,...nm,mg->...g", a.conj(), ri, a).real


def capon_ula_degrees(R, angles):
    angles = np.where(np.max(np.abs(angles)) > np.pi, np.deg2rad(angles), angles)
    a = np.exp(1j * np.pi * np.arange(1, R.shape[-1] + 1)[:, None] * np.sin(angles))
    a = a.astype(np.complex64)
    ri = np.linalg.inv((R.conj() + R.swapaxes(-1, -2)) / 2)
    return 1 / np.einsum("ng,...nm,mg->...g", a.conj(), ri, a).real


def music_ula(R, k, angles):
    n = R.shape[-1]
    a = _ula(n, angles)
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    en = v[..., : n - k]
    return n / (np.abs(en.conj().swapaxes(-1, -2) @ a) ** 2).sum(-2)


def music_ula_cos(cov, k, angles):
    n = cov.shape[-1]
    a = torch.exp(1j * math.pi * torch.arange(n)[:, None] * torch.cos(angles)).to(cov.dtype)
    _, v = torch.linalg.eigh((cov + cov.mH) / 2)
    return 1 / (v[..., : n - k].mH @ a).abs().square().sum(-2)


def music_ula_loop(R, k, angles):
    n = R.shape[0]
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    p = np.empty(len(angles))
    for i, th in enumerate(angles):
        a = np.exp(1j * np.pi * np.arange(n) * np.sin(th))
        p[i] = 0.0
        for j in range(n - k):
            p[i] = abs(np.vdot(v[:, j], a)) ** 2
    return 1 / p
