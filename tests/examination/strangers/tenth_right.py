"""Array-processing helpers, collected from several code bases."""
import functools
import math
import operator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F


# ---------------------------------------------------------------- Hermitian part, spectra
class SymmetrizeFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, cov):
        return (cov + cov.mH).mul(0.5)

    @staticmethod
    def backward(ctx, grad):
        return (grad + grad.mH).mul(0.5)


def symmetrize_with_custom_grad(cov):
    return SymmetrizeFn.apply(cov)


def hermitian_lerp(x):
    return torch.lerp(x, x.mH.resolve_conj(), 0.5)


def hermitian_from_triangles(a):
    """Average both triangles, keep the real part of the diagonal (single matrix)."""
    n, m = a.shape
    out = np.zeros((n, n), dtype=a.dtype)
    for i in range(n):
        for j in range(i + 1):
            v = 0.5 * (a[i, j] + np.conj(a[j, i]))
            out[i, j] = v
            out[j, i] = np.conj(v)
    return out


class SpectrumLayer(nn.Module):
    """Eigenvalues, the strongest first."""

    def __init__(self, descending=True):
        super().__init__()
        self.descending = descending

    def forward(self, covariance):
        lam = torch.linalg.eigvalsh(0.5 * (covariance + covariance.adjoint()))
        return lam.flip(-1) if self.descending else lam


spectrum_layer = SpectrumLayer()


def eigenvalues_negated(R):
    Rh = (R + np.conj(np.swapaxes(R, -1, -2))) / 2
    return -np.linalg.eigvalsh(-Rh)


def eigenvalues_scipy_subset(C):
    if C.ndim != 2:
        raise ValueError("one covariance at a time")
    C = (C + C.conj().T) / 2
    w = sla.eigh(C, eigvals_only=True, driver="evr")
    return np.sort(w)[::-1]


def eigenvalues_vmapped(batch):
    """(B, N, N) only."""
    b, n, _ = batch.shape
    sym = lambda m: (m + m.conj().transpose(0, 1)) / 2
    return torch.stack([torch.linalg.eigvalsh(sym(m)).flip(0) for m in batch])


def singular_values_from_eigs(matrix):
    lam = torch.linalg.eigvalsh((matrix + matrix.mH) / 2)
    return lam.abs().sort(dim=-1, descending=True).values


def singular_values_np(*, matrix):
    h = matrix + matrix.conj().swapaxes(-1, -2)
    return 0.5 * np.linalg.svd(h, compute_uv=False)


def sv_hermitian_flag(a):
    h = 0.5 * (a + np.moveaxis(a, -1, -2).conj())
    return np.linalg.svd(h, compute_uv=False, hermitian=True)


def gap_by_diff(cov, num_sources):
    lam = torch.linalg.eigvalsh((cov + cov.mH) / 2)
    gaps = torch.diff(lam, dim=-1).flip(-1)
    return gaps[..., operator.index(num_sources) - 1]


def gap_topk(R, k):
    k = int(k)
    lam = torch.linalg.eigvalsh((R + R.mH) / 2)
    top = lam.topk(k + 1, dim=-1, largest=True, sorted=True).values
    return top[..., -2] - top[..., -1]


def gap_partition(r, n_sig):
    """numpy, any batch."""
    w = np.linalg.eigvalsh((r + r.conj().swapaxes(-2, -1)) / 2)
    m = w.shape[-1] - int(n_sig)
    return w[..., m:].min(axis=-1) - w[..., :m].max(axis=-1)


@dataclass
class GapPenalty:
    k: int = 2
    margin: float = 1.0

    def gap(self, R):
        lam = torch.linalg.eigvalsh((R + R.mH) / 2)
        n = lam.shape[-1]
        return lam[..., n - int(self.k)] - lam[..., n - int(self.k) - 1]

    def __call__(self, R):
        return F.relu(self.margin - self.gap(R)).mean()


def eigengap_hinge_dataclass(R, k, margin):
    return GapPenalty(k=k, margin=margin)(R)


class EigengapHinge(nn.Module):
    """Hinge on the spectral gap with a margin-ranking loss underneath."""

    def forward(self, matrix, k, margin):
        w = torch.linalg.eigvalsh((matrix + matrix.mH) / 2).flip(-1)
        k = int(k)
        hi, lo = w[..., k - 1], w[..., k]
        return F.margin_ranking_loss(hi, lo, torch.ones_like(hi), margin=float(margin))


