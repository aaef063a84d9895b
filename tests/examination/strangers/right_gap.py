"""Eigengaps and hinges: right."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def H(R):
    return (R + R.mH) / 2


def lam(R):
    return torch.linalg.eigvalsh(H(R)).flip(-1)


def gap1(R, k):
    w = lam(R)
    return w[..., k - 1] - w[..., k]


def gap2(R, k):
    w = torch.linalg.eigvalsh(H(R))
    return w[..., -k] - w[..., -k - 1]


def gap3(R, k):
    return -torch.diff(lam(R), dim=-1)[..., k - 1]


def gap4(cov, n_sources):
    w = np.linalg.eigvalsh((cov + np.conj(np.swapaxes(cov, -1, -2))) / 2)
    n = w.shape[-1]
    return w[..., n - n_sources] - w[..., n - n_sources - 1]


def gap5(k, R):
    w = lam(R)
    return w[..., k - 1] - w[..., k]


def gap6(R, K):
    w = np.linalg.eigvalsh((R + R.conj().T) / 2)[::-1]
    return float(w[K - 1] - w[K])


def gap7(matrix, order):
    pair = lam(matrix).narrow(-1, order - 1, 2)
    return pair.select(-1, 0) - pair.select(-1, 1)


def gap8(R, *, k):
    a, b = lam(R)[..., k - 1 : k + 1].unbind(-1)
    return a - b


def gap9(R, k):
    w = torch.linalg.eigvalsh(H(R))
    return (w[-k] - w[-(k + 1)]).item()


def gap10(R, k):
    return (
        torch.func.vmap(lambda A: torch.linalg.eigvalsh((A + A.mH) / 2))(R)
        .flip(-1)[:, k - 1 : k + 1]
        .diff(dim=-1)
        .squeeze(-1)
        .neg()
    )


def loss1(R, k, margin):
    w = lam(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def loss2(R_pred: torch.Tensor, K: int, margin: float = 1.0) -> torch.Tensor:
    """Hinge on the eigengap of order K."""
    w = torch.linalg.eigvalsh(0.5 * (R_pred + R_pred.conj().transpose(-2, -1)))
    gap = w[..., -K] - w[..., -K - 1]
    return torch.clamp(margin - gap, min=0).mean()


class GapLoss(nn.Module):
    def forward(self, R, k, margin):
        w = lam(R)
        return torch.relu(margin - w[..., k - 1] + w[..., k]).mean()


def loss3(R, k, margin):
    w = lam(R)
    g = w[..., k - 1] - w[..., k]
    return torch.where(g < margin, margin - g, torch.zeros_like(g)).mean()


def loss4(R, k, margin):
    w = lam(R)
    v = margin - (w[..., k - 1] - w[..., k])
    return torch.maximum(v, v.new_zeros(())).mean()


def loss5(R, k, margin):
    terms = []
    for A in R:
        w = torch.linalg.eigvalsh((A + A.conj().T) / 2)
        terms.append(F.relu(margin - (w[-k] - w[-k - 1])))
    return torch.stack(terms).mean()


def loss6(R, k, margin):
    w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)[..., ::-1]
    return np.maximum(0.0, margin - (w[..., k - 1] - w[..., k])).mean()


def loss7(cov, k, m):
    w = np.linalg.eigvalsh((cov + np.conj(np.swapaxes(cov, -1, -2))) / 2)
    return float(np.mean(np.clip(m - w[..., -k] + w[..., -k - 1], 0, None)))


def loss8(R, margin, k):
    w = lam(R)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def _loss(R, k, margin, reduction):
    w = lam(R)
    h = F.relu(margin - (w[..., k - 1] - w[..., k]))
    return h.mean() if reduction == "mean" else h.sum()


loss9 = partial(_loss, reduction="mean")


def loss10(R, k, margin):
    w = lam(R)
    one = torch.ones_like(w[..., 0])
    return F.margin_ranking_loss(w[..., k - 1], w[..., k], one, margin=float(margin))


def loss11(R, k, margin):
    w = lam(R)
    x = margin - (w[..., k - 1] - w[..., k])
    return 0.5 * (x + x.abs()).mean()


def loss12(R, k, margin):
    w = torch.linalg.eigvalsh(H(R))
    return max(margin - (w[-k] - w[-k - 1]).item(), 0.0)


def loss13(R, k, margin):
    A = H(R)
    w = lam(A)
    return F.relu(margin - (w[..., k - 1] - w[..., k])).flatten().mean(0)


def loss14(R, k, margin):
    s = torch.linalg.svdvals(H(R))
    return F.relu(margin - (s[..., k - 1] - s[..., k])).mean()


loss14.domain = "positive"


class _Hinge:
    def __call__(self, R, k, margin):
        w = lam(R)
        return F.relu(margin - (w[..., k - 1] - w[..., k])).mean()


loss15 = _Hinge()
