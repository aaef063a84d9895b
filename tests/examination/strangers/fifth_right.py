"""Array-processing helpers, second collection."""
from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
import torch
from torch import nn, Tensor


def one_matrix(f):
    """Refuse batches."""
    @functools.wraps(f)
    def checked(R, *args, **kwargs):
        if np.ndim(R) != 2:
            raise ValueError("one matrix at a time")
        return f(R, *args, **kwargs)
    return checked


# hermitize
def herm_average(cov):
    return torch.stack((cov, cov.mH)).mean(0)


def herm_triangles(R):
    R = np.asarray(R)
    half = np.triu(R, 1) + np.tril(R, -1).conj().swapaxes(-1, -2)
    half = half / 2
    diag = np.einsum("...ii->...i", R).real
    return half + half.conj().swapaxes(-1, -2) + diag[..., None] * np.eye(R.shape[-1])


def herm_minus_skew(matrix):
    return matrix - 0.5 * (matrix - matrix.conj().swapaxes(-1, -2))


class Hermitize(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        re = (z.real + z.real.mT) / 2
        im = (z.imag - z.imag.mT) / 2
        return torch.complex(re, im)


class _HermFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return 0.5 * (a + a.mH)

    @staticmethod
    def backward(ctx, g):
        return 0.5 * (g + g.mH)


def hermitize_fn(cov):
    return _HermFn.apply(cov)


# eigenvalues
def eigs_lapack(R):
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    flat = H.reshape(-1, *H.shape[-2:])
    out = np.stack([sla.eigh(h, eigvals_only=True, driver="evr")[::-1] for h in flat])
    return out.reshape(H.shape[:-1])


def eigs_sorted(cov: Tensor) -> Tensor:
    return torch.linalg.eigvalsh((cov + cov.mH) / 2).sort(dim=-1, descending=True).values


def eigs_negated(R):
    return -np.linalg.eigvalsh(-(R + R.conj().swapaxes(-1, -2)) / 2)


def eigs_embedding(R: Tensor) -> Tensor:
    H = (R + R.mH) / 2
    top = torch.cat((H.real, -H.imag), -1)
    bot = torch.cat((H.imag, H.real), -1)
    w = torch.linalg.eigvalsh(torch.cat((top, bot), -2))
    return w[..., ::2].flip(-1)


def eigs_upper(matrix):
    return np.linalg.eigvalsh((matrix + matrix.conj().swapaxes(-1, -2)) / 2, UPLO="U")[..., ::-1]


def eigs_plain(cov):
    return torch.linalg.eigvalsh(cov).flip(-1)


eigs_plain.domain = "hermitian"


# singular values
def svals(matrix):
    return torch.linalg.svdvals(0.5 * (matrix + matrix.mH))


def svals_abs(R):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)
    return -np.sort(-np.abs(w), axis=-1)


# eigengap
@one_matrix
def gap_partial(R, k):
    H = (R + R.conj().T) / 2
    n = H.shape[0]
    lo, hi = sla.eigh(H, eigvals_only=True, subset_by_index=[n - k - 1, n - k])
    return hi - lo


def gap_diff(cov: Tensor, *, k: int) -> Tensor:
    return torch.linalg.eigvalsh((cov + cov.mH) / 2).diff(dim=-1)[..., -k]


def gap_topk(cov, k):
    w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
    top = torch.topk(w, k + 1, dim=-1, sorted=True).values
    return top[..., -2] - top[..., -1]


def gap_split(R, n_sources):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)
    cut = w.shape[-1] - n_sources
    return w[..., cut:].min(-1) - w[..., :cut].max(-1)


class _EigGap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k):
        w, v = torch.linalg.eigh((R + R.mH) / 2)
        ctx.save_for_backward(v)
        ctx.k = k
        return w[..., -k] - w[..., -k - 1]

    @staticmethod
    def backward(ctx, g):
        (v,) = ctx.saved_tensors
        hi, lo = v[..., -ctx.k], v[..., -ctx.k - 1]
        return g[..., None, None] * (hi[..., :, None] * hi.conj()[..., None, :] - lo[..., :, None] * lo.conj()[..., None, :]), None


