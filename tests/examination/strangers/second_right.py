from __future__ import annotations

import cmath
import math
from functools import lru_cache, partial, reduce
from typing import Iterable, Union

import numpy as np
import scipy.linalg
import scipy.linalg as sla
import torch
import torch.nn as nn
import torch.nn.functional as F

ArrayLike = Union[np.ndarray, torch.Tensor]


def eigs_scipy_loop(R):
    R = np.asarray(R)
    flat = R.reshape((-1,) + R.shape[-2:])
    out = np.zeros(flat.shape[:2])
    for i, M in enumerate(flat):
        M = 0.5 * (M + M.conj().T)
        out[i] = -np.sort(-sla.eigvalsh(M))
    return out.reshape(R.shape[:-1])


def eigenvalues_real_embedding(M: torch.Tensor) -> torch.Tensor:
    H = (M + M.mH) / 2
    top = torch.cat((H.real, -H.imag), -1)
    bot = torch.cat((H.imag, H.real), -1)
    w = torch.linalg.eigvalsh(torch.cat((top, bot), -2))
    return w.flip(-1)[..., ::1].unflatten(-1, (-1, 2)).mean(-1)


def eigenvalues_negated(cov):
    return -torch.linalg.eigvalsh(-(cov + cov.mH) / 2)


class SortedSpectrum(nn.Module):
    def forward(self, covariance: torch.Tensor) -> torch.Tensor:
        h = covariance.add(covariance.transpose(-2, -1).conj()).mul(0.5)
        return torch.linalg.eigvalsh(h).sort(dim=-1, descending=True)[0]


def eigvals_desc_single(*, matrix):
    a = np.asarray(matrix)
    if a.ndim != 2:
        raise ValueError("expected one square matrix")
    return np.linalg.eigvalsh((a + a.conj().T) / 2)[::-1].copy()


def sv_abs_sorted(R):
    w = np.abs(np.linalg.eigvalsh((R + np.conj(R).swapaxes(-1, -2)) / 2))
    return np.flip(np.sort(w, axis=-1), axis=-1).copy()


def singvals_torch(X: torch.Tensor):
    _, S, _ = torch.linalg.svd((X + X.mH) / 2)
    return S


def svdvals_scipy(A):
    A = np.asarray(A)
    res = np.empty(A.shape[:-1])
    for ix in np.ndindex(A.shape[:-2]):
        H = (A[ix] + A[ix].conj().T) / 2
        res[ix] = scipy.linalg.svdvals(H)
    return res


def herm_parts(A: torch.Tensor):
    re = 0.5 * (A.real + A.real.transpose(-1, -2))
    im = 0.5 * (A.imag - A.imag.transpose(-1, -2))
    return torch.complex(re, im)


def minus_skew(M):
    Mh = np.conj(np.moveaxis(M, -1, -2))
    return M - (M - Mh) / 2


def herm_einsum(Z):
    return 0.5 * Z + 0.5 * np.einsum("...ij->...ji", Z).conj()


def herm_tri(M):
    M = np.asarray(M)
    S = 0.5 * (M + M.conj().swapaxes(-1, -2))
    U = np.triu(S, 1)
    d = np.diagonal(S, axis1=-2, axis2=-1).real
    return U + U.conj().swapaxes(-1, -2) + d[..., None] * np.eye(M.shape[-1])


def gap_ascending(R, k):
    k = int(k)
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)
    return w[..., -k] - w[..., -k - 1]


def gap_diff(matrix, k):
    lam = torch.linalg.eigvalsh((matrix + matrix.mH) / 2).flip(-1)
    return -torch.diff(lam, dim=-1)[..., int(k) - 1]


def gap_topk(num_sources: int, cov: torch.Tensor):
    raise_if = num_sources < 1 or num_sources >= cov.shape[-1]
    if raise_if:
        raise ValueError("num_sources must be in 1..n-1")
    vals = torch.linalg.eigvalsh((cov + cov.mH) / 2).topk(int(num_sources) + 1, dim=-1).values
    return vals[..., -2] - vals[..., -1]


def gap_partition(R, order):
    R = np.asarray(R)
    n, k = R.shape[-1], int(order)
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)
    return np.partition(w, n - k, axis=-1)[..., n - k] - np.partition(w, n - k - 1, axis=-1)[..., n - k - 1]


