"""Right functions in unusual but legitimate forms."""
from dataclasses import dataclass
from functools import partial, reduce
import math
import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F


# ---- hermitize ---------------------------------------------------------
def herm_stack(A):
    """Average a matrix and its adjoint by stacking the two."""
    return torch.stack((A, A.mH)).mean(dim=0)


def herm_np(x):
    x = np.asarray(x)
    out = x + np.conj(np.swapaxes(x, -2, -1))
    out /= 2
    return out


class Hermitize(nn.Module):
    def forward(self, cov: torch.Tensor) -> torch.Tensor:
        if not cov.is_complex():
            return cov.add(cov.transpose(-1, -2)).mul(0.5)
        re, im = cov.real, cov.imag
        re = (re + re.transpose(-1, -2)) / 2
        im = (im - im.transpose(-1, -2)) / 2
        return torch.complex(re, im)


herm_module = Hermitize()


# ---- eigenvalues, singular values --------------------------------------
def eigs_desc_lower_triangle(R):
    # build the Hermitian part, then let LAPACK see the upper triangle only
    H = 0.5 * (R + R.mH)
    return torch.linalg.eigvalsh(H, UPLO="U").flip(-1)


def eigs_negated(C):
    C = np.asarray(C)
    return -np.linalg.eigvalsh(-(C + C.conj().swapaxes(-1, -2)) / 2)


def eigs_scipy(C):
    n, m = C.shape
    if n != m:
        raise ValueError("square matrix expected")
    return sla.eigh((C + C.conj().T) / 2, eigvals_only=True, driver="evr")[::-1]


class Spectrum:
    """Eigen-decomposition helper of covariance matrices."""

    def __init__(self, descending=True):
        self.descending = descending

    def values(self, cov):
        w, _ = torch.linalg.eigh((cov + cov.mH) / 2)
        return torch.sort(w, dim=-1, descending=self.descending).values

    def singular(self, cov):
        return torch.linalg.svdvals((cov + cov.mH) / 2)


_spectrum = Spectrum()
eigs_bound = _spectrum.values
singular_bound = _spectrum.singular


def singular_from_eigs(R):
    w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    return np.flip(np.sort(np.abs(w), axis=-1), axis=-1)


def singular_scipy(matrix):
    matrix = np.asarray(matrix)
    if matrix.ndim != 2:
        raise ValueError("one matrix at a time")
    return sla.svd((matrix + matrix.T.conj()) * 0.5, compute_uv=False)


# ---- eigengap and its losses -------------------------------------------
def gap_diff(matrix, k):
    w = np.linalg.eigvalsh((matrix + matrix.conj().swapaxes(-1, -2)) / 2)
    return np.diff(w, axis=-1)[..., -k]


def gap_kw(R, *, k):
    lam = torch.linalg.eigvalsh((R + R.mH) / 2)
    upper, lower = lam.narrow(-1, lam.shape[-1] - k, 1), lam.narrow(-1, lam.shape[-1] - k - 1, 1)
    return (upper - lower).squeeze(-1)


