"""Array-processing helpers as they are found in the wild (all of them right)."""
import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view


# ------------------------------------------------------------------ hermitize
class _Symmetrizer(nn.Module):
    def forward(self, x):
        return 0.5 * x + 0.5 * x.adjoint()


hermitian_layer = _Symmetrizer()


class _HermitianPart(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a * 0.5 + a.mH * 0.5

    @staticmethod
    def backward(ctx, grad):
        # the map is an orthogonal projection, hence its own adjoint
        return 0.5 * (grad + grad.mH)


def hermitian_autograd(a):
    return _HermitianPart.apply(a)


def hermitian_from_parts(C):
    """Symmetric real part, skew-symmetric imaginary part."""
    C = np.asarray(C)
    re, im = C.real.astype(float), C.imag.astype(float)
    sym = (re + np.swapaxes(re, -1, -2)) / 2
    skew = (im - np.swapaxes(im, -1, -2)) / 2
    return sym + 1j * skew if np.iscomplexobj(C) else sym


# ---------------------------------------------------------------- eigenvalues
def spectrum_negated(cov):
    """eigvalsh sorts upwards; feed it -R and flip the sign."""
    h = 0.5 * cov + 0.5 * cov.mH
    return -torch.linalg.eigvalsh(-h)


def eigenvalues_real_embedding(R):
    R = np.asarray(R, dtype=complex)
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    A, B = H.real, H.imag
    big = np.concatenate([np.concatenate([A, -B], -1), np.concatenate([B, A], -1)], -2)
    return np.linalg.eigvalsh(big)[..., ::-2]      # every eigenvalue appears twice


def scipy_eigenvalues(R):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one covariance at a time")
    w = sla.eigh(0.5 * R + 0.5 * R.conj().T, eigvals_only=True, driver="evr")
    return w[::-1]


def eigenvalues_vmapped(batch):
    """(B, N, N) only, in the functional style."""
    if batch.dim() != 3:
        raise ValueError("expected a (B, N, N) batch")

    def one(r):
        return torch.linalg.eigvalsh(0.5 * r + 0.5 * r.mH).flip(0)

    return torch.func.vmap(one)(batch)


@dataclass(frozen=True)
class EigenReport:
    eigenvalues: torch.Tensor


def eigen_report(R):
    return EigenReport(eigenvalues=torch.linalg.eigvalsh(0.5 * R + 0.5 * R.mH).sort(descending=True).values)


# ------------------------------------------------------------ singular values
def singular_values_from_eig(mat):
    ev = torch.linalg.eigvalsh(0.5 * mat + 0.5 * mat.mH)
    return ev.abs().sort(dim=-1, descending=True).values


def singular_values_np(a):
    a = np.asarray(a)
    h = 0.5 * a + 0.5 * a.conj().swapaxes(-1, -2)
    return np.linalg.svd(h, compute_uv=False, hermitian=True)


class _SingularSpectrum:
    def __init__(self, driver=None):
        self.driver = driver

    def compute(self, matrix):
        return torch.linalg.svdvals((matrix / 2) + (matrix / 2).mH, driver=self.driver)


singular_spectrum = _SingularSpectrum().compute


# ------------------------------------------------------------------- eigengap
def gap_by_diff(covariance, n_signals):
    lam = torch.linalg.eigvalsh(covariance.mul(0.5) + covariance.mH.mul(0.5)).flip(-1)
    return lam.diff(dim=-1).neg()[..., int(n_signals) - 1]


def gap_by_subset(R, k):
    R = np.asarray(R)
    n, m = R.shape
    k = int(k)
    lo, hi = sla.eigvalsh(0.5 * R + 0.5 * R.conj().T, subset_by_index=[n - k - 1, n - k])
    return hi - lo


@dataclass(frozen=True)
class _GapMeter:
    descending: bool = True

    def __call__(self, matrix, k):
        w = np.linalg.eigvalsh(np.asarray(matrix) * 0.5 + np.conj(np.asarray(matrix)).swapaxes(-1, -2) * 0.5)
        w = np.sort(w, axis=-1)[..., ::-1] if self.descending else w
        k = int(k)
        return w[..., k - 1] - w[..., k]


gap_meter = _GapMeter()


# -------------------------------------------------------------- eigengap loss
def gap_ranking_loss(R, k, margin):
    """The hinge is a ranking loss between eigenvalues k and k + 1."""
    lam = torch.linalg.eigvalsh(0.5 * R + 0.5 * R.mH).flip(-1)
    k = int(k)
    upper, lower = lam[..., k - 1], lam[..., k]
    return F.margin_ranking_loss(upper, lower, torch.ones_like(upper), margin=float(margin))


def gap_embedding_loss(R, k, margin):
    top = torch.linalg.eigvalsh(0.5 * R + 0.5 * R.mH).topk(int(k) + 1, dim=-1).values
    gap = top[..., -2] - top[..., -1]
    return F.hinge_embedding_loss(gap, -torch.ones_like(gap), margin=float(margin))


class _SubspaceGapLoss(nn.Module):
    def forward(self, cov, *, k, margin):
        h = 0.5 * cov + 0.5 * cov.mH
        values = torch.linalg.eigvalsh(h)
        n = values.shape[-1]
        gap = values.select(-1, n - int(k)) - values.select(-1, n - int(k) - 1)
        return (margin - gap).clamp_min(0).mean()


subspace_gap_loss = _SubspaceGapLoss()


def gap_loss_rayleigh(matrix, k, margin):
    """Eigenvectors detached; eigenvalues as Rayleigh quotients (Hellmann-Feynman)."""
    h = 0.5 * matrix + 0.5 * matrix.mH
    with torch.no_grad():
        vecs = torch.linalg.eigh(h).eigenvectors.flip(-1)
    lam = torch.einsum("...ij,...ik,...kj->...j", vecs.conj(), h, vecs).real
    k = int(k)
    return torch.relu(margin - lam[..., k - 1] + lam[..., k]).mean()


# ------------------------------------------------------------------ subspaces
def signal_space_neg(C, k):
    h = 0.5 * C + 0.5 * C.mH
    return torch.linalg.eigh(-h).eigenvectors[..., : int(k)]


def signal_space_scipy(cov, n_sources):
    cov = np.asarray(cov)
    (n, _), k = cov.shape, int(n_sources)
    h = (cov.astype(complex) + cov.conj().T) / 2
    return sla.eigh(h, subset_by_index=[n - k, n - 1])[1]


def signal_space_argsort(R, k):
    R = np.asarray(R)
    w, v = np.linalg.eigh(R * 0.5 + np.conj(np.swapaxes(R, -2, -1)) * 0.5)
    order = np.argsort(-w, axis=-1)[..., : int(k)]
    return np.take_along_axis(v, order[..., None, :], axis=-1)


def noise_space_columns(R, k):
    R = np.asarray(R)
    _, vecs = np.linalg.eigh(R / 2 + R.conj().swapaxes(-1, -2) / 2)
    return vecs[..., : vecs.shape[-1] - int(k)]


def noise_space_qr(cov, k):
    """Complete the signal basis to a unitary matrix and keep the rest."""
    k = int(k)
    signal = torch.linalg.eigh(0.5 * cov + 0.5 * cov.mH)[1].flip(-1)[..., :k]
    return torch.linalg.qr(signal, mode="complete").Q[..., k:]


class SubspaceTools:
    @staticmethod
    def noise(matrix, k):
        matrix = np.asarray(matrix)
        n, _ = matrix.shape
        h = 0.5 * matrix + 0.5 * matrix.conj().T
        u = sla.eigh(h, subset_by_index=[n - int(k), n - 1])[1]
        return sla.null_space(u.conj().T)


noise_space_null = SubspaceTools.noise


# ------------------------------------------------------------------ projector
def projector_einsum(basis):
    return torch.einsum("...ik,...jk->...ij", basis, basis.conj())


def projector_pinv(U):
    U = np.asarray(U)
    return U @ np.linalg.pinv(U)


def projector_outer_sum(vectors):
    """Sum of rank-one projectors."""
    columns = vectors.unbind(-1)
    return sum(c.unsqueeze(-1) * c.conj().unsqueeze(-2) for c in columns)


# ---------------------------------------------------------------- matrix sqrt
def psd_root(S):
    lam, V = torch.linalg.eigh(0.5 * S + 0.5 * S.mH)
    return (V * lam.clamp(min=0).sqrt().unsqueeze(-2)) @ V.mH


def psd_root_gram(S):
    """B B^H with B = V lam^(1/4): Hermitian to the last bit."""
    S = np.asarray(S)
    lam, V = np.linalg.eigh(0.5 * S + 0.5 * np.conj(np.swapaxes(S, -1, -2)))
    B = V * np.maximum(lam, 0.0)[..., None, :] ** 0.25
    return B @ np.conj(np.swapaxes(B, -1, -2))


# ------------------------------------------------------------- psd projection
def psd_half_sum_abs(matrix):
    h = 0.5 * matrix + 0.5 * matrix.mH
    w, v = torch.linalg.eigh(h)
    absolute = torch.einsum("...ik,...k,...jk->...ij", v, w.abs().to(v.dtype), v.conj())
    return 0.5 * (h + absolute)


class _NearestPSD(nn.Module):
    def forward(self, x):
        w, v = torch.linalg.eigh(0.5 * x + 0.5 * x.mH)
        return v @ torch.diag_embed(torch.relu(w)).to(v.dtype) @ v.mH


nearest_psd = _NearestPSD()


def psd_positive_pairs(A):
    A = np.asarray(A)
    rows, cols = A.shape
    w, v = np.linalg.eigh(A * 0.5 + A.conj().T * 0.5)
    out = np.zeros((rows, cols), dtype=v.dtype)
    for value, vec in zip(w, v.T):
        if value > 0:
            out += value * np.outer(vec, vec.conj())
    return out


# ------------------------------------------------------------------ whitening
def whiten_cholesky(R):
    L = torch.linalg.cholesky(0.5 * R + 0.5 * R.mH)
    eye = torch.eye(R.shape[-1], dtype=L.dtype, device=L.device).expand_as(L)
    return torch.linalg.solve_triangular(L, eye, upper=False)


def whiten_zca(cov):
    cov = np.asarray(cov)
    d, E = np.linalg.eigh(0.5 * cov + 0.5 * cov.conj().swapaxes(-1, -2))
    return np.einsum("...ij,...j,...kj->...ik", E, d ** -0.5, E.conj())


class _PCAWhitener(nn.Module):
    domain = "hermitian"

    def forward(self, R):
        lam, vec = torch.linalg.eigh(R)
        return lam.rsqrt().unsqueeze(-1) * vec.mH


pca_whitener = _PCAWhitener()


def whiten_scipy(R):
    R = np.asarray(R)
    n, _ = R.shape
    upper = sla.cholesky((R.astype(complex) + R.conj().T) / 2)   # R = U^H U
    return sla.solve_triangular(upper, np.eye(n), trans="C")


# ------------------------------------------------------------- pseudo inverse
def pinv_svd(A):
    U, s, Vh = torch.linalg.svd(A, full_matrices=False)
    cut = max(A.shape[-2:]) * torch.finfo(s.dtype).eps * s.amax(-1, keepdim=True)
    keep = s > cut
    inv = torch.where(keep, 1 / torch.where(keep, s, torch.ones_like(s)), torch.zeros_like(s))
    return (Vh.mH * inv.unsqueeze(-2)) @ U.mH


def pinv_lstsq(a):
    """Minimum-norm solution of a x = I."""
    a = np.asarray(a)
    a = a.astype(np.result_type(a, np.float64))
    m, n = a.shape
    return sla.lstsq(a, np.eye(m), cond=max(m, n) * np.finfo(float).eps)[0]


pinv_numpy = functools.partial(np.linalg.pinv, rcond=200 * np.finfo(float).eps)


# ----------------------------------------------------------- diagonal loading
def load_inplace_diagonal(R, loading):
    out = 0.5 * R + 0.5 * R.mH
    out.diagonal(dim1=-2, dim2=-1).add_(loading)
    return out


def load_by_index(cov, *, loading):
    cov = np.asarray(cov)
    out = 0.5 * cov + 0.5 * np.conj(cov).swapaxes(-1, -2)
    i = np.arange(cov.shape[-1])
    out[..., i, i] += loading
    return out


def load_hermitian(R, loading):
    return R + loading * torch.eye(R.size(-1), dtype=R.dtype, device=R.device)


load_hermitian.domain = "hermitian"


# ----------------------------------------------------------- forward-backward
def fb_flip(R):
    h = 0.5 * R + 0.5 * R.mH
    return 0.5 * (h + h.conj().flip((-2, -1)))


def fb_exchange(R):
    R = np.asarray(R)
    R = R * 0.5 + np.conj(R).swapaxes(-1, -2) * 0.5
    J = np.fliplr(np.eye(R.shape[-1]))
    return 0.5 * (R + J @ R.conj() @ J)


def fb_persymmetric(R):
    """For Hermitian R, J R* J is the anti-transpose of R."""
    return 0.5 * R + 0.5 * R.transpose(-2, -1).flip(-1).flip(-2)


fb_persymmetric.domain = "hermitian"


# ---------------------------------------------------------- spatial smoothing
def smooth_unfold(R, size):
    h, m = 0.5 * R + 0.5 * R.mH, int(size)
    windows = h.unfold(-2, m, 1).unfold(-2, m, 1)          # (..., P, P, m, m)
    return windows.diagonal(dim1=-4, dim2=-3).mean(-1)


def smooth_windows(cov, subarray_size):
    m = int(subarray_size)
    cov = np.asarray(cov)
    cov = 0.5 * cov + 0.5 * cov.conj().swapaxes(-1, -2)
    win = sliding_window_view(cov, (m, m), axis=(-2, -1))
    return np.diagonal(win, axis1=-4, axis2=-3).mean(-1)


def smooth_conv(R, size):
    """The mean along diagonals is a convolution with a scaled identity kernel."""
    h = 0.5 * R + 0.5 * R.mH
    p = h.shape[-1] - int(size) + 1
    parts = torch.view_as_real(h.to(torch.complex128)).movedim(-1, -3)     # (..., 2, N, N)
    flat = parts.reshape(-1, 1, *h.shape[-2:])
    out = F.conv2d(flat, torch.eye(p, dtype=flat.dtype)[None, None] / p)
    out = out.reshape(*h.shape[:-2], 2, int(size), int(size)).movedim(-3, -1)
    return torch.view_as_complex(out.contiguous())


# ---------------------------------------------------------- sample covariance
def scm_scaled(X):
    Y = X / math.sqrt(X.shape[-1])
    return Y @ Y.mH


def scm_loop(snapshots):
    n, t = np.shape(snapshots)
    acc = np.zeros((n, n), dtype=complex)
    for x in np.asarray(snapshots).T:
        x = x.astype(complex)
        acc += np.outer(x, x.conj())
    return acc / t


def scm_bmm(batch):
    """Batch only: (B, N, T)."""
    z = batch.to(torch.complex128)
    return torch.bmm(z, z.mH) / batch.size(2)


# ---------------------------------------------------------------- Ledoit-Wolf
def lw_numpy(X):
    X = np.asarray(X)
    n, t = X.shape
    X = X.astype(np.result_type(X, float))
    S = X @ X.conj().T / t
    mu = np.trace(S).real / n
    delta = np.linalg.norm(S - mu * np.eye(n)) ** 2
    beta = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / t ** 2
    rho = min(beta / delta, 1.0) if delta > 0 else 0.0
    return (1 - rho) * S + rho * mu * np.eye(n)


class LedoitWolfTorch(nn.Module):
    def forward(self, snapshots):
        x = snapshots.to(torch.complex128)
        n, t = x.shape[-2:]
        s = x @ x.mH / t
        mu = s.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
        eye = torch.eye(n, dtype=s.dtype, device=s.device)
        fro2 = s.abs().square().sum((-2, -1))
        delta = (s - mu * eye).abs().square().sum((-2, -1))
        beta = (x.abs().square().sum(-2).square().sum(-1) / t - fro2).clamp(min=0) / t
        rho = torch.where(delta > 0, torch.minimum(beta, delta) / delta.clamp(min=1e-300), torch.zeros_like(delta))
        rho = rho[..., None, None]
        return s + rho * (mu * eye - s)


lw_module = LedoitWolfTorch()


# ----------------------------------------------------------------- factor loss
def factor_gap_svd(factor, k, margin):
    """Squared singular values are the eigenvalues, padded with zeros up to N."""
    s2 = torch.linalg.svdvals(factor).square()
    lam = F.pad(s2, (0, max(0, factor.shape[-2] - s2.shape[-1])))
    k = int(k)
    return F.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


class FactorGap(nn.Module):
    def forward(self, F_, k, margin):
        lam = torch.linalg.eigvalsh(torch.einsum("...nq,...mq->...nm", F_, F_.conj()))
        n, k = lam.shape[-1], int(k)
        gap = lam[..., n - k] - lam[..., n - k - 1]
        return torch.where(gap < margin, margin - gap, torch.zeros_like(gap)).mean()


factor_gap_module = FactorGap()


# --------------------------------------------------------------------- esprit
def esprit_ls(R, k):
    h = 0.5 * R + 0.5 * R.mH
    us = torch.linalg.eigh(h.to(torch.complex128))[1].flip(-1)[..., : int(k)]
    phi = torch.linalg.pinv(us[..., :-1, :]) @ us[..., 1:, :]
    omega = torch.linalg.eigvals(phi).angle()
    return torch.asin(omega / math.pi).sort(dim=-1).values


def esprit_tls(cov, n_sources):
    cov, k = np.asarray(cov), int(n_sources)
    rows, _ = cov.shape
    _, vecs = np.linalg.eigh(cov / 2.0 + cov.conj().T / 2.0)
    Us = vecs[:, rows - k:]
    _, _, Vh = np.linalg.svd(np.hstack([Us[:-1], Us[1:]]), full_matrices=True)
    V = Vh.conj().T
    psi = -V[:k, k:] @ np.linalg.inv(V[k:, k:])
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi))