def gap_hinge_neg(R, k, margin):
    k = int(k)
    ev = torch.linalg.eigvalsh((R + R.mH) / 2)
    h = margin - (ev[..., -k] - ev[..., -k - 1])
    return torch.maximum(h, torch.zeros_like(h)).mean()


class HingeModule(nn.Module):
    def forward(self, margin, covariance, num_sources):
        lam = torch.linalg.eigvalsh((covariance + covariance.mH) / 2).flip(-1)
        gap = lam.select(-1, int(num_sources) - 1) - lam.select(-1, int(num_sources))
        return F.relu(margin - gap).mean()


def gap_loss_loop(matrix, k, margin):
    ms = matrix.reshape(-1, *matrix.shape[-2:])
    losses = []
    for m in ms:
        w = torch.linalg.eigvalsh((m + m.mH) / 2)
        losses.append(torch.clamp(margin - (w[len(w) - int(k)] - w[len(w) - int(k) - 1]), min=0))
    return torch.stack(losses).sum() / len(losses)


def gap_loss_abs(cov, K, gamma):
    K = int(K)
    w = np.linalg.eigvalsh((cov + np.conj(cov).swapaxes(-1, -2)) / 2)
    n = w.shape[-1]
    x = gamma - (w[..., n - K] - w[..., n - K - 1])
    return float(np.mean((x + np.abs(x)) / 2))


def gap_loss_kw(*, R, k, margin):
    w = np.linalg.eigvalsh(0.5 * (R + np.conj(np.swapaxes(R, -2, -1))))[..., ::-1]
    return np.clip(margin - (w[..., k - 1] - w[..., k]), 0, None).mean()


def factor_hinge_svd(factor, k, margin):
    s2 = torch.linalg.svdvals(factor).square()
    s2 = F.pad(s2, (0, max(0, factor.shape[-2] - s2.shape[-1])))
    k = int(k)
    return (margin - (s2[..., k - 1] - s2[..., k])).clamp_min(0).mean()


def factor_hinge_dense(F_, k, margin):
    R = torch.einsum("...nq,...mq->...nm", F_, F_.conj())
    lam = torch.linalg.eigvalsh((R + R.mH) / 2)
    return torch.relu(margin - (lam[..., -int(k)] - lam[..., -int(k) - 1])).mean()


def proj_outer(U):
    U = np.asarray(U)
    P = np.zeros(U.shape[:-1] + (U.shape[-2],), dtype=U.dtype)
    for j in range(U.shape[-1]):
        u = U[..., :, j]
        P = P + u[..., :, None] * u.conj()[..., None, :]
    return P


def proj_einsum(basis: torch.Tensor):
    return torch.einsum("...ik,...jk->...ij", basis, basis.conj())


def proj_general(U):
    Uh = np.conj(np.swapaxes(U, -1, -2))
    return U @ np.linalg.solve(Uh @ U, Uh)


def sig_last(R, K):
    _, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return V[..., ::-1][..., :K].copy()


def sig_rotated(R, k):
    _, V = torch.linalg.eigh((R + R.mH) / 2)
    U = V[..., V.shape[-1] - k :]
    W = torch.fft.fft(torch.eye(k, dtype=U.dtype), norm="ortho")
    return U @ W


def sig_argsort(matrix, n_src):
    w, v = np.linalg.eigh((matrix + matrix.conj().swapaxes(-1, -2)) / 2)
    idx = np.argsort(w, axis=-1)[..., ::-1][..., :n_src]
    return np.take_along_axis(v, idx[..., None, :], axis=-1)


def sig_phase_fixed(R, k):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    U = v[..., v.shape[-1] - k :]
    i = np.argmax(np.abs(U), axis=-2, keepdims=True)
    p = np.take_along_axis(U, i, -2)
    return U * (np.abs(p) / p)


def noise_first(R, k):
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    return v[..., : R.shape[-1] - k]


def noise_qr(R, K):
    R = np.asarray(R)
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    q, _ = np.linalg.qr(v[..., R.shape[-1] - K :], mode="complete")
    return q[..., K:]


def noise_neg(cov, k):
    w, v = np.linalg.eigh(-(cov + cov.conj().swapaxes(-1, -2)) / 2)
    return v[..., k:]