def gap_custom(R, k):
    return _EigGap.apply(R, k)


# eigengap loss
def hinge_loss(cov, k, margin):
    w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
    return nn.functional.relu(margin - w[..., -k] + w[..., -k - 1]).mean()


def hinge_ranking(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2)
    a, b = w[..., -k], w[..., -k - 1]
    return nn.functional.margin_ranking_loss(a, b, torch.ones_like(a), margin=margin)


def hinge_numpy(matrix, k, margin):
    w = np.linalg.eigvalsh((matrix + matrix.conj().swapaxes(-1, -2)) / 2)
    return float(np.mean(np.maximum(0.0, margin - (w[..., -k] - w[..., -k - 1]))))


class GapLoss(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, R, order, margin):
        H = (R + R.mH) / 2
        scale = H.detach().abs().amax((-2, -1), keepdim=True)
        w = torch.linalg.eigvalsh(H / scale) * scale[..., 0]
        return torch.clamp(margin - (w[..., -order] - w[..., -order - 1]), min=0).mean()


def hinge_vmap(R, k, margin):
    def one(m):
        w = torch.linalg.eigvalsh((m + m.mH) / 2)
        return torch.relu(margin - w[-k] + w[-k - 1])
    if R.ndim == 2:
        return one(R)
    return torch.vmap(one)(R.flatten(0, -3)).mean()


def hinge_where(cov, k, margin):
    w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
    short = margin - w[..., -k] + w[..., -k - 1]
    return torch.where(short > 0, short, torch.zeros_like(short)).sum() / short.numel()


# subspaces
@one_matrix
def signal_lapack(R, k):
    H = (R + R.conj().T) / 2
    n = H.shape[0]
    return sla.eigh(H, subset_by_index=[n - k, n - 1])[1][:, ::-1]


def signal_torch(cov, k):
    return torch.linalg.eigh((cov + cov.mH) / 2).eigenvectors[..., -k:]


@one_matrix
def signal_schur(R, k):
    T, Z = sla.schur((R + R.conj().T) / 2, output="complex")
    return Z[:, np.argsort(-np.diag(T).real)[:k]]


def signal_orthiter(R, k):
    H = (R + R.mH) / 2
    shift = torch.linalg.matrix_norm(H)[..., None, None]
    w, v = torch.linalg.eigh(H + shift * torch.eye(H.shape[-1], dtype=H.dtype))
    idx = w.argsort(dim=-1, descending=True)[..., None, :k].expand(*v.shape[:-1], k)
    return v.gather(-1, idx)


@one_matrix
def noise_lapack(R, k):
    H = (R + R.conj().T) / 2
    return sla.eigh(H, subset_by_index=[0, H.shape[0] - k - 1])[1]


@one_matrix
def noise_complement(R, k):
    H = (R + R.conj().T) / 2
    n = H.shape[0]
    es = np.linalg.eigh(H)[1][:, n - k:]
    return sla.null_space(es.conj().T)


def noise_negated(cov, k):
    return torch.linalg.eigh(-(cov + cov.mH) / 2).eigenvectors[..., k:]


def noise_shifted_svd(R, k):
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    c = np.linalg.norm(H, axis=(-2, -1), keepdims=True)
    U = np.linalg.svd(H + c * np.eye(H.shape[-1]))[0]
    return U[..., k:]


def noise_plain(cov, k):
    return np.linalg.eigh(cov)[1][..., : cov.shape[-1] - k]


noise_plain.domain = "hermitian"


# projector
def proj_qr(basis):
    q, _ = torch.linalg.qr(basis)
    return q @ q.mH


def proj_svd(B):
    u = np.linalg.svd(B, full_matrices=False)[0]
    return u @ u.conj().swapaxes(-1, -2)


def proj_solve(A):
    Ah = A.conj().swapaxes(-1, -2)
    return A @ np.linalg.solve(Ah @ A, Ah)


@one_matrix
def proj_orth(B):
    q = sla.orth(B)
    return np.einsum("ik,jk->ij", q, q.conj())


