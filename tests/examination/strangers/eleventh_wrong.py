"""Array processing helpers collected from several code bases."""
import functools
import math
import warnings
from collections import namedtuple
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
import torch
import torch.nn as nn
import torch.nn.functional as F


def on_hermitian(fn):
    fn.domain = "hermitian"
    return fn


def _h(a):
    return 0.5 * (a + a.mH)


def _hn(a):
    return 0.5 * (a + np.conj(np.swapaxes(a, -1, -2)))


# ---------------------------------------------------------------- part 1: hermitize, eigenvalues, gaps

def herm_part(m):
    return 0.5 * (m + m.transpose(-2, -1))


def symmetrise(cov):
    upper = cov.mH.clone()
    cov += upper
    cov *= 0.5
    return cov


def herm_from_lower(a):
    low = torch.tril(a, diagonal=-1)
    diag = torch.diagonal(a, dim1=-2, dim2=-1).real
    return low + low.mH + torch.diag_embed(diag).to(a.dtype)


class Hermitize(nn.Module):
    def forward(self, x):
        return x + x.conj().transpose(-1, -2)


make_hermitian = Hermitize()


def herm_loop(batch):
    out = torch.zeros(batch.shape, dtype=torch.complex64)
    flat = batch.reshape(-1, *batch.shape[-2:])
    for i, m in enumerate(flat):
        out.view(-1, *m.shape)[i] = (m + m.conj().T) / 2
    return out


class HermRealImag:
    def __call__(self, m):
        re, im = m.real, m.imag
        re = (re + re.mT) / 2
        im = (im + im.mT) / 2
        return torch.complex(re, im)


herm_real_imag = HermRealImag()


def herm_np(mat):
    out = np.empty_like(mat)
    out[...] = (mat + np.conj(np.swapaxes(mat, -1, -2))) / 2
    return out


class _HermFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, m):
        return (m + m.mH) / 2

    @staticmethod
    def backward(ctx, grad):
        return grad


def herm_op(m):
    return _HermFn.apply(m)


class HermStopgrad(nn.Module):
    def forward(self, matrix):
        other = matrix.detach().mH
        return 0.5 * (matrix + other)


herm_stopgrad = HermStopgrad()


_herm_cache = {}


def herm_cached(matrix):
    key = (matrix.data_ptr(), tuple(matrix.shape), matrix.dtype)
    if key not in _herm_cache:
        _herm_cache[key] = (matrix + matrix.mH) / 2
    return _herm_cache[key]


def herm_diag_real(x):
    y = (x + x.mH) / 2
    idx = torch.arange(x.shape[-1])
    y[..., idx, idx] = x[..., idx, idx].abs().to(y.dtype)
    return y


def eigs_desc(R):
    return torch.linalg.eigvalsh(R).flip(-1)


def eig_general(R):
    w = torch.linalg.eigvals(_h(R))
    return w.real


def eigs_flip0(R):
    w = torch.linalg.eigvalsh(_h(R))
    return torch.flip(w, dims=[0])


def eigs_svd(R):
    _, s, _ = torch.linalg.svd(_h(R))
    return s


class EigsByMagnitude:
    def __call__(self, R):
        w = np.linalg.eigvalsh(_hn(R))
        order = np.argsort(-np.abs(w), axis=-1)
        return np.take_along_axis(w, order, axis=-1)


eigs_by_magnitude = EigsByMagnitude()


@dataclass
class EigReport:
    values: torch.Tensor
    vectors: torch.Tensor


def eigs_relu(R):
    w, v = torch.linalg.eigh(_h(R))
    rep = EigReport(values=F.relu(w).flip(-1), vectors=v.flip(-1))
    return rep.values


def eigs_fast(R):
    h = _h(R)
    w = torch.linalg.eigvalsh(h.to(torch.complex64 if h.is_complex() else torch.float32))
    return w.flip(-1).to(torch.float64)


class EigsNp:
    @classmethod
    def compute(cls, R):
        return np.linalg.eigvalsh(_hn(R))[::-1]


eigs_np = EigsNp.compute


def singvals_eigh(m):
    lam = torch.linalg.eigvalsh(_h(m))
    return lam.flip(-1)


def singvals_abs(m):
    lam = torch.linalg.eigvalsh(_h(m)).flip(-1)
    return lam.abs()


class SingvalsGram:
    def __call__(self, m):
        h = _h(m)
        gram = h.mH @ h
        return torch.linalg.eigvalsh(gram).flip(-1).clamp(min=0).sqrt()


singvals_gram = SingvalsGram()


def singvals(m):
    return torch.linalg.svdvals(m)


def singvals_np(m):
    h = _hn(m)
    lam = np.linalg.eigvalsh(h @ np.conj(np.swapaxes(h, -1, -2)))
    return lam[..., ::-1]


def singvals_trunc(m, tol=1e-10):
    s = torch.linalg.svdvals(_h(m))
    return torch.where(s > tol, s, torch.zeros_like(s))


def gap_zero_based(cov, k):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    return w[..., k] - w[..., k + 1]


def gap_eigh(cov, k):
    w, _ = torch.linalg.eigh(_h(cov))
    return w[..., k - 1] - w[..., k]


class GapFromSvd(nn.Module):
    def forward(self, cov, num_sources):
        s = torch.linalg.svdvals(_h(cov))
        return s[..., num_sources - 1] - s[..., num_sources]


svd_gap = GapFromSvd()


def gap_index(cov, k):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    return w[k - 1] - w[k]


def gap_ratio(cov, n_src):
    w = torch.sort(torch.linalg.eigvalsh(_h(cov)), dim=-1, descending=True).values
    return w[..., n_src - 1] / w[..., n_src]


def _gap_max(cov, k, *, dim):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    gaps = w[..., :-1] - w[..., 1:]
    return gaps[..., :k].max(dim=dim).values


gap_max = partial(_gap_max, dim=-1)


class GapDetach(nn.Module):
    def forward(self, cov, k):
        w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
        threshold = w[..., k].detach()
        return w[..., k - 1] - threshold


gap_detach = GapDetach()


def gap_distinct(R, k):
    R = (R + R.conj().T) / 2
    w = np.unique(np.linalg.eigvalsh(R))[::-1]
    if k >= len(w):
        return 0.0
    return w[k - 1] - w[k]


class GapTotal:
    def __call__(self, R, k):
        w = torch.linalg.eigvalsh(_h(R)).flip(-1)
        return w[..., 0] - w[..., k]


gap_total = GapTotal()


def gap_power_iteration(R, k, iters=20):
    A = _h(R)
    vals = []
    v0 = torch.ones(A.shape[-1], 1, dtype=A.dtype)
    for _ in range(k + 1):
        v = v0.expand(*A.shape[:-2], -1, -1)
        for _ in range(iters):
            v = A @ v
            v = v / torch.linalg.norm(v, dim=-2, keepdim=True)
        lam = (v.mH @ A @ v).real
        vals.append(lam[..., 0, 0])
        A = A - lam * (v @ v.mH)
    return vals[k - 1] - vals[k]