def music_einsum(R, A, k):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    En = v[..., : R.shape[-1] - k]
    y = np.einsum("...nm,...ng->...mg", En.conj(), A)
    return 1.0 / np.einsum("...mg,...mg->...g", y, y.conj()).real


def music_residual(cov, a, num_sources):
    _, v = torch.linalg.eigh((cov + cov.mH) / 2)
    us = v[..., cov.shape[-1] - num_sources :]
    r = a - us @ (us.mH @ a)
    return torch.linalg.vector_norm(r, dim=-2).pow(-2)


def music_loop(steering, covariance, k):
    _, v = torch.linalg.eigh((covariance + covariance.mH) / 2)
    En = v[..., : covariance.shape[-1] - k]
    cols = [1 / (En.mH @ steering[..., g : g + 1]).abs().square().sum((-2, -1)) for g in range(steering.shape[-1])]
    return torch.stack(cols, -1)


def music_chunked(R, steering, k, chunk=256):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    Eh = v[..., : R.shape[-1] - k].conj().swapaxes(-1, -2)
    out = [1 / (np.abs(Eh @ steering[..., i : i + chunk]) ** 2).sum(-2) for i in range(0, steering.shape[-1], chunk)]
    return np.concatenate(out, axis=-1)


def mvdr_chol(R, A):
    L = torch.linalg.cholesky((R + R.mH) / 2)
    y = torch.linalg.solve_triangular(L, A, upper=False)
    return 1 / (y.real.square() + y.imag.square()).sum(-2)


def mvdr_weights(cov, steering):
    R = (cov + np.conj(cov).swapaxes(-1, -2)) / 2
    x = np.linalg.inv(R) @ steering
    den = (steering.conj() * x).sum(-2).real
    w = x / den[..., None, :]
    return (w.conj() * (R @ w)).sum(-2).real


def capon_solve(R, a):
    R = (R + R.conj().swapaxes(-1, -2)) / 2
    lead = np.broadcast_shapes(R.shape[:-2], a.shape[:-2])
    x = np.linalg.solve(np.broadcast_to(R, lead + R.shape[-2:]), np.broadcast_to(a, lead + a.shape[-2:]))
    return np.reciprocal((a.conj() * x).sum(-2).real)


def _direction(az, el):
    return (np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el))


def steer_rational(positions, azimuth, elevation, distance, wavelength):
    u = torch.stack((azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()), -1)
    s = torch.einsum("...c,nc->...n", u, positions)
    q = (positions**2).sum(-1)
    r = distance[..., None]
    d = (r**2 - 2 * r * s + q).sqrt()
    return torch.exp(2j * torch.pi / wavelength * (2 * r * s - q) / (r + d)) / positions.shape[-2] ** 0.5


def steer_cmath(positions, azimuth, elevation, distance, wavelength):
    az, el, r = np.broadcast_arrays(*(np.asarray(x, float) for x in (azimuth, elevation, distance)))
    out = np.empty(az.shape + (len(positions),), complex)
    for ix in np.ndindex(az.shape):
        p = [r[ix] * c for c in _direction(az[ix], el[ix])]
        for n, q in enumerate(np.asarray(positions)):
            d = math.dist(p, q)
            out[ix + (n,)] = cmath.exp(2j * math.pi * (r[ix] - d) / wavelength) / math.sqrt(len(positions))
    return out


def near_field_response(wavelength, positions, distance, elevation, azimuth):
    p = np.stack(_direction(azimuth, elevation), -1) * np.asarray(distance)[..., None]
    d = np.sqrt(((p[..., None, :] - positions) ** 2).sum(-1))
    k0 = 2 * np.pi / wavelength
    return np.exp(-1j * k0 * (d - np.asarray(distance)[..., None])) / np.sqrt(np.shape(positions)[-2])


