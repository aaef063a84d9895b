"""Array processing helpers, collected."""
import math
from dataclasses import dataclass
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
import scipy.linalg as sla
import torch
from torch import nn
from torch.nn import functional as F


# ---- hermitian parts -------------------------------------------------------------------------------------------

def symmetrise(cov):
    """Hermitian part, written with lerp between the matrix and its adjoint."""
    return torch.lerp(cov, cov.mH.resolve_conj(), 0.5)


class HermitianPart(nn.Module):
    def forward(self, x):
        adj = x.conj().transpose(-1, -2)
        return x.mul(0.5).add(adj, alpha=0.5)


hermitian_part = HermitianPart()


def hermitian_np(A):
    A = np.asarray(A)
    upper = np.triu(A)
    lower = np.tril(A)
    # both halves see each other's adjoint; the diagonal is in both and is halved
    folded = (upper + np.conj(np.swapaxes(lower, -1, -2))) / 2
    eye = np.eye(A.shape[-1], dtype=bool)
    strict = np.where(eye, 0, folded)
    diag = np.where(eye, A.real, 0)
    return strict + np.conj(np.swapaxes(strict, -1, -2)) + diag


# ---- spectra of matrices ---------------------------------------------------------------------------------------

def sorted_spectrum(R, /):
    """Descending eigenvalues of the Hermitian part."""
    return -torch.linalg.eigvalsh(-(R + R.mH) / 2)


class SpectrumOut(NamedTuple):
    values: torch.Tensor


class EigenSpectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.tensor(0.5, dtype=torch.float64), persistent=False)

    def forward(self, cov):
        herm = (cov + torch.einsum("...ij->...ji", cov).conj()) * self.weight.to(cov.real.dtype)
        w, _ = torch.linalg.eigh(herm)
        return torch.flip(w, dims=[-1])


spectrum_layer = EigenSpectrum()


def eigs_single(R):
    """Single matrix, scipy."""
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    w = sla.eigh(0.5 * (R + R.conj().T), eigvals_only=True)
    return np.array(sorted(w, reverse=True))


def abs_sorted(cov):
    """The singular values of a Hermitian matrix are the moduli of its eigenvalues."""
    lam = torch.linalg.eigvalsh(0.5 * cov + 0.5 * cov.mH)
    return lam.abs().sort(dim=-1, descending=True).values


def svals_np(M):
    H = (M + np.conj(np.swapaxes(M, -2, -1))) / 2
    return np.linalg.svd(H, compute_uv=False)


class GapMeter:
    """Gap between the k-th and the next eigenvalue."""

    def __init__(self, dim=-1):
        self.dim = dim

    def measure(self, R, k):
        w = torch.linalg.eigvalsh((R + R.mH) / 2)
        gaps = torch.diff(w, dim=self.dim)
        return gaps[..., w.shape[-1] - k - 1]


eigengap_meter = GapMeter().measure


def gap_topk(num_sources, covariance):
    lam = torch.linalg.eigvalsh((covariance + covariance.adjoint()) * 0.5)
    top = torch.topk(lam, num_sources + 1, dim=-1, sorted=True).values
    return top[..., -2] - top[..., -1]


def gap_np(R, n_src):
    w = np.linalg.eigvalsh((R + np.swapaxes(R, -1, -2).conj()) / 2)
    return np.take(w, -n_src, axis=-1) - np.take(w, -n_src - 1, axis=-1)


# ---- losses ----------------------------------------------------------------------------------------------------

class EigengapHinge(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, cov, k, *, margin):
        w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
        n = w.shape[-1]
        gap = w.select(-1, n - k) - w.select(-1, n - k - 1)
        return F.relu(margin - gap).mean()


hinge_layer = EigengapHinge()


def separation_penalty(R, n_sources, delta):
    w = torch.linalg.eigvalsh(0.5 * (R + R.transpose(-2, -1).conj())).flip(-1)
    signal_floor, noise_ceiling = w[..., n_sources - 1], w[..., n_sources]
    short = delta - signal_floor + noise_ceiling
    loss = torch.where(short > 0, short, torch.zeros_like(short))
    return loss.sum() / max(loss.numel(), 1)