eigengap_hinge = EigengapHinge()


def hinge_gap_clamp(margin, matrix, k):
    lam, _ = torch.sort(torch.linalg.eigvalsh((matrix + matrix.mH) / 2), dim=-1, descending=True)
    split = torch.tensor_split(lam, [int(k)], dim=-1)
    gap = split[0][..., -1] - split[1][..., 0]
    return torch.clamp(margin - gap, min=0).sum() / gap.numel()


def factor_gap_gram_svd(factor, k, margin):
    """Through the singular values of F, padded with zeros to N."""
    n, q = factor.shape[-2:]
    s2 = torch.linalg.svdvals(factor).square()
    s2 = F.pad(s2, (0, max(0, n - s2.shape[-1])))
    k = int(k)
    return F.relu(margin - (s2[..., k - 1] - s2[..., k])).mean()


def factor_gap_einsum(L, *, k, margin):
    R = torch.einsum("...iq,...jq->...ij", L, L.conj())
    lam = torch.linalg.eigvalsh(0.5 * (R + R.mH))
    gap = lam[..., lam.shape[-1] - int(k)] - lam[..., lam.shape[-1] - int(k) - 1]
    return torch.maximum(torch.zeros_like(gap), margin - gap).mean()


# ---------------------------------------------------------------- subspaces and projectors
class Subspaces(NamedTuple):
    signal: torch.Tensor
    noise: torch.Tensor


def split_subspaces(R, k):
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    m = v.shape[-1] - int(k)
    return Subspaces(signal=v[..., m:], noise=v[..., :m])


def principal_subspace(R, k):
    return split_subspaces(R, k).signal


def minor_subspace(R, k):
    return split_subspaces(R, k).noise


def signal_basis_argsort(Rxx, nsrc):
    """Single matrix, numpy."""
    n, _ = Rxx.shape
    w, v = np.linalg.eigh((Rxx + Rxx.conj().T) / 2)
    order = np.argsort(w)[::-1]
    return v[:, order[: int(nsrc)]]


def signal_basis_scipy(cov, k):
    n, _ = cov.shape
    k = int(k)
    w, v = sla.eigh(0.5 * (cov + cov.conj().T), subset_by_index=[n - k, n - 1])
    return v[:, ::-1]


def signal_basis_qr(matrix, k):
    """Eigenvectors rotated by an arbitrary unitary: still a basis of the same span."""
    v = torch.linalg.eigh((matrix + matrix.mH) / 2).eigenvectors.flip(-1)[..., : int(k)]
    q, _ = torch.linalg.qr(v)
    return q


def noise_basis_nullspace(R, k):
    """The complement of the dominant eigenvectors, by a full QR (single matrix)."""
    if R.ndim != 2:
        raise ValueError("expected a matrix")
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    us = v[:, w.size - int(k):]
    q, _ = np.linalg.qr(us, mode="complete")
    return q[:, int(k):]


class NoiseSubspace(nn.Module):
    def forward(self, cov, n_sources):
        eigh = torch.linalg.eigh(0.5 * cov + 0.5 * cov.mH)
        n = cov.size(-1)
        return eigh.eigenvectors.narrow(-1, 0, n - int(n_sources))


noise_subspace_of = NoiseSubspace().forward


class SubspaceProjector:
    @staticmethod
    def onto(basis):
        return torch.einsum("...ik,...jk->...ij", basis, basis.conj())


projector_onto = SubspaceProjector.onto


def projector_outer_sum(U):
    """Sum of rank-one projectors, single basis."""
    P = np.zeros((U.shape[0], U.shape[0]), dtype=U.dtype)
    for u in U.T:
        P += np.outer(u, u.conj())
    return P


def projector_broadcast(basis):
    """Outer products of the columns, summed over the last axis."""
    return (basis.unsqueeze(-2) * basis.conj().unsqueeze(-3)).sum(dim=-1)


# ---------------------------------------------------------------- functions of a matrix
def _apply_spectral(fn, R):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    return (v * fn(w).unsqueeze(-2)) @ v.mH


matrix_sqrt = functools.partial(_apply_spectral, lambda w: w.clamp_min(0).sqrt())
nearest_psd = functools.partial(_apply_spectral, F.relu)


