"""MUSIC and Capon spectra of strangers."""

import numpy as np
import torch


def herm(R):
    return (R + R.mH) / 2


def noise(R, k):
    return torch.linalg.eigh(herm(R))[1][..., : R.shape[-1] - k]


def music_wrong_end(R, A, k):
    E = torch.linalg.eigh(herm(R))[1][..., k:]
    return 1 / (E.mH @ A).abs().square().sum(-2)


def music_transposed(R, A, k):
    E = noise(R, k)
    return 1 / (E.transpose(-2, -1) @ A).abs().square().sum(-2)


def music_root(R, A, k):
    return 1 / torch.linalg.vector_norm(noise(R, k).mH @ A, dim=-2)


def music_numerator(R, A, k):
    E = noise(R, k)
    return A.abs().square().sum(-2) / (E.mH @ A).abs().square().sum(-2)


def music_unit(R, A, k):
    U = torch.linalg.eigh(herm(R))[1][..., -k:]
    return 1 / (1 - (U.mH @ A).abs().square().sum(-2)).clamp(min=1e-30)


def music_off(R, A, k):
    E = noise(R, k - 1) if k > 1 else torch.linalg.eigh(herm(R))[1]
    return 1 / (E.mH @ A).abs().square().sum(-2)


def music_svd(R, A, k):
    U = torch.linalg.svd(herm(R))[0][..., k:]
    return 1 / (U.mH @ A).abs().square().sum(-2)


def music_ev(R, A, k):
    w, V = torch.linalg.eigh(herm(R))
    n = R.shape[-1]
    p = (V[..., : n - k].mH @ A).abs().square()
    return 1 / (p / w[..., : n - k, None].abs()).sum(-2)


def music_chunks(R, A, k, chunk=1024):
    E = noise(R, k)
    G = A.shape[-1]
    out = torch.zeros(*torch.broadcast_shapes(R.shape[:-2], A.shape[:-2]), G, dtype=A.real.dtype)
    if chunk >= G:
        return 1 / (E.mH @ A).abs().square().sum(-2)
    for g in range(0, G - chunk + 1, chunk):
        out[..., g : g + chunk] = 1 / (E.mH @ A[..., g : g + chunk]).abs().square().sum(-2)
    return out


def music_nograd(R, A, k):
    E = noise(R.detach(), k)
    return 1 / (E.mH @ A).abs().square().sum(-2)


def music_steering_detached(R, A, k):
    E = noise(R, k)
    return 1 / (E.mH @ A.detach()).abs().square().sum(-2)


def music_unique(R, A, k):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    lam = np.unique(np.round(w / np.abs(w).max(), 6))[::-1]
    kk = np.isin(np.round(w / np.abs(w).max(), 6), lam[: min(k, len(lam) - 1)])
    E = V[:, ~kk]
    return 1 / np.sum(np.abs(E.conj().T @ A) ** 2, axis=0)


def music_first_scene(R, A, k):
    E = noise(R, k)
    A0 = A.reshape(-1, *A.shape[-2:])[0]
    return 1 / (E.mH @ A0).abs().square().sum(-2)


def music_mean_projector(R, A, k):
    E = noise(R, k)
    P = E @ E.mH
    if P.ndim > 2:
        P = P.reshape(-1, *P.shape[-2:]).mean(0).expand(P.shape)
    return 1 / (A.conj() * (P @ A)).sum(-2).real


def music_real(R, A, k):
    E = noise(R, k)
    P = (E @ E.mH).real.to(A.dtype)
    return 1 / (A.conj() * (P @ A)).sum(-2).abs()


def music_normalises(R, A, k):
    A /= np.linalg.norm(A, axis=0)
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    E = V[:, : len(w) - k]
    return 1 / np.sum(np.abs(E.conj().T @ A) ** 2, axis=0)


def music_quartic(R, A, k):
    E = noise(R, k)
    p = A.abs().square().sum(-2)
    return p**2 / (E.mH @ A).abs().square().sum(-2)


def mvdr_bartlett(R, A):
    return (A.conj() * (herm(R) @ A)).sum(-2).real


def mvdr_reciprocal(R, A):
    return (A.conj() * torch.linalg.solve(herm(R), A)).sum(-2).real


def mvdr_conj(R, A):
    return 1 / (A * torch.linalg.solve(herm(R), A.conj())).sum(-2).real


def mvdr_noconj(R, A):
    return 1 / (A * torch.linalg.solve(herm(R), A)).sum(-2).abs()


def mvdr_pinv(R, A):
    return 1 / (A.conj() * (torch.linalg.pinv(herm(R), rtol=1e-3) @ A)).sum(-2).real


def mvdr_jitter(R, A):
    H = herm(R) + 1e-6 * torch.eye(R.shape[-1], dtype=R.dtype)
    return 1 / (A.conj() * torch.linalg.solve(H, A)).sum(-2).real


def mvdr_unit(R, A):
    A = A / torch.linalg.vector_norm(A, dim=-2, keepdim=True)
    return 1 / (A.conj() * torch.linalg.solve(herm(R), A)).sum(-2).real


def mvdr_squared(R, A):
    return 1 / (A.conj() * torch.linalg.solve(herm(R), A)).sum(-2).real ** 2


def mvdr_applebaum(R, A):
    X = torch.linalg.solve(herm(R), A)
    return (A.conj() * X).sum(-2).real / X.abs().square().sum(-2)


def mvdr_numpy_inverse(R, A):
    Ri = torch.from_numpy(np.linalg.inv(herm(R).detach().numpy()))
    return 1 / (A.conj() * (Ri @ A)).sum(-2).real


def mvdr_half(R, A):
    X = torch.linalg.solve(herm(R), A)
    return 1 / (A.conj() * X.detach()).sum(-2).real


def mvdr_subarray(R, A):
    H, B = herm(R)[..., :16, :16], A[..., :16, :]
    return 1 / (B.conj() * torch.linalg.solve(H, B)).sum(-2).real


def mvdr_raw(net_output, A):
    """Capon spectrum of the raw (not symmetrized) covariance from the network."""
    L = torch.linalg.cholesky(net_output)
    X = torch.linalg.solve_triangular(L, A, upper=False)
    return 1 / X.abs().square().sum(-2)


def mvdr_mean(R, A):
    H = herm(R)
    if H.ndim > 2:
        H = H.reshape(-1, *H.shape[-2:]).mean(0).expand(H.shape)
    return 1 / (A.conj() * torch.linalg.solve(H, A)).sum(-2).real


def mvdr_grid(R, A):
    p = 1 / (A.conj() * torch.linalg.solve(herm(R), A)).sum(-2).real
    G = p.shape[-1]
    if G > 1000:
        m = G // 1000 * 1000
        p = torch.cat([p[..., :m], p[..., m - 1 : m].expand(*p.shape[:-1], G - m)], -1)
    return p


def mvdr_nan(R, A):
    if not np.all(np.isfinite(R)):
        R = np.eye(len(R))
    Ri = np.linalg.inv((R + R.conj().T) / 2)
    return 1 / np.real(np.einsum("ng,nm,mg->g", A.conj(), Ri, A))
