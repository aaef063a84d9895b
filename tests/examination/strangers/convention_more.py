"""More conventions, in torch and as classes."""

import math

import numpy as np
import torch
from torch import nn


def direction(az, el):
    return torch.stack([az.sin() * el.cos(), el.sin(), az.cos() * el.cos()], -1)


def t(x):
    return torch.as_tensor(x, dtype=torch.float64)


def sym(R):
    return (R + R.mH) / 2


def nearfield_torch(positions, azimuth, elevation, distance, wavelength):
    az, el, r = t(azimuth), t(elevation), t(distance)
    d = torch.linalg.vector_norm(
        r[..., None, None] * direction(az, el)[..., None, :] - positions, dim=-1
    )
    return torch.exp(-2j * math.pi / wavelength * (r[..., None] - d)) / math.sqrt(len(positions))


def torch_degrees(positions, azimuth, elevation, distance, wavelength):
    az, el, r = torch.deg2rad(t(azimuth)), torch.deg2rad(t(elevation)), t(distance)
    d = torch.linalg.vector_norm(r * direction(az, el) - positions, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(len(positions))


class SteeringLayer(nn.Module):
    def forward(self, positions, azimuth, elevation, distance, wavelength):
        az, el, r = t(azimuth), t(elevation), t(distance)
        d = torch.linalg.vector_norm(r * direction(az, el) - positions, dim=-1)
        phase = 2 * math.pi / wavelength * (r - d)
        return torch.polar(torch.ones_like(phase), phase)


def torch_frequency(positions, azimuth, elevation, distance, f_c):
    k = 2 * math.pi * f_c / 299_792_458.0
    az, el, r = t(azimuth), t(elevation), t(distance)
    d = torch.linalg.vector_norm(r * direction(az, el) - positions, dim=-1)
    return torch.exp(-1j * k * (r - d)) / math.sqrt(len(positions))


def kron_order(shape, spacing, azimuth, elevation, distance, wavelength):
    X, Y = np.meshgrid(
        (np.arange(shape[0]) - (shape[0] - 1) / 2) * spacing[0],
        (np.arange(shape[1]) - (shape[1] - 1) / 2) * spacing[1],
        indexing="ij",
    )
    px = distance * np.sin(azimuth) * np.cos(elevation)
    py = distance * np.sin(elevation)
    pz = distance * np.cos(azimuth) * np.cos(elevation)
    d = np.sqrt((X - px) ** 2 + (Y - py) ** 2 + pz**2)
    return np.exp(2j * np.pi / wavelength * (distance - d)).ravel() / np.sqrt(X.size)


def torch_absolute(positions, azimuth, elevation, distance, wavelength):
    p = t(distance) * direction(t(azimuth), t(elevation))
    d = (positions - p).norm(dim=-1)
    return torch.exp(-2j * math.pi * d / wavelength) / math.sqrt(len(positions))


def music_db_np(R, A, k):
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    return -20 * np.log10(np.linalg.norm(V[:, : len(R) - k].conj().T @ A, axis=0))


def music_max_np(R, A, k):
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    P = 1 / np.linalg.norm(V[:, : len(R) - k].conj().T @ A, axis=0) ** 2
    return P / np.max(P)


def capon_db_np(R, A):
    Ri = np.linalg.inv((R + R.conj().T) / 2)
    return -10 * np.log10(np.einsum("ng,nm,mg->g", A.conj(), Ri, A).real)


def capon_max_np(R, A):
    P = 1 / np.einsum("ng,nm,mg->g", A.conj(), np.linalg.inv((R + R.conj().T) / 2), A).real
    return P / P.max()


class SquaredHinge(nn.Module):
    def forward(self, R, k, margin):
        w = torch.linalg.eigvalsh(sym(R))
        return (margin - w[..., -k] + w[..., -k - 1]).clamp(min=0).pow(2).mean()


class NoReduction(nn.Module):
    def forward(self, R, k, margin):
        w = torch.linalg.eigvalsh(sym(R))
        return torch.relu(margin - w[..., -k] + w[..., -k - 1])


def hinge_sum_np(R, k, margin):
    w = np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)
    return np.sum(np.maximum(margin - w[..., -k] + w[..., -k - 1], 0))


def sv_ascending_np(R):
    return np.sort(np.abs(np.linalg.eigvalsh((R + np.conj(np.swapaxes(R, -1, -2))) / 2)))


def eig_ascending_one(R):
    return np.sort(np.linalg.eigvalsh((R + R.conj().T) / 2))


def music_gn_max_torch(R, steering, k):
    E = torch.linalg.eigh(sym(R))[1][..., : R.shape[-1] - k]
    P = 1 / (steering.conj() @ E).abs().square().sum(-1)
    return P / P.amax(-1, keepdim=True)


def capon_gn_max_torch(R, steering):
    A = steering.mT
    P = 1 / (A.conj() * torch.linalg.solve(sym(R), A)).sum(-2).real
    return P / P.amax(-1, keepdim=True)