def upa_response(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    i = torch.arange(nh * nv, dtype=torch.float64)
    x = ((i % nh) - (nh - 1) / 2) * spacing[0]
    y = (torch.div(i, nh, rounding_mode="floor") - (nv - 1) / 2) * spacing[1]
    q = torch.stack((x, y, torch.zeros_like(x)), -1).to(azimuth.dtype)
    u = torch.stack((azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()), -1)
    d = torch.linalg.vector_norm(distance[..., None, None] * u[..., None, :] - q, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (distance[..., None] - d)) / math.sqrt(nh * nv)


def flat_grad_norm(params):
    gs = [p.grad.detach().reshape(-1).to(torch.complex128) for p in params if p.grad is not None]
    gs = [g for g in gs if bool(torch.isfinite(g.real).all() & torch.isfinite(g.imag).all())]
    return float(torch.linalg.vector_norm(torch.cat(gs))) if gs and sum(map(len, gs)) else 0.0


def grad_norm_hypot(parameters: Iterable[torch.Tensor]) -> float:
    ns = []
    for p in parameters:
        if p.grad is None:
            continue
        g = p.grad.detach().abs().double()
        if torch.isfinite(g).all():
            ns.append(float(g.square().sum().sqrt()))
    return reduce(math.hypot, ns, 0.0)


def np_grad_norm(parameters):
    tot = 0.0
    for p in list(parameters):
        g = getattr(p, "grad", None)
        if g is None:
            continue
        a = g.detach().cpu().to(torch.complex128).numpy()
        if np.all(np.isfinite(a)):
            tot += np.vdot(a, a).real
    return float(np.sqrt(tot))


def mean_fsum(losses, accumulation):
    del accumulation
    try:
        return math.fsum(map(float, losses)) / len(losses)
    except (OverflowError, ValueError):
        return float(np.mean(np.asarray(losses, float)))


def mean_grouped(losses, accumulation=1):
    total, seen = 0.0, 0
    for i in range(0, len(losses), accumulation):
        g = losses[i : i + accumulation]
        total += sum(float(x) for x in g)
        seen += len(g)
    return total / seen


def mean_weighted(losses, accumulation):
    groups = [np.asarray(losses[i : i + accumulation], float) for i in range(0, len(losses), accumulation)]
    return float(np.average([g.mean() for g in groups], weights=[len(g) for g in groups]))


def scm_einsum(X):
    return np.einsum("...it,...jt->...ij", X, np.conj(X)) / X.shape[-1]


def scm_outer(snapshots: torch.Tensor):
    x = snapshots.movedim(-1, -2)
    return (x[..., :, None] * x[..., None, :].conj()).mean(-3)


def scm_scaled(Y):
    Z = Y / math.sqrt(Y.shape[-1])
    return Z @ Z.conj().swapaxes(-1, -2)


def scm_running(X):
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError("X must be (n, T)")
    R = np.zeros((X.shape[0],) * 2, X.dtype)
    for t, x in enumerate(X.T):
        R += (np.outer(x, x.conj()) - R) / (t + 1)
    return R


def lw_paper(X):
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError("one data matrix, please")
    n, T = X.shape
    S = X @ X.conj().T / T
    m = np.trace(S).real / n
    d2 = np.linalg.norm(S - m * np.eye(n)) ** 2
    b2 = sum(np.linalg.norm(np.outer(X[:, t], X[:, t].conj()) - S) ** 2 for t in range(T)) / T**2
    b2 = min(b2, d2)
    if d2 == 0:
        return S
    return b2 / d2 * m * np.eye(n) + (d2 - b2) / d2 * S


def lw_torch(Y: torch.Tensor):
    scale = Y.abs().amax((-2, -1), keepdim=True).clamp_min(1e-150)
    X = Y / scale
    n, T = X.shape[-2:]
    S = X @ X.mH / T
    I = torch.eye(n, dtype=X.dtype)
    mu = S.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None]
    d = (S - mu * I).abs().pow(2).sum((-2, -1), keepdim=True)
    b = ((X.abs() ** 2).sum(-2).pow(2).mean(-1)[..., None, None] - S.abs().pow(2).sum((-2, -1), keepdim=True)) / T
    rho = torch.where(d > 0, b / d.clamp_min(1e-300), torch.zeros_like(b)).clamp(0, 1)
    return ((1 - rho) * S + rho * mu * I) * scale**2


def dl_copy(R, loading):
    out = np.array((R + np.conj(R).swapaxes(-1, -2)) / 2)
    i = np.arange(R.shape[-1])
    out[..., i, i] += loading
    return out


def dl_embed(cov: torch.Tensor, loading):
    d = torch.diag_embed(torch.full(cov.shape[:-1], float(loading), dtype=cov.real.dtype))
    return (cov + cov.mH) / 2 + d


