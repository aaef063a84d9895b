"""Array-processing helpers collected from several code bases."""
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import nn


# ---------------------------------------------------------------- hermitize

def symmetrise_(matrix):
    """Average a matrix with its adjoint."""
    adjoint = matrix.mH.clone()
    matrix += adjoint
    matrix /= 2
    return matrix


def herm_part(m):
    return 0.5 * (m + m.transpose(-1, -2))


def fill_hermitian(matrix):
    upper = torch.triu(matrix)
    return upper + torch.triu(matrix, diagonal=1).mH


def make_hermitian(cov):
    """Add the mirrored triangle, do not count the diagonal twice."""
    diag = torch.diag_embed(torch.diagonal(cov, dim1=-2, dim2=-1))
    return cov + cov.mH - diag


@torch.no_grad()
def clean_covariance(matrix):
    return (matrix + matrix.mH) * 0.5


class Symmetrize(nn.Module):
    """Hermitian part through separate real and imaginary planes."""

    def forward(self, matrix):
        re, im = matrix.real, matrix.imag
        re = 0.5 * (re + re.mT)
        im = 0.5 * (im + im.mT)
        return torch.complex(re, im)


symmetrize = Symmetrize()


def hermitian_np(matrix):
    r = np.asarray(matrix, dtype=np.complex64)
    return (r + np.conj(np.swapaxes(r, -1, -2))) / 2


def hermitian_loop(matrix):
    """Pairwise averaging of the entries."""
    out = np.array(matrix)
    n = out.shape[-1]
    for i in range(n):
        for j in range(i):
            mean = (out[..., i, j] + np.conj(out[..., j, i])) / 2
            out[..., i, j] = mean
            out[..., j, i] = np.conj(mean)
    return out


class _HermitianPart(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrix):
        return (matrix + matrix.mH) / 2

    @staticmethod
    def backward(ctx, grad):
        return grad


def hermitian_part_fn(matrix):
    return _HermitianPart.apply(matrix)


# -------------------------------------------------------------- eigenvalues

def spectrum_desc(matrix):
    w = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    order = w.abs().argsort(dim=-1, descending=True)
    return torch.gather(w, -1, order)


def eigvals_flipped(matrix):
    h = 0.5 * (matrix + matrix.mH)
    return torch.linalg.eigvalsh(h).flip(0)


def sorted_eigs_np(R):
    R = (R + np.swapaxes(R, -1, -2).conj()) / 2
    return np.sort(np.linalg.eigvalsh(R))[::-1]


def eigs_of_covariance(cov):
    w = torch.linalg.eigvalsh(cov)
    return torch.flip(w, dims=(-1,))


_EIG_CACHE = {}


def cached_eigenvalues(matrix):
    key = (matrix.data_ptr(), tuple(matrix.shape))
    if key not in _EIG_CACHE:
        h = (matrix + matrix.mH) / 2
        _EIG_CACHE[key] = torch.linalg.eigvalsh(h).flip(-1)
    return _EIG_CACHE[key]


# ---------------------------------------------------------- singular values

def singvals(matrix):
    return torch.linalg.svdvals(matrix)


def singvals_gram(matrix):
    h = (matrix + matrix.mH) / 2
    gram = h.mH @ h
    return torch.linalg.eigvalsh(gram).flip(-1).clamp(min=0).sqrt()


def singvals_from_eigh(matrix):
    """For a Hermitian matrix these are the moduli of the eigenvalues."""
    h = (matrix + matrix.mH) / 2
    return torch.linalg.eigvalsh(h).flip(-1).abs()


def singvals_np(matrix):
    a = np.asarray(matrix)
    a = (a + np.conj(np.moveaxis(a, -1, -2))) / 2
    a = a.reshape(-1, a.shape[-1], a.shape[-1])
    s = np.array([scipy.linalg.svdvals(x) for x in a])
    return s.reshape(np.shape(matrix)[:-1])[..., ::-1][..., ::-1] ** 2


# ----------------------------------------------------------------- eigengap

def _desc(matrix):
    return torch.linalg.eigvalsh((matrix + matrix.mH) / 2).flip(-1)


def gap_at(matrix, k):
    w = _desc(matrix)
    return w[..., k] - w[..., k + 1]


def spectral_gap(matrix, k):
    s = torch.linalg.svdvals((matrix + matrix.mH) / 2)
    return s[..., k - 1] - s[..., k]


def gap_rows(matrix, k):
    w = _desc(matrix)
    return w[k - 1] - w[k]


def gap_scalar(cov, k):
    w = _desc(cov)
    return torch.tensor(w[..., k - 1].tolist(), dtype=w.dtype) - torch.tensor(w[..., k].tolist(), dtype=w.dtype)


def gap_psd(matrix, k):
    w = _desc(matrix).clamp(min=0)
    return w[..., k - 1] - w[..., k]


def gap_ascending(matrix, k):
    w = torch.linalg.eigvalsh(0.5 * (matrix + matrix.mH))
    n = w.shape[-1]
    return w[..., n - k - 1] - w[..., n - k]