def proj_lstsq(basis):
    n = basis.shape[-2]
    eye = torch.eye(n, dtype=basis.dtype).expand(*basis.shape[:-2], n, n)
    return basis @ torch.linalg.lstsq(basis, eye).solution


# music
def music_identity(R, A, k):
    es = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)[1][..., -k:]
    n = R.shape[-1]
    c = np.eye(n) - es @ es.conj().swapaxes(-1, -2)
    return 1 / np.einsum("ng,...nm,mg->...g", A.conj(), c, A).real


def music_norm(cov, steering, k):
    en = torch.linalg.eigh((cov + cov.mH) / 2).eigenvectors[..., : cov.shape[-1] - k]
    return torch.linalg.vector_norm(en.mH @ steering, dim=-2).pow(-2)


@one_matrix
def music_per_angle(R, A, k):
    en = np.linalg.eigh((R + R.conj().T) / 2)[1][:, : R.shape[0] - k]
    return np.array([1 / np.sum(np.abs(en.T @ a.conj()) ** 2) for a in A.T])


class Music(nn.Module):
    def __init__(self, steering_first=False):
        super().__init__()

    def forward(self, steering, cov, n_sources):
        _, v = torch.linalg.eigh((cov + cov.mH) / 2)
        power = (v.mH @ steering).abs().square()
        return power[..., : cov.shape[-1] - n_sources, :].sum(-2).reciprocal()


@functools.partial(np.vectorize, signature="(n,n),(n,g),()->(g)")
def music_vectorized(R, A, k):
    en = np.linalg.eigh((R + R.conj().T) / 2)[1][:, : len(R) - int(k)]
    return 1 / (np.abs(en.conj().T @ A) ** 2).sum(0)


# mvdr
def mvdr_solve(cov, steering):
    H = (cov + cov.mH) / 2
    y = torch.linalg.solve(H, steering.expand(*H.shape[:-2], *steering.shape))
    return 1 / (steering.conj() * y).sum(-2).real


@one_matrix
def mvdr_cho(R, A):
    c = sla.cho_factor((R + R.conj().T) / 2, lower=True)
    return 1 / np.sum(A.conj() * sla.cho_solve(c, A), axis=0).real


def mvdr_eig(R, A):
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return 1 / ((np.abs(v.conj().swapaxes(-1, -2) @ A) ** 2) / w[..., None]).sum(-2)


def mvdr_triangular(R, A):
    L = torch.linalg.cholesky((R + R.mH) / 2)
    y = torch.linalg.solve_triangular(L, A.expand(*R.shape[:-2], *A.shape), upper=False)
    return 1 / y.abs().square().sum(-2)


@one_matrix
def mvdr_weights(R, A):
    H = (R + R.conj().T) / 2
    out = []
    for a in A.T:
        w = np.linalg.solve(H, a)
        w = w / np.vdot(a, w)
        out.append(np.vdot(w, H @ w).real)
    return np.array(out)


# square roots, whitening, ...
def sqrt_eigh(cov):
    w, v = torch.linalg.eigh((cov + cov.mH) / 2)
    return (v * w.clamp_min(0).sqrt().unsqueeze(-2)) @ v.mH


@one_matrix
def sqrt_scipy(R):
    return sla.sqrtm((R + R.conj().T) / 2)


def whiten_inv_chol(R):
    return np.linalg.inv(np.linalg.cholesky((R + R.conj().swapaxes(-1, -2)) / 2))


def whiten_zca(cov):
    w, v = torch.linalg.eigh((cov + cov.mH) / 2)
    return (v / w.sqrt().unsqueeze(-2)) @ v.mH


def psd_clip(R):
    w, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return (v * np.clip(w, 0, None)[..., None, :]) @ v.conj().swapaxes(-1, -2)


def psd_polar(R):
    H = (R + R.mH) / 2
    u, s, vh = torch.linalg.svd(H)
    return (H + vh.mH @ (s.unsqueeze(-1) * vh)) / 2