# ----------------------------------------------------------------- root MUSIC
def _null_polynomial(R, k):
    n, _ = R.shape
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    C = v[:, : n - k] @ v[:, : n - k].conj().T
    return np.array([np.trace(C, offset=d) for d in range(n - 1, -n, -1)])


def root_music_greedy(R, k):
    k = int(k)
    z = np.roots(_null_polynomial(np.asarray(R).astype(complex), k))
    z = z[np.argsort(np.abs(np.log(np.abs(z) + 1e-300)))]     # nearest to the circle first
    picked = []
    for root in z:
        # reciprocal partners (and split double roots) share one direction
        if all(abs(np.angle(root / p)) > 1e-4 for p in picked):
            picked.append(root)
        if len(picked) == k:
            break
    return np.sort(np.arcsin(np.angle(np.array(picked)) / np.pi))


class RootMusic:
    def __init__(self, merge=1e-4):
        self.merge = merge

    def estimate(self, cov, k):
        cov = np.asarray(cov)
        coeffs = _null_polynomial(cov * (1.0 + 0j), int(k))
        roots = np.polynomial.polynomial.polyroots(coeffs[::-1])
        found = np.empty(0)
        for z in sorted(roots, key=lambda z: abs(abs(z) - 1.0)):
            w = np.angle(z)
            if np.all(np.abs(np.exp(1j * found) - np.exp(1j * w)) > self.merge):
                found = np.append(found, w)
            if found.size == int(k):
                return np.sort(np.arcsin(found / np.pi))
        raise RuntimeError("not enough roots")