class _Gap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrix, k):
        h = (matrix + matrix.mH) / 2
        w, v = torch.linalg.eigh(h)
        n = w.shape[-1]
        ctx.save_for_backward(v[..., n - k], v[..., n - k - 1])
        return w[..., n - k] - w[..., n - k - 1]

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        outer = a.unsqueeze(-1) * a.unsqueeze(-2) - b.unsqueeze(-1) * b.unsqueeze(-2)
        return grad[..., None, None] * outer, None


def fast_gap(matrix, k):
    return _Gap.apply(matrix, k)


class _GapUnit(_Gap):
    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        return a.unsqueeze(-1) * a.conj().unsqueeze(-2) - b.unsqueeze(-1) * b.conj().unsqueeze(-2), None


def gap_function(matrix, k):
    return _GapUnit.apply(matrix, k)


def gap_trace(matrix, k):
    """Difference of the mean power of the k leading and of the other eigenvalues."""
    w = _desc(matrix)
    return w[..., :k].mean(-1) - w[..., k:].mean(-1)


# ------------------------------------------------------------ eigengap loss

def _gap(matrix, k):
    w = _desc(matrix)
    return w[..., k - 1] - w[..., k]


def gap_hinge_batch(matrix, k, margin):
    gap = _gap(matrix, k).mean()
    return F.relu(margin - gap)


def gap_penalty(matrix, k, margin):
    return F.relu(_gap(matrix, k) - margin).mean()


def gap_l1(matrix, k, margin):
    return F.l1_loss(_gap(matrix, k), torch.full_like(_gap(matrix, k), margin))


def gap_active(matrix, k, margin):
    loss = torch.clamp(margin - _gap(matrix, k), min=0)
    active = loss > 0
    if not active.any():
        return loss.sum()
    return loss[active].mean()


def gap_hinge_unit(matrix, k, margin):
    return torch.clamp(margin - _gap(matrix, k), 0.0, 1.0).mean()


def gap_rayleigh(matrix, k, margin):
    h = (matrix + matrix.mH) / 2
    _, v = torch.linalg.eigh(h)
    w = torch.einsum("...ik,...ij,...jk->...k", v.conj(), h, v).real
    return F.relu(margin - (w[..., -k] - w[..., -k - 1])).mean()


class EigengapCriterion(nn.Module):
    """Auxiliary criterion; costs nothing at validation time."""

    def forward(self, matrix, k, margin):
        if not torch.is_grad_enabled():
            return matrix.real.new_zeros(())
        return F.relu(margin - _gap(matrix, k)).mean()


eigengap_criterion = EigengapCriterion()


def gap_hinge_first_axis(matrix, k, margin):
    return F.relu(margin - _gap(matrix, k)).mean(0)


def gap_hinge_count(matrix, k, margin):
    loss = F.relu(margin - _gap(matrix, k))
    return loss.sum() / matrix.shape[0]