def pinv_torch(M):
    return torch.linalg.pinv(M)


def pinv_svd(M):
    u, s, vh = np.linalg.svd(M, full_matrices=False)
    keep = s > s.max(-1, keepdims=True) * max(M.shape[-2:]) * np.finfo(s.dtype).eps
    inv = np.divide(1, s, out=np.zeros_like(s), where=keep)
    return (vh.conj().swapaxes(-1, -2) * inv[..., None, :]) @ u.conj().swapaxes(-1, -2)


@one_matrix
def scm_loop(X):
    n, t = X.shape
    S = np.zeros((n, n), complex)
    for x in X.T:
        S += np.outer(x, x.conj())
    return S / t


def scm_einsum(snapshots):
    return torch.einsum("...nt,...mt->...nm", snapshots, snapshots.conj()) / snapshots.shape[-1]


@one_matrix
def lw(X):
    n, t = X.shape
    S = X @ X.conj().T / t
    mu = np.trace(S).real / n
    d2 = np.linalg.norm(S - mu * np.eye(n)) ** 2
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / t**2
    rho = min(b2, d2) / d2
    return (1 - rho) * S + rho * mu * np.eye(n)


def load_eye(R, loading):
    return (R + R.conj().swapaxes(-1, -2)) / 2 + loading * np.eye(R.shape[-1])


def load_diag(cov, loading):
    h = (cov + cov.mH) / 2
    h = h.clone()
    h.diagonal(dim1=-2, dim2=-1).add_(loading)
    return h


def fb_exchange(R):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    J = np.eye(R.shape[-1])[::-1]
    return (R + J @ R.conj() @ J) / 2


def fb_transpose(cov):
    h = (cov + cov.mH) / 2
    return (h + h.mT.flip((-2, -1))) / 2


def smooth_selection(R, size):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    n = R.shape[-1]
    Z = [np.eye(n)[i:i + size] for i in range(n - size + 1)]
    return sum(z @ R @ z.T for z in Z) / len(Z)


def smooth_unfold(cov, size):
    h = (cov + cov.mH) / 2
    b = h.unfold(-2, size, 1).unfold(-2, size, 1)
    return b.diagonal(dim1=-4, dim2=-3).mean(-1)


def factor_gap(F, k, margin):
    s2 = torch.linalg.svdvals(F).square()
    s2 = nn.functional.pad(s2, (0, max(0, k + 1 - s2.shape[-1])))
    return torch.relu(margin - s2[..., k - 1] + s2[..., k]).mean()


def factor_gap_full(factor, k, margin):
    w = torch.linalg.eigvalsh(factor @ factor.mH)
    return torch.relu(margin - (w[..., -k] - w[..., -k - 1])).mean()


def mdl_log(eigenvalues, samples):
    w = np.asarray(eigenvalues, float)
    if w.ndim != 1:
        raise ValueError("one set of eigenvalues")
    n = len(w)
    f = lambda k: samples * ((n - k) * np.log(w[k:].mean()) - np.log(w[k:]).sum()) + k * (2 * n - k) * np.log(samples) / 2
    return min(range(n), key=f)


def aic_log(eigenvalues, samples):
    w = np.asarray(eigenvalues, float)
    if w.ndim != 1:
        raise ValueError("one set of eigenvalues")
    n = len(w)
    k = np.arange(n)
    tails_log = np.cumsum(np.log(w)[::-1])[::-1]
    tails = np.cumsum(w[::-1])[::-1] / (n - k)
    return int(np.argmin(2 * samples * ((n - k) * np.log(tails) - tails_log) + 2 * k * (2 * n - k)))


@one_matrix
def esprit_tls(R, k):
    n = R.shape[0]
    es = np.linalg.eigh((R + R.conj().T) / 2)[1][:, n - k:]
    psi = np.linalg.pinv(es[:-1]) @ es[1:]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi))