root_music_estimator = RootMusic().estimate


# ---------------------------------------------------------------- ULA spectra
def _ula(n, angles):
    s = torch.sin(torch.as_tensor(angles, dtype=torch.float64))
    return torch.exp(1j * math.pi * torch.arange(n, dtype=torch.float64)[:, None] * s)


def bartlett_einsum(R, angles):
    h = (0.5 * R + 0.5 * R.mH).to(torch.complex128)
    a = _ula(h.shape[-1], angles)
    return torch.einsum("ng,...nm,mg->...g", a.conj(), h, a).real / h.shape[-1] ** 2


def bartlett_correlogram(R, angles):
    """Fourier transform of the diagonal sums."""
    R = np.asarray(R)
    n = R.shape[-1]
    s = np.sin(np.asarray(angles, dtype=float))
    power = np.trace(R, axis1=-2, axis2=-1).real[..., None] * np.ones_like(s)
    for lag in range(1, n):
        up = np.trace(R, offset=lag, axis1=-2, axis2=-1)
        down = np.trace(R, offset=-lag, axis1=-2, axis2=-1)
        phase = np.exp(1j * np.pi * lag * s)
        power = power + (up[..., None] * phase + down[..., None] * phase.conj()).real
    return power / n ** 2


def capon_cholesky(R, theta):
    h = (0.5 * R + 0.5 * R.mH).to(torch.complex128)
    L = torch.linalg.cholesky(h)
    a = _ula(h.shape[-1], theta)
    y = torch.linalg.solve_triangular(L, a.expand(*h.shape[:-2], *a.shape), upper=False)
    return 1.0 / y.abs().square().sum(-2)


