"""Near-field steering vectors as found in fourteen repositories."""

import math

import numpy as np
import torch


def panel(shape, spacing):
    """Centred positions, horizontal index fastest."""
    (nh, nv), (dh, dv) = shape, spacing
    ih, iv = np.meshgrid(np.arange(nh), np.arange(nv))
    x = (ih - (nh - 1) / 2) * dh
    y = (iv - (nv - 1) / 2) * dv
    return np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)


def source(az, el, r):
    return r * np.array([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)])


def sv_plane(positions, azimuth, elevation, distance, wavelength):
    u = source(azimuth, elevation, 1.0)
    return np.exp(2j * np.pi / wavelength * (positions @ u)) / np.sqrt(len(positions))


def sv_half(shape, spacing, azimuth, elevation, distance, wavelength):
    (nh, nv), (dh, dv) = shape, spacing
    ih, iv = np.meshgrid(np.arange(nh), np.arange(nv))
    q = np.stack([(ih - nh / 2) * dh, (iv - nv / 2) * dv, 0 * ih], -1).reshape(-1, 3)
    d = np.linalg.norm(source(azimuth, elevation, distance) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)


def sv_intcentre(shape, spacing, azimuth, elevation, distance, wavelength):
    (nh, nv), (dh, dv) = shape, spacing
    n = torch.arange(nh * nv)
    x = (n % nh - nh // 2) * dh
    y = (n // nh - nv // 2) * dv
    p = torch.from_numpy(source(float(azimuth), float(elevation), float(distance)))
    d = torch.sqrt((p[0] - x) ** 2 + (p[1] - y) ** 2 + p[2] ** 2)
    return torch.exp(2j * math.pi / wavelength * (distance - d)) / math.sqrt(nh * nv)


def sv_xz(shape, spacing, azimuth, elevation, distance, wavelength):
    q = panel(shape, spacing)[:, [0, 2, 1]]
    d = np.linalg.norm(source(azimuth, elevation, distance) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))


def sv_order(shape, spacing, azimuth, elevation, distance, wavelength):
    (nh, nv), _ = shape, spacing
    q = panel(shape, spacing)
    d = np.linalg.norm(source(azimuth, elevation, distance) - q, axis=1).reshape(nh, nv)
    a = np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)
    return a.T.ravel()


def sv_units(shape, spacing, azimuth, elevation, distance, wavelength):
    q = panel(shape, spacing) * wavelength
    p = source(azimuth, elevation, distance)
    d = np.linalg.norm(p - q, axis=1)
    return np.exp(2j * np.pi / wavelength**2 * (distance - d)) / np.sqrt(len(q))