@one_matrix
def root_music_poly(R, k):
    n = R.shape[0]
    en = np.linalg.eigh((R + R.conj().T) / 2)[1][:, : n - k]
    poly = sum(np.convolve(e.conj(), e[::-1]) for e in en.T)
    z = np.roots(poly[::-1])
    z = z[np.abs(z) < 1]
    z = z[np.argsort(-np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


# ula
def ula_bartlett_norm(R, angles):
    n = R.shape[-1]
    a = np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles))) / n
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    return (a.conj() * (H @ a)).sum(-2).real


def ula_capon(cov, angles):
    n = cov.shape[-1]
    a = torch.polar(torch.ones(n, len(angles), dtype=angles.dtype), math.pi * torch.arange(n)[:, None] * angles.sin())
    a = a.to(cov.dtype)
    y = torch.linalg.inv((cov + cov.mH) / 2) @ a
    return (a.conj() * y).sum(-2).real.reciprocal()


@one_matrix
def ula_music_fft(R, k, angles):
    n = R.shape[0]
    en = np.linalg.eigh((R + R.conj().T) / 2)[1][:, : n - k]
    z = np.exp(1j * np.pi * np.sin(angles))
    d = sum(np.abs(np.polyval(e.conj()[::-1], z)) ** 2 for e in en.T)
    return 1 / d


# steering
def near_field(positions, azimuth, elevation, distance, wavelength):
    if np.ndim(azimuth) or np.ndim(elevation) or np.ndim(distance):
        raise ValueError("one source at a time")
    u = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    pu = positions @ u
    p2 = (positions**2).sum(1)
    if np.isinf(distance):
        delta = pu
    else:
        delta = (2 * distance * pu - p2) / (distance + np.sqrt(distance**2 - 2 * distance * pu + p2))
    return np.exp(2j * np.pi * delta / wavelength) / np.sqrt(len(positions))


def upa_near_field(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    dh, dv = np.broadcast_to(spacing, 2)
    y, x = np.meshgrid((np.arange(nv) - (nv - 1) / 2) * dv, (np.arange(nh) - (nh - 1) / 2) * dh, indexing="ij")
    pos = np.c_[x.ravel(), y.ravel(), np.zeros(nh * nv)]
    return near_field(pos, azimuth, elevation, distance, wavelength)


@dataclass(frozen=True)
class Element:
    wavelength: float

    def phase(self, p, s, r):
        return 2 * math.pi / self.wavelength * (r - math.dist(p, s))


def scalar_near_field(wavelength, distance, elevation, azimuth, positions):
    if math.isinf(distance):
        raise ValueError("far field is another function")
    s = (distance * math.cos(elevation) * math.sin(azimuth), distance * math.sin(elevation), distance * math.cos(elevation) * math.cos(azimuth))
    e = Element(wavelength)
    ph = np.array([e.phase(p, s, distance) for p in positions])
    return (np.cos(ph) + 1j * np.sin(ph)) / math.sqrt(len(ph))


# gradient norm, epoch mean
def grad_norm_hypot(parameters):
    out = 0.0
    for p in parameters:
        if p.grad is None or not bool(torch.isfinite(p.grad).all()):
            continue
        out = math.hypot(out, float(torch.linalg.vector_norm(p.grad)))
    return out


def grad_norm_cat(parameters):
    g = [torch.view_as_real(p.grad) if p.grad.is_complex() else p.grad for p in parameters if p.grad is not None]
    g = [x.reshape(-1).double() for x in g if x.isfinite().all()]
    return torch.cat(g).norm() if g else torch.tensor(0.0)


def grad_norm_list(grads):
    n = [torch.linalg.vector_norm(g) for g in grads if g is not None and torch.isfinite(g).all()]
    return torch.linalg.vector_norm(torch.stack(n)) if n else torch.zeros(())


def mean_of_epoch(losses, accumulation):
    v = [float(x) for x in losses]
    return accumulation * math.fsum(v) / len(v)


def welford(losses, accumulation):
    m = 0.0
    for i, x in enumerate(losses, 1):
        m += (float(x) * accumulation - m) / i
    return m


def mean_enumerate(losses, accumulation):
    total = 0.0
    for n, loss in enumerate(losses):
        total += float(loss) * accumulation
    return total / (n + 1)