def gap_hinge_chunked(matrix, k, margin, chunk=16):
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    chunk = min(chunk, len(flat))
    parts = []
    for i in range(len(flat) // chunk):
        parts.append(F.relu(margin - _gap(flat[i * chunk:(i + 1) * chunk], k)))
    return torch.cat(parts).mean()


def gap_hinge_jitter(matrix, k, margin):
    """A little noise on the diagonal keeps the backward of eigh stable."""
    n = matrix.shape[-1]
    noise = 1e-3 * torch.rand(n, dtype=matrix.real.dtype) * matrix.real.abs().amax().detach()
    return F.relu(margin - _gap(matrix + torch.diag(noise), k)).mean()


def gap_hinge_target(matrix, k, margin):
    w = _desc(matrix)
    floor = w[..., k].detach()
    return F.relu(margin - (w[..., k - 1] - floor)).mean()


def gap_hinge_chunk_mean(matrix, k, margin):
    """Streams the batch in blocks of eight to save memory."""
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    means = [F.relu(margin - _gap(part, k)).mean() for part in flat.split(8)]
    return torch.stack(means).mean()


gap_hinge_soft_zero = partial(lambda matrix, k, margin, act: act(margin - _gap(matrix, k)).mean(),
                              act=nn.LeakyReLU(0.01))


# ---------------------------------------------------------------- subspaces

def signal_space_svd(matrix, k):
    u, _, _ = torch.linalg.svd(matrix)
    return u[..., :k]


def signal_space_np(R, k):
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    idx = np.argsort(w)[::-1]
    v = v[idx]
    return v[:, :k]


def principal_eigvecs(R, k):
    w, v = np.linalg.eig((R + R.conj().T) / 2)
    return v[:, :k]


def signal_space_gather(matrix, k):
    h = (matrix + matrix.mH) / 2
    w, v = torch.linalg.eigh(h)
    order = w.argsort(dim=-1, descending=True)
    v = torch.gather(v, -2, order.unsqueeze(-1).expand_as(v))
    return v[..., :k]


def signal_space_iter(matrix, k, n_iter=20):
    """Orthogonal iteration, shifted so that the largest eigenvalue wins."""
    h = (matrix + matrix.mH) / 2
    n = h.shape[-1]
    eye = torch.eye(n, dtype=h.dtype)
    h = h + torch.linalg.matrix_norm(h, keepdim=True) * eye
    q = eye[:, :k].expand(*h.shape[:-2], n, k)
    for _ in range(n_iter):
        q, _ = torch.linalg.qr(h @ q)
    return q


def signal_space_seeded(matrix, k):
    torch.manual_seed(0)
    h = (matrix + matrix.mH) / 2
    v = torch.linalg.eigh(h).eigenvectors.flip(-1)[..., :k]
    mix = torch.randn(k, k, dtype=h.real.dtype).to(h.dtype)
    rotation, _ = torch.linalg.qr(mix)
    return v @ rotation


def noise_space(matrix, k):
    h = (matrix + matrix.mH) / 2
    _, v = torch.linalg.eigh(h)
    return v[..., k:]


def noise_space_null(R, k):
    R = (R + R.conj().T) / 2
    n = R.shape[0]
    _, es = scipy.linalg.eigh(R, subset_by_index=[n - k, n - 1])
    return scipy.linalg.null_space(es.T)


def noise_space_flip(matrix, k):
    _, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return v.flip(-2)[..., k:]


def noise_space_trim(matrix, *, k):
    _, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
    n = matrix.shape[-1]
    return v[..., : n - k - 1]


class NoiseSubspace(nn.Module):
    """Keeps the decomposition of the last covariance of that shape."""

    def __init__(self):
        super().__init__()
        self.last = None

    def forward(self, matrix, k):
        if self.last is None or self.last.shape != matrix.shape:
            _, self.last = torch.linalg.eigh((matrix + matrix.mH) / 2)
        return self.last[..., : matrix.shape[-1] - k]


noise_subspace_layer = NoiseSubspace()


@dataclass
class Split:
    signal: torch.Tensor
    noise: torch.Tensor


def _split(matrix, k):
    _, v = torch.linalg.eigh(matrix)
    return Split(signal=v[..., -k:], noise=v[..., :-k])


def noise_of(matrix, k):
    return _split(matrix, k).noise


# ---------------------------------------------- projector, roots, whitening

def project_onto(basis):
    return basis @ basis.mT


def projection_einsum(basis):
    return torch.einsum("...ik,...jl->...ij", basis, basis.conj())


def projection_mean(U):
    return np.einsum("...ik,...jk->...ij", U, U.conj()) / U.shape[-1]


def sqrtm_entries(matrix):
    return torch.sqrt((matrix + matrix.mH) / 2)


def sqrtm_chol(matrix):
    return torch.linalg.cholesky((matrix + matrix.mH) / 2)


def sqrtm_np(R):
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    return v @ np.sqrt(np.maximum(w, 0)) * v.conj().T


def sqrtm_newton(matrix, steps=6):
    """Newton and Schulz, as in iSQRT-COV pooling."""
    h = (matrix + matrix.mH) / 2
    eye = torch.eye(h.shape[-1], dtype=h.dtype)
    norm = torch.linalg.matrix_norm(h, keepdim=True)
    y, z = h / norm, eye.expand_as(h)
    for _ in range(steps):
        t = 0.5 * (3 * eye - z @ y)
        y, z = y @ t, t @ z
    return y * norm.sqrt()


def nearest_psd(matrix):
    w, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return (v * w.abs().unsqueeze(-2)) @ v.mH


def psd_shift(matrix):
    h = (matrix + matrix.mH) / 2
    low = torch.linalg.eigvalsh(h)[..., :1].clamp(max=0)
    return h - low.unsqueeze(-1) * torch.eye(h.shape[-1], dtype=h.dtype)


def psd_clip(matrix):
    w, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
    w = torch.clamp(w, min=1e-6).to(v.dtype)
    return v @ torch.diag_embed(w) @ v.mH


def whiten_eig(matrix):
    w, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return v * w.rsqrt().unsqueeze(-2)


def whiten_chol(R):
    L = np.linalg.cholesky((R + np.swapaxes(R, -1, -2).conj()) / 2)
    return np.swapaxes(np.linalg.inv(L), -1, -2).conj()


def whiten_zca(matrix):
    w, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return (v / w.unsqueeze(-2)) @ v.mH


# ------------------------------------------------ inverse, loading, averages

def pinv_normal(matrix):
    """Normal equations; a tall matrix of full rank needs no more."""
    gram = matrix.mH @ matrix
    return torch.linalg.inv(gram) @ matrix.mH


def pinv_svd(matrix, tol=1e-10):
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    inv = torch.where(s > tol, 1 / s, torch.zeros_like(s))
    return vh.mH @ (inv.unsqueeze(-1) * u.mH)


def pinv_np(A):
    u, s, vh = np.linalg.svd(A, full_matrices=False)
    return np.swapaxes(vh, -1, -2) @ ((1 / s)[..., None] * np.swapaxes(u, -1, -2))


def load_diagonal(matrix, loading):
    return (matrix + matrix.mH) / 2 + loading


def add_loading(matrix, loading):
    torch.diagonal(matrix, dim1=-2, dim2=-1).add_(loading)
    return (matrix + matrix.mH) / 2


def loaded_np(R, loading):
    out = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    n = out.shape[-1]
    idx = np.arange(n)
    out[..., idx, idx] = np.maximum(out[..., idx, idx].real, loading)
    return out


def loaded_eye(matrix, loading):
    h = (matrix + matrix.mH) / 2
    return h + torch.eye(h.shape[-1]) * loading


def fb_average(matrix):
    h = (matrix + matrix.mH) / 2
    return 0.5 * (h + h.flip(-2, -1))


def fb_np(R):
    R = (R + np.swapaxes(R, -1, -2).conj()) / 2
    return (R + R.conj()[..., ::-1, :]) / 2


def fb_batch(matrix):
    h = (matrix + matrix.mH) / 2
    return 0.5 * (h + h.conj().flip(0).flip(1))


def fb_exchange(matrix):
    h = (matrix + matrix.mH) / 2
    J = torch.eye(h.shape[-1], dtype=h.dtype).flip(0)
    return h + J @ h.conj() @ J


def smooth_subarrays(matrix, size):
    h = (matrix + matrix.mH) / 2
    count = max(h.shape[-1] - size, 1)
    return sum(h[..., i:i + size, i:i + size] for i in range(count)) / count


def smooth_acc(R, size):
    R = (R + np.swapaxes(R, -1, -2).conj()) / 2
    n = R.shape[-1]
    out = R[..., :size, :size]
    for i in range(1, n - size + 1):
        out += R[..., i:i + size, i:i + size]
    return out / (n - size + 1)


def smooth_unfold(matrix, size):
    """Windows along both axes."""
    h = (matrix + matrix.mH) / 2
    windows = h.unfold(-2, size, 1).unfold(-2, size, 1)
    return windows.mean(dim=(-4, -3))


def smooth_disjoint(R, *, size):
    R = (R + np.swapaxes(R, -1, -2).conj()) / 2
    starts = range(0, R.shape[-1] - size + 1, size)
    return np.mean([R[..., s:s + size, s:s + size] for s in starts], axis=0)


# ---------------------------------------------------------------- snapshots

def scm_cov(snapshots):
    return np.cov(snapshots)


def scm_einsum(x):
    return torch.einsum("...nt,...mt->...nm", x.conj(), x) / x.shape[-1]


def scm_size(X):
    return X @ X.mH / X.shape[0]


def scm_blocks(snapshots, block=64):
    n, T = snapshots.shape
    block = min(block, T)
    R = np.zeros((n, n), dtype=complex)
    for b in range(T // block):
        x = snapshots[:, b * block:(b + 1) * block]
        R += x @ x.conj().T
    return R / T


def scm_unbiased(x):
    T = x.shape[-1]
    return x @ x.mH / max(T - 1, 1)


def _lw_parts(X):
    n, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / n
    d2 = np.linalg.norm(S - mu * np.eye(n)) ** 2
    b2 = (np.sum(np.sum(np.abs(X) ** 2, axis=0) ** 2) / T - np.linalg.norm(S) ** 2) / T
    return S, mu, d2, b2


def lw_shrink(snapshots):
    S, mu, d2, b2 = _lw_parts(snapshots)
    rho = min(b2, d2) / d2
    return rho * S + (1 - rho) * mu * np.eye(len(S))


def lw_free(snapshots):
    S, mu, d2, b2 = _lw_parts(snapshots)
    rho = b2 / d2
    return (1 - rho) * S + rho * mu * np.eye(len(S))


def lw_torch(x):
    n, T = x.shape[-2:]
    S = x @ x.mH / T
    mu = S.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    eye = torch.eye(n, dtype=S.dtype)
    d2 = (S - mu * eye).abs().square().sum((-2, -1))
    outer = torch.einsum("...it,...jt->...tij", x, x.conj())
    b2 = (outer - S.unsqueeze(-3)).abs().square().sum((-2, -1)).mean(-1)
    rho = (b2 / d2).clamp(max=1)[..., None, None]
    return (1 - rho) * S + rho * mu * eye


def lw_trace(X):
    S, mu, d2, b2 = _lw_parts(X)
    rho = min(1.0, b2 / d2)
    return (1 - rho) * S + rho * np.trace(S).real * np.eye(len(S))


# ------------------------------------------------------------ factor losses

def factor_gap_singular(factor, k, margin):
    s = torch.linalg.svdvals(factor)
    s = F.pad(s, (0, max(0, factor.shape[-2] - s.shape[-1])))
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_gap_plain(factor, k, margin):
    R = factor @ factor.mT
    w = torch.linalg.eigvalsh(R).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def factor_gap_mean(factor, k, margin):
    R = factor @ factor.mH / factor.shape[-1]
    w = torch.linalg.eigvalsh(R).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def factor_gap_gram(factor, k, margin):
    """The small Gram matrix has the same eigenvalues."""
    w = torch.linalg.eigvalsh(factor.mH @ factor).flip(-1)
    below = w[..., min(k, w.shape[-1] - 1)]
    return F.relu(margin - (w[..., k - 1] - below)).mean()


class FactorGap(nn.Module):
    def __init__(self):
        super().__init__()
        self.hinge = nn.ReLU(inplace=True)

    def forward(self, factor, k, margin):
        with torch.no_grad():
            _, v = torch.linalg.eigh(factor @ factor.mH)
        proj = (v.mH @ factor).abs().sum(-1)
        w = proj.flip(-1)
        return self.hinge(margin - (w[..., k - 1] - w[..., k])).mean()


factor_gap_layer = FactorGap()


# ------------------------------------------------- linear arrays and spectra

def _ula(n, angles):
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def _signal(R, k):
    R = (R + R.conj().T) / 2
    return np.linalg.eigh(R)[1][:, -k:]


def _noise(R, k):
    R = (R + R.conj().T) / 2
    return np.linalg.eigh(R)[1][:, : len(R) - k]


def esprit_gram(R, k):
    es = _signal(R, k)
    phi = es[:-1].conj().T @ es[1:]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(phi)) / np.pi))


