"""Descending spectra of the Hermitian part: right."""

import numpy as np
import scipy.linalg
import torch
from scipy import linalg as la


def sym(R):
    return (R + R.mH) / 2


def eig1(R):
    return torch.linalg.eigvalsh(sym(R)).flip(-1)


def eig2(cov):
    vals, _ = torch.linalg.eigh(0.5 * (cov + cov.adjoint()))
    return torch.flip(vals, dims=(-1,))


def eig3(R):
    return torch.sort(torch.linalg.eigvalsh(sym(R)), dim=-1, descending=True)[0]


def eig_np(R):
    return np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)[..., ::-1]


def eig_scipy(R):
    return scipy.linalg.eigvalsh((R + R.conj().T) / 2)[::-1]


def eig_npflip(a):
    w, _ = la.eigh((a + a.conj().T) / 2, driver="evd")
    return np.flip(w)


def eig_neg(R):
    return -torch.linalg.eigvalsh(-sym(R))


def eig_gather(R):
    w = torch.linalg.eigvalsh(sym(R))
    return torch.gather(w, -1, torch.argsort(w, dim=-1, descending=True))


def eig_upper(R):
    return torch.linalg.eigvalsh(sym(R), UPLO="U").flip(-1)


def eig_loop(Rs):
    return torch.stack([torch.linalg.eigvalsh((R + R.conj().T) / 2).flip(0) for R in Rs])


eig_vec = np.vectorize(
    lambda R: np.linalg.eigvalsh((R + R.conj().T) / 2)[::-1], signature="(n,n)->(n)"
)


def eig_topk(R):
    return torch.topk(torch.linalg.eigvalsh(sym(R)), k=R.shape[-1], dim=-1).values


def eig_realform(R):
    H = sym(R)
    top = torch.cat([H.real, -H.imag], -1)
    bottom = torch.cat([H.imag, H.real], -1)
    return torch.linalg.eigvalsh(torch.cat([top, bottom], -2)).flip(-1)[..., ::2]


def eig_rayleigh(R):
    H = sym(R)
    V = torch.linalg.eigh(H)[1]
    return (V.conj() * (H @ V)).sum(-2).real.sort(-1, descending=True).values


class Spectrum:
    order = "descending"

    @classmethod
    def values(cls, R):
        lam = torch.linalg.eigvalsh(0.5 * (R + R.mH))
        return lam.flip(-1) if cls.order == "descending" else lam


def eig_sortneg(matrix):
    return -np.sort(-np.linalg.eigvalsh((matrix + np.conj(np.swapaxes(matrix, -1, -2))) / 2))


def eig_list(R):
    return sorted(np.linalg.eigvalsh((R + R.conj().T) / 2).tolist(), reverse=True)


def eig_hermitian(R):
    return torch.linalg.eigvalsh(R).flip(-1)


eig_hermitian.domain = "hermitian"


def eig_strict(R):
    """Eigenvalues of a Hermitian matrix, largest first."""
    if not np.allclose(R, R.conj().T, rtol=1e-9, atol=1e-9 * np.abs(R).max()):
        raise ValueError("matrix must be Hermitian")
    return np.linalg.eigvalsh(R)[::-1]


eig_strict.domain = "hermitian"


def sv1(R):
    return torch.linalg.svdvals(sym(R))


def sv2(R):
    return torch.linalg.eigvalsh(sym(R)).abs().sort(-1, descending=True).values


def sv3(R):
    return np.linalg.svd((R + np.conj(np.swapaxes(R, -1, -2))) / 2, compute_uv=False)


def sv4(X):
    return np.linalg.svd(
        (X + np.conj(np.swapaxes(X, -1, -2))) / 2, compute_uv=False, hermitian=True
    )


def sv5(R):
    return la.svdvals((R + R.conj().T) / 2)


def sv6(R):
    U, S, Vh = torch.linalg.svd(sym(R), full_matrices=False)
    return S


def sv7(R):
    return np.sort(np.abs(np.linalg.eigvalsh((R + np.conj(R.swapaxes(-1, -2))) / 2)))[..., ::-1]


def sv8(R):
    return torch.linalg.svdvals(R)


sv8.domain = "hermitian"


def sv9(*, cov):
    return torch.linalg.svdvals(0.5 * (cov + cov.mH))