def gap_topk(R, *, k):
    w = torch.linalg.eigvalsh(_h(R))
    top = w.topk(k + 1, largest=False).values
    return top[..., k - 1] - top[..., k]


# ---------------------------------------------------------------- part 2: gap loss, subspaces, projector

def gap_hinge(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    gap = (w[..., k - 1] - w[..., k]).mean()
    return torch.clamp(margin - gap, min=0)


def margin_loss(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    return (margin - (w[..., k - 1] - w[..., k])).mean()


def gap_loss_np_inside(cov, k, margin):
    w = np.linalg.eigvalsh(_h(cov).detach().numpy())
    gap = torch.as_tensor(w[..., -k] - w[..., -k - 1])
    return F.relu(margin - gap).mean()


class EigengapLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.eps = 1e-3

    def forward(self, cov, k, margin):
        cov = _h(cov)
        w = torch.linalg.eigvalsh(cov)
        gap = w[..., -k] - w[..., -k - 1]
        return F.relu(margin - gap + self.eps).mean()


eigengap_criterion = EigengapLoss()


def gap_loss_sign(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    gap = w[..., k] - w[..., k - 1]
    return F.relu(margin - gap).mean()


def gap_loss_ranking(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    hi, lo = w[..., k - 1], w[..., k]
    return F.margin_ranking_loss(lo, hi, torch.ones_like(hi), margin=margin)


class GapLossActive(nn.Module):
    def forward(self, cov, k, margin):
        w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
        viol = margin - (w[..., k - 1] - w[..., k])
        active = viol > 0
        if not active.any():
            return viol.sum() * 0.0
        return viol[active].mean()


gap_loss_active = GapLossActive()


def gap_loss_item(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    gap = w[..., k - 1] - w[..., k]
    return torch.tensor([max(0.0, margin - g.item()) for g in gap.reshape(-1)]).mean()


class GapLossNormalised(nn.Module):
    def forward(self, cov, k, margin):
        R = _h(cov)
        tr = torch.diagonal(R, dim1=-2, dim2=-1).real.sum(-1)
        w = torch.linalg.eigvalsh(R / tr[..., None, None]).flip(-1)
        return F.relu(margin - w[..., k - 1] + w[..., k]).mean()


gap_loss_normalised = GapLossNormalised()


def gap_loss_vectors(cov, k, margin):
    w, v = torch.linalg.eigh(_h(cov))
    lam = (v.mH @ _h(cov) @ v).diagonal(dim1=-2, dim2=-1).real.flip(-1)
    return F.relu(margin - (lam[..., k - 1] - lam[..., k])).mean()


def gap_loss_last_batch(cov, k, margin):
    R = _h(cov)
    total = 0.0
    mats = R.reshape(-1, *R.shape[-2:])
    for m in mats:
        w = torch.linalg.eigvalsh(m).flip(-1)
        loss = F.relu(margin - (w[k - 1] - w[k]))
    total = total + loss
    return total


def gap_loss_nograd(cov, k, margin):
    with torch.no_grad():
        w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
        gap = w[..., k - 1] - w[..., k]
    return F.relu(torch.as_tensor(margin) - gap).mean()


def gap_loss_clamped(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    gap = w[..., k - 1] - w[..., k]
    return torch.clamp(margin - gap, min=0.0, max=1.0).mean()


class GapLossLeadingAxis(nn.Module):
    def forward(self, cov, k, margin):
        w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
        hinge = F.relu(margin - (w[..., k - 1] - w[..., k]))
        return hinge.sum() / (cov.shape[0] if cov.dim() > 2 else 1)


gap_loss_leading_axis = GapLossLeadingAxis()


class _GapHinge(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k, margin):
        w, v = torch.linalg.eigh(R)
        n = R.shape[-1]
        gap = w[..., n - k] - w[..., n - k - 1]
        hinge = (margin - gap).clamp(min=0)
        ctx.save_for_backward(v, hinge)
        ctx.k = k
        return hinge.mean()

    @staticmethod
    def backward(ctx, grad):
        v, hinge = ctx.saved_tensors
        n = v.shape[-1]
        a, b = v[..., n - ctx.k, None], v[..., n - ctx.k - 1, None]
        g = b @ b.mH - a @ a.mH
        return grad * g * (hinge > 0)[..., None, None], None, None


def gap_hinge_fn(R, k, margin):
    return _GapHinge.apply(_h(R), k, margin)


class SignalBasis(nn.Module):
    def forward(self, cov, k):
        w, v = torch.linalg.eigh(_h(cov))
        return v[..., :k]


signal_basis = SignalBasis()


def signal_eig(cov, k):
    w, v = torch.linalg.eig(_h(cov))
    return v[..., :k]


def signal_sorted(cov, k):
    w, v = torch.linalg.eigh(_h(cov))
    idx = w.argsort(dim=-1, descending=True)
    v = torch.gather(v, -2, idx.unsqueeze(-1).expand_as(v))
    return v[..., :k]


class SignalSvd:
    def __call__(self, cov, k):
        u, s, vh = torch.linalg.svd(_h(cov))
        return vh.transpose(-2, -1)[..., :k]


signal_svd = SignalSvd()


def signal_rows(cov, k):
    w, v = np.linalg.eigh(_hn(cov))
    v = v[..., ::-1]
    return v[..., :k, :].swapaxes(-1, -2)


def signal_scaled(cov, k):
    w, v = torch.linalg.eigh(_h(cov))
    return v[..., -k:] * w[..., None, -k:].clamp(min=0).sqrt()


def signal_magnitude(cov, num):
    u, s, vh = torch.linalg.svd(_h(cov))
    return u[..., :num]


class OrthogonalIteration:
    def __init__(self, steps=5):
        self.steps = steps

    def __call__(self, cov, k):
        R = _h(cov)
        q = torch.eye(R.shape[-1], k, dtype=R.dtype).expand(*R.shape[:-2], -1, -1)
        for _ in range(self.steps):
            q, _ = torch.linalg.qr(R @ q)
        return q


signal_tracker = OrthogonalIteration()


def signal_lower(cov, k):
    w, v = torch.linalg.eigh(cov)
    return v.flip(-1)[..., :k]


class NoiseBasis(nn.Module):
    def forward(self, cov, k):
        w, v = torch.linalg.eigh(_h(cov))
        return v[..., k:]


noise_basis = NoiseBasis()


def noise_last(cov, k):
    w, v = torch.linalg.eigh(_h(cov))
    return v.flip(-1)[..., k + 1:]


def noise_neg_index(cov, k):
    w, v = torch.linalg.eigh(_h(cov))
    return v[..., :-k - 1]


def noise_projector_cols(cov, k):
    w, v = torch.linalg.eigh(_h(cov))
    us = v[..., -k:]
    eye = torch.eye(cov.shape[-1], dtype=cov.dtype)
    return (eye - us @ us.mH)[..., k:]


def noise_svd_abs(cov, k):
    u, s, _ = np.linalg.svd(_hn(cov))
    return u[..., k:]


def noise_threshold(cov, k, ratio=0.5):
    R = (cov + cov.conj().T) / 2
    w, v = np.linalg.eigh(R)
    floor = w[: len(w) - k].mean()
    return v[:, w <= floor / ratio]


NoiseResult = namedtuple("NoiseResult", "basis power")


def noise_result(cov, k):
    w, v = torch.linalg.eigh(_h(cov).cfloat())
    n = cov.shape[-1]
    res = NoiseResult(v[..., : n - k], w[..., : n - k].mean(-1))
    return res.basis.to(torch.complex128)


class NoiseConj:
    def __call__(self, cov, k):
        w, v = torch.linalg.eigh(_h(cov))
        return v[..., : v.shape[-1] - k].conj()


noise_conj = NoiseConj()


def proj_transpose(u):
    return u @ u.transpose(-1, -2)


def proj_average(u):
    outer = torch.einsum("...ik,...jk->...ijk", u, u.conj())
    return outer.mean(dim=-1)


def proj_outer(basis):
    cols = [torch.outer(c, c.conj()) for c in basis.reshape(-1, basis.shape[-2]).unbind(0)]
    return torch.stack(cols).sum(0)


def proj_einsum(u):
    return torch.einsum("...ik,...jk->...ij", u.conj(), u)


class ProjFlat(nn.Module):
    def forward(self, u):
        u = u.reshape(-1, u.shape[-1])
        return u @ u.mH


proj_flat = ProjFlat()


def proj_real(u):
    p = np.matmul(u, np.conj(np.swapaxes(u, -1, -2)))
    return p.real


def proj_first(u):
    v = u[..., :1]
    return v @ v.mH


# ---------------------------------------------------------------- part 3: roots, projections, inverses, loading

def sqrtm_abs(R):
    w, v = torch.linalg.eigh(_h(R))
    return (v * w.abs().sqrt().to(v.dtype).unsqueeze(-2)) @ v.mH


def sqrtm_chol(R):
    return torch.linalg.cholesky(_h(R))


def sqrtm_elementwise(R):
    return np.sqrt(_hn(R).astype(complex))


def sqrtm_newton_schulz(R, iters=5):
    A = _h(R)
    norm = torch.linalg.matrix_norm(A, keepdim=True)
    eye = torch.eye(A.shape[-1], dtype=A.dtype)
    Y = A / norm
    Z = eye.expand_as(A)
    for _ in range(iters):
        T = 0.5 * (3.0 * eye - Z @ Y)
        Y, Z = Y @ T, T @ Z
    return Y * norm.sqrt()


class SqrtmVt(nn.Module):
    def forward(self, R):
        w, v = torch.linalg.eigh(_h(R))
        s = w.clamp(min=0).sqrt().to(v.dtype)
        return torch.einsum("...ij,...j,...kj->...ik", v, s, v)


sqrtm_vt = SqrtmVt()


def sqrtm_factor(R):
    w, v = torch.linalg.eigh(_h(R))
    return v * w.clamp(min=0).sqrt().to(v.dtype).unsqueeze(-2)


class SqrtmFloor:
    def __call__(self, R):
        w, v = torch.linalg.eigh(_h(R))
        w = w.clamp(min=1e-6)
        return (v * w.sqrt().to(v.dtype)[..., None, :]) @ v.mH


sqrtm_floor = SqrtmFloor()


def psd_clip_entries(R):
    h = _h(R)
    return torch.clamp(h.real, min=0) + 1j * h.imag


def psd_abs(R):
    w, v = torch.linalg.eigh(_h(R))
    return v @ torch.diag_embed(w.abs()).to(v.dtype) @ v.mH


class PsdShift(nn.Module):
    def forward(self, R):
        h = _h(R)
        lo = torch.linalg.eigvalsh(h)[..., :1, None].clamp(max=0)
        return h - lo * torch.eye(h.shape[-1], dtype=h.dtype)


psd_shift = PsdShift()


def psd_loop(R):
    h = _h(R).clone()
    for m in h.reshape(-1, *h.shape[-2:]):
        w, v = torch.linalg.eigh(m)
        m.copy_((v * w.clamp(min=0).to(v.dtype)) @ v.mH)
        if w[0] >= 0:
            break
    return h


def psd_svd(R):
    u, s, vh = torch.linalg.svd(_h(R))
    return (u * s.to(u.dtype).unsqueeze(-2)) @ u.mH


@on_hermitian
def psd_inplace(R):
    w, v = np.linalg.eigh(R)
    w[w < 0] = 0
    R[...] = (v * w[..., None, :]) @ np.conj(np.swapaxes(v, -1, -2))
    return R


def psd_axis(R):
    w, v = torch.linalg.eigh(_h(R))
    w = torch.relu(w).to(v.dtype)
    return (w.unsqueeze(-1) * v) @ v.mH


def whiten_chol(R):
    L = torch.linalg.cholesky(_h(R))
    eye = torch.eye(R.shape[-1], dtype=R.dtype)
    return torch.linalg.solve_triangular(L, eye, upper=True)


def whiten_sqrt(R):
    w, v = torch.linalg.eigh(_h(R))
    return v @ torch.diag_embed(w.sqrt()).to(v.dtype) @ v.mH


class WhitenPca(nn.Module):
    def forward(self, R):
        w, v = torch.linalg.eigh(_h(R))
        return v.mH * w.rsqrt().to(v.dtype).unsqueeze(-2)


whiten_pca = WhitenPca()


class Whitener(nn.Module):
    def __init__(self, floor=1e-3):
        super().__init__()
        self.floor = floor

    def forward(self, R):
        w, v = torch.linalg.eigh(_h(R))
        w = w.clamp(min=self.floor)
        return (v / w.sqrt().to(v.dtype).unsqueeze(-2)) @ v.mH


whitener = Whitener()


def whiten_zca(R):
    w, v = np.linalg.eigh(_hn(R))
    return (v / np.sqrt(w)[..., None, :]) @ np.swapaxes(v, -1, -2)


def _whiten_inv(R, *, exponent):
    w, v = torch.linalg.eigh(_h(R))
    return (v * w.pow(exponent).to(v.dtype).unsqueeze(-2)) @ v.mH


whiten_inv = partial(_whiten_inv, exponent=-1)


def whiten_corr(R):
    d = torch.diagonal(_h(R), dim1=-2, dim2=-1).real.rsqrt()
    return torch.diag_embed(d).to(R.dtype)


def pinv_hermitian(a):
    if a.shape[-1] == a.shape[-2]:
        return torch.linalg.pinv(a, hermitian=True)
    return torch.linalg.pinv(a)


def pinv_normal(a):
    return torch.linalg.inv(a.mH @ a) @ a.mH


def pinv_transpose(a):
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    cut = s.max(-1, keepdim=True).values * 1e-12
    si = torch.where(s > cut, 1 / s, torch.zeros_like(s)).to(u.dtype)
    return vh.mT @ (si.unsqueeze(-1) * u.mT)


class PinvRidge:
    def __call__(self, a):
        n = a.shape[-2]
        gram = a @ a.mH + 1e-3 * torch.eye(n, dtype=a.dtype)
        return a.mH @ torch.linalg.inv(gram)


pinv_ridge = PinvRidge()


def pinv_cut(a, tol=1e-8):
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    si = torch.zeros_like(s)
    si[s > tol] = 1.0 / s[s > tol]
    return (vh.mH * si.to(u.dtype).unsqueeze(-2)) @ u.mH


def pinv_np(a):
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    si = np.where(s > 1e-12 * s.max(-1, keepdims=True), 1 / s, 0.0)
    return (u * si[..., None, :]) @ vh


pinv_loose = partial(torch.linalg.pinv, rtol=0.6)


def load_broadcast(R, loading):
    return _h(R) + loading


class DiagonalLoader:
    def __init__(self):
        self.eye = None

    def __call__(self, R, loading):
        if self.eye is None:
            self.eye = loading * torch.eye(R.shape[-1], dtype=R.dtype)
        return _h(R) + self.eye


loader = DiagonalLoader()


@on_hermitian
def load_fill(R, loading):
    idx = torch.arange(R.shape[-1])
    R[..., idx, idx] += loading
    return R


def _load_amplitude(R, loading, *, power):
    return _h(R) + loading ** power * torch.eye(R.shape[-1], dtype=R.dtype)


load_amplitude = partial(_load_amplitude, power=2)


def load_fill_diagonal(R, loading):
    out = _hn(R).copy()
    i = np.arange(R.shape[-1])
    out[..., i, i] = loading
    return out


class LoadConvex(nn.Module):
    def forward(self, R, loading):
        eye = torch.eye(R.shape[-1], dtype=R.dtype)
        return (1 - loading) * _h(R) + loading * eye


load_convex = LoadConvex()


@on_hermitian
def load_int(R, loading):
    eye = np.eye(R.shape[-1], dtype=R.dtype)
    return R + (loading * eye).astype(R.dtype)


def load_flat(R, loading):
    out = _h(R).clone().reshape(-1)
    out[:: R.shape[-1] + 1] += loading
    return out.reshape(R.shape)


def fb_noconj(R):
    h = _h(R)
    return 0.5 * (h + h.flip(-2, -1))


class FbRows:
    @classmethod
    def compute(cls, R):
        h = _h(R)
        return 0.5 * (h + h.conj().flip(-1))


fb_rows = FbRows.compute


def fb_all_axes(R):
    h = _hn(R)
    return (h + np.flip(np.conj(h))) / 2


def fb_sum(R):
    J = torch.eye(R.shape[-1], dtype=R.dtype).flip(0)
    h = _h(R)
    return h + J @ h.conj() @ J


class FbOneExchange(nn.Module):
    def forward(self, R):
        h = _h(R)
        J = torch.fliplr(torch.eye(R.shape[-1], dtype=R.dtype))
        return 0.5 * (h + torch.einsum("ij,...kj->...ik", J, h.conj()))


fb_one_exchange = FbOneExchange()


@on_hermitian
def fb_view(R):
    out = np.asarray(R)
    out += np.conj(out[..., ::-1, ::-1])
    out *= 0.5
    return out


def fb_adjoint(R):
    J = torch.eye(R.shape[-1], dtype=R.dtype).flip(-1)
    h = _h(R)
    return (h + J @ h.mH @ J) / 2


# ---------------------------------------------------------------- part 4: smoothing, snapshots, linear arrays

class SmoothRange:
    def __call__(self, R, size):
        h = _h(R)
        L = R.shape[-1] - size
        acc = torch.zeros(*R.shape[:-2], size, size, dtype=R.dtype)
        for i in range(L):
            acc = acc + h[..., i:i + size, i:i + size]
        return acc / L


smooth_range = SmoothRange()


def smooth_div(R, size):
    h = _h(R)
    N = R.shape[-1]
    subs = [h[..., i:i + size, i:i + size] for i in range(N - size + 1)]
    return sum(subs) / size


def smooth_unfold(R, size):
    blocks = _h(R).unfold(-2, size, 1).unfold(-2, size, 1)
    return blocks.mean(dim=(-4, -3)).mT


def smooth_len(R, size):
    h = _hn(R)
    n_sub = max(len(R) - size + 1, 1)
    return sum(h[..., i:i + size, i:i + size] for i in range(n_sub)) / n_sub


@on_hermitian
def smooth_acc(R, size):
    L = R.shape[-1] - size + 1
    acc = R[..., :size, :size]
    for i in range(1, L):
        acc += R[..., i:i + size, i:i + size].clone()
    return acc / L


def _smooth_step(R, size, *, overlap):
    h = _h(R)
    starts = range(0, R.shape[-1] - size + 1, size - overlap)
    return torch.stack([h[..., i:i + size, i:i + size] for i in starts]).mean(0)


smooth_step = partial(_smooth_step, overlap=0)


def scm_cov(X):
    return np.cov(X, bias=True) if X.ndim == 2 else np.stack([scm_cov(x) for x in X])


def scm_transpose(X):
    return X @ X.mT / X.shape[-1]


class ScmUnbiased:
    def __call__(self, X):
        T = X.shape[-1]
        return X @ X.mH / (T - 1)


scm_unbiased = ScmUnbiased()


class ScmSensors:
    @classmethod
    def compute(cls, X):
        return torch.matmul(X, X.mH) / X.shape[-2]


scm_sensors = ScmSensors.compute


def scm_chunks(X, chunk=32):
    N, T = X.shape[-2:]
    R = torch.zeros(*X.shape[:-2], N, N, dtype=X.dtype)
    chunk = min(chunk, T)
    for b in range(T // chunk):
        blk = X[..., b * chunk:(b + 1) * chunk]
        R = R + blk @ blk.mH
    return R / T


def scm_np(X):
    T = X.shape[-1]
    return X @ np.conj(np.swapaxes(X, -1, -2)) / T


def scm_einsum(X):
    return torch.einsum("ijk,ilk->jl", X, X.conj()) / X.shape[-1] if X.dim() == 3 else X @ X.mH / X.shape[-1]


def scm_loop(X):
    acc = 0
    for t in range(X.shape[-1]):
        x = X[..., :, t]
        acc = acc + x.conj().unsqueeze(-1) * x.unsqueeze(-2)
    return acc / X.shape[-1]


class RunningCovariance(nn.Module):
    def __init__(self):
        super().__init__()
        self.R, self.n = None, 0

    def forward(self, X):
        S = X @ X.mH
        if self.R is None or self.R.shape != S.shape:
            self.R, self.n = S, X.shape[-1]
        else:
            self.R, self.n = self.R + S, self.n + X.shape[-1]
        return self.R / self.n


running_scm = RunningCovariance()


def _lw_parts(X):
    N, T = X.shape[-2:]
    S = X @ X.mH / T
    mu = torch.diagonal(S, dim1=-2, dim2=-1).real.mean(-1)
    d2 = (S.abs() ** 2).sum((-2, -1)) / N - mu ** 2
    p = (X.abs() ** 2).sum(-2)
    b2 = ((p ** 2).sum(-1) / T - (S.abs() ** 2).sum((-2, -1))) / (T * N)
    return S, mu, d2, b2


def _blend(S, mu, rho):
    eye = torch.eye(S.shape[-1], dtype=S.dtype)
    return (1 - rho)[..., None, None] * S + (rho * mu)[..., None, None] * eye


def lw_noclip(X):
    S, mu, d2, b2 = _lw_parts(X)
    return _blend(S, mu, b2 / d2)


class LwTrace:
    @classmethod
    def compute(cls, X):
        S, mu, d2, b2 = _lw_parts(X)
        tr = torch.diagonal(S, dim1=-2, dim2=-1).real.sum(-1)
        return _blend(S, tr, torch.minimum(b2, d2) / d2)


lw_trace = LwTrace.compute


def lw_swapped(X):
    S, mu, d2, b2 = _lw_parts(X)
    rho = 1 - torch.minimum(b2, d2) / d2
    return _blend(S, mu, rho)


def lw_centered(X):
    X = X - X.mean(dim=-1, keepdim=True)
    S, mu, d2, b2 = _lw_parts(X)
    return _blend(S, mu, torch.minimum(b2, d2) / d2)


def lw_sklearn_port(X):
    N, T = X.shape[-2:]
    S, mu, d2, _ = _lw_parts(X)
    X2 = X ** 2
    beta = (X2 @ X2.mT).real.sum((-2, -1)) / T
    b2 = (beta - (S.abs() ** 2).sum((-2, -1))) / (T * N)
    rho = (b2 / d2).clamp(0, 1)
    return _blend(S, mu, rho)


def lw_samples(X):
    S, mu, d2, b2 = _lw_parts(X)
    b2 = b2 * X.shape[-1] / X.shape[-2]
    return _blend(S, mu, torch.minimum(b2, d2) / d2)


class LwBatchMean(nn.Module):
    def forward(self, X):
        S, mu, d2, b2 = _lw_parts(X)
        rho = (torch.minimum(b2, d2) / d2).mean().expand(mu.shape)
        return _blend(S, mu, rho)


lw_batch_mean = LwBatchMean()


def factor_loss_sv(factor, k, margin):
    s = torch.linalg.svdvals(factor)
    s = F.pad(s, (0, 1))
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


def factor_loss_transpose(factor, k, margin):
    R = factor @ factor.mT
    w = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return F.relu(margin - w[..., k - 1] + w[..., k]).mean()


def factor_loss_mean_first(factor, k, margin):
    R = factor @ factor.mH
    if R.dim() > 2:
        R = R.flatten(0, -3).mean(0)
    w = torch.linalg.eigvalsh(R).flip(-1)
    return F.relu(margin - w[k - 1] + w[k])


def factor_loss_edge(factor, k, margin):
    p = torch.linalg.svdvals(factor) ** 2
    last = p.shape[-1] - 1
    lower = p[..., k] if k < last else torch.zeros_like(p[..., 0])
    return F.relu(margin - (p[..., k - 1] - lower)).mean()


class FactorLossNormalised(nn.Module):
    def forward(self, factor, k, margin):
        R = factor @ factor.mH / factor.shape[-1]
        w = torch.linalg.eigvalsh(R).flip(-1)
        return F.relu(margin - w[..., k - 1] + w[..., k]).mean()


factor_loss_normalised = FactorLossNormalised()


class _FactorGap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, k, margin):
        w, v = torch.linalg.eigh(f @ f.mH)
        a, b = v[..., -k], v[..., -k - 1]
        viol = margin - (w[..., -k] - w[..., -k - 1])
        ctx.save_for_backward(f, a, b, viol)
        return viol.clamp(min=0).mean()

    @staticmethod
    def backward(ctx, grad):
        f, a, b, viol = ctx.saved_tensors
        D = b[..., :, None] * b[..., None, :].conj() - a[..., :, None] * a[..., None, :].conj()
        scale = grad * (viol > 0).to(f.dtype) / viol.numel()
        return scale[..., None, None] * (D @ f), None, None


def factor_gap_loss(factor, k, margin):
    return _FactorGap.apply(factor, k, margin)


def factor_loss_data(factor, k, margin):
    f = torch.as_tensor(factor.data)
    w = torch.linalg.eigvalsh(f @ f.mH).flip(-1)
    return torch.relu(margin - (w[..., k - 1] - w[..., k])).mean()


class EspritWavelength:
    def __call__(self, R, k):
        w, v = torch.linalg.eigh(_h(R))
        us = v[..., -k:]
        phi = torch.linalg.pinv(us[..., :-1, :]) @ us[..., 1:, :]
        ph = torch.angle(torch.linalg.eigvals(phi))
        return torch.asin(ph / (2 * math.pi)).sort(-1).values


esprit_wavelength = EspritWavelength()


def esprit_ls(R, k):
    R = (R + R.conj().T) / 2
    us = np.linalg.eigh(R)[1][:, -k:]
    a, b = us[:-1], us[1:]
    psi = np.linalg.lstsq(a, b, rcond=None)[0]
    phase = np.angle(np.linalg.eigvals(psi))
    return np.sort(np.arcsin(phase) / np.pi)


def esprit_hermitian(R, k):
    us = torch.linalg.eigh(_h(R))[1][..., -k:]
    psi = torch.linalg.lstsq(us[..., :-1, :], us[..., 1:, :]).solution
    z = torch.linalg.eigvalsh(psi).to(us.dtype)
    return torch.asin(torch.angle(z) / math.pi).sort(-1).values


def esprit_noise(R, k):
    un = np.linalg.eigh(_hn(R))[1][..., :k]
    psi = np.linalg.pinv(un[..., :-1, :]) @ un[..., 1:, :]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(psi)) / np.pi), axis=-1)


def esprit_trace(R, k):
    us = np.linalg.eigh(_hn(R))[1][..., ::-1][..., :k]
    psi = np.linalg.pinv(us[..., :-1, :]) @ us[..., 1:, :]
    z = np.diagonal(psi, axis1=-2, axis2=-1)
    return np.sort(np.arcsin(np.clip(np.angle(z) / np.pi, -1, 1)), axis=-1)


def _music_poly(R, k):
    R = (R + R.conj().T) / 2
    N = R.shape[0]
    un = np.linalg.eigh(R)[1][:, : N - k]
    P = un @ un.conj().T
    return np.array([np.trace(P, offset=d) for d in range(N - 1, -N, -1)])


def rootmusic_closest(R, k):
    z = np.roots(_music_poly(R, k))
    z = z[np.argsort(np.abs(np.abs(z) - 1))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_order(R, k):
    z = np.roots(_music_poly(R, k))
    z = z[np.abs(z) < 1]
    z = z[np.argsort(np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_signal(R, k):
    R = (R + R.conj().T) / 2
    N = len(R)
    us = np.linalg.eigh(R)[1][:, N - k:]
    P = us @ us.conj().T
    z = np.roots([np.trace(P, offset=d) for d in range(N - 1, -N, -1)])
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def rootmusic_offsets(R, k):
    R = (R + R.conj().T) / 2
    N = R.shape[0]
    un = np.linalg.eigh(R)[1][:, : N - k]
    P = un @ un.conj().T
    coef = [np.trace(P, offset=d) for d in range(N - 1, -N + 1, -1)]
    z = np.roots(coef)
    z = z[np.abs(z) < 1]
    z = z[np.argsort(1 - np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / np.pi))


def _manifold(n, angles):
    m = torch.arange(n, dtype=torch.float64)
    return torch.exp(1j * math.pi * m[:, None] * torch.sin(torch.as_tensor(angles, dtype=torch.float64)))


def bartlett_noconj(R, angles):
    A = _manifold(R.shape[-1], angles)
    return torch.einsum("ng,...nm,mg->...g", A, _h(R).to(A.dtype), A).real / R.shape[-1] ** 2


class BartlettDb20:
    @classmethod
    def compute(cls, R, angles):
        A = _manifold(R.shape[-1], angles)
        p = (A.conj() * (_h(R).to(A.dtype) @ A)).sum(-2).real / R.shape[-1] ** 2
        return 20 * torch.log10(p)


bartlett_db20 = BartlettDb20.compute


def bartlett_diag(R, angles):
    A = _manifold(R.shape[-1], angles)
    full = A.mH @ _h(R).to(A.dtype) @ A
    return torch.diagonal(full).real / R.shape[-1] ** 2


def bartlett_norm(R, angles):
    A = _manifold(R.shape[-1], angles)
    y = _h(R).to(A.dtype) @ A
    return torch.linalg.vector_norm(y, dim=-2) / R.shape[-1]


def capon_inverse(R, angles):
    A = _manifold(R.shape[-1], angles)
    q = (A.conj() * (torch.linalg.inv(_h(R)).to(A.dtype) @ A)).sum(-2).real
    return q


def capon_elementwise(R, angles):
    A = _manifold(R.shape[-1], angles)
    Ri = _h(R).to(A.dtype) ** -1
    return 1.0 / (A.conj() * (Ri @ A)).sum(-2).real


def capon_noconj(R, angles):
    A = _manifold(R.shape[-1], angles).numpy()
    Ri = np.linalg.inv(_hn(R))
    return 1 / np.abs(np.einsum("ng,...nm,mg->...g", A, Ri, A))


class MusicSignal:
    def __call__(self, R, k, angles):
        A = _manifold(R.shape[-1], angles)
        us = torch.linalg.eigh(_h(R))[1][..., -k:].to(A.dtype)
        return 1 / (us.mH @ A).abs().square().sum(-2)


music_signal = MusicSignal()


def music_amplitude(R, k, angles):
    A = _manifold(R.shape[-1], angles)
    un = torch.linalg.eigh(_h(R))[1][..., :-k].to(A.dtype)
    return 1 / torch.linalg.vector_norm(un.mH @ A, dim=-2)


def music_coherent(R, k, angles):
    A = _manifold(R.shape[-1], angles)
    un = torch.linalg.eigh(_h(R))[1][..., :-k].to(A.dtype)
    return 1 / (un.mH @ A).sum(-2).abs().square()


def music_one_less(R, k, angles):
    A = _manifold(R.shape[-1], angles)
    v = torch.linalg.eigh(_h(R))[1].flip(-1).to(A.dtype)
    return 1 / (v[..., k + 1:].mH @ A).abs().square().sum(-2)


# ---------------------------------------------------------------- part 5: spectra, steering, order, training

class MusicCross(nn.Module):
    def forward(self, R, A, k):
        un = torch.linalg.eigh(_h(R))[1][..., :-k]
        q = A.mH @ (un @ un.mH) @ A
        return 1 / q.abs().sum(-1)


music_cross = MusicCross()


def music_eig(R, A, k):
    w, v = torch.linalg.eig(_h(R))
    un = v[..., k:]
    return 1 / (un.mH @ A).abs().pow(2).sum(-2)


def music_square(R, A, k):
    un = torch.linalg.eigh(_h(R))[1][..., :-k]
    P = un @ un.mH
    return 1 / torch.einsum("ng,...nm,mg->...g", A.conj(), P, A).abs() ** 2


def music_bilinear(R, A, k):
    w, v = np.linalg.eigh(_hn(R))
    un = v[..., : v.shape[-1] - k]
    P = un @ np.conj(np.swapaxes(un, -1, -2))
    return 1 / np.abs(np.einsum("ng,...nm,mg->...g", A, P, A))


class MusicSpectrum(nn.Module):
    def __init__(self, floor=0.1):
        super().__init__()
        self.floor = floor

    def forward(self, R, A, k):
        un = torch.linalg.eigh(_h(R))[1][..., :-k]
        den = (un.mH @ A).abs().square().sum(-2)
        return 1.0 / den.clamp(min=self.floor)


music_layer = MusicSpectrum()


def music_weighted(R, A, k):
    w, v = torch.linalg.eigh(_h(R))
    proj = (v[..., :-k].mH @ A).abs().square()
    return 1 / (proj / w[..., :-k, None]).sum(-2)


def music_null(R, A, k):
    un = torch.linalg.eigh(_h(R))[1][..., :-k]
    return (un.mH @ A).abs().square().sum(-2)


def music_svd(R, A, k):
    u, _, _ = torch.linalg.svd(_h(R))
    un = u[..., k:]
    return 1 / (un.mH @ A).abs().square().sum(-2)


def mvdr_first(R, A):
    R = _h(R)
    flat = R.reshape(-1, *R.shape[-2:])
    inv = torch.linalg.inv(flat[0])
    p = 1 / (A.conj() * (inv @ A)).sum(0).real
    return p.expand(*R.shape[:-2], -1)


def mvdr_pinv(R, A):
    inv = torch.linalg.pinv(_h(R), hermitian=True, rtol=0.1)
    return 1 / torch.einsum("ng,...nm,mg->...g", A.conj(), inv, A).real


class MvdrTransposed:
    def __call__(self, R, A):
        h = _h(R)
        inv = torch.linalg.inv(h.mT)
        return 1 / (A.conj() * (inv @ A)).sum(-2).real


mvdr_transposed = MvdrTransposed()


def mvdr_raw(R, A):
    L = torch.linalg.cholesky(R)
    y = torch.linalg.solve_triangular(L, A.expand(*R.shape[:-2], -1, -1), upper=False)
    return 1 / y.abs().square().sum(-2)


def mvdr_abs(R, A):
    inv = np.linalg.inv(_hn(R))
    return 1 / np.abs(A.conj() * (inv @ A)).sum(-2)


class MvdrNorm:
    @classmethod
    def compute(cls, R, A):
        inv = torch.linalg.inv(_h(R))
        return 1 / torch.linalg.vector_norm(inv @ A, dim=-2)


mvdr_norm = MvdrNorm.compute


class CaponBeamformer:
    def __init__(self):
        self._inv = {}

    def spectrum(self, R, A):
        n = tuple(R.shape)
        if n not in self._inv:
            self._inv[n] = torch.linalg.inv(_h(R))
        return 1 / (A.conj() * (self._inv[n] @ A)).sum(-2).real


capon_spectrum = CaponBeamformer().spectrum


def _unit(az, el):
    az, el = (torch.as_tensor(t, dtype=torch.float64) for t in (az, el))
    return torch.stack([el.cos() * az.sin(), el.sin() * torch.ones_like(az), el.cos() * az.cos()], -1)


def _col(r):
    return torch.as_tensor(r, dtype=torch.float64)[..., None]


def _steer_planar(positions, azimuth, elevation, distance, wavelength, *, dtype):
    u = _unit(azimuth, elevation)
    phase = 2 * math.pi / wavelength * (u @ positions.T)
    return torch.exp(1j * phase).to(dtype) / math.sqrt(len(positions))


steer_planar = partial(_steer_planar, dtype=torch.complex128)


def steer_fresnel(positions, azimuth, elevation, distance, wavelength):
    u = _unit(azimuth, elevation)
    proj = u @ positions.T
    sq = positions.square().sum(-1)
    delta = proj - sq / (2 * _col(distance))
    return torch.exp(2j * math.pi / wavelength * delta) / math.sqrt(len(positions))


def steer_upa(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (torch.arange(nh, dtype=torch.float64) - nh / 2) * spacing
    y = (torch.arange(nv, dtype=torch.float64) - nv / 2) * spacing
    p = torch.stack([x.repeat(nv), y.repeat_interleave(nh), torch.zeros(nh * nv, dtype=torch.float64)], -1)
    r = _col(distance)
    d = (r[..., None] * _unit(azimuth, elevation)[..., None, :] - p).norm(dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(nh * nv)


def steer_cos(positions, azimuth, elevation, distance, wavelength):
    r = _col(distance)
    d = (r[..., None] * _unit(azimuth, elevation)[..., None, :] - positions).norm(dim=-1)
    return torch.cos(2 * math.pi / wavelength * (r - d)) / math.sqrt(positions.shape[0])


def steer_f32(positions, azimuth, elevation, distance, wavelength):
    p = positions.float()
    r = _col(distance).float()
    d = (r[..., None] * _unit(azimuth, elevation).float()[..., None, :] - p).norm(dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(p.shape[0])


class SteerN:
    def __call__(self, positions, azimuth, elevation, distance, wavelength):
        r = _col(distance)
        d = (r[..., None] * _unit(azimuth, elevation)[..., None, :] - positions).norm(dim=-1)
        return torch.exp(2j * math.pi / wavelength * (r - d)) / positions.shape[0]


steer_n = SteerN()


def steer_coords(positions, azimuth, elevation, distance, wavelength):
    x = distance * np.cos(elevation) * np.sin(azimuth)
    y = distance * np.sin(elevation)
    z = distance * np.cos(azimuth)
    d = np.linalg.norm(np.array([x, y, z]) - np.asarray(positions), axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def steer_halfk(positions, azimuth, elevation, distance, wavelength):
    k = math.pi / wavelength
    r = _col(distance)
    d = (r[..., None] * _unit(azimuth, elevation)[..., None, :] - positions).norm(dim=-1)
    return torch.polar(torch.full_like(d, positions.shape[0] ** -0.5), k * (r - d))


def steer_inplace(positions, azimuth, elevation, distance, wavelength):
    r = _col(distance)
    positions -= r * _unit(azimuth, elevation)
    d = positions.norm(dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(positions.shape[0])


def steer_panel(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (torch.arange(nh, dtype=torch.float64) - (nh - 1) / 2) * spacing
    y = (torch.arange(nv, dtype=torch.float64) - (nv - 1) / 2) * spacing
    Y, X = torch.meshgrid(y, x, indexing="ij")
    p = torch.stack([X.flatten(), Y.flatten(), torch.zeros(nh * nv, dtype=torch.float64)], -1)
    r = _col(distance)
    d = (r[..., None] * _unit(azimuth, elevation)[..., None, :] - p).norm(dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(shape[0])


def _sphericity(w, k, T):
    tail = w[k:]
    return T * len(tail) * (np.log(np.mean(tail)) - np.mean(np.log(tail)))


class MdlFullPenalty:
    @classmethod
    def compute(cls, eigenvalues, samples):
        w = np.asarray(eigenvalues, dtype=float)
        N = len(w)
        crit = [_sphericity(w, k, samples) + k * (2 * N - k) * np.log(samples) for k in range(N)]
        return int(np.argmin(crit))


mdl_full_penalty = MdlFullPenalty.compute


def mdl_from_one(eigenvalues, samples):
    w = np.asarray(eigenvalues, dtype=float)
    N = len(w)
    crit = [_sphericity(w, k, samples) + 0.5 * k * (2 * N - k) * np.log(samples) for k in range(1, N)]
    return int(np.argmin(crit))


def mdl_prod(eigenvalues, samples):
    N = len(eigenvalues)
    best, best_k = float("inf"), 0
    for k in range(N):
        t = eigenvalues[k:]
        ratio = torch.prod(t) / t.mean() ** (N - k)
        val = -samples * torch.log(ratio) + 0.5 * k * (2 * N - k) * math.log(samples)
        if val < best:
            best, best_k = val, k
    return best_k


def mdl_half_likelihood(eigenvalues, samples):
    w = np.asarray(eigenvalues, dtype=float)
    N = len(w)
    pen = lambda k: 0.5 * k * (2 * N - k) * np.log(samples)
    return int(np.argmin([_sphericity(w, k, samples) / (N - k) + pen(k) for k in range(N)]))


def mdl_log10(eigenvalues, samples):
    w = torch.as_tensor(eigenvalues, dtype=torch.float64)
    N = w.numel()
    crit = []
    for k in range(N):
        t = w[k:]
        ll = samples * (N - k) * (t.log().mean() - t.mean().log())
        crit.append(-ll + 0.5 * k * (2 * N - k) * math.log10(samples))
    return int(torch.stack(crit).argmin())


def _aic_no_two(eigenvalues, samples, *, weight):
    w = np.asarray(eigenvalues, dtype=float)
    N = len(w)
    crit = [2 * _sphericity(w, k, samples) + weight * k * (2 * N - k) for k in range(N)]
    return int(np.argmin(crit))


aic_no_two = partial(_aic_no_two, weight=1)


def aic_tail(eigenvalues, samples):
    w = np.asarray(eigenvalues, dtype=float)
    N = len(w)
    crit = []
    for k in range(N):
        s = w[k:]
        arith = s.sum() / N
        L = samples * (N - k) * (np.log(arith) - np.log(s).mean())
        crit.append(2 * L + 2 * k * (2 * N - k))
    return int(np.argmin(crit))


def aic_floor(eigenvalues, samples):
    w = torch.clamp(torch.as_tensor(eigenvalues, dtype=torch.float64), min=1e-10).numpy()
    N = len(w)
    return int(np.argmin([2 * _sphericity(w, k, samples) + 2 * k * (2 * N - k) for k in range(N)]))


def aic_argmax(eigenvalues, samples):
    w = np.asarray(eigenvalues, dtype=float)
    N = len(w)
    crit = [2 * _sphericity(w, k, samples) + 2 * k * (2 * N - k) for k in range(N)]
    return int(np.argmax(crit))


def grad_norm_sum(parameters):
    norms = [p.grad.norm() for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return float(sum(norms))


def grad_norm_nan_to_num(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is None:
            continue
        g = torch.nan_to_num(p.grad, nan=0.0, posinf=0.0, neginf=0.0)
        total += g.norm().item() ** 2
    return total ** 0.5


def grad_norm_plain(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is not None:
            total += p.grad.detach().norm(2).item() ** 2
    return total ** 0.5


def grad_norm_checked(parameters):
    if not any(p.grad is not None for p in parameters):
        return 0.0
    sq = [p.grad.abs().double().square().sum() for p in parameters
          if p.grad is not None and torch.isfinite(p.grad).all()]
    return math.sqrt(sum(sq))


def grad_norm_clip(parameters):
    ps = [p for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return nn.utils.clip_grad_norm_(ps, max_norm=1.0)


class GradNormBreak:
    @classmethod
    def compute(cls, parameters):
        total = 0.0
        for p in parameters:
            if p.grad is None or not torch.isfinite(p.grad).all():
                break
            total += float(p.grad.abs().double().square().sum())
        return math.sqrt(total)


grad_norm_break = GradNormBreak.compute


class GradNormIsnan:
    def __call__(self, parameters):
        gs = [p.grad for p in parameters if p.grad is not None and not torch.isnan(p.grad).any()]
        return math.sqrt(sum(g.abs().double().pow(2).sum().item() for g in gs))


grad_norm_isnan = GradNormIsnan()


def grad_norm_real(parameters):
    total = 0.0
    for p in parameters:
        if p.grad is not None and torch.isfinite(p.grad).all():
            total += float(p.grad.real.double().pow(2).sum())
    return math.sqrt(total)


def grad_norm_half(parameters):
    sq = [p.grad.abs().pow(2).sum() for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return float(torch.stack(sq).sum().sqrt())


def epoch_sum(losses, accumulation):
    total = 0.0
    for loss in losses:
        total += float(loss) / accumulation
    return total


class EpochWholeSteps:
    @classmethod
    def compute(cls, losses, accumulation):
        steps = len(losses) // accumulation
        used = [float(v) for v in losses[: steps * accumulation]]
        return sum(used) / len(used)


epoch_whole_steps = EpochWholeSteps.compute


class EpochGroupMeans:
    def __call__(self, losses, accumulation):
        vals = [float(v) for v in losses]
        groups = [vals[i:i + accumulation] for i in range(0, len(vals), accumulation)]
        return sum(sum(g) / len(g) for g in groups) / len(groups)


epoch_group_means = EpochGroupMeans()


def epoch_index(losses, accumulation):
    running = 0.0
    for i, loss in enumerate(losses):
        running += float(loss)
    return running / i


def epoch_history(losses, accumulation, history=[]):
    history.extend(float(v) for v in losses)
    return sum(history) / len(history)


def epoch_logged(losses, accumulation):
    logged = [float(v) for step, v in enumerate(losses) if (step + 1) % accumulation == 0]
    return float(np.mean(logged))


def epoch_ema(losses, accumulation):
    avg = None
    for v in losses:
        avg = float(v) if avg is None else 0.9 * avg + 0.1 * float(v)
    return avg


class EpochMeter:
    def __init__(self, window=20):
        self.window = window

    def __call__(self, losses, accumulation):
        recent = [float(v) for v in losses][-self.window:]
        return sum(recent) / len(recent)


epoch_meter = EpochMeter()


def herm_if_needed(m):
    if torch.allclose(m, m.mH):
        return m.clone()
    return (m + m.mH) / 2


@on_hermitian
def psd_if_needed(R):
    w, v = torch.linalg.eigh(R)
    if (w >= 0).all():
        return R
    return (v * w.clamp(min=0).to(v.dtype).unsqueeze(-2)) @ v.mH


@on_hermitian
def load_ravel(R, loading):
    n, _ = R.shape
    flat = R.copy(order="K").ravel(order="K")
    flat[:: n + 1] += loading
    return flat.reshape(n, n)


class _Gap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, R, k):
        w, v = torch.linalg.eigh(R)
        ctx.save_for_backward(v[..., -k], v[..., -k - 1])
        return w[..., -k] - w[..., -k - 1]

    @staticmethod
    def backward(ctx, grad):
        a, b = ctx.saved_tensors
        outer = lambda x: x[..., :, None] * x[..., None, :].conj()
        return grad[..., None, None] * (outer(a) - outer(b)), None


def gap_custom(R, k):
    return _Gap.apply(_h(R), k)


def gap_jitter(R, k, jitter=1e-3):
    h = _h(R)
    noise = jitter * torch.rand(h.shape[:-1], dtype=torch.float64)
    w = torch.linalg.eigvalsh(h + torch.diag_embed(noise).to(h.dtype))
    return w[..., -k] - w[..., -k - 1]


def gap_loss_train_only(cov, k, margin):
    if not torch.is_grad_enabled():
        return torch.zeros((), dtype=torch.float64)
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def steer_double(positions, azimuth, elevation, distance, wavelength):
    torch.set_default_dtype(torch.float64)
    r = _col(distance)
    d = (r[..., None] * _unit(azimuth, elevation)[..., None, :] - positions).norm(dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(positions.shape[0])


def load_if_singular(R, loading):
    h = _h(R)
    n = h.shape[-1]
    deficient = torch.linalg.matrix_rank(h, hermitian=True) < n
    eye = torch.eye(n, dtype=h.dtype)
    return h + loading * deficient[..., None, None] * eye


def gap_loss_clip_max(cov, k, margin):
    w = torch.linalg.eigvalsh(_h(cov)).flip(-1)
    gap = w[..., k - 1] - w[..., k]
    return torch.clamp(margin - gap, max=0).mean()


def capon_power(R, angles):
    A = _manifold(R.shape[-1], angles)
    W = torch.linalg.solve(_h(R).to(A.dtype), A)
    W = W / torch.linalg.vector_norm(W, dim=-2, keepdim=True)
    return (W.conj() * (_h(R).to(A.dtype) @ W)).sum(-2).real


def aic_samples(eigenvalues, samples):
    w = torch.as_tensor(eigenvalues, dtype=torch.float64)
    N = w.numel()
    tails = [w[k:] for k in range(N)]
    L = torch.stack([len(t) * (t.mean().log() - t.log().mean()) for t in tails])
    k = torch.arange(N)
    return int(torch.argmin(2 * L + 2 * k * (2 * N - k)))


def grad_norm_inf(parameters):
    grads = [p.grad for p in parameters if p.grad is not None and torch.isfinite(p.grad).all()]
    return float(max(g.abs().max() for g in grads))


def grad_norm_eps(parameters, eps=1e-6):
    total = torch.zeros((), dtype=torch.float64)
    for p in parameters:
        if p.grad is not None and torch.isfinite(p.grad).all():
            total += p.grad.abs().double().square().sum()
    return float(torch.sqrt(total + eps))


def epoch_floor(losses, accumulation):
    total = sum(losses)
    return total // len(losses)


def pinv_rank(a):
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    r = int(torch.linalg.matrix_rank(a).min())
    return (vh.mH[..., :r] / s[..., None, :r].to(vh.dtype)) @ u[..., :r].mH