def sqrt_from_svd(a):
    """Square root of a covariance from its SVD (Hermitian psd input)."""
    u, s, _ = np.linalg.svd(a, hermitian=True)
    return (u * np.sqrt(s)[..., None, :]) @ np.conj(np.swapaxes(u, -1, -2))


sqrt_from_svd.domain = "hermitian"


def psd_part_by_loop(R):
    out = np.zeros_like(R)
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    for lam, v in zip(w, V.T):
        if lam > 0:
            out = out + lam * np.outer(v, v.conj())
    return out


def psd_projection_polar(matrix):
    """Higham: (H + |H|) / 2 with the polar factor |H| from the SVD."""
    h = (matrix + matrix.mH) / 2
    _, s, vh = torch.linalg.svd(h, full_matrices=False)
    absolute = vh.mH @ (s.unsqueeze(-1) * vh)
    out = (h + absolute) / 2
    return (out + out.mH) / 2


class Whitener(nn.Module):
    """Inverse of the Cholesky factor."""

    def forward(self, R):
        R = (R + R.mH) / 2
        low = torch.linalg.cholesky(R)
        eye = torch.eye(R.shape[-1], dtype=R.dtype, device=R.device).expand_as(R)
        return torch.linalg.solve_triangular(low, eye, upper=False)


cholesky_whitener = Whitener()


def zca_whitening(cov):
    w, v = np.linalg.eigh((cov + np.conj(cov).swapaxes(-1, -2)) / 2)
    return np.einsum("...ik,...k,...jk->...ij", v, 1 / np.sqrt(w), v.conj())


def pca_whitening(cov):
    lam, vec = torch.linalg.eigh(0.5 * (cov + cov.mH))
    return lam.rsqrt().unsqueeze(-1) * vec.mH


def whitening_scipy(R):
    n, m = R.shape
    c = sla.cholesky((R + R.conj().T) / 2, lower=True)
    return sla.solve_triangular(c, np.eye(n), lower=True)


def pinv_svd_manual(A):
    u, s, vh = torch.linalg.svd(A, full_matrices=False)
    tol = s.amax(-1, keepdim=True) * max(A.shape[-2:]) * torch.finfo(s.dtype).eps
    s_inv = torch.where(s > tol, 1 / torch.where(s > tol, s, torch.ones_like(s)), torch.zeros_like(s))
    return vh.mH @ (s_inv.unsqueeze(-1) * u.mH)


def pinv_scipy(matrix):
    return sla.pinv(np.atleast_2d(matrix), check_finite=False)


def load_diagonal_inplace(R, loading):
    """Copy, then add to the diagonal view."""
    out = 0.5 * (R + R.mH)
    out = out.clone()
    out.diagonal(dim1=-2, dim2=-1).add_(loading)
    return out


def load_by_fill(cov, *, loading):
    out = np.array(cov, copy=True)
    idx = np.arange(cov.shape[-1])
    out[..., idx, idx] += loading
    return out


load_by_fill.domain = "hermitian"


def fb_average_index(R):
    """Reverse both axes by an index vector."""
    R = (R + R.mH) / 2
    idx = torch.arange(R.shape[-1] - 1, -1, -1, device=R.device)
    back = R.index_select(-1, idx).index_select(-2, idx).conj()
    return 0.5 * (R + back)


def fb_average_persymmetric(R):
    """J R^T J for a Hermitian R is the backward covariance."""
    back = np.flip(np.swapaxes(R, -1, -2), axis=(-2, -1))
    return (R + back) / 2


fb_average_persymmetric.domain = "hermitian"


def fb_exchange_matrix(matrix):
    n, _ = matrix.shape
    J = np.fliplr(np.eye(n))
    h = (matrix + matrix.conj().T) / 2
    return (h + J @ h.conj() @ J) / 2


def smooth_unfold(matrix, size):
    size = int(size)
    m = (matrix + matrix.mH) / 2
    blocks = m.unfold(-2, size, 1).unfold(-2, size, 1)
    return blocks.diagonal(dim1=-4, dim2=-3).mean(-1)


def smooth_strided(R, sub):
    R = np.ascontiguousarray((R + R.conj().T) / 2)
    n, sub = R.shape[0], int(sub)
    s0, s1 = R.strides
    view = np.lib.stride_tricks.as_strided(R, (n - sub + 1, sub, sub), (s0 + s1, s0, s1))
    return view.mean(axis=0)


