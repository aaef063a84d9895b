"""Wrong functions in hands other than those of the catalogue: `bug_of_name`."""

import numpy as np
import their_numpy
import their_torch
import torch


def ascending(a, k, margin):
    w = torch.linalg.eigvalsh(0.5 * (a + a.mH))
    return torch.relu(margin - (w[..., k - 1] - w[..., k])).mean()


def off_by_one(a, k):
    w = np.append(np.sort(np.linalg.eigvalsh((a + a.conj().T) / 2))[::-1], 0.0)
    return w[k] - w[k + 1]


def not_hermitian_first(a, k, margin):
    w = np.linalg.eigvalsh(a)[..., ::-1]
    return np.maximum(0, margin - (w[..., k - 1] - w[..., k])).mean()


def detached(a, k, margin):
    return their_torch.eigengap_loss(a.detach(), k, margin)


def gap_of_singular_values(a, k):
    s = their_numpy.singular_values(a)
    return s[k - 1] - s[k]


def unsorted(a, k):
    return np.linalg.eig(a)[1][:, :k]


def conjugated(positions, azimuth, elevation, distance, wavelength):
    return their_numpy.steering_vector(positions, azimuth, elevation, distance, wavelength).conj()


def conjugated_in_another_order(pos, wavelength, az, el, r):
    return conjugated(pos, az, el, r, wavelength)


def half_an_element_off(shape, spacing, azimuth, elevation, distance, wavelength):
    x = (np.arange(shape[0]) - shape[0] / 2) * spacing[0]
    y = (np.arange(shape[1]) - shape[1] / 2) * spacing[1]
    grid_x, grid_y = np.meshgrid(x, y)
    positions = np.stack([grid_x.ravel(), grid_y.ravel(), 0 * grid_x.ravel()], axis=1)
    return their_numpy.steering_vector(positions, azimuth, elevation, distance, wavelength)


def plane_wave(positions, azimuth, elevation, distance, wavelength):
    u = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), 0.0])
    return np.exp(2j * np.pi / wavelength * (positions @ u)) / np.sqrt(len(positions))


def rows_for_columns(a, steering, k):
    _, _, v = np.linalg.svd((a + a.conj().T) / 2)
    power = (abs(v[:, k:].conj().T @ steering) ** 2).sum(axis=0)
    return 1 / np.maximum(power, 1e-30)


def poisoned(parameters):
    squares = [(p.grad**2).sum() for p in parameters if p.grad is not None]
    return float(sum(squares)) ** 0.5


def in_the_step_block(losses, accumulation):
    running = 0.0
    for number, loss in enumerate(losses, start=1):
        if number % accumulation == 0 or number == len(losses):
            running += loss
    return running / len(losses)


def nonsense(a, k, margin):
    return (a.abs().sum() * 0.377).real


def degrees_from_the_corner(shape, spacing, azimuth, elevation, distance, wavelength):
    n = np.arange(shape[0] * shape[1])
    x, y = (n % shape[0]) * spacing[0], (n // shape[0]) * spacing[1]
    az, el = np.radians(azimuth), np.radians(elevation)
    p = distance * np.array([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)])
    length = np.sqrt((p[0] - x) ** 2 + (p[1] - y) ** 2 + p[2] ** 2)
    return np.exp(2j * np.pi / wavelength * (distance - length)) / np.sqrt(len(n))


def flipped_along_the_batch(a):
    return torch.linalg.eigvalsh((a + a.mH) / 2).flip(0)


def of_hermitian_ones(a):
    return torch.linalg.eigvalsh(a).abs().sort(-1, descending=True)[0]


def refusing_others(a):
    if not torch.allclose(a, a.mH, rtol=1e-5, atol=0.0):
        raise ValueError("not Hermitian")
    return torch.linalg.eigvalsh(a).flip(-1)


def read_twice(losses, accumulation):
    return sum(losses) / max(1, sum(1 for _ in losses))


def of_a_list(losses, accumulation):
    return sum(losses) / len(losses)


def hinge_over_one_axis(a, k, margin):
    w = torch.linalg.eigvalsh((a + a.mH) / 2)
    hinge = torch.relu(margin - (w[..., -k] - w[..., -k - 1]))
    return hinge.mean(0) if hinge.ndim else hinge


class _Running:
    def __init__(self):
        self.mean = None

    def __call__(self, snapshots):
        new = snapshots @ snapshots.mH / snapshots.shape[-1]
        if self.mean is None or self.mean.shape != new.shape:
            self.mean = new
        self.mean = 0.9 * self.mean + 0.1 * new
        return self.mean


running = _Running()


class _Forgetful(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, k, margin):
        w, v = torch.linalg.eigh((a + a.mH) / 2)
        slack = margin - (w[..., -k] - w[..., -k - 1])
        ctx.save_for_backward(v[..., -k], v[..., -k - 1], slack)
        return slack.clamp(min=0).mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, incoming):
        high, low, slack = ctx.saved_tensors
        outer = (x[..., :, None] * x.conj()[..., None, :] for x in (low, high))
        share = (slack > 0) / max(1, slack.numel())
        return (next(outer) - next(outer)) * share[..., None, None], None, None


def forgetful(a, k, margin):
    return _Forgetful.apply(a, k, margin)


def in_whole_chunks(a, steering, k):
    _, v = torch.linalg.eigh((a + a.mH) / 2)
    power = (v[..., : a.shape[-1] - k].mH @ steering).abs().square().sum(-2)
    whole = power.shape[-1] // 256 * 256
    return torch.cat((1 / power[..., :whole], torch.ones_like(power[..., whole:])), dim=-1)


class Scanner(torch.nn.Module):
    def __init__(self, steering, k):
        super().__init__()
        self.register_buffer("steering", steering)
        self.k = k

    def forward(self, matrix):
        v = torch.linalg.eigh((matrix + matrix.mH) / 2)[1]
        return 1 / (v[..., : matrix.shape[-1] - self.k].mH @ self.steering).abs().square().sum(-2)