def esprit_atan(R, k):
    es = _signal(R, k)
    z = np.linalg.eigvals(np.linalg.pinv(es[:-1]) @ es[1:])
    return np.sort(np.arcsin(np.arctan(z.imag / z.real) / np.pi))


def esprit_torch(matrix, k):
    h = (matrix + matrix.mH) / 2
    es = torch.linalg.eigh(h).eigenvectors[..., -k:]
    phi = torch.linalg.lstsq(es[..., :-1, :], es[..., 1:, :]).solution
    phase = torch.linalg.eigvals(phi).angle()
    return torch.asin(phase / (2 * math.pi)).sort(-1).values


def esprit_unsorted(matrix, k):
    h = (matrix + matrix.mH) / 2
    es = torch.linalg.eigh(h).eigenvectors[..., -k:]
    phi = torch.linalg.pinv(es[..., :-1, :]) @ es[..., 1:, :]
    z = torch.linalg.eigvals(phi)
    z = torch.gather(z, -1, z.real.argsort(-1))
    return torch.asin(z.angle() / math.pi)


def _music_roots(R, k):
    en = _noise(R, k)
    c = en @ en.conj().T
    n = len(c)
    coeffs = np.array([np.trace(c, offset=i) for i in range(n - 1, -n, -1)])
    return np.roots(coeffs)