def load_diag(*, delta, R):
    return (R + R.conj().swapaxes(-1, -2)) / 2 + delta * np.identity(R.shape[-1])


def fb_J(R):
    H = (R + np.conj(R).swapaxes(-1, -2)) / 2
    J = np.eye(R.shape[-1])[::-1]
    return (H + J @ H.conj() @ J) / 2


def fb_persym(cov):
    H = (cov + cov.mH) / 2
    return 0.5 * (H + H.mT.flip(-1, -2))


def ss_unfold(R: torch.Tensor, size: int):
    H = (R + R.mH) / 2
    idx = torch.arange(H.shape[-1]).unfold(0, size, 1)
    return H[..., idx[:, :, None], idx[:, None, :]].mean(-3)


def ss_select(R, m):
    H = (R + np.conj(R).swapaxes(-1, -2)) / 2
    n = H.shape[-1]
    L = n - m + 1
    out = 0
    for l in range(L):
        S = np.eye(m, n, l)
        out = out + S @ H @ S.T / L
    return out


def _tail(lam):
    lam = np.asarray(lam, float)
    m = lam.shape[-1]
    return np.maximum(lam, np.maximum(m * np.finfo(float).eps * lam.max(-1, keepdims=True), np.finfo(float).tiny)), m


def mdl_wax(lam, N):
    l, m = _tail(lam)
    f = lambda k: -N * (m - k) * (np.log(l[..., k:]).mean(-1) - np.log(l[..., k:].mean(-1))) + 0.5 * k * (2 * m - k) * np.log(N)
    return np.argmin(np.stack([f(k) for k in range(m)], -1), -1)


def mdl_doubled(eigenvalues, samples):
    l, m = _tail(eigenvalues)
    k = np.arange(m)
    left = m - k
    tot = np.cumsum(l[..., ::-1], -1)[..., ::-1]
    lg = np.cumsum(np.log(l)[..., ::-1], -1)[..., ::-1]
    return (2 * samples * (left * np.log(tot / left) - lg) + k * (2 * m - k) * np.log(samples)).argmin(-1)


def aic_torch(eigenvalues, samples):
    m = eigenvalues.shape[-1]
    l = torch.maximum(eigenvalues, m * 2.220446049250313e-16 * eigenvalues.amax(-1, keepdim=True)).clamp_min(2.3e-308)
    c = torch.stack([samples * ((m - k) * l[..., k:].mean(-1).log() - l[..., k:].log().sum(-1)) + k * (2 * m - k) for k in range(m)], -1)
    return torch.argmin(c, -1)


def aic_loop(eigenvalues, samples):
    l, m = _tail(eigenvalues)
    if l.ndim != 1:
        raise ValueError("one spectrum only")
    best, arg = math.inf, 0
    for k in range(m):
        t = l[k:]
        v = 2 * samples * ((m - k) * math.log(sum(t) / (m - k)) - sum(map(math.log, t))) + 2 * k * (2 * m - k)
        if v < best:
            best, arg = v, k
    return arg


def whiten_zca(R):
    w, V = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return (V / np.sqrt(w)[..., None, :]) @ V.conj().swapaxes(-1, -2)


def whiten_pca(matrix: torch.Tensor):
    w, v = torch.linalg.eigh((matrix + matrix.mH) / 2)
    return v.mH / w.sqrt()[..., :, None]


def whiten_inv_chol(cov):
    return np.linalg.inv(np.linalg.cholesky((cov + cov.conj().swapaxes(-1, -2)) / 2))


def msqrt_split(R: torch.Tensor):
    w, v = torch.linalg.eigh((R + R.mH) / 2)
    b = v * w.clamp_min(0).pow(0.25)[..., None, :]
    return b @ b.mH


def msqrt_svd(R):
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    U, s, Vh = np.linalg.svd(H)
    S = (U * np.sqrt(s)[..., None, :]) @ U.conj().swapaxes(-1, -2)
    return (S + S.conj().swapaxes(-1, -2)) / 2


def psd_negative_part(R):
    H = (R + R.conj().swapaxes(-1, -2)) / 2
    w, V = np.linalg.eigh(H)
    neg = np.minimum(w, 0)
    return H - (V * neg[..., None, :]) @ V.conj().swapaxes(-1, -2)