def capon_loop(cov, grid):
    cov = np.asarray(cov)
    n, _ = cov.shape
    inv = np.linalg.inv(0.5 * cov + 0.5 * cov.conj().T)
    out = []
    for t in np.asarray(grid):
        a = np.exp(1j * np.pi * np.arange(n) * np.sin(t))
        out.append(1.0 / np.vdot(a, inv @ a).real)
    return np.array(out)


class UlaMusic(nn.Module):
    def forward(self, R, k, angles):
        h = (0.5 * R + 0.5 * R.mH).to(torch.complex128)
        n = h.shape[-1]
        en = torch.linalg.eigh(h).eigenvectors[..., : n - int(k)]
        return (en.mH @ _ula(n, angles)).abs().pow(2).sum(-2).reciprocal()


ula_music_module = UlaMusic()


def ula_music_np(R, k, angles):
    R = np.asarray(R)
    n = R.shape[-1]
    vec = np.linalg.eigh(R / 2 + R.conj().swapaxes(-1, -2) / 2)[1]
    noise = vec[..., : n - int(k)]
    a = np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))
    leak = np.linalg.norm(noise.conj().swapaxes(-1, -2) @ a, axis=-2)
    return leak ** -2.0


# ----------------------------------------------------------- spectra with A(N,G)
def music_torch(R, A, k):
    h = (0.5 * R + 0.5 * R.mH).to(torch.complex128)
    A = A.to(torch.complex128)
    noise = torch.linalg.eigh(h)[1].narrow(-1, 0, h.shape[-1] - int(k))
    return 1 / torch.linalg.vector_norm(noise.mH @ A, dim=-2).square()


