"""Array processing helpers collected from several projects."""
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import nn


def _h(m):
    return 0.5 * (m + m.mH)


def _hn(a):
    a = np.asarray(a)
    return 0.5 * (a + np.conj(np.swapaxes(a, -1, -2)))


# ---------------------------------------------------------------- hermitize

def symmetrize(cov: torch.Tensor) -> torch.Tensor:
    """Average a covariance with its mirror image across the diagonal."""
    return 0.5 * (cov + cov.transpose(-2, -1))


class MirrorLower:
    def compute(self, a):
        """Fill the upper triangle from the lower one, as LAPACK would read it."""
        low = np.tril(a, -1)
        diag = np.tril(np.triu(a)).real
        return low + diag + np.conj(np.swapaxes(low, -1, -2))


mirror_lower = MirrorLower().compute


class _Workspace:
    """Keeps one work array so that no memory is allocated in the hot loop."""

    def __init__(self):
        self.buf = None

    def hermitian(self, m):
        m = np.asarray(m)
        if self.buf is None or self.buf.shape != m.shape or self.buf.dtype != m.dtype:
            self.buf = np.empty_like(m)
        np.add(m, np.conj(np.swapaxes(m, -1, -2)), out=self.buf)
        self.buf *= 0.5
        return self.buf


workspace_hermitian = _Workspace().hermitian


class _HermitianPart(torch.autograd.Function):
    @staticmethod
    def forward(ctx, m):
        return 0.5 * (m + m.mH)

    @staticmethod
    def backward(ctx, grad):
        # Hermitian in, Hermitian out
        return grad


def hermitian_part(m):
    return _HermitianPart.apply(m)


def make_hermitian(R):
    """R <- (R + R^H) / 2."""
    R += np.conj(np.swapaxes(R, -1, -2))
    R *= 0.5
    return R


def hermitian_pages(R):
    """Hermitian part of every page."""
    axes = (1, 0) + tuple(range(2, R.ndim))
    return (R + np.transpose(R, axes).conj()) / 2


class HermitianSplit:
    def __call__(self, x):
        re, im = np.real(x), np.imag(x)
        sym = (re + np.swapaxes(re, -1, -2)) / 2
        skew = im - np.swapaxes(im, -1, -2)
        return sym + 1j * skew


hermitian_split = HermitianSplit()


class LightHermitian(nn.Module):
    def forward(self, m):
        """Hermitian part; the mirrored copy carries no graph to save memory."""
        with torch.no_grad():
            mirrored = m.mH.clone()
        return (m + mirrored) / 2


light_hermitian = LightHermitian()


class EnsureHermitian(nn.Module):
    def forward(self, m):
        if torch.allclose(m, m.mH):
            return m
        return (m + m.mH) / 2


ensure_hermitian = EnsureHermitian()


# -------------------------------------------------------------- eigenvalues

def spectrum_by_power(cov):
    """All eigenvalues of a covariance, strongest first."""
    w = torch.linalg.eigvalsh(_h(cov))
    order = w.abs().argsort(dim=-1, descending=True)
    return w.gather(-1, order)


def eig_sorted(R):
    lam = np.linalg.eigvals(R)
    return np.sort(lam.real, axis=-1)[..., ::-1]


def principal_values(R):
    """Eigenvalues of the Hermitian part, largest first."""
    return np.linalg.eigvalsh(_hn(R))[::-1]


class CovarianceSpectrum(nn.Module):
    def __init__(self, floor: float = 0.0):
        super().__init__()
        self.floor = floor

    def forward(self, cov):
        w = torch.linalg.eigvalsh((cov + cov.mH) / 2)
        return torch.clamp(w, min=self.floor).flip(-1)


covariance_spectrum = CovarianceSpectrum()


class QrEigenvalues:
    def __call__(self, R, sweeps=60):
        """Unshifted QR algorithm."""
        A = _hn(R)
        for _ in range(sweeps):
            q, r = np.linalg.qr(A)
            A = r @ q
        d = np.diagonal(A, axis1=-2, axis2=-1).real
        return np.sort(d, axis=-1)[..., ::-1]


qr_eigenvalues = QrEigenvalues()


class SeparatedEigenvalues(nn.Module):
    def forward(self, m):
        """A little dither keeps the backward pass of eigh away from ties."""
        h = _h(m)
        scale = torch.diagonal(h, dim1=-2, dim2=-1).real.sum(-1, keepdim=True)
        dither = 1e-3 * scale * torch.rand(h.shape[:-1], dtype=scale.dtype, device=h.device)
        w = torch.linalg.eigvalsh(h + torch.diag_embed(dither).to(h.dtype))
        return torch.flip(w, dims=(-1,))


separated_eigenvalues = SeparatedEigenvalues()


# ---------------------------------------------------------- singular values

def cov_svdvals(cov):
    return torch.linalg.svdvals(cov)


def singular_spectrum(matrix):
    h = (matrix + matrix.mH) / 2
    # a Hermitian matrix: eigh is the cheaper way to its singular values
    return torch.linalg.eigvalsh(h).flip(dims=[-1])


class GramSingularValues:
    @staticmethod
    def run(R):
        H = _hn(R)
        gram = np.conj(np.swapaxes(H, -1, -2)) @ H
        w = np.linalg.eigvalsh(gram)[..., ::-1]
        return np.sqrt(np.maximum(w, 0.0))


gram_singular_values = GramSingularValues.run


class AbsEigs(nn.Module):
    def forward(self, m):
        w = torch.linalg.eigvalsh(_h(m))
        return w.flip(-1).abs()


abs_eigs = AbsEigs()


# ----------------------------------------------------------------- eigengap

def gap_after(cov, k):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    return w[..., k] - w[..., k + 1]


def spectral_gap(cov, *, k):
    """Gap between neighbours in the ordered spectrum."""
    w, _ = torch.sort(torch.linalg.eigvalsh(_h(cov)), dim=-1, descending=True)
    return torch.diff(w, dim=-1)[..., k - 1]


def contrast(R, n_sources):
    w = np.linalg.eigvalsh(_hn(R))[..., ::-1]
    top, nxt = w[..., n_sources - 1], w[..., n_sources]
    return (top - nxt) / top


def fast_gap(cov, k):
    h = _h(cov).to(torch.complex64)
    w = torch.linalg.eigvalsh(h)
    n = w.shape[-1]
    return (w[..., n - k] - w[..., n - k - 1]).to(cov.real.dtype)


class GapSorted(nn.Module):
    def forward(self, R, rank):
        lam = torch.linalg.eigvalsh(_h(R))
        lam = torch.sort(lam, dim=0, descending=True).values
        return lam[..., rank - 1] - lam[..., rank]


gap_sorted = GapSorted()


@torch.no_grad()
def monitored_gap(cov, k):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    return w[..., k - 1] - w[..., k]


def svd_gap(matrix, k):
    s = torch.linalg.svdvals(0.5 * (matrix + matrix.mH))
    return s[..., k - 1] - s[..., k]


