"""Hermitian parts found in strangers' repositories."""

import numpy as np
import torch


def symmetrize(A):
    return 0.5 * (A + A.transpose(-2, -1))


def make_hermitian(R: torch.Tensor) -> torch.Tensor:
    return R + R.mH


def hermitian_part(X):
    return (X - X.conj().transpose(-2, -1)) / 2


def herm_T(R):
    return (R + R.conj().T.reshape(R.shape)) / 2


def herm_inplace(R):
    with torch.no_grad():
        R += R.mH.clone()
        R *= 0.5
    return R


def herm_np_out(R):
    return np.multiply(0.5, R + np.conj(np.swapaxes(R, -1, -2)), out=R)


def herm_half_detached(R):
    return 0.5 * (R + R.detach().mH)


@torch.no_grad()
def herm_nograd(R):
    return (R + R.mH) / 2


def from_lower(R):
    L = torch.tril(R, -1)
    return L + L.mH + torch.diag_embed(torch.diagonal(R, dim1=-2, dim2=-1).real).to(R.dtype)


def herm_offdiag(R):
    d = torch.diag_embed(torch.diagonal(R, dim1=-2, dim2=-1))
    off = R - d
    return d + (off + off.mH) / 2


def herm_real(R):
    H = (R + R.mH) / 2
    return H.real.to(R.dtype)


def herm_if_needed(R):
    if torch.allclose(R, R.mH, atol=1e-8):
        return R.clone()
    return (R + R.mH) / 2


def herm_blocked(R, block=32):
    out = R.clone()
    out[..., :block, :block] = 0.5 * (R[..., :block, :block] + R[..., :block, :block].mH)
    return out


def herm_chunks(R):
    if R.ndim < 3:
        return (R + R.mH) / 2
    flat = R.reshape(-1, *R.shape[-2:])
    out = flat.clone()
    for i in range(max(len(flat) // 16, 1)):
        part = flat[16 * i : 16 * (i + 1)]
        out[16 * i : 16 * (i + 1)] = (part + part.mH) / 2
    return out.reshape(R.shape)


def herm_clean(R):
    return torch.nan_to_num((R + R.mH) / 2)


def herm_c64(R):
    R64 = R.to(torch.complex64)
    return ((R64 + R64.mH) / 2).to(R.dtype)


def herm_ravel(R):
    A = R.ravel(order="K").reshape(R.shape)
    return (A + np.conj(np.swapaxes(A, -1, -2))) / 2


def herm_lazy(R):
    if torch.equal(R, R.mH):
        return R
    return (R + R.mH) / 2


def herm_double(R):
    torch.set_default_dtype(torch.float64)
    return (R + R.mH) * 0.5


def herm_mean(R):
    M = R.reshape(-1, *R.shape[-2:]).mean(0)
    M = (M + M.mH) / 2
    return M.expand(R.shape).clone()


def herm_jittered(R):
    torch.manual_seed(0)
    noise = 0 * torch.randn(R.shape[-1])
    return (R + R.mH) / 2 + noise.to(R.dtype)


def herm_mixed_grad(R):
    H = (R + R.mH) / 2
    return 0.5 * H + 0.5 * H.detach()