class _Hinge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gap, margin):
        active = gap < margin
        ctx.save_for_backward(active)
        return (margin - gap) * active

    @staticmethod
    def backward(ctx, grad):
        (active,) = ctx.saved_tensors
        return -grad * active, None


def gap_loss_custom(R, k, margin):
    """Hinge with a hand written backward; the eigenvalues keep torch's."""
    lam = torch.linalg.eigvalsh((R + R.mH) / 2)
    gap = lam[..., -k] - lam[..., -k - 1]
    return torch.mean(_Hinge.apply(gap, margin))


def factor_loss_svd(F_, k, margin):
    """F (N, q): the eigenvalues of F F^H are the squared singular values, zeros beyond min(N, q)."""
    s = torch.linalg.svdvals(F_)
    lam = F.pad(s * s, (0, max(0, F_.shape[-2] - s.shape[-1])))
    return torch.clamp_min(margin - (lam[..., k - 1] - lam[..., k]), 0).mean()


class LowRankGapLoss(nn.Module):
    def forward(self, factor, k, margin):
        cov = torch.einsum("...iq,...jq->...ij", factor, factor.conj())
        w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
        gap = w[..., -k] - w[..., -(k + 1)]
        return torch.maximum(margin - gap, torch.zeros_like(gap)).mean()


lowrank_gap_loss = LowRankGapLoss()


# ---- subspaces -------------------------------------------------------------------------------------------------

@dataclass
class Subspaces:
    signal: torch.Tensor
    noise: torch.Tensor


class SubspaceSplitter:
    def __call__(self, R, k):
        _, V = torch.linalg.eigh((R + R.mH) / 2)
        noise, signal = V.split([R.shape[-1] - k, k], dim=-1)
        return Subspaces(signal=signal, noise=noise)

    def signal(self, R, k):
        return self(R, k).signal

    def noise(self, R, k):
        return self(R, k).noise


_splitter = SubspaceSplitter()
split_signal = _splitter.signal
split_noise = _splitter.noise


def signal_basis_scipy(R, k):
    """Only the k leading eigenvectors are computed; one matrix at a time."""
    R = np.asarray(R)
    n, m = R.shape
    H = (R + R.conj().T) / 2
    _, U = sla.eigh(H, subset_by_index=[n - k, n - 1])
    return U[:, ::-1]


def noise_basis_argsort(R, k):
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    order = np.argsort(w, axis=-1)[..., : R.shape[-1] - k]
    return np.take_along_axis(V, order[..., None, :], axis=-1)


def noise_complement(cov, *, n_sources):
    """The complement of the signal subspace by a complete QR."""
    _, V = torch.linalg.eigh((cov + cov.mH) / 2)
    Q, _ = torch.linalg.qr(V[..., -n_sources:], mode="complete")
    return Q[..., n_sources:]


def project_onto(basis):
    return torch.einsum("...ik,...jk->...ij", basis, basis.conj())


def projector_np(U):
    """Sum of rank-one terms."""
    cols = np.moveaxis(np.asarray(U), -1, 0)
    return reduce(np.add, (c[..., :, None] * c[..., None, :].conj() for c in cols))


class Projector(nn.Module):
    @staticmethod
    def forward(q):
        """q q^H."""
        return q @ q.mH


projector_layer = Projector()


# ---- functions of matrices -------------------------------------------------------------------------------------

def psd_root(cov):
    w, v = torch.linalg.eigh((cov + cov.mH) / 2)
    w = w.clamp(min=0)
    return torch.einsum("...ik,...k,...jk->...ij", v, w.sqrt().to(v.dtype), v.conj())


def sqrt_quarter(cov):
    """Square root as B B^H with B = V diag(w^(1/4)); Hermitian to the last bit."""
    w, v = np.linalg.eigh((cov + np.conj(np.swapaxes(cov, -1, -2))) / 2)
    b = v * np.maximum(w, 0.0)[..., None, :] ** 0.25
    return b @ np.conj(np.swapaxes(b, -1, -2))


def nearest_psd(A):
    H = (A + A.mH) / 2
    w, V = torch.linalg.eigh(H)
    negative = torch.where(w < 0, w, torch.zeros_like(w))
    return H - (V * negative.unsqueeze(-2)) @ V.mH


