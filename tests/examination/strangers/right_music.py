"""MUSIC and MVDR spectra: right."""

import numpy as np
import scipy.linalg as sla
import torch


def herm(R):
    return (R + R.mH) / 2


def En(R, k):
    return torch.linalg.eigh(herm(R))[1][..., : R.shape[-1] - k]


def mu1(R, A, k):
    E = En(R, k)
    return 1 / (A.conj() * (E @ (E.mH @ A))).sum(-2).real


def mu2(R, A, k):
    return (En(R, k).mH @ A).abs().square().sum(-2).reciprocal()


def mu3(R, A, k):
    U = torch.linalg.eigh(herm(R))[1][..., -k:]
    res = A - U @ (U.mH @ A)
    return 1 / (res.real**2 + res.imag**2).sum(-2)


def mu4(R, A, k):
    E = En(R, k)
    P = torch.einsum("...ik,...jk->...ij", E, E.conj())
    return 1 / torch.einsum("...ng,...nm,...mg->...g", A.conj(), P, A).real


def mu5(R, A, k):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    E = V[:, : len(w) - k]
    P = np.empty(A.shape[1])
    for g in range(A.shape[1]):
        v = E.conj().T @ A[:, g]
        P[g] = 1 / np.real(np.vdot(v, v))
    return P


def mu6(Rxx, a, n_src):
    _, V = np.linalg.eigh((Rxx + Rxx.conj().T) / 2)
    return 1 / np.linalg.norm(V[:, :-n_src].conj().T @ a, axis=0) ** 2


def mu7(R, k, A):
    return 1 / (En(R, k).mH @ A).abs().pow(2).sum(dim=-2)


def mu8(R, n_sources, *, steering):
    return 1 / torch.linalg.vector_norm(En(R, n_sources).mH @ steering, dim=-2) ** 2


def mu9(R, A, k):
    U = torch.linalg.eigh(herm(R))[1][..., -k:]
    return 1 / (A.abs().square().sum(-2) - (U.mH @ A).abs().square().sum(-2))


class MusicEstimator:
    def __call__(self, R, A, k):
        return self.spectrum(R, A, k)

    def spectrum(self, R, A, k):
        E = En(R, k)
        return 1 / torch.sum(torch.abs(E.mH @ A) ** 2, dim=-2)


music_estimator = MusicEstimator()


def mu10(R, A, k):
    E = En(R, k)
    return torch.cat([1 / (E.mH @ a).abs().square().sum(-2) for a in A.split(256, -1)], -1)


def mu11(R, A, k):
    w, V = np.linalg.eigh((R + R.conj().T) / 2)
    E = V[:, : len(w) - k]
    return 1 / np.diag(A.conj().T @ E @ E.conj().T @ A).real


def mu12(R, A, k):
    E = torch.linalg.eigh(R)[1][..., : R.shape[-1] - k]
    return 1 / (E.mH @ A).abs().square().sum(-2)


mu12.domain = "hermitian"


def cap1(R, A):
    return 1 / (A.conj() * torch.linalg.solve(herm(R), A)).sum(-2).real


def cap2(R, A):
    L = torch.linalg.cholesky(herm(R))
    X = torch.linalg.solve_triangular(L, A, upper=False)
    return X.abs().square().sum(-2).reciprocal()


def cap3(R, A):
    Ri = np.linalg.inv((R + R.conj().T) / 2)
    return 1 / np.einsum("ng,nm,mg->g", A.conj(), Ri, A).real


def cap4(R, A):
    c = sla.cho_factor((R + R.conj().T) / 2)
    return 1 / np.real(np.sum(A.conj() * sla.cho_solve(c, A), axis=0))


def cap5(R, A):
    w, V = torch.linalg.eigh(herm(R))
    return 1 / ((V.mH @ A).abs().square() / w[..., None]).sum(-2)


def cap6(R, A):
    H = herm(R)
    X = torch.linalg.solve(H, A)
    W = X / (A.conj() * X).sum(-2, keepdim=True)
    return (W.conj() * (H @ W)).sum(-2).real


def cap7(steering, covariance):
    return 1 / (steering.conj() * torch.linalg.solve(herm(covariance), steering)).sum(-2).real


def cap8(R, A):
    Ri = np.linalg.inv((R + R.conj().T) / 2)
    return np.array([1 / np.vdot(a, Ri @ a).real for a in A.T])


def cap9(R, A):
    Ri = torch.cholesky_inverse(torch.linalg.cholesky(herm(R)))
    return 1 / (A.conj() * (Ri @ A)).sum(-2).real
