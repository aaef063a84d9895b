"""Functions of Hermitian matrices.

Signatures assumed: matrix_sqrt(matrix) -> Hermitian positive root of a positive semidefinite R;
whitening(matrix) -> W with W R W^H = I (any such W) of a positive definite R;
psd_projection(matrix) -> nearest positive semidefinite matrix of the Hermitian part (Frobenius);
pseudo_inverse(matrix) -> Moore-Penrose inverse.
"""

import numpy as np
import scipy.linalg as sla
import torch


def msqrt(R):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return (V * np.sqrt(np.maximum(w, 0))) @ V.conj().T


def msqrt_svd(R):
    U, s, _ = np.linalg.svd((R + R.conj().T) / 2)
    return U @ np.diag(np.sqrt(s)) @ U.conj().T


def msqrt_torch(R):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    return V @ torch.diag_embed(w.clamp(min=0).sqrt()).to(V.dtype) @ V.mH


def msqrt_chol(R):
    return np.linalg.cholesky(R)


def msqrt_T(R):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return (V * np.sqrt(np.maximum(w, 0))) @ V.T


def msqrt_entry(R):
    return np.sqrt(R.astype(complex))


def white(R):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return (V / np.sqrt(w)) @ V.conj().T


def white_chol(R):
    L = np.linalg.cholesky((R + R.conj().T) / 2)
    return sla.solve_triangular(L, np.eye(len(R)), lower=True)


def white_pca(R):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return (V / np.sqrt(w)).conj().T


def white_upper(R):
    return np.linalg.inv(np.linalg.cholesky(R)).conj().T


def white_inverse(R):
    return np.linalg.inv(R)


def white_pca_T(R):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return (V / np.sqrt(w)).T


def psd(R):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return (V * np.clip(w, 0, None)) @ V.conj().T


def psd_higham(R):
    B = (R + R.conj().T) / 2
    _, s, Vh = np.linalg.svd(B)
    P = Vh.conj().T @ np.diag(s) @ Vh
    return (B + (P + P.conj().T) / 2) / 2


def psd_torch(R):
    w, V = torch.linalg.eigh((R + R.mH) / 2)
    return (V * w.relu().unsqueeze(-2)) @ V.mH


def psd_abs(R):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return (V * np.abs(w)) @ V.conj().T


def psd_shift(R):
    H = (R + R.conj().T) / 2
    return H + max(-np.linalg.eigvalsh(H)[0], 0) * np.eye(len(H))


def psd_floor(R):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return (V * np.clip(w, 1e-3, None)) @ V.conj().T


def pinv_np(A):
    return np.linalg.pinv(A)


def pinv_svd(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    cut = max(A.shape) * np.finfo(s.dtype).eps * s.max(initial=0)
    si = np.where(s > cut, 1 / np.where(s > cut, s, 1), 0)
    return (Vh.conj().T * si) @ U.conj().T


def pinv_torch(A):
    return torch.linalg.pinv(A)


def pinv_T(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    return (Vh.T / s) @ U.T


def pinv_abs(A):
    U, s, Vh = np.linalg.svd(A, full_matrices=False)
    si = np.where(s > 1e-6, 1 / np.maximum(s, 1e-30), 0)
    return (Vh.conj().T * si) @ U.conj().T


def pinv_normal(A):
    return np.linalg.solve(A.T @ A + 1e-8 * np.eye(A.shape[1]), A.T)
