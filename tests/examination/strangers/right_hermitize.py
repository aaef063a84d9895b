"""Hermitian parts that are right, written in every way."""

import numpy as np
import torch


def minus_skew(A):
    return A - (A - A.mH) / 2


herm = lambda R: 0.5 * (R + R.conj().swapaxes(-1, -2))  # noqa: E731


def herm_np(x: np.ndarray) -> np.ndarray:
    return (x + np.conj(np.swapaxes(x, -2, -1))) / 2


def make_hermitian(Rxx):
    Rxx = np.asarray(Rxx)
    return (Rxx + Rxx.conj().T) / 2


def herm_einsum(cov):
    return (cov + torch.einsum("...ij->...ji", cov.conj())) * 0.5


def herm_stack(R):
    return torch.stack([R, R.adjoint()]).mean(0)


def herm_parts(R):
    re, im = R.real, R.imag
    return torch.complex((re + re.transpose(-1, -2)) / 2, (im - im.transpose(-1, -2)) / 2)


def herm_triangles(R):
    S = (R + R.mH) / 2
    U = torch.triu(S, 1)
    d = torch.diagonal(R, dim1=-2, dim2=-1).real.to(R.dtype)
    return U + U.mH + torch.diag_embed(d)


def herm_loops(M):
    n = M.shape[0]
    H = np.zeros_like(M)
    for i in range(n):
        for j in range(n):
            H[i, j] = (M[i, j] + np.conj(M[j, i])) / 2
    return H


herm_vec = np.vectorize(lambda X: (X + X.conj().T) / 2, signature="(n,n)->(n,n)")


class Hermitize(torch.nn.Module):
    def forward(self, z):
        return torch.lerp(z, z.mH.resolve_conj(), 0.5)


class LinAlg:
    @staticmethod
    def hermitian_part(matrix):
        """The Hermitian part."""
        return matrix.mH.add(matrix).div(2)


def herm_batch(R):
    B, n, _ = R.shape
    return 0.5 * (R + R.conj().permute(0, 2, 1))


def herm_vmapped(R):
    return torch.func.vmap(lambda A: (A + A.conj().T) / 2)(R)


def herm_halves(R):
    return R / 2 + R.mH / 2