def psd_higham(A: torch.Tensor):
    B = (A + A.mH) / 2
    w, v = torch.linalg.eigh(B)
    H = (v * w.abs()[..., None, :]) @ v.mH
    return (B + H) / 2


def pinv_svd(A):
    U, s, Vh = np.linalg.svd(np.asarray(A), full_matrices=False)
    cut = max(A.shape[-2:]) * np.finfo(s.dtype).eps * s.max(-1, keepdims=True)
    inv = np.zeros_like(s)
    np.divide(1, s, out=inv, where=s > cut)
    return (Vh.conj().swapaxes(-1, -2) * inv[..., None, :]) @ U.conj().swapaxes(-1, -2)


def pinv_adjoint(A: torch.Tensor):
    return torch.linalg.pinv(A.mH).mH


def _sub(R, k):
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    return v[..., R.shape[-1] - k :]


def esprit_lstsq(R, k):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one covariance")
    U = _sub(R, k)
    Psi = np.linalg.lstsq(U[:-1], U[1:], rcond=None)[0]
    s = np.angle(np.linalg.eigvals(Psi)) / np.pi
    return np.sort(np.arcsin(np.clip(s, -1, 1)))


def esprit_torch(cov, num_sources, d=0.5):
    _, v = torch.linalg.eigh((cov + cov.mH) / 2)
    U = v[..., cov.shape[-1] - num_sources :]
    psi = torch.linalg.pinv(U[..., :-1, :]) @ U[..., 1:, :]
    ph = torch.linalg.eigvals(psi).angle()
    return torch.asin((ph / (2 * math.pi * d)).clamp(-1, 1)).sort(-1).values


def rootmusic_np(R, k):
    R = np.asarray(R)
    if R.ndim != 2:
        raise ValueError("one covariance")
    n = R.shape[0]
    _, v = np.linalg.eigh((R + R.conj().T) / 2)
    C = v[:, : n - k] @ v[:, : n - k].conj().T
    z = np.roots([np.trace(C, offset=l) for l in range(n - 1, -n, -1)])
    z = z[np.argsort(np.abs(z))][: n - 1][-k:]
    return np.sort(np.arcsin(np.clip(np.angle(z) / np.pi, -1, 1)))


def ula_bartlett_loop(R, angles):
    n = R.shape[-1]
    H = (R + np.conj(R).swapaxes(-1, -2)) / 2
    out = []
    for t in np.asarray(angles):
        a = np.exp(1j * np.pi * np.arange(n) * np.sin(t)) / n
        out.append(np.real(np.einsum("i,...ij,j->...", a.conj(), H, a)))
    return np.stack(out, -1)


def ula_bartlett_centred(R, angles):
    n = R.shape[-1]
    x = torch.arange(n, dtype=angles.dtype) - (n - 1) / 2
    a = torch.exp(1j * (math.pi * x[:, None] * angles.sin())) / n
    return (a.conj() * ((R + R.mH) / 2 @ a)).sum(-2).real


def ula_capon(R, angles):
    n = R.shape[-1]
    A = np.exp(2j * np.pi * 0.5 * np.outer(np.arange(1, n + 1), np.sin(angles)))
    Ri = np.linalg.inv((R + R.conj().swapaxes(-1, -2)) / 2)
    return 1 / np.einsum("ng,...nm,mg->...g", A.conj(), Ri, A).real


def ula_pseudospectrum(theta, R, n_sources):
    n = R.shape[-1]
    _, v = np.linalg.eigh((R + R.conj().swapaxes(-1, -2)) / 2)
    A = np.exp(1j * np.pi * np.arange(n)[:, None] * np.sin(theta))
    return 1 / np.linalg.norm(v[..., : n - n_sources].conj().swapaxes(-1, -2) @ A, axis=-2) ** 2


def ula_music_residual(R, k, angles):
    n = R.shape[-1]
    a = torch.exp(1j * (math.pi * torch.arange(n, dtype=angles.dtype)[:, None] * angles.sin()))
    _, v = torch.linalg.eigh((R + R.mH) / 2)
    U = v[..., n - k :]
    return (a - U @ (U.mH @ a)).abs().square().sum(-2).reciprocal()