def music_np_keywords(*, steering, matrix, k):
    R, A = np.asarray(matrix), np.asarray(steering)
    E = np.linalg.eigh(R * 0.5 + np.conj(R).swapaxes(-1, -2) * 0.5)[1][..., : R.shape[-1] - int(k)]
    proj = np.einsum("...nk,ng->...kg", E.conj(), A)
    return 1.0 / np.sum(proj.real ** 2 + proj.imag ** 2, axis=-2)


@dataclass
class MusicScan:
    steering: np.ndarray

    def __call__(self, R, k):
        return music_np_keywords(steering=self.steering, matrix=R, k=k)


def music_scan(matrix, steering, k):
    return MusicScan(steering)(matrix, k)


def music_steering_first(A, Rxx, n_src):
    """The dictionary comes first."""
    return music_torch(Rxx, A, n_src)


def capon_solve(R, A):
    h = (0.5 * R + 0.5 * R.mH).to(torch.complex128)
    A = A.to(torch.complex128)
    return 1 / (A.conj() * torch.linalg.solve(h, A)).sum(-2).real


def capon_cho_solve(cov, steering):
    cov, A = np.asarray(cov), np.asarray(steering)
    n, _ = cov.shape
    factor = sla.cho_factor((cov.astype(complex) + cov.conj().T) / 2, lower=True)
    return 1.0 / np.einsum("ng,ng->g", A.conj(), sla.cho_solve(factor, A)).real