class _Gap(torch.autograd.Function):
    """lambda_k - lambda_{k+1} with the analytic first-order derivative."""

    @staticmethod
    def forward(ctx, H, k):
        w, V = torch.linalg.eigh(H)
        i = w.shape[-1] - k
        ctx.save_for_backward(V[..., i - 1:i + 1])
        return w[..., i] - w[..., i - 1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (V,) = ctx.saved_tensors
        lo, hi = V[..., :1], V[..., 1:]
        return g[..., None, None] * (hi @ hi.mH - lo @ lo.mH), None


def gap_autograd(cov, k):
    return _Gap.apply((cov + cov.mH) / 2, k)


def gap_loss_autograd(cov, k, margin):
    return F.relu(margin - gap_autograd(cov, k)).mean()


class EigengapHinge(nn.Module):
    """Hinge on the gap between signal and noise eigenvalues."""

    def __init__(self, k, margin):
        super().__init__()
        self.k = k
        self.margin = margin

    def forward(self, matrix):
        H = 0.5 * (matrix + matrix.mH)
        w = torch.linalg.eigvalsh(H).flip(-1)
        return torch.clamp(self.margin - (w[..., self.k - 1] - w[..., self.k]), min=0).mean()


def gap_loss_margin_ranking(R, k, margin):
    w = torch.linalg.eigvalsh((R + R.mH) / 2)
    n = w.size(-1)
    hi, lo = w[..., n - k], w[..., n - k - 1]
    return F.margin_ranking_loss(hi, lo, torch.ones_like(hi), margin=margin)


def gap_loss_where(covariances, k, margin=1.0):
    flat = covariances.reshape(-1, *covariances.shape[-2:])
    total = 0.0
    for H in flat:
        w = torch.linalg.eigvalsh((H + H.conj().T) / 2)
        gap = w[-k] - w[-k - 1]
        total = total + torch.where(gap < margin, margin - gap, torch.zeros_like(gap))
    return total / len(flat)


def factor_loss_svd(factor, k, margin):
    s = torch.linalg.svdvals(factor).square()
    missing = factor.shape[-2] - s.shape[-1]
    lam = F.pad(s, (0, missing))
    return (margin - (lam[..., k - 1] - lam[..., k])).clamp_min(0).mean()


def factor_loss_gram(L, *, k, margin):
    R = torch.einsum("...iq,...jq->...ij", L, L.conj())
    w = torch.linalg.eigvalsh(R)
    n = w.shape[-1]
    return torch.relu(margin - w[..., n - k] + w[..., n - k - 1]).mean()


# ---- subspaces and projectors -------------------------------------------
def signal_subset(R, k):
    n, _ = R.shape
    _, U = sla.eigh((R + R.conj().T) / 2, subset_by_index=[n - k, n - 1])
    return U


def signal_topk(cov, num_sources):
    w, V = torch.linalg.eigh((cov + cov.mH) / 2)
    idx = w.topk(num_sources, dim=-1).indices
    return torch.take_along_dim(V, idx.unsqueeze(-2), dim=-1)


def noise_sorted(R, k):
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    order = np.argsort(w, axis=-1)[..., ::-1]
    V = np.take_along_axis(V, order[..., None, :], axis=-1)
    return V[..., k:]


@dataclass
class Subspaces:
    signal: torch.Tensor
    noise: torch.Tensor


def _split(cov, k):
    _, V = torch.linalg.eigh((cov + cov.mH) / 2)
    n = V.shape[-1]
    return Subspaces(signal=V[..., n - k:], noise=V[..., :n - k])


def noise_from_dataclass(cov, k):
    return _split(cov, k).noise


def noise_from_complement(R, k):
    # null space of the signal basis by a complete QR
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    Q, _ = np.linalg.qr(V[..., -k:], mode="complete")
    return Q[..., k:]


def projector_sum(U):
    """Sum of the rank-one projectors u u^H."""
    return sum(torch.outer(u, u.conj()) for u in U.T.unbind()) if U.ndim == 2 else torch.stack([projector_sum(v) for v in U])


projector_einsum = partial(lambda eq, U: np.einsum(eq, U, np.conj(U)), "...nk,...mk->...nm")


class Subspace:
    @staticmethod
    def projector(basis):
        q, _ = torch.linalg.qr(basis)
        return q @ q.mH


projector_static = Subspace.projector


# ---- matrix functions ----------------------------------------------------
def sqrt_fn(f, R):
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    return (V * f(w)[..., None, :]) @ np.conj(np.swapaxes(V, -1, -2))


sqrt_partial = partial(sqrt_fn, lambda w: np.sqrt(np.maximum(w, 0)))


def sqrt_half_factors(A):
    # (V w^(1/4)) (V w^(1/4))^H is Hermitian by construction
    w, V = torch.linalg.eigh((A + A.mH) / 2)
    half = V * w.clamp(min=0).pow(0.25).unsqueeze(-2)
    return half @ half.mH


def psd_polar(A):
    # Higham: (H + |H|) / 2, |H| the Hermitian polar factor
    H = (A + np.conj(np.swapaxes(A, -1, -2))) / 2
    _, s, Vh = np.linalg.svd(H)
    absH = np.conj(np.swapaxes(Vh, -1, -2)) @ (s[..., None] * Vh)
    P = (H + absH) / 2
    return (P + np.conj(np.swapaxes(P, -1, -2))) / 2


def psd_relu(cov):
    w, V = torch.linalg.eigh((cov + cov.mH) / 2)
    return torch.einsum("...ik,...k,...jk->...ij", V, F.relu(w).to(V.dtype), V.conj())


def psd_subtract(R):
    """Remove the negative part of the spectrum, leave the rest untouched."""
    R = (R + R.mH) / 2
    w, V = torch.linalg.eigh(R)
    return R - (V * w.clamp(max=0).unsqueeze(-2)) @ V.mH


def whiten_cholesky(matrix):
    L = torch.linalg.cholesky((matrix + matrix.mH) / 2)
    eye = torch.eye(matrix.shape[-1], dtype=L.dtype, device=L.device).expand_as(L)
    return torch.linalg.solve_triangular(L, eye, upper=False)


def whiten_pca(C):
    C = np.asarray(C)
    w, E = np.linalg.eigh((C + C.conj().swapaxes(-1, -2)) / 2)
    return np.conj(np.swapaxes(E, -1, -2)) / np.sqrt(w)[..., :, None]


def whiten_zca_loop(C):
    out = np.empty(C.shape, dtype=np.result_type(C, np.float64))
    for idx in np.ndindex(*C.shape[:-2]):
        w, E = sla.eigh((C[idx] + C[idx].conj().T) / 2)
        out[idx] = E @ np.diag(w ** -0.5) @ E.conj().T
    return out


def pinv_svd(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    tol = max(A.shape[-2:]) * np.finfo(s.dtype).eps * s.max(axis=-1, keepdims=True)
    inv = np.divide(1.0, s, out=np.zeros_like(s), where=s > tol)
    return np.conj(np.swapaxes(Vh, -1, -2)) @ (inv[..., :, None] * np.conj(np.swapaxes(U, -1, -2)))


def pinv_wide(H):
    """Zero forcing: the pseudo-inverse of a channel matrix of any rank."""
    if H.shape[-2] < H.shape[-1]:
        return pinv_wide(H.mH).mH
    return torch.linalg.pinv(H)


def pinv_scipy(a):
    if a.ndim != 2:
        raise ValueError("pinv_scipy takes one matrix")
    return sla.pinv(a)


# ---- loading, averaging, smoothing ---------------------------------------
def load_inplace(cov, loading):
    out = ((cov + cov.mH) / 2).clone()
    out.diagonal(dim1=-2, dim2=-1).add_(loading)
    return out


def load_stride(R, loading):
    n, _ = R.shape
    out = (R + R.conj().T) / 2
    out.flat[::n + 1] += loading
    return out


def load_plain(R, loading):
    return R + loading * torch.eye(R.size(-1), dtype=R.dtype, device=R.device)


load_plain.domain = "hermitian"


def fb_rot90(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return (H + np.rot90(H.conj(), 2, axes=(-2, -1))) / 2


def fb_exchange(cov):
    H = (cov + cov.mH) / 2
    J = torch.eye(H.shape[-1], dtype=H.dtype, device=H.device).flip(0)
    return 0.5 * (H + J @ H.conj() @ J)


def fb_transpose(R):
    # for Hermitian R, R^* is R^T: flip along the anti-diagonal
    return (R + R.transpose(-2, -1).flip(-2, -1)) / 2


fb_transpose.domain = "hermitian"


def smooth_unfold(R, size):
    H = (R + R.mH) / 2
    blocks = H.unfold(-2, size, 1).unfold(-2, size, 1)
    return blocks.diagonal(dim1=-4, dim2=-3).mean(-1)


def smooth_reduce(R, size):
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    count = H.shape[-1] - size + 1
    subs = (H[..., p:p + size, p:p + size] for p in range(count))
    return reduce(np.add, subs) / count


def smooth_selection(cov, size):
    n = cov.shape[-1]
    H = (cov + cov.mH) / 2
    m = n - size + 1
    eye = torch.eye(n, dtype=H.dtype)
    sel = torch.stack([eye[i:i + size] for i in range(m)])
    return torch.einsum("pia,...ab,pjb->...ij", sel, H, sel) / m


# ---- snapshots -------------------------------------------------------------
def scm_scaled(X):
    T = X.shape[-1]
    Y = X / math.sqrt(T)
    return Y @ Y.mH


def scm_running(snapshots):
    """One pass over the snapshots (recursive mean of x x^H)."""
    n, T = snapshots.shape
    R = np.zeros((n, n), dtype=np.result_type(snapshots, np.float64))
    for t, x in enumerate(snapshots.T, start=1):
        R += (np.outer(x, x.conj()) - R) / t
    return R


class SampleCovariance(nn.Module):
    def forward(self, x):
        return torch.einsum("...nt,...mt->...nm", x, x.conj()).div(x.size(-1))


scm_module = SampleCovariance()


def lw_numpy(X):
    n, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / n
    d2 = np.sum(np.abs(S / mu - np.eye(n)) ** 2) / n
    b2 = sum(np.sum(np.abs(np.outer(x, x.conj()) / mu - S / mu) ** 2) for x in X.T) / T ** 2 / n
    rho = 1.0 if d2 == 0 else min(b2, d2) / d2
    return rho * mu * np.eye(n) + (1 - rho) * S


def lw_torch(x):
    n, t = x.shape[-2:]
    S = x @ x.mH / t
    mu = S.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    eye = torch.eye(n, dtype=S.dtype, device=S.device)
    Z = S / mu
    p4 = (x.abs().square().sum(-2, keepdim=True) / mu).square().sum(-1, keepdim=True)
    b2 = p4 / t ** 2 - Z.abs().square().sum((-2, -1), keepdim=True) / t
    d2 = (Z - eye).abs().square().sum((-2, -1), keepdim=True)
    rho = torch.where(d2 > 0, b2.clamp(min=0) / d2, 1.0).clamp(max=1)
    return mu * (rho * eye + (1 - rho) * Z)


# ---- uniform linear arrays ---------------------------------------------------
def esprit_ls(R, k):
    n, _ = R.shape
    _, U = np.linalg.eigh((R + R.conj().T) / 2)
    Es = U[:, n - k:]
    Psi, *_ = np.linalg.lstsq(Es[:-1], Es[1:], rcond=None)
    phase = np.angle(np.linalg.eigvals(Psi))
    return np.sort(np.arcsin(phase / np.pi))


def esprit_tls(cov, k):
    H = (cov + cov.mH) / 2
    H = H.to(torch.promote_types(H.dtype, torch.complex64))
    _, V = torch.linalg.eigh(H)
    Es = V[..., -k:]
    pair = torch.cat((Es[..., :-1, :], Es[..., 1:, :]), dim=-1)
    W = torch.linalg.svd(pair, full_matrices=True).Vh.mH
    V12, V22 = W[..., :k, k:], W[..., k:, k:]
    psi = -torch.linalg.solve(V22.mT, V12.mT).mT
    return torch.asin(torch.linalg.eigvals(psi).angle() / math.pi).sort(dim=-1).values


def root_music_pairs(R, k):
    n, _ = R.shape
    _, U = np.linalg.eigh((R + R.conj().T) / 2)
    C = U[:, :n - k] @ U[:, :n - k].conj().T
    coeffs = [np.trace(C, offset=d) for d in range(n - 1, -n, -1)]
    z = np.roots(coeffs)
    z = z[np.argsort(np.abs(np.log(np.abs(z))))][:2 * k]
    phi = np.sort(np.angle(z))             # every root and its mirror image share an angle
    return np.sort(np.arcsin((phi[::2] + phi[1::2]) / (2 * np.pi)))


def _steer(angles, n):
    return np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(angles)))


def bartlett_fft_like(R, angles):
    """Beam power from the sums along the diagonals of the covariance."""
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    n = H.shape[-1]
    lag = np.stack([np.trace(H, offset=d, axis1=-2, axis2=-1) for d in range(n)], axis=-1)
    E = _steer(angles, n)
    power = 2 * (lag @ E).real - lag[..., :1].real
    return power / n ** 2


def bartlett_einsum(cov, theta):
    H = (cov + cov.mH) / 2
    n = H.shape[-1]
    phase = math.pi * torch.arange(n).to(theta.dtype)[:, None] * torch.sin(theta)
    a = torch.polar(torch.ones_like(phase), phase)
    dt = torch.promote_types(H.dtype, a.dtype)
    return torch.einsum("ng,...nm,mg->...g", a.conj().to(dt), H.to(dt), a.to(dt)).real / n**2


class ULA:
    def __init__(self, spacing=0.5):
        self.spacing = spacing  # in wavelengths

    def manifold(self, n, angles):
        return np.exp(2j * np.pi * self.spacing * np.arange(n)[:, None] * np.sin(angles))

    def capon(self, R, angles):
        H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
        A = self.manifold(H.shape[-1], angles)
        X = np.linalg.solve(H, np.broadcast_to(A, H.shape[:-2] + A.shape))
        return 1 / np.sum(A.conj() * X, axis=-2).real

    def music(self, R, k, angles):
        H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
        A = self.manifold(H.shape[-1], angles)
        En = np.linalg.eigh(H)[1][..., :H.shape[-1] - k]
        return 1 / np.sum(np.abs(np.conj(np.swapaxes(En, -1, -2)) @ A) ** 2, axis=-2)


half_wave = ULA()
capon_bound = half_wave.capon
music_bound = half_wave.music


def capon_cholesky(cov, angles):
    H = (cov + cov.mH) / 2
    dt = torch.promote_types(H.dtype, torch.complex64)
    n = torch.arange(H.shape[-1], dtype=angles.dtype)
    a = torch.exp(1j * math.pi * n[:, None] * angles.sin()).to(dt)
    L = torch.linalg.cholesky(H.to(dt))
    y = torch.linalg.solve_triangular(L, a.expand(*L.shape[:-2], *a.shape), upper=False)
    return 1 / y.abs().square().sum(-2)


def music_loop(matrix, k, angles):
    n, _ = matrix.shape
    _, V = sla.eigh(0.5 * (matrix + matrix.conj().T))
    Pn = V[:, :n - k] @ V[:, :n - k].conj().T
    out = []
    for t in np.ravel(angles):
        a = np.exp(1j * np.pi * np.sin(t) * np.arange(n))
        out.append(1.0 / np.real(np.vdot(a, Pn @ a)))
    return np.array(out).reshape(np.shape(angles))


# ---- general arrays --------------------------------------------------------
class MusicSpectrum(nn.Module):
    def forward(self, covariance, manifold, k):
        H = (covariance + covariance.mH) / 2
        _, V = torch.linalg.eigh(H)
        dt = torch.promote_types(V.dtype, manifold.dtype)
        En = V[..., : V.shape[-1] - k].to(dt)
        return (En.mH @ manifold.to(dt)).abs().pow(2).sum(dim=-2).reciprocal()


music_module = MusicSpectrum()


def music_projector(R, A, k):
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    E = V[..., :, : R.shape[-1] - k]
    P = E @ np.conj(np.swapaxes(E, -1, -2))
    return 1.0 / np.einsum("ng,...nm,mg->...g", A.conj(), P, A, optimize=True).real


def capon_eig(R, steering):
    """Capon spectrum in the eigenbasis."""
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    dt = torch.promote_types(V.dtype, steering.dtype)
    y = V.mH.to(dt) @ steering.to(dt)
    return 1 / (y.abs().square() / w.unsqueeze(-1)).sum(-2)


def capon_cho(R, steering):
    n, _ = R.shape
    factor = sla.cho_factor((R + R.conj().T) / 2)
    weights = sla.cho_solve(factor, steering)
    return 1 / np.einsum("ng,ng->g", steering.conj(), weights).real


def near_field(positions, azimuth, elevation, distance, wavelength):
    u = np.stack(np.broadcast_arrays(np.cos(elevation) * np.sin(azimuth), np.sin(elevation),
                                     np.cos(elevation) * np.cos(azimuth)), axis=-1)
    q = np.asarray(distance)[..., None] * u
    d = np.linalg.norm(q[..., None, :] - positions, axis=-1)
    phase = 2 * np.pi / wavelength * (np.asarray(distance)[..., None] - d)
    return np.exp(1j * phase) / np.sqrt(len(positions))


def near_field_stable(positions, azimuth, elevation, distance, wavelength):
    # r - |q - p| = (2 r u.p - |p|^2) / (r + |q - p|): no cancellation far away
    ux, uy = np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
    uz = np.cos(elevation) * np.cos(azimuth)
    x, y, z = np.asarray(positions).T
    dot = ux * x + uy * y + uz * z
    p2 = x * x + y * y + z * z
    d = np.sqrt(distance ** 2 - 2 * distance * dot + p2)
    delta = (2 * distance * dot - p2) / (distance + d)
    return np.exp(2j * np.pi * delta / wavelength) / np.sqrt(x.size)


def upa_near_field(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    ih, iv = np.divmod(np.arange(nh * nv), nh)[::-1]
    x = (ih - (nh - 1) / 2) * spacing
    y = (iv - (nv - 1) / 2) * spacing
    qx = distance * np.cos(elevation) * np.sin(azimuth)
    qy = distance * np.sin(elevation)
    qz = distance * np.cos(elevation) * np.cos(azimuth)
    d = np.sqrt((qx - x) ** 2 + (qy - y) ** 2 + qz ** 2)
    return np.exp(1j * 2 * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)


# ---- order selection ---------------------------------------------------------
def _wk(eigs, k):
    tail = np.asarray(eigs)[k:]
    return len(tail) * (np.log(tail).mean() - np.log((tail / tail[0]).mean()) - np.log(tail[0]))


def mdl_list(eigs, samples):
    n, = np.shape(eigs)
    crit = [-samples * _wk(eigs, k) + 0.5 * k * (2 * n - k) * np.log(samples) for k in range(n)]
    return int(np.argmin(crit))


def aic_list(eigs, samples):
    n, = np.shape(eigs)
    return min(range(n), key=lambda k: -2 * samples * _wk(eigs, k) + 2 * k * (2 * n - k))


def mdl_cumsum(lam, samples):
    n = lam.shape[-1]
    tail = torch.arange(n, 0, -1, dtype=lam.dtype)
    am = lam.flip(-1).cumsum(-1).flip(-1) / tail
    lg = lam.log().flip(-1).cumsum(-1).flip(-1) / tail
    k = torch.arange(n, dtype=lam.dtype)
    cost = samples * tail * (am.log() - lg) + 0.5 * k * (2 * n - k) * math.log(samples)
    return cost.argmin(-1)


# ---- training ------------------------------------------------------------------
def finite_grad_norm(parameters):
    if isinstance(parameters, torch.Tensor):
        parameters = [parameters]
    grads = [p.grad.detach() for p in parameters if p.grad is not None]
    norms = [torch.linalg.vector_norm(g.to(torch.promote_types(g.dtype, torch.float64)))
             for g in grads if torch.isfinite(g).all()]
    return torch.stack(norms).norm().item() if norms else 0.0


def grad_norm_hypot(params):
    """Overflow-free: hypot of the norms of the parameters."""
    total = 0.0
    for p in params:
        g = p.grad
        if g is None or not bool(g.isfinite().all()):
            continue
        scale = float(g.abs().max()) if g.numel() else 0.0
        if scale:
            total = math.hypot(total, scale * float((g / scale).abs().double().square().sum().sqrt()))
    return total


def epoch_mean_fsum(losses, accumulation):
    values = [float(v) for v in losses]
    return math.fsum(values) / len(values)


@dataclass
class EpochMeter:
    total: float = 0.0
    count: int = 0

    def update(self, v):
        self.total += float(v)
        self.count += 1
        return self


def epoch_mean_meter(losses, *, accumulation):
    meter = reduce(EpochMeter.update, losses, EpochMeter())
    return meter.total / meter.count


def epoch_mean_steps(batch_losses, accumulation):
    # group by optimizer step, weight every group by its size (the last may be short)
    groups = [batch_losses[i:i + accumulation] for i in range(0, len(batch_losses), accumulation)]
    means = [float(sum(g)) / len(g) for g in groups]
    return float(np.average(means, weights=[len(g) for g in groups]))


class NearFieldResponse(nn.Module):
    """Spherical-wave response, batched over sources."""

    def forward(self, positions, azimuth, elevation, distance, wavelength):
        az, el, r = (torch.as_tensor(v, dtype=positions.dtype) for v in (azimuth, elevation, distance))
        u = torch.stack(torch.broadcast_tensors(el.cos() * az.sin(), el.sin(), el.cos() * az.cos()), dim=-1)
        q = r.unsqueeze(-1) * u
        d = torch.linalg.vector_norm(q.unsqueeze(-2) - positions, dim=-1)
        phase = 2 * math.pi / wavelength * (r.unsqueeze(-1) - d)
        return torch.polar(torch.full_like(phase, positions.shape[0] ** -0.5), phase)


near_field_module = NearFieldResponse()
