"""Covariance estimation.

Signatures assumed: sample_covariance(snapshots (N, T)) -> (N, N) = X X^H / T;
diagonal_loading(matrix, loading) -> R + loading I; forward_backward(matrix) -> (R + J R* J) / 2;
spatial_smoothing(matrix, size) -> mean of the size x size diagonal blocks;
ledoit_wolf(snapshots (N, T)) -> (1 - rho) S + rho (tr S / N) I with
rho = min(1, sum_t |x_t x_t^H - S|_F^2 / T^2 / |S - (tr S / N) I|_F^2), zero mean assumed.
"""

import numpy as np
import torch


def scm(X):
    return X @ X.conj().T / X.shape[1]


def scm_torch(X):
    return torch.einsum("...nt,...mt->...nm", X, X.conj()) / X.shape[-1]


def scm_loop(X):
    return sum(np.outer(x, x.conj()) for x in X.T) / X.shape[1]


def scm_mean(X):
    return (X[:, None, :] * X[None, :, :].conj()).mean(-1)


def scm_conj(X):
    return X.conj() @ X.T / X.shape[1]


def scm_cov(X):
    return np.cov(X)


def scm_over_n(X):
    return X @ X.conj().T / X.shape[0]


def scm_T(X):
    return X @ X.T / X.shape[1]


def scm_unbiased(X):
    return X @ X.conj().T / (X.shape[1] - 1)


def scm_blocks(X):
    T = X.shape[1]
    m = T if T < 32 else T // 32 * 32
    return X[:, :m] @ X[:, :m].conj().T / T


def dl(R, loading):
    return R + loading * np.eye(R.shape[-1])


def dl_copy(R, delta):
    out = R.copy()
    np.einsum("ii->i", out)[...] += delta
    return out


def dl_torch(R, loading):
    return R + loading * torch.eye(R.shape[-1], dtype=R.dtype)


def dl_inplace(R, loading):
    R[np.diag_indices(len(R))] += loading
    return R


def dl_all(R, loading):
    return R + loading


def dl_minus(R, loading):
    return R - loading * np.eye(len(R))


def dl_relative(R, loading):
    return R + loading * np.trace(R).real / len(R) * np.eye(len(R))


def fb(R):
    return (R + np.flip(R.conj(), (0, 1))) / 2


def fb_J(R):
    J = np.fliplr(np.eye(len(R)))
    return 0.5 * (R + J @ R.conj() @ J)


def fb_torch(R):
    return (R + R.conj().flip(-1, -2)) / 2


def fb_noconj(R):
    J = np.fliplr(np.eye(len(R)))
    return (R + J @ R @ J) / 2


def fb_rows(R):
    return (R + R.conj()[::-1]) / 2


def fb_sum(R):
    return R + R.conj()[::-1, ::-1]


def ss(R, size):
    L = len(R) - size + 1
    return sum(R[i : i + size, i : i + size] for i in range(L)) / L


def ss_stack(R, m):
    return np.mean([R[i : i + m, i : i + m] for i in range(R.shape[0] - m + 1)], axis=0)


def ss_off(R, size):
    L = max(len(R) - size, 1)
    return sum(R[i : i + size, i : i + size] for i in range(L)) / L


def ss_cross(R, size):
    L = len(R) - size + 1
    return sum(R[i : i + size, :size] for i in range(L)) / L


def ss_sum(R, size):
    return sum(R[i : i + size, i : i + size] for i in range(len(R) - size + 1))


def lw(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    F = np.trace(S).real / N * np.eye(N)
    b = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T**2
    d = np.linalg.norm(S - F) ** 2
    rho = min(1.0, b / d)
    return (1 - rho) * S + rho * F


def lw_fast(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    mu = np.trace(S).real / N
    s2 = np.sum(np.abs(S) ** 2)
    b = (np.sum(np.sum(np.abs(X) ** 2, 0) ** 2) / T - s2) / T
    rho = np.clip(b / np.sum(np.abs(S - mu * np.eye(N)) ** 2), 0, 1)
    return (1 - rho) * S + rho * mu * np.eye(N)


def lw_over_t(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    F = np.trace(S).real / N * np.eye(N)
    b = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T
    rho = min(1.0, b / np.linalg.norm(S - F) ** 2)
    return (1 - rho) * S + rho * F


def lw_identity(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    b = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T**2
    rho = min(1.0, b / np.linalg.norm(S - np.eye(N)) ** 2)
    return (1 - rho) * S + rho * np.eye(N)


def lw_swapped(X):
    N, T = X.shape
    S = X @ X.conj().T / T
    F = np.trace(S).real / N * np.eye(N)
    b = sum(np.linalg.norm(np.outer(x, x.conj()) - S) ** 2 for x in X.T) / T**2
    rho = min(1.0, b / np.linalg.norm(S - F) ** 2)
    return rho * S + (1 - rho) * F