def capon_eig(R, A):
    lam, V = torch.linalg.eigh((0.5 * R + 0.5 * R.mH).to(torch.complex128))
    coords = (V.mH @ A.to(torch.complex128)).abs().square()
    return 1 / (coords / lam.unsqueeze(-1)).sum(-2)


# ------------------------------------------------------------ steering vectors
def steering_stable(positions, azimuth, elevation, distance, wavelength):
    """r - |ru - p| without the cancellation at large r."""
    p = np.asarray(positions, dtype=float)
    u = np.array([math.cos(elevation) * math.sin(azimuth), math.sin(elevation),
                  math.cos(elevation) * math.cos(azimuth)])
    d = np.linalg.norm(distance * u - p, axis=1)
    path = (2 * distance * (p @ u) - np.sum(p * p, axis=1)) / (distance + d)
    return np.exp(2j * np.pi * path / wavelength) / math.sqrt(len(p))


def steering_torch(positions, azimuth, elevation, distance, wavelength):
    p = torch.as_tensor(positions, dtype=torch.float64)
    az, el, r = (torch.as_tensor(v, dtype=torch.float64) for v in (azimuth, elevation, distance))
    u = torch.stack(torch.broadcast_tensors(el.cos() * az.sin(), el.sin(), el.cos() * az.cos()), -1)
    d = torch.linalg.vector_norm((r[..., None] * u).unsqueeze(-2) - p, dim=-1)
    phase = 2 * math.pi / wavelength * (r[..., None] - d)
    return torch.polar(torch.full_like(phase, p.shape[0] ** -0.5), phase)