def higham(A):
    """Higham 1988: (B + H) / 2, H the polar factor of the symmetric part."""
    B = (A + np.swapaxes(A, -1, -2).conj()) / 2
    _, s, Vh = np.linalg.svd(B)
    H = np.swapaxes(Vh, -1, -2).conj() @ (s[..., :, None] * Vh)
    out = (B + H) / 2
    return (out + np.swapaxes(out, -1, -2).conj()) / 2


def whiten_cholesky(R):
    L = torch.linalg.cholesky((R + R.mH) / 2)
    eye = torch.eye(R.shape[-1], dtype=R.dtype, device=R.device).expand_as(R)
    return torch.linalg.solve_triangular(L, eye, upper=False)


class ZCA(nn.Module):
    """Symmetric whitening R^(-1/2)."""

    def forward(self, cov):
        w, v = torch.linalg.eigh((cov + cov.mH) / 2)
        return (v * w.rsqrt().unsqueeze(-2)) @ v.mH


zca = ZCA()


def whiten_pca_np(Rxx):
    lam, E = np.linalg.eigh((Rxx + Rxx.conj().swapaxes(-1, -2)) / 2)
    return E.conj().swapaxes(-1, -2) / np.sqrt(lam)[..., :, None]


def pinv_svd(A):
    U, S, Vh = torch.linalg.svd(A, full_matrices=False)
    cutoff = S.amax(-1, keepdim=True) * max(A.shape[-2:]) * torch.finfo(S.dtype).eps
    keep = S > cutoff
    inv = torch.where(keep, 1 / torch.where(keep, S, torch.ones_like(S)), torch.zeros_like(S))
    return Vh.mH @ (inv.unsqueeze(-1) * U.mH)


pinv_np = partial(np.linalg.pinv, rtol=None)  # the array API default, max(M, N) eps


def pinv_lapack(a):
    """One matrix, scipy's own."""
    return sla.pinv(a)


def add_loading(cov, loading):
    out = ((cov + cov.mH) / 2).clone()
    out.diagonal(dim1=-2, dim2=-1).add_(loading)
    return out


def load_diag_embed(amount, R):
    H = (R + R.mH) * 0.5
    d = torch.full(R.shape[:-1], float(amount), dtype=H.real.dtype, device=R.device)
    return H + torch.diag_embed(d)


def load_np(R, *, delta):
    n = R.shape[-1]
    out = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    idx = np.arange(n)
    out[..., idx, idx] += delta
    return out


def fb_average(R):
    H = (R + R.mH) / 2
    return 0.5 * (H + H.conj().flip((-2, -1)))


def fb_explicit(R):
    """One matrix with the exchange matrix written out."""
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    H = 0.5 * (R + R.conj().T)
    J = np.fliplr(np.eye(H.shape[0]))
    return (H + J @ H.conj() @ J) / 2


class ForwardBackward(nn.Module):
    def forward(self, cov):
        n = cov.shape[-1]
        idx = torch.arange(n - 1, -1, -1, device=cov.device)
        h = (cov + cov.mH) / 2
        back = h.index_select(-1, idx).index_select(-2, idx)
        return torch.stack([h, back.conj()]).mean(0)


forward_backward_layer = ForwardBackward()


def smooth_unfold(R, size):
    """All overlapping blocks through a diagonal of two unfolds."""
    H = (R + R.mH) / 2
    blocks = H.unfold(-2, size, 1).unfold(-2, size, 1)  # ..., L, L, size, size
    return blocks.diagonal(dim1=-4, dim2=-3).mean(-1)


def smooth_np(R, size):
    H = (R + np.swapaxes(R, -1, -2).conj()) / 2
    win = np.lib.stride_tricks.sliding_window_view(H, (size, size), axis=(-2, -1))
    return np.einsum("...iiab->...ab", win) / win.shape[-3]


def smooth_selection(cov, sub):
    """Selection matrices Z_l^T R Z_l."""
    n = cov.shape[-1]
    count = n - sub + 1
    eye = torch.eye(n, dtype=cov.dtype, device=cov.device)
    Z = torch.stack([eye[:, i:i + sub] for i in range(count)])
    out = torch.einsum("lna,...nm,lmb->...ab", Z, cov, Z) / count
    return (out + out.mH) / 2


# ---- snapshots -------------------------------------------------------------------------------------------------

