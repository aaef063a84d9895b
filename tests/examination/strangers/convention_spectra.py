"""MUSIC, MVDR, eigen and hinge functions under other documented conventions."""

import numpy as np
import torch
import torch.nn.functional as F


def herm(R):
    return (R + R.mH) / 2


def music(R, A, k):
    E = torch.linalg.eigh(herm(R))[1][..., : R.shape[-1] - k]
    return 1 / (E.mH @ A).abs().square().sum(-2)


def capon(R, A):
    return 1 / (A.conj() * torch.linalg.solve(herm(R), A)).sum(-2).real


def lam(R):
    return torch.linalg.eigvalsh(herm(R)).flip(-1)


def music_db(R, A, k):
    return 10 * torch.log10(music(R, A, k))


def music_max(R, A, k):
    P = music(R, A, k)
    return P / P.amax(-1, keepdim=True)


def music_max_db(R, A, k):
    P = music(R, A, k)
    return 10 * torch.log10(P / P.amax(-1, keepdim=True))


def music_guarded(R, A, k):
    E = torch.linalg.eigh(herm(R))[1][..., : R.shape[-1] - k]
    return 1 / ((E.mH @ A).abs().square().sum(-2) + 1e-12)


def music_guarded_db(R, A, k):
    E = torch.linalg.eigh(herm(R))[1][..., : R.shape[-1] - k]
    return 10 * torch.log10(1 / ((E.mH @ A).abs().square().sum(-2) + 1e-12))


def music_gn(R, A, k):
    return music(R, A.transpose(-2, -1), k)


def music_gn_db(R, steering, n):
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    E = V[:, : len(R) - n]
    return -10 * np.log10(np.sum(np.abs(steering.conj() @ E) ** 2, axis=1))


def music_gn_max(R, steering, n):
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    P = 1 / np.sum(np.abs(steering.conj() @ V[:, : len(R) - n]) ** 2, axis=1)
    return P / P.max()


def music_guarded_max(R, A, k):
    E = torch.linalg.eigh(herm(R))[1][..., : R.shape[-1] - k]
    P = 1 / ((E.mH @ A).abs().square().sum(-2) + 1e-12)
    return P / P.max(dim=-1, keepdim=True).values


def capon_db(R, A):
    return 10 * torch.log10(capon(R, A))


def capon_max(R, A):
    P = capon(R, A)
    return P / P.amax(-1, keepdim=True)


def capon_loaded(R, A, loading=1e-3):
    n = R.shape[-1]
    t = torch.diagonal(R, dim1=-2, dim2=-1).real.sum(-1)[..., None, None] / n
    return capon(R + loading * t * torch.eye(n, dtype=R.dtype), A)


def capon_loaded_db(R, A):
    n = R.shape[-1]
    t = torch.diagonal(R, dim1=-2, dim2=-1).real.sum(-1)[..., None, None] / n
    return 10 * torch.log10(capon(R + 1e-3 * t * torch.eye(n, dtype=R.dtype), A))


def capon_gn(R, A):
    return capon(R, A.mT)


def capon_gn_db(R, steering):
    Ri = np.linalg.inv((R + R.conj().T) / 2)
    return -10 * np.log10(np.real(np.einsum("gn,nm,gm->g", steering.conj(), Ri, steering)))


def capon_max_db(R, A):
    P = capon(R, A)
    return 10 * torch.log10(P / P.amax(-1, keepdim=True))


def capon_guarded(R, A):
    return 1 / ((A.conj() * torch.linalg.solve(herm(R), A)).sum(-2).real + 1e-12)


def eigs_ascending(R):
    """Eigenvalues of the Hermitian part in ascending order."""
    return torch.linalg.eigvalsh(herm(R))


def eigs_ascending_np(R):
    """Eigenvalues of the Hermitian part, smallest first."""
    return np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)


def sv_ascending(R):
    """Singular values of the Hermitian part in ascending order."""
    return torch.linalg.svdvals(herm(R)).flip(-1)


def signal_rows_h(R, k):
    """Rows span the signal subspace: the conjugate transpose of the basis."""
    return torch.linalg.eigh(herm(R))[1].flip(-1)[..., :k].mH


def noise_rows_h(R, k):
    """E_n^H, (n - k, n)."""
    return torch.linalg.eigh(herm(R))[1][..., : R.shape[-1] - k].mH


def projector_rows(B):
    """B has the orthonormal basis in its rows."""
    return B.mH @ B


def hinge_per_sample(R, k, margin):
    """One hinge per matrix, shape of the batch."""
    w = lam(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k]))


def hinge_squared(R, k, margin):
    """Mean of squared hinges."""
    w = lam(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).square().mean()


def hinge_softplus(R, k, margin):
    """Smooth hinge: softplus instead of relu."""
    w = lam(R)
    return F.softplus(margin - (w[..., k - 1] - w[..., k])).mean()


def hinge_sum(R, k, margin):
    """Sum over the batch."""
    w = lam(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).sum()


def hinge_squared_sum(R, k, margin):
    w = lam(R)
    return (F.relu(margin - (w[..., k - 1] - w[..., k])) ** 2).sum()


def hinge_squared_none(R, k, margin):
    w = lam(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])) ** 2


def hinge_none_np(R, k, margin):
    w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)[..., ::-1]
    return np.maximum(margin - (w[..., k - 1] - w[..., k]), 0)


def hinge_softplus_sum(R, k, margin):
    w = lam(R)
    return F.softplus(margin - (w[..., k - 1] - w[..., k])).sum()


def eigs_db(R):
    """Eigenvalues in dB, largest first."""
    return 10 * torch.log10(lam(R))


def gap_db(R, k):
    """The gap in dB."""
    w = lam(R)
    return 10 * torch.log10(w[..., k - 1] - w[..., k])


def music_noise_dimension(R, A, noise_dimension):
    return music(R, A, R.shape[-1] - noise_dimension)
