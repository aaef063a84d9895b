"""Subspaces and projectors: right."""

import numpy as np
import scipy.linalg
import torch


def h(R):
    return (R + R.mH) / 2


def sig1(R, k):
    return torch.linalg.eigh(h(R)).eigenvectors[..., -k:]


def sig2(R, k):
    return torch.linalg.eigh(h(R))[1].flip(-1)[..., :k]


def sig3(R, k):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    return V[:, np.argsort(w)[::-1][:k]]


def sig4(R, k):
    n = len(R)
    w, V = scipy.linalg.eigh((R + R.conj().T) / 2, subset_by_index=[n - k, n - 1])
    return V


def sig5(k, R):
    return torch.linalg.eigh(h(R))[1][..., R.shape[-1] - k :]


def sig6(R, k):
    w, V = torch.linalg.eigh(h(R))
    order = w.argsort(-1, descending=True)[..., None, :k]
    return torch.take_along_dim(V, order, -1)


def sig7(R, k):
    return torch.linalg.svd(h(R))[0][..., :k]


sig7.domain = "positive"


def noi1(R, k):
    return torch.linalg.eigh(h(R))[1][..., : R.shape[-1] - k]


def noi2(R, k):
    return torch.linalg.eigh(h(R))[1].flip(-1)[..., k:]


def noi3(R, k):
    return np.linalg.eigh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)[1][..., :-k]


def noi4(R, k):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    Q, _ = np.linalg.qr(V[:, -k:], mode="complete")
    return Q[:, k:]


class Music:
    @staticmethod
    def noise_subspace(R, n_sources):
        _, V = torch.linalg.eigh(0.5 * (R + R.adjoint()))
        return V.narrow(-1, 0, V.shape[-1] - n_sources)


def pro1(U):
    return U @ U.mH


def pro2(basis):
    return torch.einsum("...ik,...jk->...ij", basis, basis.conj())


def pro3(Es):
    return Es @ np.conj(np.swapaxes(Es, -1, -2))


def pro4(U):
    P = np.zeros((U.shape[0], U.shape[0]), dtype=U.dtype)
    for u in U.T:
        P = P + np.outer(u, u.conj())
    return P


def pro5(V):
    P = torch.matmul(V, V.conj().transpose(-2, -1))
    return (P + P.mH) / 2


def pro6(U):
    return torch.bmm(U, U.conj().permute(0, 2, 1))