class SpatialSmoother(nn.Module):
    """Sum of diagonal blocks, for Hermitian covariances."""

    domain = "hermitian"

    def forward(self, R, size):
        size = int(size)
        acc = R[..., :size, :size]
        count = 1
        while count + size <= R.shape[-1]:
            acc = acc + R[..., count:count + size, count:count + size]
            count += 1
        return acc / count


spatial_smoother = SpatialSmoother()


# ---------------------------------------------------------------- snapshots
def scm_vecdot(X):
    return torch.linalg.vecdot(X.unsqueeze(-3), X.unsqueeze(-2)) / X.shape[-1]


def scm_outer_loop(x):
    n, t = x.shape
    acc = np.zeros((n, n), dtype=x.dtype)
    for i in range(t):
        acc += np.outer(x[:, i], x[:, i].conj())
    return acc / t


@torch.jit.ignore
def scm_normalised_first(snapshots):
    y = snapshots / math.sqrt(snapshots.size(-1))
    return torch.matmul(y, y.mH)


def scm_bmm(batch):
    b, n, t = batch.shape
    return torch.bmm(batch, batch.conj().transpose(1, 2)).div(t)


def ledoit_wolf_loop(X):
    """Ledoit and Wolf (2004), with the sum over the snapshots written out."""
    n, t = X.shape
    S = X @ X.conj().T / t
    m = np.trace(S).real / n
    S, X, mu = S / m, X / np.sqrt(m), 1.0
    d2 = np.linalg.norm(S - mu * np.eye(n)) ** 2
    b2 = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / t ** 2
    rho = min(b2, d2) / d2 if d2 > 0 else 1.0
    return m * (rho * mu * np.eye(n) + (1 - rho) * S)


class LedoitWolf(nn.Module):
    def forward(self, x):
        n, t = x.shape[-2:]
        scale = x.abs().square().mean((-2, -1), keepdim=True)
        y = x / scale.sqrt()
        s = y @ y.mH / t
        eye = torch.eye(n, dtype=s.dtype, device=s.device)
        delta = (s - eye).abs().square().sum((-2, -1))
        fourth = y.abs().square().sum(-2).square().sum(-1)
        beta = (fourth / t - s.abs().square().sum((-2, -1))) / t
        rho = (beta / delta).nan_to_num(1.0).clamp(0, 1)[..., None, None]
        return scale * ((1 - rho) * s + rho * eye)


ledoit_wolf_module = LedoitWolf()


# ---------------------------------------------------------------- uniform linear arrays
def esprit_least_squares(R, d):
    """LS-ESPRIT, single matrix, numpy."""
    w, v = np.linalg.eigh((R + R.conj().T) / 2)
    es = v[:, w.size - int(d):]
    psi = np.linalg.lstsq(es[:-1], es[1:], rcond=None)[0]
    return np.sort(np.arcsin(np.clip(np.angle(np.linalg.eigvals(psi)) / np.pi, -1, 1)))


class Esprit(nn.Module):
    def forward(self, cov, k):
        es = torch.linalg.eigh((cov + cov.mH) / 2).eigenvectors.flip(-1)[..., : int(k)]
        up, down = es[..., :-1, :], es[..., 1:, :]
        phi = torch.linalg.solve(up.mH @ up, up.mH @ down)
        mu = torch.linalg.eigvals(phi).angle()
        return torch.asin((mu / math.pi).clamp(-1, 1)).sort(-1).values


esprit_module = Esprit()


def root_music_paired(R, num_sources):
    """Root-MUSIC; each root is taken together with its reciprocal partner."""
    (n, _), k = R.shape, int(num_sources)
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    en = v[:, : n - k]
    c = en @ en.conj().T
    coeffs = np.array([np.trace(c, offset=q) for q in range(n - 1, -n, -1)])
    z = list(np.roots(coeffs))
    z.sort(key=lambda s: abs(1 - abs(s)))
    found = []
    for _ in range(k):
        root = z.pop(0)
        mate = z.pop(int(np.argmin(np.abs(np.array(z) - 1 / np.conj(root)))))
        found.append(np.angle(root / abs(root) + mate / abs(mate)))
    return np.sort(np.arcsin(np.array(found) / np.pi))


def bartlett_fft_free(R, theta):
    """Conventional beamformer with plain sums."""
    n = R.shape[-1]
    a = np.exp(1j * np.pi * np.outer(np.arange(n), np.sin(theta)))
    return np.einsum("ig,...ij,jg->...g", a.conj(), R, a, optimize=True).real / n**2