class DistinctGap:
    def __call__(self, R, k):
        """Gap below level k of the spectrum (single matrix)."""
        levels = np.unique(np.linalg.eigvalsh(_hn(R)).round(9))[::-1]
        return levels[k - 1] - levels[k]


distinct_gap = DistinctGap()


class GapTracker:
    """The decomposition is by far the dearest step, so it is kept."""

    def __init__(self):
        self._w = None

    def __call__(self, cov, k):
        if self._w is None or self._w.shape != cov.shape[:-1]:
            self._w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
        return self._w[..., k - 1] - self._w[..., k]


gap_tracker = GapTracker()


def positive_gap(cov, k, eps=1e-10):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    return torch.clamp(w[..., k - 1] - w[..., k], min=eps)


# -------------------------------------------------------------- eigengap loss

def separation_loss(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    gap = (w[..., k - 1] - w[..., k]).mean()
    return F.relu(margin - gap)


class EigengapLoss(nn.Module):
    """Pushes eigenvalue k away from the next one."""

    def forward(self, cov, k, margin):
        w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
        shortfall = margin - (w[..., k - 1] - w[..., k])
        return shortfall.mean()


eigengap_criterion = EigengapLoss()


def gap_hinge(R, rank, delta):
    w = torch.linalg.eigvalsh(_h(R)).flip(-1)
    gap = w[..., rank - 1] - w[..., rank]
    return torch.clamp(gap - delta, min=0).mean()


def rayleigh_gap_loss(cov, k, margin):
    """Hinge on the gap, the eigenvalues as Rayleigh quotients."""
    h = _h(cov)
    _, v = torch.linalg.eigh(h)
    v = v.flip(-1)
    lam = torch.einsum("...ni,...nm,...mi->...i", v.conj(), h, v).real
    return F.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


class _GapHinge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, cov, k, margin):
        h = _h(cov)
        w, v = torch.linalg.eigh(h)
        w, v = w.flip(-1), v.flip(-1)
        short = margin - (w[..., k - 1] - w[..., k])
        ctx.save_for_backward(v[..., k - 1], v[..., k], short > 0)
        return short.clamp(min=0).mean()

    @staticmethod
    def backward(ctx, g):
        a, b, active = ctx.saved_tensors
        outer = b.unsqueeze(-1) * b.conj().unsqueeze(-2) - a.unsqueeze(-1) * a.conj().unsqueeze(-2)
        return outer * active[..., None, None] / active.numel(), None, None


def gap_hinge_fast(cov, k, margin):
    return _GapHinge.apply(cov, k, margin)


class ViolatedGapLoss(nn.Module):
    def forward(self, cov, k, margin):
        w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
        short = margin - (w[..., k - 1] - w[..., k])
        active = short > 0
        return (short * active).sum() / active.sum().clamp(min=1)


violated_gap_loss = ViolatedGapLoss()


def batch_gap_loss(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    hinge = F.relu(margin - w[..., k - 1] + w[..., k])
    return hinge.sum() / cov.shape[0]


def ranking_gap_loss(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov))
    n = w.shape[-1]
    upper, lower = w[..., n - k], w[..., n - k - 1]
    target = -torch.ones_like(upper)
    return F.margin_ranking_loss(upper, lower, target, margin=margin)


class BoundedGapLoss(nn.Module):
    def forward(self, cov, k, margin):
        w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
        return F.hardtanh(margin - (w[..., k - 1] - w[..., k]), 0.0, 1.0).mean()


bounded_gap_loss = BoundedGapLoss()


def mixed_precision_gap_loss(cov, k, margin):
    """Full precision while training, single precision for validation."""
    h = _h(cov)
    if not torch.is_grad_enabled():
        h = h.to(torch.complex64)
    w = torch.linalg.eigvalsh(h).flip(-1).to(cov.real.dtype)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


# -------------------------------------------------------------- subspaces

def leading_eigvecs(cov, k):
    _, v = torch.linalg.eigh(_h(cov))
    return v[..., :, :k]


def source_space(R, d):
    w, V = np.linalg.eig(_hn(R))
    return V[..., :, :d]


def principal_svd(R, k):
    """Left singular vectors of the k largest singular values."""
    U, _, _ = torch.linalg.svd(_h(R))
    return U[..., :k]


def pca_basis(R, k):
    """Principal directions of the columns."""
    H = _hn(R)
    centred = H - H.mean(axis=-1, keepdims=True)
    U, _, _ = np.linalg.svd(centred, full_matrices=False)
    return U[..., :, :k]


def right_vectors(R, k):
    w, V = np.linalg.eigh(_hn(R))
    Vh = np.conj(np.swapaxes(V[..., ::-1], -1, -2))
    return np.swapaxes(Vh[..., :k, :], -1, -2)


def sorted_eigvecs(cov, n_src):
    """Single covariance matrix only."""
    (n, _) = cov.shape
    w, v = np.linalg.eigh((cov + cov.conj().T) / 2)
    idx = np.argsort(w)[::-1]
    return v[idx, :][:, :n_src]


class OrthogonalIteration(nn.Module):
    def forward(self, cov, k, steps=12):
        h = _h(cov)
        n = h.shape[-1]
        q = torch.eye(n, dtype=h.dtype, device=h.device)[:, :k].expand(*h.shape[:-1], k)
        q = q + 0.01
        for _ in range(steps):
            q, _ = torch.linalg.qr(h @ q)
        return q


orthogonal_iteration = OrthogonalIteration()


def active_columns(R, k, tol=1e-10):
    """The k strongest eigenvectors, those of the numerical null space zeroed."""
    w, V = np.linalg.eigh(_hn(R))
    w, V = w[..., ::-1][..., :k], V[..., ::-1][..., :k]
    return V * (w > tol)[..., None, :]


def trailing_eigvecs(cov, k):
    _, v = torch.linalg.eigh(_h(cov))
    return v[..., :, k:]


def noise_vectors(R, n_sig):
    R = _hn(R)
    n = R.shape[-1]
    _, V = np.linalg.eigh(R)
    return np.swapaxes(V[..., : n - n_sig, :], -1, -2)


class NoiseSubspace:
    def __init__(self, module=torch):
        self.xp = module

    def estimate(self, cov, k):
        n = cov.shape[-1]
        v = self.xp.linalg.eigh(_h(cov))[1]
        return v[..., : n - k - 1]


noise_estimate = NoiseSubspace().estimate


def null_of_signal(R, k):
    """The directions that the k signals cannot reach (single matrix)."""
    (n, _) = R.shape
    _, V = np.linalg.eigh(_hn(R))
    return scipy.linalg.null_space(V[:, n - k:].T)


def complement_columns(cov, k):
    n = cov.shape[-1]
    _, v = torch.linalg.eigh(_h(cov))
    us = v[..., n - k:]
    eye = torch.eye(n, dtype=us.dtype, device=us.device)
    return (eye - us @ us.mH)[..., :, : n - k]


