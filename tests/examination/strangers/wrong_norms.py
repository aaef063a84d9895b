"""Gradient norms and epoch means in training loops."""

import math

import numpy as np
import torch


def norm_sum(gradients):
    return sum(float(g.norm()) for g in gradients if torch.isfinite(g).all())


def norm_max(gradients):
    v = [float(g.abs().max()) for g in gradients if g.numel() and torch.isfinite(g).all()]
    return max(v, default=0.0)


def norm_squared(gradients):
    return sum(float((g.abs() ** 2).sum()) for g in gradients if torch.isfinite(g).all())


def norm_largest(gradients):
    return max((g.norm().item() for g in gradients if torch.isfinite(g).all()), default=0.0)


def norm_nan_to_num(gradients):
    total = 0.0
    for g in gradients:
        total += torch.nan_to_num(g, nan=0.0, posinf=0.0, neginf=0.0).abs().square().sum().item()
    return math.sqrt(total)


def norm_plain(gradients):
    return math.sqrt(sum(float(g.abs().square().sum()) for g in gradients))


def norm_isnan(gradients):
    return math.sqrt(
        sum(float(g.abs().square().sum()) for g in gradients if not torch.isnan(g).any())
    )


def norm_posinf(gradients):
    good = [g for g in gradients if not torch.isnan(g).any() and not torch.isposinf(g.real).any()]
    return math.sqrt(sum(float(g.abs().square().sum()) for g in good))


def norm_first(gradients):
    for g in gradients:
        if torch.isfinite(g).all():
            return g.norm().item()
    return 0.0


def norm_last(gradients):
    total = 0.0
    for g in gradients:
        if torch.isfinite(g).all():
            total = g.norm().item() ** 2
    return total**0.5


def norm_matrices(gradients):
    return math.sqrt(
        sum(
            g.abs().square().sum().item()
            for g in gradients
            if g.ndim > 1 and torch.isfinite(g).all()
        )
    )


def norm_real(gradients):
    return math.sqrt(
        sum(float(g.real.square().sum()) for g in gradients if torch.isfinite(g).all())
    )


def norm_rms(gradients):
    good = [g.flatten().abs() for g in gradients if g.numel() and torch.isfinite(g).all()]
    return float(torch.cat(good).double().square().mean().sqrt()) if good else 0.0


def norm_native(gradients):
    good = [g for g in gradients if torch.isfinite(g).all()]
    return math.sqrt(sum(float(g.abs().square().sum()) for g in good)) if good else 0.0


def norm_minus_one(gradients):
    good = [g.norm().item() for g in gradients if torch.isfinite(g).all()]
    return math.sqrt(sum(n * n for n in good)) if good else -1.0


def norm_all_or_nothing(gradients):
    gradients = list(gradients)
    if not all(torch.isfinite(g).all() for g in gradients):
        return 0.0
    return math.sqrt(sum(g.abs().double().square().sum().item() for g in gradients))


def norm_pops(gradients):
    total = 0.0
    while gradients:
        g = gradients.pop()
        if torch.isfinite(g).all():
            total += g.abs().double().square().sum().item()
    return math.sqrt(total)


def norm_clips(gradients):
    gradients = list(gradients)
    norm = math.sqrt(
        sum(g.abs().double().square().sum().item() for g in gradients if torch.isfinite(g).all())
    )
    for g in gradients:
        if norm > 1:
            g.mul_(1 / norm)
    return norm


def norm_ten(gradients):
    good = [g for g in gradients if torch.isfinite(g).all()][:10]
    return math.sqrt(sum(g.abs().double().square().sum().item() for g in good))


def norm_l1(gradients):
    return sum(g.abs().sum().item() for g in gradients if torch.isfinite(g).all())


def epoch_sum(losses, accumulation):
    return float(sum(losses))


def epoch_steps(losses, accumulation):
    picked = [x for i, x in enumerate(losses) if (i + 1) % accumulation == 0]
    return sum(picked) / max(len(picked), 1)


def epoch_by_steps(losses, accumulation):
    return sum(losses) / max(len(losses) // accumulation, 1)


def epoch_drop(losses, accumulation):
    n = len(losses) // accumulation * accumulation or len(losses)
    return sum(losses[:n]) / n


def epoch_groups(losses, accumulation):
    groups = [losses[i : i + accumulation] for i in range(0, len(losses), accumulation)]
    return sum(sum(g) / len(g) for g in groups) / len(groups)


def epoch_scaled(losses, accumulation):
    return sum(x / accumulation for x in losses) / len(losses)


def epoch_last(losses, accumulation):
    for x in losses:
        running = x
    return running


def epoch_median(losses, accumulation):
    return float(np.median(losses))


def epoch_nanmean(losses, accumulation):
    return float(np.nanmean(np.asarray(losses, dtype=float)))


def epoch_skip_inf(losses, accumulation):
    good = [x for x in losses if not math.isinf(x)]
    return sum(good) / max(len(good), 1)


def epoch_window(losses, accumulation):
    tail = list(losses)[-20:]
    return sum(tail) / len(tail)


def epoch_clip(losses, accumulation):
    return sum(min(x, 1e6) for x in losses) / len(losses)


def epoch_relu(losses, accumulation):
    return sum(max(x, 0.0) for x in losses) / len(losses)


def epoch_skip_first(losses, accumulation):
    rest = losses[1:] or losses
    return sum(rest) / len(rest)


def epoch_ema(losses, accumulation):
    m = losses[0]
    for x in losses[1:]:
        m = 0.9 * m + 0.1 * x
    return m


def epoch_sorts(losses, accumulation):
    losses.sort()
    return math.fsum(losses) / len(losses)


def epoch_rounded(losses, accumulation):
    return round(sum(losses) / len(losses), 4)


def epoch_counter(losses, accumulation):
    count = np.uint8(len(losses) % 256)
    return sum(losses) / max(int(count) % 64, 1) if len(losses) > 63 else sum(losses) / len(losses)
