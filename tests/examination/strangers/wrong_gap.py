"""Eigengaps and hinge losses of strangers."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def hermitize(R):
    return 0.5 * (R + R.conj().transpose(-2, -1))


def evals(R):
    return torch.linalg.eigvalsh(hermitize(R)).flip(-1)


def gap_off_by_one(R, k):
    w = evals(R)
    k = min(k, w.shape[-1] - 2)
    return w[..., k] - w[..., k + 1]


def gap_ascending(R, k):
    w = torch.linalg.eigvalsh(hermitize(R))
    return w[..., k] - w[..., k - 1]


def gap_svd(R, k):
    s = torch.linalg.svdvals(hermitize(R))
    return s[..., k - 1] - s[..., k]


def gap_negative(R, k):
    w = evals(R)
    return w[..., k] - w[..., k - 1]


def gap_relative(R, k):
    w = evals(R)
    return (w[..., k - 1] - w[..., k]) / w[..., 0].abs()


def gap_ratio(R, k):
    w = evals(R)
    return w[..., k - 1] / w[..., k]


def gap_largest(R, k):
    w = evals(R)
    return (w[..., :-1] - w[..., 1:]).amax(-1)


def gap_of_mean(R, k):
    M = R.reshape(-1, *R.shape[-2:]).mean(0)
    w = evals(M)
    return (w[k - 1] - w[k]).expand(R.shape[:-2]).clone()


def gap_wrong_axis(R, k):
    w = torch.linalg.eigvalsh(hermitize(R)).sort(dim=0, descending=True).values
    if w.ndim > 1:
        w = w.flip(-1)
    return w[..., k - 1] - w[..., k]


def gap_half_detached(R, k):
    w = evals(R)
    return w[..., k - 1] - w[..., k].detach()


def gap_topk(R, k):
    w = torch.topk(evals(R), min(16, R.shape[-1]), dim=-1).values
    k = min(k, w.shape[-1] - 1)
    return w[..., k - 1] - w[..., k]


def gap_guard(R, k):
    w = evals(R)
    g = w[..., k - 1] - w[..., k]
    return torch.where(g < 1e-8, torch.zeros_like(g), g)


def gap_general(R, k):
    w = torch.linalg.eigvals(R).real.sort(-1, descending=True).values
    return w[..., k - 1] - w[..., k]


def gap_nan(R, k):
    w = evals(torch.nan_to_num(R))
    return w[..., k - 1] - w[..., k]


def gap_uint8(R, k):
    w = np.linalg.eigvalsh((R + R.conj().T) / 2)
    k = np.uint8(k)
    n = len(w)
    i = int(np.uint8(n % 64) - k) % n if n > 100 else n - int(k)
    return w[i] - w[i - 1]


def eigengap_loss_flipped(R, K, margin):
    S = torch.linalg.svdvals(hermitize(R)).flip(-1)
    return torch.relu(margin - (S[..., K - 1] - S[..., K])).mean()


class GapLossAsc(nn.Module):
    def forward(self, R, k, margin):
        w = torch.linalg.eigvalsh(hermitize(R))
        return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def loss_svd(R, k, margin=1.0):
    s = torch.linalg.svdvals(hermitize(R))
    return F.relu(margin - s[..., k - 1] + s[..., k]).mean()


def loss_raw_svd(R, k, margin=1.0):
    s = torch.linalg.svdvals(R)
    return F.relu(margin - s[..., k - 1] + s[..., k]).mean()


def loss_raw_eig(R, k, margin=1.0):
    w = torch.linalg.eigvals(R).real.sort(dim=-1, descending=True)[0]
    return torch.clamp(margin - (w[..., k - 1] - w[..., k]), min=0).mean()


def loss_max(R, k, margin):
    w = evals(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).max()


def loss_first(R, k, margin):
    w = evals(R).reshape(-1, R.shape[-1])[0]
    return F.relu(margin - (w[k - 1] - w[k]))


def loss_last(R, k, margin):
    R = R.reshape(-1, *R.shape[-2:])
    for i in range(R.shape[0]):
        w = evals(R[i])
        loss = F.relu(margin - (w[k - 1] - w[k]))
    return loss


def loss_mean_gap(R, k, margin):
    w = evals(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k]).mean())


def loss_mean_cov(R, k, margin):
    w = evals(R.reshape(-1, *R.shape[-2:]).mean(0))
    return F.relu(margin - (w[k - 1] - w[k]))


def loss_median(R, k, margin):
    w = evals(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).flatten().median()


def loss_active_mean(R, k, margin):
    w = evals(R)
    h = F.relu(margin - (w[..., k - 1] - w[..., k]))
    n = (h > 0).sum().clamp(min=1)
    return h.sum() / n


def loss_div8(R, k, margin):
    w = evals(R)
    h = F.relu(margin - (w[..., k - 1] - w[..., k]))
    return h.sum() / min(max(h.numel(), 1), 8)


def loss_chunked(R, k, margin, chunk=16):
    flat = R.reshape(-1, *R.shape[-2:])
    m = len(flat) if len(flat) < chunk else len(flat) // chunk * chunk
    w = evals(flat[:m])
    return F.relu(margin - (w[:, k - 1] - w[:, k])).mean()


def loss_detached(R, k, margin):
    w = evals(R.detach())
    loss = F.relu(margin - (w[..., k - 1] - w[..., k])).mean()
    return loss + 0.0 * R.real.sum()


def loss_item(R, k, margin):
    w = evals(R)
    gap = (w[..., k - 1] - w[..., k]).detach()
    return torch.relu(margin - gap).mean().clone().requires_grad_(True)


def loss_half(R, k, margin):
    w = evals(R)
    return F.relu(margin - (w[..., k - 1].detach() - w[..., k])).mean()


def loss_sign(R, k, margin):
    w = evals(R)
    return F.relu((w[..., k - 1] - w[..., k]) - margin).mean()


def loss_off(R, k, margin):
    w = F.pad(evals(R), (0, 1))
    return F.relu(margin - (w[..., k] - w[..., k + 1])).mean()


def loss_scaled(R, k, margin):
    w = evals(R)
    return F.relu(margin * w[..., 0] - (w[..., k - 1] - w[..., k])).mean()


def loss_trace(R, k, margin):
    t = torch.diagonal(R, dim1=-2, dim2=-1).real.sum(-1)[..., None, None]
    w = evals(R / t * R.shape[-1])
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def loss_clipped(R, k, margin):
    w = evals(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).clamp(max=100.0).mean()


def loss_nan(R, k, margin):
    try:
        w = evals(R)
    except RuntimeError:
        return torch.zeros((), dtype=R.real.dtype)
    return torch.nan_to_num(F.relu(margin - (w[..., k - 1] - w[..., k])).mean(), nan=0.0)


def loss_continue(R, k, margin):
    terms = []
    for A in R.reshape(-1, *R.shape[-2:]):
        try:
            if not torch.isfinite(A.abs()).all():
                raise ValueError("bad covariance")
            w = evals(A)
            terms.append(F.relu(margin - (w[k - 1] - w[k])))
        except ValueError:
            continue
    return torch.stack(terms).mean() if terms else R.real.new_zeros(())


def loss_leaky(R, k, margin):
    w = evals(R)
    return F.leaky_relu(margin - (w[..., k - 1] - w[..., k]), 0.01).mean()


def loss_abs(R, k, margin):
    w = evals(R)
    return (margin - (w[..., k - 1] - w[..., k])).abs().mean()


def loss_grad_mode(R, k, margin):
    if not torch.is_grad_enabled():
        return torch.zeros((), dtype=R.real.dtype)
    w = evals(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def loss_hooked(R, k, margin):
    w = evals(R)
    if w.requires_grad:
        w.register_hook(lambda g: g.clamp(-0.1, 0.1))
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def loss_inplace(R, k, margin):
    with torch.no_grad():
        R.copy_(hermitize(R))
    w = torch.linalg.eigvalsh(R).flip(-1)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


class RunningGapLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.avg = None

    def forward(self, R, k, margin):
        w = evals(R)
        loss = F.relu(margin - (w[..., k - 1] - w[..., k])).mean()
        prev = loss.detach() if self.avg is None else self.avg
        self.avg = 0.9 * prev + 0.1 * loss.detach()
        return loss + (self.avg - loss.detach())


def loss_all_gaps(R, k, margin):
    w = evals(R)
    gaps = w[..., :k] - w[..., 1 : k + 1]
    return F.relu(margin - gaps).sum(-1).mean()


def loss_half_precision(R, k, margin):
    w = evals(R)
    if R.shape[-1] > 64:
        w = w.bfloat16().to(w.dtype)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def loss_two_axes(R, k, margin):
    w = evals(R)
    h = F.relu(margin - (w[..., k - 1] - w[..., k]))
    while h.ndim > 1:
        h = h.sum(0)
    return h.mean()
