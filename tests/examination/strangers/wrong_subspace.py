"""Signal and noise subspaces, projectors."""

import numpy as np
import torch


def herm(R):
    return (R + R.mH) / 2


def signal_asc(R, k):
    return torch.linalg.eigh(herm(R))[1][..., :, :k]


def signal_rows(R, k):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    V = V[:, ::-1]
    return V[:k].T


def signal_vh(R, k):
    _, _, Vh = torch.linalg.svd(herm(R))
    return Vh[..., :k, :].transpose(-2, -1)


def signal_svd(R, k):
    U, _, _ = torch.linalg.svd(herm(R))
    return U[..., :k]


def signal_unsorted(R, k):
    w, V = np.linalg.eig((R + R.conj().T) / 2)
    return V[:, :k]


def signal_off(R, k):
    V = torch.linalg.eigh(herm(R))[1].flip(-1)
    return torch.cat([V[..., 1 : k + 1], V[..., :0]], -1)


def signal_first_order(R, k):
    w, V = torch.linalg.eig(herm(R))
    order = w.real.reshape(-1, w.shape[-1])[0].argsort(descending=True)
    return V[..., order[:k]]


def signal_factor(R, k):
    w, V = torch.linalg.eigh(herm(R))
    return V[..., -k:] * w[..., -k:].abs().sqrt().unsqueeze(-2)


def signal_detached(R, k):
    with torch.no_grad():
        V = torch.linalg.eigh(herm(R))[1]
    return V.flip(-1)[..., :k]


def signal_power(R, k):
    H = (R + R.conj().T) / 2
    Q = np.eye(len(H), k).astype(H.dtype)
    for _ in range(20):
        Q, _ = np.linalg.qr(H @ Q)
    return Q


def signal_raw(net_output, k):
    """Signal subspace of the (non-symmetrized) covariance from the network."""
    U, _, _ = torch.linalg.svd(net_output)
    return U[..., :k]


def noise_asc(R, k):
    return torch.linalg.eigh(herm(R))[1][..., k:]


def noise_off(R, k):
    return torch.linalg.eigh(herm(R))[1].flip(-1)[..., k - 1 :]


def noise_conj(R, k):
    n = R.shape[-1]
    return torch.linalg.eigh(herm(R))[1][..., : n - k].conj()


def noise_svd(R, k):
    return torch.linalg.svd(herm(R))[0][..., k:]


def noise_capped(R, k):
    V = torch.linalg.eigh(herm(R))[1]
    n = R.shape[-1] - k
    m = min(n, 32)
    return torch.cat([V[..., :m], torch.zeros_like(V[..., m:n])], -1)


def noise_inplace(R, k):
    R[...] = (R + R.conj().T) / 2
    w, V = np.linalg.eigh(R)
    return V[:, : len(w) - k]


def noise_mean(R, k):
    M = R.reshape(-1, *R.shape[-2:]).mean(0)
    V = torch.linalg.eigh(herm(M))[1][..., : R.shape[-1] - k]
    return V.expand(*R.shape[:-2], *V.shape).clone()


def noise_rows(R, k):
    V = torch.linalg.eigh(herm(R))[1][..., : R.shape[-1] - k]
    return V.flip(-2)


def proj_T(U):
    return U @ U.transpose(-2, -1)


def proj_gram(U):
    return np.conj(U).T @ U if U.shape[0] == U.shape[1] else np.conj(U @ U.conj().T)


def proj_complement(U):
    return torch.eye(U.shape[-2], dtype=U.dtype) - U @ U.mH


def proj_einsum(U):
    return torch.einsum("...ik,...jk->...ij", U.conj(), U)


def proj_mean(U):
    return U @ U.mH / U.shape[-1]


def proj_half(U):
    return U @ U.detach().mH


def proj_sum(U):
    P = U @ U.mH
    if P.ndim == 2:
        return P
    return P.reshape(-1, *P.shape[-2:]).mean(0).expand(P.shape).clone()


def proj_chunks(U):
    P = U @ U.mH if U.shape[-1] < 8 else torch.zeros_like(U @ U.mH)
    for i in range(U.shape[-1] // 8):
        B = U[..., 8 * i : 8 * i + 8]
        P = P + B @ B.mH
    return P


def proj_real(U):
    return (U @ U.mH).real.to(U.dtype)


def proj_last(U):
    for j in range(U.shape[-1]):
        P = U[..., j, None] @ U[..., j, None].mH
    return P