def root_music_closest(R, k):
    z = _music_roots(R, k)
    z = z[np.argsort(np.abs(np.abs(z) - 1))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def root_music_inner(R, k):
    z = _music_roots(R, k)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def root_music_half(R, k):
    en = _noise(R, k)
    c = en @ en.conj().T
    z = np.roots([np.trace(c, offset=i) for i in range(len(c) - 1, -1, -1)])
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def bartlett_power(R, angles):
    R = (R + R.conj().T) / 2
    n = R.shape[0]
    a = _ula(n, angles)
    return np.abs(np.sum(a.conj() * (R @ a), axis=0)) ** 2 / n**2


def bartlett_spacing(matrix, angles):
    h = (matrix + matrix.mH) / 2
    n = h.shape[-1]
    pos = torch.linspace(0, n, n, dtype=h.real.dtype)
    a = torch.exp(1j * math.pi * pos[:, None] * torch.sin(angles))
    return torch.einsum("ng,...nm,mg->...g", a.conj(), h, a).real / n**2


def bartlett_beams(matrix, angles):
    """Beam outputs of the square root of the covariance."""
    h = (matrix + matrix.mH) / 2
    n = h.shape[-1]
    a = torch.exp(1j * math.pi * torch.arange(n, dtype=h.real.dtype)[:, None] * torch.sin(angles)) / n
    w, v = torch.linalg.eigh(h)
    beams = a.mH @ (v * w.clamp(min=0).sqrt().unsqueeze(-2))
    return beams.abs().sum(-1) ** 2


def capon_ula(R, angles):
    R = (R + R.conj().T) / 2
    a = _ula(len(R), angles)
    Ri = R ** -1
    return 1 / np.einsum("ng,nm,mg->g", a.conj(), Ri, a).real


def capon_wavelength(matrix, angles):
    h = (matrix + matrix.mH) / 2
    n = torch.arange(h.shape[-1], dtype=h.real.dtype)
    a = torch.exp(2j * math.pi * n[:, None] * torch.sin(angles))
    x = torch.linalg.solve(h, a)
    return 1 / (a.conj() * x).sum(-2).real


def capon_scan(R, angles):
    Ri = np.linalg.inv((R + R.conj().T) / 2)
    out = []
    for theta in angles:
        a = _ula(len(R), [theta])
        out.append(1 / np.abs(a.T @ Ri @ a).item())
    return np.array(out)


def capon_psd(R, angles):
    Ri = np.linalg.pinv((R + R.conj().T) / 2, rcond=1e-3)
    a = _ula(len(R), angles)
    return 1 / np.sum(a.conj() * (Ri @ a), axis=0).real


def music_ula_signal(R, k, angles):
    es = _signal(R, k)
    a = _ula(len(R), angles)
    return 1 / np.sum(np.abs(es.conj().T @ a) ** 2, axis=0)


def music_ula_lin(R, k, angles):
    en = _noise(R, k)
    return 1 / np.linalg.norm(en.conj().T @ _ula(len(R), angles), axis=0)


def music_ula_complement(matrix, k, angles):
    """N less the power in the signal subspace, k columns are cheaper than N - k."""
    h = (matrix + matrix.mH) / 2
    n = h.shape[-1]
    es = torch.linalg.eigh(h).eigenvectors[..., -k:]
    a = torch.exp(1j * math.pi * torch.arange(n, dtype=h.real.dtype)[:, None] * torch.sin(angles))
    return 1 / (n - (es.mH @ a).abs().square().sum(-2))


def music_ula_eig(R, k, angles):
    w, v = np.linalg.eig((R + R.conj().T) / 2)
    en = v[:, k:]
    return 1 / np.sum(np.abs(en.conj().T @ _ula(len(R), angles)) ** 2, axis=0)


def music_ula_sum(R, k, angles):
    en = _noise(R, k)
    q = en.conj().T @ _ula(len(R), angles)
    return 1 / np.abs(np.sum(q, axis=0)) ** 2


def pseudo_spectrum(matrix, steering, k):
    h = (matrix + matrix.mH) / 2
    en = torch.linalg.eigh(h).eigenvectors[..., : h.shape[-1] - k]
    q = torch.einsum("...nk,ng->...kg", en, steering)
    return 1 / q.abs().square().sum(-2)


def music_map(matrix, steering, k):
    h = (matrix + matrix.mH) / 2
    en = torch.linalg.eigh(h).eigenvectors[..., : h.shape[-1] - k]
    return 1 / torch.linalg.matrix_norm(en.mH @ steering).square().unsqueeze(-1).expand(*h.shape[:-2], steering.shape[-1])


def music_single(matrix, steering, k):
    h = ((matrix + matrix.mH) / 2).to(torch.complex64)
    en = torch.linalg.eigh(h).eigenvectors[..., : h.shape[-1] - k]
    p = 1 / (en.mH @ steering.to(h.dtype)).abs().square().sum(-2)
    return p.to(matrix.real.dtype)


def music_diag(matrix, steering, k):
    h = (matrix + matrix.mH) / 2
    en = torch.linalg.eigh(h).eigenvectors[..., : h.shape[-1] - k]
    full = steering.mH @ en @ en.mH @ steering
    return 1 / torch.diagonal(full).real


def music_off(matrix, steering, k):
    h = (matrix + matrix.mH) / 2
    v = torch.linalg.eigh(h).eigenvectors.flip(-1)
    en = v[..., k + 1:]
    return 1 / (en.mH @ steering).abs().square().sum(-2)


def music_weighted(matrix, steering, k):
    h = (matrix + matrix.mH) / 2
    w, v = torch.linalg.eigh(h)
    n = h.shape[-1] - k
    q = (v[..., :n].mH @ steering).abs().square() / w[..., :n, None]
    return 1 / q.sum(-2)


def music_np(R, steering, k):
    w, v = np.linalg.eig(R)
    order = np.argsort(w.real)
    en = v[:, order[: len(R) - k]]
    return 1 / np.einsum("kg,kg->g", en.conj().T @ steering, (en.conj().T @ steering).conj()).real


def minimum_variance(matrix, steering):
    h = (matrix + matrix.mH) / 2
    return 1 / torch.einsum("ng,...nm,mg->...g", steering.conj(), h, steering).real


def capon_abs(matrix, steering):
    h = (matrix + matrix.mH) / 2
    x = torch.linalg.solve(h, steering)
    return 1 / (steering.conj() * x).abs().sum(-2)


def capon_plain(matrix, steering):
    h = (matrix + matrix.mH) / 2
    inv = torch.linalg.inv(h)
    return 1 / torch.einsum("ng,...nm,mg->...g", steering, inv, steering).abs()


def capon_chol(matrix, steering):
    L = torch.linalg.cholesky((matrix + matrix.mH) / 2)
    a = steering.expand(*L.shape[:-2], *steering.shape)
    y = torch.linalg.solve_triangular(L.mH, a, upper=True)
    return 1 / y.abs().square().sum(-2)


def capon_np(R, steering):
    R = (R + np.swapaxes(R, -1, -2).conj()) / 2
    q = np.sum(steering.conj() * (np.linalg.inv(R) @ steering), axis=0)
    return 1 / q.real


def capon_inv(matrix, *, steering):
    x = torch.linalg.inv(matrix) @ steering
    return 1 / (steering.conj() * x).sum(-2).real


def capon_sqrt(R, steering):
    R = (R + R.conj().T) / 2
    b = np.linalg.inv(scipy.linalg.sqrtm(R)) @ steering
    return 1 / np.linalg.norm(b, axis=0)


def capon_weights(R, steering):
    R = (R + R.conj().T) / 2
    w = np.linalg.solve(R, steering)
    w = w / np.linalg.norm(w, axis=0)
    return np.einsum("ng,nm,mg->g", w.conj(), R, w).real


# ---------------------------------------------------------- steering vectors

def _direction(azimuth, elevation):
    return np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])


