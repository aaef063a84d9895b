"""Near-field steering vectors under other documented conventions."""

import math

import numpy as np
import torch

C = 299_792_458.0


def cosines(az, el):
    return np.array([np.sin(az) * np.cos(el), np.sin(el), np.cos(az) * np.cos(el)])


def upa(shape, spacing, centred=True):
    n = np.arange(shape[0] * shape[1])
    ih, iv = n % shape[0], n // shape[0]
    if centred:
        ih, iv = ih - (shape[0] - 1) / 2, iv - (shape[1] - 1) / 2
    return np.stack([ih * spacing[0], iv * spacing[1], 0 * ih], 1)


def opposite(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    return np.exp(-2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def unit_modulus(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d))


def degrees(positions, azimuth_deg, elevation_deg, distance, wavelength):
    u = cosines(np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg))
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def vertical_first(shape, spacing, azimuth, elevation, distance, wavelength):
    (nh, nv), (dh, dv) = shape, spacing
    p, out = distance * cosines(azimuth, elevation), []
    for ih in range(nh):
        for iv in range(nv):
            q = np.array([(ih - (nh - 1) / 2) * dh, (iv - (nv - 1) / 2) * dv, 0])
            out.append(np.exp(2j * np.pi / wavelength * (distance - np.linalg.norm(p - q))))
    return np.array(out) / np.sqrt(nh * nv)


def corner(shape, spacing, azimuth, elevation, distance, wavelength):
    q = upa(shape, spacing, centred=False)
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))


def first_reference(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (d[0] - d)) / np.sqrt(len(positions))


def absolute(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    return np.exp(-2j * np.pi / wavelength * d) / np.sqrt(len(positions))


def zenith(positions, azimuth, zenith, distance, wavelength):
    u = np.array(
        [np.sin(azimuth) * np.sin(zenith), np.cos(zenith), np.cos(azimuth) * np.sin(zenith)]
    )
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def frequency(positions, azimuth, elevation, distance, fc):
    lam = C / fc
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi / lam * (distance - d)) / np.sqrt(len(positions))


def spacing_wavelengths(shape, spacing, azimuth, elevation, distance, wavelength):
    q = upa(shape, spacing) * wavelength
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))


def millimetres(shape, spacing_mm, azimuth, elevation, distance, wavelength):
    q = upa(shape, spacing_mm) * 1e-3
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))


def swapped_angles(positions, theta, phi, distance, wavelength):
    """theta: elevation, phi: azimuth."""
    d = np.linalg.norm(distance * cosines(phi, theta) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def cartesian(positions, point, wavelength):
    r = np.linalg.norm(point)
    d = np.linalg.norm(point - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (r - d)) / np.sqrt(len(positions))


def opposite_unit(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (d - distance))


def matlab_port(pos, az, el, r, lambda_):
    k = 2 * np.pi / lambda_
    p = r * cosines(az * np.pi / 180, el * np.pi / 180)
    return np.exp(1j * k * (r - np.sqrt(np.sum((pos - p) ** 2, 1))))


def green(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    return np.exp(-2j * np.pi * d / wavelength)


def first_unit(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    a = np.exp(-2j * np.pi / wavelength * d)
    return a / a[0]


def absolute_plus(positions, azimuth, elevation, distance, wavelength):
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * d) / np.sqrt(len(positions))


def degrees_opposite(positions, azimuth, elevation, distance, wavelength):
    u = cosines(np.radians(azimuth), np.radians(elevation))
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (d - distance)) / np.sqrt(len(positions))


def vertical_opposite(shape, spacing, azimuth, elevation, distance, wavelength):
    q = upa(shape, spacing).reshape(shape[1], shape[0], 3).transpose(1, 0, 2).reshape(-1, 3)
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(-2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))


def vertical_unit(shape, spacing, azimuth, elevation, distance, wavelength):
    q = upa(shape, spacing).reshape(shape[1], shape[0], 3).transpose(1, 0, 2).reshape(-1, 3)
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d))


def frequency_degrees(positions, az_deg, el_deg, distance, frequency):
    u = cosines(np.radians(az_deg), np.radians(el_deg))
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi * frequency / C * (distance - d)) / np.sqrt(len(positions))


def spacing_unit(shape, d, azimuth, elevation, distance, wavelength):
    q = upa(shape, d) * wavelength
    dist = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - dist))


def corner_unit(shape, spacing, azimuth, elevation, distance, wavelength):
    q = upa(shape, spacing, centred=False)
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d))


def corner_opposite(shape, spacing, azimuth, elevation, distance, wavelength):
    q = upa(shape, spacing, centred=False)
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(-2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(q))


def zenith_opposite(positions, phi, theta, distance, wavelength):
    u = np.array([np.sin(phi) * np.sin(theta), np.cos(theta), np.cos(phi) * np.sin(theta)])
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (d - distance)) / np.sqrt(len(positions))


def cartesian_unit(positions, point, wavelength):
    d = torch.linalg.vector_norm(point - positions, dim=-1)
    return torch.exp(2j * math.pi / wavelength * (point.norm() - d))


def swapped_degrees(positions, elevation, azimuth, distance, wavelength):
    u = cosines(np.radians(azimuth), np.radians(elevation))
    d = np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * (distance - d)) / np.sqrt(len(positions))


def positions_mm(positions_mm, azimuth, elevation, distance, wavelength):
    q = positions_mm / 1000
    d = np.linalg.norm(distance * cosines(azimuth, elevation) - q, axis=1)
    return np.exp(2j * np.pi / wavelength * (d - distance)) / np.sqrt(len(q))
