"""Small covariance toolbox."""
import cmath
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
import torch
from torch import nn
from torch.nn import functional as F


# hermitize
class Hermitize(nn.Module):
    def forward(self, x):
        return x.lerp(x.mH, 0.5) if not x.is_complex() else x.add(x.mH).mul(0.5)


hermitize_layer = Hermitize()


def herm_einsum(cov):
    return 0.5 * cov + 0.5 * torch.einsum("...ij->...ji", cov).conj()


class _HermOp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R):
        return (R + R.mH) * 0.5

    @staticmethod
    def backward(ctx, grad):
        return (grad + grad.mH) * 0.5


def hermitize_op(matrix):
    return _HermOp.apply(matrix)


def herm_numpy_loop(R):
    R = np.asarray(R)
    n, m = R.shape
    out = np.empty((n, m), dtype=np.result_type(R, float))
    for i in range(n):
        for j in range(m):
            out[i, j] = (R[i, j] + np.conj(R[j, i])) / 2
    return out


def herm_triangles(matrix):
    half = (torch.tril(matrix, -1) + torch.triu(matrix, 1).mH) / 2
    d = torch.diagonal(matrix, dim1=-2, dim2=-1).real
    return half + half.mH + torch.diag_embed(d).to(matrix.dtype)


# eigenvalues
def eig_negated(S):
    return -torch.linalg.eigvalsh(-(S + S.mH) / 2)


def eig_scipy(R):
    A = np.asarray(R)
    if A.ndim > 2:
        return np.stack([eig_scipy(a) for a in A])
    return scipy.linalg.eigh(A / 2 + A.conj().T / 2, eigvals_only=True)[::-1]


def eig_sym_lower(matrix):
    return torch.linalg.eigvalsh(matrix).flip(dims=(-1,))


eig_sym_lower.domain = "hermitian"


def eig_topk(matrix):
    w = torch.linalg.eigvalsh(0.5 * (matrix + matrix.adjoint()))
    return w.topk(w.shape[-1], dim=-1).values


def eig_embedded(matrix):
    """Through the real symmetric matrix of twice the order."""
    H = (matrix + matrix.mH) / 2
    if not H.is_complex():
        return torch.linalg.eigvalsh(H).flip(-1)
    top = torch.cat([H.real, -H.imag], -1)
    low = torch.cat([H.imag, H.real], -1)
    return torch.linalg.eigvalsh(torch.cat([top, low], -2))[..., ::2].flip(-1)