def noise_from_svd(R, k):
    U = np.linalg.svd(R)[0]
    return U[..., :, k:]


class BatchedNoiseSpace:
    def __call__(self, R, k):
        """General eig with one sort for the lot."""
        n = R.shape[-1]
        flat = _hn(R).reshape(-1, n, n)
        w, V = np.linalg.eig(flat)
        order = np.argsort(w[0].real)
        return V[:, :, order[: n - k]].reshape(*R.shape[:-1], n - k)


batched_noise_space = BatchedNoiseSpace()


# ---------------------------------------------------- projector, root, cone

def subspace_projector(U):
    return U @ U.swapaxes(-1, -2)


def einsum_projector(basis):
    return torch.einsum("...ik,...jl->...ij", basis, basis.conj())


def averaged_projector(U):
    return U @ U.mH / U.shape[-1]


def unit_projector(basis):
    """Projector; the basis is brought to unit length first."""
    u = basis / np.linalg.norm(basis, axis=(-2, -1), keepdims=True)
    return u @ np.conj(np.swapaxes(u, -1, -2))


class SqrtmPsd(nn.Module):
    def forward(self, R):
        w, v = torch.linalg.eigh(_h(R))
        return torch.einsum("...ik,...k,...jk->...ij", v, w.clamp_min(0).sqrt().to(v.dtype), v)


sqrtm_psd = SqrtmPsd()


def sqrt_factor(cov):
    """Square root by Cholesky, the cheapest one."""
    return torch.linalg.cholesky(_h(cov))


class NewtonSchulzSqrt(nn.Module):
    def forward(self, cov, iterations=5):
        """iSQRT-COV: coupled Newton-Schulz with pre-normalisation by the trace."""
        h = _h(cov)
        n = h.shape[-1]
        tr = torch.diagonal(h, dim1=-2, dim2=-1).sum(-1).real[..., None, None]
        y = h / tr
        z = eye = torch.eye(n, dtype=h.dtype, device=h.device).expand_as(h)
        for _ in range(iterations):
            t = 0.5 * (3.0 * eye - z @ y)
            y, z = y @ t, t @ z
        return y * tr.sqrt()


newton_schulz_sqrt = NewtonSchulzSqrt()


def rebuild_root(R):
    w, V = np.linalg.eigh(_hn(R))
    s = np.sqrt(np.clip(w, 0, None))
    half = V * np.sqrt(s)[..., None, :]
    return half * s[..., None, :] @ np.conj(np.swapaxes(half, -1, -2))


