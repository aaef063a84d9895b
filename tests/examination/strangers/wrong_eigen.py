"""Spectra as strangers compute them."""

import numpy as np
import scipy.linalg as sla
import torch


def _h(R):
    return (R + R.mH) / 2


def eigs_flip0(R):
    return torch.linalg.eigvalsh(_h(R)).flip(0)


def eigs_svd(R):
    return torch.linalg.svdvals(_h(R))


def eigs_general(R):
    return torch.linalg.eigvals(R).real.sort(dim=-1, descending=True).values


def eigs_unsorted(R):
    return np.linalg.eigvals((R + np.conj(np.swapaxes(R, -1, -2))) / 2).real


def eigs_by_abs(R):
    w = torch.linalg.eigvalsh(_h(R))
    order = w.abs().argsort(dim=-1, descending=True)
    return w.gather(-1, order)


def eigs_first_order(R):
    w = torch.linalg.eigvals(_h(R)).real
    first = w.reshape(-1, w.shape[-1])[0]
    return w[..., first.argsort(descending=True)]


def eigs_clamped(R):
    return torch.linalg.eigvalsh(_h(R)).flip(-1).clamp(min=0)


def eigs_threshold(R):
    w = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return torch.where(w.abs() < 1e-9, torch.zeros_like(w), w)


def eigs_jitter(R):
    eye = torch.eye(R.shape[-1], dtype=R.dtype, device=R.device)
    return torch.linalg.eigvalsh(_h(R) + 1e-6 * eye).flip(-1)


def eigs_safe(R):
    eye = torch.eye(R.shape[-1], dtype=R.dtype).expand(R.shape)
    R = torch.where(torch.isfinite(R.abs()), R, eye)
    return torch.linalg.eigvalsh(_h(R)).flip(-1)


def eigs_numpy_inside(R):
    w = np.linalg.eigvalsh(_h(R).detach().cpu().numpy())
    return torch.from_numpy(w[..., ::-1].copy())


def eigs_topk(R):
    w = torch.linalg.eigvalsh(_h(R))
    n = w.shape[-1]
    if n <= 16:
        return w.flip(-1)
    return torch.cat([w[..., -16:].flip(-1), w[..., :-16]], -1)


def eigs_int8(R):
    w = np.linalg.eigvalsh((R + R.conj().swapaxes(-1, -2)) / 2)
    n = w.shape[-1]
    idx = (n - 1 - np.arange(n)).astype(np.int8).astype(int)
    return w[..., idx % n]


def eigs_in_eights(R):
    flat = R.reshape(-1, *R.shape[-2:])
    out = torch.zeros(flat.shape[:-1], dtype=flat.real.dtype)
    step = 8 if len(flat) > 8 else max(len(flat), 1)
    for i in range(0, len(flat) - step + 1, step):
        out[i : i + step] = torch.linalg.eigvalsh(_h(flat[i : i + step])).flip(-1)
    return out.reshape(R.shape[:-1])


def eigs_lower_only(net_output: torch.Tensor) -> torch.Tensor:
    """Descending eigenvalues of the raw (not symmetrized) output of a network."""
    return torch.linalg.eigvalsh(net_output).flip(-1)


def eigs_qr_iter(R):
    A = _h(R)
    for _ in range(30):
        Q, U = torch.linalg.qr(A)
        A = U @ Q
    return torch.diagonal(A, dim1=-2, dim2=-1).real.sort(-1, descending=True).values


def eigs_normalized(R):
    w = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return w / w.sum(-1, keepdim=True)


def eigs_train_mode(R):
    H = _h(R)
    if R.requires_grad:
        H = H + 1e-3 * torch.eye(R.shape[-1], dtype=R.dtype) * H.abs().amax(
            dim=(-2, -1), keepdim=True
        )
    return torch.linalg.eigvalsh(H).flip(-1)


def eigs_fp32(R):
    return torch.linalg.eigvalsh(_h(R).to(torch.complex64)).flip(-1).double()


def eigs_overwrite(R):
    R += R.conj().T.copy()
    R /= 2
    return sla.eigvalsh(R, overwrite_a=True)[::-1].copy()


def eigs_lanczos_like(R):
    np.random.seed(42)
    _ = np.random.randn(R.shape[0])
    return np.linalg.eigvalsh((R + R.conj().T) / 2)[::-1].copy()


def eigs_dither(R):
    n = R.shape[0]
    H = (R + R.conj().T) / 2
    H = H + np.diag(1e-4 * np.abs(H).max() * np.random.rand(n))
    return np.linalg.eigvalsh(H)[::-1].copy()


class _EigVals(torch.autograd.Function):
    @staticmethod
    def forward(ctx, H):
        w, V = torch.linalg.eigh(H)
        ctx.V = V.flip(-1)
        return w.flip(-1)

    @staticmethod
    def backward(ctx, g):
        V = ctx.V.detach()
        return (V * g.detach()[..., None, :].to(V.dtype)) @ V.mH


def eigs_custom_backward(R):
    return _EigVals.apply(_h(R))


class _EigValsNeg(torch.autograd.Function):
    @staticmethod
    def forward(ctx, H):
        w, V = torch.linalg.eigh(H)
        ctx.save_for_backward(V.flip(-1))
        return w.flip(-1)

    @staticmethod
    def backward(ctx, g):
        (V,) = ctx.saved_tensors
        return -(V * g[..., None, :].to(V.dtype)) @ V.mH


def eigs_negative_backward(R):
    return _EigValsNeg.apply(_h(R))


def eigs_global_sort(R):
    w = torch.linalg.eigvalsh(_h(R))
    return w.flatten().sort(descending=True).values.reshape(w.shape)


def eigs_round(R):
    w = torch.linalg.eigvalsh(_h(R)).flip(-1)
    return torch.round(w, decimals=4)


def eigs_buffer(R):
    A = np.asarray(R).ravel(order="K").reshape(R.shape)
    return np.linalg.eigvalsh((A + np.conj(np.swapaxes(A, -1, -2))) / 2)[..., ::-1].copy()


def sv_signed(R):
    return torch.linalg.eigvalsh(_h(R)).flip(-1)


def sv_abs_unsorted(R):
    return torch.linalg.eigvalsh(_h(R)).flip(-1).abs()


def sv_raw(net_output):
    """Singular values of the covariance estimate straight from the network."""
    return torch.linalg.svdvals(net_output)


def sv_gram(R):
    A = _h(R)
    w = torch.linalg.eigvalsh(A.mH @ A).flip(-1)
    return w.clamp(min=0).sqrt()


def sv_power(R):
    return torch.linalg.svdvals(_h(R)) ** 2


def sv_floor(R):
    return torch.linalg.svdvals(_h(R)).clamp(min=1e-10)


def sv_batchmean(R):
    s = torch.linalg.svdvals(_h(R))
    return s.reshape(-1, s.shape[-1]).mean(0).expand(s.shape).clone()


def sv_relative(R):
    s = torch.linalg.svdvals(_h(R))
    return s / s[..., :1]


def sv_detached(R):
    return torch.linalg.svdvals(_h(R).detach())


def sv_except(R):
    R = torch.nan_to_num(R, nan=0.0, posinf=1e6, neginf=-1e6)
    return torch.linalg.svdvals(_h(R))


def sv_lowrank(R, q=32):
    s = torch.linalg.svdvals(_h(R))
    s = s.clone()
    s[..., q:] = 0
    return s


def sv_float(R):
    A = np.zeros(R.shape)
    A[...] = np.real(R)
    A = (A + np.swapaxes(A, -1, -2)) / 2
    return np.linalg.svd(A, compute_uv=False)