# singular values
def sv_hermitian(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return np.linalg.svd(H, compute_uv=False, hermitian=True)


def sv_from_abs(matrix):
    w = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    return w.abs().sort(dim=-1, descending=True).values


# eigengap
def gap_topk(matrix, k):
    w = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    a, b = w.topk(k + 1, dim=-1).values[..., -2:].unbind(-1)
    return a - b


def gap_diff(R, k):
    w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    return np.diff(w, axis=-1)[..., -k]


def gap_take(matrix, *, k):
    w, _ = torch.sort(torch.linalg.eigvalsh((matrix + matrix.mH) / 2), descending=True)
    idx = torch.tensor([k - 1, k])
    hi, lo = torch.index_select(w, -1, idx).movedim(-1, 0)
    return hi - lo


class GapModule(nn.Module):
    def forward(self, covariance, n_sources):
        lam = torch.linalg.eigvalsh((covariance + covariance.mH) / 2).flip(-1)
        return -torch.diff(lam, dim=-1).select(-1, n_sources - 1)


gap_module = GapModule()


# eigengap loss
def gap_rank_loss(matrix, k, margin):
    w = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    hi, lo = w[..., -k], w[..., -k - 1]
    return F.margin_ranking_loss(hi, lo, torch.ones_like(hi), margin=margin)


def gap_embedding_loss(matrix, k, margin):
    w = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    gap = w[..., -k] - w[..., -k - 1]
    return F.hinge_embedding_loss(gap, -torch.ones_like(gap), margin=margin)


def gap_threshold_loss(matrix, k, margin):
    w = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    return F.threshold(margin - (w[..., -k] - w[..., -k - 1]), 0.0, 0.0).mean()


def gap_clamped_loss(matrix, k, margin):
    w = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    gap = w[..., -k] - w[..., -k - 1]
    return margin - gap.clamp(max=margin).mean()


def gap_vmap_loss(matrix, k, margin):
    n = matrix.shape[-1]

    def one(R):
        w = torch.linalg.eigvalsh((R + R.mH) / 2)
        return torch.relu(margin - w[-k] + w[-k - 1])

    return torch.vmap(one)(matrix.reshape(-1, n, n)).mean()


def gap_loop_loss(matrix, k, margin):
    total, n = 0.0, matrix.shape[-1]
    items = matrix.reshape(-1, n, n).unbind(0)
    for R in items:
        w = torch.linalg.eigvalsh((R + R.mH) / 2)
        total = total + F.relu(margin - (w[n - k] - w[n - k - 1]))
    return total / len(items)


class _GapVJP(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k):
        w = torch.linalg.eigvalsh((R + R.mH) / 2)
        ctx.save_for_backward(R)
        ctx.k = k
        return w[..., -k] - w[..., -k - 1]

    @staticmethod
    def backward(ctx, g):
        (R,) = ctx.saved_tensors
        V = torch.linalg.eigh((R + R.mH) / 2).eigenvectors
        sgn = torch.zeros(V.shape[-1], dtype=g.dtype)
        sgn[-ctx.k], sgn[-ctx.k - 1] = 1, -1
        return (V * (g[..., None, None] * sgn)) @ V.mH, None


def gap_vjp_loss(matrix, k, margin):
    return F.relu(margin - _GapVJP.apply(matrix, k)).mean()


# subspaces
def signal_svd_psd(R, k):
    """Left singular vectors of the shifted matrix, which is positive."""
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    H = H / np.abs(H).max()
    U, _, _ = np.linalg.svd(H + 2 * H.shape[-1] * np.eye(H.shape[-1]))
    return U[..., :k]


def signal_subset(R, k):
    A = np.asarray(R)
    n, _ = A.shape
    A = (A + A.conj().T) / 2
    scale = np.abs(A).max()
    return scipy.linalg.eigh(A / scale, subset_by_index=[n - k, n - 1])[1]


def signal_neg(matrix, k):
    return torch.linalg.eigh(-(matrix + matrix.mH)).eigenvectors.narrow(-1, 0, k)


def signal_take(R, k):
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    order = np.argsort(-w, axis=-1)[..., None, :k]
    return np.take_along_axis(V, order, axis=-1)


def noise_slice(matrix, k):
    V = torch.linalg.eigh((matrix + matrix.mH) / 2).eigenvectors
    return V[..., :-k]


def noise_qr(matrix, k):
    Us = torch.linalg.eigh((matrix + matrix.mH) / 2).eigenvectors[..., -k:]
    Q = torch.linalg.qr(Us, mode="complete").Q
    return Q[..., k:]


def noise_split(R, k):
    R = np.asarray(R)
    V = np.linalg.eigh(R + np.conj(np.swapaxes(R, -1, -2)))[1]
    return np.split(V, [V.shape[-1] - k], axis=-1)[0]


# projector
def proj_lstsq(basis):
    return basis @ torch.linalg.pinv(basis)


def proj_outer_sum(U):
    n, k = U.shape
    return sum(np.outer(u, u.conj()) for u in U.T)


def proj_einsum(basis):
    return torch.einsum("...ik,...jk->...ij", basis, basis.conj())


def proj_gram(basis):
    G = basis.mH @ basis
    return basis @ torch.linalg.solve(G, basis.mH)


# square root
def sqrt_svd(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    U, s, Vh = np.linalg.svd(H, hermitian=True)
    return (U * np.sqrt(s)[..., None, :]) @ np.conj(np.swapaxes(U, -1, -2))


def sqrt_scipy(R):
    n, _ = R.shape
    H = (R + R.conj().T) / 2
    s = np.trace(H).real / n
    return scipy.linalg.sqrtm(H / s) * np.sqrt(s)


def sqrt_diag_embed(matrix):
    w, V = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return torch.einsum("...ij,...j,...kj->...ik", V, w.clamp_min(0).sqrt().to(V.dtype), V.conj())


# psd projection
def psd_higham(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    U, s, Vh = np.linalg.svd(H)
    polar = np.conj(np.swapaxes(Vh, -1, -2)) @ (s[..., :, None] * Vh)
    return (H + polar) / 2


def psd_relu(matrix):
    w, V = torch.linalg.eigh((matrix + matrix.mH) / 2)
    B = V * F.relu(w).sqrt().unsqueeze(-2)
    return B @ B.mH


def psd_subtract(matrix):
    H = (matrix + matrix.mH) / 2
    w, V = torch.linalg.eigh(H)
    return H - (V * w.clamp(max=0).unsqueeze(-2)) @ V.mH


# whitening
def whiten_triangular(matrix):
    H = (matrix + matrix.mH) / 2
    L = torch.linalg.cholesky(H)
    eye = torch.eye(H.shape[-1], dtype=H.dtype).expand_as(H)
    return torch.linalg.solve_triangular(L, eye, upper=False)


def whiten_precision(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    L = np.linalg.cholesky(np.linalg.inv(H))
    return np.conj(np.swapaxes(L, -1, -2))


def whiten_pca(matrix):
    w, V = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return torch.diag_embed(w.rsqrt()).to(V.dtype) @ V.mH


# pseudo inverse
def pinv_qr_svd(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    tol = max(A.shape[-2:]) * np.finfo(s.dtype).eps * s[..., :1]
    inv = np.divide(1.0, s, out=np.zeros_like(s), where=s > tol)
    return np.einsum("...ki,...k,...jk->...ij", Vh.conj(), inv, U.conj())


def pinv_adjoint(matrix):
    return torch.linalg.pinv(matrix.mH).mH


def pinv_scipy(A):
    m, n = A.shape
    return scipy.linalg.pinv(A)


# loading, averaging, smoothing
def load_diagonal(matrix, loading):
    H = (matrix + matrix.mH) / 2
    d = torch.diagonal(H, dim1=-2, dim2=-1) + loading
    return torch.diagonal_scatter(H, d, dim1=-2, dim2=-1)


def load_numpy(R, loading):
    out = np.array((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    i = np.arange(out.shape[-1])
    out[..., i, i] += loading
    return out


def load_hermitian(matrix, loading):
    return torch.add(matrix, torch.eye(matrix.size(-1), dtype=matrix.dtype), alpha=loading)


load_hermitian.domain = "hermitian"


def fb_exchange(matrix):
    H = (matrix + matrix.mH) / 2
    J = torch.eye(H.shape[-1], dtype=H.dtype).flip(0)
    return torch.lerp(H, J @ H.conj() @ J, 0.5) if not H.is_complex() else (H + J @ H.conj() @ J) / 2


def fb_transpose(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return (H + np.flip(np.swapaxes(H, -1, -2), axis=(-2, -1))) / 2


def fb_rot90(R):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return 0.5 * (H + np.rot90(H.conj(), 2, axes=(-2, -1)))


def smooth_unfold(matrix, size):
    H = (matrix + matrix.mH) / 2
    win = H.unfold(-2, size, 1).unfold(-2, size, 1)
    return torch.diagonal(win, dim1=-4, dim2=-3).mean(-1)


def smooth_selection(R, size):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    n = H.shape[-1]
    acc = 0
    for i in range(n - size + 1):
        Z = np.eye(n)[i:i + size]
        acc = acc + Z @ H @ Z.T
    return acc / (n - size + 1)


def smooth_windows(R, size):
    n, _ = R.shape
    H = (R + R.conj().T) / 2
    view = np.lib.stride_tricks.sliding_window_view(H, (size, size))
    return np.einsum("iiab->ab", view) / (n - size + 1)


# sample covariance, shrinkage
def cov_outer(snapshots):
    return torch.einsum("...nt,...mt->...nmt", snapshots, snapshots.conj()).mean(-1)


def cov_running(X):
    n, T = X.shape
    R = np.zeros((n, n), dtype=np.result_type(X, float))
    for t, x in enumerate(X.T, 1):
        R += (np.outer(x, x.conj()) - R) / t
    return R


def cov_pairs(X):
    Y = X / math.sqrt(X.shape[-1])
    return Y @ np.conj(np.moveaxis(Y, -1, -2))


def lw_single(X):
    N, T = X.shape
    s = np.abs(X).max()
    X = X / s
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    d2 = np.linalg.norm(S - mu * np.eye(N)) ** 2
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T ** 2
    rho = min(b2, d2) / d2
    return s * s * (rho * mu * np.eye(N) + (1 - rho) * S)


def lw_batched(snapshots):
    N, T = snapshots.shape[-2:]
    snapshots = snapshots.to(torch.complex128 if snapshots.is_complex() else torch.float64)
    S = snapshots @ snapshots.mH / T
    m = torch.diagonal(S, dim1=-2, dim2=-1).real.mean(-1)
    fro = S.abs().square().sum((-2, -1))
    q = snapshots.abs().square().sum(-2).square().mean(-1)
    d2 = fro - N * m ** 2
    rho = ((q - fro) / T / d2).clamp(0, 1)[..., None, None]
    eye = torch.eye(N, dtype=S.dtype)
    return (1 - rho) * S + rho * m[..., None, None] * eye


# factor loss
def factor_svd_loss(factor, k, margin):
    lam = F.pad(torch.linalg.svdvals(factor), (0, k + 1)).square()
    return F.relu(margin - lam[..., k - 1] + lam[..., k]).mean()


def factor_qr_loss(factor, k, margin):
    R = factor @ factor.conj().transpose(-1, -2)
    w = torch.linalg.eigvalsh(R)
    return torch.clamp_min(margin - w[..., -k] + w[..., -k - 1], 0).mean()


# directions
class Doa:
    def __init__(self, spacing=0.5):
        self.spacing = spacing

    def esprit(self, matrix, k):
        R = np.asarray(matrix)
        n, _ = R.shape
        U = np.linalg.eigh((R + R.conj().T) / 2)[1][:, n - k:]
        pair = np.hstack([U[:-1], U[1:]])
        V = np.linalg.svd(pair, full_matrices=True)[2].conj().T
        psi = -V[:k, k:] @ np.linalg.inv(V[k:, k:])
        return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / (2 * np.pi * self.spacing)))


doa = Doa()


def esprit_torch(matrix, k):
    V = torch.linalg.eigh((matrix + matrix.mH) / 2).eigenvectors[..., -k:]
    psi = torch.linalg.lstsq(V[..., :-1, :], V[..., 1:, :]).solution
    return torch.asin(torch.linalg.eigvals(psi).angle() / torch.pi).sort(-1).values


def root_music_np(matrix, k):
    R = np.asarray(matrix)
    n, _ = R.shape
    En = np.linalg.eigh((R + R.conj().T) / 2)[1][:, : n - k]
    poly = sum(np.convolve(e, e[::-1].conj()) for e in En.T)
    z, picked = list(np.roots(poly)), []
    while len(picked) < k:
        r = z.pop(int(np.argmin(np.abs(np.log(np.abs(z))))))
        z.pop(int(np.argmin(np.abs(np.array(z) - 1 / np.conj(r)))))
        picked.append(np.angle(r))
    return np.sort(np.arcsin(np.array(picked) / np.pi))


def root_music_companion(matrix, k):
    H = (matrix + matrix.mH) / 2
    n = H.size(-1)
    if H.ndim != 2:
        raise ValueError("one matrix")
    En = torch.linalg.eigh(H).eigenvectors[:, : n - k]
    C = En @ En.mH
    c = torch.stack([torch.diagonal(C, i).sum() for i in range(n - 1, -n, -1)])
    comp = torch.diag(torch.ones(2 * n - 3, dtype=c.dtype), -1)
    comp[0] = -c[1:] / c[0]
    z = torch.linalg.eigvals(comp)
    found = []
    for _ in range(k):
        r = z[z.abs().log().abs().argmin()]
        found.append(r.angle())
        pair = torch.stack([r, 1 / r.conj()])
        z = z[z != r]
        z = z[torch.arange(len(z)) != (z - pair[1]).abs().argmin()]
    return torch.asin(torch.stack(found) / math.pi).sort().values


# spectra of a linear array
def bartlett_centered(matrix, angles):
    H = (matrix + np.conj(np.swapaxes(matrix, -1, -2))) / 2
    n = H.shape[-1]
    pos = np.arange(n) - (n - 1) / 2
    A = np.exp(1j * np.pi * pos[:, None] * np.sin(angles))
    return np.einsum("ng,...nm,mg->...g", A.conj(), H, A, optimize=True).real / n ** 2


def bartlett_lags(matrix, angles):
    R = np.asarray(matrix)
    n, _ = R.shape
    H = (R + R.conj().T) / 2
    out = np.full(len(angles), np.trace(H).real)
    for m in range(1, n):
        r = np.trace(H, offset=-m)
        out += 2 * (r * np.exp(-1j * np.pi * m * np.sin(angles))).real
    return out / n ** 2


def capon_chol(matrix, angles):
    H = ((matrix + matrix.mH) / 2).to(torch.complex128)
    n = H.shape[-1]
    ph = math.pi * torch.arange(n, dtype=torch.float64)[:, None] * torch.sin(torch.as_tensor(angles))
    A = torch.polar(torch.ones_like(ph), ph).expand(*H.shape[:-1], -1)
    y = torch.linalg.solve_triangular(torch.linalg.cholesky(H), A, upper=False)
    return y.abs().square().sum(-2).reciprocal()


def capon_eig(matrix, angles):
    R = np.asarray(matrix)
    w, V = np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    A = np.exp(1j * np.pi * np.outer(np.arange(R.shape[-1]), np.sin(angles)))
    y = np.abs(np.conj(np.swapaxes(V, -1, -2)) @ A) ** 2
    return 1 / np.sum(y / w[..., :, None], axis=-2)


def ula_music_loop(matrix, k, angles):
    R = np.asarray(matrix)
    n, _ = R.shape
    En = np.linalg.eigh(R + R.conj().T)[1][:, : n - k]
    out = []
    for th in angles:
        a = np.array([cmath.exp(1j * math.pi * m * math.sin(th)) for m in range(n)])
        out.append(1 / np.vdot(En.conj().T @ a, En.conj().T @ a).real)
    return np.array(out)


def music_projector(matrix, steering, k):
    V = torch.linalg.eigh((matrix + matrix.mH) / 2).eigenvectors
    V = V.to(torch.promote_types(V.dtype, steering.dtype))
    y = V[..., : V.shape[-1] - k].mH @ steering.to(V.dtype)
    return torch.linalg.vector_norm(y, dim=-2).pow(-2)


def music_chunked(matrix, steering, k):
    V = torch.linalg.eigh((matrix + matrix.mH) / 2).eigenvectors[..., :-k]
    V = V.to(torch.complex128)
    parts = [1 / (V.mH @ a.to(V.dtype)).abs().square().sum(-2) for a in steering.split(4, dim=-1)]
    return torch.cat(parts, dim=-1)


@dataclass
class SpectrumResult:
    power: np.ndarray


def mvdr_result(R, steering):
    H = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    y = np.linalg.solve(H, np.broadcast_to(steering, H.shape[:-2] + steering.shape))
    return SpectrumResult(power=1 / np.sum(steering.conj() * y, axis=-2).real)


def mvdr_weights(matrix, steering):
    H = ((matrix + matrix.mH) / 2).to(torch.complex128)
    a = steering.to(H.dtype).expand(*H.shape[:-2], *steering.shape)
    y = torch.linalg.solve(H, a)
    w = y / (a.conj() * y).sum(-2, keepdim=True)
    return (w.conj() * (H @ w)).sum(-2).real


# steering
def steer_exact(positions, azimuth, elevation, distance, wavelength):
    p = np.asarray(positions, dtype=float)
    u = np.array([math.cos(elevation) * math.sin(azimuth), math.sin(elevation),
                  math.cos(elevation) * math.cos(azimuth)])
    d = np.sqrt(np.sum((distance * u - p) ** 2, axis=-1))
    path = (2 * distance * (p @ u) - np.sum(p * p, axis=-1)) / (distance + d)
    return np.exp(2j * np.pi * path / wavelength) / math.sqrt(len(p))


def steer_torch(positions, azimuth, elevation, distance, wavelength):
    az, el, r = (torch.as_tensor(v, dtype=torch.float64) for v in (azimuth, elevation, distance))
    p = torch.as_tensor(positions, dtype=torch.float64)
    u = torch.stack([el.cos() * az.sin(), el.sin(), el.cos() * az.cos()], -1)
    d = torch.linalg.vector_norm(r[..., None, None] * u[..., None, :] - p, dim=-1)
    ph = 2 * math.pi / wavelength * (r[..., None] - d)
    return torch.polar(torch.full_like(ph, p.shape[0] ** -0.5), ph)


def steer_grid(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = spacing * (np.arange(nh) - (nh - 1) / 2)
    y = spacing * (np.arange(nv) - (nv - 1) / 2)
    ux, uy = math.cos(elevation) * math.sin(azimuth), math.sin(elevation)
    X, Y = np.meshgrid(x, y)
    d = np.sqrt(distance ** 2 - 2 * distance * (X * ux + Y * uy) + X ** 2 + Y ** 2)
    return (np.exp(2j * np.pi / wavelength * (distance - d)) / math.sqrt(nh * nv)).ravel()


def _steer_base(sign, positions, azimuth, elevation, distance, wavelength):
    u = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    d = np.linalg.norm(distance * u - positions, axis=-1)
    return np.exp(sign * 2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


steer_partial = partial(_steer_base, 1)


# order selection
def mdl_loop(eigenvalues, samples):
    lam = [float(x) for x in eigenvalues]
    n, best, arg = len(lam), math.inf, 0
    for k in range(n):
        tail = lam[k:]
        am = math.log(sum(tail) / len(tail))
        gm = sum(map(math.log, tail)) / len(tail)
        score = samples * len(tail) * (am - gm) + 0.5 * k * (2 * n - k) * math.log(samples)
        if score < best:
            best, arg = score, k
    return arg


def aic_cumsum(eigenvalues, samples):
    lam = torch.as_tensor(np.asarray(eigenvalues).copy(), dtype=torch.float64)
    n = lam.shape[-1]
    k = torch.arange(n)
    s = lam.flip(-1).cumsum(-1).flip(-1)
    l = lam.log().flip(-1).cumsum(-1).flip(-1)
    m = n - k
    crit = 2 * samples * (m * torch.log(s / m) - l) + 2 * k * (2 * n - k)
    return crit.argmin(-1)


# training
def norm_foreach(parameters):
    grads = [p.grad.detach() for p in parameters if p.grad is not None]
    grads = [g.to(torch.complex128 if g.is_complex() else torch.float64) for g in grads if torch.isfinite(g).all()]
    norms = [torch.linalg.vector_norm(g) for g in grads]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros((), dtype=torch.float64)


def norm_hypot(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is None:
            continue
        n = torch.linalg.vector_norm(p.grad.detach().abs().double()).item()
        if math.isfinite(n):
            total = math.hypot(total, n)
    return total


class GradNorm:
    def __call__(self, params):
        sq = [p.grad.detach().abs().double().square().sum() for p in params if p.grad is not None]
        return math.sqrt(math.fsum(float(s) for s in sq if torch.isfinite(s)))


grad_norm = GradNorm()


def epoch_running(losses, accumulation):
    mean = 0.0
    for i, x in enumerate(losses, 1):
        mean += (float(x) - mean) / i
    return mean


def epoch_grouped(losses, accumulation):
    vals = [float(x) for x in losses]
    groups = [vals[i:i + accumulation] for i in range(0, len(vals), accumulation)]
    return sum(sum(g) for g in groups) / sum(len(g) for g in groups)


class EpochMeter:
    def __init__(self):
        self.reset()

    def reset(self):
        self.total, self.n = 0.0, 0

    def epoch(self, losses, accumulation):
        self.reset()
        for x in losses:
            self.total += float(x)
            self.n += 1
        return self.total / self.n


epoch_meter = EpochMeter()