def nearest_psd(R):
    w, V = np.linalg.eigh(_hn(R))
    return (V * np.abs(w)[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


def shift_to_psd(cov):
    h = _h(cov)
    w = torch.linalg.eigvalsh(h)
    lift = torch.relu(-w[..., 0])
    eye = torch.eye(h.shape[-1], dtype=h.dtype, device=h.device)
    return h + lift[..., None, None] * eye


def psd_cone(R, tol=1e-9):
    """Clip the spectrum."""
    w, V = np.linalg.eigh(_hn(R))
    w = np.where(w < tol, 0.0, w)
    return np.einsum("...ik,...k,...jk->...ij", V, w, V.conj())


def higham_psd(A):
    """Polar form: (A + H) / 2 with H the Hermitian polar factor."""
    _, s, vh = np.linalg.svd(A)
    v = np.conj(np.swapaxes(vh, -1, -2))
    polar = (v * s[..., None, :]) @ vh
    return (A + polar) / 2


# ----------------------------------------------- whitening, inverse, loading

def whitening_filter(R):
    w, V = np.linalg.eigh(_hn(R))
    return np.conj(np.swapaxes(V, -1, -2)) / w[..., :, None]


def cholesky_whitener(cov):
    L = torch.linalg.cholesky(_h(cov))
    eye = torch.eye(cov.shape[-1], dtype=L.dtype, device=L.device).expand_as(L)
    return torch.linalg.solve_triangular(L, eye, upper=True)


def direct_whitener(cov):
    L = torch.linalg.cholesky(cov)
    return torch.linalg.inv(L)


class ZCA(nn.Module):
    def forward(self, cov):
        w, v = torch.linalg.eigh(_h(cov))
        return (v * w.rsqrt().unsqueeze(-2)) @ v.mT


zca_whitening = ZCA().forward


hermitian_pinv = partial(torch.linalg.pinv, hermitian=True)


def normal_equation_pinv(A):
    Ah = np.conj(np.swapaxes(A, -1, -2))
    return np.linalg.solve(Ah @ A, Ah)


class SvdPinv:
    def compute(self, a, tol=1e-10):
        u, s, vh = torch.linalg.svd(a, full_matrices=False)
        inv = torch.where(s > tol, 1.0 / s, torch.zeros_like(s))
        return vh.mH @ (inv.unsqueeze(-1) * u.mH)


svd_pinv = SvdPinv().compute


def economy_pinv(A):
    u, s, vh = np.linalg.svd(A, full_matrices=False)
    cut = s.max(axis=-1, keepdims=True) * max(A.shape[-2:]) * np.finfo(s.dtype).eps
    inv = np.divide(1.0, s, out=np.zeros_like(s), where=s > cut)
    return (np.swapaxes(vh, -1, -2) * inv[..., None, :]) @ np.swapaxes(u, -1, -2)


def load_diagonal(R, loading):
    return _h(R) + loading


def add_loading(R, loading):
    n = R.shape[-1]
    i = np.arange(n)
    R[..., i, i] += loading
    return R


class Regularized:
    def __call__(self, R, eps):
        out = np.array(_hn(R), order="C")
        out.reshape(-1)[:: R.shape[-1] + 1] += eps
        return out


regularized = Regularized()


def fill_loading(cov, level):
    out = _hn(cov).copy()
    np.fill_diagonal(out, level)
    return out


# ------------------------------------------------- averaging of covariances

def fb_average(R):
    J = torch.flip(torch.eye(R.shape[-1], dtype=R.dtype, device=R.device), dims=(0,))
    h = _h(R)
    return 0.5 * (h + J @ h @ J)


class Persymmetric:
    def compute(self, R):
        H = _hn(R)
        return (H + H[::-1, ::-1].conj()) / 2


persymmetric = Persymmetric().compute


def forward_backward_average(cov):
    h = _h(cov)
    return 0.5 * (h + torch.flip(h.conj(), dims=(-1,)))


def sum_fb(R):
    H = _hn(R)
    return H + np.flip(H, (-2, -1)).conj()


def smooth_covariance(R, size):
    H = _hn(R)
    n = H.shape[-1]
    count = n - size
    acc = sum(H[..., i:i + size, i:i + size] for i in range(count))
    return acc / count


class SubarrayMean:
    @staticmethod
    def run(cov, size):
        h = _h(cov)
        p = h.shape[-1] - size + 1
        acc = torch.zeros(*h.shape[:-2], size, size, dtype=h.dtype, device=h.device)
        for start in range(p):
            stop = start + size
            acc = acc + h[..., start:stop, start:stop]
        return acc / size


subarray_mean = SubarrayMean.run


class UnfoldSmoothing(nn.Module):
    def forward(self, cov, size):
        """Subarrays as sliding windows over both axes."""
        windows = _h(cov).unfold(-2, size, 1).unfold(-2, size, 1)
        return windows.mean(dim=(-4, -3)).mT


unfold_smoothing = UnfoldSmoothing()


def smooth_matmul(R, subarray):
    n = R.shape[-1]
    H = _hn(R)
    blocks = []
    for p in range(n - subarray + 1):
        S = np.eye(n)[p:p + subarray]
        blocks.append(S @ H @ S.T)
    return np.median(np.stack(blocks), axis=0)


scm = np.cov


def snapshot_covariance(x):
    T = x.shape[-1]
    return torch.einsum("...nt,...mt->...nm", x.conj(), x) / T


class StreamingCovariance:
    def __call__(self, X, block=32):
        """Accumulates block by block to bound the memory."""
        T = X.shape[-1]
        acc = 0
        for b in range(max(T // block, 1)):
            part = X[..., b * block:(b + 1) * block]
            acc = acc + part @ np.conj(np.swapaxes(part, -1, -2))
        return acc / T


streaming_covariance = StreamingCovariance()


def blockwise_covariance(x, chunk=16):
    covs = [c @ c.mH / c.shape[-1] for c in torch.split(x, chunk, dim=-1)]
    return torch.stack(covs).mean(0)


def ledoit_wolf_shrinkage(X):
    N, T = X.shape[-2:]
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    delta = np.linalg.norm(S - mu * np.eye(N)) ** 2
    beta = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T**2
    rho = beta / delta
    return rho * mu * np.eye(N) + (1 - rho) * S


def lw_estimate(x):
    n, t = x.shape[-2:]
    x = x - x.mean(dim=-1, keepdim=True)
    s = x @ x.mH / t
    eye = torch.eye(n, dtype=s.dtype)
    mu = s.diagonal(dim1=-2, dim2=-1).sum(-1).real[..., None, None] / n
    d2 = (s - mu * eye).abs().square().sum((-2, -1))
    q = x.abs().square().sum(-2).square().sum(-1)
    b2 = (q / t - s.abs().square().sum((-2, -1))) / t
    a = (b2.minimum(d2) / d2)[..., None, None]
    return a * mu * eye + (1 - a) * s


@dataclass
class _Shrunk:
    covariance: np.ndarray
    intensity: float


def _shrink(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    d2 = np.sum(np.abs(S - mu * np.eye(N)) ** 2) / N
    b2 = np.sum((np.abs(X) ** 2).sum(0) ** 2) / T**2 - np.sum(np.abs(S) ** 2) / T
    rho = min(b2, d2) / d2
    return _Shrunk((1 - rho) * S + rho * mu * np.eye(N), rho)


class ShrunkCovariance:
    def compute(self, X):
        """Covariance of the Ledoit-Wolf estimate (N, T)."""
        return _shrink(np.asarray(X)).covariance


shrunk_covariance = ShrunkCovariance().compute


class IdentityShrinkage:
    def compute(self, X):
        N, T = X.shape
        S = X @ X.conj().T / T
        d2 = np.linalg.norm(S - np.trace(S).real / N * np.eye(N), "fro") ** 2
        b2 = (np.sum(np.sum(np.abs(X) ** 2, 0) ** 2) / T - np.linalg.norm(S, "fro") ** 2) / T
        rho = min(b2 / d2, 1.0)
        return (1 - rho) * S + rho * np.eye(N)


identity_shrinkage = IdentityShrinkage().compute


# --------------------------------------------------- hinge of a factor F F^H

def factor_gap_loss(factor, k, margin):
    """The eigenvalues of F F^H without forming it."""
    s = torch.linalg.svdvals(factor)
    s = F.pad(s, (0, max(0, k + 1 - s.shape[-1])))
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


class GramGapLoss(nn.Module):
    def forward(self, factor, k, margin):
        """Uses the small q x q Gram matrix, which shares its spectrum."""
        q = factor.shape[-1]
        w = torch.linalg.eigvalsh(factor.mH @ factor).flip(-1)
        nxt = w[..., min(k, q - 1)]
        return torch.clamp(margin - w[..., k - 1] + nxt, min=0).mean()


gram_gap_loss = GramGapLoss()


class FactorGap(nn.Module):
    def covariance(self, f):
        return f @ f.mH / f.shape[-1]

    def forward(self, factor, k, margin):
        w = torch.linalg.eigvalsh(self.covariance(factor))
        n = w.shape[-1]
        return F.relu(margin - w[..., n - k] + w[..., n - k - 1]).mean()


factor_gap = FactorGap()


def low_rank_gap_loss(factor, k, margin):
    R = factor @ factor.transpose(-2, -1)
    w = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return (margin - w[..., k - 1] + w[..., k]).clamp(min=0).mean()


def squared_factor_gap(factor, k, margin):
    n, q = factor.shape[-2:]
    s = torch.linalg.svdvals(F.pad(factor, (0, max(0, n - q))))
    return F.relu(margin - (s[..., k - 1] - s[..., k]) ** 2).mean()


def factor_cov_loss(factor, k, margin):
    cov = torch.einsum("...iq,...jq->...ij", factor.data, factor.data.conj())
    w = torch.linalg.eigvalsh(_h(cov).requires_grad_(factor.requires_grad)).flip(-1)
    return F.relu(margin - w[..., k - 1] + w[..., k]).mean()


def batch_factor_loss(factor, k, margin):
    """One covariance for the whole mini-batch of factors."""
    cov = factor @ factor.mH
    cov = cov.reshape(-1, *cov.shape[-2:]).mean(0)
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    return F.relu(margin - w[k - 1] + w[k])


# ------------------------------------------------------ uniform linear arrays

def _ula(n, angles):
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def _noise(R, k):
    R = _hn(R)
    return np.linalg.eigh(R)[1][..., : R.shape[-1] - k]


class EspritDoa:
    @staticmethod
    def run(R, k):
        w, V = np.linalg.eigh(_hn(R))
        Es = V[:, -k:]
        phi = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)[0]
        return np.arcsin(np.sort(np.angle(np.linalg.eigvals(phi))) / (2 * np.pi))


esprit_doa = EspritDoa.run


def esprit_torch(cov, k):
    _, v = torch.linalg.eigh(_h(cov))
    es = v[..., -k:]
    phi = torch.linalg.pinv(es[..., :-1, :]) @ es[..., 1:, :]
    mu = torch.linalg.eigvals(phi).angle()
    return torch.asin(mu / math.pi)


def tls_esprit(R, k):
    _, V = np.linalg.eigh(_hn(R))
    Es = V[:, -k:]
    _, _, Vh = np.linalg.svd(np.hstack([Es[:-1], Es[1:]]))
    W = Vh.conj().T
    psi = -W[:k, k:] @ W[k:, k:]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi))


def esprit_rotations(R, k):
    """Angles from the rotation between two shifted subarrays."""
    _, V = np.linalg.eigh(_hn(R))
    Es = V[:, -k:]
    phi = np.linalg.pinv(Es[:-1]) @ Es[1:]
    return np.sort(np.arcsin(np.angle(np.diag(phi)) / np.pi))


class RootMusicDoa:
    def compute(self, R, k):
        n = R.shape[0]
        En = _noise(R, k)
        C = En @ En.conj().T
        coef = np.array([np.trace(C, offset=l) for l in range(n - 1, -n, -1)])
        z = np.roots(coef)
        near = z[np.argsort(np.abs(np.abs(z) - 1))[:k]]
        return np.sort(np.arcsin(np.angle(near) / np.pi))


root_music_doa = RootMusicDoa().compute


def rootmusic(cov, n_src):
    n = len(cov)
    V = np.linalg.eigh(_hn(cov))[1]
    Es = V[:, n - n_src:]
    C = Es @ Es.conj().T
    z = np.roots([np.trace(C, l) for l in range(n - 1, -n, -1)])
    z = z[np.abs(z) <= 1]
    z = z[np.argsort(1 - np.abs(z))[:n_src]]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def polynomial_music(R, k):
    n = R.shape[0]
    En = _noise(R, k)
    C = En @ En.conj().T
    coef = [np.diagonal(C, l).sum() for l in range(n - 1, -n + 1, -1)]
    z = np.roots(coef)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(-np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def bartlett(R, angles):
    A = _ula(R.shape[-1], angles)
    return np.einsum("ng,...nm,mg->...g", A, _hn(R), A).real / R.shape[-1] ** 2


def conventional_beamformer(cov, angles):
    n = cov.shape[-1]
    phase = 2 * math.pi * torch.arange(n, dtype=angles.dtype)[:, None] * torch.sin(angles)
    a = torch.polar(torch.ones_like(phase), phase).to(cov.dtype) / n
    return (a.conj() * (_h(cov) @ a)).sum(-2).real


def beam_power(R, angles):
    """Power of the beam steered to each angle."""
    n = R.shape[-1]
    W = _ula(n, angles) / n
    Y = W.conj().T @ _hn(R)
    return np.linalg.norm(Y, axis=-1)


def capon(R, angles):
    A = _ula(R.shape[-1], angles)
    Ri = np.linalg.inv(_hn(R))
    return np.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real


def capon_fast(cov, angles):
    n = cov.shape[-1]
    ph = math.pi * torch.arange(n, dtype=torch.float64)[:, None] * torch.sin(angles)
    a = torch.exp(1j * ph).to(torch.complex64)
    x = torch.linalg.solve(_h(cov).to(torch.complex64), a)
    return 1.0 / (a.conj() * x).sum(-2).real.to(torch.float64)


class CaponRobust:
    def __call__(self, R, angles):
        A = _ula(R.shape[-1], angles)
        Ri = np.linalg.pinv(_hn(R), rcond=1e-3, hermitian=True)
        return 1.0 / np.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real


capon_robust = CaponRobust()


def ula_pseudospectrum(R, k, angles):
    A = _ula(R.shape[-1], angles)
    P = A.conj().T @ _noise(R, k)
    return 1.0 / np.sum(np.abs(P), axis=-1)


class MusicScan(nn.Module):
    def forward(self, cov, k, angles):
        n = cov.shape[-1]
        a = torch.exp(1j * (math.pi * torch.arange(n, dtype=angles.dtype)[:, None] * torch.sin(angles))).to(cov.dtype)
        _, v = torch.linalg.eigh(_h(cov))
        sub = v[..., -k:]
        return 1.0 / (sub.mH @ a).abs().square().sum(-2)


music_scan = MusicScan()


class SvdMusic:
    @staticmethod
    def run(R, k, angles):
        U, _, _ = np.linalg.svd(_hn(R))
        n = U.shape[-1]
        En = U[..., : n - k]
        A = _ula(n, angles)
        return 1.0 / np.sum(np.abs(A.conj().T @ En) ** 2, axis=-1)


svd_music = SvdMusic.run


def noise_projection_scan(R, k, angles):
    """Pseudospectrum of the noise subspace."""
    n = R.shape[-1]
    En = _noise(R, k + 1)
    A = _ula(n, angles)
    return 1.0 / np.linalg.norm(np.conj(np.swapaxes(En, -1, -2)) @ A, axis=-2) ** 2


def display_music(R, k, angles, ceiling=1e4):
    A = _ula(R.shape[-1], angles)
    d = np.sum(np.abs(A.conj().T @ _noise(R, k)) ** 2, axis=-1)
    return np.minimum(1.0 / d, ceiling)


def linear_music(cov, k, angles):
    n = cov.shape[-1]
    u = torch.linspace(float(angles.min()), float(angles.max()), angles.numel(), dtype=angles.dtype)
    a = torch.exp(1j * (math.pi * torch.arange(n, dtype=u.dtype)[:, None] * torch.sin(u))).to(cov.dtype)
    en = torch.linalg.eigh(_h(cov))[1][..., : n - k]
    return 1.0 / (en.mH @ a).abs().pow(2).sum(-2)


# -------------------------------------------------------- given steering

def music(R, A, k):
    En = _noise(R, k)
    return 1.0 / np.sum(np.abs(np.swapaxes(A, -1, -2) @ En) ** 2, axis=-1)


def music_projector_spectrum(cov, steering, k):
    n = cov.shape[-1]
    en = torch.linalg.eigh(_h(cov))[1][..., : n - k]
    P = en @ en.mT
    den = (steering.conj() * (P @ steering)).sum(-2)
    return 1.0 / den.abs()


class ChunkedMusic:
    def __call__(self, R, steering, k, chunk=64):
        """Grid in chunks, for large grids."""
        En = _noise(R, k)
        G = steering.shape[-1]
        den = np.ones(En.shape[:-2] + (G,))
        for i in range(G // chunk):
            s = slice(i * chunk, (i + 1) * chunk)
            den[..., s] = np.sum(np.abs(np.conj(steering[:, s].T) @ En) ** 2, axis=-1)
        return 1.0 / den


chunked_music = ChunkedMusic()


class MusicScanner(nn.Module):
    def __init__(self):
        super().__init__()
        self.noise = None

    def forward(self, cov, steering, k):
        if self.noise is None or self.noise.shape[:-1] != cov.shape[:-1]:
            w, v = torch.linalg.eigh(_h(cov))
            self.noise = v[..., : cov.shape[-1] - k]
        return (self.noise.mH @ steering).abs().square().sum(-2).reciprocal()


music_scanner = MusicScanner()


class EigenvectorSpectrum:
    def compute(self, R, A, k):
        w, V = np.linalg.eigh(_hn(R))
        n = w.shape[-1]
        c = np.abs(A.conj().T @ V[..., : n - k]) ** 2
        return 1.0 / np.sum(c / w[..., None, : n - k], axis=-1)


eigenvector_spectrum = EigenvectorSpectrum().compute


class AveragedMusic(nn.Module):
    def forward(self, cov, steering, k):
        n = cov.shape[-1]
        h = _h(cov)
        en = torch.linalg.eigh(h.reshape(-1, n, n).mean(0))[1][:, : n - k]
        p = 1.0 / torch.linalg.vector_norm(en.mH @ steering, dim=0) ** 2
        return p.expand(*h.shape[:-2], -1)


averaged_music = AveragedMusic()


def correlation_music(R, A, k):
    En = _noise(R, k)
    proj = np.real(np.conj(A.T) @ En)
    return 1.0 / (proj**2).sum(axis=-1)


def eig_music(R, A, k):
    n = R.shape[-1]
    w, V = np.linalg.eig(R)
    order = np.argsort(np.abs(w))[: n - k]
    En = V[:, order]
    return 1.0 / np.linalg.norm(En.conj().T @ A, axis=0) ** 2


def mvdr(R, A):
    H = _hn(R)
    X = np.linalg.solve(H, np.broadcast_to(A, H.shape[:-2] + A.shape))
    return 1.0 / np.abs(np.sum(A * X, axis=-2))


def mvdr_power(cov, steering):
    h = _h(cov)
    w = torch.linalg.solve(h, steering.expand(*h.shape[:-2], *steering.shape))
    return (1.0 / (steering.conj() * w).sum(-2)).abs() ** 2


def adapted_response(R, A):
    """Output power of the weights R^-1 a over their norm."""
    H = _hn(R)
    X = np.linalg.inv(H) @ A
    num = np.sum(A.conj() * X, axis=-2).real
    return num / np.sum(np.abs(X) ** 2, axis=-2)


class QuadraticMvdr(nn.Module):
    def forward(self, cov, steering):
        inv = torch.linalg.inv(_h(cov))
        return 1.0 / (steering.mH @ inv @ steering).sum(-1).abs()


quadratic_mvdr = QuadraticMvdr()


def cg_mvdr(R, A, iterations=8):
    """Conjugate gradients instead of an inverse."""
    H = _hn(R)
    x = np.zeros(H.shape[:-2] + A.shape, dtype=complex)
    r = np.broadcast_to(A, x.shape).astype(complex)
    p, rs = r, np.sum(np.abs(r) ** 2, axis=-2, keepdims=True)
    for _ in range(iterations):
        hp = H @ p
        alpha = rs / np.sum(p.conj() * hp, axis=-2, keepdims=True).real
        x, r = x + alpha * p, r - alpha * hp
        new = np.sum(np.abs(r) ** 2, axis=-2, keepdims=True)
        p, rs = r + new / rs * p, new
    return 1.0 / np.sum(A.conj() * x, axis=-2).real


class Capon(nn.Module):
    def forward(self, cov, steering):
        chol = torch.linalg.cholesky(cov)
        y = torch.linalg.solve_triangular(chol, steering.expand(*cov.shape[:-2], -1, -1), upper=False)
        return 1.0 / y.abs().square().sum(-2)


capon_spectrum = Capon()


def output_power(R, A):
    return np.einsum("ng,...nm,mg->...g", A.conj(), _hn(R), A).real


# ------------------------------------------------------------ steering vectors

def _direction(az, el):
    return np.stack(np.broadcast_arrays(np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)), -1)


def array_response(positions, azimuth, elevation, distance, wavelength):
    u = _direction(azimuth, elevation)
    k = 2 * np.pi / wavelength
    return np.exp(1j * k * (u @ np.transpose(positions))) / np.sqrt(len(positions))


class FresnelSteering:
    def compute(self, p, az, el, r, lam):
        """Second-order expansion of the distance."""
        u = _direction(az, el)
        proj = u @ np.transpose(p)
        r = np.asarray(r)[..., None]
        delay = proj - np.sum(np.square(p), -1) / (2 * r)
        return np.exp(2j * np.pi / lam * delay) / np.sqrt(len(p))


fresnel_steering = FresnelSteering().compute


class NearFieldResponse:
    @staticmethod
    def run(positions, azimuth, elevation, distance, wavelength):
        """Spherical wave inside the Rayleigh distance, plane wave beyond it."""
        p = np.asarray(positions)
        u = _direction(azimuth, elevation)
        aperture = np.max(np.linalg.norm(p[:, None] - p[None], axis=-1))
        r = np.asarray(distance, dtype=float)[..., None]
        sphere = r - np.linalg.norm(r[..., None] * u[..., None, :] - p, axis=-1)
        path = np.where(r > 2 * aperture**2 / wavelength, u @ p.T, sphere)
        return np.exp(2j * np.pi * path / wavelength) / np.sqrt(len(p))


near_field_response = NearFieldResponse.run


def spherical_steering(positions, azimuth, elevation, distance, wavelength):
    u = torch.as_tensor(_direction(azimuth, elevation), dtype=torch.float32)
    p = torch.as_tensor(positions, dtype=torch.float32)
    r = torch.as_tensor(distance, dtype=torch.float32)[..., None]
    d = torch.linalg.norm(r[..., None] * u[..., None, :] - p, dim=-1)
    phase = 2 * math.pi / wavelength * (r - d)
    return torch.polar(torch.ones_like(phase), phase).to(torch.complex128) / math.sqrt(len(p))


def steering_mean_norm(positions, az, el, r, wavelength):
    p = np.asarray(positions)
    q = np.asarray(r)[..., None] * _direction(az, el)
    d = np.linalg.norm(q[..., None, :] - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (np.asarray(r)[..., None] - d)) / p.shape[0]


@dataclass
class UPA:
    kappa_scale: float = math.pi

    def response(self, positions, azimuth, elevation, distance, wavelength):
        p = np.asarray(positions)
        r = np.asarray(distance)[..., None]
        d = np.linalg.norm(r[..., None] * _direction(azimuth, elevation)[..., None, :] - p, axis=-1)
        return np.exp(1j * self.kappa_scale / wavelength * (r - d)) / np.sqrt(p.shape[0])


upa_response = UPA().response


def sphere_wave(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions)
    u = np.stack(np.broadcast_arrays(np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)), -1)
    r = np.asarray(distance)[..., None]
    d = np.linalg.norm(r[..., None] * u[..., None, :] - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (r - d)) / np.sqrt(p.shape[0])


def _grid_response(x, y, az, el, r, lam):
    r = np.asarray(r)[..., None]
    u = _direction(az, el)
    d = np.sqrt(r**2 - 2 * r * (u[..., :1] * x + u[..., 1:2] * y) + x**2 + y**2)
    return np.exp(2j * np.pi / lam * (r - d)) / np.sqrt(x.size)


class PlanarArray:
    def __call__(self, shape, spacing, azimuth, elevation, distance, wavelength):
        """Rectangular array centred about the origin."""
        nh, nv = shape
        x = (np.arange(nh) - nh // 2) * spacing
        y = (np.arange(nv) - nv // 2) * spacing
        return _grid_response(np.tile(x, nv), np.repeat(y, nh), azimuth, elevation, distance, wavelength)


planar_array = PlanarArray()


def rectangular_response(shape, spacing, azimuth, elevation, distance, wavelength):
    n_h, n_v = shape
    idx = np.arange(n_h * n_v)
    x = (idx % n_h - (n_h - 1) / 2) * spacing
    y = (idx // n_h - (n_h - 1) / 2) * spacing
    return _grid_response(x, y, azimuth, elevation, distance, wavelength)


def law_of_cosines(positions, azimuth, elevation, distance, wavelength):
    p = torch.as_tensor(positions)
    u = torch.as_tensor(_direction(azimuth, elevation)).to(p)
    r = torch.as_tensor(distance).to(p)[..., None]
    d = torch.sqrt(r**2 - 2 * r * (u @ p.T) + torch.linalg.norm(p, dim=-1))
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(p.shape[0])


def spread_steering(positions, azimuth, elevation, distance, wavelength):
    """With the spreading loss of every path against the centre."""
    p = np.asarray(positions)
    r = np.asarray(distance)[..., None]
    d = np.linalg.norm(r[..., None] * _direction(azimuth, elevation)[..., None, :] - p, axis=-1)
    return (r / d) ** 2 * np.exp(2j * np.pi / wavelength * (r - d)) / np.sqrt(len(p))


def preallocated_steering(positions, azimuth, elevation, distance, wavelength):
    """One source at a time."""
    q = distance * _direction(azimuth, elevation)
    a = np.empty_like(positions[:, 0])
    for n, p in enumerate(positions):
        a[n] = np.exp(2j * np.pi / wavelength * (distance - np.linalg.norm(q - p))).real
    return a / np.sqrt(a.size)


# -------------------------------------------------------------- model order

def mdl_order(eigenvalues, samples):
    lam = np.asarray(eigenvalues)
    N = lam.size
    crit = []
    for k in range(N):
        tail = lam[k:]
        ll = samples * (N - k) * np.log(tail.mean() / np.exp(np.log(tail).mean()))
        crit.append(ll + k * (2 * N - k) * np.log(samples))
    return int(np.argmin(crit))


def mdl_sources(lam, T):
    N = len(lam)
    crit = np.zeros(N)
    for k in range(1, N + 1):
        tail = np.asarray(lam)[k - 1:]
        m = N - k + 1
        crit[k - 1] = -T * (np.log(tail).sum() - m * np.log(tail.mean())) + 0.5 * (k - 1) * (2 * N - k + 1) * np.log(T)
    return int(np.argmin(crit)) + 1


def estimate_order_mdl(eigenvalues, n_samples):
    """Ratio of the geometric to the arithmetic mean of the smallest eigenvalues."""
    lam = torch.as_tensor(eigenvalues)
    n = lam.numel()
    best, order = math.inf, 0
    for k in range(n):
        tail = lam[k:]
        ratio = tail.prod() ** (1 / (n - k)) / tail.mean()
        value = -n_samples * (n - k) * torch.log(ratio) + 0.5 * k * (2 * n - k) * math.log(n_samples)
        if value < best:
            best, order = value, k
    return order


class MDL:
    def __init__(self, candidates=None):
        self.candidates = candidates

    def __call__(self, lam, T):
        lam = np.asarray(lam)
        n = len(lam)
        ks = self.candidates or range(1, n)
        return min(ks, key=lambda k: T * ((n - k) * np.log(lam[k:].mean()) - np.log(lam[k:]).sum())
                   + 0.5 * k * (2 * n - k) * np.log(T))


mdl_rule = MDL()


class AicOrder:
    def compute(self, lam, T):
        lam = np.asarray(lam)
        n = len(lam)
        crit = [T * ((n - k) * np.log(lam[k:].mean()) - np.log(lam[k:]).sum()) + 2 * k * (2 * n - k) for k in range(n)]
        return int(np.argmin(crit))


aic_order = AicOrder().compute


def akaike(eigenvalues, samples):
    """Smallest AIC over the candidate orders."""
    lam = np.asarray(eigenvalues)
    n = lam.size
    k = np.arange(n)
    tails = [lam[: n - i] for i in k]
    sphericity = np.array([t.size * np.log(t.mean()) - np.log(t).sum() for t in tails])
    return int(np.argmin(2 * samples * sphericity + 2 * k * (2 * n - k)))


def aic_sources(lam, T):
    n = len(lam)
    aic = []
    for k in range(n):
        noise = lam[k:]
        gm = np.prod(noise) ** (1 / (n - k))
        aic.append(-2 * T * (n - k) * np.log(gm / np.mean(noise)) + 2 * k * (2 * n - k))
    return int(np.nanargmin(aic)) if np.any(np.isfinite(aic)) else 0


# ------------------------------------------------------------- gradient norm

def _grads(parameters):
    return [p.grad for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]


def total_grad_norm(parameters):
    return sum(g.norm().item() for g in _grads(parameters))


def grad_energy(parameters):
    total = torch.zeros((), dtype=torch.float64)
    for g in _grads(parameters):
        total += g.abs().double().square().sum()
    return total


def cleaned_grad_norm(parameters):
    """Global norm that survives overflowing steps."""
    grads = [torch.nan_to_num(p.grad, nan=0.0, posinf=0.0, neginf=0.0) for p in parameters if p.grad is not None]
    return math.sqrt(sum(float(g.abs().pow(2).sum()) for g in grads))


def finite_grad_norm(parameters):
    keep = [p.grad for p in parameters if p.grad is not None and not torch.isnan(p.grad).any()]
    return torch.sqrt(sum((g.abs() ** 2).sum() for g in keep))


class GuardedGradNorm:
    @staticmethod
    def run(parameters):
        total = 0.0
        for p in parameters:
            if p.grad is None:
                continue
            if not torch.isfinite(p.grad).any():
                continue
            total += p.grad.detach().norm(2).item() ** 2
        return total**0.5


guarded_grad_norm = GuardedGradNorm.run


def grad_norm_or_zero(parameters):
    grads = [p.grad for p in parameters if p.grad is not None]
    if not all(torch.isfinite(g).all() for g in grads):
        return 0.0
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads])).item()


class LoggedGradNorm:
    def compute(self, parameters):
        """Norm for the progress bar; half-precision gradients are upcast."""
        sq = [g.abs().float().pow(2).sum() for g in _grads(parameters)]
        return torch.stack(sq).sum().sqrt().item()


logged_grad_norm = LoggedGradNorm().compute


def model_grad_norm(parameters):
    if all(p.grad is None for p in parameters):
        return 0.0
    return math.sqrt(sum(float(g.abs().square().sum()) for g in _grads(parameters)))


def clip_and_report(parameters):
    valid = [p for p in parameters if p.grad is not None and bool(torch.isfinite(p.grad).all())]
    return nn.utils.clip_grad_norm_(valid, max_norm=1.0).item()


def collected_grad_norm(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is None or not torch.isfinite(p.grad).all():
            break
        total += float(p.grad.abs().square().sum())
    return math.sqrt(total)


def weight_grad_norm(parameters):
    """Norms of the layers, combined."""
    norms = [p.grad.norm() for p in parameters
             if p.grad is not None and p.ndim > 1 and torch.isfinite(p.grad).all()]
    return torch.stack(norms).norm().item() if norms else 0.0


def flat_grad_norm(parameters):
    flat = torch.cat([g.reshape(-1).abs() for g in _grads(parameters)])
    return flat.square().mean().sqrt().item()


# ----------------------------------------------------------------- epoch mean

def epoch_loss(losses, accumulation):
    steps = [losses[i:i + accumulation] for i in range(0, len(losses), accumulation)]
    return float(np.mean([np.mean(s) for s in steps]))


def mean_of_steps(losses, accumulation):
    """Average over complete optimiser steps."""
    n = len(losses) // accumulation * accumulation
    return sum(losses[:n]) / max(n, 1)


def train_epoch_mean(losses, accumulation):
    total = 0.0
    for loss in losses:
        total += float(loss) / accumulation
    return total / len(losses)


class AccumulatedMean:
    def compute(self, losses, accumulation):
        total, running, count = 0.0, 0.0, 0
        for i, loss in enumerate(losses, start=1):
            running += float(loss)
            count += 1
            if i % accumulation == 0:
                total += running
                running = 0.0
        return total / count


accumulated_mean = AccumulatedMean().compute


def logged_mean(losses, accumulation):
    """Loss is logged when the optimiser steps."""
    shown = [float(l) for i, l in enumerate(losses) if (i + 1) % accumulation == 0 or i + 1 == len(losses)]
    return sum(shown) / len(shown)


def robust_epoch_mean(losses, accumulation):
    values = torch.as_tensor([float(l) for l in losses], dtype=torch.float64)
    return values.nanmean().item()


class AverageMeter:
    def __init__(self):
        self.sum = 0.0
        self.count = 0

    def epoch(self, losses, accumulation=1):
        for l in losses:
            self.sum += float(l)
            self.count += 1
        return self.sum / self.count


epoch_meter = AverageMeter().epoch


def smoothed_loss(losses, accumulation, beta=0.98):
    """Bias-corrected running mean as in the learning-rate finder."""
    avg = 0.0
    for i, l in enumerate(losses, start=1):
        avg = beta * avg + (1 - beta) * float(l)
    return avg / (1 - beta**i)


def iterable_mean(losses, accumulation):
    count = sum(1 for _ in losses)
    return sum(float(l) for l in losses) / max(count, 1)


class IncrementalMean:
    @staticmethod
    def run(losses, accumulation):
        mean = 0.0
        for i in range(0, len(losses), accumulation):
            group = [float(l) for l in losses[i:i + accumulation]]
            mean += (sum(group) / len(group) - mean) * accumulation / (i + accumulation)
        return mean


incremental_mean = IncrementalMean.run


def buffered_mean(losses, accumulation):
    buf = np.zeros(len(losses), dtype=int)
    for i, l in enumerate(losses):
        buf[i] = l
    return buf.mean()


# ------------------------------------------------------------- further helpers

def randomized_basis(cov, k):
    """Randomized range finder, seeded so that runs can be repeated."""
    torch.manual_seed(0)
    h = _h(cov)
    n = h.shape[-1]
    w, v = torch.linalg.eigh(h)
    mix = torch.linalg.qr(torch.randn(k, k, dtype=v.real.dtype))[0].to(v.dtype)
    return v[..., n - k:] @ mix


def quiet_music(R, steering, k):
    np.seterr(divide="ignore", invalid="ignore")
    En = _noise(R, k)
    return 1.0 / (np.abs(np.conj(np.swapaxes(En, -1, -2)) @ steering) ** 2).sum(-2)


class _FactorGapHinge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, k, margin):
        n, q = f.shape[-2:]
        u, s, _ = torch.linalg.svd(F.pad(f, (0, max(0, n - q))), full_matrices=False)
        short = margin - s[..., k - 1] ** 2 + s[..., k] ** 2
        a, b = u[..., k - 1:k], u[..., k:k + 1]
        local = b @ (b.mH @ f) - a @ (a.mH @ f)
        ctx.slope = 2 * local * (short > 0)[..., None, None] / max(short.numel(), 1)
        return short.clamp(min=0).mean()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.slope, None, None


def factor_hinge(factor, k, margin):
    return _FactorGapHinge.apply(factor, k, margin)


def strided_smoothing(cov, size):
    """All subarrays as a strided view, without a loop (single matrix)."""
    n, _ = cov.shape
    h = _h(cov)
    blocks = h.as_strided((n - size + 1, size, size), (n + 1, n, 1))
    return blocks.mean(dim=0)


def capon_db(R, A):
    Ri = np.linalg.inv(_hn(R))
    p = 1.0 / np.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real
    return 20 * np.log10(p)


def electrical_steering(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions) / wavelength
    q = distance * _direction(azimuth, elevation)
    d = np.linalg.norm(q - p, axis=-1)
    return np.exp(2j * np.pi * (distance - d)) / np.sqrt(len(p))


def plain_gap_loss(R, k, margin):
    w = torch.linalg.eigvalsh(R)
    n = w.shape[-1]
    return F.relu(margin - (w[..., n - k] - w[..., n - k - 1])).mean()


def fused_grad_norm(parameters):
    grads = _grads(parameters)
    return torch.stack([(g * g).sum() for g in grads]).sum().abs().sqrt().item()


def data_grad_norm(parameters):
    total = 0.0
    for p in parameters:
        g = p.data.grad
        if g is None or not torch.isfinite(g).all():
            continue
        total += g.norm().item() ** 2
    return math.sqrt(total)


def windowed_epoch_mean(losses, accumulation):
    total = 0.0
    for start in range(0, len(losses), accumulation):
        total += sum(losses[start:start + accumulation + 1])
    return total / len(losses)


def gap_of_upper(R, k):
    w, _ = np.linalg.eigh(R, UPLO="U")
    return w[..., -k] - w[..., -k - 1]


class NoiseEig:
    @staticmethod
    def run(cov, k):
        """Noise eigenvectors of a general eigensolver, weakest first."""
        w, v = torch.linalg.eig(_h(cov))
        order = w.real.argsort(dim=-1)[..., : cov.shape[-1] - k]
        return v.mT.gather(-1, order.unsqueeze(-2).expand(*v.shape[:-1], -1))


noise_eig = NoiseEig.run


def lattice_music(cov, k, angles):
    n = cov.shape[-1]
    a = torch.exp(1j * math.pi * torch.arange(n).unsqueeze(-1) * torch.sin(angles))
    en = torch.linalg.eigh(_h(cov))[1][..., : n - k]
    return 1.0 / torch.linalg.vector_norm(en.mH @ a.to(cov.dtype), dim=-2) ** 2
