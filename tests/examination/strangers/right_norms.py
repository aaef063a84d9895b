"""Gradient norms and epoch means: right."""

import math
import statistics

import numpy as np
import torch


def _g(p):
    """The gradient of a parameter, or a gradient itself."""
    return p.grad if isinstance(p, torch.nn.Parameter) else p


def gn1(gradients):
    total = 0.0
    for g in gradients:
        if torch.isfinite(g).all():
            n = torch.linalg.vector_norm(g.to(torch.complex128))
            total = math.hypot(total, n.item())
    return total


def gn2(gradients):
    norms = [
        np.linalg.norm(g.detach().to(torch.complex128).numpy().ravel())
        for g in gradients
        if bool(torch.isfinite(g).all())
    ]
    return float(np.linalg.norm(norms)) if norms else 0.0


def gn3(grads):
    return math.hypot(
        *(g.to(torch.complex128).norm().item() for g in grads if torch.isfinite(g).all())
    )


def gn4(parameters):
    grads = [p.grad for p in parameters if p.grad is not None]
    good = [g.to(torch.complex128).norm() for g in grads if torch.isfinite(g).all()]
    return torch.stack(good).norm().real.item() if good else 0.0


def gn5(gradients):
    good = [g.to(torch.complex128).flatten() for g in gradients if torch.isfinite(g).all()]
    if not good:
        return torch.zeros((), dtype=torch.float64)
    return torch.linalg.vector_norm(torch.cat(good))


def gn6(params, max_norm=1.0):
    n = math.hypot(
        *(
            p.grad.to(torch.complex128).norm().item()
            for p in params
            if p.grad is not None and torch.isfinite(p.grad).all()
        )
    )
    return n, min(1.0, max_norm / (n + 1e-6))


def gn7(gradients):
    keep = filter(lambda g: bool(torch.isfinite(g).all()), gradients)
    return math.hypot(*map(lambda g: float(g.to(torch.complex128).norm()), keep))


def gn8(items):
    norms = []
    for p in items:
        g = _g(p)
        if g is None or not torch.isfinite(g).all():
            continue
        norms.append(g.detach().abs().double().norm().item())
    return math.hypot(*norms)


def em1(losses, accumulation):
    return sum(losses) / len(losses)


def em2(losses, accumulation):
    return float(np.mean(losses))


def em3(losses, accumulation=1):
    total, n = 0.0, 0
    for value in losses:
        total += float(value)
        n += 1
    return total / n


def em4(losses, accumulation):
    return math.fsum(losses) / len(losses)


def em5(losses, accumulation):
    return torch.as_tensor(losses, dtype=torch.float64).mean().item()


def em6(losses, accumulation):
    losses = list(losses)
    total = 0.0
    for i in range(0, len(losses), accumulation):
        group = losses[i : i + accumulation]
        total += sum(group) / len(group) * len(group)
    return total / len(losses)


def em7(losses, accumulation):
    return statistics.fmean(losses)


def em8(losses, accumulation):
    m = 0.0
    for i, x in enumerate(losses, 1):
        m = m * ((i - 1) / i) + x / i
    return m


def em9(accumulation_steps, losses):
    return float(np.asarray(losses, dtype=np.float64).sum() / len(losses))


class AverageMeter:
    def __call__(self, losses, accumulation):
        self.sum, self.count = 0.0, 0
        for x in losses:
            self.update(x)
        return self.sum / self.count

    def update(self, x, n=1):
        self.sum += float(x) * n
        self.count += n


average_meter = AverageMeter()