def bartlett_lags(matrix, angles):
    """Sums along the diagonals, then a cosine series (torch)."""
    m = (matrix + matrix.mH) / 2
    n = m.shape[-1]
    lags = torch.stack([m.diagonal(q, -2, -1).sum(-1) for q in range(n)], -1)
    q = torch.arange(n, dtype=angles.dtype)
    e = torch.exp(1j * math.pi * q[:, None] * torch.sin(angles)).to(torch.promote_types(lags.dtype, torch.complex64))
    p = 2 * (lags.to(e.dtype) @ e).real - lags[..., :1].real
    return p / n**2


def capon_cholesky(matrix, angles):
    R = (matrix + matrix.mH) / 2
    n = R.shape[-1]
    phase = math.pi * torch.arange(n, dtype=angles.dtype)[:, None] * angles.sin()
    a = torch.polar(torch.ones_like(phase), phase)
    L = torch.linalg.cholesky(R.to(a.dtype))
    y = torch.linalg.solve_triangular(L, a.expand(*R.shape[:-2], *a.shape), upper=False)
    return y.abs().square().sum(-2).reciprocal()


def capon_loop(cov, *, angles):
    n, m = cov.shape
    Ri = sla.inv((cov + cov.conj().T) / 2)
    out = []
    for th in angles:
        a = np.exp(1j * np.pi * np.arange(n) * np.sin(th))
        out.append(1.0 / np.real(np.vdot(a, Ri @ a)))
    return np.asarray(out)


def music_norm_loop(R, k, grid):
    m, _ = R.shape
    v = np.linalg.eigh((R + R.conj().T) / 2)[1]
    en = v[:, : m - int(k)]
    n = np.arange(m)
    p = [1 / np.linalg.norm(en.conj().T @ np.exp(1j * np.pi * n * np.sin(t))) ** 2 for t in grid]
    return np.array(p)


class UlaMusic:
    """MUSIC of a half-wavelength line; use .spectrum."""

    def spectrum(self, matrix, k, angles):
        v = torch.linalg.eigh((matrix + matrix.mH) / 2)[1]
        n = v.shape[-1]
        noise = v[..., : n - int(k)]
        arg = torch.outer(torch.arange(n, dtype=angles.dtype), torch.sin(angles)) * torch.pi
        a = torch.complex(arg.cos(), arg.sin()).to(torch.promote_types(v.dtype, torch.complex64))
        return 1 / torch.linalg.vector_norm(noise.mH.to(a.dtype) @ a, dim=-2).square()


ula_music_spectrum = UlaMusic().spectrum


# ---------------------------------------------------------------- general spectra
def music_projector_diag(cov, steering, n_src):
    """diag(A^H P A) without the full G x G product."""
    v = torch.linalg.eigh((cov + cov.mH) / 2).eigenvectors
    en = v[..., : v.shape[-1] - int(n_src)]
    p = en @ en.mH
    den = (steering.conj() * (p.to(steering.dtype) @ steering)).sum(-2).real
    return den.reciprocal()


def music_keyword_order(*, steering, k, matrix):
    w, v = np.linalg.eigh((matrix + np.conj(matrix).swapaxes(-1, -2)) / 2)
    en = v[..., : v.shape[-1] - int(k)]
    z = np.conj(en).swapaxes(-1, -2) @ steering
    return 1.0 / np.sum(z.real**2 + z.imag**2, axis=-2)


class MvdrSpectrum(nn.Module):
    def __init__(self, hermitize=True):
        super().__init__()
        self.hermitize = hermitize

    def forward(self, matrix, steering):
        if self.hermitize:
            matrix = (matrix + matrix.mH) / 2
        a = steering.expand(*matrix.shape[:-2], *steering.shape[-2:])
        w = torch.linalg.solve(matrix.to(a.dtype), a)
        return 1.0 / torch.linalg.vecdot(a, w, dim=-2).real


mvdr_module = MvdrSpectrum()


def mvdr_eig(R, A):
    lam, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    proj = np.abs(V.conj().swapaxes(-1, -2) @ A) ** 2
    return 1 / np.einsum("...n,...ng->...g", 1 / lam, proj)