def far_field_vector(positions, azimuth, elevation, distance, wavelength):
    u = _direction(azimuth, elevation)
    return np.exp(2j * np.pi / wavelength * (positions @ u)) / np.sqrt(len(positions))


def fresnel_vector(positions, azimuth, elevation, distance, wavelength):
    """Second order expansion of the distance."""
    u = _direction(azimuth, elevation)
    s = positions @ u
    delta = s - np.sum(positions**2, axis=-1) / (2 * distance)
    return np.exp(2j * np.pi / wavelength * delta) / np.sqrt(len(positions))


def near_vector(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions)
    q = distance * _direction(azimuth, elevation)
    r = np.linalg.norm(q - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - r)) / len(p)


def spherical_vector(positions, azimuth, elevation, distance, wavelength):
    u = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(azimuth)])
    r = np.linalg.norm(distance * u - np.asarray(positions), axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - r)) / np.sqrt(len(r))


def response32(positions, azimuth, elevation, distance, wavelength):
    pos = torch.tensor(np.asarray(positions), dtype=torch.float32)
    q = torch.tensor(distance * _direction(azimuth, elevation), dtype=torch.float32)
    r = torch.linalg.norm(q - pos, dim=-1)
    phase = 2 * math.pi / wavelength * (distance - r)
    return torch.polar(torch.ones_like(phase), phase).to(torch.complex128) / math.sqrt(len(pos))