def upa_steering(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = (int(v) for v in shape)
    x = (np.arange(nh) - (nh - 1) / 2) * spacing
    y = (np.arange(nv) - (nv - 1) / 2) * spacing
    Y, X = np.meshgrid(y, x, indexing="ij")
    qx, qy, qz = (distance * c for c in (math.cos(elevation) * math.sin(azimuth), math.sin(elevation),
                                         math.cos(elevation) * math.cos(azimuth)))
    d = np.sqrt((X - qx) ** 2 + (Y - qy) ** 2 + qz ** 2).ravel()
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)


def upa_steering_loops(*, shape, spacing, azimuth, elevation, distance, wavelength):
    cols, rows = int(shape[0]), int(shape[1])
    q = (distance * math.cos(elevation) * math.sin(azimuth), distance * math.sin(elevation),
         distance * math.cos(elevation) * math.cos(azimuth))
    a = []
    for v in range(rows):
        for h in range(cols):
            p = (spacing * (h - 0.5 * (cols - 1)), spacing * (v - 0.5 * (rows - 1)), 0.0)
            turns = (distance - math.dist(p, q)) / wavelength
            a.append(complex(math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)))
    return np.array(a) / math.sqrt(len(a))


# ---------------------------------------------------------------- order choice
def _log_ratio(lam):
    """log(arithmetic / geometric mean) of the N - k smallest, k = 0 .. N - 1."""
    m = torch.arange(1, lam.shape[-1] + 1, dtype=torch.float64)
    tail = lam.flip(-1)
    ratio = (tail.cumsum(-1) / m).log() - tail.log().cumsum(-1) / m
    return (m * ratio).flip(-1)