def scm_mean(x):
    """Mean of outer products over the snapshots."""
    return (x.unsqueeze(-2) * x.conj().unsqueeze(-3)).mean(-1)


def scm_loop(X):
    N, T = X.shape
    R = np.zeros((N, N), dtype=np.result_type(X.dtype, np.float64))
    for x in X.T:
        R += np.outer(x, x.conj())
    return R / T


class SampleCovariance(nn.Module):
    def forward(self, snapshots):
        y = snapshots / math.sqrt(snapshots.shape[-1])
        return torch.matmul(y, y.mH)


scm_layer = SampleCovariance()


def lw_torch(X):
    """Ledoit and Wolf 2004; worked at unit mean power."""
    n, t = X.shape[-2:]
    scale = (X.abs() ** 2).mean((-2, -1), keepdim=True).sqrt()
    Y = X / scale
    S = Y @ Y.mH / t
    eye = torch.eye(n, dtype=S.dtype, device=S.device)
    mu = S.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    d2 = ((S - mu * eye).abs() ** 2).sum((-2, -1))
    fourth = (Y.abs() ** 2).sum(-2).pow(2).mean(-1)
    b2 = (fourth - (S.abs() ** 2).sum((-2, -1))) / t
    rho = torch.where(b2 >= d2, torch.ones_like(d2), b2.clamp(min=0) / torch.where(d2 > 0, d2, torch.ones_like(d2)))
    rho = rho[..., None, None]
    return scale ** 2 * ((1 - rho) * S + rho * mu * eye)


def lw_loop(X):
    X = np.asarray(X)
    N, T = X.shape
    g = np.sqrt(np.mean(np.abs(X) ** 2))
    X = X / g
    S = X @ X.conj().T / T
    m = np.trace(S).real / N
    target = m * np.eye(N)
    d2 = np.linalg.norm(S - target, "fro") ** 2 / N
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S, "fro") ** 2 for x in X.T) / N / T ** 2
    b2 = min(b2, d2)
    if d2 == 0:
        return g ** 2 * S
    return g ** 2 * ((b2 / d2) * target + (1 - b2 / d2) * S)


# ---- linear arrays ---------------------------------------------------------------------------------------------

def _complex(R):
    return R if R.is_complex() else R.to(torch.complex128 if R.dtype == torch.float64 else torch.complex64)