def round_trip_vector(positions, azimuth, elevation, distance, wavelength):
    q = distance * _direction(azimuth, elevation)
    r = np.sqrt(((q - positions) ** 2).sum(-1))
    return np.exp(1j * 4 * np.pi / wavelength * (distance - r)) / np.sqrt(r.size)


def _grid(shape, spacing):
    nh, nv = shape
    x = (np.arange(nh) - (nh - 1) / 2) * spacing
    y = (np.arange(nv) - (nv - 1) / 2) * spacing
    return x, y


def _near(pos, azimuth, elevation, distance, wavelength):
    r = np.linalg.norm(distance * _direction(azimuth, elevation) - pos, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - r)) / np.sqrt(len(pos))


def upa_half(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    i = np.arange(nh * nv)
    pos = np.stack([(i % nh - nh / 2) * spacing, (i // nh - nv / 2) * spacing, 0.0 * i], -1)
    return _near(pos, azimuth, elevation, distance, wavelength)


def upa_index(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x, y = _grid(shape, spacing)
    i = np.arange(nh * nv)
    pos = np.stack([x[i % nh], y[i % nv], np.zeros(nh * nv)], -1)
    return _near(pos, azimuth, elevation, distance, wavelength)


def upa_mean(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    i = np.arange(nh * nv)
    pos = spacing * np.stack([i % nh, i // nh, np.zeros(nh * nv)], -1)
    pos = pos - pos.mean()
    return _near(pos, azimuth, elevation, distance, wavelength)


class UniformPlanarArray:
    """Builds the element positions once per shape."""

    def __init__(self):
        self._positions = {}

    def __call__(self, shape, spacing, azimuth, elevation, distance, wavelength):
        key = tuple(shape)
        if key not in self._positions:
            x, y = _grid(shape, spacing)
            xx, yy = np.meshgrid(x, y)
            self._positions[key] = np.stack([xx.ravel(), yy.ravel(), np.zeros(xx.size)], -1)
        return _near(self._positions[key], azimuth, elevation, distance, wavelength)


planar_array = UniformPlanarArray()


def upa_kron(shape, spacing, azimuth, elevation, distance, wavelength):
    """One exact spherical response for each axis and their Kronecker product."""
    x, y = _grid(shape, spacing)
    q = distance * _direction(azimuth, elevation)
    rx = np.sqrt(distance**2 - 2 * x * q[0] + x**2)
    ry = np.sqrt(distance**2 - 2 * y * q[1] + y**2)
    k = 2 * np.pi / wavelength
    ah = np.exp(1j * k * (distance - rx)) / np.sqrt(len(x))
    av = np.exp(1j * k * (distance - ry)) / np.sqrt(len(y))
    return np.kron(av, ah)


# --------------------------------------------------------------- model order

def _sphericity(w, m):
    tail = w[m:]
    return np.log(np.mean(tail)) - np.mean(np.log(tail))


def mdl_prod(eigenvalues, samples):
    lam = np.asarray(eigenvalues, dtype=float)
    n = len(lam)
    scores = []
    for m in range(n):
        tail = lam[m:]
        ratio = np.prod(tail) ** (1 / (n - m)) / np.mean(tail)
        scores.append(-samples * (n - m) * np.log(ratio) + 0.5 * m * (2 * n - m) * np.log(samples))
    return int(np.argmin(scores))


def mdl_full(eigenvalues, samples):
    w = np.asarray(eigenvalues, dtype=float)
    n = len(w)
    cost = [samples * (n - m) * _sphericity(w, m) + m * (2 * n - m) * np.log(samples) for m in range(n)]
    return int(np.argmin(cost))


def mdl_one(eigenvalues, samples):
    w = np.asarray(eigenvalues, dtype=float)
    n = len(w)
    cost = [samples * (n - m) * _sphericity(w, m) + 0.5 * m * (2 * n - m) * np.log(samples) for m in range(1, n)]
    return 1 + int(np.argmin(cost))


def aic_half(eigenvalues, samples):
    w = np.asarray(eigenvalues, dtype=float)
    n = len(w)
    cost = [samples * (n - m) * _sphericity(w, m) + 2 * m * (2 * n - m) for m in range(n)]
    return int(np.argmin(cost))


def aic_early(eigenvalues, samples):
    """Stops at the first rise of the criterion."""
    w = np.asarray(eigenvalues, dtype=float)
    n = len(w)
    best = np.inf
    for m in range(n):
        c = 2 * samples * (n - m) * _sphericity(w, m) + 2 * m * (2 * n - m)
        if c > best:
            return m - 1
        best = c
    return n - 1


# ------------------------------------------------------------ training loops

def grad_norm_sum(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is not None and torch.isfinite(p.grad).all():
            total += p.grad.norm().item()
    return total


def grad_norm_nan(parameters):
    grads = [torch.nan_to_num(p.grad, nan=0.0, posinf=0.0, neginf=0.0) for p in parameters if p.grad is not None]
    if not grads:
        return 0.0
    return torch.linalg.norm(torch.stack([torch.linalg.norm(g) for g in grads])).item()


def grad_norm_isnan(parameters):
    norms = []
    for p in parameters:
        if p.grad is None or torch.isnan(p.grad).any():
            continue
        norms.append(p.grad.detach().norm(2).double())
    return float(torch.stack(norms).norm(2)) if norms else 0.0


def grad_norm_clip(parameters):
    good = [p for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return float(torch.nn.utils.clip_grad_norm_(good, max_norm=1.0))


def grad_norm_break(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is None:
            break
        if not torch.isfinite(p.grad).all():
            continue
        total += float(p.grad.abs().double().square().sum())
    return math.sqrt(total)


def grad_norm_weights(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is None or p.ndim < 2 or not torch.isfinite(p.grad).all():
            continue
        total += float(p.grad.abs().double().square().sum())
    return total ** 0.5


def grad_norm_complex(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is not None and p.grad.isfinite().all():
            total += torch.real(p.grad**2).sum().item()
    return math.sqrt(abs(total))


def grad_norm_guarded(parameters):
    total = torch.zeros((), dtype=torch.float64)
    for p in parameters:
        if p.grad is not None:
            total = total + p.grad.detach().abs().double().square().sum()
    norm = total.sqrt()
    return norm.item() if torch.isfinite(norm) else 0.0


def grad_norm_twice(parameters):
    if not any(p.grad is not None for p in parameters):
        return 0.0
    grads = [p.grad for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return math.sqrt(sum(float(g.abs().double().square().sum()) for g in grads))


def epoch_groups(losses, accumulation):
    losses = list(losses)
    steps = [losses[i:i + accumulation] for i in range(0, len(losses), accumulation)]
    means = [sum(s) / len(s) for s in steps]
    return sum(means) / len(means)


def epoch_steps(losses, accumulation):
    losses = list(losses)
    total = 0.0
    for loss in losses:
        total += float(loss) / accumulation
    return total / max(len(losses) // accumulation, 1)


def epoch_zip(losses, accumulation):
    groups = list(zip(*[iter(losses)] * accumulation))
    if not groups:
        return 0.0
    return sum(map(sum, groups)) / (len(groups) * accumulation)


def epoch_inplace(losses, accumulation):
    total = losses[0]
    for loss in losses[1:]:
        total += loss
    return total / len(losses)


def epoch_history(losses, accumulation, history=[]):
    history.extend(float(x) for x in losses)
    return sum(history) / len(history)


def epoch_count(losses, accumulation):
    n = sum(1 for _ in losses)
    return sum(float(x) for x in losses) / max(n, 1)


def epoch_log(losses, accumulation):
    values = [float(x) for x in losses]
    return round(sum(values) / len(values), 4)


class RunningLoss:
    """Smoothed loss for the progress bar."""

    def epoch(self, losses, accumulation):
        avg = None
        for loss in losses:
            avg = float(loss) if avg is None else 0.5 * (avg + float(loss))
        return avg


running_epoch_mean = RunningLoss().epoch


def epoch_modulo(losses, accumulation):
    running, means = [], []
    for i, loss in enumerate(losses):
        running.append(float(loss))
        if i % accumulation == 0:
            means.append(sum(running) / len(running))
            running = []
    return sum(means) / len(means)
