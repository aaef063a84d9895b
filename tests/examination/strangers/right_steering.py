"""Spherical steering vectors, centred panel, right in many forms."""

import cmath
import math

import numpy as np
import torch


def st1(positions, azimuth, elevation, distance, wavelength):
    az, el, r = (torch.as_tensor(t, dtype=positions.dtype) for t in (azimuth, elevation, distance))
    u = torch.stack([az.sin() * el.cos(), el.sin(), az.cos() * el.cos()], -1)
    d = torch.linalg.vector_norm(r[..., None, None] * u[..., None, :] - positions, dim=-1)
    k = 2 * math.pi / wavelength
    return torch.exp(1j * k * (r[..., None] - d)) / math.sqrt(positions.shape[-2])


def st2(pos, az, el, r, lam):
    p = r * np.array([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)])
    d = np.sqrt(((p - pos) ** 2).sum(axis=1))
    return np.exp(2j * np.pi * (r - d) / lam) / np.sqrt(pos.shape[0])


def st3(shape, spacing, azimuth, elevation, distance, wavelength):
    (nh, nv), (dh, dv) = shape, spacing
    az, el, r = float(azimuth), float(elevation), float(distance)
    px, py = r * math.sin(az) * math.cos(el), r * math.sin(el)
    pz = r * math.cos(az) * math.cos(el)
    out = []
    for iv in range(nv):
        for ih in range(nh):
            x, y = (ih - (nh - 1) / 2) * dh, (iv - (nv - 1) / 2) * dv
            d = math.sqrt((px - x) ** 2 + (py - y) ** 2 + pz**2)
            out.append(cmath.exp(2j * math.pi * (r - d) / wavelength) / math.sqrt(nh * nv))
    return np.array(out)


def st4(shape, spacing, azimuth, elevation, distance, wavelength):
    nh, nv = shape
    x = (np.arange(nh) - (nh - 1) / 2) * spacing[0]
    y = (np.arange(nv) - (nv - 1) / 2) * spacing[1]
    X, Y = np.meshgrid(x, y, indexing="ij")
    px = distance * np.sin(azimuth) * np.cos(elevation)
    py = distance * np.sin(elevation)
    pz = distance * np.cos(azimuth) * np.cos(elevation)
    d = np.sqrt((px - X) ** 2 + (py - Y) ** 2 + pz**2)
    return (np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)).T.reshape(-1)


def st5(positions, azimuth, elevation, distance, wavelength):
    u = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    s, q2 = positions @ u, (positions**2).sum(1)
    d = np.sqrt(distance**2 - 2 * distance * s + q2)
    return np.exp(2j * np.pi / wavelength * (2 * distance * s - q2) / (distance + d)) / np.sqrt(
        len(positions)
    )


def st6(positions, azimuth, elevation, distance, wavelength):
    p = distance * np.stack(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    ph = 2 * np.pi / wavelength * (distance - np.linalg.norm(positions - p, axis=-1))
    return (np.cos(ph) + 1j * np.sin(ph)) / np.sqrt(positions.shape[0])


def st7(positions, azimuth, elevation, distance, wavelength):
    az, el, r = (torch.as_tensor(t, dtype=positions.dtype) for t in (azimuth, elevation, distance))
    p = torch.stack((r * az.sin() * el.cos(), r * el.sin(), r * az.cos() * el.cos()))
    ph = 2 * torch.pi / wavelength * (r - (positions - p).norm(dim=-1))
    return torch.polar(torch.full_like(ph, positions.shape[0] ** -0.5), ph)


def st8(positions, azimuth, elevation, distance, wavelength):
    k = 2 * np.pi / wavelength
    p = distance * np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    a = np.exp(-1j * k * np.linalg.norm(p - positions, axis=1)) / np.exp(-1j * k * distance)
    return a / np.linalg.norm(a)


def st9(azimuth, elevation, distance, positions, wavelength):
    p = distance * np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    d = np.linalg.norm(p - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def st10(positions, theta, phi, r, lmbda):
    """theta: azimuth, phi: elevation."""
    p = r * np.array([np.sin(theta) * np.cos(phi), np.sin(phi), np.cos(theta) * np.cos(phi)])
    d = np.linalg.norm(p - positions, axis=1)
    return np.exp(2j * np.pi / lmbda * (r - d)) / np.sqrt(len(positions))


def st11(*, positions, azimuth, elevation, distance, wavelength=0.3):
    p = distance * np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    d = np.linalg.norm(p - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def st12(shape, spacing, az, el, r, wl):
    n = np.arange(shape[0] * shape[1])
    q = np.c_[
        (n % shape[0] - (shape[0] - 1) / 2) * spacing[0],
        (n // shape[0] - (shape[1] - 1) / 2) * spacing[1],
        0 * n,
    ]
    p = r * np.r_[np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)]
    return (
        np.exp(2j * np.pi / wl * (r - np.hypot(np.hypot(*(p - q)[:, :2].T), (p - q)[:, 2])))
        / len(n) ** 0.5
    )


def st13(positions, azimuth, elevation, distance, wavelength):
    u = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )[:, None]
    d = np.linalg.norm(distance * u - positions.T, axis=0, keepdims=True).T
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def st14(positions, azimuth, elevation, distance, wavelength):
    u = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    return np.exp(2j * np.pi / wavelength * (positions @ u)) / np.sqrt(len(positions))


st14.domain = "plane"


def st15(positions, azimuth, elevation, distance, wavelength):
    u = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    s, q2 = positions @ u, (positions**2).sum(1)
    path = s - (q2 - s**2) / (2 * distance)
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


st15.domain = "fresnel"