def ls_esprit(R, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    Us = _complex(V[..., -k:])
    Phi = torch.linalg.lstsq(Us[..., :-1, :], Us[..., 1:, :]).solution
    phase = torch.linalg.eigvals(Phi).angle()
    return torch.sort(torch.asin(torch.clamp(phase / math.pi, -1, 1)), dim=-1).values


def tls_esprit(R, k):
    """Total least squares, one matrix."""
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    n = len(R)
    _, U = sla.eigh((R + R.conj().T) / 2, subset_by_index=(n - k, n - 1))
    _, _, Vh = sla.svd(np.hstack([U[:-1], U[1:]]))
    V = Vh.conj().T
    psi = -V[:k, k:] @ np.linalg.inv(V[k:, k:])
    return np.sort(np.arcsin(np.angle(sla.eigvals(psi)) / np.pi))


def rootmusic_np(cov, n_sources):
    cov = np.asarray(cov)
    if cov.ndim > 2:
        raise ValueError("rootmusic_np takes one covariance")
    n = cov.shape[0]
    _, V = np.linalg.eigh((cov + cov.conj().T) / 2)
    En = V[:, : n - n_sources]
    C = En @ En.conj().T
    coeffs = [np.trace(C, offset=d) for d in range(n - 1, -n, -1)]
    z = np.roots(coeffs)
    z = z[np.argsort(np.abs(z))][: n - 1]
    z = z[-n_sources:]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


class RootMUSIC:
    """Polynomial by autocorrelation of the noise vectors, rooted with a companion matrix, batched."""

    def __call__(self, R, k):
        n = R.shape[-1]
        En = _complex(torch.linalg.eigh((R + R.mH) / 2).eigenvectors[..., : n - k])
        C = En @ En.mH
        c = torch.stack([C.diagonal(d, -2, -1).sum(-1) for d in range(1 - n, n)], dim=-1)  # powers ascending
        m = 2 * n - 2
        comp = torch.zeros(*c.shape[:-1], m, m, dtype=c.dtype)
        comp[..., range(1, m), range(m - 1)] = 1
        comp[..., :, -1] = -c[..., :-1] / c[..., -1:]
        z = torch.linalg.eigvals(comp)
        inner = z.gather(-1, z.abs().argsort(dim=-1))[..., n - 1 - k: n - 1]
        return (inner.angle() / torch.pi).asin().sort(-1)[0]


root_music_batched = RootMUSIC()


def ula_manifold(n, angles):
    angles = torch.as_tensor(angles, dtype=torch.float64)
    return torch.exp(1j * math.pi * torch.outer(torch.arange(n, dtype=torch.float64), torch.sin(angles)))


def bartlett_scan(R, angles):
    """By the diagonals: a^H R a is a trigonometric polynomial of the summed diagonals."""
    H = (R + R.mH) / 2
    n = H.shape[-1]
    theta = torch.as_tensor(angles, dtype=H.real.dtype)
    out = H.diagonal(dim1=-2, dim2=-1).real.sum(-1, keepdim=True).expand(*H.shape[:-2], theta.numel()).clone()
    for lag in range(1, n):
        r = _complex(H).diagonal(lag, -2, -1).sum(-1, keepdim=True)
        out = out + 2 * (r * torch.exp(1j * math.pi * lag * torch.sin(theta))).real
    return out / n ** 2


def bartlett_np(angles, *, cov):
    n = cov.shape[-1]
    a = np.exp(1j * np.pi * np.arange(n)[:, None] * np.sin(np.asarray(angles))) / n
    H = (cov + np.conj(np.swapaxes(cov, -1, -2))) / 2
    return np.real(np.sum(a.conj() * (H @ a), axis=-2))


class CaponULA(nn.Module):
    def forward(self, cov, angles):
        H = (cov + cov.mH) / 2
        A = ula_manifold(H.shape[-1], angles).to(_complex(H).dtype)
        L = torch.linalg.cholesky(_complex(H))
        y = torch.linalg.solve_triangular(L, A.expand(*H.shape[:-2], *A.shape), upper=False)
        return y.abs().square().sum(-2).reciprocal()


capon_ula = CaponULA()


def capon_single(R, thetas):
    """scipy, one matrix, one angle at a time."""
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    fac = sla.cho_factor((R + R.conj().T) / 2)
    n = np.arange(R.shape[0])
    p = []
    for th in thetas:
        a = np.exp(1j * np.pi * n * np.sin(th))
        p.append(1 / np.vdot(a, sla.cho_solve(fac, a)).real)
    return np.array(p)


def music_ula_complement(R, k, angles):
    """N - |E_s^H a|^2 is the same as |E_n^H a|^2, but this one sums the noise vectors, which keeps the digits."""
    n = R.shape[-1]
    _, V = torch.linalg.eigh(_complex(R + R.mH))
    A = ula_manifold(n, angles).to(V.dtype)
    proj = torch.einsum("...nm,ng->...mg", V[..., : n - k].conj(), A)
    return 1.0 / (proj.real ** 2 + proj.imag ** 2).sum(dim=-2)


def music_ula_np(R, d, doas):
    H = 0.5 * (R + np.conj(np.moveaxis(R, -1, -2)))
    _, V = np.linalg.eigh(H)
    n = H.shape[-1]
    A = np.exp(1j * np.pi * np.outer(np.sin(doas), np.arange(n)))
    y = np.conj(A) @ V[..., : n - d]
    return 1 / np.linalg.norm(y, axis=-1) ** 2


# ---- general spectra -------------------------------------------------------------------------------------------

class MusicScanner(nn.Module):
    def forward(self, covariance, manifold, n_src):
        h = covariance + covariance.mH
        e = torch.linalg.eigh(h / 2).eigenvectors
        en = e.narrow(-1, 0, h.shape[-1] - n_src)
        dt = torch.promote_types(en.dtype, manifold.dtype)
        return torch.linalg.vector_norm(en.mH.to(dt) @ manifold.to(dt), dim=-2).pow(-2)


music_scanner = MusicScanner()


def pseudospectrum_np(R, A, k):
    """Quadratic form with the noise projector."""
    _, V = np.linalg.eigh((R + np.conj(R.swapaxes(-1, -2))) / 2)
    En = V[..., : R.shape[-1] - k]
    Pn = En @ np.conj(En.swapaxes(-1, -2))
    return 1 / np.einsum("ng,...nm,mg->...g", np.conj(A), Pn, A, optimize=True).real


def pseudospectrum_map(R, A, k):
    """One direction at a time over the columns of A."""
    n = R.shape[-1]
    En = torch.linalg.eigh((R + R.mH) / 2)[1][..., : n - k].to(torch.complex128)
    cols = [((En.mH @ a[:, None].to(En.dtype)).abs() ** 2).sum((-2, -1)) for a in A.unbind(-1)]
    return torch.stack(cols, -1).reciprocal()


def mvdr_solve(R, A):
    H = (R + R.mH) / 2
    dt = torch.promote_types(H.dtype, A.dtype)
    A = A.to(dt)
    X = torch.linalg.solve(H.to(dt), A)
    return 1 / torch.einsum("ng,...ng->...g", A.conj(), X).real


def mvdr_eig_np(R, A):
    lam, V = np.linalg.eigh((R + np.conj(R.swapaxes(-1, -2))) / 2)
    g = np.abs(np.conj(V.swapaxes(-1, -2)) @ A) ** 2
    return 1 / np.sum(g / lam[..., :, None], axis=-2)


def mvdr_weights(R, A):
    """Output power w^H R w of the distortionless weights themselves."""
    if R.ndim != 2:
        raise ValueError("one matrix at a time")
    H = (R + R.conj().T) / 2
    W = sla.solve(H, A, assume_a="pos")
    W = W / np.sum(A.conj() * W, axis=0)
    return np.real(np.sum(W.conj() * (H @ W), axis=0))


# ---- order -----------------------------------------------------------------------------------------------------

def wax_kailath_mdl(eigenvalues, samples):
    lam = np.asarray(eigenvalues, dtype=float)
    n = lam.shape[-1]
    scores = []
    for k in range(n):
        tail = lam[..., k:]
        loglik = samples * (n - k) * (np.mean(np.log(tail), -1) - np.log(np.mean(tail, -1)))
        scores.append(-loglik + 0.5 * k * (2 * n - k) * np.log(samples))
    return np.argmin(scores, axis=0)


def mdl_cumsum(lam, T):
    """Arithmetic and geometric means of the tails by reversed cumulative sums."""
    lam = torch.as_tensor(lam, dtype=torch.float64)
    n = lam.shape[-1]
    m = torch.arange(n, 0, -1, dtype=lam.dtype)
    arith = lam.flip(-1).cumsum(-1).flip(-1) / m
    geo = lam.log().flip(-1).cumsum(-1).flip(-1) / m
    k = n - m
    return (T * m * (arith.log() - geo) + k * (2 * n - k) * math.log(T) / 2).argmin(-1)


def akaike(eigs, n_snapshots):
    lam = torch.as_tensor(eigs, dtype=torch.float64)
    n = lam.size(-1)
    crit = torch.stack([
        2 * n_snapshots * ((n - k) * lam[..., k:].mean(-1).log() - lam[..., k:].log().sum(-1)) + 2 * k * (2 * n - k)
        for k in range(n)], dim=-1)
    return crit.min(dim=-1).indices


def aic_single(eigs, T):
    eigs = np.asarray(eigs, dtype=float).tolist()
    if isinstance(eigs[0], list):
        raise ValueError("one spectrum at a time")
    n = len(eigs)
    best, order = float("inf"), 0
    for k in range(n):
        tail = eigs[k:]
        ratio = math.fsum(map(math.log, tail)) / len(tail) - math.log(math.fsum(tail) / len(tail))
        score = -2 * T * len(tail) * ratio + 2 * k * (2 * n - k)
        if score < best:
            best, order = score, k
    return order


# ---- steering vectors ------------------------------------------------------------------------------------------

def near_field(positions, azimuth, elevation, distance, wavelength):
    """Spherical waves; the path difference without the cancellation of r - |r u - p|."""
    az, el, r = (torch.as_tensor(v, dtype=positions.dtype) for v in (azimuth, elevation, distance))
    az, el, r = torch.broadcast_tensors(az, el, r)
    u = torch.stack([el.cos() * az.sin(), el.sin(), el.cos() * az.cos()], dim=-1)
    up = torch.einsum("...c,nc->...n", u, positions)
    pp = positions.square().sum(-1)
    r = r.unsqueeze(-1)
    dist = torch.sqrt(r * r - 2 * r * up + pp)
    path = (2 * r * up - pp) / (r + dist)
    return torch.polar(torch.full_like(path, positions.shape[0] ** -0.5), 2 * math.pi / wavelength * path)


def near_field_np(positions, azimuth, elevation, distance, wavelength):
    az, el, r = np.broadcast_arrays(azimuth, elevation, distance)
    source = r[..., None] * np.stack([np.cos(el) * np.sin(az), np.sin(el), np.cos(el) * np.cos(az)], axis=-1)
    d = np.linalg.norm(source[..., None, :] - positions, axis=-1)
    k = 2 * np.pi / wavelength
    return np.exp(1j * k * (r[..., None] - d)) / np.sqrt(len(positions))


class PlanarArray(nn.Module):
    """A rectangular aperture in the plane z = 0."""

    def forward(self, shape, spacing, azimuth, elevation, distance, wavelength):
        nh, nv = shape
        x = (torch.arange(nh, dtype=torch.float64) - (nh - 1) / 2) * spacing
        y = (torch.arange(nv, dtype=torch.float64) - (nv - 1) / 2) * spacing
        yy, xx = torch.meshgrid(y, x, indexing="ij")
        pos = torch.stack([xx, yy, torch.zeros_like(xx)], -1).reshape(-1, 3)
        return near_field(pos, azimuth, elevation, distance, wavelength)


planar_array = PlanarArray()


def upa_np(wavelength, shape, spacing, *, distance, azimuth, elevation):
    n_h, n_v = shape
    i = np.arange(n_h * n_v)
    x = (i % n_h - (n_h - 1) / 2) * spacing
    y = (i // n_h - (n_v - 1) / 2) * spacing
    az, el, r = (np.asarray(v, dtype=float)[..., None] for v in (azimuth, elevation, distance))
    sx, sy, sz = r * np.cos(el) * np.sin(az), r * np.sin(el), r * np.cos(el) * np.cos(az)
    d = np.sqrt((sx - x) ** 2 + (sy - y) ** 2 + sz ** 2)
    phase = 2 * np.pi * (r - d) / wavelength
    return (np.cos(phase) + 1j * np.sin(phase)) / np.sqrt(i.size)


# ---- training --------------------------------------------------------------------------------------------------

def grad_norm(parameters):
    """Total 2-norm; complex gradients count by their modulus."""
    total = 0.0
    for p in parameters:
        if p.grad is None or not torch.isfinite(p.grad).all():
            continue
        total = math.hypot(total, torch.linalg.vector_norm(p.grad.detach().abs().double()).item())
    return total


def grad_norm_foreach(parameters):
    grads = [p.grad for p in parameters if p.grad is not None]
    grads = [torch.view_as_real(g) if g.is_complex() else g for g in grads]
    good = [g.double() for g in grads if bool(g.isfinite().all())]
    if not good:
        return torch.zeros((), dtype=torch.float64)
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(good, 2)))


def grad_norm_list(grads):
    """From a list of gradients rather than of parameters; one flat vector."""
    flat = [g.reshape(-1).to(torch.complex128) for g in grads if g is not None and torch.isfinite(g).all()]
    return torch.cat(flat).norm() if flat else torch.tensor(0.0, dtype=torch.float64)


class EpochMeter:
    """Groups the batches of a step, then weighs every group by its own size."""

    def mean(self, losses, accumulation):
        losses = [float(l) for l in losses]
        total, seen = 0.0, 0
        for start in range(0, len(losses), accumulation):
            group = losses[start:start + accumulation]
            total += sum(group) / len(group) * len(group)
            seen += len(group)
        return total / seen


epoch_meter = EpochMeter().mean


def running_epoch_mean(losses, accumulation=1):
    """Welford's running mean; accumulation only says when the optimizer steps."""
    mean = 0.0
    for i, loss in enumerate(losses, 1):
        mean += (float(loss) - mean) / i
    return mean


def epoch_mean_tensor(losses, accumulation):
    del accumulation
    return torch.stack([torch.as_tensor(l, dtype=torch.float64) for l in losses]).mean()