def sv_pi(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(source(azimuth, elevation, distance) - positions, axis=1)
    return np.exp(1j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def sv_roundtrip(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(source(azimuth, elevation, distance) - positions, axis=1)
    return np.exp(4j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def sv_over_n(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(source(azimuth, elevation, distance) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / len(positions)


def sv_cosines(positions, azimuth, elevation, distance, wavelength):
    u = np.sin(azimuth) * np.cos(elevation)
    v = np.sin(azimuth) * np.sin(elevation)
    w = np.sqrt(1 - u**2 - v**2)
    d = np.linalg.norm(distance * np.array([u, v, w]) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def sv_nocos(positions, azimuth, elevation, distance, wavelength):
    p = distance * np.array([np.sin(azimuth), np.sin(elevation), np.cos(azimuth)])
    d = np.linalg.norm(p - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def sv_flat(positions, azimuth, elevation, distance, wavelength):
    q = positions.copy()
    q[:, 2] = 0
    d = np.linalg.norm(source(azimuth, elevation, distance) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))


def sv_recentred(positions, azimuth, elevation, distance, wavelength):
    q = positions - positions.mean(0)
    d = np.linalg.norm(source(azimuth, elevation, distance) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))


def sv_switch(positions, azimuth, elevation, distance, wavelength):
    u = source(azimuth, elevation, 1.0)
    D = np.ptp(positions, axis=0).max()
    if distance < 2 * D**2 / wavelength:
        path = positions @ u
    else:
        path = distance - np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


def sv_beyond20(positions, azimuth, elevation, distance, wavelength):
    u = source(azimuth, elevation, 1.0)
    path = positions @ u
    if distance <= 20:
        path = distance - np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


def sv_floor(positions, azimuth, elevation, distance, wavelength):
    r = max(float(distance), 1.0)
    d = np.linalg.norm(source(azimuth, elevation, r) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (r - d)) / np.sqrt(len(positions))


def sv_clip(positions, azimuth, elevation, distance, wavelength):
    az = np.clip(azimuth, -np.radians(75), np.radians(75))
    d = np.linalg.norm(source(az, elevation, distance) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def sv_small(positions, azimuth, elevation, distance, wavelength):
    p = distance * np.array([azimuth, elevation, 1 - azimuth**2 / 2 - elevation**2 / 2])
    d = np.linalg.norm(p - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def sv_fresnel_sign(positions, azimuth, elevation, distance, wavelength):
    s = positions @ source(azimuth, elevation, 1.0)
    q2 = (positions**2).sum(1)
    path = s + (q2 - s**2) / (2 * distance)
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


def sv_fresnel_axis(positions, azimuth, elevation, distance, wavelength):
    s = positions @ source(azimuth, elevation, 1.0)
    q2 = (positions**2).sum(1)
    path = s - q2 / (2 * distance)
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


def sv_inplace(positions, azimuth, elevation, distance, wavelength):
    positions *= 2 * np.pi / wavelength
    kr = 2 * np.pi / wavelength * distance
    d = np.linalg.norm(source(azimuth, elevation, kr) - positions, axis=1)
    return np.exp(1j * (kr - d)) / np.sqrt(len(positions))


def sv_torch_numpy(positions, azimuth, elevation, distance, wavelength):
    az, el, r = (
        np.asarray(t.detach() if isinstance(t, torch.Tensor) else t)
        for t in (azimuth, elevation, distance)
    )
    p = torch.from_numpy(source(az, el, r))
    d = torch.linalg.vector_norm(p - positions, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (float(r) - d)) / math.sqrt(len(positions))


def sv_ref_detached(positions, azimuth, elevation, distance, wavelength):
    u = torch.stack(
        [azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()], -1
    )
    d = torch.linalg.vector_norm(distance[..., None, None] * u[..., None, :] - positions, dim=-1)
    phase = 2 * math.pi / wavelength * (distance.detach()[..., None] - d)
    return torch.exp(1j * phase) / math.sqrt(positions.shape[-2])


def sv_first_distance(positions, azimuth, elevation, distance, wavelength):
    r = distance.reshape(-1)[0]
    u = torch.stack(
        [azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()], -1
    )
    d = torch.linalg.vector_norm(r * u[..., None, :] - positions, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (r - d)) / math.sqrt(positions.shape[-2])


def sv_float32(positions, azimuth, elevation, distance, wavelength):
    p = source(azimuth, elevation, distance).astype(np.float32)
    d = np.linalg.norm(p - positions.astype(np.float32), axis=1)
    phase = np.float32(2 * np.pi / wavelength) * (np.float32(distance) - d)
    return np.exp(1j * phase.astype(np.float64)) / np.sqrt(len(positions))


def sv_int8(shape, spacing, azimuth, elevation, distance, wavelength):
    (nh, nv), (dh, dv) = shape, spacing
    n = np.arange(nh * nv).astype(np.int8).astype(int)
    x = (n % nh - (nh - 1) / 2) * dh
    y = (n // nh - (nv - 1) / 2) * dv
    p = source(azimuth, elevation, distance)
    d = np.sqrt((p[0] - x) ** 2 + (p[1] - y) ** 2 + p[2] ** 2)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(nh * nv)


def sv_amplitude(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(source(azimuth, elevation, distance) - positions, axis=1)
    a = distance / d * np.exp(2j * np.pi / wavelength * (distance - d))
    return a / np.sqrt(len(positions))


_CACHE = {}


def sv_cached(positions, azimuth, elevation, distance, wavelength):
    key = (float(azimuth), float(elevation), float(distance), len(positions))
    if key not in _CACHE:
        d = np.linalg.norm(source(azimuth, elevation, distance) - positions, axis=1)
        a = np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))
        _CACHE[key] = a
    return _CACHE[key]


def sv_spacings(shape, spacing, azimuth, elevation, distance, wavelength):
    q = panel(shape, (spacing[1], spacing[0]))
    d = np.linalg.norm(source(azimuth, elevation, distance) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))
