"""Every public function as somebody else might have it: torch, batched."""

import math

import torch


def hermitize(a: torch.Tensor) -> torch.Tensor:
    return 0.5 * (a + a.mH)


def eigenvalues(a: torch.Tensor) -> torch.Tensor:
    return torch.linalg.eigvalsh(hermitize(a)).flip(-1)


def singular_values(a):
    return torch.linalg.svdvals(hermitize(a))


def eigengap(a, k):
    w = eigenvalues(a)
    return w[..., k - 1] - w[..., k]


def eigengap_loss(a, k, margin):
    return torch.relu(margin - eigengap(a, k)).mean()


def signal_subspace(a, k):
    values, vectors = torch.linalg.eigh(hermitize(a))
    return vectors[..., -k:], values[..., -k:]


def noise_subspace(a, k):
    return torch.linalg.eigh(hermitize(a))[1][..., : a.shape[-1] - k]


def projector(u):
    return u @ u.mH


def music_spectrum(a, steering, k):
    power = (noise_subspace(a, k).mH @ steering).abs().square().sum(-2)
    return 1 / power.clamp_min((a.shape[-1] * torch.finfo(power.dtype).eps) ** 2)


def mvdr_spectrum(a, steering):
    return 1 / (steering.conj() * torch.linalg.solve(hermitize(a), steering)).sum(-2).real


def steering_vector(shape, spacing, azimuth, elevation, distance, wavelength):
    x = (torch.arange(shape[0]) - (shape[0] - 1) / 2).double() * spacing[0]
    y = (torch.arange(shape[1]) - (shape[1] - 1) / 2).double() * spacing[1]
    q = torch.cartesian_prod(y, x)
    px = distance * torch.sin(azimuth) * torch.cos(elevation)
    py = distance * torch.sin(elevation)
    pz = distance * torch.cos(azimuth) * torch.cos(elevation)
    length = torch.sqrt((px - q[:, 1]) ** 2 + (py - q[:, 0]) ** 2 + pz**2)
    phase = 2 * math.pi / wavelength * (distance - length)
    return torch.polar(torch.ones_like(phase), phase) / math.sqrt(len(q))


def gradient_norm(parameters):
    grads = [p.grad for p in parameters if p.grad is not None]
    finite = [g for g in grads if torch.isfinite(g).all()]
    norm = math.hypot(*(float(g.norm()) for g in finite))
    return norm, len(grads) - len(finite)


def epoch_mean(losses, accumulation):
    return torch.tensor(losses).mean()