def mdl_cumulative(eigenvalues, samples):
    lam = torch.as_tensor(eigenvalues, dtype=torch.float64)
    n = lam.shape[-1]
    k = torch.arange(n, dtype=torch.float64)
    return (int(samples) * _log_ratio(lam) + 0.5 * k * (2 * n - k) * math.log(samples)).argmin(-1)


def mdl_loop(ev, T):
    (n,), T = np.shape(ev), int(T)
    ev = np.asarray(ev, dtype=float)
    best, order = np.inf, 0
    for k in range(n):
        tail = ev[k:]
        ll = T * (n - k) * (np.mean(np.log(tail)) - np.log(np.mean(tail)))
        score = -ll + 0.5 * (k * (2 * n - k) + 1) * np.log(T)
        if score < best:
            best, order = score, k
    return order


def aic_cumulative(eigenvalues, samples):
    lam = torch.as_tensor(eigenvalues, dtype=torch.float64)
    n = lam.shape[-1]
    k = torch.arange(n, dtype=torch.float64)
    return (2 * int(samples) * _log_ratio(lam) + 2 * k * (2 * n - k)).argmin(-1)


def aic_numpy(lams, n_snapshots):
    lams = np.asarray(lams, dtype=float)
    p, = lams.shape
    T = int(n_snapshots)
    crit = [-2 * T * (np.log(lams[k:]).sum() - (p - k) * np.log(lams[k:].mean())) + 2 * k * (2 * p - k)
            for k in range(p)]
    return int(np.argmin(crit))


# --------------------------------------------------------------- gradient norm
def grad_norm_parameters(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is None or not bool(torch.isfinite(p.grad).all()):
            continue
        g = p.grad.detach()
        g = torch.view_as_real(g) if g.is_complex() else g
        total += g.double().pow(2).sum().item()
    return math.sqrt(total)


def grad_norm_hypot(gradients):
    """Of a list of gradients."""
    norms = [float(torch.linalg.vector_norm(g.detach().to(torch.complex128)))
             for g in gradients if g is not None and torch.isfinite(g).all()]
    return math.hypot(*norms)


def grad_norm_stack(params):
    pieces = [p.grad.to(torch.complex128).abs().flatten() for p in params
              if p.grad is not None and torch.isfinite(p.grad).all()]
    return torch.cat(pieces).norm() if pieces else torch.zeros((), dtype=torch.float64)


# ------------------------------------------------------------------ epoch mean
def epoch_mean_fsum(losses, accumulation):
    values = [float(v) for v in losses]
    return math.fsum(values) / len(values)


class _Meter:
    def __init__(self):
        self.sum, self.count = 0.0, 0

    def update(self, value, n=1):
        self.sum += float(value) * n
        self.count += n


def epoch_mean_meter(losses, accumulation=1):
    """Steps are groups of `accumulation` batches; the last may be shorter."""
    meter, losses = _Meter(), list(losses)
    for start in range(0, len(losses), int(accumulation)):
        group = [float(v) for v in losses[start:start + int(accumulation)]]
        meter.update(sum(group) / len(group), n=len(group))
    return meter.sum / meter.count


def epoch_mean_running(losses, accumulation):
    mean = 0.0
    for i, loss in enumerate(losses, start=1):
        mean += (float(loss) - mean) / i
    return mean