# ---------------------------------------------------------------- steering
@dataclass(frozen=True)
class PlanarArray:
    shape: tuple
    spacing: float

    @property
    def positions(self):
        nh, nv = self.shape
        x = (np.arange(nh) - (nh - 1) / 2) * self.spacing
        y = (np.arange(nv) - (nv - 1) / 2) * self.spacing
        yy, xx = np.meshgrid(y, x, indexing="ij")
        return np.stack([xx.ravel(), yy.ravel(), np.zeros(nh * nv)], -1)


def planar_response(shape, spacing, azimuth, elevation, distance, wavelength):
    p = PlanarArray(tuple(shape), spacing).positions
    u = np.array([math.cos(elevation) * math.sin(azimuth), math.sin(elevation),
                  math.cos(elevation) * math.cos(azimuth)])
    path = np.linalg.norm(distance * u - p, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - path)) / np.sqrt(len(p))


def near_field_torch(positions, azimuth, elevation, distance, wavelength):
    az, el = torch.as_tensor(azimuth, dtype=positions.dtype), torch.as_tensor(elevation, dtype=positions.dtype)
    u = torch.stack([el.cos() * az.sin(), el.sin(), el.cos() * az.cos()])
    # r - |ru - p| = (2 r u.p - |p|^2) / (r + |ru - p|): no cancellation far away
    d = torch.linalg.vector_norm(distance * u - positions, dim=-1)
    delta = (2 * distance * (positions @ u) - positions.square().sum(-1)) / (distance + d)
    return torch.polar(torch.full_like(delta, positions.shape[0] ** -0.5), 2 * torch.pi * delta / wavelength)


def response_by_law_of_cosines(*, positions, wavelength, distance, azimuth, elevation):
    n = len(positions)
    ux, uy, uz = np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)
    a = np.empty(n, complex)
    for i, (x, y, z) in enumerate(positions):
        d = np.sqrt(distance**2 - 2 * distance * (x * ux + y * uy + z * uz) + x * x + y * y + z * z)
        a[i] = np.exp(-1j * 2 * np.pi / wavelength * (d - distance))
    return a / np.linalg.norm(a)


# ---------------------------------------------------------------- model order, training
def _order(eigenvalues, samples, penalty):
    lam = np.asarray(eigenvalues, dtype=float)
    n, samples = lam.shape[-1], float(samples)
    cost = []
    for k in range(n):
        tail = lam[..., k:]
        ratio = np.log(tail).mean(-1) - np.log(tail.mean(-1))
        cost.append(-samples * (n - k) * ratio + penalty(k, n, samples))
    return np.argmin(np.stack(cost, -1), axis=-1)


mdl_order = functools.partial(_order, penalty=lambda k, n, t: 0.5 * k * (2 * n - k) * np.log(t))
aic_order = functools.partial(_order, penalty=lambda k, n, t: k * (2 * n - k))


def mdl_cumsum(eigenvalues, samples):
    n, samples = eigenvalues.shape[-1], int(samples)
    lam = eigenvalues.flip(-1)
    count = torch.arange(1, n + 1, dtype=lam.dtype)
    am = (lam.cumsum(-1) / count).log()
    gm = lam.log().cumsum(-1) / count
    k = n - count
    crit = samples * count * (am - gm) + 0.5 * k * (2 * n - k) * math.log(samples)
    return n - 1 - crit.argmin(-1)


def grad_norm_finite(parameters):
    grads = [p.grad for p in parameters if p.grad is not None]
    grads = [g.detach().double() for g in grads if bool(torch.isfinite(g).all())]
    if not grads:
        return 0.0
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads])).item()


def grad_norm_hypot(grads):
    """Takes gradients, None allowed."""
    return math.hypot(*(float(g.detach().double().norm()) for g in grads
                        if g is not None and not (torch.isnan(g) | torch.isinf(g)).any()))


class EpochMeter:
    """Running mean, one update per batch."""

    def __init__(self):
        self.mean, self.count = 0.0, 0

    def update(self, value):
        self.count += 1
        self.mean += (float(value) - self.mean) / self.count


def epoch_mean_running(losses, accumulation):
    meter = EpochMeter()
    for loss in losses:
        meter.update(loss)
    return meter.mean


def epoch_mean_by_steps(losses, accumulation):
    """Sum per optimizer step, then over the batches; the last step may be short."""
    total = 0.0
    for start in range(0, len(losses), int(accumulation)):
        total += math.fsum(float(v) for v in losses[start:start + int(accumulation)])
    return total / len(losses)
